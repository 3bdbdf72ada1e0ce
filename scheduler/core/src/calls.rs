//! What users ask for. A call is refused with its reason, or it changes what is wanted; the rest
//! follows from that.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::{
    App, Bounds, CameSince, Cause, Deployment, DiscoveryCheck, Ended, INSTANCES_MOST, LIST_MOST,
    Outcome, Probe, Run, Scaled, ScaledBy, Specification, remember,
};
use crate::command::{Command, Key};
use crate::event::{Accepted, Call, Refusal};
use crate::ids::{AppName, InstanceId, MachineName, RequestId, Version};
use crate::instance::{Leaving, Life};
use crate::place::allows;
use crate::rebalance::Ending;
use crate::turn::Turn;

type Answer = Result<Accepted, Refusal>;

impl Turn<'_> {
    /// A call is answered in its turn, but for those that are planned over several.
    pub(crate) fn call(&mut self, request: RequestId, call: Call) {
        let answer = match call {
            Call::Deploy { app, specification, bounds, step } => {
                self.deploy(&app, specification, bounds, step)
            }
            Call::Upgrade { app, label, run, step } => self.upgrade(&app, label, run, step),
            Call::Scale { app, instances, keeps_volumes } => {
                self.scale_to(&app, instances, keeps_volumes)
            }
            Call::Rollback { app, version } => self.roll_back(&app, version),
            Call::Delete { app, keeps_volumes } => self.delete(&app, keeps_volumes),
            Call::AddOn { app, machine } => self.add_on(&app, &machine),
            Call::RemoveOn { app, machine, keeps_volumes } => {
                self.remove_on(&app, &machine, keeps_volumes)
            }
            Call::DeleteVolume { volume } => self.delete_volume(&volume),
            Call::Restart { instance } => self.restart(&instance),
            Call::Drain { machine } => self.drain(&machine, true),
            Call::Undrain { machine } => self.drain(&machine, false),
            Call::CancelRebalance { app } => self.cancel_rebalance(app.as_ref()),
            Call::Thaw => {
                let (seen, before) = (self.state.silence(), self.state.cluster.repair);
                policy::repair::thaw(seen, &mut self.state.cluster.repair);
                if self.state.cluster.repair == before {
                    Ok(Accepted::Unchanged)
                } else {
                    self.dirty(Key::Cluster);
                    self.watch();
                    Ok(Accepted::Noted)
                }
            }
            Call::Rebalance { app, at_a_time } => {
                return self.rebalance_call(request, app, at_a_time);
            }
        };
        self.commands.push(Command::Answer { request, answer });
    }

    /// An app that there is and that doesn't end.
    fn living(&mut self, name: &AppName) -> Result<&mut App, Refusal> {
        let app = self.state.apps.get_mut(name);
        let app = app.ok_or_else(|| Refusal::UnknownApp(name.clone()))?;
        if app.is_deleted { Err(Refusal::IsDeleted(name.clone())) } else { Ok(app) }
    }

    fn deploy(
        &mut self,
        name: &AppName,
        specification: Arc<Specification>,
        bounds: Bounds,
        step: Option<u32>,
    ) -> Answer {
        check_bounds(bounds)?;
        check(&specification, step)?;
        self.state.check_volumes(name, &specification)?;
        if !self.state.apps.contains_key(name) {
            self.state.insert_app(name.clone(), new_app(bounds));
            return Ok(self.bring(name, specification, step));
        }
        let now = self.now;
        let app = self.living(name)?;
        let is_same = app.specification() == Some(&specification);
        let (from, to) = (app.wanted, app.wanted.clamp(bounds.min, bounds.max));
        let is_unchanged = is_same && app.bounds == bounds;
        app.bounds = bounds;
        if from != to {
            app.wanted = to;
            app.scaled = Some(Scaled { at: now, from, to, why: ScaledBy::Bounds });
        }
        if is_unchanged {
            return Ok(Accepted::Unchanged);
        }
        if is_same {
            self.app_changed(name);
            return Ok(Accepted::Wanted(to));
        }
        Ok(self.bring(name, specification, step))
    }

    fn upgrade(&mut self, name: &AppName, label: String, run: Run, step: Option<u32>) -> Answer {
        let app = self.living(name)?;
        let unknown = || Refusal::UnknownVersion(name.clone(), app.target);
        let old = app.specification().ok_or_else(unknown)?;
        let specification = Specification { label, run, ..old.as_ref().clone() };
        check(&specification, step)?;
        if *old.as_ref() == specification {
            return Ok(Accepted::Unchanged);
        }
        Ok(self.bring(name, Arc::new(specification), step))
    }

    /// A new version takes the place of the one before, or of one that is on its way.
    fn bring(
        &mut self,
        name: &AppName,
        specification: Arc<Specification>,
        step: Option<u32>,
    ) -> Accepted {
        let mut version = Version(0);
        if let Some(app) = self.state.apps.get_mut(name) {
            app.versions_made += 1;
            version = Version(app.versions_made);
            app.versions.insert(version, specification);
        }
        let number = self.begin(name, version, Cause::Deployed, step, Outcome::Superseded);
        Accepted::Deployment { number, version }
    }

    fn scale_to(&mut self, name: &AppName, instances: u32, keeps_volumes: bool) -> Answer {
        let now = self.now;
        let app = self.living(name)?;
        let bounds = bounds_for(instances, app.bounds)?;
        let from = std::mem::replace(&mut app.wanted, instances);
        if from == instances {
            return Ok(Accepted::Unchanged);
        }
        app.bounds = bounds;
        app.keeps_volumes = keeps_volumes;
        // The rule counts its cool-down from here.
        app.scaling = policy::scaling::State { changed: Some(now), ..Default::default() };
        app.scaled = Some(Scaled { at: now, from, to: instances, why: ScaledBy::User });
        self.app_changed(name);
        Ok(Accepted::Wanted(instances))
    }

    fn roll_back(&mut self, name: &AppName, version: Option<Version>) -> Answer {
        let app = self.living(name)?;
        let target = app.target;
        let version = match version {
            Some(version) if app.versions.contains_key(&version) => version,
            Some(version) => return Err(Refusal::UnknownVersion(name.clone(), version)),
            None => {
                let good = app.stable.iter().rev().copied().find(|version| *version != target);
                good.ok_or_else(|| Refusal::NothingToRollBackTo(name.clone()))?
            }
        };
        if version == target {
            return Ok(Accepted::Unchanged);
        }
        if let Some(specification) = app.versions.get(&version).cloned() {
            self.state.check_volumes(name, &specification)?;
        }
        let number = self.begin(name, version, Cause::RolledBack, None, Outcome::Superseded);
        Ok(Accepted::Deployment { number, version })
    }

    fn delete(&mut self, name: &AppName, keeps_volumes: bool) -> Answer {
        let now = self.now;
        self.living(name)?;
        self.end_rebalance(name, Ending::Superseded);
        let app = self.living(name)?;
        app.is_deleted = true;
        app.keeps_volumes = keeps_volumes;
        if let Some(deployment) = app.deployment.take() {
            let Deployment { number, from, to, .. } = deployment;
            let ended = Ended { number, from, to, at: now, outcome: Outcome::Deleted };
            remember(&mut app.history, ended);
        }
        self.app_changed(name);
        Ok(Accepted::Noted)
    }

    fn add_on(&mut self, name: &AppName, machine: &MachineName) -> Answer {
        let there = self.state.machines.get(machine).cloned();
        let there = there.ok_or_else(|| Refusal::UnknownMachine(machine.clone()))?;
        let app = self.living(name)?;
        let wanted = app.wanted.saturating_add(1);
        let bounds = bounds_for(wanted, app.bounds)?;
        let constraints = app.specification().map(|one| one.constraints.as_slice());
        if !constraints.unwrap_or_default().iter().all(|one| allows(one, machine, &there, 0)) {
            return Err(Refusal::NotAllowedOn(name.clone(), machine.clone()));
        }
        (app.wanted, app.bounds) = (wanted, bounds);
        *app.named.entry(machine.clone()).or_insert(0) += 1;
        self.app_changed(name);
        Ok(Accepted::Wanted(wanted))
    }

    fn remove_on(&mut self, name: &AppName, machine: &MachineName, keeps_volumes: bool) -> Answer {
        let app = self.living(name)?;
        let wanted = app.wanted.saturating_sub(1);
        let bounds = bounds_for(wanted, app.bounds)?;
        let is_there = |life: Life| !life.is_stopping() && life != Life::Sweeping;
        let number = app
            .instances
            .iter()
            .rev()
            .filter(|(_, instance)| instance.machine.as_ref() == Some(machine))
            .filter(|(_, instance)| {
                is_there(instance.life) && matches!(instance.leaving, None | Some(Leaving::Moved))
            })
            .map(|(number, _)| *number)
            .next();
        let none = || Refusal::NoInstanceOn(name.clone(), machine.clone());
        let number = number.ok_or_else(none)?;
        (app.wanted, app.bounds) = (wanted, bounds);
        app.keeps_volumes = keeps_volumes;
        if let Some(count) = app.named.get_mut(machine) {
            *count = count.saturating_sub(1);
        }
        app.named.retain(|_, count| *count > 0);
        if let Some(instance) = app.instances.get_mut(&number) {
            instance.leaving = Some(Leaving::Removed);
        }
        self.app_changed(name);
        self.changed(&InstanceId { app: name.clone(), number });
        Ok(Accepted::Wanted(wanted))
    }

    fn restart(&mut self, id: &InstanceId) -> Answer {
        let instance = self.state.instance_mut(id);
        let instance = instance.ok_or_else(|| Refusal::UnknownInstance(id.clone()))?;
        let is_leaving = instance.leaving.is_some_and(|why| why != Leaving::Moved);
        if is_leaving || instance.life.is_stopping() {
            return Ok(Accepted::Unchanged);
        }
        instance.leaving = Some(Leaving::Restarted);
        self.changed(id);
        Ok(Accepted::Noted)
    }

    fn drain(&mut self, name: &MachineName, is_draining: bool) -> Answer {
        let machine = self.state.machines.get_mut(name);
        let machine = machine.ok_or_else(|| Refusal::UnknownMachine(name.clone()))?;
        if machine.is_draining == is_draining {
            return Ok(Accepted::Unchanged);
        }
        machine.is_draining = is_draining;
        self.state.index_machine(name);
        self.machine_changed(name);
        Ok(Accepted::Noted)
    }
}

fn check_bounds(bounds: Bounds) -> Result<(), Refusal> {
    if bounds.min <= bounds.max && bounds.max <= INSTANCES_MOST {
        return Ok(());
    }
    Err(Refusal::Bounds { bounds, most: INSTANCES_MOST })
}

/// The bounds of an app when a user wants so many of its instances: a fixed number becomes this one,
/// bounds between which the policy scales stay.
fn bounds_for(instances: u32, bounds: Bounds) -> Result<Bounds, Refusal> {
    if bounds.min == bounds.max {
        let fixed = Bounds { min: instances, max: instances };
        return check_bounds(fixed).map(|()| fixed);
    }
    if (bounds.min..=bounds.max).contains(&instances) {
        return Ok(bounds);
    }
    Err(Refusal::OutOfBounds { instances, bounds })
}

fn check(specification: &Specification, step: Option<u32>) -> Result<(), Refusal> {
    crate::volume::check(specification)?;
    if step == Some(0) {
        return Err(Refusal::StepOfNone);
    }
    let (is_empty, words) = match &specification.run {
        Run::Image { image, arguments } => (image.is_empty(), arguments.len()),
        Run::Command(words) => (words.is_empty(), words.len()),
    };
    if is_empty {
        return Err(Refusal::NothingToRun);
    }
    let probe = match specification.check.as_ref().map(|check| &check.probe) {
        Some(Probe::Command(words)) => words.len(),
        Some(Probe::Http { .. } | Probe::Tcp { .. }) | None => 0,
    };
    let script = match &specification.discovery.check {
        DiscoveryCheck::Script(words) | DiscoveryCheck::Docker(words) => words.len(),
        DiscoveryCheck::AsHealth | DiscoveryCheck::Nothing | DiscoveryCheck::Ttl(_) => 0,
    };
    let lists = [
        words,
        probe,
        specification.environment.len(),
        specification.constraints.len(),
        specification.inner_ports.len(),
        specification.discovery.tags.len(),
        script,
    ];
    if lists.into_iter().any(|length| length > LIST_MOST) {
        return Err(Refusal::TooLong { most: LIST_MOST });
    }
    Ok(())
}

fn new_app(bounds: Bounds) -> App {
    App {
        bounds,
        wanted: bounds.min,
        target: Version(0),
        stable: Vec::new(),
        versions: BTreeMap::new(),
        versions_made: 0,
        deployments_made: 0,
        deployment: None,
        history: Vec::new(),
        named: BTreeMap::new(),
        scaling: policy::scaling::State::default(),
        scaled: None,
        failures: BTreeMap::new(),
        is_deleted: false,
        gone: Vec::new(),
        rebalance: None,
        keeps_volumes: false,
        instances: BTreeMap::new(),
        slot: 0,
        load: None,
        hold: None,
        looked: None,
        came: CameSince::default(),
    }
}

//! Facts about machines and instances. Each may come late, twice, in any order, or never.

use policy::Time;
use policy::rollout::{FULL_THOUSANDTHS, Load};

use crate::app::Observed;
use crate::command::{Command, Key};
use crate::event::{InstanceFact, MachineFact};
use crate::ids::{AppName, InstanceId, MachineName, Version};
use crate::instance::{End, Exit, Life};
use crate::machine::{Description, Machine};
use crate::turn::Turn;
use policy::Nanoseconds;

/// Time to end in peace for processes that nobody knows any more.
const ORPHAN_GRACE: Nanoseconds = Nanoseconds::from_seconds(10);

impl Turn<'_> {
    pub(crate) fn machine_fact(&mut self, name: &MachineName, fact: MachineFact) {
        match fact {
            MachineFact::Up(description) => self.machine_up(name, description),
            MachineFact::Silent => self.machine_silent(name),
            MachineFact::Unheard => self.machine_unheard(name),
            MachineFact::Gone => self.machine_gone(name, &End::MachineGone),
            MachineFact::Leaving => self.machine_leaving(name, true),
            MachineFact::Staying => self.machine_leaving(name, false),
        }
        self.watch();
    }

    fn machine_silent(&mut self, name: &MachineName) {
        let now = self.now;
        let Some(machine) = self.state.machines.get_mut(name) else { return };
        if machine.silent_since.is_none() {
            machine.silent_since = Some(now);
            self.state.silent.insert(name.clone());
            self.state.index_machine(name);
            self.machine_changed(name);
        }
    }

    /// What it has is repaired as that of silent machines. With nothing there is nothing to repair, and
    /// it says nothing of how many are cut off; what a user has said of it is kept as long as others.
    fn machine_unheard(&mut self, name: &MachineName) {
        let is_bare = |machine: &Machine| {
            machine.silent_since.is_none() && machine.instances.is_empty() && !machine.is_draining
        };
        match self.state.machines.get(name).is_some_and(is_bare) {
            true => self.machine_gone(name, &End::MachineForgotten),
            false => self.machine_silent(name),
        }
    }

    fn machine_leaving(&mut self, name: &MachineName, is_leaving: bool) {
        let Some(machine) = self.state.machines.get_mut(name) else { return };
        if machine.is_leaving != is_leaving {
            machine.is_leaving = is_leaving;
            self.state.index_machine(name);
            self.machine_changed(name);
        }
    }

    fn machine_up(&mut self, name: &MachineName, description: Description) {
        let Some(machine) = self.state.machines.get_mut(name) else {
            self.state.insert_machine(name.clone(), Machine::new(description));
            self.machine_changed(name);
            return;
        };
        let description = description.tidied();
        let was_silent = machine.silent_since.take().is_some();
        if was_silent {
            self.state.silent.remove(name);
        }
        if !was_silent && machine.description == description {
            return;
        }
        machine.description = description;
        let instances: Vec<InstanceId> = machine.instances.iter().cloned().collect();
        self.state.index_machine(name);
        self.machine_changed(name);
        if !was_silent {
            return;
        }
        for id in instances {
            if let Some(instance) = self.state.instance_mut(&id) {
                instance.is_replaced = false;
                instance.is_doubted = true;
                instance.sent = None;
                instance.asked = None;
                self.changed(&id);
            }
        }
    }

    pub(crate) fn machine_gone(&mut self, name: &MachineName, end: &End) {
        let Some(machine) = self.state.machines.get(name) else { return };
        let instances: Vec<InstanceId> = machine.instances.iter().cloned().collect();
        self.machine_changed(name);
        for id in instances {
            let known = self.state.instance(&id).and_then(|instance| instance.end.clone());
            self.remove(&id, known.unwrap_or_else(|| end.clone()));
        }
        self.state.silent.remove(name);
        if let Some(machine) = self.state.machines.remove(name) {
            self.state.spread.set_machine(machine.slot, None);
        }
    }

    /// Touches all apps that have something there.
    pub(crate) fn machine_changed(&mut self, name: &MachineName) {
        self.dirty(Key::Machine(name.clone()));
        if let Some(machine) = self.state.machines.get(name) {
            self.touched.extend(machine.instances.iter().map(|id| id.app.clone()));
        }
    }

    pub(crate) fn load(&mut self, name: &AppName, at: Time, load: Load) {
        let Some(app) = self.state.apps.get_mut(name) else { return };
        if app.load.is_none_or(|known| known.at < at) {
            app.came.add(app.load, &load);
            app.load = Some(Observed { at, load });
            self.touched.insert(name.clone());
        }
    }

    pub(crate) fn instance_fact(
        &mut self,
        id: &InstanceId,
        machine: &MachineName,
        at: Time,
        fact: InstanceFact,
    ) {
        let now = self.now;
        let known =
            self.state.instance_mut(id).filter(|known| known.machine.as_ref() == Some(machine));
        let Some(instance) = known else { return self.orphan(id, machine, &fact) };
        match fact {
            InstanceFact::Registered { weight_thousandths } => {
                self.registered(id, weight_thousandths.min(FULL_THOUSANDTHS));
            }
            InstanceFact::Deregistered => self.deregistered(id),
            InstanceFact::Container(name) => self.contained(id, &name),
            InstanceFact::Ended(exit) => self.ended(id, End::Exited(exit)),
            InstanceFact::NeverStarted(why) => {
                self.unmake_volume(id);
                self.ended(id, End::Exited(Exit::Lost(why)));
            }
            InstanceFact::Unknown => self.ended(id, End::Lost),
            InstanceFact::Launched
            | InstanceFact::Running
            | InstanceFact::Healthy
            | InstanceFact::Unhealthy => {
                if at < instance.heard {
                    return;
                }
                instance.heard = at;
                instance.came = now;
                instance.is_doubted = false;
                instance.asked = None;
                if fact != InstanceFact::Launched {
                    self.use_volume(id);
                }
                match fact {
                    InstanceFact::Running => self.running(id),
                    InstanceFact::Healthy => self.healthy(id),
                    InstanceFact::Unhealthy => self.unhealthy(id),
                    _ => {}
                }
            }
        }
    }

    /// A process, or an address, that nobody wants: it ends.
    fn orphan(&mut self, id: &InstanceId, machine: &MachineName, fact: &InstanceFact) {
        let (instance, machine, epoch) = (id.clone(), machine.clone(), self.epoch());
        self.commands.push(match fact {
            InstanceFact::Launched
            | InstanceFact::Running
            | InstanceFact::Healthy
            | InstanceFact::Unhealthy => {
                Command::Kill { instance, machine, grace: ORPHAN_GRACE, epoch }
            }
            InstanceFact::Registered { .. } => Command::Deregister { instance, machine, epoch },
            InstanceFact::Deregistered
            | InstanceFact::Container(_)
            | InstanceFact::Ended(_)
            | InstanceFact::NeverStarted(_)
            | InstanceFact::Unknown => return,
        });
    }

    fn contained(&mut self, id: &InstanceId, name: &str) {
        let Some(instance) = self.state.instance_mut(id) else { return };
        if instance.container.as_deref() != Some(name) {
            instance.container = Some(name.into());
            self.changed(id);
        }
    }

    fn running(&mut self, id: &InstanceId) {
        let now = self.now;
        let app = self.state.apps.get(&id.app);
        let has_check = app
            .and_then(|app| app.versions.get(&app.instances.get(&id.number)?.version))
            .is_some_and(|specification| specification.health_grace.is_some());
        let Some(instance) = self.state.instance_mut(id) else { return };
        if !matches!(instance.life, Life::Intended | Life::Launching) {
            return;
        }
        instance.enter(Life::Running, now);
        self.changed(id);
        if !has_check {
            self.healthy(id);
        }
    }

    fn healthy(&mut self, id: &InstanceId) {
        let now = self.now;
        let Some(instance) = self.state.instance_mut(id) else { return };
        if instance.unhealthy_since.take().is_some() {
            self.changed(id);
        }
        let Some(instance) = self.state.instance_mut(id) else { return };
        if matches!(instance.life, Life::Intended | Life::Launching | Life::Running) {
            instance.enter(Life::Registering, now);
            let version = instance.version;
            self.changed(id);
            self.succeeded(&id.app, version);
            self.register(id);
        }
    }

    /// An instance of a version became healthy: the version isn't bad everywhere.
    fn succeeded(&mut self, name: &AppName, version: Version) {
        let Some(app) = self.state.apps.get_mut(name) else { return };
        if let Some(failures) = app.failures.get_mut(&version)
            && failures.all.failures > 0
        {
            failures.all = policy::repair::BackOff::default();
            self.app_changed(name);
        }
    }

    fn unhealthy(&mut self, id: &InstanceId) {
        let now = self.now;
        let Some(instance) = self.state.instance_mut(id) else { return };
        let was_healthy = matches!(instance.life, Life::Registering | Life::Serving { .. });
        if was_healthy && instance.unhealthy_since.is_none() {
            instance.unhealthy_since = Some(now);
            self.changed(id);
        }
    }

    fn registered(&mut self, id: &InstanceId, weight_thousandths: u32) {
        let now = self.now;
        let Some(instance) = self.state.instance_mut(id) else { return };
        match instance.life {
            Life::Registering => {
                instance.enter(Life::Serving { weight_thousandths }, now);
                instance.serving_since = Some(now);
                self.changed(id);
            }
            Life::Serving { weight_thousandths: known } if known != weight_thousandths => {
                instance.life = Life::Serving { weight_thousandths };
                self.changed(id);
            }
            Life::Serving { .. } => {}
            // A registration that was on its way when it was ended.
            Life::CoolingDown | Life::Killing | Life::Sweeping => self.deregister(id),
            Life::Waiting
            | Life::Intended
            | Life::Launching
            | Life::Running
            | Life::Deregistering => {}
        }
    }

    fn deregistered(&mut self, id: &InstanceId) {
        let now = self.now;
        let Some(instance) = self.state.instance_mut(id) else { return };
        match instance.life {
            Life::Deregistering => {
                instance.enter(Life::CoolingDown, now);
                self.changed(id);
            }
            // Whoever knew it has forgotten it.
            Life::Serving { .. } => {
                instance.enter(Life::Registering, now);
                instance.serving_since = None;
                self.changed(id);
                self.register(id);
            }
            Life::Sweeping => {
                let end = instance.end.clone().unwrap_or(End::Lost);
                self.remove(id, end);
            }
            Life::Waiting
            | Life::Intended
            | Life::Launching
            | Life::Running
            | Life::Registering
            | Life::CoolingDown
            | Life::Killing => {}
        }
    }

    fn ended(&mut self, id: &InstanceId, end: End) {
        let Some(instance) = self.state.instance(id) else { return };
        let (life, known) = (instance.life, instance.end.clone());
        if matches!(life, Life::Waiting | Life::Intended | Life::Sweeping) {
            return;
        }
        if known.is_none() && end.is_failure() {
            self.failed(id);
        }
        let end = known.unwrap_or(end);
        let may_be_found =
            matches!(life, Life::Registering | Life::Serving { .. } | Life::Deregistering);
        if !may_be_found {
            return self.remove(id, end);
        }
        self.free_volume(id, &end);
        self.release(id);
        let now = self.now;
        if let Some(instance) = self.state.instance_mut(id) {
            instance.enter(Life::Sweeping, now);
            instance.end = Some(end);
        }
        self.changed(id);
        self.deregister(id);
    }

    /// An instance failed: others of its version wait, most of all there.
    pub(crate) fn failed(&mut self, id: &InstanceId) {
        let (now, rules) = (self.now, self.state.policy.repair);
        let Some(app) = self.state.apps.get_mut(&id.app) else { return };
        let Some(instance) = app.instances.get(&id.number) else { return };
        let failures = app.failures.entry(instance.version).or_default();
        failures.all.failed(&rules, now);
        if let Some(machine) = &instance.machine {
            failures.machines.entry(machine.clone()).or_default().failed(&rules, now);
        }
        if let Some(deployment) = &mut app.deployment
            && deployment.to == instance.version
        {
            deployment.progress.failures = deployment.progress.failures.saturating_add(1);
        }
        self.app_changed(&id.app);
    }
}

//! What was told last of each thing, and what is new in a write.

use std::collections::{BTreeMap, VecDeque};

use policy::Time;
use scheduler_core::State;
use scheduler_core::app::{App, Outcome};
use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::{AppName, InstanceId, MachineName};
use scheduler_core::instance::{Instance, Life};
use scheduler_core::machine::Machine;
use scheduler_core::volume::{Volume, VolumeId};

/// An entry of the journal without its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    pub kind: &'static str,
    pub subject: String,
    pub state: &'static str,
    pub machine: Option<String>,
    pub version: Option<u32>,
    pub text: Option<String>,
}

impl Happening {
    fn new(kind: &'static str, subject: impl ToString, state: &'static str) -> Self {
        let subject = subject.to_string();
        Happening { kind, subject, state, machine: None, version: None, text: None }
    }

    fn text(self, text: impl ToString) -> Self {
        Happening { text: Some(text.to_string()), ..self }
    }
}

/// What is new, in order: the last of it. The upgrade of 100,000 instances is more than anybody keeps.
#[derive(Debug)]
pub struct News {
    /// The last ones.
    pub last: VecDeque<Happening>,
    /// How many there were before.
    pub before: u64,
    most: usize,
}

impl News {
    fn push(&mut self, happening: Happening) {
        if self.last.len() >= self.most && self.last.pop_front().is_some() {
            self.before += 1;
        }
        self.last.push_back(happening);
    }
}

/// What was told last of each thing.
#[derive(Debug, Default)]
pub struct Known {
    instances: BTreeMap<AppName, BTreeMap<u64, &'static str>>,
    apps: BTreeMap<AppName, KnownApp>,
    machines: BTreeMap<MachineName, &'static str>,
    volumes: BTreeMap<VolumeId, VolumeState>,
    is_frozen: bool,
}

/// What becomes of a set of volumes, and the number of the instance that has it.
type VolumeState = (&'static str, Option<u64>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct KnownApp {
    wanted: u32,
    /// The number of the last deployment.
    deployment: u32,
    /// The number of the last deployment that ended.
    ended: u32,
    is_deleted: bool,
    /// When the last rebalance began, and whether it has ended.
    rebalance: Option<(Time, bool)>,
}

impl Known {
    /// As if all of a state had been told.
    pub fn of(state: &State) -> Self {
        let mut known = Known::default();
        for (name, app) in state.apps() {
            known.apps.insert(name.clone(), known_app(app));
            let states = app.instances.iter().map(|(number, one)| (*number, instance_state(one)));
            known.instances.insert(name.clone(), states.collect());
        }
        for (name, machine) in state.machines() {
            known.machines.insert(name.clone(), machine_state(machine));
        }
        known.volumes = state.volumes().iter().map(|(id, one)| (id, volume_state(one))).collect();
        known
    }

    /// What is new in a write, at most so much. Deployments begin before their instances and end after
    /// them.
    pub fn learn(&mut self, write: &Write, most: usize) -> News {
        let apps = write.changes.iter().filter_map(|(key, record)| match (key, record) {
            (Key::App(name), Some(Record::App(app))) => Some((name.clone(), app.as_ref())),
            _ => None,
        });
        let apps: BTreeMap<AppName, &App> = apps.collect();
        let news = || News { last: VecDeque::new(), before: 0, most };
        let (mut happened, mut ended) = (news(), news());
        for (name, app) in &apps {
            self.app(name, app, &mut happened, &mut ended);
        }
        for (key, record) in &write.changes {
            match (key, record) {
                (Key::Machine(name), Some(Record::Machine(machine))) => {
                    self.machine(name, Some(machine), &mut happened);
                }
                (Key::Machine(name), None) => self.machine(name, None, &mut happened),
                (Key::App(name), None) => {
                    let known = self.apps.remove(name);
                    if known.is_some() {
                        ended.push(Happening::new("app", name, "gone"));
                    }
                }
                (Key::Instance(id), Some(Record::Instance(instance))) => {
                    self.instance(id, instance, &mut happened);
                }
                (Key::Instance(id), None) => {
                    let known = self.forget(id);
                    if known.is_some() {
                        happened.push(gone(id, apps.get(&id.app).copied()));
                    }
                }
                (Key::Volume(id), Some(Record::Volume(volume))) => {
                    self.volume(id, volume, &mut happened);
                }
                (Key::Volume(id), None) => {
                    let known = self.volumes.remove(id);
                    if known.is_some() {
                        happened.push(Happening::new("volume", id, "gone"));
                    }
                }
                (Key::Cluster, Some(Record::Cluster(cluster))) => {
                    let is_frozen = cluster.repair.frozen_since.is_some();
                    if is_frozen != self.is_frozen {
                        self.is_frozen = is_frozen;
                        let state = if is_frozen { "stopped" } else { "goes-on" };
                        happened.push(Happening::new("repair", "cluster", state));
                    }
                }
                _ => {}
            }
        }
        happened.before += ended.before;
        ended.last.into_iter().for_each(|happening| happened.push(happening));
        happened
    }

    /// An instance is gone; what was told of it last.
    fn forget(&mut self, id: &InstanceId) -> Option<&'static str> {
        let of_app = self.instances.get_mut(&id.app)?;
        let known = of_app.remove(&id.number);
        if of_app.is_empty() {
            self.instances.remove(&id.app);
        }
        known
    }

    fn volume(&mut self, id: &VolumeId, volume: &Volume, happened: &mut News) {
        let state = volume_state(volume);
        if self.volumes.insert(id.clone(), state) == Some(state) {
            return;
        }
        let (state, user) = state;
        let machine = Some(volume.machine.to_string());
        let happening = Happening { machine, ..Happening::new("volume", id, state) };
        happened.push(match user {
            Some(number) => {
                happening.text(format!("by {}", InstanceId { app: id.0.app.clone(), number }))
            }
            None => happening,
        });
    }

    fn machine(&mut self, name: &MachineName, machine: Option<&Machine>, happened: &mut News) {
        let state = machine.map_or("gone", machine_state);
        let before = match machine {
            Some(_) => self.machines.insert(name.clone(), state),
            None => self.machines.remove(name),
        };
        if before != Some(state) {
            happened.push(Happening::new("machine", name, state));
        }
    }

    fn app(&mut self, name: &AppName, app: &App, happened: &mut News, ended: &mut News) {
        let after = known_app(app);
        let before = self.apps.insert(name.clone(), after).unwrap_or_default();
        for one in app.history.iter().filter(|one| one.number > before.ended) {
            let state = match one.outcome {
                Outcome::Done => "done",
                Outcome::Superseded => "superseded",
                Outcome::Failed(_) => "failed",
                Outcome::Deleted => "deleted",
            };
            let happening = Happening::new("deployment", name, state);
            ended.push(Happening { version: Some(one.to.0), ..happening }.text(one.outcome));
        }
        if let Some(deployment) = &app.deployment
            && deployment.number > before.deployment
        {
            let happening = Happening::new("deployment", name, "begun");
            let version = Some(deployment.to.0);
            happened.push(Happening { version, ..happening }.text(deployment.cause));
        }
        if let (Some(scaled), true) = (&app.scaled, before.wanted != after.wanted) {
            let text = format!("from {} to {}: {}", scaled.from, scaled.to, scaled.why);
            happened.push(Happening::new("app", name, "scaled").text(text));
        }
        if let (Some(rebalance), true) = (&app.rebalance, before.rebalance != after.rebalance) {
            let ((done, _, skipped), all) = (rebalance.counts(), rebalance.moves.len());
            let (state, text) = match rebalance.ended {
                None => ("spreads-again", format!("{all} will move")),
                Some((_, how)) => {
                    ("spread-again", format!("{how}: {done} of {all} moved, {skipped} left out"))
                }
            };
            happened.push(Happening::new("app", name, state).text(text));
        }
        if after.is_deleted && !before.is_deleted {
            happened.push(Happening::new("app", name, "deleting"));
        }
    }

    fn instance(&mut self, id: &InstanceId, instance: &Instance, happened: &mut News) {
        let state = instance_state(instance);
        let of_app = match self.instances.get_mut(&id.app) {
            Some(of_app) => of_app,
            None => self.instances.entry(id.app.clone()).or_default(),
        };
        if of_app.insert(id.number, state) == Some(state) {
            return;
        }
        let happening = Happening {
            machine: instance.machine.as_ref().map(ToString::to_string),
            version: Some(instance.version.0),
            ..Happening::new("instance", id, state)
        };
        let is_told = instance.life.is_stopping() || instance.life == Life::Sweeping;
        happened.push(match instance.end.as_ref().filter(|_| is_told) {
            Some(end) => happening.text(end),
            None => happening,
        });
    }
}

/// An instance that is gone, and how it ended, if its app says so.
fn gone(id: &InstanceId, app: Option<&App>) -> Happening {
    let happening = Happening::new("instance", id, "gone");
    let end = app.and_then(|app| app.gone.iter().rev().find(|gone| gone.number == id.number));
    let Some(gone) = end else { return happening };
    Happening {
        machine: gone.machine.as_ref().map(ToString::to_string),
        version: Some(gone.version.0),
        ..happening
    }
    .text(&gone.end)
}

/// Where it stands, and whether it serves without being healthy.
const fn instance_state(instance: &Instance) -> &'static str {
    match instance.life {
        Life::Registering | Life::Serving { .. } if instance.is_unhealthy() => "unhealthy",
        life => life.name(),
    }
}

fn known_app(app: &App) -> KnownApp {
    KnownApp {
        wanted: app.wanted,
        deployment: app.deployments_made,
        ended: app.history.last().map_or(0, |ended| ended.number),
        is_deleted: app.is_deleted,
        rebalance: app.rebalance.as_ref().map(|one| (one.begun, !one.is_running())),
    }
}

const fn volume_state(volume: &Volume) -> VolumeState {
    match (volume.is_ending, volume.user) {
        (true, _) => ("ending", None),
        (false, None) => ("kept", None),
        (false, user) => ("used", user),
    }
}

const fn machine_state(machine: &Machine) -> &'static str {
    match (machine.silent_since.is_some(), machine.is_emptied()) {
        (true, _) => "silent",
        (false, true) => "draining",
        (false, false) => "up",
    }
}

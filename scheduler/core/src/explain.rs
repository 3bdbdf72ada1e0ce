//! Why things are as they are, for people: why an instance waits, machine by machine, why it is
//! where it is, why an app has as many as it has, and what an upgrade waits for.

use std::collections::BTreeMap;
use std::fmt;

use policy::repair::Verdict;
use policy::rollout::Hold;
use policy::{Nanoseconds, Time};
use serde::Serialize;

use crate::app::{App, Bounds, Deployment, Ended, Scaled};
use crate::ids::{AppName, InstanceId, MachineName, Version};
use crate::instance::{End, Gone, Instance, Life, Placed, Wait};
use crate::place::{Exclusion, Wanted};
use crate::rebalance::Rebalance;
use crate::state::State;
use crate::volume::VolumeId;

/// Waiting instances of an app that are explained one by one; the others wait for the same.
pub const WAITING_TOLD_MOST: usize = 5;

/// Machines that are named for a reason; of the others only the number is told.
const MACHINES_TOLD_MOST: usize = 3;

/// Why an instance is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceExplanation {
    /// Which one.
    pub instance: InstanceId,
    /// Where it stands; absent if it is gone.
    pub life: Option<Life>,
    /// For how long.
    pub since: Nanoseconds,
    /// Its machine.
    pub machine: Option<MachineName>,
    /// Why it was put there.
    pub placed: Option<Placed>,
    /// Why it has no machine.
    pub wait: Option<Wait>,
    /// How long it waits still at least, if it waits for a time.
    pub left: Nanoseconds,
    /// For one without a machine: what excludes which machine.
    pub excluded: BTreeMap<MachineName, Exclusion>,
    /// Why it ends, or ended.
    pub end: Option<End>,
    /// For how long it hasn't been healthy.
    pub unhealthy_for: Option<Nanoseconds>,
    /// Its machine has been silent for so long that another one has taken its place.
    pub is_replaced: bool,
    /// Its volumes, where these are, and why that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<(VolumeId, MachineName, Option<VolumeTrouble>)>,
}

/// Why an instance is held by its volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeTrouble {
    /// Nobody knows their machine any more.
    MachineGone,
    /// Nothing is heard of their machine.
    MachineSilent,
    /// Their machine is drained or will be taken away; it stays.
    MachineEmptied,
}

/// Why an app isn't scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unscaled {
    /// Nobody has said what it has to do.
    LoadUnknown,
    /// What it has to do was last said so long ago.
    LoadStale(Nanoseconds),
}

/// Why an app is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppExplanation {
    /// Which one.
    pub app: AppName,
    /// The version that all should have, and what its maker calls it.
    pub target: (Version, String),
    /// How many there should be.
    pub wanted: u32,
    /// Between how many.
    pub bounds: Bounds,
    /// How many there are, by where they stand.
    pub lives: BTreeMap<&'static str, u32>,
    /// Why it isn't scaled, although it could be.
    pub unscaled: Option<Unscaled>,
    /// When and why it was last scaled.
    pub scaled: Option<Scaled>,
    /// What is being rolled out.
    pub deployment: Option<Deployment>,
    /// How the last deployment ended.
    pub last: Option<Ended>,
    /// Instances that move for the sake of evenness.
    pub rebalance: Option<Rebalance>,
    /// Why something that must leave still stays.
    pub hold: Option<Hold>,
    /// Repair is stopped.
    pub freeze: Verdict,
    /// Some of those without a machine.
    pub waiting: Vec<InstanceExplanation>,
    /// The last ones that are gone.
    pub gone: Vec<Gone>,
    /// The time of the explanation.
    pub now: Time,
}

/// Why an instance is as it is; none if it isn't known any more.
#[must_use]
pub fn instance(state: &State, id: &InstanceId, now: Time) -> Option<InstanceExplanation> {
    let app = state.apps.get(&id.app)?;
    let Some(instance) = app.instances.get(&id.number) else {
        let gone = app.gone.iter().find(|gone| gone.number == id.number)?;
        return Some(InstanceExplanation {
            instance: id.clone(),
            life: None,
            since: now.since(gone.at),
            machine: gone.machine.clone(),
            placed: None,
            wait: None,
            left: Nanoseconds::ZERO,
            excluded: BTreeMap::new(),
            end: Some(gone.end.clone()),
            unhealthy_for: None,
            is_replaced: false,
            volume: None,
        });
    };
    let left = match instance.wait {
        Some(Wait::BackOff(until)) => until.since(now),
        Some(Wait::NoMachine) | None => Nanoseconds::ZERO,
    };
    Some(InstanceExplanation {
        instance: id.clone(),
        life: Some(instance.life),
        since: now.since(instance.since),
        machine: instance.machine.clone(),
        placed: instance.placed,
        wait: instance.wait,
        left,
        excluded: excluded(state, id, instance, now),
        end: instance.end.clone(),
        unhealthy_for: instance.unhealthy_since.map(|since| now.since(since)),
        is_replaced: instance.is_replaced,
        volume: volume(state, id),
    })
}

fn volume(
    state: &State,
    id: &InstanceId,
) -> Option<(VolumeId, MachineName, Option<VolumeTrouble>)> {
    let (volume, own) = state.volumes.of(id)?;
    let trouble = match state.machines.get(&own.machine) {
        None => Some(VolumeTrouble::MachineGone),
        Some(machine) if machine.silent_since.is_some() => Some(VolumeTrouble::MachineSilent),
        Some(machine) => machine.is_emptied().then_some(VolumeTrouble::MachineEmptied),
    };
    Some((volume, own.machine.clone(), trouble))
}

fn excluded(
    state: &State,
    id: &InstanceId,
    instance: &Instance,
    now: Time,
) -> BTreeMap<MachineName, Exclusion> {
    let mut excluded = BTreeMap::new();
    let Some(app) = state.apps.get(&id.app) else { return excluded };
    let Some(specification) = app.versions.get(&instance.version) else { return excluded };
    if instance.life != Life::Waiting {
        return excluded;
    }
    let (version, named) = (instance.version, instance.named.as_ref());
    let own = state.volumes.of(id);
    let volumes = own.as_ref().map(|(_, volume)| &volume.machine);
    let reserved = own.as_ref().map(|(_, volume)| volume.held()).unwrap_or_default();
    let wanted = Wanted { app, version, specification, named, volumes, reserved };
    for (name, machine) in &state.machines {
        let count = state.count_on(app, name);
        if let Some(exclusion) = state.exclusion(&wanted, name, machine, count, now) {
            excluded.insert(name.clone(), exclusion);
        }
    }
    excluded
}

fn unscaled(app: &App, now: Time) -> Option<Unscaled> {
    let is_scaled = app.bounds.min < app.bounds.max && !app.is_deleted;
    if !is_scaled || app.fresh_load(now).is_some() {
        return None;
    }
    let stale = app.load.map(|seen| Unscaled::LoadStale(now.since(seen.at)));
    Some(stale.unwrap_or(Unscaled::LoadUnknown))
}

/// Why an app is as it is; none if there is no such app.
#[must_use]
pub fn app(state: &State, name: &AppName, now: Time) -> Option<AppExplanation> {
    let app = state.apps.get(name)?;
    let mut lives = BTreeMap::new();
    for instance in app.instances.values() {
        *lives.entry(instance.life.name()).or_insert(0) += 1;
    }
    let waiting = app
        .instances
        .iter()
        .filter(|(_, one)| one.life == Life::Waiting)
        .take(WAITING_TOLD_MOST)
        .filter_map(|(number, _)| {
            instance(state, &InstanceId { app: name.clone(), number: *number }, now)
        })
        .collect();
    let label = app.specification().map(|one| one.label.clone()).unwrap_or_default();
    Some(AppExplanation {
        app: name.clone(),
        target: (app.target, label),
        wanted: if app.is_deleted { 0 } else { app.wanted },
        bounds: app.bounds,
        lives,
        unscaled: unscaled(app, now),
        scaled: app.scaled,
        deployment: app.deployment.clone(),
        last: app.history.last().cloned(),
        rebalance: app.rebalance.clone().filter(Rebalance::is_running),
        hold: app.hold,
        freeze: state.freeze,
        waiting,
        gone: app.gone.clone(),
        now,
    })
}

impl fmt::Display for InstanceExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InstanceExplanation { instance, since, .. } = self;
        let Some(life) = self.life else {
            write!(f, "{instance} ended {since} ago")?;
            return self.end.iter().try_for_each(|end| write!(f, ": {end}"));
        };
        write!(f, "{instance} has been {} for {since}", life.name())?;
        if let Some(machine) = &self.machine {
            write!(f, " on {machine}")?;
        }
        if let Some(placed) = self.placed {
            write!(
                f,
                "\n  placed there: of the machines that could take it one with the fewest of the \
                 app ({}) and of these the most free cores ({})",
                placed.same_app,
                f64::from(placed.free_millicores) / 1000.0
            )?;
        }
        match self.wait {
            Some(Wait::BackOff(_)) => {
                write!(f, "\n  instances of its version failed; it waits {} more", self.left)?;
            }
            Some(Wait::NoMachine) if self.excluded.is_empty() => {
                f.write_str("\n  there is no machine")?;
            }
            Some(Wait::NoMachine) => {
                write!(f, "\n  none of {} machines can take it", self.excluded.len())?;
                reasons(f, &self.excluded)?;
            }
            None => {}
        }
        if let Some(length) = self.unhealthy_for {
            write!(f, "\n  not healthy for {length}")?;
        }
        if let Some((volume, machine, trouble)) = &self.volume {
            write!(f, "\n  its volume {volume} is on {machine}")?;
            match trouble {
                Some(VolumeTrouble::MachineGone) => {
                    write!(f, ", which is gone; `volume delete {volume}` gives it up")?;
                }
                Some(VolumeTrouble::MachineSilent) => {
                    write!(f, ": it waits for {machine}, of which nothing is heard")?;
                }
                Some(VolumeTrouble::MachineEmptied) => {
                    f.write_str(", which is drained; volumes don't move, so it stays there")?;
                }
                None => {}
            }
        }
        if self.is_replaced {
            f.write_str("\n  its machine is silent: another one has taken its place")?;
        }
        self.end.iter().try_for_each(|end| write!(f, "\n  it ends: {end}"))
    }
}

/// Machines by what excludes them, the most frequent reason first.
fn reasons(f: &mut fmt::Formatter<'_>, excluded: &BTreeMap<MachineName, Exclusion>) -> fmt::Result {
    let mut by_reason: BTreeMap<String, Vec<&MachineName>> = BTreeMap::new();
    for (machine, exclusion) in excluded {
        by_reason.entry(exclusion.to_string()).or_default().push(machine);
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, machines)| std::cmp::Reverse(machines.len()));
    for (reason, machines) in by_reason {
        let told: Vec<&str> =
            machines.iter().take(MACHINES_TOLD_MOST).map(|name| name.as_str()).collect();
        write!(f, "\n    {reason}: {}", told.join(", "))?;
        if machines.len() > told.len() {
            write!(f, " and {} more", machines.len() - told.len())?;
        }
    }
    Ok(())
}

impl fmt::Display for AppExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, label) = &self.target;
        let Bounds { min, max } = self.bounds;
        write!(f, "{} {version} ({label}): {} wanted, {min} to {max}", self.app, self.wanted)?;
        for (life, count) in &self.lives {
            write!(f, ", {count} {life}")?;
        }
        if let Some(Scaled { at, from, to, why }) = &self.scaled {
            let ago = self.now.since(*at);
            write!(f, "\n  scaled from {from} to {to} {ago} ago: {why}")?;
        }
        match self.unscaled {
            Some(Unscaled::LoadUnknown) => {
                f.write_str("\n  not scaled: nobody has said what it has to do")?;
            }
            Some(Unscaled::LoadStale(ago)) => {
                write!(f, "\n  not scaled: what it has to do was last said {ago} ago")?;
            }
            None => {}
        }
        if let Some(deployment) = &self.deployment {
            let Deployment { number, from, to, cause, begun, stalled, .. } = deployment;
            let (length, still) =
                (self.now.since(*begun), self.now.since(deployment.progress.since));
            write!(f, "\n  deployment {number} to {to}")?;
            if let Some(from) = from {
                write!(f, " from {from}")?;
            }
            write!(f, " for {length}, no progress for {still}: {cause}")?;
            if let Some(why) = stalled {
                write!(
                    f,
                    "\n  it stands still ({why}), with nothing to go back to; it goes on trying"
                )?;
            }
        } else if let Some(Ended { number, to, outcome, .. }) = &self.last {
            write!(f, "\n  last deployment {number} to {to}: {outcome}")?;
        }
        if let Some(rebalance) = &self.rebalance {
            let ((done, moving, skipped), all) = (rebalance.counts(), rebalance.moves.len());
            let length = self.now.since(rebalance.begun);
            write!(f, "\n  spread again for {length}: {done} of {all} moved, {moving} moving")?;
            if skipped > 0 {
                write!(f, ", {skipped} left out")?;
            }
        }
        if let Some(hold) = self.hold {
            write!(f, "\n  waits: {hold}")?;
        }
        if self.freeze != Verdict::Go {
            write!(f, "\n  {}", self.freeze)?;
        }
        self.waiting.iter().try_for_each(|one| write!(f, "\n{one}"))
    }
}

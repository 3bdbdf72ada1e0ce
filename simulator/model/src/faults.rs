//! What fails: machines at given times, and machines, racks and single instances by chance. Machines
//! can also be slow for a while.
//!
//! Faults by chance depend on the seed and on what fails, on nothing else: no policy shifts them.
//! Those of machines are drawn before a run begins; when an instance crashes depends on when it
//! became ready, which policies decide, but not for how long it then runs.

use std::collections::BTreeMap;

use policy::repair::{BackOff, Repair};
use policy::{Nanoseconds, Purpose, Time, Words};
use simulator_kernel::Law;

use crate::Model;
use crate::life::Control;

/// A machine fails or is slow for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which, counted from 0.
    pub machine: u32,
    /// When.
    pub at: Time,
    /// When it is as before; later than `at`.
    pub repaired: Time,
    /// What it is.
    pub effect: Effect,
}

/// What a fault does to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// What waits there or is worked on fails with it. When it is back, as many instances of each
    /// app start there as it has lost, apart from those that were to leave.
    Fails,
    /// Work that begins there takes so much longer, in thousandths of its time; of several such
    /// faults the worst counts. What has begun isn't slowed down or hastened.
    Slows(u32),
}

/// Faults of machines or racks by chance: each fails, is repaired, and fails again.
#[derive(Debug, Clone, PartialEq)]
pub struct Chance {
    /// Racks, so many of them (machine m stands in rack m modulo this); if none, each machine for
    /// itself.
    pub racks: Option<u32>,
    /// From the beginning of the run, or the last repair, to the fault.
    pub between: Law,
    /// How long it lasts.
    pub lasts: Law,
    /// What it does.
    pub effect: Effect,
}

/// Instances that end by themselves, by chance.
#[derive(Debug, Clone, PartialEq)]
pub struct Crashes {
    /// Of this app, as a place in [`Model::apps`]; of all if absent.
    pub app: Option<usize>,
    /// From the time at which an instance is ready, or the beginning of the run, to its end.
    pub after: Law,
}

/// One instance that ends by itself at a given time: the first one of an app on a machine, if there
/// is any that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// The app, as a place in [`Model::apps`].
    pub app: usize,
    /// The machine.
    pub machine: u32,
    /// When.
    pub at: Time,
}

/// All faults of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Of machines, at given times.
    pub machines: Vec<Fault>,
    /// Of instances, at given times.
    pub instances: Vec<Crash>,
    /// Of machines, by chance.
    pub chances: Vec<Chance>,
    /// Of instances, by chance.
    pub crashes: Vec<Crashes>,
    /// How restarts are held back.
    pub repair: Repair,
}

/// Something failed, or is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// A machine has failed.
    Failed {
        /// Which.
        machine: u32,
    },
    /// A machine is back.
    Repaired {
        /// Which.
        machine: u32,
    },
    /// How slow a machine is has changed.
    Slow {
        /// Which.
        machine: u32,
        /// How much longer work takes there from now on, in thousandths of its time.
        slowdown: u32,
    },
    /// An app has lost instances.
    Lost(Lost),
}

/// What an app has lost at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The app, as a place in [`Model::apps`].
    pub app: usize,
    /// Where.
    pub machine: u32,
    /// With what.
    pub cause: Cause,
    /// Instances that were ready, started, or were to leave.
    pub instances: u32,
    /// Of those the ones that could have taken new requests.
    pub ready: u32,
    /// Requests that failed with them.
    pub requests: u32,
}

/// What instances are lost with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Their machine failed.
    Machine,
    /// An instance ended by itself; another one starts in its place after `wait`.
    Crash {
        /// How long the start is held back.
        wait: Nanoseconds,
    },
    /// A scheduler asked an instance to end, and its grace was over.
    Killed,
    /// The last instance of a queue was gone, by no fault: it had left, or its start was called off.
    /// What still waited had nobody to wait for.
    Left,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            machines: Vec::new(),
            instances: Vec::new(),
            chances: Vec::new(),
            crashes: Vec::new(),
            repair: policy::config::Policy::recommended().repair,
        }
    }
}

impl Faults {
    /// Whether nothing fails.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.machines.is_empty()
            && self.instances.is_empty()
            && self.chances.is_empty()
            && self.crashes.is_empty()
    }

    /// Those of machines and instances that are known before the run begins, as events.
    pub(crate) fn planned(&self, model: &Model) -> Vec<(Time, Control)> {
        let mut planned = Vec::new();
        let drawn = self.chances.iter().enumerate().flat_map(|(place, chance)| {
            let words = |entity: u32| {
                Words::new(model.seed, Purpose::Fault, (place as u64) << 32 | u64::from(entity))
            };
            chance.faults(model, words)
        });
        // A machine without instances has nothing that could fail.
        let machines = machines(model);
        let faults = self.machines.iter().copied().chain(drawn);
        for fault in faults.filter(|fault| fault.machine < machines) {
            let Fault { machine, at, repaired, effect } = fault;
            let (begins, ends) = match effect {
                Effect::Fails => (Control::Failed { machine }, Control::Repaired { machine }),
                Effect::Slows(slowdown) => {
                    (Control::Slowed { machine, slowdown }, Control::Eased { machine, slowdown })
                }
            };
            planned.extend([(at, begins), (repaired, ends)]);
        }
        for Crash { app, machine, at } in self.instances.iter().copied() {
            planned.push((at, Control::CrashOn { app, machine }));
        }
        planned
    }

    /// When an instance ends by itself that is ready now; never after the last arrival.
    pub(crate) fn crash_at(
        &self,
        model: &Model,
        app: usize,
        instance: u32,
        now: Time,
    ) -> Option<Time> {
        let draw = |(place, crashes): (usize, &Crashes)| {
            let part = (place as u64) << 32 | app as u64;
            let words = Words::new(model.seed, Purpose::Crash, part);
            now + crashes.after.sample(words.at(u64::from(instance))).max(Nanoseconds(1))
        };
        let known = self.crashes.iter().enumerate();
        let of_app = known.filter(|(_, crashes)| crashes.app.is_none_or(|known| known == app));
        of_app.map(draw).min().filter(|at| at.0 < model.duration.0)
    }
}

impl Chance {
    /// The faults up to the end of a run.
    fn faults(&self, model: &Model, words: impl Fn(u32) -> Words) -> Vec<Fault> {
        let machines = machines(model);
        let mut faults = Vec::new();
        for entity in 0..self.racks.map_or(machines, |racks| racks.max(1)) {
            let (words, mut at, mut number) = (words(entity), Time::ZERO, 0);
            loop {
                // A nanosecond at least: time goes on.
                at = at + self.between.sample(words.at(number)).max(Nanoseconds(1));
                if at.0 >= model.duration.0 {
                    break;
                }
                let repaired = at + self.lasts.sample(words.at(number + 1)).max(Nanoseconds(1));
                let fault = |machine| Fault { machine, at, repaired, effect: self.effect };
                match self.racks {
                    None => faults.push(fault(entity)),
                    Some(racks) => {
                        let stands = |machine: &u32| machine % racks.max(1) == entity;
                        faults.extend((0..machines).filter(stands).map(fault));
                    }
                }
                (at, number) = (repaired, number + 2);
            }
        }
        faults
    }
}

/// Machines that have instances.
fn machines(model: &Model) -> u32 {
    model.apps.iter().map(|app| app.machines).max().unwrap_or(0)
}

/// Work that takes so much longer, in thousandths of its time.
#[must_use]
pub(crate) fn slower(service: Nanoseconds, slowdown: u32) -> Nanoseconds {
    let more = u128::from(service.0) * u128::from(slowdown) / 1000;
    Nanoseconds(service.0.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)))
}

/// Work that takes so many thousandths of its time.
#[must_use]
pub(crate) fn scaled(service: Nanoseconds, thousandths: u32) -> Nanoseconds {
    let time = u128::from(service.0) * u128::from(thousandths) / 1000;
    Nanoseconds(u64::try_from(time).unwrap_or(u64::MAX).max(1))
}

/// How slow each machine is at the moment.
#[derive(Debug, Default)]
pub(crate) struct Slow {
    now: BTreeMap<u32, Vec<u32>>,
}

impl Slow {
    /// How much longer work takes there that begins now.
    pub(crate) fn at(&self, machine: u32) -> u32 {
        self.now.get(&machine).and_then(|known| known.iter().max()).copied().unwrap_or(0)
    }

    pub(crate) fn is_anywhere(&self) -> bool {
        !self.now.is_empty()
    }

    pub(crate) fn begin(&mut self, machine: u32, slowdown: u32) {
        self.now.entry(machine).or_default().push(slowdown);
    }

    pub(crate) fn end(&mut self, machine: u32, slowdown: u32) {
        let Some(known) = self.now.get_mut(&machine) else { return };
        if let Some(place) = known.iter().position(|one| *one == slowdown) {
            known.swap_remove(place);
        }
        if known.is_empty() {
            self.now.remove(&machine);
        }
    }
}

/// What is remembered of the crashes of each app on each machine.
#[derive(Debug, Default)]
pub(crate) struct BackOffs {
    known: BTreeMap<(usize, u32), BackOff>,
}

impl BackOffs {
    /// An instance has crashed; how long the start of another one waits.
    pub(crate) fn failed(
        &mut self,
        rules: &Repair,
        app: usize,
        machine: u32,
        now: Time,
    ) -> Nanoseconds {
        let back_off = self.known.entry((app, machine)).or_default();
        back_off.failed(rules, now);
        back_off.left(rules, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::tests::model;

    fn chance(racks: Option<u32>) -> Chance {
        let mean = 200_000_000.0;
        Chance {
            racks,
            between: Law::Exponential { mean },
            lasts: Law::Constant(Nanoseconds(50_000_000)),
            effect: Effect::Fails,
        }
    }

    fn planned(faults: &Faults, seed: u64) -> Vec<(Time, Control)> {
        let mut model = model(1_000);
        model.seed = seed;
        model.duration = Nanoseconds(100_000_000_000);
        faults.planned(&model)
    }

    #[test]
    fn mean_times_between_faults_are_those_of_the_law() {
        let faults = Faults { chances: vec![chance(None)], ..Faults::default() };
        let machines = u32::try_from(
            planned(&faults, 1)
                .iter()
                .filter_map(|(_, control)| match control {
                    Control::Failed { machine } => Some(*machine),
                    _ => None,
                })
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
        )
        .unwrap();
        let failed =
            planned(&faults, 1).iter().filter(|(_, c)| matches!(c, Control::Failed { .. })).count();
        // 100 s hold 400 cycles of 250 ms on average for each machine, give or take 5 % of four
        // standard deviations.
        let expected = f64::from(machines) * 400.0;
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let error = (failed as f64 / expected - 1.0).abs();
        assert!(machines > 0 && error < 0.15, "{failed} faults of {machines} machines");
        assert_ne!(planned(&faults, 1), planned(&faults, 2));
        assert_eq!(planned(&faults, 3), planned(&faults, 3));
    }

    #[test]
    fn racks_fail_together() {
        let faults = Faults { chances: vec![chance(Some(1))], ..Faults::default() };
        let mut at: BTreeMap<Time, Vec<u32>> = BTreeMap::new();
        for (time, control) in planned(&faults, 1) {
            if let Control::Failed { machine } = control {
                at.entry(time).or_default().push(machine);
            }
        }
        let all = model(1_000).apps.iter().map(|app| app.machines).max().unwrap();
        assert!(!at.is_empty());
        assert!(at.values().all(|machines| *machines == (0..all).collect::<Vec<_>>()));
    }

    #[test]
    fn the_worst_slowdown_counts() {
        let mut slow = Slow::default();
        slow.begin(3, 500);
        slow.begin(3, 2000);
        slow.begin(3, 500);
        assert_eq!((slow.at(3), slow.at(4)), (2000, 0));
        slow.end(3, 2000);
        assert_eq!(slow.at(3), 500);
        slow.end(3, 500);
        slow.end(3, 500);
        assert!(!slow.is_anywhere());
        assert_eq!(slower(Nanoseconds(100), 2000), Nanoseconds(300));
    }

    #[test]
    fn restarts_wait_longer_and_longer() {
        let rules = Faults::default().repair;
        let mut back_offs = BackOffs::default();
        let mut now = Time::ZERO;
        let mut waits = Vec::new();
        for _ in 0..4 {
            let wait = back_offs.failed(&rules, 0, 1, now);
            waits.push(wait.0 / rules.back_off.0);
            now = now + wait + Nanoseconds(1);
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        assert_eq!(back_offs.failed(&rules, 0, 2, now), rules.back_off, "another machine");
    }
}

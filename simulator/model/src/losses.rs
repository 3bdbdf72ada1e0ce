//! What faults have cost an app: instances and requests, and how long it took until as many
//! instances were ready as before.

use policy::Time;
use policy::scaling::Action;
use simulator_kernel::Summary;

use crate::faults::{Cause, Lost};
use crate::outcome::Instances;

/// What an app has lost within the reported window, by cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Losses {
    /// With machines that failed.
    pub machines: Toll,
    /// By instances that ended by themselves.
    pub crashes: Toll,
    /// By instances that were made to end while they worked, or while requests waited that nobody
    /// else would take.
    pub killed: Toll,
    /// Instances that were ready, and those it had before each loss that isn't made up for yet.
    present: u32,
    /// Instances that the scheduler wants, if there is one: those beyond are no loss.
    wanted: Option<u32>,
    open: Vec<Open>,
}

/// Losses of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toll {
    /// How often.
    pub incidents: u64,
    /// Instances that were lost.
    pub instances: u64,
    /// Requests that failed with them.
    pub requests: u64,
    /// From each loss until as many instances were ready as before, or as the scaling rule then
    /// wanted; what was lost at one instant was lost once.
    pub recovery: Summary,
}

/// A loss that isn't made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    since: Time,
    is_crash: bool,
    /// Instances that were ready before, or fewer if the scaling rule has taken some away since.
    wanted: u32,
}

impl Toll {
    fn merge(&mut self, other: &Toll) {
        self.incidents += other.incidents;
        self.instances += other.instances;
        self.requests += other.requests;
        self.recovery.merge(&other.recovery);
    }
}

impl Losses {
    /// Of an app that has these instances in the beginning.
    pub(crate) fn new(present: Instances) -> Self {
        Losses { present: present.ready, ..Losses::default() }
    }

    /// Whether anything was lost.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.machines.incidents == 0 && self.crashes.incidents == 0 && self.killed.incidents == 0
    }

    /// Losses that were not made up for until the end, in all runs.
    #[must_use]
    pub const fn unrecovered(&self) -> usize {
        self.open.len()
    }

    /// Something was lost within the window.
    pub(crate) fn lose(&mut self, at: Time, lost: Lost) {
        let is_crash = matches!(lost.cause, Cause::Crash { .. });
        let toll = match lost.cause {
            Cause::Machine => &mut self.machines,
            Cause::Crash { .. } => &mut self.crashes,
            Cause::Killed | Cause::Left => &mut self.killed,
        };
        toll.incidents += 1;
        toll.instances += u64::from(lost.instances);
        toll.requests += u64::from(lost.requests);
        let is_known =
            self.open.last().is_some_and(|open| open.since == at && open.is_crash == is_crash);
        if lost.ready > 0 && !is_known {
            let wanted = self.present.min(self.wanted.unwrap_or(u32::MAX));
            self.open.push(Open { since: at, is_crash, wanted });
        }
    }

    pub(crate) fn change(&mut self, at: Time, instances: Instances) {
        self.present = instances.ready;
        if self.open.is_empty() {
            return;
        }
        let Losses { machines, crashes, open, .. } = self;
        open.retain(|one| {
            let is_open = instances.ready < one.wanted;
            if !is_open {
                let toll = if one.is_crash { &mut *crashes } else { &mut *machines };
                toll.recovery.record(at.since(one.since));
            }
            is_open
        });
    }

    /// The scaling rule has decided: what it takes away isn't wanted back.
    pub(crate) fn decide(&mut self, instances: u32, action: Action) {
        if let Action::Remove(count, _) = action {
            let wanted = instances.saturating_sub(count);
            self.open.iter_mut().for_each(|open| open.wanted = open.wanted.min(wanted));
        }
    }

    /// The scheduler wants so many.
    pub(crate) fn want(&mut self, wanted: u32) {
        self.wanted = Some(wanted);
        self.open.iter_mut().for_each(|open| open.wanted = open.wanted.min(wanted));
    }

    pub(crate) fn merge(&mut self, other: &Losses) {
        self.machines.merge(&other.machines);
        self.crashes.merge(&other.crashes);
        self.killed.merge(&other.killed);
        self.open.extend(&other.open);
    }
}

#[cfg(test)]
mod tests {
    use policy::Nanoseconds;
    use policy::scaling::Removed;

    use super::*;

    fn lost(cause: Cause, ready: u32) -> Lost {
        Lost { app: 0, machine: 1, cause, instances: ready, ready, requests: 2 }
    }

    fn ready(ready: u32) -> Instances {
        Instances { ready, ..Instances::default() }
    }

    #[test]
    fn recovery_lasts_until_as_many_are_ready_as_before() {
        let mut losses = Losses::new(ready(10));
        losses.lose(Time(100), lost(Cause::Machine, 3));
        losses.change(Time(100), ready(7));
        // A rack: another machine at the same instant.
        losses.lose(Time(100), lost(Cause::Machine, 3));
        losses.change(Time(100), ready(4));
        losses.change(Time(150), ready(9));
        let wait = Nanoseconds(5);
        losses.lose(Time(160), lost(Cause::Crash { wait }, 1));
        losses.change(Time(160), ready(8));
        losses.change(Time(180), ready(9));
        losses.change(Time(300), ready(10));
        assert_eq!(losses.unrecovered(), 0);
        assert_eq!((losses.machines.incidents, losses.machines.instances), (2, 6));
        assert_eq!(losses.machines.requests, 4);
        assert_eq!(losses.machines.recovery.count(), 1);
        assert_eq!(losses.machines.recovery.longest(), Nanoseconds(200));
        assert_eq!(losses.crashes.recovery.longest(), Nanoseconds(20));
    }

    #[test]
    fn what_the_scheduler_does_not_want_is_not_missed() {
        let mut losses = Losses::new(ready(8));
        losses.want(8);
        losses.change(Time(50), ready(10));
        losses.lose(Time(100), lost(Cause::Machine, 1));
        losses.change(Time(100), ready(9));
        assert_eq!((losses.unrecovered(), losses.machines.recovery.longest().0), (0, 0));
        losses.lose(Time(200), lost(Cause::Machine, 3));
        losses.change(Time(200), ready(6));
        losses.change(Time(260), ready(8));
        assert_eq!((losses.unrecovered(), losses.machines.recovery.longest().0), (0, 60));
    }

    #[test]
    fn what_scaling_takes_away_is_not_missed() {
        let mut losses = Losses::new(ready(10));
        losses.lose(Time(100), lost(Cause::Machine, 4));
        losses.change(Time(100), ready(6));
        losses.decide(7, Action::Remove(1, Removed::FewerAreEnough));
        losses.change(Time(140), ready(6));
        assert_eq!(losses.machines.recovery.longest(), Nanoseconds(40));
        losses.lose(Time(200), lost(Cause::Machine, 6));
        assert_eq!(losses.unrecovered(), 1);
    }
}

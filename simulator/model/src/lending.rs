//! What sharing has brought and cost: how much was lent, how often it was called back, and what
//! was lost by that.

use policy::Time;
use policy::sharing::{Action, Called, Unfinished};
use simulator_kernel::Summary;

use crate::sharing::{Returned, Slot, Stopped, Turn};
use crate::usage::Actions;

/// Slots of one pair of apps within the reported window. All of it is integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lending {
    /// Time that borrowers held slots, in nanoseconds of all slots; up to the last change.
    held: u128,
    present: u64,
    changed: Time,
    from: Time,
    until: Time,
    /// The most slots that were lent at a time.
    pub most: u64,
    /// Decisions to lend.
    pub lent: Actions,
    /// Decisions to call back, in the order of [`Called::ALL`].
    pub called: [Actions; Called::ALL.len()],
    /// From the call until the slot was the lender's again.
    pub back: Summary,
    /// Borrowers that were stopped at the deadline.
    pub stopped: u64,
    /// Requests that were stopped with them and went back to a queue.
    pub requeued: u64,
    /// Requests that were stopped with them and failed.
    pub failed: u64,
    /// Work on such requests, in nanoseconds: all of it was in vain.
    pub wasted: u128,
}

impl Lending {
    pub(crate) fn new(from: Time, until: Time) -> Self {
        Lending {
            held: 0,
            present: 0,
            changed: from,
            from,
            until,
            most: 0,
            lent: Actions::default(),
            called: [Actions::default(); Called::ALL.len()],
            back: Summary::default(),
            stopped: 0,
            requeued: 0,
            failed: 0,
            wasted: 0,
        }
    }

    /// Of no run at all, for others to be added.
    #[must_use]
    pub fn none() -> Self {
        Lending::new(Time::ZERO, Time::ZERO)
    }

    /// Time that borrowers held slots, in nanoseconds of all slots.
    #[must_use]
    pub fn held(&self) -> u128 {
        let rest = self.until.since(self.changed).0;
        self.held + u128::from(self.present) * u128::from(rest)
    }

    /// How many slots were called back, for any reason.
    #[must_use]
    pub fn all_called(&self) -> u64 {
        self.called.iter().map(|actions| actions.instances).sum()
    }

    fn is_within(&self, at: Time) -> bool {
        at >= self.from && at < self.until
    }

    fn change(&mut self, at: Time, present: u64) {
        let now = at.max(self.from).min(self.until);
        self.held += u128::from(self.present) * u128::from(now.since(self.changed).0);
        self.changed = now;
        self.present = present;
        if at < self.until {
            self.most = if at <= self.from { present } else { self.most.max(present) };
        }
    }

    pub(crate) fn decide(&mut self, at: Time, action: Action) {
        if !self.is_within(at) {
            return;
        }
        match action {
            Action::Lend(count) => self.lent.count(count),
            Action::CallBack { count, why, .. } => {
                if let Some(called) = self.called.get_mut(why.index()) {
                    called.count(count);
                }
            }
            Action::Keep(_) => {}
        }
    }

    pub(crate) fn turn(&mut self, at: Time, slot: Slot) {
        match slot.turn {
            Turn::Lent => self.change(at, self.present + 1),
            Turn::Called { .. } => {}
            Turn::Back { lent, called, how } => {
                if lent.is_some() {
                    self.change(at, self.present.saturating_sub(1));
                }
                if self.is_within(at) {
                    self.stopped += u64::from(how == Returned::Stopped);
                    if let Some(called) = called {
                        self.back.record(at.since(called));
                    }
                }
            }
        }
    }

    pub(crate) fn stop(&mut self, at: Time, stopped: Stopped) {
        if !self.is_within(at) {
            return;
        }
        self.wasted += u128::from(at.since(stopped.start).0);
        match stopped.fate {
            Unfinished::Requeue => self.requeued += 1,
            Unfinished::Fail => self.failed += 1,
        }
    }

    /// The run was stopped: the window ends then.
    pub(crate) fn cut(&mut self, stopped: Time) {
        let end = stopped.max(self.from);
        if end < self.changed {
            let past = u128::from(self.changed.since(end).0);
            self.held = self.held.saturating_sub(past * u128::from(self.present));
            self.changed = end;
        }
        self.until = self.until.min(stopped);
    }

    pub(crate) fn merge(&mut self, other: &Lending) {
        self.held = self.held() + other.held();
        self.present = 0;
        self.most = self.most.max(other.most);
        self.lent.merge(other.lent);
        for (actions, more) in self.called.iter_mut().zip(other.called) {
            actions.merge(more);
        }
        self.back.merge(&other.back);
        self.stopped += other.stopped;
        self.requeued += other.requeued;
        self.failed += other.failed;
        self.wasted += other.wasted;
    }
}

#[cfg(test)]
mod tests {
    use policy::Nanoseconds;

    use super::*;

    fn slot(turn: Turn) -> Slot {
        Slot { pair: 0, machine: 3, turn }
    }

    fn back(lent: Option<Time>, called: Option<Time>, how: Returned) -> Slot {
        slot(Turn::Back { lent, called, how })
    }

    #[test]
    fn slots_are_counted_within_the_window() {
        let mut lending = Lending::new(Time(100), Time(200));
        lending.turn(Time(50), slot(Turn::Lent));
        lending.turn(Time(90), slot(Turn::Lent));
        lending.turn(Time(110), slot(Turn::Lent));
        assert_eq!((lending.held(), lending.most), (20 + 270, 3));
        lending
            .decide(Time(130), Action::CallBack { count: 2, due: Time(140), why: Called::Needed });
        lending.turn(Time(140), back(Some(Time(50)), Some(Time(130)), Returned::Stopped));
        // One that the borrower never had.
        lending.turn(Time(150), back(None, Some(Time(130)), Returned::Idle));
        assert_eq!(lending.held(), 20 + 30 * 3 + 60 * 2);
        assert_eq!((lending.all_called(), lending.stopped), (2, 1));
        assert_eq!(lending.back.longest(), Nanoseconds(20));
        lending.stop(Time(140), Stopped { pair: 0, start: Time(125), fate: Unfinished::Requeue });
        lending.stop(Time(250), Stopped { pair: 0, start: Time(125), fate: Unfinished::Requeue });
        assert_eq!((lending.requeued, lending.failed, lending.wasted), (1, 0, 15));
        let mut sum = Lending::none();
        sum.merge(&lending);
        assert_eq!((sum.held(), sum.most, sum.wasted), (230, 3, 15));
        lending.cut(Time(180));
        assert_eq!(lending.held(), 230 - 20 * 2);
    }
}

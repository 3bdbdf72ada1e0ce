//! Which tasks are asked for, and when.
//!
//! After each subscription all tasks are asked for by name; those that aren't answered, because
//! their agent isn't back yet, again with longer and longer pauses (Mesos' `docs/reconciliation.md`).
//! From time to time the master is asked for all that it knows, which finds tasks that nobody knows
//! any more.

use std::collections::BTreeSet;

use mesos::scheduler::{Reconcile, ReconcileTask};
use policy::{Nanoseconds, Time};
use scheduler_core::ids::InstanceId;

/// The first pause: longer than 100,000 answers take.
pub const RECONCILE_FIRST: Nanoseconds = Nanoseconds::from_seconds(10);

/// The longest pause, in which agents come back after a master's failure (ten minutes are the most).
pub const RECONCILE_MOST: Nanoseconds = Nanoseconds::from_seconds(300);

/// The most tasks of one call: about 100 kB, so that a master isn't held up by one.
pub const TASKS_OF_A_CALL_MOST: usize = 1_000;

/// From a subscription to the first question for all tasks: when those asked by name are done.
pub const IMPLICIT_FIRST: Nanoseconds = Nanoseconds::from_seconds(60);

/// From one question for all tasks to the next: a little less than what the core waits before it
/// asks for what was quiet (ten minutes), so that it rarely has to.
pub const IMPLICIT_EVERY: Nanoseconds = Nanoseconds::from_seconds(540);

/// Which tasks are asked for, and when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reconciliation {
    /// Not answered yet.
    remaining: BTreeSet<InstanceId>,
    again: Option<Time>,
    pause: Nanoseconds,
    implicit: Option<Time>,
}

impl Reconciliation {
    /// A new stream: these are asked for.
    pub(crate) fn begin(&mut self, tasks: impl Iterator<Item = InstanceId>, now: Time) {
        self.remaining = tasks.collect();
        self.implicit = Some(now + IMPLICIT_FIRST);
        self.pause = RECONCILE_FIRST;
        self.again = Some(now);
    }

    /// The stream has ended.
    pub(crate) fn stop(&mut self) {
        *self = Reconciliation::default();
    }

    /// These are asked for, too.
    pub(crate) fn add(&mut self, id: InstanceId, now: Time) {
        if self.remaining.is_empty() {
            self.pause = RECONCILE_FIRST;
            self.again = Some(now);
        }
        if self.remaining.insert(id) {
            // Those that are waited for already are asked for again with it.
            self.again = self.again.map(|again| again.min(now));
        }
    }

    /// It was answered that it isn't known; it is asked for again after the next pause.
    pub(crate) fn keep(&mut self, id: InstanceId, now: Time) {
        self.remaining.insert(id);
        if self.again.is_none() {
            self.pause = RECONCILE_FIRST;
            self.again = Some(now + RECONCILE_FIRST);
        }
    }

    /// Those that are not answered yet.
    pub(crate) fn remaining(&self) -> impl Iterator<Item = &InstanceId> {
        self.remaining.iter()
    }

    /// There is more to be said with the next question: it comes now.
    pub(crate) fn hasten(&mut self, now: Time) {
        self.again = self.again.map(|again| again.min(now));
    }

    /// Something is known of it.
    pub(crate) fn answered(&mut self, id: &InstanceId) {
        self.remaining.remove(id);
        if self.remaining.is_empty() {
            self.again = None;
        }
    }

    /// The tasks that are to be asked for now.
    pub(crate) fn due(&mut self, now: Time) -> Vec<InstanceId> {
        if self.remaining.is_empty() || self.again.is_none_or(|again| now < again) {
            return Vec::new();
        }
        self.again = Some(now + self.pause);
        self.pause = Nanoseconds(self.pause.0.saturating_mul(2)).min(RECONCILE_MOST);
        self.remaining.iter().cloned().collect()
    }

    /// Whether the master is to be asked for all now.
    pub(crate) fn is_implicit_due(&mut self, now: Time) -> bool {
        let is_due = self.implicit.is_some_and(|implicit| now >= implicit);
        if is_due {
            self.implicit = Some(now + IMPLICIT_EVERY);
        }
        is_due
    }
}

/// The calls that ask for these tasks.
pub(crate) fn calls(tasks: &[ReconcileTask]) -> impl Iterator<Item = Reconcile> {
    tasks.chunks(TASKS_OF_A_CALL_MOST).map(|tasks| Reconcile { tasks: tasks.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> InstanceId {
        InstanceId { app: "a".parse().unwrap(), number }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Nanoseconds::from_seconds(seconds)
    }

    #[test]
    fn pauses_grow_until_all_are_answered() {
        let mut asked = Vec::new();
        let mut one = Reconciliation::default();
        assert!(one.due(at(5)).is_empty() && !one.is_implicit_due(at(5)));
        one.begin((1..4).map(id), at(10));
        one.answered(&id(2));
        for second in 10..1000 {
            if second == 100 {
                one.answered(&id(1));
            }
            let due = one.due(at(second));
            if !due.is_empty() {
                asked.push((second, due.len()));
            }
        }
        assert_eq!(
            asked,
            [(10, 2), (20, 2), (40, 2), (80, 2), (160, 1), (320, 1), (620, 1), (920, 1)]
        );
        one.answered(&id(3));
        assert!(one.due(at(5000)).is_empty());
        one.add(id(9), at(5001));
        assert_eq!(one.due(at(5001)), [id(9)]);
        assert!(one.due(at(5010)).is_empty(), "the pause is short again");
        assert_eq!(one.due(at(5011)), [id(9)]);
    }

    #[test]
    fn all_are_asked_for_from_time_to_time() {
        let mut one = Reconciliation::default();
        one.begin(std::iter::empty(), at(0));
        let asked: Vec<u64> = (0..1300).filter(|second| one.is_implicit_due(at(*second))).collect();
        assert_eq!(asked, [60, 600, 1140]);
        one.stop();
        assert!(!one.is_implicit_due(at(9999)));
    }
}

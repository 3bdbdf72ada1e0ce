//! How many instances an app had in the course of a run, and why that changed.

use policy::placement::Unplaced;
use policy::scaling::{Action, Added, Observation, Removed};
use policy::{Nanoseconds, Time};

use crate::faults::Lost;
use crate::losses::Losses;
use crate::outcome::Instances;

/// Instances of an app within the reported window. All of it is integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Time that instances held machines, in nanoseconds of all instances: while they start, work,
    /// wait and leave. Up to the last change; see [`Usage::held`].
    held: u128,
    /// Likewise while they could work: ready or leaving.
    able: u128,
    /// The fewest and the most that held machines.
    fewest: u64,
    most: u64,
    present: Instances,
    changed: Time,
    from: Time,
    until: Time,
    /// How often instances were added, and how many, for each reason in the order of [`Added::ALL`].
    pub added: [Actions; Added::ALL.len()],
    /// Likewise taken away, in the order of [`Removed::ALL`].
    pub removed: [Actions; Removed::ALL.len()],
    /// Instances that no machine could take.
    pub unplaced: u64,
    /// Why not, for the last of them.
    pub reasons: Option<Unplaced>,
    /// The most requests that the scaling rule has seen, if it was asked; over the whole run.
    pub peak_tasks: Option<u64>,
    /// The longest that all queues together have been; over the whole run.
    pub peak_queue: Option<u64>,
    /// What faults have cost.
    pub losses: Losses,
}

/// Decisions of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions {
    /// How many decisions.
    pub decisions: u64,
    /// How many instances they were about.
    pub instances: u64,
}

impl Actions {
    pub(crate) fn count(&mut self, instances: u32) {
        self.decisions += 1;
        self.instances += u64::from(instances);
    }

    pub(crate) fn merge(&mut self, other: Actions) {
        self.decisions += other.decisions;
        self.instances += other.instances;
    }
}

fn holding(instances: Instances) -> u64 {
    u64::from(instances.starting) + able(instances)
}

fn able(instances: Instances) -> u64 {
    u64::from(instances.ready) + u64::from(instances.leaving)
}

impl Usage {
    /// Of an app that has these instances in the beginning.
    #[must_use]
    pub fn new(present: Instances, from: Time, until: Time) -> Self {
        Usage {
            held: 0,
            able: 0,
            fewest: holding(present),
            most: holding(present),
            present,
            changed: from,
            from,
            until,
            added: [Actions::default(); Added::ALL.len()],
            removed: [Actions::default(); Removed::ALL.len()],
            unplaced: 0,
            reasons: None,
            peak_tasks: None,
            peak_queue: None,
            losses: Losses::new(present),
        }
    }

    /// Of no run at all, for others to be added.
    #[must_use]
    pub fn none() -> Self {
        let nothing = Usage::new(Instances::default(), Time::ZERO, Time::ZERO);
        Usage { fewest: u64::MAX, most: 0, ..nothing }
    }

    /// Time that instances held machines, in nanoseconds of all instances.
    #[must_use]
    pub fn held(&self) -> u128 {
        self.held + u128::from(holding(self.present)) * self.rest()
    }

    /// Time that instances could work, in nanoseconds of all instances.
    #[must_use]
    pub fn able(&self) -> u128 {
        self.able + u128::from(able(self.present)) * self.rest()
    }

    /// The fewest and the most instances that held machines at a time.
    #[must_use]
    pub const fn extremes(&self) -> (u64, u64) {
        (self.fewest, self.most)
    }

    /// From the last change to the end of the window.
    fn rest(&self) -> u128 {
        u128::from(self.until.since(self.changed).0)
    }

    /// The numbers are other ones from now on.
    pub fn change(&mut self, at: Time, instances: Instances) {
        self.losses.change(at, instances);
        let now = at.max(self.from).min(self.until);
        let passed = u128::from(now.since(self.changed).0);
        self.held += u128::from(holding(self.present)) * passed;
        self.able += u128::from(able(self.present)) * passed;
        self.changed = now;
        self.present = instances;
        let holding = holding(instances);
        if at <= self.from {
            (self.fewest, self.most) = (holding, holding);
        } else if at < self.until {
            self.fewest = self.fewest.min(holding);
            self.most = self.most.max(holding);
        }
    }

    /// The run was stopped: the window ends then.
    pub fn cut(&mut self, stopped: Time) {
        if stopped < self.changed {
            // Work that was begun is done after a stop, and instances may still go.
            let past = u128::from(self.changed.since(stopped.max(self.from)).0);
            self.held = self.held.saturating_sub(past * u128::from(holding(self.present)));
            self.able = self.able.saturating_sub(past * u128::from(able(self.present)));
            self.changed = stopped.max(self.from);
        }
        self.until = self.until.min(stopped);
    }

    /// The scaling rule has decided.
    pub fn decide(&mut self, at: Time, seen: Observation, action: Action) {
        self.peak_tasks = self.peak_tasks.max(Some(seen.tasks));
        self.losses.decide(seen.instances, action);
        if at < self.from || at >= self.until {
            return;
        }
        let actions = match action {
            Action::Add(count, reason) => (self.added.get_mut(reason.index()), count),
            Action::Remove(count, reason) => (self.removed.get_mut(reason.index()), count),
            Action::Keep(_) => return,
        };
        if let (Some(actions), count) = actions {
            actions.count(count);
        }
    }

    /// A fault has taken instances away.
    pub fn lose(&mut self, at: Time, lost: Lost) {
        if at >= self.from && at < self.until {
            self.losses.lose(at, lost);
        }
    }

    /// No machine could take an instance.
    pub fn unplaced(&mut self, at: Time, reasons: Unplaced) {
        if at >= self.from && at < self.until {
            self.unplaced += 1;
            self.reasons = Some(reasons);
        }
    }

    /// Adds the usage of another run of the same app.
    pub fn merge(&mut self, other: &Usage) {
        // What is still to come is added now: the sum belongs to no single number of instances.
        (self.held, self.able) = (self.held() + other.held(), self.able() + other.able());
        self.present = Instances::default();
        self.fewest = self.fewest.min(other.fewest);
        self.most = self.most.max(other.most);
        for (actions, more) in self.added.iter_mut().zip(other.added) {
            actions.merge(more);
        }
        for (actions, more) in self.removed.iter_mut().zip(other.removed) {
            actions.merge(more);
        }
        self.unplaced += other.unplaced;
        self.reasons = self.reasons.or(other.reasons);
        self.peak_tasks = self.peak_tasks.max(other.peak_tasks);
        self.peak_queue = self.peak_queue.max(other.peak_queue);
        self.losses.merge(&other.losses);
    }

    /// The mean number that held machines over windows of this length in all.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    pub fn mean(&self, windows: Nanoseconds) -> f64 {
        self.held() as f64 / windows.0 as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrals_are_cut_at_the_window() {
        let of = |ready, starting, leaving| Instances { ready, starting, leaving };
        let mut usage = Usage::new(of(4, 0, 0), Time(100), Time(200));
        usage.change(Time(50), of(2, 1, 0));
        usage.change(Time(120), of(3, 0, 1));
        usage.change(Time(150), of(1, 0, 0));
        usage.change(Time(250), of(90, 0, 0));
        assert_eq!(usage.held(), 20 * 3 + 30 * 4 + 50);
        assert_eq!(usage.able(), 20 * 2 + 30 * 4 + 50);
        assert_eq!(usage.extremes(), (1, 4));
        let mut sum = Usage::none();
        sum.merge(&Usage::new(of(5, 0, 0), Time(100), Time(200)));
        sum.merge(&usage);
        assert_eq!(sum.held(), 500 + 230);
        assert_eq!(sum.extremes(), (1, 5));
    }

    #[test]
    fn reasons_are_counted_within_the_window() {
        let mut usage = Usage::new(Instances::default(), Time(100), Time(200));
        let seen = Observation { tasks: 9, instances: 1, flow: None };
        usage.decide(Time(50), seen, Action::Add(3, Added::BelowMinimum));
        usage.decide(Time(150), seen, Action::Add(2, Added::TasksAboveTarget));
        usage.decide(Time(160), seen, Action::Remove(1, Removed::FewerAreEnough));
        assert_eq!(usage.added[0], Actions::default());
        assert_eq!(usage.added[1], Actions { decisions: 1, instances: 2 });
        assert_eq!(usage.removed[1], Actions { decisions: 1, instances: 1 });
        assert_eq!(usage.peak_tasks, Some(9));
    }
}

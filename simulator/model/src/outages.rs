//! How long machines were down or slow.

use std::collections::BTreeMap;

use policy::{Nanoseconds, Time};

use crate::faults::Incident;

/// Machines within the reported window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outages {
    /// Machines that failed, each as often as it did.
    pub failed: u64,
    /// For how long, in nanoseconds of all machines; up to the last change.
    down: u128,
    /// Machines that became slow, each as often as it did.
    pub slowed: u64,
    slow: u128,
    failed_since: BTreeMap<u32, Time>,
    slow_since: BTreeMap<u32, Time>,
    from: Time,
    until: Time,
}

impl Outages {
    pub(crate) fn new(from: Time, until: Time) -> Self {
        Outages { from, until, ..Outages::default() }
    }

    /// Of no run at all, for others to be added.
    #[must_use]
    pub fn none() -> Self {
        Outages::default()
    }

    /// How long machines were down, in nanoseconds of all machines.
    #[must_use]
    pub fn down(&self) -> u128 {
        self.down + self.rest(&self.failed_since)
    }

    /// How long machines were slow, in nanoseconds of all machines.
    #[must_use]
    pub fn slow(&self) -> u128 {
        self.slow + self.rest(&self.slow_since)
    }

    /// From what lasts still, up to the end of the window.
    fn rest(&self, since: &BTreeMap<u32, Time>) -> u128 {
        since.values().map(|since| u128::from(self.within(*since, self.until).0)).sum()
    }

    fn within(&self, since: Time, at: Time) -> Nanoseconds {
        at.min(self.until).since(since.max(self.from))
    }

    pub(crate) fn incident(&mut self, at: Time, incident: Incident) {
        let is_within = u64::from(at >= self.from && at < self.until);
        match incident {
            Incident::Failed { machine } => {
                self.failed += is_within;
                self.failed_since.insert(machine, at);
            }
            Incident::Repaired { machine } => {
                let since = self.failed_since.remove(&machine);
                self.down += since.map_or(0, |since| u128::from(self.within(since, at).0));
            }
            Incident::Slow { machine, slowdown: 0 } => {
                let since = self.slow_since.remove(&machine);
                self.slow += since.map_or(0, |since| u128::from(self.within(since, at).0));
            }
            Incident::Slow { machine, .. } => {
                if let std::collections::btree_map::Entry::Vacant(entry) =
                    self.slow_since.entry(machine)
                {
                    entry.insert(at);
                    self.slowed += is_within;
                }
            }
            Incident::Lost(_) => {}
        }
    }

    /// The run was stopped: the window ends then. What had ended later is counted as it was told.
    pub(crate) fn cut(&mut self, stopped: Time) {
        self.until = self.until.min(stopped);
    }

    /// Adds those of another run.
    pub(crate) fn merge(&mut self, other: &Outages) {
        // What lasts still is added now: the sum belongs to no single window.
        (self.down, self.slow) = (self.down() + other.down(), self.slow() + other.slow());
        self.failed += other.failed;
        self.slowed += other.slowed;
        self.failed_since.clear();
        self.slow_since.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_at_the_window() {
        let mut outages = Outages::new(Time(100), Time(200));
        outages.incident(Time(50), Incident::Failed { machine: 1 });
        outages.incident(Time(120), Incident::Repaired { machine: 1 });
        outages.incident(Time(150), Incident::Failed { machine: 1 });
        outages.incident(Time(160), Incident::Slow { machine: 2, slowdown: 500 });
        outages.incident(Time(170), Incident::Slow { machine: 2, slowdown: 900 });
        outages.incident(Time(180), Incident::Slow { machine: 2, slowdown: 0 });
        outages.incident(Time(400), Incident::Repaired { machine: 1 });
        assert_eq!((outages.failed, outages.down()), (1, 20 + 50));
        assert_eq!((outages.slowed, outages.slow()), (1, 20));
        let mut sum = Outages::none();
        sum.merge(&outages);
        sum.merge(&outages);
        assert_eq!((sum.failed, sum.down(), sum.slow()), (2, 140, 40));
    }
}

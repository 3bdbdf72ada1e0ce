//! The horizontal pod autoscaler of Kubernetes (kubernetes.io, "Horizontal Pod Autoscaling":
//! algorithm details, and configurable scaling behaviour; `pkg/controller/podautoscaler`).
//!
//! Wanted are ⌈ready · metric / target⌉ instances, unless the ratio of both is 1 within the tolerance.
//! Instances that start count as idle when more are wanted, which damps: if the ratio over all of
//! them isn't above 1 any more, nothing is added. Of what was wanted in the window of a direction
//! the most careful holds, and within a period the number changes by so much per cent or so many
//! instances at most, whichever is more.

use serde::{Deserialize, Serialize};

use super::memory::{Memory, instances, keep};
use super::{Added, Advice, Kept, Observation, Removed};
use crate::{Nanoseconds, Time};

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hpa {
    /// What each instance should have of the metric, in thousandths.
    pub target_thousandths: u32,
    /// What is counted.
    pub metric: Metric,
    /// How far from 1 the ratio may be, in thousandths.
    pub tolerance_thousandths: u32,
    /// How more are added.
    pub up: Behaviour,
    /// How some are taken away.
    pub down: Behaviour,
}

/// What is counted for each instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Requests in work: with one at a time this is how busy instances are.
    Busy,
    /// Requests that wait or are worked on.
    Tasks,
}

/// How the number changes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Behaviour {
    /// Of what was wanted in this time the most careful holds.
    pub window: Nanoseconds,
    /// Thousandths of the instances by which it may change in a period.
    pub part_thousandths: u32,
    /// Instances by which it may change in any case.
    pub instances: u32,
    /// How long a period is.
    pub period: Nanoseconds,
}

impl Hpa {
    /// What Kubernetes does if nobody says otherwise, at a target of 80 %.
    pub const DEFAULT: Hpa = Hpa {
        target_thousandths: 800,
        metric: Metric::Busy,
        tolerance_thousandths: 100,
        up: Behaviour {
            window: Nanoseconds::ZERO,
            part_thousandths: 1000,
            instances: 4,
            period: Nanoseconds::from_seconds(15),
        },
        down: Behaviour {
            window: Nanoseconds::from_seconds(300),
            part_thousandths: 1000,
            instances: 0,
            period: Nanoseconds::from_seconds(15),
        },
    };

    pub(super) fn advise(&self, seen: Observation, memory: &mut Memory, now: Time) -> Advice {
        let flow = seen.flow.unwrap_or_default();
        let tasks = u128::from(seen.tasks) * 1000;
        let metric = match (self.metric, seen.flow) {
            (Metric::Busy, Some(flow)) => u128::from(flow.busy_thousandths),
            // Nobody knows what waits: at most all instances work.
            (Metric::Busy, None) => tasks.min(u128::from(seen.instances) * 1000),
            (Metric::Tasks, _) => tasks,
        };
        let ready = seen.instances.saturating_sub(flow.starting);
        match self.ratio(metric, ready, seen.instances) {
            Ok(desired) => self.pace(seen.instances, desired, memory, now),
            Err(kept) => {
                // What is there is wanted as it is.
                let _ = self.pace(seen.instances, seen.instances, memory, now);
                Advice::Keep(kept)
            }
        }
    }

    /// How many the ratio asks for.
    fn ratio(&self, metric: u128, ready: u32, all: u32) -> Result<u32, Kept> {
        if self.tolerates(metric, ready) {
            return Err(Kept::WithinTolerance);
        }
        let desired = instances(metric, u128::from(self.target_thousandths));
        let is_above = metric > self.wanted_metric(ready);
        if is_above && ready < all {
            if self.tolerates(metric, all) || metric < self.wanted_metric(all) {
                return Err(Kept::StartingAreEnough);
            }
            return Ok(desired.max(all));
        }
        Ok(if is_above { desired.max(all) } else { desired.min(all) })
    }

    fn wanted_metric(&self, instances: u32) -> u128 {
        u128::from(self.target_thousandths) * u128::from(instances)
    }

    pub(super) fn tolerates(&self, metric: u128, instances: u32) -> bool {
        let wanted = self.wanted_metric(instances);
        metric.abs_diff(wanted).saturating_mul(1000)
            <= wanted.saturating_mul(u128::from(self.tolerance_thousandths))
            && wanted > 0
    }

    /// As many as are desired, as far as windows and periods allow it.
    pub(super) fn pace(
        &self,
        now_there: u32,
        desired: u32,
        memory: &mut Memory,
        now: Time,
    ) -> Advice {
        if memory.wanted.is_empty() {
            memory.wanted.push_back((now, now_there));
        }
        let window = self.up.window.max(self.down.window);
        keep(&mut memory.wanted, (now, desired), window, now, |(at, _)| *at);
        let within = |window: Nanoseconds| {
            let known = memory.wanted.iter().filter(move |(at, _)| now.since(*at) < window);
            known.map(|(_, wanted)| *wanted)
        };
        let least = within(self.up.window).min().unwrap_or(desired).min(desired);
        let most = within(self.down.window).max().unwrap_or(desired).max(desired);
        let steady = now_there.max(least).min(most);
        let (added, removed) = self.changed(memory, now);
        if steady > now_there {
            let begin = i64::from(now_there) - added.0 + added.1;
            let by_part = raised(begin, self.up.part_thousandths);
            let limit = by_part.max(begin + i64::from(self.up.instances)).max(i64::from(now_there));
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            match steady.min(limit) {
                same if same == now_there => Advice::Keep(Kept::ChangedEnough),
                more => Advice::Have(more, Added::MetricAboveTarget, Removed::MetricBelowTarget),
            }
        } else if steady < now_there {
            let begin = i64::from(now_there) - removed.0 + removed.1;
            let by_part = begin * i64::from(1000 - self.down.part_thousandths.min(1000)) / 1000;
            let limit = by_part.min(begin - i64::from(self.down.instances)).max(0);
            let limit = u32::try_from(limit).unwrap_or(0).min(now_there);
            match steady.max(limit) {
                same if same == now_there => Advice::Keep(Kept::ChangedEnough),
                fewer => Advice::Have(fewer, Added::MetricAboveTarget, Removed::MetricBelowTarget),
            }
        } else if desired == now_there {
            Advice::Keep(Kept::WithinTarget)
        } else {
            Advice::Keep(Kept::Stabilises)
        }
    }

    /// How many were added and taken away in the present period, for both directions.
    fn changed(&self, memory: &Memory, now: Time) -> ((i64, i64), (i64, i64)) {
        let within = |period: Nanoseconds| {
            let recent = memory.changes.iter().filter(|(at, _)| now.since(*at) < period);
            recent.fold((0, 0), |(added, removed), (_, by)| {
                (added + (*by).max(0), removed + (-*by).max(0))
            })
        };
        (within(self.up.period), within(self.down.period))
    }

    /// The number has changed.
    pub(super) fn remember(&self, change: i64, memory: &mut Memory, now: Time) {
        let period = self.up.period.max(self.down.period);
        keep(&mut memory.changes, (now, change), period, now, |(at, _)| *at);
    }
}

/// A number raised by some thousandths of it, rounded up.
fn raised(begin: i64, part_thousandths: u32) -> i64 {
    let raised = i128::from(begin.max(0)) * (1000 + i128::from(part_thousandths));
    i64::try_from((raised + 999) / 1000).unwrap_or(i64::MAX)
}

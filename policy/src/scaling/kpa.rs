//! The pod autoscaler of Knative (`knative/serving`: `pkg/autoscaler/scaling/autoscaler.go`, and
//! docs/serving/autoscaling).
//!
//! Wanted are ⌈mean of the tasks over a window / target⌉ instances, at most so many times what is
//! ready, and at least a part of it. If what a short window asks for is so many times what is ready,
//! there is a panic: until the long window has passed without such a moment, the larger answer of
//! both windows holds, and nothing is taken away.

use serde::Serialize;

use super::memory::{Memory, Panic, Sample, instances, keep};
use super::{Added, Advice, Kept, Observation, Removed};
use crate::{Nanoseconds, Time};

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kpa {
    /// Tasks that each instance should have, in thousandths.
    pub target_thousandths: u32,
    /// The long window.
    pub window: Nanoseconds,
    /// The short one.
    pub panic_window: Nanoseconds,
    /// How many times what is ready begins a panic, in thousandths.
    pub panic_threshold_thousandths: u32,
    /// The most at once, in thousandths of what is ready.
    pub up_most_thousandths: u32,
    /// What is ready, divided by this, in thousandths, is the least at once.
    pub down_most_thousandths: u32,
    /// Of what was wanted in this time the most holds.
    pub scale_in_delay: Nanoseconds,
}

impl Kpa {
    /// Those of Knative's `config-autoscaler`: 70 % of one request at a time.
    pub const DEFAULT: Kpa = Kpa {
        target_thousandths: 700,
        window: Nanoseconds::from_seconds(60),
        panic_window: Nanoseconds::from_seconds(6),
        panic_threshold_thousandths: 2000,
        up_most_thousandths: 1_000_000,
        down_most_thousandths: 2000,
        scale_in_delay: Nanoseconds::ZERO,
    };

    pub(super) fn advise(&self, seen: Observation, memory: &mut Memory, now: Time) -> Advice {
        let sample = Sample { at: now, tasks: seen.tasks };
        keep(&mut memory.samples, sample, self.window, now, |sample| sample.at);
        let starting = seen.flow.map_or(0, |flow| flow.starting);
        let ready = seen.instances.saturating_sub(starting).max(1);
        let in_panic_window = self.desired(memory, self.panic_window, now);
        let (least, most) = self.reach(ready);
        let stable = self.desired(memory, self.window, now).max(least).min(most);
        let urgent = in_panic_window.max(least).min(most);
        let is_over = u128::from(in_panic_window) * 1000
            >= u128::from(ready) * u128::from(self.panic_threshold_thousandths);
        memory.panic = match memory.panic {
            None => is_over.then_some(Panic { since: now, most: 0 }),
            Some(panic) if is_over => Some(Panic { since: now, ..panic }),
            Some(panic) if now.since(panic.since) > self.window => None,
            same => same,
        };
        let (wanted, why) = match &mut memory.panic {
            Some(panic) => {
                panic.most = panic.most.max(stable).max(urgent).max(seen.instances);
                (panic.most, Added::Panic)
            }
            None => (stable, Added::MetricAboveTarget),
        };
        let wanted = self.delayed(wanted, memory, now);
        if wanted == seen.instances && memory.panic.is_some() {
            return Advice::Keep(Kept::Panics);
        }
        Advice::Have(wanted, why, Removed::MetricBelowTarget)
    }

    /// How few and how many instances there may be at once, from what is ready.
    fn reach(&self, ready: u32) -> (u32, u32) {
        let ready = u128::from(ready) * 1000;
        let least = ready / u128::from(self.down_most_thousandths.max(1));
        let most = ready / 1000 * u128::from(self.up_most_thousandths);
        (u32::try_from(least).unwrap_or(u32::MAX), instances(most, 1000))
    }

    /// Of what was wanted, the most within the delay.
    fn delayed(&self, wanted: u32, memory: &mut Memory, now: Time) -> u32 {
        if self.scale_in_delay == Nanoseconds::ZERO {
            return wanted;
        }
        keep(&mut memory.wanted, (now, wanted), self.scale_in_delay, now, |(at, _)| *at);
        memory.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted)
    }

    /// The instances that the mean of a window asks for; the window ends now.
    fn desired(&self, memory: &Memory, window: Nanoseconds, now: Time) -> u32 {
        let recent = memory.samples.iter().filter(|sample| now.since(sample.at) < window);
        let (sum, count) = recent.fold((0u128, 0u128), |(sum, count), sample| {
            (sum + u128::from(sample.tasks), count + 1)
        });
        instances(sum * 1000, count * u128::from(self.target_thousandths))
    }
}

//! What apps and machines do besides working on requests: they start, warm up, grow, shrink.

use policy::balance::FULL_WEIGHT;
use policy::placement::Resources;
use policy::scaling::Scaling;
use policy::{Nanoseconds, Purpose, Time, Words};
use simulator_kernel::Law;

use crate::App;
use crate::faults::Faults;
use crate::links::Links;
use crate::pipelines::Followed;
use crate::scheduler::Scheduler;
use crate::sharing::Sharing;

/// What changes in the course of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Dynamics {
    /// What each machine has.
    pub capacity: Resources,
    /// Links of each machine that its transfers share.
    pub links: Links,
    /// The rule by which apps with [`Life::bounds`] grow and shrink; it is asked each
    /// [`Scaling::interval`] until the last request has arrived.
    pub scaling: Option<Scaling>,
    /// What fails.
    pub faults: Faults,
    /// The scheduler that starts and ends instances; without one the rules are asked directly.
    pub scheduler: Option<Scheduler>,
    /// Apps that share machines; the rule is asked each [`policy::sharing::Sharing::interval`] until
    /// the last request has arrived.
    pub sharing: Option<Sharing>,
    /// Requests that answers to others cause.
    pub pipelines: Vec<Followed>,
}

/// How instances of an app come and go.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// What each instance holds.
    pub needs: Resources,
    /// The fewest and the most instances, in all; without them the number doesn't change.
    pub bounds: Option<(u32, u32)>,
    /// From the decision until an instance takes requests.
    pub start_up: Law,
    /// Likewise for the first one on a machine, which must load the image; the same if absent.
    pub first_start_up: Option<Law>,
    /// How new instances are spared.
    pub warm_up: WarmUp,
    /// An instance that leaves holds its machine at least so long, also if it has nothing to do:
    /// so long gateways may not have heard of it.
    pub cool_down: Nanoseconds,
}

/// Pools of new instances are cold: for a while they get fewer requests and are slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// How long it takes.
    pub over: Nanoseconds,
    /// The weight in the beginning, of [`FULL_WEIGHT`]; it grows on a straight line.
    pub weight: u32,
    /// How much longer work takes in the beginning, in thousandths of its time; it falls on a
    /// straight line. What has begun isn't hastened.
    pub slowdown: u32,
}

impl Default for Dynamics {
    fn default() -> Self {
        Dynamics {
            capacity: Resources::UNLIMITED,
            links: Links::default(),
            scaling: None,
            faults: Faults::default(),
            scheduler: None,
            sharing: None,
            pipelines: Vec::new(),
        }
    }
}

impl Default for Life {
    fn default() -> Self {
        Life {
            needs: Resources { cores: 1, memory_mib: 0 },
            bounds: None,
            start_up: Law::Constant(Nanoseconds::ZERO),
            first_start_up: None,
            warm_up: WarmUp::default(),
            cool_down: Nanoseconds::ZERO,
        }
    }
}

impl Default for WarmUp {
    fn default() -> Self {
        WarmUp { over: Nanoseconds::ZERO, weight: FULL_WEIGHT, slowdown: 0 }
    }
}

impl WarmUp {
    /// The weight of an instance of this age; at least 1.
    #[must_use]
    pub fn weight_at(&self, age: Nanoseconds) -> u32 {
        let missing = FULL_WEIGHT.saturating_sub(self.weight);
        let missing = self.left_of(u64::from(missing), age);
        FULL_WEIGHT.saturating_sub(u32::try_from(missing).unwrap_or(0)).max(1)
    }

    /// How long work takes that an instance of this age begins.
    #[must_use]
    pub fn slowed(&self, service: Nanoseconds, age: Nanoseconds) -> Nanoseconds {
        let more = u128::from(service.0) * u128::from(self.left_of(u64::from(self.slowdown), age));
        let more = u64::try_from(more / 1000).unwrap_or(u64::MAX);
        Nanoseconds(service.0.saturating_add(more))
    }

    /// What is left at this age of something that falls to 0 on a straight line.
    fn left_of(&self, whole: u64, age: Nanoseconds) -> u64 {
        let left = self.over.0.saturating_sub(age.0);
        if left == 0 {
            return 0;
        }
        let part = u128::from(whole) * u128::from(left) / u128::from(self.over.0);
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

impl Life {
    /// When an instance is ready that is asked for at `now`; `is_first` on its machine.
    #[must_use]
    pub fn ready_at(&self, words: Words, instance: u32, is_first: bool, now: Time) -> Time {
        let first = self.first_start_up.as_ref().filter(|_| is_first);
        now + first.unwrap_or(&self.start_up).sample(words.at(u64::from(instance)))
    }
}

impl App {
    /// The rule of scaling with the bounds of this app; none if it doesn't scale.
    #[must_use]
    pub fn scaling(&self, dynamics: &Dynamics) -> Option<Scaling> {
        let (min, max) = self.life.bounds?;
        Some(Scaling { min, max, ..dynamics.scaling? })
    }
}

/// The stream of words for start-ups of an app.
#[must_use]
pub fn start_up_words(seed: u64, app: usize) -> Words {
    Words::new(seed, Purpose::StartUp, app as u64)
}

/// The weight of a target whose instances have these weights in sum. Some of them are on their way
/// out, we don't know yet which; `most` is the largest number that any target has without those.
#[must_use]
pub fn target_weight(sum: u64, leaving: u32, most: u32) -> u32 {
    let staying = sum.saturating_sub(u64::from(leaving) * u64::from(FULL_WEIGHT));
    let weight = staying / u64::from(most.max(1));
    u32::try_from(weight).unwrap_or(FULL_WEIGHT).clamp(1, FULL_WEIGHT)
}

/// What happens at a known time and isn't the work of one target, in the order at one instant:
/// after what ends, before what arrives. Both engines have the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Control {
    /// An instance that left has given back what it held.
    Gone { app: usize, instance: u32 },
    /// What has borrowed a slot must have given it back.
    Due { app: usize, instance: u32 },
    /// An instance has started.
    Ready { app: usize, instance: u32 },
    /// A machine is back.
    Repaired { machine: u32 },
    /// A machine isn't slow any more, or less so.
    Eased { machine: u32, slowdown: u32 },
    /// A machine has failed.
    Failed { machine: u32 },
    /// A machine is slow.
    Slowed { machine: u32, slowdown: u32 },
    /// An instance ends by itself.
    Crashed { app: usize, instance: u32 },
    /// The first ready instance of an app on a machine does.
    CrashOn { app: usize, machine: u32 },
    /// Something of the scheduler is due.
    Cluster,
    /// The scaling rule is asked, app by app.
    Tick,
    /// The rule of sharing is asked, pair by pair.
    Look,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_is_a_straight_line() {
        let warm_up = WarmUp { over: Nanoseconds(1000), weight: 256, slowdown: 500 };
        let weight = |age| warm_up.weight_at(Nanoseconds(age));
        assert_eq!([weight(0), weight(500), weight(999), weight(1000)], [256, 640, 1024, 1024]);
        let slowed = |age| warm_up.slowed(Nanoseconds(100), Nanoseconds(age)).0;
        assert_eq!([slowed(0), slowed(500), slowed(1000), slowed(5000)], [150, 125, 100, 100]);
        assert_eq!(WarmUp::default().weight_at(Nanoseconds::ZERO), FULL_WEIGHT);
        assert_eq!(WarmUp::default().slowed(Nanoseconds(7), Nanoseconds::ZERO).0, 7);
    }

    #[test]
    fn targets_weigh_as_much_as_their_instances() {
        let full = u64::from(FULL_WEIGHT);
        assert_eq!(target_weight(4 * full, 0, 4), FULL_WEIGHT);
        assert_eq!(target_weight(4 * full, 1, 4), 768);
        assert_eq!(target_weight(2 * full, 0, 4), 512);
        assert_eq!(target_weight(10, 1, 4), 1);
    }
}

//! By what arrives, what waits, and what is already starting: the rule that we recommend.
//!
//! The load in instances is λ·s/ρ: arrivals λ, refused ones included, because a short queue hides
//! what it refuses; the time s that a request takes, by Little's law from the instances that worked
//! and the requests that were done; and the utilisation ρ that is wished for. λ is that of the fast
//! window in a surge (more than chance makes of the usual rate), else that of the slow one.
//!
//! What waits is to be worked off within the drain time D after an instance that is asked for now
//! would be ready, which is L later: within H = L + D there are s·(Q + λ·H) to do, those that are
//! ready do H each, those that start H − L/2 (they have begun at some time in the last L), and new
//! ones D. If what is there has no backlog left at L, none is started for it (a queue behind the
//! first instance that starts would ask for too many, knative/serving#4344), and never more than
//! requests wait. L is what starts have taken so far, again by Little's law.
//!
//! Fewer are wanted when the load was less for all of a time; then some of them are taken at a time.
//! Nothing is taken while requests are refused, or more than one for each instance wait.

use serde::Serialize;

use super::memory::{FlowSample, Looks, Memory, instances, keep};
use super::{Added, Advice, Came, Flow, Kept, Observation, Removed};
use crate::{Nanoseconds, Time};

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Arrivals {
    /// How busy instances should be, in thousandths.
    pub utilisation_thousandths: u32,
    /// In what time what waits is to be worked off.
    pub drain: Nanoseconds,
    /// The window in which a surge is seen.
    pub fast: Nanoseconds,
    /// The window of the usual load.
    pub slow: Nanoseconds,
    /// How long instances take to start, until that is known.
    pub start_up: Nanoseconds,
    /// For how long fewer must have been enough.
    pub scale_in_after: Nanoseconds,
    /// The part of the instances that is taken at a time, in thousandths; one at least.
    pub scale_in_thousandths: u32,
    /// Time between two such steps.
    pub scale_in_every: Nanoseconds,
}

/// A fast window with so many thousandths of the usual rate is a surge, if that isn't chance.
const SURGE_THOUSANDTHS: u128 = 1100;
/// Of Poisson arrivals one window in a thousand is three standard deviations above the mean.
const SURGE_DEVIATIONS: u128 = 3;
/// After so many starts the earlier ones count half.
const STARTS_COUNTED: u64 = 64;

/// What is known of the load.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Arrivals in a time: the rate.
    arrivals: u128,
    time: u128,
    /// Nanoseconds of work for each request.
    service: u128,
}

impl Arrivals {
    /// Where we would begin.
    pub const DEFAULT: Arrivals = Arrivals {
        utilisation_thousandths: 800,
        drain: Nanoseconds::from_seconds(30),
        fast: Nanoseconds::from_seconds(5),
        slow: Nanoseconds::from_seconds(60),
        start_up: Nanoseconds::from_seconds(30),
        scale_in_after: Nanoseconds::from_seconds(180),
        scale_in_thousandths: 100,
        scale_in_every: Nanoseconds::from_seconds(15),
    };

    pub(super) fn advise(&self, seen: Observation, memory: &mut Memory, now: Time) -> Advice {
        let known = seen.flow.and_then(|flow| Some((flow, flow.came?)));
        let Some((flow, came)) = known else { return Advice::Keep(Kept::NothingCounted) };
        self.take_in(seen, flow, came, memory, now);
        let Some(load) = self.load(memory, now) else {
            return self.by_tasks(seen, memory, now);
        };
        let utilisation = u128::from(self.utilisation_thousandths);
        let by_load = load.work_for(load.arrivals, 1000);
        let by_load = instances(by_load, load.time * utilisation);
        let extra = self.extra(seen, flow, &load, memory);
        let by_backlog = seen.instances.saturating_add(extra);
        keep(&mut memory.wanted, (now, by_load), self.scale_in_after, now, |(at, _)| *at);
        if by_load > seen.instances && by_load >= by_backlog {
            return Advice::Have(by_load, Added::Arrivals, Removed::FewerAreEnough);
        }
        if extra > 0 {
            return Advice::Have(by_backlog, Added::Backlog, Removed::FewerAreEnough);
        }
        self.fewer(seen, flow, came, memory, now)
    }

    /// Nobody knows yet how long a request takes: one instance for each that is there.
    fn by_tasks(&self, seen: Observation, memory: &mut Memory, now: Time) -> Advice {
        let tasks = u32::try_from(seen.tasks).unwrap_or(u32::MAX);
        keep(&mut memory.wanted, (now, tasks), self.scale_in_after, now, |(at, _)| *at);
        match tasks > seen.instances {
            true => Advice::Have(tasks, Added::Backlog, Removed::FewerAreEnough),
            false => Advice::Keep(Kept::WithinTarget),
        }
    }

    /// What was seen goes into the windows.
    fn take_in(&self, seen: Observation, flow: Flow, came: Came, memory: &mut Memory, now: Time) {
        let before = memory.looks;
        let mut looks = before.unwrap_or(Looks { begun: now, ..Looks::default() });
        if let Some(before) = before {
            let let_in = came.arrivals.saturating_sub(came.refusals);
            let done = (before.tasks.saturating_add(let_in)).saturating_sub(seen.tasks);
            // The mean of both ends.
            let busy = u128::from(before.busy_thousandths) + u128::from(flow.busy_thousandths);
            let work = busy * u128::from(came.period.0) / 2000;
            let sample = FlowSample {
                at: now,
                period: came.period,
                arrivals: came.arrivals,
                done,
                work: u64::try_from(work).unwrap_or(u64::MAX),
            };
            keep(&mut memory.flows, sample, self.slow.max(self.fast), now, |sample| sample.at);
            looks.pass(seen.instances, flow.starting, now);
        }
        looks.before = (seen.instances, flow.starting);
        (looks.tasks, looks.busy_thousandths) = (seen.tasks, flow.busy_thousandths);
        looks.at = now;
        memory.looks = Some(looks);
    }

    /// The load by the windows; none if nothing is known of how long a request takes.
    fn load(&self, memory: &mut Memory, now: Time) -> Option<Load> {
        let sum = |window: Nanoseconds| {
            let recent = memory.flows.iter().filter(|sample| now.since(sample.at) < window);
            recent.fold([0u128; 4], |[arrivals, time, done, work], sample| {
                [
                    arrivals + u128::from(sample.arrivals),
                    time + u128::from(sample.period.0),
                    done + u128::from(sample.done),
                    work + u128::from(sample.work),
                ]
            })
        };
        let [fast, fast_time, ..] = sum(self.fast);
        let [slow, slow_time, done, work] = sum(self.slow);
        if done > 0 && work > 0 {
            memory.service = Some(Nanoseconds(u64::try_from(work / done).unwrap_or(u64::MAX)));
        }
        let service = u128::from(memory.service?.0);
        if fast_time == 0 || slow_time == 0 {
            return None;
        }
        let (arrivals, time) = match is_surge((fast, fast_time), (slow, slow_time)) {
            true => (fast, fast_time),
            false => (slow, slow_time),
        };
        Some(Load { arrivals, time, service })
    }

    /// How many more the backlog asks for.
    fn extra(&self, seen: Observation, flow: Flow, load: &Load, memory: &Memory) -> u32 {
        let waiting = waiting(seen, flow);
        if waiting == 0 {
            return 0;
        }
        let start_up = memory.looks.and_then(Looks::mean).unwrap_or(self.start_up);
        let (start_up, drain) = (u128::from(start_up.0), u128::from(self.drain.0));
        let ready = u128::from(seen.instances.saturating_sub(flow.starting));
        let starting = u128::from(flow.starting);
        // Work in nanoseconds that comes within a time, with what waits.
        let due = |time: u128| {
            load.work_for(load.arrivals * time, 1) / load.time + load.service * waiting
        };
        let left_at_start =
            due(start_up).saturating_sub(ready * start_up + starting * start_up / 2);
        if left_at_start == 0 {
            return 0;
        }
        let horizon = start_up + drain;
        let done = ready * horizon + starting * (horizon - start_up / 2);
        let missing = due(horizon).saturating_sub(done);
        instances(missing, drain).min(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    /// Fewer, if that was enough for long.
    fn fewer(
        &self,
        seen: Observation,
        flow: Flow,
        came: Came,
        memory: &mut Memory,
        now: Time,
    ) -> Advice {
        if flow.starting > 0 && waiting(seen, flow) > 0 {
            return Advice::Keep(Kept::StartingAreEnough);
        }
        let most = memory.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(0);
        if most >= seen.instances {
            return Advice::Keep(Kept::WithinTarget);
        }
        if came.refusals > 0 || waiting(seen, flow) > u128::from(seen.instances) {
            return Advice::Keep(Kept::Backlog);
        }
        let begun = memory.looks.map_or(now, |looks| looks.begun);
        let left = (begun + self.scale_in_after).since(now);
        if left > Nanoseconds::ZERO {
            return Advice::Keep(Kept::NotForLong(left));
        }
        if let Some(taken) = memory.active
            && now.since(taken) < self.scale_in_every
        {
            let left = (taken + self.scale_in_every).since(now);
            return Advice::Keep(Kept::CoolsDown(left));
        }
        memory.active = Some(now);
        let step = u64::from(seen.instances) * u64::from(self.scale_in_thousandths) / 1000;
        let step = u32::try_from(step).unwrap_or(u32::MAX).max(1);
        let wanted = seen.instances.saturating_sub(step).max(most);
        Advice::Have(wanted, Added::Arrivals, Removed::FewerAreEnough)
    }
}

/// Requests that aren't in work.
fn waiting(seen: Observation, flow: Flow) -> u128 {
    u128::from(seen.tasks.saturating_sub(flow.busy_thousandths / 1000))
}

/// Whether the arrivals in a fast window are more than those in a slow one let expect, and more than
/// chance: the square of the difference is more than that of some standard deviations.
fn is_surge((fast, fast_time): (u128, u128), (slow, slow_time): (u128, u128)) -> bool {
    // Both over the slow window's time.
    let (came, expected) = (fast.saturating_mul(slow_time), slow.saturating_mul(fast_time));
    let more = came.saturating_sub(expected);
    let deviations = (SURGE_DEVIATIONS * SURGE_DEVIATIONS).saturating_mul(expected);
    came.saturating_mul(1000) > expected.saturating_mul(SURGE_THOUSANDTHS)
        && more.saturating_mul(more) > deviations.saturating_mul(slow_time)
}

impl Load {
    /// The work of so many requests, times a factor.
    fn work_for(&self, requests: u128, factor: u128) -> u128 {
        requests.saturating_mul(self.service).saturating_mul(factor)
    }
}

impl Looks {
    /// Time has passed until a look.
    fn pass(&mut self, instances: u32, starting: u32, now: Time) {
        let (instances_before, starting_before) = self.before;
        let time = u128::from(now.since(self.at).0) * u128::from(starting_before);
        let time = u64::try_from(time).unwrap_or(u64::MAX);
        self.time = self.time.saturating_add(time);
        // Of those that are taken away nobody says whether they were starting.
        if let Some(new) = instances.checked_sub(instances_before) {
            let ready = u64::from(starting_before) + u64::from(new);
            self.ready += ready.saturating_sub(u64::from(starting));
        }
        if self.ready > STARTS_COUNTED {
            (self.time, self.ready) = (self.time / 2, self.ready / 2);
        }
    }

    /// How long a start takes, if any has ended.
    fn mean(self) -> Option<Nanoseconds> {
        self.time.checked_div(self.ready).map(Nanoseconds)
    }
}

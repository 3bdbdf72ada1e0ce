//! Limits of requests in flight that find themselves: a gateway lets in as many as can be answered
//! without waiting for each other, and learns how many that are from its own answers.
//!
//! Three rules, those of Netflix' `concurrency-limits` (`AIMDLimit`, `Gradient2Limit`, `VegasLimit`):
//! - AIMD, from TCP's congestion avoidance (Chiu and Jain 1989; RFC 5681): one more after good
//!   answers, a part of the limit less after a refusal or an answer that took too long.
//! - Gradient2: the mean of long ago over that of now, times a tolerance, within ½ to 1, times the
//!   limit, and a few more: it falls when answers take longer than they usually do.
//! - Vegas (Brakmo and Peterson 1995): of the limit L, L·(1 − least/now) requests wait somewhere.
//!   Few make the limit grow, many make it fall.
//!
//! A limit only grows while at least half of it is in use. Netflix' `WindowedLimit` is a part of each
//! rule here: what answers of a window say counts once, as their mean. Without it the limit follows
//! how unlike each other requests are, rather than how busy instances are.
//!
//! Three things differ from the source. What is in flight is counted when an answer comes, not when
//! its request came, so that nothing must be kept of each request. Vegas measures its least round
//! trip again after a fixed number of observations, without jitter: a decision depends on answers
//! only. And a window with a loss never is the least round trip.

use serde::{Deserialize, Serialize};

use crate::{Class, Nanoseconds, Refusal, Scope, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptive {
    /// What makes a limit grow and fall.
    pub rule: Rule,
    /// The least limit, in requests; 0 counts as 1.
    pub min: u32,
    /// The greatest limit, in requests.
    pub max: u32,
    /// The limit in the beginning, in requests.
    pub initial: u32,
    /// Answers of so long are one observation; each is one if it is zero.
    pub window: Nanoseconds,
    /// Counted over what.
    pub scope: Scope,
    /// Of which requests there is one limit.
    #[serde(default, skip_serializing_if = "By::is_all")]
    pub by: By,
    /// What each class has for itself, if anything is kept for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<Shares>,
}

/// Parts of a limit that are kept for classes (Netflix' `AbstractPartitionedLimiter`). As long as a
/// limit isn't reached, whoever comes is let in; then only those of a class that has less than its
/// part in flight. So what others have borrowed is exceeded for a while rather than kept from those
/// for whom it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// Of free requests, in thousandths of the limit.
    pub free_thousandths: u32,
    /// Of paid ones.
    pub paid_thousandths: u32,
}

impl Shares {
    /// What a class has of a limit: at least one request, if anything.
    #[must_use]
    pub fn of(&self, class: Class, limit: u32) -> u32 {
        let thousandths = match class {
            Class::Free => self.free_thousandths,
            Class::Paid => self.paid_thousandths,
        };
        let share = (u64::from(limit) * u64::from(thousandths)).div_ceil(1000);
        u32::try_from(share).unwrap_or(u32::MAX)
    }
}

/// Of which requests there is one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Of all.
    #[default]
    All,
    /// Of those for the same command: where some take milliseconds and others minutes, a mean round
    /// trip of both says nothing about either.
    Cmd,
}

impl By {
    /// Whether it is that of all, which files from before there were others don't say.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_all(&self) -> bool {
        *self == By::All
    }
}

/// What makes a limit grow and fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// More until something is lost.
    Aimd(Aimd),
    /// Less while answers take longer than usual.
    Gradient2(Gradient2),
    /// Less while too much waits.
    Vegas(Vegas),
}

/// Additive increase, multiplicative decrease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aimd {
    /// What is left of the limit after a loss, in thousandths.
    pub back_off_thousandths: u32,
    /// An answer that takes longer is a loss.
    pub timeout: Nanoseconds,
}

/// The mean of long ago over that of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gradient2 {
    /// How many times as long as usual answers may take, in thousandths.
    pub tolerance_thousandths: u32,
    /// Requests that may wait.
    pub queue: u32,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vegas {
    /// With fewer requests that wait, times the logarithm to base 10 of the limit, it grows.
    pub alpha: u32,
    /// With more, likewise, it falls.
    pub beta: u32,
    /// After so many observations for each request of the limit, the least round trip is measured
    /// again.
    pub probe: u32,
}

impl Aimd {
    /// Netflix' nine tenths and five seconds.
    pub const DEFAULT: Aimd =
        Aimd { back_off_thousandths: 900, timeout: Nanoseconds::from_seconds(5) };
}

impl Gradient2 {
    /// Netflix' one and a half, and four requests.
    pub const DEFAULT: Gradient2 = Gradient2 { tolerance_thousandths: 1500, queue: 4 };
}

impl Vegas {
    /// Netflix' 3, 6 and 30.
    pub const DEFAULT: Vegas = Vegas { alpha: 3, beta: 6, probe: 30 };
}

impl Adaptive {
    /// A rule within Netflix' bounds, observed ten times a second: as often as its windows may be.
    #[must_use]
    pub const fn of(rule: Rule) -> Self {
        Adaptive {
            rule,
            min: 20,
            max: 200,
            initial: 20,
            window: Nanoseconds::from_milliseconds(100),
            scope: Scope::Gateway,
            by: By::All,
            shares: None,
        }
    }
}

/// What became of a request that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was answered, so long after it was let in.
    Served(Nanoseconds),
    /// It was answered when its client had stopped waiting.
    Late(Nanoseconds),
    /// A later stage refused it, or dropped it after it had waited: there is too much of them.
    Refused,
    /// It came to nothing for another reason, such as a machine that failed: nothing is learned.
    Lost,
}

impl Answer {
    /// Of a request that was refused after it had been let in.
    #[must_use]
    pub const fn refused(cause: Refusal) -> Self {
        match cause {
            // What had been let in has missed its deadline because of those before it.
            Refusal::QueueFull | Refusal::LongWait | Refusal::Shed | Refusal::Deadline => {
                Answer::Refused
            }
            Refusal::AcceptPermits
            | Refusal::AdaptiveLimit
            | Refusal::Overload
            | Refusal::UserRate
            | Refusal::UserConcurrency
            | Refusal::CmdRate
            | Refusal::CmdConcurrency
            | Refusal::NoInstance
            | Refusal::Failed => Answer::Lost,
        }
    }

    /// Of a request that was answered, for a client that waits for so long.
    #[must_use]
    pub const fn served(round_trip: Nanoseconds, deadline: Nanoseconds) -> Self {
        match round_trip.0 > deadline.0 {
            true => Answer::Late(round_trip),
            false => Answer::Served(round_trip),
        }
    }
}

/// A window needs so many answers before it says anything (`WindowedLimit`).
const ANSWERS_LEAST: u32 = 10;
/// The usual round trip of Gradient2 is that of about so many observations.
const LONG: f64 = 600.0;
/// The first so many of them count alike.
const FIRST: u32 = 10;
/// How much of a new limit of Gradient2 is taken over at a time.
const SMOOTHING: f64 = 0.2;
/// The usual round trip is made smaller by this if it is twice as long as that of now.
const RECOVERY: f64 = 0.95;

/// A limit, and what was learned from answers. Its numbers are only added, multiplied and divided, so
/// that they are the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limiter {
    /// By class, in the order of [`Class::ALL`].
    in_flight: [u32; 2],
    limit: f64,
    window: Window,
    /// The usual round trip, in nanoseconds, and how many observations it was made of.
    usual: f64,
    observations: u32,
    /// The least round trip; zero before the first one.
    least: Nanoseconds,
    /// Observations since it was measured anew.
    since_probe: u64,
}

/// Answers that are one observation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Window {
    began: Time,
    /// Answers in it, and those of them that have a round trip.
    answers: u32,
    timed: u32,
    /// Of the latter.
    sum: u64,
    /// The most requests in flight at any of them.
    in_flight: u32,
    has_losses: bool,
}

/// What a rule is told.
#[derive(Debug, Clone, Copy)]
struct Observation {
    in_flight: u32,
    /// The mean round trip; none if nothing was answered.
    round_trip: Option<Nanoseconds>,
    has_losses: bool,
}

impl Limiter {
    /// Nothing is in flight, and nothing is known.
    #[must_use]
    pub fn new(rules: &Adaptive) -> Self {
        Limiter {
            in_flight: [0; 2],
            limit: bounded(rules, f64::from(rules.initial)),
            window: Window::default(),
            usual: 0.0,
            observations: 0,
            least: Nanoseconds::ZERO,
            since_probe: 0,
        }
    }

    /// Requests that were let in and have no answer yet.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        let [free, paid] = self.in_flight;
        free.saturating_add(paid)
    }

    /// Those of a class.
    #[must_use]
    pub const fn in_flight_of(&self, class: Class) -> u32 {
        let [free, paid] = self.in_flight;
        match class {
            Class::Free => free,
            Class::Paid => paid,
        }
    }

    /// How many may be in flight.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within 1 and the greatest limit"
    )]
    pub const fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// Whether no more of a class can be let in.
    #[must_use]
    pub fn is_full(&self, rules: &Adaptive, class: Class) -> bool {
        let limit = self.limit();
        let has_share = |shares: Shares| self.in_flight_of(class) >= shares.of(class, limit);
        self.in_flight() >= limit && rules.shares.is_none_or(has_share)
    }

    /// A request is let in.
    pub const fn enter(&mut self, class: Class) {
        let count = self.count(class);
        *count = count.saturating_add(1);
    }

    const fn count(&mut self, class: Class) -> &mut u32 {
        let [free, paid] = &mut self.in_flight;
        match class {
            Class::Free => free,
            Class::Paid => paid,
        }
    }

    /// A request that was let in is over: the limit from now on. Answers at one instant must be told
    /// in an order that depends on nothing else.
    pub fn on_answer(&mut self, rules: &Adaptive, class: Class, answer: Answer, now: Time) -> u32 {
        let in_flight = self.in_flight();
        let count = self.count(class);
        *count = count.saturating_sub(1);
        if answer != Answer::Lost
            && let Some(seen) = self.window.observe(rules.window, in_flight, answer, now)
        {
            let limit = match rules.rule {
                Rule::Aimd(rule) => self.aimd(rule, seen),
                Rule::Gradient2(rule) => self.gradient2(rule, seen),
                Rule::Vegas(rule) => self.vegas(rule, seen),
            };
            self.limit = bounded(rules, limit);
        }
        self.limit()
    }

    fn aimd(&self, rule: Aimd, seen: Observation) -> f64 {
        let is_late = seen.round_trip.is_some_and(|time| time > rule.timeout);
        if seen.has_losses || is_late {
            return (self.limit * f64::from(rule.back_off_thousandths) / 1000.0).floor();
        }
        if self.is_used(seen) { self.limit + 1.0 } else { self.limit }
    }

    fn gradient2(&mut self, rule: Gradient2, seen: Observation) -> f64 {
        let Some(now) = seen.round_trip.map(number) else { return self.limit };
        let count = self.observations.saturating_add(1);
        self.observations = count;
        self.usual = match count <= FIRST {
            true => (self.usual * f64::from(count - 1) + now) / f64::from(count),
            false => self.usual + (now - self.usual) * 2.0 / (LONG + 1.0),
        };
        let usual = self.usual;
        if usual > 2.0 * now {
            self.usual *= RECOVERY;
        }
        if !self.is_used(seen) {
            return self.limit;
        }
        let tolerance = f64::from(rule.tolerance_thousandths) / 1000.0;
        let gradient = (tolerance * usual / now).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + f64::from(rule.queue);
        self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING
    }

    fn vegas(&mut self, rule: Vegas, seen: Observation) -> f64 {
        let logarithm = f64::from(self.limit().checked_ilog10().unwrap_or(0).max(1));
        if seen.has_losses {
            return self.limit - logarithm;
        }
        let Some(now) = seen.round_trip else { return self.limit };
        self.since_probe += 1;
        let is_due = self.since_probe >= u64::from(rule.probe) * u64::from(self.limit());
        if is_due || self.least == Nanoseconds::ZERO || now < self.least {
            if is_due {
                self.since_probe = 0;
            }
            self.least = now;
            return self.limit;
        }
        if !self.is_used(seen) {
            return self.limit;
        }
        let beyond = number(Nanoseconds(now.0 - self.least.0));
        let waiting = (self.limit * beyond / number(now)).ceil();
        let [alpha, beta] = [rule.alpha, rule.beta].map(|times| f64::from(times) * logarithm);
        match () {
            () if waiting <= logarithm => self.limit + beta,
            () if waiting < alpha => self.limit + logarithm,
            () if waiting > beta => self.limit - logarithm,
            () => self.limit,
        }
    }

    /// Whether enough of the limit is in use to say that more would be.
    fn is_used(&self, seen: Observation) -> bool {
        2.0 * f64::from(seen.in_flight) >= self.limit
    }
}

fn bounded(rules: &Adaptive, limit: f64) -> f64 {
    let min = rules.min.max(1);
    limit.clamp(f64::from(min), f64::from(rules.max.max(min)))
}

#[expect(clippy::cast_precision_loss, reason = "15 digits of a round trip are enough")]
const fn number(time: Nanoseconds) -> f64 {
    time.0 as f64
}

impl Window {
    /// Takes in an answer; what the window says, if it is over.
    fn observe(
        &mut self,
        length: Nanoseconds,
        in_flight: u32,
        answer: Answer,
        now: Time,
    ) -> Option<Observation> {
        self.answers = self.answers.saturating_add(1);
        self.in_flight = self.in_flight.max(in_flight);
        self.has_losses |= !matches!(answer, Answer::Served(_));
        if let Answer::Served(time) | Answer::Late(time) = answer {
            self.timed = self.timed.saturating_add(1);
            // Nothing takes no time: a round trip is divided by.
            self.sum = self.sum.saturating_add(time.0.max(1));
        }
        let is_single = length == Nanoseconds::ZERO;
        let is_over = now.since(self.began) >= length && self.answers >= ANSWERS_LEAST;
        if !is_single && !is_over {
            return None;
        }
        let Window { timed, sum, in_flight, has_losses, .. } = *self;
        *self = Window { began: now, ..Window::default() };
        let round_trip = sum.checked_div(timed.into()).map(Nanoseconds);
        Some(Observation { in_flight, round_trip, has_losses })
    }
}

#[cfg(test)]
#[path = "adaptive_tests.rs"]
mod tests;

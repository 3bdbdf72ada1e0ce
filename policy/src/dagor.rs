//! Overload control by priorities: while requests wait for too long in the queues of an app, it takes
//! the most important ones only, and those of the same users all the time.
//!
//! The rules are those of Zhou et al., "Overload Control for Scaling `WeChat` Microservices", SoCC 2018
//! (DAGOR), 4.2, with the errata of its third version on arXiv. A request has a compound priority: first by what it is for (here: by what its tenant
//! pays, [`Class`]), then by its user, by a hash into 128 levels that is drawn anew each hour. A level
//! is a place in this order; who stands behind it is refused. At the end of each window (a second,
//! or 2,000 requests) the app is overloaded if those that were begun have waited for too long, on
//! average. Then the level moves so far that 5 % less of what was let in would have been, or else
//! that 1 % more of what came would have been, by a histogram of what came.
//!
//! Users have one level for an hour, because most of what a platform does for somebody is several
//! requests: with a level for each request, or a chance, nearly all of them would be refused at some
//! step. And it is drawn anew, so that nobody is always the last.
//!
//! What differs from the source:
//! - A gate is that of an app, and counts over all of its queues: gateways ask it before a target is
//!   chosen, so refused requests cost nothing but the question. In the source each server has its own
//!   and tells its clients of its level with each answer; a level that is known at once, of machines
//!   that are alike and balanced, is the limit of that. Gateways behind a network have a gate each, and
//!   hear by reports what has begun.
//! - Waits count where work begins, so a window in which nothing has begun though something was let
//!   in says nothing, and goes on. (Work of minutes makes longer windows of itself.)
//! - The wait that is too long may also be said in parts of the work ([`Dagor::service_thousandths`]):
//!   20 ms are for services of milliseconds.

use serde::{Deserialize, Serialize};

use crate::queue::Classes;
use crate::random::{Purpose, Words};
use crate::{Class, Nanoseconds, Refusal, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dagor {
    /// An app is overloaded if requests wait for longer than this on average …
    pub target: Nanoseconds,
    /// … and for longer than this part of the work that they take on average, in thousandths.
    pub service_thousandths: u32,
    /// A window is over after this time …
    pub window: Nanoseconds,
    /// … or after so many requests.
    pub requests: u32,
    /// How much less of what was let in is let in after an overload, in thousandths.
    pub cut_thousandths: u32,
    /// How much more of what came is let in otherwise, in thousandths.
    pub grow_thousandths: u32,
    /// Whether paid requests go before free ones (apart), or only users differ (together).
    pub classes: Classes,
    /// After this time users get other levels.
    pub redraw: Nanoseconds,
}

impl Dagor {
    /// The source's 20 ms, 1 s, 2,000, 5 %, 1 % and an hour; half of the work is ours.
    pub const DEFAULT: Dagor = Dagor {
        target: Nanoseconds::from_milliseconds(20),
        service_thousandths: 500,
        window: Nanoseconds::from_seconds(1),
        requests: 2_000,
        cut_thousandths: 50,
        grow_thousandths: 10,
        classes: Classes::Apart,
        redraw: Nanoseconds::from_seconds(3600),
    };

    /// The priority of a request now; 0 is the highest. Everybody who asks gets the same answer.
    #[must_use]
    pub fn priority(&self, class: Class, user: u32, now: Time) -> Priority {
        let epoch = now.0 / self.redraw.0.max(1);
        let word = Words::new(epoch, Purpose::UserLevel, 0).at(user.into());
        let level = (word >> (64 - USER_BITS)) as u8;
        Priority(match (self.classes, class) {
            (Classes::Apart, Class::Free) => level + USER_LEVELS,
            (Classes::Apart, Class::Paid) | (Classes::Together, _) => level,
        })
    }

    /// The level that lets everybody in.
    const fn lowest(&self) -> Priority {
        match self.classes {
            Classes::Apart => Priority(u8::MAX),
            Classes::Together => Priority(USER_LEVELS - 1),
        }
    }
}

/// A place in the order of importance, from 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Priority(pub u8);

/// Levels of users have so many bits.
const USER_BITS: u32 = 7;
/// Levels of users (4.2.2).
const USER_LEVELS: u8 = 1 << USER_BITS;

/// What the requests of an app were like that were begun in a window. The order in which they are
/// counted doesn't matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Begun {
    /// How many.
    pub requests: u64,
    /// How long they have waited in queues, in all.
    pub waited: Nanoseconds,
    /// How long they are expected to take, in all.
    pub work: Nanoseconds,
}

impl Begun {
    /// One more has begun.
    pub const fn count(&mut self, waited: Nanoseconds, work: Nanoseconds) {
        self.requests = self.requests.saturating_add(1);
        self.waited.0 = self.waited.0.saturating_add(waited.0);
        self.work.0 = self.work.0.saturating_add(work.0);
    }

    /// More have begun.
    pub const fn add(&mut self, more: Begun) {
        self.requests = self.requests.saturating_add(more.requests);
        self.waited.0 = self.waited.0.saturating_add(more.waited.0);
        self.work.0 = self.work.0.saturating_add(more.work.0);
    }

    /// Whether they have waited for too long.
    #[must_use]
    pub fn is_overload(&self, rules: &Dagor) -> bool {
        let waited = u128::from(self.waited.0);
        waited > u128::from(rules.target.0) * u128::from(self.requests)
            && waited * 1000 > u128::from(self.work.0) * u128::from(rules.service_thousandths)
    }
}

/// The gate of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The lowest priority that is let in.
    level: Priority,
    /// When the window began.
    began: Time,
    /// How many requests have come in it.
    arrived: u64,
    /// How many of each priority.
    came: Vec<u32>,
}

impl Gate {
    /// Everybody is let in.
    #[must_use]
    pub fn new(rules: &Dagor) -> Self {
        let lowest = rules.lowest();
        let came = vec![0; usize::from(lowest.0) + 1];
        Gate { level: lowest, began: Time::ZERO, arrived: 0, came }
    }

    /// The lowest priority that is let in.
    #[must_use]
    pub const fn level(&self) -> Priority {
        self.level
    }

    /// Time has passed until now, and this has begun since the window began; if the window is over, the
    /// level moves, and `begun` is counted anew. Asked twice at one instant it changes nothing more.
    pub fn pass(&mut self, rules: &Dagor, begun: &mut Begun, now: Time) {
        let is_over =
            now.since(self.began) >= rules.window || self.arrived >= rules.requests.into();
        if !is_over || now == self.began {
            return;
        }
        let let_in = self.until(self.level);
        if begun.requests == 0 && let_in > 0 {
            return;
        }
        self.level = self.moved(rules, begun.is_overload(rules), let_in);
        (self.began, self.arrived) = (now, 0);
        self.came.fill(0);
        *begun = Begun::default();
    }

    /// A request comes: it counts, whatever becomes of it.
    ///
    /// # Errors
    /// [`Refusal::Overload`] if its priority is lower than the level.
    pub fn ask(&mut self, priority: Priority) -> Result<(), Refusal> {
        self.arrived = self.arrived.saturating_add(1);
        if let Some(came) = self.came.get_mut(usize::from(priority.0)) {
            *came = came.saturating_add(1);
        }
        if priority > self.level { Err(Refusal::Overload) } else { Ok(()) }
    }

    /// The level after a window.
    fn moved(&self, rules: &Dagor, is_overload: bool, let_in: u64) -> Priority {
        let mut level = self.level;
        let mut prefix = let_in.saturating_mul(1000);
        if is_overload {
            let kept = 1000u64.saturating_sub(rules.cut_thousandths.into());
            let wanted = let_in.saturating_mul(kept);
            // The most important ones are let in whatever happens.
            while prefix > wanted && level > Priority(0) {
                prefix = prefix.saturating_sub(self.count(level).saturating_mul(1000));
                level = Priority(level.0 - 1);
            }
        } else {
            let more = self.arrived.saturating_mul(rules.grow_thousandths.into());
            let wanted = prefix.saturating_add(more);
            while prefix < wanted && level < rules.lowest() {
                level = Priority(level.0 + 1);
                prefix = prefix.saturating_add(self.count(level).saturating_mul(1000));
            }
        }
        level
    }

    fn count(&self, priority: Priority) -> u64 {
        self.came.get(usize::from(priority.0)).copied().unwrap_or(0).into()
    }

    /// How many have come that are at least so important.
    fn until(&self, priority: Priority) -> u64 {
        self.came.iter().take(usize::from(priority.0) + 1).map(|came| u64::from(*came)).sum()
    }
}

#[cfg(test)]
#[path = "dagor_tests.rs"]
mod tests;

//! What a queue does that doesn't get empty any more: it takes the newest request first (adaptive
//! LIFO), and drops what has waited for too long when it is taken out (controlled delay).
//!
//! Both are Facebook's rules, from Maurer, "Fail at Scale", ACM Queue 13(8), 2015: a request may
//! wait for `interval` (N milliseconds there) in a queue that has been empty within the last
//! `interval`, and for `target` (M) in one that has not. That is not the control law of RFC 8289,
//! in which drops come closer and closer to each other: a server can't rely on its clients to slow
//! down. Its M = 5 ms and N = 100 ms are for requests of milliseconds; a target should be about
//! as long as a request takes. [`Law::Codel`] is the RFC's, with the same two lengths of time
//! ([`crate::codel`]).

use serde::{Deserialize, Serialize};

use crate::codel::Codel;
use crate::{Nanoseconds, Refusal, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overload {
    /// How long requests may wait in a queue that is overloaded.
    pub target: Nanoseconds,
    /// A queue that has not been empty for longer is overloaded; requests may wait so long in one
    /// that isn't.
    pub interval: Nanoseconds,
    /// Whether what has waited for longer is dropped.
    pub sheds: bool,
    /// What is dropped then.
    #[serde(default, skip_serializing_if = "Law::is_facebook")]
    pub law: Law,
}

/// What a queue drops that is overloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// Everything that has waited for longer than it may.
    #[default]
    Facebook,
    /// One, and then more and more often, as RFC 8289 says.
    Codel,
}

impl Law {
    /// Whether it is that which files from before there were others don't say.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_facebook(&self) -> bool {
        *self == Law::Facebook
    }
}

/// Since when something has been waiting in a queue without a break; meaningless if nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The last instant at which it was empty.
    pub since: Time,
}

impl Standing {
    /// A request comes into a queue in which nothing has been waiting.
    #[must_use]
    pub const fn begun(now: Time) -> Self {
        Standing { since: now }
    }

    /// Whether a queue in which something waits is overloaded.
    #[must_use]
    pub fn is_overloaded(self, rules: &Overload, now: Time) -> bool {
        now.since(self.since) > rules.interval
    }
}

/// How long a request may wait, by whether the queue was overloaded when it came.
#[must_use]
pub const fn patience(rules: &Overload, was_overloaded: bool) -> Nanoseconds {
    match was_overloaded {
        true => rules.target,
        false => rules.interval,
    }
}

/// A request that is taken out of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whether the queue was overloaded when it came.
    pub was_overloaded: bool,
    /// How long it has waited.
    pub waited: Nanoseconds,
    /// Whether others wait behind it.
    pub others: bool,
}

/// Whether a request that is taken out of a queue is still worked on.
///
/// # Errors
/// [`Refusal::Shed`].
pub fn take(rules: &Overload, codel: &mut Codel, taken: Taken, now: Time) -> Result<(), Refusal> {
    let Taken { was_overloaded, waited, others } = taken;
    match rules.law {
        _ if !rules.sheds => Ok(()),
        Law::Facebook if waited > patience(rules, was_overloaded) => Err(Refusal::Shed),
        Law::Facebook => Ok(()),
        Law::Codel => codel.take(rules.target, rules.interval, (waited, others), now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Overload = Overload {
        target: Nanoseconds(5),
        interval: Nanoseconds(100),
        sheds: true,
        law: Law::Facebook,
    };

    #[test]
    fn a_queue_is_overloaded_that_was_not_empty_for_longer_than_the_interval() {
        let standing = Standing::begun(Time(1000));
        for (now, is_overloaded) in [(1000, false), (1100, false), (1101, true), (9000, true)] {
            assert_eq!(standing.is_overloaded(&RULES, Time(now)), is_overloaded, "{now}");
        }
    }

    #[test]
    fn requests_wait_for_the_interval_or_the_target() {
        let table = [
            (false, 100, Ok(())),
            (false, 101, Err(Refusal::Shed)),
            (true, 5, Ok(())),
            (true, 6, Err(Refusal::Shed)),
        ];
        for (was_overloaded, waited, verdict) in table {
            let taken = Taken { was_overloaded, waited: Nanoseconds(waited), others: true };
            let take = |rules: &Overload| take(rules, &mut Codel::default(), taken, Time(7));
            assert_eq!(take(&RULES), verdict);
            assert_eq!(take(&Overload { sheds: false, ..RULES }), Ok(()));
            let law = Law::Codel;
            assert_eq!(take(&Overload { sheds: false, law, ..RULES }), Ok(()));
        }
    }

    /// The RFC's rule begins after an interval, whatever the first request has waited.
    #[test]
    fn the_law_says_what_is_dropped() {
        let rules = Overload { law: Law::Codel, ..RULES };
        let mut codel = Codel::default();
        let taken = Taken { was_overloaded: true, waited: Nanoseconds(500), others: true };
        assert_eq!(take(&rules, &mut codel, taken, Time(1000)), Ok(()));
        assert_eq!(take(&rules, &mut codel, taken, Time(1099)), Ok(()));
        assert_eq!(take(&rules, &mut codel, taken, Time(1100)), Err(Refusal::Shed));
        let last = Taken { others: false, ..taken };
        assert_eq!(take(&rules, &mut codel, last, Time(1300)), Ok(()));
    }
}

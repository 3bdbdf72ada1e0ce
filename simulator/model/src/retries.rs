//! Clients that try again. An attempt that is refused, that fails with its machine, or that has no
//! answer by the deadline of its command is followed by another one, after a back-off, as long as
//! the client may. A client that has given up an attempt tells nobody: the platform works on it to
//! its end, beside the attempts that follow. That is what makes storms.

use policy::random::{below, halves};
use policy::{Nanoseconds, Purpose, Time, Words};

use crate::Arrival;
use crate::model::Model;

/// How clients of a source try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// The most attempts, the first one included; at most [`Retries::MOST_ATTEMPTS`].
    pub attempts: u32,
    /// How long they wait before the next one.
    pub back_off: BackOff,
    /// In thousandths: a wait is drawn evenly between what is left without this part of it, and
    /// the whole. 1000 is "full jitter" (Brooker, "Exponential Backoff And Jitter", AWS 2015).
    pub jitter: u32,
    /// In thousandths: retries may be at most this part of the requests of the source, counted
    /// over the present and the last span of [`BUDGET_SPAN`]; no limit if absent (Google,
    /// "Site Reliability Engineering" 2016, chapter 21: 10 %).
    pub budget: Option<u32>,
}

/// How long clients wait before they try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackOff {
    /// Not at all.
    None,
    /// Always the same.
    Constant(Nanoseconds),
    /// Twice as long each time.
    Exponential {
        /// Before the second attempt.
        first: Nanoseconds,
        /// It doesn't grow beyond.
        most: Nanoseconds,
    },
}

/// Over how long a budget counts: long enough for a part of some requests to be one.
pub const BUDGET_SPAN: Nanoseconds = Nanoseconds::from_seconds(10);

/// Keys of requests have their attempts in these bits; requests of a source are fewer.
const ATTEMPT_SHIFT: u32 = 44;

impl Retries {
    /// Attempts have four bits in a key.
    pub const MOST_ATTEMPTS: u32 = 16;

    /// When the client of an attempt that came to nothing at `now` tries again.
    pub(crate) fn again(&self, words: Words, key: u64, attempt: u32, now: Time) -> Time {
        let whole = match self.back_off {
            BackOff::None => 0,
            BackOff::Constant(time) => time.0,
            BackOff::Exponential { first, most } => {
                let doubled = u128::from(first.0) << attempt.min(Self::MOST_ATTEMPTS);
                u64::try_from(doubled).unwrap_or(u64::MAX).min(most.0)
            }
        };
        let varied = u128::from(whole) * u128::from(self.jitter.min(1000)) / 1000;
        let word = u128::from(words.of(key_of(key, attempt)).word(0));
        let less = u64::try_from((word * (varied + 1)) >> 64).unwrap_or(0);
        now + Nanoseconds(whole - less.min(whole))
    }
}

/// The key of an attempt, from that of the first one.
pub(crate) const fn key_of(first: u64, attempt: u32) -> u64 {
    first | ((attempt as u64) << ATTEMPT_SHIFT)
}

/// The attempt that a key is of, counted from 0.
#[must_use]
pub const fn attempt_of(key: u64) -> u32 {
    (key >> ATTEMPT_SHIFT) as u32 & (Retries::MOST_ATTEMPTS - 1)
}

/// The key of the first attempt.
#[must_use]
pub const fn first_of(key: u64) -> u64 {
    key & !((Retries::MOST_ATTEMPTS as u64 - 1) << ATTEMPT_SHIFT)
}

/// The words of retries.
pub(crate) const fn words(seed: u64) -> Words {
    Words::new(seed, Purpose::Retry, 0)
}

/// An attempt of a request: the same work, but it may reach another gateway and another target.
pub(crate) fn attempt(model: &Model, first: &Arrival, attempt: u32, at: Time) -> Arrival {
    let key = key_of(first.key, attempt);
    let draw = words(model.seed).of(key);
    let gateways = u32::from(model.gateways.max(1));
    let gateway = u16::try_from(below(halves(draw.word(1)).0, gateways)).unwrap_or(0);
    Arrival { key, at, gateway, ..*first }
}

/// What the clients of a source have done lately.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    /// The present span.
    span: u64,
    /// Requests and retries in it, and in the one before.
    present: (u64, u64),
    last: (u64, u64),
}

impl Budget {
    fn pass(&mut self, now: Time) {
        let span = now.0 / BUDGET_SPAN.0;
        if span == self.span {
            return;
        }
        self.last = if span == self.span + 1 { self.present } else { (0, 0) };
        (self.span, self.present) = (span, (0, 0));
    }

    /// A request is sent for the first time.
    pub(crate) fn request(&mut self, now: Time) {
        self.pass(now);
        self.present.0 += 1;
    }

    /// Whether one more retry is within a budget; it is counted then.
    pub(crate) fn allows(&mut self, part: Option<u32>, now: Time) -> bool {
        self.pass(now);
        let (requests, retries) = (self.present.0 + self.last.0, self.present.1 + self.last.1 + 1);
        let within = part.is_none_or(|part| {
            u128::from(retries) * 1000 <= u128::from(requests) * u128::from(part)
        });
        self.present.1 += u64::from(within);
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_their_attempt() {
        let first = (7 << 48) | 123;
        for attempt in 0..Retries::MOST_ATTEMPTS {
            let key = key_of(first, attempt);
            assert_eq!((attempt_of(key), first_of(key)), (attempt, first));
        }
        assert_eq!(key_of(first, 0), first);
    }

    #[test]
    fn waits_double_up_to_the_most_and_vary_by_the_jitter() {
        let exponential =
            BackOff::Exponential { first: Nanoseconds(100), most: Nanoseconds(1_000) };
        let mut retries = Retries { attempts: 9, back_off: exponential, jitter: 0, budget: None };
        let wait = |retries: &Retries, key, attempt| {
            retries.again(words(1), key, attempt, Time(5)).since(Time(5)).0
        };
        let waits = |retries: &Retries| [0, 1, 2, 3, 4, 15].map(|n| wait(retries, 1, n));
        assert_eq!(waits(&retries), [100, 200, 400, 800, 1_000, 1_000]);
        retries.jitter = 500;
        let drawn: Vec<u64> = (0..2_000).map(|key| wait(&retries, key, 0)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&50), Some(&100)));
        let mean = drawn.iter().sum::<u64>() / 2_000;
        assert!((73..=77).contains(&mean), "{mean}");
        retries.back_off = BackOff::None;
        assert_eq!(waits(&retries), [0; 6]);
    }

    /// Against lists of all times.
    #[test]
    fn budgets_count_the_present_and_the_last_span() {
        let words = Words::new(3, Purpose::Retry, 9);
        for part in [Some(100), None] {
            let (mut budget, mut now) = (Budget::default(), 0);
            let (mut requests, mut retries): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            let mut refused = 0;
            for step in 0..3_000 {
                now += words.at(step) % 40_000_000 * u64::from(step % 500 != 0)
                    + 9_000_000_000 * u64::from(step % 500 == 0);
                if words.at(step) >> 60 < 11 {
                    budget.request(Time(now));
                    requests.push(now);
                    continue;
                }
                let span = |at: u64| at / BUDGET_SPAN.0;
                let lately =
                    |times: &[u64]| times.iter().filter(|at| span(**at) + 1 >= span(now)).count();
                let wanted = part.is_none_or(|part| {
                    (lately(&retries) + 1) * 1000 <= lately(&requests) * part as usize
                });
                assert_eq!(budget.allows(part, Time(now)), wanted, "step {step}");
                if wanted { retries.push(now) } else { refused += 1 }
            }
            assert_eq!(refused > 0, part.is_some(), "{part:?}");
        }
    }
}

//! How long a request would probably wait, and whether that is too long: a bound of a queue that
//! means the same for commands of milliseconds and of minutes.
//!
//! The prediction: the work that goes before it, and what is left of the work that is being done, by
//! all instances of the target. Of work without memory as much is left as in the beginning, so the
//! first of c instances is free in a c-th of that, and with requests that are alike the prediction is
//! exact: (n + 1)·s/c behind n requests (M/M/c; Kleinrock, "Queueing Systems" I, 1975, 3.5). In a
//! queue in which newer requests may go first it is too short.

use serde::{Deserialize, Serialize};

use crate::admission::{Admission, Candidate, Deadlines};
use crate::queue::{Order, Queue};
use crate::{Class, Nanoseconds, Refusal, Time};

/// The longest predicted wait for which a request queues, by class; no bound if absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LongestWait {
    /// Of a free one.
    pub free: Option<Nanoseconds>,
    /// Of a paid one.
    pub paid: Option<Nanoseconds>,
}

/// What rules ask of a predicted wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The longest one.
    pub longest: LongestWait,
    /// Whether the request must be answered in time behind it.
    pub in_time: bool,
    order: Order,
}

impl Asked {
    /// Nothing, if no rule asks.
    #[must_use]
    pub fn new(admission: &Admission, queue: &Queue) -> Option<Self> {
        let in_time = admission.deadlines == Deadlines::Predict;
        let is_asked = in_time || queue.longest_wait.is_some();
        let longest = queue.longest_wait.unwrap_or_default();
        is_asked.then_some(Asked { longest, in_time, order: queue.order })
    }

    /// How long a request would wait.
    #[must_use]
    pub fn wait(&self, class: Class, at: &Ahead) -> Nanoseconds {
        wait(self.order, class, at)
    }
}

/// What there is at a target, in work: sums of how long requests are expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ahead {
    /// Of requests that wait or come, by class, in the order of [`Class::ALL`].
    pub waiting: [Nanoseconds; 2],
    /// Of requests that are worked on.
    pub running: Nanoseconds,
    /// How many requests could be worked on at a time by those who are here.
    pub places: u32,
    /// Whether the request would start at once.
    pub idle: bool,
}

impl LongestWait {
    /// The bound of a class.
    #[must_use]
    pub const fn of(&self, class: Class) -> Option<Nanoseconds> {
        match class {
            Class::Free => self.free,
            Class::Paid => self.paid,
        }
    }
}

/// How long a request would wait.
#[must_use]
pub fn wait(order: Order, class: Class, at: &Ahead) -> Nanoseconds {
    if at.idle || at.places == 0 {
        return Nanoseconds::ZERO;
    }
    let [free, paid] = at.waiting;
    let before = match (order, class) {
        (Order::Priority, Class::Paid) => paid.0,
        (Order::Priority, Class::Free)
        | (Order::Fifo | Order::DeficitRoundRobin | Order::AdaptiveLifo, _) => {
            free.0.saturating_add(paid.0)
        }
    };
    let places = u64::from(at.places);
    Nanoseconds(before.saturating_add(at.running.0 / places) / places)
}

/// Whether a request may queue.
///
/// # Errors
/// [`Refusal::LongWait`]; [`Refusal::Deadline`] if it would begin so late that its answer would
/// probably be late.
pub fn enqueue(
    asked: &Asked,
    class: Class,
    candidate: Candidate,
    at: &Ahead,
    now: Time,
) -> Result<(), Refusal> {
    let wait = asked.wait(class, at);
    if asked.longest.of(class).is_some_and(|longest| wait > longest) {
        return Err(Refusal::LongWait);
    }
    if asked.in_time { in_time(candidate, now + wait) } else { Ok(()) }
}

/// Whether work that begins then is probably done in time.
///
/// # Errors
/// [`Refusal::Deadline`].
pub fn in_time(candidate: Candidate, start: Time) -> Result<(), Refusal> {
    match start + candidate.usual > candidate.deadline {
        true => Err(Refusal::Deadline),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Ahead = Ahead {
        waiting: [Nanoseconds(300), Nanoseconds(100)],
        running: Nanoseconds(80),
        places: 4,
        idle: false,
    };

    #[test]
    fn waits_are_work_by_instances() {
        let table = [
            (Order::Fifo, Class::Paid, 105),
            (Order::Fifo, Class::Free, 105),
            (Order::Priority, Class::Paid, 30),
            (Order::Priority, Class::Free, 105),
            (Order::DeficitRoundRobin, Class::Paid, 105),
            (Order::AdaptiveLifo, Class::Free, 105),
        ];
        for (order, class, nanoseconds) in table {
            assert_eq!(wait(order, class, &AT), Nanoseconds(nanoseconds), "{order:?} {class:?}");
            assert_eq!(wait(order, class, &Ahead { idle: true, ..AT }), Nanoseconds::ZERO);
            assert_eq!(wait(order, class, &Ahead { places: 0, ..AT }), Nanoseconds::ZERO);
        }
    }

    /// Behind n requests that are alike, on c instances that all work: (n + 1)·s/c.
    #[test]
    fn requests_that_are_alike_wait_as_long_as_theory_says() {
        for places in 1u32..9 {
            for requests in 0..20 {
                let service = 840 * u64::from(places);
                let at = Ahead {
                    waiting: [Nanoseconds(service * requests), Nanoseconds::ZERO],
                    running: Nanoseconds(service * u64::from(places)),
                    places,
                    idle: false,
                };
                let exact = (requests + 1) * service / u64::from(places);
                assert_eq!(wait(Order::Fifo, Class::Free, &at), Nanoseconds(exact));
            }
        }
    }

    fn asked(longest: LongestWait, order: Order, deadlines: Deadlines) -> Asked {
        let queue = Queue { longest_wait: Some(longest), order, ..Queue::OPEN };
        Asked::new(&Admission { deadlines, ..Admission::default() }, &queue).unwrap()
    }

    const NEVER: Candidate = Candidate { deadline: Time(u64::MAX), usual: Nanoseconds(7) };

    #[test]
    fn bounds_are_by_class() {
        let verdict = |longest, class| {
            let asked = asked(longest, Order::Fifo, Deadlines::Refuse);
            enqueue(&asked, class, NEVER, &AT, Time::ZERO)
        };
        let longest = LongestWait { free: Some(Nanoseconds(104)), paid: None };
        assert_eq!(verdict(longest, Class::Free), Err(Refusal::LongWait));
        assert_eq!(verdict(longest, Class::Paid), Ok(()));
        let longest = LongestWait { free: Some(Nanoseconds(105)), paid: Some(Nanoseconds(0)) };
        assert_eq!(verdict(longest, Class::Free), Ok(()));
        assert_eq!(verdict(longest, Class::Paid), Err(Refusal::LongWait));
    }

    /// A wait of 105 (30 for paid ones that go first) and work of 50, from 1000 on.
    #[test]
    fn deadlines_hold_behind_the_wait() {
        let table = [
            (Order::Fifo, Class::Paid, 1155, Ok(())),
            (Order::Fifo, Class::Paid, 1154, Err(Refusal::Deadline)),
            (Order::Priority, Class::Paid, 1080, Ok(())),
            (Order::Priority, Class::Paid, 1079, Err(Refusal::Deadline)),
            (Order::Priority, Class::Free, 1154, Err(Refusal::Deadline)),
            (Order::Fifo, Class::Free, u64::MAX, Ok(())),
        ];
        for (order, class, deadline, verdict) in table {
            let candidate = Candidate { deadline: Time(deadline), usual: Nanoseconds(50) };
            let predict = asked(LongestWait::default(), order, Deadlines::Predict);
            assert_eq!(enqueue(&predict, class, candidate, &AT, Time(1000)), verdict);
            // Who looks at medians only doesn't ask here.
            let refuse = asked(LongestWait::default(), order, Deadlines::Refuse);
            assert_eq!(enqueue(&refuse, class, candidate, &AT, Time(1000)), Ok(()));
        }
        for (start, verdict) in [(1105, Ok(())), (1106, Err(Refusal::Deadline))] {
            let candidate = Candidate { deadline: Time(1155), usual: Nanoseconds(50) };
            assert_eq!(in_time(candidate, Time(start)), verdict);
        }
    }

    #[test]
    fn nothing_is_predicted_that_nobody_asks_for() {
        let with = |deadlines| Admission { deadlines, ..Admission::default() };
        for deadlines in [Deadlines::Ignore, Deadlines::Refuse] {
            assert_eq!(Asked::new(&with(deadlines), &Queue::OPEN), None);
        }
        assert!(Asked::new(&with(Deadlines::Predict), &Queue::OPEN).unwrap().in_time);
    }
}

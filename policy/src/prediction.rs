//! How long a request would probably wait, and whether that is too long: a bound of a queue that
//! means the same for commands of milliseconds and of minutes.
//!
//! The prediction: the work that goes before it, and what is left of the work that is being done, by
//! all instances of the target. Of work without memory as much is left as in the beginning, so the
//! first of c instances is free in a c-th of that, and with requests that are alike the prediction is
//! exact: (n + 1)·s/c behind n requests (M/M/c; Kleinrock, "Queueing Systems" I, 1975, 3.5). In a
//! queue in which newer requests may go first it is too short.

use serde::{Deserialize, Serialize};

use crate::queue::Order;
use crate::{Class, Nanoseconds, Refusal};

/// The longest predicted wait for which a request queues, by class; no bound if absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LongestWait {
    /// Of a free one.
    pub free: Option<Nanoseconds>,
    /// Of a paid one.
    pub paid: Option<Nanoseconds>,
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
/// [`Refusal::LongWait`].
pub fn enqueue(rules: &LongestWait, order: Order, class: Class, at: &Ahead) -> Result<(), Refusal> {
    match rules.of(class) {
        Some(longest) if wait(order, class, at) > longest => Err(Refusal::LongWait),
        Some(_) | None => Ok(()),
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

    #[test]
    fn bounds_are_by_class() {
        let rules = LongestWait { free: Some(Nanoseconds(104)), paid: None };
        assert_eq!(enqueue(&rules, Order::Fifo, Class::Free, &AT), Err(Refusal::LongWait));
        assert_eq!(enqueue(&rules, Order::Fifo, Class::Paid, &AT), Ok(()));
        let rules = LongestWait { free: Some(Nanoseconds(105)), paid: Some(Nanoseconds(0)) };
        assert_eq!(enqueue(&rules, Order::Fifo, Class::Free, &AT), Ok(()));
        assert_eq!(enqueue(&rules, Order::Fifo, Class::Paid, &AT), Err(Refusal::LongWait));
    }
}

//! The state against the pseudocode of RFC 8289, section 5, which takes out of a queue until it has
//! something to deliver; and against what section 4 says of steady queues.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// The pseudocode, with its names.
#[derive(Debug, Default)]
struct Rfc {
    queue: VecDeque<u64>,
    first_above_time: u64,
    drop_next: u64,
    count: u32,
    lastcount: u32,
    dropping: bool,
    drops: Vec<u64>,
}

impl Rfc {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number, rounded down"
    )]
    fn control_law(t: u64, interval: u64, count: u32) -> u64 {
        t + (interval as f64 / f64::from(count).sqrt()) as u64
    }

    fn dodequeue(&mut self, target: u64, interval: u64, now: u64) -> (Option<u64>, bool) {
        let Some(came) = self.queue.pop_front() else {
            self.first_above_time = 0;
            return (None, false);
        };
        if now - came < target || self.queue.is_empty() {
            self.first_above_time = 0;
            return (Some(came), false);
        }
        if self.first_above_time == 0 {
            self.first_above_time = now + interval;
            return (Some(came), false);
        }
        (Some(came), now >= self.first_above_time)
    }

    fn dequeue(&mut self, target: u64, interval: u64, now: u64) -> Option<u64> {
        let (mut packet, mut ok_to_drop) = self.dodequeue(target, interval, now);
        if self.dropping {
            if !ok_to_drop {
                self.dropping = false;
            }
            while now >= self.drop_next && self.dropping {
                self.drops.extend(packet);
                self.count += 1;
                (packet, ok_to_drop) = self.dodequeue(target, interval, now);
                if ok_to_drop {
                    self.drop_next = Rfc::control_law(self.drop_next, interval, self.count);
                } else {
                    self.dropping = false;
                }
            }
        } else if ok_to_drop {
            self.drops.extend(packet);
            (packet, _) = self.dodequeue(target, interval, now);
            self.dropping = true;
            let delta = self.count - self.lastcount;
            self.count = 1;
            if delta > 1 && now.saturating_sub(self.drop_next) < 16 * interval {
                self.count = delta;
            }
            self.drop_next = Rfc::control_law(now, interval, self.count);
            self.lastcount = self.count;
        }
        packet
    }
}

/// The same queue with the state.
#[derive(Debug, Default)]
struct Ours {
    queue: VecDeque<u64>,
    codel: Codel,
    drops: Vec<u64>,
}

impl Ours {
    fn dequeue(&mut self, target: u64, interval: u64, now: u64) -> Option<u64> {
        while let Some(came) = self.queue.pop_front() {
            let seen = (Nanoseconds(now - came), !self.queue.is_empty());
            let (target, interval) = (Nanoseconds(target), Nanoseconds(interval));
            match self.codel.take(target, interval, seen, Time(now)) {
                Ok(()) => return Some(came),
                Err(cause) => {
                    assert_eq!(cause, Refusal::Shed);
                    self.drops.push(came);
                }
            }
        }
        self.codel.rest();
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn requests_are_dropped_as_the_pseudocode_drops_packets(
        target in 0u64..40,
        interval in 1u64..200,
        // Busy and idle times: how many come, and how long until the next one is taken out.
        phases in proptest::collection::vec((0usize..4, 1u64..60, 1usize..80), 1..8),
    ) {
        let (mut rfc, mut ours) = (Rfc::default(), Ours::default());
        let mut now = 1;
        for (come, after, steps) in phases {
            for _ in 0..steps {
                now += after;
                rfc.queue.extend(std::iter::repeat_n(now, come));
                ours.queue.extend(std::iter::repeat_n(now, come));
                let served = rfc.dequeue(target, interval, now);
                prop_assert_eq!(ours.dequeue(target, interval, now), served);
                prop_assert_eq!(&ours.drops, &rfc.drops);
                prop_assert_eq!(&ours.queue, &rfc.queue);
            }
        }
    }
}

/// A queue that is always too long, from which one is taken out each nanosecond.
#[test]
fn the_nth_drop_follows_after_a_part_of_the_interval() {
    let (mut codel, mut drops) = (Codel::default(), Vec::new());
    let mut now = 1_000;
    while drops.len() < 6 {
        let seen = (Nanoseconds(50), true);
        if codel.take(Nanoseconds(5), Nanoseconds(100), seen, Time(now)).is_err() {
            drops.push(now);
        }
        now += 1;
    }
    // After an interval, and then 100/√1, 100/√2 = 70, 100/√3 = 57, 100/√4 and 100/√5 = 44.
    assert_eq!(drops, [1100, 1200, 1270, 1327, 1377, 1421]);
}

#[test]
fn a_queue_that_is_emptied_now_and_then_loses_nothing() {
    let mut codel = Codel::default();
    for now in 0..10_000 {
        // The last one of each ninety.
        let seen = (Nanoseconds(50), now % 90 != 0);
        assert_eq!(codel.take(Nanoseconds(5), Nanoseconds(100), seen, Time(now)), Ok(()));
    }
}

/// Who comes to an empty queue finds no rest of what was before, even with an interval of nothing.
#[test]
fn an_empty_queue_begins_anew() {
    let take = |codel: &mut Codel, others, now| {
        let seen = (Nanoseconds(50), others);
        codel.take(Nanoseconds(0), Nanoseconds(0), seen, Time(now))
    };
    let mut codel = Codel::default();
    assert_eq!(take(&mut codel, true, 96), Err(Refusal::Shed));
    assert_eq!(take(&mut codel, false, 96), Ok(()));
    codel.rest();
    let fresh = &mut Codel { count: 1, first_count: 1, next: codel.next, ..Codel::default() };
    assert_eq!(&mut codel, fresh);
    // The first one is dropped and the second is not, whatever it has waited.
    assert_eq!(take(&mut codel, true, 194), Err(Refusal::Shed));
    assert_eq!(take(&mut codel, true, 194), Ok(()));
}

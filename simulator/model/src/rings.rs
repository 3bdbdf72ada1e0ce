//! Queues of a line: for each target the times at which waiting requests begin.

use simulator_kernel::row::{self, Aligned};

/// A ring of ascending numbers below 2⁶³ for each target, all of the same capacity. What is at most a limit
/// that never falls is dead, and its slot is free.
///
/// Short rings are never tidied up: who looks counts the living slots, a vector comparison or two.
/// Long ones drop their dead when somebody looks.
#[derive(Debug)]
pub(crate) struct Rings {
    capacity: usize,
    slots: Aligned<u64>,
    ends: Vec<Ends>,
}

/// Where a long ring begins, and how much it holds; of a short one, where the next number goes.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    head: u32,
    length: u32,
}

/// Rings begin with this capacity; a power of two, and a vector of the widest kind.
const FIRST_CAPACITY: usize = 8;
/// Up to this capacity rings are short.
const SHORT: usize = 16;

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "rings are below their number, places are masked; capacities are below 2^32"
)]
impl Rings {
    /// Empty rings.
    pub(crate) fn new(count: usize) -> Self {
        Rings {
            capacity: FIRST_CAPACITY,
            slots: Aligned::new(count * FIRST_CAPACITY, 0),
            ends: vec![Ends::default(); count],
        }
    }

    /// How many numbers are above the limit.
    #[inline(always)]
    pub(crate) fn length(&mut self, ring: usize, limit: u64) -> u32 {
        match self.capacity {
            FIRST_CAPACITY => {
                row::count_ahead(self.slots.cut(ring * FIRST_CAPACITY, FIRST_CAPACITY), limit)
            }
            SHORT => row::count_ahead(self.slots.cut(ring * SHORT, SHORT), limit),
            _ => self.long_length(ring, limit),
        }
    }

    /// Adds that of each ring.
    #[inline(always)]
    pub(crate) fn add_lengths(&mut self, limit: u64, lengths: &mut [u32]) {
        match self.capacity {
            FIRST_CAPACITY => self.add_short_lengths::<FIRST_CAPACITY>(limit, lengths),
            SHORT => self.add_short_lengths::<SHORT>(limit, lengths),
            _ => {
                for (length, ring) in lengths.iter_mut().zip(0..) {
                    *length += self.long_length(ring, limit);
                }
            }
        }
    }

    #[inline(always)]
    fn add_short_lengths<const CAPACITY: usize>(&self, limit: u64, lengths: &mut [u32]) {
        let (rings, _) = self.slots.as_chunks::<CAPACITY>();
        for (length, ring) in lengths.iter_mut().zip(rings) {
            *length += row::count_ahead(ring, limit);
        }
    }

    #[inline(always)]
    fn place(&self, ring: usize, number: u32) -> usize {
        ring * self.capacity + (number as usize & (self.capacity - 1))
    }

    /// Of a long ring; drops what is dead. No part of loops that don't need it.
    #[inline(never)]
    fn long_length(&mut self, ring: usize, limit: u64) -> u32 {
        let Ends { mut head, mut length } = self.ends[ring];
        while length > 0 && self.slots[self.place(ring, head)] <= limit {
            head = head.wrapping_add(1);
            length -= 1;
        }
        self.ends[ring] = Ends { head, length };
        length
    }

    /// Takes in a number that is at least all others.
    #[inline(always)]
    pub(crate) fn push(&mut self, ring: usize, value: u64, limit: u64) {
        let is_full = if self.capacity <= SHORT {
            // The slot that comes next is the oldest one.
            self.slots[self.place(ring, self.ends[ring].head)] > limit
        } else {
            self.length(ring, limit) as usize == self.capacity
        };
        if is_full {
            self.grow(limit);
        }
        let Ends { head, length } = self.ends[ring];
        let (next, ends) = if self.capacity <= SHORT {
            (head, Ends { head: head.wrapping_add(1), length })
        } else {
            (head.wrapping_add(length), Ends { head, length: length + 1 })
        };
        let place = self.place(ring, next);
        self.slots[place] = value;
        self.ends[ring] = ends;
    }

    /// The number that was taken in last, if it lives; else any that doesn't.
    pub(crate) fn newest(&self, ring: usize) -> u64 {
        let Ends { head, length } = self.ends[ring];
        let next = if self.capacity <= SHORT { head } else { head.wrapping_add(length) };
        self.slots[self.place(ring, next.wrapping_sub(1))]
    }

    /// The living, oldest first.
    fn iterate(&self, ring: usize, limit: u64) -> impl Iterator<Item = &u64> {
        let Ends { head, length } = self.ends[ring];
        let count = if self.capacity <= SHORT { self.capacity as u32 } else { length };
        let places = (0..count).map(move |number| self.place(ring, head.wrapping_add(number)));
        places.map(|place| &self.slots[place]).filter(move |value| **value > limit)
    }

    /// How many of the living are of each class.
    pub(crate) fn by_class(&self, ring: usize, limit: u64) -> [u32; 2] {
        let mut counts = [0, 0];
        for stamp in self.iterate(ring, limit) {
            counts[(stamp & 1) as usize] += 1;
        }
        counts
    }

    /// Twice the capacity for all rings, the living at their beginning.
    #[cold]
    fn grow(&mut self, limit: u64) {
        let capacity = self.capacity * 2;
        let mut slots = Aligned::new(self.ends.len() * capacity, 0);
        let mut ends = Vec::with_capacity(self.ends.len());
        for (ring, places) in slots.chunks_mut(capacity).enumerate() {
            let mut length = 0;
            for (place, value) in places.iter_mut().zip(self.iterate(ring, limit)) {
                *place = *value;
                length += 1;
            }
            let short = Ends { head: length, length: 0 };
            ends.push(if capacity <= SHORT { short } else { Ends { head: 0, length } });
        }
        *self = Rings { capacity, slots, ends };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rings_are_queues(
            steps in proptest::collection::vec((0usize..3, 1u64..5, 0u64..5), 0..300),
            behind in 1u64..150,
        ) {
            let mut rings = Rings::new(3);
            let mut queues = vec![Vec::<u64>::new(); 3];
            let (mut last, mut limit) = (0, 1);
            for (ring, more, ahead) in steps {
                last += more;
                rings.push(ring, last, limit);
                queues[ring].push(last);
                limit = limit.max((last + ahead).saturating_sub(behind));
                for (ring, queue) in queues.iter_mut().enumerate() {
                    queue.retain(|value| *value > limit);
                    prop_assert_eq!(rings.length(ring, limit) as usize, queue.len());
                    let seen: Vec<u64> = rings.iterate(ring, limit).copied().collect();
                    prop_assert_eq!(&seen, &*queue);
                    let odd = queue.iter().filter(|value| **value % 2 == 1).count();
                    prop_assert_eq!(rings.by_class(ring, limit)[1] as usize, odd);
                    match queue.last() {
                        Some(newest) => prop_assert_eq!(rings.newest(ring), *newest),
                        None => prop_assert!(rings.newest(ring) <= limit),
                    }
                }
            }
        }
    }
}

//! Things that end at known times, handed out when their time has come: a hierarchical timing wheel
//! (Varghese and Lauck 1987) in constant time for each. What ends at the same advance comes in no
//! particular order, so only what commutes (counters) may depend on it.

/// A wheel. Items are small and copied.
#[derive(Debug)]
pub struct Wheel<T> {
    /// A tick is 2 to the power of this in nanoseconds.
    tick_bits: u32,
    /// The tick up to which everything has been handed out, except for a rest in its own slot.
    tick: u64,
    levels: [Level; LEVELS],
    /// Entries of all slots, linked to lists.
    entries: Vec<Entry<T>>,
    free: u32,
    length: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry<T> {
    time: u64,
    next: u32,
    item: T,
}

#[derive(Debug)]
struct Level {
    /// The first entry of each slot.
    heads: Vec<u32>,
    /// One bit for each slot that isn't empty.
    filled: [u64; SLOTS / 64],
}

const NOTHING: u32 = u32::MAX;
/// Ticks are within these powers of two: 64 ns to 67 ms.
const TICK_BITS: (u32, u32) = (6, 26);
const SLOT_BITS: u32 = 10;
const SLOTS: usize = 1 << SLOT_BITS;
/// 2⁴⁰ ticks: with 8 µs each, 104 days. Later times wait in the last level and are looked at again.
const LEVELS: usize = 4;

impl<T: Copy> Wheel<T> {
    /// An empty wheel whose ticks are about as long as the gap between two advances, in
    /// nanoseconds: then most advances look at one slot or two. Any gap is correct.
    #[must_use]
    pub fn new(gap: u64) -> Self {
        let level = || Level { heads: vec![NOTHING; SLOTS], filled: [0; SLOTS / 64] };
        Wheel {
            tick_bits: gap.max(1).ilog2().clamp(TICK_BITS.0, TICK_BITS.1),
            tick: 0,
            levels: [level(), level(), level(), level()],
            entries: Vec::new(),
            free: NOTHING,
            length: 0,
        }
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "slots are masked to the length of their tables, links are made by this module"
)]
impl<T: Copy> Wheel<T> {
    /// How many things have not ended yet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether everything has ended.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes in something that ends at a time.
    #[inline]
    pub fn insert(&mut self, time: u64, item: T) {
        let entry = Entry { time, next: NOTHING, item };
        let index = if self.free == NOTHING {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let index = self.free;
            let place = &mut self.entries[index as usize];
            self.free = place.next;
            *place = entry;
            index
        };
        self.length += 1;
        self.link(index);
    }

    /// Hands out everything that ends at `now` or before.
    #[inline]
    pub fn advance(&mut self, now: u64, mut ended: impl FnMut(T)) {
        let goal = now >> self.tick_bits;
        while self.tick < goal {
            self.drain(u64::MAX, &mut ended);
            self.step(goal);
        }
        self.drain(now, &mut ended);
    }

    /// Puts an entry into the slot of its time, seen from the present tick.
    #[inline]
    fn link(&mut self, index: u32) {
        let tick = (self.entries[index as usize].time >> self.tick_bits).max(self.tick);
        // The highest digit in which the two ticks differ is the level.
        let differs = 63 - ((tick ^ self.tick) | 1).leading_zeros();
        let level = ((differs / SLOT_BITS) as usize).min(LEVELS - 1);
        let slot = ((tick >> (SLOT_BITS * level as u32)) as usize) & (SLOTS - 1);
        let level = &mut self.levels[level];
        self.entries[index as usize].next = level.heads[slot];
        level.heads[slot] = index;
        level.filled[slot / 64] |= 1 << (slot % 64);
    }

    /// Takes the list of a slot.
    fn unlink(&mut self, level: usize, slot: usize) -> u32 {
        let level = &mut self.levels[level];
        level.filled[slot / 64] &= !(1 << (slot % 64));
        std::mem::replace(&mut level.heads[slot], NOTHING)
    }

    /// Hands out what ends by `now` in the slot of the present tick.
    #[inline]
    fn drain(&mut self, now: u64, ended: &mut impl FnMut(T)) {
        let slot = (self.tick as usize) & (SLOTS - 1);
        let mut index = self.levels[0].heads[slot];
        if index == NOTHING {
            return;
        }
        let mut kept = NOTHING;
        while index != NOTHING {
            let entry = self.entries[index as usize];
            if entry.time <= now {
                ended(entry.item);
                self.entries[index as usize].next = self.free;
                self.free = index;
                self.length -= 1;
            } else {
                self.entries[index as usize].next = kept;
                kept = index;
            }
            index = entry.next;
        }
        self.levels[0].heads[slot] = kept;
        if kept == NOTHING {
            self.levels[0].filled[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// On to the next tick with anything in it, at most to `goal`, refilling lower levels from
    /// higher ones where a turn of theirs begins.
    #[inline]
    fn step(&mut self, goal: u64) {
        let mut next = goal;
        for (number, level) in self.levels.iter().enumerate() {
            let bits = SLOT_BITS * number as u32;
            let digit = (self.tick >> bits) as usize & (SLOTS - 1);
            let turn = self.tick >> bits >> SLOT_BITS;
            if let Some(slot) = level.next_filled(digit + 1) {
                next = ((turn << SLOT_BITS) | slot as u64) << bits;
                break;
            }
            if number + 1 == LEVELS && self.length > 0 {
                next = (turn + 1) << SLOT_BITS << bits;
            }
        }
        self.tick = next.min(goal);
        if self.tick & (SLOTS as u64 - 1) == 0 {
            self.refill();
        }
    }

    #[cold]
    fn refill(&mut self) {
        for level in 1..LEVELS {
            let slot = (self.tick >> (SLOT_BITS * level as u32)) as usize & (SLOTS - 1);
            let mut index = self.unlink(level, slot);
            while index != NOTHING {
                let next = self.entries[index as usize].next;
                self.link(index);
                index = next;
            }
            if slot != 0 {
                break;
            }
        }
    }
}

impl Level {
    /// The first slot from `from` on that isn't empty.
    #[inline]
    fn next_filled(&self, from: usize) -> Option<usize> {
        let word = *self.filled.get(from / 64)? & (u64::MAX << (from % 64));
        if word != 0 {
            return Some(from / 64 * 64 + word.trailing_zeros() as usize);
        }
        let rest = self.filled.iter().enumerate().skip(from / 64 + 1);
        let mut filled = rest.filter(|(_, word)| **word != 0);
        filled.next().map(|(place, word)| place * 64 + word.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Against a sorted list, over gaps from nanoseconds to years.
        #[test]
        fn hands_out_what_a_sorted_list_does(
            gap in 0u64..1 << 30,
            steps in proptest::collection::vec(
                (0u64..1 << 20, 0u32..58, 0u64..1 << 20, 0u32..56),
                1..300,
            ),
        ) {
            let mut wheel = Wheel::new(gap);
            let mut list: Vec<(u64, usize)> = Vec::new();
            let mut now = 0u64;
            for (item, (length, length_shift, gap, gap_shift)) in steps.into_iter().enumerate() {
                let time = now
                    + u64::try_from((u128::from(length) << length_shift) >> 20).unwrap()
                    + 1;
                wheel.insert(time, item);
                list.push((time, item));
                now += u64::try_from((u128::from(gap) << gap_shift) >> 20).unwrap();
                let mut ended = Vec::new();
                wheel.advance(now, |item| ended.push(item));
                ended.sort_unstable();
                let mut wanted: Vec<usize> =
                    list.iter().filter(|(time, _)| *time <= now).map(|(_, item)| *item).collect();
                list.retain(|(time, _)| *time > now);
                wanted.sort_unstable();
                prop_assert_eq!(ended, wanted);
                prop_assert_eq!(wheel.len(), list.len());
            }
            let mut rest = 0;
            wheel.advance(u64::MAX >> 1, |_| rest += 1);
            prop_assert_eq!(rest, list.len());
            prop_assert!(wheel.is_empty());
        }
    }
}

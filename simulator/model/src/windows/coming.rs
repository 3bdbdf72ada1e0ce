//! Requests that were let in at a target and don't stand in its queue yet: their sources are on the
//! way. They are handed out in the order of time, of those at the same instant in the order in which
//! they arrived.

use super::Request;
use crate::stages::Path;

/// A request on its way into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// When it is there.
    pub(super) at: u64,
    pub(super) request: Request,
    /// How its stages go.
    pub(super) path: Path,
}

/// All that are on their way to targets of a lane, by windows.
#[derive(Debug)]
pub(super) struct Coming {
    /// The length of a window.
    length: u64,
    /// The present window.
    window: u64,
    /// Those of the present window, in the order in which they were let in. They are written and read
    /// one after the other, which nobody has to wait for, unlike places of a table.
    present: Vec<Way>,
    /// Their turns: when they are there, counted from the beginning of the window, above, and their place
    /// among the present ones in [`PLACE_BITS`] below. Few, so sorting them once is less than keeping a heap
    /// of them.
    turns: Vec<u64>,
    /// How many of them are over.
    over: usize,
    /// When the next one is there.
    next_at: u64,
    /// Those of the next [`NEAR`] windows.
    near: Vec<Vec<Way>>,
    far: Vec<Way>,
}

/// Windows are at most a second long, so there is room for the time above.
const PLACE_BITS: u32 = 32;

/// Half a second where a window is 2 ms: as long as most downloads.
const NEAR: u64 = 1 << 8;

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "windows are taken modulo the length of the table; places are below the number of ways, \
              of which there are fewer than 2^32"
)]
impl Coming {
    /// Nobody is on the way.
    pub(super) fn new(length: u64) -> Self {
        Coming {
            length,
            window: 0,
            present: Vec::new(),
            turns: Vec::new(),
            over: 0,
            next_at: u64::MAX,
            near: vec![Vec::new(); NEAR as usize],
            far: Vec::new(),
        }
    }

    /// Takes in a request that isn't there before the present window.
    #[inline]
    pub(super) fn insert(&mut self, way: &Way) {
        let window = way.at / self.length;
        if window <= self.window {
            let after = way.at.saturating_sub(self.window * self.length);
            let turn = turn(after, self.present.len() as u64);
            self.present.push(*way);
            let rest = self.turns.get(self.over..).unwrap_or_default();
            let before = rest.partition_point(|other| self.is_before(*other, turn));
            self.turns.insert(self.over + before, turn);
            self.look();
        } else if window - self.window < NEAR {
            self.near[(window % NEAR) as usize].push(*way);
        } else {
            self.far.push(*way);
        }
    }

    /// Whose turn it is of two: at the same instant his who arrived first.
    fn is_before(&self, one: u64, other: u64) -> bool {
        if one >> PLACE_BITS != other >> PLACE_BITS {
            return one < other;
        }
        let [one, other] = [one, other].map(|turn| order(self.way(turn as u32 as usize)));
        one < other
    }

    /// A window begins; windows begin one after the other, and nobody is left of the one before.
    pub(super) fn begin(&mut self, window: u64) {
        debug_assert!(self.over == self.turns.len());
        self.window = window;
        self.present.clear();
        self.turns.clear();
        self.over = 0;
        if window.is_multiple_of(NEAR) {
            for way in std::mem::take(&mut self.far) {
                self.insert(&way);
            }
        }
        let near = &mut self.near[(window % NEAR) as usize];
        if self.present.is_empty() {
            std::mem::swap(&mut self.present, near);
        } else {
            self.present.append(near);
        }
        self.turns.clear();
        let from = self.window * self.length;
        let turns = self.present.iter().zip(0..);
        self.turns.extend(turns.map(|(way, place)| turn(way.at.saturating_sub(from), place)));
        self.turns.sort_unstable();
        let are_apart = |pair: &[u64]| pair[0] >> PLACE_BITS != pair[1] >> PLACE_BITS;
        if !self.turns.windows(2).all(are_apart) {
            let mut turns = std::mem::take(&mut self.turns);
            turns.sort_by_key(|turn| order(self.way(*turn as u32 as usize)));
            self.turns = turns;
        }
        self.look();
    }

    /// Looks who is the next one.
    #[inline]
    fn look(&mut self) {
        let next = self.turns.get(self.over).map(|turn| turn >> PLACE_BITS);
        self.next_at = next.map_or(u64::MAX, |after| self.window * self.length + after);
    }

    /// When the next one of the present window is there; never if there is none.
    #[inline(always)]
    pub(super) const fn next_at(&self) -> u64 {
        self.next_at
    }

    /// The place of the next one, if it is there at an instant of the present window or before.
    #[inline(always)]
    pub(super) fn next_until(&mut self, at: u64) -> Option<usize> {
        if self.next_at > at {
            return None;
        }
        let turn = *self.turns.get(self.over)?;
        self.over += 1;
        self.look();
        Some(turn as u32 as usize)
    }

    /// The one at a place, until the next window begins.
    #[inline(always)]
    pub(super) fn way(&self, place: usize) -> &Way {
        &self.present[place]
    }

    /// All of the present window.
    #[inline(always)]
    pub(super) const fn present_mut(&mut self) -> &mut Vec<Way> {
        &mut self.present
    }

    /// All that are still on their way, in their order.
    pub(super) fn take(&mut self) -> Vec<Way> {
        let near = self.near.iter_mut().flat_map(|ways| ways.drain(..));
        let mut all: Vec<Way> = near.chain(self.far.drain(..)).collect();
        let turns = self.turns.get(self.over..).unwrap_or_default();
        all.extend(turns.iter().map(|turn| self.present[*turn as u32 as usize]));
        self.over = self.turns.len();
        all.sort_by_key(order);
        self.look();
        all
    }
}

/// The turn of the one at a place that is there so long after the beginning of the window.
const fn turn(after: u64, place: u64) -> u64 {
    (after << PLACE_BITS) | place
}

/// What requests on their way are ordered by.
const fn order(way: &Way) -> (u64, u64, u64) {
    (way.at, way.request.at, way.request.key)
}

#[cfg(test)]
mod tests {
    use policy::Nanoseconds;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// Against a sorted list, with times far beyond what is near.
        #[test]
        fn they_come_in_order(
            length in 1u64..50,
            steps in proptest::collection::vec((0u64..1 << 20, 0u32..14, any::<u8>()), 1..300),
        ) {
            let mut coming = Coming::new(length);
            let mut wanted = Vec::new();
            let mut seen = Vec::new();
            for (window, (ahead, shift, key)) in (0u64..).zip(steps) {
                coming.begin(window);
                let begin = window * length;
                let at = begin + ((ahead * length) >> (20 - shift.min(13)));
                let request = Request { at: 7, key: u64::from(key), ..Request::default() };
                let path = Path { respond: Nanoseconds(window), ..Path::default() };
                let way = Way { at, request, path };
                coming.insert(&way);
                wanted.push(way);
                while let Some(place) = coming.next_until(begin + length - 1) {
                    let way = *coming.way(place);
                    prop_assert!((begin..begin + length).contains(&way.at));
                    seen.push(way);
                }
            }
            seen.extend(coming.take());
            wanted.sort_by_key(|way: &Way| (way.at, way.request.key, way.path.respond));
            let key = |way: &Way| (way.at, way.request.key);
            prop_assert!(seen.iter().map(key).eq(wanted.iter().map(key)));
            // Each is handed out as it was taken in.
            let whole = |ways: &[Way]| {
                let mut all: Vec<_> = ways.iter().map(|way| (key(way), way.path.respond)).collect();
                all.sort_unstable();
                all
            };
            prop_assert_eq!(whole(&seen), whole(&wanted));
        }
    }
}

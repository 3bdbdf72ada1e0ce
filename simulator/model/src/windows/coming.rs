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

/// Whose turn it is: of two at the same instant his who arrived first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    at: u64,
    arrived: u64,
    key: u64,
    /// Among those of the present window.
    place: u32,
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
    /// Their turns, the next one last: few, so sorting them once is less than keeping a heap of them.
    turns: Vec<Turn>,
    /// When the next one of them is there.
    next_at: u64,
    /// Those of the next [`NEAR`] windows.
    near: Vec<Vec<Way>>,
    far: Vec<Way>,
}

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
            next_at: u64::MAX,
            near: vec![Vec::new(); NEAR as usize],
            far: Vec::new(),
        }
    }

    /// Takes in a request that isn't there before the present window.
    #[inline]
    pub(super) fn insert(&mut self, way: Way) {
        let window = way.at / self.length;
        if window <= self.window {
            let turn = turn(&way, self.present.len() as u32);
            let later = self.turns.partition_point(|other| *other > turn);
            self.turns.insert(later, turn);
            self.present.push(way);
            self.look();
        } else if window - self.window < NEAR {
            self.near[(window % NEAR) as usize].push(way);
        } else {
            self.far.push(way);
        }
    }

    /// A window begins; windows begin one after the other, and nobody is left of the one before.
    pub(super) fn begin(&mut self, window: u64) {
        debug_assert!(self.turns.is_empty());
        self.window = window;
        self.present.clear();
        if window.is_multiple_of(NEAR) {
            for way in std::mem::take(&mut self.far) {
                self.insert(way);
            }
        }
        let near = &mut self.near[(window % NEAR) as usize];
        if self.present.is_empty() {
            std::mem::swap(&mut self.present, near);
        } else {
            self.present.append(near);
        }
        self.turns.clear();
        self.turns.extend(self.present.iter().zip(0..).map(|(way, place)| turn(way, place)));
        self.turns.sort_unstable_by(|one, other| other.cmp(one));
        self.look();
    }

    /// Looks who is the next one.
    #[inline]
    fn look(&mut self) {
        self.next_at = self.turns.last().map_or(u64::MAX, |next| next.at);
    }

    /// Whether one is there at an instant of the present window or before.
    #[inline(always)]
    pub(super) const fn is_any_until(&self, at: u64) -> bool {
        self.next_at <= at
    }

    /// The next one that is there at an instant of the present window or before.
    pub(super) fn next_until(&mut self, at: u64) -> Option<Way> {
        if !self.is_any_until(at) {
            return None;
        }
        let turn = self.turns.pop()?;
        self.look();
        Some(self.present[turn.place as usize])
    }

    /// All that are still on their way, in their order.
    pub(super) fn take(&mut self) -> Vec<Way> {
        let near = self.near.iter_mut().flat_map(|ways| ways.drain(..));
        let mut all: Vec<Way> = near.chain(self.far.drain(..)).collect();
        all.extend(self.turns.drain(..).map(|turn| self.present[turn.place as usize]));
        all.sort_by_key(|way| turn(way, 0));
        self.look();
        all
    }
}

fn turn(way: &Way, place: u32) -> Turn {
    let Way { at, request, .. } = way;
    Turn { at: *at, arrived: request.at, key: request.key, place }
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
                coming.insert(way);
                wanted.push(way);
                while let Some(way) = coming.next_until(begin + length - 1) {
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

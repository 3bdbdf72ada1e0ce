//! Requests that were let in at a target and don't stand in its queue yet: their sources are on the
//! way. They are handed out in the order of time, of those at the same instant in the order in which
//! they arrived.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::Request;

/// A request on its way into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// When it is there.
    pub(super) at: u64,
    pub(super) request: Request,
    /// How long its answer will be sent.
    pub(super) respond: u64,
}

impl Ord for Way {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |way: &Way| (way.at, way.request.at, way.request.key);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Way {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// All that are on their way to targets of a lane, by windows.
#[derive(Debug)]
pub(super) struct Coming {
    /// The length of a window.
    length: u64,
    /// The present window.
    window: u64,
    present: BinaryHeap<Reverse<Way>>,
    /// The next [`NEAR`] windows.
    near: Vec<Vec<Way>>,
    far: Vec<Way>,
}

/// Some seconds, as long as most downloads.
const NEAR: u64 = 1 << 11;

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "windows are taken modulo the length of the table"
)]
impl Coming {
    /// Nobody is on the way.
    pub(super) fn new(length: u64) -> Self {
        Coming {
            length,
            window: 0,
            present: BinaryHeap::new(),
            near: vec![Vec::new(); NEAR as usize],
            far: Vec::new(),
        }
    }

    /// Takes in a request that isn't there before the present window.
    pub(super) fn insert(&mut self, way: Way) {
        let window = way.at / self.length;
        if window <= self.window {
            self.present.push(Reverse(way));
        } else if window - self.window < NEAR {
            self.near[(window % NEAR) as usize].push(way);
        } else {
            self.far.push(way);
        }
    }

    /// A window begins; windows begin one after the other.
    pub(super) fn begin(&mut self, window: u64) {
        self.window = window;
        if window.is_multiple_of(NEAR) {
            for way in std::mem::take(&mut self.far) {
                self.insert(way);
            }
        }
        self.present.extend(self.near[(window % NEAR) as usize].drain(..).map(Reverse));
    }

    /// The next one that is there at an instant of the present window or before.
    #[inline]
    pub(super) fn next_until(&mut self, at: u64) -> Option<Way> {
        match self.present.peek() {
            Some(Reverse(way)) if way.at <= at => self.present.pop().map(|Reverse(way)| way),
            _ => None,
        }
    }

    /// All that are still on their way, in their order.
    pub(super) fn take(&mut self) -> Vec<Way> {
        let mut all: Vec<Way> = self.present.drain().map(|Reverse(way)| way).collect();
        all.extend(self.near.iter_mut().flat_map(|ways| ways.drain(..)));
        all.append(&mut self.far);
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
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
                let way = Way { at, request, respond: window };
                coming.insert(way);
                wanted.push(way);
                while let Some(way) = coming.next_until(begin + length - 1) {
                    prop_assert!((begin..begin + length).contains(&way.at));
                    seen.push(way);
                }
            }
            seen.extend(coming.take());
            wanted.sort_by(|left, right| left.cmp(right).then(left.respond.cmp(&right.respond)));
            let key = |way: &Way| (way.at, way.request.key);
            prop_assert!(seen.iter().map(key).eq(wanted.iter().map(key)));
        }
    }
}

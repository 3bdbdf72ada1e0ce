//! Requests of a block of time in the order in which they arrive.

use super::Request;

/// Puts requests in the order of time. They stay where they are, and what is put in order is a word for
/// each: its time, then its place. Words are dealt out to cells by time, of which there are more than
/// requests, and what is left to do is near.
#[derive(Debug)]
pub(super) struct Sorter {
    begin: u64,
    length: u64,
    /// Cells for a nanosecond, times 2³².
    scale: u64,
    /// As they come.
    requests: Vec<Request>,
    /// How many are in each cell that is in use; then, how many are before its next one.
    cells: Box<[u32; MOST_CELLS]>,
    used: usize,
    /// Of each request, in their order: its time after the beginning, if there is room for it, and its
    /// place in the lowest bits. Behind them are those of other blocks.
    words: Vec<u64>,
    /// The bits of the place.
    places: u64,
}

/// More cells would not fit the first cache.
const MOST_CELLS: usize = 1 << 12;
/// Cells with more requests than this are sorted by a method that is fast for many.
const MANY: u32 = 32;

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "cells are masked to the length of their table, and counted from what is dealt out"
)]
impl Sorter {
    pub(super) fn new() -> Self {
        Sorter {
            begin: 0,
            length: 0,
            scale: 0,
            requests: Vec::new(),
            cells: Box::new([0; MOST_CELLS]),
            used: 0,
            words: Vec::new(),
            places: 0,
        }
    }

    /// A block of time begins; there are two to four cells for each request of the one before, as long as
    /// they fit.
    pub(super) fn begin(&mut self, begin: u64, length: u64) {
        let count = (2 * self.requests.len()).next_power_of_two().clamp(2, MOST_CELLS);
        self.begin = begin;
        self.length = length;
        self.scale = ((count as u64) << 32) / length.max(1);
        self.used = count;
        self.requests.clear();
        self.cells[..count].fill(0);
    }

    /// The cell of a time after the beginning, which is below the length: so the product is below
    /// 2³² times the number of cells.
    #[inline(always)]
    const fn cell(scale: u64, after: u64) -> usize {
        ((after * scale) >> 32) as usize & (MOST_CELLS - 1)
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, count: usize) {
        self.requests.reserve(count);
    }

    /// Takes in a request of the block.
    #[inline(always)]
    pub(super) fn take(&mut self, request: Request) {
        self.cells[Sorter::cell(self.scale, request.at - self.begin)] += 1;
        self.requests.push(request);
    }

    /// Puts them in order.
    #[inline(always)]
    pub(super) fn sort(&mut self) {
        let Sorter { begin, length, scale, requests, cells, used, words, places } = self;
        let place_bits = usize::BITS - requests.len().leading_zeros();
        let time_bits = u64::BITS - length.leading_zeros();
        *places = (1 << place_bits) - 1;
        let cells_used = &mut cells[..*used];
        let most = cells_used.iter().copied().max().unwrap_or(0);
        if most > MANY || time_bits + place_bits > u64::BITS {
            requests.sort_by_key(|request| request.at);
            words.clear();
            words.extend(0..requests.len() as u64);
            return;
        }
        let mut sum = 0;
        for cell in cells_used {
            let count = *cell;
            *cell = sum;
            sum += count;
        }
        // All of them are written.
        words.resize(requests.len().max(words.len()), 0);
        for (request, place) in requests.iter().zip(0u64..) {
            let after = request.at - *begin;
            let next = &mut cells[Sorter::cell(*scale, after)];
            words[*next as usize] = (after << place_bits) | place;
            *next += 1;
        }
        insertion_sort(&mut words[..requests.len()]);
    }

    /// They, after they were put in order, without the first ones; of those at the same instant, in the
    /// order in which they came.
    #[inline(always)]
    pub(super) fn ordered(&self, from: usize) -> impl Iterator<Item = &Request> {
        let (requests, places) = (&*self.requests, self.places);
        let words = &self.words[from..requests.len()];
        words.iter().map(move |word| &requests[(word & places) as usize])
    }
}

/// Sorts what is nearly sorted.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "places are below that of the loop")]
fn insertion_sort(words: &mut [u64]) {
    let mut last = 0;
    for next in 0..words.len() {
        let word = words[next];
        if word >= last {
            last = word;
            continue;
        }
        let mut place = next;
        while place > 0 && words[place - 1] > word {
            words[place] = words[place - 1];
            place -= 1;
        }
        words[place] = word;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a stable sort. Where times are few, cells are full; where blocks are long, words
        /// have no room for times.
        #[test]
        fn requests_are_in_the_order_of_time_and_of_arrival(
            begin in 0u64..1 << 40,
            length in prop_oneof![1u64..40, Just(1 << 24), 1u64 << 55..1 << 62],
            blocks in proptest::collection::vec(
                (proptest::collection::vec(any::<u64>(), 0..300), 1u64..200),
                1..4,
            ),
            taken in 0usize..4,
        ) {
            let mut sorter = Sorter::new();
            for (times, kinds) in blocks {
                sorter.begin(begin, length);
                let mut wanted = Vec::new();
                for (time, key) in times.into_iter().zip(0..) {
                    // Of some blocks all come at few instants.
                    let after = if kinds < 100 { time % kinds * (length / kinds) } else { time };
                    let request = Request { at: begin + after % length, key, ..Request::default() };
                    sorter.take(request);
                    wanted.push(request);
                }
                sorter.sort();
                wanted.sort_by_key(|request| request.at);
                let from = taken.min(wanted.len());
                let seen: Vec<Request> = sorter.ordered(from).copied().collect();
                prop_assert_eq!(&seen, &wanted[from..]);
            }
        }
    }
}

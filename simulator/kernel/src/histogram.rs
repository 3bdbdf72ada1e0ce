//! Counts of times in cells whose width grows with the value, as in HdrHistogram: a fixed number of
//! cells per power of two. Counting is exact and doesn't depend on order, so histograms of parts
//! add up.

use policy::Nanoseconds;

/// A histogram of times; its cells per power of two are given as a power of two.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistogramOf<const CELL_BITS: u32> {
    counts: Vec<u64>,
}

/// 128 cells per power of two: what tables show.
pub type Histogram = HistogramOf<7>;

/// 32 cells per power of two: where there are hundreds of histograms.
pub type CoarseHistogram = HistogramOf<5>;

impl<const CELL_BITS: u32> HistogramOf<CELL_BITS> {
    /// A quantile is off by at most this part of its value (half the width of a cell).
    pub const RELATIVE_ERROR: f64 = 0.5 / (1u64 << CELL_BITS) as f64;

    /// Counts a time.
    #[inline(always)]
    pub fn record(&mut self, time: Nanoseconds) {
        let cell = cell(CELL_BITS, time.0);
        match self.counts.get_mut(cell) {
            Some(count) => *count += 1,
            None => self.grow(cell),
        }
    }

    /// Counts many times, none of them above `longest`.
    #[inline(always)]
    pub fn record_all(&mut self, times: &[u64], longest: u64) {
        let last = cell(CELL_BITS, longest);
        if last >= self.counts.len() {
            self.reach(last);
        }
        // Cells first, as vector code; then one count after the other.
        let mut cells = [0u32; AT_ONCE];
        for times in times.chunks(AT_ONCE) {
            for (place, time) in cells.iter_mut().zip(times) {
                *place = short_cell(CELL_BITS, *time);
            }
            for place in cells.iter().take(times.len()) {
                if let Some(count) = self.counts.get_mut(*place as usize) {
                    *count += 1;
                }
            }
        }
    }

    /// Counts so many times of 0.
    #[inline(always)]
    pub fn record_zeros(&mut self, count: u64) {
        if count > 0 && self.counts.is_empty() {
            self.reach(0);
        }
        if let Some(zeros) = self.counts.first_mut() {
            *zeros += count;
        }
    }

    #[cold]
    fn grow(&mut self, cell: usize) {
        self.reach(cell);
        if let Some(count) = self.counts.get_mut(cell) {
            *count += 1;
        }
    }

    /// Makes cells up to this one, and to the end of its power of two, so that growing is rare.
    #[cold]
    fn reach(&mut self, cell: usize) {
        let last = (1 << CELL_BITS) - 1;
        self.counts.resize((cell | last) + 1, 0);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The time that this part of all (0 to 1) doesn't exceed: the middle of the cell in which the
    /// value with the rank ⌈part·n⌉ lies. None without any.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank of a count below 2^52, bounded on both sides"
    )]
    pub fn quantile(&self, part: f64) -> Option<Nanoseconds> {
        let total = self.count();
        let rank = ((part * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut below = 0;
        for (cell, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return Some(Nanoseconds(middle(CELL_BITS, cell)));
            }
        }
        None
    }

    /// Cells that hold anything: the lowest and the highest time of each, and the count.
    pub fn cells(&self) -> impl Iterator<Item = (Nanoseconds, Nanoseconds, u64)> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(cell, count)| {
            let low = lowest(CELL_BITS, cell);
            (Nanoseconds(low), Nanoseconds(low + (width(CELL_BITS, cell) - 1)), *count)
        })
    }
}

/// With 7 bits: values below 256 have a cell each; above, the 7 bits after the leading one say a
/// value's cell.
#[inline(always)]
fn cell(bits: u32, value: u64) -> usize {
    short_cell(bits, value) as usize
}

/// Times whose cells are found at once.
const AT_ONCE: usize = 64;

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "there are at most 65 powers of two of cells")]
fn short_cell(bits: u32, value: u64) -> u32 {
    let shift = 63 - bits - (value | (1 << bits)).leading_zeros();
    // The shifted value is between 128 and 255 if anything is shifted out.
    (shift << bits) + (value >> shift) as u32
}

fn shift(bits: u32, cell: usize) -> u32 {
    let power = cell as u64 >> bits;
    u32::try_from(power.saturating_sub(1)).unwrap_or(u32::MAX)
}

fn lowest(bits: u32, cell: usize) -> u64 {
    let shift = shift(bits, cell);
    (cell as u64 - (u64::from(shift) << bits)) << shift
}

fn width(bits: u32, cell: usize) -> u64 {
    1 << shift(bits, cell)
}

fn middle(bits: u32, cell: usize) -> u64 {
    lowest(bits, cell) + (width(bits, cell) - 1) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_follow_each_other_without_gaps() {
        for bits in [5, 7] {
            let mut next = 0;
            for cell in 0..(65 - bits as usize) << bits {
                assert_eq!(lowest(bits, cell), next, "{cell}");
                next = lowest(bits, cell).wrapping_add(width(bits, cell));
                assert_eq!(super::cell(bits, lowest(bits, cell)), cell);
                assert_eq!(super::cell(bits, next.wrapping_sub(1)), cell);
            }
            assert_eq!(next, 0, "the last cell ends with the range of the numbers");
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_near_those_of_the_sorted_values(
            values in proptest::collection::vec(any::<u64>().prop_flat_map(|value| {
                (0u32..40).prop_map(move |shift| value >> 12 >> shift)
            }), 1..200),
            part in 0.0f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(Nanoseconds(*value)));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            // The smallest value with at least this part of all at or below it.
            let enough = |rank: &usize| *rank as f64 >= part * sorted.len() as f64;
            let exact = sorted[(1..sorted.len()).find(enough).unwrap_or(sorted.len()) - 1];
            let seen = histogram.quantile(part).unwrap().0;
            let allowed = (exact as f64 * Histogram::RELATIVE_ERROR).ceil();
            prop_assert!(seen.abs_diff(exact) as f64 <= allowed, "{} for {}", seen, exact);
        }

        #[test]
        fn parts_add_up(
            values in proptest::collection::vec(any::<u64>(), 0..100),
            cut in 0usize..100,
        ) {
            let mut whole = Histogram::default();
            let mut parts = [Histogram::default(), Histogram::default()];
            for (place, value) in values.iter().enumerate() {
                whole.record(Nanoseconds(*value));
                parts[usize::from(place < cut)].record(Nanoseconds(*value));
            }
            let [mut left, right] = parts;
            left.merge(&right);
            prop_assert_eq!(left.cells().collect::<Vec<_>>(), whole.cells().collect::<Vec<_>>());
            prop_assert_eq!(left.count(), whole.count());
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}

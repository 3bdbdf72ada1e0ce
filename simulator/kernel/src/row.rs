//! The row of Kiefer and Wolfowitz (1955): when each instance of a first-come-first-served target
//! becomes free, ascending. A request takes the first entry; the end of its work goes in.
//!
//! Each place takes the median of its old value, its right neighbour's and the new one: no branch
//! depends on the values, and no place on another's result. Compilers make that vector code for a
//! row in memory, but take a row that stays in registers apart; for the widest vectors it is
//! therefore written out.

use std::ops::{Add, Sub};

/// What a row can consist of. Shorter numbers make shorter rows.
pub trait Entry: Copy + Ord + Add<Output = Self> + Sub<Output = Self> {
    /// None is above it: an entry that is never taken.
    const NEVER: Self;
    /// The least one.
    const ZERO: Self;

    /// Zero or one: whether this is ahead of a time by less than half of all numbers. It is the sign of
    /// a difference, which adds up without the masks that comparisons end in.
    #[must_use]
    fn is_ahead_of(self, time: Self) -> Self;

    /// A sum of them.
    fn count(self) -> u32;
}

impl Entry for u64 {
    const NEVER: Self = u64::MAX;
    const ZERO: Self = 0;

    #[inline(always)]
    fn is_ahead_of(self, time: Self) -> Self {
        time.wrapping_sub(self) >> 63
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "rows have fewer than 2^32 entries")]
    fn count(self) -> u32 {
        self as u32
    }
}

impl Entry for u32 {
    const NEVER: Self = u32::MAX;
    const ZERO: Self = 0;

    #[inline(always)]
    fn is_ahead_of(self, time: Self) -> Self {
        time.wrapping_sub(self) >> 31
    }

    #[inline(always)]
    fn count(self) -> u32 {
        self
    }
}

/// When work begins at an instance that becomes free, and when it ends; at most `last`.
#[inline(always)]
#[must_use]
pub fn work(free: u64, now: u64, service: u64, last: u64) -> (u64, u64) {
    let start = free.max(now);
    (start, start.saturating_add(service).min(last))
}

/// Replaces the first entry of an ascending row by one that isn't smaller, and keeps it ascending.
#[inline(always)]
pub fn replace_first<E: Entry>(row: &mut [E], value: E) {
    match row.len() {
        1 => row.fill(value),
        4 => replace_first_of::<_, 4>(row, value),
        8 => replace_first_of::<_, 8>(row, value),
        16 => replace_first_of::<_, 16>(row, value),
        24 => replace_first_of::<_, 24>(row, value),
        32 => replace_first_of::<_, 32>(row, value),
        40 => replace_first_of::<_, 40>(row, value),
        48 => replace_first_of::<_, 48>(row, value),
        64 => replace_first_of::<_, 64>(row, value),
        _ => replace_first_of_any(row, value),
    }
}

/// The length is known, so the row stays in registers from its load to its store.
#[inline(always)]
fn replace_first_of<E: Entry, const LENGTH: usize>(row: &mut [E], value: E) {
    let Some(row) = row.first_chunk_mut::<LENGTH>() else { return };
    let old = *row;
    let mut next = [E::NEVER; LENGTH];
    for (next, right) in next.iter_mut().zip(old.iter().skip(1)) {
        *next = *right;
    }
    for ((place, old), next) in row.iter_mut().zip(old).zip(next) {
        *place = old.max(next.min(value));
    }
}

/// How many entries are ahead of a time by less than 2⁶³ (of 2³¹, if they are short): what is never
/// ([`Entry::NEVER`]) isn't as long as the time is below 2⁶³ − 1 (2³¹ − 1). Counting all is faster than
/// looking for the first: a few vector instructions where the length is known, and no branch depends on
/// the values.
#[inline(always)]
#[must_use]
pub fn count_ahead<E: Entry>(entries: &[E], time: E) -> u32 {
    match entries.len() {
        8 => count_ahead_of::<_, 8>(entries, time),
        16 => count_ahead_of::<_, 16>(entries, time),
        24 => count_ahead_of::<_, 24>(entries, time),
        32 => count_ahead_of::<_, 32>(entries, time),
        40 => count_ahead_of::<_, 40>(entries, time),
        48 => count_ahead_of::<_, 48>(entries, time),
        _ => sum_ahead(entries, time),
    }
}

#[inline(always)]
fn count_ahead_of<E: Entry, const LENGTH: usize>(entries: &[E], time: E) -> u32 {
    // No closure: that may stay apart, where it misses the wide vectors.
    let Some(entries) = entries.first_chunk::<LENGTH>() else { return 0 };
    sum_ahead(entries, time)
}

#[inline(always)]
fn sum_ahead<E: Entry>(entries: &[E], time: E) -> u32 {
    // Side by side: compilers take one sum of short entries apart.
    let (chunks, rest) = entries.as_chunks::<8>();
    let mut sums = [E::ZERO; 8];
    for chunk in chunks {
        for (sum, entry) in sums.iter_mut().zip(chunk) {
            *sum = *sum + entry.is_ahead_of(time);
        }
    }
    let mut sum = E::ZERO;
    for more in sums {
        sum = sum + more;
    }
    for entry in rest {
        sum = sum + entry.is_ahead_of(time);
    }
    sum.count()
}

/// How many entries aren't ahead of a time, which is below 2⁶³ − 1.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "rows have fewer than 2^32 entries")]
pub fn count_until(entries: &[u64], time: u64) -> u32 {
    const NEVER: u64 = (1 << 63) - 1;
    let mut sum = 0;
    for entry in entries {
        sum += (*entry).min(NEVER).wrapping_sub(time + 1) >> 63;
    }
    sum as u32
}

fn replace_first_of_any<E: Entry>(row: &mut [E], value: E) {
    let cells = std::cell::Cell::from_mut(row).as_slice_of_cells();
    for pair in cells.windows(2) {
        if let [left, right] = pair {
            left.set(left.get().max(right.get().min(value)));
        }
    }
    if let Some(last) = cells.last() {
        last.set(last.get().max(value));
    }
}

/// Numbers that begin where a line of the cache does: a row of as many as fill lines is in no part of
/// another one. That is all that the place in memory changes.
#[derive(Debug)]
pub struct Aligned<E> {
    /// With others before and behind.
    numbers: Vec<E>,
    begin: usize,
    end: usize,
}

/// Bytes of a line of the cache, and of the widest vector.
const LINE: usize = 64;

impl<E: Entry> Aligned<E> {
    /// So many numbers, all alike.
    #[must_use]
    pub fn new(count: usize, number: E) -> Self {
        let numbers = vec![number; count + LINE / size_of::<E>()];
        let begin = numbers.as_ptr().align_offset(LINE);
        // Who doesn't know the place says so by a large offset.
        let begin = if begin < LINE / size_of::<E>() { begin } else { 0 };
        Aligned { numbers, begin, end: begin + count }
    }

    /// So many of the numbers, from a place on: with half the looks at bounds that a part of the whole
    /// takes, because rows are cut for each request.
    ///
    /// # Panics
    /// If there aren't as many.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "as it says")]
    pub fn cut(&self, place: usize, count: usize) -> &[E] {
        &self.numbers[self.begin + place..][..count]
    }

    /// Likewise, to be changed.
    ///
    /// # Panics
    /// If there aren't as many.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "as it says")]
    pub fn cut_mut(&mut self, place: usize, count: usize) -> &mut [E] {
        &mut self.numbers[self.begin + place..][..count]
    }
}

impl<E> std::ops::Deref for Aligned<E> {
    type Target = [E];

    #[inline(always)]
    fn deref(&self) -> &[E] {
        self.numbers.get(self.begin..self.end).unwrap_or_default()
    }
}

impl<E> std::ops::DerefMut for Aligned<E> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [E] {
        self.numbers.get_mut(self.begin..self.end).unwrap_or_default()
    }
}

/// Requests that come one after the other, as columns of the same length, in nanoseconds.
#[derive(Debug)]
pub struct Requests<'a> {
    /// When they arrive, ascending.
    pub at: &'a [u64],
    /// How long their work takes.
    pub services: &'a [u64],
    /// To be told: when it begins.
    pub starts: &'a mut [u64],
    /// To be told: when it ends.
    pub ends: &'a mut [u64],
}

/// Takes all requests in at one row. No time is above `last`, which is below 2⁶³ less any service.
pub fn serve(row: &mut [u64], requests: Requests<'_>, last: u64) {
    #[cfg(target_arch = "x86_64")]
    if let pulp::x86::Arch::V4(simd) = pulp::x86::Arch::new() {
        match row.len() {
            8 => return vector::serve::<1>(simd, row, requests, last),
            16 => return vector::serve::<2>(simd, row, requests, last),
            24 => return vector::serve::<3>(simd, row, requests, last),
            32 => return vector::serve::<4>(simd, row, requests, last),
            _ => {}
        }
    }
    let arrivals = requests.at.iter().zip(requests.services);
    let outcomes = requests.starts.iter_mut().zip(requests.ends);
    if let [free] = row {
        // Without a way through memory from one request to the next.
        let mut known = *free;
        for ((at, service), (start, end)) in arrivals.zip(outcomes) {
            (*start, *end) = work(known, *at, *service, last);
            known = *end;
        }
        *free = known;
        return;
    }
    for ((at, service), (start, end)) in arrivals.zip(outcomes) {
        let first = row.first().copied().unwrap_or(last);
        (*start, *end) = work(first, *at, *service, last);
        replace_first(row, *end);
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    //! Eight entries in each register.

    use std::arch::x86_64::__m512i;

    use pulp::NullaryFnOnce;
    use pulp::x86::V4;

    use super::Requests;

    struct Serve<'row, 'a, const REGISTERS: usize> {
        simd: V4,
        row: &'row mut [u64],
        requests: Requests<'a>,
        last: u64,
    }

    pub(super) fn serve<const REGISTERS: usize>(
        simd: V4,
        row: &mut [u64],
        requests: Requests<'_>,
        last: u64,
    ) {
        simd.vectorize(Serve::<REGISTERS> { simd, row, requests, last });
    }

    impl<const REGISTERS: usize> NullaryFnOnce for Serve<'_, '_, REGISTERS> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Serve { simd, row, requests, last } = self;
            let (rows, _) = row.as_chunks_mut::<8>();
            let Some(row) = rows.first_chunk_mut::<REGISTERS>() else { return };
            let unsigned = simd.avx512f;
            let all = |value: u64| -> __m512i { pulp::cast([value; 8]) };
            let [highest, last] = [u64::MAX, last].map(all);
            let mut registers = row.map(|eight| -> __m512i { pulp::cast(eight) });
            // What the next request waits for is kept besides, in all lanes of registers of its own:
            // a lane that is taken out of the row is that of the row before, so that nobody waits
            // for it. The first entry is dropped and the second takes its place unless the new one
            // is smaller: max(r₀, min(r₁, new)) = min(r₁, new), because both aren't below r₀.
            let third_of = |row: &[__m512i; REGISTERS]| {
                let eight = row.first().copied().unwrap_or(highest);
                unsigned._mm512_permutexvar_epi64(all(2), eight)
            };
            let [mut first, mut second] = match row.first() {
                Some([first, second, ..]) => [*first, *second].map(all),
                None => [highest; 2],
            };
            let arrivals = requests.at.iter().zip(requests.services);
            let outcomes = requests.starts.iter_mut().zip(requests.ends);
            for ((at, service), (start, end)) in arrivals.zip(outcomes) {
                let begin = unsigned._mm512_max_epu64(first, all(*at));
                let until = unsigned._mm512_add_epi64(begin, all(*service));
                let until = unsigned._mm512_min_epu64(until, last);
                let lane = |register: __m512i| pulp::cast::<_, [u64; 8]>(register)[0];
                (*start, *end) = (lane(begin), lane(until));
                first = unsigned._mm512_min_epu64(second, until);
                let least = unsigned._mm512_min_epu64(third_of(&registers), until);
                second = unsigned._mm512_max_epu64(second, least);
                let mut rights = [highest; REGISTERS];
                for (right, register) in rights.iter_mut().zip(registers.iter().skip(1)) {
                    *right = *register;
                }
                for (register, right) in registers.iter_mut().zip(rights) {
                    let next = unsigned._mm512_alignr_epi64::<1>(right, *register);
                    let least = unsigned._mm512_min_epu64(next, until);
                    *register = unsigned._mm512_max_epu64(*register, least);
                }
            }
            for (eight, register) in row.iter_mut().zip(registers) {
                *eight = pulp::cast(register);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAST: u64 = 1 << 62;

    /// What is too large for a short number is never.
    fn shortened(row: &[u64]) -> Vec<u32> {
        row.iter().map(|entry| u32::try_from(*entry).unwrap_or(u32::MAX)).collect()
    }

    proptest! {
        #[test]
        fn rows_stay_sorted(row in proptest::collection::vec(0u64..50, 1..40), value in 0u64..60) {
            let mut row = row;
            row.sort_unstable();
            let mut wanted = row.clone();
            let value = value.max(row[0]);
            wanted[0] = value;
            wanted.sort_unstable();
            let mut short = shortened(&row);
            replace_first(&mut row, value);
            prop_assert_eq!(&row, &wanted);
            replace_first(&mut short, u32::try_from(value).unwrap());
            prop_assert_eq!(short, shortened(&wanted));
        }

        #[test]
        fn aligned_numbers_are_as_many_as_asked_for(count in 0usize..40) {
            let mut aligned = Aligned::new(count, 7);
            prop_assert_eq!(&*aligned, &*vec![7; count]);
            prop_assert!(count == 0 || aligned.as_ptr().addr().is_multiple_of(LINE));
            aligned.iter_mut().zip(0..).for_each(|(number, place)| *number = place);
            prop_assert!(aligned.iter().copied().eq(0..count as u64));
        }

        #[test]
        fn counts_are_those_of_a_loop(
            row in proptest::collection::vec(prop_oneof![0u64..60, Just(u64::MAX)], 0..70),
            time in 0u64..60,
        ) {
            let until = row.iter().filter(|entry| **entry <= time).count();
            prop_assert_eq!(count_until(&row, time) as usize, until);
            let is_ahead = |entry: &&u64| **entry > time && **entry != u64::MAX;
            let ahead = row.iter().filter(is_ahead).count();
            prop_assert_eq!(count_ahead(&row, time) as usize, ahead);
            let short = u32::try_from(time).unwrap();
            prop_assert_eq!(count_ahead(&shortened(&row), short) as usize, ahead);
        }

        /// Against instances that are looked for one by one, in no order.
        #[test]
        fn requests_take_the_instance_that_is_free_first(
            wide in prop_oneof![1usize..50, Just(8), Just(16), Just(24), Just(32), Just(40)],
            requests in proptest::collection::vec((0u64..9, 0u64..60), 0..200),
            is_late in any::<bool>(),
        ) {
            let mut now = if is_late { LAST - 100 } else { 0 };
            let (mut row, mut instances) = (vec![now; wide], vec![now; wide]);
            let (mut at, mut services, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
            for (gap, service) in requests {
                now += gap;
                at.push(now);
                services.push(service);
                let first = instances.iter_mut().min().unwrap();
                let start = now.max(*first);
                *first = (start + service).min(LAST);
                wanted.push((start, *first));
            }
            let (mut starts, mut ends) = (vec![0; at.len()], vec![0; at.len()]);
            let columns = Requests {
                at: &at,
                services: &services,
                starts: &mut starts,
                ends: &mut ends,
            };
            serve(&mut row, columns, LAST);
            let seen: Vec<(u64, u64)> = starts.into_iter().zip(ends).collect();
            prop_assert_eq!(seen, wanted);
            instances.sort_unstable();
            prop_assert_eq!(row, instances);
        }
    }
}

//! Comparisons of a few numbers at once, for loops that compilers don't turn into vector code by
//! themselves. With the widest vectors they are written out; the answers are the same.

use policy::Time;
#[cfg(target_arch = "x86_64")]
use pulp::{NullaryFnOnce, x86::V4};

/// Numbers that are compared at once: a vector of the widest kind, and a line of the cache.
pub(crate) const LANES: usize = 8;

/// [`LANES`] numbers in a line of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Eight(pub(crate) [u64; LANES]);

/// How numbers are compared.
pub(crate) trait Lanes: Copy {
    /// Which of the numbers are above a time: the lowest bit is the first one.
    fn above(self, numbers: &[u64; LANES], time: Time) -> u32;

    /// Drops the first number and appends one.
    fn push(self, eight: &mut Eight, last: u64);
}

/// Something to run with either kind of comparison. Mark [`Compares::run`] and what it calls
/// `#[inline(always)]`.
pub(crate) trait Compares {
    /// What it answers.
    type Output;

    /// Runs it.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs a task with the widest vectors that this processor has.
#[inline]
pub(crate) fn run<T: Compares>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    if let pulp::x86::Arch::V4(simd) = pulp::x86::Arch::new() {
        return simd.vectorize(Wide { simd, task });
    }
    crate::wide::run(Narrow(task))
}

#[cfg(target_arch = "x86_64")]
struct Wide<T> {
    simd: V4,
    task: T,
}

#[cfg(target_arch = "x86_64")]
impl<T: Compares> NullaryFnOnce for Wide<T> {
    type Output = T::Output;

    #[inline(always)]
    fn call(self) -> T::Output {
        self.task.run(self.simd)
    }
}

struct Narrow<T>(T);

impl<T: Compares> crate::wide::Task for Narrow<T> {
    type Output = T::Output;

    #[inline(always)]
    fn run(self) -> T::Output {
        self.0.run(Plain)
    }
}

/// For any processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

impl Lanes for Plain {
    #[inline(always)]
    fn above(self, numbers: &[u64; LANES], time: Time) -> u32 {
        let bits =
            numbers.iter().zip(0..).map(|(number, lane)| u32::from(*number > time.0) << lane);
        bits.sum()
    }

    #[inline(always)]
    fn push(self, eight: &mut Eight, last: u64) {
        let [_, second, third, fourth, fifth, sixth, seventh, eighth] = eight.0;
        eight.0 = [second, third, fourth, fifth, sixth, seventh, eighth, last];
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for V4 {
    #[inline(always)]
    fn above(self, numbers: &[u64; LANES], time: Time) -> u32 {
        let [numbers, times] = [*numbers, [time.0; LANES]].map(pulp::cast);
        u32::from(self.avx512f._mm512_cmpgt_epu64_mask(numbers, times))
    }

    #[inline(always)]
    fn push(self, eight: &mut Eight, last: u64) {
        let [numbers, last] = [eight.0, [last; LANES]].map(pulp::cast);
        eight.0 = pulp::cast(self.avx512f._mm512_alignr_epi64::<1>(last, numbers));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Compared {
        numbers: [u64; LANES],
        time: Time,
        last: u64,
    }

    impl Compares for &Compared {
        type Output = (u32, [u64; LANES]);

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Self::Output {
            let mut eight = Eight(self.numbers);
            lanes.push(&mut eight, self.last);
            (lanes.above(&self.numbers, self.time), eight.0)
        }
    }

    proptest! {
        #[test]
        fn all_processors_see_the_same(
            numbers in proptest::array::uniform8(prop_oneof![0u64..9, any::<u64>()]),
            time in prop_oneof![0u64..9, any::<u64>()],
            last in any::<u64>(),
        ) {
            let compared = Compared { numbers, time: Time(time), last };
            let (above, pushed) = run(&compared);
            prop_assert_eq!((above, pushed), compared.run(Plain));
            for (lane, number) in numbers.into_iter().enumerate() {
                prop_assert_eq!(above >> lane & 1 == 1, number > time);
            }
            prop_assert_eq!(above >> LANES, 0);
            prop_assert_eq!(&pushed[..7], &numbers[1..]);
            prop_assert_eq!(pushed[7], last);
        }
    }
}

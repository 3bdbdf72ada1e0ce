//! Amounts of resources in thousandths, as Mesos counts them.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use crate::{Range, Resource, Scalar, ValueType};

/// An amount in thousandths: `cpus` and `mem` are added and compared exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Milli(pub i64);

impl Milli {
    /// The nearest amount (values.cpp, `convertToFixed`); what is no number counts as nothing.
    #[allow(clippy::cast_possible_truncation, reason = "saturates")]
    pub fn from_f64(value: f64) -> Self {
        Self((value * 1000.0).round() as i64)
    }

    /// The amount as a number (values.cpp, `convertToFloating`).
    #[allow(clippy::cast_precision_loss, reason = "amounts are below 2^53 thousandths")]
    pub fn to_f64(self) -> f64 {
        (self.0 / 1000) as f64 + (self.0 % 1000) as f64 / 1000.0
    }
}

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.to_f64())
    }
}

impl Add for Milli {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Milli {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Milli {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Milli {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Milli {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl From<Scalar> for Milli {
    fn from(scalar: Scalar) -> Self {
        Self::from_f64(scalar.value)
    }
}

impl From<Milli> for Scalar {
    fn from(amount: Milli) -> Self {
        Self { value: amount.to_f64() }
    }
}

/// Whole numbers as ranges: sorted, apart from each other, each with at least one number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    /// Those numbers that stand in any of the ranges; a range that ends before it begins has none.
    pub fn new(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut sorted: Vec<(u64, u64)> =
            ranges.into_iter().filter(|(begin, end)| begin <= end).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
        for (begin, end) in sorted {
            match merged.last_mut() {
                Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => merged.push((begin, end)),
            }
        }
        Self(merged)
    }

    /// The ranges, sorted, first and last number.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum: u64, (begin, end)| sum.saturating_add((end - begin).saturating_add(1)))
    }

    /// The numbers, from the lowest.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|(begin, end)| *begin..=*end)
    }

    /// Whether all numbers of the other are here.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(begin, end)| {
            let at = self.0.partition_point(|range| range.1 < *begin);
            self.0.get(at).is_some_and(|range| range.0 <= *begin && *end <= range.1)
        })
    }

    /// The numbers of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&other.0).copied())
    }

    /// The numbers that aren't in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut cuts = other.0.iter().copied().peekable();
        for (mut begin, end) in self.0.iter().copied() {
            while cuts.next_if(|cut| cut.1 < begin).is_some() {}
            let mut rest = true;
            while let Some((from, to)) = cuts.peek().copied().filter(|cut| cut.0 <= end) {
                if from > begin {
                    left.push((begin, from - 1));
                }
                if to >= end {
                    // It may cut the next range, too.
                    rest = false;
                    break;
                }
                begin = to + 1;
                cuts.next();
            }
            if rest {
                left.push((begin, end));
            }
        }
        Self(left)
    }
}

impl fmt::Display for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("[")?;
        for (index, (begin, end)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{begin}-{end}")?;
        }
        f.write_str("]")
    }
}

impl From<&crate::Ranges> for Intervals {
    fn from(ranges: &crate::Ranges) -> Self {
        Self::new(ranges.range.iter().map(|range| (range.begin, range.end)))
    }
}

impl From<&Intervals> for crate::Ranges {
    fn from(intervals: &Intervals) -> Self {
        let range = |(begin, end): &(u64, u64)| Range { begin: *begin, end: *end };
        Self { range: intervals.0.iter().map(range).collect() }
    }
}

impl Resource {
    /// An amount of a resource that nobody has reserved.
    pub fn scalar(name: &str, amount: Milli) -> Self {
        Self {
            name: name.to_owned(),
            r#type: ValueType::Scalar.into(),
            scalar: Some(amount.into()),
            ..Self::default()
        }
    }

    /// Numbers that nobody has reserved, such as ports.
    pub fn ranges(name: &str, numbers: &Intervals) -> Self {
        Self {
            name: name.to_owned(),
            r#type: ValueType::Ranges.into(),
            ranges: Some(numbers.into()),
            ..Self::default()
        }
    }

    /// The amount, if it is one.
    pub fn amount(&self) -> Option<Milli> {
        if self.r#type() == ValueType::Scalar { self.scalar.map(Milli::from) } else { None }
    }

    /// The numbers, if it has some.
    pub fn numbers(&self) -> Option<Intervals> {
        let ranges = self.ranges.as_ref().filter(|_| self.r#type() == ValueType::Ranges);
        ranges.map(Intervals::from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Intervals, Milli};

    #[test]
    fn amounts_are_exact_to_a_thousandth() {
        let sum: Milli = std::iter::repeat_n(Milli::from_f64(0.1), 10).sum();
        assert_eq!(sum, Milli::from_f64(1.0));
        assert_eq!(Milli::from_f64(0.0006), Milli(1));
        assert_eq!(Milli::from_f64(-1.5), Milli(-1500));
        assert_eq!(Milli(3900).to_f64(), 3.9);
        assert_eq!((Milli(4000) - Milli(100)).to_string(), "3.9");
        assert_eq!(Milli::from_f64(f64::NAN), Milli(0));
    }

    fn set(intervals: &Intervals) -> BTreeSet<u64> {
        intervals.numbers().collect()
    }

    proptest! {
        #[test]
        fn ranges_are_sets_of_numbers(
            left in prop::collection::vec((0u64..40, 0u64..40), 0..8),
            right in prop::collection::vec((0u64..40, 0u64..40), 0..8),
        ) {
            let (a, b) = (Intervals::new(left), Intervals::new(right));
            prop_assert_eq!(set(&a.union(&b)), &set(&a) | &set(&b));
            prop_assert_eq!(set(&a.without(&b)), &set(&a) - &set(&b));
            prop_assert_eq!(a.contains(&b), set(&b).is_subset(&set(&a)));
            prop_assert_eq!(a.count(), set(&a).len() as u64);
            prop_assert_eq!(Intervals::new(a.without(&b).ranges().iter().copied()), a.without(&b));
            prop_assert!(a.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn the_greatest_numbers() {
        let all = Intervals::new([(0, u64::MAX)]);
        assert!(all.without(&all).is_empty());
        assert_eq!(all.count(), u64::MAX);
        assert_eq!(
            all.without(&Intervals::new([(5, 5)])).to_string(),
            "[0-4, 6-18446744073709551615]"
        );
    }
}

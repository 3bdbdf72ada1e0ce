//! Laws of random times. A time is a function of one random word and grows with it, so two systems
//! that are given the same words are given comparable work.

use policy::Nanoseconds;

use crate::logarithm::{natural, open_unit, whole};
use crate::normal;

/// A law. Drawn times are whole nanoseconds and at most 26 days (`logarithm::LONGEST`).
#[derive(Debug, Clone, PartialEq)]
pub enum Law {
    /// Always the same.
    Constant(Nanoseconds),
    /// Without memory.
    Exponential {
        /// In nanoseconds; a fraction matters for gaps between many arrivals.
        mean: f64,
    },
    /// The logarithm is normal.
    Lognormal {
        /// The median, in nanoseconds.
        median: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// One of two exponential laws: more variable than one.
    Hyperexponential {
        /// How often it is the first one.
        share: f64,
        /// Mean of the first, in nanoseconds.
        first: f64,
        /// Mean of the second.
        second: f64,
    },
    /// Between given quantiles, on straight lines.
    Empirical(Quantiles),
}

/// Quantiles of a law: pairs of a probability and nanoseconds, both ascending, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles {
    points: Vec<(f64, f64)>,
    /// From each point to the next.
    lines: Vec<Line>,
}

/// A straight line between two points.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    from: f64,
    value: f64,
    slope: f64,
}

impl Line {
    fn between(left: (f64, f64), right: (f64, f64)) -> Self {
        let slope = (right.1 - left.1) / (right.0 - left.0);
        Line { from: left.0, value: left.1, slope }
    }

    #[inline(always)]
    const fn at(self, probability: f64) -> f64 {
        self.value + self.slope * (probability - self.from)
    }
}

/// So many points are counted faster than they are searched.
const FEW: usize = 16;

impl Quantiles {
    /// Quantiles from points; none unless there are at least two, both columns ascend, and the
    /// probabilities go from 0 to 1.
    #[must_use]
    pub fn new(points: Vec<(f64, f64)>) -> Option<Self> {
        let ascends = points.is_sorted_by(|left, right| left.0 < right.0 && left.1 <= right.1);
        let (first, last) = (points.first()?, points.last()?);
        let whole_range = first.0 == 0.0 && last.0 == 1.0 && first.1 >= 0.0 && points.len() > 1;
        (ascends && whole_range && last.1.is_finite()).then(|| Self::through(points))
    }

    fn through(points: Vec<(f64, f64)>) -> Self {
        let pairs = points.iter().zip(points.iter().skip(1));
        let lines = pairs.map(|(left, right)| Line::between(*left, *right)).collect();
        Quantiles { points, lines }
    }

    /// The value below which the law lies with this probability.
    #[must_use]
    pub fn at(&self, probability: f64) -> f64 {
        let next = if self.points.len() <= FEW {
            // All are looked at, and no branch depends on the probability.
            let mut below = 0;
            for (known, _) in &self.points {
                below += usize::from(*known < probability);
            }
            below
        } else {
            self.points.partition_point(|(known, _)| *known < probability)
        };
        let line = self.lines.get(next.saturating_sub(1)).or(self.lines.last());
        line.map_or(0.0, |line| line.at(probability))
    }

    /// The times for many words. The place of a word among the points is counted, not searched for:
    /// that becomes vector code.
    #[inline(always)]
    fn fill(&self, words: &[u64], times: &mut [u64]) {
        times.fill(0);
        // The first point is below all words and the last one above.
        let inner = self.points.get(1..self.points.len().saturating_sub(1)).unwrap_or_default();
        for (probability, _) in inner {
            for (place, word) in times.iter_mut().zip(words) {
                *place += u64::from(*probability < open_unit(*word));
            }
        }
        for (time, word) in times.iter_mut().zip(words) {
            let place = usize::try_from(*time).unwrap_or(usize::MAX);
            if let Some(line) = self.lines.get(place) {
                *time = whole(line.at(open_unit(*word)));
            }
        }
    }

    fn mean(&self) -> f64 {
        self.segments().map(|(width, low, high)| width * (low + high) / 2.0).sum()
    }

    fn second_moment(&self) -> f64 {
        let moment = |(width, low, high): (f64, f64, f64)| {
            width * (low * low + low * high + high * high) / 3.0
        };
        self.segments().map(moment).sum()
    }

    /// Probability, lowest and highest value of each straight line.
    fn segments(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        pairs.map(|(left, right)| (right.0 - left.0, left.1, right.1))
    }
}

impl Law {
    /// The time for a word.
    #[inline(always)]
    #[must_use]
    pub fn sample(&self, word: u64) -> Nanoseconds {
        // Asked apart: most stages always take the same time, and which is known where they are
        // drawn better than here.
        if let Law::Constant(time) = self { *time } else { self.draw(word) }
    }

    #[inline]
    fn draw(&self, word: u64) -> Nanoseconds {
        Nanoseconds(match self {
            Law::Constant(time) => time.0,
            Law::Exponential { mean } => exponential(*mean, word),
            Law::Lognormal { median, sigma } => lognormal(*median, *sigma, word),
            Law::Hyperexponential { share, first, second } => {
                hyperexponential(*share, *first, *second, word)
            }
            Law::Empirical(quantiles) => whole(quantiles.at(open_unit(word))),
        })
    }

    /// The times for many words: the same as one by one, but the law is looked at once, so that the
    /// loops are tight enough for vector code.
    #[inline(always)]
    pub fn fill(&self, words: &[u64], times: &mut [u64]) {
        // Loops, not closures: those may stay apart, where they miss the wide vectors.
        let pairs = times.iter_mut().zip(words);
        match self {
            Law::Constant(time) => times.fill(time.0),
            Law::Exponential { mean } => {
                for (time, word) in pairs {
                    *time = exponential(*mean, *word);
                }
            }
            Law::Empirical(quantiles) => quantiles.fill(words, times),
            Law::Lognormal { .. } | Law::Hyperexponential { .. } => {
                for (time, word) in pairs {
                    *time = self.sample(*word).0;
                }
            }
        }
    }

    /// The law of times that are so many times as long.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times and scales aren't negative; a cast from a double saturates"
    )]
    pub fn scaled(&self, scale: f64) -> Self {
        match self {
            Law::Constant(time) => {
                Law::Constant(Nanoseconds((nanoseconds(*time) * scale).round() as u64))
            }
            Law::Exponential { mean } => Law::Exponential { mean: mean * scale },
            Law::Lognormal { median, sigma } => {
                Law::Lognormal { median: median * scale, sigma: *sigma }
            }
            Law::Hyperexponential { share, first, second } => Law::Hyperexponential {
                share: *share,
                first: first * scale,
                second: second * scale,
            },
            Law::Empirical(Quantiles { points, .. }) => Law::Empirical(Quantiles::through(
                points.iter().map(|(part, time)| (*part, time * scale)).collect(),
            )),
        }
    }

    /// The mean, in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Law::Constant(time) => nanoseconds(*time),
            Law::Exponential { mean } => *mean,
            Law::Lognormal { median, sigma } => median * libm::exp(sigma * sigma / 2.0),
            Law::Hyperexponential { share, first, second } => {
                share * first + (1.0 - share) * second
            }
            Law::Empirical(quantiles) => quantiles.mean(),
        }
    }

    /// The squared coefficient of variation: variance divided by the square of the mean.
    #[must_use]
    pub fn squared_variation(&self) -> f64 {
        let mean = self.mean();
        match self {
            Law::Constant(_) => 0.0,
            Law::Exponential { .. } => 1.0,
            Law::Lognormal { sigma, .. } => libm::expm1(sigma * sigma),
            Law::Hyperexponential { share, first, second } => {
                let second_moment = 2.0 * (share * first * first + (1.0 - share) * second * second);
                second_moment / (mean * mean) - 1.0
            }
            Law::Empirical(quantiles) if mean > 0.0 => {
                quantiles.second_moment() / (mean * mean) - 1.0
            }
            Law::Empirical(_) => 0.0,
        }
    }

    /// The median: half of the times are shorter.
    #[must_use]
    pub fn median(&self) -> Nanoseconds {
        self.sample(1 << 63)
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is lost is below a nanosecond in 3 months")]
fn nanoseconds(time: Nanoseconds) -> f64 {
    time.0 as f64
}

/// The largest words give the longest times: −ln(1 − u).
#[inline(always)]
fn exponential(mean: f64, word: u64) -> u64 {
    whole(-mean * natural(open_unit(!word)))
}

fn lognormal(median: f64, sigma: f64, word: u64) -> u64 {
    whole(median * libm::exp(sigma * normal::quantile(open_unit(word))))
}

/// One word chooses the law and the time: what is left of the number after the choice is uniform
/// again. Not monotone between the two laws.
fn hyperexponential(share: f64, first: f64, second: f64, word: u64) -> u64 {
    let unit = open_unit(word);
    let (mean, rest) =
        if unit < share { (first, unit / share) } else { (second, (unit - share) / (1.0 - share)) };
    whole(-mean * natural((1.0 - rest).max(f64::EPSILON / 4.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Purpose, Words};

    const MS: f64 = 1e6;

    fn laws() -> Vec<Law> {
        let points = vec![(0.0, MS), (0.5, 20.0 * MS), (0.9, 80.0 * MS), (1.0, 400.0 * MS)];
        vec![
            Law::Constant(Nanoseconds(5_000_000)),
            Law::Exponential { mean: 20.0 * MS },
            Law::Lognormal { median: 40.0 * MS, sigma: 0.8 },
            Law::Hyperexponential { share: 0.9, first: 10.0 * MS, second: 200.0 * MS },
            Law::Empirical(Quantiles::new(points).unwrap()),
        ]
    }

    /// Means and second moments within four standard errors of 200,000 draws; the fourth moments
    /// are estimated from the draws.
    #[test]
    fn moments_are_those_of_the_law() {
        const DRAWS: u64 = 200_000;
        for law in laws() {
            let words = Words::new(1, Purpose::Service, 9);
            let times: Vec<f64> =
                (0..DRAWS).map(|position| nanoseconds(law.sample(words.at(position)))).collect();
            let mean = law.mean();
            let second = mean * mean * (1.0 + law.squared_variation());
            for (power, wanted) in [(1, mean), (2, second)] {
                let values: Vec<f64> = times.iter().map(|time| time.powi(power)).collect();
                let seen = values.iter().sum::<f64>() / DRAWS as f64;
                let variance =
                    values.iter().map(|value| (value - seen).powi(2)).sum::<f64>() / DRAWS as f64;
                let error = (variance / DRAWS as f64).sqrt();
                assert!((seen - wanted).abs() <= 4.0 * error + 0.5, "{law:?}: {seen} {wanted}");
            }
        }
    }

    #[test]
    fn many_at_once_are_the_same_as_one_by_one() {
        let words = Words::new(1, Purpose::Service, 9);
        let words: Vec<u64> = (0..1000).map(|position| words.at(position)).collect();
        for law in laws() {
            let mut times = vec![0; words.len()];
            law.fill(&words, &mut times);
            let single: Vec<u64> = words.iter().map(|word| law.sample(*word).0).collect();
            assert_eq!(times, single);
        }
    }

    #[test]
    fn scaled_laws_are_as_many_times_as_long() {
        for law in laws() {
            let scaled = law.scaled(1.25);
            assert!((scaled.mean() / law.mean() - 1.25).abs() < 1e-9, "{law:?}");
            for word in [1, 1 << 40, 1 << 63, u64::MAX / 3] {
                let (before, after) = (law.sample(word).0 as f64, scaled.sample(word).0 as f64);
                assert!((after - 1.25 * before).abs() <= 2.0, "{law:?}: {before} {after}");
            }
        }
    }

    #[test]
    fn times_grow_with_the_word() {
        for law in laws() {
            if matches!(law, Law::Hyperexponential { .. }) {
                continue;
            }
            let times: Vec<u64> = (0..1024).map(|n| law.sample(n << 54).0).collect();
            assert!(times.is_sorted(), "{law:?}");
        }
    }

    #[test]
    fn medians_and_extremes() {
        assert_eq!(laws()[2].median().0, 40_000_000);
        assert_eq!(laws()[4].median().0, 20_000_000);
        for law in laws() {
            for word in [0, u64::MAX] {
                assert!(law.sample(word).0 <= 1 << 51);
            }
        }
    }

    #[test]
    fn quantiles_that_are_none_are_refused() {
        for points in [
            vec![],
            vec![(0.0, 1.0)],
            vec![(0.0, 1.0), (0.9, 2.0)],
            vec![(0.0, 5.0), (1.0, 2.0)],
            vec![(0.0, 5.0), (0.0, 6.0), (1.0, 7.0)],
            vec![(0.0, 0.0), (1.0, f64::INFINITY)],
            vec![(f64::NAN, 0.0), (1.0, 2.0)],
        ] {
            assert_eq!(Quantiles::new(points), None);
        }
    }
}

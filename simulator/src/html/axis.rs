//! Axes of plots: where ticks are, and what they say.

use policy::Nanoseconds;

/// An axis; its values are those of the plot's points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Axis {
    /// Simulated time in seconds, from 0 on.
    Time {
        /// The end, in seconds.
        high: f64,
    },
    /// Numbers from 0 on.
    Linear {
        /// The highest value.
        high: f64,
        /// Behind each label.
        unit: &'static str,
    },
    /// Numbers between two.
    Between {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
        /// Behind each label.
        unit: &'static str,
    },
    /// Lengths of time in nanoseconds, each power of ten as wide as the other.
    Lengths {
        /// The lowest value; above 0.
        low: f64,
        /// The highest value.
        high: f64,
    },
}

/// A mark on an axis: where, in the coordinates of [`Axis::place`], and what it says.
pub type Tick = (f64, String);

/// Units of simulated time, with the steps in them that people count in.
const UNITS: [(f64, &str, &[f64]); 6] = [
    (1e-6, "µs", &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]),
    (1e-3, "ms", &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]),
    (1.0, "s", &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0]),
    (60.0, "min", &[1.0, 2.0, 5.0, 10.0, 15.0, 30.0]),
    (3_600.0, "h", &[1.0, 2.0, 3.0, 6.0, 12.0]),
    (86_400.0, "d", &[1.0, 2.0, 7.0, 14.0, 28.0]),
];

/// Lengths of time that are ticks of their own, in nanoseconds: first those that stand when there
/// is little room.
const COARSE: [f64; 14] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 60e9, 600e9, 3_600e9];
const FINE: [f64; 27] = [
    2e0, 5e0, 2e1, 5e1, 2e2, 5e2, 2e3, 5e3, 2e4, 5e4, 2e5, 5e5, 2e6, 5e6, 2e7, 5e7, 2e8, 5e8, 2e9,
    5e9, 2e10, 3e10, 120e9, 300e9, 1_200e9, 7_200e9, 18_000e9,
];

impl Axis {
    /// Where a value is.
    pub fn place(self, value: f64) -> f64 {
        match self {
            Axis::Time { .. } | Axis::Linear { .. } | Axis::Between { .. } => value,
            Axis::Lengths { .. } => value.max(1.0).log10(),
        }
    }

    /// The ends of the axis with at most so many ticks, in places.
    pub fn range(self, most: usize) -> (f64, f64) {
        match self {
            Axis::Time { high } => (0.0, high),
            Axis::Linear { high, .. } => {
                let step = linear_step(high, most);
                (0.0, (high / step).ceil().max(1.0) * step)
            }
            Axis::Between { low, high, .. } => {
                let step = linear_step(spread(low, high), most);
                let (first, last) = ((low / step).floor() * step, (high / step).ceil() * step);
                (first, if last > first { last } else { first + step })
            }
            Axis::Lengths { low, high } => {
                let (low, high) = (self.place(low), self.place(high));
                // Room around a single value, and a little at both ends.
                let room = ((high - low) * 0.04).max(0.05);
                (low - room, high + room)
            }
        }
    }

    /// At most about so many ticks.
    pub fn ticks(self, most: usize) -> Vec<Tick> {
        match self {
            Axis::Time { high } => time_ticks(high, most),
            Axis::Linear { high, unit } => {
                let step = linear_step(high, most);
                let (_, end) = self.range(most);
                multiples(step, end).map(|value| (value, number(value, unit))).collect()
            }
            Axis::Between { low, high, unit } => {
                let step = linear_step(spread(low, high), most);
                let (first, last) = self.range(most);
                let ticks = multiples(step, last - first).map(|above| first + above);
                ticks.map(|value| (value, stepped(value, step, unit))).collect()
            }
            Axis::Lengths { .. } => self.length_ticks(most),
        }
    }

    fn length_ticks(self, most: usize) -> Vec<Tick> {
        let (low, high) = self.range(most);
        let within = |lengths: &[f64]| -> Vec<f64> {
            let is_within = |length: &&f64| (low..=high).contains(&self.place(**length));
            lengths.iter().filter(is_within).copied().collect()
        };
        let mut lengths = within(&COARSE);
        let fine = within(&FINE);
        if lengths.len() + fine.len() <= most {
            lengths.extend(fine);
            lengths.sort_by(f64::total_cmp);
        }
        // Every second, third, … if even those are too many.
        let every = lengths.len().div_ceil(most.max(1)).max(1);
        lengths.into_iter().step_by(every).map(|value| (self.place(value), length(value))).collect()
    }
}

/// How far two values are apart; of a single one, a part of it, so that it has an axis.
fn spread(low: f64, high: f64) -> f64 {
    if high > low { high - low } else { high.abs() * 0.1 }
}

/// Multiples of a step from 0 to an end.
fn multiples(step: f64, end: f64) -> impl Iterator<Item = f64> {
    (0u32..).map(move |count| f64::from(count) * step).take_while(move |at| *at <= end * 1.000_001)
}

/// 1, 2 or 5 times a power of ten.
fn linear_step(high: f64, most: usize) -> f64 {
    let most = u32::try_from(most.max(1)).map_or(1.0, f64::from);
    let rough = if high > 0.0 { high / most } else { 1.0 };
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999_999);
    factor.unwrap_or(10.0) * power
}

fn time_ticks(high: f64, most: usize) -> Vec<Tick> {
    let most = u32::try_from(most.max(1)).map_or(1.0, f64::from);
    // 4 h and not 240 min.
    let units = UNITS.into_iter().filter(|(scale, name, _)| match *name {
        "s" | "min" => high <= 180.0 * scale,
        _ => true,
    });
    let steps = units
        .flat_map(|(scale, name, steps)| steps.iter().map(move |step| (step * scale, scale, name)));
    let longest = (28.0 * 86_400.0, 86_400.0, "d");
    let (step, scale, name) =
        steps.into_iter().find(|(step, ..)| high / step <= most).unwrap_or(longest);
    let label = |at: f64| {
        if at == 0.0 { "0".to_owned() } else { format!("{:.0} {name}", at / scale) }
    };
    multiples(step, high).map(|at| (at, label(at))).collect()
}

/// A number for people: 2.5k, 0.25, 1M.
pub fn number(value: f64, unit: &str) -> String {
    let scales = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, prefix) =
        scales.into_iter().find(|(scale, _)| value.abs() >= *scale).unwrap_or((1.0, ""));
    let shown = value / scale;
    let decimals = match shown.abs() {
        0.0 => 0,
        shown if shown < 0.1 => 3,
        shown if shown < 1.0 => 2,
        shown if shown < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{shown:.decimals$}");
    let text = match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.'),
        None => &text,
    };
    format!("{text}{prefix}{unit}")
}

/// A number with as many digits as its neighbours at this distance need to differ.
fn stepped(value: f64, step: f64, unit: &str) -> String {
    match step {
        1e3.. => number(value, unit),
        1.0.. => format!("{value:.0}{unit}"),
        0.1.. => format!("{value:.1}{unit}"),
        0.01.. => format!("{value:.2}{unit}"),
        _ => format!("{value:.3}{unit}"),
    }
}

/// A length of time in nanoseconds for people.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a double saturates"
)]
pub fn length(value: f64) -> String {
    match value {
        60e9 => "1min".to_owned(),
        value => Nanoseconds(value.round() as u64).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis, most: usize) -> String {
        let labels: Vec<String> = axis.ticks(most).into_iter().map(|(_, label)| label).collect();
        labels.join(" ")
    }

    #[test]
    fn times_count_in_their_unit() {
        let time = |high| labels(Axis::Time { high }, 8);
        assert_eq!(time(600.0), "0 2 min 4 min 6 min 8 min 10 min");
        assert_eq!(time(60.0), "0 10 s 20 s 30 s 40 s 50 s 60 s");
        assert_eq!(time(14_400.0), "0 1 h 2 h 3 h 4 h");
        assert_eq!(time(86_400.0), "0 3 h 6 h 9 h 12 h 15 h 18 h 21 h 24 h");
        assert_eq!(labels(Axis::Time { high: 86_400.0 }, 4), "0 6 h 12 h 18 h 24 h");
        assert_eq!(time(0.01), "0 2 ms 4 ms 6 ms 8 ms 10 ms");
    }

    #[test]
    fn numbers_have_round_steps() {
        let linear = |high| labels(Axis::Linear { high, unit: "" }, 5);
        assert_eq!(linear(8_500.0), "0 2k 4k 6k 8k 10k");
        assert_eq!(linear(0.3), "0 0.1 0.2 0.3");
        assert_eq!(linear(0.0), "0 1");
        assert_eq!(linear(1_200_000.0), "0 500k 1M 1.5M");
        assert_eq!(
            labels(Axis::Linear { high: 100.0, unit: " %" }, 5),
            "0 % 20 % 40 % 60 % 80 % 100 %"
        );
    }

    #[test]
    fn numbers_between_two_need_not_begin_at_nothing() {
        let between = |low, high| labels(Axis::Between { low, high, unit: "" }, 5);
        assert_eq!(between(50.7, 62.9), "50 55 60 65");
        assert_eq!(between(402.0, 403.0), "402.0 402.2 402.4 402.6 402.8 403.0");
        assert_eq!(between(7.0, 7.0), "7.0 7.2");
        assert_eq!(between(0.0, 0.0), "0 1");
        assert_eq!(between(18_200.0, 25_100.0), "18k 20k 22k 24k 26k");
    }

    #[test]
    fn lengths_have_ticks_that_fit() {
        let lengths = |low, high, most| labels(Axis::Lengths { low, high }, most);
        assert_eq!(lengths(2e6, 8e11, 8), "10ms 100ms 1s 10s 1min 10min");
        assert_eq!(lengths(2e7, 3e8, 8), "20ms 50ms 100ms 200ms");
        assert_eq!(lengths(1e3, 1e12, 4), "1µs 1ms 1s 10min");
        assert_eq!(lengths(5e8, 5e8, 4), "500ms");
    }

    #[test]
    fn places_of_ticks_are_within_the_range() {
        for axis in [
            Axis::Time { high: 7.3 },
            Axis::Linear { high: 123.4, unit: "" },
            Axis::Between { low: 99.0, high: 123.4, unit: "" },
            Axis::Lengths { low: 1.0, high: 9e13 },
        ] {
            for most in 1..12 {
                let (low, high) = axis.range(most);
                let ticks = axis.ticks(most);
                assert!(!ticks.is_empty() && ticks.len() <= most + 2, "{axis:?} {most}");
                assert!(ticks.iter().all(|(at, _)| (low..=high * 1.000_001).contains(at)));
            }
        }
    }
}

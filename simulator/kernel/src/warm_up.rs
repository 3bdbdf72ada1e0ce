//! How much of the beginning of a run is not yet like the rest: MSER-5 (White, Cobb and Spratt 2000).

/// What MSER-5 says of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// So many values at the beginning are not like the rest.
    pub values: usize,
    /// Whether the cut is in the second half of the series: then the series is too short to tell,
    /// or never settles.
    pub is_late: bool,
}

/// Values that are averaged before they are looked at.
const BATCH: usize = 5;
/// The fewest batches that say anything.
const FEWEST_BATCHES: usize = 20;

/// Where to cut a series: there, the squared standard error of the mean of what is left is least.
/// None for fewer than 100 values.
#[must_use]
pub fn mser5(values: &[f64]) -> Option<Cut> {
    let batches: Vec<f64> = values.chunks_exact(BATCH).map(mean).collect();
    if batches.len() < FEWEST_BATCHES {
        return None;
    }
    // From the end: sums of what is left, so that all cuts take one pass.
    let mut best = (f64::INFINITY, 0);
    let mut left = 0.0;
    let (mut average, mut squares) = (0.0, 0.0);
    for (place, batch) in batches.iter().enumerate().rev() {
        left += 1.0;
        let before = batch - average;
        average += before / left;
        squares += before * (batch - average);
        // The last few batches agree by chance: Franklin and White (2008) leave out five.
        if left > 5.0 {
            let error = squares / (left * left);
            if error <= best.0 {
                best = (error, place);
            }
        }
    }
    Some(Cut { values: best.1 * BATCH, is_late: best.1 * 2 > batches.len() })
}

#[expect(clippy::cast_precision_loss, reason = "batches are short")]
fn mean(batch: &[f64]) -> f64 {
    batch.iter().sum::<f64>() / batch.len() as f64
}

#[cfg(test)]
mod tests {
    use policy::{Purpose, Words};

    use super::*;
    use crate::logarithm::open_unit;

    fn noise(place: u64) -> f64 {
        open_unit(Words::new(3, Purpose::Service, 0).at(place)) - 0.5
    }

    fn series(length: u64, value: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..length).map(|place| value(place as f64) + noise(place)).collect()
    }

    #[test]
    fn a_start_from_empty_is_found() {
        let cut = mser5(&series(1000, |place| 10.0 * (1.0 - libm::exp(-place / 40.0)))).unwrap();
        // After 4 time constants the rest, 0.18, is below the noise.
        assert!((80..320).contains(&cut.values), "{cut:?}");
        assert!(!cut.is_late);
    }

    #[test]
    fn a_series_that_is_alike_is_kept() {
        let cut = mser5(&series(1000, |_| 10.0)).unwrap();
        assert!(cut.values < 200, "{cut:?}");
        assert_eq!(mser5(&[1.0; 1000]), Some(Cut { values: 0, is_late: false }));
    }

    #[test]
    fn a_series_that_never_settles_is_told() {
        assert!(mser5(&series(1000, |place| place)).unwrap().is_late);
        assert_eq!(mser5(&[1.0; 99]), None);
    }

    /// One pass against the definition, cut by cut.
    #[test]
    fn one_pass_is_the_definition() {
        for length in [100u64, 137, 400] {
            let values = series(length, |place| 20.0 / (1.0 + place));
            let batches: Vec<f64> = values.chunks_exact(5).map(mean).collect();
            let error = |cut: usize| {
                let rest = &batches[cut..];
                let average = mean(rest);
                let squares: f64 = rest.iter().map(|x| (x - average) * (x - average)).sum();
                squares / (rest.len() * rest.len()) as f64
            };
            let cuts = 0..batches.len() - 5;
            let best = cuts.min_by(|left, right| error(*left).total_cmp(&error(*right))).unwrap();
            assert_eq!(mser5(&values).unwrap().values, best * 5);
        }
    }
}

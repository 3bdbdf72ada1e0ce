//! The search on functions whose best point is known.

use proptest::prelude::*;

use super::*;
use crate::metric::{Bound, of_name};

/// Costs grow with both coordinates, a time falls with them; noise that all points have in common
/// for a seed, and some of their own.
fn values(point: &Point, run: u32) -> Values {
    let (x, y) = (point[0] as f64, point[1] as f64);
    let common = f64::from(run % 7) - 3.0;
    let own = (x * 31.0 + y * 17.0 + f64::from(run) * 13.0).rem_euclid(5.0) / 25.0 - 0.08;
    let time = 900.0 / (1.0 + x + y) + 10.0 * common + own;
    vec![Some(2.0 * x + y + 0.1 * common + own), Some(time)]
}

fn search(limit: f64, seed: u64) -> (Vec<Tried>, u32) {
    let conditions =
        [Condition { metric: of_name("p99_ms").unwrap(), bound: Bound::AtMost, limit }];
    let effort = Effort { candidates: 32, first_runs: 2, finalists: 4, steps: 20 };
    let mut runs = 0;
    let mut search = Search {
        sizes: &[20, 20],
        worse: Worse::More,
        conditions: &conditions,
        seed,
        effort,
        run: |points: &[Point], range: Range<u32>| {
            points
                .iter()
                .map(|point| {
                    // Some settings can't be.
                    if point[0] == 19 {
                        return None;
                    }
                    runs += u32::try_from(range.len()).unwrap();
                    Some(range.clone().map(|run| values(point, run)).collect())
                })
                .collect()
        },
    };
    let tried = search.run();
    (tried, runs)
}

/// 900/(1 + x + y) ≤ 100 needs x + y ≥ 8, and y is cheaper: (0, 8). From any seed the search comes
/// within an eighth of its cost of 8, with a fifth of the runs that all points would take.
#[test]
fn it_finds_what_is_cheap_and_within_the_limit() {
    for seed in 0..20 {
        let (tried, runs) = search(100.5, seed);
        let best = &tried[0];
        let cost = mean(&best.runs, 0).unwrap();
        assert!(mean(&best.runs, 1).unwrap() <= 100.5, "{seed}: {:?}", best.point);
        assert!(cost <= 9.1, "{seed}: {:?} costs {cost}", best.point);
        assert_eq!(best.runs.len(), 16);
        assert!(runs < 20 * 20 * 16 / 5, "{runs}");
    }
}

#[test]
fn without_any_that_meets_the_limit_the_nearest_is_first() {
    let (tried, _) = search(1.0, 3);
    let best = &tried[0];
    assert!(best.point[0] + best.point[1] >= 34, "{:?}", best.point);
}

#[test]
fn the_same_seed_gives_the_same_search() {
    assert_eq!(search(100.0, 5), search(100.0, 5));
    assert_ne!(sample(&[50, 50], 10, 1), sample(&[50, 50], 10, 2));
}

#[test]
fn neighbours_stay_on_the_grid() {
    assert_eq!(neighbours(&[0, 2, 1], &[2, 3, 3]), [[1, 2, 1], [0, 1, 1], [0, 2, 0], [0, 2, 2]]);
    assert_eq!(exchanges(&[0, 2, 1], &[2, 3, 3]), [[1, 1, 1], [1, 2, 0], [0, 1, 2]]);
    assert!(exchanges(&[1; 5], &[3; 5]).is_empty());
}

#[test]
fn samples_are_spread_evenly() {
    let points = sample(&[4, 100, 1], 20, 7);
    assert_eq!(points.len(), 20);
    for value in 0..4 {
        assert_eq!(points.iter().filter(|point| point[0] == value).count(), 5);
    }
    let mut second: Vec<usize> = points.iter().map(|point| point[1]).collect();
    second.sort_unstable();
    let wanted: Vec<usize> = (0..20).map(|stratum| stratum * 5).collect();
    assert_eq!(second, wanted);
    assert_eq!(sample(&[1, 1], 20, 7), [vec![0, 0]]);
}

proptest! {
    /// By the definition, point by point in the order of the first figure: a point is on the front if
    /// its second is below all those before it.
    #[test]
    fn the_front_is_what_a_sweep_finds(
        pairs in proptest::collection::vec((0u8..12, 0u8..12), 1..20)
    ) {
        let pairs: Vec<(f64, f64)> =
            pairs.iter().map(|(x, y)| (f64::from(*x), f64::from(*y))).collect();
        let found = front(&pairs);
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by(|l, r| pairs[*l].partial_cmp(&pairs[*r]).unwrap());
        let mut lowest: Option<(f64, f64)> = None;
        for place in order {
            let pair = pairs[place];
            let on_front = lowest.is_none_or(|low| pair.1 < low.1 || pair == low);
            prop_assert_eq!(found[place], on_front, "{:?} in {:?}", pair, &pairs);
            if on_front {
                lowest = Some(pair);
            }
        }
    }
}

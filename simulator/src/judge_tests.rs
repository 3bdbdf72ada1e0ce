//! Verdicts on values that are made up, so that the truth is known.

use policy::{Purpose, Words};
use simulator_kernel::normal;

use super::*;
use crate::metric::{Metric, of_name};

fn objective(name: &str, margin: f64) -> Objective {
    Objective { metric: of_name(name).unwrap(), margin }
}

/// Standard normal noise.
fn noise(seed: u64, purpose: Purpose, place: u32) -> f64 {
    let word = Words::new(seed, purpose, 0).at(u64::from(place));
    normal::quantile(((word >> 11) as f64 + 0.5) / (1u64 << 53) as f64)
}

/// Pairs that have some noise in common and some of their own.
fn pairs(seed: u64, change: f64, own: f64) -> impl FnMut(Range<u32>) -> Vec<Observed> {
    move |range| {
        range
            .map(|number| {
                let common = 100.0 + 5.0 * noise(seed, Purpose::Arrival, number);
                let after = common * (1.0 + change) + own * noise(seed, Purpose::Service, number);
                (vec![Some(common)], vec![Some(after)]).into()
            })
            .collect()
    }
}

#[test]
fn it_stops_when_it_knows() {
    let objectives = [objective("paid.mean_ms", 0.01)];
    let looks = Looks::doubling(6, 48, 0.01);
    let of = |change, own| {
        let judgement = judge(&objectives, &looks, pairs(1, change, own));
        (judgement.verdict, judgement.replications)
    };
    assert_eq!(of(0.0, 0.0), (Verdict::Pass, 6));
    assert_eq!(of(0.02, 0.05), (Verdict::Regression, 6));
    assert_eq!(of(0.0, 1.5).0, Verdict::Pass);
    assert!(of(0.0, 1.5).1 > 6);
    assert_eq!(of(0.01, 1.5), (Verdict::Inconclusive, 48));
    // More goodput is no regression.
    let objectives = [objective("goodput", 0.01)];
    assert_eq!(judge(&objectives, &looks, pairs(1, 0.05, 0.1)).verdict, Verdict::Pass);
    assert_eq!(judge(&objectives, &looks, pairs(1, -0.05, 0.1)).verdict, Verdict::Regression);
}

/// The level is what it says it is, where it is hardest: a change of exactly the margin is a wrong
/// "regression" in at most 1 of 100 and a wrong "pass" in at most 1 of 100.
#[test]
fn wrong_verdicts_at_the_margin_are_as_rare_as_promised() {
    let objectives = [objective("paid.mean_ms", 0.01)];
    let looks = Looks::doubling(6, 48, 0.01);
    let mut counts = [0u32; 3];
    for seed in 0..3000 {
        let verdict = judge(&objectives, &looks, pairs(seed, 0.01, 1.0)).verdict;
        counts[match verdict {
            Verdict::Pass => 0,
            Verdict::Regression => 1,
            Verdict::Inconclusive => 2,
        }] += 1;
    }
    // 30 of 3,000 are expected at most; 45 would be beyond 2.7 standard deviations.
    assert!(counts[0] <= 45 && counts[1] <= 45, "{counts:?}");
    // And the looks together don't waste it: Boole's inequality costs less than two thirds.
    assert!(counts[0] >= 10 && counts[1] >= 10, "{counts:?}");
}

/// Pairs with different seeds: the work of a seed is far from normal (one in fifty is four times as
/// much), the answer takes about as long as the work, and that is known.
fn different(seed: u64, change: f64) -> impl FnMut(Range<u32>) -> Vec<Observed> {
    let run = move |purpose, number: u32, change: f64| {
        let extreme = if noise(seed, purpose, 3 * number) > 2.05 { 4.0 } else { 1.0 };
        let work = 100.0 * extreme * (0.05 * noise(seed, purpose, 3 * number + 1)).exp();
        let own = 1.0 + 0.004 * noise(seed, purpose, 3 * number + 2);
        (work, work * (1.0 + change) * own)
    };
    move |range| {
        range
            .map(|number| {
                let (work_before, before) = run(Purpose::Arrival, number, 0.0);
                let (work_after, after) = run(Purpose::Service, number, change);
                let controls = vec![vec![work_after - work_before]];
                Observed { before: vec![Some(before)], after: vec![Some(after)], controls }
            })
            .collect()
    }
}

/// The gate's looks and levels, and a margin of half a percent.
#[test]
fn what_is_known_of_seeds_takes_their_noise_away() {
    let objectives = [objective("paid.mean_ms", 0.005)];
    let looks = Looks::spending(6, 192, Levels { moved: 0.001, holds: 0.01 });
    let counts = |change: f64| {
        let mut counts = [0u32; 3];
        for seed in 0..300 {
            let verdict = judge(&objectives, &looks, different(seed, change)).verdict;
            counts[verdict as usize] += 1;
        }
        counts
    };
    assert_eq!(counts(0.0), [300, 0, 0]);
    assert_eq!(counts(0.01), [0, 300, 0]);
    // Without what is known, as many runs can't tell.
    let mut blind = different(1, 0.0);
    let judgement = judge(&objectives, &looks, |range| {
        blind(range).into_iter().map(|pair| (pair.before, pair.after).into()).collect()
    });
    assert_eq!((judgement.verdict, judgement.replications), (Verdict::Inconclusive, 192));
}

/// The two levels are kept apart, where it is hardest: a change of exactly the margin, of figures that
/// are far from normal.
#[test]
fn alarms_are_rarer_than_passes_that_should_not_be() {
    let objectives = [objective("paid.mean_ms", 0.005)];
    let looks = Looks::spending(6, 96, Levels { moved: 0.005, holds: 0.05 });
    let mut counts = [0u32; 3];
    for seed in 0..1000 {
        counts[judge(&objectives, &looks, different(seed, 0.005)).verdict as usize] += 1;
    }
    // 50 and 5 of 1,000 are expected at most; three standard deviations more are luck.
    assert!(counts[0] <= 71 && counts[1] <= 12, "{counts:?}");
    assert!(counts[0] >= 10, "{counts:?}");
}

#[test]
fn values_that_are_missing_are_no_pass() {
    let objectives = [objective("paid.mean_ms", 0.01)];
    let looks = Looks::doubling(6, 12, 0.01);
    let missing = |before: Option<f64>, after: Option<f64>| {
        judge(&objectives, &looks, |range| {
            range.map(|_| (vec![before], vec![after]).into()).collect()
        })
        .verdict
    };
    assert_eq!(missing(Some(1.0), None), Verdict::Inconclusive);
    assert_eq!(missing(None, Some(1.0)), Verdict::Inconclusive);
    assert_eq!(missing(None, None), Verdict::Pass);
}

#[test]
fn conditions_are_met_missed_or_open() {
    let condition = |limit, bound| Condition {
        metric: Metric { ..of_name("paid.p99_ms").unwrap() },
        bound,
        limit,
    };
    let looks = Looks::doubling(5, 40, 0.05);
    let of = |limit, bound| {
        let met = meets(&[condition(limit, bound)], &looks, |range| {
            range
                .map(|number| vec![Some(500.0 + 10.0 * noise(3, Purpose::Arrival, number))])
                .collect()
        });
        (met.finding, met.replications)
    };
    assert_eq!(of(600.0, Bound::AtMost), (Finding::Holds, 5));
    assert_eq!(of(400.0, Bound::AtMost), (Finding::Moved, 5));
    assert_eq!(of(400.0, Bound::AtLeast), (Finding::Holds, 5));
    assert_eq!(of(600.0, Bound::AtLeast), (Finding::Moved, 5));
    assert_eq!(of(500.0, Bound::AtMost), (Finding::Open, 40));
}

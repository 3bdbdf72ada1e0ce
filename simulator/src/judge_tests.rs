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
fn pairs(seed: u64, change: f64, own: f64) -> impl FnMut(Range<u32>) -> Vec<(Values, Values)> {
    move |range| {
        range
            .map(|number| {
                let common = 100.0 + 5.0 * noise(seed, Purpose::Arrival, number);
                let after = common * (1.0 + change) + own * noise(seed, Purpose::Service, number);
                (vec![Some(common)], vec![Some(after)])
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

#[test]
fn values_that_are_missing_are_no_pass() {
    let objectives = [objective("paid.mean_ms", 0.01)];
    let looks = Looks::doubling(6, 12, 0.01);
    let missing = |before: Option<f64>, after: Option<f64>| {
        judge(&objectives, &looks, |range| range.map(|_| (vec![before], vec![after])).collect())
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

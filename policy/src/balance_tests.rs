//! The rules of balancing: exact shares where the domain is finite, a naive oracle elsewhere.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Purpose, Words};

struct Table {
    loads: Vec<u32>,
    weights: Vec<u32>,
}

impl Table {
    fn even(loads: &[u32]) -> Self {
        Table { loads: loads.to_vec(), weights: vec![FULL_WEIGHT; loads.len()] }
    }
}

impl Targets for Table {
    fn count(&self) -> u32 {
        u32::try_from(self.loads.len()).unwrap()
    }

    fn load(&mut self, target: u32) -> u32 {
        self.loads[target as usize]
    }

    fn weight(&self, target: u32) -> u32 {
        self.weights[target as usize]
    }
}

fn draw(request: u64) -> Draw {
    Words::new(11, Purpose::Balance, 0).of(request)
}

fn shares(rule: Balance, targets: &mut Table, requests: u64) -> Vec<u64> {
    let mut shares = vec![0; targets.loads.len()];
    let mut turn = 0;
    for request in 0..requests {
        let target = pick(rule, targets, &mut turn, draw(request)).unwrap();
        shares[target as usize] += 1;
    }
    shares
}

fn choices(number: u8) -> Balance {
    Balance::PowerOfChoices(Choices::new(number).unwrap())
}

const RULES: [Balance; 6] = [
    Balance::Random,
    Balance::RoundRobin,
    Balance::LeastLoaded,
    Balance::PowerOfChoices(Choices(2)),
    Balance::PowerOfChoices(Choices(5)),
    Balance::JoinShortestQueue,
];

#[test]
fn nobody_and_the_only_one() {
    for rule in RULES {
        assert_eq!(pick(rule, &mut Table::even(&[]), &mut 0, draw(1)), None);
        assert_eq!(pick(rule, &mut Table::even(&[9]), &mut 0, draw(1)), Some(0));
    }
}

#[test]
fn random_shares_follow_the_weights() {
    let mut table = Table::even(&[0; 4]);
    table.weights = vec![FULL_WEIGHT, FULL_WEIGHT / 2, FULL_WEIGHT, FULL_WEIGHT / 2];
    let shares = shares(Balance::Random, &mut table, 120_000);
    for (share, wanted) in shares.iter().zip([40_000u64, 20_000, 40_000, 20_000]) {
        assert!(share.abs_diff(wanted) < 900, "{shares:?}");
    }
}

#[test]
fn a_round_robin_is_even_and_a_half_weight_takes_half_the_turns() {
    assert_eq!(shares(Balance::RoundRobin, &mut Table::even(&[0; 3]), 300), [100; 3]);
    let mut table = Table::even(&[0; 3]);
    table.weights[1] = FULL_WEIGHT / 2;
    assert_eq!(shares(Balance::RoundRobin, &mut table, 2500), [1000, 500, 1000]);
    table.weights = vec![1; 3];
    let total: u64 = shares(Balance::RoundRobin, &mut table, 90).iter().sum();
    assert_eq!(total, 90);
}

/// The share of each target under d choices, from the definition: all ordered draws of d
/// different targets are equally likely, the least loaded wins, of equals the first.
fn exact_shares(loads: &[u32], choices: usize) -> Vec<f64> {
    fn visit(loads: &[u32], left: usize, drawn: &mut Vec<usize>, wins: &mut BTreeMap<usize, u64>) {
        if left == 0 {
            let best =
                drawn.iter().enumerate().min_by_key(|(place, target)| (loads[**target], *place));
            *wins.entry(*best.unwrap().1).or_default() += 1;
            return;
        }
        for target in 0..loads.len() {
            if !drawn.contains(&target) {
                drawn.push(target);
                visit(loads, left - 1, drawn, wins);
                drawn.pop();
            }
        }
    }
    let mut wins = BTreeMap::new();
    visit(loads, choices.min(loads.len()), &mut Vec::new(), &mut wins);
    let total: u64 = wins.values().sum();
    (0..loads.len())
        .map(|target| wins.get(&target).copied().unwrap_or(0) as f64 / total as f64)
        .collect()
}

#[test]
fn choices_share_as_their_definition_says() {
    const REQUESTS: u64 = 40_000;
    for loads in [&[0, 0, 0][..], &[3, 1, 2], &[1, 0, 1, 0, 2], &[5, 5, 1, 1, 9, 0]] {
        for number in 1..=5u8 {
            let exact = exact_shares(loads, number.into());
            let seen = shares(choices(number), &mut Table::even(loads), REQUESTS);
            for (seen, exact) in seen.iter().zip(&exact) {
                let error = (*seen as f64 / REQUESTS as f64 - exact).abs();
                let sigma = (exact * (1.0 - exact) / REQUESTS as f64).sqrt();
                assert!(error <= 5.0 * sigma, "{number} of {loads:?}: {seen} against {exact}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The full views by sorting fractions, the drawn ones by being no worse than all drawn.
    #[test]
    fn full_views_take_the_least(
        table in proptest::collection::vec((0u32..5, 1u32..=FULL_WEIGHT), 2..12),
        request in any::<u64>(),
    ) {
        let (loads, weights): (Vec<u32>, Vec<u32>) = table.into_iter().unzip();
        let count = loads.len();
        let from = below(halves(draw(request).word(0)).0, u32::try_from(count).unwrap()) as usize;
        let mut order: Vec<usize> = (0..count).collect();
        order.rotate_left(from);
        let mut table = Table { loads: loads.clone(), weights: weights.clone() };
        let per_weight = |target: &usize| {
            // A common denominator, so that fractions compare as whole numbers.
            let others: u128 = (0..count)
                .filter(|other| other != target)
                .map(|other| u128::from(weights[other]))
                .product();
            (u128::from(loads[*target]) + 1) * others
        };
        let wanted = order.iter().min_by_key(|target| per_weight(target)).copied();
        let taken = pick(Balance::LeastLoaded, &mut table, &mut 0, draw(request));
        prop_assert_eq!(taken.map(|taken| taken as usize), wanted);
        let wanted = order.iter().min_by_key(|target| loads[**target]).copied();
        let taken = pick(Balance::JoinShortestQueue, &mut table, &mut 0, draw(request));
        prop_assert_eq!(taken.map(|taken| taken as usize), wanted);
    }

    #[test]
    fn drawn_targets_differ(
        ranks in proptest::collection::vec(any::<u32>(), 1..9),
        count in 8u32..40,
    ) {
        let mut sorted = [u32::MAX; 8];
        let mut left: Vec<u32> = (0..count).collect();
        for rank in ranks {
            let rank = rank % u32::try_from(left.len()).unwrap();
            let target = insert_distinct(&mut sorted, rank);
            prop_assert_eq!(target, left.remove(rank as usize));
        }
        prop_assert!(sorted.is_sorted());
    }
}

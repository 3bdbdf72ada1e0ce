//! The search of `tune`: successive halving (Jamieson and Talwalkar 2016) over a grid of settings,
//! then steps to neighbours. Nothing here runs anything: whoever asks brings the values.
//!
//! All settings of a rung see the same seeds, so what they have in common cancels out. A rung has
//! half the settings of the one before and twice its runs; seeds of earlier rungs count again.

use std::cmp::Ordering;
use std::ops::Range;

use policy::random::{below, halves};
use policy::{Purpose, Words};
use simulator_kernel::Moments;
use simulator_kernel::gate::Worse;

use crate::judge::Values;
use crate::metric::Condition;

/// A setting: for each parameter the place of its value.
pub type Point = Vec<usize>;

/// How much is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Settings in the first rung.
    pub candidates: u32,
    /// Runs of each of them.
    pub first_runs: u32,
    /// Halving ends with so many settings.
    pub finalists: u32,
    /// Steps to a better neighbour, each a look at all neighbours.
    pub steps: u32,
}

/// So many neighbours are looked at closely.
const PROMISING: usize = 3;

/// A setting that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The setting.
    pub point: Point,
    /// Its runs: the objective, then the conditions' metrics, then whatever else was asked for.
    pub runs: Vec<Values>,
    standing: Standing,
}

impl Tried {
    /// Whether the means of its runs meet all conditions.
    #[must_use]
    pub fn meets(&self) -> bool {
        self.standing.excess <= 0.0
    }
}

/// How good a setting is: least is best.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Standing {
    /// By how much it misses conditions, in parts of their limits.
    excess: f64,
    /// The mean of the objective, so that less is better.
    objective: f64,
    /// How close it is to the limits: decides among equals.
    load: f64,
}

impl Standing {
    fn compare(&self, other: &Standing) -> Ordering {
        let excess = self.excess.total_cmp(&other.excess);
        let objective = self.objective.total_cmp(&other.objective);
        excess.then(objective).then(self.load.total_cmp(&other.load))
    }
}

/// The search.
pub struct Search<'a, R> {
    /// How many values each parameter has.
    pub sizes: &'a [usize],
    /// Which way the objective gets worse.
    pub worse: Worse,
    /// What must hold.
    pub conditions: &'a [Condition],
    /// Of the choice of settings.
    pub seed: u64,
    /// How much.
    pub effort: Effort,
    /// Runs settings with some replications; none for a setting that can't be.
    pub run: R,
}

impl<R: FnMut(&[Point], Range<u32>) -> Vec<Option<Vec<Values>>>> Search<'_, R> {
    /// Everything that was tried, the best first. Settings with more runs come before those that were
    /// given up earlier.
    pub fn run(&mut self) -> Vec<Tried> {
        let points = sample(self.sizes, self.effort.candidates, self.seed);
        let mut alive: Vec<Tried> = Vec::new();
        self.add(&mut alive, points, 0..self.effort.first_runs);
        let mut runs = self.effort.first_runs;
        let mut given_up = Vec::new();
        while alive.len() > self.effort.finalists as usize {
            let half = alive.len().div_ceil(2).max(self.effort.finalists as usize);
            let mut rest = alive.split_off(half.min(alive.len()));
            rest.append(&mut given_up);
            given_up = rest;
            self.extend(&mut alive, runs..runs * 2);
            runs *= 2;
        }
        self.descend(&mut alive, &mut given_up, runs);
        alive.append(&mut given_up);
        alive
    }

    /// Looks at the neighbours of the best as long as one of them is better.
    fn descend(&mut self, alive: &mut Vec<Tried>, given_up: &mut Vec<Tried>, runs: u32) {
        for _ in 0..self.effort.steps {
            let Some(best) = alive.first().map(|best| best.point.clone()) else { return };
            let singles = neighbours(&best, self.sizes);
            let pairs = exchanges(&best, self.sizes);
            let is_better = [singles, pairs].into_iter().any(|mut points| {
                points.retain(|point| {
                    !alive.iter().chain(&*given_up).any(|tried| tried.point == *point)
                });
                self.look(alive, given_up, points, runs);
                alive.first().is_some_and(|first| first.point != best)
            });
            if !is_better {
                return;
            }
        }
    }

    /// Runs new settings a few times, and the most promising ones as often as those that are alive.
    fn look(
        &mut self,
        alive: &mut Vec<Tried>,
        given_up: &mut Vec<Tried>,
        points: Vec<Point>,
        runs: u32,
    ) {
        let few = (self.effort.first_runs * 2).min(runs);
        let mut fresh = Vec::new();
        self.add(&mut fresh, points, 0..few);
        given_up.extend(fresh.split_off(PROMISING.min(fresh.len())));
        self.extend(&mut fresh, few..runs);
        alive.append(&mut fresh);
        sort(alive);
    }

    /// Runs new settings and sorts them in.
    fn add(&mut self, alive: &mut Vec<Tried>, points: Vec<Point>, range: Range<u32>) {
        let runs = (self.run)(&points, range);
        for (point, runs) in points.into_iter().zip(runs) {
            if let Some(runs) = runs {
                let standing = self.standing(&runs);
                alive.push(Tried { point, runs, standing });
            }
        }
        sort(alive);
    }

    /// Runs settings some more.
    fn extend(&mut self, alive: &mut [Tried], range: Range<u32>) {
        let points: Vec<Point> = alive.iter().map(|tried| tried.point.clone()).collect();
        let more = (self.run)(&points, range);
        for (tried, more) in alive.iter_mut().zip(more) {
            tried.runs.extend(more.unwrap_or_default());
            tried.standing = self.standing(&tried.runs);
        }
        sort(alive);
    }

    fn standing(&self, runs: &[Values]) -> Standing {
        // A setting without a value has nothing that is good about it.
        let mean = |place: usize| mean(runs, place).unwrap_or(f64::INFINITY);
        let (mut excess, mut load) = (0.0, 0.0);
        for (condition, place) in self.conditions.iter().zip(1..) {
            let value = mean(place);
            excess += condition.excess(value);
            load += condition.load(value);
        }
        let objective = match (self.worse, mean(0)) {
            (Worse::Less, mean) if mean.is_finite() => -mean,
            (_, mean) => mean,
        };
        Standing { excess, objective, load }
    }
}

fn sort(alive: &mut [Tried]) {
    // Among equals the first setting of the grid: the order must not depend on how it came about.
    alive.sort_by(|left, right| {
        let standing = left.standing.compare(&right.standing);
        standing.then_with(|| left.point.cmp(&right.point))
    });
}

/// The mean of a column of runs; none if any run has no value.
#[must_use]
pub fn mean(runs: &[Values], place: usize) -> Option<f64> {
    let column: Option<Vec<f64>> =
        runs.iter().map(|values| values.get(place).copied().flatten()).collect();
    let moments: Moments = column?.into_iter().collect();
    (moments.count() > 0).then(|| moments.mean())
}

/// Settings that are spread evenly over each parameter (a Latin hypercube, McKay, Beckman and Conover
/// 1979); equal ones once.
#[must_use]
pub fn sample(sizes: &[usize], count: u32, seed: u64) -> Vec<Point> {
    let mut points: Vec<Point> = vec![Vec::new(); count as usize];
    for (number, size) in (0u64..).zip(sizes) {
        let words = Words::new(seed, Purpose::Search, number);
        let order = shuffled(count, words);
        for (point, stratum) in points.iter_mut().zip(order) {
            // The value in whose part of the range the stratum begins; all values if there are
            // as many strata.
            let place = u64::from(stratum) * *size as u64 / u64::from(count.max(1));
            point.push(usize::try_from(place).unwrap_or(0));
        }
    }
    points.sort();
    points.dedup();
    points
}

/// The numbers below `count` in a random order (Fisher and Yates).
fn shuffled(count: u32, words: Words) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    for place in (1..count).rev() {
        let (half, _) = halves(words.at(u64::from(place)));
        order.swap(place as usize, below(half, place + 1) as usize);
    }
    order
}

/// Settings that differ in one parameter by one place.
#[must_use]
pub fn neighbours(point: &[usize], sizes: &[usize]) -> Vec<Point> {
    let mut found = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let place = point.get(number).copied().unwrap_or(0);
        let places = [place.checked_sub(1), Some(place + 1).filter(|place| place < size)];
        for place in places.into_iter().flatten() {
            let mut neighbour = point.to_vec();
            if let Some(entry) = neighbour.get_mut(number) {
                *entry = place;
            }
            found.push(neighbour);
        }
    }
    found
}

/// With more parameters there would be hundreds of exchanges.
const MOST_EXCHANGED: usize = 4;

/// Settings that have one parameter a place up and another a place down: along the edge of what a
/// condition allows, single steps either miss it or cost more. None if there are many parameters.
#[must_use]
pub fn exchanges(point: &[usize], sizes: &[usize]) -> Vec<Point> {
    let mut found = Vec::new();
    if sizes.len() > MOST_EXCHANGED {
        return found;
    }
    for up in 0..sizes.len() {
        for down in (0..sizes.len()).filter(|down| *down != up) {
            let mut exchanged = point.to_vec();
            let higher =
                exchanged.get(up).zip(sizes.get(up)).map(|(place, size)| (place + 1, *size));
            let lower = exchanged.get(down).and_then(|place| place.checked_sub(1));
            let (Some((higher, size)), Some(lower)) = (higher, lower) else { continue };
            if let Some(entry) = exchanged.get_mut(up).filter(|_| higher < size) {
                *entry = higher;
            } else {
                continue;
            }
            if let Some(entry) = exchanged.get_mut(down) {
                *entry = lower;
            }
            found.push(exchanged);
        }
    }
    found
}

/// Which of some pairs of figures, both better when less, no other is better than in both.
#[must_use]
pub fn front(pairs: &[(f64, f64)]) -> Vec<bool> {
    let is_better = |left: &(f64, f64), right: &(f64, f64)| {
        left.0 <= right.0 && left.1 <= right.1 && left != right
    };
    pairs.iter().map(|pair| !pairs.iter().any(|other| is_better(other, pair))).collect()
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;

//! Which target takes a request. The rules see the targets through [`Targets`]; a fast engine may
//! answer its questions from an index, but never otherwise than the default methods do.

use serde::{Deserialize, Serialize};

use crate::peak_ewma::{self, PeakEwma};
use crate::prequal::{self, Pool, Prequal};
use crate::random::{below, halves};
use crate::{Draw, Nanoseconds, Time};

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Any target, each in proportion to its weight.
    Random,
    /// One after the other; a target below full weight misses turns.
    RoundRobin,
    /// The target with the fewest requests per weight, of all.
    LeastLoaded,
    /// The best of some that are drawn at random: with two of them queues are exponentially shorter
    /// than with one (Mitzenmacher 2001).
    PowerOfChoices(Choices),
    /// The target with the fewest requests, of all, whatever its weight.
    JoinShortestQueue,
    /// Of two that are drawn at random the one whose requests will probably be over first
    /// ([`crate::peak_ewma`]).
    PeakEwma(PeakEwma),
    /// The quickest of those that were probed and have not more requests than most
    /// ([`crate::prequal`]).
    Prequal(Prequal),
}

impl Balance {
    /// Whether it must be told of answers.
    #[must_use]
    pub const fn learns(self) -> bool {
        match self {
            Balance::PeakEwma(_) | Balance::Prequal(_) => true,
            Balance::Random
            | Balance::RoundRobin
            | Balance::LeastLoaded
            | Balance::PowerOfChoices(_)
            | Balance::JoinShortestQueue => false,
        }
    }
}

/// How many targets are drawn: 1 to [`Choices::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(u8);

impl Choices {
    /// More are hardly better than this many, and each costs a look at a target.
    pub const MOST: u8 = 8;
    /// Two.
    pub const TWO: Choices = Choices(2);

    /// A number of choices within the limits.
    #[must_use]
    pub const fn new(choices: u8) -> Option<Self> {
        match choices {
            1..=Choices::MOST => Some(Choices(choices)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The weight of a target that takes its full share. Weights are from 1 to this.
pub const FULL_WEIGHT: u32 = 1 << 10;

/// Targets as the balancer sees them.
pub trait Targets {
    /// How many there are; all of them may be taken.
    fn count(&self) -> u32;

    /// Requests at a target, waiting and worked on. It may tidy up what is over by now.
    fn load(&mut self, target: u32) -> u32;

    /// The weight of a target: its capacity and its warm-up; at most [`FULL_WEIGHT`].
    fn weight(&self, _target: u32) -> u32 {
        FULL_WEIGHT
    }

    /// What a target is known by, whatever its place.
    fn name(&self, target: u32) -> u32 {
        target
    }

    /// How long a target takes, as far as the rule knows it; zero if it doesn't.
    fn response(&mut self, _target: u32) -> Nanoseconds {
        Nanoseconds::ZERO
    }

    /// The answers to probes that the gateway has that asks, and the time; none where nobody keeps
    /// any. What is taken is given back with [`Targets::put_pool`].
    fn take_pool(&mut self) -> Option<(Pool, Time)> {
        None
    }

    /// Gives the answers back.
    fn put_pool(&mut self, _pool: Pool) {}

    /// The target with the fewest requests per weight, the first of equals from `from` on.
    fn least_loaded(&mut self, from: u32) -> Option<u32> {
        scan_least_loaded(self, from)
    }

    /// The target with the fewest requests, the first of equals from `from` on.
    fn shortest(&mut self, from: u32) -> Option<u32> {
        scan_shortest(self, from)
    }

    /// Whether one more request at `left` would be less for its weight than at `right`.
    #[inline(always)]
    fn is_less_loaded(&mut self, left: u32, right: u32) -> bool {
        let left_load = u64::from(self.load(left)) + 1;
        let right_load = u64::from(self.load(right)) + 1;
        let (left_weight, right_weight) = (self.weight(left), self.weight(right));
        left_load * u64::from(right_weight) < right_load * u64::from(left_weight)
    }
}

/// The target that takes the request; none if there is none. `turn` counts the requests of a round
/// robin and belongs to the caller.
#[inline(always)]
pub fn pick<T: Targets>(rule: Balance, targets: &mut T, turn: &mut u64, draw: Draw) -> Option<u32> {
    let count = targets.count();
    match (rule, count) {
        (_, 0) => None,
        (_, 1) => Some(0),
        (Balance::PowerOfChoices(Choices(2)), _) => Some(better_of_two(targets, count, draw)),
        (Balance::PowerOfChoices(choices), _) => Some(best_of(choices, targets, count, draw)),
        (Balance::Random, _) => Some(random(targets, count, draw)),
        (Balance::RoundRobin, _) => Some(round_robin(targets, count, turn)),
        (Balance::LeastLoaded, _) => targets.least_loaded(below(halves(draw.word(0)).0, count)),
        (Balance::JoinShortestQueue, _) => targets.shortest(below(halves(draw.word(0)).0, count)),
        (Balance::PeakEwma(_), _) => Some(cheaper_of_two(targets, count, draw)),
        (Balance::Prequal(rules), _) => Some(probed(rules, targets, count, draw)),
    }
}

/// Of two different targets the less loaded one, of equals the first drawn.
#[inline(always)]
fn better_of_two<T: Targets>(targets: &mut T, count: u32, draw: Draw) -> u32 {
    let (low, high) = halves(draw.word(0));
    let first = below(low, count);
    let other = below(high, count - 1);
    let second = other + u32::from(other >= first);
    let is_second = targets.is_less_loaded(second, first);
    std::hint::select_unpredictable(is_second, second, first)
}

/// Of two different targets the one where a request costs less for its weight, of equals the first
/// drawn.
#[inline(never)]
fn cheaper_of_two<T: Targets>(targets: &mut T, count: u32, draw: Draw) -> u32 {
    let (low, high) = halves(draw.word(0));
    let first = below(low, count);
    let other = below(high, count - 1);
    let second = other + u32::from(other >= first);
    let [of_first, of_second] = [first, second].map(|target| {
        let requests = targets.load(target);
        peak_ewma::cost(targets.response(target), requests)
    });
    let (first_weight, second_weight) = (targets.weight(first), targets.weight(second));
    match of_second * u128::from(first_weight) < of_first * u128::from(second_weight) {
        true => second,
        false => first,
    }
}

/// A target by answers to probes; any, where there are none.
#[inline(never)]
fn probed<T: Targets>(rules: Prequal, targets: &mut T, count: u32, draw: Draw) -> u32 {
    let Some((mut pool, now)) = targets.take_pool() else {
        return below(halves(draw.word(0)).0, count);
    };
    let chosen = prequal::pick(rules, targets, &mut pool, now, draw);
    targets.put_pool(pool);
    chosen
}

/// Of several different targets the least loaded one, of equals the first drawn.
fn best_of<T: Targets>(Choices(choices): Choices, targets: &mut T, count: u32, draw: Draw) -> u32 {
    let wanted = u32::from(choices).min(count);
    let mut drawn = [u32::MAX; Choices::MOST as usize];
    let mut best = None;
    for number in 0..wanted {
        let (low, high) = halves(draw.word(u64::from(number / 2)));
        let half = if number % 2 == 0 { low } else { high };
        let target = insert_distinct(&mut drawn, below(half, count - number));
        best = match best {
            Some(best) if !targets.is_less_loaded(target, best) => Some(best),
            _ => Some(target),
        };
    }
    best.unwrap_or(0)
}

/// The `rank`-th target that isn't in the sorted table, which takes it in.
fn insert_distinct(sorted: &mut [u32], rank: u32) -> u32 {
    let mut target = rank;
    let mut place = sorted.len();
    for (index, taken) in sorted.iter().enumerate() {
        if target < *taken {
            place = index;
            break;
        }
        target += 1;
    }
    if let Some(rest) = sorted.get_mut(place..) {
        rest.rotate_right(1);
        if let Some(first) = rest.first_mut() {
            *first = target;
        }
    }
    target
}

/// A target in proportion to its weight: one is drawn and kept with a probability of its weight;
/// the last draw is kept in any case.
fn random<T: Targets>(targets: &T, count: u32, draw: Draw) -> u32 {
    let mut target = 0;
    for number in 0..Draw::WORDS {
        let (low, high) = halves(draw.word(number));
        target = below(low, count);
        if below(high, FULL_WEIGHT) < targets.weight(target) {
            break;
        }
    }
    target
}

/// The next target whose weight gives it a turn in this lap: weight w takes w of [`FULL_WEIGHT`]
/// laps, evenly spread. After a whole lap of missed turns the next one is taken in any case.
fn round_robin<T: Targets>(targets: &T, count: u32, turn: &mut u64) -> u32 {
    let count_wide = u64::from(count);
    let full = u64::from(FULL_WEIGHT);
    let mut target = 0;
    for _ in 0..=count {
        let lap = (*turn / count_wide) % full;
        target = u32::try_from(*turn % count_wide).unwrap_or(0);
        *turn = turn.wrapping_add(1);
        let weight = u64::from(targets.weight(target).min(FULL_WEIGHT));
        if (lap + 1) * weight / full > lap * weight / full {
            break;
        }
    }
    target
}

/// What [`Targets::least_loaded`] means: a look at each target.
pub fn scan_least_loaded<T: Targets + ?Sized>(targets: &mut T, from: u32) -> Option<u32> {
    least(targets, from, |targets, left, right| targets.is_less_loaded(left, right))
}

/// What [`Targets::shortest`] means: a look at each target.
pub fn scan_shortest<T: Targets + ?Sized>(targets: &mut T, from: u32) -> Option<u32> {
    least(targets, from, |targets, left, right| targets.load(left) < targets.load(right))
}

/// The least of all targets by an order, the first of equals from `from` on.
fn least<T: Targets + ?Sized>(
    targets: &mut T,
    from: u32,
    mut is_less: impl FnMut(&mut T, u32, u32) -> bool,
) -> Option<u32> {
    let count = targets.count();
    let mut best = None;
    for target in (from..count).chain(0..from.min(count)) {
        best = match best {
            Some(best) if !is_less(targets, target, best) => Some(best),
            _ => Some(target),
        };
    }
    best
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;

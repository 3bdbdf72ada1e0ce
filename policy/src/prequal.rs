//! Balancing by probes: targets are asked how many requests they have in flight and how long they
//! take at that, and the answers are kept for a while; of those who have not more in flight than
//! most, the quickest takes the request ("Load is not what you should balance: introducing Prequal",
//! Wydrowski, Kleinberg, Rumble and Archer, NSDI 2024).
//!
//! As in the paper: for each request some targets are probed at random, for the use of later
//! requests; a pool of at most 16 answers; those above a quantile of the numbers in flight are hot;
//! the cold one with the lowest latency is chosen, or if all are hot the one with the fewest in
//! flight; an answer that was used counts one more in flight, is used a few times and not for
//! longer than a second; one answer is removed for each request, the oldest and the worst in turn;
//! with fewer than two, any target is taken.
//!
//! Ours: probes are answered at once; a pool holds at most half as many answers as there are targets
//! (the paper has hundreds); latency at a target is the median of its last 16 answers, of those
//! whose number in flight at their arrival was nearest to the present one; weights of warm-up count
//! as far as they show in latencies.

use serde::{Deserialize, Serialize};

use crate::balance::Targets;
use crate::random::{below, halves};
use crate::{Draw, Nanoseconds, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prequal {
    /// Targets that are probed for each request; at most [`Prequal::MOST_PROBES`].
    pub probes: u8,
    /// The part of answers that is cold, in thousandths: 0 balances by numbers in flight alone, 1000
    /// by latencies alone.
    pub cold_thousandths: u32,
    /// How old an answer may be.
    pub age: Nanoseconds,
}

impl Prequal {
    /// As many as a decision has random words for.
    pub const MOST_PROBES: u8 = 6;
    /// The paper's.
    pub const DEFAULT: Prequal =
        Prequal { probes: 3, cold_thousandths: 840, age: Nanoseconds::from_seconds(1) };
}

/// Answers that are kept, at most.
const MOST_ANSWERS: usize = 16;

/// How often an answer may be used, at most.
const MOST_USES: u32 = 8;

/// The answer of a target to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    /// Its name, and its place when it was probed.
    target: u32,
    place: u32,
    in_flight: u32,
    latency: Nanoseconds,
    at: Time,
    uses: u32,
}

/// The answers that a gateway has, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    answers: Vec<Answer>,
    /// Whether the worst answer is removed next, and not the oldest.
    is_worst_next: bool,
}

/// The target that takes a request, of at least one; then some are probed.
pub fn pick<T: Targets>(
    rules: Prequal,
    targets: &mut T,
    pool: &mut Pool,
    now: Time,
    draw: Draw,
) -> u32 {
    let count = targets.count();
    pool.answers.retain(|answer| {
        now.since(answer.at) <= rules.age
            && answer.place < count
            && targets.name(answer.place) == answer.target
    });
    let (low, high) = halves(draw.word(0));
    let chosen = match pool.choose(rules) {
        Some(place) => pool.use_up(place, uses(rules, count)),
        None => below(low, count),
    };
    pool.remove_one(rules);
    pool.probe(rules, targets, (high, draw), now);
    chosen
}

/// How often an answer may be used: so that as many come in as go out, with one to spare (the
/// paper's formula with δ = 1).
fn uses(rules: Prequal, count: u32) -> u32 {
    let (count, size) = (u64::from(count), room(count) as u64);
    // (1 − m/n)·r − 1, times n.
    let spare = (count.saturating_sub(size) * u64::from(rules.probes)).saturating_sub(count);
    match (2 * count).checked_div(spare) {
        Some(uses) => u32::try_from(uses).unwrap_or(MOST_USES).clamp(1, MOST_USES),
        None => MOST_USES,
    }
}

/// How many answers are kept of so many targets.
fn room(count: u32) -> usize {
    (count as usize / 2).clamp(2, MOST_ANSWERS)
}

impl Pool {
    /// Nothing above this number in flight is cold; none if all are hot.
    fn most_cold(&self, rules: Prequal) -> Option<u32> {
        let mut numbers: Vec<u32> = self.answers.iter().map(|answer| answer.in_flight).collect();
        numbers.sort_unstable();
        let cold = (numbers.len() as u64 * u64::from(rules.cold_thousandths)).div_ceil(1000);
        let last = usize::try_from(cold).ok()?.checked_sub(1)?;
        numbers.get(last.min(numbers.len().checked_sub(1)?)).copied()
    }

    /// The place of the best answer, if there are enough of them; of equals the newest.
    fn choose(&self, rules: Prequal) -> Option<usize> {
        if self.answers.len() < 2 {
            return None;
        }
        let most_cold = self.most_cold(rules);
        let rank = |answer: &Answer| match most_cold {
            Some(most) if answer.in_flight <= most => (0, answer.latency.0, answer.in_flight),
            Some(_) | None => (1, u64::from(answer.in_flight), 0),
        };
        let answers = self.answers.iter().enumerate().rev();
        answers.min_by_key(|(_, answer)| rank(answer)).map(|(place, _)| place)
    }

    /// An answer is used: its target.
    fn use_up(&mut self, place: usize, uses: u32) -> u32 {
        let Some(answer) = self.answers.get_mut(place) else { return 0 };
        answer.in_flight = answer.in_flight.saturating_add(1);
        answer.uses += 1;
        let target = answer.place;
        if answer.uses >= uses {
            self.answers.remove(place);
        }
        target
    }

    /// An answer is removed: the oldest or the worst, in turn.
    fn remove_one(&mut self, rules: Prequal) {
        let is_worst = self.is_worst_next;
        self.is_worst_next = !is_worst;
        if self.answers.is_empty() {
            return;
        }
        let most_cold = self.most_cold(rules);
        let badness = |answer: &Answer| match most_cold {
            Some(most) if answer.in_flight <= most => (0, answer.latency.0),
            Some(_) | None => (1, u64::from(answer.in_flight)),
        };
        let answers = self.answers.iter().enumerate().rev();
        let worst = answers.max_by_key(|(_, answer)| badness(answer)).map(|(place, _)| place);
        self.answers.remove(worst.filter(|_| is_worst).unwrap_or(0));
    }

    /// Different targets are asked, and their answers kept.
    fn probe<T: Targets>(
        &mut self,
        rules: Prequal,
        targets: &mut T,
        (first, draw): (u32, Draw),
        now: Time,
    ) {
        let count = targets.count();
        let mut asked: Vec<u32> = Vec::with_capacity(usize::from(Prequal::MOST_PROBES));
        for number in 0..u32::from(rules.probes.min(Prequal::MOST_PROBES)).min(count) {
            let (low, high) = halves(draw.word(u64::from(1 + number.saturating_sub(1) / 2)));
            let half = match number {
                0 => first,
                number if number % 2 == 1 => low,
                _ => high,
            };
            // The how manyth of those that were not asked.
            let mut place = below(half, count - number);
            asked.sort_unstable();
            for known in &asked {
                place += u32::from(place >= *known);
            }
            asked.push(place);
            let answer = Answer {
                target: targets.name(place),
                place,
                in_flight: targets.load(place),
                latency: targets.response(place),
                at: now,
                uses: 0,
            };
            if self.answers.len() >= room(count) {
                self.answers.remove(0);
            }
            self.answers.push(answer);
        }
    }
}

/// Answers of a target to requests that are remembered.
const MOST_RECENT: usize = 16;

/// How long a target took lately, by how many requests it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recent {
    /// Requests in flight when one came, and how long it took; the oldest is overwritten.
    responses: [(u32, Nanoseconds); MOST_RECENT],
    count: usize,
    next: usize,
}

impl Recent {
    /// A request is answered that came when so many others were in flight.
    pub fn observe(&mut self, in_flight: u32, response: Nanoseconds) {
        if let Some(entry) = self.responses.get_mut(self.next) {
            *entry = (in_flight, response);
        }
        self.next = (self.next + 1) % MOST_RECENT;
        self.count = (self.count + 1).min(MOST_RECENT);
    }

    /// The median with about so many in flight; zero of a target that has never answered.
    #[must_use]
    pub fn response(&self, in_flight: u32) -> Nanoseconds {
        let known = || self.responses.iter().take(self.count);
        let nearest = known().map(|(number, _)| number.abs_diff(in_flight)).min();
        let near = known().filter(|(number, _)| Some(number.abs_diff(in_flight)) == nearest);
        let mut responses: Vec<Nanoseconds> = near.map(|(_, response)| *response).collect();
        responses.sort_unstable();
        responses.get(responses.len() / 2).copied().unwrap_or(Nanoseconds::ZERO)
    }
}

#[cfg(test)]
#[path = "prequal_tests.rs"]
mod tests;

//! Choices against the words of the paper, and what becomes of answers.

use super::*;
use crate::{Purpose, Words};

/// Targets with numbers in flight and latencies.
struct Fixed(Vec<(u32, u64)>);

impl Targets for Fixed {
    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap()
    }

    fn load(&mut self, target: u32) -> u32 {
        self.0[target as usize].0
    }

    fn response(&mut self, target: u32) -> Nanoseconds {
        Nanoseconds(self.0[target as usize].1)
    }
}

fn answer(target: u32, in_flight: u32, latency: u64) -> Answer {
    let latency = Nanoseconds(latency);
    Answer { target, place: target, in_flight, latency, at: Time::ZERO, uses: 0 }
}

fn pool(answers: &[(u32, u64)]) -> Pool {
    let answers = (0u32..).zip(answers);
    let answers = answers.map(|(target, (number, latency))| answer(target, *number, *latency));
    Pool { answers: answers.collect(), is_worst_next: false }
}

fn rules(cold_thousandths: u32) -> Prequal {
    Prequal { cold_thousandths, ..Prequal::DEFAULT }
}

#[test]
fn the_quickest_of_the_cold_is_chosen() {
    // Numbers in flight and latencies; by latency alone the fourth, by numbers the first.
    let answers = [(1, 90), (2, 40), (3, 30), (9, 5)];
    let table = [(0, 0), (250, 0), (500, 1), (750, 2), (1000, 3)];
    for (cold, chosen) in table {
        assert_eq!(pool(&answers).choose(rules(cold)), Some(chosen), "{cold}");
    }
    // Too few to choose from.
    assert_eq!(pool(&answers[..1]).choose(rules(840)), None);
    // Of equals the newest.
    assert_eq!(pool(&[(1, 7), (1, 7), (1, 7)]).choose(rules(840)), Some(2));
}

/// All small pools against the words of the paper, looked up another way.
#[test]
fn choices_are_as_the_paper_says() {
    let mut checked = 0;
    for number in 0..9u32.pow(4) {
        let at = |place: u32| number / 9u32.pow(place) % 9;
        let answers: Vec<(u32, u64)> =
            (0..4).map(|place| (at(place) / 3, u64::from(at(place) % 3))).collect();
        for cold in [0, 300, 840, 1000] {
            let place = pool(&answers).choose(rules(cold)).unwrap();
            let mut numbers: Vec<u32> = answers.iter().map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            let limit = match cold {
                0 => None,
                300 => Some(numbers[1]),
                _ => Some(numbers[3]),
            };
            let cold_ones = answers.iter().filter(|(n, _)| limit.is_some_and(|most| *n <= most));
            match cold_ones.map(|(_, latency)| *latency).min() {
                Some(least) => {
                    assert_eq!(answers[place].1, least);
                    assert!(answers[place].0 <= limit.unwrap());
                }
                None => assert_eq!(answers[place].0, numbers[0]),
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 6561 * 4);
}

#[test]
fn answers_come_in_and_go_out() {
    let mut targets = Fixed((0..100).map(|number| (number % 7, 50)).collect());
    let words = Words::new(1, Purpose::Balance, 0);
    let mut pool = Pool::default();
    let mut sizes = Vec::new();
    for request in 0..200 {
        let draw = words.of(request);
        let chosen = pick(Prequal::DEFAULT, &mut targets, &mut pool, Time(request), draw);
        assert!(chosen < 100);
        sizes.push(pool.answers.len());
        let mut named: Vec<u32> =
            pool.answers.iter().rev().take(3).map(|answer| answer.target).collect();
        named.sort_unstable();
        named.dedup();
        assert_eq!(named.len(), 3, "different targets are probed");
    }
    assert_eq!(sizes[0], 3);
    assert!(sizes.iter().all(|size| *size <= 16));
    assert!(sizes[100..].iter().all(|size| *size > 2), "{sizes:?}");
    // A second later all of them are too old.
    let late = Time(200 + Prequal::DEFAULT.age.0);
    let _ = pick(Prequal::DEFAULT, &mut targets, &mut pool, late, words.of(200));
    assert_eq!(pool.answers.len(), 3);
}

/// A target that has gone, or whose place is another's now, isn't chosen.
#[test]
fn answers_of_others_are_forgotten() {
    let mut pool = pool(&[(0, 1), (5, 9), (5, 9)]);
    pool.answers[0].target = 7;
    let mut targets = Fixed(vec![(5, 9); 3]);
    let words = Words::new(1, Purpose::Balance, 0);
    let chosen = pick(Prequal::DEFAULT, &mut targets, &mut pool, Time::ZERO, words.of(0));
    assert_eq!(chosen, 2);
}

/// The slow half of the targets gets less than its part, however equal the numbers are.
#[test]
fn slow_targets_get_less() {
    let latency = |place: u32| if place.is_multiple_of(2) { 50 } else { 500 };
    let mut targets = Fixed((0..20).map(|place| (3, latency(place))).collect());
    let words = Words::new(1, Purpose::Balance, 0);
    let mut pool = Pool::default();
    let mut slow = 0;
    for request in 0..1000 {
        let draw = words.of(request);
        slow += pick(Prequal::DEFAULT, &mut targets, &mut pool, Time(request), draw) % 2;
    }
    assert!(slow < 100, "{slow}");
}

#[test]
fn uses_are_those_of_the_formula() {
    // (1 + 1)/((1 − 16/1000)·3 − 1) = 1.02; with 20 targets 2/(0.5·3 − 1) = 4.
    assert_eq!(uses(Prequal::DEFAULT, 1000), 1);
    assert_eq!(uses(Prequal::DEFAULT, 20), 4);
    assert_eq!(uses(Prequal { probes: 1, ..Prequal::DEFAULT }, 1000), MOST_USES);
}

#[test]
fn latencies_are_those_at_about_as_many_in_flight() {
    let mut recent = Recent::default();
    assert_eq!(recent.response(3), Nanoseconds::ZERO);
    for (in_flight, response) in [(0, 10), (0, 12), (0, 11), (8, 80), (8, 90)] {
        recent.observe(in_flight, Nanoseconds(response));
    }
    assert_eq!(recent.response(1), Nanoseconds(11));
    assert_eq!(recent.response(7), Nanoseconds(90));
    (0..16).for_each(|_| recent.observe(2, Nanoseconds(5)));
    assert_eq!(recent.response(7), Nanoseconds(5));
}

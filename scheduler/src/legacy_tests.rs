//! What is left, how much of it, and what becomes of it when a write fails.

use scheduler_core::decision::Decided;
use scheduler_core::event::Accepted;

use super::*;

/// What a store has after it has been given these notes.
fn store(stored: &mut BTreeMap<String, Vec<u8>>, estate: &mut Estate, events: &[Entry]) {
    for note in estate.with_write(events, &[]) {
        let (name, value) = note.parts();
        match value {
            Some(value) => drop(stored.insert(name.to_owned(), value.to_vec())),
            None => drop(stored.remove(name)),
        }
    }
    estate.durable();
}

fn entry(number: u64) -> Entry {
    let word = |text: &str| text.to_owned();
    Entry {
        number,
        at: word("2026-11-28T12:00:00Z"),
        kind: word("app"),
        subject: format!("app-{number}"),
        state: word("wanted"),
        machine: None,
        version: None,
        text: None,
    }
}

fn decision(seconds: u64) -> Decision {
    let decided = Decided::Policy { before: "a".to_owned(), after: "b".to_owned() };
    Decision { at: policy::Time(seconds), policy: "b".to_owned(), app: None, decided }
}

#[test]
fn only_the_last_ones_are_left_and_numbers_go_on() {
    let mut stored = BTreeMap::new();
    let mut estate = Legacy::read(&stored).estate;
    let first = 10_000_000_001;
    let last = first + EVENTS_LEFT + 7;
    for number in first..=last {
        store(&mut stored, &mut estate, &[entry(number)]);
    }
    let legacy = Legacy::read(&stored);
    let numbers: Vec<u64> = legacy.events.iter().map(|entry| entry.number).collect();
    let expected: Vec<u64> = (last + 1 - EVENTS_LEFT..=last).collect();
    assert_eq!(numbers, expected);
    assert_eq!(legacy.events.last(), Some(&entry(last)));
    // Whoever comes next deletes what is too much by then.
    let mut estate = legacy.estate;
    store(&mut stored, &mut estate, &[entry(last + 1)]);
    assert_eq!(Legacy::read(&stored).events.len(), usize::try_from(EVENTS_LEFT).unwrap());
}

/// The launch of many instances tells more in one write than is left, and leaves out numbers.
#[test]
fn of_a_write_with_very_much_the_last_ones_are_left_and_nothing_older() {
    let mut stored = BTreeMap::new();
    let mut estate = Legacy::read(&stored).estate;
    let most = usize::try_from(EVENTS_LEFT).unwrap();
    for first in [1, 100_001, 900_001] {
        let entries: Vec<Entry> = (first..first + 3 * EVENTS_LEFT).map(entry).collect();
        let notes = estate.with_write(&entries, &[]);
        assert!(notes.len() <= 3 * most, "{}", notes.len());
        estate.not_durable();
        store(&mut stored, &mut estate, &[]);
        let left = Legacy::read(&stored).events;
        assert_eq!(left, entries[2 * most..]);
    }
}

#[test]
fn notes_of_a_write_that_fails_go_with_the_next_one() {
    let mut estate = Legacy::read(&BTreeMap::new()).estate;
    let first = estate.with_write(&[entry(1)], &[]);
    estate.not_durable();
    let second = estate.with_write(&[entry(2)], &[]);
    assert_eq!(second.first(), first.first());
    assert_eq!(second.len(), 2);
    estate.durable();
    assert_eq!(estate.with_write(&[], &[]).len(), 0);
}

#[test]
fn a_decision_is_left_once_whenever_it_comes() {
    let mut estate = Legacy::read(&BTreeMap::new()).estate;
    let held = [Command::Record(Box::new(decision(1)))];
    assert_eq!(estate.with_write(&[], &held).len(), 1);
    estate.not_durable();
    // It waits for the next write, too, and comes when that is durable.
    assert_eq!(estate.with_write(&[], &held).len(), 1);
    estate.durable();
    estate.decided(&decision(1));
    assert_eq!(estate.with_write(&[], &[]).len(), 0);
    estate.durable();
    // One that nothing had to wait for goes with the next write.
    estate.decided(&decision(2));
    assert_eq!(estate.rest().len(), 1);
}

#[test]
fn the_answer_of_a_call_with_a_key_is_left_with_its_write() {
    let mut estate = Legacy::read(&BTreeMap::new()).estate;
    let keyed = Keyed { key: "k".to_owned(), request: "digest".to_owned() };
    estate.asked(RequestId(1), keyed.clone());
    estate.asked(RequestId(2), keyed.clone());
    let answer = |request, answer| Command::Answer { request: RequestId(request), answer };
    let refused = Err(scheduler_core::event::Refusal::NotLeading);
    let held =
        [answer(1, Ok(Accepted::Wanted(3))), answer(2, refused), answer(3, Ok(Accepted::Noted))];
    let notes = estate.with_write(&[], &held);
    let stored = notes
        .iter()
        .map(Note::parts)
        .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec).unwrap_or_default()));
    let legacy = Legacy::read(&stored.collect());
    let answer = Answer::from(Accepted::Wanted(3));
    assert_eq!(legacy.answers, [AnswerLeft::new(keyed, &answer)]);
}

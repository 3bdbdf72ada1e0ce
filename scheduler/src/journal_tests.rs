//! The numbers of entries, what is told, and what is left after a restart.

use policy::config::Policy;
use scheduler_core::command::{Key, Record};
use scheduler_core::event::MachineFact;
use scheduler_core::ids::{Epoch, WriteNumber};
use scheduler_core::{Event, apply_all};

use super::*;

fn committed(journal: &Journal, write: &Write, now: Time) {
    journal.prepare(write, now);
    journal.publish();
}

/// A write that says of a machine that it is there, or that it isn't.
fn write(machine: u32, is_there: bool) -> Write {
    let mut state = State::new(Policy::recommended());
    let name = format!("m{machine}").parse().unwrap();
    let fact = MachineFact::Up(scheduler_core::machine::Description::default());
    let events = [Event::Leader { epoch: Epoch(1) }, Event::Machine { machine: name, fact }];
    let _ = apply_all(&mut state, events, Time(1));
    let changes: Vec<(Key, Option<Record>)> = state
        .records()
        .into_iter()
        .map(|(key, record)| (key, is_there.then_some(record)))
        .collect();
    let changes = changes.into_iter().filter(|(key, _)| *key != Key::Cluster).collect();
    Write { number: WriteNumber(1), epoch: Epoch(1), changes }
}

#[test]
fn numbers_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let state = State::new(Policy::recommended());
    let journal = Journal::open(&path, &state).unwrap();
    committed(&journal, &write(1, true), Time(0));
    committed(&journal, &write(1, true), Time(1));
    committed(&journal, &write(2, true), Time(2));
    assert_eq!(journal.last(), 2, "what isn't new isn't told");
    drop(journal);
    let journal = Journal::open(&path, &state).unwrap();
    committed(&journal, &write(2, true), Time(3));
    committed(&journal, &write(2, false), Time(4));
    let (entries, gap) = journal.after(1, 10);
    let told: Vec<(u64, &str, &str)> =
        entries.iter().map(|one| (one.number, one.subject.as_str(), one.state.as_str())).collect();
    assert_eq!(told, [(2, "m2", "up"), (3, "m2", "up"), (4, "m2", "gone")]);
    assert_eq!(gap, None);
    assert_eq!(journal.after(4, 10), (Vec::new(), None));
    assert_eq!(journal.after(9, 10), (Vec::new(), None));
}

#[test]
fn who_was_away_too_long_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::new(Policy::recommended());
    let journal = Journal::open(&folder.path().join("events.log"), &state).unwrap();
    for number in 0..ENTRIES_KEPT + 5 {
        committed(&journal, &write(1, number % 2 == 0), Time(0));
    }
    let (entries, gap) = journal.after(3, 2);
    assert_eq!(gap, Some(6));
    assert_eq!(entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [6, 7]);
    assert_eq!(journal.after(5, 1).1, None);
}

#[test]
fn a_term_has_numbers_of_its_own_and_ends_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let state = State::new(Policy::recommended());
    let journal = Journal::open(&path, &state).unwrap();
    committed(&journal, &write(1, true), Time(0));
    journal.begin_at(1);
    assert_eq!(journal.last(), 1, "one that is further already goes on");
    journal.begin_at(1_001);
    assert_eq!((journal.last(), journal.after(0, 10).0.len()), (1_000, 0));
    committed(&journal, &write(2, true), Time(1));
    let (entries, gap) = journal.after(1, 10);
    assert_eq!((entries[0].number, entries.len(), gap), (1_001, 1, Some(1_001)));
    drop(journal);
    let journal = Journal::open(&path, &state).unwrap();
    assert_eq!((journal.last(), journal.after(1_000, 10).0.len()), (1_001, 1));
    let watch = journal.watch();
    journal.close();
    assert!(journal.is_closed() && watch.has_changed().unwrap());
}

#[test]
fn nothing_is_told_before_it_is_durable_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::new(Policy::recommended());
    let journal = Journal::open(&folder.path().join("events.log"), &state).unwrap();
    assert_eq!(journal.prepare(&write(1, true), Time(0)).len(), 1);
    assert_eq!((journal.last(), journal.after(0, 10).0.len()), (0, 0));
    // It failed, and the next write has what it had, and more.
    assert_eq!(journal.prepare(&write(1, true), Time(1)).len(), 0);
    assert_eq!(journal.prepare(&write(2, true), Time(1)).len(), 1);
    journal.publish();
    let told: Vec<u64> = journal.after(0, 10).0.iter().map(|entry| entry.number).collect();
    assert_eq!((told, journal.last()), (vec![1, 2], 2));
    journal.publish();
    assert_eq!(journal.last(), 2);
}

#[test]
fn what_an_earlier_leader_has_told_goes_on_here() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::new(Policy::recommended());
    let path = folder.path().join("events.log");
    let earlier = Journal::open(&folder.path().join("earlier.log"), &state).unwrap();
    earlier.begin_at(71);
    committed(&earlier, &write(1, true), Time(0));
    committed(&earlier, &write(2, true), Time(0));
    let left: Vec<Entry> =
        earlier.after(70, 10).0.iter().map(|entry| Entry::clone(entry)).collect();
    let journal = Journal::open(&path, &state).unwrap();
    committed(&journal, &write(9, true), Time(0));
    journal.continue_from(left.clone());
    committed(&journal, &write(3, true), Time(1));
    drop(journal);
    let journal = Journal::open(&path, &state).unwrap();
    let (entries, gap) = journal.after(71, 10);
    let told: Vec<(u64, &str)> =
        entries.iter().map(|one| (one.number, one.subject.as_str())).collect();
    assert_eq!((told, gap), (vec![(72, "m2"), (73, "m3")], None));
    journal.continue_from(Vec::new());
    assert_eq!(journal.last(), 73, "who left nothing changes nothing");
}

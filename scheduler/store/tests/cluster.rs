//! The store and the office in Consul, against a small Consul of this process: terms, lost answers,
//! bases, parts, and a Consul that is away. With `SCHEDULER_CONSUL=http://127.0.0.1:8500` the first
//! tests are also made against a real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use consul::{Answer, Consistency, Subject};
use consul_client::{Client, Endpoint, Settings, TlsFiles};
use consul_fake::{FakeConsul, Moment};
use proptest::prelude::*;
use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::{Epoch, WriteNumber};
use scheduler_core::machine::Description;
use scheduler_core::{Event, State, apply_all};
use scheduler_store::cluster::{Candidate, ConsulStore, Keys, Limits, Office, Step, Terms};
use scheduler_store::{Contents, Note, Source, Store, StoreError};

fn client(url: &str) -> Arc<Client> {
    let settings = Settings {
        endpoints: vec![Endpoint::parse(url, false).unwrap()],
        token: None,
        tls: TlsFiles::default(),
        datacenter: None,
        consistency: Consistency::Consistent,
        timeout: Duration::from_secs(5),
    };
    Client::new(settings).unwrap().into()
}

fn candidate(url: &str, prefix: &str, name: &str) -> Candidate {
    let keys = Keys::below(prefix).unwrap();
    let terms = Terms { keys, name: name.to_owned(), address: format!("http://{name}:1") };
    Candidate::new(client(url), terms)
}

/// Waits until this one leads.
fn elected(mut candidate: Candidate) -> Office {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is never elected");
        if let Ok(Step::Leads(office)) = candidate.step(Duration::from_millis(500)) {
            return office;
        }
    }
}

/// What a core has: it is ahead of its store.
#[derive(Debug, Default)]
struct Core {
    records: BTreeMap<Key, Record>,
    last: u64,
    /// Something is in no write yet, or in one that failed.
    is_waiting: bool,
}

/// The same, as its store sees it.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Core>>);

impl Source for Shared {
    fn records_after(&self, after: Option<&Key>, most: usize) -> (Vec<(Key, Record)>, WriteNumber) {
        let core = self.0.lock().unwrap();
        let all = Mutex::new(core.records.clone());
        (all.records_after(after, most).0, WriteNumber(core.last + u64::from(core.is_waiting)))
    }
}

impl Shared {
    /// It changes, and this is to be written.
    fn change(&self, epoch: Epoch, changes: Vec<(Key, Option<Record>)>) -> [Write; 1] {
        let mut core = self.0.lock().unwrap();
        for (key, record) in changes.clone() {
            match record {
                Some(record) => core.records.insert(key, record),
                None => core.records.remove(&key),
            };
        }
        core.last += 1;
        core.is_waiting = false;
        [Write { number: WriteNumber(core.last), epoch, changes }]
    }
}

fn store(office: &Office) -> Store {
    followed(office).0
}

fn followed(office: &Office) -> (Store, Shared) {
    let limits = Limits {
        log_most_bytes: 2_000,
        log_most_entries: 6,
        base_entry_records: 4,
        base_entry_bytes: 600,
    };
    let mut store = Store::Consul(Box::new(ConsulStore::with_limits(office, limits)));
    let core = Shared::default();
    store.read_from(Arc::new(core.clone()));
    (store, core)
}

/// The record of a machine, with an attribute that can't be packed and makes it so long.
fn record(cores: u32, bytes: usize) -> Record {
    let mut word = cores.max(1);
    let mut text = String::new();
    while text.len() < bytes {
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        text.push_str(&format!("{word:x}"));
    }
    let attributes = Arc::new(BTreeMap::from([("text".to_owned(), text)]));
    let description = Description { millicores: cores, attributes, ..Description::default() };
    let mut state = State::new(policy::config::Policy::recommended());
    let machine: scheduler_core::ids::MachineName = "m".parse().unwrap();
    let fact = scheduler_core::event::MachineFact::Up(description);
    let events =
        [Event::Leader { epoch: Epoch(1) }, Event::Machine { machine: machine.clone(), fact }];
    let _ = apply_all(&mut state, events, policy::Time(1));
    let record = state.records().remove(&Key::Machine(machine)).unwrap();
    // What is derived from records is in none of them.
    serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap()
}

fn key(number: u32) -> Key {
    Key::Machine(format!("m{number}").parse().unwrap())
}

fn write(epoch: Epoch, changes: Vec<(Key, Option<Record>)>) -> [Write; 1] {
    [Write { number: WriteNumber(1), epoch, changes }]
}

fn loaded(office: &Office) -> BTreeMap<Key, Record> {
    store(office).load().unwrap().records.into_iter().collect()
}

/// A leader, its successor by resignation, and what the first one may still do.
fn a_term_and_the_next_one(url: &str, prefix: &str) {
    let mut second = candidate(url, prefix, "second");
    let first = elected(candidate(url, prefix, "first"));
    let Step::Follows(Some(seen)) = second.step(Duration::ZERO).unwrap() else {
        panic!("there can't be two")
    };
    assert_eq!((seen.name.as_str(), seen.address.as_str()), ("first", "http://first:1"));
    let (mut old, core) = followed(&first);
    let epoch = old.claim().unwrap();
    for number in 0..20 {
        let changes = vec![(key(number % 3), Some(record(number + 1, 100)))];
        old.commit(&core.change(epoch, changes)).unwrap();
        old.tidy();
    }
    old.commit(&core.change(epoch, vec![(key(1), None)])).unwrap();
    let framework = first.framework();
    framework.save("F-1").unwrap();

    // The session goes, the store stays: as a leader that doesn't know.
    let lease = first.lease();
    assert!(lease.holds());
    first.resign().unwrap();
    assert!(!lease.holds());
    let begun = Instant::now();
    let second = elected(second);
    assert!(begun.elapsed() < Duration::from_secs(30), "whoever resigns leaves no delay");
    let late = old.commit(&write(epoch, vec![(key(9), Some(record(9, 1)))]));
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    assert!(framework.save("F-2").is_err());
    let mut new = store(&second);
    let next = new.claim().unwrap();
    assert_eq!(next.0, epoch.0 + 1);
    let records: BTreeMap<Key, Record> = new.load().unwrap().records.into_iter().collect();
    let expected = BTreeMap::from([(key(0), record(19, 100)), (key(2), record(18, 100))]);
    // 20 is m1's, which is gone.
    assert_eq!(records.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_eq!(records, expected);
    new.commit(&write(next, vec![(key(7), Some(record(7, 1)))])).unwrap();
    assert!(loaded(&second).contains_key(&key(7)));
    assert_eq!(second.framework().load().unwrap().as_deref(), Some("F-1"));
    second.resign().unwrap();
}

#[test]
fn a_leader_and_the_next_one() {
    let consul = FakeConsul::start(1).unwrap();
    a_term_and_the_next_one(&consul.url(), "corral/scheduler");
}

#[test]
fn the_same_with_a_real_consul_if_there_is_one() {
    let Ok(url) = std::env::var("SCHEDULER_CONSUL") else { return };
    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let prefix = format!("corral-test/{}", begun.as_nanos());
    a_term_and_the_next_one(&url, &prefix);
    large_batches(&url, &format!("{prefix}-large"));
}

/// Two stores with the same session: what differs is the term alone.
#[test]
fn a_term_that_is_over_is_refused_by_the_head() {
    let consul = FakeConsul::start(1).unwrap();
    let office = elected(candidate(&consul.url(), "p", "one"));
    let (mut old, mut new) = (store(&office), store(&office));
    let first = old.claim().unwrap();
    let second = new.claim().unwrap();
    let late = old.commit(&write(first, vec![(key(1), Some(record(1, 1)))]));
    assert!(matches!(late, Err(StoreError::Fenced { written: 1, current: 2 })), "{late:?}");
    new.commit(&write(second, vec![(key(2), Some(record(2, 1)))])).unwrap();
    assert_eq!(loaded(&office), BTreeMap::from([(key(2), record(2, 1))]));
}

fn large_batches(url: &str, prefix: &str) {
    let office = elected(candidate(url, prefix, "one"));
    let (mut own, core) = followed(&office);
    let epoch = own.claim().unwrap();
    let changes: Vec<(Key, Option<Record>)> =
        (0..4).map(|number| (key(number), Some(record(number + 1, 300_000)))).collect();
    own.commit(&core.change(epoch, changes.clone())).unwrap();
    let expected: BTreeMap<Key, Record> =
        changes.into_iter().map(|(key, record)| (key, record.unwrap())).collect();
    assert_eq!(loaded(&office), expected);
    let names: Answer<Vec<String>> =
        client(url).ask(Subject::KeyNames(format!("{prefix}/part/"))).unwrap();
    assert!(names.value.len() >= 2, "{names:?}");
    // A base takes the place of the log, whose parts go.
    for _ in 0..12 {
        own.tidy();
    }
    own.commit(&write(epoch, Vec::new())).unwrap();
    own.tidy();
    own.commit(&write(epoch, Vec::new())).unwrap();
    assert_eq!(loaded(&office), expected);
    office.resign().unwrap();
}

#[test]
fn batches_beyond_a_transaction_are_whole() {
    let consul = FakeConsul::start(1).unwrap();
    large_batches(&consul.url(), "p");
    assert!(!consul.names().iter().any(|name| name.starts_with("p/part/")), "{:?}", consul.names());
    assert!(!consul.names().contains(&"p/log/00000000000000000001".to_owned()));
}

#[test]
fn a_large_batch_that_is_interrupted_is_not_there_and_leaves_nothing() {
    let consul = FakeConsul::start(1).unwrap();
    let office = elected(candidate(&consul.url(), "p", "one"));
    let mut own = store(&office);
    let epoch = own.claim().unwrap();
    own.commit(&write(epoch, vec![(key(0), Some(record(1, 10)))])).unwrap();
    let large: Vec<(Key, Option<Record>)> =
        (1..4).map(|number| (key(number), Some(record(number + 1, 300_000)))).collect();
    let mut parts = 0;
    consul.set_gate(move |keys, moment| {
        parts += u32::from(keys.iter().any(|key| key.starts_with("p/part/")));
        moment == Moment::After || parts < 2
    });
    let failed = own.commit(&write(epoch, large.clone()));
    assert!(matches!(failed, Err(StoreError::Consul { .. })), "{failed:?}");
    consul.open_gate();
    assert!(consul.names().iter().any(|name| name.starts_with("p/part/")));
    assert_eq!(loaded(&office).len(), 1);

    // Another leader finds what is left, and deletes it beside its own first batch.
    drop(own);
    let mut next = store(&office);
    let epoch = next.claim().unwrap();
    next.commit(&write(epoch, vec![(key(5), None)])).unwrap();
    let names = consul.names();
    assert!(!names.iter().any(|name| name.starts_with("p/part/")), "{names:?}");
    next.commit(&write(epoch, large)).unwrap();
    assert_eq!(loaded(&office).len(), 4);
}

#[test]
fn the_log_stays_short_and_nothing_is_left_behind() {
    let consul = FakeConsul::start(1).unwrap();
    let office = elected(candidate(&consul.url(), "p", "one"));
    let (mut own, core) = followed(&office);
    let epoch = own.claim().unwrap();
    let mut model = BTreeMap::new();
    for number in 0..300 {
        let (key, record) = (key(number % 17), record(number + 1, 60));
        model.insert(key.clone(), record.clone());
        own.commit(&core.change(epoch, vec![(key, Some(record))])).unwrap();
        own.tidy();
        assert!(consul.names().len() < 60, "{number}: {:?}", consul.names());
    }
    assert_eq!(loaded(&office), model);
    let records: Vec<(Key, Record)> = model.into_iter().take(3).collect();
    own.replace(&records).unwrap();
    assert_eq!(loaded(&office), records.into_iter().collect());
}

/// What a core has decided and not yet written must not be there before the rest of its write is.
#[test]
fn a_base_is_valid_only_when_all_in_it_is_durable() {
    let consul = FakeConsul::start(1).unwrap();
    let office = elected(candidate(&consul.url(), "p", "one"));
    let (mut own, core) = followed(&office);
    let epoch = own.claim().unwrap();
    for number in 0..7 {
        own.commit(&core.change(epoch, vec![(key(1), Some(record(number + 1, 60)))])).unwrap();
    }
    let before = loaded(&office);
    let log = |consul: &FakeConsul| {
        consul.names().iter().filter(|name| name.starts_with("p/log/")).count()
    };
    {
        let mut core = core.0.lock().unwrap();
        core.records.insert(key(2), record(9, 60));
        core.is_waiting = true;
    }
    // Notes alone make nothing durable of it.
    for number in 0..10 {
        own.tidy();
        own.commit_with(&[], &[Note::set("event/1", &number)]).unwrap();
    }
    assert!(log(&consul) > 7, "{:?}", consul.names());
    assert_eq!(loaded(&office), before);
    let batch = core.change(epoch, vec![(key(2), Some(record(9, 60)))]);
    own.commit(&batch).unwrap();
    own.tidy();
    own.commit_with(&[], &[Note::set("event/1", &0)]).unwrap();
    // The base took the log up to its beginning away.
    assert!(!consul.names().contains(&"p/log/00000000000000000007".to_owned()));
    assert_eq!(loaded(&office), core.0.lock().unwrap().records);
}

#[test]
fn whoever_loses_the_office_is_told() {
    let consul = FakeConsul::start(20).unwrap();
    let mut office = elected(candidate(&consul.url(), "p", "one"));
    let (tell, told) = channel();
    office.keep(move |why| tell.send(why).unwrap()).unwrap();
    let lease = office.lease();
    assert!(lease.holds());
    assert!(consul.end_holder("p/leader"));
    // It renews every three seconds and is refused then.
    let why = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(why, "renew the session: it has ended");
    assert!(!lease.holds());
    let next = elected(candidate(&consul.url(), "p", "two"));
    drop(office);
    assert!(consul.holder("p/leader").as_deref() == Some(next.session()));
}

#[test]
fn a_consul_that_is_away_for_a_moment_costs_nothing() {
    let consul = FakeConsul::start(1).unwrap();
    let office = elected(candidate(&consul.url(), "p", "one"));
    let mut own = store(&office);
    let epoch = own.claim().unwrap();
    consul.set_away(true);
    let batch = write(epoch, vec![(key(1), Some(record(1, 10)))]);
    let failed = own.commit(&batch).unwrap_err();
    assert!(failed.chain().contains("the servers have no leader"), "{}", failed.chain());
    consul.set_away(false);
    own.commit(&batch).unwrap();
    assert_eq!(loaded(&office), BTreeMap::from([(key(1), record(1, 10))]));
}

/// As another program would have written the head.
fn put_format(consul: &FakeConsul, number: u32) {
    let head = String::from_utf8(consul.value("p/head").unwrap()).unwrap();
    let other = head.replace("consul 2", &format!("consul {number}"));
    assert_ne!(head, other);
    let change = consul::change::Change {
        target: "/v1/kv/p/head".to_owned(),
        body: other.into_bytes(),
        ..consul::change::Change::destroy_session("")
    };
    client(&consul.url()).change(&change, Duration::from_secs(5)).unwrap();
}

#[test]
fn notes_are_for_the_next_leader_and_outlive_bases_and_snapshots() {
    let consul = FakeConsul::start(1).unwrap();
    let first = elected(candidate(&consul.url(), "p", "one"));
    let (mut old, core) = followed(&first);
    let epoch = old.claim().unwrap();
    let mut expected = BTreeMap::new();
    for number in 0..40_u32 {
        let name = format!("event/{number:03}");
        let mut notes = vec![Note::set(&name, &number), Note::set("key/1", &"answer")];
        expected.insert(name, number.to_string().into_bytes());
        if number >= 10 {
            let old = format!("event/{:03}", number - 10);
            notes.push(Note::delete(&old));
            expected.remove(&old);
        }
        // Some go with a write, others alone.
        let changes = vec![(key(number % 3), Some(record(number + 1, 100)))];
        let batch = (number % 2 == 0).then(|| core.change(epoch, changes));
        old.commit_with(batch.as_ref().map_or(&[], |batch| batch), &notes).unwrap();
        old.tidy();
    }
    first.resign().unwrap();
    let late = old.commit_with(&[], &[Note::set("event/999", &1)]);
    assert!(matches!(late, Err(StoreError::Lost)), "{late:?}");
    let second = elected(candidate(&consul.url(), "p", "two"));
    let mut new = store(&second);
    new.claim().unwrap();
    let Contents { notes, records, .. } = new.load().unwrap();
    assert_eq!(notes.get("key/1").map(Vec::as_slice), Some(b"\"answer\"".as_slice()));
    assert_eq!(records.len(), 3, "notes are no records");
    // What was answered is undone by a snapshot; what has happened is not.
    new.replace(&records[..1]).unwrap();
    let Contents { notes, records, .. } = new.load().unwrap();
    assert_eq!((notes, records.len()), (expected, 1));
}

#[test]
fn what_was_written_before_there_were_notes_is_read() {
    let consul = FakeConsul::start(1).unwrap();
    let office = elected(candidate(&consul.url(), "p", "one"));
    let mut own = store(&office);
    let epoch = own.claim().unwrap();
    own.commit(&write(epoch, vec![(key(1), Some(record(1, 10)))])).unwrap();
    put_format(&consul, 1);
    let mut next = store(&office);
    next.claim().unwrap();
    assert_eq!(loaded(&office), BTreeMap::from([(key(1), record(1, 10))]));
    let head = String::from_utf8(consul.value("p/head").unwrap()).unwrap();
    assert!(head.contains("consul 2"), "an older program must not lead any more: {head}");
}

#[test]
fn other_formats_are_refused() {
    let consul = FakeConsul::start(1).unwrap();
    let office = elected(candidate(&consul.url(), "p", "one"));
    store(&office).claim().unwrap();
    put_format(&consul, 9);
    let error = store(&office).claim().unwrap_err().to_string();
    assert!(error.contains("consul 9") && error.contains("use the program"), "{error}");
}

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    LostBefore,
    LostAfter,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Answered),
        1 => Just(Fate::LostBefore),
        1 => Just(Fate::LostAfter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Answers are lost, before or after their transactions; leaders end and others begin. What was
    /// reported as durable is there, in its order; of what was not, any attempt may be there.
    #[test]
    fn what_is_durable_stays(
        steps in prop::collection::vec(
            (prop::collection::vec((0u32..5, prop::option::of(1u32..64)), 0..3),
             prop::collection::vec(fate(), 0..3), prop::bool::weighted(0.1)),
            1..25,
        ),
    ) {
        let consul = FakeConsul::start(1).unwrap();
        let office = elected(candidate(&consul.url(), "p", "one"));
        let (mut own, mut core) = followed(&office);
        let mut epoch = own.claim().unwrap();
        let mut model: BTreeMap<Key, Record> = BTreeMap::new();
        // Keys whose last change has not been reported as durable, with all that was tried since.
        let mut unsure: BTreeMap<Key, Vec<Option<Record>>> = BTreeMap::new();
        for (batch, fates, is_new_term) in steps {
            if is_new_term {
                drop(own);
                (own, core) = followed(&office);
                epoch = own.claim().unwrap();
                let found: BTreeMap<Key, Record> = own.load().unwrap().records.into_iter().collect();
                for (key, tried) in &unsure {
                    let (is, was) = (found.get(key), model.get(key));
                    let is_tried = tried.iter().any(|record| is == record.as_ref());
                    prop_assert!(is == was || is_tried, "{key:?}");
                }
                unsure.clear();
                core.0.lock().unwrap().records.clone_from(&found);
                model = found;
            }
            let mut coming = fates.into_iter();
            let mut now = Fate::Answered;
            consul.set_gate(move |_, moment| match moment {
                Moment::Before => {
                    now = coming.next().unwrap_or(Fate::Answered);
                    now != Fate::LostBefore
                }
                Moment::After => now != Fate::LostAfter,
            });
            // As the core does it: what is not known to be durable is in the next batch, too.
            for (machine, cores) in batch {
                let tried = unsure.entry(key(machine)).or_default();
                tried.push(cores.map(|cores| record(cores, 30)));
            }
            let last = |tried: &Vec<Option<Record>>| tried.last().cloned().flatten();
            let changes: Vec<_> =
                unsure.iter().map(|(key, tried)| (key.clone(), last(tried))).collect();
            match own.commit(&core.change(epoch, changes)) {
                Ok(()) => {
                    for (key, tried) in std::mem::take(&mut unsure) {
                        match last(&tried) {
                            Some(record) => model.insert(key, record),
                            None => model.remove(&key),
                        };
                    }
                }
                Err(StoreError::Consul { .. } | StoreError::Key { .. }) => {
                    core.0.lock().unwrap().is_waiting = true;
                }
                Err(other) => return Err(TestCaseError::fail(other.chain())),
            }
            own.tidy();
            consul.open_gate();
        }
        let last = |tried: Vec<Option<Record>>| tried.last().cloned().flatten();
        let changes: Vec<_> =
            unsure.into_iter().map(|(key, tried)| (key, last(tried))).collect();
        for (key, record) in &changes {
            match record {
                Some(record) => model.insert(key.clone(), record.clone()),
                None => model.remove(key),
            };
        }
        own.commit(&core.change(epoch, changes.clone()))
            .or_else(|_| own.commit(&core.change(epoch, changes)))
            .unwrap();
        prop_assert_eq!(loaded(&office), model);
    }
}

//! All stores against the same expectations, and against a plain map.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use consul::Consistency;
use consul_client::{Client, Endpoint, Settings, TlsFiles};
use consul_fake::FakeConsul;
use policy::Time;
use policy::config::Policy;
use proptest::prelude::*;
use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::{Epoch, MachineName, WriteNumber};
use scheduler_core::machine::Description;
use scheduler_core::{Event, State, apply_all};
use scheduler_store::cluster::{Candidate, ConsulStore, Keys, Step, Terms};
use scheduler_store::{FileStore, MemoryStore, Store, StoreError, Writer, snapshot};

/// Records as the core makes them: of a cluster with so many machines, each with so many cores.
fn records(machines: u32, cores: u32) -> BTreeMap<Key, Record> {
    let mut state = State::new(Policy::recommended());
    let mut events = vec![Event::Leader { epoch: Epoch(1) }];
    for number in 0..machines {
        let machine: MachineName = format!("m{number}").parse().unwrap();
        let description = Description { millicores: cores * 1000, ..Description::default() };
        let fact = scheduler_core::event::MachineFact::Up(description);
        events.push(Event::Machine { machine, fact });
    }
    let _ = apply_all(&mut state, events, Time(1));
    // What is derived from records is in none of them.
    let stored =
        |record: &Record| serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap();
    state.records().iter().map(|(key, record)| (key.clone(), stored(record))).collect()
}

fn write(number: u64, epoch: Epoch, changes: Vec<(Key, Option<Record>)>) -> Write {
    Write { number: WriteNumber(number), epoch, changes }
}

fn all(records: &BTreeMap<Key, Record>) -> Vec<(Key, Option<Record>)> {
    records.iter().map(|(key, record)| (key.clone(), Some(record.clone()))).collect()
}

fn file(folder: &Path) -> Store {
    Store::File(FileStore::open(&folder.join("data/store.redb")).unwrap())
}

fn each(test: impl Fn(Store)) {
    test(Store::Memory(MemoryStore::new()));
    let folder = tempfile::tempdir().unwrap();
    test(file(folder.path()));
    let consul = FakeConsul::start(1).unwrap();
    test(in_consul(&consul));
}

/// The store of a leader; its office is held until Consul ends.
fn in_consul(consul: &FakeConsul) -> Store {
    let endpoint = Endpoint::parse(&consul.url(), false).unwrap();
    let settings = Settings {
        endpoints: vec![endpoint],
        token: None,
        tls: TlsFiles::default(),
        datacenter: None,
        consistency: Consistency::Consistent,
        timeout: Duration::from_secs(5),
    };
    let client = Client::new(settings).unwrap();
    let keys = Keys::below("test").unwrap();
    let terms = Terms { keys, name: "one".to_owned(), address: "http://127.0.0.1:1".to_owned() };
    let step = Candidate::new(client.into(), terms).step(Duration::ZERO).unwrap();
    let Step::Leads(office) = step else { panic!("{step:?}") };
    Store::Consul(Box::new(ConsulStore::new(&office)))
}

#[test]
fn what_is_committed_is_there() {
    each(|mut store| {
        assert_eq!(store.load().unwrap().epoch, Epoch(0));
        let epoch = store.claim().unwrap();
        let records = records(3, 4);
        store.commit(&[write(1, epoch, all(&records))]).unwrap();
        let key = Key::Machine("m1".parse().unwrap());
        store.commit(&[write(2, epoch, vec![(key.clone(), None)])]).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.epoch, epoch);
        let mut expected = records;
        expected.remove(&key);
        assert_eq!(loaded.records.into_iter().collect::<BTreeMap<_, _>>(), expected);
    });
}

#[test]
fn a_write_of_an_earlier_term_changes_nothing() {
    each(|mut store| {
        let (first, second) = (store.claim().unwrap(), store.claim().unwrap());
        assert!(first < second);
        let records = records(1, 1);
        let late = [write(1, second, all(&records)), write(1, first, all(&records))];
        let error = store.commit(&late).unwrap_err();
        assert!(matches!(error, StoreError::Fenced { written: 1, current: 2 }), "{error}");
        assert_eq!(store.load().unwrap().records, []);
    });
}

#[test]
fn a_file_outlives_its_process_and_counts_on() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(2, 8);
    let mut store = file(folder.path());
    let epoch = store.claim().unwrap();
    store.commit(&[write(1, epoch, all(&records))]).unwrap();
    let path = folder.path().join("data/store.redb");
    let error = FileStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(store);
    let mut store = file(folder.path());
    assert_eq!(store.load().unwrap().records.into_iter().collect::<BTreeMap<_, _>>(), records);
    assert!(store.claim().unwrap() > epoch);
}

#[test]
fn other_formats_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    std::fs::write(
        &path,
        "something else entirely, and longer than a header of a database ".repeat(99),
    )
    .unwrap();
    let error = FileStore::open(&path).unwrap_err().chain();
    assert!(error.contains("store.redb"), "{error}");

    let path = folder.path().join("newer.redb");
    let table: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("about");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert("format", "corral scheduler store 9").unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = FileStore::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("store 9") && error.contains("use the program that wrote it"),
        "{error}"
    );
}

#[test]
fn snapshots_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let records: Vec<_> = records(3, 2).into_iter().collect();
    snapshot::write(&path, &records).unwrap();
    assert_eq!(snapshot::read(&path).unwrap(), records);
    let mut store = Store::Memory(MemoryStore::new());
    store.replace(&records).unwrap();
    assert_eq!(store.load().unwrap().records, records);

    let other = folder.path().join("other");
    std::fs::write(&other, "hello\n").unwrap();
    assert!(snapshot::read(&other).unwrap_err().to_string().contains("hello"));
    assert!(snapshot::write(&other, &records).is_err(), "a file of somebody else stays");
}

#[test]
fn acknowledgements_come_for_each_write_in_order() {
    let (done, acknowledged) = mpsc::channel();
    let mut store = Store::Memory(MemoryStore::new());
    let epoch = store.claim().unwrap();
    let writer = Writer::start(store, move |number, outcome| {
        done.send((number.0, outcome.is_ok())).unwrap();
    })
    .unwrap();
    for number in 1..=200 {
        writer.submit(write(number, epoch, all(&records(1, 1))));
    }
    writer.finish().unwrap();
    let expected: Vec<(u64, bool)> = (1..=200).map(|number| (number, true)).collect();
    assert_eq!(acknowledged.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_writer_of_an_earlier_term_hears_so() {
    let (done, heard) = mpsc::channel();
    let memory = MemoryStore::new();
    let (mut old, mut new) = (Store::Memory(memory.clone()), Store::Memory(memory));
    let epoch = old.claim().unwrap();
    let writer = Writer::start(old, move |_, outcome| {
        done.send(matches!(outcome, Err(StoreError::Fenced { written: 1, current: 2 }))).unwrap();
    })
    .unwrap();
    new.claim().unwrap();
    writer.submit(write(1, epoch, all(&records(1, 1))));
    assert!(heard.recv().unwrap());
    writer.finish().unwrap();
    assert_eq!(new.load().unwrap().records, []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any sequence of batches leaves what a map has after the same changes, also when the file is
    /// opened again in between.
    #[test]
    fn a_file_is_a_map(
        batches in prop::collection::vec(
            (prop::collection::vec((0u32..6, prop::option::of(1u32..64)), 0..6), any::<bool>()),
            1..8,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = file(folder.path());
        let mut epoch = store.claim().unwrap();
        let mut model: BTreeMap<Key, Record> = BTreeMap::new();
        for (number, (batch, is_reopened)) in batches.into_iter().enumerate() {
            let mut changes = Vec::new();
            for (machine, cores) in batch {
                let key = Key::Machine(format!("m{machine}").parse().unwrap());
                let record = cores.map(|cores| records(6, cores)[&key].clone());
                match &record {
                    Some(record) => model.insert(key.clone(), record.clone()),
                    None => model.remove(&key),
                };
                changes.push((key, record));
            }
            store.commit(&[write(number as u64, epoch, changes)]).unwrap();
            if is_reopened {
                drop(store);
                store = file(folder.path());
                epoch = store.claim().unwrap();
            }
        }
        let loaded: BTreeMap<Key, Record> = store.load().unwrap().records.into_iter().collect();
        prop_assert_eq!(loaded, model);
    }
}

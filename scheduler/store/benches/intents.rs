//! Durable intents a second: records of instances, so many in one commit, in the file store; the
//! same bytes appended to a log with one sync, which is the least that any store must do; and, if
//! `SCHEDULER_CONSUL` says where one is (http://127.0.0.1:8500), in a real Consul.

#![allow(missing_docs, reason = "criterion makes the functions")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consul_client::{Client, Endpoint, Settings, TlsFiles};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durable::Log;
use policy::Time;
use policy::config::Policy;
use scheduler_core::app::{Bounds, Need, Run, Specification};
use scheduler_core::command::{Command, Key, Record, Write};
use scheduler_core::event::{Call, MachineFact};
use scheduler_core::ids::{Epoch, MachineName, RequestId, WriteNumber};
use scheduler_core::machine::Description;
use scheduler_core::{Event, State, apply_all};
use scheduler_store::cluster::{Candidate, ConsulStore, Keys, Office, Step, Terms};
use scheduler_store::{FileStore, Store, name_of};

/// How many intents are in one batch.
const BATCHES: [u32; 4] = [1, 16, 256, 4096];

/// The first write of an app with so many instances: its intents, as the core makes them.
fn intents(count: u32) -> Vec<(Key, Option<Record>)> {
    let mut state = State::new(Policy::recommended());
    let Ok(machine) = "machine-00001".parse::<MachineName>() else { return Vec::new() };
    let description = Description {
        millicores: u32::MAX,
        memory_mib: u32::MAX,
        ports: vec![(1024, 65_535)],
        ..Description::default()
    };
    let Ok(app) = "image-view".parse() else { return Vec::new() };
    let specification = Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["work".to_owned()]),
        need: Need { millicores: 1000, memory_mib: 256, ports: 1 },
        environment: Default::default(),
        health_grace: None,
        kill_grace: policy::Nanoseconds::from_seconds(10),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    };
    let bounds = Bounds { min: count, max: count };
    let call = Call::Deploy { app, specification: specification.into(), bounds, step: None };
    let events = [
        Event::Leader { epoch: Epoch(1) },
        Event::Machine { machine, fact: MachineFact::Up(description) },
        Event::Call { request: RequestId(1), call },
    ];
    let commands = apply_all(&mut state, events, Time(1_700_000_000_000_000_000));
    let write = commands.into_iter().find_map(|command| match command {
        Command::Persist(write) => Some(write.changes),
        _ => None,
    });
    let is_intent = |key: &Key| matches!(key, Key::Instance(_));
    write.unwrap_or_default().into_iter().filter(|(key, _)| is_intent(key)).collect()
}

fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redb");
    group.sample_size(20);
    for count in BATCHES {
        let Ok(folder) = tempfile::tempdir() else { return };
        let Ok(store) = FileStore::open(&folder.path().join("store.redb")) else { return };
        let mut store = Store::File(store);
        let Ok(epoch) = store.claim() else { return };
        let write = Write { number: WriteNumber(1), epoch, changes: intents(count) };
        group.throughput(Throughput::Elements(write.changes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &write, |bencher, write| {
            bencher.iter(|| {
                let outcome = store.commit(std::slice::from_ref(write));
                assert!(outcome.is_ok());
            });
        });
    }
    group.finish();
}

fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for count in BATCHES {
        let Ok(folder) = tempfile::tempdir() else { return };
        let Ok(opened) = Log::open(&folder.path().join("log"), "bench 1") else { return };
        let mut log = opened.log;
        let changes = intents(count);
        group.throughput(Throughput::Elements(changes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &changes, |bencher, changes| {
            bencher.iter(|| {
                let mut batch = Vec::new();
                for (key, record) in changes {
                    batch.extend_from_slice(name_of(key).as_bytes());
                    let _ = serde_json::to_writer(&mut batch, record);
                }
                let written = log.append(&batch).and_then(|()| log.sync());
                assert!(written.is_ok());
                black_box(&mut batch);
            });
        });
    }
    group.finish();
}

/// The store of a leader in the Consul of the environment.
fn in_consul() -> Option<(Office, Store)> {
    let url = std::env::var("SCHEDULER_CONSUL").ok()?;
    let settings = Settings {
        endpoints: vec![Endpoint::parse(&url, false).ok()?],
        token: None,
        tls: TlsFiles::default(),
        datacenter: None,
        consistency: consul::Consistency::Consistent,
        timeout: Duration::from_secs(5),
    };
    let client = Arc::new(Client::new(settings).ok()?);
    let keys = Keys::below(&format!("corral-bench/{}", std::process::id())).ok()?;
    let terms = Terms { keys, name: "bench".to_owned(), address: "http://127.0.0.1:1".to_owned() };
    let Ok(Step::Leads(mut office)) = Candidate::new(client, terms).step(Duration::ZERO) else {
        return None;
    };
    office.keep(|why| eprintln!("the office is lost: {why}")).ok()?;
    let store = Store::Consul(Box::new(ConsulStore::new(&office)));
    Some((office, store))
}

fn consul(criterion: &mut Criterion) {
    let Some((office, mut store)) = in_consul() else {
        return eprintln!("SCHEDULER_CONSUL names no Consul where one can lead: not measured");
    };
    let Ok(epoch) = store.claim() else { return };
    let mut group = criterion.benchmark_group("consul");
    group.sample_size(20);
    for count in BATCHES {
        let write = Write { number: WriteNumber(1), epoch, changes: intents(count) };
        let there = |(key, record): &(Key, Option<Record>)| Some((key.clone(), record.clone()?));
        let all: BTreeMap<Key, Record> = write.changes.iter().filter_map(there).collect();
        store.read_from(Arc::new(Mutex::new(all)));
        group.throughput(Throughput::Elements(write.changes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &write, |bencher, write| {
            bencher.iter(|| {
                let outcome = store.commit(std::slice::from_ref(write));
                assert!(outcome.is_ok());
                // What the writer does between two batches is part of the price.
                store.tidy();
            });
        });
    }
    group.finish();
    // What it has written stays below its prefix: who measures has a Consul for that.
    drop(office.resign());
}

criterion_group!(benches, store, log, consul);
criterion_main!(benches);

//! What deciding about one request costs: admission with all limits, a target, a place in its queue,
//! and the permits given back.

#![allow(missing_docs, reason = "criterion makes the functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use policy::admission::{Account, Accounts, Admission, Candidate, Limits, Permits, Rate};
use policy::balance::{Balance, Choices, Targets};
use policy::{Class, Nanoseconds, Purpose, Queue, Scope, Time, Waiting, Words};

const TARGETS: u32 = 1_000;
const REQUESTS: u64 = 4_096;

/// Loads in a table.
struct Loads(Vec<u32>);

impl Targets for Loads {
    fn count(&self) -> u32 {
        TARGETS
    }

    fn load(&mut self, target: u32) -> u32 {
        self.0.get(target as usize).copied().unwrap_or(0)
    }
}

fn rules() -> Admission {
    let limits = |per_second: u64| {
        Some(Limits {
            rate: Some(Rate::new(Nanoseconds(Nanoseconds::PER_SECOND / per_second), 1_000_000)),
            concurrency: Some(1_000_000),
            scope: Scope::Gateway,
        })
    };
    Admission {
        accept: Some(Permits { permits: 10_000, scope: Scope::Gateway }),
        user: limits(1_000_000),
        cmd: limits(1_000_000),
        ..Admission::default()
    }
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a request");
    group.throughput(Throughput::Elements(REQUESTS));
    let rules = rules();
    group.bench_function("admitted and released", |bencher| {
        let (mut accepted, mut user, mut cmd) = (0, Account::default(), Account::default());
        bencher.iter(|| {
            let mut refused = 0u32;
            for number in 0..REQUESTS {
                let now = Time(number * 8_000);
                let deadline = now + Nanoseconds(10 * Nanoseconds::PER_SECOND);
                let candidate = Candidate { deadline, usual: Nanoseconds(60_000_000) };
                let (accepted, user, cmd) = (&mut accepted, &mut user, &mut cmd);
                let accounts = Accounts {
                    accepted: &mut *accepted,
                    user: &mut *user,
                    cmd: &mut *cmd,
                    learned: None,
                };
                match policy::admit(&rules, accounts, candidate, now) {
                    Ok(()) => policy::release(Accounts { accepted, user, cmd, learned: None }),
                    Err(_) => refused += 1,
                }
            }
            refused
        });
    });
    let words = Words::new(1, Purpose::Balance, 0);
    for (name, rule) in [
        ("random", Balance::Random),
        ("two choices", Balance::PowerOfChoices(Choices::TWO)),
        ("round robin", Balance::RoundRobin),
    ] {
        let mut targets = Loads((0..TARGETS).map(|target| target * 7_919 % 13).collect());
        group.bench_function(format!("sent on, {name}"), |bencher| {
            let mut turn = 0;
            bencher.iter(|| {
                let pick = |key| policy::pick(rule, &mut targets, &mut turn, words.of(key));
                (0..REQUESTS).filter_map(pick).map(u64::from).sum::<u64>()
            });
        });
    }
    let queue = Queue { free: 10, paid: 5, ..Queue::OPEN };
    group.bench_function("let into a queue", |bencher| {
        bencher.iter(|| {
            let is_let_in = |number: &u32| {
                let at = Waiting { counted: number % 12, idle: number.is_multiple_of(3) };
                policy::enqueue(&queue, Class::Free, at).is_ok()
            };
            (0..4_096u32).filter(is_let_in).count()
        });
    });
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);

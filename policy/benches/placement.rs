//! Placements a second with the index: 10,000 machines, 2,000 apps.

#![allow(missing_docs, reason = "criterion makes the functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use policy::spread::{Room, Spread};

const MACHINES: u32 = 10_000;
const APPS: u32 = 2_000;
const NEED: Room = Room { cores: 1, memory_mib: 512, ports: 1 };

fn cluster() -> Spread {
    let mut cluster = Spread::new();
    for machine in 0..MACHINES {
        // Three kinds of machines.
        let cores = 32 + machine % 3 * 16;
        let room = Room { cores, memory_mib: cores * 4096, ports: 1000 };
        cluster.set_machine(machine, Some(room));
    }
    cluster
}

/// 200,000 instances, 100 of each app, apps in turn.
fn fill(cluster: &mut Spread, allowed: impl Fn(u32, u32) -> bool) -> u64 {
    let mut sum = 0;
    for round in 0..100 * APPS {
        let app = round % APPS;
        if let Some(machine) = cluster.place(app, NEED, |machine, _| allowed(app, machine)) {
            cluster.add(app, machine, NEED);
            sum += u64::from(machine);
        }
    }
    sum
}

fn placement(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placement");
    group.sample_size(10);
    let empty = cluster();
    group.throughput(Throughput::Elements(200_000));
    group.bench_function("fill, 100 of each of 2,000 apps", |bencher| {
        bencher.iter(|| fill(&mut empty.clone(), |_, _| true));
    });
    group.bench_function("fill, each app on a tenth of the machines", |bencher| {
        bencher.iter(|| fill(&mut empty.clone(), |app, machine| machine % 10 == app % 10));
    });
    group.throughput(Throughput::Elements(20_000));
    group.bench_function("fill, one app with 20,000", |bencher| {
        bencher.iter(|| {
            let mut cluster = empty.clone();
            for _ in 0..20_000 {
                let Some(machine) = cluster.place(0, NEED, |_, _| true) else { return };
                cluster.add(0, machine, NEED);
            }
        });
    });
    let mut full = empty.clone();
    fill(&mut full, |_, _| true);
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("churn, one goes and one comes", |bencher| {
        bencher.iter(|| {
            for round in 0..10_000 {
                let Some(machine) = full.displace(round % APPS) else { return };
                full.remove(round % APPS, machine, NEED);
                let app = round * 7 % APPS;
                let Some(machine) = full.place(app, NEED, |_, _| true) else { return };
                full.add(app, machine, NEED);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, placement);
criterion_main!(benches);

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

/// So many instances of each app, apps in turn.
fn fill(cluster: &mut Spread, each: u32, allowed: impl Fn(u32, u32) -> bool) -> u64 {
    let mut sum = 0;
    for round in 0..each * APPS {
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
        bencher.iter(|| fill(&mut empty.clone(), 100, |_, _| true));
    });
    group.bench_function("fill, each app on a tenth of the machines", |bencher| {
        bencher.iter(|| fill(&mut empty.clone(), 100, |app, machine| machine % 10 == app % 10));
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
    group.throughput(Throughput::Elements(10_000));
    for each in [20, 100, 200] {
        let mut full = empty.clone();
        fill(&mut full, each, |_, _| true);
        group.bench_function(format!("churn, {each} of each of 2,000 apps"), |bencher| {
            bencher.iter(|| churn(&mut full, |round| (round % APPS, round * 7 % APPS)));
        });
    }
    // Apps on half of all machines and more, and the emptiest ones: both ways are long.
    let mut wide = empty.clone();
    for app in 0..10 {
        for machine in 0..6_000 + app * 400 {
            wide.add(app, machine, Room::default());
        }
    }
    group.bench_function("churn, 10 apps on most machines", |bencher| {
        bencher.iter(|| churn(&mut wide, |round| (round % 10, round * 3 % 10)));
    });
    group.finish();
}

/// 10,000 times an instance goes and one comes, of these apps.
fn churn(cluster: &mut Spread, apps: impl Fn(u32) -> (u32, u32)) {
    for round in 0..10_000 {
        let (goes, comes) = apps(round);
        let Some(machine) = cluster.displace(goes) else { return };
        cluster.remove(goes, machine, NEED);
        let Some(machine) = cluster.place(comes, NEED, |_, _| true) else { return };
        cluster.add(comes, machine, NEED);
    }
}

criterion_group!(benches, placement);
criterion_main!(benches);

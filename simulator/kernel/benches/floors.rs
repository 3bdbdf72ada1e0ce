//! What nothing that simulates a request can do without: a time by a law, a place in a row, a cell
//! in a histogram. The engines' prices are in docs/simulator-benchmarks.md.

#![allow(missing_docs, reason = "criterion makes the functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simulator_kernel::law::Quantiles;
use simulator_kernel::row::{self, Requests};
use simulator_kernel::{Histogram, Law, Nanoseconds, Purpose, Words};

const COUNT: usize = 4_096;
const MEAN_NS: f64 = 1e9;
/// Beyond all times.
const LAST: u64 = 1 << 62;

fn words() -> Vec<u64> {
    let mut drawn = vec![0; COUNT];
    Words::new(1, Purpose::Service, 0).of_each(0, &mut drawn);
    drawn
}

fn times(law: &Law) -> Vec<u64> {
    let mut times = vec![0; COUNT];
    law.fill(&words(), &mut times);
    times
}

fn floors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("floors");
    group.throughput(Throughput::Elements(COUNT as u64));
    let exponential = Law::Exponential { mean: MEAN_NS };
    let points = vec![(0.0, 1e7), (0.5, 6e7), (0.9, 1.2e8), (0.99, 3e8), (1.0, 3e9)];
    let mut laws = vec![("exponential", exponential.clone())];
    laws.extend(Quantiles::new(points).map(|quantiles| ("quantiles", Law::Empirical(quantiles))));
    let drawn = words();
    for (name, law) in &laws {
        let mut into = vec![0; COUNT];
        group.bench_function(format!("times, {name}"), |bencher| {
            bencher.iter(|| law.fill(black_box(&drawn), &mut into));
        });
    }
    let services = times(&exponential);
    group.bench_function("histogram", |bencher| {
        let mut histogram = Histogram::default();
        let longest = services.iter().copied().max().unwrap_or(0);
        bencher.iter(|| histogram.record_all(black_box(&services), longest));
    });
    for instances in [1u64, 8, 16, 32] {
        // Nine of ten instances are busy.
        let gap = Nanoseconds(1_111_111_111 / instances);
        let at: Vec<u64> = (0u64..).take(COUNT).map(|number| number * gap.0).collect();
        let (mut starts, mut ends) = (vec![0; COUNT], vec![0; COUNT]);
        group.bench_function(format!("row of {instances}"), |bencher| {
            bencher.iter(|| {
                let mut free: Vec<u64> = (0..instances).map(|_| 0).collect();
                let (starts, ends) = (&mut starts[..], &mut ends[..]);
                let requests = Requests { at: &at, services: &services, starts, ends };
                row::serve(&mut free, requests, LAST);
                free
            });
        });
    }
    group.finish();
}

criterion_group!(benches, floors);
criterion_main!(benches);

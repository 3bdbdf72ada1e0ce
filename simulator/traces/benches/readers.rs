//! Rows a second of our two formats; the floor is one pass over the bytes.

#![allow(missing_docs, clippy::expect_used)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simulator_traces::{Class, Options, Packer, Request, Stream, Trace};

const ROWS: u64 = 200_000;

/// A second and more of the platform's day: 8 commands, 4,096 tenants.
fn trace() -> Trace {
    let mut trace = Trace::default();
    for number in 0..ROWS {
        let command = trace.commands.number(&format!("command{}", number % 8)).expect("few");
        let tenant = trace.tenants.number(&format!("tenant{}", number * 7_919 % 4_096));
        trace.requests.push(Request {
            arrival_ns: number * 8_640,
            command,
            tenant,
            class: Some(Class::Paid),
            service_ns: Some(60_000_000 + number % 977),
            size_bytes: Some(20_000 + number % 7),
            source: None,
            gateway: None,
        });
    }
    trace
}

fn packed(trace: &Trace) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new()).expect("memory");
    for request in &trace.requests {
        packer.push(request, &trace.commands, &trace.tenants).expect("memory");
    }
    packer.finish(&trace.commands, &trace.tenants).expect("memory")
}

fn text(trace: &Trace) -> String {
    let mut text = "arrival_ns,cmd,tenant,service_ns,size_bytes\n".to_owned();
    for request in &trace.requests {
        let command = trace.commands.get(request.command).expect("known");
        let tenant = request.tenant.and_then(|name| trace.tenants.get(name)).expect("known");
        let (service, size) = (request.service_ns.unwrap_or(0), request.size_bytes.unwrap_or(0));
        writeln!(text, "{},{command},{tenant},{service},{size}", request.arrival_ns)
            .expect("memory");
    }
    text
}

fn drain(mut stream: Stream<&[u8]>) -> u64 {
    let mut sum = 0;
    while let Some(request) = stream.next_request().expect("a good trace") {
        sum ^= request.arrival_ns;
    }
    sum
}

fn readers(criterion: &mut Criterion) {
    let trace = trace();
    let (packed, text) = (packed(&trace), text(&trace));
    let options = Options::default();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(ROWS)).measurement_time(Duration::from_secs(3));
    group.bench_function("packed", |bencher| {
        bencher.iter(|| drain(Stream::packed(black_box(&packed[..]), &options).expect("good")));
    });
    group.bench_function("csv", |bencher| {
        bencher.iter(|| drain(Stream::csv(black_box(text.as_bytes()), &options).expect("good")));
    });
    let floor = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum + u64::from(*byte));
    group.bench_function("packed/floor", |bencher| bencher.iter(|| floor(black_box(&packed))));
    group.bench_function("csv/floor", |bencher| {
        bencher.iter(|| floor(black_box(text.as_bytes())));
    });
    group.finish();
}

criterion_group!(benches, readers);
criterion_main!(benches);

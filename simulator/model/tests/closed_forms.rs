//! The engine against queueing theory, at seeds 1 to 20. The table is printed:
//! `cargo test -p simulator-model --test all closed_forms -- --nocapture`.
//!
//! For each row: the estimate of each seed, its standard error from batches of the run, and
//! z = (estimate − exact)/error. Each |z| must be below 4, the mean over the seeds within 1 %, and
//! the z-scores together must pass a χ² test against being normal.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use policy::balance::{Balance, Choices};
use policy::queue::{Order, QueueScope};
use policy::{Admission, Class, Nanoseconds, Queue};
use simulator_kernel::{Law, Moments};
use simulator_model::{
    App, Arrival, Arrivals, Cmd, Crowd, Download, Dynamics, Life, Link, Model, Outcome, Record,
    Report, Respond, Share, Slowdown, Source, Stages, Tenants, closed_form, oracle,
};

#[path = "arrivals/mod.rs"]
mod arrivals;
#[path = "chain/mod.rs"]
mod chain;

/// The mean service time: times in the table are in units of it.
const UNIT: f64 = 1e9;
const SEEDS: u64 = 20;
const BATCHES: usize = 20;

/// One station: `offered` is the load in instances.
fn station(instances: u32, offered: f64, service: Law, bound: u32, requests: u32) -> Model {
    let gap = UNIT / offered;
    let all = gap * f64::from(requests);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let duration = Nanoseconds(all as u64);
    Model {
        seed: 0,
        duration,
        warm_up: Nanoseconds(duration.0 / 20),
        gateways: 1,
        apps: vec![App {
            name: "app".into(),
            machines: 1,
            instances,
            life: Life::default(),
            crowd: None,
        }],
        cmds: vec![Cmd { name: "cmd".into(), app: 0, service, deadline: None, stages: None }],
        tenants: vec![Tenants { name: "all".into(), class: Class::Free, users: 1, skew: 0.0 }],
        sources: vec![Source {
            tenants: 0,
            cmd: 0,
            arrivals: Arrivals::Poisson { gap },
            retries: None,
        }],
        admission: Admission::default(),
        queue: Queue { free: bound, ..Queue::OPEN },
        balance: Balance::Random,
        network: None,
        dynamics: Dynamics::default(),
    }
}

/// Sums over batches of requests in the order of arrival, after the warm-up.
struct Batches {
    from: policy::Time,
    size: usize,
    seen: usize,
    batches: Vec<Batch>,
}

#[derive(Clone, Default)]
struct Batch {
    refused: f64,
    served: f64,
    wait: f64,
    response: f64,
    download: f64,
    /// Served and their waits, by source.
    sources: [(f64, f64); 2],
}

impl Record for Batches {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        if arrival.at < self.from {
            return;
        }
        if self.seen.is_multiple_of(self.size) {
            self.batches.push(Batch::default());
        }
        self.seen += 1;
        let batch = self.batches.last_mut().unwrap();
        match outcome {
            Ok(served) => {
                batch.served += 1.0;
                let wait = served.start.since(arrival.at).0 as f64 / UNIT;
                batch.wait += wait;
                let (count, waits) = &mut batch.sources[usize::from(arrival.source)];
                *count += 1.0;
                *waits += wait;
                let taken = served.transfers.map_or(Nanoseconds::ZERO, |taken| taken.download);
                batch.download += taken.0 as f64 / UNIT;
                batch.response += served.end.since(arrival.at).0 as f64 / UNIT;
            }
            Err(_) => batch.refused += 1.0,
        }
    }
}

#[derive(Clone, Copy)]
enum Figure {
    Wait,
    /// Of the requests of one source.
    WaitOf(usize),
    Response,
    /// Until the source was there.
    Download,
    Loss,
}

impl Figure {
    fn of(self, batch: &Batch) -> f64 {
        match self {
            Figure::Wait => batch.wait / batch.served,
            Figure::WaitOf(source) => batch.sources[source].1 / batch.sources[source].0,
            Figure::Response => batch.response / batch.served,
            Figure::Download => batch.download / batch.served,
            Figure::Loss => batch.refused / (batch.served + batch.refused),
        }
    }
}

struct Row {
    name: &'static str,
    model: Model,
    requests: usize,
    figures: Vec<(Figure, &'static str, f64)>,
}

fn row(
    name: &'static str,
    (instances, offered, bound): (u32, f64, u32),
    service: Law,
    requests: u32,
    figures: &[(Figure, &'static str, f64)],
) -> Row {
    let model = station(instances, offered, service, bound, requests);
    Row { name, model, requests: requests as usize, figures: figures.to_vec() }
}

/// One request at a time on each of a few machines, with the exact mean response by the chain.
fn choices(machines: u32, balance: Balance) -> Row {
    const LOAD: f64 = 0.8;
    let name = match (machines, balance) {
        (2, Balance::JoinShortestQueue) => "shortest of 2",
        (2, _) => "2 choices of 2",
        _ => "2 choices of 3",
    };
    let law = Law::Exponential { mean: UNIT };
    let exact = chain::two_choices(machines as usize, LOAD);
    let figures = [(Figure::Response, "response", exact)];
    let mut row = row(name, (1, LOAD, Queue::UNLIMITED), law, 500_000, &figures);
    let gap = UNIT / (LOAD * f64::from(machines));
    row.model.sources[0].arrivals = Arrivals::Poisson { gap };
    row.model.duration.0 /= u64::from(machines);
    row.model.warm_up.0 /= u64::from(machines);
    row.model.apps[0].machines = machines;
    row.model.balance = balance;
    row
}

/// Paid requests before free ones, without interruption (Cobham 1954; with several instances Kella
/// and Yechiali 1985).
fn priority(
    name: &'static str,
    instances: u32,
    loads: [f64; 2],
    requests: u32,
    exact: [f64; 2],
) -> Row {
    let figures =
        [(Figure::WaitOf(0), "paid wait", exact[0]), (Figure::WaitOf(1), "free wait", exact[1])];
    let law = Law::Exponential { mean: UNIT };
    let all = loads[0] + loads[1];
    let mut row = row(name, (instances, all, Queue::UNLIMITED), law, requests, &figures);
    let model = &mut row.model;
    let group = |class| Tenants { name: "group".into(), class, users: 1, skew: 0.0 };
    model.tenants = vec![group(Class::Paid), group(Class::Free)];
    let source = |(tenants, load): (usize, &f64)| Source {
        tenants,
        cmd: 0,
        arrivals: Arrivals::Poisson { gap: UNIT / load },
        retries: None,
    };
    model.sources = loads.iter().enumerate().map(source).collect();
    model.queue.order = Order::Priority;
    row
}

/// So many instances, each on a machine of its own, that take requests from one queue: M/M/c, though
/// no machine has more than one of them.
fn pulled(name: &'static str, machines: u32, offered: f64, bound: u32, requests: u32) -> Row {
    let law = Law::Exponential { mean: UNIT };
    let mut row = row(name, (1, offered, bound), law, requests, &[]);
    row.figures = if bound == Queue::UNLIMITED {
        vec![(Figure::Wait, "wait", closed_form::mmc_wait(machines, offered))]
    } else {
        let exact = closed_form::mmck(machines, machines + bound, offered);
        vec![(Figure::Loss, "loss", exact.loss), (Figure::Response, "response", exact.response)]
    };
    row.model.apps[0].machines = machines;
    row.model.queue.scope = QueueScope::Central;
    row.model.balance = Balance::PowerOfChoices(Choices::TWO);
    row
}

/// One instance that works on all of its requests at the same time.
fn sharing(
    name: &'static str,
    cores: u32,
    offered: f64,
    service: Law,
    requests: u32,
    exact: f64,
) -> Row {
    let figures = [(Figure::Response, "response", exact)];
    let mut row = row(name, (1, offered, Queue::UNLIMITED), service, requests, &figures);
    row.model.apps[0].crowd = Some(Crowd::new(Crowd::MOST, cores, 1, &Slowdown::NONE));
    row
}

/// Sources that come over one link: transfers share it as tasks share a processor. The link carries
/// the mean source in the unit of time.
fn download(name: &'static str, offered: f64, size: Law, requests: u32) -> Row {
    let exact = closed_form::sharing_response(offered);
    let figures = [(Figure::Download, "download", exact)];
    let nothing = || Law::Constant(Nanoseconds::ZERO);
    let mut row = row(name, (1, offered, Queue::UNLIMITED), nothing(), requests, &figures);
    let way = || Link { latency: nothing(), bandwidth: None };
    let (network, store) = (way(), way());
    let download = Some(Download { size, cached: 0.0, network, store });
    let (accept, dispatch) = (nothing(), nothing());
    row.model.cmds[0].stages = Some(Stages { accept, dispatch, download, respond: None });
    let share = Share { bandwidth: 1_000_000_000, each: None };
    row.model.dynamics.links.network = Some(share);
    row
}

fn rows() -> Vec<Row> {
    use Figure::{Loss, Response, Wait};
    const OPEN: u32 = Queue::UNLIMITED;
    let memoryless = || Law::Exponential { mean: UNIT };
    let constant = || Law::Constant(Nanoseconds::from_seconds(1));
    // Mean 1 and squared coefficient of variation 4, both phases with the same share of the work.
    let share = 0.5 * (1.0 + (3.0f64 / 5.0).sqrt());
    let varied = || Law::Hyperexponential {
        share,
        first: UNIT / (2.0 * share),
        second: UNIT / (2.0 * (1.0 - share)),
    };
    let bounded = |instances, room, offered| {
        let exact = closed_form::mmck(instances, room, offered);
        [(Loss, "loss", exact.loss), (Response, "response", exact.response)]
    };
    let wait = |exact| [(Wait, "wait", exact)];
    vec![
        row("M/M/1 ρ=.8", (1, 0.8, OPEN), memoryless(), 600_000, &wait(4.0)),
        row("M/M/2 ρ=.8", (2, 1.6, OPEN), memoryless(), 400_000, &wait(1.777_778)),
        row("M/M/4 ρ=.9", (4, 3.6, OPEN), memoryless(), 800_000, &wait(1.969_383)),
        row("M/M/16 ρ=.9", (16, 14.4, OPEN), memoryless(), 1_200_000, &wait(0.369_590)),
        row("M/M/1/10 ρ=.9", (1, 0.9, 9), memoryless(), 300_000, &bounded(1, 10, 0.9)),
        row("M/M/1/3 ρ=.9", (1, 0.9, 2), memoryless(), 200_000, &bounded(1, 3, 0.9)),
        row("M/M/16/26 ρ=.95", (16, 15.2, 10), memoryless(), 600_000, &bounded(16, 26, 15.2)),
        row("M/M/16/16 ρ=.9", (16, 14.4, 0), memoryless(), 200_000, &[(Loss, "loss", 0.126_412)]),
        row("M/G/10/10 cv²=4", (10, 10.0, 0), varied(), 200_000, &[(Loss, "loss", 0.214_582)]),
        row("M/D/1 ρ=.8", (1, 0.8, OPEN), constant(), 400_000, &wait(2.0)),
        row("M/D/1 ρ=.9", (1, 0.9, OPEN), constant(), 600_000, &wait(4.5)),
        choices(2, Balance::JoinShortestQueue),
        choices(2, Balance::PowerOfChoices(Choices::TWO)),
        choices(3, Balance::PowerOfChoices(Choices::TWO)),
        row("M/G/1 cv²=4 ρ=.5", (1, 0.5, OPEN), varied(), 600_000, &wait(2.5)),
        priority("M/M/1 priority", 1, [0.3, 0.5], 400_000, [1.142_857, 5.714_286]),
        priority("M/M/16 priority", 16, [4.4, 10.0], 600_000, [0.050_978, 0.509_779]),
        pulled("M/M/4 pulled", 4, 3.6, OPEN, 800_000),
        pulled("M/M/16 pulled", 16, 14.4, OPEN, 800_000),
        pulled("M/M/16/26 pulled", 16, 15.2, 10, 400_000),
        sharing("M/M/1 shared", 1, 0.8, memoryless(), 200_000, closed_form::sharing_response(0.8)),
        // Only the mean of the service matters.
        sharing("M/D/1 shared", 1, 0.8, constant(), 200_000, closed_form::sharing_response(0.8)),
        sharing(
            "M/G/1 shared cv²=4",
            1,
            0.7,
            varied(),
            200_000,
            closed_form::sharing_response(0.7),
        ),
        download("M/D/1 link", 0.8, constant(), 100_000),
        download("M/G/1 link cv²=4", 0.7, varied(), 150_000),
        // On c cores without memory the number of requests is that of M/M/c.
        sharing("M/M/4 shared", 4, 3.2, memoryless(), 200_000, 1.0 + closed_form::mmc_wait(4, 3.2)),
    ]
}

/// Estimate and standard error of each figure in one run.
fn estimate(row: &Row, seed: u64) -> Vec<(f64, f64)> {
    let model = Model { seed, ..row.model.clone() };
    let from = policy::Time(model.warm_up.0);
    let size = row.requests / BATCHES;
    let mut batches = Batches { from, size, seen: 0, batches: Vec::new() };
    crate::run(&model, &mut batches);
    batches.batches.truncate(BATCHES - 1);
    let of = |figure: Figure| {
        let moments: Moments = batches.batches.iter().map(|batch| figure.of(batch)).collect();
        (moments.mean(), moments.standard_error().unwrap())
    };
    row.figures.iter().map(|(figure, ..)| of(*figure)).collect()
}

/// Above this, a χ² of 20 squared z-scores is a chance of one in 10⁶; batch means have slightly
/// heavier tails than normal ones (Student's t with 18 degrees of freedom).
const CHI_LIMIT: f64 = 70.0;

/// Prints a row of the table; whether it holds.
fn judge(name: &str, figure: &str, exact: f64, runs: &[(f64, f64)]) -> bool {
    let scores: Vec<f64> = runs.iter().map(|(seen, error)| (seen - exact) / error).collect();
    let worst = scores.iter().fold(0.0f64, |worst, z| worst.max(z.abs()));
    let chi: f64 = scores.iter().map(|z| z * z).sum();
    let mean = runs.iter().map(|(seen, _)| *seen).collect::<Moments>().mean();
    let error = mean / exact - 1.0;
    println!(
        "{name:<18} {figure:<10} {exact:>9.6} {mean:>11.6} {:>7.2} %  {worst:>6.2} {chi:>8.1}",
        error * 100.0,
    );
    worst < 4.0 && error.abs() < 0.01 && chi < CHI_LIMIT
}

#[test]
fn closed_forms_hold() {
    println!("model              figure         exact  mean of 20   error   max |z|   χ²(20)");
    let mut failures = Vec::new();
    for row in rows() {
        let runs: Vec<Vec<(f64, f64)>> = (1..=SEEDS).map(|seed| estimate(&row, seed)).collect();
        for (place, (_, figure, exact)) in row.figures.iter().enumerate() {
            let runs: Vec<(f64, f64)> = runs.iter().map(|run| run[place]).collect();
            if !judge(row.name, figure, *exact, &runs) {
                failures.push((row.name, *figure));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

/// Arrivals whose rate changes with time, on so many instances that nothing waits.
#[test]
fn closed_forms_of_arrivals_hold() {
    println!("model              figure         exact  mean of 20   error   max |z|   χ²(20)");
    let memoryless = Law::Exponential { mean: UNIT };
    let many = station(100, 20.0, memoryless, Queue::UNLIMITED, 1);
    let short = Law::Constant(Nanoseconds(1_000_000));
    let quick = station(16, 1.0, short, Queue::UNLIMITED, 1);
    let forms = [
        arrivals::sinusoid(many, UNIT),
        arrivals::switching(quick.clone(), UNIT, 1),
        arrivals::switching(quick, UNIT, 8),
    ];
    let mut failures = Vec::new();
    for form in forms.iter().flatten() {
        let runs: Vec<(f64, f64)> = (1..=SEEDS).map(|seed| form.estimate(seed, UNIT)).collect();
        if !judge(form.name, form.figure, form.exact, &runs) {
            failures.push((form.name, form.figure));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

/// A backlog of `n` requests of the same length on c instances drains in rows of c, exactly; and
/// the oracle says the same.
#[test]
fn a_burst_drains_exactly() {
    #[derive(Default)]
    struct Ends(Vec<(u64, u64)>);
    impl Record for Ends {
        fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
            let served = outcome.unwrap();
            self.0.push((arrival.number, served.end.0));
        }
    }
    for (instances, requests) in [(1, 7), (4, 12), (16, 1000), (32, 33)] {
        let service = Law::Constant(Nanoseconds(1000));
        let mut model = station(instances, 1.0, service, Queue::UNLIMITED, 100);
        let at = Nanoseconds(5000);
        let arrivals = Arrivals::Burst { at, requests, over: Nanoseconds::ZERO };
        model.sources[0].arrivals = arrivals;
        let mut fast = Ends::default();
        crate::run(&model, &mut fast);
        let exact = |number: u64| 5000 + 1000 * (number / u64::from(instances) + 1);
        let wanted: Vec<(u64, u64)> = (0..requests).map(|number| (number, exact(number))).collect();
        assert_eq!(fast.0, wanted);
        let mut slow = Ends::default();
        oracle::run(&model, &mut slow);
        slow.0.sort_unstable();
        assert_eq!(slow.0, wanted);
    }
}

/// n sources that come over a link at the same instant all take n times as long as one, exactly, also
/// if each may have a part of it only; then all answers leave together, and take as long.
#[test]
fn transfers_at_the_same_time_share_a_link_exactly() {
    #[derive(Default)]
    struct Taken(Vec<(u64, u64)>);
    impl Record for Taken {
        fn record(&mut self, _arrival: &Arrival, outcome: Outcome) {
            let taken = outcome.unwrap().transfers.unwrap();
            self.0.push((taken.download.0, taken.respond.0));
        }
    }
    let nothing = || Law::Constant(Nanoseconds::ZERO);
    let way = || Link { latency: nothing(), bandwidth: None };
    let bytes = || Law::Constant(Nanoseconds(1000));
    for (requests, each, wanted) in [
        (1u32, None, 1000),
        (8, None, 8000),
        (64, None, 64_000),
        (2, Some(4), 4000),
        (8, Some(4), 8000),
    ] {
        let service = Law::Constant(Nanoseconds(10));
        let mut model = station(requests, 1.0, service, Queue::UNLIMITED, 100);
        let (at, over) = (Nanoseconds(5000), Nanoseconds::ZERO);
        let requests = u64::from(requests);
        model.sources[0].arrivals = Arrivals::Burst { at, requests, over };
        model.cmds[0].stages = Some(Stages {
            accept: nothing(),
            dispatch: nothing(),
            download: Some(Download { size: bytes(), cached: 0.0, network: way(), store: way() }),
            respond: Some(Respond { size: bytes(), network: way() }),
        });
        let each = each.map(|part| 1_000_000_000 / part);
        model.dynamics.links.network = Some(Share { bandwidth: 1_000_000_000, each });
        let (mut fast, mut slow) = (Taken::default(), Taken::default());
        crate::run(&model, &mut fast);
        oracle::run(&model, &mut slow);
        assert_eq!(fast.0, vec![(wanted, wanted); fast.0.len()]);
        assert_eq!((fast.0.len() as u64, slow.0), (requests, fast.0));
    }
}

/// A steady overload builds a backlog of (r − cμ)·length, which drains at cμ − r afterwards.
#[test]
fn an_overload_builds_the_backlog_that_arithmetic_says() {
    #[derive(Default)]
    struct Longest(u64, u64);
    impl Record for Longest {
        fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
            let served = outcome.unwrap();
            self.0 = self.0.max(served.start.since(arrival.at).0);
            self.1 = self.1.max(served.end.0);
        }
    }
    // 4 instances, 10 ns each: 0.4 a nanosecond; 1,000 requests come within 1,000 ns.
    let mut model = station(4, 1.0, Law::Constant(Nanoseconds(10)), Queue::UNLIMITED, 100);
    let over = Nanoseconds(1000);
    model.sources[0].arrivals = Arrivals::Burst { at: Nanoseconds(0), requests: 1000, over };
    let mut longest = Longest::default();
    crate::run(&model, &mut longest);
    // The instances begin at 0, 1, 2 and 3 and take 250 requests each; the last one comes at 999.
    assert_eq!(longest.1, 3 + 250 * 10);
    assert_eq!(longest.0, 3 + 249 * 10 - 999);
}

/// The mean field of two choices (Mitzenmacher 2001) is exact for infinitely many machines only: a
/// sanity check within 2 %.
#[test]
fn many_machines_with_two_choices_are_near_the_mean_field() {
    for (load, exact) in [(0.5, 1.2657), (0.8, 1.9474), (0.9, 2.6141)] {
        let law = Law::Exponential { mean: UNIT };
        let mut model = station(1, load, law, Queue::UNLIMITED, 1000);
        model.apps[0].machines = 1000;
        model.sources[0].arrivals = Arrivals::Poisson { gap: UNIT / (load * 1000.0) };
        model.warm_up = Nanoseconds::from_seconds(100);
        model.duration = Nanoseconds::from_seconds(1000);
        model.balance = Balance::PowerOfChoices(Choices::TWO);
        let mut report = Report::new(&model);
        crate::run(&model, &mut report);
        let seen = report.cells[0].response.mean().unwrap() / UNIT;
        println!("1000 machines, ρ={load}: response {seen:.4}, mean field {exact}");
        assert!((seen / exact - 1.0).abs() < 0.02);
    }
}

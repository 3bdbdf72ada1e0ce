//! Names of metrics and conditions, what they are of, and their values against a report that was
//! added up by hand.

use diagnostics::{Sources, Span, Style, render};
use policy::{Nanoseconds, Time};
use simulator_model::{Arrival, Channel, Flow, Record, Returned, Served, Slot, Turn};

use super::*;
use crate::scenario;

const SCENARIO: &str = "version: 1
duration: 10s
machines: 2
apps:
  image: {instances: 4}
  video: {instances: 1}
cmds:
  imageView2: {app: image, service: {exponential: 40ms}, deadline: 100ms}
  avthumb: {app: video, service: {exponential: 4s}}
tenants:
  customers: {class: paid}
  visitors: {class: free}
workload:
  - {tenants: customers, cmd: imageView2, arrivals: {poisson: 100/s}}
  - {tenants: visitors, cmd: imageView2, arrivals: {poisson: 10/s}}
  - {tenants: visitors, cmd: avthumb, arrivals: {poisson: 10/min}}
";

fn model() -> Model {
    let mut sources = Sources::default();
    let source = sources.add("scenario.yml", SCENARIO);
    let found = scenario::read(source, &[], &mut sources, |_, _| Err(String::new()));
    found.scenario.unwrap().model
}

fn one(name: &str, model: &Model) -> Metric {
    metric(name, Span::new(Sources::default().add("", name), 0, name.len()), model).unwrap()
}

/// Three of paid images: served after 20 ms and 120 ms, refused by the queue; one of free video.
fn report(model: &Model) -> Report {
    let mut report = Report::new(model);
    let arrival = |source| Arrival {
        number: 0,
        key: 0,
        at: Time(1_000_000_000),
        service: Nanoseconds(1),
        user: 0,
        source,
        gateway: 0,
    };
    let served = |start, end| {
        let after =
            |milliseconds| Time(1_000_000_000) + Nanoseconds::from_milliseconds(milliseconds);
        Ok(Served::new(0, after(start), after(end)))
    };
    report.record(&arrival(0), served(0, 20));
    report.record(&arrival(0), served(10, 120));
    report.record(&arrival(0), Err(Refusal::QueueFull));
    report.record(&arrival(2), served(0, 4_000));
    report
}

#[test]
fn values_are_those_of_the_report() {
    let model = model();
    let report = report(&model);
    let value = |name: &str| one(name, &model).value(&model, &report);
    let near = |name: &str, wanted: f64| {
        let seen = value(name).unwrap();
        assert!((seen - wanted).abs() <= wanted * 0.004 + 1e-12, "{name}: {seen}, not {wanted}");
    };
    near("paid.mean_ms", 70.0);
    near("paid.max_ms", 120.0);
    near("imageView2.p50_ms", 20.0);
    near("imageView2.paid.p99.9_ms", 120.0);
    near("paid.wait_mean_ms", 5.0);
    near("mean_ms", (20.0 + 120.0 + 4_000.0) / 3.0);
    near("paid.rejected", 1.0 / 3.0);
    near("rejected", 0.25);
    near("rejected_queue_full", 0.25);
    near("rejected_deadline", 0.0);
    near("paid.late", 0.5);
    near("late", 1.0 / 3.0);
    near("paid.slo", 1.0 / 3.0);
    near("goodput", 0.2);
    near("throughput", 0.3);
    // 10 s of 8 and of 2 instances.
    near("cost_core_hours", 100.0 / 3_600.0);
    near("video.cost_core_hours", 20.0 / 3_600.0);
    near("image.utilisation", 0.13 / 80.0);
    near("utilisation", 4.13 / 100.0);
    assert_eq!(value("imageView2.free.mean_ms"), None);
    assert_eq!(value("imageView2.free.rejected"), None);
}

#[test]
fn stages_have_figures_where_there_are_stages() {
    let text = SCENARIO.replace("cmds:", "stages: {network: {latency: 7ms}}\ncmds:");
    let text = text.replace("{app: image,", "{app: image, source_size: 4MB,");
    let mut sources = Sources::default();
    let source = sources.add("scenario.yml", &*text);
    let found = scenario::read(source, &[], &mut sources, |_, _| Err(String::new()));
    let model = found.scenario.unwrap().model;
    // What was served 10 ms after its arrival had waited 3 ms since it was there.
    let report = report(&model);
    let value = |name: &str| one(name, &model).value(&model, &report);
    let near = |name: &str, wanted: f64| {
        let seen = value(name).unwrap();
        assert!((seen - wanted).abs() <= wanted * 0.004, "{name}: {seen}, not {wanted}");
    };
    near("paid.download_p99_ms", 7.0);
    near("paid.wait_max_ms", 3.0);
    near("paid.queue_max_ms", 3.0);
    near("paid.compute_mean_ms", 65.0);
    near("paid.max_ms", 120.0);
    assert_eq!(value("avthumb.download_mean_ms"), None);
}

#[test]
fn links_and_loans_have_figures_where_something_is_shared() {
    let text = SCENARIO.replace(
        "cmds:",
        "stages: {network: {bandwidth: 1MB/s, machine: 1MB/s}}\npolicy: {preset: recommended}\ncmds:",
    );
    let text = text.replace("{app: image,", "{app: image, source_size: 4MB,");
    let text = text.replace("{instances: 1}", "{instances: 1, borrows: image}");
    let mut sources = Sources::default();
    let source = sources.add("scenario.yml", &*text);
    let found = scenario::read(source, &[], &mut sources, |_, _| Err(String::new()));
    let model = found.scenario.unwrap().model;
    let mut report = report(&model);
    let second = |seconds: u64| Time(seconds * 1_000_000_000);
    // On one of two machines, two transfers for three of ten seconds.
    report.flow(Flow {
        machine: 1,
        channel: Channel::In,
        from: second(2),
        until: second(5),
        transfers: 2,
    });
    let slot = |turn| Slot { pair: 0, machine: 0, turn };
    report.slot(second(1), slot(Turn::Lent));
    let how = Returned::Stopped;
    let turn = Turn::Back { lent: Some(second(1)), called: Some(second(3)), how };
    report.slot(second(5), slot(turn));
    let value = |name: &str| one(name, &model).value(&model, &report);
    let near = |name: &str, wanted: f64| {
        let seen = value(name).unwrap();
        assert!((seen - wanted).abs() <= wanted * 0.004, "{name}: {seen}, not {wanted}");
    };
    near("network_in_utilisation", 0.15);
    near("network_in_busiest", 0.3);
    near("network_in_full", 0.15);
    near("network_in_slowdown", 2.0);
    near("network_out_utilisation", 0.0);
    assert_eq!(value("network_out_slowdown"), None);
    near("lent_core_hours", 4.0 / 3_600.0);
    near("image.lent_most", 1.0);
    near("video.lent_back_p99_ms", 2_000.0);
    near("lent_stopped", 0.0);
    let mut told = String::new();
    for text in ["store_full<=1%", "image.network_in_full<=1%", "network_in_busy<=1%"] {
        let mut sources = Sources::default();
        let at = Span::new(sources.add("--slo", text), 0, text.len());
        let wrong = conditions(text, at, &model).unwrap_err();
        told.push_str(&format!("{}\n", wrong.message));
    }
    assert_eq!(
        told,
        "no transfers share such a link in this scenario\n`image` has no links of its own\n\
         unknown metric `network_in_busy`\n"
    );
}

#[test]
fn conditions_take_units() {
    let model = model();
    let text = "paid.p99_ms<=500, rejected <= 0.1%,goodput>=6k/min,mean_ms<=1.5s,slo>=0.999";
    let at = Span::new(Sources::default().add("", text), 0, text.len());
    let found = conditions(text, at, &model).unwrap();
    let limits: Vec<f64> = found.iter().map(|condition| condition.limit).collect();
    assert_eq!(limits, [500.0, 0.001, 100.0, 1500.0, 0.999]);
    let shown: Vec<String> = found.iter().map(Condition::to_string).collect();
    let wanted =
        ["paid.p99_ms<=500", "rejected<=0.1%", "goodput>=100", "mean_ms<=1500", "slo>=99.9%"];
    assert_eq!(shown, wanted);
    assert!(found[0].excess(500.0) == 0.0 && (found[0].excess(600.0) - 0.2).abs() < 1e-12);
    assert!(found[2].excess(101.0) == 0.0 && (found[2].excess(80.0) - 0.2).abs() < 1e-12);
}

#[test]
fn what_is_wrong_has_its_place_and_a_suggestion() {
    let model = model();
    let mut told = String::new();
    for text in [
        "paid.p99<=500",
        "paid.p100_ms<=500",
        "piad.p99_ms<=500",
        "imageView.p99_ms<=500",
        "avthumb.paid.p99_ms<=500",
        "paid.utilisation<=80%",
        "paid.p99_ms",
        "paid.p99_ms<500",
        "paid.p99_ms<=many",
        "rejected<=10",
        "mean_ms<=1s,rejected_queue<=0.1%",
        "",
    ] {
        let mut sources = Sources::default();
        let at = Span::new(sources.add("--slo", text), 0, text.len());
        let wrong = conditions(text, at, &model).unwrap_err();
        told.push_str(&render(&wrong, &sources, Style::Plain));
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

proptest::proptest! {
    /// Whatever is written: an error has a place within the text, and what is read is shown as what
    /// means the same.
    #[test]
    fn any_text_is_read_or_refused(
        text in "(paid|free|avthumb|é)?[.]?(p99|p9.9|wait_p1|late|slo|goodput|rejected)(_ms)?(<=|>=|<| )\\PC{0,6},?"
    ) {
        let model = model();
        let at = Span::new(Sources::default().add("", text.as_str()), 0, text.len());
        match conditions(&text, at, &model) {
            Ok(read) => {
                let shown: Vec<String> = read.iter().map(Condition::to_string).collect();
                let shown = shown.join(",");
                let at = Span::new(Sources::default().add("", shown.as_str()), 0, shown.len());
                let again = conditions(&shown, at, &model).unwrap();
                for (left, right) in read.iter().zip(&again) {
                    assert_eq!(left.metric, right.metric);
                    let difference = (left.limit - right.limit).abs();
                    assert!(difference <= left.limit * 1e-9 + 1e-10, "{text}: {left:?} {right:?}");
                }
            }
            Err(wrong) => {
                let span = wrong.primary.unwrap().span;
                assert!(text.get(span.start as usize..span.end as usize).is_some(), "{text}");
            }
        }
    }
}

#[test]
fn defaults_watch_each_class_and_what_it_costs() {
    let names: Vec<String> =
        defaults(&model()).into_iter().map(|objective| objective.metric.name).collect();
    let wanted = [
        "imageView2.paid.mean_ms",
        "imageView2.paid.p99_ms",
        "imageView2.free.mean_ms",
        "imageView2.free.p99_ms",
        "avthumb.free.mean_ms",
        "avthumb.free.p99_ms",
        "free.rejected",
        "paid.rejected",
        "late",
        "goodput",
        "cost_core_hours",
    ];
    assert_eq!(names, wanted);
    // What defaults are named after is what their names mean.
    let model = model();
    assert!(
        defaults(&model)
            .iter()
            .all(|objective| { one(&objective.metric.name, &model) == objective.metric })
    );
}

//! What files mean, and what users are told about those that mean nothing.

use diagnostics::{Sources, Style, render_all};

use super::*;
use crate::adaptive::{self, Adaptive, Aimd, By, Gradient2, Shares, Vegas};
use crate::admission::Rate;
use crate::dagor::Dagor;
use crate::overload::{Law, Overload};
use crate::peak_ewma::PeakEwma;
use crate::prediction::LongestWait;
use crate::prequal::Prequal;
use crate::scaling::{Arrivals, Behaviour, Entry, Hpa, Keda, Kpa, Metric};

fn policy(text: &str) -> Policy {
    let mut sources = Sources::default();
    let source = sources.add("policy.yml", text);
    read(text, source)
        .map_err(|found| render_all(&found, &sources, Style::Plain))
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    let mut sources = Sources::default();
    let source = sources.add("policy.yml", text);
    render_all(&read(text, source).unwrap_err(), &sources, Style::Plain)
}

#[test]
fn a_preset_is_a_policy() {
    assert_eq!(policy("preset: original"), Policy::original());
    assert_eq!(policy("version: 1\npreset: recommended\n"), Policy::recommended());
}

#[test]
fn keys_replace_those_of_the_preset_one_by_one() {
    let policy = policy(
        "preset: original
admission:
  accept: {permits: unlimited}
  user: {rate: 100/s, burst: 200}
  cmd: {concurrency: unlimited}
  deadlines: refuse
queue: {free: unlimited, counts: in_system}
balance: {rule: power_of_choices, choices: 3}
scaling: {max: 20, cool_down: 30s}
",
    );
    let original = Policy::original();
    let user = Limits {
        rate: Some(Rate::new(Nanoseconds(10_000_000), 200)),
        concurrency: Some(1_000),
        scope: Scope::Gateway,
    };
    let admission =
        Admission { user: Some(user), deadlines: Deadlines::Refuse, ..Admission::default() };
    assert_eq!(policy.admission, admission);
    let queue = Queue { free: Queue::UNLIMITED, counts: Counts::InSystem, ..original.queue };
    assert_eq!(policy.queue, queue);
    assert_eq!(policy.balance, Balance::PowerOfChoices(Choices::new(3).unwrap()));
    let cool_down = Nanoseconds::from_seconds(30);
    assert_eq!(policy.scaling, Scaling { max: 20, cool_down, ..original.scaling });
}

#[test]
fn balancers_that_learn() {
    let balance = |text: &str| policy(&format!("preset: original\nbalance: {text}\n")).balance;
    assert_eq!(balance("{rule: peak_ewma}"), Balance::PeakEwma(PeakEwma::DEFAULT));
    let decay = Nanoseconds::from_seconds(3);
    assert_eq!(balance("{rule: peak_ewma, decay: 3s}"), Balance::PeakEwma(PeakEwma { decay }));
    assert_eq!(balance("{rule: prequal}"), Balance::Prequal(Prequal::DEFAULT));
    let age = Nanoseconds::from_milliseconds(200);
    let prequal = Prequal { probes: 2, cold_thousandths: 600, age };
    assert_eq!(
        balance("{rule: prequal, probes: 2, cold: 60%, age: 200ms}"),
        Balance::Prequal(prequal)
    );
    insta::assert_snapshot!(errors(
        "preset: original
balance: {rule: prequal, choices: 2, probes: 7, age: 0s}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original
balance: {rule: peak_ewma, cold: 50%, decay: 0s}
"
    ));
}

#[test]
fn limits_that_adapt() {
    let adaptive = |text: &str| {
        policy(&format!("preset: original\nadmission: {{adaptive: {text}}}\n")).admission.adaptive
    };
    let vegas = Adaptive::of(adaptive::Rule::Vegas(Vegas::DEFAULT));
    assert_eq!(adaptive("{rule: vegas}"), Some(vegas));
    // A limit begins as near to where it usually does as its bounds allow.
    assert_eq!(
        adaptive("{rule: vegas, min: 50, max: 800, scope: cluster}"),
        Some(Adaptive { min: 50, max: 800, initial: 50, scope: Scope::Cluster, ..vegas })
    );
    let timeout = Nanoseconds::from_milliseconds(300);
    let aimd = adaptive::Rule::Aimd(Aimd { back_off_thousandths: 700, timeout });
    let window = Nanoseconds::ZERO;
    assert_eq!(
        adaptive("{rule: aimd, back_off: 70%, timeout: 300ms, initial: 40, window: 0s}"),
        Some(Adaptive { initial: 40, window, ..Adaptive::of(aimd) })
    );
    assert_eq!(adaptive("{rule: vegas, by: cmd}"), Some(Adaptive { by: By::Cmd, ..vegas }));
    let shares = Some(Shares { free_thousandths: 0, paid_thousandths: 600 });
    assert_eq!(adaptive("{rule: vegas, shares: {paid: 60%}}"), Some(Adaptive { shares, ..vegas }));
    let gradient = Gradient2 { tolerance_thousandths: 2000, queue: 8 };
    assert_eq!(
        adaptive("{rule: gradient2, tolerance: 2, queue: 8}"),
        Some(Adaptive::of(adaptive::Rule::Gradient2(gradient)))
    );
    insta::assert_snapshot!(errors(
        "preset: original
admission:
  adaptive: {rule: gradient2, tolerance: 50%, queue: 0, min: 30, max: 20, alpha: 4}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original
admission:
  adaptive: {rule: aimd, back_off: 100%, timeout: 0s, min: 0, initial: 500}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original
admission:
  adaptive: {rule: vegas, alpha: 7, probe: 0}
"
    ));
    insta::assert_snapshot!(errors("preset: original\nadmission: {adaptive: {rule: vega}}\n"));
}

#[test]
fn priorities_under_overload() {
    let overload = |text: &str| {
        policy(&format!("preset: original\nadmission: {{overload: {text}}}\n")).admission.overload
    };
    assert_eq!(overload("{rule: dagor}"), Some(Dagor::DEFAULT));
    let changed = Dagor {
        target: Nanoseconds::from_milliseconds(50),
        service_thousandths: 2000,
        window: Nanoseconds::from_seconds(5),
        requests: 500,
        cut_thousandths: 100,
        grow_thousandths: 25,
        classes: Classes::Together,
        redraw: Nanoseconds::from_seconds(600),
    };
    let text = "{rule: dagor, target: 50ms, service: 2, window: 5s, requests: 500, cut: 10%, \
                grow: 2.5%, classes: together, redraw: 10min}";
    assert_eq!(overload(text), Some(changed));
    insta::assert_snapshot!(errors(
        "preset: original
admission:
  overload: {rule: dagor, window: 0s, requests: 0, cut: 100%, grow: 0%, redraw: 0s, users: 64}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original
admission:
  overload: {rule: dagor, window: 0s, requests: 0, cut: 100%, grow: 0%, redraw: 0s}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original\nadmission: {overload: {rule: codel}, deadlines: predicted}\n"
    ));
    let deadlines = policy("preset: original\nadmission: {deadlines: predict}\n");
    assert_eq!(deadlines.admission.deadlines, Deadlines::Predict);
}

#[test]
fn laws_of_overload() {
    let law = |text: &str| {
        let text = format!("preset: original\nqueue: {{overload: {{{text}}}}}\n");
        policy(&text).queue.overload.map(|overload| overload.law)
    };
    let lengths = "target: 5ms, interval: 100ms";
    assert_eq!(law(lengths), Some(Law::Facebook));
    assert_eq!(law(&format!("{lengths}, law: facebook")), Some(Law::Facebook));
    assert_eq!(law(&format!("{lengths}, law: codel")), Some(Law::Codel));
}

#[test]
fn no_more_is_kept_than_there_is() {
    insta::assert_snapshot!(errors(
        "preset: original
admission:
  adaptive: {rule: vegas, shares: {free: 50%, paid: 60%}}
"
    ));
}

#[test]
fn disciplines_of_queues() {
    let policy = policy(
        "preset: original
queue:
  scope: central
  order: deficit_round_robin
  quantum: 20ms
  longest_wait: {free: 2s}
  overload: {target: 50ms, interval: 500ms}
",
    );
    let queue = Queue {
        scope: QueueScope::Central,
        order: Order::DeficitRoundRobin,
        quantum: Some(Nanoseconds::from_milliseconds(20)),
        longest_wait: Some(LongestWait { free: Some(Nanoseconds::from_seconds(2)), paid: None }),
        overload: Some(Overload {
            target: Nanoseconds::from_milliseconds(50),
            interval: Nanoseconds::from_milliseconds(500),
            sheds: true,
            law: Law::Facebook,
        }),
        ..Policy::original().queue
    };
    assert_eq!(policy.queue, queue);
}

#[test]
fn disciplines_that_mean_nothing_are_refused() {
    insta::assert_snapshot!(errors(
        "preset: original
queue: {order: priority, quantum: 20ms, overload: {target: 2s, interval: 1s}}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original
queue: {order: adaptive_lifo}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original
queue: {order: deficit_round_robin, quantum: 0s, overload: {target: 0s, interval: 0s}}
"
    ));
}

/// What is not said does not count: presets have the digests that they had before they could say
/// more.
#[test]
fn digests_of_presets_stay() {
    let digest = Policy::recommended().digest();
    assert_eq!(digest, "fc6cf75ee85a1f4e6b64db8edf4adbc89731453a6841de1767e804e78300fbc1");
}

#[test]
fn sections_of_the_control_plane() {
    let policy = policy(
        "preset: original
rollout: {surge: 50%, step: 2, warm_up: 0s, failures: unlimited, auto_revert: false}
repair: {back_off: 2s, freeze_above: 0.3}
sharing: {lend: 25%, give_back: 5s}
",
    );
    let original = Policy::original();
    let rollout = Rollout {
        surge_thousandths: 500,
        step: 2,
        warm_up: Nanoseconds::ZERO,
        failures_most: u32::MAX,
        auto_revert: false,
        ..original.rollout
    };
    assert_eq!(policy.rollout, rollout);
    let back_off = Nanoseconds::from_seconds(2);
    assert_eq!(
        policy.repair,
        Repair { back_off, freeze_above_thousandths: 300, ..original.repair }
    );
    let give_back = Nanoseconds::from_seconds(5);
    assert_eq!(policy.sharing, Sharing { lend_thousandths: 250, give_back, ..original.sharing });
}

/// A rate without a burst lets pass at once what comes in a second.
#[test]
fn a_burst_is_a_second_long_by_default() {
    for (text, burst) in [("50/s", 50), ("30/min", 1)] {
        let policy = policy(&format!("preset: original\nadmission: {{user: {{rate: {text}}}}}"));
        let rate = policy.admission.user.unwrap().rate.unwrap();
        assert_eq!(rate, Rate::new(rate.interval, burst));
    }
}

#[test]
fn digests_are_of_what_a_file_means() {
    let digest = |text: &str| policy(text).digest();
    let plain = digest("preset: original");
    assert_eq!(plain.len(), 64);
    assert_eq!(digest("# nothing\npreset: original\nqueue: {free: 10}\n"), plain);
    assert_ne!(digest("preset: original\nqueue: {free: 11}\n"), plain);
    assert_ne!(digest("preset: recommended"), plain);
}

#[test]
fn everything_wrong_is_told_at_once() {
    insta::assert_snapshot!(errors(
        "preset: orignal
admission:
  accept: {permit: 5}
  user: {burst: 5}
queue:
  free: ten
  scope: machine
scaling:
  cool_down: 30
"
    ));
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    insta::assert_snapshot!(errors(
        "version: 2
preset: original
admission:
  user: {rate: unlimited, burst: 5}
balance: {rule: random, choices: 3}
scaling: {min: 50, max: 20, step: 0, interval: 0s}
rollout: {step: 0, utilisation: 0%, progress_deadline: 0s}
repair: {replace_unreachable_after: 2d}
"
    ));
}

#[test]
fn an_empty_file_and_a_missing_preset_are_refused() {
    insta::assert_snapshot!(format!("{}\n\n{}", errors(""), errors("queue: {free: 5}\n")));
}

#[test]
fn scaling_rules_have_sections_of_their_own() {
    let rule = |text: &str| policy(&format!("preset: original\nscaling: {text}")).scaling.rule;
    assert_eq!(rule("{target: 3}"), Rule::Tasks);
    assert_eq!(rule("{rule: hpa}"), Rule::Hpa(Hpa::DEFAULT));
    assert_eq!(rule("{rule: kpa}"), Rule::Kpa(Kpa::DEFAULT));
    assert_eq!(rule("{rule: arrivals}"), Rule::Arrivals(Arrivals::DEFAULT));
    let up = Behaviour { part_thousandths: 3000, instances: 50, ..Hpa::DEFAULT.up };
    let tuned = Hpa { target_thousandths: 650, tolerance_thousandths: 50, up, ..Hpa::DEFAULT };
    let hpa = "hpa: {target: 65%, tolerance: 5%, up: {part: 300%, instances: 50}}";
    assert_eq!(rule(&format!("{{rule: hpa, {hpa}}}")), Rule::Hpa(tuned));
    // The section of another rule may stand beside.
    assert_eq!(rule(&format!("{{rule: kpa, {hpa}, kpa: {{target: 1.5}}}}")), {
        Rule::Kpa(Kpa { target_thousandths: 1500, ..Kpa::DEFAULT })
    });
    // What KEDA gives to an autoscaler goes the way of one.
    let keda = rule(&format!("{{rule: keda, {hpa}, keda: {{queue: 2.5, counts: in_system}}}}"));
    let given = Hpa { target_thousandths: 2500, metric: Metric::Tasks, ..tuned };
    assert_eq!(keda, Rule::Keda(Keda { counts: Counts::InSystem, hpa: given, ..Keda::DEFAULT }));
    let drained = Arrivals { drain: Nanoseconds::from_seconds(20), ..Arrivals::DEFAULT };
    assert_eq!(rule("{rule: arrivals, arrivals: {drain: 20s}}"), Rule::Arrivals(drained));
    let scheduled = policy(
        "preset: original\nscaling: {rule: scheduled, schedule: [{at: 7h 30min, min: 50}, {at: 20h, min: 5}]}",
    );
    let entry = |minutes: u64, min| Entry { at: Nanoseconds::from_seconds(minutes * 60), min };
    let schedule = Schedule::new(&[entry(450, 50), entry(1200, 5)]).unwrap();
    assert_eq!((scheduled.scaling.rule, scheduled.scaling.schedule), (Rule::Scheduled, schedule));
    // A rule is a part of what a policy means; one that doesn't hold isn't.
    let digest = |text: &str| policy(&format!("preset: original\nscaling: {text}")).digest();
    assert_ne!(digest("{rule: hpa}"), digest("{}"));
    assert_eq!(digest("{rule: tasks, hpa: {target: 50%}}"), policy("preset: original").digest());
}

#[test]
fn scaling_rules_that_mean_nothing_are_refused() {
    insta::assert_snapshot!(errors(
        "preset: original
scaling:
  rule: scheduled
  interval: 1s
  hpa: {target: 0}
  kpa: {window: 5s, panic_threshold: 1, up_most: 0.5, down_most: 100%}
  keda: {queue: 0}
  arrivals: {utilisation: 0%, drain: 0s, fast: 2min}
"
    ));
    insta::assert_snapshot!(errors(
        "preset: original
scaling: {rule: hpaa, arrivals: {drian: 5s}, schedule: [{at: 7, min: 3}]}
"
    ));
    let long = "preset: original\nscaling: {rule: hpa, interval: 50ms}";
    assert!(errors(long).contains("5min is too long to remember at this interval"));
    // A rule that doesn't hold remembers nothing.
    let other = policy("preset: original\nscaling: {interval: 50ms}");
    assert_eq!(other.scaling.interval, Nanoseconds::from_milliseconds(50));
    let twice = "preset: original\nscaling: {schedule: [{at: 7h, min: 3}, {at: 7h, min: 4}]}";
    assert!(errors(twice).contains("this is no schedule of a day"), "{}", errors(twice));
}

//! The rules beside the original one: the examples of the documents that they come from, and what
//! must hold of all of them.

use proptest::prelude::*;

use super::*;
use crate::queue::Counts;

const MANY: Scaling = Scaling {
    target: 10,
    min: 1,
    max: 1_000,
    step: 1,
    interval: Nanoseconds::from_seconds(1),
    cool_down: Nanoseconds::ZERO,
    scale_in_after: None,
    rule: Rule::Tasks,
    schedule: Schedule::NONE,
};

fn by(rule: Rule) -> Scaling {
    Scaling { rule, ..MANY }
}

fn second(second: u64) -> Time {
    Time::ZERO + Nanoseconds::from_seconds(second)
}

/// Of these instances some start and some work; `tasks` in all.
fn busy(tasks: u64, instances: u32, starting: u32, busy_thousandths: u64) -> Observation {
    Observation { tasks, instances, flow: Some(Flow { starting, busy_thousandths, came: None }) }
}

fn once(rules: &Scaling, seen: Observation) -> Action {
    decide(rules, seen, &mut State::default(), Time::ZERO)
}

/// kubernetes.io: "if the current metric value is 200m, and the desired value is 100m, the number of
/// replicas will be doubled, since 200.0 / 100.0 == 2.0. If the current value is instead 50m, you'll
/// halve the number of replicas"; the action is skipped if the ratio is within 0.1 of 1.
#[test]
fn the_examples_of_kubernetes_hold() {
    let at_once = Behaviour { window: Nanoseconds::ZERO, ..Hpa::DEFAULT.down };
    let hpa = Hpa { target_thousandths: 100, down: at_once, ..Hpa::DEFAULT };
    let rules = by(Rule::Hpa(hpa));
    let at = |each: u64| once(&rules, busy(10, 10, 0, each * 10));
    assert_eq!(at(200), Action::Add(10, Added::MetricAboveTarget));
    assert_eq!(at(50), Action::Remove(5, Removed::MetricBelowTarget));
    for near in [90, 100, 110] {
        assert_eq!(at(near), Action::Keep(Kept::WithinTolerance), "{near}");
    }
    assert_eq!(at(111), Action::Add(2, Added::MetricAboveTarget), "⌈11.1⌉");
    assert_eq!(at(89), Action::Remove(1, Removed::MetricBelowTarget), "⌈8.9⌉");
}

/// kubernetes.io: pods that aren't ready count as using 0 % when scaling up; if that reverses the
/// ratio, nothing happens.
#[test]
fn instances_that_start_damp() {
    let rules = by(Rule::Hpa(Hpa { target_thousandths: 500, ..Hpa::DEFAULT }));
    // 4 ready at 100 %: twice as many. With 4 that start: 50 % of 8, nothing.
    assert_eq!(once(&rules, busy(4, 4, 0, 4000)), Action::Add(4, Added::MetricAboveTarget));
    assert_eq!(once(&rules, busy(8, 8, 4, 4000)), Action::Keep(Kept::StartingAreEnough));
    assert_eq!(once(&rules, busy(9, 6, 2, 4000)), Action::Add(2, Added::MetricAboveTarget));
}

/// kubernetes.io, "default behavior": at most 100 % or 4 pods in 15 s up; 300 s window down.
#[test]
fn kubernetes_changes_by_so_much_in_a_period() {
    let rules = by(Rule::Hpa(Hpa { target_thousandths: 100, ..Hpa::DEFAULT }));
    let mut state = State::default();
    let mut instances = 1;
    let mut seen = Vec::new();
    for tick in 0..4 {
        // Far too much work, always.
        let saw = busy(1000, instances, 0, u64::from(instances) * 100_000);
        if let Action::Add(count, _) = decide(&rules, saw, &mut state, second(tick * 15)) {
            instances += count;
        }
        seen.push(instances);
    }
    // 1 + 4, 5 · 2, 10 · 2, 20 · 2.
    assert_eq!(seen, [5, 10, 20, 40]);
    // In the same period nothing more.
    let saw = busy(1000, instances, 0, u64::from(instances) * 100_000);
    let again = decide(&rules, saw, &mut state, second(50));
    assert_eq!(again, Action::Keep(Kept::ChangedEnough));
}

#[test]
fn kubernetes_takes_away_what_nobody_wanted_for_a_window() {
    let rules = by(Rule::Hpa(Hpa::DEFAULT));
    let mut state = State::default();
    let mut history = Vec::new();
    for tick in 0..=21 {
        // 10 instances with work for 4.
        history.push(decide(&rules, busy(4, 10, 0, 3200), &mut state, second(tick * 15)));
    }
    let kept = history.iter().take_while(|action| **action == Action::Keep(Kept::Stabilises));
    // What was there in the beginning counts for 300 s.
    assert_eq!(kept.count(), 20);
    assert_eq!(history.get(20), Some(&Action::Remove(6, Removed::MetricBelowTarget)));
}

/// knative/docs: with a target of 10 and 35 concurrent requests there are 4 pods; a panic begins
/// when the short window asks for twice what is ready, and takes nothing away.
#[test]
fn the_examples_of_knative_hold() {
    let kpa = Kpa { target_thousandths: 10_000, ..Kpa::DEFAULT };
    let rules = by(Rule::Kpa(kpa));
    assert_eq!(once(&rules, seen(35, 3)), Action::Add(1, Added::MetricAboveTarget));
    assert_eq!(once(&rules, seen(35, 4)), Action::Keep(Kept::WithinTarget));
    // Down to the half at most.
    assert_eq!(once(&rules, seen(0, 9)), Action::Remove(5, Removed::MetricBelowTarget));

    let mut state = State::default();
    let mut now = 0;
    let mut look = |tasks, instances, state: &mut State| {
        now += 2;
        decide(&rules, seen(tasks, instances), state, second(now))
    };
    for _ in 0..30 {
        assert_eq!(look(20, 2, &mut state), Action::Keep(Kept::WithinTarget));
    }
    // 40 in three looks of six seconds are more than the window of a minute shows.
    let first = (0..3).map(|_| look(60, 2, &mut state)).collect::<Vec<_>>();
    assert_eq!(first.first(), Some(&Action::Add(2, Added::Panic)), "⌈(20 + 20 + 60) / 3 / 10⌉");
    assert_eq!(first.last(), Some(&Action::Add(4, Added::Panic)), "60 / 10");
    // Nothing is there to be done: it stays for a minute after the panic.
    let kept = (0..40).map(|_| look(0, 6, &mut state)).take_while(|a| matches!(a, Action::Keep(_)));
    let kept = kept.count() * 2;
    assert!((60..=66).contains(&kept), "{kept} s");
}

fn seen(tasks: u64, instances: u32) -> Observation {
    busy(tasks, instances, 0, 0)
}

/// keda.sh: a queue of 50 with a target of 5 makes 10; nothing below the activation; to none after
/// the cool-down.
#[test]
fn the_examples_of_keda_hold() {
    let mut keda = Keda { counts: Counts::InSystem, ..Keda::DEFAULT };
    keda.hpa.up.instances = 100;
    let rules = Scaling { min: 0, ..by(Rule::Keda(keda)) };
    assert_eq!(once(&rules, seen(50, 1)), Action::Add(9, Added::MetricAboveTarget));
    assert_eq!(once(&rules, seen(1, 0)), Action::Add(1, Added::Activated));
    assert_eq!(once(&rules, seen(0, 0)), Action::Keep(Kept::Inactive));
    let only_waiting = Rule::Keda(Keda { counts: Counts::Waiting, ..keda });
    assert_eq!(
        once(&by(only_waiting), busy(50, 1, 0, 1000)),
        Action::Add(9, Added::MetricAboveTarget)
    );

    let active = Rule::Keda(Keda { activation: 5, ..keda });
    let active = Scaling { min: 0, ..by(active) };
    assert_eq!(once(&active, seen(5, 0)), Action::Keep(Kept::Inactive));
    assert_eq!(once(&active, seen(6, 0)), Action::Add(1, Added::Activated));

    let mut state = State::default();
    let _ = decide(&rules, seen(3, 1), &mut state, Time::ZERO);
    let at = |at, state: &mut State| decide(&rules, seen(0, 1), state, second(at));
    assert!(matches!(at(299, &mut state), Action::Keep(_)));
    assert_eq!(at(300, &mut state), Action::Remove(1, Removed::Inactive));
}

#[test]
fn a_schedule_is_a_floor_for_every_rule() {
    let entry = |hour: u64, min| Entry { at: Nanoseconds::from_seconds(hour * 3600), min };
    let schedule = Schedule::new(&[entry(7, 50), entry(20, 10)]).unwrap();
    let hour = |hour: u64| second(hour * 3600);
    assert_eq!(
        [0, 6, 7, 19, 20, 31].map(|at| schedule.at(hour(at)).unwrap()),
        [10, 10, 50, 50, 10, 50]
    );
    let tasks = Scaling { schedule, ..MANY };
    let at = |rules: &Scaling, at, instances| {
        decide(rules, seen(0, instances), &mut State::default(), hour(at))
    };
    assert_eq!(at(&tasks, 8, 20), Action::Add(30, Added::Schedule));
    assert_eq!(at(&tasks, 21, 20), Action::Keep(Kept::WithinTarget));
    let alone = Scaling { rule: Rule::Scheduled, ..tasks };
    assert_eq!(at(&alone, 21, 50), Action::Remove(40, Removed::Schedule));
    assert_eq!(at(&alone, 21, 10), Action::Keep(Kept::WithinTarget));
    // Not more than the most.
    let few = Scaling { max: 30, ..alone };
    assert_eq!(at(&few, 8, 20), Action::Add(10, Added::Schedule));

    assert_eq!(Schedule::new(&[entry(7, 1), entry(7, 2)]), None);
    assert_eq!(Schedule::new(&[entry(24, 1)]), None);
    assert_eq!(Schedule::new(&[Entry::default(); Schedule::MOST + 1]), None);
    assert_eq!(Schedule::NONE.at(hour(5)), None);
}

/// What is seen each second of a load that is the same all the time: requests of `service`
/// milliseconds, of which as many are worked on as there are instances.
fn steady(rate: u64, service: u64, instances: u32, starting: u32, waiting: u64) -> Observation {
    let work = rate * service;
    let ready = u64::from(instances - starting);
    let busy_thousandths = work.min(ready * 1000);
    let served = (rate * busy_thousandths).checked_div(work).unwrap_or(0);
    let came = Came {
        arrivals: rate,
        refusals: rate.saturating_sub(served),
        period: Nanoseconds::from_seconds(1),
    };
    let flow = Flow { starting, busy_thousandths, came: Some(came) };
    Observation { tasks: busy_thousandths / 1000 + waiting, instances, flow: Some(flow) }
}

/// 100/s of 200 ms at 80 % are 25 instances, however few there are and whatever the queue refuses.
#[test]
fn refused_requests_count_as_load() {
    let rules = by(Rule::Arrivals(Arrivals::DEFAULT));
    let mut state = State::default();
    let mut instances = 5;
    for tick in 1..=20 {
        let saw = steady(100, 200, instances, 0, 0);
        if let Action::Add(count, why) = decide(&rules, saw, &mut state, second(tick)) {
            assert_eq!(why, Added::Arrivals);
            instances += count;
        }
    }
    assert_eq!(instances, 25);
    // While more begin to work than end, the mean is a little less.
    let service = state.memory.service.unwrap().0;
    assert!((190_000_000..=200_000_000).contains(&service), "{service}");
}

#[test]
fn what_starts_is_counted_and_starts_are_learned() {
    let arrivals = Arrivals { utilisation_thousandths: 1000, ..Arrivals::DEFAULT };
    let rules = by(Rule::Arrivals(arrivals));
    let mut state = State::default();
    for tick in 1..=10 {
        let _ = decide(&rules, steady(50, 200, 10, 0, 0), &mut state, second(tick));
    }
    // 600 wait: 120 s of work, and 10 instances are all busy. To do within 60 s: 600 · 0.2 s more
    // than they can; a new one has 30 s.
    state.memory.looks.as_mut().unwrap().tasks = 610;
    let first = decide(&rules, steady(50, 200, 10, 0, 600), &mut state, second(11));
    assert_eq!(first, Action::Add(4, Added::Backlog));
    // They start: nothing more.
    let next = decide(&rules, steady(50, 200, 14, 4, 600), &mut state, second(12));
    assert_eq!(next, Action::Keep(Kept::StartingAreEnough));
    for tick in 13..=20 {
        let _ = decide(&rules, steady(50, 200, 14, 4, 600), &mut state, second(tick));
    }
    let _ = decide(&rules, steady(50, 200, 14, 0, 0), &mut state, second(21));
    let looks = state.memory.looks.unwrap();
    assert_eq!((looks.ready, looks.time / looks.ready), (4, 9_000_000_000));
    // One waits for a moment; what is there works that off before another one could start.
    let one = decide(&rules, steady(45, 200, 14, 0, 1), &mut state, second(22));
    assert!(matches!(one, Action::Keep(_)), "{one}");
}

#[test]
fn without_counts_the_rule_says_so() {
    let rules = by(Rule::Arrivals(Arrivals::DEFAULT));
    let alone = Observation { tasks: 90, instances: 3, flow: None };
    for saw in [alone, busy(90, 3, 0, 3000)] {
        assert_eq!(once(&rules, saw), Action::Keep(Kept::NothingCounted));
    }
    // Bounds hold nevertheless.
    assert_eq!(
        once(&rules, Observation { instances: 0, ..alone }),
        Action::Add(1, Added::BelowMinimum)
    );
}

#[test]
fn observations_say_what_is_known() {
    let text = |seen: Observation| seen.to_string();
    assert_eq!(text(Observation { flow: None, ..seen(31, 4) }), "31 tasks, 4 instances");
    assert_eq!(text(busy(31, 4, 1, 2500)), "31 tasks, 4 instances, 1 starting, 2.5 busy");
    assert_eq!(
        text(steady(100, 200, 5, 0, 0)),
        "5 tasks, 5 instances, 0 starting, 5.0 busy, 100 arrived and 75 refused in 1s"
    );
}

#[test]
fn states_come_back_from_their_files() {
    let mut state = State::default();
    let plain = serde_json::to_string(&state).unwrap();
    assert_eq!(plain, r#"{"changed":null,"ample_since":null}"#);
    assert_eq!(serde_json::from_str::<State>(&plain).unwrap(), state);
    let rules = [
        Rule::Hpa(Hpa::DEFAULT),
        Rule::Kpa(Kpa::DEFAULT),
        Rule::Keda(Keda::DEFAULT),
        Rule::Arrivals(Arrivals::DEFAULT),
    ];
    for (tick, rule) in (1..).zip(rules.iter().cycle().take(40)) {
        let saw = steady(100, 200, 9, 2, 3);
        let mut again: State =
            serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        let action = decide(&by(*rule), saw, &mut state, second(tick));
        assert_eq!(decide(&by(*rule), saw, &mut again, second(tick)), action);
        assert_eq!(again, state);
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let times = (0u64..20, 1u64..20);
    let behaviour =
        (times.clone(), 1u32..3000, 1u32..8).prop_map(|((window, period), part, most)| Behaviour {
            window: Nanoseconds::from_seconds(window),
            part_thousandths: part,
            instances: most,
            period: Nanoseconds::from_seconds(period),
        });
    let metric = prop_oneof![Just(Metric::Busy), Just(Metric::Tasks)];
    let hpa = (100u32..3000, metric, 0u32..300, behaviour.clone(), behaviour);
    let hpa = hpa.prop_map(|(target_thousandths, metric, tolerance_thousandths, up, down)| Hpa {
        target_thousandths,
        metric,
        tolerance_thousandths,
        up,
        down,
    });
    let counts = prop_oneof![Just(Counts::Waiting), Just(Counts::InSystem)];
    let keda =
        (counts, 0u32..4, 0u64..20, hpa.clone()).prop_map(|(counts, activation, cool, hpa)| {
            Rule::Keda(Keda { counts, activation, cool_down: Nanoseconds::from_seconds(cool), hpa })
        });
    let kpa = (100u32..3000, 10u64..30, 1u64..10, 1100u32..4000, 0u64..10);
    let kpa = kpa.prop_map(|(target_thousandths, window, panic, threshold, delay)| {
        Rule::Kpa(Kpa {
            target_thousandths,
            window: Nanoseconds::from_seconds(window),
            panic_window: Nanoseconds::from_seconds(panic),
            panic_threshold_thousandths: threshold,
            up_most_thousandths: threshold * 2,
            scale_in_delay: Nanoseconds::from_seconds(delay),
            ..Kpa::DEFAULT
        })
    });
    let arrivals = (100u32..=1000, 1u64..40, 1u64..10, 0u64..20, 1u32..500, times);
    let arrivals = arrivals.prop_map(|(part, drain, fast, start, step, (after, every))| {
        Rule::Arrivals(Arrivals {
            utilisation_thousandths: part,
            drain: Nanoseconds::from_seconds(drain),
            fast: Nanoseconds::from_seconds(fast),
            slow: Nanoseconds::from_seconds(20),
            start_up: Nanoseconds::from_seconds(start),
            scale_in_after: Nanoseconds::from_seconds(after),
            scale_in_thousandths: step,
            scale_in_every: Nanoseconds::from_seconds(every),
        })
    });
    prop_oneof![hpa.prop_map(Rule::Hpa), keda, kpa, arrivals, Just(Rule::Scheduled)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Bounds hold from the first decision on, whatever is seen, and reasons belong to directions.
    #[test]
    fn bounds_hold(
        rule in any_rule(),
        min in 0u32..5,
        more in 0u32..30,
        start in 0u32..40,
        looks in proptest::collection::vec(
            (0u64..200, 0u32..10, 0u64..50_000, 0u64..300, 0u64..300, 1u64..5), 1..60),
    ) {
        let rules = Scaling { min, max: min + more, ..by(rule) };
        let (mut state, mut now, mut instances) = (State::default(), 0, start);
        for (tasks, starting, busy_thousandths, arrivals, refusals, after) in looks {
            now += after;
            let came = Came {
                arrivals,
                refusals: refusals.min(arrivals),
                period: Nanoseconds::from_seconds(after),
            };
            let starting = starting.min(instances);
            let flow = Some(Flow { starting, busy_thousandths, came: Some(came) });
            let saw = Observation { tasks, instances, flow };
            match decide(&rules, saw, &mut state, second(now)) {
                Action::Add(count, _) => { prop_assert!(count > 0); instances += count; }
                Action::Remove(count, _) => { prop_assert!(count > 0); instances -= count; }
                Action::Keep(_) => {}
            }
            prop_assert!((rules.min..=rules.max).contains(&instances));
        }
    }

    /// With the same load all the time every rule comes to rest: it never flaps.
    #[test]
    fn a_steady_load_never_flaps(
        rule in any_rule(),
        rate in 0u64..200,
        service in 1u64..500,
        start in 0u32..60,
    ) {
        let rules = Scaling { max: 200, ..by(rule) };
        let (mut state, mut instances, mut last_change) = (State::default(), start, 0);
        for now in 1..1500 {
            let saw = steady(rate, service, instances, 0, 0);
            match decide(&rules, saw, &mut state, second(now)) {
                Action::Add(count, _) => { instances += count; last_change = now; }
                Action::Remove(count, _) => { instances -= count; last_change = now; }
                Action::Keep(_) => {}
            }
        }
        prop_assert!(last_change < 1_200, "{} still changes at {}", rule.name(), last_change);
    }

    /// More arrivals never want fewer instances at once.
    #[test]
    fn more_load_is_more_instances(
        rate in 1u64..200,
        more in 1u64..100,
        service in 1u64..500,
        start in 1u32..60,
    ) {
        let rules = by(Rule::Arrivals(Arrivals::DEFAULT));
        let after = |rate: u64| {
            let (mut state, mut instances) = (State::default(), start);
            for now in 1..30 {
                let saw = steady(rate, service, instances, 0, 0);
                match decide(&rules, saw, &mut state, second(now)) {
                    Action::Add(count, _) => instances += count,
                    Action::Remove(count, _) => instances -= count,
                    Action::Keep(_) => {}
                }
            }
            instances
        };
        prop_assert!(after(rate) <= after(rate + more));
    }
}

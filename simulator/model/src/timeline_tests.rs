//! Courses against sums over all requests and all buckets.

use policy::scaling::{Added, Kept};
use proptest::prelude::*;
use simulator_kernel::Law;

use super::*;
use crate::model::{App, Arrivals, Cmd, Source, Tenants};
use crate::outcome::Served;

/// Two sources with a request each nanosecond.
pub(crate) fn model(duration: u64) -> Model {
    let group = |class| Tenants { name: "group".into(), class, users: 1, skew: 0.0 };
    let source = |tenants| Source {
        tenants,
        cmd: 0,
        arrivals: Arrivals::Constant { gap: 1.0 },
        retries: None,
    };
    let law = Law::Constant(Nanoseconds(1));
    Model {
        seed: 1,
        duration: Nanoseconds(duration),
        warm_up: Nanoseconds::ZERO,
        gateways: 1,
        apps: vec![App {
            name: "app".into(),
            machines: 2,
            instances: 3,
            life: crate::Life::default(),
            crowd: None,
        }],
        cmds: vec![Cmd { name: "cmd".into(), app: 0, service: law, deadline: None, stages: None }],
        tenants: vec![group(Class::Free), group(Class::Paid)],
        sources: vec![source(0), source(1)],
        admission: policy::Admission::default(),
        queue: policy::Queue::OPEN,
        balance: policy::Balance::Random,
        network: None,
        dynamics: crate::Dynamics::default(),
    }
}

fn arrival(source: u16, at: u64) -> Arrival {
    let (service, at) = (Nanoseconds(1), Time(at));
    Arrival { number: 0, key: 0, at, service, user: 0, source, gateway: 0 }
}

/// How long two spans have in common.
fn common(left: (u64, u64), right: (u64, u64)) -> u64 {
    left.1.min(right.1).saturating_sub(left.0.max(right.0))
}

proptest! {
    #[test]
    fn buckets_hold_what_sums_over_all_requests_do(
        duration in prop_oneof![1u64..50, 290u64..310, 1_000u64..100_000],
        requests in proptest::collection::vec(
            (0u16..2, 0u64..1_000, 0u64..400, 1u64..400, 0usize..30),
            0..60,
        ),
        cut in proptest::option::of(0u64..1_000),
    ) {
        let scaled = |part: u64| part * duration / 1_000;
        let model = model(duration);
        let mut timeline = Timeline::new(&model);
        let mut seen = Vec::new();
        for (source, at, wait, work, cause) in requests {
            let at = scaled(at);
            let start = at + scaled(wait);
            let end = start + scaled(work).max(1);
            let outcome = match Refusal::ALL.get(cause) {
                Some(cause) => Err(*cause),
                None => Ok(Served::new(0, Time(start), Time(end))),
            };
            timeline.record(&arrival(source, at), outcome);
            seen.push((source, at, start, end, outcome));
        }
        if let Some(cut) = cut {
            timeline.cut(Time(scaled(cut)));
            let bounds = timeline.bounds().last();
            prop_assert!(bounds.is_none_or(|(_, end)| end.0 <= scaled(cut)));
        } else {
            prop_assert_eq!(timeline.bounds().last().unwrap().1, Time(duration));
        }
        for class in [None, Some(Class::Free), Some(Class::Paid)] {
            let of_class = |source: u16| {
                class.is_none_or(|class| class.index() == usize::from(source))
            };
            let buckets = timeline.buckets(0, class);
            prop_assert_eq!(buckets.len(), timeline.bounds().count());
            prop_assert!(buckets.len() <= 300);
            let mut last = 0;
            for (bucket, (begin, end)) in buckets.iter().zip(timeline.bounds()) {
                prop_assert_eq!(begin.0, last);
                last = end.0;
                let span = (begin.0, end.0);
                let within = |at: u64| (begin.0..end.0).contains(&at);
                let mut wanted = Bucket::default();
                let (mut waiting, mut busy) = (0, 0);
                for (source, at, start, end, outcome) in &seen {
                    if !of_class(*source) {
                        continue;
                    }
                    wanted.arrivals += u64::from(within(*at));
                    match outcome {
                        Err(cause) => {
                            wanted.refused[cause.index()] += u64::from(within(*at));
                        }
                        Ok(_) => {
                            wanted.completed += u64::from(within(*end));
                            waiting += common((*at, *start), span);
                            busy += common((*start, *end), span);
                            if within(*at) {
                                wanted.response.record(Nanoseconds(end - at));
                            }
                        }
                    }
                }
                let mean = |sum: u64| sum as f64 / (end.0 - begin.0) as f64;
                prop_assert!((bucket.waiting - mean(waiting)).abs() < 1e-9);
                prop_assert!((bucket.busy - mean(busy)).abs() < 1e-9);
                (wanted.waiting, wanted.busy) = (bucket.waiting, bucket.busy);
                prop_assert_eq!(bucket, &wanted);
            }
        }
    }

    #[test]
    fn instances_are_means_of_steps(
        duration in prop_oneof![1u64..50, 290u64..310, 1_000u64..100_000],
        changes in proptest::collection::vec((0u64..1_000, 0u32..9, 0u32..9, 0u32..9), 0..20),
    ) {
        let model = model(duration);
        let mut timeline = Timeline::new(&model);
        let mut changes: Vec<_> = changes
            .into_iter()
            .map(|(at, ready, starting, leaving)| {
                (at * duration / 1_000, Instances { ready, starting, leaving })
            })
            .collect();
        changes.sort_by_key(|(at, _)| *at);
        for (at, instances) in &changes {
            timeline.change(Time(*at), 0, *instances);
        }
        changes.insert(0, (0, Instances { ready: 6, ..Instances::default() }));
        changes.push((duration, Instances::default()));
        for (seen, (begin, end)) in timeline.instances(0).iter().zip(timeline.bounds()) {
            let mut sums = [0; 3];
            for pair in changes.windows(2) {
                let length = common((pair[0].0, pair[1].0), (begin.0, end.0));
                let Instances { ready, starting, leaving } = pair[0].1;
                for (sum, number) in sums.iter_mut().zip([ready, starting, leaving]) {
                    *sum += length * u64::from(number);
                }
            }
            let length = (end.0 - begin.0) as f64;
            for (seen, sum) in [seen.ready, seen.starting, seen.leaving].into_iter().zip(sums) {
                prop_assert!((seen - sum as f64 / length).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn decisions_that_say_the_same_are_kept_once() {
    let mut timeline = Timeline::new(&model(1_000));
    let seen = Observation { tasks: 5, instances: 6, flow: None };
    let cools = |left| Action::Keep(Kept::CoolsDown(Nanoseconds(left)));
    let more = Action::Add(1, Added::TasksAboveTarget);
    let within = Action::Keep(Kept::WithinTarget);
    let actions = [within, within, more, more, cools(9), cools(8), within, cools(7)];
    for (at, action) in actions.into_iter().enumerate() {
        timeline.decide(Time(at as u64), 0, seen, action);
    }
    let kept: Vec<u64> = timeline.decisions().iter().map(|decision| decision.at.0).collect();
    assert_eq!(kept, [0, 2, 3, 4, 6, 7]);
    assert_eq!(timeline.unlisted_decisions(), 0);
}

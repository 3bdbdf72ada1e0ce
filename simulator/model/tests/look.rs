//! What engines show of a request before they decide about it, against sums over all outcomes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use policy::adaptive::{Adaptive, Rule, Vegas};
use policy::admission::{Accounts, Admission, Candidate, Learned, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};
use policy::queue::{Classes, Counts, Queue, QueueScope};
use policy::{Class, Nanoseconds, Refusal, Scope};
use simulator_kernel::Law;
use simulator_model::look::Look;
use simulator_model::{
    App, Arrival, Arrivals, Cmd, Dynamics, Life, Model, Outcome, Record, Source, Tenants,
};

/// Looks at all requests.
#[derive(Default)]
struct All {
    looks: Vec<(Arrival, Look)>,
    outcomes: Vec<Option<Outcome>>,
}

impl Record for All {
    fn looks(&self) -> bool {
        true
    }

    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.outcomes.record(arrival, outcome);
    }

    fn wants(&self, _number: u64) -> bool {
        true
    }

    fn look(&mut self, arrival: &Arrival, look: Look) {
        self.looks.push((*arrival, look));
    }
}

fn model(seed: u64, admission: Admission, queue: Queue, balance: Balance) -> Model {
    let group = |class| Tenants { name: "group".into(), class, users: 3, skew: 0.0 };
    let source = |tenants, gap| Source {
        tenants,
        cmd: 0,
        arrivals: Arrivals::Poisson { gap },
        retries: None,
    };
    let service = Law::Exponential { mean: 100.0 };
    Model {
        seed,
        duration: Nanoseconds(8_000),
        warm_up: Nanoseconds::ZERO,
        gateways: 2,
        apps: vec![App {
            name: "app".into(),
            machines: 3,
            instances: 2,
            life: Life::default(),
            crowd: None,
        }],
        cmds: vec![Cmd { name: "cmd".into(), app: 0, service, deadline: None, stages: None }],
        tenants: vec![group(Class::Free), group(Class::Paid)],
        sources: vec![source(0, 20.0), source(1, 50.0)],
        admission,
        queue,
        balance,
        network: None,
        dynamics: Dynamics::default(),
    }
}

/// All that the looks of a run say, from its outcomes.
fn check(model: &Model) -> [u64; 3] {
    let mut all = All::default();
    crate::run(model, &mut all);
    let class_of =
        |arrival: &Arrival| model.tenants[model.sources[usize::from(arrival.source)].tenants].class;
    let mut kinds = [0; 3];
    for (arrival, look) in &all.looks {
        let now = arrival.at;
        // Those that came before and are still there.
        let present: Vec<_> = all
            .looks
            .iter()
            .filter(|(other, _)| other.number < arrival.number)
            .filter_map(|(other, _)| {
                let served = all.outcomes[usize::try_from(other.number).unwrap()]?.ok()?;
                (served.end > now).then_some((other, served))
            })
            .collect();
        let counted = |scope: Option<Scope>, other: &Arrival| {
            scope == Some(Scope::Cluster) || other.gateway == arrival.gateway
        };
        let count = |is_counted: &dyn Fn(&Arrival) -> bool| {
            u32::try_from(present.iter().filter(|(other, _)| is_counted(other)).count()).unwrap()
        };
        let rules = &model.admission;
        if let Some(permits) = rules.accept {
            assert_eq!(look.accepted, count(&|other| counted(Some(permits.scope), other)));
        }
        if let Some(limits) = rules.user.filter(|limits| limits.concurrency.is_some()) {
            let of_user =
                |other: &Arrival| other.user == arrival.user && counted(Some(limits.scope), other);
            assert_eq!(look.user.in_flight, count(&of_user));
        }
        if let Some(adaptive) = rules.adaptive {
            let limiter = look.limiter.unwrap();
            let in_flight = count(&|other| counted(Some(adaptive.scope), other));
            assert_eq!(limiter.in_flight(), in_flight);
            assert!((adaptive.min..=adaptive.max).contains(&limiter.limit()));
        }
        // The rules, with the numbers that were shown, say what became of it.
        let (mut accepted, mut user, mut cmd) = (look.accepted, look.user, look.cmd);
        let mut limiter = look.limiter;
        let mut learned = limiter
            .as_mut()
            .map(|limiter| Learned { limiter: Some((limiter, class_of(arrival))), gate: None });
        let accounts = Accounts {
            accepted: &mut accepted,
            user: &mut user,
            cmd: &mut cmd,
            learned: learned.as_mut(),
        };
        let candidate =
            Candidate { deadline: policy::Time(u64::MAX), usual: model.cmds[0].service.median() };
        let chosen = look.chosen.unwrap();
        let verdict = policy::admit(rules, accounts, candidate, now)
            .and_then(|()| policy::enqueue(&model.queue, class_of(arrival), chosen.standing));
        let outcome = all.outcomes[usize::try_from(arrival.number).unwrap()].unwrap();
        assert_eq!(outcome.map(|_| ()), verdict);
        let mut waiting = [0; 2];
        let mut running = 0;
        for (other, served) in present.iter().filter(|(_, served)| served.target == chosen.target) {
            if served.start > now {
                waiting[class_of(other).index()] += 1;
            } else {
                running += 1;
            }
        }
        assert_eq!((chosen.waiting, chosen.running), (waiting, running));
        if let Ok(served) = outcome {
            assert_eq!(served.target, chosen.target);
            assert_eq!(served.start == now, running < chosen.instances);
        }
        let load = |target| present.iter().filter(|(_, served)| served.target == target).count();
        for (target, seen) in &look.seen {
            assert_eq!(usize::try_from(*seen).unwrap(), load(*target));
        }
        let kind = match outcome {
            Ok(_) => 0,
            Err(Refusal::QueueFull) => 1,
            Err(_) => 2,
        };
        kinds[kind] += 1;
    }
    kinds
}

#[test]
fn looks_say_what_outcomes_say() {
    let balances = [
        Balance::Random,
        Balance::RoundRobin,
        Balance::LeastLoaded,
        Balance::JoinShortestQueue,
        Balance::PowerOfChoices(Choices::TWO),
        Balance::PowerOfChoices(Choices::new(3).unwrap()),
    ];
    let limits =
        |scope| Limits { rate: Some(Rate::new(Nanoseconds(60), 3)), concurrency: Some(3), scope };
    let admissions = [
        Admission::default(),
        Admission {
            accept: Some(Permits { permits: 7, scope: Scope::Gateway }),
            user: Some(limits(Scope::Cluster)),
            cmd: Some(Limits { rate: None, concurrency: Some(12), scope: Scope::Gateway }),
            ..Admission::default()
        },
        Admission {
            adaptive: Some(Adaptive {
                min: 2,
                max: 12,
                initial: 4,
                window: Nanoseconds::ZERO,
                scope: Scope::Gateway,
                ..Adaptive::of(Rule::Vegas(Vegas::DEFAULT))
            }),
            ..Admission::default()
        },
    ];
    let bounded =
        |scope, counts, classes| Queue { free: 4, paid: 2, scope, counts, classes, ..Queue::OPEN };
    let queues = [
        Queue::OPEN,
        bounded(QueueScope::Node, Counts::Waiting, Classes::Together),
        bounded(QueueScope::Instance, Counts::InSystem, Classes::Apart),
        bounded(QueueScope::Node, Counts::Waiting, Classes::Apart),
    ];
    let mut kinds = [0; 3];
    for (seed, balance) in (1u64..).zip(balances) {
        for admission in admissions {
            for queue in queues {
                let seen = check(&model(seed, admission, queue, balance));
                kinds.iter_mut().zip(seen).for_each(|(kind, seen)| *kind += seen);
                // The engine of instances that come and go shows the same, if none does.
                let mut fixed = model(seed, admission, queue, balance);
                fixed.dynamics.scaling = Some(policy::config::Policy::original().scaling);
                fixed.apps[0].life.bounds = Some((6, 6));
                assert_eq!(check(&fixed), seen);
            }
        }
    }
    // Served, refused by a full queue, refused by admission: all of them were met.
    assert!(kinds.iter().all(|kind| *kind > 1_000), "{kinds:?}");
}

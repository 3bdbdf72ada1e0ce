//! Streams of requests: order, rates, shares, and that nothing disturbs anything else.

use policy::{Admission, Balance, Class, Queue};

use super::*;
use crate::model::{App, Cmd};
use crate::{Fed, Phase, Rates, Sine, Stretch};

fn model(sources: Vec<Source>) -> Model {
    let group =
        |name: &str, users, skew| Tenants { name: name.into(), class: Class::Free, users, skew };
    Model {
        seed: 1,
        duration: Nanoseconds::from_seconds(100),
        warm_up: Nanoseconds::ZERO,
        gateways: 3,
        apps: vec![App {
            name: "app".into(),
            machines: 1,
            instances: 1,
            life: crate::Life::default(),
            crowd: None,
        }],
        cmds: vec![Cmd {
            name: "cmd".into(),
            app: 0,
            service: Law::Exponential { mean: 1e6 },
            deadline: None,
            stages: None,
        }],
        tenants: vec![group("even", 10, 0.0), group("skewed", 100, 0.9)],
        sources,
        admission: Admission::default(),
        queue: Queue::OPEN,
        balance: Balance::Random,
        network: None,
        dynamics: crate::Dynamics::default(),
    }
}

fn source(tenants: usize, arrivals: Arrivals) -> Source {
    Source { tenants, cmd: 0, arrivals, retries: None }
}

const POISSON: Arrivals = Arrivals::Poisson { gap: 1e6 };
const CONSTANT: Arrivals = Arrivals::Constant { gap: 1.5e9 };
const BURST: Arrivals = Arrivals::Burst {
    at: Nanoseconds::from_seconds(20),
    requests: 1000,
    over: Nanoseconds::from_seconds(1),
};

/// One of each kind.
fn sources() -> Vec<Source> {
    let seconds = Nanoseconds::from_seconds;
    let sine = Sine { gap: 4e6, amplitude: 0.9, period: seconds(30), peak: seconds(11) };
    let stretch = |length, from, to| Stretch { length: seconds(length), from, to };
    let stretches = [stretch(10, 1e-7, 0.0), stretch(2, 0.0, 3e-7), stretch(7, 1e-8, 1e-8)];
    let phase = |gap, lasts| Phase { gap, lasts: seconds(lasts) };
    vec![
        source(0, POISSON),
        source(1, CONSTANT),
        source(0, BURST),
        source(1, Arrivals::Sine(sine)),
        source(0, Arrivals::Lines(Rates { stretches: stretches.into(), repeats: true })),
        source(1, Arrivals::Switching { quiet: phase(1e8, 5), burst: phase(3e6, 1) }),
    ]
}

/// Requests of a list.
#[derive(Debug)]
struct Listed(std::vec::IntoIter<Fed>);

impl Feed for Listed {
    fn next_request(&mut self) -> Option<Fed> {
        self.0.next()
    }
}

/// What a trace of a workload says, and what it leaves to the words of the seed, are the workload.
#[test]
fn a_workload_that_is_fed_back_is_the_same() {
    let model = model(sources());
    let all = Workload::all(&model);
    for says_all in [true, false] {
        let fed: Vec<Fed> = all
            .iter()
            .map(|arrival| Fed {
                at: arrival.at,
                source: arrival.source,
                user: says_all.then_some(arrival.user),
                service: says_all.then_some(arrival.service),
                gateway: says_all.then_some(arrival.gateway),
            })
            .collect();
        let feed = Box::new(Listed(fed.into_iter()));
        assert_eq!(Workload::fed(&model, feed).rest(), all);
    }
}

/// A feed that is wrong breaks nothing: an unknown source is left out, an unknown user drawn, and
/// time doesn't go back.
#[test]
fn a_feed_is_not_trusted() {
    let model = model(sources());
    let fed = |at, source, user| Fed {
        at: Time(at),
        source,
        user: Some(user),
        service: None,
        gateway: Some(u16::MAX),
    };
    let list = vec![fed(5, 99, 0), fed(9, 1, u32::MAX), fed(7, 1, 100), fed(8, 7, 0)];
    let all = Workload::fed(&model, Box::new(Listed(list.into_iter()))).rest();
    let seen: Vec<(u64, u16)> = all.iter().map(|arrival| (arrival.at.0, arrival.source)).collect();
    assert_eq!(seen, [(9, 1), (9, 1)]);
    assert!(all.iter().all(|arrival| (arrival.user as usize) < model.users()));
}

#[test]
fn requests_come_in_order_and_sources_dont_disturb_each_other() {
    let together = model(sources());
    let all: Vec<Arrival> = Workload::all(&together);
    assert!(all.is_sorted_by_key(|arrival| (arrival.at, arrival.source)));
    assert!(all.iter().enumerate().all(|(place, arrival)| arrival.number == place as u64));
    for number in 0..6 {
        let mut alone = together.clone();
        let kept: Vec<Arrival> =
            all.iter().filter(|arrival| arrival.source == number).copied().collect();
        // The other sources send nothing.
        for (place, source) in alone.sources.iter_mut().enumerate() {
            if place != usize::from(number) {
                source.arrivals =
                    Arrivals::Burst { at: Nanoseconds(0), requests: 0, over: Nanoseconds(0) };
            }
        }
        let alone: Vec<Arrival> = Workload::all(&alone);
        assert_eq!(alone.len(), kept.len());
        for (alone, kept) in alone.iter().zip(&kept) {
            assert_eq!(Arrival { number: kept.number, ..*alone }, *kept);
        }
    }
}

#[test]
fn arrivals_are_as_declared() {
    let count = |arrivals| Workload::all(&model(vec![source(0, arrivals)])).len();
    // 100,000 expected, standard deviation 316.
    assert!(count(POISSON).abs_diff(100_000) < 1_265);
    assert_eq!(count(CONSTANT), 66);
    assert_eq!(count(BURST), 1000);
    let burst = model(vec![source(0, BURST)]);
    let times: Vec<u64> = Workload::all(&burst).iter().map(|arrival| arrival.at.0).collect();
    assert_eq!(times[..3], [20_000_000_000, 20_001_000_000, 20_002_000_000]);
}

#[test]
fn users_and_gateways_take_their_shares() {
    let model = model(vec![source(1, POISSON)]);
    let mut users = vec![0u32; 110];
    let mut gateways = [0u32; 3];
    let mut total = 0.0;
    for arrival in Workload::all(&model) {
        users[arrival.user as usize] += 1;
        gateways[usize::from(arrival.gateway)] += 1;
        total += 1.0;
    }
    assert!(users[..10].iter().all(|count| *count == 0), "users of the other group");
    let weights: Vec<f64> = (1..=100u32).map(|rank| f64::from(rank).powf(-0.9)).collect();
    let sum: f64 = weights.iter().sum();
    let chi: f64 = weights
        .iter()
        .zip(&users[10..])
        .map(|(weight, count)| {
            let expected = total * weight / sum;
            (f64::from(*count) - expected).powi(2) / expected
        })
        .sum();
    // 99 degrees of freedom: above 162 once in 20,000.
    assert!(chi < 162.0, "χ² is {chi}");
    for count in gateways {
        assert!((f64::from(count) - total / 3.0).abs() < 4.0 * (total * 2.0 / 9.0).sqrt());
    }
}

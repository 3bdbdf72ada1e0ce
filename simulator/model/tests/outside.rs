//! Requests from outside behind a network: lanes against the oracle, request by request.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use policy::{Nanoseconds, Time};
use proptest::prelude::*;
use simulator_model::windows::Key;
use simulator_model::{Fed, Feed};

use crate::strategies::GRID;
use crate::windows::{agree_about, model, network, scaling_model};

/// Requests of a list.
#[derive(Debug)]
struct Listed<'a>(std::slice::Iter<'a, Fed>);

impl Feed for Listed<'_> {
    fn next_request(&mut self) -> Option<Fed> {
        self.0.next().copied()
    }
}

pub fn listed(all: &[Fed]) -> Box<dyn Feed + '_> {
    Box::new(Listed(all.iter()))
}

/// What is drawn if it isn't said: a time, and a gateway, which may be one that isn't there.
type Drawn = (Option<u64>, Option<u16>);

/// Many at the same instant, some before those that came before them, some of a source that isn't there.
fn requests() -> impl Strategy<Value = Vec<Fed>> {
    let gap =
        prop_oneof![2 => Just(0), 3 => (0u64..4).prop_map(|steps| steps * GRID), 1 => 0u64..300];
    let is_early = proptest::bool::weighted(0.05);
    let user = proptest::option::of(0u32..12);
    let service = proptest::option::of(0u64..400);
    let gateway = proptest::option::of(0u16..6);
    let one = (gap, is_early, 0u16..5, user, (service, gateway));
    proptest::collection::vec(one, 0..150).prop_map(|all| {
        let mut now = 0;
        let fed = |(gap, is_early, source, user, drawn): (u64, bool, u16, _, Drawn)| {
            now += gap;
            let at = Time(if is_early { now / 2 } else { now });
            let (service, gateway) = drawn;
            Fed { at, source, user, service: service.map(Nanoseconds), gateway }
        };
        all.into_iter().map(fed).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn lanes_agree_with_the_oracle_about_requests_from_outside(
        model in prop_oneof![2 => model().boxed(), 1 => scaling_model().boxed()],
        network in network(),
        requests in requests(),
        ticks in 1u64..4,
    ) {
        let mut model = model;
        if let Some(scaling) = &mut model.dynamics.scaling {
            scaling.interval = Nanoseconds(network.delay.0 * ticks);
        }
        let known = model.sources.len();
        // A time before the last one is that one.
        let mut last = 0;
        let mut wanted = vec![0u64; known];
        for request in &requests {
            let source = usize::from(request.source);
            if source < known {
                last = last.max(request.at.0);
                wanted[source] += u64::from(last < model.duration.0);
            }
        }
        let (told, _) = agree_about(&model, network, Some(&requests))?;
        let mut seen = vec![0u64; known];
        for (key, _) in &told.outcomes {
            seen[usize::from(Key::parts(*key).1)] += 1;
        }
        prop_assert_eq!(seen, wanted);
    }
}

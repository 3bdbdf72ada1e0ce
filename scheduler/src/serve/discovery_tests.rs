//! Followers that come, stay and go away, against what is found in the end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::sync::Arc;

use policy::Time;
use policy::config::Policy;
use proptest::prelude::*;
use scheduler_core::app::Bounds;
use scheduler_core::event::{Call, InstanceFact, MachineFact};
use scheduler_core::ids::RequestId;
use scheduler_core::machine::Description;
use scheduler_core::{Command, Event, apply_all};

use super::*;

/// An app whose instances all serve, and the record of each.
fn served(count: u32) -> (State, Vec<(Key, Option<Record>)>) {
    let mut state = State::new(Policy::recommended());
    let file = "app: web\nversion: 1\nshell: x\nwarm_up: 0s\nneeds: {cores: 0.01, memory: 1MiB}\n";
    let file = scheduler::app_file::read(file, diagnostics::SourceId(0)).app.unwrap();
    let app = file.app.clone();
    let specification = Arc::new(file.specification);
    let bounds = Bounds { min: count, max: count };
    let machine = Description { millicores: 64_000, memory_mib: 64_000, ..Description::default() };
    let mut events = vec![
        Event::Leader { epoch: Epoch(1) },
        Event::Machine { machine: "m1".parse().unwrap(), fact: MachineFact::Up(machine) },
        Event::Call {
            request: RequestId(1),
            call: Call::Deploy { app, specification, bounds, step: None },
        },
    ];
    while !events.is_empty() {
        let mut next = Vec::new();
        for command in apply_all(&mut state, events, Time(5)) {
            let mut fact = |instance, machine, fact| {
                next.push(Event::Instance { instance, machine, at: Time(5), fact });
            };
            match command {
                Command::Persist(write) => next.push(Event::Durable { write: write.number }),
                Command::Launch(one) => {
                    fact(one.instance.clone(), one.machine.clone(), InstanceFact::Running);
                    fact(one.instance, one.machine, InstanceFact::Healthy);
                }
                Command::Register { instance, machine, weight_thousandths, .. } => {
                    fact(instance, machine, InstanceFact::Registered { weight_thousandths });
                }
                _ => {}
            }
        }
        events = next;
    }
    let records = state.records().into_iter();
    let records = records.filter(|(key, _)| matches!(key, Key::Instance(_)));
    let records = records.map(|(key, record)| (key, Some(record))).collect();
    (state, records)
}

fn write(changes: Vec<(Key, Option<Record>)>) -> Write {
    let number = scheduler_core::ids::WriteNumber(1);
    Write { number, epoch: Epoch(1), changes: changes.into_iter().collect() }
}

fn weighed(change: &(Key, Option<Record>), weight: u32) -> (Key, Option<Record>) {
    let (key, Some(Record::Instance(instance))) = change.clone() else { return change.clone() };
    let mut instance = instance;
    instance.life = Life::Serving { weight_thousandths: weight };
    (key, Some(Record::Instance(instance)))
}

/// A write is stored.
fn committed(discovery: &Discovery, write: &Write) {
    let before = discovery.last();
    discovery.prepare(write);
    assert_eq!(discovery.last(), before, "nothing is told before it is durable");
    discovery.publish();
}

#[test]
fn a_new_term_is_beyond_all_numbers_and_what_is_unknown_comes_anew() {
    let (state, records) = served(3);
    let discovery = Discovery::new(&state);
    let web: AppName = "web".parse().unwrap();
    discovery.begin(Epoch(2));
    let begun = discovery.last();
    assert_eq!(begun, 2 * NUMBERS_OF_A_TERM);
    committed(&discovery, &write(records.clone()));
    assert_eq!(discovery.last(), begun, "all of it was known");
    committed(&discovery, &write(vec![weighed(&records[0], 100), (records[1].0.clone(), None)]));
    committed(&discovery, &write(vec![records[1].clone()]));
    let Next::Changes(changes, until) = discovery.after(&web, begun, 10) else { unreachable!() };
    let what: Vec<&What> = changes.iter().map(|change| &change.what).collect();
    assert!(matches!(
        what[..],
        [What::Weight(100), What::Removed, What::Added { weight_thousandths: 1000, .. }]
    ));
    assert_eq!(until, begun + 3);
    let other = "other".parse().unwrap();
    assert_eq!(discovery.after(&other, begun, 2), Next::Changes(Vec::new(), begun + 2));
    for number in [0, begun - 1, begun + 4, u64::MAX] {
        assert_eq!(discovery.after(&web, number, 10), Next::Anew, "{number}");
    }
    discovery.begin(Epoch(3));
    assert_eq!(discovery.after(&web, begun + 3, 10), Next::Anew);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever takes everything, and what changes then, has at the end what there is.
    #[test]
    fn followers_have_what_there_is(
        steps in prop::collection::vec((0usize..8, 0u32..4, 0u64..3), 0..60),
        most in 1usize..9,
    ) {
        let (state, records) = served(8);
        let discovery = Discovery::new(&state);
        discovery.begin(Epoch(1));
        let web: AppName = "web".parse().unwrap();
        let id = |place: usize| match &records[place].0 {
            Key::Instance(id) => id.clone(),
            _ => unreachable!(),
        };
        let mut there: BTreeMap<InstanceId, u32> = (0..8).map(|place| (id(place), 1000)).collect();
        let (mut mirror, mut at) = (there.clone(), discovery.last());
        for (place, weight, pause) in steps {
            if weight == 0 {
                committed(&discovery, &write(vec![(records[place].0.clone(), None)]));
                there.remove(&id(place));
            } else {
                committed(&discovery, &write(vec![weighed(&records[place], weight)]));
                there.insert(id(place), weight);
            }
            // Sometimes it follows at once, sometimes later.
            while pause > 0 && at < discovery.last() {
                let Next::Changes(changes, until) = discovery.after(&web, at, most) else {
                    return Err(TestCaseError::fail("nothing was dropped"));
                };
                prop_assert!(until > at);
                at = until;
                for change in changes {
                    match change.what {
                        What::Added { weight_thousandths, .. } | What::Weight(weight_thousandths) => {
                            mirror.insert(change.instance, weight_thousandths);
                        }
                        What::Removed => drop(mirror.remove(&change.instance)),
                    }
                }
            }
            if at == discovery.last() {
                prop_assert_eq!(&mirror, &there);
            }
        }
    }
}

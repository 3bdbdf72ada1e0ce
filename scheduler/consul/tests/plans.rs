//! Plans against a model of an agent, and the registry against agents that fail at random.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use consul::agent::{AgentService, AgentServices, Registration, Weights};
use policy::{Nanoseconds, Time};
use proptest::prelude::*;
use scheduler_consul::service::{DIGEST_KEY, OWNER_KEY, weights};
use scheduler_consul::{Call, LEAK_AFTER, Should, plan};

const START: Time = Time(1_000_000_000_000);

fn registration(id: &str, weight: u32, digest: u32) -> Registration {
    Registration {
        id: id.to_owned(),
        name: "web".to_owned(),
        tags: Vec::new(),
        address: String::new(),
        port: 80,
        meta: BTreeMap::from([
            (OWNER_KEY.to_owned(), "us".to_owned()),
            (DIGEST_KEY.to_owned(), digest.to_string()),
        ]),
        weights: weights(weight),
        check: None,
    }
}

/// What an agent has after a registration.
fn kept(registration: &Registration) -> AgentService {
    AgentService {
        id: registration.id.clone(),
        service: registration.name.clone(),
        tags: registration.tags.clone(),
        address: registration.address.clone(),
        port: registration.port,
        meta: registration.meta.clone(),
        weights: Some(registration.weights),
    }
}

fn carry_out(agent: &mut AgentServices, calls: &[Call]) {
    for call in calls {
        match call {
            Call::Register(service) => {
                agent.insert(service.id.clone(), kept(service));
            }
            Call::Deregister(id) => {
                agent.remove(id);
            }
        }
    }
}

/// What becomes of an id: nothing, known, out, or there with a weight and a digest.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Unknown,
    Known,
    Out,
    There(u32, u32),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        Just(Wish::Unknown),
        Just(Wish::Known),
        Just(Wish::Out),
        (1..3u32, 0..2u32).prop_map(|(weight, digest)| Wish::There(weight, digest)),
    ]
}

/// What is at the agent: nothing, ours, another scheduler's, or anybody's.
fn found() -> impl Strategy<Value = Option<(Option<&'static str>, u32, u32)>> {
    let owner = prop_oneof![Just(Some("us")), Just(Some("them")), Just(None)];
    proptest::option::of((owner, 1..3u32, 0..2u32))
}

fn should(wishes: &[Wish]) -> Should {
    let mut should = Should { owner: "us".to_owned(), ..Should::default() };
    for (number, wish) in wishes.iter().enumerate() {
        let id = format!("web.{number}");
        match wish {
            Wish::Unknown => {}
            Wish::Known => drop(should.known.insert(id)),
            Wish::Out => drop(should.out.insert(id)),
            Wish::There(weight, digest) => {
                should.there.insert(id.clone(), registration(&id, *weight, *digest));
            }
        }
    }
    should
}

proptest! {
    /// Whatever an agent has: what is somebody else's stays as it is; ours is as it should be after
    /// one round, leaks after their time; and then there is nothing to do any more.
    #[test]
    fn an_agent_gets_what_it_should_have_and_others_are_left_alone(
        cases in proptest::collection::vec((wish(), found()), 0..8)
    ) {
        let (wishes, there): (Vec<Wish>, Vec<_>) = cases.iter().copied().unzip();
        let should = should(&wishes);
        let mut agent = AgentServices::new();
        for (number, found) in there.iter().enumerate() {
            let Some((owner, weight, digest)) = found else { continue };
            let id = format!("web.{number}");
            let mut service = kept(&registration(&id, *weight, *digest));
            service.meta.remove(OWNER_KEY);
            if let Some(owner) = owner {
                service.meta.insert(OWNER_KEY.to_owned(), (*owner).to_owned());
            }
            agent.insert(id, service);
        }
        let before = agent.clone();
        let mut leaks = BTreeMap::new();
        let calls = plan(&should, &agent, &mut leaks, START);
        carry_out(&mut agent, &calls);
        prop_assert_eq!(plan(&should, &agent, &mut leaks, START), vec![], "it is done in one round");
        let later = START + LEAK_AFTER;
        let sweeps = plan(&should, &agent, &mut leaks, later);
        carry_out(&mut agent, &sweeps);
        prop_assert_eq!(plan(&should, &agent, &mut leaks, later), vec![]);

        for (number, (wish, found)) in cases.iter().enumerate() {
            let id = format!("web.{number}");
            let (was, is) = (before.get(&id), agent.get(&id));
            let is_ours = matches!(found, Some((Some("us"), ..)));
            match (found, wish) {
                (Some(_), _) if !is_ours => prop_assert_eq!(was, is, "{} isn't ours", id),
                (_, Wish::There(weight, digest)) => {
                    prop_assert_eq!(is, Some(&kept(&registration(&id, *weight, *digest))));
                }
                (_, Wish::Known) => prop_assert_eq!(was, is, "{} is known", id),
                (_, Wish::Out | Wish::Unknown) => prop_assert_eq!(is, None, "{} is gone", id),
            }
        }
    }
}

#[test]
fn a_leak_is_taken_away_only_after_it_was_unknown_for_the_whole_time() {
    let mut agent = AgentServices::new();
    agent.insert("web.9".to_owned(), kept(&registration("web.9", 5, 0)));
    let nothing = Should { owner: "us".to_owned(), ..Should::default() };
    let known = Should { known: BTreeSet::from(["web.9".to_owned()]), ..nothing.clone() };
    let mut leaks = BTreeMap::new();
    let almost = Nanoseconds(LEAK_AFTER.0 - 1);
    assert_eq!(plan(&nothing, &agent, &mut leaks, START), []);
    assert_eq!(plan(&nothing, &agent, &mut leaks, START + almost), []);
    // It becomes known, and unknown again: the time begins anew.
    assert_eq!(plan(&known, &agent, &mut leaks, START + almost), []);
    assert_eq!(plan(&nothing, &agent, &mut leaks, START + LEAK_AFTER), []);
    let end = START + LEAK_AFTER + LEAK_AFTER;
    assert_eq!(plan(&nothing, &agent, &mut leaks, end), [Call::Deregister("web.9".to_owned())]);
}

#[test]
fn what_somebody_has_changed_is_put_right() {
    let wanted = registration("web.1", 100, 7);
    let should = Should {
        owner: "us".to_owned(),
        there: BTreeMap::from([("web.1".to_owned(), wanted.clone())]),
        ..Should::default()
    };
    let changes: [fn(&mut AgentService); 5] = [
        |one| one.weights = Some(Weights { passing: 1, warning: 1 }),
        |one| one.weights = None,
        |one| one.port = 81,
        |one| one.tags = vec!["x".to_owned()],
        |one| one.service = "other".to_owned(),
    ];
    for change in changes {
        let mut service = kept(&wanted);
        change(&mut service);
        let agent = AgentServices::from([("web.1".to_owned(), service)]);
        let calls = plan(&should, &agent, &mut BTreeMap::new(), START);
        assert_eq!(calls, [Call::Register(Box::new(wanted.clone()))]);
    }
}

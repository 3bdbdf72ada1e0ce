//! The log of decisions, read again, reproduces every action: for each rule of scaling a small cluster
//! gets a load that rises and falls, and its leader changes in between.

use crate::world::{World, app, deploy, quick_policy};
use policy::config::Policy;
use policy::rollout::Load;
use policy::scaling::Action;
use scheduler_core::decision::{Decided, Decision};

const WEB: &str = "web";
const MIN: u32 = 2;
const MAX: u32 = 12;

/// The rule as a user writes it, with short times; the rest is that of the small cluster.
fn policy(scaling: &str) -> Policy {
    let text = format!("preset: recommended\nscaling: {scaling}\n");
    let source = diagnostics::Sources::default().add("policy.yml", text.as_str());
    let read = policy::config::read(&text, source).unwrap();
    Policy { scaling: read.scaling, ..quick_policy() }
}

/// Half a minute of little, a minute of much, then little again: `requests` in work and waiting, and
/// as many a second that come.
fn load(second: u64) -> Load {
    let requests = if (30..90).contains(&second) { 40 } else { 1 };
    Load {
        busy_thousandths: requests.min(8) * 1000,
        waiting: requests.saturating_sub(8),
        arrivals: requests,
        rejects: 0,
    }
}

/// What was decided, and how many instances were wanted at the end.
fn course(scaling: &str) -> (Policy, Vec<Decision>, u32) {
    let policy = policy(scaling);
    let mut world = World::new(11, 8);
    world.policy = policy;
    world.restart();
    world.call(deploy(WEB, "good-1", MIN, MAX));
    for second in 0..400 {
        world.loads.insert(app(WEB), load(second));
        world.second(second);
        // What the next leader decides comes out of records, which were written and read.
        if [60, 120].contains(&second) {
            world.restart();
        }
    }
    let wanted = world.core.as_ref().unwrap().apps()[&app(WEB)].wanted;
    (policy, world.decisions, wanted)
}

/// As `decisions.log` has them.
fn logged(decisions: &[Decision]) -> Vec<Decision> {
    let again =
        |one: &Decision| serde_json::from_str(&serde_json::to_string(one).unwrap()).unwrap();
    decisions.iter().map(again).collect()
}

fn check(scaling: &str) {
    let (policy, decisions, wanted) = course(scaling);
    let (mut instances, mut more, mut fewer) = (MIN, 0, 0);
    for decision in logged(&decisions) {
        if let Err(difference) = decision.replay(&policy) {
            panic!("{scaling}: {decision:?}: {difference}");
        }
        // Nothing happened between that isn't in the log.
        let Decided::Scaling { seen, action, .. } = decision.decided else { continue };
        assert_eq!(seen.instances, instances, "{scaling}");
        match action {
            Action::Add(count, _) => (instances, more) = (instances + count, more + 1),
            Action::Remove(count, _) => (instances, fewer) = (instances - count, fewer + 1),
            Action::Keep(_) => {}
        }
    }
    assert_eq!(instances, wanted, "{scaling}");
    assert!(more > 0 && fewer > 0, "{scaling}: {more} times more, {fewer} times fewer");
}

#[test]
fn tasks() {
    check("{rule: tasks, target: 4, interval: 1s, cool_down: 3s, scale_in_after: 10s}");
}

#[test]
fn hpa() {
    check(
        "{rule: hpa, interval: 1s, hpa: {target: 0.8, metric: tasks, \
         down: {window: 20s, part: 100%, instances: 0, period: 5s}}}",
    );
}

#[test]
fn kpa() {
    check("{rule: kpa, interval: 1s, kpa: {target: 4, window: 20s, panic_window: 4s}}");
}

#[test]
fn keda() {
    check(
        "{rule: keda, interval: 1s, keda: {queue: 4, counts: waiting, cool_down: 20s}, \
         hpa: {down: {window: 20s, part: 100%, instances: 0, period: 5s}}}",
    );
}

#[test]
fn scheduled() {
    // The world begins a second after midnight.
    check("{rule: scheduled, interval: 1s, schedule: [{at: 1min, min: 7}, {at: 3min, min: 3}]}");
}

#[test]
fn arrivals() {
    check(
        "{rule: arrivals, interval: 1s, arrivals: {drain: 10s, fast: 5s, slow: 20s, start_up: 5s, \
         scale_in_after: 20s, scale_in: 50%, scale_in_every: 5s}}",
    );
}

/// A log that was changed, or another policy, is found out.
#[test]
fn what_was_not_decided_so_is_told() {
    let scaling = "{rule: arrivals, interval: 1s, arrivals: {scale_in_after: 20s}}";
    let (policy, decisions, _) = course(scaling);
    let mut changed = 0;
    for mut decision in logged(&decisions) {
        let Decided::Scaling { action, .. } = &mut decision.decided else { continue };
        let Action::Add(count, why) = *action else { continue };
        *action = Action::Add(count + 1, why);
        assert!(decision.replay(&policy).is_err(), "{decision:?}");
        changed += 1;
    }
    assert!(changed > 0);
}

//! What becomes of requests that wait where no instance is left: small scenarios with the outcomes
//! of both engines written by hand. Times are in nanoseconds, work takes 100.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use policy::admission::Admission;
use policy::balance::Balance;
use policy::queue::{Queue, QueueScope};
use policy::scaling::{Entry, Rule, Scaling, Schedule};
use policy::{Class, Nanoseconds, Refusal, Time};
use simulator_kernel::Law;
use simulator_model::{
    App, Arrival, Arrivals, Cause, Cmd, Crash, Crowd, Dynamics, Effect, Fault, Incident, Life,
    Lost, Model, Outcome, Record, Slowdown, Source, Tenants, oracle,
};

/// By the order in which requests arrive: when each was served, or why it wasn't.
type Ends = Vec<Result<u64, Refusal>>;

#[derive(Default)]
struct Seen {
    outcomes: BTreeMap<(u64, u16, u64), Outcome>,
    lost: Vec<(u64, Lost)>,
}

impl Record for Seen {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let key = (arrival.at.0, arrival.source, arrival.key);
        assert_eq!(self.outcomes.insert(key, outcome), None, "one outcome for each");
    }

    fn incident(&mut self, at: Time, incident: Incident) {
        if let Incident::Lost(lost) = incident {
            self.lost.push((at.0, lost));
        }
    }
}

struct Scene {
    scope: QueueScope,
    machines: u32,
    /// In the beginning, on each machine.
    instances: u32,
    crowd: Option<Crowd>,
    /// From when on how many instances there are to be.
    wanted: Vec<(u64, u32)>,
    start_up: u64,
    cool_down: u64,
    back_off: u64,
    /// Machines with an instance that crashes, and when.
    crashes: Vec<(u32, u64)>,
    /// Machines that fail, and when; each is back at 5000.
    failures: Vec<(u32, u64)>,
    /// When how many requests come.
    arrivals: Vec<(u64, u64)>,
}

/// Two instances on two machines have a request each. The one on machine 1 is to leave at 20; at 30
/// a third request comes, and waits for the other one, which crashes at 40. So at 100, when its own
/// request is done, the first one leaves, and nobody has promised to take the third request but the
/// instance that starts in the place of the one that crashed.
fn left_waiting() -> Scene {
    Scene {
        scope: QueueScope::Central,
        machines: 2,
        instances: 1,
        crowd: None,
        wanted: vec![(0, 2), (20, 1)],
        start_up: 500,
        cool_down: 0,
        back_off: 0,
        crashes: vec![(0, 40)],
        failures: vec![],
        arrivals: vec![(0, 2), (30, 1)],
    }
}

/// The same on one machine with one queue: two instances with two requests at a time each.
fn left_waiting_on_a_machine() -> Scene {
    Scene {
        scope: QueueScope::Node,
        machines: 1,
        instances: 2,
        // The first one has two requests, so the second one is to leave.
        crowd: Some(Crowd::new(2, 2, 1, &Slowdown::NONE)),
        arrivals: vec![(0, 3), (30, 2)],
        ..left_waiting()
    }
}

impl Scene {
    fn model(&self) -> Model {
        let entries = self.wanted.iter().map(|(at, min)| Entry { at: Nanoseconds(*at), min: *min });
        let entries: Vec<Entry> = entries.collect();
        let scaling = Scaling {
            target: 1,
            min: 0,
            max: 0,
            step: 8,
            interval: Nanoseconds(10),
            cool_down: Nanoseconds::ZERO,
            scale_in_after: None,
            rule: Rule::Scheduled,
            schedule: Schedule::new(&entries).unwrap(),
        };
        let source = |(at, requests): &(u64, u64)| Source {
            tenants: 0,
            cmd: 0,
            arrivals: Arrivals::Burst {
                at: Nanoseconds(*at),
                requests: *requests,
                over: Nanoseconds::ZERO,
            },
            retries: None,
        };
        let mut dynamics = Dynamics { scaling: Some(scaling), ..Dynamics::default() };
        dynamics.faults.repair.back_off = Nanoseconds(self.back_off);
        let crash = |(machine, at): &(u32, u64)| Crash { app: 0, machine: *machine, at: Time(*at) };
        dynamics.faults.instances = self.crashes.iter().map(crash).collect();
        let fault = |(machine, at): &(u32, u64)| Fault {
            machine: *machine,
            at: Time(*at),
            repaired: Time(5000),
            effect: Effect::Fails,
        };
        dynamics.faults.machines = self.failures.iter().map(fault).collect();
        let life = Life {
            bounds: Some((0, 8)),
            start_up: Law::Constant(Nanoseconds(self.start_up)),
            cool_down: Nanoseconds(self.cool_down),
            ..Life::default()
        };
        Model {
            seed: 1,
            duration: Nanoseconds(3000),
            warm_up: Nanoseconds::ZERO,
            gateways: 1,
            apps: vec![App {
                name: "app".into(),
                machines: self.machines,
                instances: self.instances,
                life,
                crowd: self.crowd.clone(),
            }],
            cmds: vec![Cmd {
                name: "cmd".into(),
                app: 0,
                service: Law::Constant(Nanoseconds(100)),
                deadline: None,
                stages: None,
            }],
            tenants: vec![Tenants { name: "all".into(), class: Class::Free, users: 1, skew: 0.0 }],
            sources: self.arrivals.iter().map(source).collect(),
            admission: Admission::default(),
            queue: Queue { scope: self.scope, ..Queue::OPEN },
            balance: Balance::JoinShortestQueue,
            network: None,
            dynamics,
        }
    }

    /// Both engines come to this: what becomes of each request, and what waiting requests failed
    /// with, when, and how many, besides those that crashed in the beginning.
    fn ends(&self, ends: &[Result<u64, Refusal>], left: &[(u64, Cause, u32)]) {
        let model = self.model();
        let (mut slow, mut fast) = (Seen::default(), Seen::default());
        let checked = oracle::run(&model, &mut slow);
        crate::run(&model, &mut fast);
        let expected: Ends = ends.to_vec();
        for (name, seen) in [("oracle", &slow), ("engine", &fast)] {
            let ended = seen.outcomes.values().map(|outcome| outcome.map(|served| served.end.0));
            assert_eq!(ended.collect::<Ends>(), expected, "{name}");
            let later = seen.lost.iter().filter(|(_, lost)| {
                lost.requests > 0 && !matches!(lost.cause, Cause::Crash { .. })
            });
            let later: Vec<(u64, Cause, u32)> =
                later.map(|(at, lost)| (*at, lost.cause, lost.requests)).collect();
            assert_eq!(later, left, "{name}");
        }
        assert_eq!(fast.lost, slow.lost);
        let responses: u64 = slow
            .outcomes
            .iter()
            .filter_map(|((at, ..), outcome)| Some(outcome.ok()?.end.0 - at))
            .sum();
        assert_eq!(checked.presence - checked.lost_presence, u128::from(responses));
    }
}

const FAILED: Result<u64, Refusal> = Err(Refusal::Failed);
const NO_INSTANCE: Result<u64, Refusal> = Err(Refusal::NoInstance);

/// What waits when the last instance has left waits for one that starts, also if its start is held
/// back; what arrives then is refused.
#[test]
fn it_waits_for_an_instance_that_starts() {
    let mut scene = left_waiting();
    scene.arrivals.push((60, 1));
    scene.ends(&[FAILED, Ok(100), Ok(640), NO_INSTANCE], &[]);
    scene.back_off = 100;
    scene.ends(&[FAILED, Ok(100), Ok(740), NO_INSTANCE], &[]);
    // It doesn't matter for how long the one that left holds its machine.
    scene.cool_down = 600;
    scene.ends(&[FAILED, Ok(100), Ok(740), NO_INSTANCE], &[]);
    scene.cool_down = 5000;
    scene.ends(&[FAILED, Ok(100), Ok(740), NO_INSTANCE], &[]);
}

/// The scaling rule takes the one away that starts: nobody is left, so what waits fails.
#[test]
fn it_fails_when_the_last_start_is_called_off() {
    let mut scene = left_waiting();
    scene.wanted.push((200, 0));
    scene.ends(&[FAILED, Ok(100), FAILED], &[(200, Cause::Left, 1)]);
    // One that starts later, when the queue is empty, changes nothing.
    scene.wanted.push((300, 1));
    scene.ends(&[FAILED, Ok(100), FAILED], &[(200, Cause::Left, 1)]);
    // The app isn't gone before the last one has given its machine back.
    scene.cool_down = 400;
    scene.wanted.pop();
    scene.ends(&[FAILED, Ok(100), FAILED], &[(420, Cause::Left, 1)]);
    // Until then somebody may be sent for.
    scene.wanted.push((300, 1));
    scene.ends(&[FAILED, Ok(100), Ok(900)], &[]);
    // Of two that start one is enough.
    let mut scene = left_waiting();
    scene.wanted.extend([(60, 2), (200, 1)]);
    scene.ends(&[FAILED, Ok(100), Ok(640)], &[]);
}

/// It fails at the instant at which the last one has left, if nobody starts any more by then.
#[test]
fn it_fails_when_the_last_instance_has_left() {
    let mut scene = left_waiting();
    scene.wanted.push((60, 0));
    scene.ends(&[FAILED, Ok(100), FAILED], &[(100, Cause::Left, 1)]);
    scene.arrivals = vec![(0, 2), (30, 1), (35, 1)];
    scene.cool_down = 200;
    scene.ends(&[FAILED, Ok(100), FAILED, FAILED], &[(220, Cause::Left, 2)]);
}

/// A machine fails on which an instance only starts.
#[test]
fn it_fails_when_the_last_start_is_lost_with_its_machine() {
    let mut scene = left_waiting();
    scene.failures = vec![(0, 205)];
    scene.ends(&[FAILED, Ok(100), FAILED], &[(205, Cause::Machine, 1)]);
    // Another one starts elsewhere, or the last one isn't gone yet.
    scene.wanted.push((60, 2));
    scene.ends(&[FAILED, Ok(100), Ok(660)], &[]);
    let mut scene = left_waiting();
    scene.failures = vec![(0, 195)];
    scene.cool_down = 600;
    scene.wanted.push((200, 0));
    scene.ends(&[FAILED, Ok(100), FAILED], &[(620, Cause::Left, 1)]);
    // The rule starts another one at once.
    scene.wanted.pop();
    scene.ends(&[FAILED, Ok(100), Ok(800)], &[]);
}

/// A machine fails where an instance has left that still holds it.
#[test]
fn it_goes_on_waiting_when_only_one_that_has_left_is_lost() {
    let mut scene = left_waiting();
    (scene.cool_down, scene.failures) = (600, vec![(1, 150)]);
    scene.ends(&[FAILED, Ok(100), Ok(640)], &[]);
    // Nobody else starts any more.
    scene.wanted.push((60, 0));
    scene.ends(&[FAILED, Ok(100), FAILED], &[(150, Cause::Machine, 1)]);
}

/// The last ready instance crashes, or its machine fails: what waits fails with it, as what arrives
/// from then on is refused, though others start.
#[test]
fn it_fails_with_the_last_ready_instance() {
    let mut scene = left_waiting();
    scene.wanted = vec![(0, 3)];
    scene.crashes.push((1, 50));
    scene.arrivals.push((60, 1));
    let ends = [FAILED, FAILED, FAILED, NO_INSTANCE];
    scene.ends(&ends, &[]);
    (scene.crashes, scene.failures) = (vec![(0, 40)], vec![(1, 50)]);
    scene.ends(&ends, &[(50, Cause::Machine, 2)]);
    // While one is ready it doesn't.
    scene.failures = vec![];
    scene.ends(&[FAILED, Ok(100), Ok(200), Ok(300)], &[]);
}

/// An app that shrinks to nothing serves what waits at that time.
#[test]
fn nothing_is_lost_when_an_app_shrinks_to_nothing() {
    for scope in [QueueScope::Central, QueueScope::Node, QueueScope::Instance] {
        let scene = Scene {
            scope,
            wanted: vec![(0, 2), (20, 0)],
            crashes: vec![],
            arrivals: vec![(0, 2), (10, 2), (30, 1)],
            ..left_waiting()
        };
        scene.ends(&[Ok(100), Ok(100), Ok(200), Ok(200), NO_INSTANCE], &[]);
    }
}

/// The queue of a machine is no different, but that all that it waits for is there.
#[test]
fn queues_of_machines_are_the_same() {
    let mut scene = left_waiting_on_a_machine();
    let ends = |last| [FAILED, Ok(100), FAILED, last, last];
    scene.ends(&ends(Ok(640)), &[]);
    scene.wanted.push((200, 0));
    scene.ends(&ends(FAILED), &[(200, Cause::Left, 2)]);
    scene.wanted.pop();
    scene.failures = vec![(0, 205)];
    scene.ends(&ends(FAILED), &[(205, Cause::Machine, 2)]);
    // Also if the last one that has left still holds the machine.
    scene.cool_down = 600;
    scene.ends(&ends(FAILED), &[(205, Cause::Machine, 2)]);
}

//! A policy beside the live one.

use policy::rollout::Load;
use scheduler_core::app::Bounds;
use scheduler_core::event::{Call, MachineFact};
use scheduler_core::ids::{Epoch, RequestId};
use scheduler_core::machine::Description;
use scheduler_core::{Command, Event, apply_all};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn deploy() -> Event {
    let text = "app: web\nversion: 1\nshell: x\ninstances: {min: 1, max: 9}\n";
    let file = crate::app_file::read(text, diagnostics::SourceId(0)).app.unwrap();
    let call = Call::Deploy {
        app: file.app,
        specification: file.specification.into(),
        bounds: Bounds { min: 1, max: 9 },
        step: None,
    };
    Event::Call { request: RequestId(1), call }
}

/// A live policy with a target of 10 and a candidate with another one see the same load; what both
/// want at the end, what was told, and whether each decision was compared.
fn compare(target: u32) -> ((u32, u32), Vec<Difference>, u64) {
    let mut live = Policy::recommended();
    live.scaling.target = 10;
    live.scaling.cool_down = policy::Nanoseconds::from_seconds(2);
    let mut candidate = live;
    candidate.scaling.target = target;
    let mut state = State::new(live);
    let mut shadow = Shadow::new(candidate, Time(0), Time(u64::MAX));
    let machine = Description { millicores: 9000, memory_mib: 9000, ..Description::default() };
    let up = Event::Machine { machine: "m1".parse().unwrap(), fact: MachineFact::Up(machine) };
    let (mut events, mut found) =
        (vec![Event::Leader { epoch: Epoch(1) }, up, deploy()], Vec::new());
    let mut rollouts = 0;
    for second in 1..40 {
        let now = Time(second * SECOND);
        let load = Load { busy_thousandths: 1000, waiting: 24, arrivals: 9, rejects: 0 };
        events.push(Event::Load { app: "web".parse().unwrap(), at: now, load });
        events.push(Event::Tick);
        let mut next = Vec::new();
        for command in apply_all(&mut state, events, now) {
            match command {
                Command::Persist(write) => next.push(Event::Durable { write: write.number }),
                Command::Record(decision) => {
                    rollouts += u64::from(!matches!(decision.decided, Decided::Scaling { .. }));
                    found.extend(shadow.decided(&decision));
                }
                _ => {}
            }
        }
        found.extend(shadow.look(&state, now));
        events = next;
    }
    let app = state.apps().values().next().unwrap();
    let followed = shadow.apps.values().next().unwrap();
    assert!(shadow.counts().0 >= rollouts + 30, "{:?}", shadow.counts());
    ((app.wanted, followed.wanted), found, shadow.counts().1)
}

#[test]
fn the_same_policy_never_differs() {
    // It looks a moment later in the same turn, so it is never ahead.
    let (wanted, found, different) = compare(10);
    assert_eq!((wanted, found, different), ((3, 3), vec![], 0));
}

#[test]
fn another_target_leads_to_other_numbers_which_are_told_when_they_change() {
    let (wanted, found, different) = compare(5);
    assert_eq!(wanted, (3, 5));
    assert!(different > found.len() as u64, "a difference that lasts is told once");
    let last = found.last().unwrap();
    assert_eq!((last.kind.as_str(), last.app.as_deref()), ("scaling", Some("web")));
    assert!(
        last.text.starts_with("3 instances are wanted, it would want 5 for 25 tasks: +"),
        "{}",
        last.text
    );
}

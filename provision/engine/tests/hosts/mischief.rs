//! Helpers that break the protocol: their host is out, the others converge, nothing hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use provision_engine::event::{Event, Outcome};
use provision_protocol::{CallResult, Frame, FromHost, Object};

use crate::lab::{Awaited, Lab, Ran};
use crate::relay::{Act, Side};

const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: one, dest: '{{ root }}/1'}
    - copy: {content: two, dest: '{{ root }}/2'}
    - copy: {content: three, dest: '{{ root }}/3'}
    - command: 'true'
    - copy: {content: four, dest: '{{ root }}/4'}
";

fn parse(frame: &Frame) -> Option<FromHost> {
    match frame {
        Frame::Message(payload) => Frame::parse(payload).ok(),
        Frame::Content { .. } => None,
    }
}

fn result(id: u64) -> FromHost {
    let mut values = Object::new();
    values.insert("changed".into(), true.into());
    FromHost::Result(Box::new(CallResult { id, result: values, duration_us: 0 }))
}

/// When `a` starts its call of this number or a later one, `acts` happen.
fn run_from(from: u64, acts: fn() -> Vec<Act>) -> (Lab, Ran) {
    let lab = Lab::new(&["a", "b"]);
    lab.host("a").set_mischief(move |side, frame| match (side, parse(frame)) {
        (Side::ToController, Some(FromHost::Started { id })) if id >= from => acts(),
        _ => vec![Act::Pass],
    });
    let ran = lab.apply(PLAYBOOK);
    (lab, ran)
}

/// Runs the playbook; when `a` starts its second call or a later one, `acts` happen.
fn run(acts: fn() -> Vec<Act>) -> (Lab, Ran) {
    run_from(2, acts)
}

fn assert_only_a_is_out((lab, ran): (Lab, Ran), reason: &str) {
    let ran = ran.expect(Outcome::Unreachable);
    let unreachable: Vec<(&str, &str)> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::HostUnreachable { host, message, .. } => Some((host.as_str(), message.as_str())),
            _ => None,
        })
        .collect();
    let [("a", message)] = unreachable.as_slice() else { panic!("{}", ran.story()) };
    assert!(message.contains(reason), "{message}");
    assert_eq!((ran.recap("b").ok, ran.recap("b").changed), (5, 5), "{}", ran.story());
    assert_eq!(lab.host("b").text("4"), "four");
    assert!(!ran.warnings().iter().any(|text| text.contains("internal")), "{}", ran.story());
}

#[test]
fn garbage_instead_of_frames() {
    assert_only_a_is_out(run(|| vec![Act::Bytes(vec![0xff; 100])]), "not allowed");
    assert_only_a_is_out(run(|| vec![Act::Bytes(vec![0, 0, 0, 1, 9])]), "unknown frame kind");
}

#[test]
fn messages_that_nobody_understands() {
    let unknown = || vec![Act::Instead(Frame::Message(b"{\"type\":\"own\"}".to_vec()))];
    assert_only_a_is_out(run(unknown), "nonsense");
    assert_only_a_is_out(run(|| vec![Act::Instead(Frame::Message(vec![0xff]))]), "nonsense");
}

#[test]
fn answers_out_of_turn() {
    // Of a call that waits behind the running one, of one that there isn't, and a second one.
    for answer in [3, 99, 1] {
        let acts: fn() -> Vec<Act> = match answer {
            3 => || vec![Act::Pass, Act::Tell(result(3))],
            99 => || vec![Act::Pass, Act::Tell(result(99))],
            _ => || vec![Act::Pass, Act::Tell(result(1))],
        };
        assert_only_a_is_out(run(acts), "out of turn");
    }
    let dropped = || vec![Act::Pass, Act::Tell(FromHost::Dropped { id: 3 })];
    assert_only_a_is_out(run(dropped), "out of turn");
}

#[test]
fn a_call_that_is_dropped_without_a_reason() {
    let dropped = || vec![Act::Pass, Act::Tell(FromHost::Dropped { id: 2 })];
    assert_only_a_is_out(run(dropped), "unasked");
}

#[test]
fn a_helper_that_says_nothing_does_not_keep_the_operator() {
    let lab = Lab::new(&["a", "b"]);
    lab.host("a").set_mischief(|side, frame| match (side, parse(frame)) {
        (Side::ToController, Some(FromHost::Started { id: 2 })) => vec![Act::Hush],
        _ => vec![Act::Pass],
    });
    // Everything up to the fence is done on the other host.
    let results = Arc::new(AtomicUsize::new(0));
    let counted = results.clone();
    lab.host("b").set_mischief(move |side, frame| {
        let is_one =
            matches!((side, parse(frame)), (Side::ToController, Some(FromHost::Result(_))));
        counted.fetch_add(usize::from(is_one), Ordering::SeqCst);
        vec![Act::Pass]
    });
    let are_there: Awaited = Box::new(move || results.load(Ordering::SeqCst) >= 3);
    let ran = lab.try_apply(PLAYBOOK, Some(are_there)).unwrap().expect(Outcome::Interrupted);
    assert_eq!(ran.recap("b").changed, 3, "{}", ran.story());
}

#[test]
fn a_fatal_helper_and_one_that_never_greets() {
    let fatal = || vec![Act::Tell(FromHost::Fatal { message: "out of everything".into() })];
    assert_only_a_is_out(run(fatal), "out of everything");
    let lab = Lab::new(&["a", "b"]);
    lab.host("a").set_mischief(|_, _| vec![Act::Cut]);
    let ran = lab.apply(PLAYBOOK);
    assert_only_a_is_out((lab, ran), "ended before it answered");
}

//! Each rule once, by hand: what may go, what waits, and what it says it waits for.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use provision_plan::{Dispatcher, Flow, HostIndex, Misuse, Order, Position, Scope, Step, Turn};

const A: HostIndex = HostIndex(0);
const B: HostIndex = HostIndex(1);

fn at(numbers: &[u32]) -> Position {
    Position::from(numbers.to_vec())
}

/// A Host step with nothing of scope World behind it.
fn host(number: u32) -> Step {
    Step { world_after: None, world_if_failed: None, ..Step::host(at(&[number])) }
}

fn world(number: u32) -> Step {
    Step { scope: Scope::World, ..host(number) }
}

fn then_world(step: Step, number: u32) -> Step {
    Step { world_after: Some(at(&[number])), ..step }
}

fn send(hosts: &mut Dispatcher, host: HostIndex, step: Step) {
    hosts.next_is(host, step).unwrap();
    assert_eq!(hosts.may_evaluate(host), provision_plan::Verdict::Go);
    hosts.sent(host).unwrap();
}

fn waits(verdict: provision_plan::Verdict) -> String {
    match verdict {
        provision_plan::Verdict::Go => "goes".to_owned(),
        provision_plan::Verdict::Wait(reason) => reason.to_string(),
    }
}

#[test]
fn host_steps_stream_past_each_other() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    hosts.next_is(B, host(0)).unwrap();
    (0..5).for_each(|number| send(&mut hosts, A, host(number)));
    assert_eq!(hosts.in_flight(A).count(), 5);
}

#[test]
fn nothing_goes_before_each_host_has_said_something() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    hosts.next_is(A, host(1)).unwrap();
    let why = "waits for what host 1 may do at the start, which other hosts can observe";
    assert_eq!(waits(hosts.may_evaluate(A)), why);
}

#[test]
fn a_world_step_waits_for_others_earlier_steps_but_not_for_its_own() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    hosts.next_is(A, then_world(host(0), 1)).unwrap();
    send(&mut hosts, B, then_world(host(0), 1));
    hosts.sent(A).unwrap();
    hosts.next_is(A, world(1)).unwrap();
    hosts.next_is(B, world(1)).unwrap();
    assert!(hosts.may_evaluate(A).is_go());
    assert_eq!(waits(hosts.may_send(A)), "waits until host 1 has finished 0");
    hosts.finished(B, &at(&[0])).unwrap();
    assert!(hosts.may_send(A).is_go(), "its own step at 0 is before it on its channel");
    assert!(!hosts.may_send(B).is_go(), "A's step at 0 is unfinished");
}

#[test]
fn later_steps_wait_until_a_world_step_has_ended_everywhere() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    hosts.next_is(B, world(1)).unwrap();
    send(&mut hosts, A, world(1));
    hosts.finished(A, &at(&[1])).unwrap();
    hosts.next_is(A, host(2)).unwrap();
    let why = "waits for what host 1 may do at 1, which other hosts can observe";
    assert_eq!(waits(hosts.may_send(A)), why);
    assert!(!hosts.released().contains(&B) || hosts.may_send(B).is_go());
    hosts.passed(B).unwrap();
    hosts.at_end(B).unwrap();
    assert!(hosts.released().contains(&A));
    assert!(hosts.may_send(A).is_go());
}

#[test]
fn a_rescue_that_may_be_entered_holds_others_back() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    let rescue = Some(at(&[0, 1, 0]));
    let in_block =
        Step { world_after: rescue.clone(), world_if_failed: rescue, ..Step::host(at(&[0, 0, 0])) };
    hosts.next_is(B, host(1)).unwrap();
    send(&mut hosts, A, in_block);
    hosts.next_is(A, host(1)).unwrap();
    assert!(hosts.may_send(A).is_go(), "A itself may go on: the helper drops it on failure");
    assert!(!hosts.may_send(B).is_go());
    let mut good = hosts.clone();
    good.finished(A, &at(&[0, 0, 0])).unwrap();
    assert!(good.may_send(B).is_go());
    hosts.failed(A, &at(&[0, 0, 0])).unwrap();
    hosts.next_is(A, Step { world_after: None, ..Step::world(at(&[0, 1, 0])) }).unwrap();
    assert!(!hosts.may_send(B).is_go());
    hosts.deactivate(A);
    assert!(hosts.may_send(B).is_go());
}

#[test]
fn a_world_evaluation_is_a_fence_until_it_is_sent() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    hosts.next_is(A, Step { evaluation: Scope::World, ..host(1) }).unwrap();
    hosts.next_is(B, host(2)).unwrap();
    assert!(hosts.may_evaluate(A).is_go());
    assert!(!hosts.may_evaluate(B).is_go());
    hosts.sent(A).unwrap();
    hosts.at_end(A).unwrap();
    assert!(hosts.may_send(B).is_go(), "A's step itself is of scope Host");
}

#[test]
fn run_once_is_for_the_first_active_host() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    let once = || Step { turn: Turn::Once, ..host(1) };
    hosts.next_is(B, once()).unwrap();
    assert!(!hosts.may_evaluate(B).is_go(), "A may still come here");
    hosts.next_is(A, once()).unwrap();
    assert_eq!(waits(hosts.may_evaluate(B)), "runs once, on host 0");
    let mut left = hosts.clone();
    left.deactivate(A);
    assert!(left.released().contains(&B) && left.may_send(B).is_go());
    hosts.sent(A).unwrap();
    assert_eq!(hosts.announced_at(&at(&[1])).collect::<Vec<_>>(), [B]);
    assert!(!hosts.may_evaluate(B).is_go());
    hosts.finished(A, &at(&[1])).unwrap();
    assert_eq!(hosts.passed(B), Ok(vec![at(&[1])]));
}

#[test]
fn run_once_is_evaluated_when_nothing_can_take_its_host_away() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    let once = || Step { turn: Turn::Once, ..host(1) };
    hosts.next_is(B, once()).unwrap();
    hosts.next_is(A, then_world(host(0), 1)).unwrap();
    hosts.sent(A).unwrap();
    hosts.next_is(A, once()).unwrap();
    let why = "waits for the host's own step at 0";
    assert_eq!(waits(hosts.may_evaluate(A)), why, "B would share a skip that may not hold");
    hosts.failed(A, &at(&[0])).unwrap();
    hosts.deactivate(A);
    assert!(hosts.may_evaluate(B).is_go());
}

#[test]
fn own_steps_keep_their_order_where_the_channel_does_not() {
    let mut hosts = Dispatcher::new(1, Order::Free);
    send(&mut hosts, A, host(0));
    send(&mut hosts, A, Step { flow: Flow::Judged, ..host(1) });
    hosts.next_is(A, host(2)).unwrap();
    assert_eq!(waits(hosts.may_send(A)), "waits for the host's own step at 1");
    hosts.finished(A, &at(&[0])).unwrap();
    hosts.finished(A, &at(&[1])).unwrap();
    hosts.sent(A).unwrap();
    hosts.next_is(A, Step { flow: Flow::Alone, ..host(3) }).unwrap();
    assert!(hosts.may_evaluate(A).is_go() && !hosts.may_send(A).is_go());
    hosts.finished(A, &at(&[2])).unwrap();
    hosts.sent(A).unwrap();
    hosts.next_is(A, host(4)).unwrap();
    assert!(!hosts.may_evaluate(A).is_go(), "the one before may change what this reads");
}

#[test]
fn passes_are_provisional_while_something_is_in_flight() {
    let mut hosts = Dispatcher::new(1, Order::Fenced);
    send(&mut hosts, A, host(0));
    hosts.next_is(A, host(1)).unwrap();
    assert_eq!(hosts.passed(A), Ok(vec![]));
    send(&mut hosts, A, host(2));
    let mut failing = hosts.clone();
    assert_eq!(failing.failed(A, &at(&[0])), Ok(vec![at(&[1]), at(&[2])]));
    assert_eq!(hosts.finished(A, &at(&[0])), Ok(vec![at(&[0]), at(&[1])]));
    assert_eq!(hosts.finished(A, &at(&[2])), Ok(vec![at(&[2])]));
}

#[test]
fn strict_order_sends_nothing_ahead() {
    let mut hosts = Dispatcher::new(1, Order::Strict);
    send(&mut hosts, A, host(0));
    hosts.next_is(A, host(1)).unwrap();
    assert!(!hosts.may_evaluate(A).is_go() && !hosts.may_send(A).is_go());
}

#[test]
fn defects_of_the_engine_are_named() {
    let mut hosts = Dispatcher::new(2, Order::Fenced);
    hosts.next_is(A, host(1)).unwrap();
    assert!(matches!(hosts.sent(A), Err(Misuse::TooEarly { .. })));
    assert!(matches!(hosts.next_is(A, host(0)), Err(Misuse::Backwards { .. })));
    assert!(matches!(hosts.next_is(A, world(2)), Err(Misuse::Unforeseen { .. })));
    assert!(matches!(hosts.finished(A, &at(&[1])), Err(Misuse::NotFirstInFlight { .. })));
    hosts.at_end(A).unwrap();
    assert!(matches!(hosts.next_is(A, host(2)), Err(Misuse::Ended { .. })));
    assert_eq!(hosts.passed(A), Err(Misuse::NothingAnnounced(A)));
    hosts.deactivate(A);
    assert_eq!(hosts.at_end(A), Err(Misuse::Inactive(A)));
    assert_eq!(hosts.at_end(HostIndex(7)), Err(Misuse::Inactive(HostIndex(7))));
}

proptest! {
    #[test]
    fn the_first_child_is_the_least_position_after(
        one in proptest::collection::vec(0u32..3, 0..4),
        other in proptest::collection::vec(0u32..3, 0..4),
    ) {
        prop_assert_eq!(at(&one).cmp(&at(&other)), one.cmp(&other));
        if one < other {
            prop_assert!(at(&one).child(0) <= at(&other));
        }
    }
}

//! What deciding costs: 1,000 hosts × 100 tasks. `cargo run --release --example cost`.
#![allow(clippy::disallowed_types, reason = "this measures time; the crate itself has none")]

use provision_plan::{Dispatcher, HostIndex, Misuse, Order, Position, Step};
use std::time::{Duration, Instant};

const HOSTS: usize = 1_000;
const TASKS: u32 = 100;

/// What a whole play costs, and how many hosts were tried.
struct Cost {
    time: Duration,
    tries: u64,
}

fn main() -> Result<(), Misuse> {
    for (name, every) in [("no World step", TASKS + 1), ("each 10th", 10), ("all", 1)] {
        let cost = run(every)?;
        let steps = f64::from(TASKS) * 1000.0;
        let each = cost.time.as_secs_f64() / steps * 1e6;
        println!("{name}: {:?}, {} tries, {each:.2} µs a step", cost.time, cost.tries);
    }
    Ok(())
}

/// Results arrive host by host, the worst order for fences; only hosts named by `released` are
/// tried.
fn run(world_every: u32) -> Result<Cost, Misuse> {
    let is_world = |task: u32| task % world_every == world_every - 1;
    let world_from = |task: u32| (task..TASKS).find(|task| is_world(*task)).map(position);
    let steps: Vec<Step> = (0..TASKS)
        .map(|task| {
            let step = if is_world(task) { Step::world } else { Step::host };
            let world_after = world_from(task + 1);
            Step { world_after, world_if_failed: None, ..step(position(task)) }
        })
        .collect();
    let start = Instant::now();
    let mut dispatcher = Dispatcher::new(HOSTS, Order::Fenced);
    let mut next = vec![steps.iter(); HOSTS];
    let mut tries = 0;
    for (host, next) in (0..).map(HostIndex).zip(&mut next) {
        announce(&mut dispatcher, host, next.next())?;
    }
    let mut to_try: Vec<HostIndex> = (0..HOSTS).map(HostIndex).collect();
    let mut flying = true;
    while flying {
        flying = false;
        for host in std::mem::take(&mut to_try) {
            tries += 1;
            while dispatcher.may_evaluate(host).is_go() && dispatcher.may_send(host).is_go() {
                dispatcher.sent(host)?;
                let step = next.get_mut(host.0).and_then(Iterator::next);
                announce(&mut dispatcher, host, step)?;
            }
        }
        for host in (0..HOSTS).map(HostIndex) {
            let first = dispatcher.in_flight(host).next().cloned();
            if let Some(position) = first {
                dispatcher.finished(host, &position)?;
                to_try.push(host);
                flying = true;
            }
            to_try.extend(dispatcher.released());
        }
        to_try.sort_unstable();
        to_try.dedup();
    }
    Ok(Cost { time: start.elapsed(), tries })
}

fn announce(
    dispatcher: &mut Dispatcher,
    host: HostIndex,
    step: Option<&Step>,
) -> Result<(), Misuse> {
    match step {
        Some(step) => dispatcher.next_is(host, step.clone()),
        None => dispatcher.at_end(host),
    }
}

fn position(task: u32) -> Position {
    Position::root().child(task)
}

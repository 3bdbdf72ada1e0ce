//! Random plays on three model hosts: what the dispatcher lets be sent ahead must leave the same
//! states and results as one task at a time over all hosts (DESIGN.md 3.1).
//!
//! `CORRAL_PLAYS=N` runs N plays instead of 10,000. A failure prints the seed and the smallest
//! play that still fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod model;

use model::ahead::{Ahead, Watch};
use model::cursor::Cursor;
use model::generate;
use model::linear::{self, Linear};
use model::play::{Play, State};
use model::random::Random;
use provision_plan::Order;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Default, Debug)]
struct Figures {
    plays: usize,
    linear_round_trips: usize,
    round_trips: usize,
    most_in_flight: usize,
    failures: usize,
}

/// The number of plays is an argument of the test run, not of the pure code.
#[allow(clippy::disallowed_methods)]
fn plays() -> u64 {
    std::env::var("CORRAL_PLAYS").ok().and_then(|plays| plays.parse().ok()).unwrap_or(10_000)
}

fn same<T: PartialEq + Debug>(what: &str, ahead: &T, linear: &T) -> Result<(), String> {
    if ahead == linear {
        return Ok(());
    }
    Err(format!("{what} differ\n  ahead  {ahead:?}\n  linear {linear:?}"))
}

fn compare(ahead: &Ahead<'_>, linear: &Linear) -> Result<(), String> {
    let state = |state: &State| (state.local, state.world, state.names, state.active);
    same("results", &ahead.results, &linear.results)?;
    same("states", &state(&ahead.state), &state(&linear.state))
}

/// Runs a play in every way; returns round trips when sent ahead and the most in flight.
fn check(play: &Play, seed: u64, linear: &Linear) -> Result<(usize, usize), String> {
    let mut ways = vec![(Order::Fenced, Watch::Results), (Order::Fenced, Watch::Wakes)];
    if seed.is_multiple_of(4) {
        ways.push((Order::Strict, Watch::Wakes));
    }
    if !Cursor::meets_world(play) {
        ways.push((Order::Free, Watch::Wakes));
    }
    for (way, (order, watch)) in (0..).zip(ways) {
        let mut ahead = Ahead::new(play, order);
        let why = |why| format!("{order:?} {way}: {why}");
        ahead.run(&mut Random::new(seed * 8 + way), watch).map_err(why)?;
        compare(&ahead, linear).map_err(why)?;
    }
    let mut ahead = Ahead::new(play, Order::Fenced);
    let round_trips = ahead.run_in_rounds()?;
    compare(&ahead, linear).map_err(|why| format!("in rounds: {why}"))?;
    if round_trips > linear.round_trips {
        return Err(format!("{round_trips} round trips, linear {}", linear.round_trips));
    }
    Ok((round_trips, ahead.most_in_flight))
}

/// As `check`, with panics as errors.
fn tolerant(play: &Play, seed: u64, linear: &Linear) -> Result<(usize, usize), String> {
    catch_unwind(AssertUnwindSafe(|| check(play, seed, linear)))
        .unwrap_or_else(|panic| Err(format!("panic: {:?}", panic.downcast_ref::<String>())))
}

/// The smallest play that still fails, by taking away greedily, with what is wrong.
fn shrink(play: Play, seed: u64, why: String) -> (Play, String) {
    let (mut play, mut why) = (play, why);
    'smaller: loop {
        for smaller in generate::smaller(&play) {
            let linear = linear::run(&smaller);
            let failing =
                (0..20).find_map(|try_seed| tolerant(&smaller, seed + try_seed, &linear).err());
            if let Some(reason) = failing {
                (play, why) = (smaller, reason);
                continue 'smaller;
            }
        }
        return (play, why);
    }
}

fn prove(seeds: impl Iterator<Item = u64>) -> Figures {
    let mut figures = Figures::default();
    for seed in seeds {
        let play = generate::play(&mut Random::new(seed));
        let linear = linear::run(&play);
        match tolerant(&play, seed, &linear) {
            Ok((round_trips, most_in_flight)) => {
                figures.plays += 1;
                figures.linear_round_trips += linear.round_trips;
                figures.round_trips += round_trips;
                figures.most_in_flight = figures.most_in_flight.max(most_in_flight);
                figures.failures += linear.state.active.iter().filter(|active| !**active).count();
            }
            Err(why) => {
                let (play, why) = shrink(play, seed, why);
                panic!("seed {seed}: {why}\n{play:?}");
            }
        }
    }
    println!("{figures:?}");
    assert!(
        figures.round_trips * 10 < figures.linear_round_trips * 8,
        "sending ahead saves too little: {figures:?}"
    );
    figures
}

// Two halves, so that the test runner uses two cores.

#[test]
fn even_plays_end_as_one_task_at_a_time() {
    prove((0..plays()).step_by(2));
}

#[test]
fn odd_plays_end_as_one_task_at_a_time() {
    prove((1..plays()).step_by(2));
}

//! Random schedules: a small master, agents that come and go, streams that break, a core that stores
//! slowly. What has to hold is checked from outside after each step; when all is calm, everything
//! that was launched has ended or runs, and nothing is left unacknowledged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test; the environment asks for more schedules"
)]

mod world;

use world::World;

/// Plays a schedule, and counts what happened.
fn check(seed: u64) -> [u64; 7] {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = World::new(seed);
        for _ in 0..300 {
            world.step();
        }
        world.heal();
        world.counts()
    });
    outcome.unwrap_or_else(|_| panic!("seed {seed} fails; add it to tests/regressions/seeds.txt"))
}

#[test]
fn seeds_that_failed_once() {
    let seeds = include_str!("regressions/seeds.txt");
    for line in seeds.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        check(line.split_whitespace().next().unwrap().parse().unwrap());
    }
}

#[test]
fn nothing_is_launched_twice_lost_or_acknowledged_too_early() {
    let runs: u64 = std::env::var("MESOS_SCHEDULES").map_or(150, |text| text.parse().unwrap());
    let first: u64 = std::env::var("MESOS_FIRST_SEED").map_or(1, |text| text.parse().unwrap());
    let mut sum = [0; 7];
    for seed in first..first + runs {
        for (sum, count) in sum.iter_mut().zip(check(seed)) {
            *sum += count;
        }
    }
    // The schedules must exercise what they check: launches, acknowledgements, broken streams, kills,
    // volumes that are made and destroyed, reservations that are given back.
    let [often @ .., given_back, destroyed] = sum;
    assert!(often.iter().all(|count| *count > runs), "{sum:?}");
    assert!(given_back.min(destroyed) * 8 > runs, "{sum:?}");
}

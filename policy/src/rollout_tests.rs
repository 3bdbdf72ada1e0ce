//! Steps by table, and a small fleet under random loads, failures and lack of room.

use proptest::prelude::*;

use super::*;
use crate::config::Policy;

fn rules() -> Rollout {
    Rollout {
        surge_thousandths: 250,
        step: u32::MAX,
        warm_up: Nanoseconds::from_seconds(30),
        warm_up_floor_thousandths: 100,
        progress_deadline: Nanoseconds::from_seconds(600),
        failures_most: 5,
        utilisation_thousandths: 800,
        ..Policy::recommended().rollout
    }
}

fn serving(count: u32) -> Group {
    let capacity_thousandths = u64::from(count) * 1000;
    Group { serving: count, capacity_thousandths, ..Group::default() }
}

fn seen(wanted: u32, stay: Group, leave: Group) -> Observation {
    Observation {
        wanted,
        demand: None,
        stay,
        unplaced: 0,
        leave,
        stopping: 0,
        others: leave.all(),
        is_frozen: false,
        is_in_place: false,
    }
}

#[test]
fn demand_is_littles_law_with_what_was_rejected() {
    let load = |busy_thousandths, waiting, arrivals, rejects| {
        demand(&rules(), &Load { busy_thousandths, waiting, arrivals, rejects })
    };
    assert_eq!(load(0, 0, 0, 0), 0);
    assert_eq!(load(8_000, 0, 100, 0), 10, "8 busy at 80 %");
    assert_eq!(load(8_001, 0, 100, 0), 11);
    assert_eq!(load(8_000, 0, 200, 100), 20, "half of it was rejected");
    assert_eq!(load(8_000, 3, 100, 0), 11, "what waits needs one more");
    assert_eq!(load(u64::MAX, 1, u64::MAX, u64::MAX), u32::MAX);
    assert_eq!(load(8_000, 0, 5, 9), 50, "more rejects than arrivals is noise");
}

#[test]
fn a_first_deployment_starts_everything() {
    let step = decide(&rules(), &seen(8, Group::default(), Group::default()));
    assert_eq!(step, Step { start: 8, ..Step::default() });
}

/// The platform's example: three of the old version, two new ones are started first.
#[test]
fn an_upgrade_starts_new_ones_first_and_retires_for_each_that_serves() {
    let rules = Rollout { surge_thousandths: 500, ..rules() };
    let step = decide(&rules, &seen(3, Group::default(), serving(3)));
    assert_eq!((step.start, step.retire), (2, 0));
    let warming = Group { serving: 2, capacity_thousandths: 200, ..Group::default() };
    let step = decide(&rules, &seen(3, warming, serving(3)));
    let hold = Some(Hold::Replacements { starting: 0 });
    assert_eq!(step, Step { hold, ..Step::default() }, "they only warm up");
    let step = decide(&rules, &seen(3, serving(2), serving(3)));
    assert_eq!((step.start, step.retire), (0, 2));
    let step = decide(&rules, &seen(3, serving(2), serving(1)));
    assert_eq!((step.start, step.retire), (1, 0));
    let step = decide(&rules, &seen(3, serving(3), serving(1)));
    assert_eq!((step.start, step.retire, step.hold), (0, 1, None));
}

#[test]
fn old_ones_make_room_only_below_the_redundancy() {
    let stay = Group { starting: 1, ..Group::default() };
    for (demand, retire) in [(None, 0), (Some(4), 0), (Some(3), 0), (Some(2), 1), (Some(0), 3)] {
        let seen = Observation { demand, unplaced: 1, ..seen(4, stay, serving(4)) };
        assert_eq!(decide(&rules(), &seen).retire, retire, "{demand:?}");
    }
    let rules = Rollout { surge_thousandths: 0, ..rules() };
    let seen = Observation { demand: Some(1), ..seen(4, Group::default(), serving(4)) };
    assert_eq!(decide(&rules, &seen).retire, 2, "without surge, too");
}

#[test]
fn what_does_not_serve_goes_at_once_and_the_ailing_last() {
    let stay = Group { starting: 2, ..serving(4) };
    let step = decide(&rules(), &seen(4, stay, Group::default()));
    assert_eq!(step.surplus, 2);
    let leave = Group { starting: 3, ..Group::default() };
    assert_eq!(decide(&rules(), &seen(4, Group::default(), leave)).cancel, 3);
    let ailing = Group { ailing: 1, ..Group::default() };
    let step = decide(&rules(), &seen(4, serving(3), ailing));
    assert_eq!((step.start, step.retire_ailing), (1, 0), "it may recover");
    let step = decide(&rules(), &seen(4, serving(4), ailing));
    assert_eq!((step.start, step.retire_ailing), (0, 1), "it is replaced");
    let blocked = Group { starting: 1, ..serving(3) };
    let step = decide(&rules(), &Observation { unplaced: 1, ..seen(4, blocked, ailing) });
    assert_eq!(step.retire_ailing, 1, "it has the room");
}

#[test]
fn scaling_in_leaves_what_the_load_needs() {
    let wide = Observation { demand: Some(2), ..seen(3, serving(8), Group::default()) };
    assert_eq!(decide(&rules(), &wide).surplus, 5);
    let warming = Group { serving: 8, capacity_thousandths: 4_500, ..Group::default() };
    let step = decide(&rules(), &seen(3, warming, Group::default()));
    assert_eq!(step.surplus, 1, "eight that warm up carry as much as four and a half");
}

/// What is deleted or scaled to nothing goes before it is warm.
#[test]
fn what_nobody_wants_goes_at_once() {
    let warming = Group { serving: 2, capacity_thousandths: 200, ..Group::default() };
    assert_eq!(decide(&rules(), &seen(0, Group::default(), warming)).retire, 2);
    assert_eq!(decide(&rules(), &seen(0, warming, Group::default())).surplus, 2);
}

#[test]
fn a_freeze_takes_nothing_away() {
    let mut seen = seen(4, Group { starting: 3, ..serving(2) }, serving(4));
    seen.is_frozen = true;
    let hold = Some(Hold::Frozen);
    assert_eq!(decide(&rules(), &seen), Step { hold, ..Step::default() });
}

#[test]
fn an_upgrade_that_stands_still_has_failed_unless_the_version_is_not_to_blame() {
    let rules = rules();
    let at = |seconds| Time::ZERO + Nanoseconds::from_seconds(seconds);
    let seen = seen(4, Group { starting: 1, ..Group::default() }, serving(4));
    let step = decide(&rules, &seen);
    let mut progress = Progress::begin(at(0));
    assert_eq!(judge(&rules, &seen, &step, &mut progress, at(1)), Verdict::GoesOn);
    assert_eq!(judge(&rules, &seen, &step, &mut progress, at(600)), Verdict::GoesOn);
    let failed = Verdict::Failed(Failure::NoProgress(Nanoseconds::from_seconds(600)));
    assert_eq!(judge(&rules, &seen, &step, &mut progress, at(601)), failed);
    let held = Step { hold: Some(Hold::Frozen), ..step };
    assert_eq!(judge(&rules, &seen, &held, &mut progress, at(602)), Verdict::GoesOn);
    progress.failures = 6;
    let failed = Verdict::Failed(Failure::TooManyFailures(6));
    assert_eq!(judge(&rules, &seen, &step, &mut progress, at(603)), failed);
}

#[test]
fn weights_rise_in_steps() {
    let at = |seconds: u64| weight_thousandths(&rules(), Nanoseconds::from_seconds(seconds));
    let weights: Vec<u32> = (0..=31).step_by(3).map(at).collect();
    assert_eq!(weights, [100, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
    let cold = Rollout { warm_up: Nanoseconds::ZERO, ..rules() };
    assert_eq!(weight_thousandths(&cold, Nanoseconds::ZERO), 1000);
}

/// One instance of the small fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Unplaced,
    Starting,
    /// With its weight.
    Serving(u64),
    Ailing,
    Stopping,
}

#[derive(Debug, Default)]
struct Fleet(Vec<(bool, Life)>);

impl Fleet {
    fn group(&self, is_new: bool) -> Group {
        let mut group = Group::default();
        for (_, life) in self.0.iter().filter(|(new, _)| *new == is_new) {
            match life {
                Life::Unplaced | Life::Starting => group.starting += 1,
                Life::Serving(weight) => {
                    group.serving += 1;
                    group.capacity_thousandths += weight;
                }
                Life::Ailing => group.ailing += 1,
                Life::Stopping => {}
            }
        }
        group
    }

    fn count(&self, wanted: impl Fn(bool, Life) -> bool) -> u32 {
        self.0.iter().map(|(new, life)| u32::from(wanted(*new, *life))).sum()
    }

    fn seen(&self, wanted: u32, demand: Option<u32>) -> Observation {
        Observation {
            wanted,
            demand,
            stay: self.group(true),
            unplaced: self.count(|new, life| new && life == Life::Unplaced),
            leave: self.group(false),
            stopping: self.count(|_, life| life == Life::Stopping),
            others: self.count(|new, _| !new),
            is_frozen: false,
            is_in_place: false,
        }
    }

    fn capacity(&self) -> u64 {
        self.group(true).capacity_thousandths + self.group(false).capacity_thousandths
    }

    /// Ends so many, the likeliest to carry much first: the rule must hold for any choice.
    fn stop(&mut self, mut count: u32, wanted: impl Fn(bool, Life) -> bool) {
        let weight = |life: &Life| if let Life::Serving(weight) = life { *weight } else { 0 };
        self.0.sort_by_key(|(_, life)| std::cmp::Reverse(weight(life)));
        for (new, life) in &mut self.0 {
            if count > 0 && wanted(*new, *life) {
                *life = Life::Stopping;
                count -= 1;
            }
        }
        assert_eq!(count, 0, "more are to be stopped than there are");
    }

    fn act(&mut self, step: &Step, machines: usize) {
        let is_starting = |life| matches!(life, Life::Unplaced | Life::Starting);
        let is_serving = |life| matches!(life, Life::Serving(_));
        let idle = step.surplus.min(self.count(|new, life| new && is_starting(life)));
        let ailing = self.count(|new, life| new && life == Life::Ailing).min(step.surplus - idle);
        self.stop(idle, |new, life| new && is_starting(life));
        self.stop(ailing, |new, life| new && life == Life::Ailing);
        self.stop(step.surplus - idle - ailing, |new, life| new && is_serving(life));
        self.stop(step.cancel, |new, life| !new && is_starting(life));
        self.stop(step.retire_ailing, |new, life| !new && life == Life::Ailing);
        self.stop(step.retire, |new, life| !new && is_serving(life));
        self.0.extend((0..step.start).map(|_| (true, Life::Unplaced)));
        let mut used = self.0.iter().filter(|(_, life)| *life != Life::Unplaced).count();
        for (_, life) in self.0.iter_mut().filter(|(_, life)| *life == Life::Unplaced) {
            if used < machines {
                *life = Life::Starting;
                used += 1;
            }
        }
    }

    /// What happens to one of them: `roll` decides.
    fn happens(&mut self, place: usize, roll: u8, is_calm: bool) {
        let Some((_, life)) = self.0.get_mut(place) else { return };
        let is_ended = match *life {
            Life::Stopping => is_calm || roll < 6,
            Life::Starting | Life::Ailing => !is_calm && roll >= 6,
            Life::Unplaced | Life::Serving(_) => false,
        };
        if is_ended {
            self.0.remove(place);
            return;
        }
        *life = match (*life, roll) {
            (Life::Starting, 0..=4) => Life::Serving(100),
            (Life::Serving(weight), 0..=4) => Life::Serving((weight + 300).min(1000)),
            (Life::Serving(_), 5) => Life::Ailing,
            (Life::Ailing, 0..=3) => Life::Serving(1000),
            (life, _) => life,
        };
    }
}

proptest! {
    /// Under any load, failures and lack of room: never more than wanted plus surge, never below
    /// the demand by a decision; and when all is calm it ends, if there is a place to begin.
    #[test]
    fn a_fleet_is_replaced_within_its_bounds(
        wanted in 1u32..12,
        surge in 0u32..1000,
        step_most in 1u32..6,
        events in prop::collection::vec((0usize..24, 0u8..8, 0u32..16, 0usize..30), 0..80),
    ) {
        let rules = Rollout { surge_thousandths: surge, step: step_most, ..rules() };
        let mut fleet = Fleet((0..wanted).map(|_| (false, Life::Serving(1000))).collect());
        let limit = (wanted + super::surge(&rules, wanted)) as usize;
        let most = |fleet: &Fleet| fleet.0.len();
        for (place, roll, demand, machines) in events {
            let demand = (demand < 14).then_some(demand);
            let needed = u64::from(demand.unwrap_or(wanted).min(wanted)) * 1000;
            let seen = fleet.seen(wanted, demand);
            let step = decide(&rules, &seen);
            let before = fleet.capacity();
            fleet.act(&step, machines);
            prop_assert!(fleet.capacity() >= needed.min(before), "{seen:?} {step:?}");
            prop_assert!(most(&fleet) <= limit, "{seen:?} {step:?}");
            fleet.happens(place, roll, false);
        }
        // Calm: room for one more than wanted, half of the load, everything starts and ends.
        let mut progress = Progress::begin(Time::ZERO);
        let mut verdict = Verdict::GoesOn;
        for round in 0..400 {
            let demand = if surge == 0 { Some(wanted.saturating_sub(2)) } else { None };
            let seen = fleet.seen(wanted, demand);
            let step = decide(&rules, &seen);
            verdict = judge(&rules, &seen, &step, &mut progress, Time::ZERO);
            if verdict == Verdict::Done {
                break;
            }
            fleet.act(&step, wanted as usize + 1);
            for place in (0..fleet.0.len()).rev() {
                fleet.happens(place, 0, true);
            }
            prop_assert!(round < 399 || (surge == 0 && wanted < 3), "{seen:?} {step:?}");
        }
        if surge > 0 || wanted >= 3 {
            prop_assert_eq!(verdict, Verdict::Done);
            prop_assert_eq!(fleet.group(true).serving, wanted);
        }
    }
}

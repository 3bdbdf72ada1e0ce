//! Spreading again: on a calm cluster it is even afterwards and never below what was wanted; it is
//! ended by users and by deployments; a core that ends in the middle of it has a successor.

use std::collections::BTreeMap;

use crate::world::{World, app, checks, deploy, machine, seconds};
use scheduler_core::event::{Accepted, Call, Refusal};
use scheduler_core::ids::{MachineName, RequestId};
use scheduler_core::instance::{End, Life};
use scheduler_core::rebalance::{Ending, MoveState, Skip};

fn spread(at_a_time: u32) -> Call {
    Call::Rebalance { app: Some(app("image")), at_a_time }
}

fn counts(world: &World) -> BTreeMap<MachineName, usize> {
    let mut counts = BTreeMap::new();
    for process in world.processes.values() {
        *counts.entry(process.machine.clone()).or_insert(0) += 1;
    }
    counts
}

/// What serves, in thousandths of an instance.
fn capacity(world: &World) -> u32 {
    let app = &world.core.as_ref().unwrap().apps()[&app("image")];
    app.instances.values().map(|one| one.weight_thousandths()).sum()
}

/// Six instances of which the last of three machines has none: it was away when they started.
fn uneven(seed: u64) -> World {
    let mut world = World::new(seed, 3);
    world.call(Call::Drain { machine: machine(2) });
    world.call(deploy("image", "good-1", 6, 6));
    assert!(world.settle(200), "{:?}", checks::unsettled(&world));
    world.call(Call::Undrain { machine: machine(2) });
    world.run(seconds(2));
    assert_eq!(counts(&world), BTreeMap::from([(machine(0), 3), (machine(1), 3)]));
    world
}

fn answer(world: &World, request: RequestId) -> Result<Accepted, Refusal> {
    world.answers[&request].clone()
}

#[test]
fn a_machine_that_is_back_gets_its_share_and_nothing_is_missing_on_the_way() {
    for at_a_time in [1, 2, 7] {
        let mut world = uneven(1);
        let core = world.core.as_ref().unwrap();
        let plan = core.rebalance_plan(None, world.now).remove(&app("image")).unwrap().unwrap();
        assert_eq!(plan.machines[&machine(2)], (0, 2));
        assert_eq!(plan.racks["odd"], (3, 2), "m1 is odd");
        let request = world.call(spread(at_a_time));
        for second in 0..200 {
            world.second(second);
            assert!(capacity(&world) >= 6_000, "less than all serve");
            let app = &world.core.as_ref().unwrap().apps()[&app("image")];
            let moving = app.rebalance.as_ref().unwrap().counts().1;
            assert!(moving <= at_a_time as usize, "{moving} move");
        }
        assert_eq!(answer(&world, request), Ok(Accepted::Moves(2)));
        assert_eq!(checks::unsettled(&world), Vec::<String>::new());
        assert_eq!(counts(&world).into_values().collect::<Vec<_>>(), [2, 2, 2]);
        let app = &world.core.as_ref().unwrap().apps()[&app("image")];
        let rebalance = app.rebalance.as_ref().unwrap();
        assert_eq!(rebalance.ended.unwrap().1, Ending::Done);
        // What was shown is what was done.
        assert_eq!(plan.moves.len(), 2);
        for (planned, done) in plan.moves.iter().zip(&rebalance.moves) {
            assert_eq!((planned.instance, &planned.to), (done.instance, &done.to));
            assert_eq!(done.state, MoveState::Done);
            let gone = app.gone.iter().find(|gone| gone.number == planned.instance).unwrap();
            assert_eq!(
                (gone.end.clone(), gone.machine.as_ref()),
                (End::Moved, Some(&planned.from))
            );
        }
        // And again: there is nothing to do.
        let request = world.call(spread(at_a_time));
        world.run(seconds(1));
        assert_eq!(answer(&world, request), Ok(Accepted::Unchanged));
    }
}

#[test]
fn a_user_ends_it_and_what_has_not_left_stays() {
    let mut world = uneven(2);
    world.call(spread(1));
    world.second(1);
    let cancel = world.call(Call::CancelRebalance { app: None });
    let request = world.call(Call::CancelRebalance { app: Some(app("image")) });
    assert!(world.settle(200), "{:?}", checks::unsettled(&world));
    assert_eq!(answer(&world, cancel), Ok(Accepted::Noted));
    assert_eq!(answer(&world, request), Ok(Accepted::Unchanged));
    assert_eq!(counts(&world), BTreeMap::from([(machine(0), 3), (machine(1), 3)]));
    let app = &world.core.as_ref().unwrap().apps()[&app("image")];
    let rebalance = app.rebalance.as_ref().unwrap();
    assert_eq!(rebalance.ended.unwrap().1, Ending::Cancelled);
    let over = MoveState::Skipped(Skip::Over);
    assert!(rebalance.moves.iter().all(|one| one.state == over), "{:?}", rebalance.moves);
    assert!(app.instances.values().all(|one| one.leaving.is_none()));
}

#[test]
fn a_deployment_takes_its_place() {
    let mut world = uneven(3);
    world.call(spread(2));
    world.second(1);
    world.call(deploy("image", "good-2", 6, 6));
    let request = world.call(spread(2));
    assert!(world.settle(400), "{:?}", checks::unsettled(&world));
    let refusal = Refusal::IsDeployed(app("image"));
    assert_eq!(answer(&world, request), Err(refusal));
    let app = &world.core.as_ref().unwrap().apps()[&app("image")];
    assert_eq!(app.rebalance.as_ref().unwrap().ended.unwrap().1, Ending::Superseded);
    assert!(world.processes.values().all(|process| process.label == "good-2"));
}

#[test]
fn a_core_that_ends_in_the_middle_has_a_successor_that_goes_on() {
    for second in 0..40 {
        let mut world = uneven(4);
        world.call(spread(1));
        for passed in 0..=second {
            world.second(passed);
        }
        world.crash();
        assert!(world.settle(300), "{second}: {:?}", checks::unsettled(&world));
        let counts: Vec<usize> = counts(&world).into_values().collect();
        assert_eq!(counts, [2, 2, 2], "{second}");
        assert!(world.started.len() <= 9, "{second}: {} were started", world.started.len());
    }
}

#[test]
fn what_finds_no_room_stays_and_nothing_was_taken_away() {
    let mut world = uneven(5);
    // Somebody else takes what was free, between the first move and the second.
    world.call(spread(1));
    let host = world.hosts.get_mut(&machine(2)).unwrap();
    host.description.millicores = 1_000;
    world.report_machines(true);
    for second in 0..120 {
        world.second(second);
        assert!(capacity(&world) >= 6_000, "less than all serve");
    }
    assert_eq!(checks::unsettled(&world), Vec::<String>::new());
    let app = &world.core.as_ref().unwrap().apps()[&app("image")];
    let rebalance = app.rebalance.as_ref().unwrap();
    assert_eq!(rebalance.ended.unwrap().1, Ending::Done);
    let states: Vec<MoveState> = rebalance.moves.iter().map(|one| one.state).collect();
    assert_eq!(states, [MoveState::Done, MoveState::Skipped(Skip::NoRoom)]);
    let is_serving = |life| matches!(life, Life::Serving { .. });
    assert!(app.instances.values().all(|one| is_serving(one.life)));
}

#[test]
fn a_version_that_fails_elsewhere_is_left_where_it_is() {
    let mut world = uneven(6);
    world.call(spread(1));
    // Whatever starts on the machine ends at once.
    for second in 0..200 {
        world.second(second);
        let there = world.processes.iter().filter(|(_, process)| process.machine == machine(2));
        let there: Vec<_> = there.map(|(id, _)| id.clone()).collect();
        for id in there {
            world.dies(&id, scheduler_core::instance::Exit::Code(1));
        }
        assert!(capacity(&world) >= 6_000, "less than all serve");
    }
    let app = &world.core.as_ref().unwrap().apps()[&app("image")];
    let rebalance = app.rebalance.as_ref().unwrap();
    assert_eq!(rebalance.ended.unwrap().1, Ending::Done);
    let states: Vec<MoveState> = rebalance.moves.iter().map(|one| one.state).collect();
    let (failed, full) = (MoveState::Skipped(Skip::Failed), MoveState::Skipped(Skip::NoRoom));
    assert_eq!(states, [failed, full], "the second is not tried while the machine is left alone");
}

#[test]
fn refusals() {
    let mut world = uneven(7);
    let none = world.call(spread(0));
    let unknown = world.call(Call::Rebalance { app: Some(app("nothing")), at_a_time: 1 });
    let cancel = world.call(Call::CancelRebalance { app: Some(app("nothing")) });
    world.run(seconds(1));
    assert_eq!(answer(&world, none), Err(Refusal::StepOfNone));
    assert_eq!(answer(&world, unknown), Err(Refusal::UnknownApp(app("nothing"))));
    assert_eq!(answer(&world, cancel), Err(Refusal::UnknownApp(app("nothing"))));
    let mut policy = world.policy;
    policy.rollout.surge_thousandths = 0;
    world.core.as_mut().unwrap().set_policy(policy);
    let request = world.call(spread(1));
    assert_eq!(answer(&world, request), Err(Refusal::NoSurge(app("image"))));
}

//! Volumes on a small cluster where nothing goes wrong by itself: who gets which, what is kept, and
//! what is said of it.

use std::sync::Arc;

use crate::world::{self, World, app, deploy, machine, seconds, stateful};
use scheduler_core::app::{Bounds, Specification};
use scheduler_core::event::{
    Accepted, Call, Event, InstanceFact, MachineFact, Refusal, VolumeFact,
};
use scheduler_core::explain;
use scheduler_core::ids::{InstanceId, MachineName};
use scheduler_core::instance::{Exit, Life};
use scheduler_core::volume::{Part, Reserves, VolumeId};

const STORE: &str = "store";

fn world(machines: usize, instances: u32) -> World {
    let mut world = World::new(5, machines);
    world.call(deploy(STORE, "good-1", instances, instances));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    world
}

/// Sets of volumes with their machines, and the instance of each.
fn sets(world: &World) -> Vec<(String, MachineName, Option<u64>)> {
    let core = world.core.as_ref().unwrap();
    let told = core.volumes().iter();
    told.map(|(id, one)| (id.to_string(), one.machine.clone(), one.user)).collect()
}

fn places(world: &World) -> Vec<(String, MachineName)> {
    sets(world).into_iter().map(|(id, machine, _)| (id, machine)).collect()
}

fn answer(world: &mut World, call: Call) -> Result<Accepted, Refusal> {
    let request = world.call(call);
    world.run(seconds(1));
    world.answers[&request].clone()
}

fn told(world: &World, id: &InstanceId) -> String {
    let core = world.core.as_ref().unwrap();
    explain::instance(core, id, world.now).unwrap().to_string()
}

fn waiting(world: &World) -> InstanceId {
    let core = world.core.as_ref().unwrap();
    let mut waiting = core.apps()[&app(STORE)].instances.iter();
    let (number, _) = waiting.find(|(_, one)| one.life == Life::Waiting).unwrap();
    InstanceId { app: app(STORE), number: *number }
}

#[test]
fn whoever_takes_the_place_of_an_instance_gets_its_volume() {
    let mut world = world(4, 3);
    let before = places(&world);
    assert_eq!(before.len(), 3);
    let first = world.processes.keys().next().cloned().unwrap();
    world.dies(&first, Exit::Signal(9));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(places(&world), before, "the same sets on the same machines");
    let (_, place, user) = sets(&world).remove(0);
    let new = InstanceId { app: app(STORE), number: user.unwrap() };
    assert!(new.number > first.number);
    assert_eq!(world.processes[&new].machine, place);
}

#[test]
fn an_upgrade_is_in_place_one_at_a_time() {
    let mut world = world(4, 3);
    let before = places(&world);
    world.call(deploy(STORE, "good-2", 3, 3));
    let mut fewest = 3;
    for second in 0..400 {
        world.second(second);
        fewest = fewest.min(world.registry.len());
        assert!(world.processes.len() <= 3, "no surge");
    }
    assert_eq!(fewest, 2, "one after the other");
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(places(&world), before);
    assert!(world.processes.values().all(|process| process.label == "good-2"));
}

#[test]
fn an_instance_waits_for_its_host() {
    let mut world = world(3, 3);
    let (volume, place, user) = sets(&world).remove(1);
    let away = InstanceId { app: app(STORE), number: user.unwrap() };
    world.reboot(&place);
    for second in 0..400 {
        world.second(second);
    }
    assert_eq!(world.processes.len(), 2, "nobody takes its place, however long it is away");
    let text = told(&world, &away);
    let expected = format!("its volume {volume} is on {place}: it waits for {place}, of which");
    assert!(text.contains(&expected), "{text}");
    // The master says that the machine is gone: its processes have ended, its disk may come back.
    world.deliver(Event::Machine { machine: place.clone(), fact: MachineFact::Gone });
    world.run(seconds(5));
    let text = told(&world, &waiting(&world));
    let expected = format!("waits for {place}, where its volume is: ");
    assert!(text.contains(&expected), "{text}");
    assert!(
        text.contains(&format!("which is gone; `volume delete {volume}` gives it up")),
        "{text}"
    );
    world.heal(&place);
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(sets(&world)[1].1, place);
}

#[test]
fn a_volume_that_is_given_up_makes_way_for_a_new_one() {
    let mut world = world(4, 3);
    let (volume, place, _) = sets(&world).remove(0);
    let volume: VolumeId = volume.parse().unwrap();
    let refused = answer(&mut world, Call::DeleteVolume { volume: volume.clone() });
    assert!(matches!(refused, Err(Refusal::VolumeInUse(..))), "{refused:?}");
    world.lose(&place);
    for second in 0..60 {
        world.second(second);
    }
    let answered = answer(&mut world, Call::DeleteVolume { volume: volume.clone() });
    assert_eq!(answered, Ok(Accepted::Noted));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(sets(&world).len(), 3);
    assert!(sets(&world).iter().all(|(id, there, _)| *id != volume.to_string() && *there != place));
    let unknown = answer(&mut world, Call::DeleteVolume { volume: volume.clone() });
    assert_eq!(unknown, Err(Refusal::UnknownVolume(volume)));
}

#[test]
fn volumes_of_fewer_instances_are_destroyed_or_kept_as_the_user_says() {
    let mut world = world(4, 3);
    let scale =
        |instances, keeps_volumes| Call::Scale { app: app(STORE), instances, keeps_volumes };
    let before = places(&world);
    world.call(scale(1, true));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(places(&world), before, "kept");
    assert_eq!(sets(&world).iter().filter(|(_, _, user)| user.is_some()).count(), 1);
    world.call(scale(3, true));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(places(&world), before, "and used again");
    world.call(scale(2, false));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!((sets(&world).len(), world.disks.all.len()), (2, 2), "destroyed");
    let kept = places(&world);
    world.call(Call::Delete { app: app(STORE), keeps_volumes: true });
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(places(&world), kept, "they outlive their app");
    world.call(deploy(STORE, "good-3", 2, 2));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(places(&world), kept, "and the next one of its name has them");
    world.call(Call::Delete { app: app(STORE), keeps_volumes: false });
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!((sets(&world).len(), world.disks.all.len()), (0, 0));
}

#[test]
fn drain_and_rebalance_leave_them_where_they_are() {
    let mut world = world(3, 3);
    let (volume, place, user) = sets(&world).remove(0);
    let before = sets(&world);
    world.call(Call::Drain { machine: place.clone() });
    for second in 0..100 {
        world.second(second);
    }
    assert_eq!(sets(&world), before);
    let id = InstanceId { app: app(STORE), number: user.unwrap() };
    let text = told(&world, &id);
    let expected =
        format!("its volume {volume} is on {place}, which is drained; volumes don't move");
    assert!(text.contains(&expected), "{text}");
    let refused = answer(&mut world, Call::Rebalance { app: Some(app(STORE)), at_a_time: 1 });
    assert_eq!(refused, Err(Refusal::HasVolumes(app(STORE))));
}

#[test]
fn volumes_that_there_are_can_not_become_others() {
    let mut world = world(3, 2);
    let larger = |path: &str, size_mib| {
        let mut specification: Specification = stateful("good-2").as_ref().clone();
        path.clone_into(&mut specification.volumes[0].path);
        specification.volumes[0].size_mib = size_mib;
        let (specification, bounds) = (Arc::new(specification), Bounds { min: 2, max: 2 });
        Call::Deploy { app: app(STORE), specification, bounds, step: None }
    };
    let refused = answer(&mut world, larger("/data", 200));
    assert_eq!(refused, Err(Refusal::VolumesChanged(app(STORE))));
    for (path, size_mib) in [("/a/../b", 100), ("data", 100), ("/data", 0)] {
        let refused = answer(&mut world, larger(path, size_mib));
        assert!(matches!(refused, Err(Refusal::Volume(_))), "{path}: {refused:?}");
    }
    let moved = answer(&mut world, larger("/elsewhere", 100));
    assert!(matches!(moved, Ok(Accepted::Deployment { .. })), "another path is another matter");
}

#[test]
fn a_disk_that_is_full_takes_no_more() {
    let mut world = World::new(5, 2);
    let mut specification: Specification = stateful("good-1").as_ref().clone();
    specification.volumes[0].size_mib = 600;
    let (specification, bounds) = (Arc::new(specification), Bounds { min: 3, max: 3 });
    world.call(Call::Deploy { app: app(STORE), specification, bounds, step: None });
    for second in 0..60 {
        world.second(second);
    }
    assert_eq!(sets(&world).len(), 2, "1,000 MiB on each of two machines");
    let text = told(&world, &waiting(&world));
    assert!(text.contains("400 MiB of disk are free, 600 are needed: m0, m1"), "{text}");
}

/// Records may be older than the world: what is found is kept, and nobody but a user destroys it.
#[test]
fn a_volume_that_nobody_knows_is_kept() {
    let mut world = World::new(5, 2);
    let found = |world: &mut World, name: &str| {
        let parts = vec![Part { name: app("data"), size_mib: 100 }];
        let (volume, fact) = (name.parse().unwrap(), VolumeFact::Found { parts });
        world.deliver(Event::Volume { volume, machine: machine(1), fact });
    };
    found(&mut world, "store.900");
    assert_eq!(sets(&world), [("store.900".to_owned(), machine(1), None)]);
    world.disks.all.insert((machine(1), "store.900".parse().unwrap()), true);
    world.call(deploy(STORE, "good-1", 1, 1));
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(sets(&world).len(), 1, "the app of its name has it");
    assert_eq!(world.processes.values().next().unwrap().machine, machine(1));
}

/// A launch whose machine never offered the disk, or whose acceptance came to nothing: the set that
/// was to be made isn't there, so it binds nobody.
#[test]
fn a_set_that_could_not_be_made_binds_nobody() {
    let mut world = World::new(5, 2);
    world.faults.commands_lost = 1000;
    world.call(deploy(STORE, "good-1", 1, 1));
    world.run(seconds(2));
    let (name, first, user) = sets(&world).remove(0);
    let instance = InstanceId { app: app(STORE), number: user.unwrap() };
    assert_eq!(world.core.as_ref().unwrap().instance(&instance).unwrap().life, Life::Launching);
    world.faults.commands_lost = 0;
    let mut full = world.hosts[&first].description.clone();
    full.disk_mib = Some(10);
    world.hosts.get_mut(&first).unwrap().description = full.clone();
    world.deliver(Event::Machine { machine: first.clone(), fact: MachineFact::Up(full) });
    let (at, why) = (world.now, "no offer had room for it in time".to_owned());
    let fact = InstanceFact::NeverStarted(why);
    world.deliver(Event::Instance { instance, machine: first.clone(), at, fact });
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    let [(other, machine, _)] = sets(&world).try_into().unwrap();
    assert!(other != name && machine != first, "{other} on {machine}");
}

/// What may be there is kept: an earlier launch with it may have come to something.
#[test]
fn a_set_that_may_be_there_stays() {
    let mut world = World::new(5, 2);
    world.faults.commands_lost = 1000;
    world.call(deploy(STORE, "good-1", 1, 1));
    world.run(seconds(2));
    let (name, place, user) = sets(&world).remove(0);
    let instance = InstanceId { app: app(STORE), number: user.unwrap() };
    let (at, machine) = (world.now, place.clone());
    world.deliver(Event::Instance { instance, machine, at, fact: InstanceFact::Unknown });
    world.run(seconds(2));
    let (same, _, user) = sets(&world).remove(0);
    assert_eq!(same, name);
    let instance = InstanceId { app: app(STORE), number: user.unwrap() };
    let (at, fact) = (world.now, InstanceFact::NeverStarted("no".to_owned()));
    world.deliver(Event::Instance { instance, machine: place.clone(), at, fact });
    world.faults.commands_lost = 0;
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    assert_eq!(sets(&world)[0].0, name);
    assert_eq!(sets(&world)[0].1, place);
}

/// One machine of eight cores with an instance of the app with volumes, which has one, and a crowd that
/// would take all.
fn crowded() -> World {
    let mut world = world(1, 1);
    world.call(deploy("crowd", "good-1", 20, 20));
    for second in 0..20 {
        world.second(second);
    }
    assert_eq!(world.processes.len(), 8);
    world
}

fn running(world: &World, name: &str) -> usize {
    world.processes.keys().filter(|id| id.app == app(name)).count()
}

/// Thousandths of cores that are held for instances that are away.
fn held(world: &World) -> u32 {
    world.core.as_ref().unwrap().machines()[&machine(0)].held.millicores
}

#[test]
fn nobody_takes_the_cores_of_an_instance_that_is_away() {
    let mut world = crowded();
    for round in 0..3 {
        let own = world.processes.keys().find(|id| id.app == app(STORE)).cloned().unwrap();
        world.dies(&own, Exit::Signal(9));
        let mut was_held = false;
        for second in 0..60 {
            world.second(second);
            was_held |= held(&world) == 1_000;
            assert_eq!(running(&world, "crowd"), 7, "round {round}");
        }
        assert!(was_held, "while it was away");
        assert_eq!((running(&world, STORE), held(&world)), (1, 0), "it came back");
    }
    // A core that reads the records holds as much.
    let own = world.processes.keys().find(|id| id.app == app(STORE)).cloned().unwrap();
    world.dies(&own, Exit::Signal(9));
    world.run(seconds(1));
    world.restart();
    for second in 0..60 {
        world.second(second);
        assert_eq!(running(&world, "crowd"), 7);
    }
    assert_eq!(running(&world, STORE), 1);
}

/// On a machine whose ports are all taken but those of an instance that is away.
#[test]
fn an_instance_comes_back_to_its_ports() {
    let mut world = world(1, 1);
    let ports_of = |world: &World| {
        let own = world.processes.keys().find(|id| id.app == app(STORE)).cloned().unwrap();
        (own.clone(), world.core.as_ref().unwrap().instance(&own).unwrap().ports.to_vec())
    };
    let (first, ports) = ports_of(&world);
    let mut crowd = stateful("good-1").as_ref().clone();
    (crowd.volumes, crowd.need.millicores, crowd.need.ports) = (Vec::new(), 10, 7);
    let deploy = |specification: &Specification, name: &str, count| {
        let specification = Arc::new(specification.clone());
        let bounds = Bounds { min: count, max: count };
        Call::Deploy { app: app(name), specification, bounds, step: None }
    };
    world.call(deploy(&crowd, "crowd", 3));
    for second in 0..30 {
        world.second(second);
    }
    assert_eq!(running(&world, "crowd"), 2, "19 of 20 ports are free for others");
    crowd.need.ports = 5;
    world.call(deploy(&crowd, "others", 1));
    for second in 0..30 {
        world.second(second);
    }
    world.dies(&first, Exit::Signal(9));
    let mut was_held = false;
    for second in 0..60 {
        world.second(second);
        was_held |= world.core.as_ref().unwrap().machines()[&machine(0)].held.ports == *ports;
    }
    assert!(was_held, "while it was away");
    assert_eq!(ports_of(&world).1, ports);
    assert_ne!(ports_of(&world).0, first);
    // One more than is its own: nobody has it free.
    let mut grown = stateful("good-3").as_ref().clone();
    grown.need.ports = 2;
    world.call(deploy(&grown, STORE, 1));
    for second in 0..30 {
        world.second(second);
    }
    let text = told(&world, &waiting(&world));
    let expected = "1 of 2 ports are reserved for its volume, 0 more are free: m0";
    assert!(text.contains(expected), "{text}");
    world.call(Call::Delete { app: app("others"), keeps_volumes: false });
    for second in 0..60 {
        world.second(second);
    }
    let (_, more) = ports_of(&world);
    assert!(more.len() == 2 && more[0] == ports[0], "{more:?}");
}

#[test]
fn what_is_reserved_changes_with_the_app_and_is_given_back() {
    let mut world = crowded();
    let mut grown = stateful("good-3").as_ref().clone();
    grown.need.millicores = 2_000;
    let bounds = Bounds { min: 1, max: 1 };
    let specification = Arc::new(grown);
    world.call(Call::Deploy { app: app(STORE), specification, bounds, step: None });
    for second in 0..30 {
        world.second(second);
    }
    let text = told(&world, &waiting(&world));
    let expected = "1 of 2 cores are reserved for its volume, 0 more are free: m0";
    assert!(text.contains(expected), "{text}");
    assert_eq!(held(&world), 1_000);
    world.call(Call::Scale { app: app("crowd"), instances: 6, keeps_volumes: false });
    for second in 0..60 {
        world.second(second);
    }
    assert_eq!((running(&world, STORE), running(&world, "crowd"), held(&world)), (1, 6, 0));
    let reserved = |world: &World| {
        let sets = world.core.as_ref().unwrap().volumes();
        sets.iter().map(|(_, one)| one.reserved.millicores).collect::<Vec<_>>()
    };
    assert_eq!(reserved(&world), [2_000]);
    world.call(Call::Scale { app: app("crowd"), instances: 20, keeps_volumes: false });
    world.call(Call::Delete { app: app(STORE), keeps_volumes: true });
    for second in 0..60 {
        world.second(second);
    }
    assert_eq!((running(&world, "crowd"), held(&world)), (8, 0), "kept volumes hold no cores");
    assert_eq!(reserved(&world), [0]);
}

#[test]
fn an_app_may_reserve_its_disk_alone() {
    let mut world = world(1, 1);
    let mut specification = stateful("good-2").as_ref().clone();
    specification.reserves = Reserves::Disk;
    let (specification, bounds) = (Arc::new(specification), Bounds { min: 1, max: 1 });
    world.call(Call::Deploy { app: app(STORE), specification, bounds, step: None });
    assert!(world.settle(200), "{:?}", world::checks::unsettled(&world));
    world.call(deploy("crowd", "good-1", 20, 20));
    let own = world.processes.keys().next().cloned().unwrap();
    for second in 0..20 {
        world.second(second);
    }
    assert_eq!(running(&world, "crowd"), 7);
    world.dies(&own, Exit::Signal(9));
    for second in 0..30 {
        world.second(second);
        assert_eq!(held(&world), 0);
    }
    assert_eq!(running(&world, "crowd"), 8, "who comes first has the cores");
    let text = told(&world, &waiting(&world));
    assert!(text.contains("0 cores are free, 0.9 are needed: m0"), "{text}");
}

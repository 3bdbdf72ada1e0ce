//! What must hold after each turn of the core and at the end, computed from what can be seen from
//! outside, in another way than the core does.

use std::collections::{BTreeMap, BTreeSet};

use policy::Time;
use policy::repair::Verdict;
use scheduler_core::State;
use scheduler_core::app::App;
use scheduler_core::command::{Key, Record};
use scheduler_core::event::Event;
use scheduler_core::ids::{AppName, InstanceId, MachineName};
use scheduler_core::instance::{Instance, Life};
use scheduler_core::rebalance::MoveState;
use scheduler_core::volume::Content;

use super::World;

/// What is compared with after a turn.
pub struct Before {
    apps: BTreeMap<AppName, BTreeMap<u64, Life>>,
}

impl Before {
    pub fn of(state: &State) -> Self {
        let lives = |app: &App| {
            app.instances.iter().map(|(number, instance)| (*number, instance.life)).collect()
        };
        Before { apps: state.apps().iter().map(|(name, app)| (name.clone(), lives(app))).collect() }
    }
}

fn carries(state: &State, instance: &Instance) -> u64 {
    let Life::Serving { weight_thousandths } = instance.life else { return 0 };
    let machine = instance.machine.as_ref().and_then(|name| state.machines().get(name));
    let is_silent = machine.is_none_or(|machine| machine.silent_since.is_some());
    if is_silent || instance.unhealthy_since.is_some() { 0 } else { u64::from(weight_thousandths) }
}

/// After a turn.
pub fn turn(before: &Before, state: &State, now: Time, event: &Event) {
    let nothing = BTreeMap::new();
    for (name, app) in state.apps() {
        let earlier = before.apps.get(name).unwrap_or(&nothing);
        bounds(name, app, earlier, state, event);
        capacity(name, app, earlier, state, now, event);
    }
}

/// What follows from the records is what the core believes.
pub fn derived(state: &State) {
    for (name, app) in state.apps() {
        index(name, app, state);
    }
    resources(state);
    volumes(state);
}

/// Who has a volume is on its machine, and who needs one and has a machine has one.
fn volumes(state: &State) {
    let mut users = BTreeSet::new();
    let mut taken: BTreeMap<&MachineName, u64> = BTreeMap::new();
    for (id, volume) in state.volumes().iter() {
        *taken.entry(&volume.machine).or_default() += volume.size_mib();
        let Some(number) = volume.user else { continue };
        let user = InstanceId { app: id.0.app.clone(), number };
        let Some(instance) = state.instance(&user) else { panic!("{user} has {id} and is gone") };
        assert!(!volume.is_ending, "{user} has {id}, which ends");
        let is_there = instance.machine.as_ref().is_none_or(|name| *name == volume.machine);
        assert!(is_there, "{user} is on {:?}, {id} on {}", instance.machine, volume.machine);
        assert!(users.insert(user), "{id} is the second volume of its user");
    }
    for (machine, taken) in taken {
        assert_eq!(state.volumes().taken_mib(machine), taken, "{machine}");
        let all = state.machines().get(machine).and_then(|one| one.description.disk_mib);
        assert!(
            all.is_none_or(|all| u64::from(all) >= taken),
            "the disk of {machine} is overbooked"
        );
    }
    for (name, app) in state.apps() {
        for (number, instance) in &app.instances {
            let needs = !app.versions[&instance.version].volumes.is_empty();
            let id = InstanceId { app: name.clone(), number: *number };
            if needs && !matches!(instance.life, Life::Waiting | Life::Sweeping) {
                assert!(users.contains(&id), "{id} is {:?} and has no volume", instance.life);
            }
        }
    }
}

/// Whoever is started fits into wanted plus surge.
fn bounds(name: &AppName, app: &App, earlier: &BTreeMap<u64, Life>, state: &State, event: &Event) {
    if app.instances.keys().all(|number| earlier.contains_key(number)) {
        return;
    }
    let counted = |one: &&Instance| !one.is_replaced && one.life != Life::Sweeping;
    let count = app.instances.values().map(Box::as_ref).filter(counted).count() as f64;
    let surge = f64::from(state.policy().rollout.surge_thousandths) / 1000.0;
    let most = f64::from(app.wanted) + (f64::from(app.wanted) * surge).ceil();
    assert!(count <= most, "{name} has {count} of at most {most} after {event:?}");
}

/// Whoever is retired while it could serve isn't needed by the load.
fn capacity(
    name: &AppName,
    app: &App,
    earlier: &BTreeMap<u64, Life>,
    state: &State,
    now: Time,
    event: &Event,
) {
    let is_retired = app.instances.iter().any(|(number, instance)| {
        let was_serving = matches!(earlier.get(number), Some(Life::Serving { .. }));
        let machine = instance.machine.as_ref().and_then(|name| state.machines().get(name));
        let could_serve = instance.unhealthy_since.is_none()
            && machine.is_some_and(|machine| machine.silent_since.is_none());
        was_serving && instance.life == Life::Deregistering && could_serve
    });
    if !is_retired || app.is_deleted {
        return;
    }
    assert!(state.freeze() == Verdict::Go, "{name}: something is retired in a freeze");
    let capacity: u64 = app.instances.values().map(|instance| carries(state, instance)).sum();
    let fresh = app.load.filter(|seen| now.since(seen.at).seconds() < 30.0);
    let demand = fresh.map_or(f64::INFINITY, |seen| {
        let load = seen.load;
        let admitted = (load.arrivals - load.rejects).max(1) as f64;
        let offered = load.busy_thousandths as f64 / 1000.0 * (load.arrivals.max(1) as f64);
        let needed = offered / admitted / 0.8;
        (needed - 1e-6).ceil() + if load.waiting > 0 { 1.0 } else { 0.0 }
    });
    let is_in_place = app.specification().is_some_and(|one| !one.volumes.is_empty());
    // What is replaced in place ends first, one at a time.
    let spare = if is_in_place { 1.0 } else { 0.0 };
    let needed = (demand.min(f64::from(app.wanted)) - spare).max(0.0);
    assert!(
        capacity as f64 / 1000.0 >= needed - 1e-6,
        "{name}: {capacity} thousandths serve, the load needs {needed} after {event:?}"
    );
}

/// What placement believes is what is.
fn index(name: &AppName, app: &App, state: &State) {
    let mut counts: BTreeMap<&MachineName, u32> = BTreeMap::new();
    for instance in app.instances.values() {
        let is_out = matches!(
            instance.life,
            Life::Waiting
                | Life::Deregistering
                | Life::CoolingDown
                | Life::Killing
                | Life::Sweeping
        );
        if let (false, Some(machine)) = (is_out, &instance.machine) {
            *counts.entry(machine).or_default() += 1;
        }
    }
    for (machine, there) in state.machines() {
        let count = counts.get(machine).copied().unwrap_or(0);
        assert_eq!(state.count_on(app, machine), count, "{name} on {machine}");
        let is_closed = there.silent_since.is_some() || there.is_draining || there.is_leaving;
        let room = state.room_on(machine).map(|room| (room.cores, room.memory_mib, room.ports));
        let free = there.free();
        let expected = (!is_closed).then_some((free.millicores, free.memory_mib, free.ports));
        assert_eq!(room, expected, "{machine}");
    }
}

/// No machine is overbooked, and no port is given twice.
fn resources(state: &State) {
    for (name, machine) in state.machines() {
        let mut ports = BTreeSet::new();
        let mut cores = 0u32;
        for id in &machine.instances {
            let Some(instance) = state.instance(id) else { panic!("{id} on {name} is unknown") };
            if matches!(instance.life, Life::Waiting | Life::Sweeping) {
                continue;
            }
            cores += state.apps()[&id.app].versions[&instance.version].need.millicores;
            for port in instance.ports.iter() {
                assert!(ports.insert(*port), "port {port} of {name} is given twice");
            }
        }
        assert_eq!(cores, machine.taken.millicores, "{name}");
        assert_eq!(ports, machine.taken_ports, "{name}");
        let (mut held, mut held_mib, mut held_ports) = (0, 0, BTreeSet::new());
        for (id, volume) in state.volumes().iter().filter(|(_, one)| one.machine == *name) {
            let user = volume.user.map(|number| InstanceId { app: id.0.app.clone(), number });
            let user = user.and_then(|user| state.instance(&user));
            let is_away = user.is_none_or(|user| user.life == Life::Waiting);
            if is_away && !volume.is_ending {
                held += volume.reserved.millicores;
                held_mib += volume.reserved.memory_mib;
                for port in volume.reserved.ports.iter() {
                    assert!(!ports.contains(port), "port {port} of {id} is another's on {name}");
                    assert!(held_ports.insert(*port), "port {port} of {name} is held twice");
                }
            }
        }
        let counted = &machine.held;
        assert_eq!((held, held_mib), (counted.millicores, counted.memory_mib), "{name}");
        assert_eq!(held_ports, counted.ports.iter().copied().collect(), "{name}");
        assert!(
            cores + held <= machine.description.millicores,
            "{name} is overbooked: {cores} thousandths of cores in use, {held} held"
        );
    }
}

/// When all is calm, what is stored is what the core knows, and a core that reads it knows the same.
/// When a process was last heard of isn't worth a write.
pub fn stored(world: &World) {
    let Some(core) = &world.core else { panic!("there is no core") };
    let comparable = |records: &BTreeMap<Key, Record>| -> BTreeMap<Key, Record> {
        let unheard = |record: &Record| match record.clone() {
            Record::Instance(mut instance) => {
                instance.heard = Time::ZERO;
                instance.came = Time::ZERO;
                instance.sent = None;
                instance.asked = None;
                instance.weight_asked = 0;
                instance.is_doubted = false;
                instance.wait = None;
                Record::Instance(instance)
            }
            Record::Machine(machine) => {
                // What is derived isn't stored: read it as it is written.
                let text = serde_json::to_string(&machine).unwrap();
                Record::Machine(serde_json::from_str(&text).unwrap())
            }
            Record::Volume(mut volume) => {
                volume.sent = None;
                Record::Volume(volume)
            }
            other => other,
        };
        records.iter().map(|(key, record)| (key.clone(), unheard(record))).collect()
    };
    let (mut pages, mut last) = (BTreeMap::new(), None);
    loop {
        let page = core.records_after(last.as_ref(), 3);
        let Some((key, _)) = page.last() else { break };
        assert!(last < Some(key.clone()), "pages go on");
        last = Some(key.clone());
        pages.extend(page);
    }
    assert_eq!(pages, core.records(), "page by page, and all at once");
    let known = comparable(&core.records());
    assert_eq!(comparable(&world.store), known, "what is stored and what the core knows");
    let restored = State::restore(world.policy, world.store.clone()).unwrap();
    assert_eq!(comparable(&restored.records()), known, "what a core reads");
}

/// When all is calm, nothing is being moved, and nothing that could be moved for the better was left
/// where it is, unless what was tried did not work.
pub fn spread_again(world: &World) {
    let Some(core) = &world.core else { panic!("there is no core") };
    for (name, app) in core.apps() {
        let Some(rebalance) = &app.rebalance else { continue };
        assert!(rebalance.ended.is_some(), "{name} is still spread again: {rebalance:?}");
        let is_left = app.instances.values().any(|one| one.leaving.is_some());
        assert!(!is_left, "{name}: something is on its way and doesn't leave");
        if rebalance.moves.iter().any(|one| one.state != MoveState::Done) {
            continue;
        }
        let mut counts: BTreeMap<&MachineName, usize> = BTreeMap::new();
        for (machine, there) in core.machines() {
            if there.silent_since.is_none() && !there.is_draining && !there.is_leaving {
                counts.insert(machine, 0);
            }
        }
        let named = app.instances.values().any(|one| one.named.is_some());
        for machine in app.instances.values().filter_map(|one| one.machine.as_ref()) {
            *counts.entry(machine).or_default() += 1;
        }
        let (least, most) = (counts.values().min(), counts.values().max());
        let difference = most.unwrap_or(&0) - least.unwrap_or(&0);
        assert!(named || !app.failures.is_empty() || difference <= 1, "{name}: {counts:?}");
    }
}

/// What isn't as it should be when all is calm.
pub fn unsettled(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let Some(core) = &world.core else { return vec!["there is no core".to_owned()] };
    if core.freeze() != Verdict::Go {
        found.push("repair is frozen".to_owned());
    }
    let mut expected = BTreeSet::new();
    for (name, app) in core.apps() {
        if app.deployment.is_some() {
            found.push(format!("{name} is being deployed: {:?}", app.deployment));
        }
        if app.is_deleted {
            found.push(format!("{name} isn't gone"));
        }
        if app.instances.len() != app.wanted as usize {
            found.push(format!("{name} has {} of {}", app.instances.len(), app.wanted));
        }
        let label = app.specification().map(|one| one.label.clone());
        for (number, instance) in &app.instances {
            let id = InstanceId { app: name.clone(), number: *number };
            if instance.life != (Life::Serving { weight_thousandths: 1000 }) {
                let why = scheduler_core::explain::instance(core, &id, world.now);
                let why = why.map(|why| why.to_string()).unwrap_or_default();
                found.push(format!("{id} is {:?}: {why}", instance.life));
            }
            match world.processes.get(&id) {
                Some(process) if Some(&process.label) == label.as_ref() && process.is_healthy => {}
                other => found.push(format!("{id} is {other:?} in truth")),
            }
            let registered = world.registry.get(&id);
            if registered.map(|(_, weight)| *weight) != Some(1000) {
                found.push(format!("{id} is found with {registered:?}"));
            }
            expected.insert(id);
        }
    }
    for (id, volume) in core.volumes().iter() {
        let is_there = world.disks.all.contains_key(&(volume.machine.clone(), id.clone()));
        // One that nothing is known to have run with may never have been made.
        if volume.is_ending || (volume.content == Content::Used && !is_there) {
            found.push(format!("{id} is {volume:?}; on its machine: {is_there}"));
        }
        if volume.user.is_none() && !volume.reserved.is_nothing() {
            found.push(format!("{id} has {:?} for nobody", volume.reserved));
        }
    }
    for (machine, id) in world.disks.all.keys() {
        // What a user gave up while its machine was gone is there when that comes back: whoever tells of
        // machines finds it then, and there is nobody of that kind here.
        let is_given_up = world.disks.given_up.contains(id);
        if core.volumes().get(id).is_none() && !is_given_up {
            found.push(format!("{id} is on {machine}, and nobody knows it"));
        }
    }
    for id in world.processes.keys().filter(|id| !expected.contains(*id)) {
        found.push(format!("{id} runs and nobody wants it"));
    }
    for id in world.registry.keys().filter(|id| !expected.contains(*id)) {
        found.push(format!("{id} is found and nobody wants it"));
    }
    found
}

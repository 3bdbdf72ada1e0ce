//! How a run under a scheduler begins: the core has deployed all apps before, and all instances of
//! the beginning serve.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::placement::Resources;
use policy::{Nanoseconds, Purpose, Time, Words};
use scheduler_core::app::{Bounds, Constraint, Need, Run, Specification};
use scheduler_core::command::Command;
use scheduler_core::event::{Call, Event, InstanceFact, MachineFact};
use scheduler_core::ids::{AppName, Epoch, InstanceId, MachineName, RequestId};
use scheduler_core::machine::Description;
use scheduler_core::{State, apply_all};

use super::{Cluster, Counts, Happening, Live, Process};
use crate::model::{App, Model};
use crate::scheduler::{Scheduler, app_name};

/// What users call the version that there is in the beginning.
pub const FIRST_VERSION: &str = "first";

/// For so long the scheduler has been leading at least when a run begins.
const AHEAD: Nanoseconds = Nanoseconds::from_seconds(3_600);

/// A core that starts all instances at once needs a handful of turns.
const TURNS_MOST: usize = 1_000;

fn machine_name(number: u32) -> Option<MachineName> {
    format!("m{number}").parse().ok()
}

fn specification(model: &Model, rules: &Scheduler, app: &App, label: &str) -> Specification {
    let given = |length: Nanoseconds| (length > Nanoseconds::ZERO).then_some(length);
    let machines = model.apps.iter().map(|app| app.machines).max().unwrap_or(0);
    let named: BTreeSet<MachineName> = (0..app.machines).filter_map(machine_name).collect();
    let constraints =
        if app.machines < machines { vec![Constraint::Machines(named)] } else { Vec::new() };
    Specification {
        label: label.to_owned(),
        run: run(label),
        need: Need {
            millicores: app.life.needs.cores.saturating_mul(1000),
            memory_mib: app.life.needs.memory_mib,
            ports: 0,
        },
        environment: BTreeMap::new(),
        health_grace: Some(rules.health_grace),
        kill_grace: rules.kill_grace,
        warm_up: given(app.life.warm_up.over),
        cool_down: given(app.life.cool_down),
        constraints,
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    }
}

/// What a version runs.
pub(super) fn run(label: &str) -> Run {
    Run::Image { image: label.to_owned(), arguments: Vec::new() }
}

fn describe(capacity: Resources) -> Description {
    Description {
        millicores: capacity.cores.saturating_mul(1000),
        memory_mib: capacity.memory_mib,
        ..Description::default()
    }
}

fn count(app: &App) -> u32 {
    u32::try_from(app.all_instances()).unwrap_or(u32::MAX)
}

/// What the world answers to commands that are carried out at once.
fn answers(commands: Vec<Command>, at: Time) -> Vec<Event> {
    let fact = |instance: InstanceId, machine: MachineName, fact: InstanceFact| Event::Instance {
        instance,
        machine,
        at,
        fact,
    };
    let mut events = Vec::new();
    for command in commands {
        match command {
            Command::Persist(write) => events.push(Event::Durable { write: write.number }),
            Command::Launch(launch) => {
                let (instance, machine) = (launch.instance, launch.machine);
                events.push(fact(instance.clone(), machine.clone(), InstanceFact::Running));
                events.push(fact(instance, machine, InstanceFact::Healthy));
            }
            Command::Register { instance, machine, weight_thousandths, .. } => {
                events.push(fact(
                    instance,
                    machine,
                    InstanceFact::Registered { weight_thousandths },
                ));
            }
            Command::Kill { .. }
            | Command::Deregister { .. }
            | Command::Ask(_)
            | Command::Answer { .. }
            | Command::Acknowledge { .. }
            | Command::Destroy { .. }
            | Command::Reserve { .. }
            | Command::Record(_) => {}
        }
    }
    events
}

/// A core with all apps deployed, when the run begins.
fn core(
    model: &Model,
    rules: &Scheduler,
    names: &[AppName],
    machines: &[MachineName],
    begin: Time,
) -> State {
    // They are warm when the run begins, however long that takes by the rules.
    let mut quick = rules.policy;
    quick.rollout.progress_deadline = Nanoseconds(u64::MAX >> 2);
    let own = model.apps.iter().map(|app| app.life.warm_up.over).max();
    let warm_up = quick.rollout.warm_up.max(own.unwrap_or_default());
    // Weights rise in steps of a tenth.
    let step = Nanoseconds(warm_up.0 / 10).max(Nanoseconds::from_seconds(1));
    let mut core = State::new(quick);
    let mut now = Time(Nanoseconds::PER_SECOND);
    let mut events = vec![Event::Leader { epoch: Epoch(1) }];
    let description = describe(model.dynamics.capacity);
    events.extend(machines.iter().map(|machine| Event::Machine {
        machine: machine.clone(),
        fact: MachineFact::Up(description.clone()),
    }));
    for (app, name) in model.apps.iter().zip(names) {
        let specification = specification(model, rules, app, FIRST_VERSION);
        let bounds = Bounds { min: count(app), max: count(app) };
        events.push(deploy(name, specification, bounds));
    }
    for _ in 0..TURNS_MOST {
        let commands = apply_all(&mut core, events, now);
        events = answers(commands, now);
        let is_settled = core.apps().values().all(|app| app.deployment.is_none());
        if events.is_empty() && is_settled {
            break;
        }
        if events.is_empty() {
            now = now + step;
            events.push(Event::Tick);
        }
    }
    // All were heard of just now.
    let mut heard = Vec::new();
    for (name, app) in core.apps() {
        for (number, instance) in &app.instances {
            let instance_id = InstanceId { app: name.clone(), number: *number };
            let Some(machine) = instance.machine.clone() else { continue };
            let fact = InstanceFact::Healthy;
            heard.push(Event::Instance { instance: instance_id, machine, at: begin, fact });
        }
    }
    let mut commands = apply_all(&mut core, heard, begin);
    while !commands.is_empty() {
        commands = apply_all(&mut core, answers(commands, begin), begin);
    }
    core.set_policy(rules.policy);
    core
}

fn deploy(name: &AppName, specification: Specification, bounds: Bounds) -> Event {
    let specification = Arc::new(specification);
    let call = Call::Deploy { app: name.clone(), specification, bounds, step: None };
    Event::Call { request: RequestId(0), call }
}

impl<'model> Cluster<'model> {
    fn new(model: &'model Model, rules: &'model Scheduler) -> Self {
        let names: Vec<AppName> =
            model.apps.iter().enumerate().filter_map(|(n, app)| app_name(n, app)).collect();
        let count = model.apps.iter().map(|app| app.machines).max().unwrap_or(0);
        let machines: Vec<MachineName> = (0..count).filter_map(machine_name).collect();
        let own = model.apps.iter().map(|app| app.life.warm_up.over).max();
        let warm_up = rules.policy.rollout.warm_up.max(own.unwrap_or_default());
        let ahead = AHEAD.max(Nanoseconds(warm_up.0.saturating_mul(2)));
        let crash_words = (0..rules.upgrades.len())
            .map(|place| Words::new(model.seed, Purpose::Crash, 1 << 63 | place as u64));
        Cluster {
            rules,
            core: core(model, rules, &names, &machines, Time(ahead.0)),
            ahead,
            counts: vec![Counts::default(); names.len()],
            names,
            places: machines.iter().cloned().zip(0..).collect(),
            machines,
            description: describe(model.dynamics.capacity),
            processes: BTreeMap::new(),
            ids: BTreeMap::new(),
            lost: BTreeMap::new(),
            failed_at: BTreeMap::new(),
            deployments: BTreeMap::new(),
            agenda: BTreeMap::new(),
            numbered: 0,
            due: Vec::new(),
            crash_words: crash_words.collect(),
            ticks_until: Time(model.duration.0),
        }
    }

    /// Machine and name of the instances of an app, machine by machine.
    fn placed(&self, app: usize) -> Vec<(u32, InstanceId)> {
        let Some(name) = self.names.get(app) else { return Vec::new() };
        let Some(known) = self.core.apps().get(name) else { return Vec::new() };
        let place = |number: u64, one: &scheduler_core::instance::Instance| {
            let machine = self.places.get(one.machine.as_ref()?)?;
            Some((*machine, InstanceId { app: name.clone(), number }))
        };
        let found = known.instances.iter().filter_map(|(number, one)| place(*number, one));
        let mut placed: Vec<(u32, InstanceId)> = found.collect();
        placed.sort_unstable();
        placed
    }
}

impl Live<'_> {
    /// If there is a scheduler, instances are where it has put them.
    pub(in crate::live) fn begin_cluster(&mut self) {
        let model = self.model;
        let Some(rules) = model.dynamics.scheduler.as_ref() else { return };
        let mut cluster = Box::new(Cluster::new(model, rules));
        for (place, group) in self.groups.iter_mut().enumerate() {
            let placed = cluster.placed(place);
            group.man(placed.iter().map(|(machine, _)| *machine));
            for ((machine, id), number) in placed.into_iter().zip(0..) {
                cluster.ids.insert((place, number), id.clone());
                let process = Process {
                    app: place,
                    number,
                    machine,
                    is_running: true,
                    is_healthy: true,
                    label: FIRST_VERSION.to_owned(),
                };
                cluster.processes.insert(id, process);
            }
        }
        // Within which bounds they scale is said when the run begins, so that nothing has changed
        // before.
        for ((place, app), name) in model.apps.iter().enumerate().zip(cluster.names.clone()) {
            if let (Some((min, max)), true) = (app.life.bounds, self.scales(place)) {
                let call = deploy(
                    &name,
                    specification(model, rules, app, FIRST_VERSION),
                    Bounds { min, max },
                );
                cluster.schedule(Time::ZERO, Happening::Fact(call));
            }
        }
        cluster.schedule(Time::ZERO + rules.tick, Happening::Tick);
        for (place, upgrade) in rules.upgrades.iter().enumerate() {
            cluster.schedule(upgrade.at, Happening::Upgrade(place));
        }
        self.put_back(cluster);
    }

    fn scales(&self, app: usize) -> bool {
        self.groups.get(app).is_some_and(|group| group.rules.is_some())
    }
}

//! This machine as the place where instances run: commands of the core become tasks of the runner,
//! and what the runner reports becomes facts. With more than one machine, they are pretended: each
//! has all that this machine has, and a part of its ports.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use policy::Nanoseconds;
use policy::Time;
use policy::rollout::FULL_THOUSANDTHS;
use scheduler_consul::service::needs_container;
use scheduler_core::app::{self, Run, Specification};
use scheduler_core::command::Launch;
use scheduler_core::event::{InstanceFact, MachineFact};
use scheduler_core::ids::{InstanceId, MachineName};
use scheduler_core::instance::Exit;
use scheduler_core::machine::Description;
use scheduler_core::{Command, Event};
use scheduler_runner::{Check, Ending, Probe, Program, Report, Runner, Task, TaskId, What};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::ports::is_taken;
use crate::serve::cycle::{Input, Shared};
use crate::serve::registrar::Registrar;
use crate::serve::volumes;

/// Memory if this machine doesn't say how much it has, in MiB.
const MEMORY_UNKNOWN_MIB: u32 = 4096;

/// Until it is told that the port of an instance is taken: if all of them are, starts would chase
/// each other.
const PORT_TAKEN_PAUSE: Duration = Duration::from_millis(200);

/// The machines that there are to the core.
pub fn machines(count: u32, ports: (u16, u16)) -> BTreeMap<MachineName, Description> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let millicores = u32::try_from(cores.saturating_mul(1000)).unwrap_or(u32::MAX);
    let memory_mib = memory_mib().unwrap_or(MEMORY_UNKNOWN_MIB);
    let (first, last) = ports;
    let all = u32::from(last.saturating_sub(first)) + 1;
    let mut machines = BTreeMap::new();
    for number in 0..count {
        let name = if count == 1 { "local".to_owned() } else { format!("m{}", number + 1) };
        let Ok(name) = name.parse() else { continue };
        let begin = u32::from(first) + number * all / count;
        let end = u32::from(first) + (number + 1) * all / count;
        let range = u16::try_from(begin).ok().zip(u16::try_from(end.saturating_sub(1)).ok());
        let rack = if number % 2 == 0 { "a" } else { "b" };
        let description = Description {
            millicores,
            memory_mib,
            ports: range.filter(|(begin, end)| begin <= end).into_iter().collect(),
            attributes: Arc::new(BTreeMap::from([("rack".to_owned(), rack.to_owned())])),
            disk_mib: None,
        };
        machines.insert(name, description);
    }
    machines
}

fn memory_mib() -> Option<u32> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

/// What is told at the beginning: the machines that there are, and that those which were known and
/// aren't there any more are gone.
pub fn machine_facts(shared: &Shared, machines: &BTreeMap<MachineName, Description>) -> Vec<Event> {
    let known: Vec<MachineName> = shared.state().machines().keys().cloned().collect();
    let gone = known.into_iter().filter(|name| !machines.contains_key(name));
    let gone = gone.map(|machine| Event::Machine { machine, fact: MachineFact::Gone });
    let up = machines.iter().map(|(name, description)| Event::Machine {
        machine: name.clone(),
        fact: MachineFact::Up(description.clone()),
    });
    gone.chain(up).collect()
}

/// Carries out commands, one after the other, until there are no more.
pub async fn carry_out(
    mut commands: UnboundedReceiver<Vec<Command>>,
    runner: Arc<Runner>,
    shared: Arc<Shared>,
    inputs: Sender<Input>,
    registrar: Option<Arc<Registrar>>,
) {
    let say = |instance, machine, fact| {
        let at = shared.now();
        // The loop ends after this.
        let _ = inputs.send(Input::Event(Event::Instance { instance, machine, at, fact }));
    };
    let store = runner.volumes();
    let mut waiting = Vec::new().into_iter();
    loop {
        let Some(command) = waiting.next() else {
            let Some(more) = commands.recv().await else { return };
            waiting = more.into_iter();
            continue;
        };
        if registrar.as_ref().is_some_and(|registrar| registrar.command(&command)) {
            continue;
        }
        match command {
            // Ports of instances are given once, so who has one is somebody else.
            Command::Launch(launch) => {
                match (taken_port(&launch), volumes::task(&store, &launch)) {
                    (Some(port), _) => {
                        let (inputs, shared) = (inputs.clone(), Arc::clone(&shared));
                        tokio::spawn(async move {
                            tokio::time::sleep(PORT_TAKEN_PAUSE).await;
                            let Launch { instance, machine, .. } = launch;
                            let (at, fact) = (shared.now(), port_is_taken(port));
                            let event = Event::Instance { instance, machine, at, fact };
                            // The loop ends after this.
                            let _ = inputs.send(Input::Event(event));
                        });
                    }
                    (None, Ok(task)) => {
                        let name = task.container_name();
                        let name = name.filter(|_| needs_container(&launch.specification));
                        if let Some(name) = name {
                            say(launch.instance, launch.machine, InstanceFact::Container(name));
                        }
                        runner.launch(task);
                    }
                    (None, Err(why)) => {
                        let fact = InstanceFact::Ended(Exit::NotStarted(why));
                        say(launch.instance, launch.machine, fact);
                    }
                }
            }
            Command::Kill { instance, machine, grace, .. } => {
                if let Ok(id) = task_id(&instance) {
                    runner.kill(&id, machine.as_str(), length(grace));
                }
            }
            // Without Consul, who looks for instances asks this scheduler, which knows from its
            // own state.
            Command::Register { instance, machine, weight_thousandths, .. } => {
                let weight_thousandths = weight_thousandths.min(FULL_THOUSANDTHS);
                say(instance, machine, InstanceFact::Registered { weight_thousandths });
            }
            Command::Deregister { instance, machine, .. } => {
                say(instance, machine, InstanceFact::Deregistered);
            }
            // Machines are ours alone: what the core counts as reserved is.
            Command::Reserve { .. } => {}
            Command::Destroy { volume, machine, .. } => {
                volumes::destroy(store.clone(), volume, machine, inputs.clone());
            }
            Command::Ask(instances) => {
                for (instance, machine) in instances {
                    if let Ok(id) = task_id(&instance) {
                        runner.ask(&id, machine.as_str());
                    }
                }
            }
            // Nobody here gives receipts.
            Command::Acknowledge { .. } => {}
            // The loop itself does these.
            Command::Persist(_) | Command::Answer { .. } | Command::Record(_) => {}
        }
    }
}

fn taken_port(launch: &Launch) -> Option<u16> {
    launch.ports.iter().copied().find(|port| is_taken(*port))
}

/// The version is not to blame, and the next instance gets the next port.
fn port_is_taken(port: u16) -> InstanceFact {
    let why = format!("port {port} is taken by another program; `serve --ports` chooses others");
    InstanceFact::Ended(Exit::Lost(why))
}

/// Makes facts of reports until there are no more.
pub async fn report(mut reports: UnboundedReceiver<Report>, inputs: Sender<Input>) {
    while let Some(report) = reports.recv().await {
        if let Some(event) = event(report) {
            // The loop ends after this.
            let _ = inputs.send(Input::Event(event));
        }
    }
}

fn event(report: Report) -> Option<Event> {
    let Report { task, owner, at_nanoseconds, what } = report;
    let fact = match what {
        What::Launched => InstanceFact::Launched,
        What::Running => InstanceFact::Running,
        What::Healthy => InstanceFact::Healthy,
        What::Unhealthy => InstanceFact::Unhealthy,
        What::Unknown => InstanceFact::Unknown,
        What::Ended(ending) => InstanceFact::Ended(match ending {
            Ending::Code(code) => Exit::Code(code),
            Ending::Signal(signal) => Exit::Signal(signal),
            Ending::OutOfMemory => Exit::OutOfMemory,
            Ending::NotStarted(why) => Exit::NotStarted(why),
            Ending::Lost(why) => Exit::Lost(why),
        }),
    };
    // What isn't named as an instance was not started by a scheduler.
    let instance = task.as_str().parse().ok()?;
    Some(Event::Instance { instance, machine: owner.parse().ok()?, at: Time(at_nanoseconds), fact })
}

fn length(length: Nanoseconds) -> Duration {
    Duration::from_nanos(length.0)
}

/// The name of the task of an instance.
pub fn task_id(instance: &InstanceId) -> Result<TaskId, String> {
    instance.to_string().parse().map_err(|error: scheduler_runner::TaskIdError| error.to_string())
}

/// The task of a launch, apart from its volumes.
pub fn task(launch: &Launch) -> Result<Task, String> {
    let Launch { instance, machine, ports, specification, .. } = launch;
    let Specification { run, need, inner_ports, .. } = specification.as_ref();
    let program = match run {
        Run::Command(words) => Program::Command(words.clone()),
        Run::Image { image, arguments } => Program::Image {
            image: image.clone(),
            arguments: arguments.clone(),
            inner_ports: inner_ports.clone(),
        },
    };
    let check = specification.check.as_ref().map(|check| own_check(check, ports)).transpose()?;
    Ok(Task {
        id: task_id(instance)?,
        owner: machine.to_string(),
        environment: environment(launch),
        program,
        ports: ports.to_vec(),
        memory_most_mib: Some(need.memory_mib).filter(|most| *most > 0),
        millicores: Some(need.millicores),
        check,
        kill_grace: length(specification.kill_grace),
        mounts: Vec::new(),
        container: None,
    })
}

/// The variables of an instance: those of its app, and ours over them.
fn environment(launch: &Launch) -> BTreeMap<String, String> {
    let Launch { instance, machine, ports, specification, .. } = launch;
    let mut environment = specification.environment.clone();
    environment.insert("CORRAL_APP".to_owned(), instance.app.to_string());
    environment.insert("CORRAL_INSTANCE".to_owned(), instance.to_string());
    environment.insert("CORRAL_MACHINE".to_owned(), machine.to_string());
    environment.insert("CORRAL_VERSION".to_owned(), specification.label.clone());
    for (number, port) in ports.iter().enumerate() {
        // A program in a container listens at the port inside.
        let port = specification.inner_ports.get(number).unwrap_or(port).to_string();
        if number == 0 {
            environment.insert("PORT".to_owned(), port.clone());
        }
        environment.insert(format!("PORT{number}"), port);
    }
    environment
}

fn own_check(check: &app::Check, ports: &[u16]) -> Result<Check, String> {
    let port = |number: u32| {
        let found = usize::try_from(number).ok().and_then(|number| ports.get(number));
        found.copied().ok_or_else(|| format!("its check looks at port {number}, which it hasn't"))
    };
    let probe = match &check.probe {
        app::Probe::Http { path, port: number } => {
            Probe::Http { path: path.clone(), port: port(*number)? }
        }
        app::Probe::Tcp { port: number } => Probe::Tcp { port: port(*number)? },
        app::Probe::Command(words) => Probe::Command(words.clone()),
    };
    Ok(Check {
        probe,
        interval: length(check.interval),
        timeout: length(check.timeout),
        failures: check.failures,
    })
}

#[cfg(test)]
mod tests {
    use scheduler_core::app::Need;
    use scheduler_core::ids::Epoch;

    use super::*;

    #[test]
    fn pretended_machines_share_the_ports() {
        let machines = machines(3, (31_000, 31_009));
        let ports: Vec<_> = machines.values().flat_map(|one| one.ports.clone()).collect();
        assert_eq!(ports, [(31_000, 31_002), (31_003, 31_005), (31_006, 31_009)]);
        assert!(machines.values().all(|one| one.millicores > 0 && one.memory_mib > 0));
        let names: Vec<_> = super::machines(1, (1, 1)).into_keys().collect();
        assert_eq!(names, ["local".parse().unwrap()]);
    }

    #[test]
    fn an_instance_knows_who_it_is_and_where_it_listens() {
        let specification = Specification {
            label: "2".to_owned(),
            run: Run::Image { image: "web:2".to_owned(), arguments: Vec::new() },
            need: Need { millicores: 500, memory_mib: 64, ports: 2 },
            environment: BTreeMap::from([
                ("A".to_owned(), "b".to_owned()),
                ("PORT".to_owned(), "1".to_owned()),
            ]),
            health_grace: Some(Nanoseconds::from_seconds(1)),
            kill_grace: Nanoseconds::from_seconds(3),
            warm_up: None,
            cool_down: None,
            constraints: Vec::new(),
            check: Some(app::Check {
                probe: app::Probe::Http { path: "/".to_owned(), port: 1 },
                interval: Nanoseconds::from_seconds(1),
                timeout: Nanoseconds::from_seconds(1),
                failures: 3,
            }),
            inner_ports: vec![80],
            discovery: app::Discovery::default(),
            metrics: None,
            volumes: Vec::new(),
            reserves: scheduler_core::volume::Reserves::All,
        };
        let launch = Launch {
            instance: "web.7".parse().unwrap(),
            machine: "m1".parse().unwrap(),
            ports: vec![31_000, 31_001].into(),
            specification: specification.into(),
            volume: None,
            epoch: Epoch(1),
        };
        let task = task(&launch).unwrap();
        let environment: Vec<String> =
            task.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            environment.join(" "),
            "A=b CORRAL_APP=web CORRAL_INSTANCE=web.7 CORRAL_MACHINE=m1 CORRAL_VERSION=2 PORT=80 \
             PORT0=80 PORT1=31001"
        );
        let probe = task.check.map(|check| check.probe);
        assert_eq!(probe, Some(Probe::Http { path: "/".to_owned(), port: 31_001 }));
        assert_eq!(task.memory_most_mib, Some(64));
    }
}

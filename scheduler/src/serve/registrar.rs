//! Instances in Consul: the registry says what is to be done, this does it. Agents are asked on
//! threads of their own, a few at a time; the loop that decides never waits for them.

use std::fs;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consul::agent::{AgentSelf, AgentServices};
use consul::change::{self, Change};
use consul::{Consistency, Subject};
use consul_client::{Client, ClientError, Endpoint, Settings};
use policy::rollout::FULL_THOUSANDTHS;
use policy::{Nanoseconds, Time};
use scheduler_consul::{Agents, Call, Counters, Fault, Missing, Registry, Step, Strays, Told};
use scheduler_core::app::{DiscoveryCheck, Specification};
use scheduler_core::event::InstanceFact;
use scheduler_core::ids::InstanceId;
use scheduler_core::{Command, Event};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::serve::cycle::{Input, Shared};
use crate::serve::meters::Text;
use crate::serve::reach_consul::ReachConsul;
use crate::serve::sweeper;

/// Agents that are asked at the same time. An agent answers in a millisecond; one that is away keeps a
/// thread for as long as [`AGENT_TIMEOUT`], and is asked less and less often.
const AGENTS_MOST: usize = 16;

/// The longest time for one answer of an agent.
const AGENT_TIMEOUT: Duration = Duration::from_secs(3);

/// From one look for agents that are due to the next; changes are looked at at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// From one comparison with the core's state to the next.
const COMPARE_EVERY: Nanoseconds = Nanoseconds::from_milliseconds(500);

/// The same with many instances: the state is held for it, some milliseconds for 10,000 of them.
const COMPARE_MANY_EVERY: Nanoseconds = Nanoseconds::from_seconds(5);

/// So many are many.
const MANY_INSTANCES: usize = 2_000;

/// The file with the name that marks registrations as this scheduler's.
const NAME_FILE: &str = "consul-name";

/// The longest such name.
const NAME_MOST_BYTES: usize = 63;

/// How instances are registered in Consul.
#[derive(Debug, Clone, clap::Args)]
pub struct Registration {
    /// The port of the agents of machines, with --master; with --local it is that of --consul.
    #[arg(long, value_name = "PORT", default_value_t = 8500, requires = "consul",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub consul_agent_port: u16,
    /// The name that marks registrations as this scheduler's; a random one that is kept in its folder,
    /// if absent. Schedulers that stand in for each other must be given the same one.
    #[arg(long, value_name = "NAME", requires = "consul", value_parser = name)]
    pub consul_name: Option<String>,
}

fn name(text: &str) -> Result<String, String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=NAME_MOST_BYTES).contains(&text.len()) && text.bytes().all(is_known) {
        true => Ok(text.to_owned()),
        false => Err("expected letters, digits, `-`, `_` and `.`, at most 63".to_owned()),
    }
}

/// Registers instances.
#[derive(Debug)]
pub struct Registrar {
    registry: Mutex<Registry>,
    /// What is registered at agents that nobody looks at.
    strays: Mutex<Strays>,
    /// As whom agents are asked; the address is put in.
    client: Client,
    shared: Arc<Shared>,
    inputs: Sender<Input>,
    /// Something has changed.
    changed: Notify,
    permits: Arc<Semaphore>,
}

/// What isn't registered, for those who ask.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Instances that should be registered.
    pub wanted: usize,
    /// Those that aren't.
    pub missing: Vec<Missing>,
    /// Agents that don't answer, with what is wrong.
    pub silent: Vec<(String, String)>,
    /// What was done.
    pub counters: Counters,
}

impl Report {
    /// In the text format of Prometheus.
    pub fn metrics(&self) -> String {
        let Counters { rounds, rounds_failed, registered, repaired, deregistered, swept, given_up } =
            self.counters;
        let mut text = Text::default();
        let counters = [
            ("consul_rounds_total", "Looks at agents of Consul.", rounds),
            ("consul_rounds_failed_total", "Looks at agents that failed.", rounds_failed),
            ("consul_registered_total", "Registrations, changes of weight included.", registered),
            ("consul_repaired_total", "Registrations that an agent had lost.", repaired),
            ("consul_deregistered_total", "Registrations that were ended.", deregistered),
            ("consul_swept_total", "Of these: those of unknown instances.", swept),
            ("consul_given_up_total", "Ends that were not waited for any longer.", given_up),
        ];
        for (name, help, value) in counters {
            text.one(name, "counter", help, &[(String::new(), value)]);
        }
        let gauges = [
            ("consul_wanted", "Instances that should be in Consul.", self.wanted),
            ("consul_missing", "Of these: those that are not, or not so.", self.missing.len()),
            (
                "consul_silent_agents",
                "Agents that do not answer as they should.",
                self.silent.len(),
            ),
        ];
        for (name, help, value) in gauges {
            text.one(name, "gauge", help, &[(String::new(), value as u64)]);
        }
        text.finish()
    }
}

impl Registrar {
    /// None if no address of Consul was given. Nobody is contacted yet.
    ///
    /// # Errors
    /// When a file can't be read or used.
    pub fn new(
        reach: &ReachConsul,
        arguments: &Registration,
        is_local: bool,
        folder: &Path,
        shared: Arc<Shared>,
        inputs: Sender<Input>,
    ) -> Result<Option<Arc<Self>>, String> {
        let (Some(settings), Some(first)) = (reach.settings()?, reach.consul.first()) else {
            return Ok(None);
        };
        let owner = match &arguments.consul_name {
            Some(name) => name.clone(),
            None => kept_name(folder)?,
        };
        let agents = match is_local {
            true => Agents::One(first.to_string()),
            false => Agents::OnMachines {
                scheme: first.scheme().to_owned(),
                port: arguments.consul_agent_port,
            },
        };
        let timeout = AGENT_TIMEOUT;
        // An agent answers for itself.
        let consistency = Consistency::Default;
        let settings = Settings { timeout, consistency, ..settings };
        let client = Client::new(settings).map_err(|error| format!("failed to {error}"))?;
        Ok(Some(Arc::new(Registrar {
            strays: Mutex::new(Strays::new(&owner, agents.clone())),
            registry: Mutex::new(Registry::new(&owner, agents)),
            client,
            shared,
            inputs,
            changed: Notify::new(),
            permits: Arc::new(Semaphore::new(AGENTS_MOST)),
        })))
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // The registry doesn't panic.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the core wants; whether this was something for Consul.
    pub fn command(&self, command: &Command) -> bool {
        let now = self.shared.now();
        match command {
            Command::Register { instance, machine, weight_thousandths, .. } => {
                let weight = *weight_thousandths.min(&FULL_THOUSANDTHS);
                let state = self.shared.state();
                self.registry().register(&state, instance, machine, weight, now);
            }
            Command::Deregister { instance, machine, .. } => {
                self.registry().deregister(instance, machine, now);
            }
            _ => return false,
        }
        self.changed.notify_one();
        true
    }

    /// Looks at agents until the program ends.
    pub async fn run(self: Arc<Self>) {
        let mut compared: Option<Time> = None;
        let mut sweep: Option<(Time, JoinHandle<()>)> = None;
        loop {
            let _ = tokio::time::timeout(LOOK_EVERY, self.changed.notified()).await;
            // Who doesn't lead changes nothing.
            if !self.shared.state().is_leading() || !self.shared.may_act() {
                continue;
            }
            let now = self.shared.now();
            if compared.is_none_or(|at| now.since(at) >= self.compare_every()) {
                let state = self.shared.state();
                self.registry().compare(&state, now);
                compared = Some(now);
            }
            let due = self.registry().due(self.permits.available_permits(), now);
            for address in due {
                let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
                let registrar = Arc::clone(&self);
                tokio::task::spawn_blocking(move || {
                    registrar.round(&address);
                    drop(permit);
                    // Another agent may have waited for the thread.
                    registrar.changed.notify_one();
                });
            }
            let given_up = self.registry().give_up(now);
            self.tell(given_up);
            let is_over = |(at, task): &(Time, JoinHandle<()>)| {
                task.is_finished() && now.since(*at) >= sweeper::SWEEP_EVERY
            };
            if sweep.as_ref().is_none_or(is_over) {
                let registrar = Arc::clone(&self);
                sweep = Some((now, tokio::task::spawn_blocking(move || registrar.sweep(now))));
            }
        }
    }

    /// One look at the catalog.
    fn sweep(&self, now: Time) {
        let is_known = |id: &InstanceId| self.shared.state().instance(id).is_some();
        let may_act = || self.shared.may_act();
        sweeper::sweep(&self.client, &self.strays, &is_known, &may_act, now);
    }

    /// From one comparison with the core's state to the next: one of many is no trifle.
    fn compare_every(&self) -> Nanoseconds {
        let is_many = self.registry().wanted() > MANY_INSTANCES;
        if is_many { COMPARE_MANY_EVERY } else { COMPARE_EVERY }
    }

    /// One look at an agent.
    fn round(&self, address: &str) {
        let outcome = self.try_round(address);
        self.registry().ended(address, outcome.as_ref().copied(), self.shared.now());
    }

    fn try_round(&self, address: &str) -> Result<(), Fault> {
        let client = self.client(address)?;
        let services: AgentServices =
            client.ask(Subject::AgentServices).map_err(|error| fault(&error))?.value;
        let step = self.registry().listed(address, &services, self.shared.now());
        let Step { calls, reports, told } = step;
        self.tell(told);
        let mut first = Ok(());
        for call in calls {
            if !self.shared.may_act() {
                let why = "this scheduler leads no more".to_owned();
                return Err(Fault { why, is_whole: true });
            }
            let change = match &call {
                Call::Register(service) => Change::register(service),
                Call::Deregister(id) => Change::deregister(id),
            };
            let outcome = done(&client, &change);
            let answer = outcome.as_ref().copied();
            let told = self.registry().called(address, &call, answer, self.shared.now());
            self.tell(told);
            match outcome {
                Err(fault) if fault.is_whole => return Err(fault),
                // One service that is refused is no reason to leave the others alone.
                Err(fault) => first = first.and(Err(fault)),
                Ok(()) => {}
            }
        }
        for (check, status, words) in reports {
            let outcome = done(&client, &Change::report(&check, status, &words));
            first = first.and(outcome);
        }
        first
    }

    /// One for a look: thousands of agents have their connections and certificates together.
    fn client(&self, address: &str) -> Result<Client, Fault> {
        let endpoint = Endpoint::parse(address, false)
            .map_err(|error| Fault { why: error.to_string(), is_whole: true })?;
        Ok(self.client.at(endpoint))
    }

    fn tell(&self, told: impl IntoIterator<Item = Told>) {
        for told in told {
            let (instance, machine, fact) = match told {
                Told::Registered(instance, machine, weight_thousandths) => {
                    (instance, machine, InstanceFact::Registered { weight_thousandths })
                }
                Told::Deregistered(instance, machine) => {
                    (instance, machine, InstanceFact::Deregistered)
                }
            };
            let at = self.shared.now();
            // The loop may have ended.
            let _ = self.inputs.send(Input::Event(Event::Instance { instance, machine, at, fact }));
        }
    }

    /// What isn't registered.
    pub fn report(&self) -> Report {
        let registry = self.registry();
        let swept = self.strays.lock().unwrap_or_else(PoisonError::into_inner).swept;
        let counters = registry.counters();
        let counters = Counters {
            swept: counters.swept.saturating_add(swept),
            deregistered: counters.deregistered.saturating_add(swept),
            ..counters
        };
        let silent = registry.silent().map(|(agent, why)| (agent.to_owned(), why.to_owned()));
        Report {
            wanted: registry.wanted(),
            missing: registry.missing().collect(),
            silent: silent.collect(),
            counters,
        }
    }

    /// Whether an instance is in Consul, in a sentence.
    pub fn explain(&self, id: &InstanceId) -> String {
        let now = self.shared.now();
        self.registry().explain(id, now)
    }

    /// Why an app can't be registered as it wants to, if it can't: an agent without ACLs would run
    /// programs for everybody who reaches it. It asks Consul, so it takes a moment.
    pub fn refuses(&self, specification: &Specification) -> Option<(String, &'static str)> {
        let (DiscoveryCheck::Script(_) | DiscoveryCheck::Docker(_)) = specification.discovery.check
        else {
            return None;
        };
        let hint =
            "`consul: {check: ttl}` or `health: {command: [...]}` need no programs of Consul";
        let asked = self.client.ask::<AgentSelf>(Subject::AgentSelf);
        let why = match asked {
            Err(error) => format!("whether Consul has ACLs isn't known: failed to {error}"),
            Ok(answer) if !answer.value.debug_config.has_acls => {
                "Consul has no ACLs, so everybody who reaches an agent could have programs run"
                    .to_owned()
            }
            Ok(answer) if !answer.value.debug_config.runs_scripts => {
                "the agent takes no script checks (`enable_script_checks`)".to_owned()
            }
            Ok(_) => return None,
        };
        Some((format!("script and Docker checks are refused: {why}"), hint))
    }
}

/// Whether a change was made, or wasn't needed.
pub fn done(client: &Client, change: &Change) -> Result<(), Fault> {
    let raw = client.change(change, AGENT_TIMEOUT).map_err(|error| fault(&error))?;
    // Later versions of Consul say 404 for a service that isn't there: that is what was wanted.
    let is_gone = raw.status == 404 && change.target.starts_with("/v1/agent/service/deregister/");
    if is_gone {
        return Ok(());
    }
    change::accepted(change, &raw).map_err(|error| {
        let is_whole = error.may_pass();
        Fault { why: error.to_string(), is_whole }
    })
}

fn fault(error: &ClientError) -> Fault {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    Fault { why: format!("failed to {error}{hint}"), is_whole: true }
}

/// A name that no other scheduler has: two that shared one would sweep each other's registrations.
fn kept_name(folder: &Path) -> Result<String, String> {
    let path = folder.join(NAME_FILE);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    match fs::read_to_string(&path) {
        Ok(text) => name(text.trim()).map_err(|why| format!("{}: {why}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes)
                .map_err(|error| format!("there are no random numbers: {error}"))?;
            let made = format!("corral-{}", hex::encode(bytes));
            durable::write(&path, made.as_bytes(), 0o600).map_err(failed)?;
            Ok(made)
        }
        Err(error) => Err(failed(error)),
    }
}

//! A term: all that there is while this scheduler leads, from the records to the API.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use policy::Time;
use policy::config::Policy;
use scheduler_core::ids::Epoch;
use scheduler_core::{Event, State};
use scheduler_mesos_client::Identity;
use scheduler_runner::{Report, Runner};
use scheduler_store::cluster::{Lease, Office};
use scheduler_store::{Store, StoreError, Writer};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::cycle::{Cycle, Ended, Input, Shared, WriteFailure};
use super::decisions::DecisionLog;
use super::http::{self, Context, Remembered};
use super::journal::Journal;
use super::legacy::{Estate, Legacy};
use super::policies::{Begun, Policies};
use super::registrar::Registrar;
use super::scraper::Scraper;
use super::switch::Switch;
use super::{Failure, Serve, local, mesos};
use crate::exit::Exit;

/// What outlives a term.
pub struct Stage {
    pub arguments: Serve,
    pub folder: PathBuf,
    pub policy: Policy,
    /// The policy as its user wrote it.
    pub policy_text: String,
    pub runner: Arc<Runner>,
    pub reports: Mutex<Option<UnboundedReceiver<Report>>>,
    pub token: Arc<str>,
    pub switch: Switch,
}

/// What a term has from whoever made it leader.
pub struct Mandate {
    pub store: Store,
    pub epoch: Epoch,
    /// Where the id that Mesos gave is kept.
    pub identity: Box<dyn Identity>,
    /// What it leads by, if there are others.
    pub office: Option<Office>,
    /// The number that events have at least.
    pub events_from: u64,
}

/// How a term has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    /// It was told to end, with this exit code.
    Told(Exit),
    /// It leads no more.
    Lost(String),
}

/// Ctrl-C, and what `kill` sends.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn new() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(error.to_string());
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Signals { interrupt, terminate })
    }

    /// Waits for one.
    pub async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Leads, until a signal comes or another one leads.
pub async fn lead(stage: &Stage, mandate: Mandate, signals: &mut Signals) -> Result<Over, Failure> {
    let Mandate { store, epoch, identity, mut office, events_from } = mandate;
    let lease = office.as_ref().map(Office::lease);
    let (inputs, coming) = channel();
    if let Some(office) = &mut office {
        let inputs = inputs.clone();
        // The loop may have ended.
        let lost = move |why| drop(inputs.send(Input::Lost(why)));
        office.keep(lost).map_err(|error| Failure::new(error.to_string()))?;
    }
    let outcome = act(stage, store, epoch, identity, lease, events_from, inputs, coming, signals);
    let outcome = outcome.await;
    if let Some(office) = office {
        let resigned = tokio::task::spawn_blocking(move || office.resign()).await;
        if let Ok(Err(error)) = resigned {
            crate::paint::warning(&format!("the next scheduler has to wait: failed to {error}"));
        }
    }
    outcome
}

#[expect(clippy::too_many_arguments, reason = "the parts of one thing, called from one place")]
async fn act(
    stage: &Stage,
    mut store: Store,
    epoch: Epoch,
    identity: Box<dyn Identity>,
    lease: Option<Lease>,
    events_from: u64,
    inputs: Sender<Input>,
    coming: Receiver<Input>,
    signals: &mut Signals,
) -> Result<Over, Failure> {
    let is_one_of_several = lease.is_some();
    let Opened { shared, decision_log, policies, estate, remembered } =
        open(stage, &mut store, lease, events_from)?;
    shared.discovery.begin(epoch);
    let arguments = &stage.arguments;
    store.read_from(Arc::<Shared>::clone(&shared));
    let writer = writer(store, inputs.clone())?;
    let (commands, to_do) = unbounded_channel();
    let is_local = arguments.mesos.master.is_none();
    let facts = if is_local {
        let machines = local::machines(arguments.machines, arguments.ports);
        let mut facts = local::machine_facts(&shared, &machines);
        facts.extend(super::volumes::found(&stage.runner.volumes(), &shared.state()));
        facts
    } else {
        Vec::new()
    };
    for event in [Event::Leader { epoch }].into_iter().chain(facts) {
        // Nobody has ended the loop before it began.
        let _ = inputs.send(Input::Event(event));
    }
    // Registrations of a leader are those of the next one.
    let mut registration = arguments.registration.clone();
    if is_one_of_several {
        let shared_name = || arguments.reach_consul.consul_prefix.replace('/', ".");
        registration.consul_name.get_or_insert_with(shared_name);
    }
    let registrar = Registrar::new(
        &arguments.reach_consul,
        &registration,
        is_local,
        &stage.folder,
        Arc::clone(&shared),
        inputs.clone(),
    );
    let registrar = registrar.map_err(Failure::new)?;
    let registering = registrar.as_ref().map(|one| tokio::spawn(Arc::clone(one).run()));
    let scraper = Scraper::new(is_local, Arc::clone(&shared), inputs.clone());
    let scraping = tokio::spawn(Arc::clone(&scraper).run());
    let mut is_over = mesos::IsOver::default();
    let mut figures = None;
    let mut known = None;
    let work: JoinHandle<()> = if let Some(address) = &arguments.mesos.master {
        let options = (&arguments.mesos, address, identity, is_one_of_several);
        let started = mesos::start(options, &shared, inputs.clone()).map_err(Failure::new)?;
        is_over = started.1;
        figures = Some(Arc::clone(started.0.figures()));
        known = Some(started.0.known());
        let (shared, registrar) = (Arc::clone(&shared), registrar.clone());
        let role = arguments.mesos.offer_constraints.then(|| arguments.mesos.role.clone());
        let inputs = inputs.clone();
        tokio::spawn(mesos::carry_out(to_do, started.0, shared, inputs, registrar, role))
    } else {
        let reports = stage.reports.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reports) = reports {
            tokio::spawn(local::report(reports, inputs.clone()));
        }
        let (runner, shared) = (Arc::clone(&stage.runner), Arc::clone(&shared));
        tokio::spawn(local::carry_out(to_do, runner, shared, inputs.clone(), registrar.clone()))
    };
    let live = Arc::clone(&policies);
    let estate = is_one_of_several.then_some(estate);
    let (shared_too, inputs_too) = (Arc::clone(&shared), inputs.clone());
    let cycle = Cycle::new(shared_too, writer, commands, decision_log, live, estate, inputs_too);
    let mut cycle = tokio::task::spawn_blocking(move || cycle.run(&coming));
    tell_state(stage, &shared, epoch);
    stage.switch.turn(http::router(Context {
        shared: Arc::clone(&shared),
        inputs: inputs.clone(),
        runner: Arc::clone(&stage.runner),
        token: Arc::clone(&stage.token),
        policies,
        scraper,
        docker: arguments.docker.as_str().into(),
        is_local,
        figures,
        mesos: known,
        registrar,
        remembered: Arc::new(remembered),
        permits: Arc::new(Semaphore::new(http::REQUESTS_MOST)),
    }));
    let ended = tokio::select! {
        () = signals.come() => {
            // If the loop has ended, this comes too late, and does no harm.
            let _ = inputs.send(Input::Stop);
            cycle.await
        }
        ended = &mut cycle => ended,
    };
    // Whoever carries out commands ends with the loop, and what it holds with it.
    let _ = work.await;
    scraping.abort();
    if let Some(registering) = registering {
        registering.abort();
    }
    shared.journal.close();
    shared.discovery.wake();
    Ok(match ended.map_err(|error| Failure::new(error.to_string()))? {
        Ended::Stopped if is_over.load(Ordering::SeqCst) => Over::Told(Exit::Refused),
        Ended::Stopped => Over::Told(Exit::Done),
        Ended::Fenced(why) => Over::Lost(why),
    })
}

/// What a term begins with.
struct Opened {
    shared: Arc<Shared>,
    decision_log: DecisionLog,
    policies: Arc<Policies>,
    estate: Estate,
    remembered: Remembered,
}

/// Makes a state of the records, and opens what is beside them on the disk; what earlier leaders have
/// left goes on there.
fn open(
    stage: &Stage,
    store: &mut Store,
    lease: Option<Lease>,
    events_from: u64,
) -> Result<Opened, Failure> {
    let folder: &Path = &stage.folder;
    let contents = store.load()?;
    let legacy = Legacy::read(&contents.notes);
    let Legacy { events, decisions, policies: left, answers, mut estate } = legacy;
    let (policies, Begun { policy, is_applied, change }) =
        Policies::open(folder, stage.policy, &stage.policy_text, now(), &left)?;
    if let Some(change) = &change {
        estate.begun(change);
    }
    if is_applied {
        tell!("the policy is the one that was applied last; `scheduler policy list` says more");
    }
    let state = State::restore(policy, contents.records)
        .map_err(|error| Failure::new(format!("the records can't be used: {error}")))?;
    let journal = Journal::open(&folder.join("events.log"), &state)?;
    match events.is_empty() {
        true => journal.begin_at(events_from),
        false => journal.continue_from(events),
    }
    let shared = Shared::new(state, journal, lease);
    let mut decision_log = DecisionLog::open(&folder.join("decisions.log"), &shared.decisions)?;
    decision_log.continue_from(&decisions, &shared.decisions)?;
    let (shared, policies) = (Arc::new(shared), Arc::new(policies));
    Ok(Opened { shared, decision_log, policies, estate, remembered: Remembered::of(answers) })
}

/// The time, before there is a state that makes sure that it never goes back.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn writer(store: Store, inputs: Sender<Input>) -> Result<Writer, Failure> {
    let done = move |number, outcome: Result<(), &StoreError>| {
        let outcome = outcome.map_err(|error| match error {
            StoreError::Fenced { .. } | StoreError::Lost => WriteFailure::Fenced(error.chain()),
            _ => WriteFailure::Failed(error.chain()),
        });
        // The loop waits for this before it ends, or doesn't care any more.
        let _ = inputs.send(Input::Written(number, outcome));
    };
    Writer::start(store, done).map_err(|error| Failure::new(format!("no more threads: {error}")))
}

fn tell_state(stage: &Stage, shared: &Shared, epoch: Epoch) {
    let state = shared.state();
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let apps = count(state.apps().len(), "app");
    if stage.arguments.mesos.master.is_none() {
        let found = stage.runner.living().len();
        return tell!("{apps}, {} found running", count(found, "instance"));
    }
    let known: usize = state.apps().values().map(|app| app.instances.len()).sum();
    tell!("leads in term {}: {apps}, {} in the records", epoch.0, count(known, "instance"));
}

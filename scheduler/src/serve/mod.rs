//! `scheduler serve`: the daemon.

mod cycle;
pub mod decisions;
mod http;
mod journal;
mod known;
mod local;
mod mesos;
mod meters;
mod reach_consul;
mod registrar;
mod tls;
pub mod users;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};

use durable::LogError;
use policy::config::Policy;
use scheduler_core::command::Record;
use scheduler_core::{Event, State};
use scheduler_runner::{Runner, Settings};
use scheduler_store::{FileStore, Store, StoreError, Writer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::unbounded_channel;

use crate::exit::Exit;
use crate::folder::{self, DaemonFile};
use crate::{input, paint};
use cycle::{Cycle, Ended, Input, Shared, WriteFailure};
use decisions::DecisionLog;
use http::{Allowed, Context};
use journal::Journal;
use registrar::Registrar;
use tls::Door;

/// Folders of instances that have ended, with their output, that are kept.
const ENDED_KEPT: usize = 100;

/// `scheduler serve`.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Run instances as processes or containers of this machine.
    #[arg(long, required_unless_present = "master")]
    pub local: bool,
    #[command(flatten)]
    pub mesos: mesos::Mesos,
    /// Where the API listens for this machine; only loopback addresses.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7470")]
    pub listen: SocketAddr,
    /// The policy; the preset `recommended` if absent.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Pretend that this machine is so many, to see spread and drain at work.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub machines: u32,
    /// Ports for instances.
    #[arg(long, value_name = "FIRST-LAST", default_value = "31000-31999", value_parser = ports)]
    pub ports: (u16, u16),
    /// The command of Docker, for apps with images.
    #[arg(long, value_name = "COMMAND", default_value = "docker")]
    pub docker: String,
    #[command(flatten)]
    pub tls: tls::Options,
    #[command(flatten)]
    pub reach_consul: reach_consul::ReachConsul,
    #[command(flatten)]
    pub registration: registrar::Registration,
    #[command(flatten)]
    pub place: folder::Home,
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let read = || {
        let (first, last) = text.split_once('-')?;
        Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?))
    };
    let fits = |(first, last): &(u16, u16)| *first >= 1 && first <= last;
    read().filter(fits).ok_or_else(|| "expected FIRST-LAST, such as 31000-31999".to_owned())
}

/// Serves until it is told to end.
pub async fn serve(arguments: Serve) -> Exit {
    match run(arguments).await {
        Ok(exit) => exit,
        Err(failure) => {
            paint::error(&failure.message, failure.hint.as_deref());
            failure.exit
        }
    }
}

/// Why it can't begin, or can't go on.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Environment, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Failure::new(error.chain());
        match error {
            StoreError::InUse { .. } => failure
                .hint("a scheduler runs with this folder; end it, or choose another `--data`"),
            _ => failure,
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Failure::new(format!("failed to {}", chain(&error)))
    }
}

/// What there is before the first event.
struct Parts {
    shared: Arc<Shared>,
    decisions: DecisionLog,
    store: Store,
    policy: String,
}

async fn run(arguments: Serve) -> Result<Exit, Failure> {
    if !arguments.listen.ip().is_loopback() {
        let message = format!("{} is no loopback address", arguments.listen.ip());
        let hint = "for other machines, with TLS and tokens, there is `--listen-tls`";
        return Err(Failure { exit: Exit::Usage, ..Failure::new(message).hint(hint) });
    }
    let folder = arguments.place.folder().map_err(Failure::new)?;
    let Some((policy, text)) = input::policy(arguments.policy.as_deref()) else {
        return Ok(Exit::InvalidInput);
    };
    folder::make_private(&folder)
        .map_err(|(message, hint)| Failure { hint, ..Failure::new(message) })?;
    let mut parts = open(&folder, policy, &text)?;
    let epoch = parts.store.claim()?;
    let listener = listen(arguments.listen).await?;
    let door = tls::open(&arguments.tls).await?;
    let (tells, reports) = unbounded_channel();
    let settings = Settings {
        folder: folder.join("tasks"),
        supervisor: supervisor(),
        docker: arguments.docker.clone(),
        ended_kept: ENDED_KEPT,
    };
    let runner = Runner::open(settings, tells).map_err(|error| Failure::new(chain(&error)))?;
    let runner = Arc::new(runner);
    let (inputs, coming) = channel();
    let writer = writer(parts.store, inputs.clone())?;
    let (commands, to_do) = unbounded_channel();
    let facts = match arguments.mesos.master {
        None => {
            let machines = local::machines(arguments.machines, arguments.ports);
            local::machine_facts(&parts.shared, &machines)
        }
        Some(_) => Vec::new(),
    };
    for event in [Event::Leader { epoch }].into_iter().chain(facts) {
        // Nobody has ended the loop before it began.
        let _ = inputs.send(Input::Event(event));
    }
    let shared = Arc::clone(&parts.shared);
    let is_local = arguments.mesos.master.is_none();
    let registrar = Registrar::new(
        &arguments.reach_consul,
        &arguments.registration,
        is_local,
        &folder,
        Arc::clone(&shared),
        inputs.clone(),
    );
    let registrar = registrar.map_err(Failure::new)?;
    if let Some(registrar) = &registrar {
        tokio::spawn(Arc::clone(registrar).run());
    }
    let mut is_over = mesos::IsOver::default();
    if let Some(address) = &arguments.mesos.master {
        let started = mesos::start(&arguments.mesos, address, &folder, &shared, inputs.clone());
        let (client, over) = started.map_err(Failure::new)?;
        is_over = over;
        let (shared, registrar) = (Arc::clone(&shared), registrar.clone());
        tokio::spawn(mesos::carry_out(to_do, client, shared, inputs.clone(), registrar));
    } else {
        let (runner, shared, registrar) =
            (Arc::clone(&runner), Arc::clone(&shared), registrar.clone());
        tokio::spawn(local::carry_out(to_do, runner, shared, inputs.clone(), registrar));
        tokio::spawn(local::report(reports, inputs.clone()));
    }
    let cycle = Cycle::new(Arc::clone(&shared), writer, commands, parts.decisions);
    let cycle = tokio::task::spawn_blocking(move || cycle.run(&coming));
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let token = token()?;
    let daemon = DaemonFile { address, token: token.clone(), pid: std::process::id() };
    folder::write(&folder, &daemon)
        .map_err(|error| Failure::new(format!("daemon.json: {error}")))?;
    let elsewhere = door.as_ref().map(|door| door.address);
    tell_beginning(&arguments, &folder, [Some(address), elsewhere], &shared, &runner);
    let context = Context {
        shared,
        inputs: inputs.clone(),
        runner: Arc::clone(&runner),
        allowed: Allowed::Token(token.into()),
        policy: parts.policy.into(),
        docker: arguments.docker.into(),
        is_local,
        registrar,
        remembered: Arc::default(),
        permits: Arc::new(Semaphore::new(http::REQUESTS_MOST)),
    };
    let ended = attend(listener, door, context, inputs, cycle).await?;
    match &ended {
        Ended::Stopped if !is_local => {
            tell!("ended; instances on Mesos go on, and are found when this is started again");
        }
        ended => tell_end(ended, &runner),
    }
    Ok(match ended {
        Ended::Stopped if is_over.load(Ordering::SeqCst) => Exit::Refused,
        Ended::Stopped => Exit::Done,
        Ended::Fenced(_) => Exit::Refused,
    })
}

/// Opens what is on the disk.
fn open(folder: &Path, policy: Policy, text: &str) -> Result<Parts, Failure> {
    let store = Store::File(FileStore::open(&folder.join("store.redb"))?);
    let contents = store.load()?;
    let digest = policy.digest();
    decisions::keep_policy(folder, &digest, text)
        .map_err(|error| Failure::new(format!("the policy can't be kept: {error}")))?;
    let state = State::restore(policy, contents.records)
        .map_err(|error| Failure::new(format!("the records can't be used: {error}")))?;
    let journal = Journal::open(&folder.join("events.log"), &state)?;
    let decisions = DecisionLog::open(&folder.join("decisions.log"))?;
    let shared = Arc::new(Shared::new(state, journal));
    Ok(Parts { shared, decisions, store, policy: digest })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::new(format!("failed to listen at {address}: {error}"));
        failure.hint("choose another address with `--listen 127.0.0.1:PORT`")
    })
}

/// This program supervises tasks, too. It is named as the kernel knows it: its file may have been
/// replaced by a newer one since it was started.
fn supervisor() -> Vec<OsString> {
    vec!["/proc/self/exe".into(), crate::arguments::SUPERVISE.into()]
}

fn writer(store: Store, inputs: Sender<Input>) -> Result<Writer, Failure> {
    let done = move |number, outcome: Result<(), &StoreError>| {
        let outcome = outcome.map_err(|error| match error {
            StoreError::Fenced { .. } => WriteFailure::Fenced(error.chain()),
            _ => WriteFailure::Failed(error.chain()),
        });
        // The loop waits for this before it ends, or doesn't care any more.
        let _ = inputs.send(Input::Written(number, outcome));
    };
    Writer::start(store, done).map_err(|error| Failure::new(format!("no more threads: {error}")))
}

fn token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("there are no random numbers: {error}")))?;
    Ok(hex::encode(bytes))
}

/// Answers requests until a signal comes or the loop ends.
async fn attend(
    listener: TcpListener,
    door: Option<Door>,
    context: Context,
    inputs: Sender<Input>,
    cycle: tokio::task::JoinHandle<Ended>,
) -> Result<Ended, Failure> {
    let failed = |error: std::io::Error| Failure::new(error.to_string());
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let elsewhere = answer_elsewhere(door, context.clone());
    let server = axum::serve(listener, http::router(context)).into_future();
    let mut cycle = cycle;
    tokio::select! {
        served = server => served.map_err(failed)?,
        served = elsewhere => served.map_err(failed)?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        ended = &mut cycle => return ended.map_err(|error| Failure::new(error.to_string())),
    }
    // If the loop has ended, this comes too late, and does no harm.
    let _ = inputs.send(Input::Stop);
    cycle.await.map_err(|error| Failure::new(error.to_string()))
}

/// Answers requests of other machines, if there is a way in for them.
async fn answer_elsewhere(door: Option<Door>, context: Context) -> std::io::Result<()> {
    let Some(door) = door else { return std::future::pending().await };
    let allowed = Allowed::Users(Arc::clone(&door.users));
    axum::serve(door, http::router(Context { allowed, ..context })).await
}

fn tell_beginning(
    arguments: &Serve,
    folder: &Path,
    [address, elsewhere]: [Option<SocketAddr>; 2],
    shared: &Shared,
    runner: &Runner,
) {
    let state = shared.state();
    let machines = match (&arguments.mesos.master, arguments.machines) {
        (Some(address), _) => format!("Mesos at {address}"),
        (None, 1) => "this machine".to_owned(),
        (None, count) => format!("this machine as {count}"),
    };
    let program = env!("CARGO_PKG_VERSION");
    if let Some(address) = address {
        tell!("scheduler {program} on {machines}: http://{address} (API, and a page for browsers)");
    }
    if let Some(address) = elsewhere {
        tell!("for other machines, with tokens: https://{address}");
    }
    tell!("records, output and token: {}", folder.display());
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let apps = count(state.apps().len(), "app");
    if arguments.mesos.master.is_some() {
        let known: usize = state.apps().values().map(|app| app.instances.len()).sum();
        tell!("{apps}, {} in the records", count(known, "instance"));
    } else {
        tell!("{apps}, {} found running", count(runner.living().len(), "instance"));
    }
    if arguments.place.data.is_some() {
        tell!("in other terminals: export SCHEDULER_DATA={}", folder.display());
    }
}

fn tell_end(ended: &Ended, runner: &Runner) {
    match ended {
        Ended::Stopped => match runner.living().len() {
            0 => tell!("ended; nothing runs"),
            1 => tell!("ended; 1 instance goes on, and is found when this is started again"),
            count => {
                tell!("ended; {count} instances go on, and are found when this is started again")
            }
        },
        Ended::Fenced(why) => paint::error(why, Some("this one has ended and does nothing more")),
    }
}

/// An error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Whether records are of a cluster at all: what a snapshot must have.
pub fn has_cluster(records: &[(scheduler_core::command::Key, Record)]) -> bool {
    records.iter().any(|(_, record)| matches!(record, Record::Cluster(_)))
}

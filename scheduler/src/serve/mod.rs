//! `scheduler serve`: the daemon.

mod backlog;
mod cycle;
pub mod decisions;
mod discovery;
mod http;
mod journal;
mod known;
mod legacy;
mod local;
mod mesos;
mod meters;
mod policies;
mod reach_consul;
mod registrar;
mod scraper;
mod several;
mod sweeper;
mod switch;
mod term;
mod tls;
pub mod users;
mod volumes;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use durable::LogError;
use scheduler_core::command::Record;
use scheduler_mesos_client::FileIdentity;
use scheduler_runner::{Runner, Settings};
use scheduler_store::cluster::Keys;
use scheduler_store::{FileStore, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;

use crate::exit::Exit;
use crate::folder::{self, DaemonFile};
use crate::{input, paint};
pub use reach_consul::ReachConsul;
use several::Member;
use switch::Switch;
use term::{Mandate, Over, Signals, Stage};

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
    /// Where records are: in the folder of the daemon, or in Consul, for several schedulers of which
    /// one leads. Consul, if there are `--master` and `--consul`, and otherwise the folder.
    #[arg(long, value_name = "WHERE", requires_if("consul", "consul"))]
    pub store: Option<StoreKind>,
    /// Where the other schedulers and their clients reach the API of this one; where it listens, if
    /// absent.
    #[arg(long, value_name = "URL", requires = "consul")]
    pub advertise: Option<String>,
    /// Where the API listens; only loopback addresses.
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
    pub reach_consul: ReachConsul,
    #[command(flatten)]
    pub registration: registrar::Registration,
    #[command(flatten)]
    pub place: folder::Home,
}

/// Where records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// In the folder of the daemon.
    Folder,
    /// In Consul.
    Consul,
}

impl Serve {
    fn store_in_consul(&self) -> Result<bool, Failure> {
        let is_local = self.mesos.master.is_none();
        match self.store {
            Some(StoreKind::Folder) => Ok(false),
            Some(StoreKind::Consul) if is_local => {
                let message =
                    "instances of `--local` are of this machine, and so are their records";
                let hint = "several schedulers need `--master`; or leave `--store consul` out";
                Err(Failure { exit: Exit::Usage, ..Failure::new(message).hint(hint) })
            }
            Some(StoreKind::Consul) => Ok(true),
            None => Ok(!is_local && !self.reach_consul.consul.is_empty()),
        }
    }
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

async fn run(arguments: Serve) -> Result<Exit, Failure> {
    if !arguments.listen.ip().is_loopback() {
        let message = format!("{} is no loopback address", arguments.listen.ip());
        let hint = "for other machines, with TLS and tokens, there is `--listen-tls`";
        return Err(Failure { exit: Exit::Usage, ..Failure::new(message).hint(hint) });
    }
    let consul = arguments.reach_consul.client().map_err(Failure::new)?;
    let is_in_consul = arguments.store_in_consul()?;
    let folder = arguments.place.folder().map_err(Failure::new)?;
    let Some((policy, policy_text)) = input::policy(arguments.policy.as_deref()) else {
        return Ok(Exit::InvalidInput);
    };
    folder::make_private(&folder)
        .map_err(|(message, hint)| Failure { hint, ..Failure::new(message) })?;
    // Before anything else: only one may use the folder.
    let store = match is_in_consul {
        true => None,
        false => Some(FileStore::open(&folder.join("store.redb"))?),
    };
    let listener = listen(arguments.listen).await?;
    let door = tls::open(&arguments.tls).await?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let (tells, reports) = unbounded_channel();
    let settings = Settings {
        folder: folder.join("tasks"),
        volumes: folder.join("volumes"),
        supervisor: supervisor(),
        docker: arguments.docker.clone(),
        ended_kept: ENDED_KEPT,
    };
    let runner = Runner::open(settings, tells).map_err(|error| Failure::new(chain(&error)))?;
    let runner = Arc::new(runner);
    let member = match (consul, is_in_consul) {
        (Some(client), true) => Some(Arc::new(member(&arguments, client, address)?)),
        _ => None,
    };
    let leader = http::follower::Leader::default();
    let switch = Switch::new(http::follower::router(leader.clone()));
    let mut server = tokio::spawn(axum::serve(listener, switch.router()).into_future());
    let mut signals = Signals::new()?;
    let token = tokio::select! {
        () = signals.come() => {
            tell!("ended; it waited for Consul");
            return Ok(Exit::Done);
        }
        token = token_of(member.as_ref(), &leader) => token?,
    };
    let daemon = DaemonFile { address, token: token.clone(), pid: std::process::id() };
    let elsewhere = door.as_ref().map(|door| door.address);
    let mut to_others = tokio::spawn(tls::serve(door, switch.router(), token.as_str().into()));
    folder::write(&folder, &daemon)
        .map_err(|error| Failure::new(format!("daemon.json: {error}")))?;
    tell_beginning(&arguments, &folder, address, elsewhere);
    let reports = Mutex::new(Some(reports));
    let token = token.into();
    let stage = Stage { arguments, folder, policy, policy_text, runner, reports, token, switch };
    let work = async {
        match (member, store) {
            (Some(member), _) => several::serve(&stage, &member, &mut signals).await,
            (None, Some(store)) => alone(&stage, store, &mut signals).await,
            (None, None) => Err(Failure::new("there is neither a folder nor a Consul")),
        }
    };
    let has_ended = |served: Result<std::io::Result<()>, _>| {
        Err(Failure::new(match served {
            Ok(Ok(())) => "the API has ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => tokio::task::JoinError::to_string(&error),
        }))
    };
    tokio::select! {
        exit = work => exit,
        served = &mut server => has_ended(served),
        served = &mut to_others => has_ended(served),
    }
}

/// Leads with the records of this machine: there is nobody else.
async fn alone(stage: &Stage, store: FileStore, signals: &mut Signals) -> Result<Exit, Failure> {
    let mut store = Store::File(store);
    let epoch = store.claim()?;
    let identity = Box::new(FileIdentity(stage.folder.join("framework")));
    let mandate = Mandate { store, epoch, identity, office: None, events_from: 0 };
    match term::lead(stage, mandate, signals).await? {
        Over::Told(exit) => {
            tell_end(stage);
            Ok(exit)
        }
        Over::Lost(why) => {
            paint::error(&why, Some("this one has ended and does nothing more"));
            Ok(Exit::Refused)
        }
    }
}

/// Who this one is among several.
fn member(
    arguments: &Serve,
    client: Arc<consul_client::Client>,
    address: SocketAddr,
) -> Result<Member, Failure> {
    let keys = Keys::below(&arguments.reach_consul.consul_prefix)
        .map_err(|error| Failure { exit: Exit::Usage, ..Failure::new(error.to_string()) })?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = format!("{} ({})", name.trim(), std::process::id());
    let address = arguments.advertise.clone().unwrap_or_else(|| format!("http://{address}"));
    Ok(Member { client, keys, name, address })
}

/// The token: of this daemon, or of all that share a Consul.
async fn token_of(
    member: Option<&Arc<Member>>,
    leader: &http::follower::Leader,
) -> Result<String, Failure> {
    let fresh = token()?;
    match member {
        Some(member) => several::await_token(Arc::clone(member), fresh, leader).await,
        None => Ok(fresh),
    }
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

fn token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("there are no random numbers: {error}")))?;
    Ok(hex::encode(bytes))
}

fn tell_beginning(
    arguments: &Serve,
    folder: &Path,
    address: SocketAddr,
    elsewhere: Option<SocketAddr>,
) {
    let machines = match (&arguments.mesos.master, arguments.machines) {
        (Some(address), _) => format!("Mesos at {address}"),
        (None, 1) => "this machine".to_owned(),
        (None, count) => format!("this machine as {count}"),
    };
    let program = env!("CARGO_PKG_VERSION");
    tell!("scheduler {program} on {machines}: http://{address} (API, and a page for browsers)");
    if let Some(address) = elsewhere {
        tell!("for other machines, with tokens: https://{address}");
    }
    tell!("records, output and token: {}", folder.display());
    if arguments.place.data.is_some() {
        tell!("in other terminals: export SCHEDULER_DATA={}", folder.display());
    }
}

fn tell_end(stage: &Stage) {
    if stage.arguments.mesos.master.is_some() {
        return tell!("ended; instances on Mesos go on, and are found when this is started again");
    }
    match stage.runner.living().len() {
        0 => tell!("ended; nothing runs"),
        1 => tell!("ended; 1 instance goes on, and is found when this is started again"),
        count => tell!("ended; {count} instances go on, and are found when this is started again"),
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

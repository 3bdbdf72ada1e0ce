//! An agent as a program of its own: it registers with the master that leads, runs tasks as processes
//! or Docker containers, and keeps them and what is to be said of them over its own end.

mod connection;
mod files;
mod memory;
mod pages;
mod tasks;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesos::{AgentId, Location};
use mesos_zookeeper::{Place, Seen, detect};
use scheduler_runner::{Report as Said, Runner, Settings as RunnerSettings};
use simulator_mesos::outside::{self, Registration, Told};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::description::{Description, Policy, attributes, resources, with_found};
use crate::flags::{FlagError, Flags};
use crate::{ReleaseError, SUPERVISE, log, version};
use connection::{Connection, NoConnection};
use memory::Memory;
use pages::Page;
use tasks::Tasks;

/// The port of agents.
const PORT: u16 = 5051;

/// From one attempt to register to the next.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A stream on which nothing was said for so many pings is over.
const SILENT_PINGS: u32 = 4;

/// The shortest silence that counts.
const SILENCE_LEAST: Duration = Duration::from_secs(5);

/// How long tasks may take to end when the agent ends for good.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Ended tasks whose folders are kept.
const ENDED_KEPT: usize = 200;

/// Where systemd says that it runs the machine.
const SYSTEMD: &str = "/run/systemd/system";

/// How an agent is set up.
#[derive(Debug)]
struct Settings {
    masters: Vec<Location>,
    zookeeper: Option<Place>,
    address: IpAddr,
    ip: IpAddr,
    description: Description,
    policy: Policy,
    work_dir: PathBuf,
    docker: String,
    supervisor: Vec<OsString>,
}

/// The agent, for itself and for its pages.
#[derive(Debug)]
pub(crate) struct Shared {
    tasks: Mutex<Tasks>,
    page: Mutex<Page>,
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        // Nothing panics half way through a change.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the agent ends.
enum End {
    /// Its tasks go on.
    Stopped,
    /// It goes for good.
    Unregister,
    /// The master refuses it for ever.
    Refused(String),
}

/// Runs an agent until it is told to end.
///
/// # Errors
/// It can't begin, or a master refuses it for ever.
pub async fn run(flags: &Flags) -> Result<(), ReleaseError> {
    let settings = read(flags)?;
    for name in flags.without_effect() {
        log('W', format!("--{name} has no effect here"));
    }
    let (memory, before, found, completed) = Memory::open(&settings.work_dir)?;
    // Without what it has reserved it would be another agent.
    memory.resources()?;
    if let Some(before) = before {
        before.may_become(&settings.description, settings.policy)?;
    }
    let mut signals = Signals::new()?;
    let (tells, reports) = unbounded_channel();
    let runner = Runner::open(
        RunnerSettings {
            folder: settings.work_dir.join("tasks"),
            volumes: settings.work_dir.join("volumes"),
            supervisor: settings.supervisor.clone(),
            docker: settings.docker.clone(),
            ended_kept: ENDED_KEPT,
        },
        tells,
    );
    let runner = runner.map_err(|error| ReleaseError::Machine {
        what: "run tasks".to_owned(),
        cause: match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    })?;
    let (description, ip) = (settings.description.clone(), settings.ip.to_string());
    let known = found.len();
    let tasks = Tasks::new(memory, description, ip, runner, found)
        .with_completed(&settings.work_dir, completed);
    let page = Page::new(flags.page(), version::of_release());
    let shared = Arc::new(Shared { tasks: Mutex::new(tasks), page: Mutex::new(page) });
    let listen = SocketAddr::new(settings.address, settings.description.port);
    pages::serve(listen, shared.clone())
        .await
        .map_err(ReleaseError::machine(format!("listen on {listen}")))?;
    log('I', format!("an agent of the simulated Mesos, on http://{listen}, {known} tasks known"));
    let end = live(&settings, &shared, reports, &mut signals).await;
    match end {
        End::Stopped => {
            log('I', "stopped; tasks go on");
            Ok(())
        }
        End::Unregister => {
            end_tasks(&shared).await;
            shared.tasks().memory.end();
            log('I', "unregistered; nothing runs any more");
            Ok(())
        }
        End::Refused(why) => {
            end_tasks(&shared).await;
            Err(ReleaseError::Ended(format!("the master refuses this agent: {why}")))
        }
    }
}

/// Signals that mean something.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    unregister: Signal,
}

impl Signals {
    fn new() -> Result<Self, ReleaseError> {
        let listen =
            |kind: SignalKind| signal(kind).map_err(ReleaseError::machine("listen to signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            unregister: listen(SignalKind::user_defined1())?,
        })
    }

    /// As with Mesos' agents: SIGUSR1 unregisters, the others stop the program only.
    async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.interrupt.recv() => End::Stopped,
            _ = self.terminate.recv() => End::Stopped,
            _ = self.unregister.recv() => End::Unregister,
        }
    }
}

/// Registers again and again.
async fn live(
    settings: &Settings,
    shared: &Shared,
    mut reports: UnboundedReceiver<Said>,
    signals: &mut Signals,
) -> End {
    let mut masters = Masters::new(settings);
    loop {
        let Some(master) = masters.next() else {
            masters.complain("no master leads".to_owned());
            tokio::select! {
                () = masters.changed() => {}
                Some(said) = reports.recv() => shared.tasks().heard(said),
                end = signals.next() => return end,
            }
            continue;
        };
        let registration = registration(settings, shared);
        let opened = {
            let opening = Connection::open(&master, &registration);
            tokio::pin!(opening);
            loop {
                tokio::select! {
                    opened = &mut opening => break opened,
                    Some(said) = reports.recv() => shared.tasks().heard(said),
                    end = signals.next() => return end,
                }
            }
        };
        match opened {
            Ok(connection) => {
                masters.serves(&master);
                let served =
                    serve(settings, shared, connection, &mut masters, &mut reports, signals);
                match served.await {
                    Over::Broken(why) => {
                        log('W', format!("the stream of {} is over: {why}", master.authority()));
                    }
                    Over::End(end) => return end,
                }
                shared.page().master = None;
            }
            Err(NoConnection::Elsewhere(leader)) => {
                masters.leads(leader);
                continue;
            }
            Err(NoConnection::Never(why)) => return End::Refused(why),
            Err(NoConnection::Later(why)) => {
                let name = master.authority();
                masters.complain(format!("not registered with {name}: {why}"));
            }
        }
        let again = sleep(AGAIN_AFTER);
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = &mut again => break,
                () = masters.changed() => break,
                Some(said) = reports.recv() => shared.tasks().heard(said),
                end = signals.next() => return end,
            }
        }
    }
}

/// Which master to try.
struct Masters {
    all: Vec<Location>,
    position: usize,
    leader: Option<Location>,
    complained: Option<String>,
    /// What ZooKeeper says; all but the last word is old.
    detected: Option<watch::Receiver<Option<Location>>>,
}

impl Masters {
    fn new(settings: &Settings) -> Self {
        let detected = settings.zookeeper.clone().map(follow);
        let all = settings.masters.clone();
        Self { all, position: 0, leader: None, complained: None, detected }
    }

    /// The one that was named as the leader, once; else the one that ZooKeeper names, or one after
    /// the other. None if nobody leads.
    fn next(&mut self) -> Option<Location> {
        if let Some(leader) = self.leader.take() {
            return Some(leader);
        }
        if let Some(detected) = &mut self.detected {
            return detected.borrow_and_update().clone();
        }
        let position = self.position;
        self.position = (position + 1) % self.all.len().max(1);
        self.all.get(position).cloned()
    }

    /// Ends when ZooKeeper names another leader; never if it isn't asked.
    async fn changed(&mut self) {
        let gone = match &mut self.detected {
            Some(detected) => detected.changed().await.is_err(),
            None => true,
        };
        if gone {
            std::future::pending::<()>().await;
        }
    }

    fn leads(&mut self, leader: Location) {
        self.leader = Some(leader);
    }

    /// It is the first to be tried again, where nobody knows better.
    fn serves(&mut self, master: &Location) {
        if self.detected.is_none() {
            self.leader = Some(master.clone());
        }
        self.complained = None;
    }

    /// The same trouble is told once.
    fn complain(&mut self, text: String) {
        if self.complained.as_ref() != Some(&text) {
            log('W', &text);
            self.complained = Some(text);
        }
    }
}

/// Follows who leads for as long as the program lives.
fn follow(place: Place) -> watch::Receiver<Option<Location>> {
    let (tells, told) = watch::channel(None);
    tokio::spawn(async move {
        detect(&place, |seen| {
            let leader = match seen {
                Seen::Leads(info) => {
                    let (host, port) = info.endpoint();
                    Some(Location { tls: None, host, port, path: String::new() })
                }
                Seen::Nobody => None,
                // The last one stays until there is another.
                Seen::Problem(why) => return log('W', why),
            };
            tells.send_if_modified(|known| {
                let is_other = *known != leader;
                *known = leader;
                is_other
            });
        })
        .await;
    });
    told
}

fn registration(settings: &Settings, shared: &Shared) -> Registration {
    let mut tasks = shared.tasks();
    let description = &settings.description;
    let held = tasks.memory.resources().ok().flatten();
    Registration {
        agent_id: tasks.memory.id().cloned(),
        hostname: description.hostname.clone(),
        ip: settings.ip.to_string(),
        port: description.port,
        resources: held.unwrap_or_else(|| description.resources.clone()),
        attributes: description.attributes.clone(),
        tasks: tasks.snapshot(),
    }
}

/// Why a stream is over.
enum Over {
    Broken(String),
    End(End),
}

/// Does what the master tells, and tells the master.
async fn serve(
    settings: &Settings,
    shared: &Shared,
    mut connection: Connection,
    masters: &mut Masters,
    reports: &mut UnboundedReceiver<Said>,
    signals: &mut Signals,
) -> Over {
    let mut silence = SILENCE_LEAST;
    loop {
        let stream = connection.stream;
        let next = stream.and_then(|stream| Some(shared.tasks().next_report()?.encode(stream)));
        if let Some(body) = next {
            match connection.say(outside::REPORT, body).await {
                Ok(()) => shared.tasks().reported(),
                Err(why) => return Over::Broken(format!("{why:?}")),
            }
            continue;
        }
        tokio::select! {
            told = timeout(silence, connection.next()) => {
                let told = match told {
                    Ok(Some(Ok(told))) => told,
                    Ok(Some(Err(error))) => return Over::Broken(error),
                    Ok(None) => return Over::Broken("the master ended it".to_owned()),
                    Err(_) => return Over::Broken("the master is silent".to_owned()),
                };
                match told {
                    Told::Registered { agent_id, stream, ping_every } => {
                        connection.stream = Some(stream);
                        silence = SILENCE_LEAST
                            .max(Duration::from_nanos(ping_every).saturating_mul(SILENT_PINGS));
                        if let Err(why) = registered(settings, shared, &connection, &agent_id) {
                            return Over::Broken(why);
                        }
                    }
                    Told::Ping => {
                        let Some(stream) = connection.stream else { continue };
                        let body = outside::encode_stream(stream);
                        if let Err(why) = connection.say(outside::PONG, body).await {
                            return Over::Broken(format!("{why:?}"));
                        }
                    }
                    Told::ShutDown { message } => return Over::End(End::Refused(message)),
                    told => shared.tasks().obey(told),
                }
            }
            Some(said) = reports.recv() => shared.tasks().heard(said),
            () = masters.changed() => {
                return Over::Broken("ZooKeeper names another leader, or none".to_owned());
            }
            end = signals.next() => {
                if let (End::Unregister, Some(stream)) = (&end, connection.stream) {
                    // A master that doesn't hear of it finds out.
                    let body = outside::encode_stream(stream);
                    drop(connection.say(outside::UNREGISTER, body).await);
                }
                return Over::End(end);
            }
        }
    }
}

fn registered(
    settings: &Settings,
    shared: &Shared,
    connection: &Connection,
    agent_id: &AgentId,
) -> Result<(), String> {
    let kept = shared.tasks().memory.keep_id(agent_id, &settings.description);
    kept.map_err(|error| format!("failed to write down the id: {error}"))?;
    log('I', format!("registered with {} as {agent_id}", connection.master().authority()));
    shared.page().master = Some(connection.master().clone());
    Ok(())
}

/// The agent goes for good: nothing of it runs on.
async fn end_tasks(shared: &Shared) {
    shared.tasks().end_all();
    let quiet = async {
        while !shared.tasks().is_quiet() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(END_LIMIT, quiet).await.is_err() {
        log('W', "some tasks have not ended");
    }
}

fn read(flags: &Flags) -> Result<Settings, ReleaseError> {
    flags.refuse(
        &["credential", "http_credentials", "acls", "jwt_secret_key"],
        &["authenticate_http_readonly", "authenticate_http_readwrite"],
    )?;
    let wrong = |name: &str, value: &str, reason: &str| FlagError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    let master = flags.text("master")?.ok_or(FlagError::Missing("master"))?;
    let zookeeper = match master.starts_with("zk://") {
        true => Some(
            master
                .parse::<Place>()
                .map_err(|error| wrong("master", &master, &error.to_string()))?,
        ),
        false => None,
    };
    let named = zookeeper.as_ref().map_or(master.as_str(), |place| place.servers.as_str());
    let masters: Result<Vec<Location>, _> =
        named.split(',').filter(|it| !it.is_empty()).map(Location::parse).collect();
    let masters = masters.map_err(|error| wrong("master", &master, &error.to_string()))?;
    if masters.is_empty() {
        return Err(wrong("master", &master, "it names nobody").into());
    }
    let work_dir = flags.folder("work_dir")?;
    std::fs::create_dir_all(&work_dir)
        .map_err(ReleaseError::machine(format!("make {}", work_dir.display())))?;
    let address = flags.address("ip")?.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let ip = match flags.address("advertise_ip")? {
        Some(ip) => ip,
        // Towards ZooKeeper, or a master.
        None if address.is_unspecified() => own_address(&masters),
        None => address,
    };
    let hostname = flags.given("hostname").map_or_else(|| ip.to_string(), str::to_owned);
    let policy = match flags.given("reconfiguration_policy") {
        None | Some("equal") => Policy::Equal,
        Some("additive") => Policy::Additive,
        Some(other) => {
            let reason = "expected equal or additive";
            return Err(wrong("reconfiguration_policy", other, reason).into());
        }
    };
    let given = resources(flags.given("resources").unwrap_or_default())?;
    let description = Description {
        hostname,
        port: flags.port("port")?.unwrap_or(PORT),
        resources: with_found(given, &work_dir),
        attributes: attributes(flags.given("attributes").unwrap_or_default())?,
    };
    let docker = flags.given("docker").unwrap_or("docker").to_owned();
    let supervisor = supervisor(flags, &work_dir)?;
    for known in ["containerizers", "launcher_dir", "runtime_dir", "recover", "strict"] {
        // What they ask for is so here, or makes no difference.
        let _ = flags.given(known);
    }
    let masters = if zookeeper.is_some() { Vec::new() } else { masters };
    Ok(Settings {
        masters,
        zookeeper,
        address,
        ip,
        description,
        policy,
        work_dir,
        docker,
        supervisor,
    })
}

/// What supervises a task. Where systemd runs the machine, it is a scope of its own in the slice of
/// Mesos' executors, as with Mesos' `systemd_enable_support`: a unit that restarts ends what is in it.
fn supervisor(flags: &Flags, work_dir: &Path) -> Result<Vec<OsString>, ReleaseError> {
    let own = std::env::current_exe().map_err(ReleaseError::machine("find this program"))?;
    // The release that started a task may be removed while it runs on; a running program stays.
    let mut words: Vec<OsString> = Vec::new();
    let wants_scopes = flags.given("systemd_enable_support").is_none_or(|it| it != "false");
    if wants_scopes && Path::new(SYSTEMD).is_dir() && nix::unistd::Uid::effective().is_root() {
        let scope =
            ["systemd-run", "--scope", "--quiet", "--collect", "--slice=mesos_executors.slice"];
        words.extend(scope.map(OsString::from));
        words.push("--".into());
    } else if wants_scopes && flags.given("systemd_enable_support").is_some() {
        log(
            'W',
            format!(
                "systemd does not run this machine: tasks of {} are children",
                work_dir.display()
            ),
        );
    }
    words.push(own.into());
    words.push(SUPERVISE.into());
    Ok(words)
}

/// The address that this machine has towards a master; nothing is sent for that.
fn own_address(masters: &[Location]) -> IpAddr {
    let towards = |master: &Location| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((master.host.as_str(), master.port)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    masters.iter().find_map(towards).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

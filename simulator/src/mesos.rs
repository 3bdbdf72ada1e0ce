//! `simulator mesos`: a simulated Mesos that any framework can connect to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use diagnostics::Sources;
use scheduler_runner::{Runner, Settings};
use simulator_mesos::scenario::{AGENTS_LIMIT, Act, Machine, Plan, perform, plain, read, real};
use simulator_mesos::{AgentKey, Configuration, Nanoseconds, Run};
use simulator_mesos_server::real::carry_out;
use simulator_mesos_server::{Handle, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::exit::Exit;
use crate::masters::{self, Masters};
use crate::paint;

/// The hidden command that supervises a task of `--real`.
pub const SUPERVISE: &str = "supervise-task";

/// Ended tasks of `--real` whose folders are kept.
const ENDED_KEPT: usize = 200;

/// Most agents of `--real`: they share a thousand ports.
const REAL_AGENTS_LIMIT: u32 = 100;

/// `simulator mesos`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Mesos {
    #[command(subcommand)]
    pub program: Option<Program>,
    /// How many agents there are, unless the scenario says.
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(AGENTS_LIMIT)))]
    agents: u32,
    /// Where to listen. There are no passwords: only this machine should reach it.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5050")]
    listen: SocketAddr,
    /// CPUs of an agent.
    #[arg(long, value_name = "NUMBER", default_value_t = 16.0)]
    cpus: f64,
    /// Memory of an agent in megabytes.
    #[arg(long, value_name = "NUMBER", default_value_t = 65_536.0)]
    memory_mb: f64,
    /// Agents, how their tasks behave, and what goes wrong when.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Run tasks on this machine, as processes or Docker containers, with their folders in here.
    #[arg(long, value_name = "FOLDER", conflicts_with = "scenario")]
    real: Option<PathBuf>,
    /// Docker's program, for tasks that are containers.
    #[arg(long, value_name = "PROGRAM", default_value = "docker")]
    docker: String,
    /// Seed of ids, latencies and faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    masters: Masters,
}

/// Master and agents as programs of their own, which run real tasks.
#[derive(Debug, clap::Subcommand)]
pub enum Program {
    /// A master without agents of its own, with the flags of Mesos' master
    Master(Flags),
    /// An agent that runs tasks on this machine, with the flags of Mesos' agent
    Agent(Flags),
}

/// Flags of Mesos' programs.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// `--name=value`, `--name` or `--no-name`; MESOS_name in the environment is read, too.
    #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

impl Program {
    /// Runs it until it is told to end.
    pub fn run(&self) -> ExitCode {
        match self {
            Program::Master(flags) => simulator_mesos_release::run("master", &flags.flags),
            Program::Agent(flags) => simulator_mesos_release::run("agent", &flags.flags),
        }
    }
}

/// Serves until a signal comes.
pub fn serve(arguments: &Mesos) -> Exit {
    let plan = match plan(arguments) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(arguments, plan)),
        Err(error) => {
            paint::error(&format!("failed to start threads: {error}"));
            Exit::Environment
        }
    }
}

fn plan(arguments: &Mesos) -> Result<Plan, Exit> {
    let machine =
        Machine { cpus: arguments.cpus, memory_mb: arguments.memory_mb, ..Machine::default() };
    for (value, name) in [(machine.cpus, "--cpus"), (machine.memory_mb, "--memory-mb")] {
        if !value.is_finite() || value <= 0.0 {
            paint::error(&format!("{name} must be above 0"));
            return Err(Exit::Usage);
        }
    }
    match &arguments.scenario {
        None if arguments.real.is_some() && arguments.agents > REAL_AGENTS_LIMIT => {
            paint::error(&format!("with --real there are at most {REAL_AGENTS_LIMIT} agents"));
            Err(Exit::Usage)
        }
        None if arguments.real.is_some() => Ok(real(arguments.agents, &machine)),
        None => Ok(plain(arguments.agents, &machine)),
        Some(path) => from_file(path, arguments, &machine),
    }
}

fn from_file(path: &Path, arguments: &Mesos, machine: &Machine) -> Result<Plan, Exit> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        paint::error(&format!("failed to read {}: {error}", path.display()));
        Exit::Environment
    })?;
    let mut sources = Sources::default();
    let source = sources.add(path.display().to_string(), text.clone());
    read(&text, source, arguments.agents, machine, arguments.seed).map_err(|found| {
        paint::diagnostics(&found, &sources);
        Exit::InvalidInput
    })
}

async fn run(arguments: &Mesos, plan: Plan) -> Exit {
    let configuration = Configuration {
        seed: arguments.seed,
        zk: arguments.masters.zk.as_ref().map(ToString::to_string),
        ..Configuration::default()
    };
    let (servers, runs) = match bind(arguments, configuration).await {
        Ok(bound) => bound,
        Err(exit) => return exit,
    };
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        paint::error("failed to listen to signals");
        return Exit::Environment;
    };
    let Some(handle) = servers.first().map(Server::handle) else { return Exit::Environment };
    if let Some(folder) = &arguments.real
        && let Err(exit) = run_tasks(folder, &arguments.docker, handle.clone(), runs)
    {
        return exit;
    }
    let ended = tokio::select! {
        exit = serve_all(arguments, servers, handle, plan) => exit,
        _ = interrupt.recv() => Exit::Done,
        _ = terminate.recv() => Exit::Done,
    };
    tell!("stopped; nothing of this Mesos is kept");
    ended
}

async fn bind(
    arguments: &Mesos,
    configuration: Configuration,
) -> Result<(Vec<Server>, UnboundedReceiver<(AgentKey, Run)>), Exit> {
    let bound = match &arguments.masters.zk {
        None => {
            let bound = Server::bind(arguments.listen, configuration).await;
            bound.map(|(server, runs)| (vec![server], runs))
        }
        Some(_) => {
            let Some(addresses) = arguments.masters.addresses(arguments.listen) else {
                paint::error("so many masters have no ports: begin with a lower one");
                return Err(Exit::Usage);
            };
            Server::bind_candidates(&addresses, configuration).await
        }
    };
    bound.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|it| format!(": {it}"));
        paint::error(&format!("failed to {error}{}", cause.unwrap_or_default()));
        Exit::Environment
    })
}

/// Serves until it can't go on.
async fn serve_all(
    arguments: &Mesos,
    mut servers: Vec<Server>,
    handle: Handle,
    plan: Plan,
) -> Exit {
    if !arguments.listen.ip().is_loopback() {
        paint::warning("there are no passwords: all who reach this address may use it");
    }
    if let Some(place) = &arguments.masters.zk {
        let begin = move |handle: Handle| {
            if let Ok(agents) = masters::add_agents(&handle, plan.agents) {
                tokio::spawn(happen(handle, agents, plan.acts));
            }
        };
        return masters::run(servers, place.clone(), begin).await;
    }
    let agents = match masters::add_agents(&handle, plan.agents) {
        Ok(agents) => agents,
        Err(exit) => return exit,
    };
    let Some(server) = servers.pop() else { return Exit::Environment };
    announce(&server, agents.len(), plan.acts.len());
    let faults = happen(handle, agents, plan.acts);
    tokio::join!(server.run(), faults);
    Exit::Done
}

/// Tasks are processes and containers of this machine.
fn run_tasks(
    folder: &Path,
    docker: &str,
    handle: Handle,
    runs: UnboundedReceiver<(AgentKey, Run)>,
) -> Result<(), Exit> {
    let fail = |message: String| {
        paint::error(&message);
        Exit::Environment
    };
    let own = std::env::current_exe()
        .map_err(|error| fail(format!("this program can't find itself: {error}")))?;
    let folder = std::path::absolute(folder)
        .map_err(|error| fail(format!("failed to find {}: {error}", folder.display())))?;
    let settings = Settings {
        // Folders of tasks don't begin with a dot.
        volumes: folder.join(".volumes"),
        folder,
        supervisor: vec![own.into(), SUPERVISE.into()],
        docker: docker.to_owned(),
        ended_kept: ENDED_KEPT,
    };
    let (tells, reports) = unbounded_channel();
    let runner = Runner::open(settings, tells).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|it| format!(": {it}"));
        fail(format!("{error}{}", cause.unwrap_or_default()))
    })?;
    tokio::spawn(carry_out(handle, Arc::new(runner), runs, reports));
    Ok(())
}

fn announce(server: &Server, agents: usize, acts: usize) {
    let address = server.address();
    say!("a simulated Mesos with {agents} agents listens on http://{address}");
    tell!("  schedulers   POST http://{address}/api/v1/scheduler, in JSON and protobuf");
    tell!("  operators    POST http://{address}/api/v1, GET http://{address}/state");
    if acts > 0 {
        tell!("  faults       {acts} acts of the scenario will happen");
    }
    tell!("  stop         Ctrl-C; nothing is kept");
}

/// What the scenario says happens, at its times.
async fn happen(handle: Handle, agents: Vec<AgentKey>, acts: Vec<(Nanoseconds, Act)>) {
    let began = tokio::time::Instant::now();
    for (at, act) in acts {
        tokio::time::sleep_until(began + Duration::from_nanos(at)).await;
        handle.with(|master| perform(master, &agents, act));
        tell!("{:9.3} s  {}", began.elapsed().as_secs_f64(), words(act));
    }
}

fn words(act: Act) -> String {
    match act {
        Act::Crash(number) => format!("agent-{number:05} crashes"),
        Act::Start(number) => format!("agent-{number:05} starts"),
        Act::CutOff(number) => format!("agent-{number:05} is cut off"),
        Act::Heal(number) => format!("agent-{number:05} is reached again"),
        Act::Unregister(number) => format!("agent-{number:05} unregisters"),
        Act::Restart(..) => "another master takes over".to_owned(),
    }
}

//! `simulator mesos`: a simulated Mesos that any framework can connect to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diagnostics::Sources;
use simulator_mesos::scenario::{AGENTS_LIMIT, Act, Machine, Plan, perform, plain, read};
use simulator_mesos::{AgentKey, Configuration, Nanoseconds};
use simulator_mesos_server::{Handle, Server};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::paint;

/// `simulator mesos`.
#[derive(Debug, clap::Args)]
pub struct Mesos {
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
    /// Seed of ids, latencies and faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
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
    let configuration = Configuration { seed: arguments.seed, ..Configuration::default() };
    // Nobody runs tasks here: agents are simulated.
    let (server, _runs) = match Server::bind(arguments.listen, configuration).await {
        Ok(bound) => bound,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|it| format!(": {it}"));
            paint::error(&format!("failed to {error}{}", cause.unwrap_or_default()));
            return Exit::Environment;
        }
    };
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        paint::error("failed to listen to signals");
        return Exit::Environment;
    };
    let handle = server.handle();
    let mut agents: Vec<AgentKey> = Vec::with_capacity(plan.agents.len());
    for spec in plan.agents {
        let name = spec.hostname.clone();
        match handle.with(|master| master.add_agent(spec)) {
            Ok(key) => agents.push(key),
            Err(error) => {
                paint::error(&format!("failed to add {name}: {error}"));
                return Exit::InvalidInput;
            }
        }
    }
    announce(&server, agents.len(), plan.acts.len());
    let faults = tokio::spawn(happen(handle, agents, plan.acts));
    tokio::select! {
        () = server.run() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    faults.abort();
    tell!("stopped; nothing of this Mesos is kept");
    Exit::Done
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
    if !address.ip().is_loopback() {
        paint::warning("there are no passwords: all who reach this address may use it");
    }
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

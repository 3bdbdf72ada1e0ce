//! `simulator replay`: the requests of a trace, through the machines and rules of a scenario. The
//! trace is read twice: first all of it is checked and counted, then it is run.

mod feed;
mod given;
mod mapping;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use policy::Nanoseconds;
use simulator::scenario::{Override, ServiceTimes};
use simulator_model::Workload;
use simulator_model::windows::Unfit;
use simulator_traces::{Fault, Format, TraceError};

use crate::exit::Exit;
use crate::input::{Warnings, quoted};
use crate::opened::{TraceArguments, refuse};
use crate::progress::Progress;
use crate::results::Results;
use crate::table::grouped;
use crate::{input, paint, run};
use feed::TraceFeed;
use given::{Factor, Meaning, Window};
use mapping::Mapping;

/// Arguments of `simulator replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// The scenario: machines, apps, commands, tenants, policy. Its workload isn't used.
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// Times as many requests in the same time; more of them are others', at random instants up to
    /// the next request.
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = Factor::parse)]
    rate: Factor,
    /// Time passes so much faster: gaps are so much shorter.
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = Factor::parse)]
    speed: Factor,
    /// Only what arrives between two times since the beginning of the trace, such as 1h..2h.
    #[arg(long, value_name = "FROM..TO", value_parser = Window::parse)]
    window: Option<Window>,
    /// What a command of the trace means in the scenario, besides its section `replay`; `*` is all
    /// that have no other meaning.
    #[arg(long = "cmd", value_name = "NAME=CMD", value_parser = Meaning::parse)]
    cmds: Vec<Meaning>,
    /// Where service times come from: the trace, or the laws of the scenario.
    #[arg(long, value_name = "trace|law", value_parser = given::service)]
    service: Option<ServiceTimes>,
    /// A policy file to use instead of the scenario's own policy.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Seed of all random streams, instead of the one in the scenario.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Another value for a key of the scenario.
    #[arg(long = "set", value_name = "KEY.KEY=VALUE", value_parser = Override::parse)]
    overrides: Vec<Override>,
    /// Folder for results.json and cells.csv; made if it isn't there.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// What the first reading found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Requests in the window.
    pub requests: u64,
    /// When the last of them arrives.
    pub last_ns: u64,
    /// Of each command of the trace: requests, and the sum of the service times that are known.
    pub commands: Vec<CommandScan>,
    /// Which classes requests have, as bits of [`mapping::class_bit`].
    pub classes: u8,
    /// Requests that name no entry of a workload.
    pub unnamed: u64,
    /// The highest entry of a workload that any request is from.
    pub highest_source: Option<u16>,
}

/// See [`Scan::commands`].
#[derive(Debug, Default, Clone, Copy)]
pub struct CommandScan {
    pub requests: u64,
    pub timed: u64,
    pub service_ns: u128,
}

/// Runs it.
pub fn replay(arguments: &ReplayArguments) -> Exit {
    try_replay(arguments).unwrap_or_else(|exit| exit)
}

fn try_replay(arguments: &ReplayArguments) -> Result<Exit, Exit> {
    let (path, policy) = (&arguments.scenario, arguments.policy.as_deref());
    let mut loaded = input::load_all(path, policy, &arguments.overrides, Warnings::Told)?;
    loaded.origin.trace = Some(arguments.trace.trace.display().to_string());
    let scenario = &mut loaded.scenario;
    scenario.model.seed = arguments.seed.unwrap_or(scenario.model.seed);
    given::add_meanings(scenario, &arguments.cmds)?;
    scenario.replay.service = arguments.service.unwrap_or(scenario.replay.service);
    let format = arguments.trace.detect()?;
    let window = arguments.window.unwrap_or_default();
    let (scan, trace) = scan(arguments, format, window)?;
    let wrong = |reason: String| {
        paint::error(&format!("{} can't be replayed: {reason}", arguments.trace.trace.display()));
        Exit::InvalidInput
    };
    if scenario.model.network.is_some() {
        let exit = wrong(Unfit::Recorded.to_string());
        tell!("hint: --set gateways=8 takes the network away");
        return Err(exit);
    }
    let mapping = Mapping::new(scenario, &scan, &trace, arguments.rate).map_err(wrong)?;
    let end_ns = window.to.map_or(scan.last_ns + 1, |to| to.0);
    let length = Nanoseconds(arguments.speed.shrink(end_ns.saturating_sub(window.from.0)).max(1));
    if scenario.model.warm_up >= length {
        let warm_up = scenario.model.warm_up;
        let reason = format!("it takes {length}, of which {warm_up} are the warm-up");
        let exit = wrong(reason);
        tell!("hint: another warm-up: --set warm_up=0s");
        return Err(exit);
    }
    scenario.model.duration = length;
    mapping::warn_of_overload(scenario, &scan, &mapping, arguments.rate);
    let failed = Rc::new(RefCell::new(None));
    let feed = TraceFeed {
        stream: arguments.trace.stream(format)?,
        mapping: &mapping,
        window,
        speed: arguments.speed,
        copies: feed::Copies::new(arguments.rate, scenario.model.seed),
        own_times: scenario.replay.service == ServiceTimes::Trace,
        failed: Rc::clone(&failed),
    };
    let model = &scenario.model;
    let progress = Progress::new(model.duration, 1)?;
    let workload = Workload::fed(model, Box::new(feed));
    let done = progress.shown(|| progress.run(model, workload, arguments.output.is_some()));
    if let Some(error) = failed.take() {
        return Err(refuse(&arguments.trace.trace, &error));
    }
    say!("{}", head(arguments, format, &scan, &mapping, trace.left_out.failed));
    let name = arguments.scenario.display().to_string();
    let command = command(arguments, scenario.model.seed);
    let results = Results::new(loaded, name, command, vec![done]);
    Ok(run::finish(results, arguments.output.as_deref()))
}

/// Reads the trace to its end, or to that of the window.
fn scan(
    arguments: &ReplayArguments,
    format: Format,
    window: Window,
) -> Result<(Scan, simulator_traces::Trace), Exit> {
    let path: &Path = &arguments.trace.trace;
    let mut stream = arguments.trace.stream(format)?;
    let mut scan = Scan::default();
    let mut is_empty = true;
    while let Some(request) = stream.next_request().map_err(|error| refuse(path, &error))? {
        is_empty = false;
        if !window.contains(request.arrival_ns) {
            if request.arrival_ns >= window.from.0 {
                break;
            }
            continue;
        }
        scan.classes |= mapping::class_bit(&request);
        scan.requests += 1;
        scan.last_ns = request.arrival_ns;
        scan.unnamed += u64::from(request.source.is_none());
        scan.highest_source = scan.highest_source.max(request.source);
        let place = usize::try_from(request.command.0).unwrap_or(usize::MAX);
        if scan.commands.len() <= place {
            scan.commands.resize(place.saturating_add(1), CommandScan::default());
        }
        if let Some(command) = scan.commands.get_mut(place) {
            command.requests += 1;
            command.timed += u64::from(request.service_ns.is_some());
            command.service_ns += u128::from(request.service_ns.unwrap_or(0));
        }
    }
    if scan.requests == 0 {
        if is_empty {
            let empty = TraceError::from(Fault::Empty);
            return Err(refuse(path, &empty));
        }
        paint::error(&format!("no request of {} arrives in the window", path.display()));
        return Err(Exit::InvalidInput);
    }
    Ok((scan, stream.trace))
}

fn head(
    arguments: &ReplayArguments,
    format: Format,
    scan: &Scan,
    mapping: &Mapping,
    left_out: u64,
) -> String {
    let left_out = match left_out {
        0 => String::new(),
        count => format!(", {} left out as failed", grouped(count)),
    };
    let times = match mapping.timed() {
        0 => "service times of the scenario's laws".to_owned(),
        timed if timed == scan.requests => "its own service times".to_owned(),
        timed => format!("its own service times for {}", grouped(timed)),
    };
    format!(
        "{}: {format}, {} requests{left_out}; {times}; {}\n",
        arguments.trace.trace.display(),
        grouped(scan.requests),
        mapping.told,
    )
}

/// The command that gives the same results.
fn command(arguments: &ReplayArguments, seed: u64) -> String {
    let path = |path: &Path| quoted(&path.display().to_string());
    let mut command = format!(
        "simulator replay {} --scenario {} --seed {seed}",
        path(&arguments.trace.trace),
        path(&arguments.scenario)
    );
    if let Some(policy) = &arguments.policy {
        command.push_str(&format!(" --policy {}", path(policy)));
    }
    let mut add = |text: String| command.push_str(&format!(" {text}"));
    if let Some(format) = arguments.trace.format {
        add(format!("--format {format}"));
    }
    if arguments.trace.sort {
        add("--sort".to_owned());
    }
    for column in &arguments.trace.columns {
        add(format!("--map {}", quoted(&column.text)));
    }
    for (name, factor) in [("rate", arguments.rate), ("speed", arguments.speed)] {
        if !factor.is_one() {
            add(format!("--{name} {}x", factor.0));
        }
    }
    if let Some(window) = arguments.window {
        add(format!("--window {}", quoted(&window.text())));
    }
    for meaning in &arguments.cmds {
        add(format!("--cmd {}", quoted(&format!("{}={}", meaning.name, meaning.cmd))));
    }
    if let Some(service) = arguments.service {
        let word = if service == ServiceTimes::Law { "law" } else { "trace" };
        add(format!("--service {word}"));
    }
    for given in &arguments.overrides {
        add(format!("--set {}", quoted(&given.text)));
    }
    command
}

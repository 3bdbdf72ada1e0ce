//! A trace that was read to its end once, and what it becomes in a scenario: from then on it can be
//! played as often as one likes, by several threads at once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use policy::{Nanoseconds, Purpose, Words};
use simulator::execute::{self, Requests, Source};
use simulator::scenario::{Override, Scenario, ServiceTimes};
use simulator_model::{Feed, Model, Report, watch};
use simulator_traces::{Format, Trace, TraceError};

use super::feed::{self, Copies, TraceFeed};
use super::given::{self, Factor, Meaning, Window};
use super::mapping::{self, Mapping, UNNAMED};
use super::scan::{Scan, scan};
use crate::exit::Exit;
use crate::input::{Subject, Warnings, quoted};
use crate::opened::{Reading, TraceArguments, refuse};
use crate::paint;
use crate::progress::Stop;

/// How the requests of a trace are played.
#[derive(Debug, Clone, clap::Args)]
pub struct Playing {
    /// Times as many requests in the same time; more of them are others', at random instants up to
    /// the next request.
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = Factor::parse,
          requires = "trace")]
    pub rate: Factor,
    /// Time passes so much faster: gaps are so much shorter.
    #[arg(long, value_name = "FACTOR", default_value = "1x", value_parser = Factor::parse,
          requires = "trace")]
    pub speed: Factor,
    /// Only what arrives between two times since the beginning of the trace, such as 1h..2h.
    #[arg(long, value_name = "FROM..TO", value_parser = Window::parse, requires = "trace")]
    pub window: Option<Window>,
    /// What a command of the trace means in the scenario, besides its section `replay`; `*` is all
    /// that have no other meaning.
    #[arg(long = "cmd", value_name = "NAME=CMD", value_parser = Meaning::parse, requires = "trace")]
    pub cmds: Vec<Meaning>,
    /// Where service times come from: the trace, or the laws of the scenario.
    #[arg(long, value_name = "trace|law", value_parser = given::service, requires = "trace")]
    pub service: Option<ServiceTimes>,
}

impl Playing {
    /// What was given, as words of a command.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (name, factor) in [("--rate", self.rate), ("--speed", self.speed)] {
            if !factor.is_one() {
                words.extend([name.to_owned(), format!("{}x", factor.0)]);
            }
        }
        if let Some(window) = self.window {
            words.extend(["--window".to_owned(), window.text()]);
        }
        for meaning in &self.cmds {
            words.extend(["--cmd".to_owned(), format!("{}={}", meaning.name, meaning.cmd)]);
        }
        if let Some(service) = self.service {
            let word = if service == ServiceTimes::Law { "law" } else { "trace" };
            words.extend(["--service".to_owned(), word.to_owned()]);
        }
        words
    }
}

/// A trace that was checked and counted.
#[derive(Debug)]
pub struct Replay {
    pub trace: TraceArguments,
    pub playing: Playing,
    pub format: Format,
    pub scan: Scan,
    /// Its names; its requests are not here.
    pub names: Trace,
}

impl Replay {
    /// Reads a trace to its end, or to that of the window; what is wrong has been told when this
    /// fails.
    pub fn read(trace: TraceArguments, playing: Playing) -> Result<Self, Exit> {
        let format = trace.detect()?;
        let (scan, names) = scan(&trace, format, playing.window.unwrap_or_default())?;
        Ok(Replay { trace, playing, format, scan, names })
    }

    /// Makes the scenario one of this trace: its requests come instead of the workload's.
    pub fn cast(&self, scenario: &mut Scenario, warnings: Warnings) -> Result<Mapping, Exit> {
        let is_told = warnings != Warnings::AllSilent;
        let wrong = |reason: String, hint: &str| {
            if is_told {
                let trace = self.trace.trace.display();
                paint::error(&format!("{trace} can't be replayed: {reason}"));
                if !hint.is_empty() {
                    tell!("hint: {hint}");
                }
            }
            Exit::InvalidInput
        };
        given::add_meanings(scenario, &self.playing.cmds)?;
        if warnings == Warnings::Told {
            self.unused_meanings().iter().for_each(|warning| paint::warning(warning));
        }
        scenario.replay.service = self.playing.service.unwrap_or(scenario.replay.service);
        if !scenario.model.dynamics.pipelines.is_empty() {
            let hint = "remove `then` of its commands: a trace has each request of its own";
            return Err(wrong("the scenario has pipelines".to_owned(), hint));
        }
        let mapping = Mapping::new(scenario, &self.scan, &self.names, self.playing.rate)
            .map_err(|reason| wrong(reason, ""))?;
        let window = self.playing.window.unwrap_or_default();
        let end_ns = window.to.map_or(self.scan.last_ns + 1, |to| to.0);
        let length = end_ns.saturating_sub(window.from.0);
        let length = Nanoseconds(self.playing.speed.shrink(length).max(1));
        let warm_up = scenario.model.warm_up;
        if warm_up >= length {
            let reason = format!("it takes {length}, of which {warm_up} are the warm-up");
            return Err(wrong(reason, "another warm-up: --set warm_up=0s"));
        }
        scenario.model.duration = length;
        if warnings == Warnings::Told {
            self.overloads(scenario, &mapping).iter().for_each(|warning| paint::warning(warning));
        }
        Ok(mapping)
    }

    /// Warnings of `--cmd` for commands that no request has.
    fn unused_meanings(&self) -> Vec<String> {
        let names: Vec<&str> = self.names.commands.iter().collect();
        let is_unused = |name: &&str| *name != "*" && !names.contains(name);
        let given = self.playing.cmds.iter().map(|meaning| meaning.name.as_str());
        given
            .filter(is_unused)
            .map(|name| {
                let near = diagnostics::closest(name, names.iter().copied());
                let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                format!("--cmd {name}: no request has the command `{name}`{near}")
            })
            .collect()
    }

    /// Warnings of apps that the trace asks for too much.
    pub fn overloads(&self, scenario: &Scenario, mapping: &Mapping) -> Vec<String> {
        mapping::overloads(scenario, &self.scan, mapping, self.playing.rate)
    }
}

/// A trace as the workload of a scenario.
#[derive(Debug, Clone)]
pub struct Cast {
    pub replay: Arc<Replay>,
    pub mapping: Arc<Mapping>,
    /// As in [`Playing::rate`], times the growth that is tried.
    pub rate: Factor,
}

/// Where feeds leave what went wrong first.
pub type Failed = Mutex<Option<TraceError>>;

/// The requests of a trace for a seed.
#[derive(Debug)]
struct Rows<'a> {
    cast: &'a Cast,
    seed: u64,
    failed: Failed,
}

impl Source for Rows<'_> {
    fn feed(&self) -> Box<dyn Feed + '_> {
        let Cast { replay, mapping, rate } = self.cast;
        let Replay { trace, playing, format, .. } = &**replay;
        let stream = match trace.reopen(*format) {
            Ok(stream) => Some(stream),
            Err(error) => {
                feed::fail(&self.failed, error);
                None
            }
        };
        Box::new(TraceFeed {
            stream,
            mapping,
            window: playing.window.unwrap_or_default(),
            speed: playing.speed,
            copies: Copies::new(*rate, self.seed),
            tenants: Words::new(self.seed, Purpose::Tenant, UNNAMED),
            own_times: mapping.timed() > 0,
            failed: &self.failed,
        })
    }
}

impl Cast {
    /// Makes a scenario one of a trace; what is wrong has been told when this fails.
    pub fn new(
        replay: Arc<Replay>,
        scenario: &mut Scenario,
        warnings: Warnings,
    ) -> Result<Self, Exit> {
        let mapping = Arc::new(replay.cast(scenario, warnings)?);
        let rate = replay.playing.rate;
        Ok(Cast { replay, mapping, rate })
    }

    /// Does something with its requests for a seed; what went wrong with them is the error.
    pub fn played<T>(
        &self,
        seed: u64,
        play: impl FnOnce(Requests<'_>) -> T,
    ) -> Result<T, TraceError> {
        let rows = Rows { cast: self, seed, failed: Mutex::default() };
        let done = play(Requests::From(&rows));
        match rows.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    /// Tells what was wrong.
    pub fn refuse(&self, error: &TraceError) -> Exit {
        refuse(&self.replay.trace.trace, error)
    }
}

/// A scenario, or the trace that is to be played instead of its workload.
#[derive(Debug, Clone, clap::Args)]
pub struct Played {
    #[command(flatten)]
    pub subject: Subject,
    /// A trace whose requests come instead of the scenario's workload.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    #[command(flatten, next_help_heading = "With --trace")]
    pub reading: Reading,
    #[command(flatten)]
    pub playing: Playing,
    /// The trace, as soon as it was read.
    #[arg(skip)]
    read: OnceLock<Arc<Replay>>,
}

/// What is run.
#[derive(Debug, Clone)]
pub struct Case {
    pub scenario: Scenario,
    /// What comes instead of the scenario's workload.
    pub cast: Option<Cast>,
}

impl Played {
    /// What is to be run; what is wrong has been told when this fails.
    pub fn load(&self) -> Result<Case, Exit> {
        self.load_with(&[], Warnings::Told)
    }

    /// The same with more overrides.
    pub fn load_with(&self, more: &[Override], warnings: Warnings) -> Result<Case, Exit> {
        let told = match (&self.trace, warnings) {
            (Some(_), Warnings::Told) => Warnings::OfReplay,
            _ => warnings,
        };
        let mut scenario = self.subject.load_with(more, told)?;
        let Some(replay) = self.replay()? else { return Ok(Case { scenario, cast: None }) };
        let cast = Some(Cast::new(replay, &mut scenario, warnings)?);
        Ok(Case { scenario, cast })
    }

    /// The same, or nothing if it can't be with them.
    pub fn try_load_with(&self, more: &[Override]) -> Result<Option<Case>, Exit> {
        match self.load_with(more, Warnings::AllSilent) {
            Ok(case) => Ok(Some(case)),
            Err(Exit::InvalidInput) => Ok(None),
            Err(exit) => Err(exit),
        }
    }

    fn replay(&self) -> Result<Option<Arc<Replay>>, Exit> {
        let Some(trace) = &self.trace else { return Ok(None) };
        if let Some(replay) = self.read.get() {
            return Ok(Some(Arc::clone(replay)));
        }
        let trace = TraceArguments { trace: trace.clone(), reading: self.reading.clone() };
        let replay = Arc::new(Replay::read(trace, self.playing.clone())?);
        Ok(Some(Arc::clone(self.read.get_or_init(|| replay))))
    }

    /// All of it as words of a command.
    pub fn words(&self) -> String {
        let Some(trace) = &self.trace else { return self.subject.words() };
        let trace = quoted(&trace.display().to_string());
        format!("{} --trace {trace}{}", self.subject.words(), self.more_words())
    }

    /// The command that runs it.
    pub fn command(&self) -> String {
        let subject = self.subject.words();
        let Some(trace) = &self.trace else { return format!("simulator run {subject}") };
        let trace = quoted(&trace.display().to_string());
        format!("simulator replay {trace} --scenario {subject}{}", self.more_words())
    }

    fn more_words(&self) -> String {
        let words = self.reading.words().into_iter().chain(self.playing.words());
        words.map(|word| format!(" {}", quoted(&word))).collect()
    }
}

impl Case {
    /// A scenario with its own workload.
    pub fn new(scenario: Scenario) -> Self {
        Case { scenario, cast: None }
    }

    /// With so many times the load.
    #[must_use]
    pub fn scaled(mut self, growth: f64) -> Self {
        match &mut self.cast {
            Some(cast) => cast.rate = Factor(cast.rate.0 * growth),
            None => {
                for source in &mut self.scenario.model.sources {
                    source.arrivals = source.arrivals.scaled(growth);
                }
            }
        }
        self
    }

    /// Plays it once; what is wrong with the trace has been told when this fails.
    pub fn report(&self, model: &Model) -> Result<Report, Exit> {
        let Some(cast) = &self.cast else { return Ok(execute::report(model, Requests::Own, 1)) };
        let played = cast.played(model.seed, |requests| execute::report(model, requests, 1));
        played.map_err(|error| cast.refuse(&error))
    }

    /// The same, or nothing if Ctrl-C comes before its end.
    pub fn report_until(&self, model: &Model, stop: &Stop) -> Result<Option<Report>, Exit> {
        if stop.is_set() {
            return Ok(None);
        }
        let mut watch = |_: watch::Progress| !stop.is_set();
        let mut run =
            |requests: Requests<'_>| execute::watched_report(model, requests, 1, &mut watch);
        let report = match &self.cast {
            None => run(Requests::Own),
            Some(cast) => cast.played(model.seed, run).map_err(|error| cast.refuse(&error))?,
        };
        Ok(Some(report).filter(|report| report.stopped().is_none()))
    }
}

//! `provision runs`: what the journals on this machine tell of earlier runs.

pub mod arguments;
mod filter;
mod pace;
mod releases;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use provision_engine::channel::state_folder;
use provision_engine::event::{CommandLine, Event, Outcome};
use provision_engine::release::{Happening, Journals, Record, Told as ReleaseTold};
use provision_engine::report::Sink;

use crate::arguments::{Output, RunsCommand};
use crate::command::Folded;
use crate::exit::Exit;
use crate::journal::{self, Story};
use crate::ndjson::Ndjson;
use crate::paint;
use crate::printer::{Printer, Verbosity};
use arguments::Replay;
use filter::{Filter, Sieve};
use pace::{Pace, Speed};

/// What is said of a journal without an end.
const CUT_OFF: &str = "the journal ends here: the run was cut off or is still going on";

/// Where runs of playbooks leave their journals.
pub fn plays_folder() -> PathBuf {
    state_folder().join("runs")
}

/// Where commands leave theirs: apart, so that many of them don't push out those of playbooks.
pub fn commands_folder() -> PathBuf {
    state_folder().join("commands")
}

/// What a journal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Playbooks, or one command.
    Tasks,
    /// A change of releases or members.
    Release,
}

/// A journal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    kind: Kind,
    path: PathBuf,
}

impl Found {
    /// The name of its run.
    fn name(&self) -> String {
        self.path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Shows earlier runs.
pub fn runs(command: &RunsCommand) -> Exit {
    let known = known(&[plays_folder(), commands_folder()], &Journals::default());
    match command {
        RunsCommand::List { count } => list(known, *count),
        RunsCommand::Show { run, output, verbose, diff } => replay(
            known,
            &Replay {
                run: run.clone(),
                speed: Speed::Instant,
                hosts: Vec::new(),
                task: None,
                failed: false,
                output: *output,
                verbose: *verbose,
                diff: *diff,
                color: crate::arguments::Colour::Auto,
            },
        ),
        RunsCommand::Replay(again) => replay(known, again),
    }
}

/// The journals, the youngest first: names begin with the second in which a run began, and within one
/// the file that was written last is of the later run.
fn known(folders: &[PathBuf], releases: &Journals) -> Vec<Found> {
    let of_tasks = folders.iter().flat_map(|folder| journal::journals(folder));
    let of_tasks = of_tasks.map(|path| Found { kind: Kind::Tasks, path });
    let of_releases = releases.paths().into_iter();
    let of_releases = of_releases.map(|path| Found { kind: Kind::Release, path });
    let mut known: Vec<Found> = of_tasks.chain(of_releases).collect();
    known.sort_by_cached_key(|found| {
        let (name, written) =
            (found.name(), found.path.metadata().and_then(|data| data.modified()));
        let second = name.split('-').next().unwrap_or_default().to_owned();
        std::cmp::Reverse((second, written.ok(), name))
    });
    known
}

/// The youngest run, or the only one whose name begins so; or what is in the way, and a hint.
fn find(known: Vec<Found>, run: Option<&str>) -> Result<Found, (String, &'static str)> {
    const LIST: &str = "`provision runs list` shows those that there are";
    let Some(run) = run else {
        let none = || ("no run has left a journal on this machine".to_owned(), LIST);
        return known.into_iter().next().ok_or_else(none);
    };
    if let Some(exact) = known.iter().find(|found| found.name() == run) {
        return Ok(exact.clone());
    }
    let mut fitting: Vec<Found> =
        known.into_iter().filter(|found| found.name().starts_with(run)).collect();
    match (fitting.pop(), fitting.len()) {
        (Some(found), 0) => Ok(found),
        (Some(_), others) => {
            let message = format!("{} runs have names that begin with {run}", others + 1);
            Err((message, "write more of the name"))
        }
        (None, _) => Err((format!("there is no journal of a run {run} here"), LIST)),
    }
}

fn list(known: Vec<Found>, count: usize) -> Exit {
    if known.is_empty() {
        say!("no run has left a journal in {}", state_folder().display());
        return Exit::Done;
    }
    say!("{:<18} {:>9}  {:>5}  {:<34} WHAT", "RUN", "BEGUN", "HOSTS", "END");
    for found in known.iter().take(count) {
        let row = match found.kind {
            Kind::Tasks => Story::read(&found.path).map(|story| row_of_tasks(&story)),
            Kind::Release => Journals::story(&found.path).map(|story| row_of_release(&story)),
        };
        match row {
            Ok(row) => say!("{}", row.text(now_s())),
            Err(error) => paint::error(&error, None),
        }
    }
    if known.len() > count {
        say!("… and {} older ones (-n shows more)", known.len() - count);
    }
    Exit::Done
}

/// One line about a run.
#[derive(Debug, Default)]
struct Row {
    name: String,
    hosts: usize,
    end: Option<String>,
    what: String,
}

impl Row {
    fn text(&self, now_s: u64) -> String {
        let Row { name, hosts, end, what } = self;
        let end = end.as_deref().unwrap_or("cut off: no end in its journal");
        let begun_s = name.split('-').next().and_then(|part| u64::from_str_radix(part, 16).ok());
        let age = begun_s.map_or_else(String::new, |begun_s| age(now_s.saturating_sub(begun_s)));
        paint::harmless(&format!("{name:<18} {age:>9}  {hosts:>5}  {end:<34} {what}"))
    }
}

fn row_of_tasks(story: &Story) -> Row {
    let mut row = Row::default();
    for told in &story.told {
        match &told.event {
            Event::RunStarted { run, playbooks, hosts, check, command, .. } => {
                row.name.clone_from(run);
                row.hosts = *hosts;
                row.what = match command {
                    Some(CommandLine { pattern, words }) => {
                        format!("{pattern} -- {}", words.join(" ").replace('\n', " "))
                    }
                    None => playbooks.join(" "),
                };
                if *check {
                    row.what.push_str(" (check mode)");
                }
            }
            Event::RunFinished { recap, duration_ms, outcome, .. } => {
                let changed = recap.iter().filter(|host| host.changed > 0).count();
                let seconds = format!("{}.{} s", duration_ms / 1000, duration_ms % 1000 / 100);
                row.end = Some(format!("{} in {seconds}, {changed} changed", word(*outcome)));
            }
            _ => {}
        }
    }
    row
}

fn row_of_release(story: &[ReleaseTold]) -> Row {
    let mut row = Row::default();
    let mut steps: usize = 0;
    for told in story {
        match &told.record {
            Record::Begun { run, request, .. } => {
                row.name.clone_from(run);
                row.hosts = request.goal.members.len();
                row.what = releases::title(request);
            }
            Record::Happens { happening: Happening::StepEnded { .. } } => steps += 1,
            Record::Happens { .. } => {}
            Record::Ended { how, duration_ms, .. } => {
                let time = duration_ms.map(|ms| format!(" in {}.{} s", ms / 1000, ms % 1000 / 100));
                let noun = if steps == 1 { "step" } else { "steps" };
                row.end = Some(format!("{how}{}, {steps} {noun}", time.unwrap_or_default()));
            }
        }
    }
    row
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Unreachable => "incomplete",
        Outcome::FailedAndUnreachable => "failed, incomplete",
        Outcome::StoppedByLimit => "stopped by a limit",
        Outcome::Interrupted => "interrupted",
    }
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Shows what is wanted of a run, as it went on.
fn replay(known: Vec<Found>, again: &Replay) -> Exit {
    paint::choose(again.color);
    let found = match find(known, again.run.as_deref()) {
        Ok(found) => found,
        Err((message, hint)) => {
            paint::error(&message, Some(hint));
            return Exit::InvalidInput;
        }
    };
    let filter =
        Filter { hosts: again.hosts.clone(), task: again.task.clone(), failed: again.failed };
    if !filter.is_all() && again.output == Output::Human {
        paint::note(&format!("of run {}: {}", found.name(), filter.words()));
    }
    let pace = Pace::new(again.speed);
    match found.kind {
        Kind::Tasks => replay_tasks(&found.path, filter, pace, again),
        Kind::Release => releases::replay(&found.path, &filter, pace, again.output),
    }
}

fn replay_tasks(path: &Path, filter: Filter, mut pace: Pace, again: &Replay) -> Exit {
    let story = match Story::read(path) {
        Ok(story) => story,
        Err(error) => {
            paint::error(&error, None);
            return Exit::Environment;
        }
    };
    let known: Vec<&str> = story.hosts().collect();
    if let Err(exit) = expect_hosts(&filter, &known) {
        return exit;
    }
    let is_timed = story.told.iter().any(|told| told.at_ms.is_some());
    if again.speed != Speed::Instant && !is_timed {
        let message = "an older version has written this journal: it does not tell when";
        paint::warning(None, message);
    }
    let is_instant = again.speed == Speed::Instant;
    let mut sink = Sieve::new(filter, shown(&story, is_instant, again));
    for told in &story.told {
        pace.wait(told.at_ms);
        sink.event(&told.event);
    }
    drop(sink);
    if story.unknown > 0 {
        let message = format!("{} records are of a newer version, and left out", story.unknown);
        paint::warning(None, &message);
    }
    if !matches!(story.told.last().map(|told| &told.event), Some(Event::RunFinished { .. })) {
        paint::warning(None, CUT_OFF);
    }
    Exit::Done
}

/// A host that the run did not know is a slip: nothing of it would be shown.
fn expect_hosts(filter: &Filter, known: &[&str]) -> Result<(), Exit> {
    let Some(unknown) = filter.hosts.iter().find(|host| !known.contains(&host.as_str())) else {
        return Ok(());
    };
    let closest = diagnostics::closest(unknown, known.iter().copied());
    let hint = closest.map(|name| format!("did you mean {name}?"));
    paint::error(&format!("the run had no host {unknown}"), hint.as_deref());
    Err(Exit::InvalidInput)
}

/// What showed the run when it ran.
fn shown(story: &Story, is_instant: bool, again: &Replay) -> Box<dyn Sink> {
    let verbosity = Verbosity { level: again.verbose, quiet: false, diff: again.diff };
    let first = story.told.first().map(|told| &told.event);
    let is_command = matches!(first, Some(Event::RunStarted { command: Some(_), .. }));
    match (again.output, is_command, is_instant) {
        (Output::Ndjson, ..) => Box::new(Ndjson::new(std::io::stdout())),
        (Output::Human, true, true) => Box::new(Folded::plain()),
        (Output::Human, true, false) => Box::new(Folded::new()),
        (Output::Human, false, true) => Box::new(Printer::plain(verbosity)),
        (Output::Human, false, false) => Box::new(Printer::new(verbosity)),
    }
}

#[cfg(test)]
mod tests;

//! `provision runs`: what the journals on this machine tell of earlier runs.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use provision_engine::channel::state_folder;
use provision_engine::event::{Event, Outcome};
use provision_engine::report::Sink;

use crate::arguments::{Output, RunsCommand};
use crate::exit::Exit;
use crate::journal;
use crate::ndjson::Ndjson;
use crate::paint;
use crate::printer::{Printer, Verbosity};

/// Shows earlier runs.
pub fn runs(command: &RunsCommand) -> Exit {
    let folder = state_folder().join("runs");
    match command {
        RunsCommand::List { count } => list(&folder, *count),
        RunsCommand::Show { run, output, verbose, diff } => {
            let Some(path) = find(&folder, run.as_deref()) else {
                let known = "`provision runs list` shows those that there are";
                let name = run.as_deref().unwrap_or("yet");
                paint::error(&format!("there is no run {name}"), Some(known));
                return Exit::InvalidInput;
            };
            let verbosity = Verbosity { level: *verbose, quiet: false, diff: *diff };
            show(&path, *output, verbosity)
        }
    }
}

/// The journals, the youngest first.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let mut paths = journal::journals(folder);
    paths.reverse();
    paths
}

/// The youngest run, or the only one whose name begins so.
fn find(folder: &Path, run: Option<&str>) -> Option<PathBuf> {
    let paths = journals(folder);
    let Some(run) = run else { return paths.into_iter().next() };
    let name = |path: &PathBuf| {
        path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let mut fitting = paths.into_iter().filter(|path| name(path).starts_with(run));
    let found = fitting.next()?;
    fitting.next().is_none().then_some(found)
}

fn list(folder: &Path, count: usize) -> Exit {
    let paths = journals(folder);
    if paths.is_empty() {
        say!("no run has left a journal in {}", folder.display());
        return Exit::Done;
    }
    say!("{:<18} {:>9}  {:>5}  {:<34} PLAYBOOKS", "RUN", "BEGUN", "HOSTS", "END");
    for path in paths.iter().take(count) {
        match read(path) {
            Ok(events) => say!("{}", row(&events, now_s())),
            Err(error) => paint::error(&error, None),
        }
    }
    if paths.len() > count {
        say!("… and {} older ones (-n shows more)", paths.len() - count);
    }
    Exit::Done
}

/// One line about a run.
fn row(events: &[Event], now_s: u64) -> String {
    let (mut name, mut files, mut hosts) = (String::new(), String::new(), 0);
    let mut end = "cut off: no end in its journal".to_owned();
    for event in events {
        match event {
            Event::RunStarted { run, playbooks, hosts: count, check, .. } => {
                name.clone_from(run);
                files = playbooks.join(" ");
                if *check {
                    files.push_str(" (check mode)");
                }
                hosts = *count;
            }
            Event::RunFinished { recap, duration_ms, outcome } => {
                let changed = recap.iter().filter(|host| host.changed > 0).count();
                let seconds = format!("{}.{} s", duration_ms / 1000, duration_ms % 1000 / 100);
                end = format!("{} in {seconds}, {changed} changed", word(*outcome));
            }
            _ => {}
        }
    }
    let begun_s = name.split('-').next().and_then(|part| u64::from_str_radix(part, 16).ok());
    let age = begun_s.map_or_else(String::new, |begun_s| age(now_s.saturating_sub(begun_s)));
    paint::harmless(&format!("{name:<18} {age:>9}  {hosts:>5}  {end:<34} {files}"))
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

fn show(path: &Path, output: Output, verbosity: Verbosity) -> Exit {
    let events = match read(path) {
        Ok(events) => events,
        Err(error) => {
            paint::error(&error, None);
            return Exit::Environment;
        }
    };
    let mut sink: Box<dyn Sink> = match output {
        Output::Human => Box::new(Printer::plain(verbosity)),
        Output::Ndjson => Box::new(Ndjson::new(std::io::stdout())),
    };
    events.iter().for_each(|event| sink.event(event));
    if !matches!(events.last(), Some(Event::RunFinished { .. })) {
        paint::warning(None, "the journal ends here: the run was cut off or is still going on");
    }
    Exit::Done
}

/// The events of a journal, as far as this version knows them.
fn read(path: &Path) -> Result<Vec<Event>, String> {
    let records = durable::read(path, journal::FORMAT).map_err(|error| {
        let cause = std::error::Error::source(&error);
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("failed to {error}{cause}")
    })?;
    Ok(records.iter().filter_map(|record| serde_json::from_slice(record).ok()).collect())
}

#[cfg(test)]
mod tests {
    use provision_engine::event::HostRecap;

    use super::*;

    #[test]
    fn a_run_is_one_line() {
        let started = Event::RunStarted {
            format: 1,
            run: "64-0000000a".into(),
            playbooks: vec!["site.yml".into()],
            hosts: 3,
            check: false,
        };
        let line = row(std::slice::from_ref(&started), 100 + 7_300);
        assert_eq!(
            line,
            "64-0000000a          2 h ago      3  cut off: no end in its journal     site.yml"
        );
        let recap = vec![HostRecap { changed: 2, ..HostRecap::default() }];
        let finished = Event::RunFinished { recap, duration_ms: 1_250, outcome: Outcome::Failed };
        let line = row(&[started, finished], 105);
        assert!(line.contains("5 s ago") && line.contains("failed in 1.2 s, 1 changed"), "{line}");
    }

    #[test]
    fn runs_are_found_by_the_beginning_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["6a-1.journal", "6a-2.journal", "6b-1.journal", "other"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = |run| {
            let path = find(folder.path(), run)?;
            Some(path.file_stem()?.to_string_lossy().into_owned())
        };
        assert_eq!(found(None).as_deref(), Some("6b-1"));
        assert_eq!(found(Some("6a-1")).as_deref(), Some("6a-1"));
        assert_eq!(found(Some("6a")), None);
        assert_eq!(found(Some("7")), None);
    }
}

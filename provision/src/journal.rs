//! The journal of a run on this machine: every event, durable before the next task begins.

use std::path::{Path, PathBuf};

use provision_engine::event::{EVENT_FORMAT, Event, HostRecap};
use provision_engine::release::now_ms;
use provision_engine::report::{Sink, Steering, TaskTitle};

/// Runs whose journals are kept; older ones are deleted when a new run begins.
const KEPT_RUNS: usize = 200;

/// Format name inside of journal files.
pub const FORMAT: &str = "provision-run-1";

/// The field that says when an event was written, in milliseconds since the epoch.
const AT: &str = "at_ms";

/// Writes events to a checksummed file, then passes them on.
pub struct Journal {
    folder: PathBuf,
    log: Option<durable::Log>,
    next: Box<dyn Sink>,
    complained: bool,
}

impl Journal {
    /// A journal in `folder` in front of another sink. The file is made when the run has a name.
    pub fn new(folder: PathBuf, next: Box<dyn Sink>) -> Self {
        Journal { folder, log: None, next, complained: false }
    }

    fn begin(&mut self, run: &str) -> Result<(), String> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
        forget_old(&self.folder);
        let path = self.folder.join(format!("{run}.journal"));
        let opened = durable::Log::open(&path, FORMAT).map_err(|error| error.to_string())?;
        self.log = Some(opened.log);
        Ok(())
    }

    fn write(&mut self, event: &Event) -> Result<(), String> {
        if let Event::RunStarted { run, .. } = event {
            self.begin(run)?;
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        let mut value = serde_json::to_value(event).map_err(|error| error.to_string())?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert(AT.to_owned(), now_ms().into());
        }
        let line = serde_json::to_vec(&value).map_err(|error| error.to_string())?;
        log.append(&line).map_err(|error| error.to_string())?;
        if matches!(event, Event::TaskFinished { .. } | Event::RunFinished { .. }) {
            log.sync().map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Sink for Journal {
    fn awaiting(&mut self, title: &TaskTitle) {
        self.next.awaiting(title);
    }

    fn playbook_ended(&mut self, recap: &[HostRecap]) {
        self.next.playbook_ended(recap);
    }

    fn steered(&mut self, title: &TaskTitle, steering: &Steering) {
        self.next.steered(title, steering);
    }

    fn event(&mut self, event: &Event) {
        if let Err(error) = self.write(event) {
            self.log = None;
            if !self.complained {
                self.complained = true;
                let message = format!("this run leaves no journal: {error}");
                self.next.event(&Event::Warning { host: None, message });
            }
        }
        self.next.event(event);
    }
}

/// The journals in a folder, the oldest first: names ascend with time.
pub fn journals(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    names.sort();
    names
}

/// An event of a journal, and when it was written: older journals don't tell.
#[derive(Debug, Clone)]
pub struct Told {
    /// In milliseconds since the epoch.
    pub at_ms: Option<u64>,
    /// What happened.
    pub event: Event,
}

/// What a journal holds.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// What happened, in order.
    pub told: Vec<Told>,
    /// Records that this version doesn't know.
    pub unknown: usize,
}

impl Story {
    /// Hosts of its plays.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let plays = self.told.iter().filter_map(|told| match &told.event {
            Event::PlayStarted { hosts, .. } => Some(hosts),
            _ => None,
        });
        plays.flatten().map(String::as_str)
    }

    /// Reads a journal that somebody may still be writing.
    ///
    /// # Errors
    /// When it can't be read, holds no run, or another version has written it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let records = durable::read(path, FORMAT).map_err(|error| {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("failed to {error}{cause}")
        })?;
        let mut story = Story::default();
        for record in &records {
            let value: serde_json::Value = serde_json::from_slice(record).unwrap_or_default();
            let at_ms = value.get(AT).and_then(serde_json::Value::as_u64);
            match serde_json::from_value(value) {
                Ok(event) => story.told.push(Told { at_ms, event }),
                Err(_) => story.unknown += 1,
            }
        }
        let shown = path.display();
        match story.told.first().map(|told| &told.event) {
            Some(Event::RunStarted { format: EVENT_FORMAT, .. }) => Ok(story),
            Some(Event::RunStarted { format, .. }) => Err(format!(
                "{shown}: its events have format {format}; this provision knows {EVENT_FORMAT}"
            )),
            _ => Err(format!("{shown}: it does not begin with a run")),
        }
    }
}

/// Deletes the oldest journals.
fn forget_old(folder: &Path) {
    let names = journals(folder);
    let surplus = names.len().saturating_sub(KEPT_RUNS - 1);
    for path in names.into_iter().take(surplus) {
        // One that can't be deleted stays; nothing depends on it.
        let _ = std::fs::remove_file(path);
    }
}

//! The journal of a run over releases: what is about to be done is durable before it is done, so
//! that `resume` knows it, whatever happened to this process.

use std::path::{Path, PathBuf};

use provision_lifecycle::{Goal, Options, Progress, Step};
use serde::{Deserialize, Serialize};

use super::Happening;

/// Format name inside of journal files.
const FORMAT: &str = "provision-release-1";
/// Version of the records, in the first of each run.
const RECORDS: u32 = 1;
/// Journals that are kept; the oldest are deleted when a new run begins.
const KEPT_JOURNALS: usize = 200;

/// One record; also one line of `--output ndjson`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A run begins.
    Begun {
        /// Version of the records.
        format: u32,
        /// Its name.
        run: String,
        /// What it is for.
        request: Request,
        /// What it knows at its beginning.
        progress: Progress,
    },
    /// Something happens.
    Happens {
        /// What.
        happening: Happening,
    },
    /// The run is over.
    Ended {
        /// How: `done`, `stopped`, `paused`, `interrupted`, `resumed`, `refused`.
        how: String,
        /// In words.
        message: String,
    },
}

/// What a run is for: all that is needed to begin it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Component.
    pub component: String,
    /// Folder of the playbooks, absolute.
    pub playbooks: PathBuf,
    /// Inventories, absolute where they are files.
    pub inventories: Vec<String>,
    /// What is wanted.
    pub goal: Goal,
    /// How careful.
    pub options: Options,
    /// Steps of a plan that must be kept to.
    pub plan: Option<Vec<Step>>,
}

/// A run as its journal tells it.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its name.
    pub run: String,
    /// What it was for.
    pub request: Request,
    /// What it knew last.
    pub progress: Progress,
    /// How it ended, if it did.
    pub end: Option<String>,
    /// Whether a step was begun and not ended.
    pub step: Option<Step>,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    log: durable::Log,
}

/// The journals of this user on this machine.
#[derive(Debug, Clone)]
pub struct Journals {
    folder: PathBuf,
}

impl Default for Journals {
    fn default() -> Self {
        Journals::new(crate::channel::state_folder().join("releases"))
    }
}

impl Journals {
    /// Journals in this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Journals { folder }
    }

    fn path_of(&self, run: &str) -> PathBuf {
        self.folder.join(format!("{run}.journal"))
    }

    fn open(&self, run: &str) -> Result<Journal, String> {
        let opened = durable::Log::open(&self.path_of(run), FORMAT);
        Ok(Journal { log: opened.map_err(|error| error.to_string())?.log })
    }

    /// A new journal. Its first record is yet to be written.
    ///
    /// # Errors
    /// When there can be none.
    pub fn begin(&self, run: &str) -> Result<Journal, String> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
        forget_old(&self.folder);
        self.open(run)
    }

    /// Notes in the journal of a run that another one goes on with it.
    ///
    /// # Errors
    /// When that can't be stored.
    pub fn hand_over(&self, run: &str, to: &str) -> Result<(), String> {
        let message = format!("run {to} goes on");
        self.open(run)?.write(&Record::Ended { how: "resumed".to_owned(), message })
    }

    /// The run of this name, or the last that did not reach its end.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, run: Option<&str>) -> Result<Past, String> {
        if let Some(run) = run {
            let is_name = run.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            let path = self.path_of(run);
            if !is_name || !path.is_file() {
                return Err(format!("there is no journal of a run {run}"));
            }
            return read(&path);
        }
        let mut paths = journals(&self.folder);
        paths.reverse();
        let mut pasts = paths.iter().filter_map(|path| read(path).ok());
        pasts.find(Past::is_open).ok_or_else(|| "every run has reached its end".to_owned())
    }
}

impl Record {
    /// The first record of a run.
    #[must_use]
    pub fn begun(run: &str, request: &Request, progress: &Progress) -> Self {
        Record::Begun {
            format: RECORDS,
            run: run.to_owned(),
            request: request.clone(),
            progress: progress.clone(),
        }
    }
}

impl Journal {
    /// Stores a record; when this returns it is on disk.
    ///
    /// # Errors
    /// When it isn't.
    pub fn write(&mut self, record: &Record) -> Result<(), String> {
        let bytes = serde_json::to_vec(record).map_err(|error| error.to_string())?;
        self.log.append(&bytes).map_err(|error| error.to_string())?;
        self.log.sync().map_err(|error| error.to_string())
    }
}

impl Past {
    /// Whether there is something to go on with.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.end.as_deref(), None | Some("paused" | "interrupted"))
    }
}

fn read(path: &Path) -> Result<Past, String> {
    let records = durable::read(path, FORMAT).map_err(|error| error.to_string())?;
    let mut past: Option<Past> = None;
    for bytes in records {
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        match (record, &mut past) {
            (Record::Begun { format, .. }, _) if format != RECORDS => {
                return Err(format!("{} was written by another provision", path.display()));
            }
            (Record::Begun { run, request, progress, .. }, past) => {
                *past = Some(Past { run, request, progress, end: None, step: None });
            }
            (Record::Happens { happening }, Some(past)) => past.take(happening),
            (Record::Ended { how, .. }, Some(past)) => past.end = Some(how),
            (Record::Happens { .. } | Record::Ended { .. }, None) => {}
        }
    }
    past.ok_or_else(|| format!("{} holds no run", path.display()))
}

impl Past {
    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::StepBegins { step, progress, .. } => {
                self.step = Some(step);
                self.progress = progress;
            }
            Happening::StepEnded { progress, .. } => {
                self.step = None;
                self.progress = progress;
            }
            Happening::Waits { .. } => {}
        }
    }
}

/// Names ascend with time.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    paths.sort();
    paths
}

fn forget_old(folder: &Path) {
    let paths = journals(folder);
    let surplus = paths.len().saturating_sub(KEPT_JOURNALS - 1);
    for path in paths.into_iter().take(surplus) {
        // One that can't be deleted stays; nothing depends on it.
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use provision_lifecycle::{Because, Observed, Outcome, Purpose, Version};

    use super::*;

    fn request() -> Request {
        Request {
            component: "zookeeper".into(),
            playbooks: "/p".into(),
            inventories: vec!["/i".into()],
            goal: Goal {
                purpose: Purpose::Upgrade,
                version: Version::parse("3.9.3").unwrap(),
                members: vec!["zk1".into()],
            },
            options: Options::default(),
            plan: None,
        }
    }

    fn take() -> Step {
        Step::Take { members: vec!["zk1".into()], because: Because::Follower }
    }

    #[test]
    fn a_killed_run_is_found_with_the_step_it_was_in() {
        let folder = tempfile::tempdir().unwrap();
        let observed = Observed { members: Vec::new() };
        let mut progress = Progress::begin(5);
        let journals = Journals::new(folder.path().to_path_buf());
        let mut journal = journals.begin("a-1").unwrap();
        journal.write(&Record::begun("a-1", &request(), &progress)).unwrap();
        progress.began(&take(), &observed, 7);
        let happening =
            Happening::StepBegins { step: take(), observed, progress: progress.clone() };
        journal.write(&Record::Happens { happening }).unwrap();
        drop(journal);
        let past = journals.find(None).unwrap();
        assert_eq!((past.run.as_str(), past.step), ("a-1", Some(take())));
        assert_eq!((past.request, past.progress), (request(), progress));
    }

    #[test]
    fn a_run_that_ended_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::new(folder.path().to_path_buf());
        for (run, how) in [("a-1", "paused"), ("a-2", "done"), ("a-3", "stopped")] {
            let progress = Progress::begin(0);
            let mut journal = journals.begin(run).unwrap();
            journal.write(&Record::begun(run, &request(), &progress)).unwrap();
            let outcomes = BTreeMap::from([("zk1".to_owned(), Outcome::Done)]);
            let happening =
                Happening::StepEnded { step: take(), outcomes, duration_ms: 1, progress };
            journal.write(&Record::Happens { happening }).unwrap();
            journal.write(&Record::Ended { how: how.into(), message: String::new() }).unwrap();
        }
        assert_eq!(journals.find(None).unwrap().run, "a-1");
        assert!(!journals.find(Some("a-3")).unwrap().is_open());
        assert!(journals.find(Some("../a-3")).is_err());
        assert!(journals.find(Some("b")).is_err());
    }
}

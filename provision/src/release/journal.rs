//! The journal of a run over releases: what is about to be done is durable before it is done, so
//! that `resume` knows it, whatever happened to this process.

use std::path::{Path, PathBuf};

use provision_engine::digest;
use provision_engine::discovery::Snapshot;
use provision_engine::release::Happening;
use provision_lifecycle::{Goal, Options, Progress, Step};
use serde::{Deserialize, Serialize};

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
    /// Digest of what Consul said of the hosts, which is kept beside the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
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
pub struct Journal {
    log: durable::Log,
}

fn folder() -> PathBuf {
    provision_engine::channel::state_folder().join("releases")
}

fn path_of(folder: &Path, run: &str) -> PathBuf {
    folder.join(format!("{run}.journal"))
}

/// Where a run keeps the inventory that it was planned with.
fn inventory_of(folder: &Path, run: &str) -> PathBuf {
    folder.join(format!("{run}.inventory.json"))
}

/// Keeps what Consul said beside the journal of a run; the digest of it, if there is any.
pub fn freeze(run: &str, snapshots: &[Snapshot]) -> Result<Option<String>, String> {
    freeze_in(&folder(), run, snapshots)
}

fn freeze_in(folder: &Path, run: &str, snapshots: &[Snapshot]) -> Result<Option<String>, String> {
    if snapshots.is_empty() {
        return Ok(None);
    }
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let text = serde_json::to_vec(snapshots).map_err(|error| error.to_string())?;
    let path = inventory_of(folder, run);
    durable::write(&path, &text, 0o600).map_err(|error| error.to_string())?;
    Ok(Some(digest::of_bytes(&text)))
}

/// What Consul said when a run was planned; nothing if it was not asked.
pub fn frozen(past: &Past) -> Result<Option<Vec<Snapshot>>, String> {
    frozen_in(&folder(), past)
}

fn frozen_in(folder: &Path, past: &Past) -> Result<Option<Vec<Snapshot>>, String> {
    let Some(expected) = &past.request.frozen else { return Ok(None) };
    let path = inventory_of(folder, &past.run);
    let shown = path.display();
    let text = std::fs::read(&path).map_err(|error| format!("failed to read {shown}: {error}"))?;
    if digest::of_bytes(&text) != *expected {
        return Err(format!("{shown} is not the inventory that run {} was planned with", past.run));
    }
    let snapshots: Vec<Snapshot> =
        serde_json::from_slice(&text).map_err(|error| format!("{shown}: {error}"))?;
    let check = |one: Snapshot| one.check(&shown.to_string()).map_err(|error| error.to_string());
    snapshots.into_iter().map(check).collect::<Result<_, _>>().map(Some)
}

impl Journal {
    /// A new journal.
    pub fn begin(run: &str, request: &Request, progress: &Progress) -> Result<Self, String> {
        Self::begin_in(&folder(), run, request, progress)
    }

    fn begin_in(
        folder: &Path,
        run: &str,
        request: &Request,
        progress: &Progress,
    ) -> Result<Self, String> {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        forget_old(folder);
        let opened = durable::Log::open(&path_of(folder, run), FORMAT);
        let mut journal = Journal { log: opened.map_err(|error| error.to_string())?.log };
        journal.write(&Record::Begun {
            format: RECORDS,
            run: run.to_owned(),
            request: request.clone(),
            progress: progress.clone(),
        })?;
        Ok(journal)
    }

    /// Stores a record; when this returns it is on disk.
    pub fn write(&mut self, record: &Record) -> Result<(), String> {
        let bytes = serde_json::to_vec(record).map_err(|error| error.to_string())?;
        self.log.append(&bytes).map_err(|error| error.to_string())?;
        self.log.sync().map_err(|error| error.to_string())
    }
}

/// Notes in the journal of a run that another one goes on with it.
pub fn hand_over(run: &str, to: &str) -> Result<(), String> {
    let opened = durable::Log::open(&path_of(&folder(), run), FORMAT);
    let mut journal = Journal { log: opened.map_err(|error| error.to_string())?.log };
    let message = format!("run {to} goes on");
    journal.write(&Record::Ended { how: "resumed".to_owned(), message })
}

/// The run of this name, or the last that did not reach its end.
pub fn find(run: Option<&str>) -> Result<Past, String> {
    find_in(&folder(), run)
}

fn find_in(folder: &Path, run: Option<&str>) -> Result<Past, String> {
    if let Some(run) = run {
        let is_name = run.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let path = path_of(folder, run);
        if !is_name || !path.is_file() {
            return Err(format!("there is no journal of a run {run}"));
        }
        return read(&path);
    }
    let mut paths = journals(folder);
    paths.reverse();
    let mut pasts = paths.iter().filter_map(|path| read(path).ok());
    pasts.find(Past::is_open).ok_or_else(|| "every run has reached its end".to_owned())
}

impl Past {
    /// Whether there is something to go on with.
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
        let _ = std::fs::remove_file(path.with_extension("inventory.json"));
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
            frozen: None,
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
        let mut journal = Journal::begin_in(folder.path(), "a-1", &request(), &progress).unwrap();
        progress.began(&take(), &observed, 7);
        let happening =
            Happening::StepBegins { step: take(), observed, progress: progress.clone() };
        journal.write(&Record::Happens { happening }).unwrap();
        drop(journal);
        let past = find_in(folder.path(), None).unwrap();
        assert_eq!((past.run.as_str(), past.step), ("a-1", Some(take())));
        assert_eq!((past.request, past.progress), (request(), progress));
    }

    #[test]
    fn a_run_keeps_the_inventory_that_it_was_planned_with() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = provision_discovery::Catalog::default();
        let head = serde_json::from_str(r#"{"is_filtered": false}"#).unwrap();
        let snapshot = Snapshot::new("s".into(), "consul://a".into(), 7, head, catalog);
        assert_eq!(freeze_in(folder.path(), "a-0", &[]), Ok(None));
        let frozen = freeze_in(folder.path(), "a-1", std::slice::from_ref(&snapshot)).unwrap();
        let request = Request { frozen, ..request() };
        Journal::begin_in(folder.path(), "a-1", &request, &Progress::begin(0)).unwrap();
        let past = find_in(folder.path(), None).unwrap();
        assert_eq!(frozen_in(folder.path(), &past), Ok(Some(vec![snapshot])));
        // Neither another file nor none may take its place.
        let path = inventory_of(folder.path(), "a-1");
        std::fs::write(&path, "[]").unwrap();
        assert!(frozen_in(folder.path(), &past).unwrap_err().contains("is not the inventory"));
        std::fs::remove_file(&path).unwrap();
        assert!(frozen_in(folder.path(), &past).unwrap_err().contains("failed to read"));
    }

    /// Journals from before there were inventories from Consul are read as ever.
    #[test]
    fn an_older_journal_asks_nobody_for_an_inventory() {
        let mut value = serde_json::to_value(request()).unwrap();
        assert_eq!(value.get("frozen"), None);
        value.as_object_mut().unwrap().remove("frozen");
        assert_eq!(serde_json::from_value::<Request>(value).unwrap(), request());
    }

    #[test]
    fn a_run_that_ended_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        for (run, how) in [("a-1", "paused"), ("a-2", "done"), ("a-3", "stopped")] {
            let progress = Progress::begin(0);
            let mut journal = Journal::begin_in(folder.path(), run, &request(), &progress).unwrap();
            let outcomes = BTreeMap::from([("zk1".to_owned(), Outcome::Done)]);
            let happening =
                Happening::StepEnded { step: take(), outcomes, duration_ms: 1, progress };
            journal.write(&Record::Happens { happening }).unwrap();
            journal.write(&Record::Ended { how: how.into(), message: String::new() }).unwrap();
        }
        assert_eq!(find_in(folder.path(), None).unwrap().run, "a-1");
        assert!(!find_in(folder.path(), Some("a-3")).unwrap().is_open());
        assert!(find_in(folder.path(), Some("../a-3")).is_err());
        assert!(find_in(folder.path(), Some("b")).is_err());
    }
}

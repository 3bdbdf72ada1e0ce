//! The journal of a run over releases: what is about to be done is durable before it is done, so
//! that `resume` knows it, whatever happened to this process.

use std::path::{Path, PathBuf};

use provision_lifecycle::{Durations, Past, Record};

use crate::digest;
use crate::discovery::Snapshot;

/// Format name inside of journal files.
const FORMAT: &str = "provision-release-1";
/// Journals that are kept; the oldest are deleted when a new run begins.
const KEPT_JOURNALS: usize = 200;

/// The field that says when a record was written, in milliseconds since the epoch.
const AT: &str = "at_ms";

/// A record of a journal, and when it was written: older journals don't tell.
#[derive(Debug, Clone)]
pub struct Told {
    /// In milliseconds since the epoch.
    pub at_ms: Option<u64>,
    /// What happened.
    pub record: Record,
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

    /// Where a run keeps the inventory that it was planned with.
    fn inventory_of(&self, run: &str) -> PathBuf {
        self.folder.join(format!("{run}.inventory.json"))
    }

    /// Keeps what Consul said beside the journal of a run; the digest of it, if there is any.
    ///
    /// # Errors
    /// When it can't be stored.
    pub fn freeze(&self, run: &str, snapshots: &[Snapshot]) -> Result<Option<String>, String> {
        if snapshots.is_empty() {
            return Ok(None);
        }
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let text = serde_json::to_vec(snapshots).map_err(|error| error.to_string())?;
        durable::write(&self.inventory_of(run), &text, 0o600).map_err(|error| error.to_string())?;
        Ok(Some(digest::of_bytes(&text)))
    }

    /// What Consul said when a run was planned; nothing if it was not asked.
    ///
    /// # Errors
    /// When that is no longer there, or is something else.
    pub fn frozen(&self, past: &Past) -> Result<Option<Vec<Snapshot>>, String> {
        let Some(expected) = &past.request.frozen else { return Ok(None) };
        let path = self.inventory_of(&past.run);
        let shown = path.display();
        let text =
            std::fs::read(&path).map_err(|error| format!("failed to read {shown}: {error}"))?;
        if digest::of_bytes(&text) != *expected {
            return Err(format!(
                "{shown} is not the inventory that run {} was planned with",
                past.run
            ));
        }
        let snapshots: Vec<Snapshot> =
            serde_json::from_slice(&text).map_err(|error| format!("{shown}: {error}"))?;
        let check =
            |one: Snapshot| one.check(&shown.to_string()).map_err(|error| error.to_string());
        snapshots.into_iter().map(check).collect::<Result<_, _>>().map(Some)
    }

    /// Notes in the journal of a run that another one goes on with it.
    ///
    /// # Errors
    /// When that can't be stored.
    pub fn hand_over(&self, run: &str, to: &str) -> Result<(), String> {
        let message = format!("run {to} goes on");
        self.open(run)?.write(&Record::ended("resumed", message))
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
            let past = read(&path)?;
            let known = self.all().into_iter().find(|known| known.run == past.run);
            return Ok(known.unwrap_or(past));
        }
        let last = self.all().into_iter().rfind(Past::is_open);
        last.ok_or_else(|| "every run has reached its end".to_owned())
    }

    /// The journals, the oldest first.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        journals(&self.folder)
    }

    /// All that a journal tells.
    ///
    /// # Errors
    /// When it can't be read, or another version has written it.
    pub fn story(path: &Path) -> Result<Vec<Told>, String> {
        let records = durable::read(path, FORMAT).map_err(|error| format!("failed to {error}"))?;
        Past::of(&records).map_err(|error| format!("{}: {error}", path.display()))?;
        let told = |bytes: &Vec<u8>| {
            let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            let at_ms = value.get(AT).and_then(serde_json::Value::as_u64);
            Some(Told { at_ms, record: serde_json::from_value(value).ok()? })
        };
        Ok(records.iter().filter_map(told).collect())
    }

    /// How long steps took in earlier runs for a component.
    #[must_use]
    pub fn durations(&self, component: &str, inventories: &[String]) -> Durations {
        let mut durations = Durations::default();
        for path in journals(&self.folder) {
            let records = durable::read(&path, FORMAT).unwrap_or_default();
            let is_about =
                Past::of(&records).is_ok_and(|past| past.request.is_about(component, inventories));
            if is_about {
                let records: Vec<Record> =
                    records.iter().filter_map(|bytes| serde_json::from_slice(bytes).ok()).collect();
                durations.learn(&records);
            }
        }
        durations
    }

    /// The last run for a component, if it did not reach its end.
    #[must_use]
    pub fn unfinished(&self, component: &str, inventories: &[String]) -> Option<Past> {
        self.all().into_iter().rfind(|past| {
            let is_same = past.request.is_about(component, inventories);
            is_same && past.is_open()
        })
    }

    /// All runs that can be read, in the order in which they began.
    fn all(&self) -> Vec<Past> {
        let mut pasts: Vec<Past> =
            journals(&self.folder).iter().filter_map(|path| read(path).ok()).collect();
        pasts.sort_by(|one, other| (one.begun_ms, &one.run).cmp(&(other.begun_ms, &other.run)));
        // Who would go on with an old run after a later one would undo that one.
        for number in 0..pasts.len() {
            let (earlier, rest) = pasts.split_at_mut(number);
            let Some(later) = rest.first() else { continue };
            let (component, inventories) = (&later.request.component, &later.request.inventories);
            for past in earlier.iter_mut().filter(|past| past.replaced_by.is_none()) {
                let is_named = later.after.as_ref() == Some(&past.run);
                if is_named || past.request.is_about(component, inventories) {
                    past.replaced_by = Some(later.run.clone());
                }
            }
        }
        pasts
    }
}

impl Journal {
    /// Stores a record; when this returns it is on disk.
    ///
    /// # Errors
    /// When it isn't.
    pub fn write(&mut self, record: &Record) -> Result<(), String> {
        let mut value = serde_json::to_value(record).map_err(|error| error.to_string())?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert(AT.to_owned(), super::now_ms().into());
        }
        let bytes = serde_json::to_vec(&value).map_err(|error| error.to_string())?;
        self.log.append(&bytes).map_err(|error| error.to_string())?;
        self.log.sync().map_err(|error| error.to_string())
    }
}

fn read(path: &Path) -> Result<Past, String> {
    let records = durable::read(path, FORMAT).map_err(|error| error.to_string())?;
    Past::of(&records).map_err(|error| format!("{}: {error}", path.display()))
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

    use provision_lifecycle::{
        Because, Goal, Happening, Observed, Options, Outcome, Progress, Purpose, Request, Step,
        Version,
    };

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
            variables: None,
            frozen: None,
        }
    }

    fn take() -> Step {
        Step::Take { members: vec!["zk1".into()], because: Because::Follower }
    }

    #[test]
    fn a_killed_run_is_found_with_the_step_it_was_in() {
        let folder = tempfile::tempdir().unwrap();
        let observed = Observed::default();
        let mut progress = Progress::begin(5);
        let journals = Journals::new(folder.path().to_path_buf());
        let mut journal = journals.begin("a-1").unwrap();
        journal.write(&Record::begun("a-1", None, &request(), &progress)).unwrap();
        progress.began(&take(), &observed, 7);
        let happening =
            Happening::StepBegins { step: take(), observed, progress: progress.clone() };
        journal.write(&Record::Happens { happening }).unwrap();
        drop(journal);
        let past = journals.find(None).unwrap();
        assert_eq!((past.run.as_str(), past.step), ("a-1", Some(take())));
        assert_eq!((past.request, past.progress), (request(), progress));
    }

    fn begin(journals: &Journals, run: &str, request: &Request, after: Option<&str>) -> Journal {
        let at_ms = run.bytes().next_back().map_or(0, u64::from);
        let mut journal = journals.begin(run).unwrap();
        let progress = Progress::begin(at_ms);
        journal.write(&Record::begun(run, after, request, &progress)).unwrap();
        journal
    }

    #[test]
    fn nobody_goes_on_with_a_run_after_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::new(folder.path().to_path_buf());
        let other = Request { component: "consul".into(), ..request() };
        let elsewhere = Request { inventories: vec!["/j".into()], ..request() };
        // Names don't tell the order within a second.
        begin(&journals, "a-1", &elsewhere, None);
        begin(&journals, "c-2", &other, None);
        begin(&journals, "b-3", &request(), None);
        assert_eq!(journals.find(None).unwrap().run, "b-3");
        let mut later = begin(&journals, "b-4", &request(), None);
        later.write(&Record::ended("done", "")).unwrap();
        let found = |run| journals.find(Some(run)).unwrap();
        assert_eq!(found("b-3").replaced_by.as_deref(), Some("b-4"));
        assert!(!found("b-3").is_open() && found("c-2").is_open() && found("a-1").is_open());
        assert_eq!(journals.find(None).unwrap().run, "c-2");
        assert!(journals.unfinished("zookeeper", &["/i".into()]).is_none());
        assert_eq!(journals.unfinished("zookeeper", &["/j".into()]).unwrap().run, "a-1");
    }

    #[test]
    fn a_run_that_is_gone_on_with_is_over_before_its_journal_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::new(folder.path().to_path_buf());
        begin(&journals, "a-1", &request(), None);
        let moved = Request { inventories: vec!["/moved".into()], ..request() };
        let mut later = begin(&journals, "a-2", &moved, Some("a-1"));
        assert_eq!(journals.find(None).unwrap().run, "a-2");
        later.write(&Record::ended("done", "")).unwrap();
        assert!(journals.find(None).is_err());
    }

    #[test]
    fn a_run_keeps_the_inventory_that_it_was_planned_with() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::new(folder.path().to_path_buf());
        let catalog = provision_discovery::Catalog::default();
        let head = serde_json::from_str(r#"{"is_filtered": false}"#).unwrap();
        let snapshot = Snapshot::new("s".into(), "consul://a".into(), 7, head, catalog);
        assert_eq!(journals.freeze("a-0", &[]), Ok(None));
        let frozen = journals.freeze("a-1", std::slice::from_ref(&snapshot)).unwrap();
        begin(&journals, "a-1", &Request { frozen, ..request() }, None);
        let past = journals.find(None).unwrap();
        assert_eq!(journals.frozen(&past), Ok(Some(vec![snapshot])));
        // Neither another file nor none may take its place.
        let path = journals.inventory_of("a-1");
        std::fs::write(&path, "[]").unwrap();
        assert!(journals.frozen(&past).unwrap_err().contains("is not the inventory"));
        std::fs::remove_file(&path).unwrap();
        assert!(journals.frozen(&past).unwrap_err().contains("failed to read"));
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
        let journals = Journals::new(folder.path().to_path_buf());
        for (run, how) in [("a-1", "paused"), ("a-2", "done"), ("a-3", "stopped")] {
            let progress = Progress::begin(0);
            let of_its_own = Request { inventories: vec![run.into()], ..request() };
            let mut journal = begin(&journals, run, &of_its_own, None);
            let outcomes = BTreeMap::from([("zk1".to_owned(), Outcome::Done)]);
            let happening =
                Happening::StepEnded { step: take(), outcomes, duration_ms: 1, progress };
            journal.write(&Record::Happens { happening }).unwrap();
            journal.write(&Record::ended(how, "")).unwrap();
        }
        assert_eq!(journals.find(None).unwrap().run, "a-1");
        assert!(!journals.find(Some("a-3")).unwrap().is_open());
        assert!(journals.find(Some("../a-3")).is_err());
        assert!(journals.find(Some("b")).is_err());
    }
}

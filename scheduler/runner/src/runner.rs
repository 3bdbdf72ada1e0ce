//! Starting, ending and finding tasks.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::folder::{Folder, Kill, Stream};
use crate::processes::FOLDER_VARIABLE;
use crate::supervisor::now_nanoseconds;
use crate::tail::Tail;
use crate::task::{Ending, Report, Task, TaskId, What};
use crate::volumes::Volumes;
use crate::watch;

/// How a runner works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it keeps the folders of tasks. One runner has it at a time.
    pub folder: PathBuf,
    /// Where it keeps volumes.
    pub volumes: PathBuf,
    /// The program that supervises a task, and its first arguments; the folder of the task and the
    /// command of Docker come behind them.
    pub supervisor: Vec<OsString>,
    /// The command of Docker.
    pub docker: String,
    /// So many tasks that have ended keep their folders with their output, the last ones.
    pub ended_kept: usize,
}

/// Why a runner can't begin.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Another one has the folder.
    #[error("the tasks in {0} are run by another process")]
    InUse(PathBuf),
    /// The folder can't be used.
    #[error("failed to use {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// Runs tasks on this machine. What becomes of them is told by reports, until it is dropped; the
/// tasks go on then, and the next runner of the folder finds them.
#[derive(Debug)]
pub struct Runner {
    shared: Arc<Shared>,
    /// They end with it.
    watches: Mutex<JoinSet<()>>,
    /// Held for as long as this runner is there.
    _lock: File,
}

/// What the parts of a runner share.
#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    reports: UnboundedSender<Report>,
    entries: Mutex<BTreeMap<TaskId, Entry>>,
}

/// What is known of a task.
#[derive(Debug)]
struct Entry {
    owner: String,
    last: What,
    /// Its supervisor, once it is known.
    supervisor: Option<OwnedFd>,
    /// It was to be ended before its supervisor was known.
    kill: Option<Duration>,
}

impl Runner {
    /// Takes a folder, finds the tasks in it, and says of each what is known. It has to be called
    /// within a runtime of tokio.
    ///
    /// # Errors
    /// When the folder can't be used, or another runner has it.
    pub fn open(settings: Settings, reports: UnboundedSender<Report>) -> Result<Self, RunnerError> {
        let path = settings.folder.clone();
        let failed = |source| RunnerError::Folder { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = path.join(".runner");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock);
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunnerError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let entries = Mutex::new(BTreeMap::new());
        let shared = Arc::new(Shared { settings, reports, entries });
        let runner = Runner { shared, watches: Mutex::new(JoinSet::new()), _lock: lock };
        for entry in fs::read_dir(&path).map_err(failed)?.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok());
            if let Some(id) = id {
                runner.find(&id, Folder::at(entry.path()));
            }
        }
        runner.shared.sweep();
        Ok(runner)
    }

    /// Starts a task, if it never was. It says by a report what came of it, also if the task was
    /// there before.
    pub fn launch(&self, task: Task) {
        let folder = self.folder(&task.id);
        let (id, owner) = (task.id.clone(), task.owner.clone());
        if !self.shared.insert(&id, &owner) {
            return self.ask(&id, &owner);
        }
        self.shared.say(&id, What::Launched);
        if let Err(error) = folder.make(&task) {
            return self.shared.never_started(&id, &folder, &error);
        }
        match start(&self.shared.settings, &folder) {
            Ok(child) => self.watch(task, folder, Some(child)),
            Err(error) => self.shared.never_started(&id, &folder, &error),
        }
    }

    /// Ends a task: asks it, and makes it end after the grace. It may be repeated; the first grace
    /// counts.
    pub fn kill(&self, id: &TaskId, owner: &str, grace: Duration) {
        let mut entries = self.shared.entries();
        let Some(entry) = entries.get_mut(id) else {
            drop(entries);
            return self.shared.report(id.clone(), owner.to_owned(), What::Unknown);
        };
        if let What::Ended(_) = &entry.last {
            let (owner, what) = (entry.owner.clone(), entry.last.clone());
            drop(entries);
            return self.shared.report(id.clone(), owner, what);
        }
        if entry.kill.is_none() {
            entry.kill = Some(grace);
            if let Some(supervisor) = &entry.supervisor {
                tell_to_end(&self.folder(id), supervisor, grace);
            }
        }
    }

    /// Says how a task is.
    pub fn ask(&self, id: &TaskId, owner: &str) {
        let known = self.shared.known(id);
        let (owner, what) = known.unwrap_or_else(|| (owner.to_owned(), What::Unknown));
        self.shared.report(id.clone(), owner, what);
    }

    /// All tasks that haven't ended, with the words that were given with them.
    #[must_use]
    pub fn living(&self) -> Vec<(TaskId, String)> {
        let entries = self.shared.entries();
        let living = entries.iter().filter(|(_, entry)| !matches!(entry.last, What::Ended(_)));
        living.map(|(id, entry)| (id.clone(), entry.owner.clone())).collect()
    }

    /// Where volumes are.
    #[must_use]
    pub fn volumes(&self) -> Volumes {
        Volumes::at(self.shared.settings.volumes.clone())
    }

    /// The output of a task, from the beginning of its newest file; none if there is no such task, or
    /// not any more.
    #[must_use]
    pub fn tail(&self, id: &TaskId, stream: Stream) -> Option<Tail> {
        let folder = self.folder(id);
        folder.path().is_dir().then(|| Tail::new(folder, stream))
    }

    fn folder(&self, id: &TaskId) -> Folder {
        Folder::at(self.shared.settings.folder.join(id.as_str()))
    }

    fn watch(&self, task: Task, folder: Folder, child: Option<Child>) {
        // Nothing panics while it is held.
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        while watches.try_join_next().is_some() {}
        watches.spawn(watch::watch(Arc::clone(&self.shared), task, folder, child));
    }

    /// Finds what became of a task that another runner started.
    fn find(&self, id: &TaskId, folder: Folder) {
        let task = match folder.task() {
            Ok(task) => task,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // It was being made: nothing of it has started.
                let _ = fs::remove_dir_all(folder.path());
                return;
            }
            // Whatever it is, it is left alone: another version of this program may know it.
            Err(_) => return,
        };
        self.shared.insert(id, &task.owner);
        match folder.end() {
            Ok(Some(end)) => self.shared.set(id, What::Ended(end.ending)),
            Ok(None) | Err(_) => self.watch(task, folder, None),
        }
    }
}

/// Starts the supervisor of a task.
fn start(settings: &Settings, folder: &Folder) -> io::Result<Child> {
    let mut words = settings.supervisor.iter();
    let program = words.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Command::new(program)
        .args(words)
        .arg(folder.path())
        .arg(&settings.docker)
        .env(FOLDER_VARIABLE, folder.path())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// Tells a supervisor to end its task.
fn tell_to_end(folder: &Folder, supervisor: &OwnedFd, grace: Duration) {
    // Without the file the grace is that of the task.
    let _ = folder.write_kill(&Kill { grace });
    // It may have ended by itself.
    let _ = pidfd_send_signal(supervisor, Signal::TERM);
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<TaskId, Entry>> {
        // Nothing panics half way through a change.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the task is new.
    fn insert(&self, id: &TaskId, owner: &str) -> bool {
        let mut entries = self.entries();
        if entries.contains_key(id) {
            return false;
        }
        let owner = owner.to_owned();
        let entry = Entry { owner, last: What::Launched, supervisor: None, kill: None };
        entries.insert(id.clone(), entry);
        true
    }

    fn known(&self, id: &TaskId) -> Option<(String, What)> {
        self.entries().get(id).map(|entry| (entry.owner.clone(), entry.last.clone()))
    }

    /// Notes what became of a task.
    fn set(&self, id: &TaskId, what: What) {
        if let Some(entry) = self.entries().get_mut(id) {
            if let What::Ended(_) = what {
                entry.supervisor = None;
            }
            entry.last = what;
        }
    }

    /// Notes what became of a task, and reports it.
    pub fn say(&self, id: &TaskId, what: What) {
        self.set(id, what.clone());
        if let Some((owner, _)) = self.known(id) {
            self.report(id.clone(), owner, what);
        }
    }

    fn report(&self, task: TaskId, owner: String, what: What) {
        let report = Report { task, owner, at_nanoseconds: now_nanoseconds(), what };
        // Nobody listens any more when all ends.
        let _ = self.reports.send(report);
    }

    /// The supervisor is known from now on; what was to be told to it is told.
    pub fn attach(&self, id: &TaskId, folder: &Folder, supervisor: OwnedFd) {
        if let Some(entry) = self.entries().get_mut(id) {
            if let Some(grace) = entry.kill {
                tell_to_end(folder, &supervisor, grace);
            }
            entry.supervisor = Some(supervisor);
        }
    }

    fn never_started(&self, id: &TaskId, folder: &Folder, error: &io::Error) {
        let ending = Ending::NotStarted(format!("{}: {error}", folder.path().display()));
        self.end(id, folder, ending);
    }

    /// A task has ended and nobody else says so: it is written down and reported.
    pub fn end(&self, id: &TaskId, folder: &Folder, ending: Ending) {
        let end = crate::folder::End { at_nanoseconds: now_nanoseconds(), ending: ending.clone() };
        // If it can't be, the next runner finds out again.
        let _ = folder.write_end(&end);
        self.say(id, What::Ended(ending));
    }

    /// Removes the folders of tasks that ended long ago.
    pub fn sweep(&self) {
        let ended = |path: PathBuf| {
            let end = Folder::at(path.clone()).end().ok().flatten()?;
            Some((end.at_nanoseconds, path))
        };
        let Ok(entries) = fs::read_dir(&self.settings.folder) else { return };
        let mut all: Vec<(u64, PathBuf)> =
            entries.flatten().filter_map(|entry| ended(entry.path())).collect();
        all.sort_unstable();
        let surplus = all.len().saturating_sub(self.settings.ended_kept);
        for (_, path) in all.into_iter().take(surplus) {
            // What can't be removed now may be later.
            let _ = fs::remove_dir_all(&path);
            self.forget(&path);
        }
    }

    fn forget(&self, path: &Path) {
        let id = path.file_name().and_then(|name| name.to_str()?.parse::<TaskId>().ok());
        if let Some(id) = id {
            self.entries().remove(&id);
        }
    }
}

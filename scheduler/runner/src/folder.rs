//! The folder of a task: what is in which file, and who holds its lock.
//!
//! `task.json` is written before anything starts; `supervisor.json` says who supervises it; `kill.json`
//! how long it may take to end; `end.json` how it ended. All are replaced as a whole, so a reader sees
//! an old or a new one. They need not survive the end of the machine, because tasks don't.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::task::{Ending, Program, Task};

/// Version of the format of the files of a task.
const FORMAT: u32 = 1;

/// A stream of a task's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What it writes to its standard output.
    Output,
    /// What it writes to its standard error.
    Error,
}

impl Stream {
    /// The name of its file.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Stream::Output => "stdout",
            Stream::Error => "stderr",
        }
    }
}

/// The folder of one task.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

/// Who supervises a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Its process.
    pub pid: i32,
    /// The process of the task, which leads its group; absent before it starts.
    pub task_pid: Option<i32>,
}

/// How a task is to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// Time between being asked and being made to end.
    pub grace: Duration,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When: nanoseconds since 1970.
    pub at_nanoseconds: u64,
    /// How.
    pub ending: Ending,
}

#[derive(Debug, Serialize, Deserialize)]
struct TaskFile {
    version: u32,
    task: Task,
}

/// What came of an attempt to take a lock.
#[derive(Debug)]
pub enum Lock {
    /// It is ours until the file is closed.
    Ours(File),
    /// Somebody else has it: the supervisor lives.
    Taken,
}

impl Folder {
    /// The folder at this place.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Folder(path)
    }

    /// Its place.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the task runs.
    #[must_use]
    pub fn sandbox(&self) -> PathBuf {
        self.0.join("sandbox")
    }

    /// The file of a stream.
    #[must_use]
    pub fn stream(&self, stream: Stream) -> PathBuf {
        self.0.join(stream.file_name())
    }

    /// Where the supervisor says what it can't say elsewhere.
    #[must_use]
    pub fn complaints(&self) -> PathBuf {
        self.0.join("supervisor.log")
    }

    /// Makes it for a task.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the task was made before.
    pub fn make(&self, task: &Task) -> io::Result<()> {
        fs::create_dir(&self.0)?;
        fs::create_dir(self.sandbox())?;
        if let Program::Command(_) = task.program {
            crate::volumes::link(&self.sandbox(), &task.mounts)?;
        }
        self.write("task.json", &TaskFile { version: FORMAT, task: task.clone() })
    }

    /// The task.
    ///
    /// # Errors
    /// When it can't be read, or was written by another version.
    pub fn task(&self) -> io::Result<Task> {
        let file: Option<TaskFile> = self.read("task.json")?;
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if file.version == FORMAT {
            return Ok(file.task);
        }
        let message = format!("a task of format {}, this program knows {FORMAT}", file.version);
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }

    /// Takes the lock, if nobody has it.
    ///
    /// # Errors
    /// When the file can't be made or locked.
    pub fn lock(&self) -> io::Result<Lock> {
        let path = self.0.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock::Ours(file)),
            Err(TryLockError::WouldBlock) => Ok(Lock::Taken),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Who supervises it, if that was ever said.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn supervisor(&self) -> io::Result<Option<Supervisor>> {
        self.read("supervisor.json")
    }

    /// Says who supervises it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_supervisor(&self, supervisor: &Supervisor) -> io::Result<()> {
        self.write("supervisor.json", supervisor)
    }

    /// How it is to be ended, if that was ever said.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn kill(&self) -> io::Result<Option<Kill>> {
        self.read("kill.json")
    }

    /// Says how it is to be ended.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_kill(&self, kill: &Kill) -> io::Result<()> {
        self.write("kill.json", kill)
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn end(&self) -> io::Result<Option<End>> {
        self.read("end.json")
    }

    /// Says how it ended.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_end(&self, end: &End) -> io::Result<()> {
        self.write("end.json", end)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match fs::read(self.0.join(name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let temporary = self.0.join(format!(".{name}"));
        fs::write(&temporary, serde_json::to_vec(value)?)?;
        fs::rename(temporary, self.0.join(name))
    }
}

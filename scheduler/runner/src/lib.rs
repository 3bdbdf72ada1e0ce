//! `[io]` Runs tasks on this machine, as processes or, with a Docker engine, as containers, and says
//! by [`Report`]s what became of them.
//!
//! Each task has a small supervising process of its own ([`supervise`]), so tasks go on and their
//! ends are known whatever happens to the program that started them. What has to hold:
//!
//! - A task is started at most once, whoever is killed at whatever time: its folder is made only
//!   once, and its supervisor holds a lock in it for as long as it lives. Who gets the lock of a task
//!   without an end knows that there is none, and writes down that it is lost before anybody else can
//!   start it.
//! - Nothing of a task outlives it: its process group and whatever left the group are ended.
//! - A program here decides nothing about placement, restarts or numbers.
//!
//! Nothing in this crate knows the scheduler: it is also what an agent of Mesos needs.

#![forbid(unsafe_code)]

mod check;
mod docker;
mod folder;
mod output;
mod processes;
mod runner;
mod supervisor;
mod tail;
mod task;
mod volumes;
mod watch;

pub use docker::{Engine, engine};
pub use folder::Stream;
pub use output::{FILE_MOST_BYTES, FILES_OF_A_STREAM};
pub use runner::{Runner, RunnerError, Settings};
pub use supervisor::supervise;
pub use tail::Tail;
pub use task::{Check, Ending, Probe, Program, Report, Task, TaskId, TaskIdError, What};
pub use volumes::{Mount, Part, VolumeError, Volumes};

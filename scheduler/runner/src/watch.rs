//! Watching one task from its start, or from when it was found, to its end.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::folder::{Folder, Lock, Supervisor};
use crate::processes;
use crate::runner::Shared;
use crate::supervisor::RUNNING;
use crate::task::{Check, Ending, Program, Task, What};
use crate::{check, docker};

/// How often a supervisor of which nothing is written yet is looked for. It writes within
/// milliseconds.
const LOOK: Duration = Duration::from_millis(5);

/// A supervisor that holds the lock for so long without saying who it is has been stopped by
/// somebody; it is waited for, but not that often.
const LOOK_SELDOM: Duration = Duration::from_millis(500);

/// Stack of a thread that only waits.
const WAIT_STACK_BYTES: usize = 32 << 10;

/// The shortest time between two checks.
const INTERVAL_LEAST: Duration = Duration::from_millis(10);

/// Watches a task. `child` is its supervisor, if it was started by this process.
pub async fn watch(shared: Arc<Shared>, task: Task, folder: Folder, mut child: Option<Child>) {
    let id = task.id.clone();
    let attached = match &child {
        Some(child) => open(i32::try_from(child.id()).unwrap_or(0)).ok(),
        None => look_for(&folder).await,
    };
    if let Some(supervisor) = attached {
        if let Ok(copy) = supervisor.try_clone() {
            shared.attach(&id, &folder, copy);
        }
        tokio::select! {
            () = attend(&shared, &task, &folder, child.as_mut()) => {}
            () = ended(supervisor) => {}
        }
    }
    // It has ended, so this takes no time; without it a dead process is left.
    if let Some(mut child) = child {
        let _ = tokio::task::spawn_blocking(move || child.wait()).await;
    }
    let found = tokio::task::spawn_blocking(move || find_end(&shared, &task, &folder)).await;
    // It fails only when everything ends.
    drop(found);
}

fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Waits until a process has ended. It takes a thread with the smallest stack: the runtime's own way
/// to wait for a file descriptor can't be used without unsafe code, and tasks of one machine are few.
async fn ended(process: OwnedFd) {
    let (tells, told) = oneshot::channel();
    let wait = move || {
        loop {
            let mut open = [PollFd::new(&process, PollFlags::IN)];
            match poll(&mut open, None) {
                Err(rustix::io::Errno::INTR) => {}
                // It can't fail otherwise; if it did, the end would be looked for.
                Ok(_) | Err(_) => break,
            }
        }
        // Nobody listens any more when the runner ends.
        let _ = tells.send(());
    };
    let thread = thread::Builder::new().name("wait".to_owned()).stack_size(WAIT_STACK_BYTES);
    match thread.spawn(wait) {
        Ok(_) => drop(told.await),
        // No more threads: the end is found when the runner is opened again.
        Err(_) => std::future::pending().await,
    }
}

/// The living supervisor of a task that was started by another process; none if there is none.
async fn look_for(folder: &Folder) -> Option<OwnedFd> {
    let mut looks = 0;
    loop {
        // What was written by whoever holds the lock before and after is about a living process.
        let Ok(Lock::Taken) = folder.lock() else { return None };
        if let Ok(Some(Supervisor { pid, .. })) = folder.supervisor()
            && let Ok(supervisor) = open(pid)
            && matches!(folder.lock(), Ok(Lock::Taken))
        {
            return Some(supervisor);
        }
        looks += 1;
        sleep(if looks < 200 { LOOK } else { LOOK_SELDOM }).await;
    }
}

/// Says that the task runs once it does, then how healthy it is. It ends with its supervisor only.
async fn attend(shared: &Shared, task: &Task, folder: &Folder, child: Option<&mut Child>) {
    match child.and_then(|child| child.stdout.take()) {
        Some(mut told) => {
            let read = tokio::task::spawn_blocking(move || {
                let mut line = [0; RUNNING.len()];
                told.read_exact(&mut line).is_ok() && line == RUNNING
            });
            if !read.await.unwrap_or(false) {
                return std::future::pending().await;
            }
        }
        None => {
            let is_there =
                || matches!(folder.supervisor(), Ok(Some(one)) if one.task_pid.is_some());
            while !is_there() {
                sleep(LOOK).await;
            }
        }
    }
    shared.say(&task.id, What::Running);
    match &task.check {
        Some(check) => look_after(shared, task, folder, check).await,
        None => std::future::pending().await,
    }
}

/// Checks at each interval. Failures before the first success are those of a task that starts.
async fn look_after(shared: &Shared, task: &Task, folder: &Folder, check: &Check) {
    let docker = shared.settings.docker.as_str();
    let mut ticks = interval(check.interval.max(INTERVAL_LEAST));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut failures, mut said) = (0, None);
    loop {
        ticks.tick().await;
        if check::passes(check, task, folder, docker).await {
            failures = 0;
            if said != Some(true) {
                said = Some(true);
                shared.say(&task.id, What::Healthy);
            }
        } else {
            failures += 1;
            if said == Some(true) && failures >= check.failures.max(1) {
                said = Some(false);
                shared.say(&task.id, What::Unhealthy);
            }
        }
    }
}

/// The supervisor has ended: the end is in the folder, or nobody wrote it.
fn find_end(shared: &Shared, task: &Task, folder: &Folder) {
    let written = |shared: &Shared| match folder.end() {
        Ok(Some(end)) => {
            shared.say(&task.id, What::Ended(end.ending));
            true
        }
        Ok(None) | Err(_) => false,
    };
    if !written(shared) {
        // Who holds the lock knows that no supervisor starts the task any more.
        let lock = folder.lock();
        let is_late = matches!(lock, Ok(Lock::Ours(_))) && written(shared);
        if !is_late {
            processes::end_all_of(folder.path());
            if let Program::Image { .. } = task.program {
                docker::remove(task, &shared.settings.docker);
            }
            let why = "its supervisor was ended from outside";
            shared.end(&task.id, folder, Ending::Lost(why.to_owned()));
        }
    }
    shared.sweep();
}

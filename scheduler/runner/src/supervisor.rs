//! The supervising process of one task. It outlives whoever started it: it has a session of its own,
//! holds the lock of the task's folder, pumps the output, ends the task when it is told to, and
//! writes down how it ended.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process_group, set_child_subreaper, setsid,
    waitid,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::docker;
use crate::folder::{End, Folder, Kill, Lock, Stream, Supervisor};
use crate::output::{self, FILE_MOST_BYTES};
use crate::processes::{self, FOLDER_VARIABLE};
use crate::task::{Ending, Program, Task};

/// How often the memory of a task is looked at: a leak of 1 GB/s is caught after one more GB.
const MEMORY_LOOK: Duration = Duration::from_secs(1);

/// What the runner reads when the process of the task runs.
pub const RUNNING: &[u8] = b"running\n";

/// Variables that a task has from the runner.
const INHERITED: [&str; 5] = ["PATH", "LANG", "LC_ALL", "TZ", "USER"];

/// Variables that the command line of Docker has from the runner besides.
const INHERITED_BY_DOCKER: [&str; 6] = [
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
];

/// Supervises the task of a folder until it has ended. It is the whole work of a process.
#[must_use]
pub fn supervise(folder: &Path, docker: &str) -> ExitCode {
    let folder = Folder::at(folder.to_owned());
    // It fails only for who leads a group already, which is as good.
    let _ = setsid();
    match attend(&folder, docker) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&folder, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn complain(folder: &Folder, message: &str) {
    let file = OpenOptions::new().create(true).append(true).open(folder.complaints());
    // Nobody else would listen.
    let _ = file.and_then(|mut file| writeln!(file, "{message}"));
}

fn attend(folder: &Folder, docker: &str) -> io::Result<()> {
    let Lock::Ours(_lock) = folder.lock()? else {
        return Err(io::Error::other("another supervisor has this task"));
    };
    if folder.end()?.is_some() {
        return Err(io::Error::other("this task has been given up before it was started"));
    }
    let task = folder.task()?;
    let signals = Signals::new()?;
    // What leaves the task's group becomes our child, and is ended with it.
    set_child_subreaper(Some(getpid()))?;
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    folder.write_supervisor(&Supervisor { pid, task_pid: None })?;
    let ending = match command(folder, &task, docker).spawn() {
        Ok(child) => {
            let task_pid = i32::try_from(child.id()).ok();
            folder.write_supervisor(&Supervisor { pid, task_pid })?;
            // Whoever started this may be gone.
            let _ = io::stdout().write_all(RUNNING).and_then(|()| io::stdout().flush());
            wait(folder, &task, docker, child, signals)?
        }
        Err(error) => Ending::NotStarted(not_started(&task, docker, &error)),
    };
    folder.write_end(&End { at_nanoseconds: now_nanoseconds(), ending })
}

fn not_started(task: &Task, docker: &str, error: &io::Error) -> String {
    let words = docker::words(task, docker);
    format!("`{}`: {error}", words.first().map_or("", String::as_str))
}

/// The time: nanoseconds since 1970.
pub fn now_nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn command(folder: &Folder, task: &Task, docker: &str) -> Command {
    let words = docker::words(task, docker);
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command.args(words).current_dir(folder.sandbox()).env_clear();
    let own: &[&str] = match task.program {
        Program::Command(_) => &[],
        Program::Image { .. } => &INHERITED_BY_DOCKER,
    };
    command.envs(inherited(own)).envs(&task.environment);
    command.env(FOLDER_VARIABLE, folder.path());
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Variables of this process that are passed on.
pub fn inherited(more: &[&str]) -> Vec<(String, std::ffi::OsString)> {
    let names = INHERITED.iter().chain(more);
    names.filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?))).collect()
}

/// Signals to this process. What ends others is ignored: the end is told by the runner, and a
/// Ctrl-C that reaches a whole terminal isn't meant for tasks.
struct Signals {
    told: UnixStream,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let (told, tells) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGTERM, tells)?;
        for ignored in [SIGINT, SIGHUP] {
            signal_hook::flag::register(ignored, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Signals { told })
    }
}

/// Waits for the end of the task, and ends what is left of it.
fn wait(
    folder: &Folder,
    task: &Task,
    docker: &str,
    mut child: Child,
    signals: Signals,
) -> io::Result<Ending> {
    let is_over_memory = Arc::new(AtomicBool::new(false));
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let group = group.ok_or_else(|| io::Error::other("the process has no number"))?;
    let pumps = [
        child.stdout.take().map(|stream| pump(stream, folder, Stream::Output)),
        child.stderr.take().map(|stream| pump(stream, folder, Stream::Error)),
    ];
    let grace = task.kill_grace;
    let asked = folder.clone();
    thread::spawn(move || end_when_told(&asked, signals.told, group, grace));
    if let (Program::Command(_), Some(most_mib)) = (&task.program, task.memory_most_mib) {
        let is_over = Arc::clone(&is_over_memory);
        thread::spawn(move || watch_memory(group, u64::from(most_mib) << 20, &is_over));
    }
    // The leader is looked at before it is waited for, so that the number of its group stays its own
    // while the rest of the group is ended.
    while let Err(error) = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {
        if error != rustix::io::Errno::INTR {
            return Err(error.into());
        }
    }
    // There may be nobody left.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    processes::descendants(own_pid()).into_iter().for_each(processes::end_now);
    let mut ending = ending(status);
    if let Program::Image { .. } = task.program {
        ending = container_ending(ending, docker::is_out_of_memory(task, docker));
        docker::remove(task, docker);
    }
    // Pipes may still be held by what left the group and can't be found; it gets no more time.
    let deadline = std::time::Instant::now() + Duration::from_secs(2);
    for pump in pumps.into_iter().flatten() {
        while !pump.is_finished() && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
    let is_over = is_over_memory.load(Ordering::SeqCst);
    Ok(if is_over { Ending::OutOfMemory } else { ending })
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

fn pump(
    stream: impl Read + Send + 'static,
    folder: &Folder,
    name: Stream,
) -> thread::JoinHandle<()> {
    let path = folder.stream(name);
    thread::spawn(move || output::pump(stream, &path, FILE_MOST_BYTES))
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Lost("it neither ended nor was ended".to_owned()),
    }
}

/// What the command line of Docker means by its codes.
fn container_ending(ending: Ending, is_out_of_memory: bool) -> Ending {
    match ending {
        _ if is_out_of_memory => Ending::OutOfMemory,
        Ending::Code(125) => Ending::NotStarted("docker refused it; see its stderr".to_owned()),
        Ending::Code(126) => Ending::NotStarted("its command can't be run".to_owned()),
        Ending::Code(127) => Ending::NotStarted("its command isn't in the image".to_owned()),
        Ending::Code(code) if code > 128 => Ending::Signal(code - 128),
        other => other,
    }
}

/// Asks the task to end when this process is told to, and makes it end after the grace.
fn end_when_told(folder: &Folder, mut told: UnixStream, group: Pid, grace: Duration) {
    let mut byte = [0];
    if told.read_exact(&mut byte).is_err() {
        return;
    }
    let kill = folder.kill().ok().flatten().unwrap_or(Kill { grace });
    // It may have ended by itself; then the process ends, and this thread with it.
    let _ = kill_process_group(group, Signal::TERM);
    thread::sleep(kill.grace);
    let _ = kill_process_group(group, Signal::KILL);
}

/// Ends the task when all its processes together take too much memory.
fn watch_memory(group: Pid, most_bytes: u64, is_over: &AtomicBool) {
    loop {
        thread::sleep(MEMORY_LOOK);
        let below = processes::descendants(own_pid());
        let bytes: u64 = below.into_iter().map(processes::resident_bytes).sum();
        if bytes > most_bytes {
            is_over.store(true, Ordering::SeqCst);
            let _ = kill_process_group(group, Signal::KILL);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_docker_say_what_happened() {
        let of = |code| container_ending(Ending::Code(code), false);
        assert!(matches!(of(125), Ending::NotStarted(_)));
        assert!(matches!(of(127), Ending::NotStarted(_)));
        assert_eq!(of(137), Ending::Signal(9));
        assert_eq!(of(3), Ending::Code(3));
        assert_eq!(container_ending(Ending::Code(137), true), Ending::OutOfMemory);
    }
}

//! `[io]` Runs a command to its end or a time limit, with its output in a log.
//!
//! With a limit the command runs in a process namespace of its own where that is possible: what it
//! leaves behind ends with it.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::error::{Doing, Error};
use crate::lab::process;

const POLL: Duration = Duration::from_millis(20);

/// A command that ended or was ended.
#[derive(Debug)]
pub struct Ended {
    /// How, unless it took too long.
    pub status: Option<ExitStatus>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Ended {
    /// Whether it ended well and in time.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Its exit code; none after a signal or the time limit.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// How it ended, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self.status {
            None => format!("was ended after {:.0} s, its time limit", self.elapsed.as_secs_f64()),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
            },
        }
    }
}

/// The same command in a process namespace of its own, if this user may make one.
#[must_use]
pub fn contained(command: &Command) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return copy_onto(Command::new(command.get_program()), command);
    }
    let mut outer = process::contained("env");
    outer.arg(command.get_program());
    copy_onto(outer, command)
}

fn copy_onto(mut outer: Command, command: &Command) -> Command {
    outer.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        outer.current_dir(directory);
    }
    outer
}

/// Starts a command as the head of a process group, with its output in a file.
///
/// # Errors
/// The log can't be written or the command can't be started.
pub fn start(command: &mut Command, log: &Path) -> Result<Child, Error> {
    let file = create(log)?;
    let errors = file.try_clone().doing(|| format!("write {}", log.display()))?;
    start_with(command, file.into(), errors.into())
}

/// Starts a command as the head of a process group.
///
/// # Errors
/// The command can't be started.
pub fn start_with(command: &mut Command, stdout: Stdio, stderr: Stdio) -> Result<Child, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .doing(|| format!("start {program}"))
}

/// Waits for a child that `start` made; ends its whole group at the limit.
///
/// # Errors
/// The system refuses to tell how the child is.
pub fn wait(child: &mut Child, limit: Duration) -> Result<Ended, Error> {
    let start = Instant::now();
    let action = || "wait for a command".to_owned();
    loop {
        if let Some(status) = child.try_wait().doing(action)? {
            return Ok(Ended { status: Some(status), elapsed: start.elapsed() });
        }
        if start.elapsed() > limit {
            kill_group(child);
            child.wait().doing(action)?;
            return Ok(Ended { status: None, elapsed: start.elapsed() });
        }
        thread::sleep(POLL);
    }
}

/// Ends a child that `start` made and its group at once.
pub fn kill_group(child: &Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may be gone already: that is what was wanted.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Runs a command without input, its output in a log, contained and with a time limit.
///
/// # Errors
/// The log can't be written or the command can't be started; not: that it fails.
pub fn run(command: &Command, log: &Path, limit: Duration) -> Result<Ended, Error> {
    let mut command = contained(command);
    command.stdin(Stdio::null());
    let start_time = Instant::now();
    let mut child = start(&mut command, log)?;
    let mut ended = wait(&mut child, limit)?;
    ended.elapsed = start_time.elapsed();
    Ok(ended)
}

/// Runs a command with a log and makes a bad end an error that shows the log's end.
///
/// # Errors
/// The command doesn't end well.
pub fn demand(command: &Command, log: &Path, limit: Duration, what: &str) -> Result<Ended, Error> {
    let ended = run(command, log, limit)?;
    if ended.succeeded() {
        return Ok(ended);
    }
    let reason = format!("it {}; the end of its output:\n{}", ended.words(), tail(log, 25));
    Err(Error::refused(what, reason).with_hint(format!("all of it is in {}", log.display())))
}

/// The last lines of a log, indented.
#[must_use]
pub fn tail(log: &Path, count: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(count);
    let shown: Vec<String> =
        lines.iter().skip(start).map(|line| format!("    {}", clip(line))).collect();
    shown.join("\n")
}

/// Longest line of a log that is shown.
const LINE_LIMIT_CHARACTERS: usize = 300;

fn clip(line: &str) -> String {
    line.chars().take(LINE_LIMIT_CHARACTERS).collect()
}

/// Creates a file and the folders above it.
///
/// # Errors
/// The system refuses.
pub fn create(path: &Path) -> Result<File, Error> {
    let action = || format!("write {}", path.display());
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).doing(action)?;
    }
    File::create(path).doing(action)
}

/// A log of this name in the folder of logs.
#[must_use]
pub fn log(name: &str) -> PathBuf {
    crate::workspace::logs().join(format!("{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 60"]);
        let log = directory.path().join("log");
        let ended = run(&command, &log, Duration::from_millis(500)).unwrap();
        assert!(ended.status.is_none());
        assert!(ended.elapsed < Duration::from_secs(30));
        assert_eq!(tail(&log, 5), "    begun");
    }

    #[test]
    fn code_environment_and_folder_pass_through() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "pwd; echo $WHAT; exit 7"]).env("WHAT", "told");
        command.current_dir("/usr");
        let log = directory.path().join("log");
        let ended = run(&command, &log, Duration::from_secs(60)).unwrap();
        assert_eq!(ended.code(), Some(7));
        assert_eq!(fs::read_to_string(log).unwrap(), "/usr\ntold\n");
    }
}

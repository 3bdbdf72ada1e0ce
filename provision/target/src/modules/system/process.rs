//! Starting programs and collecting what they say.
//!
//! Every program runs in a process group of its own, which is killed as a whole when the call is
//! asked to stop. Nothing here goes through a shell: arguments are a vector.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::module::{Context, Failure};

/// Bytes kept of each of the two output streams: more would not fit into one result frame
/// together with its lines. The rest is read and thrown away, so that the program can end.
pub const OUTPUT_LIMIT_BYTES: usize = 12 << 20;

/// How long the pipes of an ended program may stay silent before they are given up, in
/// milliseconds: a daemon it started may hold them open for ever. Ansible waits as long.
const SILENCE_AFTER_END_MS: u64 = 1000;

/// How often a request to stop is looked at, in milliseconds.
const STOP_CHECK_MS: u16 = 50;

/// How long a program may take to end after SIGTERM before it is killed, in milliseconds.
const TERMINATION_GRACE_MS: u64 = 2000;

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces read before the other pipe and the request to stop get their turn.
const PIECES_AT_ONCE: usize = 16;

/// Folders where system programs live, although an unprivileged user's `PATH` may lack them.
const SYSTEM_FOLDERS: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What a program left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// Exit code; minus the signal's number if a signal ended it, as Python reports it.
    pub rc: i32,
    /// Standard output, up to [`OUTPUT_LIMIT_BYTES`].
    pub stdout: Vec<u8>,
    /// Standard error, up to [`OUTPUT_LIMIT_BYTES`].
    pub stderr: Vec<u8>,
    /// Whether output was thrown away.
    pub truncated: bool,
}

impl Finished {
    /// Standard output as text; broken UTF-8 is replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; broken UTF-8 is replaced.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Whether it ended with exit code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.rc == 0
    }

    /// A failure that shows what the program said.
    #[must_use]
    pub fn failure(&self, message: impl Into<String>) -> Failure {
        Failure::new(message)
            .with("rc", self.rc)
            .with("stdout", self.stdout_text())
            .with("stderr", self.stderr_text())
    }
}

/// Why a program did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("failed to run {program}: {error}")]
    Start {
        /// Program.
        program: String,
        /// The system's words.
        error: io::Error,
    },
    /// Talking to it failed.
    #[error("failed to read the output of {program}: {error}")]
    Pipe {
        /// Program.
        program: String,
        /// The system's words.
        error: io::Error,
    },
    /// The call was cancelled or its time is over; the program and its children were killed.
    #[error("stopped while {program} was running")]
    Stopped {
        /// Program.
        program: String,
        /// What it had said until then.
        partial: Box<Finished>,
    },
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let message = error.to_string();
        match error {
            RunError::Start { error, .. } | RunError::Pipe { error, .. } => {
                Failure::new(message).with("rc", error.raw_os_error().unwrap_or(257))
            }
            RunError::Stopped { partial, .. } => partial.failure(message),
        }
    }
}

/// A program about to be started.
#[derive(Debug)]
pub struct Run {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Run {
    /// A program by path, or by name along `PATH`.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Run { command: Command::new(program), input: None }
    }

    /// A program of the system by name, found even if `PATH` lacks the folders of root.
    ///
    /// # Errors
    /// When the host lacks it.
    pub fn tool(name: &str) -> Result<Self, Failure> {
        match find_program(name) {
            Some(path) => Ok(Run::new(path)),
            None => Err(Failure::new(format!("failed to find the required program {name}"))),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<T: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.command.args(arguments);
        self
    }

    /// What it reads from its standard input; nothing by default.
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = Some(input);
        self
    }

    /// The folder it runs in.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sets an environment variable; the call's own environment still wins.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Makes it speak English, for output that is parsed.
    #[must_use]
    pub fn parsable(self) -> Self {
        self.variable("LC_ALL", "C").variable("LANG", "C").variable("LANGUAGE", "C")
    }

    /// The words of the command line, for results.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// When it can't be started, or when the call is asked to stop.
    pub fn run(mut self, context: &Context<'_>) -> Result<Finished, RunError> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        for (name, value) in &context.environment {
            self.command.env(name, value);
        }
        self.command
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = self
            .command
            .spawn()
            .map_err(|error| RunError::Start { program: program.clone(), error })?;
        let mut running = Running::new(child, self.input.take());
        match running.follow(context.stopped) {
            Ok(Some(status)) => Ok(running.finished(status)),
            Ok(None) => {
                let status = running.kill();
                let partial = Box::new(running.finished(status));
                Err(RunError::Stopped { program, partial })
            }
            Err(error) => {
                running.kill();
                Err(RunError::Pipe { program, error })
            }
        }
    }

    /// Starts it, waits, and fails unless it ends with exit code 0.
    ///
    /// # Errors
    /// Also when it fails; the message is its standard error.
    pub fn succeed(self, context: &Context<'_>) -> Result<Finished, Failure> {
        let words = self.words().join(" ");
        let finished = self.run(context)?;
        if finished.succeeded() {
            return Ok(finished);
        }
        let said = finished.stderr_text();
        let said = if said.trim().is_empty() { finished.stdout_text() } else { said };
        Err(finished.failure(format!("failed to run {words}: {}", said.trim())))
    }
}

/// A program's path along `PATH` and the folders of the system.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return is_program(Path::new(name)).then(|| PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// A started program and its pipes.
struct Running {
    child: Child,
    input: Option<(Vec<u8>, usize)>,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
    exit: Option<OwnedFd>,
    collected: Finished,
}

impl Running {
    fn new(mut child: Child, input: Option<Vec<u8>>) -> Self {
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        // Kernels before 5.3 lack it; then the end is noticed at the next look.
        let exit = pid(&child).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Running {
            child,
            input: input.map(|bytes| (bytes, 0)),
            stdout,
            stderr,
            exit,
            collected: Finished::default(),
        }
    }

    /// Moves bytes until the program has ended and its pipes are empty; `None`: asked to stop.
    fn follow(&mut self, stopped: &dyn Fn() -> bool) -> io::Result<Option<ExitStatus>> {
        if let Some(pipe) = &self.stdout {
            never_block(pipe.as_fd())?;
        }
        if let Some(pipe) = &self.stderr {
            never_block(pipe.as_fd())?;
        }
        if let Some(pipe) = &self.child.stdin {
            never_block(pipe.as_fd())?;
        }
        let mut status = None;
        let mut last_sign = Instant::now();
        loop {
            if self.transfer()? {
                last_sign = Instant::now();
            }
            if status.is_none() {
                status = self.child.try_wait()?;
                if status.is_some() {
                    self.exit = None;
                    self.child.stdin = None;
                    last_sign = Instant::now();
                    continue;
                }
            }
            if let Some(status) = status {
                let silence = last_sign.elapsed();
                let closed = self.stdout.is_none() && self.stderr.is_none();
                if closed || silence >= Duration::from_millis(SILENCE_AFTER_END_MS) {
                    return Ok(Some(status));
                }
            }
            if stopped() {
                return Ok(None);
            }
            self.wait()?;
        }
    }

    /// Waits until a pipe can move or the program ends, but not long.
    fn wait(&self) -> io::Result<()> {
        let mut watched = Vec::with_capacity(4);
        if let Some(pipe) = &self.stdout {
            watched.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        if let Some(pipe) = &self.stderr {
            watched.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        if let Some(pipe) = &self.child.stdin {
            watched.push(PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        }
        if let Some(exit) = &self.exit {
            watched.push(PollFd::new(exit.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut watched, PollTimeout::from(STOP_CHECK_MS)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves what can be moved now; whether anything was.
    fn transfer(&mut self) -> io::Result<bool> {
        let mut moved = false;
        if let Some(pipe) = &mut self.stdout {
            let (some, open) = drain(pipe, &mut self.collected.stdout)?;
            moved |= some;
            if !open {
                self.stdout = None;
            }
        }
        if let Some(pipe) = &mut self.stderr {
            let (some, open) = drain(pipe, &mut self.collected.stderr)?;
            moved |= some;
            if !open {
                self.stderr = None;
            }
        }
        moved |= self.feed();
        Ok(moved)
    }

    /// Writes input; a program that doesn't want it (EPIPE) is left in peace.
    fn feed(&mut self) -> bool {
        let Some((bytes, written)) = &mut self.input else { return false };
        let Some(pipe) = &mut self.child.stdin else { return false };
        let rest = bytes.get(*written..).unwrap_or_default();
        if !rest.is_empty() {
            match pipe.write(rest) {
                Ok(count) if count > 0 => {
                    *written += count;
                    return true;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    return false;
                }
                _ => {}
            }
        }
        self.child.stdin = None;
        self.input = None;
        true
    }

    /// Ends the whole process group: politely first.
    fn kill(&mut self) -> ExitStatus {
        let group = pid(&self.child);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        let _ = signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_millis(TERMINATION_GRACE_MS);
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            status = self.child.try_wait().ok().flatten();
            if status.is_none() {
                std::thread::sleep(Duration::from_millis(u64::from(STOP_CHECK_MS) / 5));
            }
        }
        let _ = signal(Signal::KILL);
        let _ = self.transfer();
        status.or_else(|| self.child.wait().ok()).unwrap_or_default()
    }

    fn finished(&mut self, status: ExitStatus) -> Finished {
        let mut finished = std::mem::take(&mut self.collected);
        finished.rc = status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(-1);
        for stream in [&mut finished.stdout, &mut finished.stderr] {
            if stream.len() > OUTPUT_LIMIT_BYTES {
                stream.truncate(OUTPUT_LIMIT_BYTES);
                finished.truncated = true;
            }
        }
        finished
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn never_block(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL)?);
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Reads all that is there; whether there was anything, and whether the pipe is still open. One
/// byte over the limit is kept as the sign that there was more.
fn drain(pipe: &mut impl Read, into: &mut Vec<u8>) -> io::Result<(bool, bool)> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut moved = false;
    for _ in 0..PIECES_AT_ONCE {
        match pipe.read(&mut piece) {
            Ok(0) => return Ok((moved, false)),
            Ok(count) => {
                moved = true;
                let room = (OUTPUT_LIMIT_BYTES + 1).saturating_sub(into.len());
                into.extend_from_slice(piece.get(..count.min(room)).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((moved, true)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((moved, true))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn both_streams_and_the_code() {
        let mut bench = context();
        let finished = Run::new("sh")
            .arguments(["-c", "cat; echo out; echo err >&2; exit 3"])
            .input(b"in\n".to_vec())
            .run(&bench.context())
            .unwrap();
        assert_eq!(finished.rc, 3);
        assert_eq!(finished.stdout_text(), "in\nout\n");
        assert_eq!(finished.stderr_text(), "err\n");
        let killed = Run::new("sh").arguments(["-c", "kill -9 $$"]).run(&bench.context()).unwrap();
        assert_eq!(killed.rc, -9);
    }

    #[test]
    fn a_large_input_does_not_block() {
        let mut bench = context();
        let input = vec![b'x'; 3 << 20];
        let echoed = Run::new("cat").input(input.clone()).run(&bench.context()).unwrap();
        assert_eq!(echoed.stdout.len(), input.len());
        let ignored = Run::new("true").input(input).run(&bench.context()).unwrap();
        assert_eq!(ignored.rc, 0);
    }

    #[test]
    fn output_is_bounded_and_the_program_still_ends() {
        let mut bench = context();
        let finished =
            Run::new("head").arguments(["-c", "20M", "/dev/zero"]).run(&bench.context()).unwrap();
        assert!(finished.truncated);
        assert_eq!((finished.rc, finished.stdout.len()), (0, OUTPUT_LIMIT_BYTES));
    }

    #[test]
    fn a_daemon_that_holds_the_pipes_is_left_behind() {
        let mut bench = context();
        let start = Instant::now();
        let finished =
            Run::new("sh").arguments(["-c", "sleep 4 & echo up"]).run(&bench.context()).unwrap();
        assert_eq!(finished.stdout_text(), "up\n");
        assert!(start.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn a_stop_kills_the_group() {
        let mut bench = context();
        let asked = Cell::new(0);
        let stopped = || {
            asked.set(asked.get() + 1);
            asked.get() > 3
        };
        bench.stopped = Some(&stopped);
        let start = Instant::now();
        let error = Run::new("sh")
            .arguments(["-c", "echo begun; sleep 60 & sleep 60"])
            .run(&bench.context())
            .unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5));
        match error {
            RunError::Stopped { partial, .. } => assert_eq!(partial.stdout_text(), "begun\n"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_missing_program_is_said() {
        let mut bench = context();
        let error = Run::new("/no/such").run(&bench.context()).unwrap_err();
        let failure = Failure::from(error);
        assert!(failure.message.contains("/no/such: No such file"), "{}", failure.message);
        assert_eq!(failure.values["rc"], 2);
    }
}

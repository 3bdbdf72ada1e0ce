//! The one error type of `xtask`: what was being done, why it failed, and what to try.
//!
//! `action` is a lowercase fragment that completes "failed to …"; the cause is never repeated in it.

use std::error::Error as _;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::{Command, ExitStatus, Output, Stdio};

/// Lines of a failed command's stderr that are shown: enough for a message, not for a log.
const STDERR_TAIL_LINES: usize = 12;

/// A task that couldn't be done.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct Error {
    /// Completes "failed to …".
    pub action: String,
    /// What to try, when we know.
    pub hint: Option<String>,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why a task couldn't be done.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The operating system said no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The operating system said no to a direct system call.
    #[error(transparent)]
    System(#[from] nix::Error),
    /// A command couldn't be started or ended badly.
    #[error(transparent)]
    Command(#[from] CommandFailure),
    /// A file of ours isn't what we wrote.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// We refuse, for the reason given.
    #[error("{0}")]
    Refused(String),
    /// Part of a larger task failed.
    #[error(transparent)]
    Part(Box<Error>),
}

/// A command that couldn't be started or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum CommandFailure {
    /// The program isn't there or isn't executable.
    #[error("`{program}` can't be started")]
    Start {
        /// The program's name.
        program: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The program ended with a failure.
    #[error("`{command}` ended with {status}{stderr}")]
    Ended {
        /// The whole command line.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// The last lines of its stderr, each on a line of its own, indented.
        stderr: String,
    },
}

impl Error {
    /// An error of our own making.
    pub fn refused(action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { action: action.into(), hint: None, cause: Cause::Refused(reason.into()) }
    }

    /// Adds what to try.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Self::Part(Box::new(error))
    }
}

/// Says what was being done when something failed.
pub trait Doing<T> {
    /// `action` completes "failed to …".
    ///
    /// # Errors
    /// The same failure, with the action.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<Cause>> Doing<T> for Result<T, E> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|cause| Error { action: action(), hint: None, cause: cause.into() })
    }
}

/// Runs a command to its end with captured output; anything but exit code 0 is a failure.
///
/// # Errors
/// The command can't be started or ends badly.
pub fn capture(command: &mut Command) -> Result<Output, CommandFailure> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| CommandFailure::Start { program: program_of(command), source })?;
    check(command, output)
}

/// Turns a finished command with a bad status into a failure.
///
/// # Errors
/// The status isn't success.
pub fn check(command: &Command, output: Output) -> Result<Output, CommandFailure> {
    if output.status.success() {
        return Ok(output);
    }
    Err(CommandFailure::Ended {
        command: line_of(command),
        status: output.status,
        stderr: tail(&String::from_utf8_lossy(&output.stderr)),
    })
}

/// `capture` of a program with plain arguments, stdout as text.
///
/// # Errors
/// The command can't be started or ends badly.
pub fn output_of<S: AsRef<OsStr>>(
    program: &str,
    arguments: &[S],
) -> Result<String, CommandFailure> {
    let output = capture(Command::new(program).args(arguments))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn program_of(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn line_of(command: &Command) -> String {
    let mut line = program_of(command);
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn tail(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(STDERR_TAIL_LINES);
    lines.iter().skip(start).fold(String::new(), |mut text, line| {
        text.push_str("\n    ");
        text.push_str(line);
        text
    })
}

/// The text a person reads when a task fails.
#[must_use]
pub fn render(error: &Error) -> String {
    let mut text = format!("error: failed to {error}\n");
    let mut hint = error.hint.clone();
    let mut cause = error.source();
    while let Some(reason) = cause {
        // Writing to a String can't fail.
        let _ = match reason.downcast_ref::<Error>() {
            Some(part) => {
                hint = hint.or_else(|| part.hint.clone());
                writeln!(text, "  because of a failure to {part}")
            }
            None => writeln!(text, "  because: {reason}"),
        };
        cause = reason.source();
    }
    if let Some(hint) = hint.or_else(|| general_hint(&text)) {
        let _ = writeln!(text, "  hint: {hint}");
    }
    text
}

fn general_hint(text: &str) -> Option<String> {
    let denied = text.contains("ermission denied") || text.contains("ot permitted");
    denied.then(|| "the lab needs root and a machine that allows mounts and namespaces".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_shown_with_its_stderr_and_the_hint() {
        let failure = capture(Command::new("sh").args(["-c", "echo broken >&2; exit 3"]))
            .map(drop)
            .doing(|| "test the lab".to_owned())
            .map_err(|error| error.with_hint("do not worry"))
            .unwrap_err();
        let text = render(&failure);
        assert!(text.starts_with("error: failed to test the lab\n"), "{text}");
        assert!(text.contains("exit status: 3\n    broken"), "{text}");
        assert!(text.ends_with("hint: do not worry\n"), "{text}");
    }
}

//! Becoming another user through sudo.
//!
//! The password leaves only after our own random prompt was seen, through sudo's standard input,
//! never in arguments, environment or a file. No password is tried twice, and at most two in a
//! session: nobody's account gets locked by us.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use provision_protocol::bootstrap::{Answer, Installation, Packing, Role, answer};
use provision_protocol::{Become, FrameReader, FromHost};

use super::child::Child;
use crate::identity::{OWN_FILE, own_digest};
use crate::module::Failure;
use crate::names::User;
use crate::serve::session::Session;

/// Passwords that are tried in a session.
const ATTEMPTS: usize = 2;

/// How long sudo may take apart from waiting for the operator, in seconds: directory services
/// and delays after a wrong password are slow.
const START_LIMIT_S: u64 = 120;

/// How often a request to stop is looked at, in milliseconds.
const STOP_CHECK_MS: u16 = 50;

/// What sudo says on stderr is kept up to here, in bytes.
const SAID_LIMIT_BYTES: usize = 64 << 10;

/// Flags of sudo that are set here anyway, or that would keep it from asking.
const OWN_FLAGS: &[&str] =
    &["-H", "--set-home", "-S", "--stdin", "-n", "--non-interactive", "-k", "-K"];

/// Starts a helper as another user.
///
/// # Errors
/// When that user can't be become.
pub fn start(
    wanted: &Become,
    user: &User,
    session: &Session<'_>,
    requests: &mut u64,
) -> Result<Child, Failure> {
    if wanted.method != "sudo" {
        return Err(Failure::new(format!(
            "become method `{}` works only when the login user is root: its question for a \
             password can't be told from other text; use sudo",
            wanted.method
        )));
    }
    let prompt = prompt()?;
    let mut command = Command::new("sudo");
    command
        .args(["-H", "-S", "-p", &prompt, "-u", &user.name])
        .args(wanted.flags.iter().filter(|flag| !OWN_FLAGS.contains(&flag.as_str())))
        .arg("--");
    let installs = match own_path() {
        Some(path) if user.uid == 0 => {
            command.arg(path).arg("--child");
            false
        }
        // Another user can't enter the folder of this program: give that user a copy.
        _ => {
            command.args(["/bin/sh", "-c", &installation()?.script()]);
            true
        }
    };
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::new(format!("failed to run sudo: {error}")))?;
    let streams = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
        return Err(Failure::new("failed to run sudo: it has no channel"));
    };
    let mut dialogue = Dialogue {
        wanted,
        session,
        requests,
        prompt,
        process,
        stdin,
        stdout,
        stderr,
        said: Vec::new(),
        read: Vec::new(),
        tried: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(START_LIMIT_S),
    };
    let started = dialogue.talk(installs);
    if let Err(failure) = started {
        let _ = dialogue.process.kill();
        return Err(failure);
    }
    let Dialogue { process, stdin, stdout, stderr, read, .. } = dialogue;
    forward(stderr);
    let mut reader = FrameReader::default();
    reader.push(&read);
    Child::new(process, stdin, stdout, reader).wait_until_ready(user.uid)
}

struct Dialogue<'a, 'b> {
    wanted: &'a Become,
    session: &'a Session<'b>,
    requests: &'a mut u64,
    prompt: String,
    process: Process,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// What came on stderr.
    said: Vec<u8>,
    /// What came on stdout.
    read: Vec<u8>,
    tried: Vec<String>,
    deadline: Instant,
}

impl Dialogue<'_, '_> {
    /// Until the helper speaks.
    fn talk(&mut self, installs: bool) -> Result<(), Failure> {
        let mut sent = false;
        loop {
            if installs {
                match answer(&self.read) {
                    Answer::Present { length } => {
                        self.read.drain(..length);
                        return Ok(());
                    }
                    Answer::Absent { length } if !sent => {
                        sent = true;
                        self.read.drain(..length);
                        self.send_program()?;
                        continue;
                    }
                    Answer::Absent { .. } | Answer::Noise => {
                        return Err(self.failure("the helper could not be installed"));
                    }
                    Answer::Incomplete => {}
                }
            } else if !self.read.is_empty() {
                return Ok(());
            }
            if self.is_prompted() {
                self.give_password()?;
                continue;
            }
            if self.session.inbox.is_cancelled() {
                return Err(self.failure("cancelled"));
            }
            if Instant::now() > self.deadline {
                return Err(self.failure("sudo takes too long"));
            }
            if !self.listen()? {
                return Err(self.failure("sudo refused"));
            }
        }
    }

    /// Reads what is there; whether more can come.
    fn listen(&mut self) -> Result<bool, Failure> {
        let events = {
            let mut watched = [
                PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stderr.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut watched, PollTimeout::from(STOP_CHECK_MS)) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(Failure::new(format!("failed to wait: {error}"))),
            }
            watched.map(|entry| entry.any().unwrap_or(false))
        };
        let [stdout, stderr] = events;
        let mut ended = false;
        if stderr {
            ended = take(&mut self.stderr, &mut self.said)? == 0;
            self.said.truncate(SAID_LIMIT_BYTES);
        }
        if stdout {
            let count = take(&mut self.stdout, &mut self.read)?;
            // Both streams at their end: nobody is left.
            return Ok(count > 0 || (stderr && !ended));
        }
        Ok(true)
    }

    fn is_prompted(&self) -> bool {
        let said = String::from_utf8_lossy(&self.said);
        said.matches(&self.prompt).count() > self.tried.len()
    }

    fn give_password(&mut self) -> Result<(), Failure> {
        if self.tried.len() >= ATTEMPTS {
            return Err(self.failure("Incorrect sudo password"));
        }
        *self.requests += 1;
        let request = *self.requests;
        let again = !self.tried.is_empty();
        let asked = Instant::now();
        self.session.send(&FromHost::NeedPassword {
            request,
            user: self.wanted.user.clone(),
            again,
        });
        let stopped = || self.session.inbox.is_cancelled();
        let password = self.session.inbox.password(request, &stopped)?;
        self.deadline += asked.elapsed();
        let Some(password) = password else {
            let message = if again { "Incorrect sudo password" } else { "Missing sudo password" };
            return Err(self.failure(message));
        };
        if self.tried.contains(&password) {
            return Err(self.failure("Incorrect sudo password"));
        }
        let line = format!("{password}\n");
        self.stdin
            .write_all(line.as_bytes())
            .and_then(|()| self.stdin.flush())
            .map_err(|error| Failure::new(format!("failed to talk to sudo: {error}")))?;
        self.tried.push(password);
        Ok(())
    }

    fn send_program(&mut self) -> Result<(), Failure> {
        let sent = File::open(OWN_FILE)
            .and_then(|mut program| io::copy(&mut program, &mut self.stdin))
            .and_then(|_| self.stdin.flush());
        sent.map_err(|error| self.failure(&format!("failed to send the helper: {error}")))
    }

    fn failure(&self, message: &str) -> Failure {
        let said = String::from_utf8_lossy(&self.said).replace(&self.prompt, "");
        let said = said.trim();
        let mut text = format!("failed to become {}: {message}", self.wanted.user);
        if !said.is_empty() {
            text.push_str(": ");
            text.push_str(said);
        }
        if let Some(hint) = hint(said) {
            text.push_str("; ");
            text.push_str(hint);
        }
        Failure::new(text)
    }
}

/// What an operator can do about sudo's complaint.
fn hint(said: &str) -> Option<&'static str> {
    let hints = [
        ("must have a tty", "remove `Defaults requiretty` for this user from sudoers"),
        ("no tty present", "add `Defaults visiblepw` for this user to sudoers"),
        ("terminal is required", "add `Defaults visiblepw` for this user to sudoers"),
        ("is not allowed to execute", "the helper needs `ALL` as command in sudoers"),
        ("not in the sudoers", "add the login user to sudoers"),
    ];
    hints.iter().find(|(words, _)| said.contains(words)).map(|(_, hint)| *hint)
}

fn take(stream: &mut impl Read, into: &mut Vec<u8>) -> Result<usize, Failure> {
    let mut buffer = [0; 4096];
    let count = stream
        .read(&mut buffer)
        .map_err(|error| Failure::new(format!("failed to listen to sudo: {error}")))?;
    into.extend_from_slice(buffer.get(..count).unwrap_or_default());
    Ok(count)
}

fn forward(mut stderr: ChildStderr) {
    thread::spawn(move || {
        let _ = io::copy(&mut stderr, &mut io::stderr());
    });
}

fn prompt() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("failed to get random bytes: {error}")))?;
    Ok(format!("[provision {}] password: ", hex::encode(bytes)))
}

/// Where this program lies, if it still does.
fn own_path() -> Option<PathBuf> {
    fs::read_link(OWN_FILE).ok().filter(|path| path.exists())
}

fn installation() -> Result<Installation, Failure> {
    let failed = |error: io::Error| Failure::new(format!("failed to read this program: {error}"));
    Ok(Installation {
        sha256: own_digest().map_err(failed)?,
        packed_bytes: fs::metadata(OWN_FILE).map_err(failed)?.len(),
        packing: Packing::Plain,
        early_bytes: 0,
        role: Role::Child,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_differ_and_complaints_have_hints() {
        assert_ne!(prompt().unwrap(), prompt().unwrap());
        assert!(
            hint("sudo: sorry, you must have a tty to run sudo").unwrap().contains("requiretty")
        );
        assert_eq!(hint("something else"), None);
    }
}

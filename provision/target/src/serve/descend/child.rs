//! One helper of another user: its process and the link to it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use provision_protocol::frame::{CONTENT_PIECE_BYTES, read_frame};
use provision_protocol::{Frame, FrameReader};

use crate::module::Failure;
use crate::names::User;
use crate::serve::channel::Output;
use crate::serve::link::{FromChild, ToChild};
use crate::serve::store::{Content, Sha256Bytes};

/// How long a child may take to introduce itself, in seconds, once nothing asks for a password.
const READY_LIMIT_S: u64 = 60;

/// How long a dismissed child may take to end, in milliseconds.
const END_LIMIT_MS: u64 = 2000;

/// Environment that another user's helper inherits; the rest belongs to the login user.
const INHERITED: &[&str] =
    &["PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TERM", "TZ"];

/// What comes from a child.
#[derive(Debug)]
pub enum Heard {
    /// It says something.
    Message(FromChild),
    /// It will say nothing more, and why.
    End(String),
}

/// See the module.
#[derive(Debug)]
pub struct Child {
    process: Process,
    output: Option<Output>,
    heard: Receiver<Heard>,
}

/// Starts a helper that drops from root to a user by itself: the program file is readable by root
/// only, and is read before root is given up.
///
/// # Errors
/// When it can't be started or can't become the user.
pub fn start_dropped(user: &User) -> Result<Child, Failure> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--child", "--as", &user.name]).env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("HOME", &user.home)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name)
        .env("SHELL", &user.shell)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .process_group(0);
    let mut process = command
        .spawn()
        .map_err(|error| Failure::new(format!("failed to start a helper: {error}")))?;
    let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
        return Err(Failure::new("failed to start a helper: it has no channel"));
    };
    let child = Child::new(process, stdin, stdout, FrameReader::default());
    child.wait_until_ready(user.uid)
}

impl Child {
    /// Takes over a started process; `reader` may hold bytes that were read already.
    pub fn new(
        process: Process,
        stdin: ChildStdin,
        stdout: ChildStdout,
        reader: FrameReader,
    ) -> Self {
        let (sender, heard) = mpsc::channel();
        let mut channel = File::from(OwnedFd::from(stdout));
        thread::spawn(move || {
            let mut reader = reader;
            loop {
                let heard = next_message(&mut channel, &mut reader);
                let ends = matches!(heard, Heard::End(_));
                if sender.send(heard).is_err() || ends {
                    return;
                }
            }
        });
        let output = Some(Output::new(File::from(OwnedFd::from(stdin))));
        Child { process, output, heard }
    }

    /// Waits for the introduction.
    ///
    /// # Errors
    /// When the child doesn't become that user.
    pub fn wait_until_ready(self, uid: u32) -> Result<Child, Failure> {
        let reason = match self.hear(Duration::from_secs(READY_LIMIT_S)) {
            Ok(Heard::Message(FromChild::Ready { uid: found })) if found == uid => {
                return Ok(self);
            }
            Ok(Heard::Message(FromChild::Ready { uid: found })) => {
                format!("the helper runs as user {found} instead of {uid}")
            }
            Ok(Heard::Message(FromChild::Refused { reason })) => reason,
            Ok(Heard::Message(_)) => "the helper did not introduce itself".to_owned(),
            Ok(Heard::End(reason)) | Err((_, reason)) => {
                format!("the helper did not start: {reason}")
            }
        };
        self.kill();
        Err(Failure::new(reason))
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Says something.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn say(&self, message: &ToChild) -> Result<(), Failure> {
        match &self.output {
            Some(output) => output.message(message).map_err(gone),
            None => Err(gone("its channel is closed")),
        }
    }

    /// Sends a content.
    ///
    /// # Errors
    /// When it can't be read or the child is gone.
    pub fn send(&self, sha256: &str, content: &Content) -> Result<(), Failure> {
        let Some(output) = &self.output else { return Err(gone("its channel is closed")) };
        let mut digest = Sha256Bytes::default();
        hex::decode_to_slice(sha256, &mut digest).map_err(gone)?;
        let mut reader = content.reader();
        let mut left = content.size();
        loop {
            let mut data = Vec::new();
            (&mut reader)
                .take(CONTENT_PIECE_BYTES as u64)
                .read_to_end(&mut data)
                .map_err(|error| Failure::new(format!("failed to read a content: {error}")))?;
            left = left.saturating_sub(data.len() as u64);
            let last = left == 0 || data.is_empty();
            output.frame(&Frame::Content { sha256: digest, last, data }).map_err(gone)?;
            if last {
                return Ok(());
            }
        }
    }

    /// Waits for the next thing it says; an error carries a reason for the case that it is the end.
    pub fn hear(&self, time: Duration) -> Result<Heard, (RecvTimeoutError, String)> {
        self.heard.recv_timeout(time).map_err(|error| (error, "it says nothing".to_owned()))
    }

    /// Says good-bye and waits a short time.
    pub fn dismiss(mut self) {
        let _ = self.say(&ToChild::Bye);
        self.output = None;
        let until = Instant::now() + Duration::from_millis(END_LIMIT_MS);
        while Instant::now() < until {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }

    /// Ends it without asking.
    pub fn kill(mut self) {
        self.kill_now();
    }

    /// Ends it without asking; what we may not signal (sudo) ends when its channel closes.
    pub fn kill_now(&mut self) {
        self.output = None;
        if let Ok(group) = i32::try_from(self.process.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.process.kill();
        let _ = self.process.try_wait();
    }
}

fn next_message(channel: &mut File, reader: &mut FrameReader) -> Heard {
    match read_frame(channel, reader) {
        Ok(Some(Frame::Message(payload))) => match Frame::parse(&payload) {
            Ok(message) => Heard::Message(message),
            Err(error) => Heard::End(error.to_string()),
        },
        Ok(Some(Frame::Content { .. })) => Heard::End("it sent a content".into()),
        Ok(None) => Heard::End("its channel ended".into()),
        Err(error) => Heard::End(error.to_string()),
    }
}

fn gone(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the helper of another user is gone: {error}"))
}

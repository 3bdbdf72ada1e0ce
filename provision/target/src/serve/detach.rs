//! Calls that run detached and outlive the connection (`async`).
//!
//! The job is a process of its own session whose parent has gone. It writes its state to
//! `~/.ansible_async/<job>`, in the form that `async_status` and Ansible read.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use nix::unistd::setsid;
use provision_protocol::frame::CONTENT_PIECE_BYTES;
use provision_protocol::{Async, Call, CallResult, Frame, FrameReader, Object, write_frame};
use serde_json::Value;

use super::channel;
use super::execute::{Upstream, execute};
use super::inbox::{Arrival, Inbox, Next};
use super::link::ToChild;
use super::result::{failure_result, is_failure, without_values};
use super::state;
use crate::identity::OWN_FILE;
use crate::module::Failure;
use crate::modules::system::words::Environment;

/// Longest name of a job, in bytes.
const NAME_LIMIT_BYTES: usize = 200;

/// Longest answer of a starting job, in bytes.
const ANSWER_LIMIT_BYTES: u64 = 64 << 10;

/// The job could not begin; it has said why.
const EXIT_NOT_STARTED: u8 = 68;

/// Folder of jobs' states.
#[must_use]
pub fn folder(environment: &Environment<'_>) -> PathBuf {
    let name = environment
        .get("ANSIBLE_ASYNC_DIR")
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "~/.ansible_async".to_owned());
    environment.expand_path(&name)
}

/// The state file of a job.
///
/// # Errors
/// When the name isn't one.
pub fn state_file(folder: &Path, job: &str) -> Result<PathBuf, Failure> {
    let bad = job.is_empty()
        || job.len() > NAME_LIMIT_BYTES
        || job.starts_with('.')
        || job.contains(['/', '\0']);
    if bad { Err(Failure::new(format!("`{job}` is not a job"))) } else { Ok(folder.join(job)) }
}

/// Starts a job and answers as soon as it has begun.
pub fn start(call: &Call, job: &Async, inbox: &Inbox, upstream: &dyn Upstream) -> CallResult {
    let began = Instant::now();
    let mut result = match try_start(call, job, inbox, upstream) {
        Ok(values) => CallResult { id: call.id, result: values, duration_us: 0 },
        Err(failure) => failure_result(call, failure),
    };
    result.duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    result
}

fn try_start(
    call: &Call,
    job: &Async,
    inbox: &Inbox,
    upstream: &dyn Upstream,
) -> Result<Object, Failure> {
    let environment = Environment::new(&call.environment);
    let file = state_file(&folder(&environment), &job.job)?;
    if file.exists() {
        return Err(Failure::new(format!("the job {} exists already", job.job)));
    }
    upstream.record_intent(call)?;
    let mut starter = Command::new(OWN_FILE)
        .arg("--async-job")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::new(format!("failed to start a job: {error}")))?;
    let handed = hand_over(call, &mut starter, inbox, upstream);
    let mut answer = String::new();
    if let Some(stdout) = starter.stdout.take() {
        let _ = stdout.take(ANSWER_LIMIT_BYTES).read_to_string(&mut answer);
    }
    let _ = starter.wait();
    handed?;
    if answer.trim() != "started" {
        let reason = if answer.trim().is_empty() { "it ended" } else { answer.trim() };
        return Err(Failure::new(format!("failed to start a job: {reason}")));
    }
    let mut values = Object::new();
    values.insert("started".into(), 1.into());
    values.insert("finished".into(), 0.into());
    values.insert("ansible_job_id".into(), job.job.clone().into());
    values.insert("results_file".into(), file.to_string_lossy().into());
    values.insert("changed".into(), true.into());
    Ok(values)
}

/// Gives the job everything it will ever need.
fn hand_over(
    call: &Call,
    starter: &mut Child,
    inbox: &Inbox,
    upstream: &dyn Upstream,
) -> Result<(), Failure> {
    let Some(mut stdin) = starter.stdin.take() else {
        return Err(Failure::new("failed to start a job: it has no channel"));
    };
    let gone = |error: &dyn std::fmt::Display| {
        Failure::new(format!("failed to hand a call to its job: {error}"))
    };
    let mut send = |frame: Frame| write_frame(&mut stdin, &frame).map_err(|error| gone(&error));
    let message = |message: &ToChild| Frame::message(message).map_err(|error| gone(&error));
    send(message(&ToChild::Call(Box::new(call.clone())))?)?;
    for reference in &call.contents {
        let mut ask = || upstream.need_content(call.id, &reference.sha256);
        let stopped = || inbox.is_cancelled();
        let content = inbox.content(&reference.sha256, &stopped, &mut ask)?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&reference.sha256, &mut sha256).map_err(|error| gone(&error))?;
        let (mut reader, mut left) = (content.reader(), content.size());
        loop {
            let mut data = Vec::new();
            (&mut reader)
                .take(CONTENT_PIECE_BYTES as u64)
                .read_to_end(&mut data)
                .map_err(|error| gone(&error))?;
            left = left.saturating_sub(data.len() as u64);
            let last = left == 0 || data.is_empty();
            send(Frame::Content { sha256, last, data })?;
            if last {
                break;
            }
        }
    }
    send(message(&ToChild::Bye)?)
}

/// The process in between: it starts the job and ends, so that the job has no parent here.
#[must_use]
pub fn start_orphan() -> ExitCode {
    match Command::new(OWN_FILE).arg("--async-run").spawn() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::from(EXIT_NOT_STARTED)
        }
    }
}

/// The job.
#[must_use]
pub fn run() -> ExitCode {
    super::session::ignore_hangup();
    match run_job() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Heard only before the start was confirmed.
            println!("{reason}");
            ExitCode::from(EXIT_NOT_STARTED)
        }
    }
}

fn run_job() -> Result<(), String> {
    setsid().map_err(|error| format!("no session of its own: {error}"))?;
    let mut input = channel::take_input().map_err(|error| error.to_string())?;
    let inbox = Inbox::new(state::spill_folders(None));
    inbox.fill(&mut input, FrameReader::default(), interpret);
    let Next::Call(mut call) = inbox.next() else { return Err("no call arrived".into()) };
    let Some(job) = call.asynchronous.take() else { return Err("the call is no job".into()) };
    let environment = Environment::new(&call.environment);
    let file = state_file(&folder(&environment), &job.job).map_err(|failure| failure.message)?;
    if let Some(folder) = file.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut values = running_state(&job.job, &file);
    write_state(&file, &values).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("started");
    // Whoever waits for the end of the channel (an SSH session) waits no longer.
    let _ = io::stdout().flush();
    channel::silence().map_err(|error| error.to_string())?;
    call.timeout_s = u32::try_from(job.limit_s).ok().map(f64::from).filter(|limit| *limit > 0.0);
    let result = execute(&call, &inbox, &Alone);
    let kept = if call.no_log { without_values(&result) } else { result };
    values = kept.result;
    values.insert("started".into(), 1.into());
    values.insert("finished".into(), 1.into());
    values.insert("ansible_job_id".into(), job.job.into());
    values.insert("results_file".into(), file.to_string_lossy().into());
    write_state(&file, &values).map_err(|error| error.to_string())
}

fn running_state(job: &str, file: &Path) -> Object {
    let mut values = Object::new();
    values.insert("started".into(), 1.into());
    values.insert("finished".into(), 0.into());
    values.insert("ansible_job_id".into(), job.into());
    values.insert("results_file".into(), file.to_string_lossy().into());
    let process = std::process::id();
    values.insert("_process".into(), process.into());
    values.insert("_process_began".into(), process_began(process).into());
    values.insert("_boot".into(), state::boot_id().into());
    values
}

fn write_state(file: &Path, values: &Object) -> io::Result<()> {
    durable::write(file, &serde_json::to_vec(values).map_err(io::Error::other)?, 0o600)
}

/// Whether the process that a running job's state names is still that process.
#[must_use]
pub fn is_alive(state: &Object) -> bool {
    let Some(process) = state.get("_process").and_then(Value::as_u64) else {
        // Written by Ansible's own wrapper: nothing is known.
        return true;
    };
    let Ok(process) = u32::try_from(process) else { return false };
    state.get("_boot").and_then(Value::as_str) == Some(state::boot_id().as_str())
        && state.get("_process_began").and_then(Value::as_u64) == process_began(process)
}

/// When a process began, in ticks since the boot: tells a process from a later one of its number.
fn process_began(process: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie is dead, whoever has yet to notice.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.nth(18)?.parse().ok()
}

fn interpret(payload: &[u8]) -> Arrival {
    match Frame::parse(payload) {
        Ok(ToChild::Call(call)) => Arrival::Call(call),
        Ok(ToChild::Bye) => Arrival::Bye,
        Ok(_) => Arrival::Unusable("an unexpected message".into()),
        Err(error) => Arrival::Unusable(error.to_string()),
    }
}

/// Nobody is there to ask; contents have come with the call, and the intent is recorded.
struct Alone;

impl Upstream for Alone {
    fn need_content(&self, _id: u64, sha256: &str) -> Result<(), Failure> {
        Err(Failure::new(format!("a detached call can't ask for the content {sha256}")))
    }

    fn record_intent(&self, _call: &Call) -> Result<(), Failure> {
        Ok(())
    }
}

/// What `async_status` returns for a state.
///
/// # Errors
/// The job's own failure.
pub fn outcome(mut state: Object) -> Result<crate::module::Outcome, Failure> {
    for name in ["_process", "_process_began", "_boot"] {
        state.shift_remove(name);
    }
    let changed = super::result::is_change(&state);
    if is_failure(&state) {
        let message = match state.shift_remove("msg") {
            Some(Value::String(message)) => message,
            _ => "the job failed".to_owned(),
        };
        state.shift_remove("failed");
        return Err(Failure { message, values: state });
    }
    state.shift_remove("changed");
    Ok(crate::module::Outcome { changed, values: state, ..Default::default() })
}

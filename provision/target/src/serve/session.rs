//! The session with the controller.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::geteuid;
use provision_protocol::frame::read_frame;
use provision_protocol::{
    Call, CallResult, Frame, FrameReader, FromHost, HostHello, Object, PROTOCOL_VERSION, REMEMBER,
    ToHost,
};

use super::channel::{self, Output};
use super::descend::Descendants;
use super::descendants::is_below;
use super::execute::{Upstream, execute};
use super::inbox::{Arrival, Inbox, Next};
use super::journal::Journal;
use super::lock::{Holder, Lock, try_lock};
use super::order::Failures;
use super::result::{excuse, failure_result, is_change, is_failure};
use super::{detach, state};
use crate::identity;
use crate::module::Failure;
use crate::names;

/// State of a run that a task of another run has begun.
const BELOW: &str = "below";
/// How often a lock that another helper holds is tried, in milliseconds.
const LOCK_TRY_MS: u64 = 50;

/// The controller speaks another protocol.
pub const EXIT_PROTOCOL: u8 = 66;
/// The host is locked by another run.
pub const EXIT_LOCKED: u8 = 67;
/// The helper can't work here (state folder, channel).
pub const EXIT_UNUSABLE: u8 = 68;
/// The connection was lost; results were kept.
pub const EXIT_LOST: u8 = 69;

/// How the helper is set up; for tests and for the helper of the controller's own machine.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// State folder instead of the usual one.
    pub state: Option<PathBuf>,
}

/// Speaks with the controller until it says good-bye or is gone.
pub fn serve(options: Options) -> ExitCode {
    ignore_hangup();
    match channel::take_over() {
        Ok((input, output)) => serve_on(input, output, options),
        Err(error) => {
            eprintln!("provision: failed to set up the channel: {error}");
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

/// Speaks over a channel of its own, as [`serve`] does over stdin and stdout. The engine's tests
/// run many helpers in one process this way.
pub fn serve_on(mut input: File, output: Output, options: Options) -> ExitCode {
    let mut reader = FrameReader::default();
    let hello = match greeting(&mut input, &mut reader) {
        Ok(Some(hello)) => hello,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            let _ = output.message(&FromHost::Fatal { message });
            return ExitCode::from(EXIT_PROTOCOL);
        }
    };
    let folder = match state_folder(options.state, &output) {
        Ok(folder) => folder,
        Err(message) => {
            let _ = output.message(&FromHost::Fatal { message });
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    let inbox = Arc::new(Inbox::new(state::spill_folders(Some(&folder))));
    let filling = Arc::clone(&inbox);
    // The thread ends with the process: nothing has to wait for a controller that says nothing.
    thread::spawn(move || filling.fill(&mut input, reader, interpret));
    Session::run(&hello, folder, output, &inbox)
}

/// A helper that is told to end with its connection could not finish the running call.
pub fn ignore_hangup() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGHUP);
    // Started programs get an empty mask again (std's `Command` sees to it).
    let _ = signals.thread_block();
}

/// The controller's first message.
struct Greeting {
    run: String,
    controller: String,
    lock_wait: Duration,
    exclusive: bool,
}

fn greeting(input: &mut File, reader: &mut FrameReader) -> Result<Option<Greeting>, String> {
    let frame = match read_frame(input, reader) {
        Ok(Some(frame)) => frame,
        Ok(None) => return Ok(None),
        Err(error) => return Err(format!("the first message can't be read: {error}")),
    };
    let Frame::Message(payload) = frame else {
        return Err("the first message is not a greeting but a content".into());
    };
    // Another version may have other fields: look at the number before anything else.
    let version = serde_json::from_slice::<serde_json::Value>(&payload)
        .ok()
        .and_then(|message| message.get("protocol").and_then(serde_json::Value::as_u64));
    if let Some(version) = version
        && version != u64::from(PROTOCOL_VERSION)
    {
        return Err(format!(
            "the controller speaks version {version} of the protocol, this helper version \
             {PROTOCOL_VERSION}; they must come from the same build"
        ));
    }
    match Frame::parse(&payload) {
        Ok(ToHost::Hello { run, controller, lock_wait_ms, exclusive, .. }) => {
            let lock_wait = Duration::from_millis(lock_wait_ms);
            Ok(Some(Greeting { run, controller, lock_wait, exclusive }))
        }
        Ok(_) => Err("the first message is not a greeting".into()),
        Err(error) => Err(format!("the first message can't be understood: {error}")),
    }
}

fn state_folder(given: Option<PathBuf>, output: &Output) -> Result<PathBuf, String> {
    let uid = geteuid().as_raw();
    if let Some(folder) = given {
        return match state::prepare(&folder, uid) {
            Ok(()) => Ok(folder),
            Err(error) => Err(format!("failed to use {}: {error}", folder.display())),
        };
    }
    match state::folder(uid) {
        Ok((folder, false)) => Ok(folder),
        Ok((folder, true)) => {
            let text = format!("the usual state folder can't be used; using {}", folder.display());
            let _ = output.message(&FromHost::Warning { text });
            Ok(folder)
        }
        Err(error) => Err(format!("failed to make a state folder: {error}")),
    }
}

fn interpret(payload: &[u8]) -> Arrival {
    match Frame::parse(payload) {
        Ok(ToHost::Call(call)) => Arrival::Call(call),
        Ok(ToHost::Password { request, password }) => Arrival::Password { request, password },
        Ok(ToHost::ContentRefused { sha256, reason, .. }) => Arrival::Refused { sha256, reason },
        Ok(ToHost::Cancel) => Arrival::Cancel,
        Ok(ToHost::Bye) => Arrival::Bye,
        Ok(ToHost::Hello { .. }) => Arrival::Unusable("a second greeting".into()),
        Err(error) => Arrival::Unusable(format!("a message can't be understood: {error}")),
    }
}

/// What calls of this session need.
pub struct Session<'a> {
    /// What arrives.
    pub inbox: &'a Inbox,
    /// Where everything goes.
    pub output: Output,
    journal: Mutex<Journal>,
    /// Handlers that the running call has made pending.
    new_handlers: Mutex<Vec<String>>,
    /// Whether a call in check mode would have changed something.
    foresees_changes: AtomicBool,
    spared: Mutex<Vec<u32>>,
    journal_failed: AtomicBool,
}

impl Session<'_> {
    fn run(hello: &Greeting, folder: PathBuf, output: Output, inbox: &Inbox) -> ExitCode {
        let (lock, folder) = if hello.exclusive {
            match wait_for_lock(hello, folder, &output, inbox) {
                Ok((lock, folder)) => (Some(lock), folder),
                Err(exit) => return exit,
            }
        } else {
            (None, folder)
        };
        let opened = if hello.exclusive {
            Journal::open(&folder, &hello.run)
                .map(|opened| (opened.journal, opened.warnings))
                .map_err(|error| error.to_string())
        } else {
            Ok((Journal::look(&folder, &hello.run), Vec::new()))
        };
        let (journal, warnings) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let message = format!("failed to {error}");
                let _ = output.message(&FromHost::Fatal { message });
                return ExitCode::from(EXIT_UNUSABLE);
            }
        };
        let session = Session {
            inbox,
            output,
            journal: Mutex::new(journal),
            new_handlers: Mutex::new(Vec::new()),
            foresees_changes: AtomicBool::new(false),
            spared: Mutex::new(Vec::new()),
            journal_failed: AtomicBool::new(false),
        };
        session.introduce(warnings);
        identity::tidy();
        let lost = session.work();
        drop(lock);
        if lost { ExitCode::from(EXIT_LOST) } else { ExitCode::SUCCESS }
    }

    fn introduce(&self, warnings: Vec<String>) {
        let uid = geteuid().as_raw();
        let user = names::user_by_id(uid).ok().flatten().map(|user| user.name);
        let hello = {
            let journal = self.journal();
            HostHello {
                protocol: PROTOCOL_VERSION,
                user: user.unwrap_or_else(|| uid.to_string()),
                uid,
                boot_id: state::boot_id(),
                pending_handlers: journal.pending(),
                kept_results: journal.kept_results(),
                last_started: journal.last_started(),
            }
        };
        self.send(&FromHost::Hello(Box::new(hello)));
        for text in warnings {
            self.send(&FromHost::Warning { text });
        }
    }

    /// Runs calls until there are no more; whether the connection was lost.
    fn work(&self) -> bool {
        let mut failures = Failures::default();
        let mut descendants = Descendants::default();
        loop {
            match self.inbox.next() {
                Next::Call(call) if failures.drops(&call) => {
                    self.inbox.end();
                    self.send(&FromHost::Dropped { id: call.id });
                }
                Next::Call(call) => {
                    let before = self.journal().last_started();
                    let result = self.run_call(&call, &mut descendants);
                    self.inbox.end();
                    if is_failure(&result.result) && self.inbox.is_starved() {
                        // The connection failed, not the call. It runs again after a
                        // reconnection; what it has done before it needed the content is done.
                        self.journal().take_back(before);
                        return self.end_lost(&mut descendants);
                    }
                    if is_failure(&result.result) {
                        failures.note(&call);
                    }
                    self.journal().keep(&result, call.no_log);
                    self.send(&FromHost::Result(Box::new(result)));
                }
                Next::Dropped(ids) => {
                    for id in ids {
                        self.send(&FromHost::Dropped { id });
                    }
                }
                Next::Finished => {
                    descendants.dismiss();
                    self.journal().discard_results();
                    return false;
                }
                Next::Lost(_) => return self.end_lost(&mut descendants),
            }
        }
    }

    /// The connection is lost: nothing more begins, and the results are kept.
    fn end_lost(&self, descendants: &mut Descendants) -> bool {
        descendants.dismiss();
        if let Err(error) = self.journal().store_results() {
            eprintln!("provision: failed to keep results: {error}");
        }
        true
    }

    fn run_call(&self, call: &Call, descendants: &mut Descendants) -> CallResult {
        if let Err(error) = self.journal().start(call.id)
            && !self.journal_failed.swap(true, Ordering::SeqCst)
        {
            // Only a reconnection would need it, and a full disk must not keep a play from
            // making room.
            let text = format!("started calls can't be recorded on this host: {error}");
            self.send(&FromHost::Warning { text });
        }
        self.send(&FromHost::Started { id: call.id });
        self.new_handlers().clear();
        let mut result = match &call.r#become {
            Some(wanted) => match descendants.run(call, wanted, self) {
                Ok(Some(result)) => result,
                Ok(None) => self.run_here(call),
                Err(failure) => failure_result(call, failure),
            },
            None => self.run_here(call),
        };
        if call.check {
            let foreseen = self.foresees_changes.load(Ordering::SeqCst);
            excuse(&mut result.result, foreseen);
            let foreseen = foreseen || is_change(&result.result);
            self.foresees_changes.store(foreseen, Ordering::SeqCst);
        }
        if let Err(failure) = self.settle(call, &result) {
            let duration_us = result.duration_us;
            result = failure_result(call, failure);
            result.duration_us = duration_us;
            result.result.insert("changed".into(), true.into());
        }
        result
    }

    fn run_here(&self, call: &Call) -> CallResult {
        if call.module == REMEMBER {
            let mut result = Object::new();
            result.insert("changed".into(), (!call.notify.is_empty()).into());
            return CallResult { id: call.id, result, duration_us: 0 };
        }
        match &call.asynchronous {
            Some(job) => detach::start(call, job, self.inbox, self),
            None => execute(call, self.inbox, self),
        }
    }

    /// Handlers after a call: remembered if it changed something, forgotten if it didn't or if it
    /// was their completion.
    fn settle(&self, call: &Call, result: &CallResult) -> Result<(), Failure> {
        if call.check {
            return Ok(());
        }
        let (failed, changed) = (is_failure(&result.result), is_change(&result.result));
        let mut journal = self.journal();
        if changed && !failed && !call.notify.is_empty() {
            journal.notify(&call.notify)?;
        }
        let withdrawn = std::mem::take(&mut *self.new_handlers());
        let mut forgotten = if !changed && !failed { withdrawn } else { Vec::new() };
        if !failed {
            forgotten.extend(call.completes.iter().cloned());
        }
        journal.forget(&forgotten).map_err(|error| {
            Failure::new(format!("failed to record that handlers are done: {error}"))
        })
    }

    /// Processes that belong to the helper and outlive the running call.
    pub fn spare(&self, processes: Vec<u32>) {
        *self.spared.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }

    /// Sends what can be sent; a lost connection is noticed by the reading side.
    pub fn send(&self, message: &FromHost) {
        let _ = self.output.message(message);
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_handlers(&self) -> MutexGuard<'_, Vec<String>> {
        self.new_handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream for Session<'_> {
    fn need_content(&self, id: u64, sha256: &str) -> Result<(), Failure> {
        let message = FromHost::NeedContent { id, sha256: sha256.to_owned() };
        self.output
            .message(&message)
            .map_err(|error| Failure::new(format!("failed to ask for a content: {error}")))
    }

    fn record_intent(&self, call: &Call) -> Result<(), Failure> {
        if call.notify.is_empty() {
            return Ok(());
        }
        let new = self.journal().notify(&call.notify)?;
        self.new_handlers().extend(new);
        Ok(())
    }

    fn spared_processes(&self) -> Vec<u32> {
        self.spared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Waits for another helper's lock: as long as the controller says, and as long as it takes if
/// the other helper serves an earlier connection of the same run. A helper that is part of what the
/// other one runs (a task that calls the program on this machine) can't wait for it: the one above
/// does nothing else meanwhile. It has a lock and a journal of its own; the answer is both.
fn wait_for_lock(
    hello: &Greeting,
    mut folder: PathBuf,
    output: &Output,
    inbox: &Inbox,
) -> Result<(Lock, PathBuf), ExitCode> {
    let mine = Holder::now(&hello.run, &hello.controller);
    let began = Instant::now();
    let mut warned = false;
    loop {
        let holder = match try_lock(&folder, &mine) {
            Ok(Ok(lock)) => return Ok((lock, folder)),
            Ok(Err(holder)) if is_below(holder.process) => {
                folder.push(BELOW);
                if let Err(error) = state::prepare(&folder, geteuid().as_raw()) {
                    let message = format!("failed to use {}: {error}", folder.display());
                    let _ = output.message(&FromHost::Fatal { message });
                    return Err(ExitCode::from(EXIT_UNUSABLE));
                }
                continue;
            }
            Ok(Err(holder)) => holder,
            Err(error) => {
                let message = format!("failed to lock this host: {error}");
                let _ = output.message(&FromHost::Fatal { message });
                return Err(ExitCode::from(EXIT_UNUSABLE));
            }
        };
        if inbox.is_lost() {
            return Err(ExitCode::from(EXIT_LOST));
        }
        let is_ours = holder.run == hello.run;
        if !is_ours && began.elapsed() >= hello.lock_wait {
            let Holder { run, controller, since_s, .. } = holder;
            let _ = output.message(&FromHost::Locked { run, controller, since_s });
            return Err(ExitCode::from(EXIT_LOCKED));
        }
        if is_ours && !warned {
            warned = true;
            let text = "waiting until the lost connection's running call has ended".to_owned();
            let _ = output.message(&FromHost::Warning { text });
        }
        inbox.pause(Duration::from_millis(LOCK_TRY_MS));
    }
}

//! Running one call in this process: limits, contents, the intent, the result.

use std::io::Read;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use provision_protocol::{Call, CallResult};

use super::descendants;
use super::inbox::Inbox;
use super::result::{Stop, result_object};
use crate::module::{Contents, Context, Failure, Outcome};
use crate::modules;

/// How long a module has to notice that it is to stop before what it started is killed, in
/// milliseconds. Modules end their programs politely on their own within this time.
const STOP_GRACE_MS: u64 = 5000;

/// How often the watching thread looks at a request to stop, in milliseconds.
const WATCH_MS: u64 = 250;

/// The side that a call came from.
pub trait Upstream: Sync {
    /// Asks for a content that the call names.
    ///
    /// # Errors
    /// When the channel is gone.
    fn need_content(&self, id: u64, sha256: &str) -> Result<(), Failure>;

    /// Makes durable that this call begins to change the host.
    ///
    /// # Errors
    /// When that is impossible: nothing must be changed then.
    fn record_intent(&self, call: &Call) -> Result<(), Failure>;

    /// Processes that belong to the helper itself and outlive the call.
    fn spared_processes(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// Runs a call to its end.
pub fn execute(call: &Call, inbox: &Inbox, upstream: &dyn Upstream) -> CallResult {
    let began = Instant::now();
    let limit = Limit::new(call, began);
    let stopped = || inbox.is_cancelled() || limit.is_over();
    let mut contents = NamedContents { call, inbox, upstream, stopped: &stopped };
    let mut recorded = false;
    let mut record_intent = || {
        if !recorded && !call.check {
            upstream.record_intent(call)?;
            recorded = true;
        }
        Ok(())
    };
    let watch = Watch::default();
    let ended = thread::scope(|scope| {
        scope.spawn(|| {
            watch.kill_stragglers(
                &|| inbox.is_cancelled() || limit.is_over(),
                &upstream.spared_processes(),
            );
        });
        let ended = call_module(call, &mut contents, &mut record_intent, &stopped);
        watch.end();
        ended
    });
    let stop = if inbox.is_cancelled() { Some(Stop::Cancelled) } else { limit.passed() };
    // A module that came to its end nevertheless has a result worth more than the stop.
    let stop = if ended.is_ok() { None } else { stop };
    CallResult {
        id: call.id,
        result: result_object(call, ended, stop),
        duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    }
}

/// Finds and calls the module.
///
/// # Errors
/// The module's.
pub fn call_module(
    call: &Call,
    contents: &mut dyn Contents,
    record_intent: &mut dyn FnMut() -> Result<(), Failure>,
    stopped: &dyn Fn() -> bool,
) -> Result<Outcome, Failure> {
    let Some(module) = modules::find(&call.module) else {
        return Err(Failure::new(format!("this helper has no module `{}`", call.module)));
    };
    let mut context = Context {
        check: call.check,
        diff: call.diff,
        environment: call.environment.clone(),
        contents,
        record_intent,
        stopped,
    };
    module(&call.arguments, &mut context)
}

/// The time that a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    end: Option<Instant>,
    seconds: f64,
}

impl Limit {
    /// From now on.
    #[must_use]
    pub fn new(call: &Call, began: Instant) -> Self {
        let seconds = call.timeout_s.filter(|seconds| *seconds > 0.0).unwrap_or_default();
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
        Limit { end: time.and_then(|time| began.checked_add(time)), seconds }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    fn passed(&self) -> Option<Stop> {
        self.is_over().then_some(Stop::TimedOut { after_s: self.seconds })
    }
}

/// Only what the call names.
struct NamedContents<'a> {
    call: &'a Call,
    inbox: &'a Inbox,
    upstream: &'a dyn Upstream,
    stopped: &'a dyn Fn() -> bool,
}

impl Contents for NamedContents<'_> {
    fn open(&mut self, sha256: &str) -> Result<Box<dyn Read + '_>, Failure> {
        let Some(reference) = self.call.contents.iter().find(|content| content.sha256 == sha256)
        else {
            return Err(Failure::new(format!(
                "the call does not name the content {sha256}, so it can't be asked for"
            )));
        };
        let mut ask = || self.upstream.need_content(self.call.id, sha256);
        let content = self.inbox.content(sha256, self.stopped, &mut ask)?;
        if content.size() != reference.size {
            return Err(Failure::new(format!(
                "the content {sha256} has {} bytes, not the {} that were announced",
                content.size(),
                reference.size
            )));
        }
        Ok(Box::new(content.reader()))
    }
}

/// A thread that kills what a module started and doesn't end when it is asked to.
#[derive(Debug, Default)]
pub struct Watch {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Watch {
    /// The module has returned.
    pub fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for the end; kills descendants of this process, except the spared ones and theirs,
    /// when the module was asked to stop and doesn't.
    pub fn kill_stragglers(&self, stopped: &dyn Fn() -> bool, spared: &[u32]) {
        let mut asked: Option<Instant> = None;
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let time = Duration::from_millis(WATCH_MS);
            ended =
                self.changed.wait_timeout(ended, time).unwrap_or_else(PoisonError::into_inner).0;
            if *ended || !stopped() {
                continue;
            }
            let since = *asked.get_or_insert_with(Instant::now);
            if since.elapsed() >= Duration::from_millis(STOP_GRACE_MS) {
                descendants::kill_all(spared);
            }
        }
    }
}

//! What has arrived and waits for its turn. One thread reads the channel into it, another one
//! runs the calls; a call can be cancelled and fed with contents while it runs.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use provision_protocol::frame::read_frame;
use provision_protocol::{Call, Frame, FrameReader};

use super::store::{Content, Sha256Bytes, Store};
use crate::module::Failure;

/// Arguments of all queued calls together, in bytes of their frames. Whoever sends more than the
/// helper could ever keep up with is broken.
const QUEUE_LIMIT_BYTES: usize = 256 << 20;

/// How long waiting goes on before a request to stop is looked at, in milliseconds.
const STOP_CHECK_MS: u64 = 50;

/// What one incoming message asks of the inbox.
#[derive(Debug)]
pub enum Arrival {
    /// A call, behind the others.
    Call(Box<Call>),
    /// No content with this digest will come.
    Refused {
        /// Digest in hexadecimal.
        sha256: String,
        /// Why.
        reason: String,
    },
    /// An answer to a question for a password.
    Password {
        /// The question.
        request: u64,
        /// The answer.
        password: Option<String>,
    },
    /// The intent that was reported is durable, or couldn't be made so.
    Intent(Result<(), String>),
    /// Stop and drop everything.
    Cancel,
    /// Nothing more will come.
    Bye,
    /// The channel can't be used any more.
    Unusable(String),
}

/// What to do next.
#[derive(Debug)]
pub enum Next {
    /// Run this.
    Call(Box<Call>),
    /// These were dropped by a cancellation.
    Dropped(Vec<u64>),
    /// All is done and nothing more will come.
    Finished,
    /// The connection is lost.
    Lost(String),
}

/// See the module.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(Box<Call>, usize)>,
    queued_bytes: usize,
    running: Option<BTreeMap<Sha256Bytes, u64>>,
    dropped: Vec<u64>,
    contents: Store,
    refusals: BTreeMap<String, String>,
    passwords: BTreeMap<u64, Option<String>>,
    intent: Option<Result<(), String>>,
    finished: bool,
    lost: Option<String>,
    starved: bool,
}

impl Inbox {
    /// An empty inbox whose large contents go to these folders.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        let state = State { contents: Store::new(folders), ..State::default() };
        Inbox { state: Mutex::new(state), changed: Condvar::new(), stop: AtomicBool::new(false) }
    }

    /// Reads the channel until it ends.
    pub fn fill(
        &self,
        channel: &mut File,
        mut reader: FrameReader,
        interpret: impl Fn(&[u8]) -> Arrival,
    ) {
        loop {
            let frame = match read_frame(channel, &mut reader) {
                Ok(Some(frame)) => frame,
                Ok(None) => return self.put(Arrival::Unusable("the channel ended".into()), 0),
                Err(error) => return self.put(Arrival::Unusable(describe(&error)), 0),
            };
            match frame {
                Frame::Message(payload) => {
                    let arrival = interpret(&payload);
                    let unusable = matches!(arrival, Arrival::Unusable(_));
                    self.put(arrival, payload.len());
                    if unusable {
                        return;
                    }
                }
                Frame::Content { sha256, last, data } => self.put_content(sha256, last, &data),
            }
        }
    }

    fn put(&self, arrival: Arrival, size: usize) {
        let mut state = self.lock();
        match arrival {
            Arrival::Call(call) => {
                state.queued_bytes += size;
                if state.queued_bytes > QUEUE_LIMIT_BYTES {
                    state.lost = Some("more calls were sent than fit into memory".into());
                } else if state.lost.is_none() {
                    state.queue.push_back((call, size));
                }
            }
            Arrival::Refused { sha256, reason } => {
                state.refusals.insert(sha256, reason);
            }
            Arrival::Password { request, password } => {
                state.passwords.insert(request, password);
            }
            Arrival::Intent(result) => state.intent = Some(result),
            Arrival::Cancel => {
                let dropped: Vec<u64> = state.queue.drain(..).map(|(call, _)| call.id).collect();
                state.dropped.extend(dropped);
                state.queued_bytes = 0;
                if state.running.is_some() {
                    self.stop.store(true, Ordering::SeqCst);
                }
            }
            Arrival::Bye => state.finished = true,
            Arrival::Unusable(reason) => {
                state.lost.get_or_insert(reason);
            }
        }
        self.changed.notify_all();
    }

    fn put_content(&self, sha256: Sha256Bytes, last: bool, data: &[u8]) {
        let mut state = self.lock();
        let announced = state.announced_size(&sha256);
        let state = &mut *state;
        state.contents.take(sha256, last, data, announced);
        let (queue, running) = (&state.queue, &state.running);
        state.contents.make_room(|sha256| is_named(queue, running.as_ref(), sha256));
        self.changed.notify_all();
    }

    /// Waits for something to do. A call that is given out is running until [`Inbox::end`].
    pub fn next(&self) -> Next {
        let mut state = self.lock();
        loop {
            if !state.dropped.is_empty() {
                return Next::Dropped(std::mem::take(&mut state.dropped));
            }
            if let Some(reason) = state.lost.clone()
                && !state.finished
            {
                return Next::Lost(reason);
            }
            if let Some((call, size)) = state.queue.pop_front() {
                state.queued_bytes = state.queued_bytes.saturating_sub(size);
                state.running = Some(sizes(&call));
                self.stop.store(false, Ordering::SeqCst);
                return Next::Call(call);
            }
            if state.finished || state.lost.is_some() {
                return Next::Finished;
            }
            state = self.wait(state);
        }
    }

    /// The running call has ended; its contents are kept only if a queued call names them too.
    pub fn end(&self) {
        let mut state = self.lock();
        let state = &mut *state;
        for sha256 in state.running.take().unwrap_or_default().keys() {
            if !is_named(&state.queue, None, sha256) {
                state.contents.forget(sha256);
            }
            state.refusals.remove(&hex::encode(sha256));
        }
        state.intent = None;
    }

    /// Whether the running call was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether a call failed only because a content of it could not come any more.
    #[must_use]
    pub fn is_starved(&self) -> bool {
        self.lock().starved
    }

    /// Whether the connection is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let state = self.lock();
        state.lost.is_some() && !state.finished
    }

    /// The content if it is whole, otherwise what `ask` has the other side send.
    ///
    /// # Errors
    /// When it is refused, unusable, or can't come any more.
    pub fn content(
        &self,
        sha256: &str,
        stopped: &dyn Fn() -> bool,
        ask: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Content, Failure> {
        let key = parse_digest(sha256)?;
        let mut asked = false;
        let mut state = self.lock();
        loop {
            match state.contents.get(&key) {
                Ok(Some(content)) => return Ok(content),
                Ok(None) => {}
                Err(error) => return Err(Failure::new(error.to_string())),
            }
            if let Some(reason) = state.refusals.get(sha256) {
                return Err(Failure::new(format!(
                    "the controller does not send the content {sha256}: {reason}"
                )));
            }
            if let Some(reason) = state.lost.clone() {
                state.starved = true;
                return Err(Failure::new(format!(
                    "the content {sha256} can't come any more: {reason}"
                )));
            }
            if stopped() {
                return Err(Failure::new("stopped while waiting for a content"));
            }
            if !asked && !state.contents.is_arriving(&key) {
                asked = true;
                drop(state);
                let asked = ask();
                state = self.lock();
                state.starved |= asked.is_err();
                asked?;
                continue;
            }
            state = self.wait_shortly(state);
        }
    }

    /// Waits for the answer to a question for a password; `None`: there is none.
    ///
    /// # Errors
    /// When it can't come any more.
    pub fn password(
        &self,
        request: u64,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<String>, Failure> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = state.passwords.remove(&request) {
                return Ok(answer);
            }
            if state.lost.is_some() || stopped() {
                return Err(Failure::new("stopped while waiting for a password"));
            }
            state = self.wait_shortly(state);
        }
    }

    /// Waits for the answer to a reported intent.
    ///
    /// # Errors
    /// When the intent could not be made durable.
    pub fn intent(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = state.intent.take() {
                return answer.map_err(Failure::new);
            }
            if let Some(reason) = &state.lost {
                return Err(Failure::new(format!("failed to record the change: {reason}")));
            }
            state = self.wait(state);
        }
    }

    /// Waits a short time, or less if something arrives.
    pub fn pause(&self, time: Duration) {
        let state = self.lock();
        let until = Instant::now() + time;
        let left = until.saturating_duration_since(Instant::now());
        drop(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_shortly<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let time = Duration::from_millis(STOP_CHECK_MS);
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    /// The largest size that a queued or running call gives this content.
    fn announced_size(&self, sha256: &Sha256Bytes) -> Option<u64> {
        let running = self.running.as_ref().and_then(|running| running.get(sha256).copied());
        let digest = hex::encode(sha256);
        let queued = self
            .queue
            .iter()
            .flat_map(|(call, _)| &call.contents)
            .filter(|reference| reference.sha256 == digest)
            .map(|reference| reference.size)
            .max();
        running.max(queued)
    }
}

fn is_named(
    queue: &VecDeque<(Box<Call>, usize)>,
    running: Option<&BTreeMap<Sha256Bytes, u64>>,
    sha256: &Sha256Bytes,
) -> bool {
    if running.is_some_and(|running| running.contains_key(sha256)) {
        return true;
    }
    let digest = hex::encode(sha256);
    queue.iter().any(|(call, _)| call.contents.iter().any(|content| content.sha256 == digest))
}

fn sizes(call: &Call) -> BTreeMap<Sha256Bytes, u64> {
    call.contents
        .iter()
        .filter_map(|content| Some((parse_digest(&content.sha256).ok()?, content.size)))
        .collect()
}

fn parse_digest(sha256: &str) -> Result<Sha256Bytes, Failure> {
    let mut key = Sha256Bytes::default();
    hex::decode_to_slice(sha256, &mut key)
        .map_err(|_| Failure::new(format!("`{sha256}` is not a SHA-256 digest")))?;
    Ok(key)
}

/// An error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

//! Sessions: one helper on one host, reached once and kept.
//!
//! A session is a task that owns the channel. It sends calls in the order given, answers what the
//! helper asks for (contents and passwords it may have, nothing else), and when the connection
//! breaks it reconnects once and fetches what the helper kept. While nothing is under way a
//! connection may end: the next call opens another. Modules that are about the connection itself
//! are carried out here (`session/errand.rs`).

mod errand;
mod inbox;
mod reboot;
mod wait_for_connection;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use provision_protocol::{
    Call, CallResult, Frame, FrameReader, FromHost, HostHello, PROTOCOL_VERSION, ToHost,
};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::channel::{self, Channel, Dial, Endpoint, Trouble};
use crate::contents::{Ledger, Writer};
use crate::play::Arrival;
use crate::prepare::Content;
use crate::variables::HostVariables;
use inbox::Inbox;

/// Identifies a session: a host, reached over SSH or as this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    host: Arc<str>,
    local: bool,
}

impl SessionKey {
    /// This machine, on behalf of a host.
    #[must_use]
    pub fn local(_host: &str) -> Self {
        SessionKey { host: "localhost".into(), local: true }
    }

    /// A host over SSH.
    #[must_use]
    pub fn remote(host: &str) -> Self {
        SessionKey { host: host.into(), local: false }
    }

    /// Name of the host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// What a session tells.
#[derive(Debug)]
pub enum SessionEvent {
    /// The helper answered.
    Connected {
        /// Its introduction.
        hello: Box<HostHello>,
        /// Time since the connection was begun.
        duration_ms: u64,
        /// Bytes of the helper that had to be sent.
        uploaded_bytes: u64,
    },
    /// A call begins.
    Started(u64),
    /// A call ended.
    Result(Box<CallResult>),
    /// A call was dropped behind a failure.
    Dropped(u64),
    /// Something to know.
    Warning(String),
    /// The session is over for good.
    Lost {
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// What all sessions of a run share.
pub struct SessionSettings {
    /// Connects.
    pub dial: Arc<dyn Dial>,
    /// Name of the run.
    pub run: String,
    /// Who runs it, for others who find the host locked.
    pub controller: String,
    /// How long to wait for another run's lock.
    pub lock_wait_ms: u64,
    /// Whether this run may change hosts.
    pub exclusive: bool,
    /// Turns a host's variables into the way to it.
    pub endpoint: Box<FindEndpoint>,
}

/// Turns a host's variables into the way to it; the error is one line for people.
pub type FindEndpoint = dyn Fn(&HostVariables) -> Result<Endpoint, String> + Send + Sync;

enum Order {
    Call(Box<Call>, Vec<Content>),
    Cancel,
    /// Say goodbye: the next call logs in anew.
    HangUp,
}

struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    next_id: u64,
    next_task: u64,
    generation: u32,
    connected: bool,
    lost: Option<String>,
}

/// All sessions of a run.
pub struct Pool {
    settings: Arc<SessionSettings>,
    sessions: HashMap<SessionKey, Handle>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    tasks: tokio::task::JoinSet<()>,
}

impl Pool {
    /// A pool without sessions yet.
    #[must_use]
    pub fn new(settings: Arc<SessionSettings>, arrivals: mpsc::UnboundedSender<Arrival>) -> Self {
        Pool { settings, sessions: HashMap::new(), arrivals, tasks: tokio::task::JoinSet::new() }
    }

    /// The session of a host, as its variables say.
    #[must_use]
    pub fn key_of(&self, host: &HostVariables) -> SessionKey {
        match (self.settings.endpoint)(host) {
            Ok(Endpoint::Local { .. }) => SessionKey::local(&host.name),
            _ => SessionKey::remote(&host.name),
        }
    }

    /// The way to a host.
    ///
    /// # Errors
    /// When the host's variables don't say how to reach it.
    pub fn endpoint(&self, host: &HostVariables) -> Result<Endpoint, String> {
        (self.settings.endpoint)(host)
    }

    /// Opens a session unless it is open; whether its helper has answered already.
    ///
    /// # Errors
    /// When the host's variables don't say how to reach it, or it was lost.
    pub fn open(&mut self, key: &SessionKey, host: &HostVariables) -> Result<bool, String> {
        if let Some(handle) = self.sessions.get(key) {
            return match &handle.lost {
                Some(message) => Err(message.clone()),
                None => Ok(handle.connected),
            };
        }
        let endpoint = match key.local {
            true => Endpoint::Local { become_password: None },
            false => (self.settings.endpoint)(host)?,
        };
        let (orders, inbox) = mpsc::unbounded_channel();
        let session = Session {
            key: key.clone(),
            settings: self.settings.clone(),
            endpoint,
            arrivals: self.arrivals.clone(),
            outstanding: BTreeMap::new(),
            ledger: Ledger::default(),
            failure: None,
            cancelled: false,
            introduced: false,
            held: None,
        };
        self.tasks.spawn(session.run(Inbox::new(inbox)));
        let handle = Handle {
            orders,
            next_id: 1,
            next_task: 1,
            generation: 0,
            connected: false,
            lost: None,
        };
        self.sessions.insert(key.clone(), handle);
        Ok(false)
    }

    /// Notes what a session told.
    pub fn note(&mut self, key: &SessionKey, event: &SessionEvent) {
        if let Some(handle) = self.sessions.get_mut(key) {
            match event {
                SessionEvent::Connected { .. } => handle.connected = true,
                SessionEvent::Lost { message, .. } => handle.lost = Some(message.clone()),
                _ => {}
            }
        }
    }

    /// Forgets a session that was lost, so that it can be opened again.
    pub fn forget_lost(&mut self, key: &SessionKey) {
        if self.sessions.get(key).is_some_and(|handle| handle.lost.is_some()) {
            self.sessions.remove(key);
        }
    }

    /// A task number for calls on this session.
    pub fn next_task(&mut self, key: &SessionKey) -> u64 {
        self.sessions.get_mut(key).map_or(0, |handle| {
            handle.next_task += 1;
            handle.next_task
        })
    }

    /// What was queued behind a failure is dropped; what comes now is not.
    pub fn next_generation(&mut self, key: &SessionKey) {
        if let Some(handle) = self.sessions.get_mut(key) {
            handle.generation += 1;
        }
    }

    /// Sends a call; its id.
    pub fn send(&mut self, key: &SessionKey, mut call: Call, contents: Vec<Content>) -> u64 {
        let Some(handle) = self.sessions.get_mut(key) else { return 0 };
        let id = handle.next_id;
        handle.next_id += errand::ids_of(&call.module);
        call.id = id;
        call.generation = handle.generation;
        // A session that is gone tells so by itself.
        let _ = handle.orders.send(Order::Call(Box::new(call), contents));
        id
    }

    /// Ends a connection on which nothing is under way; the next call logs in anew, and sees what
    /// a login sees: groups of the user, its environment. This machine has no login.
    pub fn hang_up(&mut self, key: &SessionKey) {
        if let Some(handle) = self.sessions.get(key).filter(|_| !key.local) {
            let _ = handle.orders.send(Order::HangUp);
        }
    }

    /// Asks all helpers to stop at once.
    pub fn cancel_all(&mut self) {
        for handle in self.sessions.values() {
            let _ = handle.orders.send(Order::Cancel);
        }
    }

    /// Says goodbye to all helpers and waits until they are gone, within reason.
    pub async fn close(mut self) {
        self.sessions.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // A host that no longer answers must not keep the operator waiting.
        let _ = tokio::time::timeout(GOODBYE, all).await;
    }
}

/// How long to wait for helpers to finish after goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

struct Session {
    key: SessionKey,
    settings: Arc<SessionSettings>,
    endpoint: Endpoint,
    arrivals: mpsc::UnboundedSender<Arrival>,
    outstanding: BTreeMap<u64, (Call, Vec<Content>)>,
    ledger: Ledger,
    /// The failure behind which the helper drops calls: generation and task.
    failure: Option<(u32, u64)>,
    cancelled: bool,
    /// Whether [`SessionEvent::Connected`] was told.
    introduced: bool,
    /// An errand that waits until the calls before it have ended.
    held: Option<Box<Call>>,
}

/// A conversation, and what the host's kernel called this boot when it began.
struct Connection {
    talk: Conversation,
    boot_id: String,
}

/// Why a conversation ended.
enum Ending {
    /// Goodbye was said.
    Done,
    /// A call is to be carried out by the session itself; nothing else is under way.
    Errand(Box<Call>),
    /// There is no connection, and a call needs one.
    Wanted,
    /// The connection is to be made anew when a call needs one.
    HungUp,
    /// The connection broke.
    Broken(String),
    /// There is no point in trying again.
    Refused { message: String, hint: Option<String> },
}

struct Conversation {
    writer: Writer,
    output: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    reader: FrameReader,
    buffer: Vec<u8>,
    /// Keeps the connection; errors of the helper's start.
    channel: channel::Keeper,
}

impl Conversation {
    async fn next(&mut self) -> Result<Option<Frame>, String> {
        loop {
            if let Some(frame) = self.reader.next_frame().map_err(|error| error.to_string())? {
                return Ok(Some(frame));
            }
            let count = self
                .output
                .read(&mut self.buffer)
                .await
                .map_err(|error| format!("the connection broke: {error}"))?;
            if count == 0 {
                return Ok(None);
            }
            self.reader.push(self.buffer.get(..count).unwrap_or_default());
        }
    }
}

impl Session {
    fn tell(&self, event: SessionEvent) {
        // The run may be over.
        let _ = self.arrivals.send(Arrival::Session(self.key.clone(), event));
    }

    async fn run(mut self, mut inbox: Inbox) {
        let mut connection = match self.connect().await {
            Ok(connection) => Some(connection),
            // Whoever waits for the host is patient.
            Err(trouble) => match inbox.waiting() {
                Some(call) => self.wait_first(call, &mut inbox).await,
                None => return self.lose(trouble),
            },
        };
        let mut reconnected = false;
        loop {
            let ending = match &mut connection {
                Some(connection) => self.converse(&mut connection.talk, &mut inbox).await,
                None => self.idle(&mut inbox).await,
            };
            match ending {
                Ending::Done => return,
                Ending::HungUp => Self::part(connection.take()).await,
                Ending::Errand(call) => self.run_errand(*call, &mut connection, &mut inbox).await,
                Ending::Wanted => match self.connect().await {
                    Ok(next) => connection = Some(next),
                    Err(trouble) => return self.lose(trouble),
                },
                Ending::Refused { message, hint } => return self.lose((message, hint)),
                Ending::Broken(reason) if self.outstanding.is_empty() => {
                    let text = format!("{reason}; connecting again when there is something to do");
                    self.tell(SessionEvent::Warning(text));
                    connection = None;
                }
                Ending::Broken(reason) if reconnected => return self.lose((reason, None)),
                Ending::Broken(reason) => {
                    reconnected = true;
                    self.tell(SessionEvent::Warning(format!("{reason}; connecting again")));
                    match self.reconnect(connection.take(), &reason).await {
                        Ok(next) => connection = Some(next),
                        Err(trouble) => return self.lose(trouble),
                    }
                }
            }
        }
    }

    /// Says goodbye and waits until the helper has gone: it holds the host's lock so long.
    async fn part(connection: Option<Connection>) {
        let Some(mut there) = connection else { return };
        there.talk.writer.message(&ToHost::Bye);
        there.talk.writer.close();
        let gone = async { while let Ok(Some(_)) = there.talk.next().await {} };
        let _ = tokio::time::timeout(GOODBYE, gone).await;
    }

    fn lose(&self, (message, hint): Trouble) {
        self.tell(SessionEvent::Lost { message, hint });
    }

    /// Connects while nothing is under way.
    async fn connect(&mut self) -> Result<Connection, Trouble> {
        let begun = Instant::now();
        let (talk, hello, uploaded_bytes) = self.begin().await?;
        let boot_id = hello.boot_id.clone();
        if !std::mem::replace(&mut self.introduced, true) {
            let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let hello = Box::new(hello);
            self.tell(SessionEvent::Connected { hello, duration_ms, uploaded_bytes });
        }
        Ok(Connection { talk, boot_id })
    }

    /// Connects after a connection broke, and fetches what the helper kept.
    async fn reconnect(
        &mut self,
        broken: Option<Connection>,
        reason: &str,
    ) -> Result<Connection, Trouble> {
        let boot_id = broken.map(|broken| broken.boot_id).unwrap_or_default();
        // The other helper has seen the end by now, or it would keep the lock for ever.
        match self.begin().await {
            Ok((mut talk, hello, _)) if hello.boot_id == boot_id => {
                self.catch_up(&mut talk, &hello).map_err(|message| (message, None))?;
                Ok(Connection { talk, boot_id })
            }
            Ok(_) => Err((
                "the host was restarted during the run".to_owned(),
                Some("run it again: what is done stays done".to_owned()),
            )),
            Err((message, hint)) => Err((format!("{reason}; then: {message}"), hint)),
        }
    }

    /// Connects, starts the helper and greets it.
    async fn begin(&mut self) -> Result<(Conversation, HostHello, u64), Trouble> {
        let hello = ToHost::Hello {
            protocol: PROTOCOL_VERSION,
            run: self.settings.run.clone(),
            controller: self.settings.controller.clone(),
            lock_wait_ms: self.settings.lock_wait_ms,
            exclusive: self.settings.exclusive,
        };
        let hello = Frame::message(&hello).map_err(|error| (error.to_string(), None))?;
        let Channel { input, output, reader, keeper, uploaded_bytes } =
            channel::open(self.settings.dial.as_ref(), &self.endpoint, hello.encode()).await?;
        let mut conversation = Conversation {
            writer: Writer::start(input),
            output,
            reader,
            buffer: vec![0; 64 << 10],
            channel: keeper,
        };
        loop {
            let frame = match conversation.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    let said = conversation.channel.last_words().await;
                    return Err((format!("the helper ended before it answered{said}"), None));
                }
                Err(message) => {
                    let said = conversation.channel.last_words().await;
                    return Err((format!("{message}{said}"), None));
                }
            };
            let Frame::Message(payload) = frame else { continue };
            match Frame::parse::<FromHost>(&payload) {
                Ok(FromHost::Hello(hello)) => return Ok((conversation, *hello, uploaded_bytes)),
                Ok(FromHost::Locked { run, controller, since_s }) => {
                    let age = age(since_s);
                    return Err((
                        format!("the host is locked by run {run} of {controller}, since {age}"),
                        Some("wait for that run, or use --lock-wait".to_owned()),
                    ));
                }
                Ok(FromHost::Fatal { message }) => return Err((message, None)),
                Ok(FromHost::Warning { text }) => self.tell(SessionEvent::Warning(text)),
                Ok(_) => {}
                Err(error) => return Err((format!("the helper talks nonsense: {error}"), None)),
            }
        }
    }

    /// After a reconnection: results that were kept, then what the helper has not seen. The new
    /// helper knows nothing of failures that the old one has told.
    fn catch_up(&mut self, talk: &mut Conversation, hello: &HostHello) -> Result<(), String> {
        for result in &hello.kept_results {
            if let Some((call, _)) = self.outstanding.remove(&result.id) {
                self.note_failure(&call, result);
                self.tell(SessionEvent::Result(Box::new(result.clone())));
            }
        }
        let started = hello.last_started.unwrap_or(0);
        let calls: Vec<u64> = self.outstanding.keys().copied().collect();
        for id in calls {
            let Some((call, contents)) = self.outstanding.get(&id).cloned() else { continue };
            if self.is_dropped(&call) {
                self.outstanding.remove(&id);
                self.ledger.forget(id);
                self.tell(SessionEvent::Dropped(id));
            } else if id <= started {
                return Err(format!(
                    "the connection broke during `{}` and the host did not keep its result",
                    call.module
                ));
            } else {
                self.put(talk, &call, &contents);
            }
        }
        Ok(())
    }

    /// Remembers a failure as the helper does: it drops later tasks of the same generation.
    fn note_failure(&mut self, call: &Call, result: &CallResult) {
        let failed = result.result.get("failed").and_then(serde_json::Value::as_bool);
        if failed != Some(true) || call.ignore_failure {
            return;
        }
        self.failure = Some(match self.failure {
            Some((generation, task)) if generation == call.generation => {
                (generation, task.min(call.task))
            }
            _ => (call.generation, call.task),
        });
    }

    /// Whether the helper must drop a call.
    fn is_dropped(&self, call: &Call) -> bool {
        self.cancelled || self.is_behind_failure(call)
    }

    fn is_behind_failure(&self, call: &Call) -> bool {
        self.failure
            .is_some_and(|(generation, task)| call.generation == generation && call.task > task)
    }

    /// Takes a call off the list, if it is the one whose turn it is: calls run in order, so
    /// whoever answers out of turn isn't our helper any more.
    fn end_call(&mut self, id: u64) -> Result<Call, Ending> {
        match self.outstanding.first_entry() {
            Some(entry) if *entry.key() == id => {
                self.ledger.forget(id);
                Ok(entry.remove().0)
            }
            _ => Err(refused(format!("the helper answered out of turn (call {id})"))),
        }
    }

    fn put(&mut self, talk: &mut Conversation, call: &Call, contents: &[Content]) {
        self.ledger.admit(call.id, contents);
        for content in contents {
            if self.ledger.goes_along(content) {
                talk.writer.content(content.clone());
            }
        }
        talk.writer.message(&ToHost::Call(Box::new(call.clone())));
    }

    async fn converse(&mut self, talk: &mut Conversation, inbox: &mut Inbox) -> Ending {
        let mut closing = false;
        loop {
            if let Some(call) = self.due_errand() {
                return Ending::Errand(call);
            }
            tokio::select! {
                order = inbox.next(), if !closing && self.held.is_none() => match order {
                    // The helper doesn't know of errands that failed.
                    Some(Order::Call(call, _)) if self.is_behind_failure(&call) => {
                        self.tell(SessionEvent::Dropped(call.id));
                    }
                    Some(Order::Call(call, _)) if errand::is_errand(&call) => {
                        self.held = Some(call);
                    }
                    Some(Order::Call(call, contents)) => {
                        self.put(talk, &call, &contents);
                        self.outstanding.insert(call.id, (*call, contents));
                    }
                    Some(Order::HangUp) if self.outstanding.is_empty() => return Ending::HungUp,
                    Some(Order::HangUp) => {}
                    Some(Order::Cancel) => {
                        self.cancelled = true;
                        talk.writer.message(&ToHost::Cancel);
                    }
                    None => {
                        closing = true;
                        talk.writer.message(&ToHost::Bye);
                        talk.writer.close();
                    }
                },
                frame = talk.next() => match frame {
                    Ok(Some(Frame::Message(payload))) => match Frame::parse::<FromHost>(&payload) {
                        Ok(message) => {
                            if let Some(ending) = self.take(talk, message) {
                                return ending;
                            }
                        }
                        Err(error) => {
                            return refused(format!("the helper talks nonsense: {error}"));
                        }
                    },
                    Ok(Some(Frame::Content { .. })) => {}
                    Ok(None) if closing => return Ending::Done,
                    Ok(None) => {
                        let said = talk.channel.last_words().await;
                        return Ending::Broken(format!("the connection ended{said}"));
                    }
                    Err(_) if closing => return Ending::Done,
                    Err(message) => return Ending::Broken(message),
                },
            }
        }
    }

    /// What comes next while there is no connection.
    async fn idle(&mut self, inbox: &mut Inbox) -> Ending {
        loop {
            match inbox.next().await {
                None => return Ending::Done,
                Some(Order::HangUp) => {}
                Some(Order::Cancel) => self.cancelled = true,
                Some(Order::Call(call, _)) if self.is_dropped(&call) => {
                    self.tell(SessionEvent::Dropped(call.id));
                }
                Some(Order::Call(call, _)) if errand::is_patient(&call) => {
                    return Ending::Errand(call);
                }
                Some(order) => {
                    inbox.put_back(order);
                    return Ending::Wanted;
                }
            }
        }
    }

    fn take(&mut self, talk: &mut Conversation, message: FromHost) -> Option<Ending> {
        match message {
            FromHost::Started { id } => self.tell(SessionEvent::Started(id)),
            FromHost::Result(result) => match self.end_call(result.id) {
                Ok(call) => {
                    self.note_failure(&call, &result);
                    self.tell(SessionEvent::Result(result));
                }
                Err(ending) => return Some(ending),
            },
            FromHost::Dropped { id } => match self.end_call(id) {
                Ok(call) if self.is_dropped(&call) => self.tell(SessionEvent::Dropped(id)),
                Ok(_) => return Some(refused(format!("the helper dropped call {id}, unasked"))),
                Err(ending) => return Some(ending),
            },
            FromHost::NeedContent { id, sha256 } => match self.ledger.grant(id, &sha256) {
                Ok(content) => talk.writer.content(content),
                Err(reason) => {
                    self.tell(SessionEvent::Warning(format!("refused a request: {reason}")));
                    talk.writer.message(&ToHost::ContentRefused { id, sha256, reason });
                }
            },
            FromHost::NeedPassword { request, user: _, again } => {
                let password = match again {
                    // One attempt only: wrong passwords lock accounts.
                    true => None,
                    false => self.endpoint.become_password(),
                };
                talk.writer.message(&ToHost::Password { request, password });
            }
            FromHost::Warning { text } => self.tell(SessionEvent::Warning(text)),
            FromHost::Fatal { message } => return Some(refused(message)),
            FromHost::Hello(_) | FromHost::Locked { .. } => {}
        }
        None
    }
}

fn refused(message: String) -> Ending {
    Ending::Refused { message, hint: None }
}

fn age(since_s: u64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    format!("{} s", now.saturating_sub(since_s))
}

//! The loop around the translator.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesos::scheduler::{Call, CallType, EventType, OfferConstraints};
use mesos::{Encoding, FrameworkId, Location};
use policy::Time;
use scheduler_core::{Command, Event};
use scheduler_mesos::{Fatal, Held, Input, Note, Output, Settings, Translator};

use crate::address::Address;
use crate::back_off::BackOff;
use crate::calls::{Calls, Figures, Request};
use crate::head::Requests;
use crate::identity::Identity;
use crate::leader::{Leader, Seen};
use crate::stream::{self, Happened};

/// Time between two looks at what time brings.
const TICK: Duration = Duration::from_secs(1);

/// The most that is taken together: launches of one decision of the core.
const TOGETHER_MOST: usize = 20_000;

/// So many inputs are given to the translator before what it says is carried out: acknowledgements of
/// 100,000 statuses must not be in memory at the same time.
const INPUTS_AT_A_TIME: usize = 1_000;

/// Pieces of the stream that may wait to be taken: the rest stays in the socket. A piece has a thousand
/// statuses at most.
const PIECES_WAITING_MOST: usize = 4;

/// Redirects that are followed without a pause.
const REDIRECTS_MOST: u32 = 3;

/// Who a scheduler logs in as.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name.
    pub principal: String,
    /// The password.
    pub secret: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// What a client is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where masters are.
    pub address: Address,
    /// Who the framework is.
    pub settings: Settings,
    /// Who it logs in as, if masters want that.
    pub credential: Option<Credential>,
    /// How messages are written.
    pub encoding: Encoding,
}

/// What a client says.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Something for the core.
    Event(Event),
    /// Something that a user may want to read.
    Notice(Notice),
    /// The end; a user has to do something.
    Fatal(Fatal),
}

/// Something that a user may want to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Of the translator.
    Note(Note),
    /// A master is tried.
    Connecting(String),
    /// There is no connection; why.
    Disconnected(String),
    /// The framework's id can't be kept, so nothing is started.
    NotKept(String),
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::Note(note) => write!(f, "{note}"),
            Notice::Connecting(place) => write!(f, "connecting to the master at {place}"),
            Notice::Disconnected(why) => write!(f, "no connection to Mesos: {why}"),
            Notice::NotKept(why) => {
                write!(f, "the framework's id can't be kept, so nothing is started: {why}")
            }
        }
    }
}

/// What comes into the loop.
enum Message {
    Commands(Vec<Command>, Instant),
    Wanted(bool),
    Constrain(Option<OfferConstraints>),
    Stream(u64, Happened),
    Broken(u64, String),
    Leader(Seen),
    Stop,
}

/// The framework's id, once it is known and kept.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Mutex<Option<FrameworkId>>>);

impl Known {
    /// The id.
    #[must_use]
    pub fn id(&self) -> Option<FrameworkId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, id: Option<FrameworkId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }
}

/// A client. It ends when it is dropped; the framework's tasks go on.
#[derive(Debug)]
pub struct Client {
    known: Known,
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
    figures: Arc<Figures>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Client {
    /// Starts it. `tell` is called from its thread, in order.
    ///
    /// # Errors
    /// When the framework's id can't be read, or there are no more threads.
    pub fn start(
        options: Options,
        held: Held,
        identity: Box<dyn Identity>,
        tell: impl FnMut(Told) + Send + 'static,
    ) -> io::Result<Self> {
        let framework = identity.load()?;
        let (messages, coming) = channel();
        let (places, pieces) = sync_channel(PIECES_WAITING_MOST);
        let seen = messages.clone();
        let leader = Leader::find(options.address.clone(), move |one| {
            // The loop may have ended.
            let _ = seen.send(Message::Leader(one));
        })?;
        let figures = Arc::new(Figures::default());
        let known = Known::default();
        known.learn(framework.clone());
        let mut own = Loop {
            requests: None,
            translator: Translator::new(options.settings.clone(), framework),
            options,
            identity,
            tell: Box::new(tell),
            messages: messages.clone(),
            places,
            pieces,
            taken: 0,
            leader,
            known: known.clone(),
            figures: Arc::clone(&figures),
            back_off: BackOff::default(),
            generation: 0,
            state: State::Idle { until: Instant::now() },
            redirects: 0,
            unsaved: None,
            last: Time::ZERO,
            is_over: false,
        };
        let thread = thread::Builder::new().name("mesos".to_owned()).spawn(move || {
            own.give(vec![Input::Held(held)], None);
            own.run(&coming);
        })?;
        Ok(Client { known, messages, thread: Some(thread), figures })
    }

    /// The core wants something. What it wants at the same time is better given together: launches
    /// on the same machine share its offer then.
    pub fn commands(&self, commands: Vec<Command>) {
        self.send(Message::Commands(commands, Instant::now()));
    }

    /// Whether instances wait for a machine; without being told, it counts as so.
    pub fn wanted(&self, is_wanted: bool) {
        self.send(Message::Wanted(is_wanted));
    }

    /// Which agents are worth an offer; all, if absent. It may be said again.
    pub fn constrain(&self, constraints: Option<OfferConstraints>) {
        self.send(Message::Constrain(constraints));
    }

    /// The framework's id, to be asked for at any time.
    #[must_use]
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// What was counted.
    #[must_use]
    pub const fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    fn send(&self, message: Message) {
        // After a fatal end nobody listens, and that was told.
        let _ = self.messages.send(message);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was shown already.
            let _ = thread.join();
        }
    }
}

enum State {
    /// Nothing is tried before this time.
    Idle { until: Instant },
    /// A stream is being opened.
    Opening,
    /// A stream is there.
    Open { stream: TcpStream, calls: Calls },
}

struct Loop {
    options: Options,
    translator: Translator,
    identity: Box<dyn Identity>,
    tell: Box<dyn FnMut(Told) + Send>,
    messages: Sender<Message>,
    /// Whoever reads the stream takes a place for each piece of it.
    places: SyncSender<()>,
    pieces: Receiver<()>,
    /// Pieces that were taken, and whose places are still taken.
    taken: usize,
    leader: Leader,
    known: Known,
    figures: Arc<Figures>,
    requests: Option<Requests>,
    back_off: BackOff,
    /// Which attempt counts: what comes of earlier ones is void.
    generation: u64,
    state: State,
    redirects: u32,
    /// An id that could not be kept.
    unsaved: Option<FrameworkId>,
    last: Time,
    is_over: bool,
}

impl Loop {
    fn run(&mut self, coming: &Receiver<Message>) {
        let mut tick = Instant::now() + TICK;
        while !self.is_over {
            self.connect();
            let mut until = tick;
            if let State::Idle { until: then } = self.state {
                until = until.min(then.max(Instant::now()));
            }
            let first = match coming.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let rest = std::iter::from_fn(|| coming.try_recv().ok()).take(TOGETHER_MOST);
            let mut inputs = Vec::new();
            let mut since = None;
            for message in first.into_iter().chain(rest) {
                self.take(message, &mut inputs, &mut since);
            }
            if Instant::now() >= tick {
                tick = Instant::now() + TICK;
                inputs.push(Input::Tick);
                if let Some(id) = self.unsaved.take() {
                    self.keep(id, &mut inputs);
                }
            }
            self.give(inputs, since);
            self.pieces.try_iter().take(std::mem::take(&mut self.taken)).for_each(drop);
        }
        self.close();
    }

    fn take(&mut self, message: Message, inputs: &mut Vec<Input>, since: &mut Option<Instant>) {
        self.taken += usize::from(matches!(message, Message::Stream(..)));
        match message {
            Message::Commands(commands, came) => {
                if commands.iter().any(|command| matches!(command, Command::Launch(_))) {
                    since.get_or_insert(came);
                }
                inputs.extend(commands.into_iter().map(Input::Command));
            }
            Message::Wanted(is_wanted) => inputs.push(Input::Wanted(is_wanted)),
            Message::Constrain(constraints) => inputs.push(Input::Constrain(constraints)),
            Message::Stream(generation, happened) if generation == self.generation => {
                self.happened(happened, inputs, since);
            }
            Message::Broken(generation, why) if generation == self.generation => {
                self.disconnected(why, inputs);
            }
            Message::Stream(..) | Message::Broken(..) => {}
            Message::Leader(Seen::Leads(location)) => {
                if self.leader.seen(location) {
                    match self.state {
                        State::Idle { .. } => self.state = State::Idle { until: Instant::now() },
                        _ => self.disconnected("another master leads".to_owned(), inputs),
                    }
                }
            }
            Message::Leader(Seen::Problem(why)) => self.notice(Notice::Disconnected(why)),
            Message::Stop => self.is_over = true,
        }
    }

    fn happened(
        &mut self,
        happened: Happened,
        inputs: &mut Vec<Input>,
        since: &mut Option<Instant>,
    ) {
        match happened {
            Happened::Opened { stream_id, stream, calls } => {
                let Some(heads) = self.requests.clone() else { return };
                let (messages, generation) = (self.messages.clone(), self.generation);
                let failed = move |why| {
                    // The loop may have ended.
                    let _ = messages.send(Message::Broken(generation, why));
                };
                let heads = (heads, stream_id);
                match Calls::start(calls, heads, Arc::clone(&self.figures), failed) {
                    Ok(calls) => self.state = State::Open { stream, calls },
                    Err(error) => self.disconnected(error.to_string(), inputs),
                }
            }
            Happened::Events(events, came) => {
                let count = u64::try_from(events.len()).unwrap_or_default();
                self.figures.events.fetch_add(count, Ordering::Relaxed);
                for event in events {
                    match event.r#type() {
                        EventType::Subscribed => {
                            self.back_off.reset();
                            self.redirects = 0;
                        }
                        EventType::Offers => drop(since.get_or_insert(came)),
                        _ => {}
                    }
                    inputs.push(Input::Event(Box::new(event)));
                }
            }
            Happened::Redirected(location) => self.redirected(location, inputs),
            Happened::Refused { status: 401 | 403, text } => {
                let why = if text.is_empty() { "it wants another login".to_owned() } else { text };
                self.fatal(Fatal::Refused(why));
            }
            Happened::Refused { status, text } => {
                self.disconnected(format!("the master answers {status} {text}"), inputs);
            }
            Happened::Ended(why) => self.disconnected(why, inputs),
        }
    }

    fn redirected(&mut self, location: Location, inputs: &mut Vec<Input>) {
        self.redirects += 1;
        if location.tls == Some(true) {
            return self.disconnected("the master wants TLS".to_owned(), inputs);
        }
        if self.redirects > REDIRECTS_MOST {
            return self.disconnected("masters send us round in circles".to_owned(), inputs);
        }
        self.leader.redirected(location);
        self.state = State::Idle { until: Instant::now() };
    }

    fn disconnected(&mut self, why: String, inputs: &mut Vec<Input>) {
        self.close();
        self.leader.failed();
        self.redirects = 0;
        self.state = State::Idle { until: Instant::now() + self.back_off.next() };
        inputs.push(Input::Disconnected);
        self.notice(Notice::Disconnected(why));
    }

    /// Whatever still comes of the connections is void.
    fn close(&mut self) {
        self.generation += 1;
        let idle = State::Idle { until: Instant::now() };
        if let State::Open { stream, .. } = std::mem::replace(&mut self.state, idle) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn connect(&mut self) {
        let State::Idle { until } = self.state else { return };
        let Some(location) = self.leader.location().cloned() else { return };
        if Instant::now() < until || self.is_over {
            return;
        }
        self.generation += 1;
        let options = &self.options;
        let requests = Requests::new(&location, options.encoding, options.credential.as_ref());
        let body = options.encoding.encode(&self.translator.subscribe());
        self.requests = Some(requests.clone());
        self.state = State::Opening;
        self.notice(Notice::Connecting(location.authority()));
        let (messages, generation) = (self.messages.clone(), self.generation);
        let places = self.places.clone();
        let opened = thread::Builder::new().name("mesos-events".to_owned()).spawn(move || {
            stream::subscribe(&location, &requests, &body, |happened| {
                places.send(()).is_ok()
                    && messages.send(Message::Stream(generation, happened)).is_ok()
            });
        });
        if let Err(error) = opened {
            self.disconnected(error.to_string(), &mut Vec::new());
        }
    }

    /// Gives inputs to the translator, and does what it says.
    fn give(&mut self, inputs: Vec<Input>, since: Option<Instant>) {
        let mut inputs = VecDeque::from(inputs);
        while (!inputs.is_empty() || self.translator.has_more()) && !self.is_over {
            let now = self.now();
            let outputs = match part(inputs.len(), inputs.iter().map(is_launch)) {
                0 => self.translator.go_on(now),
                count => self.translator.begin(inputs.drain(..count), now),
            };
            for output in outputs {
                match output {
                    Output::Call(call) => self.call(call, since),
                    Output::Event(event) => (self.tell)(Told::Event(event)),
                    Output::Store(id) => self.keep(id, &mut inputs),
                    Output::Note(note) => self.notice(Notice::Note(note)),
                    Output::Fatal(fatal) => self.fatal(fatal),
                }
            }
        }
    }

    fn call(&self, call: Box<Call>, since: Option<Instant>) {
        let State::Open { calls, .. } = &self.state else { return };
        let since = since.filter(|_| call.r#type() == CallType::Accept);
        calls.send(Request { call, since });
    }

    fn keep(&mut self, id: FrameworkId, inputs: &mut impl Extend<Input>) {
        match self.identity.save(&id) {
            Ok(()) => {
                self.known.learn(Some(id.clone()));
                inputs.extend([Input::Stored(id)]);
            }
            Err(error) => {
                self.notice(Notice::NotKept(error.to_string()));
                self.unsaved = Some(id);
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        (self.tell)(Told::Notice(notice));
    }

    fn fatal(&mut self, fatal: Fatal) {
        self.is_over = true;
        (self.tell)(Told::Fatal(fatal));
    }

    /// Nanoseconds since 1970; a clock that is set back stands still.
    fn now(&mut self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Time(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        self.last = self.last.max(now);
        self.last
    }
}

fn is_launch(input: &Input) -> bool {
    matches!(input, Input::Command(Command::Launch(_)))
}

/// How many of so many inputs are given to the translator together, by whether each is a launch: those
/// that stand together aren't parted, because launches on the same machine share its offer.
fn part(count: usize, mut launches: impl Iterator<Item = bool>) -> usize {
    let is_cut = count > INPUTS_AT_A_TIME && launches.nth(INPUTS_AT_A_TIME - 1) == Some(true);
    let rest = if is_cut { launches.take_while(|is_launch| *is_launch).count() } else { 0 };
    count.min(INPUTS_AT_A_TIME) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_parted_but_launches_that_stand_together_are_not() {
        let parted = |kinds: &[(usize, bool)]| {
            let all = kinds.iter().flat_map(|(count, kind)| std::iter::repeat_n(*kind, *count));
            let all: Vec<bool> = all.collect();
            part(all.len(), all.into_iter())
        };
        for (kinds, expected) in [
            (&[][..], 0),
            (&[(400, false)], 400),
            (&[(1_000, true)], 1_000),
            (&[(2_500, false)], 1_000),
            (&[(2_500, true)], 2_500),
            (&[(900, false), (300, true), (9, false)], 1_200),
            (&[(1_000, false), (300, true)], 1_000),
            (&[(1_000, true), (1, false), (300, true)], 1_000),
        ] {
            assert_eq!(parted(kinds), expected, "{kinds:?}");
        }
    }
}

//! The master behind a lock, its clock, and the streams that its records go to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mesos::Encoding;
use mesos::recordio::frame;
use simulator_mesos::outside::Registration;
use simulator_mesos::wire::{self, Body, Leader, Request, Response};
use simulator_mesos::{AgentKey, Delivery, Master, Nanoseconds, Output, Run, StreamKey, Unwelcome};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What may wait for a client that doesn't read, in bytes: the offers of 100,000 agents fit.
const WAITING_LIMIT_BYTES: usize = 256 << 20;

/// The way to a client.
#[derive(Debug)]
struct Sink {
    records: UnboundedSender<Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
    encoding: Encoding,
}

/// The other end of it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) records: UnboundedReceiver<Bytes>,
    pub(crate) waiting_bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct State {
    master: Master,
    sinks: BTreeMap<StreamKey, Sink>,
    next_stream: u64,
    /// The ways to agents that are programs of their own, with the numbers of their streams.
    agents: BTreeMap<AgentKey, (StreamKey, UnboundedSender<Bytes>)>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    started: Instant,
    runs: UnboundedSender<(AgentKey, Run)>,
    /// Something may be due earlier than it was.
    changed: Notify,
}

impl Shared {
    pub(crate) fn new(
        master: Master,
        started: Instant,
    ) -> (Self, UnboundedReceiver<(AgentKey, Run)>) {
        let (runs, receiver) = unbounded_channel();
        let (sinks, agents) = (BTreeMap::new(), BTreeMap::new());
        let state = State { master, sinks, next_stream: 0, agents };
        (Self { state: Mutex::new(state), started, runs, changed: Notify::new() }, receiver)
    }

    /// Nobody holds the lock while something can fail: after a panic of a request the others go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Nanoseconds {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Master) -> T) -> T {
        let mut state = self.lock();
        let now = self.now();
        state.master.advance(now);
        let result = work(&mut state.master);
        self.hand_out(&mut state);
        drop(state);
        self.changed.notify_one();
        result
    }

    /// Answers a request; a stream's source comes with its answer.
    pub(crate) fn answer(&self, request: &Request) -> (Response, Option<Source>) {
        let mut state = self.lock();
        let now = self.now();
        state.master.advance(now);
        let stream = StreamKey(state.next_stream);
        let response = wire::answer(&mut state.master, &Leader::Us, request, stream);
        let mut source = None;
        if let Body::Stream(key, encoding) = response.body {
            state.next_stream += 1;
            let (records, receiver) = unbounded_channel();
            let waiting_bytes = Arc::new(AtomicUsize::new(0));
            let sink = Sink { records, waiting_bytes: waiting_bytes.clone(), encoding };
            state.sinks.insert(key, sink);
            source = Some(Source { records: receiver, waiting_bytes });
        }
        self.hand_out(&mut state);
        drop(state);
        self.changed.notify_one();
        (response, source)
    }

    /// The client of a stream is gone.
    pub(crate) fn disconnected(&self, stream: StreamKey) {
        self.with(|master| master.disconnected(stream));
        self.lock().sinks.remove(&stream);
    }

    /// An agent that is a program of its own opens its stream.
    pub(crate) fn register(
        &self,
        registration: Registration,
    ) -> Result<(AgentKey, StreamKey, UnboundedReceiver<Bytes>), Unwelcome> {
        let mut state = self.lock();
        let now = self.now();
        state.master.advance(now);
        let outcome = state.master.register_outside(registration);
        let outcome = outcome.map(|(agent, agent_id)| {
            let stream = StreamKey(state.next_stream);
            state.next_stream += 1;
            let (sink, source) = unbounded_channel();
            let ping_every = state.master.ping_every();
            let welcome = Run::Registered { agent_id, stream: stream.0, ping_every };
            // The other end is in this function.
            let _ = sink.send(Bytes::from(frame(&welcome.encode())));
            // An older stream of the same agent ends when its sender is gone.
            state.agents.insert(agent, (stream, sink));
            (agent, stream, source)
        });
        self.hand_out(&mut state);
        drop(state);
        self.changed.notify_one();
        outcome
    }

    /// Does something for the agent of a stream, unless the stream is over.
    pub(crate) fn with_agent(
        &self,
        stream: StreamKey,
        work: impl FnOnce(&mut Master, AgentKey),
    ) -> bool {
        let found = self
            .lock()
            .agents
            .iter()
            .find_map(|(agent, (of_it, _))| (*of_it == stream).then_some(*agent));
        if let Some(agent) = found {
            self.with(|master| work(master, agent));
        }
        found.is_some()
    }

    /// The stream of an agent is broken.
    pub(crate) fn agent_left(&self, agent: AgentKey, stream: StreamKey) {
        let mut state = self.lock();
        // It may have come back on another one.
        if state.agents.get(&agent).is_none_or(|(current, _)| *current != stream) {
            return;
        }
        state.agents.remove(&agent);
        drop(state);
        self.with(|master| master.disconnect_outside(agent));
    }

    fn hand_out(&self, state: &mut State) {
        let mut lost = Vec::new();
        for output in state.master.take_outputs() {
            match output {
                Output::Record(key, delivery) => {
                    let Some(sink) = state.sinks.get(&key) else { continue };
                    let record = match delivery {
                        Delivery::Scheduler(event) => sink.encoding.encode(&*event),
                        Delivery::Operator(event) => sink.encoding.encode(&*event),
                    };
                    let bytes = Bytes::from(frame(&record));
                    let waiting = sink.waiting_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
                    if waiting > WAITING_LIMIT_BYTES || sink.records.send(bytes).is_err() {
                        lost.push(key);
                    }
                }
                // The stream ends when its last sender is gone.
                Output::Close(key) => {
                    state.sinks.remove(&key);
                }
                Output::Run(agent, run) => match state.agents.get(&agent) {
                    // One that is gone hears of it when it is back.
                    Some((_, sink)) => drop(sink.send(Bytes::from(frame(&run.encode())))),
                    // Nobody listens if there are no agents with outside bodies.
                    None => drop(self.runs.send((agent, run))),
                },
                Output::Cut(agent) => drop(state.agents.remove(&agent)),
            }
        }
        for key in lost {
            state.sinks.remove(&key);
            state.master.disconnected(key);
        }
    }
}

/// Lets the master's time pass.
pub(crate) async fn keep_time(shared: Arc<Shared>) {
    loop {
        let next = shared.lock().master.next_wake();
        // Never earlier than the clock can tell, never so late that a day of sleep would be missed.
        let until = Duration::from_nanos(next.unwrap_or(0).saturating_sub(shared.now()));
        let wait = until.clamp(Duration::from_micros(100), Duration::from_secs(1));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.changed.notified() => continue,
        }
        let mut state = shared.lock();
        let now = shared.now();
        state.master.advance(now);
        shared.hand_out(&mut state);
    }
}

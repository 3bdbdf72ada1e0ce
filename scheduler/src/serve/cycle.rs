//! The loop of the daemon: what happened since the last turn goes into the core together, what it
//! wants stored goes to the store in one batch, and what it wants done goes to whoever runs
//! instances. Everybody else reads the state between two turns.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use policy::Time;
use policy::config::Policy;
use scheduler_core::command::{Key, Record};
use scheduler_core::decision::{Decided, Decision};
use scheduler_core::event::{Accepted, Call, InstanceFact, MachineFact, Refusal};
use scheduler_core::ids::{RequestId, WriteNumber};
use scheduler_core::{Command, Event, State, apply_all};
use scheduler_store::cluster::Lease;
use scheduler_store::{Source, StoreError, Writer};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::serve::backlog::{Backlog, Taker};
use crate::serve::decisions::{DecisionLog, Recent};
use crate::serve::discovery::Discovery;
use crate::serve::journal::Journal;
use crate::serve::legacy::{Estate, Keyed};
use crate::serve::meters::Meters;
use crate::serve::policies::{Policies, PolicyChange};

/// Time between two looks at what time brings: a quarter of the shortest length that users give.
const TICK: Duration = Duration::from_millis(250);

/// With so many instances a look at all of them is no trifle any more, and is made once a second.
const MANY_INSTANCES: usize = 2_000;

/// The same, with many instances.
const TICK_OF_MANY: Duration = Duration::from_secs(1);

/// The most events of one turn: what comes beyond waits for the next, so that calls are answered.
const EVENTS_OF_A_TURN_MOST: usize = 10_000;

/// Between two looks at what waits for machines so many times as long passes as the last one took: a
/// full cluster where much waits must not be busy with that alone.
const LOOK_PAUSE_TIMES: u32 = 3;

/// Whether machines may have room after this that they had not.
fn gives_room(event: &Event) -> bool {
    match event {
        Event::Machine { fact, .. } => matches!(fact, MachineFact::Up(_) | MachineFact::Staying),
        Event::Instance { fact, .. } => {
            matches!(fact, InstanceFact::Ended(_) | InstanceFact::NeverStarted(_))
        }
        _ => false,
    }
}

/// What comes into the loop.
#[derive(Debug)]
pub enum Input {
    /// Something happened.
    Event(Event),
    /// The same, by somebody who has entered the backlog with it.
    Fact(Event),
    /// A user wants something.
    Call {
        /// What.
        call: Call,
        /// The key of the request, if it has one.
        keyed: Option<Keyed>,
        /// Gets the answer when it is durable.
        reply: oneshot::Sender<Result<Accepted, Refusal>>,
    },
    /// Another policy decides from now on.
    Policy {
        /// Which.
        policy: Box<Policy>,
        /// As it is kept.
        change: PolicyChange,
        /// The key of the request, if it has one.
        keyed: Option<Keyed>,
        /// Is told when it does, or why it doesn't.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// The next leader would know of a policy, or can't.
    PolicyLeft {
        /// Which.
        policy: Box<Policy>,
        /// As it is kept.
        change: PolicyChange,
        /// Why not.
        outcome: Result<(), String>,
        /// Is told when it decides, or why it doesn't.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// A write is durable, or the store has refused it.
    Written(WriteNumber, Result<(), WriteFailure>),
    /// This one leads no more.
    Lost(String),
    /// The end.
    Stop,
}

/// Why a write isn't durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteFailure {
    /// Another scheduler leads.
    Fenced(String),
    /// The store has a problem, which may pass.
    Failed(String),
}

/// What the loop shares with its readers.
#[derive(Debug)]
pub struct Shared {
    state: RwLock<State>,
    /// What has happened.
    pub journal: Journal,
    /// Counters.
    pub meters: Meters,
    /// The last decisions.
    pub decisions: Recent,
    /// Where instances are found.
    pub discovery: Discovery,
    /// What waits for the loop.
    pub backlog: Arc<Backlog>,
    last: AtomicU64,
    /// Nothing is done without it, if there are others who may lead.
    lease: Option<Lease>,
}

impl Shared {
    /// A state that nothing has happened to.
    pub fn new(state: State, journal: Journal, lease: Option<Lease>) -> Self {
        let discovery = Discovery::new(&state);
        let (state, meters, last) = (RwLock::new(state), Meters::default(), AtomicU64::new(0));
        let decisions = Recent::default();
        Shared {
            state,
            journal,
            meters,
            decisions,
            discovery,
            backlog: Arc::default(),
            last,
            lease,
        }
    }

    /// Whether what was decided may still be done: it may not, when others may lead by now.
    pub fn may_act(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::holds)
    }

    /// The state between two turns. It is held only as long as it takes to look something up.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        // The core doesn't panic; if it did, what it left is still what the records say.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, which never goes back while the program runs.
    pub fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Time(self.last.fetch_max(now, Ordering::SeqCst).max(now))
    }
}

impl Source for Shared {
    fn records_after(&self, after: Option<&Key>, most: usize) -> (Vec<(Key, Record)>, WriteNumber) {
        let state = self.state();
        (state.records_after(after, most), state.awaited_write())
    }
}

/// The loop.
pub struct Cycle {
    shared: Arc<Shared>,
    writer: Writer,
    backend: UnboundedSender<Vec<Command>>,
    decisions: DecisionLog,
    policies: Arc<Policies>,
    calls: BTreeMap<RequestId, oneshot::Sender<Result<Accepted, Refusal>>>,
    calls_made: u64,
    /// What is on its way to the store, to be told when it is there.
    in_flight: Option<WriteNumber>,
    /// What is left for the next leader, if there are others.
    estate: Option<Estate>,
    inputs: Sender<Input>,
    next_tick: Instant,
    /// When what waits for a machine is looked at, if machines may have room that they had not.
    next_look: Option<Instant>,
    /// Looks are not made before: the last one took its time.
    no_look_before: Instant,
    /// Whoever tells facts waits for this one no longer than it lives.
    taker: Taker,
}

/// Why the loop has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Another scheduler leads.
    Fenced(String),
}

impl Cycle {
    /// A loop.
    pub fn new(
        shared: Arc<Shared>,
        writer: Writer,
        backend: UnboundedSender<Vec<Command>>,
        decisions: DecisionLog,
        policies: Arc<Policies>,
        estate: Option<Estate>,
        inputs: Sender<Input>,
    ) -> Self {
        let taker = Taker(Arc::clone(&shared.backlog));
        Cycle {
            shared,
            writer,
            backend,
            decisions,
            policies,
            calls: BTreeMap::new(),
            calls_made: 0,
            in_flight: None,
            estate,
            inputs,
            next_tick: Instant::now(),
            next_look: None,
            no_look_before: Instant::now(),
            taker,
        }
    }

    /// Goes round until it is told to stop, and until all is durable then.
    pub fn run(mut self, inputs: &Receiver<Input>) -> Ended {
        let ended = loop {
            let (events, ended) = self.gather(inputs);
            if matches!(ended, Some(Ended::Fenced(_))) || !self.shared.may_act() {
                let why = "its session may have ended: it could not be renewed in time".to_owned();
                break ended.unwrap_or(Ended::Fenced(why));
            }
            self.turn(events);
            if let Some(ended) = ended {
                break ended;
            }
        };
        // What is still on its way to machines ends first, if it may not be there any more.
        let Cycle { writer, backend, mut estate, taker, .. } = self;
        drop((backend, taker));
        let rest = estate.as_mut().map(Estate::rest).filter(|rest| !rest.is_empty());
        if let (Some(rest), Ended::Stopped) = (rest, &ended) {
            // What failed was told, and this is the end.
            writer.note(rest, |_| {});
        }
        let _ = writer.finish();
        ended
    }

    fn gather(&mut self, inputs: &Receiver<Input>) -> (Vec<Event>, Option<Ended>) {
        let mut events = Vec::new();
        let next = self.next_look.map_or(self.next_tick, |look| look.min(self.next_tick));
        // What is planned over several turns waits for nobody.
        let is_planning = self.shared.state().is_planning();
        let wait = next.saturating_duration_since(Instant::now());
        let wait = if is_planning { Duration::ZERO } else { wait };
        let mut next = match inputs.recv_timeout(wait) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Input::Stop),
        };
        let mut ended = None;
        let mut facts = 0;
        while let Some(input) = next {
            facts += usize::from(matches!(input, Input::Fact(_)));
            ended = ended.or(self.take(input, &mut events));
            next = if events.len() < EVENTS_OF_A_TURN_MOST { inputs.try_recv().ok() } else { None };
        }
        self.shared.backlog.leave(facts);
        let now = Instant::now();
        if self.shared.state().has_waiting() && events.iter().any(gives_room) {
            self.next_look.get_or_insert(self.no_look_before);
        }
        if self.next_look.take_if(|look| now >= *look).is_some() {
            events.push(Event::Room);
        }
        if now >= self.next_tick {
            let instances: usize =
                self.shared.state().apps().values().map(|app| app.instances.len()).sum();
            self.next_tick = now + if instances > MANY_INSTANCES { TICK_OF_MANY } else { TICK };
            events.push(Event::Tick);
        }
        (events, ended)
    }

    fn take(&mut self, input: Input, events: &mut Vec<Event>) -> Option<Ended> {
        match input {
            Input::Event(event) | Input::Fact(event) => events.push(event),
            Input::Call { call, keyed, reply } => {
                self.calls_made += 1;
                let request = RequestId(self.calls_made);
                if let (Some(estate), Some(keyed)) = (&mut self.estate, keyed) {
                    estate.asked(request, keyed);
                }
                self.calls.insert(request, reply);
                events.push(Event::Call { request, call });
            }
            Input::Policy { policy, change, keyed, reply } => {
                self.leave_policy(policy, change, keyed, reply);
            }
            Input::PolicyLeft { policy, change, outcome, reply } => {
                let outcome = outcome.and_then(|()| self.take_policy(*policy, &change));
                // Who asked may have gone away.
                let _ = reply.send(outcome);
            }
            Input::Written(write, Ok(())) => {
                self.tell(write);
                events.push(Event::Durable { write });
            }
            Input::Written(write, Err(failure)) => {
                self.in_flight = None;
                if let Some(estate) = &mut self.estate {
                    estate.not_durable();
                }
                self.shared.meters.write_failed();
                events.push(Event::NotDurable { write });
                match failure {
                    WriteFailure::Fenced(why) => return Some(Ended::Fenced(why)),
                    WriteFailure::Failed(why) => crate::paint::warning(&why),
                }
            }
            Input::Lost(why) => return Some(Ended::Fenced(why)),
            Input::Stop => return Some(Ended::Stopped),
        }
        None
    }

    /// A policy is to be live: the next leader would have to know, if there is one.
    fn leave_policy(
        &mut self,
        policy: Box<Policy>,
        change: PolicyChange,
        keyed: Option<Keyed>,
        reply: oneshot::Sender<Result<(), String>>,
    ) {
        let Some(estate) = &mut self.estate else {
            // Who asked may have gone away.
            let _ = reply.send(self.take_policy(*policy, &change));
            return;
        };
        let notes = estate.policy(&change, keyed);
        let inputs = self.inputs.clone();
        self.writer.note(notes, move |outcome| {
            let outcome = outcome.map_err(StoreError::chain);
            // The loop may have ended meanwhile.
            let _ = inputs.send(Input::PolicyLeft { policy, change, outcome, reply });
        });
    }

    fn take_policy(&mut self, policy: Policy, change: &PolicyChange) -> Result<(), String> {
        let kept = self.policies.keep(change);
        kept.map_err(|error| format!("failed to {}", crate::serve::chain(&error)))?;
        self.follow(policy);
        Ok(())
    }

    /// From now on another policy decides.
    fn follow(&mut self, policy: Policy) {
        let at = self.shared.now();
        let after = policy.digest();
        let before = {
            let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
            let before = state.policy().digest();
            state.set_policy(policy);
            before
        };
        if before != after {
            let decided = Decided::Policy { before, after: after.clone() };
            self.log(Decision { at, policy: after, app: None, decided });
        }
    }

    /// What was stored becomes known.
    fn tell(&mut self, number: WriteNumber) {
        if self.in_flight.take_if(|known| *known == number).is_some() {
            if let Some(estate) = &mut self.estate {
                estate.durable();
            }
            self.shared.journal.publish();
            self.shared.discovery.publish();
        }
    }

    fn log(&mut self, decision: Decision) {
        self.decisions.append(&decision);
        if let Some(estate) = &mut self.estate {
            estate.decided(&decision);
        }
        self.shared.decisions.add(decision);
    }

    fn turn(&mut self, events: Vec<Event>) {
        if events.is_empty() && !self.shared.state().is_planning() {
            return;
        }
        let begun = Instant::now();
        let count = events.len();
        let now = self.shared.now();
        let is_tick = events.last() == Some(&Event::Tick);
        let is_look = events.contains(&Event::Room);
        let commands = {
            let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
            apply_all(&mut state, events, now)
        };
        let length = begun.elapsed();
        self.shared.meters.turn(count, length);
        if is_look {
            self.no_look_before = Instant::now() + length.saturating_mul(LOOK_PAUSE_TIMES);
        }
        if is_tick {
            self.policies.look(&self.shared.state(), now);
        }
        let mut to_do = Vec::new();
        for command in commands {
            self.carry_out(command, &mut to_do);
        }
        // What was decided together is handed over together: launches on the same machine share
        // its offer. If another one may lead by now, the next turn ends for this reason.
        if !to_do.is_empty() && self.shared.may_act() {
            to_do.iter().for_each(|command| self.shared.meters.command(command));
            // It ends only with this.
            let _ = self.backend.send(to_do);
        }
    }

    fn carry_out(&mut self, command: Command, to_do: &mut Vec<Command>) {
        match command {
            Command::Persist(write) => {
                self.shared.meters.write(write.changes.len());
                self.in_flight = Some(write.number);
                self.shared.discovery.prepare(&write);
                let entries = self.shared.journal.prepare(&write, self.shared.now());
                let notes = self.estate.as_mut().map_or_else(Vec::new, |estate| {
                    let state = self.shared.state();
                    estate.with_write(entries.iter().map(|entry| &**entry), state.held())
                });
                self.writer.submit_with(write, notes);
            }
            Command::Answer { request, answer } => {
                if let Some(estate) = &mut self.estate {
                    estate.answered(request);
                }
                if let Some(reply) = self.calls.remove(&request) {
                    // Who asked may have gone away.
                    let _ = reply.send(answer);
                }
            }
            Command::Record(decision) => {
                self.policies.decided(&decision);
                self.log(*decision);
            }
            Command::Launch(_)
            | Command::Kill { .. }
            | Command::Destroy { .. }
            | Command::Reserve { .. }
            | Command::Register { .. }
            | Command::Deregister { .. }
            | Command::Acknowledge { .. }
            | Command::Ask(_) => to_do.push(command),
        }
    }
}

//! The executor under test: a controller that asks the dispatcher, helpers that run calls in
//! order and stop at the first failure, and a network that delays everything at random.

use super::cursor::{Cursor, Leaf};
use super::linear::unnotifying;
use super::play::{Action, HOSTS, Item, Outcome, Play, State, Task, Term};
use super::random::Random;
use provision_plan::{Dispatcher, Flow, HostIndex, Order, Position, Scope, Step, Turn, Verdict};
use std::collections::VecDeque;

struct Call<'a> {
    generation: u32,
    at: Position,
    task: &'a Task,
    arguments: Vec<i64>,
    done: Vec<Item>,
}

/// A host's channel with its helper, or the place where its delegated calls run.
#[derive(Default)]
struct Channel<'a> {
    queue: VecDeque<Call<'a>>,
    /// Calls of this generation and before are dropped: one of them has failed.
    stopped: Option<u32>,
    replies: VecDeque<(Position, Outcome)>,
}

struct Flight<'a> {
    at: Position,
    task: &'a Task,
    handler: Option<usize>,
    cursor: Cursor<'a>,
}

/// What was passed while steps were in flight, and how to take it back.
struct Pass {
    at: Position,
    outcome: Outcome,
    name: Option<(usize, i64)>,
    handler: Option<(usize, bool)>,
}

struct Controlled<'a> {
    cursor: Cursor<'a>,
    told: bool,
    ready: Option<Vec<i64>>,
    flights: VecDeque<Flight<'a>>,
    passes: VecDeque<Pass>,
    generation: u32,
    over: bool,
}

pub struct Ahead<'a> {
    pub state: State,
    pub results: [Vec<(Position, Outcome)>; HOSTS],
    /// The most steps that were in flight on one host.
    pub most_in_flight: usize,
    dispatcher: Dispatcher,
    hosts: [Controlled<'a>; HOSTS],
    own: [Channel<'a>; HOSTS],
    elsewhere: [Channel<'a>; HOSTS],
    /// Hosts that the controller has a reason to try.
    to_try: [bool; HOSTS],
}

/// Whether a run also checks that whoever may go on is told so at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    Wakes,
    Results,
}

enum Progress {
    Moved,
    Stuck,
}

impl<'a> Ahead<'a> {
    pub fn new(play: &'a Play, order: Order) -> Self {
        Self {
            state: State::new(play),
            results: std::array::from_fn(|_| Vec::new()),
            most_in_flight: 0,
            dispatcher: Dispatcher::new(HOSTS, order),
            hosts: std::array::from_fn(|_| Controlled {
                cursor: Cursor::new(play),
                told: false,
                ready: None,
                flights: VecDeque::new(),
                passes: VecDeque::new(),
                generation: 0,
                over: false,
            }),
            own: std::array::from_fn(|_| Channel::default()),
            elsewhere: std::array::from_fn(|_| Channel::default()),
            to_try: [true; HOSTS],
        }
    }

    /// Runs to the end with events in random order.
    pub fn run(&mut self, random: &mut Random, watch: Watch) -> Result<(), String> {
        loop {
            let mut events = Vec::with_capacity(5 * HOSTS);
            for host in 0..HOSTS {
                events.extend(self.to_try[host].then_some((host, 0)));
                for (channel, kind) in [(&self.own[host], 1), (&self.elsewhere[host], 3)] {
                    events.extend((!channel.queue.is_empty()).then_some((host, kind)));
                    events.extend((!channel.replies.is_empty()).then_some((host, kind + 1)));
                }
            }
            if events.is_empty() {
                return self.ended();
            }
            if watch == Watch::Wakes
                && let Some(host) = (0..HOSTS).find(|host| self.is_forgotten(*host))
            {
                return Err(format!("host {host} could go on and was not woken"));
            }
            match events[random.below(events.len())] {
                (host, 0) => self.attempt(host, Some(random)),
                (host, 1) => self.work(host, false),
                (host, 2) => self.deliver(host, false),
                (host, 3) => self.work(host, true),
                (host, _) => self.deliver(host, true),
            }
        }
    }

    /// Runs to the end in rounds: the controller sends all that it may, then all hosts run all
    /// that they have. Returns the number of rounds that ran a call: round trips.
    pub fn run_in_rounds(&mut self) -> Result<usize, String> {
        let mut rounds = 0;
        loop {
            while self.controller_works() {}
            let mut worked = false;
            for (host, elsewhere) in (0..HOSTS).flat_map(|host| [(host, false), (host, true)]) {
                while !self.channel(host, elsewhere).queue.is_empty() {
                    worked = true;
                    self.work(host, elsewhere);
                }
            }
            let mut delivered = false;
            for (host, elsewhere) in (0..HOSTS).flat_map(|host| [(host, false), (host, true)]) {
                while !self.channel(host, elsewhere).replies.is_empty() {
                    delivered = true;
                    self.deliver(host, elsewhere);
                }
            }
            rounds += usize::from(worked);
            if !worked && !delivered && !self.to_try.contains(&true) {
                return self.ended().map(|()| rounds);
            }
        }
    }

    /// Does something that needs no host, if there is something.
    fn controller_works(&mut self) -> bool {
        if let Some(host) = self.to_try.iter().position(|to_try| *to_try) {
            self.attempt(host, None);
            return true;
        }
        let own = |channel: &Channel<'_>| {
            channel.queue.front().is_some_and(|call| call.task.on_controller())
        };
        let Some(host) = self.elsewhere.iter().position(own) else { return false };
        while !self.elsewhere[host].queue.is_empty() {
            self.work(host, true);
        }
        self.deliver(host, true);
        true
    }

    fn ended(&self) -> Result<(), String> {
        if self.hosts.iter().all(|host| host.over) {
            return Ok(());
        }
        let reasons: Vec<_> = (0..HOSTS)
            .filter(|host| !self.hosts[*host].over)
            .map(|host| {
                let at = self.hosts[host].cursor.leaf().map(|(at, _)| at.to_string());
                let (evaluate, send) = (
                    self.dispatcher.may_evaluate(HostIndex(host)),
                    self.dispatcher.may_send(HostIndex(host)),
                );
                format!("host {host} at {at:?}: evaluate {evaluate:?}, send {send:?}")
            })
            .collect();
        Err(format!("no progress: {}", reasons.join("; ")))
    }

    fn channel(&mut self, host: usize, elsewhere: bool) -> &mut Channel<'a> {
        if elsewhere { &mut self.elsewhere[host] } else { &mut self.own[host] }
    }

    /// The helper runs one item of its first call.
    fn work(&mut self, host: usize, elsewhere: bool) {
        let channel = if elsewhere { &mut self.elsewhere[host] } else { &mut self.own[host] };
        let Some(call) = channel.queue.front_mut() else { return };
        if channel.stopped.is_some_and(|stopped| call.generation <= stopped) {
            channel.queue.pop_front();
            return;
        }
        let item = self.state.call(host, call.task, call.arguments[call.done.len()]);
        call.done.push(item);
        if !item.lost && call.done.len() < call.arguments.len() {
            return;
        }
        let Some(call) = channel.queue.pop_front() else { return };
        let outcome = Outcome::Ran(call.done);
        let stops =
            call.task.judged.is_none() && !call.task.ignore_errors && outcome.failed(call.task);
        if stops || item.lost {
            channel.stopped = Some(call.generation);
        }
        channel.replies.push_back((call.at, outcome));
    }

    /// The controller hears of the first finished call.
    fn deliver(&mut self, host: usize, elsewhere: bool) {
        let Some((at, outcome)) = self.channel(host, elsewhere).replies.pop_front() else { return };
        let index = HostIndex(host);
        let flight = self.hosts[host].flights.pop_front().unwrap();
        assert_eq!(flight.at, at, "results come in the order of sending");
        let shares = if flight.task.run_once && !outcome.lost() {
            self.dispatcher.announced_at(&at).filter(|other| *other != index).collect()
        } else {
            Vec::new()
        };
        if outcome.lost() {
            self.results[host].push((at.clone(), outcome.clone()));
            self.retract(host);
            self.own[host].queue.clear();
            self.leave(host);
        } else {
            self.state.learn(host, flight.task, &outcome);
            if let Some(handler) = flight.handler {
                self.state.notified[host][handler] = false;
            }
            self.results[host].push((at.clone(), outcome.clone()));
            if outcome.failed(flight.task) && !flight.task.ignore_errors {
                self.dispatcher.failed(index, &at).unwrap();
                self.retract(host);
                self.divert(host, flight.cursor);
            } else {
                let settled = self.dispatcher.finished(index, &at).unwrap();
                self.settle(host, &settled[1..]);
            }
        }
        for other in shares {
            self.share(other.0, &at, flight.task, &outcome);
        }
        self.wake(host);
    }

    /// Another host has run the `run_once` task that this host stands at.
    fn share(&mut self, host: usize, at: &Position, task: &'a Task, outcome: &Outcome) {
        self.state.learn(host, &unnotifying(task), outcome);
        self.results[host].push((at.clone(), outcome.clone()));
        let settled = self.dispatcher.passed(HostIndex(host)).unwrap();
        assert_eq!(settled.first(), Some(at));
        if outcome.failed(task) && !task.ignore_errors {
            let cursor = self.hosts[host].cursor.clone();
            self.divert(host, cursor);
        } else {
            self.advance(host);
        }
        self.to_try[host] = true;
    }

    /// The passes behind a finished step hold.
    fn settle(&mut self, host: usize, settled: &[Position]) {
        for at in settled {
            let pass = self.hosts[host].passes.pop_front().unwrap();
            assert_eq!(pass.at, *at);
            self.results[host].push((pass.at, pass.outcome));
        }
    }

    /// Whatever was passed behind a failure never happened.
    fn retract(&mut self, host: usize) {
        while let Some(pass) = self.hosts[host].passes.pop_back() {
            if let Some((name, value)) = pass.name {
                self.state.names[host][name] = value;
            }
            if let Some((handler, value)) = pass.handler {
                self.state.notified[host][handler] = value;
            }
        }
        self.hosts[host].flights.clear();
    }

    fn divert(&mut self, host: usize, from: Cursor<'a>) {
        let controlled = &mut self.hosts[host];
        controlled.generation += 1;
        controlled.cursor = from;
        controlled.cursor.fail();
        controlled.told = false;
        controlled.ready = None;
    }

    fn advance(&mut self, host: usize) {
        self.hosts[host].cursor.advance();
        self.hosts[host].told = false;
        self.hosts[host].ready = None;
    }

    fn leave(&mut self, host: usize) {
        self.dispatcher.deactivate(HostIndex(host));
        self.state.active[host] = false;
        self.hosts[host].over = true;
    }

    fn wake(&mut self, host: usize) {
        self.to_try[host] = true;
        for released in self.dispatcher.released() {
            self.to_try[released.0] = true;
        }
    }

    /// The controller does for a host what it may, until it is stuck or (at random) stops.
    fn attempt(&mut self, host: usize, mut random: Option<&mut Random>) {
        while !self.hosts[host].over {
            let stop = random.as_mut().is_some_and(|random| random.below(4) == 0);
            if stop {
                return;
            }
            if let Progress::Stuck = self.advance_once(host) {
                break;
            }
            self.wake(host);
        }
        self.to_try[host] = false;
    }

    fn advance_once(&mut self, host: usize) -> Progress {
        let index = HostIndex(host);
        let Some((at, leaf)) = self.hosts[host].cursor.leaf() else { return self.at_end(host) };
        if !self.hosts[host].told {
            self.hosts[host].told = true;
            let step = step(&self.hosts[host].cursor, at, leaf);
            self.dispatcher.next_is(index, step).unwrap();
            return Progress::Moved;
        }
        if self.hosts[host].ready.is_none() {
            if self.dispatcher.may_evaluate(index) != Verdict::Go || self.needs(host, leaf) {
                return Progress::Stuck;
            }
            return self.evaluate(host, at, leaf);
        }
        if self.dispatcher.may_send(index) != Verdict::Go {
            return Progress::Stuck;
        }
        self.send(host, at, leaf);
        Progress::Moved
    }

    /// Whether nobody has told the controller to try this host although it could go on.
    fn is_forgotten(&self, host: usize) -> bool {
        let controlled = &self.hosts[host];
        if self.to_try[host] || controlled.over {
            return false;
        }
        let Some((_, leaf)) = controlled.cursor.leaf() else { return false };
        if controlled.ready.is_some() {
            return self.dispatcher.may_send(HostIndex(host)) == Verdict::Go;
        }
        self.dispatcher.may_evaluate(HostIndex(host)) == Verdict::Go && !self.needs(host, leaf)
    }

    fn at_end(&mut self, host: usize) -> Progress {
        let controlled = &mut self.hosts[host];
        if !controlled.flights.is_empty() {
            // A host that fails in the end isn't at its end: it leaves, and others may see that.
            if controlled.told || controlled.cursor.failed {
                return Progress::Stuck;
            }
            controlled.told = true;
            self.dispatcher.at_end(HostIndex(host)).unwrap();
            return Progress::Moved;
        }
        controlled.over = true;
        if controlled.cursor.failed {
            self.leave(host);
        } else {
            self.dispatcher.at_end(HostIndex(host)).unwrap();
        }
        Progress::Moved
    }

    /// Whether the evaluation touches something that a step in flight will change: a name, or a
    /// notification; to overwrite one counts as touching it.
    fn needs(&self, host: usize, leaf: Leaf<'a>) -> bool {
        let flights = &self.hosts[host].flights;
        let names = |name: usize| flights.iter().any(|flight| flight.task.register == Some(name));
        let reads = |expr: &super::play::Expr| {
            expr.0.iter().any(|term| match *term {
                Term::Own(name) => names(name),
                Term::Peer(peer, name) => peer == host && names(name),
                Term::Const(_) | Term::Active => false,
            })
        };
        match leaf {
            Leaf::Include(include) => reads(&include.choose),
            Leaf::Handler(_, handler)
                if flights.iter().any(|flight| {
                    flight.task.notify == Some(handler) || flight.handler == Some(handler)
                }) =>
            {
                true
            }
            Leaf::Handler(_, handler) if !self.state.notified[host][handler] => false,
            Leaf::Task(task) | Leaf::Handler(task, _) => {
                let writes =
                    if let Action::Fact { name } = task.action { Some(name) } else { None };
                task.expressions().any(reads)
                    || [writes, task.register].into_iter().flatten().any(names)
            }
        }
    }

    fn evaluate(&mut self, host: usize, at: Position, leaf: Leaf<'a>) -> Progress {
        let (task, handler) = match leaf {
            Leaf::Include(include) => {
                let value = self.state.value(host, &include.choose);
                let file = value.rem_euclid(include.files.len() as i64) as usize;
                self.pass(
                    host,
                    Pass { at, outcome: Outcome::Expanded(file), name: None, handler: None },
                );
                self.hosts[host].cursor.expand(file);
                self.hosts[host].told = false;
                return Progress::Moved;
            }
            Leaf::Task(task) => (task, None),
            Leaf::Handler(_, handler) if !self.state.notified[host][handler] => {
                self.pass(host, Pass { at, outcome: Outcome::Skipped, name: None, handler: None });
                self.advance(host);
                return Progress::Moved;
            }
            Leaf::Handler(task, handler) => (task, Some((handler, true))),
        };
        let arguments = self.state.arguments(host, task);
        let fact = if let Action::Fact { name } = task.action { Some(name) } else { None };
        if !arguments.is_empty() && fact.is_none() {
            self.hosts[host].ready = Some(arguments);
            return Progress::Moved;
        }
        let written = if arguments.is_empty() { task.register } else { fact };
        let name = written.map(|name| (name, self.state.names[host][name]));
        let items: Vec<_> =
            arguments.iter().map(|argument| self.state.call(host, task, *argument)).collect();
        let outcome = if items.is_empty() { Outcome::Skipped } else { Outcome::Ran(items) };
        self.state.learn(host, task, &outcome);
        if let Some((handler, _)) = handler {
            self.state.notified[host][handler] = false;
        }
        if task.run_once {
            for other in self.dispatcher.announced_at(&at).collect::<Vec<_>>() {
                if other.0 != host {
                    self.share(other.0, &at, task, &outcome);
                }
            }
        }
        self.pass(host, Pass { at, outcome, name, handler });
        self.advance(host);
        Progress::Moved
    }

    fn pass(&mut self, host: usize, pass: Pass) {
        let settled = self.dispatcher.passed(HostIndex(host)).unwrap();
        self.hosts[host].passes.push_back(pass);
        self.settle(host, &settled);
    }

    fn send(&mut self, host: usize, at: Position, leaf: Leaf<'a>) {
        let (Leaf::Task(task) | Leaf::Handler(task, _)) = leaf else { panic!("sends an include") };
        let handler = if let Leaf::Handler(_, handler) = leaf { Some(handler) } else { None };
        self.dispatcher.sent(HostIndex(host)).unwrap();
        let controlled = &mut self.hosts[host];
        let arguments = controlled.ready.take().unwrap();
        let cursor = controlled.cursor.clone();
        controlled.flights.push_back(Flight { at: at.clone(), task, handler, cursor });
        self.most_in_flight = self.most_in_flight.max(controlled.flights.len());
        let generation = controlled.generation;
        let call = Call { generation, at, task, arguments, done: Vec::new() };
        self.channel(host, task.elsewhere || task.on_controller()).queue.push_back(call);
        self.advance(host);
    }
}

/// What the engine says of a step: everything static.
fn step(cursor: &Cursor<'_>, position: Position, leaf: Leaf<'_>) -> Step {
    let world_after = cursor.world_after();
    let scope = |world| if world { Scope::World } else { Scope::Host };
    match leaf {
        Leaf::Include(include) => Step {
            evaluation: scope(include.choose.reads_world()),
            world_after: cursor.world_in_include().or(world_after),
            world_if_failed: None,
            ..Step::host(position)
        },
        Leaf::Task(task) | Leaf::Handler(task, _) => Step {
            scope: scope(task.acts_on_world()),
            evaluation: scope(task.reads_world()),
            flow: if task.elsewhere || task.on_controller() {
                Flow::Alone
            } else if task.judged.is_some() {
                Flow::Judged
            } else {
                Flow::Streamed
            },
            turn: if task.run_once { Turn::Once } else { Turn::Each },
            world_after,
            world_if_failed: if task.ignore_errors { None } else { cursor.world_if_failed() },
            position,
        },
    }
}

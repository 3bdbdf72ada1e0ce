//! One play on one batch of hosts: a loop that takes results and sends calls.
//!
//! The dispatcher (pure) says what may be evaluated and sent; this module evaluates, sends and
//! takes results. Everything happens on one task, in the order of arrival; only what the hosts
//! are told depends on time, never what a result means.

mod argument_spec;
mod break_when;
mod flight;
mod handlers;
mod include;
mod include_vars;
mod local;
mod meta;
mod once;
mod pause;
mod results;
mod send;
mod step;
mod unreachable;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use provision_plan::{Dispatcher, Flow, HostIndex, Order, Position, Scope};
use provision_playbook::Loader;
use provision_playbook::inventory::Inventory;
use provision_playbook::model::{Handler, Item, Play, RoleIdentity, Strategy, Task, TaskId};
use tokio::sync::mpsc;

use crate::cursor::{Cursor, Entry};
use crate::evaluate::Plan;
use crate::event::Event;
use crate::horizon::Horizon;
use crate::load::Again;
use crate::outside::Outside;
use crate::reach::Reaches;
use crate::report::Report;
use crate::session::{Pool, SessionEvent, SessionKey};
use crate::variables::{HostVariables, Layer, View};
use crate::world::{PlayState, World};

pub use flight::Flight;

/// Something that the loop waits for.
#[derive(Debug)]
pub enum Arrival {
    /// From a session.
    Session(SessionKey, SessionEvent),
    /// A delay is over.
    Timer {
        /// Whose.
        host: HostIndex,
        /// Which flight.
        token: u64,
    },
    /// The operator asks to end: first time after the running step, second time at once.
    Interrupt,
}

/// What all plays of a run share.
pub struct Shared {
    /// Variables and settings.
    pub world: Arc<World>,
    /// Loader, for dynamic includes.
    pub loader: Arc<Mutex<Loader>>,
    /// Sessions.
    pub pool: Pool,
    /// Where arrivals come from.
    pub arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// For timers.
    pub sender: mpsc::UnboundedSender<Arrival>,
    /// Output.
    pub report: Report,
    /// Static knowledge about tasks.
    pub reaches: Reaches,
    /// `--strict-order`.
    pub strict_order: bool,
    /// Whether the operator asked to end.
    pub interrupts: u32,
    /// What of the playbook itself ends the run for all hosts.
    pub error: Option<String>,
    /// Hosts that are out for the rest of the run.
    pub failed: BTreeSet<String>,
    /// Hosts that can't be reached.
    pub unreachable: BTreeSet<String>,
    /// Handlers that an earlier run left notified, by host.
    pub left_notified: HashMap<String, BTreeSet<String>>,
    /// Whether `meta: end_play`-like or a limit stopped everything.
    pub stopped_by_limit: bool,
    /// Components whose restart roles leave to the planner (see `Settings::rolls_restarts`).
    pub restarts_due: BTreeSet<String>,
    /// Who says of each task whether it runs.
    pub step: Option<Box<crate::run::AskStep>>,
    /// Who answers a `pause`.
    pub pause: Option<Box<crate::run::AskPause>>,
    /// `meta: end_play`: later batches of the play are left out.
    pub play_is_ended: bool,
    /// What was loaded, for `meta: refresh_inventory`.
    pub again: Arc<Again>,
    /// The inventory, if it was read anew.
    pub refreshed: Option<Inventory>,
}

impl Shared {
    /// Tells what evaluations warn of, each once: of failed lookups that do no more than that, and of
    /// conditions that are no booleans.
    pub(crate) fn tell_warnings(&mut self) {
        for message in self.world.warnings.take() {
            self.report.warn(None, message);
        }
        let odd = self.world.odd_conditions.take();
        if odd.is_empty() {
            return;
        }
        let loader = self.loader.lock().unwrap_or_else(PoisonError::into_inner);
        for condition in odd {
            self.report.warn(None, condition.message(loader.sources()));
        }
    }
}

/// What a host is about to do.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    pub position: Position,
    pub kind: AheadKind,
    pub plan: Option<Plan>,
    /// Evaluation waits for this token.
    pub blocked_on: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) enum AheadKind {
    Task { task: Arc<Task>, handler: bool },
    Flush,
}

/// A step that was over by evaluation alone; its effects wait until nothing before it can fail.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub position: Position,
    pub token: u64,
    pub effect: Option<flight::Ended>,
    /// Handlers that have run by then.
    pub completes: Vec<RanHandler>,
}

/// A handler that has run, or is on its way, and that its own call does not make forgotten: where
/// it stood, and its name in the host's memory.
pub(crate) type RanHandler = (Position, String);

/// A host in the play.
pub(crate) struct HostRun {
    pub index: HostIndex,
    pub variables: Arc<HostVariables>,
    pub session: SessionKey,
    pub cursor: Cursor,
    /// Where it failed last, by itself or with another host.
    pub failed_at: Option<Position>,
    pub ahead: Option<Ahead>,
    pub flights: VecDeque<Flight>,
    pub passes: VecDeque<Pass>,
    pub notified: BTreeSet<u32>,
    /// Handlers of the current flush that the host must be told to forget.
    pub ran_handlers: Vec<RanHandler>,
    /// Handlers that the host may remember although nothing notified them.
    pub recorded: BTreeSet<u32>,
    pub roles_done: HashSet<RoleIdentity>,
    /// Roles of which a task ran: only those are done at their end.
    pub roles_run: HashSet<RoleIdentity>,
    pub next_token: u64,
    pub at_end: bool,
    pub active: bool,
    pub connected: bool,
}

/// One play on one batch.
pub struct PlayRun<'a> {
    pub(crate) shared: &'a mut Shared,
    pub(crate) state: Arc<PlayState>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) hosts: Vec<HostRun>,
    pub(crate) horizon: Horizon,
    pub(crate) handlers: Vec<Arc<Handler>>,
    /// Who waits for a call's result.
    pub(crate) owners: HashMap<(SessionKey, u64), Owner>,
    pub(crate) includes: include::Includes,
    pub(crate) failed_hosts: usize,
    /// A failure is one of all hosts (`any_errors_fatal`); some may have a `rescue` or `always`.
    pub(crate) fatal: bool,
    pub(crate) ended: bool,
    /// Hosts to be looked at again.
    pub(crate) woken: Vec<HostIndex>,
    /// Whether handlers that an earlier run left notified stay so.
    pub(crate) leaves_handlers: bool,
    /// Tasks of which a template has told whether they run once.
    pub(crate) once: HashSet<TaskId>,
    /// Where the inventory was read again: once for all hosts.
    pub(crate) refreshed: BTreeSet<Position>,
    /// What the operator said of tasks.
    pub(crate) steps: BTreeMap<Position, bool>,
    /// Whether a host waits only because enough others run the same task.
    pub(crate) somebody_is_held_back: bool,
}

/// Who waits for a call's result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub host: HostIndex,
    pub token: u64,
    pub item: usize,
}

/// The session of a host in a play: that of this machine if the play says so and the host's
/// variables say nothing.
fn session_of(shared: &Shared, play: &Play, host: &Arc<HostVariables>) -> SessionKey {
    let written = play.context.directives.connection.as_ref().and_then(yaml::Node::as_str);
    let is_local = matches!(written, Some("local" | "ansible.builtin.local"));
    let view = View::of_host(&shared.world, host);
    let says_itself = || {
        let outside = Outside::of(&view);
        let value = shared.world.engine.variable("ansible_connection", &view, &outside);
        !matches!(value, Ok(None))
    };
    match is_local && !says_itself() {
        true => SessionKey::local(&host.name),
        false => shared.pool.key_of(host),
    }
}

impl<'a> PlayRun<'a> {
    /// A play about to begin.
    #[must_use]
    pub fn new(shared: &'a mut Shared, state: Arc<PlayState>) -> Self {
        let order = match (shared.strict_order, state.play.strategy) {
            (true, _) => Order::Strict,
            (false, Strategy::Linear) => Order::Fenced,
            (false, Strategy::Free | Strategy::HostPinned) => Order::Free,
        };
        let hosts: Vec<HostRun> = state
            .batch
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let variables = shared.world.host_or_new(name);
                HostRun {
                    index: HostIndex(index),
                    session: session_of(shared, &state.play, &variables),
                    variables,
                    cursor: Cursor::at_start(&state.play),
                    failed_at: None,
                    ahead: None,
                    flights: VecDeque::new(),
                    passes: VecDeque::new(),
                    notified: BTreeSet::new(),
                    ran_handlers: Vec::new(),
                    recorded: BTreeSet::new(),
                    roles_done: HashSet::new(),
                    roles_run: HashSet::new(),
                    next_token: 1,
                    at_end: false,
                    active: true,
                    connected: false,
                }
            })
            .collect();
        PlayRun {
            dispatcher: Dispatcher::new(hosts.len(), order),
            handlers: state.play.handlers.clone(),
            hosts,
            horizon: Horizon::default(),
            owners: HashMap::new(),
            includes: include::Includes::default(),
            failed_hosts: 0,
            fatal: false,
            ended: false,
            woken: Vec::new(),
            leaves_handlers: false,
            once: HashSet::new(),
            refreshed: BTreeSet::new(),
            steps: BTreeMap::new(),
            somebody_is_held_back: false,
            shared,
            state,
        }
    }

    /// Handlers that an earlier run left notified stay notified: this play only looks, or is about
    /// other things.
    #[must_use]
    pub fn leaving_handlers(self) -> Self {
        PlayRun { leaves_handlers: true, ..self }
    }

    /// Classifies everything below some items, and all handlers.
    pub(crate) fn classify_all(&mut self, items: &[Item]) {
        let mut tasks: Vec<Arc<Task>> = Vec::new();
        for item in items {
            include::collect_tasks(Entry::Item(item), &mut tasks);
        }
        tasks.extend(self.handlers.iter().map(|handler| handler.task.clone()));
        for task in &tasks {
            self.shared.reaches.define_around(task);
        }
        for task in tasks {
            self.classify(&task);
        }
    }

    /// Runs the play to its end on this batch.
    pub async fn run(&mut self) {
        let play = self.state.play.clone();
        self.classify_all(&play.items);
        for index in 0..self.hosts.len() {
            let Some(host) = self.hosts.get_mut(index) else { continue };
            match self.shared.pool.open(&host.session, &host.variables) {
                Ok(connected) => host.connected = connected,
                Err(message) => {
                    let hint = None;
                    self.lose(HostIndex(index), &message, hint);
                }
            }
            self.take_left_notified(HostIndex(index));
        }
        let mut wake: VecDeque<HostIndex> = self.hosts.iter().map(|host| host.index).collect();
        loop {
            while let Some(host) = wake.pop_front() {
                if !self.advance(host) {
                    continue;
                }
                if std::mem::take(&mut self.somebody_is_held_back) {
                    self.woken.extend(self.hosts.iter().map(|host| host.index));
                }
                let released = self.dispatcher.released();
                for other in released.into_iter().chain(self.woken.drain(..)) {
                    if !wake.contains(&other) {
                        wake.push_back(other);
                    }
                }
            }
            self.settle_report();
            if self.is_over() {
                break;
            }
            let Some(arrival) = self.shared.arrivals.recv().await else { break };
            self.take(arrival, &mut wake);
            while let Ok(arrival) = self.shared.arrivals.try_recv() {
                self.take(arrival, &mut wake);
            }
            wake.extend(self.dispatcher.released());
            if std::mem::take(&mut self.somebody_is_held_back) {
                wake.extend(self.hosts.iter().map(|host| host.index));
            }
            wake.append(&mut self.woken.drain(..).collect());
        }
        self.shared.tell_warnings();
        self.shared.report.settle(None);
    }

    fn is_over(&self) -> bool {
        let busy = |host: &HostRun| !host.at_end || !host.flights.is_empty();
        let interrupted = self.shared.interrupts > 0;
        !self.hosts.iter().any(|host| {
            host.active && if interrupted { !host.flights.is_empty() } else { busy(host) }
        }) || self.shared.interrupts > 1
    }

    fn take(&mut self, arrival: Arrival, wake: &mut VecDeque<HostIndex>) {
        match arrival {
            Arrival::Interrupt => {
                self.shared.interrupts += 1;
                if self.shared.interrupts > 1 {
                    self.shared.pool.cancel_all();
                }
            }
            Arrival::Timer { host, token } => {
                self.retry(host, token);
                wake.push_back(host);
            }
            Arrival::Session(key, event) => self.take_session(&key, event, wake),
        }
    }

    fn take_session(
        &mut self,
        key: &SessionKey,
        event: SessionEvent,
        wake: &mut VecDeque<HostIndex>,
    ) {
        self.shared.pool.note(key, &event);
        let hosts: Vec<HostIndex> =
            self.hosts.iter().filter(|host| host.session == *key).map(|host| host.index).collect();
        match event {
            SessionEvent::Connected { hello, duration_ms, uploaded_bytes } => {
                self.shared.report.event(&Event::HostConnected {
                    host: key.host().to_owned(),
                    duration_ms,
                    uploaded_bytes,
                });
                self.shared
                    .left_notified
                    .entry(key.host().to_owned())
                    .or_default()
                    .extend(hello.pending_handlers);
                for host in hosts {
                    if let Some(host) = self.hosts.get_mut(host.0) {
                        host.connected = true;
                    }
                    self.take_left_notified(host);
                    wake.push_back(host);
                }
            }
            SessionEvent::Started(_) => {}
            SessionEvent::Dropped(id) => {
                self.owners.remove(&(key.clone(), id));
            }
            SessionEvent::Warning(text) => self.shared.report.warn(Some(key.host()), text),
            SessionEvent::Result(result) => {
                if let Some(owner) = self.owners.remove(&(key.clone(), result.id)) {
                    self.arrived(owner, result.result, result.duration_us);
                    wake.push_back(owner.host);
                }
            }
            SessionEvent::Lost { message, hint } => {
                self.session_lost(key, &message, hint.as_deref());
                wake.extend(hosts);
                wake.extend(self.hosts.iter().map(|host| host.index));
            }
        }
    }

    /// A session is gone for good: its host is unreachable, and so is every task that waits for
    /// a result from it.
    fn session_lost(&mut self, key: &SessionKey, message: &str, hint: Option<&str>) {
        let mut orphans: Vec<Owner> = Vec::new();
        self.owners.retain(|(session, _), owner| {
            if session == key {
                orphans.push(*owner);
            }
            session != key
        });
        for owner in orphans {
            let own = self.hosts.get(owner.host.0).is_some_and(|host| host.session == *key);
            if !own {
                let text = format!("the delegate {} is unreachable: {message}", key.host());
                let mut result = provision_protocol::Object::new();
                result.insert("unreachable".into(), true.into());
                result.insert("failed".into(), true.into());
                result.insert("msg".into(), text.into());
                self.arrived(owner, result, 0);
            }
        }
        let own: Vec<HostIndex> = self
            .hosts
            .iter()
            .filter(|host| host.session == *key && host.active)
            .map(|host| host.index)
            .collect();
        for host in own {
            self.lose(host, message, hint.map(str::to_owned));
        }
    }

    /// A host can't be reached any more.
    pub(crate) fn lose(&mut self, index: HostIndex, message: &str, hint: Option<String>) {
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        if !host.active || self.goes_on_unreachable(index, message) {
            return;
        }
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        host.active = false;
        host.flights.clear();
        host.passes.clear();
        host.ahead = None;
        host.variables.learned.settle_all();
        let name = host.variables.name.clone();
        self.dispatcher.deactivate(index);
        self.state.lose(&name);
        self.failed_hosts += 1;
        self.shared.unreachable.insert(name.clone());
        self.shared.report.recap_of(&name).unreachable += 1;
        self.shared.report.event(&Event::HostUnreachable {
            host: name,
            message: message.to_owned(),
            hint,
        });
        self.check_limits();
    }

    /// A host failed and nothing rescues it.
    pub(crate) fn drop_host(&mut self, index: HostIndex) {
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        host.active = false;
        host.ahead = None;
        let name = host.variables.name.clone();
        self.dispatcher.deactivate(index);
        self.state.lose(&name);
        self.shared.failed.insert(name);
        self.failed_hosts += 1;
        self.check_limits();
    }

    /// Ends the play for all when too many hosts are out.
    fn check_limits(&mut self) {
        let limit = self
            .state
            .play
            .max_fail_percentage
            .as_ref()
            .and_then(|node| node.as_integer().or_else(|| node.as_str()?.trim().parse().ok()));
        let total = self.hosts.len().max(1);
        let over = limit.is_some_and(|limit| {
            i64::try_from(self.failed_hosts * 100 / total).unwrap_or(i64::MAX) > limit
        });
        if over {
            self.shared.stopped_by_limit = true;
            self.end_all();
        }
    }

    /// Ends the play on all hosts.
    pub(crate) fn end_all(&mut self) {
        self.ended = true;
        for index in 0..self.hosts.len() {
            if let Some(host) = self.hosts.get_mut(index) {
                host.cursor.end();
                host.ahead = None;
            }
        }
    }

    /// Tells the report up to where everything is over.
    fn settle_report(&mut self) {
        self.shared.tell_warnings();
        let frontier = self
            .hosts
            .iter()
            .filter(|host| host.active && !(host.at_end && host.flights.is_empty()))
            .filter_map(|host| {
                let flight = host.flights.front().map(|flight| &flight.position);
                let pass = host.passes.front().map(|pass| &pass.position);
                let ahead = host.ahead.as_ref().map(|ahead| &ahead.position);
                [flight, pass, ahead].into_iter().flatten().min().cloned()
            })
            .min();
        if frontier.is_some() {
            self.shared.report.settle(frontier.as_ref());
        }
    }

    /// Classifies a task for fences, once.
    pub(crate) fn classify(&mut self, task: &Arc<Task>) -> (Scope, Scope, Flow, bool) {
        let class = self.shared.reaches.classify(&self.shared.world, task);
        // Under a failure limit, every task of the play ends everywhere before the next begins.
        let limited = self.state.play.max_fail_percentage.is_some();
        let scope = if limited { Scope::World } else { class.scope };
        // All hosts begin the task before any of them can fail.
        let flow = if limited { Flow::Alone } else { class.flow };
        let world = scope == Scope::World || class.evaluation == Scope::World || class.once;
        self.horizon.classify(task.id, world);
        (scope, class.evaluation, flow, class.once)
    }

    /// Asks that a host is looked at again.
    pub(crate) fn wake(&mut self, host: HostIndex) {
        self.woken.push(host);
    }

    pub(crate) fn host(&self, index: HostIndex) -> Option<&HostRun> {
        self.hosts.get(index.0)
    }

    /// Variables that dynamic includes brought in, outermost first.
    pub(crate) fn include_layers(cursor: &Cursor) -> Vec<Arc<Layer>> {
        cursor.frames().iter().filter_map(|frame| frame.variables.clone()).collect()
    }
}

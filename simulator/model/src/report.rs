//! What a run is summed up to: a cell for each command and class, and of each app how busy it was
//! and how many instances it had. All of
//! it is integers, so reports don't depend on the order in which outcomes come.

use policy::placement::Unplaced;
use policy::scaling::{Action, Observation};
use policy::{Class, Nanoseconds, Refusal, Time};
use scheduler_core::decision::{Decided, Decision};
use simulator_kernel::Summary;

use crate::crowd::Crowd;
use crate::faults::Incident;
use crate::lending::Lending;
use crate::links::{Flow, Traffic};
use crate::model::{App, Model};
use crate::outages::Outages;
use crate::outcome::{Instances, Served};
use crate::scheduler::Deployed;
use crate::sharing::{Slot, Stopped};
use crate::stages::{Path, Paths, Stage};
use crate::usage::Usage;
use crate::workload::BLOCK;
use crate::{Arrival, Block, Outcome, Record};

/// The report of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// One cell for each pair of command and class that any source sends.
    pub cells: Vec<Cell>,
    /// Time that instances of each app worked within the reported window, in nanoseconds. Where they
    /// work on several requests at a time, it is the time that the work would have taken with all
    /// cores of an instance: what is lost by the crowd isn't in it.
    pub busy: Vec<u128>,
    /// How many instances each app had.
    pub usage: Vec<Usage>,
    /// How long machines were down or slow.
    pub machines: Outages,
    /// What each pair of apps that share has lent.
    pub lending: Vec<Lending>,
    /// What links have carried that transfers share, by kind.
    pub traffic: Vec<Traffic>,
    /// Deployments of a scheduler, in the order in which they began; of single runs only.
    pub deployments: Vec<Deployed>,
    /// Arrivals before are not reported.
    from: Time,
    until: Time,
    /// Whether the run was stopped before its end.
    is_partial: bool,
    sources: Vec<SourceInfo>,
    paths: Paths,
}

/// Requests of a command and a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The command, as a place in the model.
    pub cmd: usize,
    /// The class.
    pub class: Class,
    /// How many were refused, by cause, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// How many were served after their deadline.
    pub late: u64,
    /// In the queue, until work begins, of those that were served.
    pub wait: Summary,
    /// From the arrival to the end of work, or until the answer has been sent.
    pub response: Summary,
    /// The stages in the order of [`Stage::ALL`], of those that were served; empty if the command
    /// has no stages besides queue and work.
    pub stages: [Summary; Stage::ALL.len()],
    /// How many of the served had a source that was downloaded.
    pub downloaded: u64,
    /// How many had one that was on the machine already.
    pub cached: u64,
    /// What their clients saw, if they try again: everything else counts attempts.
    pub clients: Clients,
}

/// What clients that try again saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    /// How many requests they had.
    pub requests: u64,
    /// How many attempts those took.
    pub attempts: u64,
    /// From the first attempt to the answer, of requests that were answered within the deadline of
    /// one of their attempts.
    pub answer: Summary,
}

impl Clients {
    /// How many requests were answered in time.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answer.count()
    }

    fn merge(&mut self, other: &Clients) {
        self.requests += other.requests;
        self.attempts += other.attempts;
        self.answer.merge(&other.answer);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SourceInfo {
    cell: usize,
    app: usize,
    deadline: Nanoseconds,
    /// The part of an instance that a request needs; the whole if absent.
    part: Option<(u32, u32)>,
}

impl Cell {
    fn new(cmd: usize, class: Class) -> Self {
        Cell {
            cmd,
            class,
            refused: [0; Refusal::ALL.len()],
            late: 0,
            wait: Summary::default(),
            response: Summary::default(),
            stages: std::array::from_fn(|_| Summary::default()),
            downloaded: 0,
            cached: 0,
            clients: Clients::default(),
        }
    }

    /// Takes in a request that was served and has no stages besides queue and work.
    #[inline(always)]
    fn serve_plainly(&mut self, arrival: &Arrival, served: Served, deadline: Nanoseconds) {
        let response = served.end.since(arrival.at);
        self.wait.record(served.start.since(arrival.at));
        self.response.record(response);
        self.late += u64::from(response > deadline);
    }

    /// Takes in a request that was served, with its stages.
    #[inline(always)]
    pub(crate) fn serve(&mut self, path: &Path, at: Time, served: Served, deadline: Nanoseconds) {
        let wait = served.start.since(at + path.before());
        let compute = served.end.since(served.start);
        let response = (served.end + path.respond).since(at);
        self.wait.record(wait);
        self.response.record(response);
        self.late += u64::from(response > deadline);
        let times = [path.accept, path.dispatch, path.download, wait, compute, path.respond];
        for (stage, time) in self.stages.iter_mut().zip(times) {
            stage.record(time);
        }
        match (path.source_bytes, path.is_cached) {
            (Some(_), true) => self.cached += 1,
            (Some(_), false) => self.downloaded += 1,
            (None, _) => {}
        }
    }

    /// The stages with their times, if the command has any besides queue and work.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, &Summary)> {
        let any = self.stages.iter().any(|stage| stage.count() > 0);
        Stage::ALL.into_iter().zip(&self.stages).filter(move |_| any)
    }

    /// How many arrived.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.served() + self.refusals()
    }

    /// How many were served.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.response.count()
    }

    /// How many were refused, for any cause.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Adds another cell.
    pub fn merge(&mut self, other: &Cell) {
        for (count, more) in self.refused.iter_mut().zip(&other.refused) {
            *count += more;
        }
        self.late += other.late;
        self.wait.merge(&other.wait);
        self.response.merge(&other.response);
        for (stage, more) in self.stages.iter_mut().zip(&other.stages) {
            stage.merge(more);
        }
        self.downloaded += other.downloaded;
        self.cached += other.cached;
        self.clients.merge(&other.clients);
    }
}

impl Report {
    /// The report of no run at all, for those of runs to be added.
    #[must_use]
    pub fn none(model: &Model) -> Self {
        let report = Report::new(model);
        let usage = report.usage.iter().map(|_| Usage::none()).collect();
        let machines = Outages::none();
        let lending = report.lending.iter().map(|_| Lending::none()).collect();
        let traffic = report.traffic.iter().cloned().map(Traffic::of_none).collect();
        Report { usage, machines, lending, traffic, ..report }
    }

    /// The report of a run that has not begun.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let mut cells: Vec<Cell> = Vec::new();
        let mut sources = Vec::new();
        for source in &model.sources {
            let group = model.tenants.get(source.tenants);
            let class = group.map_or(Class::Free, |group| group.class);
            let known = cells.iter().position(|cell| (cell.cmd, cell.class) == (source.cmd, class));
            let cell = known.unwrap_or(cells.len());
            if known.is_none() {
                cells.push(Cell::new(source.cmd, class));
            }
            let cmd = model.cmds.get(source.cmd);
            let deadline = cmd.and_then(|cmd| cmd.deadline).unwrap_or(Nanoseconds(u64::MAX));
            let app = cmd.map_or(0, |cmd| cmd.app);
            let crowd = model.apps.get(app).and_then(|app| app.crowd.as_ref());
            sources.push(SourceInfo { cell, app, deadline, part: crowd.map(Crowd::part) });
        }
        let (from, until) = (Time(model.warm_up.0), Time(model.duration.0));
        let usage = |app: &App| {
            let ready = u32::try_from(app.all_instances()).unwrap_or(u32::MAX);
            Usage::new(Instances { ready, ..Instances::default() }, from, until)
        };
        Report {
            cells,
            busy: vec![0; model.apps.len()],
            usage: model.apps.iter().map(usage).collect(),
            machines: Outages::new(from, until),
            lending: model.sharing().map_or_else(Vec::new, |sharing| {
                sharing.pairs.iter().map(|_| Lending::new(from, until)).collect()
            }),
            traffic: Traffic::of(model),
            deployments: Vec::new(),
            from,
            until,
            is_partial: false,
            sources,
            paths: Paths::new(model),
        }
    }

    /// The length of the reported window.
    #[must_use]
    pub const fn window(&self) -> Nanoseconds {
        self.until.since(self.from)
    }

    /// The run was stopped: nothing that would have arrived since is in it.
    pub fn cut(&mut self, stopped: Time) {
        self.until = self.until.min(stopped);
        self.usage.iter_mut().for_each(|usage| usage.cut(stopped));
        self.lending.iter_mut().for_each(|lending| lending.cut(stopped));
        self.machines.cut(stopped);
        self.is_partial = true;
    }

    /// When a run ended that was stopped. What had been taken in by then is in it to its end, so
    /// [`Report::busy`] counts work that lies behind.
    #[must_use]
    pub fn stopped(&self) -> Option<Time> {
        self.is_partial.then_some(self.until)
    }

    /// Adds the report of another run of the same model.
    pub fn merge(&mut self, other: &Report) {
        for (cell, more) in self.cells.iter_mut().zip(&other.cells) {
            cell.merge(more);
        }
        for (busy, more) in self.busy.iter_mut().zip(&other.busy) {
            *busy += more;
        }
        self.machines.merge(&other.machines);
        for (lending, more) in self.lending.iter_mut().zip(&other.lending) {
            lending.merge(more);
        }
        for (traffic, more) in self.traffic.iter_mut().zip(&other.traffic) {
            traffic.merge(more);
        }
        for (usage, more) in self.usage.iter_mut().zip(&other.usage) {
            usage.merge(more);
        }
    }

    /// All cells in one: of a class, or of everything.
    #[must_use]
    pub fn total(&self, class: Option<Class>) -> Cell {
        let mut total = Cell::new(usize::MAX, class.unwrap_or(Class::Free));
        let chosen = self.cells.iter().filter(|cell| class.is_none_or(|class| cell.class == class));
        chosen.for_each(|cell| total.merge(cell));
        total
    }
}

/// Differences of two columns.
#[inline(always)]
fn differences<'a>(later: &[u64], earlier: &[u64], room: &'a mut [u64; BLOCK]) -> &'a [u64] {
    let pairs = later.iter().zip(earlier);
    for (difference, (later, earlier)) in room.iter_mut().zip(pairs) {
        *difference = later.saturating_sub(*earlier);
    }
    room.get(..later.len()).unwrap_or_default()
}

/// What a request that was served by an instance with others needed of it within a time.
#[cold]
fn useful(within: u128, (part, whole): (u32, u32), arrival: &Arrival, served: &Served) -> u128 {
    let there = u128::from(served.end.since(served.start).0).max(1);
    let work = u128::from(arrival.service.0) * u128::from(part);
    within * work / (there * u128::from(whole.max(1)))
}

impl Record for Report {
    #[inline(always)]
    fn record_block(&mut self, block: &Block<'_>) {
        let Block { run, starts, ends, .. } = block;
        let Some(info) = self.sources.get(usize::from(run.source)) else { return };
        let (from, until) = (self.from.0, self.until.0);
        if let Some(busy) = self.busy.get_mut(info.app) {
            let within =
                |(start, end): (&u64, &u64)| (*end).min(until).saturating_sub((*start).max(from));
            // Arrivals are before the end of the run, and a service takes less than 2⁵² ns.
            *busy += u128::from(starts.iter().zip(*ends).map(within).sum::<u64>());
        }
        let early = run.at.partition_point(|at| *at < from);
        let Some(cell) = self.cells.get_mut(info.cell) else { return };
        let [at, starts, ends] =
            [run.at, starts, ends].map(|column| column.get(early..).unwrap_or_default());
        if at.is_empty() {
            // An empty histogram has no cells, as if it had been asked one by one.
            return;
        }
        let mut room = [0; BLOCK];
        cell.wait.record_all(differences(starts, at, &mut room));
        let responses = differences(ends, at, &mut room);
        cell.response.record_all(responses);
        let is_late = |response: &u64| u64::from(*response > info.deadline.0);
        cell.late += responses.iter().map(is_late).sum::<u64>();
    }

    #[inline(always)]
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let Some(info) = self.sources.get(usize::from(arrival.source)) else { return };
        if let (Ok(served), Some(busy)) = (&outcome, self.busy.get_mut(info.app)) {
            let (start, end) = (served.start.max(self.from), served.end.min(self.until));
            let within = u128::from(end.since(start).0);
            *busy += info.part.map_or(within, |part| useful(within, part, arrival, served));
        }
        if arrival.at < self.from {
            return;
        }
        let Some(cell) = self.cells.get_mut(info.cell) else { return };
        match outcome {
            Ok(served) => match self.paths.of(arrival) {
                None => cell.serve_plainly(arrival, served, info.deadline),
                Some(path) => {
                    cell.serve(&path.took(served.transfers), arrival.at, served, info.deadline)
                }
            },
            Err(cause) => {
                if let Some(count) = cell.refused.get_mut(cause.index()) {
                    *count += 1;
                }
            }
        }
    }

    fn settle(&mut self, first: &Arrival, attempts: u32, answered: Option<Time>) {
        if first.at < self.from {
            return;
        }
        let info = self.sources.get(usize::from(first.source));
        let Some(cell) = info.and_then(|info| self.cells.get_mut(info.cell)) else { return };
        cell.clients.requests += 1;
        cell.clients.attempts += u64::from(attempts);
        if let Some(answered) = answered {
            cell.clients.answer.record(answered.since(first.at));
        }
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        if let Some(usage) = self.usage.get_mut(app) {
            usage.change(at, instances);
        }
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        if let Some(usage) = self.usage.get_mut(app) {
            usage.decide(at, seen, action);
        }
    }

    fn unplaced(&mut self, at: Time, app: usize, reasons: Unplaced) {
        if let Some(usage) = self.usage.get_mut(app) {
            usage.unplaced(at, reasons);
        }
    }

    fn share(
        &mut self,
        at: Time,
        pair: usize,
        _seen: policy::sharing::Observation,
        action: policy::sharing::Action,
    ) {
        if let Some(lending) = self.lending.get_mut(pair) {
            lending.decide(at, action);
        }
    }

    fn slot(&mut self, at: Time, slot: Slot) {
        if let Some(lending) = self.lending.get_mut(slot.pair) {
            lending.turn(at, slot);
        }
    }

    fn stop(&mut self, at: Time, _arrival: &Arrival, stopped: Stopped) {
        if let Some(lending) = self.lending.get_mut(stopped.pair) {
            lending.stop(at, stopped);
        }
    }

    fn scheduled(&mut self, _at: Time, app: Option<usize>, decision: &Decision) {
        if let Decided::Rollout { seen, .. } = &decision.decided
            && let Some(usage) = app.and_then(|app| self.usage.get_mut(app))
        {
            usage.losses.want(seen.wanted);
        }
    }

    fn deployed(&mut self, deployed: &Deployed) {
        let is_it = |known: &&mut Deployed| {
            (known.app, known.begun) == (deployed.app, deployed.begun) && known.ended.is_none()
        };
        match self.deployments.iter_mut().find(is_it) {
            Some(known) => known.clone_from(deployed),
            None => self.deployments.push(deployed.clone()),
        }
    }

    fn incident(&mut self, at: Time, incident: Incident) {
        if let Incident::Lost(lost) = incident
            && let Some(usage) = self.usage.get_mut(lost.app)
        {
            usage.lose(at, lost);
        }
        self.machines.incident(at, incident);
    }

    fn flow(&mut self, flow: Flow) {
        let is_it = |traffic: &&mut Traffic| traffic.channel == flow.channel;
        if let Some(traffic) = self.traffic.iter_mut().find(is_it) {
            traffic.add(flow);
        }
    }

    fn peak_queue(&mut self, app: usize, requests: u64) {
        if let Some(usage) = self.usage.get_mut(app) {
            usage.peak_queue = usage.peak_queue.max(Some(requests));
        }
    }
}

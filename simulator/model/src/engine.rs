//! The fast engine. Queues are first come, first served, so the end of a request is known when it
//! is dispatched (`line.rs`): there is no heap of events. Where a rule counts what is in flight, a
//! wheel of ends tells it. Models in which instances come and go are run by `live`.

use policy::admission::Admission;
use policy::{Class, Purpose, Queue, Refusal, Targets, Time, Words};
use simulator_kernel::Wheel;
use simulator_kernel::row::Requests;
use simulator_kernel::single::{Balanced, Draws};
use simulator_kernel::wide::Task;

use crate::adaptive::Heard;
use crate::books::{Books, SourceInfo};
use crate::line::{Line, asks_for_ends};
use crate::live;
use crate::look::Look;
use crate::model::Model;
use crate::outcome::{Block, Outcome, Record, Served};
use crate::report::Report;
use crate::timeline::Timeline;
use crate::watch::{Watch, Watched};
use crate::workload::{Arrival, BLOCK, Run, Workload};

/// Runs a model to its end.
pub fn run<R: Record>(model: &Model, record: &mut R) {
    run_from(model, Workload::new(model), record);
}

/// Runs a model with the requests of a workload.
pub fn run_from<R: Record>(model: &Model, workload: Workload<'_>, record: &mut R) {
    if model.is_dynamic() {
        return live::run(model, workload, record);
    }
    simulator_kernel::wide::run(Whole { model, workload, record });
}

struct Whole<'a, R> {
    model: &'a Model,
    workload: Workload<'a>,
    record: &'a mut R,
}

impl<R: Record> Task for Whole<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut engine = Engine::new(self.model);
        let mut workload = self.workload;
        let mut columns = Columns::new();
        if self.record.looks() {
            engine.lines.iter_mut().for_each(Line::keep_starts);
        } else if engine.refuses_none {
            engine.lines.iter_mut().for_each(|line| line.shorten(self.model.balance));
        }
        while let Some(run) = workload.next_run() {
            let first = Time(run.at.first().copied().unwrap_or(0));
            if !self.record.goes_on(first, run.number) {
                break;
            }
            let Some(info) = engine.sources.get(usize::from(run.source)).copied() else { continue };
            if engine.refuses_none && !self.record.looks() {
                engine.serve(&run, info, &mut columns);
                self.record.record_block(&columns.block(run));
                continue;
            }
            for arrival in run.arrivals() {
                if self.record.looks() && self.record.wants(arrival.number) {
                    self.record.look(&arrival, engine.look(&arrival, info));
                }
                let outcome = engine.arrive(&arrival, info);
                self.record.record(&arrival, outcome);
            }
        }
    }
}

/// Runs a model and sums it up; compiled here, as one piece.
#[must_use]
pub fn report(model: &Model) -> Report {
    if let Some(network) = model.network {
        return crate::windows::report(model, network);
    }
    report_from(model, Workload::new(model))
}

/// The same with the requests of a workload.
#[must_use]
pub fn report_from(model: &Model, workload: Workload<'_>) -> Report {
    let mut report = Report::new(model);
    run_from(model, workload, &mut report);
    report
}

/// The same, watched.
pub fn watched_report(model: &Model, workload: Workload<'_>, watch: &mut Watch<'_>) -> Report {
    let mut record = (Report::new(model), Watched::new(watch));
    run_from(model, workload, &mut record);
    let (mut report, watched) = record;
    if let Some(stopped) = watched.stopped() {
        report.cut(stopped);
    }
    report
}

/// The same, with the course of the run.
pub fn watched_timeline(
    model: &Model,
    workload: Workload<'_>,
    watch: &mut Watch<'_>,
) -> (Report, Timeline) {
    let course = (Report::new(model), Timeline::new(model));
    let mut record = (course, Watched::new(watch));
    run_from(model, workload, &mut record);
    let ((mut report, mut timeline), watched) = record;
    if let Some(stopped) = watched.stopped() {
        report.cut(stopped);
        timeline.cut(stopped);
    }
    (report, timeline)
}

#[derive(Debug)]
struct Engine<'model> {
    model: &'model Model,
    lines: Vec<Line>,
    sources: Vec<SourceInfo>,
    books: Books,
    /// Whether admission has no rules and nothing counts what is in flight.
    is_open: bool,
    /// Whether no rule can refuse a request.
    refuses_none: bool,
    /// Whether admission counts what is in flight.
    is_counted: bool,
    /// Requests in flight, if anything counts them.
    ends: Option<Wheel<Holder>>,
    /// Turns of round robins: for each gateway, of each app.
    turns: Vec<u64>,
    balance_words: Words,
    /// Requests to be taken in one by one before a shorter way is looked for again.
    patience: u64,
}

/// From a shorter way to none and back costs as much as some thousand requests.
const PATIENCE: u64 = 4096;

/// Who holds permits.
#[derive(Debug, Clone, Copy)]
struct Holder {
    user: u32,
    target: u32,
    source: u16,
    gateway: u16,
}

impl<'model> Engine<'model> {
    fn new(model: &'model Model) -> Self {
        let line = |app: &crate::App| {
            let (count, instances) = app.targets(&model.queue);
            Line::new(count, instances, &model.queue, model.balance)
        };
        let counts =
            counts_in_flight(&model.admission) || asks_for_ends(&model.queue, model.balance);
        Engine {
            model,
            lines: model.apps.iter().map(line).collect(),
            sources: model.sources.iter().map(|source| SourceInfo::new(model, source)).collect(),
            books: Books::new(model),
            is_counted: counts_in_flight(&model.admission),
            refuses_none: model.admission == Admission::default()
                && Class::ALL.iter().all(|class| model.queue.bound(*class) == Queue::UNLIMITED)
                && model.cmds.iter().all(|cmd| cmd_has_targets(model, cmd)),
            is_open: model.admission == Admission::default() && !counts,
            ends: counts.then(|| Wheel::new(model.mean_gap())),
            turns: vec![0; usize::from(model.gateways.max(1)) * model.apps.len()],
            balance_words: Words::new(model.seed, Purpose::Balance, 0),
            patience: 0,
        }
    }

    /// Takes in the requests of a run, none of which can be refused.
    #[inline(always)]
    fn serve(&mut self, run: &Run<'_>, info: SourceInfo, columns: &mut Columns) {
        let Some(line) = self.lines.get_mut(info.app as usize) else { return };
        let count = run.at.len();
        if line.is_alone() {
            let [starts, ends] = [&mut columns.starts, &mut columns.ends];
            columns.targets.iter_mut().take(count).for_each(|target| *target = 0);
            return line.join_all(Requests { at: run.at, services: run.service, starts, ends });
        }
        let words = columns.words.get_mut(..count).unwrap_or_default();
        self.balance_words.of_each(run.key, words);
        let requests = Requests {
            at: run.at,
            services: run.service,
            starts: columns.starts.get_mut(..count).unwrap_or_default(),
            ends: columns.ends.get_mut(..count).unwrap_or_default(),
        };
        let targets = columns.targets.get_mut(..count).unwrap_or_default();
        let draws = Draws { words: self.balance_words, key: run.key, firsts: words };
        let served = line.serve(self.model.balance, Balanced { requests, targets, draws });
        if let Some(next) = run.at.get(served) {
            self.lengthen(Time(*next), run.source, info);
            self.serve_one_by_one(&run.after(served), info, served, columns);
        }
    }

    /// From now on the requests of an app are taken in one by one.
    #[inline(always)]
    fn lengthen(&mut self, now: Time, source: u16, info: SourceInfo) {
        let Some(line) = self.lines.get_mut(info.app as usize) else { return };
        let ends = &mut self.ends;
        self.patience = PATIENCE.max(line.count().into());
        line.lengthen(now, |target, end| {
            if let Some(ends) = ends {
                ends.insert(end.0, Holder { user: 0, target, source, gateway: 0 });
            }
        });
    }

    /// Takes in requests behind the first so many of a run.
    #[inline(always)]
    fn serve_one_by_one(
        &mut self,
        run: &Run<'_>,
        info: SourceInfo,
        first: usize,
        columns: &mut Columns,
    ) {
        if self.ends.is_some() {
            return self.serve_and_count(run, info, first, columns);
        }
        let Some(line) = self.lines.get_mut(info.app as usize) else { return };
        let (balance, apps) = (self.model.balance, self.model.apps.len());
        for (place, arrival) in (first..).zip(run.arrivals()) {
            line.pass(arrival.at);
            let turn = usize::from(arrival.gateway) * apps + info.app as usize;
            let (Some(turn), Some(word)) = (self.turns.get_mut(turn), columns.words.get(place))
            else {
                return;
            };
            let draw = self.balance_words.of_known(arrival.key, *word);
            let target = policy::pick(balance, line, turn, draw).unwrap_or(0);
            let (start, end) = line.join(target, info.class, arrival.service);
            columns.set(place, target, start, end);
        }
    }

    /// Likewise, if lines must be told of ends.
    #[inline(always)]
    fn serve_and_count(
        &mut self,
        run: &Run<'_>,
        info: SourceInfo,
        first: usize,
        columns: &mut Columns,
    ) {
        for (place, arrival) in (first..).zip(run.arrivals()) {
            self.end(arrival.at);
            let Ok(served) = self.dispatch(&arrival, info) else { return };
            columns.set(place, served.target, served.start, served.end);
            self.hold(&arrival, served);
        }
        self.patience = self.patience.saturating_sub(run.at.len() as u64);
        if self.patience == 0 {
            self.shorten_again();
        }
    }

    /// Where targets are idle again after a rush, the shorter way is open again. What is held of
    /// other apps would be lost with the wheel, so there must be one only.
    #[inline(always)]
    fn shorten_again(&mut self) {
        let [line] = self.lines.as_mut_slice() else { return };
        if line.has_spare() {
            line.shorten(self.model.balance);
            self.ends = Some(Wheel::new(self.model.mean_gap()));
        }
    }

    /// Remembers when a request ends.
    #[inline(always)]
    fn hold(&mut self, arrival: &Arrival, served: Served) {
        let Some(ends) = &mut self.ends else { return };
        let Arrival { user, source, gateway, .. } = *arrival;
        ends.insert(served.end.0, Holder { user, target: served.target, source, gateway });
    }

    #[inline(always)]
    fn arrive(&mut self, arrival: &Arrival, info: SourceInfo) -> Outcome {
        if self.is_open {
            return self.dispatch(arrival, info);
        }
        let now = arrival.at;
        self.end(now);
        let candidate = info.candidate(now);
        let rules = &self.model.admission;
        self.books.ask((arrival.gateway, arrival.user, &info), now, &mut None, |accounts| {
            policy::admit(rules, accounts, candidate, now)
        })?;
        let served = self.dispatch(arrival, info);
        if self.books.adapts() {
            self.books.expect(match &served {
                Ok(served) => Heard::served(arrival, served.end, &info),
                Err(cause) => Heard::refused(arrival, *cause, now, &info),
            });
        }
        match served {
            Ok(served) => self.hold(arrival, served),
            Err(_) if self.ends.is_some() => {
                self.books.with(arrival.gateway, arrival.user, info.cmd, policy::release);
            }
            Err(_) => {}
        }
        served
    }

    /// What there is just before a request is decided about.
    fn look(&mut self, arrival: &Arrival, info: SourceInfo) -> Look {
        self.end(arrival.at);
        let who = (arrival.gateway, arrival.user, &info);
        let mut look = self.books.ask(who, arrival.at, &mut None, |accounts| Look::of(&accounts));
        let turn = usize::from(arrival.gateway) * self.lines.len() + info.app as usize;
        let line = self.lines.get_mut(info.app as usize);
        let (Some(line), Some(turn)) = (line, self.turns.get(turn)) else { return look };
        line.pass(arrival.at);
        let draw = self.balance_words.of(arrival.key);
        let chosen = look.pick(self.model.balance, line, *turn, draw);
        look.chosen = chosen.map(|target| line.look(target, info.class, &self.model.queue));
        look
    }

    /// Everything that ends by now gives back what it holds.
    #[inline(always)]
    fn end(&mut self, now: Time) {
        let Some(ends) = &mut self.ends else { return };
        let (sources, books, lines) = (&self.sources, &mut self.books, &mut self.lines);
        let is_counted = self.is_counted;
        ends.advance(now.0, |holder: Holder| {
            let Some(info) = sources.get(usize::from(holder.source)) else { return };
            if is_counted {
                books.with(holder.gateway, holder.user, info.cmd, policy::release);
            }
            if let Some(line) = lines.get_mut(info.app as usize) {
                line.leave(holder.target, info.class);
            }
        });
    }

    #[inline(always)]
    fn dispatch(&mut self, arrival: &Arrival, info: SourceInfo) -> Outcome {
        let apps = self.lines.len();
        let line = self.lines.get_mut(info.app as usize).ok_or(Refusal::NoInstance)?;
        let turn = usize::from(arrival.gateway) * apps + info.app as usize;
        let turn = self.turns.get_mut(turn).ok_or(Refusal::NoInstance)?;
        line.pass(arrival.at);
        let draw = self.balance_words.of(arrival.key);
        let target = policy::pick(self.model.balance, line, turn, draw);
        let target = target.ok_or(Refusal::NoInstance)?;
        let queue = &self.model.queue;
        policy::enqueue(queue, info.class, line.standing(target, info.class, queue))?;
        let (start, end) = line.join(target, info.class, arrival.service);
        Ok(Served::new(target, start, end))
    }
}

/// Whether any rule asks how many requests are in flight.
fn counts_in_flight(rules: &Admission) -> bool {
    let counts = |limits: Option<policy::admission::Limits>| {
        limits.is_some_and(|limits| limits.concurrency.is_some())
    };
    rules.accept.is_some() || counts(rules.user) || counts(rules.cmd)
}

/// Whether there is a target for a command: an app without any refuses.
fn cmd_has_targets(model: &Model, cmd: &crate::Cmd) -> bool {
    model.apps.get(cmd.app).is_some_and(|app| app.targets(&model.queue).0 > 0)
}

/// What becomes of the requests of a run.
#[derive(Debug)]
struct Columns {
    words: [u64; BLOCK],
    targets: [u32; BLOCK],
    starts: [u64; BLOCK],
    ends: [u64; BLOCK],
}

impl Columns {
    const fn new() -> Self {
        Columns { words: [0; BLOCK], targets: [0; BLOCK], starts: [0; BLOCK], ends: [0; BLOCK] }
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "runs are at most as long as a block")]
    const fn set(&mut self, place: usize, target: u32, start: Time, end: Time) {
        self.targets[place] = target;
        self.starts[place] = start.0;
        self.ends[place] = end.0;
    }

    #[inline(always)]
    fn block<'a>(&'a self, run: Run<'a>) -> Block<'a> {
        let count = run.at.len();
        Block {
            run,
            targets: self.targets.get(..count).unwrap_or_default(),
            starts: self.starts.get(..count).unwrap_or_default(),
            ends: self.ends.get(..count).unwrap_or_default(),
        }
    }
}

//! The fast engine. Queues are first come, first served, so the end of a request is known when it
//! is dispatched (`line.rs`): there is no heap of events. Where a rule counts what is in flight, a
//! wheel of ends tells it.

use policy::admission::{Account, Admission, Candidate};
use policy::{Accounts, Class, Nanoseconds, Purpose, Refusal, Scope, Time, Words};
use simulator_kernel::Wheel;
use simulator_kernel::wide::Task;

use crate::line::{Line, asks_for_ends};
use crate::model::Model;
use crate::outcome::{Outcome, Record, Served};
use crate::report::Report;
use crate::workload::{Arrival, Workload};

/// Runs a model to its end.
pub fn run<R: Record>(model: &Model, record: &mut R) {
    run_from(model, Workload::new(model), record);
}

/// Runs a model with the requests of a workload.
pub fn run_from<R: Record>(model: &Model, workload: Workload<'_>, record: &mut R) {
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
        while let Some(run) = workload.next_run() {
            let Some(info) = engine.sources.get(usize::from(run.source)).copied() else { continue };
            for arrival in run.arrivals() {
                let outcome = engine.arrive(&arrival, info);
                self.record.record(&arrival, outcome);
            }
        }
    }
}

/// Runs a model and sums it up; compiled here, as one piece.
#[must_use]
pub fn report(model: &Model) -> Report {
    report_from(model, Workload::new(model))
}

/// The same with the requests of a workload.
#[must_use]
pub fn report_from(model: &Model, workload: Workload<'_>) -> Report {
    let mut report = Report::new(model);
    run_from(model, workload, &mut report);
    report
}

#[derive(Debug)]
struct Engine<'model> {
    model: &'model Model,
    lines: Vec<Line>,
    sources: Vec<SourceInfo>,
    books: Books,
    /// Whether admission has no rules and nothing counts what is in flight.
    is_open: bool,
    /// Requests in flight, if anything counts them.
    ends: Option<Wheel<Holder>>,
    /// Turns of round robins: for each gateway, of each app.
    turns: Vec<u64>,
    balance_words: Words,
}

/// What must be known of requests of one source.
#[derive(Debug, Clone, Copy)]
struct SourceInfo {
    cmd: u32,
    app: u32,
    class: Class,
    deadline: Nanoseconds,
    usual: Nanoseconds,
}

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
        let info = |source: &crate::Source| {
            let cmd = model.cmds.get(source.cmd);
            let class = model.tenants.get(source.tenants).map_or(Class::Free, |group| group.class);
            SourceInfo {
                cmd: u32::try_from(source.cmd).unwrap_or(u32::MAX),
                app: cmd.map_or(u32::MAX, |cmd| u32::try_from(cmd.app).unwrap_or(u32::MAX)),
                class,
                deadline: cmd.and_then(|cmd| cmd.deadline).unwrap_or(Nanoseconds(u64::MAX)),
                usual: cmd.map_or(Nanoseconds::ZERO, |cmd| cmd.service.median()),
            }
        };
        let counts =
            counts_in_flight(&model.admission) || asks_for_ends(&model.queue, model.balance);
        Engine {
            model,
            lines: model.apps.iter().map(line).collect(),
            sources: model.sources.iter().map(info).collect(),
            books: Books::new(model),
            is_open: model.admission == Admission::default() && !counts,
            ends: counts.then(|| Wheel::new(model.mean_gap())),
            turns: vec![0; usize::from(model.gateways.max(1)) * model.apps.len()],
            balance_words: Words::new(model.seed, Purpose::Balance, 0),
        }
    }

    #[inline(always)]
    fn arrive(&mut self, arrival: &Arrival, info: SourceInfo) -> Outcome {
        if self.is_open {
            return self.dispatch(arrival, info);
        }
        let now = arrival.at;
        self.end(now);
        let candidate = Candidate { deadline: now + info.deadline, usual: info.usual };
        let rules = &self.model.admission;
        self.books.with(arrival.gateway, arrival.user, info.cmd, |accounts| {
            policy::admit(rules, accounts, candidate, now)
        })?;
        let served = self.dispatch(arrival, info);
        match (&served, &mut self.ends) {
            (Ok(served), Some(ends)) => {
                let Arrival { user, source, gateway, .. } = *arrival;
                let target = served.target;
                ends.insert(served.end.0, Holder { user, target, source, gateway });
            }
            (Err(_), Some(_)) => {
                self.books.with(arrival.gateway, arrival.user, info.cmd, policy::release);
            }
            (_, None) => {}
        }
        served
    }

    /// Everything that ends by now gives back what it holds.
    #[inline(always)]
    fn end(&mut self, now: Time) {
        let Some(ends) = &mut self.ends else { return };
        let (sources, books, lines) = (&self.sources, &mut self.books, &mut self.lines);
        ends.advance(now.0, |holder: Holder| {
            let Some(info) = sources.get(usize::from(holder.source)) else { return };
            books.with(holder.gateway, holder.user, info.cmd, policy::release);
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
        Ok(Served { target, start, end })
    }
}

/// Whether any rule asks how many requests are in flight.
fn counts_in_flight(rules: &Admission) -> bool {
    let counts = |limits: Option<policy::admission::Limits>| {
        limits.is_some_and(|limits| limits.concurrency.is_some())
    };
    rules.accept.is_some() || counts(rules.user) || counts(rules.cmd)
}

/// The accounts of admission.
#[derive(Debug)]
struct Books {
    accepted: Vec<u32>,
    users: Vec<Account>,
    cmds: Vec<Account>,
    /// From one gateway to the next in each table; 0 if they count together.
    accepted_step: usize,
    users_step: usize,
    cmds_step: usize,
}

impl Books {
    fn new(model: &Model) -> Self {
        let rules = &model.admission;
        let gateways = usize::from(model.gateways.max(1));
        let step = |scope: Option<Scope>, length: usize| match scope {
            Some(Scope::Gateway) => length,
            // What no rule looks at needs no table for each gateway.
            Some(Scope::Cluster) | None => 0,
        };
        let (users, cmds) = (model.users().max(1), model.cmds.len().max(1));
        let accepted_step = step(rules.accept.map(|accept| accept.scope), 1);
        let users_step = step(rules.user.map(|limits| limits.scope), users);
        let cmds_step = step(rules.cmd.map(|limits| limits.scope), cmds);
        let length = |step: usize, one: usize| if step == 0 { one } else { step * gateways };
        Books {
            accepted: vec![0; length(accepted_step, 1)],
            users: vec![Account::default(); length(users_step, users)],
            cmds: vec![Account::default(); length(cmds_step, cmds)],
            accepted_step,
            users_step,
            cmds_step,
        }
    }

    #[inline(always)]
    #[expect(
        clippy::indexing_slicing,
        reason = "tables are cut for all gateways, users and commands of the model"
    )]
    fn with<T>(
        &mut self,
        gateway: u16,
        user: u32,
        cmd: u32,
        act: impl FnOnce(Accounts<'_>) -> T,
    ) -> T {
        let gateway = usize::from(gateway);
        act(Accounts {
            accepted: &mut self.accepted[gateway * self.accepted_step],
            user: &mut self.users[gateway * self.users_step + user as usize],
            cmd: &mut self.cmds[gateway * self.cmds_step + cmd as usize],
        })
    }
}

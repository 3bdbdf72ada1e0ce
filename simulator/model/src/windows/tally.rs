//! What a lane writes down of its requests, and the report that all of them make.

use policy::placement::Unplaced;
use policy::scaling::{Action, Observation};
use policy::{Class, Nanoseconds, Time};
use simulator_kernel::Summary;

use super::{Key, Request, Witness, Work};
use crate::model::{Model, Network};
use crate::outcome::{Instances, Outcome, Record};
use crate::report::{Cell, Report};
use crate::stages::{Path, Stage};

/// The report of a lane's requests; that of the first lane also tells of instances.
///
/// The wait of a request is the time that it stands at its target; its response is what its gateway
/// sees: from its arrival there until the answer is back.
#[derive(Debug)]
pub struct Tally {
    report: Report,
    sources: Vec<Column>,
    delay: u64,
    from: u64,
    until: u64,
}

/// What must be known of a source, and what was seen of its requests and isn't in the report yet.
#[derive(Debug)]
struct Column {
    cell: usize,
    app: usize,
    deadline: u64,
    /// Time that instances worked within the reported window, less what they did for the requests that
    /// are not in the report yet; so it may be below zero, and wraps around.
    busy: u128,
    /// How many were served.
    served: usize,
    /// None of them is 0: answers travel.
    responses: [u64; AT_ONCE],
    waits: Lump,
    /// If its command has stages besides queue and work.
    stages: Option<Box<Stages>>,
}

/// What was seen of stages.
#[derive(Debug, Default)]
struct Stages {
    /// In the order of [`Stage::ALL`].
    times: [Lump; Stage::ALL.len()],
    downloaded: u64,
    cached: u64,
}

/// Times of a few requests. Sums and histograms of many at once are vector code, and what they ask
/// for of memory is asked for side by side.
#[derive(Debug, Default)]
struct Lump {
    /// Without those that are 0: they are many, and a counter that is counted up again and again is
    /// slow.
    times: [u64; AT_ONCE],
    count: usize,
}

/// Few, so that the lumps of all sources stay near.
const AT_ONCE: usize = 32;

impl Lump {
    /// Takes in a time; at most [`AT_ONCE`] until they are written.
    #[inline(always)]
    fn take(&mut self, time: u64) {
        // The next one comes to the same place if this one is 0.
        if let Some(place) = self.times.get_mut(self.count % AT_ONCE) {
            *place = time;
        }
        self.count += usize::from(time > 0);
    }

    #[inline(always)]
    fn times(&self) -> &[u64] {
        self.times.get(..self.count).unwrap_or_default()
    }

    /// All go into a summary; so many were taken in.
    #[inline(always)]
    fn write(&mut self, summary: &mut Summary, all: usize) {
        summary.record_all(self.times());
        summary.record_zeros((all - self.count) as u64);
        self.count = 0;
    }
}

impl Column {
    /// What was seen goes into the report. Without stages, `travel` is the part of each response that
    /// is neither wait nor work.
    #[inline(always)]
    fn write(&mut self, report: &mut Report, travel: u64) {
        let Some(cell) = report.cells.get_mut(self.cell) else { return };
        let at_target = |cell: &Cell| cell.response.total() - cell.wait.total();
        let before = at_target(cell);
        let responses = self.responses.get(..self.served).unwrap_or_default();
        let is_late = |response: &u64| u64::from(*response > self.deadline);
        cell.late += responses.iter().map(is_late).sum::<u64>();
        cell.response.record_all(responses);
        self.waits.write(&mut cell.wait, self.served);
        match &mut self.stages {
            Some(stages) => stages.write(cell, self.served),
            None => {
                let travelled = u128::from(travel) * self.served as u128;
                self.busy = self.busy.wrapping_add(at_target(cell) - before - travelled);
            }
        }
        self.served = 0;
    }

    /// A request without stages was served.
    #[inline(always)]
    fn take(&mut self, (at, start, end): (u64, u64, u64), delay: u64) {
        if let Some(place) = self.responses.get_mut(self.served % AT_ONCE) {
            *place = end + delay - at;
        }
        self.waits.take(start - (at + delay));
        self.served += 1;
    }

    /// It will be counted as a whole; what is beyond the reported window is too much.
    #[inline(never)]
    fn leave_out(&mut self, (start, end): (u64, u64), until: u64) {
        self.busy = self.busy.wrapping_sub(u128::from(end - start.max(until)));
    }

    /// An instance worked for a request within the reported window.
    #[inline(never)]
    fn work(&mut self, (start, end): (u64, u64), (from, until): (u64, u64)) {
        let within = end.min(until).saturating_sub(start.max(from));
        self.busy = self.busy.wrapping_add(u128::from(within));
    }
}

impl Stages {
    /// How the stages of a request went, with what it waited and worked.
    #[inline(always)]
    fn take(&mut self, path: &Path, wait: u64, work: u64) {
        let Path { accept, dispatch, download, respond, .. } = path;
        let times = [accept.0, dispatch.0, download.0, wait, work, respond.0];
        for (lump, time) in self.times.iter_mut().zip(times) {
            lump.take(time);
        }
        let has_source = path.source_bytes.is_some();
        self.cached += u64::from(has_source && path.is_cached);
        self.downloaded += u64::from(has_source && !path.is_cached);
    }

    #[inline(never)]
    fn write(&mut self, cell: &mut Cell, all: usize) {
        for (lump, summary) in self.times.iter_mut().zip(&mut cell.stages) {
            lump.write(summary, all);
        }
        cell.cached += std::mem::take(&mut self.cached);
        cell.downloaded += std::mem::take(&mut self.downloaded);
    }
}

impl Tally {
    /// An empty one, for a lane with this number.
    #[must_use]
    pub fn new(model: &Model, network: Network, lane: u16) -> Self {
        let report = if lane == 0 { Report::new(model) } else { Report::none(model) };
        let info = |source: &crate::Source| {
            let group = model.tenants.get(source.tenants);
            let class = group.map_or(Class::Free, |group| group.class);
            let same = |cell: &Cell| (cell.cmd, cell.class) == (source.cmd, class);
            let cmd = model.cmds.get(source.cmd);
            Column {
                cell: report.cells.iter().position(same).unwrap_or(usize::MAX),
                app: cmd.map_or(usize::MAX, |cmd| cmd.app),
                deadline: cmd.and_then(|cmd| cmd.deadline).map_or(u64::MAX, |deadline| deadline.0),
                busy: 0,
                served: 0,
                responses: [0; AT_ONCE],
                waits: Lump::default(),
                stages: cmd.and_then(|cmd| cmd.stages.as_ref()).map(|_| Box::default()),
            }
        };
        let sources = model.sources.iter().map(info).collect();
        Tally {
            sources,
            delay: network.delay.0,
            from: model.warm_up.0,
            until: model.duration.0,
            report,
        }
    }

    /// The report; those of other lanes are to be added to that of the first one.
    #[must_use]
    pub fn into_report(mut self) -> Report {
        for column in &mut self.sources {
            column.write(&mut self.report, 2 * self.delay);
            if let Some(busy) = self.report.busy.get_mut(column.app) {
                *busy += column.busy;
            }
        }
        self.report
    }
}

impl Witness for Tally {
    /// As [`Tally::outcome`] does without a path, with all at hand that it asks for.
    #[inline(always)]
    fn served(&mut self, requests: &[Request], works: &[Work]) {
        let Tally { report, sources, delay, from, until } = self;
        let (delay, from, until) = (*delay, *from, *until);
        for Work { place, start, end } in works {
            let Some(request) = requests.get(*place) else { break };
            let (_, source) = Key::parts(request.key);
            let Some(column) = sources.get_mut(usize::from(source)) else { break };
            if request.at < from {
                column.work((*start, *end), (from, until));
                continue;
            }
            column.take((request.at, *start, *end), delay);
            if *end > until {
                column.leave_out((*start, *end), until);
            }
            if column.served == AT_ONCE {
                column.write(report, 2 * delay);
            }
        }
    }

    #[inline(always)]
    fn outcome(&mut self, request: &Request, path: Option<&Path>, outcome: Outcome) {
        let (_, source) = Key::parts(request.key);
        let Tally { report, sources, delay, from, until } = self;
        let Some(column) = sources.get_mut(usize::from(source)) else { return };
        if request.at < *from {
            if let Ok(served) = &outcome {
                column.work((served.start.0, served.end.0), (*from, *until));
            }
            return;
        }
        match (outcome, path) {
            (Ok(served), None) => {
                let (start, end) = (served.start.0, served.end.0);
                column.take((request.at, start, end), *delay);
                if end > *until {
                    column.leave_out((start, end), *until);
                }
            }
            (Ok(served), Some(path)) => {
                let (start, end) = (served.start.0, served.end.0);
                let wait = start - (request.at + *delay + path.before().0);
                if let Some(place) = column.responses.get_mut(column.served % AT_ONCE) {
                    *place = end + *delay + path.respond.0 - request.at;
                }
                column.waits.take(wait);
                if let Some(stages) = &mut column.stages {
                    stages.take(&path.behind(Nanoseconds(*delay)), wait, end - start);
                }
                column.work((start, end), (*from, *until));
                column.served += 1;
            }
            (Err(cause), _) => {
                let cell = report.cells.get_mut(column.cell);
                if let Some(count) = cell.and_then(|cell| cell.refused.get_mut(cause.index())) {
                    *count += 1;
                }
                return;
            }
        }
        if column.served == AT_ONCE {
            column.write(report, 2 * *delay);
        }
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        self.report.change(at, app, instances);
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        self.report.decide(at, app, seen, action);
    }

    fn unplaced(&mut self, at: Time, app: usize, reasons: Unplaced) {
        self.report.unplaced(at, app, reasons);
    }
}

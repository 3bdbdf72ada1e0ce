//! What a lane writes down of its requests, and the report that all of them make.

use policy::placement::Unplaced;
use policy::scaling::{Action, Observation};
use policy::{Class, Nanoseconds, Time};

use super::{Key, Request, Witness};
use crate::model::{Model, Network};
use crate::outcome::{Instances, Outcome, Record};
use crate::report::Report;
use crate::stages::Path;

/// The report of a lane's requests; that of the first lane also tells of instances.
///
/// The wait of a request is the time that it stands at its target; its response is what its gateway
/// sees: from its arrival there until the answer is back.
#[derive(Debug)]
pub struct Tally {
    report: Report,
    sources: Vec<SourceInfo>,
    delay: u64,
    from: u64,
    until: u64,
}

#[derive(Debug, Clone, Copy)]
struct SourceInfo {
    cell: usize,
    app: usize,
    deadline: u64,
}

impl Tally {
    /// An empty one, for a lane with this number.
    #[must_use]
    pub fn new(model: &Model, network: Network, lane: u16) -> Self {
        let report = if lane == 0 { Report::new(model) } else { Report::none(model) };
        let info = |source: &crate::Source| {
            let group = model.tenants.get(source.tenants);
            let class = group.map_or(Class::Free, |group| group.class);
            let same = |cell: &crate::Cell| (cell.cmd, cell.class) == (source.cmd, class);
            let cmd = model.cmds.get(source.cmd);
            SourceInfo {
                cell: report.cells.iter().position(same).unwrap_or(usize::MAX),
                app: cmd.map_or(usize::MAX, |cmd| cmd.app),
                deadline: cmd.and_then(|cmd| cmd.deadline).map_or(u64::MAX, |deadline| deadline.0),
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
    pub fn into_report(self) -> Report {
        self.report
    }
}

impl Witness for Tally {
    #[inline(always)]
    fn outcome(&mut self, request: &Request, path: Option<&Path>, outcome: Outcome) {
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.sources.get(usize::from(source)) else { return };
        if let (Ok(served), Some(busy)) = (&outcome, self.report.busy.get_mut(info.app)) {
            let (start, end) =
                (served.start.max(Time(self.from)), served.end.min(Time(self.until)));
            *busy += u128::from(end.since(start).0);
        }
        if request.at < self.from {
            return;
        }
        let Some(cell) = self.report.cells.get_mut(info.cell) else { return };
        match (outcome, path) {
            (Ok(served), Some(path)) => {
                let path = path.behind(Nanoseconds(self.delay));
                cell.serve(&path, Time(request.at), served, Nanoseconds(info.deadline));
            }
            (Ok(served), None) => {
                let joined = request.at + self.delay;
                let response = served.end.0 + self.delay - request.at;
                cell.wait.record(Nanoseconds(served.start.0 - joined));
                cell.response.record(Nanoseconds(response));
                cell.late += u64::from(response > info.deadline);
            }
            (Err(cause), _) => {
                if let Some(count) = cell.refused.get_mut(cause.index()) {
                    *count += 1;
                }
            }
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

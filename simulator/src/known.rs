//! What is known of a run from its seed alone: the control variates of comparisons whose runs have
//! different seeds (Lavenberg and Welch 1981).
//!
//! They are what the objectives would be if the requests of the seed came to two platforms that are
//! simpler than any: one on which nothing ever waits, and one with a single line for all instances of
//! an app. They know the scenario and not the change that is judged, so what that does can't be taken
//! for noise: work that has become 1 % longer is 1 % longer than the work that the seed stands for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use policy::queue::QueueScope;
use policy::{Class, Refusal, Time};
use simulator_model::{App, Arrival, Model, Outcome, Record, Report, Served, Workload};

use crate::metric::Objective;

/// For each objective, in the order of what explains most: its own value where nothing waits, its own
/// value with one line for each app, and the seconds of work that come. What means nothing to an
/// objective is 0 for every seed.
#[must_use]
pub fn known(model: &Model, objectives: &[Objective]) -> Vec<Vec<f64>> {
    let mut free = Report::new(model);
    let mut lined = Report::new(model);
    let mut lines: Vec<Line> = model.apps.iter().map(|app| Line::new(app, model)).collect();
    let mut work = 0.0;
    let mut workload = Workload::new(model);
    while let Some(run) = workload.next_run() {
        let Some(source) = model.sources.get(usize::from(run.source)) else { continue };
        let class = model.tenants.get(source.tenants).map_or(Class::Free, |group| group.class);
        let app = model.cmds.get(source.cmd).map_or(0, |cmd| cmd.app);
        let Some(line) = lines.get_mut(app) else { continue };
        for arrival in run.arrivals() {
            free.record(&arrival, Ok(served(&arrival, arrival.at)));
            lined.record(&arrival, line.take(&arrival, class));
            if arrival.at.0 >= model.warm_up.0 {
                work += arrival.service.seconds();
            }
        }
    }
    let of = |objective: &Objective| {
        let value = |report| objective.metric.value(model, report).unwrap_or(0.0);
        vec![value(&free), value(&lined), work]
    };
    objectives.iter().map(of).collect()
}

fn served(arrival: &Arrival, start: Time) -> Served {
    Served::new(0, start, start + arrival.service)
}

/// One line in front of all instances of an app; it has room for as many as all queues of the
/// scenario together.
struct Line {
    /// When each instance is free.
    free: BinaryHeap<Reverse<u64>>,
    /// When those in the line begin.
    starts: VecDeque<Time>,
    /// Room for each class, in the order of [`Class::ALL`].
    room: [u64; 2],
}

impl Line {
    fn new(app: &App, model: &Model) -> Self {
        let queues = match model.queue.scope {
            QueueScope::Node => u64::from(app.machines),
            QueueScope::Instance => app.all_instances(),
            QueueScope::Central => 1,
        };
        let instances = usize::try_from(app.all_instances()).unwrap_or(usize::MAX).max(1);
        Line {
            free: std::iter::repeat_n(Reverse(0), instances).collect(),
            starts: VecDeque::new(),
            room: Class::ALL.map(|class| u64::from(model.queue.bound(class)) * queues),
        }
    }

    fn take(&mut self, arrival: &Arrival, class: Class) -> Outcome {
        while self.starts.front().is_some_and(|start| *start <= arrival.at) {
            self.starts.pop_front();
        }
        let room = self.room.get(class.index()).copied().unwrap_or(u64::MAX);
        if !self.starts.is_empty() && self.starts.len() as u64 >= room {
            return Err(Refusal::QueueFull);
        }
        let Some(mut first) = self.free.peek_mut() else { return Err(Refusal::QueueFull) };
        let start = arrival.at.max(Time(first.0));
        let served = served(arrival, start);
        *first = Reverse(served.end.0);
        drop(first);
        self.starts.push_back(start);
        Ok(served)
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;

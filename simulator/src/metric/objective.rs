//! What a comparison watches, and by how much it may get worse.

use policy::Class;
use simulator_kernel::Change;
use simulator_model::Model;

use super::{Figure, Metric, Scope, Statistic, Time};

/// A metric and its margin.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// What is watched.
    pub metric: Metric,
    /// By how much it may get worse: a part of the value before, or percentage points of a part.
    pub margin: f64,
}

/// Half of the smallest regression that has to be found: 1 % longer service.
const MEAN_MARGIN: f64 = 0.005;
/// Quantiles of the tail are noisy; a tenth of a percent isn't seen by anybody.
const TAIL_MARGIN: f64 = 0.02;
/// A tenth of a percentage point of requests that are refused or late.
const PART_MARGIN: f64 = 0.001;
/// Core-hours are money.
const COST_MARGIN: f64 = 0.01;

/// What is watched if a scenario doesn't say: mean and p99 of the response of each command and
/// class, refusals of each class, late answers if there are deadlines, goodput and cost.
#[must_use]
pub fn defaults(model: &Model) -> Vec<Objective> {
    let mut objectives = Vec::new();
    let cells = cells(model);
    let is_plain = model.cmds.len() == 1;
    for (cmd, class) in cells.iter().copied() {
        let (prefix, scope) = match model.cmds.get(cmd) {
            Some(cmd_model) if !is_plain => {
                (format!("{}.{}", cmd_model.name, class.name()), Scope::Cell(cmd, class))
            }
            _ => (class.name().to_owned(), Scope::Class(class)),
        };
        let mut time = |name: &str, statistic, margin| {
            let metric = Metric {
                name: format!("{prefix}.{name}"),
                figure: Figure::Time(Time::Response, statistic),
                scope,
            };
            objectives.push(Objective { metric, margin });
        };
        time("mean_ms", Statistic::Mean, MEAN_MARGIN);
        time("p99_ms", Statistic::Quantile(0.99), TAIL_MARGIN);
    }
    for class in Class::ALL {
        if cells.iter().any(|(_, present)| *present == class) {
            let name = format!("{}.rejected", class.name());
            let metric =
                Metric { name, figure: Figure::Rejected(None), scope: Scope::Class(class) };
            objectives.push(Objective { metric, margin: PART_MARGIN });
        }
    }
    let mut whole = |name: &str, figure, margin| {
        let metric = Metric { name: name.to_owned(), figure, scope: Scope::All };
        objectives.push(Objective { metric, margin });
    };
    if model.cmds.iter().any(|cmd| cmd.deadline.is_some()) {
        whole("late", Figure::Late, PART_MARGIN);
    }
    whole("goodput", Figure::Goodput, MEAN_MARGIN);
    whole("cost_core_hours", Figure::CoreHours, COST_MARGIN);
    objectives
}

/// Pairs of command and class that anybody sends, in the order of the workload.
fn cells(model: &Model) -> Vec<(usize, Class)> {
    let mut cells = Vec::new();
    for source in &model.sources {
        if let Some(group) = model.tenants.get(source.tenants)
            && !cells.contains(&(source.cmd, group.class))
        {
            cells.push((source.cmd, group.class));
        }
    }
    cells
}

impl Objective {
    /// The margin for people: `2 %` of the value, or `0.1 points`.
    #[must_use]
    pub fn show_margin(&self) -> String {
        let text = format!("{:.3}", self.margin * 100.0);
        let digits = text.trim_end_matches('0').trim_end_matches('.');
        format!("{digits} {}", unit(self.metric.figure.unit().change()))
    }
}

/// A change for people, without its sign.
#[must_use]
pub fn show_change(change: Change, size: f64) -> String {
    format!("{:.3} {}", size.abs() * 100.0, unit(change))
}

const fn unit(change: Change) -> &'static str {
    match change {
        Change::Ratio => "%",
        Change::Difference => "points",
    }
}

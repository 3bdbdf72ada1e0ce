//! Figures of a run that a user can name: `paid.p99_ms`, `imageView2.free.rejected`, `cost_core_hours`.
//! Each has a unit, a way to get worse, and a value in every report that holds what it is of.

use policy::{Class, Nanoseconds, Refusal};
use simulator_kernel::gate::Worse;
use simulator_kernel::{Change, Summary};
use simulator_model::{Cell, Channel, Clients, Model, Report, Stage};

mod condition;
mod objective;
mod parse;
mod shared;

pub use condition::{Bound, Condition};
pub use objective::{Objective, defaults, show_change};
pub use parse::{conditions, metric, of_name};
pub use shared::{Carriage, Loans};

/// A figure of some of a run's requests or instances.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// As it is written.
    pub name: String,
    /// What is measured.
    pub figure: Figure,
    /// Of what.
    pub scope: Scope,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// A time of those that were served, in milliseconds.
    Time(Time, Statistic),
    /// The part that was refused: for one cause, or for any.
    Rejected(Option<Refusal>),
    /// The part of the served that was served after its deadline.
    Late,
    /// The part of the arrivals that was served within its deadline.
    Slo,
    /// Of clients that try again, the part of their requests that was never answered in time.
    Unanswered,
    /// Requests served within their deadline, per second.
    Goodput,
    /// Requests served, per second.
    Throughput,
    /// The part of their time that instances worked.
    Utilisation,
    /// Instances times hours, at one core each.
    CoreHours,
    /// Of links that transfers share.
    Carried(Channel, Carriage),
    /// Of apps that share machines.
    Lent(Loans),
}

/// Which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// From the arrival to the end of work, or until the answer has been sent.
    Response,
    /// In the queue, until work begins.
    Wait,
    /// In one stage; only of commands that have stages besides queue and work.
    In(Stage),
}

/// What of many times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// The mean.
    Mean,
    /// The time that this part doesn't exceed.
    Quantile(f64),
    /// The longest.
    Longest,
}

/// Of what. Commands and apps are places in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// Requests of a class.
    Class(Class),
    /// Requests for a command.
    Cmd(usize),
    /// Requests of a class for a command.
    Cell(usize, Class),
    /// Instances of an app.
    App(usize),
}

/// In what a figure is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// A part of a whole, 0 to 1.
    Part,
    /// Requests per second.
    PerSecond,
    /// Core-hours.
    CoreHours,
    /// A number of things.
    Count,
    /// So many times of something.
    Times,
}

impl Figure {
    /// Its unit.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Figure::Time(..) => Unit::Milliseconds,
            Figure::Rejected(_)
            | Figure::Late
            | Figure::Slo
            | Figure::Unanswered
            | Figure::Utilisation => Unit::Part,
            Figure::Carried(_, carriage) => carriage.unit(),
            Figure::Lent(loans) => loans.unit(),
            Figure::Goodput | Figure::Throughput => Unit::PerSecond,
            Figure::CoreHours => Unit::CoreHours,
        }
    }

    /// Which way is worse; none if neither is.
    #[must_use]
    pub const fn worse(self) -> Option<Worse> {
        match self {
            Figure::Time(..)
            | Figure::Rejected(_)
            | Figure::Late
            | Figure::Unanswered
            | Figure::CoreHours => Some(Worse::More),
            Figure::Slo | Figure::Goodput | Figure::Throughput => Some(Worse::Less),
            Figure::Utilisation => None,
            Figure::Carried(_, carriage) => carriage.worse(),
            Figure::Lent(loans) => loans.worse(),
        }
    }

    /// What it is of.
    const fn subject(self) -> Subject {
        match self {
            Figure::Utilisation | Figure::CoreHours => Subject::Instances,
            Figure::Carried(..) => Subject::Links,
            Figure::Lent(_) => Subject::Loans,
            Figure::Time(..)
            | Figure::Rejected(_)
            | Figure::Late
            | Figure::Slo
            | Figure::Unanswered
            | Figure::Goodput
            | Figure::Throughput => Subject::Requests,
        }
    }
}

/// What figures are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Requests,
    Instances,
    Links,
    Loans,
}

impl Unit {
    /// How changes are told: parts may be 0, so only differences of them mean anything.
    #[must_use]
    pub const fn change(self) -> Change {
        match self {
            Unit::Part => Change::Difference,
            Unit::Milliseconds | Unit::PerSecond | Unit::CoreHours | Unit::Count | Unit::Times => {
                Change::Ratio
            }
        }
    }

    /// A value for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Milliseconds if value.abs() >= SECONDS_FROM_MS => {
                format!("{} s", digits(value / 1e3))
            }
            Unit::Milliseconds => format!("{} ms", digits(value)),
            Unit::Part => format!("{:.3} %", value * 100.0),
            Unit::PerSecond => format!("{}/s", digits(value)),
            Unit::CoreHours => format!("{} core-hours", digits(value)),
            Unit::Count => digits(value),
            Unit::Times => format!("{value:.3} times"),
        }
    }

    /// A value and half the width of its interval for people, such as `403.28 ± 0.95 ms`.
    #[must_use]
    pub fn show_interval(self, value: f64, half_width: f64) -> String {
        match self {
            Unit::Part => format!("{:.3} ± {:.3} %", value * 100.0, half_width * 100.0),
            Unit::Milliseconds if value.abs() >= SECONDS_FROM_MS => {
                format!("{:.2} ± {:.2} s", value / 1e3, half_width / 1e3)
            }
            Unit::Milliseconds => format!("{value:.2} ± {half_width:.2} ms"),
            Unit::PerSecond => format!("{value:.1} ± {half_width:.1} /s"),
            Unit::CoreHours => format!("{value:.2} ± {half_width:.2} core-hours"),
            Unit::Count => format!("{value:.1} ± {half_width:.1}"),
            Unit::Times => format!("{value:.3} ± {half_width:.3} times"),
        }
    }
}

/// People read longer times in seconds.
const SECONDS_FROM_MS: f64 = 1e4;

/// About five significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Metric {
    /// Its value; none if the report holds nothing that it is of. It has 12 significant digits, so
    /// that files hold all of it: values of equal runs are equal, also if one was stored.
    #[must_use]
    pub fn value(&self, model: &Model, report: &Report) -> Option<f64> {
        let value = self.whole_value(model, report)?;
        format!("{value:.11e}").parse().ok()
    }

    fn whole_value(&self, model: &Model, report: &Report) -> Option<f64> {
        match self.figure {
            Figure::Utilisation | Figure::CoreHours => {
                return self.value_of_instances(model, report);
            }
            Figure::Carried(channel, carriage) => return carriage.value(channel, report),
            Figure::Lent(loans) => return loans.value(self.scope, model, report),
            _ => {}
        }
        let chosen = |cell: &&Cell| match self.scope {
            Scope::All => true,
            Scope::Class(class) => cell.class == class,
            Scope::Cmd(cmd) => cell.cmd == cmd,
            Scope::Cell(cmd, class) => (cell.cmd, cell.class) == (cmd, class),
            Scope::App(_) => false,
        };
        let mut cells = report.cells.iter().filter(chosen);
        let mut total = cells.next()?.clone();
        cells.for_each(|cell| total.merge(cell));
        self.value_of_requests(&total, report.window())
    }

    fn value_of_requests(&self, cell: &Cell, window: Nanoseconds) -> Option<f64> {
        let (arrivals, served) = (cell.arrivals(), cell.served());
        let in_time = served - cell.late;
        match self.figure {
            Figure::Time(Time::Response, statistic) => statistic.of(&cell.response),
            Figure::Time(Time::Wait, statistic) => statistic.of(&cell.wait),
            Figure::Time(Time::In(wanted), statistic) => {
                let found = cell.stages().find(|(stage, _)| *stage == wanted);
                found.and_then(|(_, summary)| statistic.of(summary))
            }
            Figure::Rejected(None) => part(cell.refusals(), arrivals),
            Figure::Rejected(Some(cause)) => {
                part(cell.refused.get(cause.index()).copied()?, arrivals)
            }
            Figure::Late => part(cell.late, served),
            Figure::Slo => part(in_time, arrivals),
            Figure::Unanswered => {
                let Clients { requests, .. } = cell.clients;
                part(requests - cell.clients.answered(), requests)
            }
            Figure::Goodput => Some(float(in_time) / window.seconds()),
            Figure::Throughput => Some(float(served) / window.seconds()),
            Figure::Utilisation | Figure::CoreHours | Figure::Carried(..) | Figure::Lent(_) => None,
        }
    }

    fn value_of_instances(&self, model: &Model, report: &Report) -> Option<f64> {
        let is_chosen = |app: usize| match self.scope {
            Scope::App(chosen) => app == chosen,
            _ => true,
        };
        let (mut busy, mut able, mut cores) = (0, 0, 0);
        for (app, definition) in model.apps.iter().enumerate().filter(|(app, _)| is_chosen(*app)) {
            let usage = report.usage.get(app)?;
            busy += report.busy.get(app).copied()?;
            able += usage.able();
            cores += usage.held() * u128::from(definition.life.needs.cores);
        }
        match self.figure {
            Figure::CoreHours => Some(wide(cores) / 3.6e12),
            _ if able > 0 => Some(wide(busy) / wide(able)),
            _ => None,
        }
    }
}

impl Statistic {
    fn of(self, summary: &Summary) -> Option<f64> {
        let nanoseconds = match self {
            Statistic::Mean => summary.mean()?,
            Statistic::Quantile(part) => float(summary.quantile(part)?.0),
            Statistic::Longest if summary.count() > 0 => float(summary.longest().0),
            Statistic::Longest => return None,
        };
        Some(nanoseconds / 1e6)
    }
}

fn part(count: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(count) / float(whole))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio has 53 significant bits")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a ratio has 53 significant bits")]
fn wide(time: u128) -> f64 {
    time as f64
}

#[cfg(test)]
#[path = "../metric_tests.rs"]
mod tests;

//! What the scheduler of a run did, for people: its decisions with their reasons, and upgrades with
//! their effect on response times.

use std::collections::VecDeque;

use policy::rollout::Step;
use policy::{Nanoseconds, Time};
use scheduler_core::State;
use scheduler_core::decision::{Decided, Decision};
use scheduler_core::ids::AppName;
use simulator_kernel::CoarseHistogram;
use simulator_model::{Deployed, Model, Timeline, scheduler};

use crate::results::Results;
use crate::table::Table;

/// What was decided, and why.
pub fn decision(decision: &Decision) -> String {
    match &decision.decided {
        Decided::Scaling { seen, action, .. } => {
            format!("scaling: {action} (saw {seen})")
        }
        Decided::Rollout { seen, step, .. } => {
            let leave = seen.leave.all();
            let needed = match seen.demand {
                Some(demand) => format!("the load needs {demand}"),
                None => "the load isn't known".to_owned(),
            };
            format!("rollout: {}; {leave} must leave, {needed}", steps(step))
        }
        Decided::Verdict { verdict, .. } => format!("deployment: {}", judged(*verdict)),
        Decided::Freeze { verdict, .. } => format!("repair: {verdict}"),
        Decided::Policy { after, .. } => format!("policy: {after} decides from now on"),
    }
}

fn judged(verdict: policy::rollout::Verdict) -> String {
    match verdict {
        policy::rollout::Verdict::GoesOn => "goes on".to_owned(),
        policy::rollout::Verdict::Done => "done".to_owned(),
        policy::rollout::Verdict::Failed(why) => format!("failed: {why}"),
    }
}

fn steps(step: &Step) -> String {
    let Step { start, cancel, retire_ailing, retire, surplus, hold } = step;
    let parts = [
        (*start, "started"),
        (*cancel, "that start are given up"),
        (*retire_ailing, "that can't serve retired"),
        (*retire, "retired"),
        (*surplus, "too many retired"),
    ];
    let mut told: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if let Some(hold) = hold {
        told.push(format!("held: {hold}"));
    }
    if told.is_empty() { "nothing more to do".to_owned() } else { told.join(", ") }
}

/// Whether the course of a run tells what upgrades did to response times.
pub fn looks_at_course(model: &Model) -> bool {
    model.dynamics.scheduler.as_ref().is_some_and(|scheduler| !scheduler.upgrades.is_empty())
}

/// Deployments of the first seed, with the p99 of responses before, during and after; none without a
/// scheduler or any.
pub fn upgrades(results: &Results) -> Option<Table> {
    let report = results.reports.first()?;
    if report.deployments.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        "APP",
        "UPGRADE",
        ">BEGAN",
        ">TOOK",
        ">p99 BEFORE",
        ">p99 DURING",
        ">p99 AFTER",
        "OUTCOME",
    ]);
    let end = Time(results.scenario.model.duration.0);
    for deployed in &report.deployments {
        let Deployed { app, from, to, cause, begun, ended } = deployed;
        let until = ended.as_ref().map_or(end, |(at, _)| *at);
        let took = until.since(*begun);
        let before = Time(begun.0.saturating_sub(took.0.max(COMPARED.0)));
        let before = before.max(Time(results.scenario.model.warm_up.0));
        let after = until + took.max(COMPARED);
        let high = |from: Time, until: Time| {
            let time = results.timeline.as_ref().and_then(|course| p99(course, *app, from, until));
            time.map_or("-".to_owned(), |time| time.to_string())
        };
        let outcome = ended.as_ref().map_or("goes on", |(_, how)| how.as_str());
        let outcome =
            if cause == "deployed" { outcome.to_owned() } else { format!("{outcome} ({cause})") };
        let name = results.scenario.model.apps.get(*app).map_or("", |app| app.name.as_str());
        table.row([
            name.to_owned(),
            format!("{from} → {to}"),
            Nanoseconds(begun.0).to_string(),
            took.to_string(),
            high(before, *begun),
            high(*begun, until),
            high(until, after.min(end)),
            outcome,
        ]);
    }
    Some(table)
}

/// What is before and after an upgrade is looked at for so long at least.
const COMPARED: Nanoseconds = Nanoseconds::from_seconds(60);

/// The p99 of responses of what arrived in buckets that begin within a time.
fn p99(course: &Timeline, app: usize, from: Time, until: Time) -> Option<Nanoseconds> {
    let mut sum = CoarseHistogram::default();
    let buckets = course.buckets(app, None);
    for ((begin, _), bucket) in course.bounds().zip(&buckets) {
        if begin >= from && begin < until {
            sum.merge(&bucket.response);
        }
    }
    sum.quantile(0.99)
}

/// What the scheduler knew and had decided up to an instant.
pub struct Memory {
    at: Time,
    app: usize,
    name: Option<AppName>,
    /// The last decisions about the app, or all apps.
    decisions: VecDeque<(Time, String)>,
    known: Option<String>,
}

/// Decisions that are told.
const DECISIONS_TOLD: usize = 6;

impl Memory {
    /// Of an app of a model, at an instant.
    pub fn new(model: &Model, app: usize, at: Time) -> Self {
        let name = model.apps.get(app).and_then(|known| scheduler::app_name(app, known));
        Memory { at, app, name, decisions: VecDeque::new(), known: None }
    }

    pub fn scheduled(&mut self, at: Time, app: Option<usize>, decided: &Decision) {
        if at <= self.at && app.is_none_or(|app| app == self.app) {
            self.decisions.push_back((at, decision(decided)));
            if self.decisions.len() > DECISIONS_TOLD {
                self.decisions.pop_front();
            }
        }
    }

    pub fn turned(&mut self, at: Time, ahead: Nanoseconds, state: &State) {
        if let (true, Some(name)) = (at <= self.at, &self.name) {
            let known = scheduler_core::explain::app(state, name, at + ahead);
            self.known = known.map(|known| known.to_string());
        }
    }

    /// Lines with a name and a text.
    pub fn tell(&self, add: &mut impl FnMut(&str, String)) {
        for (at, what) in &self.decisions {
            add("decided", format!("at {}: {what}", Nanoseconds(at.0)));
        }
        let mut name = "the scheduler";
        for line in self.known.iter().flat_map(|known| known.lines()) {
            add(name, line.to_owned());
            name = "";
        }
    }
}

/// One line of JSON for each decision: the decision log, as the scheduler of production writes it.
pub fn log(course: &Timeline) -> Result<String, String> {
    let mut text = String::new();
    for known in course.scheduled() {
        let line = serde_json::to_string(&known.decision)
            .map_err(|error| format!("failed to write a decision: {error}"))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

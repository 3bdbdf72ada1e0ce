//! Deployments and decisions, for those who look on: the page for browsers, and people who ask why.

use policy::repair;
use policy::rollout::{Observation, Step, Verdict};
use policy::scaling;
use scheduler_core::app::{App, Deployment, Outcome};
use scheduler_core::decision::{Decided, Decision};
use scheduler_core::ids::{AppName, Version};
use scheduler_core::instance::Life;
use serde::{Deserialize, Serialize};

use super::{Endpoint, count, moment};

/// A deployment, under way or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentState {
    /// Its app.
    pub app: String,
    /// Its number in the app.
    pub number: u32,
    /// The version before.
    pub from: Option<u32>,
    /// The version after.
    pub to: u32,
    /// What its maker calls that version; empty if it is forgotten.
    pub label: String,
    /// `under-way`, `stalled`, `done`, `failed`, `superseded` or `deleted`.
    pub state: String,
    /// When it began, if it is under way.
    pub begun: Option<String>,
    /// When it ended, if it has.
    pub ended: Option<String>,
    /// Why there is one, or how it ended.
    pub why: String,
    /// What it waits for.
    pub waits: Option<String>,
    /// How far it is, if it is under way.
    pub progress: Option<DeploymentProgress>,
}

/// How far a deployment is: instances by version and by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeploymentProgress {
    /// How many the app should have.
    pub wanted: u32,
    /// Of the new version: those that serve.
    pub new_serving: u32,
    /// Of the new version: those that serve with their full weight.
    pub new_warm: u32,
    /// Of the new version: those that wait or start.
    pub new_starting: u32,
    /// Of other versions: those that aren't on their way out.
    pub old: u32,
    /// Of all versions: those that are on their way out.
    pub stopping: u32,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRow {
    /// When.
    pub at: String,
    /// Of which app, if it is of one.
    pub app: Option<String>,
    /// `scaling`, `rollout`, `verdict`, `freeze` or `policy`.
    pub kind: String,
    /// What was decided.
    pub said: String,
    /// What was seen, and so why.
    pub seen: String,
}

/// Everything that is found of an app, or a part of it: data of `snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundAnew {
    /// The number of the last change that is in it.
    pub number: u64,
    /// Which part, from 1.
    pub part: u32,
    /// Of how many. What was known before is void when the first one comes.
    pub parts: u32,
    /// Instances.
    pub instances: Vec<Endpoint>,
}

/// An instance is found now: data of `added`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The number of the change.
    pub number: u64,
    /// The instance.
    pub instance: String,
    /// Its address.
    pub address: String,
    /// Its ports.
    pub ports: Vec<u16>,
    /// How much it should get, in thousandths of what a warm one gets.
    pub weight_thousandths: u32,
}

/// An instance has another weight: data of `weight`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reweighed {
    /// The number of the change.
    pub number: u64,
    /// The instance.
    pub instance: String,
    /// How much it should get, in thousandths of what a warm one gets.
    pub weight_thousandths: u32,
}

/// An instance isn't found any more: data of `removed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The number of the change.
    pub number: u64,
    /// The instance.
    pub instance: String,
}

/// The deployments of an app: the one under way first, then those that have ended, the last one first.
#[must_use]
pub fn deployments(name: &AppName, app: &App) -> Vec<DeploymentState> {
    let label = |version: Version| {
        app.versions.get(&version).map(|one| one.label.clone()).unwrap_or_default()
    };
    let under_way = app.deployment.iter().map(|one| DeploymentState {
        app: name.to_string(),
        number: one.number,
        from: one.from.map(|version| version.0),
        to: one.to.0,
        label: label(one.to),
        state: if one.stalled.is_some() { "stalled" } else { "under-way" }.to_owned(),
        begun: Some(moment(one.begun)),
        ended: None,
        why: why(one),
        waits: app.hold.map(|hold| hold.to_string()),
        progress: Some(progress(app)),
    });
    let ended = app.history.iter().rev().map(|one| DeploymentState {
        app: name.to_string(),
        number: one.number,
        from: one.from.map(|version| version.0),
        to: one.to.0,
        label: label(one.to),
        state: outcome(one.outcome).to_owned(),
        begun: None,
        ended: Some(moment(one.at)),
        why: one.outcome.to_string(),
        waits: None,
        progress: None,
    });
    under_way.chain(ended).collect()
}

fn why(deployment: &Deployment) -> String {
    match deployment.stalled {
        Some(stalled) => format!("{}; it has failed: {stalled}", deployment.cause),
        None => deployment.cause.to_string(),
    }
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Superseded => "superseded",
        Outcome::Failed(_) => "failed",
        Outcome::Deleted => "deleted",
    }
}

fn progress(app: &App) -> DeploymentProgress {
    let of = |is_new: bool, wanted: fn(&scheduler_core::instance::Instance) -> bool| {
        let found = app.instances.values().filter(|one| {
            (one.version == app.target) == is_new && !one.life.is_stopping() && wanted(one)
        });
        count(found.count())
    };
    let stopping = app.instances.values().filter(|one| one.life.is_stopping());
    DeploymentProgress {
        wanted: app.wanted,
        new_serving: of(true, |one| matches!(one.life, Life::Serving { .. })),
        new_warm: of(true, |one| one.is_warm()),
        new_starting: of(true, |one| one.life.is_starting()),
        old: of(false, |one| one.life != Life::Sweeping),
        stopping: count(stopping.count()),
    }
}

/// A decision as a row.
#[must_use]
pub fn decision(decision: &Decision) -> DecisionRow {
    let (kind, said, seen) = match &decision.decided {
        Decided::Scaling { seen, action, .. } => ("scaling", action.to_string(), load(*seen)),
        Decided::Rollout { seen, step, .. } => ("rollout", stepped(step), instances(seen)),
        Decided::Verdict { seen, verdict, .. } => ("verdict", judged(*verdict), instances(seen)),
        Decided::Freeze { seen, verdict, .. } => ("freeze", verdict.to_string(), silence(*seen)),
        Decided::Policy { before, after } => {
            let short = |digest: &str| digest.chars().take(12).collect::<String>();
            let said = format!("policy {} decides", short(after));
            ("policy", said, format!("instead of {}", short(before)))
        }
    };
    DecisionRow {
        at: moment(decision.at),
        app: decision.app.as_ref().map(ToString::to_string),
        kind: kind.to_owned(),
        said,
        seen,
    }
}

fn load(seen: scaling::Observation) -> String {
    match seen.flow {
        None => format!("{} tasks for {} instances", seen.tasks, seen.instances),
        Some(_) => seen.to_string(),
    }
}

fn silence(seen: repair::Observation) -> String {
    format!("{} of {} machines are silent", seen.silent, seen.machines)
}

fn judged(verdict: Verdict) -> String {
    match verdict {
        Verdict::GoesOn => "it goes on".to_owned(),
        Verdict::Done => "it is done".to_owned(),
        Verdict::Failed(why) => format!("it has failed: {why}"),
    }
}

fn stepped(step: &Step) -> String {
    let parts = [
        (step.start, "start"),
        (step.cancel, "cancel"),
        (step.retire_ailing, "retire ailing"),
        (step.retire, "retire"),
        (step.surplus, "retire surplus"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let mut said: Vec<String> = parts.map(|(count, what)| format!("{what} {count}")).collect();
    if said.is_empty() {
        said.push("nothing more".to_owned());
    }
    if let Some(hold) = step.hold {
        said.push(format!("the rest waits: {hold}"));
    }
    said.join(", ")
}

fn instances(seen: &Observation) -> String {
    let mut text = format!("{} wanted", seen.wanted);
    match seen.demand {
        Some(demand) => text.push_str(&format!(", {demand} needed by the load")),
        None => text.push_str(", the load isn't known"),
    }
    for (group, what) in [(seen.stay, "stay"), (seen.leave, "must leave")] {
        let parts =
            [(group.serving, "serve"), (group.starting, "start"), (group.ailing, "can't serve")];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, word)| format!("{count} {word}")).collect();
        if !parts.is_empty() {
            text.push_str(&format!("; of those that {what}: {}", parts.join(", ")));
        }
    }
    for (count, what) in
        [(seen.unplaced, "find no machine"), (seen.stopping, "are on their way out")]
    {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    if seen.is_frozen {
        text.push_str("; repair is stopped");
    }
    text
}

#[cfg(test)]
mod tests {
    use policy::Time;
    use policy::rollout::{Group, Hold};

    use super::*;

    #[test]
    fn a_decision_says_what_was_seen() {
        let stay = Group { serving: 2, starting: 1, ..Group::default() };
        let leave = Group { serving: 2, ..Group::default() };
        let (wanted, demand, unplaced, stopping, others) = (4, Some(3), 0, 1, 3);
        let is_frozen = false;
        let seen = Observation {
            wanted,
            demand,
            stay,
            unplaced,
            leave,
            stopping,
            others,
            is_frozen,
            is_in_place: false,
        };
        let hold = Some(Hold::Replacements { starting: 1 });
        let step = Step { retire: 1, hold, ..Step::default() };
        let row = decision(&Decision {
            at: Time(1_000_000_000),
            policy: "x".to_owned(),
            app: "web".parse().ok(),
            decided: Decided::Rollout { step_most: None, seen, step },
        });
        assert_eq!(row.kind, "rollout");
        assert_eq!(row.said, "retire 1, the rest waits: 1 replacement doesn't serve yet");
        assert_eq!(
            row.seen,
            "4 wanted, 3 needed by the load; of those that stay: 2 serve, 1 start; of those that \
             must leave: 2 serve; 1 are on their way out"
        );
    }
}

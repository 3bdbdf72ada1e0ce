//! The shapes of the API, version 1. Names and meanings stay; fields may be added.

pub mod consul;
pub mod look;
pub mod policies;
pub mod rebalance;
pub mod volumes;

use std::collections::BTreeMap;

use calendar::Moment;
use policy::Time;
use scheduler_core::app::{App, Specification};
use scheduler_core::event::{Accepted, Refusal};
use scheduler_core::ids::{AppName, InstanceId, MachineName};
use scheduler_core::instance::{Instance, Life};
use scheduler_core::machine::Machine;
use scheduler_core::{State, explain};
use serde::{Deserialize, Serialize};

/// An app in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRow {
    /// Its name.
    pub app: String,
    /// The number of the version that all instances should have.
    pub version: u32,
    /// What its maker calls that version.
    pub label: String,
    /// How many there should be.
    pub wanted: u32,
    /// The fewest.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// How many serve.
    pub serving: u32,
    /// How many start or wait.
    pub starting: u32,
    /// How many are on their way out.
    pub stopping: u32,
    /// `steady`, `deploying`, `stalled`, `changing`, `deleting`.
    pub state: String,
    /// Why something that must leave still stays.
    pub hold: Option<String>,
}

/// An app with all that there is to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppDetail {
    /// As in the list.
    pub summary: AppRow,
    /// What is being rolled out.
    pub deployment: Option<DeploymentRow>,
    /// How the last deployment ended.
    pub last: Option<EndedRow>,
    /// What is run. Values of variables are withheld.
    pub specification: Option<Specification>,
    /// Instances that move for the sake of evenness, now or the last time.
    #[serde(default)]
    pub rebalance: Option<rebalance::SpreadRow>,
    /// Versions that there are.
    pub versions: Vec<VersionRow>,
    /// How many should be on which machine.
    pub named: BTreeMap<String, u32>,
    /// Its instances.
    pub instances: Vec<InstanceRow>,
}

/// A version of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// Its number.
    pub version: u32,
    /// What its maker calls it.
    pub label: String,
    /// Whether it is what all should have.
    pub is_target: bool,
    /// Whether it was once fully rolled out.
    pub is_stable: bool,
    /// Instances that have it.
    pub instances: u32,
}

/// A deployment that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRow {
    /// Its number in the app.
    pub number: u32,
    /// The version before.
    pub from: Option<u32>,
    /// The version after.
    pub to: u32,
    /// When it began.
    pub begun: String,
    /// Why there is one.
    pub cause: String,
    /// It has failed, and there is nothing to go back to.
    pub stalled: Option<String>,
}

/// A deployment that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRow {
    /// Its number in the app.
    pub number: u32,
    /// The version before.
    pub from: Option<u32>,
    /// The version after.
    pub to: u32,
    /// When it ended.
    pub at: String,
    /// Whether all instances had its version.
    pub is_done: bool,
    /// How it ended.
    pub outcome: String,
}

/// What was before: deployments and instances that have ended, the last ones last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Deployments.
    pub deployments: Vec<EndedRow>,
    /// Instances.
    pub instances: Vec<GoneRow>,
    /// Versions that can be gone back to.
    pub versions: Vec<VersionRow>,
}

/// An instance that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneRow {
    /// Its name.
    pub instance: String,
    /// The number of its version.
    pub version: u32,
    /// Where it was.
    pub machine: Option<String>,
    /// When it ended.
    pub at: String,
    /// Why.
    pub why: String,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRow {
    /// Its name.
    pub instance: String,
    /// Its app.
    pub app: String,
    /// The number of its version.
    pub version: u32,
    /// What its maker calls the version.
    pub label: String,
    /// Where it stands in its life.
    pub life: String,
    /// Since when.
    pub since: String,
    /// Its registered weight in thousandths; 0 if it doesn't serve.
    pub weight_thousandths: u32,
    /// Its machine.
    pub machine: Option<String>,
    /// Its ports there.
    pub ports: Vec<u16>,
    /// Whether it was healthy and isn't now.
    pub is_unhealthy: bool,
    /// Why it ends.
    pub ends: Option<String>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRow {
    /// Its name.
    pub machine: String,
    /// `up`, `silent`, `draining`, `drained`.
    pub state: String,
    /// Thousandths of cores that it has.
    pub millicores: u32,
    /// Thousandths of cores that are free.
    pub free_millicores: u32,
    /// Memory that it has, in MiB.
    pub memory_mib: u32,
    /// Memory that is free, in MiB.
    pub free_memory_mib: u32,
    /// Ports that are free.
    pub free_ports: u32,
    /// Instances that hold something there.
    pub instances: u32,
    /// What constraints speak of.
    pub attributes: BTreeMap<String, String>,
}

/// The scheduler itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub program: String,
    /// Its term.
    pub epoch: u64,
    /// Whether it leads.
    pub is_leading: bool,
    /// Digest of the policy.
    pub policy: String,
    /// Where instances run: `local` or `mesos`.
    pub backend: String,
    /// Apps.
    pub apps: u32,
    /// Instances.
    pub instances: u32,
    /// Machines.
    pub machines: u32,
    /// Why repair is stopped, if it is.
    pub freeze: Option<String>,
    /// The number of the last event.
    pub last_event: u64,
}

/// An address of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The instance.
    pub instance: String,
    /// Its address.
    pub address: String,
    /// Its ports.
    pub ports: Vec<u16>,
    /// How much it should get, in thousandths of what a warm one gets.
    pub weight_thousandths: u32,
}

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// For people.
    pub text: String,
    /// The same as data: reasons by machine, waits, the deployment, and how it was scaled.
    pub detail: serde_json::Value,
}

/// What a call has led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// `deployment`, `wanted`, `moves`, `unchanged` or `noted`.
    pub result: String,
    /// The deployment that has begun.
    pub deployment: Option<u32>,
    /// The version that it brings.
    pub version: Option<u32>,
    /// How many instances are wanted now.
    pub wanted: Option<u32>,
    /// How many instances will move.
    #[serde(default)]
    pub moves: Option<u32>,
}

/// Body of `upgrade`: what isn't said stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// What its maker calls the new version.
    pub version: String,
    /// Another command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Another text for the shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Another image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The most that are replaced at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
}

/// Body of `scale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// How many.
    pub instances: u32,
    /// Whether volumes of those that end are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_volumes: bool,
}

/// Body of `rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The number of the version; the last good one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// Body of `add` and `remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnMachine {
    /// Where.
    pub machine: String,
    /// With `remove`: whether its volumes are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_volumes: bool,
}

/// Body of `observations`: what an app had to do in a period that ends now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Which app.
    pub app: String,
    /// Mean number of requests in work, in thousandths.
    pub busy_thousandths: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// Requests that came.
    pub arrivals: u64,
    /// Requests that were rejected.
    pub rejects: u64,
}

/// What is wrong with a request, as RFC 9457 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:corral:problem:` and a name that stays.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, in short.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong here.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A number that fits, or the largest.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A time as RFC 3339 writes it.
#[must_use]
pub fn moment(time: Time) -> String {
    Moment::of_epoch_seconds(time.0 / 1_000_000_000).to_string()
}

/// An app as a row.
#[must_use]
pub fn app_row(name: &AppName, app: &App) -> AppRow {
    let lives = || app.instances.values().map(|instance| instance.life);
    let of = |wanted: fn(Life) -> bool| count(lives().filter(|life| wanted(*life)).count());
    let serving = of(|life| matches!(life, Life::Serving { .. }));
    let starting = of(Life::is_starting);
    let stopping = of(|life| life.is_stopping() || life == Life::Sweeping);
    let wanted = if app.is_deleted { 0 } else { app.wanted };
    let state = match &app.deployment {
        _ if app.is_deleted => "deleting",
        Some(deployment) if deployment.stalled.is_some() => "stalled",
        Some(_) => "deploying",
        None if serving == wanted && starting == 0 && stopping == 0 => "steady",
        None => "changing",
    };
    AppRow {
        app: name.to_string(),
        version: app.target.0,
        label: app.specification().map(|one| one.label.clone()).unwrap_or_default(),
        wanted,
        min: app.bounds.min,
        max: app.bounds.max,
        serving,
        starting,
        stopping,
        state: state.to_owned(),
        hold: app.hold.map(|hold| hold.to_string()),
    }
}

/// An app with all that there is to tell.
#[must_use]
pub fn app_detail(name: &AppName, app: &App) -> AppDetail {
    let specification = app.specification().map(|one| {
        let mut shown = one.as_ref().clone();
        shown.environment.values_mut().for_each(|value| *value = "(withheld)".to_owned());
        shown
    });
    let named = app.named.iter().map(|(machine, count)| (machine.to_string(), *count));
    AppDetail {
        summary: app_row(name, app),
        deployment: app.deployment.as_ref().map(|one| DeploymentRow {
            number: one.number,
            from: one.from.map(|version| version.0),
            to: one.to.0,
            begun: moment(one.begun),
            cause: one.cause.to_string(),
            stalled: one.stalled.map(|why| why.to_string()),
        }),
        last: history(name, app).deployments.pop(),
        rebalance: app.rebalance.as_ref().map(|one| rebalance::spread_row(name, one)),
        specification,
        versions: versions(app),
        named: named.collect(),
        instances: instances(name, app).collect(),
    }
}

fn versions(app: &App) -> Vec<VersionRow> {
    let row = |(version, one): (&scheduler_core::ids::Version, &std::sync::Arc<Specification>)| {
        let having = app.instances.values().filter(|instance| instance.version == *version);
        VersionRow {
            version: version.0,
            label: one.label.clone(),
            is_target: *version == app.target,
            is_stable: app.stable.contains(version),
            instances: count(having.count()),
        }
    };
    app.versions.iter().map(row).collect()
}

/// What was before.
#[must_use]
pub fn history(name: &AppName, app: &App) -> History {
    let deployments = app.history.iter().map(|one| EndedRow {
        number: one.number,
        from: one.from.map(|version| version.0),
        to: one.to.0,
        at: moment(one.at),
        is_done: one.outcome == scheduler_core::app::Outcome::Done,
        outcome: one.outcome.to_string(),
    });
    let instances = app.gone.iter().map(|one| GoneRow {
        instance: InstanceId { app: name.clone(), number: one.number }.to_string(),
        version: one.version.0,
        machine: one.machine.as_ref().map(ToString::to_string),
        at: moment(one.at),
        why: one.end.to_string(),
    });
    History {
        deployments: deployments.collect(),
        instances: instances.collect(),
        versions: versions(app),
    }
}

/// The instances of an app.
pub fn instances(name: &AppName, app: &App) -> impl Iterator<Item = InstanceRow> {
    app.instances.iter().map(|(number, instance)| {
        instance_row(&InstanceId { app: name.clone(), number: *number }, app, instance)
    })
}

/// An instance as a row.
#[must_use]
pub fn instance_row(id: &InstanceId, app: &App, instance: &Instance) -> InstanceRow {
    let label = app.versions.get(&instance.version).map(|one| one.label.clone());
    InstanceRow {
        instance: id.to_string(),
        app: id.app.to_string(),
        version: instance.version.0,
        label: label.unwrap_or_default(),
        life: instance.life.name().to_owned(),
        since: moment(instance.since),
        weight_thousandths: instance.weight_thousandths(),
        machine: instance.machine.as_ref().map(ToString::to_string),
        ports: instance.ports.to_vec(),
        is_unhealthy: instance.is_unhealthy(),
        ends: instance.end.as_ref().map(ToString::to_string),
    }
}

/// A machine as a row.
#[must_use]
pub fn machine_row(name: &str, machine: &Machine) -> MachineRow {
    let free = machine.free();
    let state = match (machine.silent_since, machine.is_emptied(), machine.instances.is_empty()) {
        (Some(_), ..) => "silent",
        (None, true, true) => "drained",
        (None, true, false) => "draining",
        (None, false, _) => "up",
    };
    MachineRow {
        machine: name.to_owned(),
        state: state.to_owned(),
        millicores: machine.description.millicores,
        free_millicores: free.millicores,
        memory_mib: machine.description.memory_mib,
        free_memory_mib: free.memory_mib,
        free_ports: free.ports,
        instances: count(machine.instances.len()),
        attributes: (*machine.description.attributes).clone(),
    }
}

/// Where an app is found: what is registered.
#[must_use]
pub fn endpoints(
    name: &AppName,
    app: &App,
    address: impl Fn(&MachineName) -> String,
) -> Vec<Endpoint> {
    let serving = app.instances.iter().filter(|(_, one)| matches!(one.life, Life::Serving { .. }));
    let rows = serving.map(|(number, instance)| Endpoint {
        instance: InstanceId { app: name.clone(), number: *number }.to_string(),
        address: instance.machine.as_ref().map(&address).unwrap_or_default(),
        ports: instance.ports.to_vec(),
        weight_thousandths: instance.weight_thousandths(),
    });
    rows.collect()
}

/// Why an app is as it is.
#[must_use]
pub fn explain_app(state: &State, app: &AppName, now: Time) -> Option<Explanation> {
    explain::app(state, app, now).map(|found| explanation(&found))
}

/// Why an instance is as it is.
#[must_use]
pub fn explain_instance(state: &State, id: &InstanceId, now: Time) -> Option<Explanation> {
    explain::instance(state, id, now).map(|found| explanation(&found))
}

fn explanation<T: ToString + Serialize>(found: &T) -> Explanation {
    // Plain data with names as keys always has a JSON form.
    let detail = serde_json::to_value(found).unwrap_or_default();
    Explanation { text: found.to_string(), detail }
}

impl From<Accepted> for Answer {
    fn from(accepted: Accepted) -> Self {
        let of = |result: &str| Answer {
            result: result.to_owned(),
            deployment: None,
            version: None,
            wanted: None,
            moves: None,
        };
        match accepted {
            Accepted::Deployment { number, version } => {
                Answer { deployment: Some(number), version: Some(version.0), ..of("deployment") }
            }
            Accepted::Wanted(wanted) => Answer { wanted: Some(wanted), ..of("wanted") },
            Accepted::Moves(moves) => Answer { moves: Some(moves), ..of("moves") },
            Accepted::Unchanged => of("unchanged"),
            Accepted::Noted => of("noted"),
        }
    }
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Problem {
            kind: format!("urn:corral:problem:{kind}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            hint: None,
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let (status, kind, title, hint) = match refusal {
            Refusal::NotLeading => (503, "not-leading", "another scheduler leads", "ask that one"),
            Refusal::UnknownApp(_) => {
                (404, "unknown-app", "there is no such app", "`scheduler app list` shows all")
            }
            Refusal::UnknownVersion(..) => (
                404,
                "unknown-version",
                "there is no such version",
                "`scheduler app history APP` shows all",
            ),
            Refusal::UnknownMachine(_) => (
                404,
                "unknown-machine",
                "there is no such machine",
                "`scheduler machine list` shows all",
            ),
            Refusal::UnknownInstance(_) => (
                404,
                "unknown-instance",
                "there is no such instance",
                "`scheduler instance list` shows all",
            ),
            Refusal::IsDeleted(_) => (
                409,
                "is-deleted",
                "the app is being deleted",
                "`scheduler app show APP` says what it still has",
            ),
            Refusal::Bounds { .. } | Refusal::OutOfBounds { .. } => (
                422,
                "out-of-bounds",
                "outside the bounds of the app",
                "change `instances` in its file and deploy it",
            ),
            Refusal::NothingToRollBackTo(_) => (
                409,
                "nothing-to-roll-back-to",
                "there is nothing to go back to",
                "`scheduler app history APP` shows what there was",
            ),
            Refusal::NoInstanceOn(..) => (
                409,
                "no-instance-there",
                "there is none on the machine",
                "`scheduler app show APP` says where they are",
            ),
            Refusal::NotAllowedOn(..) => (
                409,
                "not-allowed-there",
                "its constraints exclude the machine",
                "change `constraints` in its file and deploy it",
            ),
            Refusal::IsDeployed(_) => (
                409,
                "is-deployed",
                "a deployment is under way",
                "`scheduler app show APP` says how far it is; try again when it is done",
            ),
            Refusal::IsFrozen => (
                409,
                "is-frozen",
                "repair is stopped",
                "`scheduler machine list` shows which machines are silent",
            ),
            Refusal::NoSurge(_) => (
                409,
                "no-surge",
                "none may start before another one ends",
                "`surge` in the section `rollout` of the policy",
            ),
            Refusal::UnknownVolume(_) => (
                404,
                "unknown-volume",
                "there is no such volume",
                "`scheduler volume list` shows all",
            ),
            Refusal::VolumeInUse(..) => (
                409,
                "volume-in-use",
                "an instance has the volume",
                "it is free when its app has fewer instances (`scheduler app scale`) or is deleted",
            ),
            Refusal::VolumesChanged(_) => (
                409,
                "volumes-changed",
                "there are other volumes of the app",
                "`scheduler volume list` shows them; their names and sizes stay as they are",
            ),
            Refusal::HasVolumes(_) => (
                409,
                "has-volumes",
                "volumes can't move",
                "`scheduler volume list` shows where they are",
            ),
            Refusal::StepOfNone
            | Refusal::TooLong { .. }
            | Refusal::NothingToRun
            | Refusal::Volume(_) => (
                422,
                "invalid",
                "this can't be deployed",
                "`scheduler schema app` says what may be in an app's file",
            ),
        };
        Problem::new(status, kind, title, refusal.to_string()).hint(hint)
    }
}

//! The plays that the planner plays. They exist in memory only and do nothing themselves: they
//! import the task files of the component's own role, one play a kind of step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision_lifecycle::{Definition, Duty, Kind};
use provision_probe::{NAMES, questions};
use serde_json::{Value, json};

use super::members;
use super::prepare::Source;

/// The playbook, in the folder of the playbooks, where roles are looked for.
const PLAYBOOK: &str = ".provision-release.yml";

/// Names of the plays of a component, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlayKind {
    /// Ask those who have a vote.
    ObserveVoters,
    /// Ask those who have none.
    ObserveWorkers,
    /// Install a release beside what runs.
    Stage,
    /// Configure, switch, restart, prove health.
    Take,
    /// The whole role, as a plain play runs it.
    Start,
    /// Ask for a vote.
    Join,
    /// Ask to take one.
    Leave,
    /// Stop and remove.
    Retire,
}

const ALL: [PlayKind; 8] = [
    PlayKind::ObserveVoters,
    PlayKind::ObserveWorkers,
    PlayKind::Stage,
    PlayKind::Take,
    PlayKind::Start,
    PlayKind::Join,
    PlayKind::Leave,
    PlayKind::Retire,
];

/// What can't be kept as it is in a task's name: the timeout of a member, as a variable.
pub(super) const TIMEOUT: &str = "probe_timeout";

/// The files in memory: a playbook, and for each role its questions as task files.
pub(super) fn texts(playbooks: &Path, sources: &[Source]) -> (PathBuf, BTreeMap<PathBuf, String>) {
    let mut texts = BTreeMap::new();
    let mut plays = Vec::new();
    for source in sources {
        let definition = &source.definition;
        let tasks = playbooks.join("roles").join(&source.role).join("tasks");
        for duty in [Duty::Voter, Duty::Worker] {
            texts
                .insert(tasks.join(format!("{}.yml", probe_file(duty))), observe(definition, duty));
        }
        plays.extend(ALL.map(|kind| play(source, kind)));
    }
    let path = playbooks.join(PLAYBOOK);
    texts.insert(path.clone(), Value::Array(plays).to_string());
    (path, texts)
}

/// Where a component's play stands in the playbook.
pub(super) fn number_of(component: usize, kind: PlayKind) -> usize {
    let within = ALL.iter().position(|known| *known == kind).unwrap_or_default();
    component * ALL.len() + within
}

fn probe_file(duty: Duty) -> &'static str {
    match duty {
        Duty::Voter => "provision-probe-voter",
        Duty::Worker => "provision-probe-worker",
    }
}

fn observe(definition: &Definition, duty: Duty) -> String {
    let (mut tasks, _) = questions(definition, duty);
    let seconds = definition.health.timeout_seconds.0.as_str();
    tasks.push(json!({"name": "probe timeout", "set_fact": {TIMEOUT: seconds}}));
    if let Some(names) = names(definition, duty) {
        tasks.push(json!({"name": "probe names", "set_fact": {NAMES: names}}));
    }
    Value::Array(tasks).to_string()
}

/// Names under which the answers of a member are registered.
pub(super) fn registered(definition: &Definition, duty: Duty) -> Vec<&'static str> {
    let mut registered = questions(definition, duty).1;
    registered.extend(names(definition, duty).map(|_| NAMES));
    registered
}

/// How the cluster calls the hosts of the group.
fn names(definition: &Definition, duty: Duty) -> Option<&str> {
    let names = definition.members.as_ref()?.names.as_deref()?;
    (duty == Duty::Voter).then_some(names)
}

fn play(source: &Source, kind: PlayKind) -> Value {
    let Source { definition, role } = source;
    let name = definition.name.value.as_str();
    let import = |file: &str| json!({"import_role": {"name": role, "tasks_from": file}});
    let (word, tasks) = match kind {
        PlayKind::ObserveVoters => ("observe", vec![import(probe_file(Duty::Voter))]),
        PlayKind::ObserveWorkers => ("observe", vec![import(probe_file(Duty::Worker))]),
        PlayKind::Stage => ("stage", vec![import("stage")]),
        PlayKind::Take => {
            ("take", ["configure", "switch", "restart", "health"].map(import).to_vec())
        }
        PlayKind::Start => ("start", vec![json!({"import_role": {"name": role}})]),
        PlayKind::Join => ("join", members::join(definition).map(import).into_iter().collect()),
        PlayKind::Leave => ("leave", members::leave(definition).map(import).into_iter().collect()),
        PlayKind::Retire => {
            ("retire", members::retire(definition).map(import).into_iter().collect())
        }
    };
    json!({
        "name": format!("{name}: {word}"),
        "hosts": pattern(definition),
        // Components that share a role learn from this which one is meant.
        "vars": {"component_name": name},
        // Roles compute settings from facts.
        "gather_facts":
            !matches!(kind, PlayKind::ObserveVoters | PlayKind::ObserveWorkers),
        "become": true,
        "tasks": tasks,
    })
}

/// All hosts that run the component.
fn pattern(definition: &Definition) -> String {
    let group = definition.group.value.as_str();
    match &definition.followers {
        Some(followers) => format!("{group}:{}", followers.value),
        None => group.to_owned(),
    }
}

/// What a member of a group is there for.
pub(super) fn duty_of(definition: &Definition, is_in_group: bool) -> Duty {
    match (definition.kind.value, is_in_group) {
        (Kind::Quorum, true) => Duty::Voter,
        (Kind::Quorum, false) | (Kind::Daemon, _) => Duty::Worker,
    }
}

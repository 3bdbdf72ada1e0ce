//! `[pure]` What to ask a member of a component, and how to read what it answers.
//!
//! [`questions`] are tasks like any others: the engine sends them over the session that it has
//! anyway, so nothing needs to be exposed and no shell is used. [`read_member`] makes a
//! [`Member`] of the answers. Answers come from hosts: they are data, and whatever they say, the
//! worst they can do is make their own member count as down.

mod answers;
mod consul;
mod docker;
mod mesos_agent;
mod mesos_master;
mod questions;
mod scheduler;
mod unit;
mod zookeeper;

pub use answers::Answers;
pub use questions::{NAMES, questions};

use std::collections::BTreeSet;

use provision_lifecycle::{
    Clients, Definition, Duty, Files, Format, Hold, Member, Objection, Process, Role, Version,
};

/// What the process itself says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    running: Option<Version>,
    role: Option<Role>,
    /// Whether anything answered at all.
    answers: bool,
    position: Option<u64>,
    in_sync: Option<u32>,
    containers: Vec<String>,
    roster: Option<BTreeSet<String>>,
    problem: Option<String>,
    clients: Option<Clients>,
    holds: Vec<Hold>,
    objections: Vec<Objection>,
}

/// A member from its answers.
#[must_use]
pub fn read_member(definition: &Definition, name: &str, duty: Duty, answers: &Answers) -> Member {
    let said = match definition.probe.format.value {
        Format::ZookeeperMntr => zookeeper::read(answers, name),
        Format::ConsulApi => consul::read(answers, duty),
        Format::DockerCommand => docker::read(answers),
        Format::UnitCommand => unit::read(answers),
        Format::MesosMaster => mesos_master::read(answers),
        Format::MesosAgent => mesos_agent::read(answers),
        Format::SchedulerReady => scheduler::read(answers),
    };
    let process = match (said.role, said.answers) {
        (Some(role), _) => Process::Serving(role),
        (None, true) => Process::Looking,
        (None, false) => Process::Dead,
    };
    let files = match answers.exit_code(questions::FILES) {
        Some(0) => Files::Current,
        Some(_) => Files::Changed,
        None => Files::Unknown,
    };
    Member {
        releases: answers.releases(questions::RELEASES),
        current: answers.link(questions::CURRENT).and_then(|link| version_of_path(&link)),
        running: said.running,
        process,
        files,
        has_data: answers.exists(questions::DATA),
        position: said.position,
        in_sync: said.in_sync,
        containers: said.containers,
        roster: said.roster.filter(|_| said.role.is_some()),
        problem: said.problem.map(|text| line(&text)),
        clients: said.clients,
        holds: said.holds,
        objections: said.objections,
        ..Member::blank(name, duty)
    }
}

/// The version in the path of a release: the name of its folder.
fn version_of_path(path: &str) -> Option<Version> {
    Version::parse(path.rsplit('/').next()?).ok()
}

/// The longest piece of a host's words that is shown, in characters.
const WORDS_LIMIT: usize = 160;

fn line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().chars().take(WORDS_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::{Duty, Files, Process, Role, read_definition};
    use serde_json::json;

    use super::{Answers, questions, read_member};

    fn zookeeper() -> provision_lifecycle::Definition {
        let text = include_str!("../../../playbooks/roles/zookeeper/component.yml");
        read_definition("component.yml", text, &mut diagnostics::Sources::default()).unwrap()
    }

    #[test]
    fn every_question_can_fail_without_failing_the_run() {
        let (tasks, names) = questions(&zookeeper(), Duty::Voter);
        assert_eq!(tasks.len(), names.len());
        for task in &tasks {
            assert_eq!(task["ignore_errors"], true, "{task}");
        }
    }

    #[test]
    fn a_member_is_made_of_its_answers() {
        let mntr = include_str!("../tests/recorded/zookeeper-3.8.0-leader.mntr");
        let srvr = include_str!("../tests/recorded/zookeeper-3.8.0-leader.srvr");
        let folder = "/opt/zookeeper/releases";
        let found = |version: &str| json!({"path": format!("{folder}/{version}/.release")});
        let answers = [
            (
                "probe_releases",
                json!({"files": [
                    found("3.9.3"), found(".staging-1"), found("3.8.0"), found("3.8.1/conf"),
                    json!({"path": format!("{folder}/3.7.0")}),
                ]}),
            ),
            ("probe_current", json!({"stat": {"lnk_target": format!("{folder}/3.8.0")}})),
            ("probe_data", json!({"stat": {"exists": true}})),
            ("probe_files", json!({"rc": 1})),
            ("probe_mntr", json!({"answer": mntr})),
            ("probe_srvr", json!({"answer": srvr})),
        ];
        let answers = answers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let member = read_member(&zookeeper(), "zk1", Duty::Voter, &Answers(answers));
        let releases: Vec<&str> = member.releases.iter().map(|version| version.as_str()).collect();
        assert_eq!(releases, ["3.8.0", "3.9.3"]);
        assert_eq!(member.current, member.running);
        assert_eq!(member.process, Process::Serving(Role::Leader));
        assert_eq!((member.files, member.has_data), (Files::Changed, Some(true)));
        assert_eq!((member.in_sync, member.position), (Some(2), Some(0x1_0000_0000)));
    }

    #[test]
    fn no_answers_are_a_member_that_is_down() {
        let member = read_member(&zookeeper(), "zk1", Duty::Voter, &Answers::default());
        assert_eq!(member.process, Process::Dead);
        assert_eq!((member.files, member.has_data), (Files::Unknown, None));
    }
}

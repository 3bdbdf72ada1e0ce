//! Masters and agents of Mesos that exist on paper: their answers are recorded ones with other
//! numbers, the planner is the real one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use provision_lifecycle::{
    Decision, Definition, Duty, Goal, MemberRules, Observed, Options, Outcome, Progress, Purpose,
    Reason, Rules, Step, Stop, Version, next_step, read_definition,
};
use provision_probe::{Answers, questions, read_member};
use serde_json::{Value, json};

const LEADER: &str = include_str!("recorded/mesos-1.12.0-leader-metrics.json");
const STANDBY: &str = include_str!("recorded/mesos-1.12.0-standby-metrics.json");
const RELEASE: &str = include_str!("recorded/mesos-1.12.0-version.json");
const FLAGS: &str = include_str!("recorded/mesos-1.12.0-flags.json");
const DRAINED: &str = include_str!("recorded/mesos-1.12.0-slaves-drained.json");
const STATE: &str = include_str!("recorded/mesos-1.12.0-agent-state.json");
const COUNTS: &str = include_str!("recorded/mesos-1.12.0-agent-metrics.json");
const TICK_MS: u64 = 500;
const DEADLINE_MS: u64 = 60_000;
const AGENTS: u64 = 20;

fn definition(text: &str) -> Definition {
    read_definition("component.yml", text, &mut diagnostics::Sources::default()).unwrap()
}

fn masters_definition() -> Definition {
    definition(include_str!("../../../playbooks/roles/mesos_master/component.yml"))
}

fn agents_definition() -> Definition {
    definition(include_str!("../../../playbooks/roles/mesos_agent/component.yml"))
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn good(body: Value) -> Value {
    json!({"status": 200, "json": body})
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn rules(definition: &Definition) -> Rules {
    Rules {
        kind: definition.kind.value,
        settle_ms: definition.health.settle_seconds.value * 1000,
        deadline_ms: DEADLINE_MS,
        transitions: definition.transitions.iter().map(|rule| rule.value.clone()).collect(),
        members: MemberRules::default(),
    }
}

/// Three masters and those who depend on them.
struct Masters {
    versions: Vec<&'static str>,
    leader: usize,
    /// When each has recovered the log.
    recovered_at_ms: Vec<u64>,
    /// When the leader was elected.
    elected_at_ms: u64,
    /// How many agents are registered, and when the rest comes back.
    agents: u64,
    agents_back_at_ms: u64,
    is_drained: bool,
    quorum: &'static str,
    now_ms: u64,
    /// How long a start takes to recover the log, masters to elect a leader, agents to come back.
    recovery_ms: u64,
    election_ms: u64,
    return_ms: u64,
}

impl Masters {
    fn new(release: &'static str) -> Self {
        Masters {
            versions: vec![release; 3],
            leader: 0,
            recovered_at_ms: vec![0; 3],
            elected_at_ms: 0,
            agents: AGENTS,
            agents_back_at_ms: 0,
            is_drained: false,
            quorum: "2",
            now_ms: 1_000_000,
            recovery_ms: 3000,
            election_ms: 10_000,
            return_ms: 20_000,
        }
    }

    fn answers(&self, index: usize) -> Answers {
        let leads = index == self.leader && self.now_ms >= self.elected_at_ms;
        let mut metrics = parsed(if leads { LEADER } else { STANDBY });
        let recovered = if self.now_ms >= self.recovered_at_ms[index] { 1.0 } else { 0.0 };
        metrics["registrar/log/recovered"] = recovered.into();
        if leads {
            let all = self.now_ms >= self.agents_back_at_ms;
            let agents = if all { self.agents } else { self.agents / 2 };
            metrics["master/slaves_active"] = (agents as f64).into();
            metrics["master/frameworks_active"] = 2.0.into();
        }
        let mut release = parsed(RELEASE);
        release["version"] = self.versions[index].into();
        let mut flags = parsed(FLAGS);
        flags["flags"]["quorum"] = self.quorum.into();
        let folder = "/opt/mesos-master/releases";
        let found = |version: &str| json!({"path": format!("{folder}/{version}/.release")});
        let link = format!("{folder}/{}", self.versions[index]);
        let mut named: BTreeMap<String, Value> = BTreeMap::new();
        let mut answer = |name: &str, value| drop(named.insert(name.to_owned(), value));
        let releases = ["1.8.1", "1.9.0", "1.11.0", "0.28.3"].map(found);
        answer("probe_releases", json!({"files": releases}));
        answer("probe_current", json!({"stat": {"lnk_target": link}}));
        answer("probe_data", json!({"stat": {"exists": true}}));
        answer("probe_files", json!({"rc": 0}));
        answer("probe_version", good(release));
        answer("probe_metrics", good(metrics));
        answer("probe_flags", good(flags));
        answer("probe_wanted", json!({"msg": {"quorum": "2", "masters": "3"}}));
        match leads {
            true if self.is_drained => answer("probe_agents", good(parsed(DRAINED))),
            true => answer("probe_agents", good(json!({"slaves": []}))),
            false => answer("probe_agents", json!({"status": 307, "failed": true})),
        }
        Answers(named)
    }

    fn observe(&self, definition: &Definition) -> Observed {
        let member = |index: usize| {
            read_member(definition, &format!("mm{index}"), Duty::Voter, &self.answers(index))
        };
        Observed { members: (0..3).map(member).collect(), ..Observed::default() }
    }

    /// A master that leads and restarts leaves the lead to another one.
    fn restart(&mut self, index: usize, release: &'static str) {
        self.versions[index] = release;
        self.recovered_at_ms[index] = self.now_ms + self.recovery_ms;
        if index == self.leader {
            self.leader = (index + 1) % 3;
            self.elected_at_ms = self.now_ms.saturating_add(self.election_ms);
            self.agents_back_at_ms = self.now_ms + self.return_ms;
        }
    }
}

/// Runs to the end: the members that were taken, in order, what was waited for, and the end.
fn run(
    masters: &mut Masters,
    goal: &Goal,
    to: &'static str,
) -> (Vec<String>, Vec<Reason>, Decision) {
    let definition = masters_definition();
    let rules = rules(&definition);
    let mut progress = Progress::begin(masters.now_ms);
    let (mut taken, mut waits) = (Vec::new(), Vec::new());
    for _ in 0..2000 {
        let observed = masters.observe(&definition);
        progress.observe(&observed, masters.now_ms);
        let options = Options::default();
        let decision = next_step(&rules, goal, &options, &observed, &progress, masters.now_ms);
        match decision {
            Decision::Run(step) => {
                progress.began(&step, &observed, masters.now_ms);
                let mut outcomes = BTreeMap::new();
                for name in step.members() {
                    let index: usize = name.trim_start_matches("mm").parse().unwrap();
                    assert!(matches!(step, Step::Take { .. }), "{step:?}");
                    masters.restart(index, to);
                    taken.push(name.clone());
                    outcomes.insert(name.clone(), Outcome::Done);
                }
                masters.now_ms += TICK_MS;
                progress.ended(&step, &outcomes, masters.now_ms);
            }
            Decision::Wait { reason, .. } => {
                if waits.last() != Some(&reason) {
                    waits.push(reason);
                }
            }
            end => return (taken, waits, end),
        }
        masters.now_ms += TICK_MS;
    }
    panic!("it never ends; taken {taken:?}, waited for {waits:?}")
}

fn goal(purpose: Purpose, to: &str) -> Goal {
    let members = (0..3).map(|index| format!("mm{index}")).collect();
    Goal { purpose, version: version(to), members }
}

#[test]
fn standbys_first_the_leader_last_and_agents_are_waited_for() {
    let mut masters = Masters::new("1.9.0");
    let (taken, waits, end) = run(&mut masters, &goal(Purpose::Upgrade, "1.11.0"), "1.11.0");
    assert_eq!((taken, end), (vec!["mm1".into(), "mm2".into(), "mm0".into()], Decision::Done));
    let log = waits.iter().any(|wait| {
        matches!(wait, Reason::NotServing { problem: Some(text), .. } if text.contains("log"))
    });
    assert!(log, "{waits:?}");
    let back = waits.iter().find(|wait| matches!(wait, Reason::ClientsMissing { .. })).unwrap();
    assert_eq!(back.to_string(), "mm1 has 10 of 20 agents and 2 of 2 frameworks back");
}

#[test]
fn a_log_that_is_never_recovered_ends_the_run_at_the_first_master() {
    let mut masters = Masters::new("1.9.0");
    masters.recovery_ms = u64::MAX / 2;
    let (taken, _, end) = run(&mut masters, &goal(Purpose::Upgrade, "1.11.0"), "1.11.0");
    assert_eq!(taken, ["mm1"]);
    let Decision::Stop(Stop::WaitedTooLong { waited_for }) = end else { panic!("{end:?}") };
    assert!(waited_for.to_string().contains("has not recovered"), "{waited_for}");
}

#[test]
fn masters_that_elect_nobody_end_the_run() {
    let mut masters = Masters::new("1.9.0");
    masters.election_ms = u64::MAX / 2;
    let (_, _, end) = run(&mut masters, &goal(Purpose::Upgrade, "1.11.0"), "1.11.0");
    assert_eq!(end, Decision::Stop(Stop::WaitedTooLong { waited_for: Reason::NoLeader }));
}

#[test]
fn agents_that_stay_away_end_the_run() {
    let mut masters = Masters::new("1.9.0");
    masters.return_ms = u64::MAX / 2;
    let (taken, _, end) = run(&mut masters, &goal(Purpose::Upgrade, "1.11.0"), "1.11.0");
    assert_eq!(taken, ["mm1", "mm2", "mm0"]);
    let Decision::Stop(Stop::WaitedTooLong { waited_for }) = end else { panic!("{end:?}") };
    assert!(matches!(waited_for, Reason::ClientsMissing { .. }), "{waited_for:?}");
}

#[test]
fn drained_agents_keep_masters_from_1_8_and_from_nothing_newer() {
    let mut masters = Masters::new("1.11.0");
    masters.is_drained = true;
    let (taken, _, end) = run(&mut masters, &goal(Purpose::Rollback, "1.8.1"), "1.8.1");
    assert_eq!(taken, [""; 0]);
    let Decision::Stop(stop) = end else { panic!("{end:?}") };
    let text = stop.to_string();
    assert!(text.starts_with("mm0 can't go from 1.11.0 to 1.8.1: host-b is drained"), "{text}");
    let (taken, _, end) = run(&mut masters, &goal(Purpose::Rollback, "1.9.0"), "1.9.0");
    assert_eq!((taken.len(), end), (3, Decision::Done));
    masters.is_drained = false;
    let (taken, _, end) = run(&mut masters, &goal(Purpose::Rollback, "1.8.1"), "1.8.1");
    assert_eq!((taken.len(), end), (3, Decision::Done));
}

#[test]
fn another_major_release_and_another_quorum_are_refused() {
    let mut masters = Masters::new("1.9.0");
    let (taken, _, end) = run(&mut masters, &goal(Purpose::Rollback, "0.28.3"), "0.28.3");
    assert!(taken.is_empty() && matches!(end, Decision::Stop(Stop::VersionRefused { .. })));
    masters.quorum = "3";
    let (taken, _, end) = run(&mut masters, &goal(Purpose::Restart, "1.9.0"), "1.9.0");
    let Decision::Stop(Stop::Objection { because, .. }) = end else { panic!("{end:?}") };
    assert!(taken.is_empty() && because.contains("quorum 3"), "{because}");
}

fn agent(attributes: &str, policy: &str, checkpoint: bool, containers: bool) -> Answers {
    let mut state = parsed(STATE);
    state["frameworks"][0]["checkpoint"] = checkpoint.into();
    if !containers {
        state["frameworks"] = json!([]);
    }
    let folder = "/opt/mesos-agent/releases";
    let version = state["version"].as_str().unwrap().to_owned();
    let wanted = json!({"msg": {
        "attributes": attributes, "policy": policy, "port": "5051", "hostname": "127.0.0.1",
        "resources": "cpus:4;mem:4096;disk:10240;ports:[31000-31999]", "work_dir": "/w",
    }});
    let named = [
        ("probe_releases", json!({"files": [{"path": format!("{folder}/{version}/.release")}]})),
        ("probe_current", json!({"stat": {"lnk_target": format!("{folder}/{version}")}})),
        ("probe_files", json!({"rc": 0})),
        ("probe_state", good(state)),
        ("probe_metrics", good(parsed(COUNTS))),
        ("probe_wanted", wanted),
    ];
    Answers(named.map(|(name, value)| (name.to_owned(), value)).into())
}

/// What `provision reconfigure mesos-agent` does first.
fn reconfigured(all: &[Answers], options: Options) -> Decision {
    let definition = agents_definition();
    let member = |(index, answers): (usize, &Answers)| {
        read_member(&definition, &format!("a{index}"), Duty::Worker, answers)
    };
    let members = all.iter().enumerate().map(member).collect();
    let observed = Observed { members, ..Observed::default() };
    let goal = Goal {
        purpose: Purpose::Restart,
        version: version("1.12.0"),
        members: observed.members.iter().map(|member| member.name.clone()).collect(),
    };
    let mut progress = Progress::begin(0);
    progress.observe(&observed, 0);
    let now_ms = 20_000;
    next_step(&rules(&definition), &goal, &options, &observed, &progress, now_ms)
}

const SAME: &str = "rack:r1;zone:a;num:42;rng:[1-10]";

#[test]
fn agents_go_in_batches() {
    let all: Vec<Answers> = (0..5).map(|_| agent(SAME, "equal", true, true)).collect();
    let options = Options { max_unavailable: 2, ..Options::default() };
    let Decision::Run(Step::Take { members, .. }) = reconfigured(&all, options) else { panic!() };
    assert_eq!(members, ["a0", "a1"]);
}

#[test]
fn one_breaking_change_stops_it_before_any_host_is_touched() {
    let all = [
        agent(SAME, "equal", true, true),
        agent("rack:r2;zone:a;num:42;rng:[1-10]", "additive", true, true),
    ];
    let end = reconfigured(&all, Options { accept_outage: true, ..Options::default() });
    let Decision::Stop(stop) = end else { panic!("{end:?}") };
    let text = stop.to_string();
    assert!(text.starts_with("a1 must not be restarted: attribute rack changes from r1 to r2"));
    assert!(text.contains("/w/meta/slaves/latest"), "{text}");
}

#[test]
fn more_of_the_same_is_a_matter_of_the_policy() {
    let more = format!("{SAME};ssd:yes");
    let ask = |policy| reconfigured(&[agent(&more, policy, true, true)], Options::default());
    assert!(matches!(ask("additive"), Decision::Run(_)));
    assert!(matches!(ask("equal"), Decision::Stop(Stop::Objection { .. })));
}

#[test]
fn tasks_that_would_end_are_an_outage_to_accept() {
    let ask = |accept_outage, containers| {
        let options = Options { accept_outage, ..Options::default() };
        reconfigured(&[agent(SAME, "equal", false, containers)], options)
    };
    assert!(matches!(ask(false, true), Decision::Stop(Stop::Objection { .. })));
    assert!(matches!(ask(true, true), Decision::Run(_)));
    assert!(matches!(ask(false, false), Decision::Run(_)));
    // Or they are moved away first.
    let busy = [agent(SAME, "equal", false, true)];
    let options = Options { drain: true, ..Options::default() };
    assert!(matches!(reconfigured(&busy, options), Decision::Run(_)));
    // That is no help where the agent would not start again.
    let other = [agent("rack:r2", "equal", true, true)];
    assert!(matches!(reconfigured(&other, options), Decision::Stop(Stop::Objection { .. })));
}

#[test]
fn every_question_can_fail_without_failing_the_run() {
    for (definition, duty) in
        [(masters_definition(), Duty::Voter), (agents_definition(), Duty::Worker)]
    {
        let (tasks, names) = questions(&definition, duty);
        assert_eq!(tasks.len(), names.len());
        assert!(tasks.iter().all(|task| task["ignore_errors"] == true));
        let http: Vec<&Value> = tasks.iter().filter(|task| task.get("uri").is_some()).collect();
        assert!(http.len() >= 2 && http.iter().all(|task| task["no_log"] == true));
    }
}

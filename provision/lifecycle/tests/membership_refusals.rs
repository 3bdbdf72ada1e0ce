//! What is refused when hosts shall join or leave, whole runs of hosts without a vote, and runs that
//! meet hosts outside of the cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use provision_lifecycle::{
    Because, Containers, Decision, Duty, Files, Goal, Joins, Kind, Leaves, Member, MemberRules,
    Observed, Options, Pattern, Process, Purpose, QuorumRule, Reach, Reason, Role, Rules, Step,
    Stop, Transition, Version, forecast,
};

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn rules(kind: Kind, workers_leave: bool) -> Rules {
    Rules {
        kind,
        settle_ms: 2000,
        deadline_ms: 60_000,
        transitions: vec![Transition {
            from: Pattern::SameMinor,
            to: Pattern::SameMinor,
            allow: true,
            reason: None,
            containers: Containers::Keep,
        }],
        members: MemberRules {
            joins: Joins::ByRequest,
            leaves: Leaves::ThroughAnother,
            workers_leave,
        },
    }
}

fn running(name: &str, duty: Duty, role: Role) -> Member {
    let release = version("1.0.0");
    Member {
        releases: vec![release.clone()],
        current: Some(release.clone()),
        running: Some(release),
        process: Process::Serving(role),
        files: Files::Current,
        has_data: Some(true),
        ..Member::blank(name, duty)
    }
}

/// The first leads; after them a host that is in the group only.
fn cluster(voters: usize) -> Observed {
    let names: BTreeSet<String> = (0..voters).map(|index| format!("m{index}")).collect();
    let mut members: Vec<Member> = names
        .iter()
        .map(|name| {
            let role = if name == "m0" { Role::Leader } else { Role::Follower };
            let roster = Some(names.clone());
            Member { roster, ..running(name, Duty::Voter, role) }
        })
        .collect();
    members.push(Member::blank("new", Duty::Voter));
    Observed { members, ..Observed::default() }.with_known_members()
}

fn goal(purpose: Purpose, members: &[&str]) -> Goal {
    let members = members.iter().map(|name| (*name).to_owned()).collect();
    Goal { purpose, version: version("1.0.0"), members }
}

fn ask(observed: &Observed, goal: &Goal, options: Options) -> (Vec<Step>, Decision) {
    forecast(&rules(Kind::Quorum, false), goal, &options, observed)
}

fn names(members: &[&str]) -> Vec<String> {
    members.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_host_joins_in_three_steps() {
    let (steps, end) = ask(&cluster(3), &goal(Purpose::Join, &["new"]), Options::default());
    assert_eq!(
        steps,
        [
            Step::Stage { members: names(&["new"]) },
            Step::Install { members: names(&["new"]) },
            Step::Join { member: "new".into() },
        ]
    );
    assert_eq!(end, Decision::Done);
}

#[test]
fn where_votes_come_by_themselves_nobody_asks() {
    let mut itself = rules(Kind::Quorum, false);
    itself.members = MemberRules::default();
    let decide =
        |observed: &Observed, goal: &Goal| forecast(&itself, goal, &Options::default(), observed);
    let mut observed = cluster(3);
    let join = goal(Purpose::Join, &["new"]);
    let new = names(&["new"]);
    let (steps, end) = decide(&observed, &join);
    assert_eq!(steps, [Step::Stage { members: new.clone() }, Step::Install { members: new }]);
    assert_eq!(end, Decision::Done);
    // It runs already, and its vote is on the way; or it goes before it has come.
    let roster = observed.members[0].roster.clone();
    observed.members[3] = Member { roster, ..running("new", Duty::Voter, Role::Observer) };
    let observed = observed.with_known_members();
    assert_eq!(decide(&observed, &join), (vec![], Decision::Done));
    let name = || "new".to_owned();
    let (steps, _) = decide(&observed, &goal(Purpose::Leave, &["new"]));
    assert_eq!(
        steps,
        [Step::Leave { member: name(), via: name() }, Step::Retire { member: name() }]
    );
}

#[test]
fn followers_leave_first_and_the_leader_last() {
    let leaving = goal(Purpose::Leave, &["m0", "m3"]);
    let (steps, end) = ask(&cluster(5), &leaving, Options::default());
    let leave = |member: &str, via: &str| Step::Leave { member: member.into(), via: via.into() };
    let retire = |member: &str| Step::Retire { member: member.into() };
    // They are asked for where somebody stays: never on the leader that will leave.
    assert_eq!(steps, [leave("m3", "m1"), retire("m3"), leave("m0", "m1"), retire("m0")]);
    assert_eq!(end, Decision::Done);
}

#[test]
fn a_cluster_that_bears_no_failure_is_left_on_demand_only() {
    let two = goal(Purpose::Leave, &["m1"]);
    let refused = |left| Decision::Stop(Stop::TooFewLeft { left });
    assert_eq!(ask(&cluster(3), &two, Options::default()), (vec![], refused(2)));
    let accept = Options { accept_outage: true, ..Options::default() };
    assert_eq!(ask(&cluster(3), &two, accept).1, Decision::Done);
    let all = goal(Purpose::Leave, &["m0", "m1", "m2"]);
    assert_eq!(ask(&cluster(3), &all, accept), (vec![], refused(0)));
    // Who has no vote takes none with it.
    let new = goal(Purpose::Leave, &["new"]);
    assert_eq!(ask(&cluster(3), &new, Options::default()).1, Decision::Done);
}

#[test]
fn nobody_joins_what_is_not_there_or_does_not_tell() {
    let join = goal(Purpose::Join, &["new"]);
    let mut empty = cluster(3);
    for member in &mut empty.members {
        *member = Member { has_data: Some(false), ..Member::blank(&member.name, Duty::Voter) };
    }
    let (steps, end) = ask(&empty, &join, Options::default());
    assert_eq!((steps, end), (vec![], Decision::Stop(Stop::NoCluster)));
    let mut silent = cluster(3);
    silent.members[1].roster = None;
    let (_, end) = ask(&silent, &join, Options::default());
    let Decision::Wait { reason: Reason::MembersUnknown { member, .. }, .. } = end else {
        panic!("{end:?}");
    };
    assert_eq!(member, "m1");
    let mut late = cluster(3);
    late.members[2].roster.as_mut().unwrap().remove("m1");
    let (_, end) = ask(&late, &join, Options::default());
    assert!(
        matches!(&end, Decision::Wait { reason: Reason::OldMembers { member }, .. } if member == "m2"),
        "{end:?}"
    );
    let mut other = cluster(3);
    other.members[3].current = Some(version("2.0.0"));
    let (_, end) = ask(&other, &join, Options::default());
    assert!(matches!(end, Decision::Stop(Stop::VersionRefused { .. })), "{end:?}");
}

#[test]
fn votes_that_the_inventory_does_not_know_count() {
    let mut observed = cluster(3);
    for member in observed.members.iter_mut().filter(|member| member.roster.is_some()) {
        let roster = member.roster.as_mut().unwrap();
        roster.extend(["server.7".to_owned(), "server.8".to_owned()]);
    }
    assert_eq!((observed.voters(), observed.quorum()), (5, 3));
    assert_eq!(observed.strangers(), ["server.7", "server.8"]);
    // Three of five serve: without one of them there is no quorum, and of six four must.
    for purpose in [Purpose::Join, Purpose::Leave] {
        let who = if purpose == Purpose::Join { "new" } else { "m1" };
        let (steps, end) = ask(&observed, &goal(purpose, &[who]), Options::default());
        let is_held = matches!(end, Decision::Wait { reason: Reason::NoQuorum { .. }, .. });
        assert_eq!(is_held, purpose == Purpose::Leave, "{steps:?} {end:?}");
    }
}

#[test]
fn a_release_waits_for_hosts_that_have_not_joined() {
    let mut upgrade = goal(Purpose::Upgrade, &["m0", "m1", "m2", "new"]);
    upgrade.version = version("1.0.1");
    let stop = Stop::NotJoined { member: "new".into() };
    assert_eq!(ask(&cluster(3), &upgrade, Options::default()), (vec![], Decision::Stop(stop)));
    upgrade.members.pop();
    assert_eq!(ask(&cluster(3), &upgrade, Options::default()).1, Decision::Done);
}

#[test]
fn a_member_that_does_not_answer_loses_its_vote_and_no_more() {
    let mut observed = cluster(5);
    observed.members[4].reach = Reach::Unreachable { reason: "gone".into() };
    observed.members[4].process = Process::Dead;
    let (steps, end) = ask(&observed, &goal(Purpose::Leave, &["m4"]), Options::default());
    assert_eq!(steps, [Step::Leave { member: "m4".into(), via: "m1".into() }]);
    assert_eq!(end, Decision::Done);
}

#[test]
fn hosts_without_a_vote_come_and_go() {
    let daemons = |containers: &[&str]| Observed {
        members: vec![
            Member { containers: names(containers), ..running("w0", Duty::Worker, Role::Alone) },
            Member::blank("w1", Duty::Worker),
        ],
        ..Observed::default()
    };
    let daemon = rules(Kind::Daemon, false);
    let decide = |observed: &Observed, goal: &Goal, options: Options| {
        forecast(&daemon, goal, &options, observed)
    };
    let (steps, end) =
        decide(&daemons(&[]), &goal(Purpose::Join, &["w0", "w1"]), Options::default());
    let new = names(&["w1"]);
    assert_eq!(steps, [Step::Stage { members: new.clone() }, Step::Install { members: new }]);
    assert_eq!(end, Decision::Done);

    let leaving = goal(Purpose::Leave, &["w0"]);
    let (steps, end) = decide(&daemons(&["c1", "c2"]), &leaving, Options::default());
    let stop = Stop::ContainersLeft { member: "w0".into(), count: 2 };
    assert_eq!((steps, end), (vec![], Decision::Stop(stop)));
    let drain = Options { drain: true, ..Options::default() };
    let (steps, end) = decide(&daemons(&["c1"]), &leaving, drain);
    assert_eq!(steps, [Step::Retire { member: "w0".into() }]);
    assert_eq!(end, Decision::Done);
    assert_eq!(decide(&daemons(&[]), &goal(Purpose::Leave, &["w1"]), drain).0, []);
    let unknown = Stop::UnknownMember { member: "w9".into() };
    let (_, end) = decide(&daemons(&[]), &goal(Purpose::Leave, &["w9"]), drain);
    assert_eq!(end, Decision::Stop(unknown));
}

#[test]
fn an_agent_says_goodbye_before_it_is_stopped() {
    let mut observed = cluster(3);
    observed.members.push(running("w0", Duty::Worker, Role::Alone));
    let leaving = goal(Purpose::Leave, &["w0"]);
    let (steps, end) =
        forecast(&rules(Kind::Quorum, true), &leaving, &Options::default(), &observed);
    let name = || "w0".to_owned();
    assert_eq!(
        steps,
        [Step::Leave { member: name(), via: name() }, Step::Retire { member: name() }]
    );
    assert_eq!(end, Decision::Done);
}

/// Schedulers elect who leads in Consul: two can be taken one after the other, which no majority bears.
#[test]
fn where_one_is_enough_only_the_last_one_is_held() {
    let with = |voters: usize, rule: QuorumRule| Observed { rule, ..cluster(voters) };
    let upgrade =
        |members: &[&str]| Goal { version: version("1.0.1"), ..goal(Purpose::Upgrade, members) };
    let take = |name: &str, because: Because| Step::Take { members: names(&[name]), because };
    let both = upgrade(&["m0", "m1"]);
    let refused = |voters| Decision::Stop(Stop::TooFewMembers { voters });
    assert_eq!(ask(&with(2, QuorumRule::Majority), &both, Options::default()).1, refused(2));
    let (steps, end) = ask(&with(2, QuorumRule::One), &both, Options::default());
    assert_eq!(
        steps,
        [
            Step::Stage { members: names(&["m0", "m1"]) },
            take("m1", Because::Follower),
            take("m0", Because::Leader)
        ]
    );
    assert_eq!(end, Decision::Done);
    let (_, end) = ask(&with(1, QuorumRule::One), &upgrade(&["m0"]), Options::default());
    assert_eq!(end, refused(1), "nobody would lead");
    // Of five, three are away: one follower serves, which is enough for the leader to be taken.
    for (rule, is_taken) in [(QuorumRule::One, true), (QuorumRule::Majority, false)] {
        let mut observed = with(5, rule);
        for member in observed.members.iter_mut().skip(2).take(3) {
            member.process = Process::Dead;
        }
        let (steps, _) = ask(&observed, &upgrade(&["m0"]), Options::default());
        assert_eq!(steps.contains(&take("m0", Because::Leader)), is_taken, "{rule:?} {steps:?}");
    }
    for voters in 0..9 {
        assert_eq!(QuorumRule::One.of(voters), 1);
        assert_eq!(QuorumRule::One.needs_all(voters), voters < 2);
        assert_eq!(QuorumRule::Majority.of(voters), (voters + 2) / 2);
        assert_eq!(QuorumRule::Majority.needs_all(voters), voters < 3);
    }
}

/// Several of which one is enough, as schedulers: the first leads, and one more host is in the group.
fn equals(serving: usize) -> Observed {
    let mut members: Vec<Member> = (0..serving)
        .map(|number| {
            let role = if number == 0 { Role::Leader } else { Role::Follower };
            running(&format!("s{number}"), Duty::Voter, role)
        })
        .collect();
    members.push(Member::blank("new", Duty::Voter));
    let rule = QuorumRule::One;
    Observed { members, rule }.with_known_members()
}

#[test]
fn where_one_is_enough_hosts_are_installed_and_removed_the_leader_last() {
    let mut alike = rules(Kind::Quorum, false);
    alike.members = MemberRules::default();
    let decide = |observed: &Observed, goal: &Goal, options: Options| {
        forecast(&alike, goal, &options, observed)
    };
    let (new, plain) = (names(&["new"]), Options::default());
    let (steps, end) = decide(&equals(2), &goal(Purpose::Join, &["new"]), plain);
    assert_eq!(steps, [Step::Stage { members: new.clone() }, Step::Install { members: new }]);
    assert_eq!(end, Decision::Done);

    let (steps, end) = decide(&equals(4), &goal(Purpose::Leave, &["s0", "s2"]), plain);
    let retire = |member: &str| Step::Retire { member: member.into() };
    assert_eq!((steps, end), (vec![retire("s2"), retire("s0")], Decision::Done));

    // What is left must bear the loss of another one, unless that is accepted; all can't go.
    let one = goal(Purpose::Leave, &["s1"]);
    let refused = |left| Decision::Stop(Stop::TooFewLeft { left });
    assert_eq!(decide(&equals(2), &one, plain), (vec![], refused(1)));
    let accept = Options { accept_outage: true, ..plain };
    assert_eq!(decide(&equals(2), &one, accept), (vec![retire("s1")], Decision::Done));
    let all = goal(Purpose::Leave, &["s0", "s1"]);
    assert_eq!(decide(&equals(2), &all, accept), (vec![], refused(0)));

    // Another one is installed and doesn't serve.
    let mut observed = equals(3);
    observed.members[1].process = Process::Dead;
    observed.members[2].process = Process::Dead;
    let (steps, end) = decide(&observed, &goal(Purpose::Leave, &["s0"]), plain);
    assert_eq!(steps, [], "{end:?}");
}

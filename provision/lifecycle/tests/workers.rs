//! Members without a vote: batches, drained hosts, containers that must be kept, pauses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use provision_lifecycle::{
    Because, Containers, Decision, Duty, Files, Goal, Kind, Member, Observed, Options, Outcome,
    Pattern, Process, Progress, Purpose, Reason, Role, Rules, Step, Stop, Transition, Version,
    forecast, next_step,
};

const SETTLE_MS: u64 = 2000;

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn rules(containers: Containers) -> Rules {
    Rules {
        kind: Kind::Daemon,
        settle_ms: SETTLE_MS,
        deadline_ms: 60_000,
        transitions: vec![Transition {
            from: Pattern::Any,
            to: Pattern::Any,
            allow: true,
            reason: None,
            containers,
        }],
        members: provision_lifecycle::MemberRules::default(),
    }
}

fn cluster(count: usize) -> Observed {
    let member = |index| Member {
        releases: vec![version("1.0.0"), version("1.1.0")],
        current: Some(version("1.0.0")),
        running: Some(version("1.0.0")),
        process: Process::Serving(Role::Alone),
        files: Files::Current,
        ..Member::blank(&format!("w{index}"), Duty::Worker)
    };
    Observed { members: (0..count).map(member).collect(), ..Observed::default() }
}

fn goal(observed: &Observed) -> Goal {
    Goal {
        purpose: Purpose::Upgrade,
        version: version("1.1.0"),
        members: observed.members.iter().map(|member| member.name.clone()).collect(),
    }
}

fn taken(steps: &[Step]) -> Vec<usize> {
    steps.iter().map(|step| step.members().len()).collect()
}

#[test]
fn as_many_at_a_time_as_may_be_away() {
    let observed = cluster(5);
    let rules = rules(Containers::Keep);
    for (max_unavailable, sizes) in
        [(1, vec![1, 1, 1, 1, 1]), (2, vec![2, 2, 1]), (9, vec![5]), (0, vec![1, 1, 1, 1, 1])]
    {
        let options = Options { max_unavailable, ..Options::default() };
        let (steps, end) = forecast(&rules, &goal(&observed), &options, &observed);
        assert_eq!(end, Decision::Done);
        assert_eq!(taken(&steps), sizes);
    }
}

#[test]
fn hosts_with_containers_are_refused_where_none_is_kept() {
    let mut observed = cluster(2);
    observed.members[1].containers = vec!["01ab".into()];
    let options = Options::default();
    let (steps, end) = forecast(&rules(Containers::Drain), &goal(&observed), &options, &observed);
    assert_eq!(steps, []);
    assert!(matches!(
        end,
        Decision::Stop(Stop::ContainersRun { ref member, count: 1, .. }) if member == "w1"
    ));
    let (_, end) = forecast(&rules(Containers::Keep), &goal(&observed), &options, &observed);
    assert_eq!(end, Decision::Done);
}

/// The state after the first host was taken and ended well.
fn after_the_first(options: &Options, containers_after: &[&str]) -> Decision {
    let rules = rules(Containers::Keep);
    let mut observed = cluster(3);
    observed.members[0].containers = vec!["01ab".into(), "ffe0".into()];
    let goal = goal(&observed);
    let mut progress = Progress::begin(0);
    progress.observe(&observed, 0);
    let first = next_step(&rules, &goal, options, &observed, &progress, SETTLE_MS);
    let Decision::Run(step) = first else { panic!("{first:?}") };
    assert_eq!(step.members(), ["w0"]);
    progress.began(&step, &observed, SETTLE_MS);
    let outcomes = BTreeMap::from([("w0".to_owned(), Outcome::Done)]);
    progress.ended(&step, &outcomes, SETTLE_MS);
    let first = &mut observed.members[0];
    first.current = Some(version("1.1.0"));
    first.running = Some(version("1.1.0"));
    first.containers = containers_after.iter().map(|id| (*id).to_owned()).collect();
    progress.observe(&observed, SETTLE_MS);
    next_step(&rules, &goal, options, &observed, &progress, 2 * SETTLE_MS)
}

#[test]
fn a_batch_is_of_one_rack() {
    let mut observed = cluster(6);
    for (member, rack) in observed.members.iter_mut().zip(["a", "b", "a", "b", "b"]) {
        member.rack = Some(rack.to_owned());
    }
    let options = Options { max_unavailable: 2, ..Options::default() };
    let rules = rules(Containers::Keep);
    let (steps, end) = forecast(&rules, &goal(&observed), &options, &observed);
    assert_eq!(end, Decision::Done);
    let batches: Vec<&[String]> = steps.iter().map(Step::members).collect();
    // Those of which nobody knows a rack are one for themselves.
    assert_eq!(batches, [vec!["w0", "w2"], vec!["w1", "w3"], vec!["w4"], vec!["w5"]]);
}

#[test]
fn a_lost_container_holds_the_run() {
    let options = Options::default();
    let kept = after_the_first(&options, &["01ab", "ffe0", "new"]);
    assert!(matches!(kept, Decision::Run(_)), "{kept:?}");
    let lost = after_the_first(&options, &["ffe0"]);
    let Decision::Wait { reason, .. } = lost else { panic!("{lost:?}") };
    let expected = Reason::ContainersLost { member: "w0".into(), lost: 1, of: 2 };
    assert_eq!(reason, expected);
}

/// A batch job ends while other hosts are taken: nobody has lost it.
#[test]
fn a_container_that_ends_later_is_no_loss() {
    let (rules, mut observed) = (rules(Containers::Keep), cluster(3));
    let goal = goal(&observed);
    let mut progress = Progress::begin(0);
    observed.members[0].containers = vec!["job".into()];
    let mut now_ms = 0;
    for turn in 0..3 {
        progress.observe(&observed, now_ms);
        now_ms += SETTLE_MS;
        let next = next_step(&rules, &goal, &Options::default(), &observed, &progress, now_ms);
        let Decision::Run(step) = next else { panic!("{next:?}") };
        assert_eq!(step.members(), [format!("w{turn}")]);
        progress.began(&step, &observed, now_ms);
        let outcomes = step.members().iter().map(|name| (name.clone(), Outcome::Done)).collect();
        progress.ended(&step, &outcomes, now_ms);
        let member = &mut observed.members[turn];
        (member.current, member.running) = (Some(version("1.1.0")), Some(version("1.1.0")));
        if turn == 1 {
            observed.members[0].containers.clear();
        }
    }
}

/// Whoever was lost while its daemon was down is taken again, and then its containers count.
#[test]
fn a_daemon_that_is_down_has_not_lost_its_containers_yet() {
    let (rules, mut observed) = (rules(Containers::Keep), cluster(2));
    let goal = goal(&observed);
    observed.members[0].containers = vec!["01ab".into()];
    let mut progress = Progress::begin(0);
    progress.observe(&observed, 0);
    let step = Step::Take { members: vec!["w0".into()], because: Because::Worker };
    progress.began(&step, &observed, SETTLE_MS);
    let outcomes = BTreeMap::from([("w0".to_owned(), Outcome::Lost { error: "gone".into() })]);
    progress.ended(&step, &outcomes, SETTLE_MS);
    observed.members[0].process = Process::Dead;
    observed.members[0].containers.clear();
    progress.observe(&observed, SETTLE_MS);
    let now_ms = 2 * SETTLE_MS;
    let next = next_step(&rules, &goal, &Options::default(), &observed, &progress, now_ms);
    let Decision::Run(step) = next else { panic!("{next:?}") };
    assert_eq!(step.members(), ["w0"]);
    progress.began(&step, &observed, now_ms);
    let outcomes = BTreeMap::from([("w0".to_owned(), Outcome::Done)]);
    progress.ended(&step, &outcomes, now_ms);
    let member = &mut observed.members[0];
    (member.current, member.running) = (Some(version("1.1.0")), Some(version("1.1.0")));
    member.process = Process::Serving(Role::Alone);
    progress.observe(&observed, now_ms);
    let now_ms = now_ms + SETTLE_MS;
    let next = next_step(&rules, &goal, &Options::default(), &observed, &progress, now_ms);
    let expected = Reason::ContainersLost { member: "w0".into(), lost: 1, of: 1 };
    assert!(matches!(&next, Decision::Wait { reason, .. } if *reason == expected), "{next:?}");
}

/// What ran there was to be moved away: that it isn't there any more is no loss.
#[test]
fn what_is_moved_away_need_not_be_kept() {
    let options = Options { drain: true, ..Options::default() };
    let Decision::Run(step) = after_the_first(&options, &[]) else { panic!("it waits") };
    assert_eq!(step.members(), ["w1"]);
    let mut observed = cluster(2);
    observed.members[1].containers = vec!["01ab".into()];
    let rules = rules(Containers::Drain);
    let (steps, end) = forecast(&rules, &goal(&observed), &options, &observed);
    assert_eq!((taken(&steps), end), (vec![1, 1], Decision::Done));
}

#[test]
fn a_canary_pauses_once_it_has_settled() {
    let options = Options { canary: Some(1), ..Options::default() };
    assert_eq!(after_the_first(&options, &["01ab", "ffe0"]), Decision::Pause { done: 1 });
}

//! A checker written another way (sets of members as bits, every state of small clusters) agrees
//! with what is decided for a host that joins or leaves: exactly when it is safe, and through whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use provision_lifecycle::{
    Containers, Decision, Duty, Files, Goal, Joins, Kind, Leaves, Member, MemberRules, Observed,
    Options, Pattern, Process, Progress, Purpose, Role, Rules, Step, Stop, Transition, Version,
    next_step,
};

const SETTLE_MS: u64 = 3000;
const NOW_MS: u64 = 10_000;

/// A host as the checker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// 0 unreachable, 1 dead, 2 looking, 3 follower, 4 leader.
    kind: u8,
    settled: bool,
}

fn states(most: u8) -> Vec<State> {
    let mut all = vec![State { kind: 0, settled: false }];
    for kind in 1..=most {
        all.extend([false, true].map(|settled| State { kind, settled }));
    }
    all
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Install,
    Vote,
    Leave { via: usize },
    Hold,
    TooFew,
}

fn bits(cluster: &[State], test: impl Fn(&State) -> bool) -> u32 {
    cluster.iter().enumerate().map(|(i, state)| u32::from(test(state)) << i).sum()
}

fn is_most(set: u32, count: usize) -> bool {
    set.count_ones() as usize * 2 > count
}

/// The last host is the one that joins; bit `i` stands for host `i`.
fn expected_join(hosts: &[State], by_itself: bool) -> Expected {
    let (joins, cluster) = hosts.split_last().unwrap();
    let count = cluster.len();
    let solid = bits(cluster, |state| state.kind >= 3 && state.settled);
    let has_leader = bits(cluster, |state| state.kind == 4).count_ones() == 1;
    if !has_leader || joins.kind == 0 || !is_most(solid, count) {
        return Expected::Hold;
    }
    let with_it = is_most(solid | 1 << count, count + 1);
    match (joins.kind, by_itself) {
        (1, false) => Expected::Install,
        (1, true) if with_it => Expected::Install,
        (3, false) if joins.settled && with_it => Expected::Vote,
        _ => Expected::Hold,
    }
}

fn expected_leave(cluster: &[State], leaves: usize, by_itself: bool) -> Expected {
    let count = cluster.len();
    let leader = bits(cluster, |state| state.kind == 4);
    if leader.count_ones() != 1 {
        return Expected::Hold;
    }
    if count == 1 {
        return Expected::TooFew;
    }
    let own = cluster[leaves];
    let solid = bits(cluster, |state| state.kind >= 3 && state.settled);
    let rest = solid & !(1 << leaves);
    let comes_back = own.kind != 0 && own.kind <= 2 && !own.settled;
    if !is_most(solid, count) || !is_most(rest, count - 1) || comes_back {
        return Expected::Hold;
    }
    if by_itself && own.kind >= 3 {
        return Expected::Leave { via: leaves };
    }
    let quiet = rest & !leader;
    let via = if quiet == 0 { rest } else { quiet };
    Expected::Leave { via: via.trailing_zeros() as usize }
}

fn version() -> Version {
    Version::parse("1.0.0").unwrap()
}

fn name(index: usize) -> String {
    format!("m{index}")
}

fn host(index: usize, state: State, voters: usize) -> Member {
    let name = name(index);
    if state.kind == 0 {
        return Member::unreachable(&name, Duty::Voter, "gone");
    }
    let is_new = index >= voters && state.kind == 1;
    let roster: BTreeSet<String> = (0..voters).map(self::name).collect();
    Member {
        releases: vec![version()],
        current: (!is_new).then(version),
        running: (state.kind > 1).then(version),
        process: match state.kind {
            1 => Process::Dead,
            2 => Process::Looking,
            3 => Process::Serving(Role::Follower),
            _ => Process::Serving(Role::Leader),
        },
        files: Files::Current,
        has_data: Some(!is_new),
        roster: (state.kind >= 3).then_some(roster),
        ..Member::blank(&name, Duty::Voter)
    }
}

fn decision(
    hosts: &[State],
    voters: usize,
    purpose: Purpose,
    subject: usize,
    by_itself: bool,
) -> Decision {
    let rules = Rules {
        kind: Kind::Quorum,
        settle_ms: SETTLE_MS,
        deadline_ms: 60_000,
        transitions: vec![Transition {
            from: Pattern::Any,
            to: Pattern::Any,
            allow: true,
            reason: None,
            containers: Containers::Keep,
        }],
        members: MemberRules {
            joins: if by_itself { Joins::ByItself } else { Joins::ByRequest },
            leaves: if by_itself { Leaves::ByItself } else { Leaves::ThroughAnother },
            workers_leave: false,
        },
    };
    let members: Vec<Member> = hosts.iter().enumerate().map(|(i, s)| host(i, *s, voters)).collect();
    let goal = Goal { purpose, version: version(), members: vec![name(subject)] };
    let observed = Observed { members, ..Observed::default() }.with_known_members();
    // Who isn't settled was something else a moment ago.
    let mut before = observed.clone();
    for (member, state) in before.members.iter_mut().zip(hosts) {
        if !state.settled {
            member.process = match member.process {
                Process::Dead => Process::Looking,
                Process::Looking | Process::Serving(_) => Process::Dead,
            };
        }
    }
    let mut progress = Progress::begin(0);
    progress.observe(&before, 0);
    progress.observe(&observed, NOW_MS);
    let options = Options { accept_outage: true, ..Options::default() };
    next_step(&rules, &goal, &options, &observed, &progress, NOW_MS)
}

fn found(decision: Decision) -> Expected {
    match decision {
        Decision::Run(Step::Install { .. }) => Expected::Install,
        Decision::Run(Step::Join { .. }) => Expected::Vote,
        Decision::Run(Step::Leave { via, .. }) => {
            Expected::Leave { via: via[1..].parse().unwrap() }
        }
        Decision::Wait { .. } => Expected::Hold,
        Decision::Stop(Stop::TooFewLeft { .. }) => Expected::TooFew,
        other => panic!("{other:?}"),
    }
}

/// Every cluster of so many hosts, the last of which is one of `last`.
fn each(count: usize, last: &[State], mut look: impl FnMut(&[State])) {
    let all = states(4);
    for number in 0..all.len().pow(u32::try_from(count).unwrap() - 1) * last.len() {
        let mut rest = number / last.len();
        let mut hosts: Vec<State> = (1..count)
            .map(|_| {
                let state = all[rest % all.len()];
                rest /= all.len();
                state
            })
            .collect();
        hosts.push(last[number % last.len()]);
        look(&hosts);
    }
}

#[test]
fn a_host_joins_when_that_is_safe() {
    for by_itself in [false, true] {
        let mut steps = 0_u32;
        for count in 2..=5 {
            each(count, &states(3), |hosts| {
                let subject = count - 1;
                let found = found(decision(hosts, subject, Purpose::Join, subject, by_itself));
                let expected = expected_join(hosts, by_itself);
                assert_eq!(found, expected, "{hosts:?}, by itself: {by_itself}");
                steps += u32::from(expected != Expected::Hold);
            });
        }
        assert!(steps > 100, "only {steps} states let anybody join");
    }
}

#[test]
fn a_member_leaves_when_that_is_safe() {
    for by_itself in [false, true] {
        let mut steps = 0_u32;
        for count in 1..=4 {
            each(count, &states(4), |hosts| {
                for subject in 0..count {
                    let found = found(decision(hosts, count, Purpose::Leave, subject, by_itself));
                    let expected = expected_leave(hosts, subject, by_itself);
                    assert_eq!(found, expected, "{hosts:?}, m{subject}, by itself: {by_itself}");
                    steps += u32::from(matches!(expected, Expected::Leave { .. }));
                }
            });
        }
        assert!(steps > 100, "only {steps} states let anybody leave");
    }
}

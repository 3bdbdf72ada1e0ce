//! A checker written another way (sets of members as bits, every state of small clusters) agrees
//! with the decision: it takes exactly whom it should, exactly when that is safe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use provision_lifecycle::{
    Containers, Decision, Duty, Files, Goal, Kind, Member, Observed, Options, Pattern, Process,
    Progress, Purpose, Reach, Role, Rules, Step, Stop, Transition, Version, next_step,
};

const SETTLE_MS: u64 = 3000;
const NOW_MS: u64 = 10_000;

/// A member as the checker sees it: one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// 0 unreachable, 1 dead, 2 looking, 3 follower, 4 leader.
    kind: u8,
    new: bool,
    settled: bool,
}

fn states() -> Vec<State> {
    let mut all = vec![State { kind: 0, new: false, settled: false }];
    for kind in 1..=4 {
        for new in [false, true] {
            for settled in [false, true] {
                all.push(State { kind, new, settled });
            }
        }
    }
    all
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Take(usize),
    Done,
    Hold,
    TooFew,
}

/// What must be decided. Bit `i` stands for member `i`.
fn expected(cluster: &[State]) -> Expected {
    let count = cluster.len();
    let bits = |test: &dyn Fn(&State) -> bool| -> u32 {
        cluster.iter().enumerate().map(|(i, state)| u32::from(test(state)) << i).sum()
    };
    let serving = bits(&|state| state.kind >= 3);
    let solid = bits(&|state| state.kind >= 3 && state.settled);
    let alive = bits(&|state| state.kind >= 2);
    let leaders = bits(&|state| state.kind == 4);
    // A dead member with the new release still has to be started.
    let left = bits(&|state| !(state.new && state.kind >= 2));
    let most = |set: u32| set.count_ones() as usize * 2 > count;
    if count <= 2 && left & serving != 0 {
        return Expected::TooFew;
    }
    if cluster.iter().any(|state| state.kind == 0) {
        return Expected::Hold;
    }
    if left == 0 {
        let all = (1_u32 << count) - 1;
        return if solid == all { Expected::Done } else { Expected::Hold };
    }
    for kind in 1..=4 {
        let Some(next) = (0..count).find(|i| left >> i & 1 == 1 && cluster[*i].kind == kind) else {
            continue;
        };
        let without = !(1_u32 << next);
        let safe = match kind {
            1 => most(alive & without | 1 << next) && cluster[next].settled,
            _ => most(solid & without) && leaders.count_ones() == 1,
        };
        return if safe { Expected::Take(next) } else { Expected::Hold };
    }
    unreachable!("somebody is left");
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn member(index: usize, state: State) -> Member {
    let name = format!("m{index}");
    if state.kind == 0 {
        return Member::unreachable(&name, Duty::Voter, "gone");
    }
    let release = Some(version(if state.new { "1.1.0" } else { "1.0.0" }));
    let process = match state.kind {
        1 => Process::Dead,
        2 => Process::Looking,
        3 => Process::Serving(Role::Follower),
        _ => Process::Serving(Role::Leader),
    };
    Member {
        releases: vec![version("1.0.0"), version("1.1.0")],
        current: release.clone(),
        running: if state.kind == 1 { None } else { release },
        process,
        files: Files::Current,
        has_data: Some(true),
        reach: Reach::Reachable,
        ..Member::blank(&name, Duty::Voter)
    }
}

fn decision(cluster: &[State]) -> Decision {
    let allow = |allow| Transition {
        from: Pattern::Any,
        to: Pattern::Any,
        allow,
        reason: None,
        containers: Containers::Keep,
    };
    let rules = Rules {
        kind: Kind::Quorum,
        settle_ms: SETTLE_MS,
        deadline_ms: 60_000,
        transitions: vec![allow(true)],
        members: provision_lifecycle::MemberRules::default(),
    };
    let members: Vec<Member> = cluster.iter().enumerate().map(|(i, s)| member(i, *s)).collect();
    let goal = Goal {
        purpose: Purpose::Upgrade,
        version: version("1.1.0"),
        members: members.iter().map(|member| member.name.clone()).collect(),
    };
    let observed = Observed { members, ..Observed::default() };
    // Who isn't settled was something else a moment ago.
    let mut before = observed.clone();
    for (member, state) in before.members.iter_mut().zip(cluster) {
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
    next_step(&rules, &goal, &Options::default(), &observed, &progress, NOW_MS)
}

fn compare(cluster: &[State]) {
    let found = match decision(cluster) {
        Decision::Run(Step::Take { members, .. }) if members.len() == 1 => {
            Expected::Take(members[0][1..].parse().unwrap())
        }
        Decision::Done => Expected::Done,
        Decision::Wait { .. } => Expected::Hold,
        Decision::Stop(Stop::TooFewMembers { .. }) => Expected::TooFew,
        other => panic!("{cluster:?} gives {other:?}"),
    };
    assert_eq!(found, expected(cluster), "{cluster:?}");
}

/// Every cluster of so many members.
fn all(count: u32) {
    let states = states();
    let mut taken = 0_u32;
    for number in 0..states.len().pow(count) {
        let mut rest = number;
        let cluster: Vec<State> = (0..count)
            .map(|_| {
                let state = states[rest % states.len()];
                rest /= states.len();
                state
            })
            .collect();
        compare(&cluster);
        taken += u32::from(matches!(expected(&cluster), Expected::Take(_)));
    }
    assert!(taken > 0, "no state of {count} members lets anybody be taken");
}

#[test]
fn all_states_of_one_to_four_members() {
    for count in 1..=4 {
        all(count);
    }
}

/// Five members have 1.4 million states: those in which at most one is unreachable or looking.
#[test]
fn the_plain_states_of_five_members() {
    let plain: Vec<State> = states().into_iter().filter(|state| state.kind != 2).collect();
    let plain: Vec<State> = plain.into_iter().filter(|s| s.kind != 0 && s.settled).collect();
    for number in 0..plain.len().pow(5) {
        let mut rest = number;
        let mut cluster = Vec::new();
        for _ in 0..5 {
            cluster.push(plain[rest % plain.len()]);
            rest /= plain.len();
        }
        compare(&cluster);
    }
}

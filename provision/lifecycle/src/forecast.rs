//! What a run will do if nothing happens: for the plan that an operator reads before saying yes.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::{Decision, Step, next_step};
use crate::progress::{Outcome, Progress};
use crate::reason::Reason;
use crate::roster::Joins;
use crate::state::{Duty, Files, Goal, Member, Observed, Options, Process, Purpose, Role, Rules};
use crate::version::Version;

/// Steps of the longest forecast; a decision that went in circles would end here.
const STEPS_LIMIT: usize = 4096;

/// The steps, and how it ends: with `Done`, or with what stops or holds it.
#[must_use]
pub fn forecast(
    rules: &Rules,
    goal: &Goal,
    options: &Options,
    observed: &Observed,
) -> (Vec<Step>, Decision) {
    let mut observed = observed.clone();
    let mut progress = Progress::begin(0);
    let mut now_ms = 0;
    progress.observe(&observed, now_ms);
    now_ms += rules.settle_ms;
    let (mut steps, mut waits) = (Vec::new(), 0);
    loop {
        let decision = next_step(rules, goal, options, &observed, &progress, now_ms);
        match decision {
            Decision::Run(step) if steps.len() < STEPS_LIMIT => {
                progress.began(&step, &observed, now_ms);
                apply(&step, goal, &mut observed);
                let outcomes: BTreeMap<String, Outcome> =
                    step.members().iter().map(|name| (name.clone(), Outcome::Done)).collect();
                progress.ended(&step, &outcomes, now_ms);
                progress.observe(&observed, now_ms);
                steps.push(step);
            }
            Decision::Pause { .. } => progress.go_on(now_ms),
            Decision::Wait { reason: Reason::NoVoteYet { member }, .. }
                if waits < STEPS_LIMIT && rules.members.joins == Joins::ByItself =>
            {
                waits += 1;
                change_roster(&mut observed, &|roster| {
                    roster.insert(member.clone());
                });
                change(&mut observed, std::slice::from_ref(&member), |member| {
                    member.process = Process::Serving(Role::Follower);
                });
            }
            Decision::Run(_) | Decision::Wait { .. } | Decision::Done | Decision::Stop(_) => {
                return (steps, decision);
            }
        }
        now_ms += rules.settle_ms;
    }
}

/// The step as if all went well.
fn apply(step: &Step, goal: &Goal, observed: &mut Observed) {
    match step {
        Step::Stage { members } => change(observed, members, |member| {
            member.releases.push(goal.version.clone());
        }),
        Step::Start { members } => {
            change(observed, members, |member| put(member, &goal.version, Role::Follower));
            let first = members.iter().take(1).cloned().collect::<Vec<_>>();
            change(observed, &first, |member| put(member, &goal.version, Role::Leader));
        }
        Step::Take { members, .. } => {
            let led = observed.leader().is_some_and(|leader| members.contains(&leader.name));
            let alone = observed.voters() == 1;
            change(observed, members, |member| {
                let role = match member.role() {
                    Some(Role::Observer) => Role::Observer,
                    Some(Role::Alone) => Role::Alone,
                    _ if member.duty == Duty::Worker || alone => Role::Alone,
                    _ => Role::Follower,
                };
                match goal.purpose {
                    Purpose::Restart => member.process = Process::Serving(role),
                    _ => put(member, &goal.version, role),
                }
            });
            if led && !alone {
                succeed(observed, members);
            }
        }
        Step::Install { .. } | Step::Join { .. } | Step::Leave { .. } | Step::Retire { .. } => {
            apply_membership(step, goal, observed);
        }
        Step::Revert { member, to } => {
            change(observed, std::slice::from_ref(member), |member| {
                put(member, to, Role::Follower);
            });
        }
    }
}

fn apply_membership(step: &Step, goal: &Goal, observed: &mut Observed) {
    // How many follow is another number from now on, and all goes well.
    observed.members.iter_mut().for_each(|member| member.in_sync = None);
    match step {
        Step::Install { members } => {
            let roster = observed.roster().cloned();
            change(observed, members, |member| {
                let role = match member.duty {
                    Duty::Voter => Role::Follower,
                    Duty::Worker => Role::Alone,
                };
                put(member, &goal.version, role);
                member.roster.clone_from(&roster);
            });
        }
        Step::Join { member } => change_roster(observed, &|roster| {
            roster.insert(member.clone());
        }),
        Step::Leave { member, .. } => {
            let led = observed.leader().is_some_and(|leader| leader.name == *member);
            change_roster(observed, &|roster| {
                roster.remove(member);
            });
            if led {
                let gone = [member.clone()];
                succeed(observed, &gone);
                change(observed, &gone, |member| {
                    member.process = Process::Serving(Role::Follower);
                });
            }
        }
        Step::Retire { member } => {
            let led = observed.leader().is_some_and(|leader| leader.name == *member);
            change(observed, std::slice::from_ref(member), |member| {
                let (name, duty) = (member.name.clone(), member.duty);
                let is_outside = member.is_outside;
                *member = Member { is_outside, ..Member::blank(&name, duty) };
            });
            if led {
                succeed(observed, std::slice::from_ref(member));
            }
        }
        Step::Stage { .. } | Step::Start { .. } | Step::Take { .. } | Step::Revert { .. } => {}
    }
}

fn change_roster(observed: &mut Observed, change: &dyn Fn(&mut BTreeSet<String>)) {
    let mut roster = observed.roster().cloned().unwrap_or_default();
    change(&mut roster);
    for member in observed.members.iter_mut().filter(|member| member.roster.is_some()) {
        member.roster = Some(roster.clone());
    }
    *observed = observed.clone().with_known_members();
}

/// Another one leads.
fn succeed(observed: &mut Observed, left: &[String]) {
    let next = observed
        .members
        .iter_mut()
        .find(|member| member.role() == Some(Role::Follower) && !left.contains(&member.name));
    if let Some(next) = next {
        next.process = Process::Serving(Role::Leader);
    }
}

fn change(observed: &mut Observed, names: &[String], mut change: impl FnMut(&mut Member)) {
    observed.members.iter_mut().filter(|m| names.contains(&m.name)).for_each(&mut change);
}

fn put(member: &mut Member, version: &Version, role: Role) {
    member.current = Some(version.clone());
    member.running = Some(version.clone());
    member.files = Files::Current;
    member.has_data = Some(true);
    member.in_sync = None;
    member.process = Process::Serving(role);
}

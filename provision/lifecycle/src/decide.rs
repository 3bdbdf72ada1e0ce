//! The decision: what to do now, given what is known now. Asked anew before every step.

use serde::{Deserialize, Serialize};

use crate::definition::Kind;
use crate::progress::{Failed, Outcome, Progress};
use crate::reason::{Because, Reason, Revert, Stop};
use crate::state::{
    Duty, Files, Goal, Member, Objection, Observed, Options, Process, Purpose, Role, Rules,
};
use crate::transition::{Containers, Verdict, judge};
use crate::version::Version;

/// A member is taken at most so often in a run: once, and once more if it fell back meanwhile.
pub(crate) const TAKES_LIMIT: u32 = 2;
/// A release is staged on a member at most so often in a run: once more if its host was lost.
const STAGES_LIMIT: u32 = 2;

/// One step. How it is done is the business of the component's role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Install the release beside what runs.
    Stage {
        /// Where.
        members: Vec<String>,
    },
    /// Start all members of a cluster that has no data yet.
    Start {
        /// Who.
        members: Vec<String>,
    },
    /// Configure, switch, restart, prove health.
    Take {
        /// Who: one, unless they have no vote.
        members: Vec<String>,
        /// Why these, now.
        because: Because,
    },
    /// Back to the release that was there before.
    Revert {
        /// Who.
        member: String,
        /// To which.
        to: Version,
    },
    /// Start hosts that have no vote yet.
    Install {
        /// Who: one, unless they never get a vote.
        members: Vec<String>,
    },
    /// Give a host that runs its vote.
    Join {
        /// Who.
        member: String,
    },
    /// Take the vote from a member; one without a vote says goodbye.
    Leave {
        /// Who.
        member: String,
        /// Where it is asked for.
        via: String,
    },
    /// Stop a host that has no vote, and remove what is installed.
    Retire {
        /// Who.
        member: String,
    },
}

impl Step {
    /// Who is concerned.
    #[must_use]
    pub fn members(&self) -> &[String] {
        match self {
            Step::Stage { members }
            | Step::Start { members }
            | Step::Take { members, .. }
            | Step::Install { members } => members,
            Step::Revert { member, .. }
            | Step::Join { member }
            | Step::Leave { member, .. }
            | Step::Retire { member } => std::slice::from_ref(member),
        }
    }

    /// Whether the same would be done to the same members, for whatever reason.
    #[must_use]
    pub fn is_same_work(&self, other: &Step) -> bool {
        match (self, other) {
            (Step::Take { members, .. }, Step::Take { members: others, .. }) => members == others,
            _ => self == other,
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This step.
    Run(Step),
    /// Look again; not beyond the deadline.
    Wait {
        /// For what.
        reason: Reason,
        /// Until when.
        deadline_ms: u64,
    },
    /// Ask the operator whether to go on.
    Pause {
        /// How many members are done.
        done: u32,
    },
    /// Nothing: the goal is reached.
    Done,
    /// Nothing more: the goal can't be reached now.
    Stop(Stop),
}

/// What to do now.
#[must_use]
pub fn next_step(
    rules: &Rules,
    goal: &Goal,
    options: &Options,
    observed: &Observed,
    progress: &Progress,
    now_ms: u64,
) -> Decision {
    let picture = Picture { rules, goal, options, observed, progress, now_ms };
    let changes_members = matches!(goal.purpose, Purpose::Join | Purpose::Leave);
    if let (true, Some(failed)) = (changes_members, progress.failed().first()) {
        return Picture::membership_failed(failed);
    }
    if let Some(failed) = progress.failed().iter().find(|failed| failed.reverted.is_none()) {
        return picture.go_back(failed);
    }
    if let Some(failed) = progress.failed().first() {
        return Decision::Stop(picture.failure(failed));
    }
    if let Some(stop) = picture.impossible() {
        return Decision::Stop(stop);
    }
    let next = match changes_members {
        true => picture.change_members(),
        false => picture.go_on(),
    };
    match next {
        Ok(decision) => decision,
        Err(reason) => {
            picture.wait(reason, |waited_for| Decision::Stop(Stop::WaitedTooLong { waited_for }))
        }
    }
}

pub(crate) struct Picture<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) goal: &'a Goal,
    pub(crate) options: &'a Options,
    pub(crate) observed: &'a Observed,
    pub(crate) progress: &'a Progress,
    now_ms: u64,
}

impl Picture<'_> {
    fn wait(&self, reason: Reason, too_long: impl FnOnce(Reason) -> Decision) -> Decision {
        let deadline_ms = self.progress.since_ms().saturating_add(self.rules.deadline_ms);
        if self.now_ms >= deadline_ms {
            return too_long(reason);
        }
        Decision::Wait { reason, deadline_ms }
    }

    /// What no waiting mends.
    fn impossible(&self) -> Option<Stop> {
        if matches!(self.goal.purpose, Purpose::Join | Purpose::Leave) {
            return self.membership_impossible();
        }
        if let Some(member) = self.members().find(|member| member.is_outside) {
            return Some(Stop::NotJoined { member: member.name.clone() });
        }
        for name in &self.goal.members {
            let Some(member) = self.observed.member(name) else {
                return Some(Stop::UnknownMember { member: name.clone() });
            };
            if let Some(stop) = self.objection(member) {
                return Some(stop);
            }
            if self.goal.purpose == Purpose::Restart {
                continue;
            }
            // What runs has written the data; a link that a broken run left has not.
            let Some(from) = member.running.as_ref().or(member.current.as_ref()) else { continue };
            let (member_name, from, to) = (name.clone(), from.clone(), self.goal.version.clone());
            if let (false, Some(because)) = (self.is_finished(member), self.held()) {
                return Some(Stop::VersionRefused { member: member_name, from, to, because });
            }
            match judge(&self.rules.transitions, &from, &to) {
                Verdict::Refused(because) => {
                    return Some(Stop::VersionRefused { member: member_name, from, to, because });
                }
                Verdict::Allowed(Containers::Drain)
                    if !member.containers.is_empty() && !self.options.drain =>
                {
                    let count = member.containers.len();
                    return Some(Stop::ContainersRun { member: member_name, count, from, to });
                }
                Verdict::Allowed(Containers::Drain | Containers::Keep) => {}
            }
        }
        let voters = self.observed.voters();
        let loses_it = |member: &Member| {
            member.is_voter() && member.role().is_some() && !self.is_finished(member)
        };
        let is_small =
            self.is_quorum() && self.observed.rule.needs_all(voters) && !self.options.accept_outage;
        (is_small && self.members().any(loses_it)).then_some(Stop::TooFewMembers { voters })
    }

    /// What a member that is still to be taken has against it.
    fn objection(&self, member: &Member) -> Option<Stop> {
        if self.is_finished(member) {
            return None;
        }
        let Options { accept_outage, drain, .. } = *self.options;
        let counts = |objection: &&Objection| {
            let is_accepted = objection.may_be_accepted && accept_outage;
            let is_over = objection.ends_when_drained && drain;
            !is_accepted && !is_over
        };
        let because = member.objections.iter().find(counts)?.because.clone();
        Some(Stop::Objection { member: member.name.clone(), because })
    }

    /// What is stored and an older release can't start with. The leader knows.
    fn held(&self) -> Option<String> {
        let holds = self.observed.members.iter().flat_map(|member| &member.holds);
        let mut holds = holds.filter(|hold| self.goal.version.minor() < hold.since);
        holds.next().map(|hold| hold.because.clone())
    }

    /// The members of the goal, in the order of the inventory.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.observed.members.iter().filter(|member| self.goal.members.contains(&member.name))
    }

    pub(crate) fn is_quorum(&self) -> bool {
        self.rules.kind == Kind::Quorum
    }

    fn go_on(&self) -> Result<Decision, Reason> {
        if let Some(member) = self.members().find(|member| !member.is_reachable()) {
            return Err(unreachable(member));
        }
        let unfinished: Vec<&Member> =
            self.members().filter(|member| !self.is_finished(member)).collect();
        if let Some(decision) = self.stage(&unfinished) {
            return Ok(decision);
        }
        if let Some(decision) = self.first_formation() {
            return Ok(decision);
        }
        // One at a time: what was touched before must be well before the next.
        for member in self.observed.members.iter().filter(|member| self.was_touched(member)) {
            let is_next = unfinished.iter().any(|next| next.name == member.name);
            match is_next && member.process == Process::Dead {
                true => self.steady(member)?,
                false => self.settled(member)?,
            }
            // A daemon that is down says of none that it runs.
            if member.role().is_some() {
                self.kept_containers(member)?;
            }
        }
        self.kept_clients()?;
        if unfinished.is_empty() {
            self.members().try_for_each(|member| self.settled(member))?;
            return Ok(Decision::Done);
        }
        if let Some(done) = self.pause() {
            return Ok(Decision::Pause { done });
        }
        self.choose(&unfinished)
    }

    /// Whether nothing is left to be done to a member; it may still be settling.
    fn is_finished(&self, member: &Member) -> bool {
        if self.goal.purpose == Purpose::Restart {
            return self.progress.touch_of(&member.name).is_some_and(|touch| touch.is_done)
                && member.process != Process::Dead;
        }
        member.running.as_ref() == Some(&self.goal.version)
            && self.has_release(member)
            && member.files != Files::Changed
            && member.process != Process::Dead
    }

    fn has_release(&self, member: &Member) -> bool {
        self.goal.purpose == Purpose::Restart || member.current.as_ref() == Some(&self.goal.version)
    }

    pub(crate) fn was_touched(&self, member: &Member) -> bool {
        self.progress.touch_of(&member.name).is_some()
    }

    /// Everything that needs the release gets it first: nothing that runs is touched by that.
    pub(crate) fn stage(&self, unfinished: &[&Member]) -> Option<Decision> {
        if self.goal.purpose == Purpose::Restart {
            return None;
        }
        let lacking: Vec<&&Member> = unfinished
            .iter()
            .filter(|member| !member.releases.contains(&self.goal.version))
            .collect();
        let again = lacking.iter().find(|m| self.progress.stages(&m.name) >= STAGES_LIMIT);
        if let Some(member) = again {
            let version = self.goal.version.clone();
            return Some(Decision::Stop(Stop::NotStaged { member: member.name.clone(), version }));
        }
        let members: Vec<String> = lacking.iter().map(|member| member.name.clone()).collect();
        (!members.is_empty()).then_some(Decision::Run(Step::Stage { members }))
    }

    /// A cluster without data has no quorum to lose, and forms none before most members are up.
    fn first_formation(&self) -> Option<Decision> {
        if !self.is_quorum() {
            return None;
        }
        let voters = || self.observed.members.iter().filter(|member| member.duty == Duty::Voter);
        let is_empty = voters().all(|member| {
            member.is_reachable()
                && member.process == Process::Dead
                && member.has_data == Some(false)
                && self.goal.members.contains(&member.name)
        });
        if !is_empty {
            return None;
        }
        if self.progress.formed() {
            return Some(Decision::Stop(Stop::NotFormed));
        }
        let members = voters().map(|member| member.name.clone()).collect();
        Some(Decision::Run(Step::Start { members }))
    }

    /// Serves, and has for long enough.
    pub(crate) fn settled(&self, member: &Member) -> Result<(), Reason> {
        if !member.is_reachable() {
            return Err(unreachable(member));
        }
        if member.role().is_none() {
            let problem = member.problem.clone();
            return Err(Reason::NotServing { member: member.name.clone(), problem });
        }
        self.steady(member)
    }

    pub(crate) fn steady(&self, member: &Member) -> Result<(), Reason> {
        if self.progress.steady_ms(&member.name, self.now_ms) < self.rules.settle_ms {
            return Err(Reason::Settling { member: member.name.clone() });
        }
        Ok(())
    }

    /// What ran on a member before its step still runs there, unless it was to be moved away.
    fn kept_containers(&self, member: &Member) -> Result<(), Reason> {
        if self.options.drain {
            return Ok(());
        }
        let Some(touch) = self.progress.touch_of(&member.name) else { return Ok(()) };
        let before = &touch.containers;
        let lost = before.iter().filter(|id| !member.containers.contains(id)).count();
        if lost == 0 {
            return Ok(());
        }
        Err(Reason::ContainersLost { member: member.name.clone(), lost, of: before.len() })
    }

    /// Who depended on the cluster before the first step still does.
    fn kept_clients(&self) -> Result<(), Reason> {
        let Some(before) = self.progress.clients() else { return Ok(()) };
        // Standbys of Mesos are well without a leader; those who depend on it are not.
        let Some(leader) = self.observed.leader() else { return Err(Reason::NoLeader) };
        let Some(now) = leader.clients else { return Ok(()) };
        if now.agents >= before.agents && now.frameworks >= before.frameworks {
            return Ok(());
        }
        Err(Reason::ClientsMissing { leader: leader.name.clone(), now, before })
    }

    fn pause(&self) -> Option<u32> {
        let done = self.progress.done();
        let canary = u32::from(self.options.canary.is_some_and(|canary| done >= canary));
        let regular = match self.options.pause_after {
            Some(count) if count > 0 => done / count,
            _ => 0,
        };
        (canary.max(regular) > self.progress.pauses()).then_some(done)
    }

    /// Whose turn it is among those that are unfinished.
    fn choose(&self, unfinished: &[&Member]) -> Result<Decision, Reason> {
        let turn = unfinished.iter().map(|member| self.turn(member)).min().unwrap_or_default();
        let mut next = unfinished.iter().filter(|member| self.turn(member) == turn).peekable();
        let Some(first) = next.peek() else { return Ok(Decision::Done) };
        let because = self.because(first);
        if first.duty == Duty::Worker {
            let next: Vec<&Member> = next.copied().collect();
            return self.take_workers(&next);
        }
        self.may_be_taken(first)?;
        self.take(&[first], because)
    }

    fn take(&self, members: &[&Member], because: Because) -> Result<Decision, Reason> {
        let takes =
            |member: &Member| self.progress.touch_of(&member.name).map_or(0, |touch| touch.takes);
        if let Some(member) = members.iter().find(|member| takes(member) >= TAKES_LIMIT) {
            if member.process == Process::Dead && self.has_release(member) {
                // Starting it again is up to systemd.
                let problem = member.problem.clone();
                return Err(Reason::NotServing { member: member.name.clone(), problem });
            }
            return Ok(Decision::Stop(Stop::NotTaking {
                member: member.name.clone(),
                running: member.running.clone(),
            }));
        }
        let members = members.iter().map(|member| member.name.clone()).collect();
        Ok(Decision::Run(Step::Take { members, because }))
    }

    /// The order of turns. Within a turn the order of the inventory holds, so that a second run
    /// meets the same member first.
    fn turn(&self, member: &Member) -> u8 {
        match (member.duty, member.process) {
            (Duty::Voter, Process::Dead) => 0,
            (Duty::Voter, Process::Looking) => 1,
            (Duty::Voter, Process::Serving(Role::Observer)) => 2,
            (Duty::Voter, Process::Serving(Role::Follower)) => 3,
            (Duty::Voter, Process::Serving(Role::Leader | Role::Alone)) => 4,
            (Duty::Worker, _) => 5,
        }
    }

    fn because(&self, member: &Member) -> Because {
        match (member.duty, member.process) {
            (_, Process::Dead | Process::Looking) => Because::NotReady,
            (Duty::Worker, _) => Because::Worker,
            (Duty::Voter, Process::Serving(Role::Observer)) => Because::Observer,
            (Duty::Voter, Process::Serving(Role::Follower)) => Because::Follower,
            (Duty::Voter, Process::Serving(Role::Leader | Role::Alone)) => Because::Leader,
        }
    }

    /// As many as may be away, those that are away already included; of one rack, so that what goes
    /// wrong with all of them is away in one rack only.
    fn take_workers(&self, next: &[&Member]) -> Result<Decision, Reason> {
        let limit = usize::try_from(self.options.max_unavailable.max(1)).unwrap_or(usize::MAX);
        let is_away = |member: &Member| self.settled(member).is_err();
        let others_away: Vec<&Member> = self
            .observed
            .members
            .iter()
            .filter(|member| member.duty == Duty::Worker && is_away(member))
            .filter(|member| !next.iter().any(|next| next.name == member.name))
            .collect();
        let (away, well): (Vec<&Member>, Vec<&Member>) =
            next.iter().partition(|member| is_away(member));
        let room = limit.saturating_sub(others_away.len());
        let mut ordered = away.into_iter().chain(well).peekable();
        let rack = ordered.peek().and_then(|first| first.rack.clone());
        let is_near = |member: &&Member| member.rack == rack;
        let chosen: Vec<&Member> = ordered.filter(is_near).take(room).collect();
        let Some(first) = chosen.first() else {
            let members = others_away.iter().map(|member| member.name.clone()).collect();
            return Err(Reason::Batch { members });
        };
        let because = self.because(first);
        self.take(&chosen, because)
    }

    /// Whether the cluster keeps its quorum without this voter.
    pub(crate) fn may_be_taken(&self, member: &Member) -> Result<(), Reason> {
        if !self.is_quorum() {
            return Ok(());
        }
        match member.process {
            Process::Dead => self.may_be_repaired(member),
            Process::Looking | Process::Serving(_) => self.is_spared(member),
        }
    }

    pub(crate) fn others<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a Member> {
        let is_other = |other: &&Member| other.is_voter() && other.name != member.name;
        self.observed.members.iter().filter(is_other)
    }

    pub(crate) fn others_serving(&self, member: &Member) -> usize {
        self.others(member).filter(|other| self.settled(other).is_ok()).count()
    }

    /// Whether the others are a quorum and in order.
    fn is_spared(&self, member: &Member) -> Result<(), Reason> {
        let serving = self.others_serving(member);
        let quorum = self.observed.quorum();
        // An observer is no vote: the quorum only has to be there.
        let is_vote = member.is_voter();
        if serving >= quorum {
            return self.in_order();
        }
        if self.accepts_outage() {
            return Ok(());
        }
        // Some only have to settle: that is worth waiting for, and says more.
        let unsettled =
            self.others(member).find(|other| other.role().is_some() && self.steady(other).is_err());
        let soon = self.others(member).filter(|other| other.role().is_some()).count();
        if let Some(unsettled) = unsettled.filter(|_| soon >= quorum) {
            return Err(Reason::Settling { member: unsettled.name.clone() });
        }
        let away = self.others(member).filter(|other| other.role().is_none());
        Err(Reason::QuorumWouldBeLost {
            member: member.name.clone(),
            without: serving + usize::from(!is_vote && member.role().is_some()),
            quorum,
            away: away.map(|other| other.name.clone()).collect(),
        })
    }

    fn accepts_outage(&self) -> bool {
        self.options.accept_outage && self.observed.rule.needs_all(self.observed.voters())
    }

    /// A dead voter may be started if there is a quorum or that can complete it, and if it has been
    /// dead for long enough that it isn't just coming back by itself.
    fn may_be_repaired(&self, member: &Member) -> Result<(), Reason> {
        let serving = self.others_serving(member);
        let alive = self.others(member).filter(|other| other.process != Process::Dead).count();
        let quorum = self.observed.quorum();
        if alive + 1 < quorum {
            return Err(Reason::NoQuorum { serving, quorum });
        }
        self.steady(member)
    }

    /// One leads, and its followers have caught up.
    pub(crate) fn in_order(&self) -> Result<(), Reason> {
        let leaders: Vec<&Member> = self.observed.leaders().collect();
        let leader = match leaders.as_slice() {
            [] => return Err(Reason::NoLeader),
            [leader] => leader,
            several => {
                let members = several.iter().map(|member| member.name.clone()).collect();
                return Err(Reason::SeveralLeaders { members });
            }
        };
        let followers =
            self.observed.members.iter().filter(|m| m.role() == Some(Role::Follower)).count();
        let followers = u32::try_from(followers).unwrap_or(u32::MAX);
        match leader.in_sync {
            Some(in_sync) if in_sync < followers => {
                Err(Reason::NotInSync { leader: leader.name.clone(), in_sync, followers })
            }
            _ => Ok(()),
        }
    }

    /// After a failure: back, if that is possible and safe.
    fn go_back(&self, failed: &Failed) -> Decision {
        let stop = |revert| {
            Decision::Stop(Stop::StepFailed {
                member: failed.member.clone(),
                error: failed.error.clone(),
                revert,
            })
        };
        let Some(touch) = self.progress.touch_of(&failed.member) else {
            return stop(Revert::NotNeeded);
        };
        let Some(from) = &touch.from else {
            return stop(impossible("it had no release before"));
        };
        if *from == self.goal.version || self.goal.purpose == Purpose::Restart {
            return stop(impossible("it had this release before, and its configuration is new"));
        }
        let member = self.observed.member(&failed.member);
        if touch.takes > TAKES_LIMIT + 1 {
            return stop(impossible("it was tried, and the host was lost meanwhile"));
        }
        let reason = match member {
            Some(member) if member.is_reachable() => {
                let still_runs = member.running.as_ref() == Some(from);
                let verdict = judge(&self.rules.transitions, &self.goal.version, from);
                if let (false, Verdict::Refused(because)) = (still_runs, verdict) {
                    return stop(Revert::Impossible { because });
                }
                let is_safe = match member.process {
                    // It may just be coming back: then its place in the quorum counts.
                    Process::Dead if self.is_quorum() => {
                        self.is_spared(member).or_else(|_| self.steady(member))
                    }
                    Process::Dead => Ok(()),
                    Process::Looking | Process::Serving(_) => self.may_be_taken(member),
                };
                match is_safe {
                    Ok(()) => {
                        let step = Step::Revert { member: member.name.clone(), to: from.clone() };
                        return Decision::Run(step);
                    }
                    Err(reason) => reason,
                }
            }
            Some(member) => unreachable(member),
            None => return stop(impossible("it is no member any more")),
        };
        self.wait(reason, |reason| stop(Revert::Impossible { because: reason.to_string() }))
    }

    /// What to tell of a failure that was dealt with.
    fn failure(&self, failed: &Failed) -> Stop {
        let revert = match (&failed.reverted, self.progress.touch_of(&failed.member)) {
            (Some(Outcome::Failed { error }), _) => Revert::Failed { error: error.clone() },
            (Some(Outcome::Done), Some(touch)) => match &touch.from {
                Some(from) => Revert::Done { to: from.clone() },
                None => Revert::NotNeeded,
            },
            (Some(Outcome::Done | Outcome::Lost { .. }) | None, _) => Revert::NotNeeded,
        };
        Stop::StepFailed { member: failed.member.clone(), error: failed.error.clone(), revert }
    }
}

pub(crate) fn unreachable(member: &Member) -> Reason {
    let error = match &member.reach {
        crate::state::Reach::Unreachable { reason } => reason.clone(),
        crate::state::Reach::Reachable => String::new(),
    };
    Reason::Unreachable { member: member.name.clone(), error }
}

pub(crate) fn impossible(because: &str) -> Revert {
    Revert::Impossible { because: because.to_owned() }
}

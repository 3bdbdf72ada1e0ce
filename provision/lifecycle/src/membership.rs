//! Hosts that join or leave: one at a time, and never so that those who serve are no quorum of the
//! members before or after the change.
//!
//! Joining: install without a vote, prove health, ask for the vote, see that all know it. Leaving:
//! take the vote while a quorum of both sides stays, see that all know it, then stop and remove.
//! A step that fails ends the run: whatever was done is safe to stand, and the next run goes on.
//!
//! Where one is enough (`rule: one`) nobody has a vote: hosts are installed one at a time, and stopped
//! and removed one at a time, the leader last, while another one serves.

use std::collections::BTreeSet;

use crate::decide::{Decision, Picture, Step, TAKES_LIMIT, impossible, unreachable};
use crate::definition::QuorumRule;
use crate::progress::Failed;
use crate::reason::{Reason, Revert, Stop};
use crate::roster::{Joins, Leaves};
use crate::state::{Duty, Member, Process, Purpose, Role};
use crate::transition::Verdict;

impl Picture<'_> {
    /// After a step that failed.
    pub(crate) fn membership_failed(failed: &Failed) -> Decision {
        Decision::Stop(Stop::StepFailed {
            member: failed.member.clone(),
            error: failed.error.clone(),
            revert: Revert::Kept,
        })
    }

    /// What no waiting mends.
    pub(crate) fn membership_impossible(&self) -> Option<Stop> {
        for name in &self.goal.members {
            let Some(member) = self.observed.member(name) else {
                return Some(Stop::UnknownMember { member: name.clone() });
            };
            let refused = match self.goal.purpose {
                Purpose::Join => self.join_refused(member),
                _ => self.leave_refused(member),
            };
            if refused.is_some() {
                return refused;
            }
        }
        if !self.has_voters() {
            return None;
        }
        let is_empty = self.observed.members.iter().all(|member| {
            member.is_reachable()
                && member.process == Process::Dead
                && member.has_data != Some(true)
        });
        if is_empty && self.goal.purpose == Purpose::Join {
            return Some(Stop::NoCluster);
        }
        self.too_few_left()
    }

    fn join_refused(&self, member: &Member) -> Option<Stop> {
        let from = member.running.as_ref().or(member.current.as_ref())?;
        let to = &self.goal.version;
        match crate::transition::judge(&self.rules.transitions, from, to) {
            Verdict::Refused(because) => Some(Stop::VersionRefused {
                member: member.name.clone(),
                from: from.clone(),
                to: to.clone(),
                because,
            }),
            Verdict::Allowed(_) => None,
        }
    }

    fn leave_refused(&self, member: &Member) -> Option<Stop> {
        let count = member.containers.len();
        let is_refused = count > 0 && !self.options.drain;
        is_refused.then(|| Stop::ContainersLeft { member: member.name.clone(), count })
    }

    fn has_voters(&self) -> bool {
        self.is_quorum() && self.members().any(|member| member.duty == Duty::Voter)
    }

    /// Whether members are counted by those of them who know each other.
    fn has_votes(&self) -> bool {
        self.is_quorum() && self.observed.rule != QuorumRule::One
    }

    /// How many would be left, when all of the goal have gone.
    fn too_few_left(&self) -> Option<Stop> {
        let installed = || -> BTreeSet<String> {
            let all = self.observed.members.iter();
            let there = all.filter(|one| one.duty == Duty::Voter && one.current.is_some());
            there.map(|member| member.name.clone()).collect()
        };
        let roster = match self.has_votes() {
            true => self.observed.roster()?.clone(),
            false => installed(),
        };
        if self.goal.purpose != Purpose::Leave {
            return None;
        }
        let leaving = self.members().filter(|member| roster.contains(&member.name)).count();
        let left = roster.len().saturating_sub(leaving);
        let is_refused = match left {
            0 => leaving > 0,
            // What is left must bear the loss of another one.
            _ => leaving > 0 && self.observed.rule.needs_all(left) && !self.options.accept_outage,
        };
        is_refused.then_some(Stop::TooFewLeft { left })
    }

    /// What to do next for those that join or leave.
    pub(crate) fn change_members(&self) -> Result<Decision, Reason> {
        if self.has_voters() && self.has_votes() {
            self.all_tell()?;
        }
        match self.goal.purpose {
            Purpose::Join => self.join(),
            _ => self.leave(),
        }
    }

    /// All that serve say who belongs to the cluster.
    fn all_tell(&self) -> Result<(), Reason> {
        let mut voters = self.observed.members.iter().filter(|m| m.duty == Duty::Voter);
        match voters.find(|member| member.role().is_some() && member.roster.is_none()) {
            Some(member) => Err(Reason::MembersUnknown {
                member: member.name.clone(),
                problem: member.problem.clone(),
            }),
            None => Ok(()),
        }
    }

    fn join(&self) -> Result<Decision, Reason> {
        if let Some(member) = self.members().find(|member| !member.is_reachable()) {
            return Err(unreachable(member));
        }
        if self.has_voters() {
            // Only a leader says who has a vote.
            self.in_order()?;
        }
        let unfinished: Vec<&Member> =
            self.members().filter(|member| !self.has_joined(member)).collect();
        if let Some(decision) = self.stage(&unfinished) {
            return Ok(decision);
        }
        for member in self.observed.members.iter().filter(|member| self.was_touched(member)) {
            match member.process == Process::Dead
                && unfinished.iter().any(|m| m.name == member.name)
            {
                true => self.steady(member)?,
                false => self.settled(member)?,
            }
        }
        let is_voter = |member: &&&Member| self.is_quorum() && member.duty == Duty::Voter;
        if let Some(member) = unfinished.iter().find(is_voter) {
            return self.join_one(member);
        }
        if !unfinished.is_empty() {
            return self.install(&unfinished);
        }
        self.members().try_for_each(|member| self.settled(member))?;
        // Consul's autopilot may know it a little later than raft does.
        if let Some(member) = self.members().find(|m| m.role() == Some(Role::Observer)) {
            return Err(Reason::NoVoteYet { member: member.name.clone() });
        }
        self.all_know()?;
        Ok(Decision::Done)
    }

    /// Runs the release and, if it shall vote, has its vote.
    fn has_joined(&self, member: &Member) -> bool {
        self.runs_it(member) && (!self.is_quorum() || !member.is_outside)
    }

    fn runs_it(&self, member: &Member) -> bool {
        member.running.as_ref() == Some(&self.goal.version)
            && member.current.as_ref() == Some(&self.goal.version)
            && member.process != Process::Dead
    }

    fn join_one(&self, member: &Member) -> Result<Decision, Reason> {
        self.all_know()?;
        if !member.is_outside {
            // It has its vote and does not run: its disk was lost, or it was never started.
            self.may_be_taken(member)?;
            return self.install(&[member]);
        }
        let by_itself = self.rules.members.joins == Joins::ByItself;
        if !self.runs_it(member) {
            // Where the vote comes by itself, installing is what changes the members.
            self.keeps_quorum(member, by_itself, 1)?;
            return self.install(&[member]);
        }
        self.settled(member)?;
        if by_itself {
            return Err(Reason::NoVoteYet { member: member.name.clone() });
        }
        self.keeps_quorum(member, true, 1)?;
        if self.progress.asked(&member.name) >= TAKES_LIMIT {
            return Ok(not_taking(member));
        }
        Ok(Decision::Run(Step::Join { member: member.name.clone() }))
    }

    fn install(&self, members: &[&Member]) -> Result<Decision, Reason> {
        let takes =
            |member: &Member| self.progress.touch_of(&member.name).map_or(0, |touch| touch.takes);
        if let Some(member) = members.iter().find(|member| takes(member) >= TAKES_LIMIT) {
            return Ok(not_taking(member));
        }
        let members = members.iter().map(|member| member.name.clone()).collect();
        Ok(Decision::Run(Step::Install { members }))
    }

    /// Whether those that serve are a quorum of the members now and, if the members change, of
    /// those after it. `coming` is how many more serve then.
    fn keeps_quorum(&self, member: &Member, changes: bool, coming: usize) -> Result<(), Reason> {
        let serving = self.others_serving(member);
        let voters = self.observed.voters();
        let after = if changes { voters + coming } else { voters };
        let rule = self.observed.rule;
        let (now, then) = (rule.of(voters), rule.of(after));
        let enough = serving >= now && (!changes || serving + coming >= then);
        if enough {
            return Ok(());
        }
        if let Some(unsettled) = self.unsettled_other(member) {
            return Err(Reason::Settling { member: unsettled.name.clone() });
        }
        Err(Reason::NoQuorum { serving, quorum: now.max(then) })
    }

    fn unsettled_other<'a>(&'a self, member: &'a Member) -> Option<&'a Member> {
        self.others(member).find(|other| other.role().is_some() && self.steady(other).is_err())
    }

    /// All that serve know who has a vote.
    fn all_know(&self) -> Result<(), Reason> {
        match self.observed.behind() {
            Some(member) => Err(Reason::OldMembers { member: member.name.clone() }),
            None => Ok(()),
        }
    }

    fn leave(&self) -> Result<Decision, Reason> {
        let mut left: Vec<&Member> =
            self.members().filter(|member| !self.has_left(member)).collect();
        // Within a turn the order of the inventory holds.
        left.sort_by_key(|member| self.leaving_turn(member));
        if self.is_quorum() && left.iter().any(|member| member.duty == Duty::Voter) {
            self.in_order()?;
        }
        for member in self.observed.members.iter().filter(|member| self.was_touched(member)) {
            if !self.goal.members.contains(&member.name) {
                self.settled(member)?;
            }
        }
        let Some(next) = left.first() else {
            self.all_know_but(None)?;
            return Ok(Decision::Done);
        };
        match next.duty {
            Duty::Voter if self.has_votes() => self.leave_one(next),
            Duty::Voter if self.is_quorum() => self.leave_equal(next),
            Duty::Voter | Duty::Worker => self.leave_worker(next),
        }
    }

    /// One of several of which one is enough: another one must serve without it.
    fn leave_equal(&self, member: &Member) -> Result<Decision, Reason> {
        if !member.is_reachable() {
            return Err(unreachable(member));
        }
        let serving = self.others_serving(member);
        if serving == 0 && !self.options.accept_outage {
            if let Some(unsettled) = self.unsettled_other(member) {
                return Err(Reason::Settling { member: unsettled.name.clone() });
            }
            return Err(Reason::NoQuorum { serving, quorum: 1 });
        }
        self.retire(member)
    }

    /// Those without a vote, those that don't serve, followers, the leader.
    fn leaving_turn(&self, member: &Member) -> u8 {
        match (member.duty, member.role()) {
            (Duty::Worker, _) => 0,
            (Duty::Voter, _) if member.is_outside => 1,
            (Duty::Voter, None) => 2,
            (Duty::Voter, Some(Role::Observer)) => 3,
            (Duty::Voter, Some(Role::Follower)) => 4,
            (Duty::Voter, Some(Role::Leader | Role::Alone)) => 5,
        }
    }

    fn leave_worker(&self, member: &Member) -> Result<Decision, Reason> {
        if !member.is_reachable() {
            return Err(unreachable(member));
        }
        let asked = self.progress.asked(&member.name) > 0;
        if self.rules.members.workers_leave && !asked && member.role().is_some() {
            let name = member.name.clone();
            return Ok(Decision::Run(Step::Leave { member: name.clone(), via: name }));
        }
        self.retire(member)
    }

    fn leave_one(&self, member: &Member) -> Result<Decision, Reason> {
        if member.is_outside {
            self.all_know_but(Some(member))?;
            let says_goodbye = self.rules.members.leaves == Leaves::ByItself
                && member.role().is_some()
                && self.progress.asked(&member.name) == 0;
            if says_goodbye {
                let name = member.name.clone();
                return Ok(Decision::Run(Step::Leave { member: name.clone(), via: name }));
            }
            return self.retire(member);
        }
        self.all_know()?;
        let (serving, voters) = (self.others_serving(member), self.observed.voters());
        let own = usize::from(self.settled(member).is_ok());
        let rule = self.observed.rule;
        let (now, then) = (rule.of(voters), rule.of(voters.saturating_sub(1)));
        if serving + own < now || serving < then {
            if let Some(unsettled) = self.unsettled_other(member) {
                return Err(Reason::Settling { member: unsettled.name.clone() });
            }
            return Err(Reason::NoQuorum { serving, quorum: then });
        }
        if member.role().is_none() {
            // It may just be coming back, and would count then.
            self.steady(member).or_else(|reason| match member.is_reachable() {
                true => Err(reason),
                false => Ok(()),
            })?;
        }
        if self.progress.asked(&member.name) >= TAKES_LIMIT {
            return Ok(not_taking(member));
        }
        let by_itself = self.rules.members.leaves == Leaves::ByItself && member.role().is_some();
        // A member that stays on after this run, and does not lead.
        let stays = |other: &&Member| self.settled(other).is_ok();
        let leads = |other: &Member| matches!(other.role(), Some(Role::Leader | Role::Alone));
        let goes = |other: &Member| self.goal.members.contains(&other.name);
        let via = self.others(member).filter(stays).min_by_key(|o| (goes(o), leads(o)));
        let via = if by_itself { Some(member) } else { via };
        let Some(via) = via else { return Err(Reason::NoQuorum { serving, quorum: then }) };
        Ok(Decision::Run(Step::Leave { member: member.name.clone(), via: via.name.clone() }))
    }

    /// All that serve, but for the one that has gone, know who has a vote.
    fn all_know_but(&self, gone: Option<&Member>) -> Result<(), Reason> {
        match self.observed.behind() {
            Some(member) if gone.is_none_or(|gone| gone.name != member.name) => {
                Err(Reason::OldMembers { member: member.name.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn retire(&self, member: &Member) -> Result<Decision, Reason> {
        if self.progress.retired(&member.name) >= TAKES_LIMIT {
            return Ok(Decision::Stop(Stop::StepFailed {
                member: member.name.clone(),
                error: "it was stopped and removed, and is still there".to_owned(),
                revert: impossible("it is no member any more"),
            }));
        }
        Ok(Decision::Run(Step::Retire { member: member.name.clone() }))
    }

    /// Nothing of it runs or is installed; or it has lost its vote and its host does not answer. Then
    /// the cluster has forgotten it, and whoever sees it again can remove what is there.
    fn has_left(&self, member: &Member) -> bool {
        if !member.is_reachable() {
            return member.is_outside;
        }
        let is_empty = member.current.is_none() && member.releases.is_empty();
        let is_over = member.duty_is_over() || !self.has_votes();
        member.process == Process::Dead && is_empty && is_over
    }
}

fn not_taking(member: &Member) -> Decision {
    Decision::Stop(Stop::NotTaking { member: member.name.clone(), running: member.running.clone() })
}

//! Why not: every refusal has a type, and a text that a user can act on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::Clients;
use crate::version::Version;

/// Why a member is taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It isn't ready: the cluster does without it already.
    NotReady,
    /// It has no vote.
    Observer,
    /// It follows.
    Follower,
    /// It leads, and all others are done.
    Leader,
    /// It has no vote and serves its own host.
    Worker,
}

impl Because {
    /// A few words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Because::NotReady => "not ready, so first",
            Because::Observer => "observer",
            Because::Follower => "follower",
            Because::Leader => "leader, so last",
            Because::Worker => "no vote",
        }
    }
}

/// Why nothing can be done just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// A host does not answer.
    Unreachable {
        /// Member.
        member: String,
        /// Why.
        error: String,
    },
    /// The others would be no quorum.
    QuorumWouldBeLost {
        /// The member to be taken.
        member: String,
        /// How many voters would serve without it.
        without: usize,
        /// How many are needed.
        quorum: usize,
        /// Voters that don't serve.
        away: Vec<String>,
    },
    /// Too few serve, and taking one can't bring the quorum back.
    NoQuorum {
        /// How many voters serve.
        serving: usize,
        /// How many are needed.
        quorum: usize,
    },
    /// Nobody leads.
    NoLeader,
    /// Several say that they lead.
    SeveralLeaders {
        /// Who.
        members: Vec<String>,
    },
    /// Followers have not caught up.
    NotInSync {
        /// Who says so.
        leader: String,
        /// How many are in sync.
        in_sync: u32,
        /// How many there are.
        followers: u32,
    },
    /// A member has not been as it is for long enough.
    Settling {
        /// Member.
        member: String,
    },
    /// A member has the release and does not serve.
    NotServing {
        /// Member.
        member: String,
        /// What it says of itself.
        problem: Option<String>,
    },
    /// Containers that ran before a step do not run after it.
    ContainersLost {
        /// Member.
        member: String,
        /// How many.
        lost: usize,
        /// How many ran before.
        of: usize,
    },
    /// A member that serves does not say who belongs to the cluster.
    MembersUnknown {
        /// Member.
        member: String,
        /// What is wrong with it.
        problem: Option<String>,
    },
    /// A host serves and has not got its vote.
    NoVoteYet {
        /// Member.
        member: String,
    },
    /// A member does not know yet who has a vote.
    OldMembers {
        /// Member.
        member: String,
    },
    /// Who depended on the cluster before does no more.
    ClientsMissing {
        /// Who says so.
        leader: String,
        /// Who does.
        now: Clients,
        /// Who did.
        before: Clients,
    },
    /// As many hosts as allowed are away.
    Batch {
        /// Who.
        members: Vec<String>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Unreachable { member, error } => write!(f, "{member} is unreachable: {error}"),
            Reason::QuorumWouldBeLost { member, without, quorum, away } => {
                write!(
                    f,
                    "taking {member} would lose the quorum: {without} would serve, {quorum} must"
                )?;
                if away.is_empty() { Ok(()) } else { write!(f, " ({} away)", away.join(", ")) }
            }
            Reason::NoQuorum { serving, quorum } => {
                write!(f, "there is no quorum: {serving} serve, {quorum} must")
            }
            Reason::NoLeader => f.write_str("nobody leads"),
            Reason::SeveralLeaders { members } => {
                write!(f, "several say that they lead: {}", members.join(", "))
            }
            Reason::NotInSync { leader, in_sync, followers } => {
                write!(f, "{leader} has {in_sync} of {followers} followers in sync")
            }
            Reason::Settling { member } => {
                write!(f, "{member} has not been as it is for long enough")
            }
            Reason::NotServing { member, problem: Some(problem) } => {
                write!(f, "{member} does not serve: {problem}")
            }
            Reason::NotServing { member, problem: None } => {
                write!(f, "{member} does not serve")
            }
            Reason::ContainersLost { member, lost, of } => {
                write!(f, "{lost} of {of} containers that ran on {member} run no more")
            }
            Reason::MembersUnknown { member, problem: Some(problem) } => {
                write!(f, "{member}: {problem}")
            }
            Reason::MembersUnknown { member, problem: None } => {
                write!(f, "{member} does not say who belongs to the cluster")
            }
            Reason::NoVoteYet { member } => write!(f, "{member} has no vote yet"),
            Reason::OldMembers { member } => {
                write!(f, "{member} does not know yet who has a vote")
            }
            Reason::ClientsMissing { leader, now, before } => {
                let (agents, frameworks) = (now.agents, now.frameworks);
                write!(
                    f,
                    "{leader} has {agents} of {} agents and {frameworks} of {} frameworks back",
                    before.agents, before.frameworks
                )
            }
            Reason::Batch { members } => {
                write!(f, "as many hosts are away as may be: {}", members.join(", "))
            }
        }
    }
}

/// Why a run ends before the goal is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stop")]
pub enum Stop {
    /// The goal names a host that is no member.
    UnknownMember {
        /// Name.
        member: String,
    },
    /// The component can't go from here to there.
    VersionRefused {
        /// Member.
        member: String,
        /// What it has.
        from: Version,
        /// What it should get.
        to: Version,
        /// Why not.
        because: String,
    },
    /// Containers run where they have to move away first.
    ContainersRun {
        /// Member.
        member: String,
        /// How many.
        count: usize,
        /// What it has.
        from: Version,
        /// What it should get.
        to: Version,
    },
    /// A member must not be restarted as things are.
    Objection {
        /// Member.
        member: String,
        /// Why.
        because: String,
    },
    /// A cluster of one or two has no quorum while one is away.
    TooFewMembers {
        /// How many voters there are.
        voters: usize,
    },
    /// A wait took too long.
    WaitedTooLong {
        /// For what.
        waited_for: Reason,
    },
    /// A step failed.
    StepFailed {
        /// Where.
        member: String,
        /// Why.
        error: String,
        /// Whether the member is as it was before.
        revert: Revert,
    },
    /// A release was staged on a member, and is not there.
    NotStaged {
        /// Member.
        member: String,
        /// The release.
        version: Version,
    },
    /// A member was taken, all went well, and it is not at the goal.
    NotTaking {
        /// Member.
        member: String,
        /// What runs there.
        running: Option<Version>,
    },
    /// The members were started together and formed no cluster.
    NotFormed,
    /// There is no cluster that could be joined.
    NoCluster,
    /// A host is in the group and the cluster does not know it.
    NotJoined {
        /// Host.
        member: String,
    },
    /// So few would be left that the cluster bears no failure, or there is none.
    TooFewLeft {
        /// How many.
        left: usize,
    },
    /// Containers run on a host that shall leave.
    ContainersLeft {
        /// Host.
        member: String,
        /// How many.
        count: usize,
    },
}

/// What became of a member whose step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revert {
    /// Nothing was changed that needs it.
    NotNeeded,
    /// It is as it was.
    Done {
        /// The release it is back at.
        to: Version,
    },
    /// It can't go back.
    Impossible {
        /// Why.
        because: String,
    },
    /// What was done stands: it does no harm, and the next run goes on from there.
    Kept,
    /// Going back failed as well.
    Failed {
        /// Why.
        error: String,
    },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::UnknownMember { member } => write!(f, "{member} is no member"),
            Stop::VersionRefused { member, from, to, because } => {
                write!(f, "{member} can't go from {from} to {to}: {because}")
            }
            Stop::ContainersRun { member, count, from, to } => {
                let noun = if *count == 1 { "container runs" } else { "containers run" };
                write!(f, "{count} {noun} on {member}; from {from} to {to} none is kept")
            }
            Stop::Objection { member, because } => {
                write!(f, "{member} must not be restarted: {because}")
            }
            Stop::TooFewMembers { voters } => {
                let noun = if *voters == 1 { "member" } else { "members" };
                write!(f, "a cluster of {voters} {noun} has no quorum while one is away")
            }
            Stop::WaitedTooLong { waited_for } => write!(f, "waited too long: {waited_for}"),
            Stop::StepFailed { member, error, revert } => {
                write!(f, "the step on {member} failed: {error}; ")?;
                match revert {
                    Revert::NotNeeded => write!(f, "nothing was changed there"),
                    Revert::Done { to } => write!(f, "{member} is back at {to}"),
                    Revert::Impossible { because } => {
                        write!(f, "{member} can't go back: {because}")
                    }
                    Revert::Kept => f.write_str("what was done stands"),
                    Revert::Failed { error } => write!(f, "going back failed, too: {error}"),
                }
            }
            Stop::NotStaged { member, version } => {
                write!(f, "{version} was staged on {member} and is not there")
            }
            Stop::NotTaking { member, running: Some(running) } => {
                write!(f, "{member} was taken and still runs {running}")
            }
            Stop::NotTaking { member, running: None } => {
                write!(f, "{member} was taken and does not say what it runs")
            }
            Stop::NotFormed => {
                f.write_str("the members were started together and formed no cluster")
            }
            Stop::NoCluster => f.write_str("there is no running cluster to join"),
            Stop::NotJoined { member } => {
                write!(f, "{member} is in the group, and the cluster does not know it")
            }
            Stop::TooFewLeft { left: 0 } => f.write_str("no member would be left"),
            Stop::TooFewLeft { left } => {
                let noun = if *left == 1 { "member" } else { "members" };
                write!(f, "{left} {noun} would be left, and they bear no failure")
            }
            Stop::ContainersLeft { member, count } => {
                let noun = if *count == 1 { "container runs" } else { "containers run" };
                write!(f, "{count} {noun} on {member}")
            }
        }
    }
}

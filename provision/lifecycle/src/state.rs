//! What is known of a cluster, what is wanted of it, and the rules of its component.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::definition::{Kind, QuorumRule};
use crate::roster::MemberRules;
use crate::transition::Transition;
use crate::version::Version;

/// Whether the host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It does.
    Reachable,
    /// It doesn't.
    Unreachable {
        /// One line for people.
        reason: String,
    },
}

/// What a member that serves is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It follows without a vote.
    Observer,
    /// There are no others.
    Alone,
}

impl Role {
    /// A word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Observer => "observer",
            Role::Alone => "alone",
        }
    }
}

/// What the process of a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    /// There is none, or it doesn't answer.
    Dead,
    /// It answers, but serves nobody: it looks for a leader, or loads its data.
    Looking,
    /// It serves.
    Serving(Role),
}

/// What a member is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// It counts for the quorum.
    Voter,
    /// It has no vote: agents of Consul, Docker's hosts.
    Worker,
}

/// Whether the process runs with the files that are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Files {
    /// It was started with them.
    Current,
    /// They have changed since, or it doesn't run.
    Changed,
    /// Nobody knows.
    Unknown,
}

/// What keeps a member from an older release: it would not start with what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The first minor version that can start with it.
    pub since: (u64, u64),
    /// What it is, and how to get rid of it.
    pub because: String,
}

/// Why a member must not be restarted as things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// What would happen, and what to do.
    pub because: String,
    /// Whether the operator may want it nevertheless: an outage, but one that ends.
    pub may_be_accepted: bool,
    /// Whether it is over once nothing runs on the member any more.
    #[serde(default)]
    pub ends_when_drained: bool,
}

/// Who depends on a cluster, as its leader says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Agents that are registered and active.
    pub agents: u64,
    /// Frameworks that are.
    pub frameworks: u64,
}

/// One member as it was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Name of its host in the inventory.
    pub name: String,
    /// What it is there for.
    pub duty: Duty,
    /// Whether the host answers. Of one that doesn't, nothing else is known.
    pub reach: Reach,
    /// Releases that are installed.
    pub releases: Vec<Version>,
    /// The release that the next start will use.
    pub current: Option<Version>,
    /// The release that runs, as the process itself says.
    pub running: Option<Version>,
    /// What the process does.
    pub process: Process,
    /// Whether it runs with the files on disk.
    pub files: Files,
    /// Whether it has data of the cluster.
    pub has_data: Option<bool>,
    /// How far it is: the zxid or the index of raft.
    pub position: Option<u64>,
    /// Of a leader: how many followers are in sync.
    pub in_sync: Option<u32>,
    /// Containers that run on it, by id, ascending.
    pub containers: Vec<String>,
    /// What is wrong with it, in its own words.
    pub problem: Option<String>,
    /// The rack or zone that it would fail with.
    #[serde(default)]
    pub rack: Option<String>,
    /// Of a leader: who depends on it.
    #[serde(default)]
    pub clients: Option<Clients>,
    /// What keeps it from older releases.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Why it must not be restarted as things are.
    #[serde(default)]
    pub objections: Vec<Objection>,
    /// Who has a vote, as far as this member knows: hosts of the inventory by their names.
    #[serde(default)]
    pub roster: Option<BTreeSet<String>>,
    /// Whether it is in the group and the cluster does not know it: it has no vote.
    #[serde(default)]
    pub is_outside: bool,
}

impl Member {
    /// A member of which nothing is known but that its host does not answer.
    #[must_use]
    pub fn unreachable(name: &str, duty: Duty, reason: &str) -> Self {
        Member {
            reach: Reach::Unreachable { reason: reason.to_owned() },
            ..Member::blank(name, duty)
        }
    }

    /// A member on a host that answers and has nothing.
    #[must_use]
    pub fn blank(name: &str, duty: Duty) -> Self {
        Member {
            name: name.to_owned(),
            duty,
            reach: Reach::Reachable,
            releases: Vec::new(),
            current: None,
            running: None,
            process: Process::Dead,
            files: Files::Unknown,
            has_data: None,
            position: None,
            in_sync: None,
            containers: Vec::new(),
            problem: None,
            rack: None,
            roster: None,
            is_outside: false,
            clients: None,
            holds: Vec::new(),
            objections: Vec::new(),
        }
    }

    /// Whether its host answers.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.reach == Reach::Reachable
    }

    /// Its role, if it serves.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self.process {
            Process::Serving(role) => Some(role),
            Process::Dead | Process::Looking => None,
        }
    }

    /// Whether it counts for the quorum: an observer says of itself that it doesn't.
    #[must_use]
    pub fn is_voter(&self) -> bool {
        self.duty == Duty::Voter && !self.is_outside && self.role() != Some(Role::Observer)
    }

    /// Whether it has no vote that it could still be asked for.
    pub(crate) fn duty_is_over(&self) -> bool {
        self.duty == Duty::Worker || self.is_outside
    }
}

/// All members at one time, in the order of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// The members.
    pub members: Vec<Member>,
    /// How many of their voters must be up.
    #[serde(default, skip_serializing_if = "QuorumRule::is_majority")]
    pub rule: QuorumRule,
}

impl Observed {
    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// How many voters there are.
    #[must_use]
    pub fn voters(&self) -> usize {
        let known = self.members.iter().filter(|member| member.is_voter()).count();
        known + self.strangers().len()
    }

    /// How many voters must be up.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.rule.of(self.voters())
    }

    /// The leader, if exactly one member says that it is.
    #[must_use]
    pub fn leader(&self) -> Option<&Member> {
        let mut leaders = self.leaders();
        leaders.next().filter(|_| leaders.next().is_none())
    }

    pub(crate) fn leaders(&self) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(|member| matches!(member.role(), Some(Role::Leader | Role::Alone)))
            .filter(|member| member.duty == Duty::Voter)
    }
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Another release, usually a newer one.
    Upgrade,
    /// An earlier release.
    Rollback,
    /// The same release with the configuration as it is written now.
    Restart,
    /// Hosts of the group become members.
    Join,
    /// Members leave, and what is installed on them goes.
    Leave,
}

impl Purpose {
    /// A word for people: what the run does.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Purpose::Upgrade => "upgrade",
            Purpose::Rollback => "roll back",
            Purpose::Restart => "reconfigure",
            Purpose::Join => "add to",
            Purpose::Leave => "remove from",
        }
    }
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// What for.
    pub purpose: Purpose,
    /// The release.
    pub version: Version,
    /// The members that shall have it.
    pub members: Vec<String>,
}

/// How careful the operator wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Pause once, after so many members.
    pub canary: Option<u32>,
    /// Pause each time so many members are done.
    pub pause_after: Option<u32>,
    /// How many members without a vote may be away at a time.
    pub max_unavailable: u32,
    /// Go on although a cluster of one or two members has no quorum meanwhile, or tasks end.
    pub accept_outage: bool,
    /// Stop containers on hosts that leave; of a component that says `drains`, move away what runs on
    /// a member before it is restarted.
    #[serde(default)]
    pub drain: bool,
    /// Delete the data of hosts that leave.
    #[serde(default)]
    pub purge: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            canary: None,
            pause_after: None,
            max_unavailable: 1,
            accept_outage: false,
            drain: false,
            purge: false,
        }
    }
}

/// The rules of a component, as far as deciding needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What kind it is.
    pub kind: Kind,
    /// How long a member must have served before it counts.
    pub settle_ms: u64,
    /// How long one wait may last.
    pub deadline_ms: u64,
    /// Which version may follow which.
    pub transitions: Vec<Transition>,
    /// How hosts join and leave.
    pub members: MemberRules,
}

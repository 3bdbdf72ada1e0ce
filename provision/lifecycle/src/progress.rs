//! What a run remembers between two decisions. It can be lost: then the run only waits longer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decide::Step;
use crate::state::{Clients, Observed, Process};
use crate::version::Version;

/// What was done to a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// How often it was taken.
    pub takes: u32,
    /// The release it had before it was first taken.
    pub from: Option<Version>,
    /// Containers that ran on it before.
    pub containers: Vec<String>,
    /// When the last step on it ended, or began if it has not ended.
    pub at_ms: u64,
    /// Whether the last step on it ended well.
    pub is_done: bool,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Where.
    pub member: String,
    /// Why.
    pub error: String,
    /// Whether going back was tried, and how it went.
    pub reverted: Option<Outcome>,
}

/// How a step went on a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Done,
    /// Not.
    Failed {
        /// Why.
        error: String,
    },
    /// The host was lost meanwhile: what became of the member will be seen.
    Lost {
        /// Why.
        error: String,
    },
}

/// What a run remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Since when each member has been doing what it does, as far as was seen since the last step.
    steady: BTreeMap<String, (Process, u64)>,
    /// What was done to members.
    touched: BTreeMap<String, Touch>,
    /// Members that were staged.
    staged: BTreeMap<String, u32>,
    /// Members whose vote was asked for, or taken.
    #[serde(default)]
    asked: BTreeMap<String, u32>,
    /// Members that were stopped and removed.
    #[serde(default)]
    retired: BTreeMap<String, u32>,
    /// Steps that failed.
    failed: Vec<Failed>,
    /// Whether all were started together.
    formed: bool,
    /// How many pauses the operator ended.
    pauses: u32,
    /// When something last went on: waits are counted from here.
    since_ms: u64,
    /// Who depended on the cluster before the first member was taken.
    #[serde(default)]
    clients: Option<Clients>,
}

impl Progress {
    /// The memory of a run that begins.
    #[must_use]
    pub fn begin(now_ms: u64) -> Self {
        Progress { since_ms: now_ms, ..Progress::default() }
    }

    /// Takes in what was observed.
    pub fn observe(&mut self, observed: &Observed, now_ms: u64) {
        for member in &observed.members {
            if !member.is_reachable() {
                self.steady.remove(&member.name);
                continue;
            }
            let known = self.steady.get(&member.name).map(|(process, _)| kind(*process));
            if known != Some(kind(member.process)) {
                self.steady.insert(member.name.clone(), (member.process, now_ms));
            }
        }
    }

    /// A step is about to be done. To be stored before it is.
    pub fn began(&mut self, step: &Step, observed: &Observed, now_ms: u64) {
        self.since_ms = now_ms;
        // The next one is only taken when what ran on the others was seen to run still: what ends
        // later ends by itself.
        let others = |(name, _): &(&String, &mut Touch)| !step.members().contains(name);
        self.touched.iter_mut().filter(others).for_each(|(_, touch)| touch.containers.clear());
        match step {
            Step::Stage { members } => {
                for member in members {
                    *self.staged.entry(member.clone()).or_default() += 1;
                }
            }
            Step::Start { members } => {
                self.formed = true;
                members.iter().for_each(|member| self.touch(member, observed, now_ms));
            }
            Step::Take { members, .. } | Step::Install { members } => {
                if self.touched.is_empty() {
                    self.clients = observed.leader().and_then(|leader| leader.clients);
                }
                members.iter().for_each(|member| self.touch(member, observed, now_ms));
            }
            Step::Revert { member, .. } => self.touch(member, observed, now_ms),
            Step::Join { member } | Step::Leave { member, .. } => {
                *self.asked.entry(member.clone()).or_default() += 1;
            }
            Step::Retire { member } => *self.retired.entry(member.clone()).or_default() += 1,
        }
    }

    fn touch(&mut self, member: &str, observed: &Observed, now_ms: u64) {
        let before = observed.member(member);
        let from = before.and_then(|member| member.current.clone());
        let containers = before.map(|member| member.containers.clone()).unwrap_or_default();
        let touch = self.touched.entry(member.to_owned()).or_insert(Touch {
            takes: 0,
            from,
            containers,
            at_ms: now_ms,
            is_done: false,
        });
        touch.takes += 1;
        touch.at_ms = now_ms;
        touch.is_done = false;
    }

    /// A step is over.
    pub fn ended(&mut self, step: &Step, outcomes: &BTreeMap<String, Outcome>, now_ms: u64) {
        self.since_ms = now_ms;
        // Nobody looked while the step went on.
        self.steady.clear();
        for (member, outcome) in outcomes {
            if let Some(touch) = self.touched.get_mut(member) {
                touch.at_ms = now_ms;
                let is_revert = matches!(step, Step::Revert { .. });
                touch.is_done = *outcome == Outcome::Done && !is_revert;
            }
            match (step, outcome) {
                (Step::Revert { .. }, Outcome::Done | Outcome::Failed { .. }) => self
                    .failed
                    .iter_mut()
                    .filter(|failed| failed.member == *member)
                    .for_each(|failed| failed.reverted = Some(outcome.clone())),
                (_, Outcome::Failed { error }) => self.failed.push(Failed {
                    member: member.clone(),
                    error: error.clone(),
                    reverted: None,
                }),
                (_, Outcome::Done | Outcome::Lost { .. }) => {}
            }
        }
    }

    /// A run takes over what another one remembers. Nobody has looked meanwhile, and the step that
    /// the other one was in may not have been begun at all: attempts are counted anew.
    pub fn goes_on_again(&mut self, now_ms: u64) {
        self.steady.clear();
        self.staged.clear();
        self.touched.values_mut().for_each(|touch| touch.takes = 0);
        self.formed = false;
        self.since_ms = now_ms;
    }

    /// The operator says to go on.
    pub fn go_on(&mut self, now_ms: u64) {
        self.pauses += 1;
        self.since_ms = now_ms;
    }

    /// When something last went on.
    #[must_use]
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// What was done to a member.
    #[must_use]
    pub fn touch_of(&self, member: &str) -> Option<&Touch> {
        self.touched.get(member)
    }

    /// Who depended on the cluster before the first member was taken.
    #[must_use]
    pub fn clients(&self) -> Option<Clients> {
        self.clients
    }

    /// Steps that failed, in order.
    #[must_use]
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// How many members were taken and are done.
    #[must_use]
    pub fn done(&self) -> u32 {
        let done = self.touched.values().filter(|touch| touch.is_done).count();
        u32::try_from(done).unwrap_or(u32::MAX)
    }

    pub(crate) fn pauses(&self) -> u32 {
        self.pauses
    }

    pub(crate) fn formed(&self) -> bool {
        self.formed
    }

    pub(crate) fn asked(&self, member: &str) -> u32 {
        self.asked.get(member).copied().unwrap_or(0)
    }

    pub(crate) fn retired(&self, member: &str) -> u32 {
        self.retired.get(member).copied().unwrap_or(0)
    }

    pub(crate) fn stages(&self, member: &str) -> u32 {
        self.staged.get(member).copied().unwrap_or(0)
    }

    /// How long a member has been doing what it does: as seen, and since we last touched it.
    #[must_use]
    pub fn steady_ms(&self, member: &str, now_ms: u64) -> u64 {
        let Some((_, seen_ms)) = self.steady.get(member) else { return 0 };
        let touched_ms = self.touched.get(member).map_or(0, |touch| touch.at_ms);
        now_ms.saturating_sub((*seen_ms).max(touched_ms))
    }
}

/// A change of role is no change of what counts: it serves.
fn kind(process: Process) -> u8 {
    match process {
        Process::Dead => 0,
        Process::Looking => 1,
        Process::Serving(_) => 2,
    }
}

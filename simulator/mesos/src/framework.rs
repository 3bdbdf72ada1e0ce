//! Frameworks, their tasks and what they don't want to be offered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesos::scheduler::OfferConstraints;
use mesos::{
    FrameworkCapabilityType, FrameworkId, FrameworkInfo, Resource, TaskInfo, TaskState, TaskStatus,
};

use crate::agent::AgentKey;
use crate::master::StreamKey;
use crate::{Bundle, Nanoseconds};

/// Ended tasks that are remembered of a framework, as Mesos does (`--max_completed_tasks_per_framework`).
pub(crate) const COMPLETED_TASKS_LIMIT: usize = 1000;

/// A framework; it stays the same when the master forgets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FrameworkKey(pub(crate) u32);

/// What the master thinks of a framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has subscribed.
    Known,
    /// A master has forgotten it: only agents may know it.
    Forgotten,
    /// It has ended, at this time.
    Removed(Nanoseconds),
}

/// A task, as the master sees it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) info: Arc<TaskInfo>,
    pub(crate) agent: AgentKey,
    pub(crate) role: Arc<str>,
    pub(crate) bundle: Bundle,
    pub(crate) state: TaskState,
    /// The latest status with a uuid that was forwarded.
    pub(crate) update: Option<(TaskState, Vec<u8>)>,
    /// The latest of each state.
    pub(crate) statuses: Vec<Arc<TaskStatus>>,
    /// Whether the agent is to be told again to end it.
    pub(crate) is_killed: bool,
    pub(crate) unreachable_since: Option<Nanoseconds>,
    /// Whether its resources are free again.
    pub(crate) is_freed: bool,
}

impl Task {
    /// Keeps a status.
    pub(crate) fn remember(&mut self, status: &Arc<TaskStatus>) {
        if self.statuses.last().is_some_and(|last| last.state == status.state) {
            self.statuses.pop();
        }
        self.statuses.push(status.clone());
    }

    /// What the task has, as its framework gave it.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let mut resources = self.info.resources.clone();
        for resource in &mut resources {
            resource.allocation_info =
                Some(mesos::AllocationInfo { role: Some((*self.role).to_owned()) });
        }
        resources
    }
}

/// Something that is not to be offered again for a while.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) refused: Bundle,
    pub(crate) until: Nanoseconds,
}

/// A framework.
#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    pub(crate) info: FrameworkInfo,
    pub(crate) standing: Standing,
    /// Its stream of events, and how that is named to it.
    pub(crate) stream: Option<(StreamKey, String)>,
    pub(crate) suppressed: BTreeSet<Arc<str>>,
    pub(crate) constraints: Option<OfferConstraints>,
    pub(crate) registered: Nanoseconds,
    pub(crate) reregistered: Nanoseconds,
    pub(crate) unregistered: Option<Nanoseconds>,
    pub(crate) tasks: BTreeMap<Arc<str>, Task>,
    pub(crate) unreachable: BTreeMap<Arc<str>, Task>,
    pub(crate) completed: VecDeque<Task>,
    pub(crate) offers: BTreeSet<u64>,
    pub(crate) refusals: BTreeMap<(Arc<str>, AgentKey), Vec<Refusal>>,
    /// Raised when a scheduler subscribes.
    pub(crate) generation: u32,
}

impl Framework {
    pub(crate) fn new(id: FrameworkId, info: FrameworkInfo, now: Nanoseconds) -> Self {
        Self {
            id,
            info,
            standing: Standing::Known,
            stream: None,
            suppressed: BTreeSet::new(),
            constraints: None,
            registered: now,
            reregistered: now,
            unregistered: None,
            tasks: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            completed: VecDeque::new(),
            offers: BTreeSet::new(),
            refusals: BTreeMap::new(),
            generation: 0,
        }
    }

    pub(crate) fn can(&self, capability: FrameworkCapabilityType) -> bool {
        can(&self.info, capability)
    }

    /// Whether lost tasks may come back in its eyes.
    pub(crate) fn is_partition_aware(&self) -> bool {
        self.can(FrameworkCapabilityType::PartitionAware)
    }

    pub(crate) fn roles(&self) -> Vec<Arc<str>> {
        roles(&self.info)
    }

    /// Takes a task to those that have ended.
    pub(crate) fn complete(&mut self, task: Task) {
        if self.completed.len() >= COMPLETED_TASKS_LIMIT {
            self.completed.pop_front();
        }
        self.completed.push_back(task);
    }
}

/// Whether a framework knows to handle something.
pub(crate) fn can(info: &FrameworkInfo, capability: FrameworkCapabilityType) -> bool {
    info.capabilities.iter().any(|it| it.r#type() == capability)
}

/// The roles of a framework.
pub(crate) fn roles(info: &FrameworkInfo) -> Vec<Arc<str>> {
    if can(info, FrameworkCapabilityType::MultiRole) {
        info.roles.iter().map(|role| role.as_str().into()).collect()
    } else {
        vec![info.role.as_deref().unwrap_or("*").into()]
    }
}

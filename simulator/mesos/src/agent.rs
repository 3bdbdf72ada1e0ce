//! Agents: what they have, how their tasks behave, and what they owe to schedulers.
//!
//! A simulated agent's tasks follow a [`Profile`]; those of an agent with an outside body are run by
//! somebody else, who is told what to do ([`crate::Run`]) and says what became of it. All else is the
//! same: statuses are sent in order, each until it is acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesos::{
    AgentId, Attribute, ContainerId, ContainerStatus, DomainInfo, ExecutorId, IpAddress,
    NetworkInfo, Resource, TaskInfo, TaskState, TaskStatus, Unavailability,
};

use crate::framework::FrameworkKey;
use crate::random::Random;
use crate::{Bundle, MILLISECOND, Nanoseconds, SECOND};

/// An agent of the simulation; it stays the same when the agent gets a new id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentKey(pub u32);

/// What an agent is like.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// Its name.
    pub hostname: String,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// What it has; nothing reserved.
    pub resources: Vec<Resource>,
    /// What its operator says of it.
    pub attributes: Vec<Attribute>,
    /// Its region and zone.
    pub domain: Option<DomainInfo>,
    /// Who runs its tasks.
    pub body: Body,
}

/// Who runs the tasks of an agent.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nobody: they take the time that the profile says.
    Simulated(Arc<Profile>),
    /// Somebody outside, who is told and who tells.
    Outside,
}

/// A duration between two, all equally likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub from: Nanoseconds,
    /// The longest.
    pub to: Nanoseconds,
}

impl Span {
    /// Always the same.
    pub const fn exactly(duration: Nanoseconds) -> Self {
        Self { from: duration, to: duration }
    }

    fn draw(self, random: &mut Random) -> Nanoseconds {
        random.between(self.from, self.to)
    }
}

/// How a simulated task ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its program exits with a code.
    Exits(i32),
    /// Its program is ended by a signal of this name, such as `Killed`.
    Signal(String),
    /// Its container can't be started: how the agent says so.
    Refused {
        /// The final state.
        state: TaskState,
        /// Why.
        reason: mesos::StatusReason,
        /// In words.
        message: String,
    },
}

/// What is special about tasks whose names begin alike.
#[derive(Debug, Clone)]
pub struct Rule {
    /// How their names begin.
    pub prefix: String,
    /// From the launch to `TASK_STARTING`, if not as the profile says.
    pub starting: Option<Span>,
    /// How long they run before they end by themselves.
    pub runs: Option<Span>,
    /// How they end then.
    pub end: End,
    /// Whether they take no notice of the signal that asks them to end.
    pub ignores_term: bool,
    /// After how long their health checks fail.
    pub unhealthy_after: Option<Nanoseconds>,
    /// What their checks by commands exit with.
    pub check_exit_code: i32,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            starting: None,
            runs: None,
            end: End::Exits(0),
            ignores_term: false,
            unhealthy_after: None,
            check_exit_code: 0,
        }
    }
}

/// How long things take on a simulated agent, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Profile {
    /// From the launch to `TASK_STARTING`: the image, the container.
    pub starting: Span,
    /// From there to `TASK_RUNNING`.
    pub running: Span,
    /// From a kill to the end of the task.
    pub ending: Span,
    /// How many of a million tasks end by themselves, with exit code 1.
    pub failures_parts_per_million: u32,
    /// When they do.
    pub failing: Span,
    /// What is special; the first rule that fits counts.
    pub rules: Vec<Rule>,
}

impl Default for Profile {
    /// As the recorded agent was: half a second for a command's executor.
    fn default() -> Self {
        Self {
            starting: Span { from: 400 * MILLISECOND, to: 600 * MILLISECOND },
            running: Span { from: 20 * MILLISECOND, to: 40 * MILLISECOND },
            ending: Span::exactly(100 * MILLISECOND),
            failures_parts_per_million: 0,
            failing: Span { from: SECOND, to: 60 * SECOND },
            rules: Vec::new(),
        }
    }
}

/// What a simulated task will do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) starting: Nanoseconds,
    pub(crate) running: Nanoseconds,
    pub(crate) ending: Nanoseconds,
    /// After how long it ends by itself, and how.
    pub(crate) end: Option<(Nanoseconds, End)>,
    pub(crate) refused: Option<End>,
    pub(crate) ignores_term: bool,
    pub(crate) unhealthy_after: Option<Nanoseconds>,
    pub(crate) check_exit_code: i32,
}

impl Profile {
    pub(crate) fn plan(&self, task: &TaskInfo, random: &mut Random) -> Plan {
        let rule = self.rules.iter().find(|rule| task.name.starts_with(&rule.prefix));
        let starting = rule.and_then(|rule| rule.starting).unwrap_or(self.starting);
        let end = match rule {
            Some(rule) => rule.runs.map(|runs| (runs.draw(random), rule.end.clone())),
            None if random.happens(self.failures_parts_per_million) => {
                Some((self.failing.draw(random), End::Exits(1)))
            }
            None => command_end(task),
        };
        let refused = rule.map(|rule| rule.end.clone());
        Plan {
            starting: starting.draw(random),
            running: self.running.draw(random),
            ending: self.ending.draw(random),
            end,
            refused: refused.filter(|end| matches!(end, End::Refused { .. })),
            ignores_term: rule.is_some_and(|rule| rule.ignores_term),
            unhealthy_after: rule.and_then(|rule| rule.unhealthy_after),
            check_exit_code: rule.map_or(0, |rule| rule.check_exit_code),
        }
    }
}

/// The end of the few commands that are understood: `true`, `false`, `exit N`, `sleep SECONDS`.
fn command_end(task: &TaskInfo) -> Option<(Nanoseconds, End)> {
    let command = task.command.as_ref()?;
    let mut words = command.value.as_deref()?.split_whitespace();
    let (first, second) = (words.next()?, words.next());
    let argument = second.or_else(|| {
        // Without a shell the arguments follow the name of the program.
        command.arguments.get(1).map(String::as_str).filter(|_| !command.shell())
    });
    if words.next().is_some() {
        return None;
    }
    match (first.rsplit('/').next()?, argument) {
        ("true", None) => Some((0, End::Exits(0))),
        ("false", None) => Some((0, End::Exits(1))),
        ("exit", Some(code)) => Some((0, End::Exits(code.parse().ok()?))),
        ("sleep", Some(seconds)) => {
            Some((crate::nanoseconds(seconds.parse().ok()?), End::Exits(0)))
        }
        _ => None,
    }
}

/// What the master thinks of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not been there, or it has unregistered.
    Absent,
    /// It belongs to the cluster.
    Registered,
    /// The master that started has read of it, and waits for it.
    Recovered,
    /// It doesn't answer, since this time.
    Unreachable(Nanoseconds),
    /// An operator says that it won't come back.
    Gone,
}

/// A task on its agent.
#[derive(Debug)]
pub(crate) struct AgentTask {
    pub(crate) info: Arc<TaskInfo>,
    pub(crate) state: TaskState,
    pub(crate) container_id: String,
    pub(crate) pid: u32,
    pub(crate) plan: Option<Plan>,
    /// Raised when what was to happen to the task is called off.
    pub(crate) generation: u32,
    pub(crate) is_killed: bool,
    pub(crate) healthy: Option<bool>,
    pub(crate) check_exit_code: Option<i32>,
    pub(crate) health_failures: u32,
    /// Statuses that aren't acknowledged; the first one has been sent.
    pub(crate) updates: VecDeque<Arc<TaskStatus>>,
    /// The last that was written.
    pub(crate) last: Option<Arc<TaskStatus>>,
    pub(crate) retry_delay: Nanoseconds,
    pub(crate) retry_generation: u32,
}

impl AgentTask {
    /// The executor that runs it.
    pub(crate) fn executor_id(&self) -> ExecutorId {
        executor_of(&self.info)
    }

    /// What the agent says of its container.
    pub(crate) fn container_status(&self, ip: &str) -> ContainerStatus {
        ContainerStatus {
            container_id: Some(ContainerId { value: self.container_id.clone(), parent: None }),
            network_infos: vec![NetworkInfo {
                ip_addresses: vec![IpAddress { protocol: None, ip_address: Some(ip.to_owned()) }],
                ..NetworkInfo::default()
            }],
            cgroup_info: None,
            // Only a simulated task has a made-up one.
            executor_pid: self.plan.as_ref().map(|_| self.pid),
        }
    }
}

/// The executor that runs a task: its own, or the one that Mesos makes for a command.
pub(crate) fn executor_of(task: &TaskInfo) -> ExecutorId {
    match &task.executor {
        Some(executor) => executor.executor_id.clone(),
        None => ExecutorId::new(task.task_id.value.clone()),
    }
}

/// How a task is named on its agent: with its framework.
pub(crate) type TaskKey = (FrameworkKey, Arc<str>);

/// A drain that an operator asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    pub(crate) config: mesos::DrainConfig,
    pub(crate) started: Nanoseconds,
}

/// An agent, as it is and as the master sees it.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) spec: AgentSpec,
    pub(crate) id: AgentId,
    pub(crate) total: Bundle,
    pub(crate) standing: Standing,
    /// Whether the master has a connection to it.
    pub(crate) is_connected: bool,
    /// Whether its program runs.
    pub(crate) is_running: bool,
    /// Whether nothing gets through between it and the master, though nobody notices.
    pub(crate) is_cut_off: bool,
    pub(crate) is_deactivated: bool,
    /// Whether it starts anew the next time: with another id.
    pub(crate) is_anew: bool,
    pub(crate) drain: Option<Drain>,
    pub(crate) registered: Nanoseconds,
    pub(crate) reregistered: Option<Nanoseconds>,
    /// What tasks have.
    pub(crate) used: Bundle,
    /// What is offered.
    pub(crate) offered: Bundle,
    pub(crate) offers: BTreeSet<u64>,
    pub(crate) unavailability: Option<Unavailability>,
    pub(crate) tasks: BTreeMap<TaskKey, AgentTask>,
    /// Raised when the agent is heard of again.
    pub(crate) generation: u32,
    /// When an agent that is a program of its own last said something.
    pub(crate) heard: Nanoseconds,
}

impl Agent {
    /// Whether something may be offered from it.
    pub(crate) fn is_active(&self) -> bool {
        self.standing == Standing::Registered
            && self.is_connected
            && !self.is_deactivated
            && self.drain.is_none()
    }

    /// Whether messages get through.
    pub(crate) fn is_reachable(&self) -> bool {
        self.standing == Standing::Registered
            && self.is_connected
            && self.is_running
            && !self.is_cut_off
    }

    /// What nobody has and nobody was offered.
    pub(crate) fn free(&self) -> Bundle {
        let mut free = self.total.clone();
        free.take(&self.used);
        free.take(&self.offered);
        free
    }

    /// How the master names its program.
    pub(crate) fn pid(&self) -> String {
        format!("slave(1)@{}:{}", self.spec.ip, self.spec.port)
    }

    pub(crate) fn url(&self) -> mesos::Url {
        mesos::Url {
            scheme: "http".to_owned(),
            address: mesos::Address {
                hostname: Some(self.spec.hostname.clone()),
                ip: Some(self.spec.ip.clone()),
                port: self.spec.port.into(),
            },
            path: Some("/slave(1)".to_owned()),
            ..mesos::Url::default()
        }
    }
}

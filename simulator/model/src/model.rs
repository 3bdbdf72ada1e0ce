//! A scenario as plain data: what there is, who asks for what, and the rules.

use policy::admission::Deadlines;
use policy::{Admission, Balance, Class, Nanoseconds, Queue};
use simulator_kernel::Law;
use simulator_kernel::logarithm::whole;

use crate::crowd::Crowd;
use crate::life::{Dynamics, Life};
use crate::pace::{Phase, Rates, Sine, switching_rate};
use crate::pipelines::{self, Followed};
use crate::retries::Retries;
use crate::sharing::Sharing;
use crate::stages::Stages;

/// Everything a run depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The seed of all random streams.
    pub seed: u64,
    /// Requests arrive from 0 until then; those in the system are worked on to their end.
    pub duration: Nanoseconds,
    /// Requests that arrive before are simulated, but not reported.
    pub warm_up: Nanoseconds,
    /// Gateways; clients reach each equally often.
    pub gateways: u16,
    /// Groups of instances.
    pub apps: Vec<App>,
    /// Commands.
    pub cmds: Vec<Cmd>,
    /// Groups of users.
    pub tenants: Vec<Tenants>,
    /// What arrives.
    pub sources: Vec<Source>,
    /// Rules of the gateways.
    pub admission: Admission,
    /// Rules of queues.
    pub queue: Queue,
    /// How targets are chosen.
    pub balance: Balance,
    /// What is between gateways and machines; if nothing, gateways see the present state of all
    /// targets.
    pub network: Option<Network>,
    /// What changes in the course of the run.
    pub dynamics: Dynamics,
}

/// What is between gateways and machines; what it means is said in [`crate::windows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// How long a message takes, one way; also the length of a window.
    pub delay: Nanoseconds,
    /// Time between reports of a target; a multiple of the delay.
    pub reports: Nanoseconds,
}

impl Network {
    /// Longer delays aren't those of a network within a platform.
    pub const LONGEST_DELAY: Nanoseconds = Nanoseconds::from_seconds(1);
}

/// Instances that work on the same commands.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Machines that run it.
    pub machines: u32,
    /// Instances on each of them in the beginning.
    pub instances: u32,
    /// How they come and go.
    pub life: Life,
    /// How each works on several requests at a time; on one if absent.
    pub crowd: Option<Crowd>,
}

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub struct Cmd {
    /// Its name.
    pub name: String,
    /// The app that works on it, as a place in [`Model::apps`].
    pub app: usize,
    /// How long a request takes.
    pub service: Law,
    /// How long clients wait for the answer.
    pub deadline: Option<Nanoseconds>,
    /// What a request goes through besides its queue and the work; none of it takes time if absent.
    pub stages: Option<Stages>,
}

/// A group of users of the same kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenants {
    /// Its name.
    pub name: String,
    /// What they pay for.
    pub class: Class,
    /// How many they are.
    pub users: u32,
    /// Zipf's exponent: user k sends in proportion to 1/kˢ; 0 is even.
    pub skew: f64,
}

/// Requests of one group for one command.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The group, as a place in [`Model::tenants`].
    pub tenants: usize,
    /// The command, as a place in [`Model::cmds`].
    pub cmd: usize,
    /// When they come.
    pub arrivals: Arrivals,
    /// How clients try again; they don't if absent.
    pub retries: Option<Retries>,
}

/// When requests come.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrivals {
    /// At equal distances; the first after one of them.
    Constant {
        /// The distance, in nanoseconds; fractions add up.
        gap: f64,
    },
    /// Independently of each other.
    Poisson {
        /// The mean distance, in nanoseconds.
        gap: f64,
    },
    /// A backlog that comes all at once or spread evenly.
    Burst {
        /// When it begins.
        at: Nanoseconds,
        /// How many requests.
        requests: u64,
        /// For how long they come; 0: all at the same instant.
        over: Nanoseconds,
    },
    /// Independently of each other, at a rate that swings: days and nights.
    Sine(Sine),
    /// Independently of each other, at rates on straight lines: flash crowds, profiles.
    Lines(Rates),
    /// Independently of each other, at one of two rates in turn (MMPP): bursts that nobody foresees.
    Switching {
        /// One state.
        quiet: Phase,
        /// The other.
        burst: Phase,
    },
    /// They come from outside the model ([`crate::Workload::fed`]), or are steps of pipelines
    /// ([`crate::pipelines`]).
    Recorded {
        /// About how many, before the end of the run.
        requests: u64,
    },
}

impl Arrivals {
    /// How many requests come before an instant, on average.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn expected(&self, until: Nanoseconds) -> f64 {
        let time = until.0 as f64;
        match self {
            Arrivals::Constant { gap } | Arrivals::Poisson { gap } => time / gap,
            Arrivals::Burst { requests, .. } | Arrivals::Recorded { requests } => *requests as f64,
            Arrivals::Sine(sine) => sine.expected(until),
            Arrivals::Lines(rates) => rates.expected(until),
            Arrivals::Switching { quiet, burst } => time * switching_rate(quiet, burst),
        }
    }
}

impl Arrivals {
    /// Whether they are alike from beginning to end.
    #[must_use]
    pub const fn is_steady(&self) -> bool {
        match self {
            Arrivals::Constant { .. } | Arrivals::Poisson { .. } | Arrivals::Switching { .. } => {
                true
            }
            Arrivals::Burst { .. }
            | Arrivals::Sine(_)
            | Arrivals::Lines(_)
            | Arrivals::Recorded { .. } => false,
        }
    }

    /// So many times the requests in the same time.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of requests far below 2^53; a cast from a double saturates"
    )]
    pub fn scaled(&self, scale: f64) -> Self {
        match *self {
            Arrivals::Constant { gap } => Arrivals::Constant { gap: gap / scale },
            Arrivals::Poisson { gap } => Arrivals::Poisson { gap: gap / scale },
            Arrivals::Burst { at, requests, over } => {
                let requests = (requests as f64 * scale).round() as u64;
                Arrivals::Burst { at, requests, over }
            }
            Arrivals::Sine(sine) => Arrivals::Sine(Sine { gap: sine.gap / scale, ..sine }),
            Arrivals::Lines(ref rates) => Arrivals::Lines(rates.scaled(scale)),
            Arrivals::Switching { quiet, burst } => Arrivals::Switching {
                quiet: Phase { gap: quiet.gap / scale, ..quiet },
                burst: Phase { gap: burst.gap / scale, ..burst },
            },
            Arrivals::Recorded { requests } => {
                Arrivals::Recorded { requests: (requests as f64 * scale).round() as u64 }
            }
        }
    }
}

impl Model {
    /// The mean time between arrivals of all sources over the whole run, in nanoseconds.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate; a cast from a double saturates"
    )]
    pub fn mean_gap(&self) -> u64 {
        let duration = self.duration.0 as f64;
        let requests = |source: &Source| source.arrivals.expected(self.duration);
        (duration / self.sources.iter().map(requests).sum::<f64>()) as u64
    }

    /// Whether requests of any command take time besides their queue and the work.
    #[must_use]
    pub fn has_stages(&self) -> bool {
        self.cmds.iter().any(|cmd| cmd.stages.is_some())
    }

    /// Whether any transfers share links of their machine.
    #[must_use]
    pub fn shares_links(&self) -> bool {
        self.has_stages() && !self.dynamics.links.are_none()
    }

    /// Whether what happens at targets may cause requests at the same instant: a client hears that its
    /// request was dropped, or that nobody is left where it waits, and tries again.
    #[must_use]
    pub fn answers_cause_requests(&self) -> bool {
        let has_clients = self.has_retries() && (self.drops() || self.may_be_left());
        !self.pipelines().is_empty() || has_clients
    }

    /// Whether the last instance may leave a queue in which something waits ([`crate::central`]): one
    /// on which others counted ended by itself, or with its machine.
    fn may_be_left(&self) -> bool {
        let dynamics = &self.dynamics;
        let may_leave = dynamics.scaling.is_some()
            || dynamics.sharing.is_some()
            || dynamics.scheduler.is_some();
        may_leave && !dynamics.faults.are_none()
    }

    /// Whether requests may be dropped when they are taken out of a queue.
    #[must_use]
    pub fn drops(&self) -> bool {
        self.queue.sheds().is_some() || self.admission.deadlines == Deadlines::Predict
    }

    /// Which requests answers to others cause, if that can be simulated.
    #[must_use]
    pub fn pipelines(&self) -> &[Followed] {
        let all = &self.dynamics.pipelines;
        if all.is_empty() || pipelines::check(self).is_err() { &[] } else { all }
    }

    /// Whether instances of any app work on several requests at a time.
    #[must_use]
    pub fn has_crowds(&self) -> bool {
        self.apps.iter().any(|app| app.crowd.is_some())
    }

    /// Whether clients of any source try again.
    #[must_use]
    pub fn has_retries(&self) -> bool {
        self.sources.iter().any(|source| source.retries.is_some())
    }

    /// Whether instances come and go, anything fails, or work begins in another order than it comes
    /// in. Then the end of a request isn't known when it is dispatched.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        let scales = |app: &App| app.scaling(&self.dynamics).is_some();
        self.queue.order != policy::queue::Order::Fifo
            || self.queue.scope == policy::queue::QueueScope::Central
            || self.balance.learns()
            || self.queue.longest_wait.is_some()
            || self.queue.overload.is_some()
            || self.admission.overload.is_some()
            || self.admission.deadlines == Deadlines::Predict
            || !self.dynamics.faults.are_none()
            || self.dynamics.scheduler.is_some()
            || self.sharing().is_some()
            || self.apps.iter().any(scales)
            || self.has_stages()
            || self.has_retries()
            || self.has_crowds()
            || !self.pipelines().is_empty()
    }

    /// Apps that share machines, if there are any and they can.
    #[must_use]
    pub fn sharing(&self) -> Option<&Sharing> {
        let sharing = self.dynamics.sharing.as_ref()?;
        (!sharing.pairs.is_empty() && sharing.check(self).is_ok()).then_some(sharing)
    }

    /// All users of all groups.
    #[must_use]
    pub fn users(&self) -> usize {
        self.tenants.iter().map(|group| group.users as usize).sum()
    }
}

impl Cmd {
    /// How long a request takes on average, as rules that predict know it.
    #[must_use]
    pub fn expected(&self) -> Nanoseconds {
        Nanoseconds(whole(self.service.mean()))
    }
}

impl App {
    /// Targets of the balancer, and instances of each, by what has a queue.
    #[must_use]
    pub const fn targets(&self, queue: &Queue) -> (u32, u32) {
        match queue.scope {
            policy::queue::QueueScope::Node => (self.machines, self.instances),
            policy::queue::QueueScope::Instance => {
                (self.machines.saturating_mul(self.instances), 1)
            }
            policy::queue::QueueScope::Central => (1, self.machines.saturating_mul(self.instances)),
        }
    }

    /// Requests that each instance works on at a time, at most.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.crowd.as_ref().map_or(1, Crowd::concurrency)
    }

    /// All instances in the beginning.
    #[must_use]
    pub const fn all_instances(&self) -> u64 {
        self.machines as u64 * self.instances as u64
    }
}

//! `[pure]` The decisions that gateways, schedulers and the simulator share: the same functions
//! decide in all of them.
//!
//! Two shapes. *Per request*: [`admit`], [`pick`] and [`enqueue`] read borrowed views and random
//! words keyed by (request, purpose), answer with a small `Copy` value and allocate nothing.
//! *Per tick*: [`scaling::decide`], [`rollout::decide`], [`repair::decide`], [`sharing::decide`],
//! [`rebalance::plan`] and [`placement::place`] (with an index: [`spread`]) map a configuration, an observation and a state
//! that can be stored to actions with reasons. Time, randomness and all state are arguments; every
//! "no" has a type with a reason that a user can read.

#![forbid(unsafe_code)]

pub mod adaptive;
pub mod admission;
pub mod balance;
pub mod codel;
pub mod config;
pub mod dagor;
pub mod fairness;
pub mod overload;
pub mod peak_ewma;
pub mod placement;
pub mod prediction;
pub mod prequal;
pub mod queue;
pub mod random;
pub mod rebalance;
pub mod refusal;
pub mod repair;
pub mod rollout;
pub mod scaling;
pub mod sharing;
pub mod spread;
pub mod time;

pub use admission::{Accounts, Admission, admit, release};
pub use balance::{Balance, Targets, pick};
pub use queue::{Present, Queue, Waiting, enqueue};
pub use random::{Draw, Purpose, Words};
pub use refusal::Refusal;
pub use time::{Nanoseconds, Time};

use serde::{Deserialize, Serialize};

/// What a tenant pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Availability: long queues.
    Free,
    /// Quality: short queues, so short waits.
    Paid,
}

impl Class {
    /// Both, in the order of tables.
    pub const ALL: [Class; 2] = [Class::Free, Class::Paid];

    /// Its place in [`Class::ALL`].
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Class::Free => 0,
            Class::Paid => 1,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::Free => "free",
            Class::Paid => "paid",
        }
    }
}

/// What a limit is counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Each gateway counts for itself.
    Gateway,
    /// All gateways count together.
    Cluster,
}

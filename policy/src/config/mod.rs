//! `policy.yml`: one file that gateways, schedulers and the simulator read.
//!
//! A file names a preset and says what it does otherwise. What the platform's own accounts don't
//! say is ours, and marked so in [`Policy::original`].

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::admission::{Admission, Deadlines, Limits, Permits};
use crate::balance::{Balance, Choices};
use crate::queue::{Classes, Counts, Order, Queue, QueueScope};
use crate::repair::Repair;
use crate::rollout::Rollout;
use crate::scaling::{Rule, Scaling, Schedule};
use crate::sharing::{Sharing, Unfinished};
use crate::{Nanoseconds, Scope};

mod adaptive;
mod balances;
mod control;
mod dagor;
mod owners;
mod queues;
mod read;
mod scaling;
pub mod units;

pub use read::{read, read_node};

/// Version of the format of `policy.yml`.
pub const POLICY_VERSION: u32 = 1;

/// The effective policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Which preset it began with.
    pub preset: Preset,
    /// Rules of gateways.
    pub admission: Admission,
    /// Rules of queues.
    pub queue: Queue,
    /// How targets are chosen.
    pub balance: Balance,
    /// How many instances there are.
    pub scaling: Scaling,
    /// How instances are replaced.
    pub rollout: Rollout,
    /// What is done about failures.
    pub repair: Repair,
    /// How idle capacity is lent.
    pub sharing: Sharing,
}

/// A named set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The platform's rules as published.
    Original,
    /// What we would begin with today.
    Recommended,
}

/// A quarter more instances for a while, half a minute to get warm, ten seconds for requests that are
/// still on their way; an upgrade that stands still for ten minutes has failed.
const ROLLOUT: Rollout = Rollout {
    surge_thousandths: 250,
    step: u32::MAX,
    utilisation_thousandths: 800,
    warm_up: Nanoseconds::from_seconds(30),
    warm_up_floor_thousandths: 100,
    cool_down: Nanoseconds::from_seconds(10),
    progress_deadline: Nanoseconds::from_seconds(600),
    failures_most: 5,
    auto_revert: true,
};

/// Machines restart within two minutes, mostly; a day's silence is for ever.
const REPAIR: Repair = Repair {
    back_off: Nanoseconds::from_seconds(1),
    back_off_most: Nanoseconds::from_seconds(300),
    back_off_forget: Nanoseconds::from_seconds(600),
    launch_timeout: Nanoseconds::from_seconds(300),
    replace_unhealthy_after: Nanoseconds::from_seconds(30),
    replace_unreachable_after: Nanoseconds::from_seconds(120),
    forget_unreachable_after: Nanoseconds::from_seconds(86_400),
    freeze_above_thousandths: 200,
    freeze_most: Nanoseconds::from_seconds(900),
};

/// Half of the slots at most, a fifth of the peak in reserve; nothing that was accepted is dropped.
const SHARING: Sharing = Sharing {
    lend_thousandths: 500,
    reserve_thousandths: 200,
    idle_for: Nanoseconds::from_seconds(60),
    give_back: Nanoseconds::from_seconds(10),
    unfinished: Unfinished::Requeue,
    interval: Nanoseconds::from_seconds(1),
};

impl Policy {
    /// The rules of a preset.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Original => Policy::original(),
            Preset::Recommended => Policy::recommended(),
        }
    }

    /// The platform's rules as published (Dora, 2016). Published: 10,000 accept permits; limits of
    /// users and of commands; a queue on each machine, 10 long for free and 3 to 5 for paid users;
    /// balancing by each instance's load; an instance more when tasks exceed 10 for each of 10.
    /// Ours, where the account is silent: how high the limits are, that each gateway counts for
    /// itself, 5 of "3 to 5", that a queue counts the requests of all classes that wait, the most
    /// instances, and going back after ten minutes. Of rollout, repair and sharing the account says
    /// how they go (start first, warm up, cool down, a step below the redundancy), but no numbers:
    /// all of these are ours.
    #[must_use]
    pub fn original() -> Self {
        let limits = |concurrency| {
            Some(Limits { rate: None, concurrency: Some(concurrency), scope: Scope::Gateway })
        };
        Policy {
            preset: Preset::Original,
            admission: Admission {
                accept: Some(Permits { permits: 10_000, scope: Scope::Gateway }),
                user: limits(1_000),
                cmd: limits(5_000),
                deadlines: Deadlines::Ignore,
                adaptive: None,
                overload: None,
            },
            queue: Queue {
                free: 10,
                paid: 5,
                scope: QueueScope::Node,
                counts: Counts::Waiting,
                classes: Classes::Together,
                order: Order::Fifo,
                ..Queue::OPEN
            },
            balance: Balance::LeastLoaded,
            scaling: Scaling {
                target: 10,
                min: 10,
                max: 1_000,
                step: 1,
                interval: Nanoseconds::from_seconds(1),
                cool_down: Nanoseconds::ZERO,
                scale_in_after: Some(Nanoseconds::from_seconds(600)),
                rule: Rule::Tasks,
                schedule: Schedule::NONE,
            },
            rollout: ROLLOUT,
            repair: REPAIR,
            sharing: SHARING,
        }
    }

    /// What we would begin with: of the original rules, two choices instead of a look at all
    /// targets (which goes wrong when many gateways look at old numbers), a bound for each class by
    /// its own requests, and no work for answers that come too late.
    #[must_use]
    pub fn recommended() -> Self {
        let original = Policy::original();
        Policy {
            preset: Preset::Recommended,
            admission: Admission { deadlines: Deadlines::Refuse, ..original.admission },
            queue: Queue { classes: Classes::Apart, ..original.queue },
            balance: Balance::PowerOfChoices(Choices::TWO),
            scaling: Scaling { cool_down: Nanoseconds::from_seconds(10), ..original.scaling },
            ..original
        }
    }

    /// The digest of the effective rules, in hexadecimal: two files that mean the same have the
    /// same.
    #[must_use]
    pub fn digest(&self) -> String {
        // Plain numbers and names always have a JSON form.
        let text = serde_json::to_string(self).unwrap_or_default();
        Sha256::digest(text).iter().fold(String::new(), |mut digest, byte| {
            let _ = write!(digest, "{byte:02x}");
            digest
        })
    }
}

#[cfg(test)]
#[path = "../config_tests.rs"]
mod tests;

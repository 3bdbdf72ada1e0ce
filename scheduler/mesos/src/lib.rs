//! `[pure]` Between Mesos and `scheduler/core`: a state machine that makes facts of what a master
//! says, and calls of what the core wants.
//!
//! It has no clock, no sockets and no threads: [`Translator::handle`] takes what happened and the
//! time, and gives calls for the master and events for the core. What has to hold:
//!
//! - No task is launched twice; every launch that the core orders ends in facts.
//! - An offer is used once, and never after it was rescinded or its stream ended.
//! - A status is acknowledged only after the core says that what it changed is durable.
//! - The framework's id is stored before anything else is done with it.
//! - Nothing is sent while there is no subscription.

#![forbid(unsafe_code)]

mod commands;
mod constraints;
mod disks;
mod offers;
mod output;
mod place;
mod reconciliation;
mod reserved;
mod resources;
mod settings;
mod status;
mod task;
mod translator;
mod updates;
mod volumes;

pub use constraints::{GROUPS_MOST, offer_constraints};
pub use output::{Fatal, Input, Note, Output};
pub use place::AGENT_ATTRIBUTE;
pub use settings::{Framework, Settings};
pub use status::{Meaning, meaning};
pub use translator::{Held, HeldInstance, Translator, held};

/// Constants of the protocol, with their reasons.
pub mod limits {
    pub use crate::commands::{KILL_AGAIN_AFTER, KILL_AGAIN_MOST};
    pub use crate::offers::{
        HOLD_JITTER, HOLD_MOST, IDLE_AFTER, OFFER_PATIENCE, REFUSE_LONG_SECONDS,
        REFUSE_SHORT_SECONDS, RETURN_PATIENCE, REVIVE_AFTER, REVIVE_LEAST,
    };
    pub use crate::place::LEAVE_AHEAD;
    pub use crate::reconciliation::{
        IMPLICIT_EVERY, IMPLICIT_FIRST, RECONCILE_FIRST, RECONCILE_MOST, TASKS_OF_A_CALL_MOST,
    };
    pub use crate::updates::{UNHEARD_PATIENCE, UNKNOWN_PATIENCE};
}

//! Answers: go or wait, with the reason; and misuse of the dispatcher.
//! This file must never compute anything.

use crate::{HostIndex, Position};

/// Whether the announced step of a host may go on now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Go,
    /// Not yet.
    Wait(Reason),
}

impl Verdict {
    /// Whether it may go on.
    #[must_use]
    pub fn is_go(&self) -> bool {
        matches!(self, Self::Go)
    }
}

/// What an announced step waits for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The entry fence of a World step: every other active host must have finished what is
    /// earlier. Names the host that is farthest behind and its first unfinished position.
    #[error("waits until {host} has finished {at}")]
    Unfinished {
        /// The host that is farthest behind.
        host: HostIndex,
        /// Its first unfinished position.
        at: Position,
    },
    /// The exit fence: another host may still run an earlier World step. Names the earliest.
    #[error("waits for what {host} may do at {at}, which other hosts can observe")]
    WorldAhead {
        /// The host that may run it.
        host: HostIndex,
        /// The position of the World step, or the first at which there may be one.
        at: Position,
    },
    /// A step of the same host must finish first ([`crate::Flow`]).
    #[error("waits for the host's own step at {at}")]
    Own {
        /// The last step of the host that is in flight.
        at: Position,
    },
    /// `run_once`: another host runs it.
    #[error("runs once, on {host}")]
    Once {
        /// The host that runs it.
        host: HostIndex,
    },
    /// The host has no announced step: it is at its end or nobody has said what follows.
    #[error("has no step announced")]
    NothingAnnounced,
    /// The host has failed, is unreachable or does not exist.
    #[error("is out of the play")]
    Inactive,
}

/// The caller broke the protocol: a defect of the caller, never of a playbook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// There is no such host, or it was deactivated.
    #[error("dispatch for {0}: it is not active")]
    Inactive(HostIndex),
    /// There is no announced step to be sent or passed.
    #[error("dispatch for {0}: no step is announced")]
    NothingAnnounced(HostIndex),
    /// The announced step may not be sent yet.
    #[error("send to {host}: the step at {position} {reason}")]
    TooEarly {
        /// The host.
        host: HostIndex,
        /// Its announced step.
        position: Position,
        /// What it has to wait for.
        reason: Reason,
    },
    /// A host's positions must increase.
    #[error("announce {position} for {host}: it is already at {reached}")]
    Backwards {
        /// The host.
        host: HostIndex,
        /// The announced position.
        position: Position,
        /// What it had reached before.
        reached: Position,
    },
    /// A step announces a World step where the step before had promised that there is none:
    /// other hosts may have passed it already.
    #[error("announce {position} for {host}: a World step at {world} was not foreseen")]
    Unforeseen {
        /// The host.
        host: HostIndex,
        /// The announced position.
        position: Position,
        /// The World step.
        world: Position,
    },
    /// Something was announced for a host that had declared its end.
    #[error("announce {position} for {host}: it had declared its end")]
    Ended {
        /// The host.
        host: HostIndex,
        /// The announced position.
        position: Position,
    },
    /// A host's steps finish in the order in which they were sent.
    #[error("finish {position} of {host}: it is not the first in flight")]
    NotFirstInFlight {
        /// The host.
        host: HostIndex,
        /// The position said to be over.
        position: Position,
    },
}

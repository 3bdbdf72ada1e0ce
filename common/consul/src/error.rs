//! Why an answer of Consul can't be used.

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsulError {
    /// The token may not read this.
    #[error("read the {what}: the token is not allowed to")]
    Denied {
        /// What was asked for.
        what: String,
        /// Rules that the token needs.
        needs: String,
    },
    /// The token sees a part of it only.
    #[error("read all {what}: Consul left out what the token is not allowed to see")]
    Filtered {
        /// What was asked for.
        what: String,
        /// Rules that the token needs.
        needs: String,
    },
    /// There is no leader to answer.
    #[error("read the {what}: the servers have no leader")]
    NoLeader {
        /// What was asked for.
        what: String,
    },
    /// The server has too much to do.
    #[error("read the {what}: the server limits the rate of requests (429)")]
    Busy {
        /// What was asked for.
        what: String,
    },
    /// The answer comes from a server that has been on its own for too long.
    #[error(
        "read the {what}: the server heard from a leader {age_ms} ms ago, {limit_ms} ms are allowed"
    )]
    TooOld {
        /// What was asked for.
        what: String,
        /// How long ago.
        age_ms: u64,
        /// How long is allowed.
        limit_ms: u64,
    },
    /// Something else than an answer.
    #[error("read the {what}: the server says {status}: {text}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of what it says.
        text: String,
    },
    /// The text is not what the API promises.
    #[error("read the {what}: the answer is no such list: {reason}")]
    Malformed {
        /// What was asked for.
        what: String,
        /// Where it stops to be one.
        reason: String,
    },
}

impl ConsulError {
    /// Whether another server may know better.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            ConsulError::Denied { .. } | ConsulError::Filtered { .. } => false,
            ConsulError::Refused { status, .. } => *status >= 500,
            ConsulError::NoLeader { .. }
            | ConsulError::Busy { .. }
            | ConsulError::TooOld { .. }
            | ConsulError::Malformed { .. } => true,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ConsulError::Denied { needs, .. } | ConsulError::Filtered { needs, .. } => {
                Some(format!("give a token (CONSUL_HTTP_TOKEN) whose policy has: {needs}"))
            }
            ConsulError::NoLeader { .. } => {
                Some("any server answers with `consistency: stale`".to_owned())
            }
            ConsulError::Busy { .. }
            | ConsulError::TooOld { .. }
            | ConsulError::Refused { .. }
            | ConsulError::Malformed { .. } => None,
        }
    }
}

//! Why a request is refused: one type for all decisions, so that a table of causes is complete.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The cause of a refusal, in the order in which a request can meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The gateway holds as many requests as it has accept permits.
    AcceptPermits,
    /// The gateway has as many requests in flight as the limit that adapts allows at the moment.
    AdaptiveLimit,
    /// The app is overloaded, and others are more important.
    Overload,
    /// The time left is shorter than the work usually takes, with the predicted wait if that is asked.
    Deadline,
    /// The user sends faster than allowed.
    UserRate,
    /// The user has as many requests in flight as allowed.
    UserConcurrency,
    /// The command is called faster than allowed.
    CmdRate,
    /// The command has as many requests in flight as allowed.
    CmdConcurrency,
    /// No instance of the app can take requests.
    NoInstance,
    /// The queue of the chosen target is full for the class of the request.
    QueueFull,
    /// The predicted wait is longer than the class of the request may wait.
    LongWait,
    /// It has waited for too long in a queue that is overloaded.
    Shed,
    /// The machine or the instance failed where it waited or was worked on, or none was left that would
    /// have taken it.
    Failed,
}

impl Refusal {
    /// All causes.
    pub const ALL: [Refusal; 13] = [
        Refusal::AcceptPermits,
        Refusal::AdaptiveLimit,
        Refusal::Overload,
        Refusal::Deadline,
        Refusal::UserRate,
        Refusal::UserConcurrency,
        Refusal::CmdRate,
        Refusal::CmdConcurrency,
        Refusal::NoInstance,
        Refusal::QueueFull,
        Refusal::LongWait,
        Refusal::Shed,
        Refusal::Failed,
    ];

    /// Its place in [`Refusal::ALL`].
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Refusal::AcceptPermits => 0,
            Refusal::AdaptiveLimit => 1,
            Refusal::Overload => 2,
            Refusal::Deadline => 3,
            Refusal::UserRate => 4,
            Refusal::UserConcurrency => 5,
            Refusal::CmdRate => 6,
            Refusal::CmdConcurrency => 7,
            Refusal::NoInstance => 8,
            Refusal::QueueFull => 9,
            Refusal::LongWait => 10,
            Refusal::Shed => 11,
            Refusal::Failed => 12,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::AcceptPermits => "accept_permits",
            Refusal::AdaptiveLimit => "adaptive_limit",
            Refusal::Overload => "overload",
            Refusal::Deadline => "deadline",
            Refusal::UserRate => "user_rate",
            Refusal::UserConcurrency => "user_concurrency",
            Refusal::CmdRate => "cmd_rate",
            Refusal::CmdConcurrency => "cmd_concurrency",
            Refusal::NoInstance => "no_instance",
            Refusal::QueueFull => "queue_full",
            Refusal::LongWait => "long_wait",
            Refusal::Shed => "shed",
            Refusal::Failed => "failed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::AcceptPermits => "the gateway has no accept permit left",
            Refusal::AdaptiveLimit => {
                "more requests are in flight than can be answered without delay"
            }
            Refusal::Overload => "its app is overloaded, and others are more important",
            Refusal::Deadline => "its answer would probably come after its deadline",
            Refusal::UserRate => "the user sends faster than allowed",
            Refusal::UserConcurrency => "the user has too many requests in flight",
            Refusal::CmdRate => "the command is called faster than allowed",
            Refusal::CmdConcurrency => "the command has too many requests in flight",
            Refusal::NoInstance => "no instance can take requests",
            Refusal::QueueFull => "the queue is full for this class",
            Refusal::LongWait => "it would wait for longer than its class may",
            Refusal::Shed => "it has waited for too long in a queue that is overloaded",
            Refusal::Failed => {
                "the machine or the instance that had it has failed, or none was left to take it"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn places_and_names_are_those_of_the_list() {
        for (place, cause) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), place);
            let written = format!("{cause:?}").to_lowercase();
            assert_eq!(cause.name().replace('_', ""), written);
        }
    }
}

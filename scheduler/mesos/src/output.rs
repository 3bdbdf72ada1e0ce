//! What goes into the translator and what comes out.

use std::fmt;

use mesos::FrameworkId;
use mesos::scheduler::{Call, Event, OfferConstraints};
use scheduler_core::ids::InstanceId;

use crate::translator::Held;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What the core knows from its records; before all else.
    Held(Held),
    /// The master says something on the subscribed stream.
    Event(Box<Event>),
    /// The stream, or the connection for calls, has ended: nothing of it counts any more.
    Disconnected,
    /// The core wants something.
    Command(scheduler_core::Command),
    /// The framework's id is durable.
    Stored(FrameworkId),
    /// Whether instances wait for a machine. Without being told it counts as so.
    Wanted(bool),
    /// Which agents are worth an offer; all, if absent.
    Constrain(Option<OfferConstraints>),
    /// Time has passed; about once a second.
    Tick,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// To be sent to the master, in order, over the one connection for calls.
    Call(Box<Call>),
    /// For the core, in order.
    Event(scheduler_core::Event),
    /// To be made durable; an [`Input::Stored`] says that it is.
    Store(FrameworkId),
    /// Nothing more can be done; a user has to do something.
    Fatal(Fatal),
    /// Something that a user may want to read.
    Note(Note),
}

/// Why a scheduler can't go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// Its id is dead for ever, and there are instances that were started under it.
    #[error(
        "Mesos has removed the framework {framework}: its failover timeout was over, or somebody \
         tore it down; {instances} instances are still in the records"
    )]
    Removed {
        /// The id.
        framework: String,
        /// Instances that were started under it.
        instances: usize,
    },
    /// Another scheduler has subscribed with the same id.
    #[error("another scheduler has taken over the framework {0}")]
    FailedOver(String),
    /// The master doesn't know the id that it was given, and gave another.
    #[error("the master answered for the framework {found} instead of {expected}")]
    OtherFramework {
        /// The id that was sent.
        expected: String,
        /// The id that came.
        found: String,
    },
    /// The master refuses the framework.
    #[error("the master refuses the framework: {0}")]
    Refused(String),
}

impl Fatal {
    /// What a user can do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Fatal::Removed { .. } => {
                "Mesos ends the tasks of a removed framework; when you have made sure that none of \
                 them runs any more, delete the stored id of the framework and start again"
            }
            Fatal::FailedOver(_) => "this one has ended and does nothing more; only one may run",
            Fatal::OtherFramework { .. } => {
                "is this the right cluster? compare `--master` with the one of the first start"
            }
            Fatal::Refused(_) => "correct the user, the role, the principal or the secret",
        }
    }
}

/// Something that a user may want to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A master answers.
    Subscribed {
        /// The framework's id.
        framework: String,
        /// Tasks that are asked for.
        tasks: usize,
    },
    /// A dead id is given up, because nothing was running under it.
    NewFramework(String),
    /// A task of this framework has a name that this program doesn't give.
    Foreign(String),
    /// A launch found no offer in time.
    NoOffer(InstanceId),
    /// An event that makes no sense.
    Strange(&'static str),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Subscribed { framework, tasks } => {
                write!(f, "subscribed as {framework}; {tasks} tasks are asked for")
            }
            Note::NewFramework(id) => {
                write!(f, "Mesos has removed the framework {id}; nothing ran, so it gets a new id")
            }
            Note::Foreign(task) => {
                write!(f, "{task:?} is a task of this framework, but no instance")
            }
            Note::NoOffer(id) => write!(f, "{id} found no offer of its machine in time"),
            Note::Strange(what) => write!(f, "the master sent {what}"),
        }
    }
}

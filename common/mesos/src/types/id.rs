//! Names of things, times, and other small words.

use std::fmt;

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident)+) => {$(
        message! {
            $(#[$meta])*
            #[derive(Eq, Hash, PartialOrd, Ord)]
            $name {
                required string value = 1;
            }
        }

        impl $name {
            /// An id of this text.
            pub fn new(value: impl Into<String>) -> Self {
                Self { value: value.into() }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(&self.value)
            }
        }
    )+};
}

id! {
    /// A framework: all of its schedulers, one after the other.
    FrameworkId
    /// An offer or an inverse offer.
    OfferId
    /// An agent, as long as it keeps its state.
    AgentId
    /// A task, never used twice by a framework.
    TaskId
    /// An executor, within its framework and agent.
    ExecutorId
    /// A provider of resources that isn't the agent itself.
    ResourceProviderId
    /// An operation on offered resources, given by the framework.
    OperationId
}

message! {
    /// A container; nested ones name their parent.
    #[derive(Eq)]
    ContainerId {
        required string value = 1;
        optional boxed ContainerId parent = 2;
    }
}

message! {
    /// A time: nanoseconds since 1970.
    #[derive(Copy, Eq)]
    TimeInfo {
        required int64 nanoseconds = 1;
    }
}

message! {
    /// A duration in nanoseconds.
    #[derive(Copy, Eq)]
    DurationInfo {
        required int64 nanoseconds = 1;
    }
}

message! {
    /// A duration as Google's protobuf has it: the operator API uses it once.
    #[derive(Copy, Eq)]
    Duration {
        optional int64 seconds = 1;
        optional int32 nanos = 2;
    }
}

message! {
    /// Where something listens.
    #[derive(Eq)]
    Address {
        optional string hostname = 1;
        optional string ip = 2;
        required int32 port = 3;
    }
}

message! {
    /// A place in the web.
    #[derive(Eq)]
    Url {
        required string scheme = 1;
        required message Address address = 2;
        optional string path = 3;
        repeated message Parameter query = 4;
        optional string fragment = 5;
    }
}

message! {
    /// A name and a value.
    #[derive(Eq)]
    Parameter {
        required string key = 1;
        required string value = 2;
    }
}

message! {
    /// Names and values.
    #[derive(Eq)]
    Parameters {
        repeated message Parameter parameter = 1;
    }
}

message! {
    /// When a machine won't be there.
    #[derive(Copy, Eq)]
    Unavailability {
        required message TimeInfo start = 1;
        optional message DurationInfo duration = 2;
    }
}

message! {
    /// A machine, by its name or its address.
    #[derive(Eq, PartialOrd, Ord)]
    MachineId {
        optional string hostname = 1;
        optional string ip = 2;
    }
}

message! {
    /// Words that a framework attaches to things.
    #[derive(Eq)]
    Labels {
        repeated message Label labels = 1;
    }
}

message! {
    /// A word that a framework attaches to a thing.
    #[derive(Eq)]
    Label {
        required string key = 1;
        optional string value = 2;
    }
}

message! {
    /// Sixteen bytes.
    #[derive(Eq)]
    Uuid {
        required bytes value = 1;
    }
}

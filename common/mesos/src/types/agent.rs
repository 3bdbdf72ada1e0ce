//! Masters, agents and machines.

use super::{
    Address, AgentId, Attribute, DurationInfo, FrameworkId, MachineId, Resource, TimeInfo,
    Unavailability,
};

message! {
    /// A region and a zone.
    #[derive(Eq)]
    DomainInfo {
        optional message FaultDomain fault_domain = 1;
    }
}

message! {
    /// What fails together.
    #[derive(Eq)]
    FaultDomain {
        required message Place region = 1;
        required message Place zone = 2;
    }
}

message! {
    /// A region or a zone.
    #[derive(Eq)]
    Place {
        required string name = 1;
    }
}

message! {
    /// A master, as it describes itself to clients and in ZooKeeper.
    #[derive(Eq)]
    MasterInfo {
        required string id = 1;
        /// The address, its first byte lowest.
        required uint32 ip = 2;
        required uint32 port = 3;
        optional string pid = 4;
        optional string hostname = 5;
        optional string version = 6;
        optional message Address address = 7;
        optional message DomainInfo domain = 8;
        repeated message MasterCapability capabilities = 9;
    }
}

enumeration! {
    /// What a master can do.
    MasterCapabilityType {
        UNKNOWN Unknown = 0;
        AGENT_UPDATE AgentUpdate = 1;
        AGENT_DRAINING AgentDraining = 2;
        QUOTA_V2 QuotaV2 = 3;
    }
}

message! {
    /// Something that a master can do.
    #[derive(Copy, Eq)]
    MasterCapability {
        optional enumeration MasterCapabilityType r#type = 1;
    }
}

message! {
    /// An agent, as it describes itself.
    AgentInfo {
        required string hostname = 1;
        optional int32 port = 8 [default = 5051];
        repeated message Resource resources = 3;
        repeated message Attribute attributes = 5;
        optional message AgentId id = 6;
        /// Said by answers only, always true.
        optional bool checkpoint = 7;
        optional message DomainInfo domain = 10;
    }
}

enumeration! {
    /// What an agent can do.
    AgentCapabilityType {
        UNKNOWN Unknown = 0;
        MULTI_ROLE MultiRole = 1;
        HIERARCHICAL_ROLE HierarchicalRole = 2;
        RESERVATION_REFINEMENT ReservationRefinement = 3;
        RESOURCE_PROVIDER ResourceProvider = 4;
        RESIZE_VOLUME ResizeVolume = 5;
        AGENT_OPERATION_FEEDBACK AgentOperationFeedback = 6;
        AGENT_DRAINING AgentDraining = 7;
        TASK_RESOURCE_LIMITS TaskResourceLimits = 8;
    }
}

message! {
    /// Something that an agent can do.
    #[derive(Copy, Eq)]
    AgentCapability {
        optional enumeration AgentCapabilityType r#type = 1;
    }
}

enumeration! {
    /// How far a drain is.
    DrainState {
        UNKNOWN Unknown = 0;
        DRAINING Draining = 1;
        DRAINED Drained = 2;
    }
}

message! {
    /// How to drain.
    #[derive(Copy, Eq)]
    DrainConfig {
        optional message DurationInfo max_grace_period = 1;
        optional bool mark_gone = 2 [default = false];
    }
}

message! {
    /// A drain.
    #[derive(Copy, Eq)]
    DrainInfo {
        required enumeration DrainState state = 1;
        required message DrainConfig config = 2;
    }
}

message! {
    /// When which machines won't be there.
    #[derive(Eq)]
    Schedule {
        repeated message Window windows = 1;
    }
}

message! {
    /// Machines that won't be there at the same time.
    #[derive(Eq)]
    Window {
        repeated message MachineId machine_ids = 1;
        required message Unavailability unavailability = 2;
    }
}

message! {
    /// Machines under maintenance.
    ClusterStatus {
        repeated message DrainingMachine draining_machines = 1;
        repeated message MachineId down_machines = 2;
    }
}

message! {
    /// A machine that will go down, and what frameworks say to that.
    DrainingMachine {
        required message MachineId id = 1;
        repeated message InverseOfferStatus statuses = 2;
    }
}

enumeration! {
    /// What a framework says to an inverse offer.
    InverseOfferAnswer {
        UNKNOWN Unknown = 1;
        ACCEPT Accept = 2;
        DECLINE Decline = 3;
    }
}

message! {
    /// What a framework said to an inverse offer.
    #[derive(Eq)]
    InverseOfferStatus {
        required enumeration InverseOfferAnswer status = 1;
        required message FrameworkId framework_id = 2;
        required message TimeInfo timestamp = 3;
    }
}

message! {
    /// A role, and who uses it.
    Role {
        required string name = 1;
        required double weight = 2;
        repeated message FrameworkId frameworks = 3;
        repeated message Resource resources = 4;
    }
}

message! {
    /// The version of a program.
    VersionInfo {
        required string version = 1;
        optional string build_date = 2;
        optional double build_time = 3;
        optional string build_user = 4;
        optional string git_sha = 5;
        optional string git_branch = 6;
        optional string git_tag = 7;
    }
}

message! {
    /// A figure.
    Metric {
        required string name = 1;
        optional double value = 2;
    }
}

message! {
    /// An option of a program.
    #[derive(Eq)]
    Flag {
        required string name = 1;
        optional string value = 2;
    }
}

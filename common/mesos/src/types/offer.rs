//! Offers, and operations on them.

use super::{
    AgentId, AllocationInfo, Attribute, DiskSourceType, DomainInfo, ExecutorId, ExecutorInfo,
    FrameworkId, OfferId, OperationId, Resource, ResourceProviderId, Scalar, TaskGroupInfo,
    TaskInfo, Unavailability, Url, Uuid,
};

message! {
    /// Resources of an agent, offered to a framework.
    Offer {
        required message OfferId id = 1;
        required message FrameworkId framework_id = 2;
        required message AgentId agent_id = 3;
        required string hostname = 4;
        optional message Url url = 8;
        optional message DomainInfo domain = 11;
        repeated message Resource resources = 5;
        repeated message Attribute attributes = 7;
        repeated message ExecutorId executor_ids = 6;
        optional message Unavailability unavailability = 9;
        optional message AllocationInfo allocation_info = 10;
    }
}

message! {
    /// A request to free resources of an agent before a time.
    InverseOffer {
        required message OfferId id = 1;
        optional message Url url = 2;
        required message FrameworkId framework_id = 3;
        optional message AgentId agent_id = 4;
        required message Unavailability unavailability = 5;
        repeated message Resource resources = 6;
    }
}

message! {
    /// What is not to be offered again for a while.
    Filters {
        /// For how long, in seconds.
        optional double refuse_seconds = 1 [default = 5.0];
    }
}

enumeration! {
    /// What is done with offered resources.
    OperationType {
        UNKNOWN Unknown = 0;
        LAUNCH Launch = 1;
        LAUNCH_GROUP LaunchGroup = 6;
        RESERVE Reserve = 2;
        UNRESERVE Unreserve = 3;
        CREATE Create = 4;
        DESTROY Destroy = 5;
        GROW_VOLUME GrowVolume = 11;
        SHRINK_VOLUME ShrinkVolume = 12;
        CREATE_DISK CreateDisk = 13;
        DESTROY_DISK DestroyDisk = 14;
    }
}

message! {
    /// Something that is done with offered resources.
    Operation {
        optional enumeration OperationType r#type = 1;
        optional message OperationId id = 12;
        optional message Launch launch = 2;
        optional message LaunchGroup launch_group = 7;
        optional message Reserve reserve = 3;
        optional message Unreserve unreserve = 4;
        optional message Volumes create = 5;
        optional message Volumes destroy = 6;
        optional message GrowVolume grow_volume = 13;
        optional message ShrinkVolume shrink_volume = 14;
        optional message CreateDisk create_disk = 15;
        optional message DestroyDisk destroy_disk = 16;
    }
}

message! {
    /// Tasks to start.
    Launch {
        repeated message TaskInfo task_infos = 1;
    }
}

message! {
    /// Tasks to start together.
    LaunchGroup {
        required message ExecutorInfo executor = 1;
        required message TaskGroupInfo task_group = 2;
    }
}

message! {
    /// Resources to reserve.
    Reserve {
        repeated message Resource source = 2;
        repeated message Resource resources = 1;
    }
}

message! {
    /// Resources whose reservation ends.
    Unreserve {
        repeated message Resource resources = 1;
    }
}

message! {
    /// Volumes to create or to destroy.
    Volumes {
        repeated message Resource volumes = 1;
    }
}

message! {
    /// A volume that gets more space.
    GrowVolume {
        required message Resource volume = 1;
        required message Resource addition = 2;
    }
}

message! {
    /// A volume that gives space back.
    ShrinkVolume {
        required message Resource volume = 1;
        required message Scalar subtract = 2;
    }
}

message! {
    /// A disk to create from raw space.
    CreateDisk {
        required message Resource source = 1;
        required enumeration DiskSourceType target_type = 2;
        optional string target_profile = 3;
    }
}

message! {
    /// A disk that becomes raw space again.
    DestroyDisk {
        required message Resource source = 1;
    }
}

enumeration! {
    /// What became of an operation.
    OperationState {
        OPERATION_UNSUPPORTED Unsupported = 0;
        OPERATION_PENDING Pending = 1;
        OPERATION_FINISHED Finished = 2;
        OPERATION_FAILED Failed = 3;
        OPERATION_ERROR Error = 4;
        OPERATION_DROPPED Dropped = 5;
        OPERATION_UNREACHABLE Unreachable = 6;
        OPERATION_GONE_BY_OPERATOR GoneByOperator = 7;
        OPERATION_RECOVERING Recovering = 8;
        OPERATION_UNKNOWN Unknown = 9;
    }
}

message! {
    /// What became of an operation.
    OperationStatus {
        optional message OperationId operation_id = 1;
        required enumeration OperationState state = 2;
        optional string message = 3;
        repeated message Resource converted_resources = 4;
        optional message Uuid uuid = 5;
        optional message AgentId agent_id = 6;
        optional message ResourceProviderId resource_provider_id = 7;
    }
}

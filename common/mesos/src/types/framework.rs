//! Frameworks.

use super::{FrameworkId, Labels, Scalar};

message! {
    /// A framework, as it describes itself.
    FrameworkInfo {
        required string user = 1;
        required string name = 2;
        optional message FrameworkId id = 3;
        /// How long its tasks live on without a scheduler, in seconds.
        optional double failover_timeout = 4 [default = 0.0];
        optional bool checkpoint = 5 [default = false];
        /// Its only role, if it can't have several; absence means `*`.
        optional string role = 6;
        repeated string roles = 12;
        optional string hostname = 7;
        optional string principal = 8;
        optional string webui_url = 9;
        repeated message FrameworkCapability capabilities = 10;
        optional message Labels labels = 11;
        map OfferFilters offer_filters = 13;
    }
}

enumeration! {
    /// What a framework knows to handle.
    FrameworkCapabilityType {
        UNKNOWN Unknown = 0;
        REVOCABLE_RESOURCES RevocableResources = 1;
        TASK_KILLING_STATE TaskKillingState = 2;
        GPU_RESOURCES GpuResources = 3;
        SHARED_RESOURCES SharedResources = 4;
        PARTITION_AWARE PartitionAware = 5;
        MULTI_ROLE MultiRole = 6;
        RESERVATION_REFINEMENT ReservationRefinement = 7;
        REGION_AWARE RegionAware = 8;
    }
}

message! {
    /// Something that a framework knows to handle.
    #[derive(Copy, Eq)]
    FrameworkCapability {
        optional enumeration FrameworkCapabilityType r#type = 1;
    }
}

message! {
    /// What a role wants of each offer.
    OfferFilters {
        optional message MinAllocatableResources min_allocatable_resources = 1;
    }
}

message! {
    /// An offer must have all quantities of one of these.
    MinAllocatableResources {
        repeated message ResourceQuantities quantities = 1;
    }
}

message! {
    /// Amounts by name.
    ResourceQuantities {
        map Scalar quantities = 1;
    }
}

message! {
    /// Who somebody is.
    #[derive(Eq)]
    Credential {
        required string principal = 1;
        optional string secret = 2;
    }
}

message! {
    /// What a role's share is multiplied with.
    WeightInfo {
        required double weight = 1;
        optional string role = 2;
    }
}

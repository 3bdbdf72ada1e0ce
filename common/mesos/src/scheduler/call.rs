//! What a scheduler says.

use super::OfferConstraints;
use crate::{
    AgentId, ExecutorId, Filters, FrameworkId, FrameworkInfo, KillPolicy, OfferId, Operation,
    OperationId, Resource, ResourceProviderId, TaskId,
};

enumeration! {
    /// Which call it is. Its number is not that of the call's field.
    CallType {
        UNKNOWN Unknown = 0;
        SUBSCRIBE Subscribe = 1;
        TEARDOWN Teardown = 2;
        ACCEPT Accept = 3;
        DECLINE Decline = 4;
        ACCEPT_INVERSE_OFFERS AcceptInverseOffers = 13;
        DECLINE_INVERSE_OFFERS DeclineInverseOffers = 14;
        REVIVE Revive = 5;
        KILL Kill = 6;
        SHUTDOWN Shutdown = 7;
        ACKNOWLEDGE Acknowledge = 8;
        ACKNOWLEDGE_OPERATION_STATUS AcknowledgeOperationStatus = 15;
        RECONCILE Reconcile = 9;
        RECONCILE_OPERATIONS ReconcileOperations = 16;
        MESSAGE Message = 10;
        REQUEST Request = 11;
        SUPPRESS Suppress = 12;
        UPDATE_FRAMEWORK UpdateFramework = 17;
    }
}

message! {
    /// A call of a scheduler; all but the first subscription name the framework.
    Call {
        optional message FrameworkId framework_id = 1;
        optional enumeration CallType r#type = 2;
        optional boxed Subscribe subscribe = 3;
        optional message Accept accept = 4;
        optional message Decline decline = 5;
        optional message AnswerInverseOffers accept_inverse_offers = 13;
        optional message AnswerInverseOffers decline_inverse_offers = 14;
        optional message Roles revive = 15;
        optional message Kill kill = 6;
        optional message Shutdown shutdown = 7;
        optional message Acknowledge acknowledge = 8;
        optional message AcknowledgeOperationStatus acknowledge_operation_status = 17;
        optional message Reconcile reconcile = 9;
        optional message ReconcileOperations reconcile_operations = 18;
        optional message ExecutorMessage message = 10;
        optional message Requests request = 11;
        optional message Roles suppress = 16;
        optional boxed UpdateFramework update_framework = 19;
    }
}

message! {
    /// Opens the stream of events.
    Subscribe {
        required message FrameworkInfo framework_info = 1;
        repeated string suppressed_roles = 2;
        optional message OfferConstraints offer_constraints = 3;
    }
}

message! {
    /// Uses offers of one agent: operations in order; what they leave is declined.
    Accept {
        repeated message OfferId offer_ids = 1;
        repeated message Operation operations = 2;
        optional message Filters filters = 3;
    }
}

message! {
    /// Refuses offers for a while.
    Decline {
        repeated message OfferId offer_ids = 1;
        optional message Filters filters = 2;
    }
}

message! {
    /// Says to inverse offers whether the resources will be free in time.
    AnswerInverseOffers {
        repeated message OfferId inverse_offer_ids = 1;
        optional message Filters filters = 2;
    }
}

message! {
    /// Roles that want offers again, or none for now; without any: all of the framework.
    #[derive(Eq)]
    Roles {
        repeated string roles = 1;
    }
}

message! {
    /// Ends a task.
    #[derive(Eq)]
    Kill {
        required message TaskId task_id = 1;
        optional message AgentId agent_id = 2;
        optional message KillPolicy kill_policy = 3;
    }
}

message! {
    /// Ends an executor.
    #[derive(Eq)]
    Shutdown {
        required message ExecutorId executor_id = 1;
        required message AgentId agent_id = 2;
    }
}

message! {
    /// Says that a status with this `uuid` was taken in.
    #[derive(Eq)]
    Acknowledge {
        required message AgentId agent_id = 1;
        required message TaskId task_id = 2;
        /// Sixteen bytes.
        required bytes uuid = 3;
    }
}

message! {
    /// Says that the status of an operation was taken in.
    #[derive(Eq)]
    AcknowledgeOperationStatus {
        optional message AgentId agent_id = 1;
        optional message ResourceProviderId resource_provider_id = 2;
        /// Sixteen bytes.
        required bytes uuid = 3;
        required message OperationId operation_id = 4;
    }
}

message! {
    /// Asks for the states of tasks; without any: of all that the master knows.
    #[derive(Eq)]
    Reconcile {
        repeated message ReconcileTask tasks = 1;
    }
}

message! {
    /// A task whose state is asked for.
    #[derive(Eq)]
    ReconcileTask {
        required message TaskId task_id = 1;
        optional message AgentId agent_id = 2;
    }
}

message! {
    /// Asks for the states of operations.
    #[derive(Eq)]
    ReconcileOperations {
        repeated message ReconcileOperation operations = 1;
    }
}

message! {
    /// An operation whose state is asked for.
    #[derive(Eq)]
    ReconcileOperation {
        required message OperationId operation_id = 1;
        optional message AgentId agent_id = 2;
        optional message ResourceProviderId resource_provider_id = 3;
    }
}

message! {
    /// Bytes for an executor, or from one.
    #[derive(Eq)]
    ExecutorMessage {
        required message AgentId agent_id = 1;
        required message ExecutorId executor_id = 2;
        required bytes data = 3;
    }
}

message! {
    /// Wishes for resources; no master of Mesos does anything with them.
    Requests {
        repeated message ResourceRequest requests = 1;
    }
}

message! {
    /// A wish for resources.
    ResourceRequest {
        optional message AgentId agent_id = 1;
        repeated message Resource resources = 2;
    }
}

message! {
    /// Changes what the framework said of itself.
    UpdateFramework {
        required message FrameworkInfo framework_info = 1;
        repeated string suppressed_roles = 2;
        optional message OfferConstraints offer_constraints = 3;
    }
}

//! What the master says to schedulers.

use super::ExecutorMessage;
use crate::{
    AgentId, ExecutorId, FrameworkId, InverseOffer, MasterInfo, Offer, OfferId, OperationStatus,
    TaskStatus,
};

enumeration! {
    /// Which event it is. Its number is not that of the event's field.
    EventType {
        UNKNOWN Unknown = 0;
        SUBSCRIBED Subscribed = 1;
        OFFERS Offers = 2;
        INVERSE_OFFERS InverseOffers = 9;
        RESCIND Rescind = 3;
        RESCIND_INVERSE_OFFER RescindInverseOffer = 10;
        UPDATE Update = 4;
        UPDATE_OPERATION_STATUS UpdateOperationStatus = 11;
        MESSAGE Message = 5;
        FAILURE Failure = 6;
        ERROR Error = 7;
        HEARTBEAT Heartbeat = 8;
    }
}

message! {
    /// An event for a scheduler.
    Event {
        optional enumeration EventType r#type = 1;
        optional boxed Subscribed subscribed = 2;
        optional message Offers offers = 3;
        optional message InverseOffers inverse_offers = 9;
        optional message Rescind rescind = 4;
        optional message RescindInverseOffer rescind_inverse_offer = 10;
        optional boxed Update update = 5;
        optional boxed UpdateOperationStatus update_operation_status = 11;
        optional message ExecutorMessage message = 6;
        optional message Failure failure = 7;
        optional message Error error = 8;
    }
}

message! {
    /// The first event of a stream.
    Subscribed {
        required message FrameworkId framework_id = 1;
        optional double heartbeat_interval_seconds = 2;
        optional message MasterInfo master_info = 3;
    }
}

message! {
    /// New offers.
    Offers {
        repeated message Offer offers = 1;
    }
}

message! {
    /// New inverse offers.
    InverseOffers {
        repeated message InverseOffer inverse_offers = 1;
    }
}

message! {
    /// An offer that is void.
    #[derive(Eq)]
    Rescind {
        required message OfferId offer_id = 1;
    }
}

message! {
    /// An inverse offer that is void.
    #[derive(Eq)]
    RescindInverseOffer {
        required message OfferId inverse_offer_id = 1;
    }
}

message! {
    /// What has become of a task.
    Update {
        required message TaskStatus status = 1;
    }
}

message! {
    /// What has become of an operation.
    UpdateOperationStatus {
        required message OperationStatus status = 1;
    }
}

message! {
    /// An agent is gone, or an executor of it.
    #[derive(Eq)]
    Failure {
        optional message AgentId agent_id = 1;
        optional message ExecutorId executor_id = 2;
        /// As `waitpid` has it.
        optional int32 status = 3;
    }
}

message! {
    /// The end of a stream, and why.
    #[derive(Eq)]
    Error {
        required string message = 1;
    }
}

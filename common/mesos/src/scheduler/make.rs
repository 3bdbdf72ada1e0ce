//! Calls and events in one piece: the type and the field that belongs to it together.

use super::{
    Accept, Acknowledge, AcknowledgeOperationStatus, AnswerInverseOffers, Call, CallType, Decline,
    Error, Event, EventType, ExecutorMessage, Failure, InverseOffers, Kill, Offers, Reconcile,
    Rescind, RescindInverseOffer, Roles, Shutdown, Subscribe, Subscribed, Update, UpdateFramework,
    UpdateOperationStatus,
};
use crate::FrameworkId;

macro_rules! calls {
    ($($(#[$doc:meta])* $function:ident($type:ident) = $variant:ident . $field:ident;)+) => {
        impl Call {
            $($(#[$doc])*
            pub fn $function(framework_id: FrameworkId, call: $type) -> Self {
                Self {
                    framework_id: Some(framework_id),
                    r#type: Some(CallType::$variant.into()),
                    $field: Some(call),
                    ..Self::default()
                }
            })+
        }
    };
}

calls! {
    /// Uses offers.
    accept(Accept) = Accept.accept;
    /// Refuses offers.
    decline(Decline) = Decline.decline;
    /// Says yes to inverse offers.
    accept_inverse_offers(AnswerInverseOffers) = AcceptInverseOffers.accept_inverse_offers;
    /// Says no to inverse offers.
    decline_inverse_offers(AnswerInverseOffers) = DeclineInverseOffers.decline_inverse_offers;
    /// Asks for offers again, and forgets all refusals.
    revive(Roles) = Revive.revive;
    /// Wants no offers for now.
    suppress(Roles) = Suppress.suppress;
    /// Ends a task.
    kill(Kill) = Kill.kill;
    /// Ends an executor.
    shutdown(Shutdown) = Shutdown.shutdown;
    /// Says that a status was taken in.
    acknowledge(Acknowledge) = Acknowledge.acknowledge;
    /// Says that the status of an operation was taken in.
    acknowledge_operation_status(AcknowledgeOperationStatus)
        = AcknowledgeOperationStatus.acknowledge_operation_status;
    /// Asks for the states of tasks.
    reconcile(Reconcile) = Reconcile.reconcile;
    /// Sends bytes to an executor.
    message(ExecutorMessage) = Message.message;
    /// Changes what the framework said of itself.
    update_framework(UpdateFramework) = UpdateFramework.update_framework;
}

impl Call {
    /// Opens the stream of events; the framework is named if it has an id.
    pub fn subscribe(call: Subscribe) -> Self {
        Self {
            framework_id: call.framework_info.id.clone(),
            r#type: Some(CallType::Subscribe.into()),
            subscribe: Some(call),
            ..Self::default()
        }
    }

    /// Ends the framework and all of its tasks, for ever.
    pub fn teardown(framework_id: FrameworkId) -> Self {
        Self {
            framework_id: Some(framework_id),
            r#type: Some(CallType::Teardown.into()),
            ..Self::default()
        }
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $function:ident($type:ident) = $variant:ident . $field:ident;)+) => {
        impl Event {
            $($(#[$doc])*
            pub fn $function(event: $type) -> Self {
                Self {
                    r#type: Some(EventType::$variant.into()),
                    $field: Some(event),
                    ..Self::default()
                }
            })+
        }
    };
}

events! {
    /// The stream begins.
    subscribed(Subscribed) = Subscribed.subscribed;
    /// New offers.
    offers(Offers) = Offers.offers;
    /// New inverse offers.
    inverse_offers(InverseOffers) = InverseOffers.inverse_offers;
    /// An offer is void.
    rescind(Rescind) = Rescind.rescind;
    /// An inverse offer is void.
    rescind_inverse_offer(RescindInverseOffer) = RescindInverseOffer.rescind_inverse_offer;
    /// What has become of a task.
    update(Update) = Update.update;
    /// What has become of an operation.
    update_operation_status(UpdateOperationStatus) = UpdateOperationStatus.update_operation_status;
    /// Bytes from an executor.
    message(ExecutorMessage) = Message.message;
    /// An agent or an executor is gone.
    failure(Failure) = Failure.failure;
    /// The stream ends.
    error(Error) = Error.error;
}

impl Event {
    /// Nothing, to show that the master is there.
    pub fn heartbeat() -> Self {
        Self { r#type: Some(EventType::Heartbeat.into()), ..Self::default() }
    }
}

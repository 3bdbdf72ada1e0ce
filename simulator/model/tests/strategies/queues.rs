//! Queues that aren't first come, first served at a machine.

use policy::queue::{Order, QueueScope};
use proptest::prelude::*;
use simulator_model::{Model, central};

use super::lively::{crowded_model, dynamic_model, retried_model};
use super::model;
use super::ways::staged_model;

/// Instances that take requests from one queue of the gateways, on everything else that there is.
pub fn central_model() -> impl Strategy<Value = Model> {
    let models = prop_oneof![
        1 => model().boxed(),
        2 => dynamic_model().boxed(),
        2 => staged_model().boxed(),
        1 => retried_model().boxed(),
        1 => crowded_model().boxed(),
    ];
    let order = prop_oneof![2 => Just(Order::Fifo), 1 => Just(Order::Priority)];
    (models, order).prop_map(|(mut model, order)| {
        model.queue.scope = QueueScope::Central;
        model.queue.order = order;
        if central::check(&model).is_err() {
            model.cmds.iter_mut().for_each(|cmd| cmd.stages = None);
        }
        assert_eq!(central::check(&model), Ok(()));
        model
    })
}

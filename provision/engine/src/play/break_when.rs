//! `loop_control.break_when`: conditions that end a loop behind the item for which they all hold.
//! They see the item, its `register`ed result and what the items before it set, for items that were
//! left out, too (ansible-core 2.18, "Breaking out of a loop").

use provision_plan::HostIndex;
use provision_playbook::model::{Loop, Task};
use provision_protocol::Object;
use provision_template::Value;

use super::PlayRun;
use crate::evaluate::{Evaluator, LoopItem, Stop};
use crate::variables::View;

/// A condition that can't be evaluated.
const UNREADABLE: &str = "'break_when' could not be evaluated";

impl PlayRun<'_> {
    /// Looks at the items that have results and were not asked yet, in order. Behind the first one
    /// for which the conditions hold, or can't be evaluated, the loop ends.
    pub(super) fn end_loop(&mut self, index: HostIndex, token: u64) {
        loop {
            let flight = self.flight_mut(index, token).filter(|flight| breaks(&flight.task));
            let Some(flight) = flight.cloned() else { return };
            let number = flight.looked_at;
            let plan = flight.plan.items.get(number);
            let result = flight.results.get(number).and_then(Option::as_ref);
            let (Some(plan), Some((result, _))) = (plan, result) else { return };
            let view = self.view_of_flight(index, &flight);
            let outcome = ends(&flight.task, view, plan.item.as_ref(), result, &[]);
            let Some(flight) = self.flight_mut(index, token) else { return };
            flight.looked_at += 1;
            match outcome {
                Ok(false) => continue,
                Ok(true) => {}
                Err(message) => {
                    if let Some(Some((result, _))) = flight.results.get_mut(number) {
                        fail(result, message);
                    }
                }
            }
            flight.plan.items.truncate(number + 1);
            flight.results.truncate(number + 1);
            return;
        }
    }

    /// Whether the loop of a controller's module ends behind the item with this result.
    pub(super) fn ends_locally(
        &self,
        index: HostIndex,
        task: &std::sync::Arc<Task>,
        item: Option<&LoopItem>,
        result: &mut Object,
        sets: &[(String, Value)],
    ) -> bool {
        if !breaks(task) {
            return false;
        }
        ends(task, self.view(index, task), item, result, sets).unwrap_or_else(|message| {
            fail(result, message);
            true
        })
    }
}

/// Whether the task has such conditions.
pub(super) fn breaks(task: &Task) -> bool {
    task.repeat.as_ref().is_some_and(|repeat| !repeat.break_when.is_empty())
}

/// Whether the loop of an include ends behind the item that this evaluator sees.
pub(super) fn breaks_at(inner: &Evaluator<'_>, repeat: &Loop) -> Result<bool, Stop> {
    Ok(!repeat.break_when.is_empty() && inner.first_false(&repeat.break_when)?.is_none())
}

fn ends(
    task: &std::sync::Arc<Task>,
    mut view: View,
    item: Option<&LoopItem>,
    result: &Object,
    sets: &[(String, Value)],
) -> Result<bool, Object> {
    let Some(repeat) = &task.repeat else { return Ok(false) };
    for (name, value) in sets {
        view.local.set_data(name.as_str(), value.clone());
    }
    if let Some(item) = item {
        view.local.add(&item.layer);
    }
    if let Some((name, _)) = &task.register {
        view.local.set_data(name.as_str(), super::flight::registered(result));
    }
    let evaluator = Evaluator::new(task, view);
    match evaluator.first_false(&repeat.break_when) {
        Ok(first) => Ok(first.is_none()),
        Err(Stop::Failed(result)) => Err(*result),
        // What is looked up elsewhere is not there yet. Nothing here can wait for it.
        Err(Stop::Pending(_)) => Err(Object::new()),
    }
}

fn fail(result: &mut Object, failure: Object) {
    result.insert("failed".into(), true.into());
    let message = failure.get("msg").cloned().unwrap_or_else(|| UNREADABLE.into());
    result.insert("msg".into(), message);
}

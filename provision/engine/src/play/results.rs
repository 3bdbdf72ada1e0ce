//! What is shown of results: messages, differences, loops as one; and what is not shown.

use provision_plan::HostIndex;
use provision_protocol::{Diff, Object};
use serde_json::Value as Json;

use super::PlayRun;
use super::flight::{Ended, Flight};
use crate::evaluate::{Evaluator, Invocation, ItemPlan, LoopItem, Stop};
use crate::event::Status;

/// Adds the loop item to its result, as Ansible does.
pub(crate) fn name_item(result: &mut Object, item: Option<&LoopItem>) {
    if let Some(item) = item {
        result.insert(item.variable.clone(), provision_template::to_json(&item.value));
        result.insert("ansible_loop_var".into(), item.variable.as_str().into());
    }
}

pub(super) fn is_true(result: &Object, name: &str) -> bool {
    result.get(name).is_some_and(|value| match value {
        Json::Bool(value) => *value,
        Json::String(text) => matches!(text.as_str(), "yes" | "true" | "True"),
        _ => false,
    })
}

/// Replaces what is shown; what is registered stays usable.
pub(super) fn hide(ended: &mut Ended) {
    const HIDDEN: &str = "the output has been hidden due to the fact that 'no_log: true' was \
                          specified for this result";
    ended.diff.clear();
    ended.message = Some("‹redacted: no_log›".to_owned());
    for (_, label, result, _) in &mut ended.items {
        *label = "‹redacted›".to_owned();
        result.retain(|name, _| matches!(name.as_str(), "changed" | "failed" | "skipped"));
        result.insert("censored".into(), HIDDEN.into());
    }
    ended.result.insert("_censored".into(), HIDDEN.into());
}

/// A result as it is shown: of one with `no_log`, only that it is hidden and whether it changed.
pub(super) fn shown(mut result: Object) -> Object {
    let Some(hidden) = result.shift_remove("_censored") else { return result };
    let mut shown = Object::new();
    shown.insert("censored".into(), hidden);
    for name in ["changed", "failed", "skipped"] {
        if let Some(value) = result.shift_remove(name) {
            shown.insert(name.into(), value);
        }
    }
    shown
}

/// What a module was called with, as results show it: nothing secret, and nothing that is between
/// controller and helper only.
pub(super) fn invocation(invocation: &Invocation) -> Json {
    let shown = invocation.arguments.iter().filter(|(name, _)| !name.starts_with('_'));
    let arguments: Object = shown
        .map(|(name, value)| {
            let is_secret =
                invocation.module.parameter(name).is_some_and(|parameter| parameter.secret);
            let value = if is_secret { SECRET.into() } else { value.clone() };
            (name.clone(), value)
        })
        .collect();
    serde_json::json!({ "module_args": arguments })
}

/// What stands for a secret argument.
const SECRET: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

/// What people should read of a result.
pub(super) fn message_of(result: &Object) -> Option<String> {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    result.get("msg").filter(|message| !message.is_null() && *message != "").map(text)
}

pub(super) fn diffs(result: &Object) -> Vec<Diff> {
    match result.get("diff") {
        Some(Json::Array(items)) => items.iter().filter_map(diff_of).collect(),
        Some(item) => diff_of(item).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A difference as people read it: attributes are text, too.
fn diff_of(item: &Json) -> Option<Diff> {
    let mut item = item.as_object()?.clone();
    for side in ["before", "after"] {
        if let Some(Json::Object(attributes)) = item.get(side) {
            let sorted: std::collections::BTreeMap<_, _> = attributes.iter().collect();
            let text = serde_json::to_string_pretty(&sorted).unwrap_or_default() + "\n";
            item.insert(side.into(), text.into());
        }
    }
    serde_json::from_value(Json::Object(item)).ok()
}

impl PlayRun<'_> {
    /// What items are called. A label that reads the item's own result and can't makes it a failure,
    /// as in Ansible.
    pub(super) fn labels(
        &self,
        index: HostIndex,
        flight: &Flight,
        results: &mut [(Object, u64)],
    ) -> Vec<String> {
        let label_of = |(plan, (result, _)): (&ItemPlan, &mut (Object, u64))| {
            let Some(item) = &plan.item else { return String::new() };
            let label = flight.task.repeat.as_ref().and_then(|repeat| repeat.label.as_ref());
            let (Some(label), true) = (label, item.late_label) else { return item.label.clone() };
            let mut view = self.view_of_flight(index, flight);
            view.local.add(&item.layer);
            if let Some((name, _)) = &flight.task.register {
                view.local.set_data(name.as_str(), super::flight::registered(result));
            }
            match Evaluator::new(&flight.task, view).value(label) {
                Ok(value) => provision_template::text_of(&value),
                Err(stop) => {
                    let reason = match &stop {
                        Stop::Failed(result) => result.get("msg").and_then(Json::as_str),
                        Stop::Pending(_) => None,
                    };
                    let reason = reason.unwrap_or("a value is not known yet");
                    let message = format!("Failed to template loop_control.label: {reason}");
                    result.insert("failed".into(), true.into());
                    result.insert("msg".into(), message.into());
                    item.label.clone()
                }
            }
        };
        flight.plan.items.iter().zip(results).map(label_of).collect()
    }
}

/// How each item of a loop ended: its status, label, result and time in µs.
pub(crate) type ItemResults = Vec<(Status, String, Object, u64)>;

/// The result of a loop, as Ansible composes it.
pub(super) fn join_items(
    flight: &Flight,
    results: Vec<(Object, u64)>,
    labels: Vec<String>,
) -> (Object, ItemResults) {
    let mut items: ItemResults = Vec::with_capacity(results.len());
    let labelled = results.into_iter().zip(labels);
    for (plan, ((mut result, duration_us), label)) in flight.plan.items.iter().zip(labelled) {
        name_item(&mut result, plan.item.as_ref());
        result.entry("failed").or_insert(Json::Bool(false));
        let status = if is_true(&result, "failed") {
            if flight.plan.keywords.ignore_errors { Status::Ignored } else { Status::Failed }
        } else if is_true(&result, "skipped") {
            Status::Skipped
        } else if is_true(&result, "changed") {
            Status::Changed
        } else {
            Status::Ok
        };
        items.push((status, label, result, duration_us));
    }
    let any = |name: &str| items.iter().any(|(_, _, result, _)| is_true(result, name));
    let all_skipped = items.iter().all(|(status, ..)| *status == Status::Skipped);
    let mut joined = Object::new();
    joined.insert("changed".into(), any("changed").into());
    let message = if any("failed") {
        joined.insert("failed".into(), true.into());
        "One or more items failed"
    } else if all_skipped {
        joined.insert("skipped".into(), true.into());
        "All items skipped"
    } else {
        "All items completed"
    };
    joined.insert("msg".into(), message.into());
    let results = items.iter().map(|(_, _, result, _)| Json::Object(result.clone())).collect();
    joined.insert("results".into(), results);
    (joined, items)
}

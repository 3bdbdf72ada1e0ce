//! `results.json`. What is written is always there: everything is required.

use policy::Refusal;
use policy::scaling::{Added, Removed};
use policy::sharing::Called;
use serde_json::{Value, json};
use simulator_model::{Channel, Stage};

use super::{DRAFT, Entry, named, object, reference, whole, words};
use crate::export::RESULTS_VERSION;
use crate::table::QUANTILES;

/// An object in which everything is required.
fn whole_object(entries: Vec<Entry>) -> Value {
    let names: Vec<&str> = entries.iter().map(|(name, ..)| *name).collect();
    object(&names, entries)
}

fn or_null(value: Value) -> Value {
    json!({"anyOf": [value, {"type": "null"}]})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number_or_null() -> Value {
    json!({"type": ["number", "null"]})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// The schema.
pub fn schema() -> Value {
    let mut schema = whole_object(vec![
        ("version", json!({"const": RESULTS_VERSION}), "of this format"),
        ("program", text(), "that wrote it"),
        ("model_version", whole(1), "results of different versions can't be compared by seed"),
        ("command", text(), "that gives the same results"),
        ("partial", or_null(reference("partial")), "what is missing, if the run was stopped"),
        ("scenario", text(), "the name of its file"),
        ("scenario_digest", reference("digest"), "of what the file means, without its policy"),
        ("origin", reference("origin"), "the texts that the scenario was read from"),
        ("warnings", list(text()), "about the scenario and the run"),
        ("policy", json!({"type": "object"}), "the effective rules"),
        ("policy_digest", reference("digest"), "of the effective rules"),
        ("window_ns", whole(0), "how long arrivals were reported"),
        ("apps", list(reference("app")), ""),
        ("machines", machines(), "how long they were down or slow, all runs together"),
        ("sharing", list(sharing()), "what apps have lent to others, all runs together"),
        ("links", list(link()), "what links have carried that transfers share, all runs together"),
        ("cells", list(reference("cell")), "all runs together"),
        ("objectives", list(reference("objective")), "what `compare` watches"),
        ("runs", list(reference("run")), "one for each seed"),
    ]);
    let definitions = json!({
        "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "partial": whole_object(vec![
            ("stopped_ns", or_null(whole(0)), "when, if not even the first run has ended"),
            ("replications_wanted", whole(1), ""),
        ]),
        "origin": whole_object(vec![
            ("files", list(reference("file")), "the scenario, and then what it names"),
            ("policy", or_null(reference("file")), "that was given in the place of its own"),
            ("trace", or_null(text()), "that was replayed"),
            ("replay", or_null(reference("replay")), "how it was replayed"),
            ("overrides", list(text()), "the arguments of --set"),
        ]),
        "replay": whole_object(vec![
            ("arguments", list(text()), "of `simulator replay`: the trace, how it is read and played"),
            ("requests", whole(1), "that were found in it"),
            ("last_ns", whole(0), "when the last of them arrives"),
        ]),
        "file": whole_object(vec![("name", text(), ""), ("text", text(), "")]),
        "app": app(),
        "cell": cell(),
        "times": times(),
        "toll": toll(),
        "objective": whole_object(vec![
            ("metric", text(), ""),
            ("margin", json!({"type": "number"}), "by which it may get worse"),
        ]),
        "run": whole_object(vec![
            ("seed", whole(0), ""),
            ("metrics", named(number_or_null()), "the objectives"),
            ("cells", list(reference("cell")), ""),
        ]),
    });
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("title".to_owned(), "results of simulator run".into());
        map.insert("$defs".to_owned(), definitions);
    }
    schema
}

fn app() -> Value {
    whole_object(vec![
        ("name", text(), ""),
        ("machines", whole(0), ""),
        ("instances", whole(0), "in all, in the beginning"),
        ("utilisation", number_or_null(), "the part of their time that instances worked"),
        ("instances_mean", number_or_null(), "over time"),
        ("core_hours", number_or_null(), "of one run"),
        ("usage", or_null(usage()), "how many instances there were, and what scaling did"),
    ])
}

fn usage() -> Value {
    let actions =
        || whole_object(vec![("decisions", whole(0), ""), ("instances", whole(0), "in all")]);
    let added = Added::ALL.map(|reason| (reason.name(), actions(), ""));
    let removed = Removed::ALL.map(|reason| (reason.name(), actions(), ""));
    whole_object(vec![
        ("fewest", whole(0), "instances at any time"),
        ("most", whole(0), "instances at any time"),
        ("added", whole_object(added.into()), "by reason"),
        ("removed", whole_object(removed.into()), "by reason"),
        ("unplaced", whole(0), "instances that no machine could take"),
        ("peak_tasks", or_null(whole(0)), "that the scaling rule saw"),
        ("peak_queue", or_null(whole(0)), "of all queues together"),
        ("lost_with_machines", reference("toll"), "what machines that failed have cost"),
        ("lost_by_crashes", reference("toll"), "what instances that ended by themselves have cost"),
        ("lost_by_kills", reference("toll"), "what instances that were made to end have cost"),
        ("losses_unrecovered", whole(0), "that were not made up for until the end"),
    ])
}

fn toll() -> Value {
    whole_object(vec![
        ("incidents", whole(0), ""),
        ("instances", whole(0), "that were lost"),
        ("requests", whole(0), "that failed with them"),
        ("recovery", reference("times"), "until as many instances were ready as before"),
    ])
}

fn machines() -> Value {
    whole_object(vec![
        ("failed", whole(0), "each as often as it did"),
        ("down_ns", whole(0), "of all machines"),
        ("slowed", whole(0), "each as often as it became slow"),
        ("slow_ns", whole(0), "of all machines"),
    ])
}

fn sharing() -> Value {
    let actions =
        || whole_object(vec![("decisions", whole(0), ""), ("instances", whole(0), "in all")]);
    let called = Called::ALL.map(|why| (why.name(), actions(), ""));
    let number = || json!({"type": "number"});
    whole_object(vec![
        ("lender", text(), "the app that lends"),
        ("borrower", text(), "the app that borrows"),
        ("core_hours", number(), "that were lent, in one run"),
        ("most", whole(0), "slots that were lent at a time"),
        ("lent", actions(), ""),
        ("called", whole_object(called.into()), "back, by reason"),
        ("back", reference("times"), "from the call until the slot was the lender's again"),
        ("stopped", whole(0), "borrowers that were stopped at the deadline"),
        ("requeued", whole(0), "requests that were stopped and waited again"),
        ("failed", whole(0), "requests that were stopped and failed"),
        ("core_hours_in_vain", number(), "of work on requests that were stopped, in one run"),
    ])
}

fn link() -> Value {
    let part = number_or_null;
    whole_object(vec![
        ("link", words(&Channel::ALL.map(Channel::key)), "of each machine"),
        ("bandwidth", whole(1), "of a machine, in bytes per second"),
        ("bandwidth_each", or_null(whole(1)), "of each transfer; null if it has no bound"),
        ("bytes", json!({"type": "number"}), "that were carried, in one run"),
        ("utilisation", part(), "of all machines; null if the run was stopped"),
        ("utilisation_most", part(), "of the machine with the most"),
        ("full", part(), "the part of the time in which nothing was left of it"),
        ("transfers_most", whole(0), "on one link at a time"),
        ("slowdown", part(), "times as long as bytes would take alone; null if there were none"),
    ])
}

fn cell() -> Value {
    let causes = Refusal::ALL.map(|cause| (cause.name(), whole(0), ""));
    whole_object(vec![
        ("cmd", text(), ""),
        ("class", words(&["free", "paid"]), ""),
        ("arrivals", whole(0), ""),
        ("served", whole(0), ""),
        ("late", whole(0), "served after their deadline"),
        ("refused", whole_object(causes.into()), "by cause"),
        ("wait", reference("times"), "in the queue, until work begins"),
        (
            "response",
            reference("times"),
            "until the end of work, or until the answer has been sent",
        ),
        ("stages", or_null(stages()), "null if requests have none besides queue and work"),
        ("downloaded", whole(0), "of the served, those whose source was downloaded"),
        ("cached", whole(0), "of the served, those whose source was there already"),
        (
            "clients",
            or_null(clients()),
            "null if clients don't try again; the rest counts attempts",
        ),
        (
            "pipeline",
            or_null(pipeline()),
            "null if the command begins no pipeline; the rest counts steps",
        ),
    ])
}

fn pipeline() -> Value {
    let causes = Refusal::ALL.map(|cause| (cause.name(), whole(0), ""));
    whole_object(vec![
        ("cmds", json!({"type": "array", "items": text()}), "its steps"),
        ("requests", whole(0), "that began"),
        ("done", whole(0), "to the last answer"),
        ("steps", whole(0), "that began, of all"),
        ("refused", whole_object(causes.into()), "that ended early, by the cause of a step"),
        ("response", reference("times"), "from the first arrival until the last answer"),
    ])
}

fn clients() -> Value {
    whole_object(vec![
        ("requests", whole(0), ""),
        ("attempts", whole(0), "that these took"),
        ("answered", whole(0), "within the deadline of one of their attempts"),
        ("answer", reference("times"), "from the first attempt to the answer"),
    ])
}

fn stages() -> Value {
    whole_object(Stage::ALL.map(|stage| (stage.name(), reference("times"), "")).into())
}

/// Mean, quantiles and maximum of times.
fn times() -> Value {
    let mut names = vec!["mean_ns".to_owned()];
    names.extend(QUANTILES.map(|(name, _)| format!("{name}_ns")));
    names.push("max_ns".to_owned());
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), number_or_null())).collect();
    json!({
        "type": "object",
        "description": "in nanoseconds; null if there were none",
        "additionalProperties": false,
        "required": names,
        "properties": properties,
    })
}

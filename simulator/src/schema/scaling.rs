//! The section `scaling` of policies.

use serde_json::{Value, json};

use super::{object, reference, whole, words};

pub(super) fn section() -> Value {
    let rules = ["tasks", "hpa", "kpa", "keda", "scheduled", "arrivals"];
    object(
        &[],
        vec![
            ("rule", words(&rules), "by what the number of instances is found"),
            ("target", whole(0), "of tasks: per instance above which instances are added"),
            ("min", whole(0), "the fewest instances"),
            ("max", whole(0), "the most instances"),
            ("step", whole(1), "of tasks: instances added or taken at a time"),
            ("interval", reference("length"), "between decisions"),
            ("cool_down", reference("length"), "of tasks: after a change"),
            (
                "scale_in_after",
                reference("length"),
                "of tasks: for so long fewer must have been enough",
            ),
            ("schedule", schedule(), "the fewest instances by the time of day, for any rule"),
            ("hpa", hpa(), "of hpa; tolerance, up and down also of keda"),
            ("kpa", kpa(), "of kpa"),
            ("keda", keda(), "of keda"),
            ("arrivals", arrivals(), "of arrivals"),
        ],
    )
}

fn schedule() -> Value {
    let at = "since midnight UTC; in a simulation since its beginning";
    let entry = object(
        &["at", "min"],
        vec![("at", reference("length"), at), ("min", whole(0), "from then on")],
    );
    json!({"type": "array", "maxItems": policy::scaling::Schedule::MOST, "items": entry})
}

fn hpa() -> Value {
    object(
        &[],
        vec![
            ("target", reference("ratio"), "what each instance should have of the metric"),
            ("metric", words(&["busy", "tasks"]), "requests in work, or all that are there"),
            ("tolerance", reference("part"), "how far from its target the metric may be"),
            ("up", behaviour(), "how instances are added"),
            ("down", behaviour(), "how instances are taken away"),
        ],
    )
}

fn behaviour() -> Value {
    object(
        &[],
        vec![
            ("window", reference("length"), "of what was wanted then the most careful holds"),
            ("part", reference("ratio"), "of the instances, by which it may change in a period"),
            ("instances", whole(0), "by which it may change in any case"),
            ("period", reference("length"), ""),
        ],
    )
}

fn kpa() -> Value {
    object(
        &[],
        vec![
            ("target", reference("ratio"), "tasks that each instance should have"),
            ("window", reference("length"), "the long one"),
            ("panic_window", reference("length"), "the short one"),
            ("panic_threshold", reference("ratio"), "times what is ready, that begins a panic"),
            ("up_most", reference("ratio"), "times what is ready, at once"),
            ("down_most", reference("ratio"), "what is ready divided by this, at once"),
            ("scale_in_delay", reference("length"), "of what was wanted then the most holds"),
        ],
    )
}

fn keda() -> Value {
    object(
        &[],
        vec![
            ("queue", reference("ratio"), "the length of the queue for each instance"),
            ("counts", words(&["waiting", "in_system"]), "which requests are the queue"),
            ("activation", whole(0), "more than this makes the app active"),
            ("cool_down", reference("length"), "without activity, before the last one is taken"),
        ],
    )
}

fn arrivals() -> Value {
    object(
        &[],
        vec![
            ("utilisation", reference("part"), "how busy instances should be"),
            ("drain", reference("length"), "in which what waits is to be worked off"),
            ("fast", reference("length"), "the window in which a surge is seen"),
            ("slow", reference("length"), "the window of the usual load"),
            ("start_up", reference("length"), "of an instance, until that is known"),
            ("scale_in_after", reference("length"), "for so long fewer must have been enough"),
            ("scale_in", reference("part"), "of the instances, that is taken at a time"),
            ("scale_in_every", reference("length"), "between two such steps"),
        ],
    )
}

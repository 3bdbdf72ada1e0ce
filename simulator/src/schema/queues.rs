//! Queues and balancers in policies.

use serde_json::{Value, json};

use super::{object, reference, words};

const ORDERS: [&str; 4] = ["fifo", "priority", "deficit_round_robin", "adaptive_lifo"];
const RULES: [&str; 7] = [
    "random",
    "round_robin",
    "least_loaded",
    "power_of_choices",
    "join_shortest_queue",
    "peak_ewma",
    "prequal",
];

pub(super) fn queue() -> Value {
    object(
        &[],
        vec![
            ("free", reference("bound"), "the most requests for which a free one queues"),
            ("paid", reference("bound"), "the most requests for which a paid one queues"),
            ("scope", words(&["node", "instance", "central"]), "what has a queue"),
            ("counts", words(&["waiting", "in_system"]), "what counts"),
            ("classes", words(&["together", "apart"]), "whose requests count"),
            ("order", words(&ORDERS), "who is served first"),
            ("quantum", reference("length"), "work of each user in a round of deficit_round_robin"),
            (
                "longest_wait",
                object(
                    &[],
                    vec![("free", reference("length"), ""), ("paid", reference("length"), "")],
                ),
                "the longest predicted wait for which a request queues",
            ),
            ("overload", overload(), "what is done about a queue that doesn't get empty any more"),
        ],
    )
}

fn overload() -> Value {
    object(
        &["target", "interval"],
        vec![
            ("target", reference("length"), "the longest wait in a queue that is overloaded"),
            (
                "interval",
                reference("length"),
                "a queue that was not empty for longer is overloaded; the longest wait in others",
            ),
            (
                "sheds",
                json!({"type": "boolean"}),
                "whether what has waited for longer is dropped; true if absent",
            ),
            (
                "law",
                words(&["facebook", "codel"]),
                "everything that has waited for longer, or more and more of it; facebook if absent",
            ),
        ],
    )
}

pub(super) fn balance() -> Value {
    object(
        &["rule"],
        vec![
            ("rule", words(&RULES), ""),
            (
                "choices",
                json!({"type": "integer", "minimum": 1, "maximum": 8}),
                "of power_of_choices",
            ),
            ("decay", reference("length"), "of the averages of peak_ewma"),
            ("probes", json!({"type": "integer", "minimum": 1, "maximum": 6}), "of prequal"),
            ("cold", reference("part"), "the part of the answers to its probes that is cold"),
            ("age", reference("length"), "how old these may be"),
        ],
    )
}

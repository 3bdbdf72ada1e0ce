//! `simulator schema`: what may be in a scenario, in a policy and in results, for editors and for
//! other programs. Tests hold it to the readers and the writer themselves.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

/// Which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Scenario files.
    Scenario,
    /// policy.yml.
    Policy,
    /// results.json.
    Results,
}

/// The schema of a format, as a file.
pub fn text(format: Format) -> String {
    let value = match format {
        Format::Scenario => scenario(),
        Format::Policy => policy(),
        Format::Results => results::schema(),
    };
    format!("{value:#}\n")
}

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

mod admission;
mod queues;
mod results;
mod scaling;

/// An entry of an object: name, what it may be, what it means.
type Entry = (&'static str, Value, &'static str);

/// An object with these keys and no others; those that are named first are required.
fn object(required: &[&str], entries: Vec<Entry>) -> Value {
    let properties: Map<String, Value> = entries
        .into_iter()
        .map(|(name, mut value, about)| {
            if let (Some(map), false) = (value.as_object_mut(), about.is_empty()) {
                map.insert("description".to_owned(), about.into());
            }
            (name.to_owned(), value)
        })
        .collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// A mapping with names of the user's choice.
fn named(value: Value) -> Value {
    json!({"type": "object", "additionalProperties": value})
}

/// One of several kinds, each an object with its own single key.
fn one_of(entries: Vec<Entry>) -> Value {
    let kinds: Vec<Value> =
        entries.into_iter().map(|entry| object(&[entry.0], vec![entry])).collect();
    json!({"oneOf": kinds})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn text_of(pattern: &str, examples: &[&str]) -> Value {
    json!({"type": "string", "pattern": pattern, "examples": examples})
}

fn words(words: &[&str]) -> Value {
    json!({"enum": words})
}

fn whole(low: u64) -> Value {
    json!({"type": "integer", "minimum": low})
}

fn number(low: f64) -> Value {
    json!({"type": "number", "minimum": low})
}

/// Values with units; see `policy::config::units`.
fn units() -> Map<String, Value> {
    let time = "[0-9.]+(ns|us|µs|ms|s|min|h|d)";
    let length = text_of(&format!("^ *{time}( +{time})* *$"), &["200ms", "10s", "1h 30min"]);
    let frequency =
        text_of("^ *[0-9.]+[kM]? */ *(ns|us|µs|ms|s|min|h|d) *$", &["10/s", "2.5k/s", "600/min"]);
    let part = text_of("^[0-9.]+%$", &["80%"]);
    let ratio = part.clone();
    let size = text_of("^[0-9.]+([kKMG]?B|[KMG]iB)$", &["400KB", "8MiB"]);
    let size = json!({"anyOf": [size, {"const": 0}]});
    let entries = [
        ("length", json!({"anyOf": [length, {"const": 0}]})),
        ("frequency", frequency.clone()),
        ("ratio", json!({"anyOf": [ratio, {"type": "number", "minimum": 0, "maximum": 1e6}]})),
        ("part", json!({"anyOf": [part, {"type": "number", "minimum": 0, "maximum": 1}]})),
        ("size", size),
        (
            "bandwidth",
            text_of("^ *[0-9.]+([kKMG]?B|[KMG]iB|[kMG]bit) */ *s *$", &["100MB/s", "10Gbit/s"]),
        ),
        ("bound", json!({"anyOf": [whole(0), {"const": "unlimited"}]})),
        ("rate", json!({"anyOf": [frequency, {"const": "unlimited"}]})),
        ("scope", words(&["gateway", "cluster"])),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn policy() -> Value {
    let mut schema = policy_object();
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("title".to_owned(), "policy.yml".into());
        map.insert("$defs".to_owned(), units().into());
    }
    schema
}

fn policy_object() -> Value {
    object(
        &["preset"],
        vec![
            ("version", json!({"const": 1}), "of this format"),
            ("preset", words(&["original", "recommended"]), "the rules that this file begins with"),
            ("admission", admission::section(), "rules of gateways"),
            ("queue", queues::queue(), "rules of queues"),
            ("balance", queues::balance(), "how targets are chosen"),
            ("scaling", scaling::section(), "how many instances there are"),
            ("rollout", rollout(), "how versions are replaced"),
            ("repair", repair(), "what is done about instances that fail"),
            (
                "sharing",
                object(
                    &[],
                    vec![
                        ("lend", reference("part"), "of all slots, at most; 0% lends nothing"),
                        ("reserve", reference("part"), "beyond the recent peak, that isn't lent"),
                        ("idle_for", reference("length"), "spare, or unused, for so long"),
                        ("give_back", reference("length"), "from the call to the deadline"),
                        (
                            "unfinished",
                            words(&["requeue", "fail"]),
                            "what becomes of work that isn't done by then",
                        ),
                        ("interval", reference("length"), "between decisions"),
                    ],
                ),
                "idle instances for others",
            ),
        ],
    )
}

fn rollout() -> Value {
    object(
        &[],
        vec![
            ("surge", reference("part"), ""),
            ("step", reference("bound"), ""),
            ("utilisation", reference("part"), ""),
            ("warm_up", reference("length"), ""),
            ("warm_up_floor", reference("part"), ""),
            ("cool_down", reference("length"), ""),
            ("progress_deadline", reference("length"), ""),
            ("failures", reference("bound"), ""),
            ("auto_revert", json!({"type": "boolean"}), ""),
        ],
    )
}

fn repair() -> Value {
    object(
        &[],
        vec![
            ("back_off", reference("length"), ""),
            ("back_off_most", reference("length"), ""),
            ("back_off_forget", reference("length"), ""),
            ("launch_timeout", reference("length"), ""),
            ("replace_unhealthy_after", reference("length"), ""),
            ("replace_unreachable_after", reference("length"), ""),
            ("forget_unreachable_after", reference("length"), ""),
            ("freeze_above", reference("part"), ""),
            ("freeze_most", reference("length"), ""),
        ],
    )
}

fn gateways() -> Value {
    let keys = vec![
        ("count", whole(1), ""),
        (
            "network_delay",
            reference("length"),
            "one way, between gateways and machines; at most 1s",
        ),
        ("reports_every", reference("length"), "of loads; a multiple of the delay"),
    ];
    let behind = object(&["count", "network_delay", "reports_every"], keys);
    json!({"anyOf": [whole(1), behind]})
}

fn scenario() -> Value {
    let mut schema = object(
        &["version", "duration", "machines", "apps", "cmds", "tenants", "workload"],
        vec![
            ("version", json!({"const": 1}), "of this format"),
            ("about", json!({"type": "string"}), "what it shows"),
            ("seed", whole(0), "of all random streams; 1 if absent"),
            ("duration", reference("length"), "requests arrive for so long"),
            ("warm_up", reference("length"), "not reported, from the beginning"),
            ("machines", whole(1), ""),
            ("cores", whole(1), "of each machine"),
            ("racks", whole(1), "machine m stands in rack m modulo this; 1 if absent"),
            ("gateways", gateways(), "1 if absent; a number: they see the present state"),
            ("faults", json!({"type": "array", "items": reference("fault")}), "what fails"),
            ("control", words(&["direct", "scheduler"]), "who starts and ends instances"),
            ("scheduler", reference("scheduler"), "how far it is from what it knows and does"),
            ("upgrades", json!({"type": "array", "items": reference("upgrade")}), "new versions"),
            ("load_scale", number(0.0), "so many times the requests of the workload"),
            (
                "policy",
                json!({"anyOf": [{"type": "string"}, reference("policy")]}),
                "a section, or a file beside this one",
            ),
            ("stages", stages(), "what requests pass besides queues and work"),
            ("apps", named(reference("app")), "instances that work on the same commands"),
            ("cmds", named(reference("cmd")), "commands"),
            ("tenants", named(reference("tenants")), "groups of users"),
            ("workload", json!({"type": "array", "items": reference("source")}), "what arrives"),
            (
                "objectives",
                named(reference("part")),
                "metrics that `compare` watches, with margins",
            ),
            ("replay", reference("replay"), "what commands of traces mean"),
        ],
    );
    let mut definitions = units();
    let mut define = |name: &str, value: Value| definitions.insert(name.to_owned(), value);
    define("policy", policy_object());
    define("service", law_of("length"));
    define("fault", fault());
    define("scheduler", scheduler());
    define("upgrade", upgrade());
    define("drawn_length", json!({"anyOf": [reference("length"), reference("service")]}));
    define("drawn_size", json!({"anyOf": [reference("size"), law_of("size")]}));
    define("arrivals", arrivals());
    define("app", app());
    define(
        "cmd",
        object(
            &["app", "service"],
            vec![
                ("app", json!({"type": "string"}), "that works on it"),
                ("service", reference("service"), "how long it takes"),
                ("service_scale", number(0.0), "so many times as long"),
                ("deadline", reference("length"), "how long clients wait"),
                ("source_size", reference("drawn_size"), "of what is downloaded"),
                ("cached", reference("part"), "how often that is on the machine already"),
                ("answer_size", reference("drawn_size"), "of what is sent back"),
                ("then", json!({"type": "string"}), "the command that works on the answer"),
            ],
        ),
    );
    define(
        "tenants",
        object(
            &["class"],
            vec![
                ("class", words(&["free", "paid"]), ""),
                ("users", whole(1), "1 if absent"),
                ("skew", number(0.0), "Zipf's exponent; 0 is even"),
            ],
        ),
    );
    define(
        "source",
        object(
            &["tenants", "cmd", "arrivals"],
            vec![
                ("tenants", json!({"type": "string"}), "who sends"),
                ("cmd", json!({"type": "string"}), "what"),
                ("arrivals", reference("arrivals"), "when"),
                ("retries", retries(), "how clients try again; they don't if absent"),
            ],
        ),
    );
    define(
        "replay",
        object(
            &[],
            vec![
                (
                    "cmds",
                    named(json!({"type": "string"})),
                    "names in traces and what they mean here",
                ),
                ("others", json!({"type": "string"}), "what all other names mean"),
                ("service", words(&["trace", "law"]), "where service times come from"),
            ],
        ),
    );
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("title".to_owned(), "a scenario of the simulator".into());
        map.insert("$defs".to_owned(), definitions.into());
    }
    schema
}

fn scheduler() -> Value {
    let length = || reference("length");
    object(
        &[],
        vec![
            ("tick", length(), "between its looks; 1s if absent"),
            ("store", length(), "until a write is durable; 5ms if absent"),
            ("commands", length(), "until a machine has a command; 50ms if absent"),
            ("facts", length(), "until it has heard of what happened; 200ms if absent"),
            ("found", length(), "until gateways know of a registration; 500ms if absent"),
            ("silent", length(), "until a machine is told as silent; 75s if absent"),
            ("health_grace", length(), "to become healthy; 1min if absent"),
            ("kill_grace", length(), "to end in peace; 10s if absent"),
        ],
    )
}

fn upgrade() -> Value {
    object(
        &["app", "to", "at"],
        vec![
            ("app", json!({"type": "string"}), ""),
            ("to", json!({"type": "string"}), "the name of the new version"),
            ("at", reference("length"), "when a user asks for it"),
            ("step", whole(1), "the most that are replaced at a time, instead of the policy's"),
            ("service_scale", number(0.0), "so many times as long work takes"),
            ("healthy", json!({"type": "boolean"}), "whether it ever becomes healthy"),
            (
                "mtbf",
                reference("drawn_length"),
                "until an instance of it ends by itself: a mean, or a law",
            ),
        ],
    )
}

fn fault() -> Value {
    object(
        &[],
        vec![
            ("machine", whole(0), "its number"),
            ("rack", whole(0), "all machines of it"),
            ("app", json!({"type": "string"}), "an instance of it ends by itself"),
            ("at", reference("length"), "from the beginning"),
            ("for", reference("length"), "until it is as before"),
            ("each", words(&["machine", "rack", "instance"]), "that fails by chance"),
            (
                "mtbf",
                reference("drawn_length"),
                "mean time between failures (exponential), or its law",
            ),
            ("mttr", reference("drawn_length"), "mean time to repair (exponential), or its law"),
            ("slowdown", number(1.0), "slow and not down: so many times as long work takes"),
        ],
    )
}

fn app() -> Value {
    let slowdown = json!({
        "type": "object",
        "propertyNames": {"pattern": "^x[0-9.]+$"},
        "additionalProperties": {"type": "number", "minimum": 0},
    });
    object(
        &["instances"],
        vec![
            ("machines", whole(1), "on so many; on all if absent"),
            ("instances", whole(1), "on each machine, in the beginning"),
            ("cores", whole(1), "that each instance holds"),
            ("concurrency", whole(1), "requests that each instance works on at a time"),
            ("cores_per_request", whole(1), "that each of them wants; 1 if absent"),
            ("borrows", json!({"type": "string"}), "the app whose idle instances it borrows"),
            ("slowdown", slowdown, "times as long, by tasks for each core: {x1: 1, x2: 1.15}"),
            (
                "scales",
                object(
                    &[],
                    vec![
                        ("min", whole(0), "instead of the policy's"),
                        ("max", whole(0), "instead of the policy's"),
                    ],
                ),
                "the number of instances follows the load",
            ),
            ("start_up", reference("service"), "of an instance"),
            ("first_start_up", reference("service"), "of the first instance on a machine"),
            (
                "warm_up",
                object(
                    &["over"],
                    vec![
                        ("over", reference("length"), ""),
                        ("weight", reference("part"), "of the full weight, in the beginning"),
                        ("slowdown", number(0.0), "times as long work takes, in the beginning"),
                    ],
                ),
                "how new instances are spared",
            ),
            ("cool_down", reference("length"), "between taking nothing new and going"),
        ],
    )
}

fn retries() -> Value {
    let exponential = object(
        &["first", "most"],
        vec![
            ("first", reference("length"), "before the second attempt"),
            ("most", reference("length"), "it doesn't grow beyond"),
        ],
    );
    let growing = one_of(vec![("exponential", exponential, "twice as long each time")]);
    let back_off = json!({"anyOf": [{"const": "none"}, reference("length"), growing]});
    object(
        &["attempts"],
        vec![
            ("attempts", whole(2), "the most, the first one included; at most 16"),
            ("back_off", back_off, "how long they wait; none if absent"),
            ("jitter", reference("part"), "of each wait, drawn evenly; 0 if absent"),
            ("budget", reference("part"), "of the requests; no limit if absent"),
        ],
    )
}

fn stages() -> Value {
    let link = || {
        object(
            &[],
            vec![
                ("latency", reference("drawn_length"), "until the first byte; none if absent"),
                ("bandwidth", reference("bandwidth"), "of each transfer; no limit if absent"),
                (
                    "machine",
                    reference("bandwidth"),
                    "of all transfers of a machine, which share it; without it they don't hinder each other",
                ),
            ],
        )
    };
    object(
        &[],
        vec![
            ("accept", reference("drawn_length"), "at the gateway"),
            ("dispatch", reference("drawn_length"), "from the gateway to the machine"),
            ("network", link(), "between a machine and the world"),
            ("store", link(), "where sources are kept on a machine: a ramfs or a disk"),
        ],
    )
}

/// A law of times or sizes.
fn law_of(unit: &str) -> Value {
    let quantiles = json!({
        "type": "object",
        "propertyNames": {"pattern": "^p[0-9.]+$"},
        "additionalProperties": reference(unit),
    });
    one_of(vec![
        ("constant", reference(unit), "always the same"),
        ("exponential", reference(unit), "the mean"),
        (
            "lognormal",
            object(
                &["p50", "p99"],
                vec![("p50", reference(unit), ""), ("p99", reference(unit), "")],
            ),
            "by two quantiles",
        ),
        (
            "hyperexponential",
            object(
                &["share", "first", "second"],
                vec![
                    ("share", reference("part"), "of the first"),
                    ("first", reference(unit), "its mean"),
                    ("second", reference(unit), "its mean"),
                ],
            ),
            "one of two exponential laws",
        ),
        ("quantiles", quantiles, "p0, p50, p99.9, p100: straight between them"),
    ])
}

fn arrivals() -> Value {
    let phase = || {
        object(
            &["rate", "lasts"],
            vec![
                ("rate", reference("frequency"), ""),
                ("lasts", reference("length"), "on average"),
            ],
        )
    };
    one_of(vec![
        ("constant", reference("frequency"), "at equal distances"),
        ("poisson", reference("frequency"), "independently of each other"),
        (
            "burst",
            object(
                &["at", "requests"],
                vec![
                    ("at", reference("length"), "when it begins"),
                    ("requests", whole(0), "how many"),
                    ("over", reference("length"), "for how long they come; at once if absent"),
                ],
            ),
            "a backlog",
        ),
        (
            "diurnal",
            object(
                &["mean", "amplitude"],
                vec![
                    ("mean", reference("frequency"), ""),
                    ("amplitude", reference("part"), "of the mean"),
                    ("period", reference("length"), "a day if absent"),
                    ("peak", reference("length"), "when the rate is highest"),
                ],
            ),
            "a rate that swings like a sine",
        ),
        (
            "flash",
            object(
                &["peak", "at", "ramp", "hold", "decay"],
                vec![
                    ("base", reference("frequency"), "before and after"),
                    ("peak", reference("frequency"), ""),
                    ("at", reference("length"), "when it begins"),
                    ("ramp", reference("length"), ""),
                    ("hold", reference("length"), ""),
                    ("decay", reference("length"), ""),
                ],
            ),
            "a rate that goes up, stays and goes down again",
        ),
        (
            "mmpp",
            object(&["quiet", "burst"], vec![("quiet", phase(), ""), ("burst", phase(), "")]),
            "one of two rates in turn",
        ),
        (
            "profile",
            object(
                &["file"],
                vec![
                    ("file", json!({"type": "string"}), "CSV, beside this file"),
                    ("column", json!({"type": "string"}), ""),
                    ("scale", number(0.0), ""),
                    ("repeat", json!({"type": "boolean"}), ""),
                ],
            ),
            "rates from a file",
        ),
    ])
}

#[cfg(test)]
mod tests;

//! Schemas against the readers they speak of, and against the files in the tree.

use std::collections::BTreeSet;
use std::path::Path;

use diagnostics::{Sources, Style, render_all};
use simulator::scenario;

use super::*;

/// Whether a value is as a schema says: the few keywords that are used here.
fn check(schema: &Value, root: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return check(target, root, value, place);
    }
    let wrong = |what: &str| Err(format!("{place}: {what}: {value}"));
    for (keyword, wanted) in [("anyOf", 1..=usize::MAX), ("oneOf", 1..=1)] {
        if let Some(kinds) = schema.get(keyword).and_then(Value::as_array) {
            let fits = kinds.iter().filter(|kind| check(kind, root, value, place).is_ok()).count();
            if !wanted.contains(&fits) {
                return wrong(keyword);
            }
        }
    }
    if let Some(kinds) = schema.get("type") {
        let kinds = kinds.as_array().cloned().unwrap_or_else(|| vec![kinds.clone()]);
        let is = |kind: &Value| match kind.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        };
        if !kinds.iter().any(is) {
            return wrong("type");
        }
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        return wrong("const");
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        return wrong("enum");
    }
    if let (Some(low), Some(number)) = (schema.get("minimum"), value.as_f64())
        && number < low.as_f64().unwrap()
    {
        return wrong("minimum");
    }
    if let (Some(pattern), Some(text)) = (schema.get("pattern"), value.as_str())
        && !regex::Regex::new(pattern.as_str().unwrap()).unwrap().is_match(text)
    {
        return wrong("pattern");
    }
    if let Some(items) = schema.get("items") {
        for (number, item) in value.as_array().unwrap().iter().enumerate() {
            check(items, root, item, &format!("{place}.{number}"))?;
        }
    }
    let Some(map) = value.as_object() else { return Ok(()) };
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !map.contains_key(name.as_str().unwrap()) {
            return wrong(&format!("{name} is missing"));
        }
    }
    for (name, value) in map {
        let place = format!("{place}.{name}");
        match (properties.get(name), schema.get("additionalProperties")) {
            (Some(schema), _) => check(schema, root, value, &place)?,
            (None, None | Some(Value::Bool(true))) => {}
            (None, Some(Value::Bool(false))) => return Err(format!("{place} is not known")),
            (None, Some(schema)) => check(schema, root, value, &place)?,
        }
    }
    Ok(())
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The committed files are what the command prints: `simulator schema NAME > docs/NAME.schema.json`.
#[test]
fn committed_schemas_are_fresh() {
    for (format, name) in
        [(Format::Scenario, "scenario"), (Format::Policy, "policy"), (Format::Results, "results")]
    {
        let path = workspace().join(format!("docs/{name}.schema.json"));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text(format),
            "run `simulator schema {name} > docs/{name}.schema.json`"
        );
    }
}

/// All scenarios of the tree are as the schema says.
#[test]
fn scenarios_are_as_the_schema_says() {
    let schema = scenario();
    let mut count = 0;
    let mut folders = vec![workspace().join("scenarios")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let text = match path.extension().and_then(|extension| extension.to_str()) {
                Some("yml") => std::fs::read_to_string(&path).unwrap(),
                _ => continue,
            };
            let value: Value = serde_yaml::from_str(&text).unwrap();
            // Policies and other files are there, too.
            if value.get("workload").is_none() {
                continue;
            }
            check(&schema, &schema, &value, &path.display().to_string()).unwrap();
            count += 1;
        }
    }
    assert!(count >= 2);
}

/// What the reader says of a scenario that is changed.
fn told(text: &str) -> String {
    let mut sources = Sources::default();
    let source = sources.add("scenario.yml", text);
    let found = scenario::read(source, &[], &mut sources, |_, _| Err("no such file".to_owned()));
    render_all(&found.diagnostics, &sources, Style::Plain)
}

/// The keys that the reader knows somewhere, as it lists them for one that it doesn't know.
fn known(text: &str) -> BTreeSet<String> {
    let told = told(text);
    let (_, list) = told.split_once("= hint: known: ").unwrap_or_else(|| panic!("{told}"));
    list.lines().next().unwrap_or_default().split(", ").map(str::to_owned).collect()
}

/// Each object of the schema has the keys of the reader, no more and no fewer.
#[test]
fn keys_are_those_of_the_reader() {
    let schema = scenario();
    for (place, text) in [
        ("/$defs/service", "cmds: {a: {app: a, service: {0xyzzy0: 1}}}"),
        ("/$defs/arrivals", "workload: [{tenants: a, cmd: a, arrivals: {0xyzzy0: 1}}]"),
    ] {
        let kinds = schema.pointer(place).unwrap()["oneOf"].as_array().unwrap();
        let names = kinds.iter().flat_map(|kind| kind["properties"].as_object().unwrap().keys());
        assert_eq!(known(text), names.cloned().collect(), "{place}");
    }
    let policy = |text: &str| format!("policy: {{preset: original, {text}}}");
    let rule = |name: &str| policy(&format!("scaling: {{{name}: {{0xyzzy0: 1}}}}"));
    let table = [
        ("", "0xyzzy0: 1".to_owned()),
        ("/properties/gateways/anyOf/1", "gateways: {0xyzzy0: 1}".to_owned()),
        ("/$defs/scheduler", "scheduler: {0xyzzy0: 1}".to_owned()),
        ("/$defs/upgrade", "upgrades: [{0xyzzy0: 1}]".to_owned()),
        ("/$defs/fault", "faults: [{0xyzzy0: 1}]".to_owned()),
        ("/$defs/app", "apps: {a: {0xyzzy0: 1}}".to_owned()),
        ("/$defs/app/properties/scales", "apps: {a: {scales: {0xyzzy0: 1}}}".to_owned()),
        ("/$defs/app/properties/warm_up", "apps: {a: {warm_up: {0xyzzy0: 1}}}".to_owned()),
        ("/$defs/cmd", "cmds: {a: {0xyzzy0: 1}}".to_owned()),
        ("/$defs/tenants", "tenants: {a: {0xyzzy0: 1}}".to_owned()),
        ("/$defs/source", "workload: [{0xyzzy0: 1}]".to_owned()),
        ("/$defs/replay", "replay: {0xyzzy0: 1}".to_owned()),
        ("/$defs/policy", policy("0xyzzy0: 1")),
        ("/$defs/policy/properties/admission", policy("admission: {0xyzzy0: 1}")),
        (
            "/$defs/policy/properties/admission/properties/accept",
            policy("admission: {accept: {0xyzzy0: 1}}"),
        ),
        (
            "/$defs/policy/properties/admission/properties/user",
            policy("admission: {user: {0xyzzy0: 1}}"),
        ),
        (
            "/$defs/policy/properties/admission/properties/adaptive",
            policy("admission: {adaptive: {0xyzzy0: 1}}"),
        ),
        (
            "/$defs/policy/properties/admission/properties/adaptive/properties/shares",
            policy("admission: {adaptive: {rule: vegas, shares: {0xyzzy0: 1}}}"),
        ),
        (
            "/$defs/policy/properties/admission/properties/overload",
            policy("admission: {overload: {0xyzzy0: 1}}"),
        ),
        ("/$defs/policy/properties/queue", policy("queue: {0xyzzy0: 1}")),
        (
            "/$defs/policy/properties/queue/properties/overload",
            policy("queue: {overload: {0xyzzy0: 1}}"),
        ),
        ("/$defs/policy/properties/balance", policy("balance: {0xyzzy0: 1}")),
        ("/$defs/policy/properties/scaling", policy("scaling: {0xyzzy0: 1}")),
        ("/$defs/policy/properties/scaling/properties/hpa", rule("hpa")),
        ("/$defs/policy/properties/scaling/properties/kpa", rule("kpa")),
        ("/$defs/policy/properties/scaling/properties/keda", rule("keda")),
        ("/$defs/policy/properties/scaling/properties/arrivals", rule("arrivals")),
        (
            "/$defs/policy/properties/scaling/properties/hpa/properties/up",
            policy("scaling: {hpa: {up: {0xyzzy0: 1}}}"),
        ),
        (
            "/$defs/policy/properties/scaling/properties/schedule/items",
            policy("scaling: {schedule: [{0xyzzy0: 1}]}"),
        ),
        ("/$defs/policy/properties/rollout", policy("rollout: {0xyzzy0: 1}")),
        ("/$defs/policy/properties/repair", policy("repair: {0xyzzy0: 1}")),
        ("/$defs/policy/properties/sharing", policy("sharing: {0xyzzy0: 1}")),
    ];
    for (place, text) in table {
        let object = schema.pointer(place).unwrap();
        let listed = object["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(known(&text), listed, "{place}");
        assert_eq!(object["additionalProperties"], false, "{place}");
    }
}

/// The units of the schema are those of the reader.
#[test]
fn units_are_those_of_the_reader() {
    let schema = scenario();
    let accepts = |name: &str, value: &Value| check(&reference(name), &schema, value, "").is_ok();
    for (name, key, values) in [
        ("length", "duration", ["10s", "1h 30min", "5", "3m", "1.5 s", "10s "].as_slice()),
        ("frequency", "rate", &["10/s", "2.5k/s", "600 / min", "10", "1/m", "3M/h"]),
    ] {
        for value in values {
            let text = match key {
                "duration" => format!("duration: \"{value}\""),
                _ => {
                    format!(
                        "workload: [{{tenants: a, cmd: a, arrivals: {{poisson: \"{value}\"}}}}]"
                    )
                }
            };
            let is_read = !told(&text).contains("[yaml-value]");
            assert_eq!(accepts(name, &json!(value)), is_read, "{name} {value}: {}", told(&text));
        }
    }
}

//! `_gather`: several modules that gather facts as one call (`facts_modules`), one after the other
//! or side by side; what they say is merged.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

use super::own::{self, Program};
use crate::module::{Contents, Context, Failure, ModuleFunction, Outcome, arguments};

/// How often it is looked whether the call is to stop, in milliseconds.
const LOOK_MS: u64 = 20;

#[derive(Debug, Deserialize)]
struct Given {
    calls: Vec<Inner>,
    is_parallel: bool,
    /// How long each may take, side by side.
    limit_s: Option<u64>,
    #[serde(default)]
    warnings: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    /// As configured.
    name: String,
    module: String,
    arguments: Object,
}

/// What is ready to run.
enum Ready {
    Built(ModuleFunction, Object),
    Own(Box<Program>),
}

/// Nothing more can be asked for once the modules run.
struct NoContents;

impl Contents for NoContents {
    fn open(&mut self, _sha256: &str) -> Result<Box<dyn Read + '_>, Failure> {
        Err(Failure::new("modules that gather facts get no contents"))
    }
}

/// Gathers facts with several modules.
///
/// # Errors
/// When one of them fails.
pub fn gather(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: Given = arguments(given)?;
    let mut ready = Vec::new();
    for call in &given.calls {
        ready.push(match call.module.as_str() {
            "_own" => Ready::Own(Box::new(own::program(&call.arguments, context)?)),
            name => match crate::modules::find(name) {
                Some(module) => Ready::Built(module, call.arguments.clone()),
                None => return Err(Failure::new(format!("this helper has no module `{name}`"))),
            },
        });
    }
    let limit = given.limit_s.filter(|_| given.is_parallel).map(Duration::from_secs);
    let results = run(&ready, given.is_parallel, limit, context);
    merged(&given, results)
}

/// Runs all; each result is in its place.
fn run(
    ready: &[Ready],
    is_parallel: bool,
    limit: Option<Duration>,
    context: &Context<'_>,
) -> Vec<Result<Outcome, Failure>> {
    let stop = AtomicBool::new(false);
    let (check, environment) = (context.check, &context.environment);
    let run_one = |one: &Ready| {
        let began = Instant::now();
        let is_over = || limit.is_some_and(|limit| began.elapsed() >= limit);
        let stopped = || stop.load(Ordering::Relaxed) || is_over();
        let mut context = Context {
            check,
            diff: false,
            environment: environment.clone(),
            contents: &mut NoContents,
            record_intent: &mut || Ok(()),
            stopped: &stopped,
        };
        let ended = match one {
            Ready::Built(module, arguments) => module(arguments, &mut context),
            Ready::Own(program) => program.run(&mut context),
        };
        match ended {
            Err(failure) if is_over() => Err(Failure {
                message: "Timeout exceeded: it took longer than gather_timeout".to_owned(),
                ..failure
            }),
            ended => ended,
        }
    };
    thread::scope(|scope| {
        let run_one = &run_one;
        let mut results = Vec::new();
        let groups: Vec<&[Ready]> = match is_parallel {
            true => vec![ready],
            false => ready.chunks(1).collect(),
        };
        for group in groups {
            let threads: Vec<_> =
                group.iter().map(|one| scope.spawn(move || run_one(one))).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                if (context.stopped)() {
                    stop.store(true, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(LOOK_MS));
            }
            for thread in threads {
                let gone = || Err(Failure::new("a module that gathers facts broke off"));
                results.push(thread.join().unwrap_or_else(|_| gone()));
            }
        }
        results
    })
}

/// One result of all: facts are merged in order, failures are named.
fn merged(given: &Given, results: Vec<Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    let mut facts = Object::new();
    let mut failed = Object::new();
    let mut skipped = Object::new();
    let mut warnings = given.warnings.clone();
    let mut reasons = Vec::new();
    for (call, result) in given.calls.iter().zip(results) {
        let mut values = match result {
            Ok(outcome) if outcome.skipped.is_some() => {
                skipped.insert(call.name.clone(), Value::Object(outcome.values));
                continue;
            }
            Ok(outcome) => outcome.values,
            Err(failure) => {
                let mut values = failure.values;
                values.insert("failed".into(), true.into());
                values.insert("msg".into(), failure.message.into());
                values
            }
        };
        if let Some(Value::Array(more)) = values.shift_remove("warnings") {
            warnings.extend(more);
        }
        if values.get("failed") == Some(&Value::Bool(true)) {
            let reason = values.get("msg").and_then(Value::as_str).unwrap_or_default();
            reasons.push(format!("{}: {reason}", call.name));
            failed.insert(call.name.clone(), Value::Object(values));
            continue;
        }
        if let Some(Value::Object(more)) = values.shift_remove("ansible_facts") {
            merge(&mut facts, more);
        }
    }
    facts.insert("_ansible_facts_gathered".into(), true.into());
    let mut outcome = Outcome::new(false).with("ansible_facts", Value::Object(facts));
    if !warnings.is_empty() {
        outcome = outcome.with("warnings", warnings);
    }
    if !skipped.is_empty() {
        outcome = outcome.with("skipped_modules", Value::Object(skipped));
    }
    if failed.is_empty() {
        return Ok(outcome);
    }
    let names: Vec<&str> = failed.keys().map(String::as_str).collect();
    let message = format!(
        "The following modules failed to execute: {}\n{}",
        names.join(", "),
        reasons.join("\n")
    );
    let mut values = outcome.values;
    values.insert("failed_modules".into(), Value::Object(failed));
    Err(Failure { message, values })
}

/// Later facts over earlier ones: mappings are merged, lists get what they lack at their end.
fn merge(facts: &mut Object, more: Object) {
    for (name, value) in more {
        match (facts.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) => {
                old.retain(|item| !new.contains(item));
                old.extend(new);
            }
            (_, value) => {
                facts.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::{context, object};

    fn programs(texts: &[&str], is_parallel: bool, limit_s: Value) -> Result<Outcome, Failure> {
        let mut bench = context();
        let mut calls = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let digest = number.to_string();
            bench.contents.0.insert(digest.clone(), text.as_bytes().to_vec());
            calls.push(json!({"name": format!("m{number}"), "module": "_own", "arguments": {
                "name": "m", "source": "m", "entry": "m", "kind": "pairs", "program": ["/bin/sh"],
                "is_python": false, "arguments": {}, "internal": {},
                "_content": {"sha256": digest, "size": text.len()},
            }}));
        }
        let given = json!({"calls": calls, "is_parallel": is_parallel, "limit_s": limit_s});
        bench.call(gather, given)
    }

    #[test]
    fn facts_of_several_modules_are_merged() {
        let one = r#"echo '{"ansible_facts": {"a": 1, "d": {"x": 1, "y": 1}, "l": [1, 3, 5]}}'"#;
        let two = r#"echo '{"ansible_facts": {"b": 2, "d": {"y": 2}, "l": [1, 2]}}'"#;
        let outcome = programs(&[one, two], false, Value::Null).unwrap();
        let expected = json!({"a": 1, "b": 2, "d": {"x": 1, "y": 2}, "l": [3, 5, 1, 2],
            "_ansible_facts_gathered": true});
        assert_eq!(outcome.values["ansible_facts"], expected);
    }

    #[test]
    fn modules_run_side_by_side_if_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let shown = folder.path().display();
        // Each waits for the other's file.
        let text = |own: u8, other: u8| {
            format!(
                "touch {shown}/{own}; while ! [ -e {shown}/{other} ]; do sleep 0.01; done; echo '{{}}'"
            )
        };
        let (one, other) = (text(1, 2), text(2, 1));
        assert!(programs(&[&one, &other], true, json!(20)).is_ok());
        let slow = programs(&["sleep 20; echo '{}'"], true, json!(1)).unwrap_err();
        assert!(slow.message.contains("Timeout exceeded"), "{}", slow.message);
        let mut facts = object(json!({"l": [1]}));
        merge(&mut facts, object(json!({"l": [1, 1]})));
        assert_eq!(facts["l"], json!([1, 1]));
    }
}

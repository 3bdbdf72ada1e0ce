//! Apps of Marathon as they are read, and as they are shown again: `tests/apps/NAME.json` has the app
//! and what comes of it. `UPDATE_GOLDEN=1` writes what comes of it anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads its files"
)]

use std::fs;
use std::path::PathBuf;

use policy::Nanoseconds;
use scheduler_core::app::{Bounds, Run};
use scheduler_marathon::show::{View, version};
use scheduler_marathon::{Base, Given, WITHHELD, name, read};
use serde_json::{Map, Value, json};

const LABEL: &str = "2026-11-28T15:06:12.345Z";
const VIEW: View = View { shows_values: true, is_local: false };

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn given(app: &Value) -> Given {
    read(&fields(app), None, LABEL).unwrap()
}

fn shown(id: &str, given: &Given, view: View) -> Value {
    version(&name(id).unwrap(), &given.specification, given.bounds.max, view)
}

/// What comes of an app.
fn outcome(app: &Value) -> Value {
    let id = app["id"].as_str().unwrap();
    let mut wrong: Vec<Value> = Vec::new();
    if let Err(one) = name(id) {
        wrong.push(json!([one.path, one.why]));
    }
    match read(&fields(app), None, LABEL) {
        Err(found) => {
            wrong.extend(found.into_iter().map(|one| json!([one.path, one.why])));
            json!({ "wrong": wrong })
        }
        Ok(given) if wrong.is_empty() => {
            json!({"step": given.step, "shown": shown(id, &given, VIEW)})
        }
        Ok(_) => json!({ "wrong": wrong }),
    }
}

#[test]
fn apps_are_read_and_shown() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/apps");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let app = &document["app"];
        let found = outcome(app);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let mut written = json!({ "app": app });
            written.as_object_mut().unwrap().extend(fields(&found));
            fs::write(&file, format!("{written:#}\n")).unwrap();
            continue;
        }
        for (part, value) in fields(&found) {
            assert_eq!(document[&part], value, "{part} of {}", file.display());
        }
        // What is shown can be sent back, and means the same.
        if let Some(shown) = found.get("shown") {
            let once = given(app);
            let again = given(shown);
            assert_eq!(again.specification, once.specification, "{}", file.display());
            assert_eq!(again.bounds, once.bounds);
        }
    }
}

#[test]
fn a_change_keeps_what_it_does_not_say() {
    let app = json!({"id": "/web", "cmd": "x", "cpus": 2, "labels": {"a": "b"}, "ports": [0, 0],
                     "env": {"A": "1"}, "healthChecks": [{"protocol": "TCP", "portIndex": 1}]});
    let mut old = given(&app);
    // Marathon has no word for these.
    old.specification.warm_up = Some(Nanoseconds::from_seconds(7));
    let base = Base { specification: &old.specification, bounds: Bounds { min: 2, max: 5 } };
    let change = |value: Value| read(&fields(&value), Some(base), LABEL).unwrap();
    let same = change(json!({}));
    assert_eq!(same.specification, old.specification);
    assert_eq!(same.bounds, base.bounds);
    let scaled = change(json!({"instances": 9}));
    assert_eq!(scaled.specification, old.specification);
    assert_eq!(scaled.bounds, Bounds { min: 9, max: 9 });
    let changed = change(json!({"cmd": "y", "env": {"B": "2"}}));
    let Run::Command(words) = &changed.specification.run else { panic!() };
    assert_eq!(words[2], "y");
    assert_eq!(changed.specification.environment["B"], "2");
    assert!(!changed.specification.environment.contains_key("A"), "the whole object is replaced");
    assert_eq!(changed.specification.warm_up, old.specification.warm_up);
    let shown = shown("web", &changed, VIEW);
    assert_eq!(shown["labels"], json!({"a": "b"}));
    assert_eq!(shown["portDefinitions"].as_array().unwrap().len(), 2);
}

#[test]
fn values_can_be_withheld_and_then_never_come_back() {
    let app = given(&json!({"id": "/web", "cmd": "x", "env": {"KEY": "secret"}}));
    let hidden = shown("web", &app, View { shows_values: false, is_local: true });
    assert_eq!(hidden["env"], json!({"KEY": WITHHELD}));
    let wrong = read(&fields(&hidden), None, LABEL).unwrap_err();
    assert_eq!(wrong[0].path, "/env/KEY");
}

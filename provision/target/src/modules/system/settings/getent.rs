//! `getent`.

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

use super::super::facts::object;
use super::super::process::Run;
use crate::module::{Context, Failure, Outcome, arguments};

/// Databases whose fields are separated by colons.
const COLONS: &[&str] = &["passwd", "shadow", "group", "gshadow"];

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct GetentArguments {
    database: String,
    key: Option<String>,
    service: Option<String>,
    split: Option<String>,
    #[serde(default = "yes")]
    fail_key: bool,
}

/// `getent`: reads the databases of the name service switch.
///
/// # Errors
/// When there is no such database or entry.
pub fn getent(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: GetentArguments = arguments(given)?;
    let mut run = Run::tool("getent")?;
    if let Some(service) = &given.service {
        run = run.arguments(["-s", service]);
    }
    let finished =
        run.argument("--").argument(&given.database).arguments(&given.key).run(context)?;
    let colon = COLONS.contains(&given.database.as_str()).then_some(":");
    let split = given.split.as_deref().or(colon).filter(|split| !split.is_empty());
    let fact = format!("getent_{}", given.database);
    let facts = |records: Object| object([(fact.as_str(), records.into())]);
    let message = match finished.rc {
        0 => {
            let records = parse(&finished.stdout_text(), split);
            return Ok(Outcome::new(false).with("ansible_facts", facts(records)));
        }
        1 => "Missing arguments, or database unknown.",
        2 => "One or more supplied key could not be found in the database.",
        3 => "Enumeration not supported on this database.",
        _ => "Unexpected failure!",
    };
    match given.key {
        Some(key) if finished.rc == 2 && !given.fail_key => {
            let records = [(key, Value::Null)].into_iter().collect();
            Ok(Outcome::new(false).with("ansible_facts", facts(records)).with("msg", message))
        }
        _ => Err(Failure::new(message)),
    }
}

/// Fields by the first one; several lines of one key become a list.
fn parse(text: &str, split: Option<&str>) -> Object {
    let mut records = Object::new();
    let mut repeated: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut fields: Vec<&str> = match split {
            Some(separator) => line.split(separator).collect(),
            None => line.split_whitespace().collect(),
        };
        if fields.is_empty() {
            continue;
        }
        let key = fields.remove(0).to_owned();
        let fields = Value::from(fields);
        match records.get_mut(&key) {
            None => {
                records.insert(key, fields);
            }
            Some(Value::Array(lists)) if repeated.contains(&key) => lists.push(fields),
            Some(first) => {
                *first = Value::Array(vec![first.take(), fields]);
                repeated.push(key);
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn records() {
        let text = "10.0.0.1 a b\n10.0.0.1 c\n10.0.0.1 d\n::1 x\n";
        assert_eq!(
            Value::Object(parse(text, None)),
            json!({"10.0.0.1": [["a", "b"], ["c"], ["d"]], "::1": ["x"]})
        );
    }

    #[test]
    fn databases_of_this_machine() {
        let outcome = context().call(getent, json!({"database": "passwd", "key": "root"})).unwrap();
        assert_eq!(outcome.values["ansible_facts"]["getent_passwd"]["root"][1], "0");
        let mut given = json!({"database": "passwd", "key": "no-such-user"});
        assert!(context().call(getent, given.clone()).is_err());
        given["fail_key"] = json!(false);
        let outcome = context().call(getent, given).unwrap();
        assert_eq!(outcome.values["ansible_facts"]["getent_passwd"], json!({"no-such-user": null}));
    }
}

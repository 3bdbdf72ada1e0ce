//! Where an app may run, in Marathon's words and the core's.

use std::collections::BTreeSet;

use scheduler_core::app::Constraint;
use scheduler_core::ids::MachineName;
use serde_json::{Value, json};

use crate::read::Wrong;

/// Letters that mean something else than themselves in a regular expression.
const SPECIAL: &[char] = &['.', '*', '+', '?', '(', ')', '[', ']', '{', '}', '^', '$', '|', '\\'];

pub(crate) fn read(value: &Value, wrong: &mut Vec<Wrong>) -> Vec<Constraint> {
    let Some(list) = value.as_array() else {
        wrong.push(Wrong::new("/constraints", "a list is expected"));
        return Vec::new();
    };
    let mut constraints = Vec::new();
    for (number, one) in list.iter().enumerate() {
        match constraint(one) {
            Ok(one) => constraints.extend(one),
            Err(why) => wrong.push(Wrong::new(&format!("/constraints({number})"), why)),
        }
    }
    constraints
}

/// One constraint; none if it is kept anyway.
fn constraint(value: &Value) -> Result<Option<Constraint>, String> {
    let words: Option<Vec<&str>> = match value {
        Value::Array(words) => words.iter().map(Value::as_str).collect(),
        // The form of newer versions.
        Value::Object(fields) => {
            let word = |name: &str| fields.get(name).and_then(Value::as_str);
            match (word("fieldName"), word("operator"), word("value")) {
                (Some(field), Some(operator), Some(value)) => Some(vec![field, operator, value]),
                (Some(field), Some(operator), None) => Some(vec![field, operator]),
                _ => None,
            }
        }
        _ => None,
    };
    let words = words.ok_or("a list of words is expected, such as [\"hostname\", \"UNIQUE\"]")?;
    let (field, operator, value) = match words.as_slice() {
        [field, operator] => (*field, *operator, None),
        [field, operator, value] => (*field, *operator, Some(*value)),
        _ => return Err("two or three words are expected".to_owned()),
    };
    let is_host = matches!(field, "hostname" | "@hostname");
    if field.starts_with('@') && !is_host {
        return Err(format!("`{field}` is not known: name an attribute of machines"));
    }
    let value = value.filter(|value| !value.is_empty());
    let needs = || value.ok_or_else(|| format!("{operator} needs a value"));
    match operator {
        "UNIQUE" if is_host => Ok(Some(Constraint::MostPerMachine(1))),
        "MAX_PER" if is_host => {
            let most = needs()?.parse().map_err(|_| "MAX_PER needs a number".to_owned())?;
            Ok(Some(Constraint::MostPerMachine(most)))
        }
        // Instances are spread over machines as evenly as possible in any case.
        "GROUP_BY" if is_host => Ok(None),
        "CLUSTER" | "IS" => attribute(field, is_host, BTreeSet::from([needs()?.to_owned()])),
        "LIKE" => attribute(field, is_host, alternatives(needs()?)?),
        "UNLIKE" if !is_host => {
            let values = alternatives(needs()?)?;
            Ok(Some(Constraint::NotAttribute { name: field.to_owned(), values }))
        }
        "UNLIKE" => Err("machines can't be excluded by name: drain them".to_owned()),
        "UNIQUE" | "MAX_PER" | "GROUP_BY" => {
            Err(format!("{operator} is only possible for hostname"))
        }
        _ => Err(format!("there is no operator {operator}")),
    }
}

fn attribute(
    field: &str,
    is_host: bool,
    values: BTreeSet<String>,
) -> Result<Option<Constraint>, String> {
    if !is_host {
        return Ok(Some(Constraint::Attribute { name: field.to_owned(), values }));
    }
    let machines = values.iter().map(|name| name.parse::<MachineName>());
    let machines: Result<BTreeSet<MachineName>, _> = machines.collect();
    machines.map(|names| Some(Constraint::Machines(names))).map_err(|error| error.to_string())
}

/// The words between which a regular expression chooses; all others are refused.
fn alternatives(expression: &str) -> Result<BTreeSet<String>, String> {
    let other = || {
        format!("`{expression}` is a regular expression; only words with | between are possible")
    };
    let inner =
        expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(expression);
    let (mut words, mut word) = (BTreeSet::new(), String::new());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(letter) if SPECIAL.contains(&letter) => word.push(letter),
                _ => return Err(other()),
            },
            '|' => drop(words.insert(std::mem::take(&mut word))),
            letter if SPECIAL.contains(&letter) => return Err(other()),
            letter => word.push(letter),
        }
    }
    words.insert(word);
    if words.contains("") { Err(other()) } else { Ok(words) }
}

/// Constraints in Marathon's words.
pub(crate) fn show(constraints: &[Constraint]) -> Value {
    let either = |values: &mut dyn Iterator<Item = &str>| -> String {
        let escaped = values.map(|value| {
            value.chars().fold(String::new(), |mut text, letter| {
                if SPECIAL.contains(&letter) {
                    text.push('\\');
                }
                text.push(letter);
                text
            })
        });
        escaped.collect::<Vec<_>>().join("|")
    };
    let word = |constraint: &Constraint| match constraint {
        Constraint::Attribute { name, values } => {
            json!([name, "LIKE", either(&mut values.iter().map(String::as_str))])
        }
        Constraint::NotAttribute { name, values } => {
            json!([name, "UNLIKE", either(&mut values.iter().map(String::as_str))])
        }
        Constraint::Machines(names) => {
            json!(["hostname", "LIKE", either(&mut names.iter().map(MachineName::as_str))])
        }
        Constraint::MostPerMachine(1) => json!(["hostname", "UNIQUE"]),
        Constraint::MostPerMachine(most) => json!(["hostname", "MAX_PER", most.to_string()]),
    };
    constraints.iter().map(word).collect()
}

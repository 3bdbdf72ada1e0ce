//! `debconf`.

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

use super::super::facts::object;
use super::super::process::Run;
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Outcome, arguments};

#[derive(Debug, Deserialize)]
struct DebconfArguments {
    name: String,
    question: Option<String>,
    vtype: Option<String>,
    value: Option<Value>,
    #[serde(default)]
    unseen: bool,
}

/// `debconf`: sets answers to questions of packages.
///
/// # Errors
/// When debconf refuses.
pub fn debconf(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: DebconfArguments = arguments(given)?;
    let shown = Run::tool("debconf-show")?.parsable().argument(&given.name).succeed(context)?;
    let before = answers(&shown.stdout_text());
    let (question, kind, value) = match (&given.question, &given.vtype, &given.value) {
        (None, None, None) => return Ok(Outcome::new(false).with("current", before)),
        (Some(question), Some(kind), Some(value)) => {
            (question, kind.as_str(), text(value, kind == "multiselect")?)
        }
        _ => {
            return Err(Failure::new(
                "when supplying a question you must supply a valid vtype and value",
            ));
        }
    };
    let value = if kind == "boolean" { value.to_lowercase() } else { value };
    if question.contains(char::is_whitespace) || value.contains(['\n', '\r']) {
        return Err(Failure::new("questions can't contain blanks, answers no line ends"));
    }
    let present = before.get(question).and_then(Value::as_str).map(str::to_owned);
    let is_same = match (&present, kind) {
        (None, _) => false,
        (Some(present), "boolean") => present.to_lowercase() == value,
        // debconf-show hides passwords.
        (Some(_), "password") => password(&given.name, question, context)?.as_ref() == Some(&value),
        // The order of a list means nothing; a text is meant as it is.
        (Some(present), "multiselect") if matches!(given.value, Some(Value::Array(_))) => {
            items(present) == items(&value)
        }
        (Some(present), _) => *present == value,
    };
    let mut outcome = Outcome::new(!is_same);
    if is_same {
        return Ok(outcome.with("current", before).with("msg", ""));
    }
    let is_secret = kind == "password";
    let after = if is_secret { "VALUE_HIDDEN" } else { value.as_str() };
    if context.diff {
        let mut change = AttributeChange::default();
        let before = if is_secret { Some(String::new()) } else { present.clone() };
        change.note(question, before, after);
        outcome.diff.push(change.diff());
    }
    if !context.check {
        context.about_to_change()?;
        let mut run = Run::tool("debconf-set-selections")?.parsable();
        if given.unseen {
            run = run.argument("-u");
        }
        let line = format!("{} {question} {kind} {value}\n", given.name);
        run.input(line.into_bytes()).succeed(context)?;
    }
    let previous = object([(question.as_str(), present.unwrap_or_default().into())]);
    Ok(outcome
        .with("msg", "")
        .with("current", object([(question.as_str(), after.into())]))
        .with("previous", previous))
}

/// The answer as debconf stores it; the chosen ones of several in order.
fn text(value: &Value, is_choice: bool) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            let mut texts = texts.ok_or_else(|| {
                Failure::new(format!("Invalid value provided for 'multiselect': {value}"))
            })?;
            if is_choice {
                texts.sort_unstable();
            }
            Ok(texts.join(", "))
        }
        other => Ok(other.to_string()),
    }
}

fn items(text: &str) -> Vec<&str> {
    let mut items: Vec<&str> = text.split(',').map(str::trim).collect();
    items.sort_unstable();
    items
}

/// Lines like `* package/question: answer`; a star marks what was seen.
fn answers(text: &str) -> Object {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(question, answer)| {
            (question.trim_matches(['*', ' ']).to_owned(), answer.trim().into())
        })
        .collect()
}

/// A password as `debconf-get-selections` of debconf-utils shows it.
fn password(
    package: &str,
    question: &str,
    context: &Context<'_>,
) -> Result<Option<String>, Failure> {
    let finished = Run::tool("debconf-get-selections")?.parsable().succeed(context)?;
    let text = finished.stdout_text();
    Ok(text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            [owner, name, "password", value, ..] if *owner == package && *name == question => {
                Some((*value).to_owned())
            }
            _ => None,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answers = answers("* tzdata/Areas: Etc\n  locales/default: en_US: x\nbroken\n");
        assert_eq!(answers["tzdata/Areas"], "Etc");
        assert_eq!(answers["locales/default"], "en_US: x");
        assert_eq!(answers.len(), 2);
        assert_eq!(items("b, a"), ["a", "b"]);
        assert_eq!(text(&serde_json::json!(["b", "a"]), true).unwrap(), "a, b");
        assert!(text(&serde_json::json!(["a", 1]), true).is_err());
    }
}

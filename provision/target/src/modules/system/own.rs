//! `_own`: a program of the user's own, sent by the controller. It gets its arguments in one of
//! the ways that Ansible documents for modules, and says in JSON what it did.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use provision_protocol::{ContentReference, Object};
use serde::Deserialize;
use serde_json::Value;

use super::private::PrivateFolder;
use super::process::{Finished, Run, RunError, find_program};
use super::words::quote;
use crate::module::{Context, Failure, Outcome, arguments};

/// Where Python is looked for unless `ansible_python_interpreter` says it, in order.
const PYTHONS: &[&str] = &[
    "/usr/bin/python3",
    "python3",
    "/usr/local/bin/python3",
    "/usr/libexec/platform-python",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
    "python3.9",
    "python3.8",
    "python3.7",
    "python3.6",
];

/// What stands for the arguments in the text of a program: as JSON, and as a literal of Python.
const JSON_MARK: &str = "<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>";
const LITERAL_MARK: &str = "\"<<INCLUDE_ANSIBLE_MODULE_COMPLEX_ARGS>>\"";
const VERSION_MARK: &str = "\"<<ANSIBLE_VERSION>>\"";

/// A call as the controller prepared it.
#[derive(Debug, Deserialize)]
struct Call {
    /// The module's name.
    name: String,
    /// The program's path on the controller, for messages.
    source: String,
    /// The name that Python imports it by, or that of its file.
    entry: String,
    kind: Kind,
    /// The words that start it; none: Python, or the program itself.
    program: Vec<String>,
    is_python: bool,
    #[serde(default)]
    is_asynchronous: bool,
    arguments: Object,
    /// What Ansible tells modules besides.
    internal: Object,
    _content: ContentReference,
}

/// How it gets its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// On its standard input, by the archive's start program.
    Python,
    /// In a file with JSON.
    Json,
    /// Likewise; the program is started itself.
    Binary,
    /// In its own text.
    Inside,
    /// In a file with `key=value` words.
    Pairs,
}

/// Runs a program of the user's own.
///
/// # Errors
/// When it can't be started or says nothing that is a result.
pub fn own(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    program(given, context)?.run(context)
}

/// A program of the user's own that is on the host.
pub(super) struct Program {
    call: Call,
    words: Vec<String>,
    bytes: Vec<u8>,
}

/// Fetches a program of the user's own.
///
/// # Errors
/// When it isn't there, or nothing that could run it.
pub(super) fn program(given: &Object, context: &mut Context<'_>) -> Result<Program, Failure> {
    let call: Call = arguments(given)?;
    let words = start_of(&call)?;
    let mut bytes = Vec::new();
    context
        .contents
        .open(&call._content.sha256)?
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&call, &error))?;
    Ok(Program { call, words, bytes })
}

impl Program {
    /// Runs it and reads what it says.
    ///
    /// # Errors
    /// When it can't be started or says nothing that is a result.
    pub(super) fn run(&self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let folder = PrivateFolder::for_programs()?;
        let run = prepared(self, &folder, context)?;
        context.about_to_change()?;
        let finished = run.run(context).map_err(|error| not_started(&self.call, error))?;
        result(&self.call, &finished)
    }
}

/// The words that start the program.
fn start_of(call: &Call) -> Result<Vec<String>, Failure> {
    if !call.program.is_empty() || !call.is_python {
        return Ok(call.program.clone());
    }
    let python = PYTHONS.iter().find_map(|name| find_program(name));
    let Some(python) = python else {
        return Err(Failure::new(format!(
            "this host has no python3, which the module {} is written in; install it, or set \
             ansible_python_interpreter",
            call.source
        ))
        .with("rc", 127));
    };
    Ok(vec![python.to_string_lossy().into_owned()])
}

fn not_started(call: &Call, error: RunError) -> Failure {
    match error {
        RunError::Start { program, error } => Failure::new(format!(
            "failed to start the module {} with {program}: {error} (The module interpreter \
             '{program}' was not found.)",
            call.source
        ))
        .with("rc", 127),
        other => other.into(),
    }
}

/// Everything that the program is told.
fn told(call: &Call, folder: &Path, context: &Context<'_>) -> Object {
    let mut told = call.arguments.clone();
    told.extend(call.internal.clone());
    told.insert("_ansible_check_mode".into(), context.check.into());
    told.insert("_ansible_diff".into(), context.diff.into());
    let folder = folder.to_string_lossy().into_owned();
    told.insert("_ansible_tmpdir".into(), folder.into());
    told.insert("_ansible_remote_tmp".into(), "~/.ansible/tmp".into());
    told
}

/// Puts the program and its arguments into the folder.
fn prepared(
    program: &Program,
    folder: &PrivateFolder,
    context: &Context<'_>,
) -> Result<Run, Failure> {
    let call = &program.call;
    let told = told(call, folder.path(), context);
    let bytes: Cow<'_, [u8]> = match call.kind {
        Kind::Inside => filled_in(&program.bytes, &told).into(),
        _ => program.bytes.as_slice().into(),
    };
    let mut program = program.words.clone();
    let name = match call.kind {
        Kind::Python => "module.zip",
        _ => call.entry.as_str(),
    };
    let path = folder.write(name, &bytes, 0o700)?;
    program.push(path.to_string_lossy().into_owned());
    let input = match call.kind {
        Kind::Python => {
            let mut start = Object::new();
            start.insert("entry".into(), call.entry.clone().into());
            start.insert("source".into(), call.source.clone().into());
            start.insert("arguments".into(), Value::Object(told));
            Some(json_text(&start))
        }
        Kind::Json | Kind::Binary => {
            program.push(shown(&folder.write("arguments.json", &json_text(&told), 0o600)?));
            None
        }
        Kind::Pairs => {
            program.push(shown(&folder.write("arguments", pairs(&told).as_bytes(), 0o600)?));
            None
        }
        Kind::Inside => None,
    };
    let mut words = program.into_iter();
    let run = Run::new(words.next().unwrap_or_default()).arguments(words);
    Ok(match input {
        Some(input) => run.input(input),
        None => run,
    })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn unreadable(call: &Call, error: &io::Error) -> Failure {
    Failure::system("receive", &PathBuf::from(&call.source), error)
}

fn json_text(object: &Object) -> Vec<u8> {
    serde_json::to_vec(object).unwrap_or_default()
}

/// `key=value` words as the shell reads them.
fn pairs(told: &Object) -> String {
    let mut text = String::new();
    for (name, value) in told {
        text.push_str(&format!("{name}={} ", quote(&python_text(value))));
    }
    text
}

/// A value as Python shows it: modules of this kind expect `True`.
fn python_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => python_literal(other),
    }
}

fn python_literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let text = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
            format!("'{text}'")
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python_literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| {
                format!(
                    "{}: {}",
                    python_literal(&Value::String(key.clone())),
                    python_literal(value)
                )
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// The program's text with its arguments in it.
fn filled_in(bytes: &[u8], told: &Object) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    let json = String::from_utf8_lossy(&json_text(told)).into_owned();
    let version = told.get("_ansible_version").and_then(Value::as_str).unwrap_or_default();
    text.replace(VERSION_MARK, &python_literal(&version.into()))
        .replace(LITERAL_MARK, &python_literal(&json.clone().into()))
        .replace(JSON_MARK, &json)
        .into_bytes()
}

/// What the program said: an object in JSON, on lines of its own.
fn result(call: &Call, finished: &Finished) -> Result<Outcome, Failure> {
    let (stdout, stderr) = (finished.stdout_text(), finished.stderr_text());
    let Some((mut values, junk)) = object_in(&stdout) else {
        return Err(no_result(call, finished, &stdout, &stderr));
    };
    values.retain(|name, _| !name.starts_with("_ansible_") || KEPT.contains(&name.as_str()));
    if !junk.is_empty() {
        let warning = format!("Module invocation had junk after the JSON data: {junk}");
        match values.get_mut("warnings").and_then(Value::as_array_mut) {
            Some(warnings) => warnings.push(warning.into()),
            None => {
                values.insert("warnings".into(), vec![Value::from(warning)].into());
            }
        }
    }
    if call.is_asynchronous && !stderr.is_empty() {
        values.entry("stderr").or_insert(stderr.into());
    }
    let rc = values.get("rc").is_some_and(|rc| !matches!(rc.as_i64(), Some(0) | None));
    if rc {
        values.entry("failed").or_insert(true.into());
    }
    for name in ["stdout", "stderr"] {
        let lines = values
            .get(name)
            .and_then(Value::as_str)
            .map(|text| text.lines().map(Value::from).collect::<Vec<Value>>());
        if let Some(lines) = lines {
            values.entry(format!("{name}_lines")).or_insert(lines.into());
        }
    }
    let changed = values.shift_remove("changed").is_some_and(|changed| is_true(&changed));
    Ok(Outcome { changed, values, ..Outcome::default() })
}

/// Internal values of results that the controller understands.
const KEPT: &[&str] = &["_ansible_facts_gathered"];

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            matches!(text.to_lowercase().as_str(), "yes" | "true" | "on" | "1" | "y" | "t")
        }
        _ => false,
    }
}

/// The first object in a text that begins a line, and what follows it.
fn object_in(text: &str) -> Option<(Object, String)> {
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let begins = line.trim_start().starts_with('{');
        let rest = text.get(from..).unwrap_or_default();
        from += line.len();
        if !begins {
            continue;
        }
        let mut reader = serde_json::Deserializer::from_str(rest).into_iter::<Object>();
        if let Some(Ok(object)) = reader.next() {
            let junk = rest.get(reader.byte_offset()..).unwrap_or_default();
            return Some((object, junk.trim().to_owned()));
        }
    }
    None
}

fn no_result(call: &Call, finished: &Finished, stdout: &str, stderr: &str) -> Failure {
    let last = [stderr, stdout]
        .iter()
        .find_map(|text| text.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim));
    let message = match last {
        Some(last) => format!(
            "MODULE FAILURE: {last}\nThe module {} ({}) printed no result in JSON; see stdout and \
             stderr for the exact error",
            call.name, call.source
        ),
        None => format!(
            "MODULE FAILURE: the module {} ({}) printed nothing: a module prints an object in JSON",
            call.name, call.source
        ),
    };
    let failure = Failure::new(message)
        .with("module_stdout", stdout)
        .with("module_stderr", stderr)
        .with("rc", finished.rc);
    let failure = match stderr.contains("Traceback (most recent call last)") {
        true => failure.with("exception", stderr),
        false => failure,
    };
    match call.is_asynchronous {
        true => failure.with("stderr", stderr).with("outdata", stdout),
        false => failure,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    fn run(kind: &str, text: &str, program: &[&str], arguments: Value) -> Result<Outcome, Failure> {
        let mut bench = context();
        bench.contents.0.insert("d".to_owned(), text.as_bytes().to_vec());
        let given = json!({
            "name": "mine", "source": "library/mine", "entry": "mine", "kind": kind,
            "program": program, "is_python": false, "arguments": arguments,
            "internal": {"_ansible_version": "2.18.19"},
            "_content": {"sha256": "d", "size": text.len()},
        });
        bench.call(own, given)
    }

    #[test]
    fn arguments_come_in_the_way_that_a_program_wants() {
        let json = "#!/bin/sh\necho junk\ncat \"$1\" | sed 's/^{/{\"changed\": true, /'\n";
        let outcome = run("json", json, &["/bin/sh"], json!({"a": "b c"})).unwrap();
        assert!(outcome.changed);
        assert_eq!(outcome.values["a"], "b c");
        let pairs = "#!/bin/sh\n. \"$1\"\necho \"{\\\"got\\\": \\\"$a-$b\\\"}\"\n";
        let outcome = run("pairs", pairs, &["/bin/sh"], json!({"a": "it's", "b": true})).unwrap();
        assert_eq!(outcome.values["got"], "it's-True");
        let inside = "#!/bin/sh\ncat <<'END'\n<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>\nEND\n";
        let outcome = run("inside", inside, &["/bin/sh"], json!({"a": 1})).unwrap();
        assert_eq!(outcome.values["a"], 1);
        let binary = run("binary", "#!/bin/sh\necho '{\"rc\": 3}'\n", &[], json!({})).unwrap();
        assert_eq!(binary.values["failed"], true);
    }

    #[test]
    fn what_is_no_result_is_shown_in_full() {
        let text = "#!/bin/sh\necho out\necho oh no >&2\nexit 3\n";
        let failure = run("pairs", text, &["/bin/sh"], json!({})).unwrap_err();
        assert!(failure.message.starts_with("MODULE FAILURE: oh no"), "{}", failure.message);
        assert_eq!(failure.values["module_stdout"], "out\n");
        assert_eq!(failure.values["rc"], 3);
        let gone = run("pairs", text, &["/no/such"], json!({})).unwrap_err();
        assert!(gone.message.contains("'/no/such' was not found"), "{}", gone.message);
    }

    #[test]
    fn junk_around_a_result_is_told() {
        let (object, junk) = object_in("{ no\nfirst\n  {\"a\": 1}\nlast\n").unwrap();
        assert_eq!((object["a"].clone(), junk.as_str()), (json!(1), "last"));
        assert!(object_in("[1]\n").is_none());
    }
}

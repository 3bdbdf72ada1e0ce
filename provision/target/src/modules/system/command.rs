//! `command`, `shell`, `raw`, `script` and `ping`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use provision_protocol::{ContentReference, Object};
use serde::Deserialize;
use serde_json::Value;

use super::clock::{Moment, Zone, python_delta};
use super::output;
use super::private::PrivateFolder;
use super::process::{Finished, Run, RunError};
use super::wildcard;
use super::words::{self, Environment};
use crate::module::{Context, Failure, Outcome, arguments};

/// What users see when a program ends with another code than 0.
const NON_ZERO: &str = "non-zero return code";

/// Default shell, as Ansible's `executable`.
const SHELL: &str = "/bin/sh";

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct CommandArguments {
    cmd: Option<String>,
    argv: Option<Vec<String>>,
    chdir: Option<String>,
    executable: Option<String>,
    #[serde(default = "yes")]
    expand_argument_vars: bool,
    creates: Option<String>,
    removes: Option<String>,
    stdin: Option<String>,
    #[serde(default = "yes")]
    stdin_add_newline: bool,
    #[serde(default = "yes")]
    strip_empty_ends: bool,
}

/// The command line in the form the module was given it.
enum Line {
    Words(Vec<String>),
    Shell(String),
}

/// `command`: runs a program without a shell.
///
/// # Errors
/// When it can't be run or ends with another code than 0.
pub fn command(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let mut given: CommandArguments = arguments(given)?;
    let line = match (given.cmd.take(), given.argv.take()) {
        (Some(_), Some(_)) => return Err(both_given()),
        (Some(text), None) if !text.trim().is_empty() => {
            Line::Words(words::split(&text).map_err(|reason| no_words(&text, reason))?)
        }
        (None, Some(argv)) if !argv.is_empty() => Line::Words(argv),
        _ => return Err(nothing_given()),
    };
    let ignored = given.executable.take().map(|executable| {
        format!(
            "As of Ansible 2.4, the parameter 'executable' is no longer supported with the \
             'command' module. Not using '{executable}'."
        )
    });
    let mut ended = execute(&given, line, context);
    if let Some(warning) = ignored {
        let values = match &mut ended {
            Ok(outcome) => &mut outcome.values,
            Err(failure) => &mut failure.values,
        };
        values.insert("warnings".to_owned(), Value::Array(vec![warning.into()]));
    }
    ended
}

/// `shell`: runs a text with a shell.
///
/// # Errors
/// When it can't be run or ends with another code than 0.
pub fn shell(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let mut given: CommandArguments = arguments(given)?;
    let line = match (given.cmd.take(), given.argv.take()) {
        (Some(_), Some(_)) => return Err(both_given()),
        (Some(text), None) if !text.trim().is_empty() => Line::Shell(text),
        (None, Some(argv)) if !argv.is_empty() => {
            let quoted: Vec<String> = argv.iter().map(|word| words::quote(word)).collect();
            Line::Shell(quoted.join(" "))
        }
        _ => return Err(nothing_given()),
    };
    execute(&given, line, context)
}

fn both_given() -> Failure {
    Failure::new("only command or argv can be given, not both").with("rc", 256)
}

fn nothing_given() -> Failure {
    Failure::new("no command given").with("rc", 256)
}

fn no_words(text: &str, reason: &str) -> Failure {
    Failure::new(format!("failed to split the command into words: {reason}")).with("cmd", text)
}

fn execute(
    given: &CommandArguments,
    line: Line,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let environment = Environment::new(&context.environment);
    let path = |text: &String| environment.expand_path(text);
    let chdir = given.chdir.as_ref().map(path);
    let condition = Condition {
        creates: given.creates.as_ref().map(path),
        removes: given.removes.as_ref().map(path),
    };
    let shown: Value = match &line {
        Line::Words(words) => words.clone().into(),
        Line::Shell(text) => text.clone().into(),
    };
    let mut values = promised(&shown);
    let base = working_folder(chdir.as_deref()).map_err(|error| {
        Failure::new(format!("Unable to change directory before execution: {error}"))
            .with("cmd", shown.clone())
    })?;
    let base = base.as_path();
    if let Some((message, stdout)) = condition.satisfied(base, context.check) {
        values.extend([
            ("msg".to_owned(), message.into()),
            ("stdout_lines".to_owned(), vec![Value::from(stdout.as_str())].into()),
            ("stdout".to_owned(), stdout.into()),
            ("stderr_lines".to_owned(), Vec::<Value>::new().into()),
            ("rc".to_owned(), 0.into()),
        ]);
        return Ok(Outcome { values, ..Outcome::default() });
    }
    if context.check {
        return Ok(unknown(values, &condition));
    }
    let run = match line {
        Line::Shell(text) => {
            let shell = given.executable.as_deref().unwrap_or(SHELL);
            Run::new(shell).argument("-c").argument(text)
        }
        Line::Words(words) => {
            let expand = |word: String| {
                if given.expand_argument_vars {
                    environment.expand_home(&environment.expand_variables(&word))
                } else {
                    word
                }
            };
            let mut words = words.into_iter().map(expand);
            Run::new(words.next().unwrap_or_default()).arguments(words)
        }
    };
    let run = if chdir.is_some() { run.directory(base) } else { run };
    let run = match &given.stdin {
        // An empty text is no input at all, as in Ansible.
        Some(text) if !text.is_empty() => {
            let end = if given.stdin_add_newline { "\n" } else { "" };
            run.input(format!("{text}{end}").into_bytes())
        }
        _ => run,
    };
    timed(run, values, given.strip_empty_ends, context)
}

/// The values that a result always has.
fn promised(shown: &Value) -> Object {
    let empty = || Value::from("");
    [
        ("stdout", empty()),
        ("stderr", empty()),
        ("rc", Value::Null),
        ("cmd", shown.clone()),
        ("start", Value::Null),
        ("end", Value::Null),
        ("delta", Value::Null),
        ("msg", empty()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Check mode: with `creates` or `removes` it is known that the command would run, otherwise
/// nothing is known.
fn unknown(mut values: Object, condition: &Condition) -> Outcome {
    let message = "Command would have run if not in check mode";
    values.insert("msg".to_owned(), message.into());
    values.insert("rc".to_owned(), 0.into());
    if condition.is_given() {
        return Outcome { changed: true, values, ..Outcome::default() };
    }
    let reason = "what a command changes is known only when it runs".to_owned();
    Outcome { skipped: Some(reason), values, ..Outcome::default() }
}

fn timed(
    run: Run,
    mut values: Object,
    strip: bool,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    context.about_to_change()?;
    let zone = Zone::local();
    let (start, clock) = (SystemTime::now(), Instant::now());
    let ended = run.run(context);
    let delta = clock.elapsed();
    values.insert("start".to_owned(), Moment::new(start, &zone).python().into());
    values.insert("end".to_owned(), Moment::new(start + delta, &zone).python().into());
    values.insert("delta".to_owned(), python_delta(delta).into());
    let (message, finished) = match ended {
        Ok(finished) => (NON_ZERO.to_owned(), finished),
        Err(RunError::Stopped { program, partial }) => {
            (format!("stopped while {program} was running"), *partial)
        }
        Err(error) => {
            let mut failure = Failure::from(error);
            values.append(&mut failure.values);
            return Err(Failure { message: failure.message, values });
        }
    };
    output::show(&mut values, &finished, strip);
    values.insert("rc".to_owned(), finished.rc.into());
    if finished.succeeded() {
        return Ok(Outcome { changed: true, values, ..Outcome::default() });
    }
    values.remove("msg");
    values.insert("changed".to_owned(), true.into());
    Err(Failure { message, values })
}

/// The folder that relative patterns start from; it must exist.
fn working_folder(chdir: Option<&Path>) -> io::Result<PathBuf> {
    let base = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let Some(chdir) = chdir else { return Ok(base) };
    let folder = base.join(chdir);
    let wrong =
        |error: io::Error| io::Error::new(error.kind(), format!("{error}: '{}'", chdir.display()));
    if !folder.metadata().map_err(wrong)?.is_dir() {
        return Err(wrong(io::ErrorKind::NotADirectory.into()));
    }
    Ok(folder)
}

/// `creates` and `removes`.
struct Condition {
    creates: Option<PathBuf>,
    removes: Option<PathBuf>,
}

impl Condition {
    fn is_given(&self) -> bool {
        self.creates.is_some() || self.removes.is_some()
    }

    /// If nothing has to be done: because of which path, what it does, and the option that says so.
    fn reason(&self, base: &Path) -> Option<(&Path, &'static str, &'static str)> {
        match (&self.creates, &self.removes) {
            (Some(path), _) if !wildcard::paths(path, base).is_empty() => {
                Some((path, "exists", "creates"))
            }
            (_, Some(path)) if wildcard::paths(path, base).is_empty() => {
                Some((path, "does not exist", "removes"))
            }
            _ => None,
        }
    }

    /// If nothing has to be done: the message and Ansible's older form of it.
    fn satisfied(&self, base: &Path, check: bool) -> Option<(String, String)> {
        let would = if check { "Would" } else { "Did" };
        let (path, what, _) = self.reason(base)?;
        let path = path.display();
        Some((
            format!("{would} not run command since '{path}' {what}"),
            format!("skipped, since {path} {what}"),
        ))
    }
}

#[derive(Debug, Deserialize)]
struct RawArguments {
    cmd: String,
    executable: Option<String>,
}

/// `raw`: runs a text with a shell; nothing else is done to it.
///
/// # Errors
/// When it can't be run or ends with another code than 0.
pub fn raw(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: RawArguments = arguments(given)?;
    if context.check {
        let reason = "what a command changes is known only when it runs".to_owned();
        return Ok(Outcome { skipped: Some(reason), ..Outcome::default() });
    }
    context.about_to_change()?;
    let shell = given.executable.as_deref().unwrap_or(SHELL);
    ended(&Run::new(shell).argument("-c").argument(&given.cmd).run(context)?)
}

fn ended(finished: &Finished) -> Result<Outcome, Failure> {
    let mut values = Object::new();
    values.insert("rc".to_owned(), finished.rc.into());
    output::show(&mut values, finished, false);
    if finished.succeeded() {
        return Ok(Outcome { changed: true, values, ..Outcome::default() });
    }
    values.insert("changed".to_owned(), true.into());
    Err(Failure { message: NON_ZERO.to_owned(), values })
}

#[derive(Debug, Deserialize)]
struct ScriptArguments {
    cmd: String,
    chdir: Option<String>,
    executable: Option<String>,
    creates: Option<String>,
    removes: Option<String>,
    _content: ContentReference,
}

/// `script`: runs a script of the controller. The first word of `cmd` is its name there, the
/// content comes as `_content`.
///
/// # Errors
/// When it can't be run or ends with another code than 0.
pub fn script(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: ScriptArguments = arguments(given)?;
    let environment = Environment::new(&context.environment);
    let path = |text: &String| environment.expand_path(text);
    let chdir = given.chdir.as_ref().map(path);
    if chdir.as_ref().is_some_and(|chdir| !chdir.is_absolute()) {
        return Err(Failure::new("chdir must be an absolute path"));
    }
    let condition = Condition {
        creates: given.creates.as_ref().map(path),
        removes: given.removes.as_ref().map(path),
    };
    if let Some((path, what, option)) = condition.reason(Path::new("/")) {
        let message = format!("{} {what}, matching {option} option", path.display());
        return Ok(Outcome { skipped: Some(message), ..Outcome::default() });
    }
    if context.check {
        return Ok(unknown(Object::new(), &condition));
    }
    let (name, rest) = words::first(&given.cmd).map_err(|reason| no_words(&given.cmd, reason))?;
    let name = Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned());
    let folder = PrivateFolder::for_programs()?;
    let (path, mut file) = folder.create(name.as_deref().unwrap_or("script"), 0o700)?;
    let mut content = context.contents.open(&given._content.sha256)?;
    io::copy(&mut content, &mut file).map_err(|error| Failure::system("write", &path, &error))?;
    drop(content);
    // A file that is open for writing can't be executed.
    drop(file);
    context.about_to_change()?;
    let quoted = words::quote(&path.to_string_lossy());
    let line = match &given.executable {
        Some(executable) => format!("{executable} {quoted}{rest}"),
        None => format!("{quoted}{rest}"),
    };
    let run = Run::new(SHELL).argument("-c").argument(line);
    let run = if let Some(chdir) = &chdir { run.directory(chdir) } else { run };
    ended(&run.run(context)?)
}

#[derive(Debug, Deserialize)]
struct PingArguments {
    data: Option<String>,
}

/// `ping`: shows that calls arrive.
///
/// # Errors
/// When asked to `crash`.
pub fn ping(given: &Object, _context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: PingArguments = arguments(given)?;
    match given.data.as_deref() {
        // As an exception of a Python module looks to the caller.
        Some("crash") => Err(Failure::new("MODULE FAILURE: Exception: boom")
            .with("module_stdout", "")
            .with("module_stderr", "Exception: boom\n")
            .with("rc", 1)),
        data => Ok(Outcome::new(false).with("ping", data.unwrap_or("pong"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn a_command_has_no_shell() {
        let mut bench = context();
        bench.environment.insert("NAME".to_owned(), "val ue".to_owned());
        let outcome =
            bench.call(command, json!({"cmd": "echo '$HOME;' $NAME \"a  b\" > x"})).unwrap();
        assert!(outcome.changed);
        // As in Ansible, variables are replaced in words, whatever their quotes were.
        let home = std::env::var("HOME").unwrap_or("$HOME".to_owned());
        assert_eq!(outcome.values["stdout"], format!("{home}; val ue a  b > x"));
        assert_eq!(outcome.values["cmd"], json!(["echo", "$HOME;", "$NAME", "a  b", ">", "x"]));
        assert_eq!(outcome.values["rc"], 0);
        let outcome = bench
            .call(command, json!({"argv": ["echo", "$NAME"], "expand_argument_vars": false}))
            .unwrap();
        assert_eq!(outcome.values["stdout_lines"], json!(["$NAME"]));
    }

    #[test]
    fn a_code_fails() {
        let failure =
            context().call(shell, json!({"cmd": "echo a; echo b >&2; exit 4"})).unwrap_err();
        assert_eq!(failure.message, NON_ZERO);
        assert_eq!(failure.values["rc"], 4);
        assert_eq!(failure.values["stderr"], "b");
        assert_eq!(failure.values["changed"], true);
        assert!(failure.values["delta"].as_str().unwrap().starts_with("0:00:0"));
    }

    #[test]
    fn creates_and_removes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there"), "").unwrap();
        let chdir = folder.path().to_str().unwrap();
        let call = |check: bool, extra: Value| {
            let mut given = json!({"cmd": "touch made", "chdir": chdir});
            given.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let mut bench = context();
            bench.check = check;
            bench.call(shell, given).unwrap()
        };
        let outcome = call(false, json!({"creates": "the*"}));
        assert!(!outcome.changed);
        assert_eq!(outcome.values["msg"], "Did not run command since 'the*' exists");
        assert!(!call(false, json!({"removes": "gone"})).changed);
        let outcome = call(true, json!({"creates": "gone"}));
        assert!(outcome.changed && outcome.skipped.is_none());
        assert!(call(true, json!({})).skipped.is_some());
        assert!(!folder.path().join("made").exists());
        assert!(call(false, json!({"removes": "there"})).changed);
        assert!(folder.path().join("made").exists());
    }

    #[test]
    fn input_and_its_newline() {
        let mut bench = context();
        let given = json!({"cmd": "cat", "stdin": "x", "strip_empty_ends": false});
        assert_eq!(bench.call(command, given).unwrap().values["stdout"], "x\n");
        let given = json!({"cmd": "cat", "stdin": "x", "stdin_add_newline": false});
        assert_eq!(bench.call(command, given).unwrap().values["stdout"], "x");
    }

    #[test]
    fn mistakes_are_told() {
        let mut bench = context();
        let failure = bench.call(command, json!({"cmd": " "})).unwrap_err();
        assert_eq!(failure.message, "no command given");
        let failure = bench.call(command, json!({"cmd": "x 'y"})).unwrap_err();
        assert!(failure.message.contains("No closing quotation"));
        let failure = bench.call(command, json!({"cmd": "ls", "chdir": "/no/such"})).unwrap_err();
        assert!(failure.message.starts_with("Unable to change directory"));
        let failure = bench.call(command, json!({"cmd": "/no/such"})).unwrap_err();
        assert_eq!(failure.values["rc"], 2);
        assert!(failure.message.contains("No such file or directory"));
    }

    #[test]
    fn scripts_come_by_content() {
        let mut bench = context();
        let text = b"#!/bin/sh\necho \"$(basename $0) $# $2\"; exit 0\n".to_vec();
        let size = text.len();
        bench.contents.0.insert("ab".to_owned(), text);
        let given = json!({
            "cmd": "files/run.sh one 'two words'", "_content": {"sha256": "ab", "size": size},
        });
        let outcome = bench.call(script, given.clone()).unwrap();
        assert_eq!(outcome.values["stdout"], "run.sh 2 two words\n");
        assert_eq!(outcome.values["rc"], 0);
        assert!(bench.checking().call(script, given).unwrap().skipped.is_some());
    }

    #[test]
    fn raw_and_ping() {
        let outcome = context().call(raw, json!({"cmd": "echo $((1+1))"})).unwrap();
        assert_eq!(outcome.values["stdout_lines"], json!(["2"]));
        assert_eq!(context().call(raw, json!({"cmd": "exit 9"})).unwrap_err().values["rc"], 9);
        assert_eq!(context().call(ping, json!({})).unwrap().values["ping"], "pong");
        assert!(context().call(ping, json!({"data": "crash"})).is_err());
    }
}

//! `expect`: runs a program on a terminal of its own and answers its questions.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use provision_protocol::Object;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::clock::{Moment, Zone, python_delta};
use super::output;
use super::process::{Finished, OUTPUT_LIMIT_BYTES, find_program};
use super::words::{self, Environment};
use crate::module::{Context, Failure, Given, Outcome};
use crate::python::{Options, Pattern, decode, text_to_bytes};

/// How often a request to stop is looked at, in milliseconds.
const STOP_CHECK_MS: u16 = 50;
/// What the program thinks its terminal measures.
const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
/// How long a program that has closed its terminal may take to end.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// A question and what is answered.
struct Response {
    question: String,
    pattern: Pattern,
    /// One answer for all times, or one for each time.
    answers: Answers,
}

enum Answers {
    Always(String),
    InTurn(std::vec::IntoIter<String>),
}

/// `expect`: runs a program and answers its questions.
///
/// # Errors
/// When it can't be run, ends with another code than 0, is silent for too long, or asks more often
/// than there are answers.
pub fn expect(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let line = given.word("command");
    let with_line = |failure: Failure| failure.with("cmd", line);
    if context.check {
        let reason = "what a command changes is known only when it runs".to_owned();
        return Ok(Outcome { skipped: Some(reason), ..Outcome::default() });
    }
    let environment = Environment::new(&context.environment);
    let path = |name: &str| given.text(name).map(|text| environment.expand_path(text));
    let chdir = path("chdir");
    let base = chdir.clone().unwrap_or_default();
    for (name, there, what) in [("creates", true, "exists"), ("removes", false, "does not exist")] {
        if path(name).is_some_and(|path| base.join(path).exists() == there) {
            let said = format!("skipped, since {} {what}", given.word(name));
            let lines = vec![said.clone()];
            let outcome = Outcome::new(false).with("cmd", line).with("rc", 0);
            return Ok(outcome.with("stdout", said).with("stdout_lines", lines));
        }
    }
    let words = words::split(line).map_err(|reason| with_line(Failure::new(reason)))?;
    let Some((program, rest)) = words.split_first() else {
        return Err(Failure::new("no command given").with("rc", 256));
    };
    let mut responses = responses(given)?;
    let program = find_program(program).ok_or_else(|| {
        with_line(Failure::new(format!(
            "The command was not found or was not executable: {program}."
        )))
    })?;
    // Not given: 30 s, as the table says; a null: no limit.
    let limit = given.integer("timeout").and_then(|seconds| u64::try_from(seconds).ok());
    let mut terminal =
        Terminal::start(&program, rest, given.flag("echo"), chdir.as_deref(), context)?;
    context.about_to_change()?;
    let (start, clock) = (SystemTime::now(), Instant::now());
    let ended = terminal.talk(&mut responses, limit.map(Duration::from_secs), context);
    let delta = clock.elapsed();
    let zone = Zone::local();
    let mut values = Object::new();
    let finished = Finished { stdout: std::mem::take(&mut terminal.output), ..Finished::default() };
    output::show(&mut values, &finished, true);
    values.retain(|name, _| !name.starts_with("stderr"));
    values.insert("cmd".into(), line.into());
    values.insert("start".into(), Moment::new(start, &zone).python().into());
    values.insert("end".into(), Moment::new(start + delta, &zone).python().into());
    values.insert("delta".into(), python_delta(delta).into());
    values.insert("changed".into(), true.into());
    let failed = |message: String, mut values: Object, rc: Value| {
        values.insert("rc".into(), rc);
        Err(Failure { message, values })
    };
    match ended {
        Ok(0) => {
            values.insert("rc".into(), 0.into());
            Ok(Outcome { changed: true, values, ..Outcome::default() })
        }
        Ok(rc) => failed("non-zero return code".to_owned(), values, rc.into()),
        Err(reason) => failed(reason, values, Value::Null),
    }
}

fn responses(given: Given<'_>) -> Result<Vec<Response>, Failure> {
    let empty = Object::new();
    let responses = given.0.get("responses").and_then(Value::as_object).unwrap_or(&empty);
    let options = Options { multi_line: false, dot_all: true };
    let response = |(question, answers): (&String, &Value)| {
        let answers = match answers {
            Value::Array(all) => {
                Answers::InTurn(all.iter().map(answer).collect::<Vec<_>>().into_iter())
            }
            one => Answers::Always(answer(one)),
        };
        Ok(Response {
            question: question.clone(),
            pattern: Pattern::new(question, options)?,
            answers,
        })
    };
    responses.iter().map(response).collect()
}

/// What is typed, with the one line end.
fn answer(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    };
    format!("{}\n", text.trim_end_matches('\n'))
}

/// A program on a terminal of its own.
struct Terminal {
    ours: File,
    child: Child,
    /// Everything it said, up to [`OUTPUT_LIMIT_BYTES`].
    output: Vec<u8>,
}

impl Terminal {
    fn start(
        program: &Path,
        words: &[String],
        echo: bool,
        chdir: Option<&Path>,
        context: &Context<'_>,
    ) -> Result<Terminal, Failure> {
        let failed = |error: io::Error| Failure::system("run", program, &error);
        let (ours, theirs) = open(echo).map_err(failed)?;
        // The terminal must be the controlling one, or programs that ask for passwords don't find
        // it. Whoever makes it that has to run between fork and exec: util-linux's program does.
        let setsid = find_program("setsid")
            .ok_or_else(|| Failure::new("failed to find the required program setsid"))?;
        let mut command = Command::new(setsid);
        command.arg("-c").arg(program).args(words).envs(&context.environment);
        if let Some(chdir) = chdir {
            if !chdir.is_dir() {
                let error = io::Error::from(io::ErrorKind::NotFound);
                return Err(Failure::system("change to the directory", chdir, &error));
            }
            command.current_dir(chdir);
        }
        let input = theirs.try_clone().map_err(failed)?;
        let errors = theirs.try_clone().map_err(failed)?;
        command.stdin(input).stdout(Stdio::from(theirs)).stderr(errors);
        let child = command.spawn().map_err(failed)?;
        // The command keeps our copies of the other end open until it is dropped.
        drop(command);
        Ok(Terminal { ours: File::from(ours), child, output: Vec::new() })
    }

    /// Answers until the program ends: its code, or why it was ended.
    fn talk(
        &mut self,
        responses: &mut [Response],
        limit: Option<Duration>,
        context: &Context<'_>,
    ) -> Result<i32, String> {
        // What was said since the last answer.
        let mut pending: Vec<u8> = Vec::new();
        let mut since = Instant::now();
        let mut piece = [0; 4096];
        loop {
            let count = match self.read(&mut piece) {
                Some(0) if self.child.try_wait().ok().flatten().is_some() => return Ok(self.end()),
                Some(count) => count,
                None => return Ok(self.end()),
            };
            let said = piece.get(..count).unwrap_or_default();
            pending.extend_from_slice(said);
            let room = (OUTPUT_LIMIT_BYTES + 1).saturating_sub(self.output.len());
            self.output.extend_from_slice(said.get(..count.min(room)).unwrap_or_default());
            if count > 0 {
                while let Some(end) = self.reply(responses, &pending)? {
                    pending.drain(..end.min(pending.len()));
                    since = Instant::now();
                }
                // A question is shorter than that.
                let excess = pending.len().saturating_sub(OUTPUT_LIMIT_BYTES);
                pending.drain(..excess);
            }
            let is_late = limit.is_some_and(|limit| since.elapsed() >= limit);
            if is_late || (context.stopped)() {
                self.kill();
                let reason = if is_late { "command exceeded timeout" } else { "stopped" };
                return Err(reason.to_owned());
            }
        }
    }

    /// Bytes that are there; none after a short wait, `None` at the end.
    fn read(&mut self, piece: &mut [u8]) -> Option<usize> {
        let mut watched = [PollFd::new(self.ours.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::from(STOP_CHECK_MS)) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Some(0),
            Ok(_) => {}
            Err(_) => return None,
        }
        match self.ours.read(piece) {
            // A terminal that nobody has open any more ends with an error.
            Ok(0) => None,
            Ok(count) => Some(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(0),
            Err(_) => None,
        }
    }

    /// Answers the question that comes first; where it ends.
    fn reply(&mut self, responses: &mut [Response], said: &[u8]) -> Result<Option<usize>, String> {
        let text = decode(said);
        let mut first: Option<(usize, usize, usize)> = None;
        for (number, response) in responses.iter().enumerate() {
            let found = response.pattern.search(&text).map_err(|failure| failure.message)?;
            if let Some((start, end)) = found.map(|found| found.span())
                && first.is_none_or(|(_, earliest, _)| start < earliest)
            {
                first = Some((number, start, end));
            }
        }
        let Some((number, _, end)) = first else { return Ok(None) };
        let Some(response) = responses.get_mut(number) else { return Ok(None) };
        let heard = text.get(..end).unwrap_or_default();
        let answer = match &mut response.answers {
            Answers::Always(answer) => answer.clone(),
            Answers::InTurn(answers) => match answers.next() {
                Some(answer) => answer,
                None => {
                    self.kill();
                    let question = &response.question;
                    return Err(format!(
                        "No remaining responses for '{question}', output was '{heard}'"
                    ));
                }
            },
        };
        // A program that has ended reads nothing; its code says more than the error.
        let _ = self.ours.write_all(answer.as_bytes());
        // An empty match would be found for ever.
        Ok(Some(text_to_bytes(heard).len()).filter(|end| *end > 0))
    }

    /// The code of a program that has closed its terminal.
    fn end(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let deadline = Instant::now() + LAST_WAIT;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code().or(status.signal().map(|signal| -signal)).unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(u64::from(STOP_CHECK_MS) / 5));
        }
        self.kill();
        -1
    }

    fn kill(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::HUP);
            std::thread::sleep(Duration::from_millis(u64::from(STOP_CHECK_MS)));
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both ends of a new terminal: ours and the program's.
fn open(echo: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = openpty(Some(&SIZE), None)?;
    for end in [&pair.master, &pair.slave] {
        // No other program that is started meanwhile may hold it open.
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    let mut settings = tcgetattr(&pair.slave)?;
    settings.local_flags.set(LocalFlags::ECHO, echo);
    tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
    Ok((pair.master, pair.slave))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    fn call(arguments: Value) -> Result<Outcome, Failure> {
        context().call_named("expect", arguments)
    }

    #[test]
    fn questions_are_answered_on_a_terminal() {
        let script = "test -t 0 && test -t 1 || exit 9; echo -n 'name? ' >/dev/tty; read a; \
                      stty -a | grep -o 'rows 24; columns 80'; echo \"hello $a\"";
        let command = format!("sh -c {}", words::quote(script));
        let given = json!({"command": command, "responses": {"(?i)NAME": "ada"}});
        let outcome = call(given.clone()).unwrap();
        assert!(outcome.changed);
        assert_eq!(outcome.values["stdout"], "name? rows 24; columns 80\r\nhello ada");
        assert_eq!(outcome.values["stdout_lines"][1], "hello ada");
        assert_eq!((&outcome.values["rc"], &outcome.values["cmd"]), (&json!(0), &json!(command)));
        let mut echoed = given;
        echoed["echo"] = true.into();
        let said = call(echoed).unwrap().values["stdout"].to_string();
        assert!(said.starts_with("\"name? ada\\r\\n"), "{said}");
    }

    #[test]
    fn answers_come_in_turn_and_run_out() {
        let line = "for i in 1 2 3; do echo -n 'again? '; read a; echo \"<$a>\"; done";
        let command = format!("sh -c {}", words::quote(line));
        let answers = |answers: Value| json!({"command": command, "responses": {"again": answers}});
        let said = |answers_given| call(answers(answers_given)).unwrap().values["stdout"].clone();
        assert_eq!(said(json!([1, "zwei", true])), "again? <1>\r\nagain? <zwei>\r\nagain? <True>");
        assert_eq!(said(json!("x\n\n")), "again? <x>\r\nagain? <x>\r\nagain? <x>");
        let failure = call(answers(json!(["a"]))).unwrap_err();
        let wanted = "No remaining responses for 'again', output was '? <a>\r\nagain'";
        assert_eq!(failure.message, wanted);
    }

    #[test]
    fn the_earliest_question_is_answered_first() {
        let line = "echo one two; read a; read b; echo $a $b";
        let command = format!("sh -c {}", words::quote(line));
        let given = json!({"command": command, "responses": {"two": "2", "one": "1"}});
        assert_eq!(call(given).unwrap().values["stdout"], "one two\r\n1 2");
    }

    #[test]
    fn failures_say_what_happened() {
        let failure = call(json!({"command": "sh -c 'exit 7'", "responses": {"x": "y"}}));
        let failure = failure.unwrap_err();
        assert_eq!(failure.message, "non-zero return code");
        assert_eq!((&failure.values["rc"], &failure.values["changed"]), (&json!(7), &json!(true)));
        let begun = Instant::now();
        let given = json!({"command": "sh -c 'echo silent; sleep 60'", "responses": {"x": "y"}, "timeout": 1});
        let failure = call(given).unwrap_err();
        assert_eq!(failure.message, "command exceeded timeout");
        assert_eq!(failure.values["stdout"], "silent");
        assert!(begun.elapsed() < Duration::from_secs(5));
        let failure = call(json!({"command": "/no/such", "responses": {}})).unwrap_err();
        let wanted = "The command was not found or was not executable: /no/such.";
        assert_eq!(failure.message, wanted);
        let failure = call(json!({"command": " ", "responses": {}})).unwrap_err();
        assert_eq!(failure.message, "no command given");
    }

    #[test]
    fn conditions_and_check_mode_run_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        let command = format!("touch {}", made.display());
        let there = folder.path().to_str().unwrap();
        for condition in [json!({"creates": there}), json!({"removes": "/no/such"})] {
            let mut given = json!({"command": command, "responses": {}});
            given.as_object_mut().unwrap().extend(condition.as_object().unwrap().clone());
            let outcome = call(given).unwrap();
            assert!(!outcome.changed && !made.exists());
            assert!(outcome.values["stdout"].as_str().unwrap().starts_with("skipped, since "));
        }
        let given = json!({"command": command, "responses": {}});
        assert!(
            context().checking().call_named("expect", given.clone()).unwrap().skipped.is_some()
        );
        assert!(!made.exists());
        assert!(call(given).unwrap().changed && made.exists());
    }
}

//! `provision run PATTERN -- COMMAND`: one command on many hosts; what they say alike is told once.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use provision_engine::event::{CommandLine, Event, HostResult, Outcome, Status};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadRequest, hosts_of, load};
use provision_engine::report::Sink;
use provision_engine::run::{RunOptions, run};
use provision_engine::world::Settings;
use provision_playbook::Dialect;
use serde_json::Value;

use crate::ansible::config::{Configuration, Environment};
use crate::apply;
use crate::arguments::{Output, RunCommand};
use crate::exit::Exit;
use crate::journal::Journal;
use crate::live::Live;
use crate::ndjson::Ndjson;
use crate::paint::{self, BAD, FAINT, GOOD, STRONG, harmless, styled};
use crate::passwords;
use crate::runs;

/// The playbook in memory; no such file is read.
const PLAYBOOK: &str = ".provision-run.yml";

/// Runs a command on hosts.
pub async fn run_command(mut arguments: RunCommand) -> Exit {
    paint::choose(arguments.color);
    let configuration = Configuration::read(&Environment::of_process());
    if let Err(exit) = apply::configured(&configuration) {
        return exit;
    }
    configuration.complete_reach(&mut arguments.reach);
    configuration.complete_passwords(&mut arguments.passwords);
    if arguments.reach.inventory.is_empty() {
        return apply::no_inventory();
    }
    if let Some(source) = apply::missing_inventory(&arguments.reach.inventory) {
        paint::error(&format!("inventory {source} does not exist"), Some(apply::LIST_HINT));
        return Exit::InvalidInput;
    }
    let keyring = match passwords::vault(&arguments.passwords) {
        Ok(vault) => Arc::new(Keyring::new(vault)),
        Err(failure) => return failure.show(),
    };
    let loaded = match load(&request(&arguments, keyring)) {
        Ok(loaded) => loaded,
        Err(failure) => return apply::refuse(&failure),
    };
    let plays = loaded.playbooks.iter().flat_map(|playbook| &playbook.plays);
    let mut hosts =
        plays.flat_map(|play| hosts_of(&loaded.world, &loaded.inventory, play).unwrap_or_default());
    if hosts.next().is_none() {
        let mut names = loaded.world.host_names();
        names.extend(loaded.world.groups().keys().cloned());
        let closest = diagnostics::closest(&arguments.pattern, names.iter().map(String::as_str));
        let hint = closest.map(|name| format!("did you mean `{name}`?"));
        let message = format!("no host of the inventory matches `{}`", arguments.pattern);
        paint::error(&message, hint.as_deref());
        return Exit::InvalidInput;
    }
    let options = apply::options(
        &arguments.reach,
        arguments.ask_become_pass,
        arguments.lock_wait,
        !arguments.no_lock,
    );
    let options = match options {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    let interrupts = apply::interrupts("waiting for the commands; press Ctrl-C again to stop them");
    let words = match (&arguments.module, arguments.shell) {
        (Some(module), _) => ["-m", module]
            .into_iter()
            .chain(arguments.arguments.as_deref())
            .map(str::to_owned)
            .collect(),
        (None, true) => vec![arguments.command.join(" ")],
        (None, false) => arguments.command.clone(),
    };
    let command = Some(CommandLine { pattern: arguments.pattern.clone(), words });
    let options = RunOptions { command, ..options };
    let shown: Box<dyn Sink> = match arguments.output {
        Output::Ndjson => Box::new(Ndjson::new(std::io::stdout())),
        Output::Human => Box::new(Folded::new()),
    };
    let sink = Box::new(Journal::new(runs::commands_folder(), shown));
    run(loaded, options, sink, interrupts).await.outcome.into()
}

/// What a command line asks to be loaded.
pub fn request(arguments: &RunCommand, keyring: Arc<Keyring>) -> LoadRequest {
    let path = PathBuf::from(PLAYBOOK);
    LoadRequest {
        keyring,
        discovery: apply::discovery(true, &arguments.reach),
        texts: BTreeMap::from([(path.clone(), playbook(arguments))]),
        playbooks: vec![path],
        inventories: arguments.reach.inventory.clone(),
        extra_variables: arguments.reach.extra_vars.clone(),
        settings: Settings {
            check: arguments.check,
            forks: arguments.reach.connections(),
            playbook_folder: std::path::absolute(".").unwrap_or_default(),
            inventory_sources: arguments.reach.inventory.iter().map(PathBuf::from).collect(),
            limit: arguments.reach.limit.clone(),
            r#become: arguments.r#become,
            become_user: arguments.become_user.clone(),
            customs: arguments.reach.customs,
            fact_cache: arguments.reach.fact_cache.clone(),
            own: arguments.reach.own.clone(),
            facts_modules: arguments.reach.facts_modules.clone(),
            configured: arguments.reach.configured.clone(),
            ..Settings::default()
        },
        collections_path: arguments.reach.own.collections.clone(),
        ..LoadRequest::new(Dialect::Classic)
    }
}

/// A play with one task. The words are data: `docker ps --format '{{.Names}}'` is no template.
fn playbook(arguments: &RunCommand) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let pattern = text(&arguments.pattern);
    let call = match (&arguments.module, arguments.shell) {
        (Some(module), _) => format!("{}: {}", text(module), module_arguments(arguments)),
        (None, true) => {
            format!(
                "shell: {{cmd: !unsafe {}}}\n      changed_when: false",
                text(&arguments.command.join(" "))
            )
        }
        (None, false) => {
            let words = arguments.command.iter().map(|word| format!("!unsafe {}", text(word)));
            format!(
                "command: {{expand_argument_vars: false, argv: [{}]}}\n      changed_when: false",
                words.collect::<Vec<_>>().join(", ")
            )
        }
    };
    let timeout = match arguments.command_timeout {
        Some(seconds) => format!("\n      timeout: {seconds}"),
        None => String::new(),
    };
    format!(
        "- name: run\n  hosts: {pattern}\n  gather_facts: false\n  tasks:\n    - name: run\n      \
         {call}{timeout}\n"
    )
}

/// Arguments of a module as YAML: JSON is some already, words are one text.
fn module_arguments(arguments: &RunCommand) -> String {
    let written = arguments.arguments.as_deref().unwrap_or_default();
    match serde_json::from_str::<Value>(written) {
        Ok(mapping @ Value::Object(_)) => mapping.to_string(),
        _ => Value::from(written).to_string(),
    }
}

/// The module's message about a command that ended badly.
const NOTHING_MORE: &str = "non-zero return code";

/// What a host had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    /// `exit 0`, or why there is no exit code.
    end: String,
    is_good: bool,
    output: String,
    errors: String,
}

impl Answer {
    fn of(result: &HostResult) -> Self {
        let text = |name: &str| {
            let text = result.result.get(name).and_then(Value::as_str).unwrap_or_default();
            harmless(text.trim_end())
        };
        let code = result.result.get("rc").and_then(Value::as_i64);
        let message = harmless(result.message.as_deref().unwrap_or("it failed"));
        let (output, errors) = (text("stdout"), text("stderr"));
        let is_silent = output.is_empty() && errors.is_empty();
        let is_good = matches!(result.status, Status::Ok | Status::Changed | Status::Skipped);
        if code.is_none() && is_good {
            return Answer::of_module(result);
        }
        let end = match code {
            None => message,
            // It never began: the module says why.
            Some(code) if code != 0 && is_silent && message != NOTHING_MORE => {
                format!("exit {code}: {message}")
            }
            Some(code) => format!("exit {code}"),
        };
        Answer { end, is_good, output, errors }
    }

    /// What a module says that ran no command: its values.
    fn of_module(result: &HostResult) -> Self {
        let end = match result.status {
            Status::Changed => "changed",
            Status::Skipped => "skipped",
            _ => "ok",
        };
        let said = ["changed", "failed", "skipped", "diff", "invocation"];
        let values = result.result.iter().filter(|(name, _)| !said.contains(&name.as_str()));
        let values: serde_json::Map<String, Value> =
            values.map(|(name, value)| (name.clone(), value.clone())).collect();
        let output = match values.is_empty() {
            true => String::new(),
            false => harmless(&serde_json::to_string_pretty(&values).unwrap_or_default()),
        };
        Answer { end: end.to_owned(), is_good: true, output, errors: String::new() }
    }
}

/// Collects answers and tells each once, with all hosts that gave it.
pub struct Folded {
    out: Box<dyn Write + Send>,
    live: Option<Live>,
    begun: Instant,
    hosts: Vec<String>,
    answers: Vec<(String, Answer)>,
}

impl Folded {
    /// On standard output; the live line appears only where that is a terminal.
    pub fn new() -> Self {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Folded { live: is_terminal.then(Live::start), ..Folded::on(Box::new(anstream::stdout())) }
    }

    /// On standard output, of what is over already.
    pub fn plain() -> Self {
        Folded::on(Box::new(anstream::stdout()))
    }

    fn on(out: Box<dyn Write + Send>) -> Self {
        Folded { out, live: None, begun: Instant::now(), hosts: Vec::new(), answers: Vec::new() }
    }

    fn progress(&mut self) {
        let (done, all) = (self.answers.len(), self.hosts.len());
        if let Some(live) = &mut self.live {
            live.show(&format!("{done} of {all} hosts"), self.begun);
        }
    }

    /// Groups by answer, most hosts first, failures last; hosts in the order of the inventory.
    fn groups(&self) -> Vec<(Answer, Vec<&str>)> {
        let mut groups: Vec<(Answer, Vec<&str>)> = Vec::new();
        for host in &self.hosts {
            let answer = self.answers.iter().find(|(answered, _)| answered == host);
            let Some((_, answer)) = answer else { continue };
            match groups.iter_mut().find(|(known, _)| known == answer) {
                Some((_, hosts)) => hosts.push(host),
                None => groups.push((answer.clone(), vec![host])),
            }
        }
        groups.sort_by_key(|(answer, hosts)| (!answer.is_good, std::cmp::Reverse(hosts.len())));
        groups
    }

    fn tell(&mut self, duration_ms: u64, outcome: Outcome) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
        let mut text = String::new();
        for (answer, hosts) in self.groups() {
            let style = if answer.is_good { GOOD } else { BAD };
            let names = styled(STRONG, &hosts.join(", "));
            text.push_str(&format!("{names}  {}\n", styled(style, &answer.end)));
            for line in answer.output.lines() {
                text.push_str(&format!("  {line}\n"));
            }
            for line in answer.errors.lines() {
                text.push_str(&format!("  {} {line}\n", styled(FAINT, "stderr:")));
            }
        }
        let count = |count: usize| match count {
            1 => "1 host".to_owned(),
            count => format!("{count} hosts"),
        };
        let bad = self.answers.iter().filter(|(_, answer)| !answer.is_good).count();
        let seconds = format!("{}.{} s", duration_ms / 1000, duration_ms % 1000 / 100);
        let ended = match outcome {
            Outcome::Interrupted => "interrupted after",
            _ => "done in",
        };
        text.push_str(&format!("{ended} {seconds}: {}, {bad} failed", count(self.answers.len())));
        // Whoever closes our output early has seen enough.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }
}

impl Sink for Folded {
    fn event(&mut self, event: &Event) {
        match event {
            Event::PlayStarted { hosts, .. } => self.hosts.clone_from(hosts),
            Event::Result(result) => {
                self.answers.push((result.host.clone(), Answer::of(result)));
            }
            Event::HostUnreachable { host, message, hint } => {
                let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                let end = harmless(&format!("unreachable: {message}{hint}"));
                let answer =
                    Answer { end, is_good: false, output: String::new(), errors: String::new() };
                self.answers.push((host.clone(), answer));
            }
            Event::Warning { host, message } => {
                if let Some(live) = &mut self.live {
                    live.clear();
                }
                paint::warning(host.as_deref(), message);
            }
            Event::RunFinished { duration_ms, outcome, .. } => {
                return self.tell(*duration_ms, *outcome);
            }
            Event::RunStarted { .. }
            | Event::HostConnected { .. }
            | Event::TaskStarted { .. }
            | Event::ItemResult(_)
            | Event::Retrying { .. }
            | Event::Polled { .. }
            | Event::TaskFinished { .. } => {}
        }
        self.progress();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn arguments(words: &[&str]) -> RunCommand {
        let words = ["provision", "run"].iter().chain(words);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_are_data() {
        let given = arguments(&["all", "-i", "h,", "--", "docker", "--format", "{{.Names}}\n\"x"]);
        let expected = "argv: [!unsafe \"docker\", !unsafe \"--format\", \
                        !unsafe \"{{.Names}}\\n\\\"x\"]}";
        assert!(playbook(&given).contains(expected), "{}", playbook(&given));
        let loaded = load(&request(&given, Arc::default()));
        assert!(loaded.is_ok(), "{:?}", loaded.err());
    }

    #[test]
    fn shells_get_one_text() {
        let given = arguments(&["web:!web3", "-i", "web1,", "--shell", "--", "ps | wc -l"]);
        assert!(playbook(&given).contains("shell: {cmd: !unsafe \"ps | wc -l\"}"));
        assert!(playbook(&given).contains("hosts: \"web:!web3\""));
    }

    #[test]
    fn modules_take_words_or_json() {
        let call = |words: &[&str]| {
            let given = arguments(&[&["all", "-i", "h,", "-m"], words].concat());
            let loaded = load(&request(&given, Arc::default()));
            assert!(loaded.is_ok(), "{:?}", loaded.err());
            playbook(&given)
        };
        assert!(call(&["ping"]).ends_with("      \"ping\": \"\"\n"), "{}", call(&["ping"]));
        let text = call(&["file", "-a", "path=/a state=touch"]);
        assert!(text.contains("\"file\": \"path=/a state=touch\""), "{text}");
        let text = call(&["file", "-a", "{\"path\": \"/a b\"}"]);
        assert!(text.contains("\"file\": {\"path\":\"/a b\"}"), "{text}");
    }

    #[test]
    fn values_of_modules_are_shown() {
        let result = HostResult {
            task: 1,
            host: "a".into(),
            delegate: None,
            delegate_address: None,
            item: None,
            status: Status::Changed,
            message: None,
            result: json!({"changed": true, "ping": "pong"}).as_object().cloned().unwrap(),
            diff: Vec::new(),
            duration_us: 1,
        };
        let answer = Answer::of(&result);
        let expected = ("changed", true, "{\n  \"ping\": \"pong\"\n}");
        assert_eq!((answer.end.as_str(), answer.is_good, answer.output.as_str()), expected);
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(anstream::adapter::strip_bytes(bytes).into_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_same_answer_is_told_once() {
        let page = Page::default();
        let mut folded = Folded::on(Box::new(page.clone()));
        let hosts = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        folded.event(&Event::PlayStarted {
            name: "run".into(),
            place: String::new(),
            hosts,
            batch: (1, 1),
        });
        let told = |host: &str, status: Status, result: Value| {
            Event::Result(Box::new(HostResult {
                task: 1,
                host: host.into(),
                delegate: None,
                delegate_address: None,
                item: None,
                status,
                message: None,
                result: result.as_object().cloned().unwrap(),
                diff: Vec::new(),
                duration_us: 1,
            }))
        };
        let answer = |host: &str, result: Value| told(host, Status::Ok, result);
        let failed = |host: &str, result: Value| told(host, Status::Failed, result);
        folded.event(&answer("c", json!({"rc": 0, "stdout": "imok\n"})));
        folded.event(&failed("b", json!({"rc": 3, "stdout": "", "stderr": "no\u{1b}[2J"})));
        folded.event(&answer("a", json!({"rc": 0, "stdout": "imok"})));
        folded.event(&Event::HostUnreachable {
            host: "d".into(),
            message: "refused".into(),
            hint: None,
        });
        folded.event(&Event::RunFinished {
            recap: Vec::new(),
            duration_ms: 1234,
            outcome: Outcome::FailedAndUnreachable,
            error: None,
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let expected = "a, c  exit 0\n  imok\nb  exit 3\n  stderr: no\\u{1b}[2J\n\
                        d  unreachable: refused\ndone in 1.2 s: 4 hosts, 2 failed\n";
        assert_eq!(text, expected);
    }
}

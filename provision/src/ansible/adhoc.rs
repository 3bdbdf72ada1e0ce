//! `ansible`: one module on hosts, in the format of Ansible's minimal callback.

use std::path::PathBuf;
use std::sync::Arc;

use provision_engine::event::{CommandLine, Event, HostResult, Status};
use provision_engine::keyring::Keyring;
use provision_engine::load::{Loaded, hosts_of, load};
use provision_engine::report::Sink;
use provision_engine::run::{RunOptions, run};
use serde_json::Value;

use super::arguments::AdhocArguments;
use super::code::{self, Code};
use super::config::Configuration;
use super::page::{Colour, Page};
use super::{json, playbook, sources};
use crate::apply;
use crate::arguments::{Output, RunCommand};
use crate::command;
use crate::journal::Journal;
use crate::paint::harmless;
use crate::passwords;

/// Modules whose output is shown as it is.
const COMMANDS: &[&str] = &["command", "shell", "raw", "script"];

/// Runs a module; the exit code is Ansible's.
pub async fn adhoc(
    arguments: &AdhocArguments,
    configuration: &Configuration,
    outlet: playbook::Outlet,
) -> Code {
    let playbook::Outlet { mut page, keeps_journal, dial } = outlet;
    if let Err(reason) = refusal(arguments) {
        page.error(&reason);
        return code::OPTIONS;
    }
    configuration.notes.iter().for_each(|note| page.warn(note));
    configuration.refusals.iter().for_each(|reason| page.error(reason));
    if !configuration.refusals.is_empty() {
        return code::OPTIONS;
    }
    let mut given = as_run(arguments);
    configuration.complete_reach(&mut given.reach);
    configuration.complete_passwords(&mut given.passwords);
    given.r#become |= configuration.settings.r#become;
    given.become_user = given.become_user.or_else(|| configuration.settings.become_user.clone());
    let existing =
        sources::existing(&mut given.reach.inventory, &configuration.settings, &mut page);
    let read = existing
        .and_then(|()| read(arguments, &given, &mut page))
        .and_then(|loaded| sources::limit_matches(&loaded, &mut page).map(|()| loaded));
    let loaded = match read {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let plays = loaded.playbooks.iter().flat_map(|playbook| &playbook.plays);
    let hosts: Vec<String> = plays
        .flat_map(|play| hosts_of(&loaded.world, &loaded.inventory, play).unwrap_or_default())
        .collect();
    if arguments.common.list_hosts {
        page.say(&format!("  hosts ({}):", hosts.len()));
        hosts.iter().for_each(|host| page.say(&format!("    {}", harmless(host))));
        return code::DONE;
    }
    if hosts.is_empty() {
        page.warn("No hosts matched, nothing to do");
        return code::DONE;
    }
    let options = match options(arguments, &given, dial) {
        Ok(options) => options,
        Err((message, code)) => {
            page.error(&message);
            return code;
        }
    };
    let one_line = arguments.one_line || configuration.settings.shows_one_line;
    let printer: Box<dyn Sink> = Box::new(Minimal { page, module: String::new(), one_line });
    let sink = match keeps_journal {
        true => Box::new(Journal::new(crate::runs::commands_folder(), printer)),
        false => printer,
    };
    let interrupts = apply::interrupts("waiting for the modules; press Ctrl-C again to stop them");
    playbook::code_of(run(loaded, options, sink, interrupts).await.outcome)
}

fn refusal(arguments: &AdhocArguments) -> Result<(), String> {
    playbook::refusal(&arguments.common)?;
    if arguments.tree.is_some() {
        return Err(
            "-t: no files are written; `provision runs show` prints what was returned".into()
        );
    }
    if arguments.background.is_some() {
        return Err("-B: write a task with `async` and `poll`".into());
    }
    Ok(())
}

fn read(arguments: &AdhocArguments, given: &RunCommand, page: &mut Page) -> Result<Loaded, Code> {
    let keyring = passwords::vault(&given.passwords).map_err(|failure| {
        page.error(failure.message());
        code::ERROR
    })?;
    let mut request = command::request(given, Arc::new(Keyring::new(keyring)));
    request.settings.diff = arguments.common.diff;
    request.settings.verbosity = arguments.common.verbose;
    if let Some(folder) = &arguments.playbook_dir {
        // The play stands there: so do modules of one's own, roles and files.
        let place = |path: &PathBuf| folder.join(path);
        request.playbooks = request.playbooks.iter().map(place).collect();
        request.texts =
            request.texts.iter().map(|(path, text)| (place(path), text.clone())).collect();
        request.settings.playbook_folder = std::path::absolute(folder).unwrap_or_default();
    }
    load(&request).map_err(|failure| playbook::refused(&failure, page))
}

fn options(
    arguments: &AdhocArguments,
    given: &RunCommand,
    dial: Option<Arc<dyn provision_engine::channel::Dial>>,
) -> Result<RunOptions, (String, Code)> {
    let file = arguments.common.become_password_file.as_deref();
    let options = playbook::run_options(&given.reach, given.ask_become_pass, file, dial)?;
    let words = ["-m", &arguments.module].into_iter().chain(arguments.arguments.as_deref());
    let command = CommandLine {
        pattern: arguments.pattern.clone(),
        words: words.map(str::to_owned).collect(),
    };
    Ok(RunOptions { command: Some(command), ..options })
}

/// The same request to `provision run`.
fn as_run(arguments: &AdhocArguments) -> RunCommand {
    let common = &arguments.common;
    let mut passwords = common.passwords.clone();
    passwords.ask_vault_pass |= common.ask_vault_short;
    RunCommand {
        pattern: arguments.pattern.clone(),
        command: Vec::new(),
        module: Some(arguments.module.clone()),
        arguments: arguments.arguments.clone(),
        check: common.check,
        reach: playbook::reach_of(common),
        passwords,
        shell: false,
        r#become: common.r#become,
        become_user: common.become_user.clone(),
        ask_become_pass: common.ask_become_pass,
        command_timeout: arguments.task_timeout,
        no_lock: false,
        lock_wait: playbook::LOCK_WAIT_S,
        output: Output::Human,
        color: crate::arguments::Colour::Auto,
    }
}

/// Prints a result a host.
struct Minimal {
    page: Page,
    module: String,
    one_line: bool,
}

impl Minimal {
    fn result(&mut self, result: &HostResult) {
        let (word, colour) = match result.status {
            Status::Skipped => {
                let text = format!("{} | SKIPPED", result.host);
                let text = self.page.paint(Colour::Skipped, &text);
                return self.page.say(&text);
            }
            Status::Ok => ("SUCCESS", Colour::Ok),
            Status::Changed => ("CHANGED", Colour::Changed),
            Status::Failed | Status::Ignored => ("FAILED", Colour::Failed),
            Status::Unreachable => ("UNREACHABLE", Colour::Unreachable),
        };
        let text = match COMMANDS.contains(&self.module.as_str()) {
            true => self.output(result, word),
            false => {
                let mark = if colour == Colour::Failed { "!" } else { "" };
                let left_out = ["failed", "diff", "invocation", "warnings"];
                let values = result.result.iter().filter(|(name, _)| {
                    let is_of_debug = self.module == "debug" && name.as_str() == "changed";
                    !left_out.contains(&name.as_str()) && !is_of_debug
                });
                let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
                let dump = json::object(&values, !self.one_line);
                format!("{} | {word}{mark} => {dump}", result.host)
            }
        };
        let text = self.page.paint(colour, &text);
        self.page.say(&text);
        let warnings = result.result.get("warnings").and_then(Value::as_array);
        let warnings = warnings.into_iter().flatten().filter_map(Value::as_str);
        warnings.for_each(|warning| self.page.warn(warning));
    }

    /// What a command wrote, as it is but for what would steer the terminal.
    fn output(&self, result: &HostResult, word: &str) -> String {
        let text = |name: &str| {
            harmless(result.result.get(name).and_then(Value::as_str).unwrap_or_default())
        };
        let code = result.result.get("rc").and_then(Value::as_i64).unwrap_or(-1);
        let (out, errors) = (text("stdout"), text("stderr"));
        if self.one_line {
            let errors =
                if errors.is_empty() { String::new() } else { format!(" (stderr) {errors}") };
            let text = format!("{} | {word} | rc={code} | (stdout) {out}{errors}", result.host);
            return text.replace('\n', "\\n");
        }
        format!("{} | {word} | rc={code} >>\n{out}{errors}{}", result.host, text("msg"))
    }
}

impl Sink for Minimal {
    fn event(&mut self, event: &Event) {
        match event {
            Event::TaskStarted { module, .. } => self.module.clone_from(module),
            Event::Result(result) => self.result(result),
            Event::HostUnreachable { host, message, hint } => {
                let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                let mut values = provision_protocol::Object::new();
                values.insert("changed".into(), false.into());
                values.insert("unreachable".into(), true.into());
                let message = format!("Failed to connect to the host via ssh: {message}{hint}");
                values.insert("msg".into(), message.into());
                let dump = json::object(&values, !self.one_line);
                let text = format!("{host} | UNREACHABLE! => {dump}");
                let text = self.page.paint(Colour::Unreachable, &text);
                self.page.say(&text);
            }
            Event::Warning { host, message } => {
                let host = host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
                self.page.warn(&format!("{host}{message}"));
            }
            Event::RunStarted { .. }
            | Event::PlayStarted { .. }
            | Event::HostConnected { .. }
            | Event::Retrying { .. }
            | Event::Polled { .. }
            | Event::ItemResult(_)
            | Event::TaskFinished { .. }
            | Event::RunFinished { .. } => {}
        }
    }
}

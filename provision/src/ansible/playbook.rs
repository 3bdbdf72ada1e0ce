//! `ansible-playbook`: playbooks run as `provision apply` runs them; what is read, printed and
//! returned is as scripts expect it of Ansible.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use provision_engine::channel::Dial;
use provision_engine::event::Outcome;
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadFailure, Loaded, load};
use provision_engine::report::{Sink, TaskTitle};
use provision_engine::run::{AskStep, RunOptions, StepAnswer, run};
use provision_playbook::Customs;
use provision_playbook::own::OwnPaths;
use tokio::sync::mpsc;

use super::arguments::{CommonArguments, PlaybookArguments};
use super::code::{self, Code};
use super::config::Configuration;
use super::listing;
use super::page::Page;
use super::printer::{AnsiblePrinter, Shown};
use super::{sources, wording};
use crate::apply;
use crate::arguments::{Apply, Colour, DialectName, Output, Reach, SshTransport, Transport};
use crate::journal::Journal;
use crate::passwords;
use crate::prompt;

/// Where a run goes.
pub struct Outlet {
    /// What is printed.
    pub page: Page,
    /// Whether the run leaves a journal for `provision runs`.
    pub keeps_journal: bool,
    /// How hosts are reached, if not over the network.
    pub dial: Option<Arc<dyn Dial>>,
}

/// Runs playbooks; the exit code is Ansible's.
pub async fn playbook(
    arguments: &PlaybookArguments,
    configuration: &Configuration,
    mut outlet: Outlet,
) -> Code {
    if let Err(reason) = refusal(&arguments.common) {
        outlet.page.error(&reason);
        return code::OPTIONS;
    }
    configuration.notes.iter().for_each(|note| outlet.page.warn(note));
    configuration.refusals.iter().for_each(|reason| outlet.page.error(reason));
    if !configuration.refusals.is_empty() {
        return code::OPTIONS;
    }
    if let Some(missing) = arguments.playbooks.iter().find(|path| !path.is_file()) {
        let what = match missing.exists() {
            true => "does not appear to be a file",
            false => "could not be found",
        };
        outlet.page.error(&format!("the playbook: {} {what}", missing.display()));
        return code::ERROR;
    }
    let mut given = as_apply(arguments);
    configuration.complete(&mut given);
    given.reach.customs.misses_handlers_late = true;
    if given.verbose > 0 {
        outlet.page.say(&match &configuration.file {
            Some(file) => format!("Using {} as config file", file.display()),
            None => "No config file found; using defaults".to_owned(),
        });
    }
    let existing =
        sources::existing(&mut given.reach.inventory, &configuration.settings, &mut outlet.page);
    let read = existing
        .and_then(|()| read(&given, &mut outlet.page))
        .and_then(|loaded| sources::limit_matches(&loaded, &mut outlet.page).map(|()| loaded));
    let mut loaded = match read {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if let Some(name) = &arguments.start_at_task
        && let Err((message, hint)) = apply::start_at(&mut loaded, name)
    {
        outlet.page.error(&with_hint(&message, hint.as_deref()));
        return code::ERROR;
    }
    if configuration.settings.gathers_only_if_asked {
        provision_playbook::begin::gather_only_if_asked(&mut loaded.playbooks);
    }
    if listing::is_asked(arguments) {
        let text = listing::text(arguments, &loaded);
        outlet.page.say(text.trim_end_matches('\n'));
        return code::DONE;
    }
    carry_out(&given, configuration, loaded, outlet).await
}

/// Reads everything; what is wrong is told.
fn read(given: &Apply, page: &mut Page) -> Result<Loaded, Code> {
    let keyring = match passwords::vault(&given.passwords) {
        Ok(vault) => Arc::new(Keyring::new(vault)),
        Err(failure) => {
            page.error(failure.message());
            return Err(code::ERROR);
        }
    };
    let request = apply::request(given, keyring).map_err(|(message, hint)| {
        page.error(&with_hint(&message, hint.as_deref()));
        code::ERROR
    })?;
    if given.reach.inventory.is_empty() {
        page.warn(NO_INVENTORY);
    }
    load(&request).map_err(|failure| refused(&failure, page))
}

/// What is said where no inventory is named.
const NO_INVENTORY: &str = "provided hosts list is empty, only localhost is available. Note that \
                            the implicit localhost does not match 'all'";

/// What can't be used is told, all of it.
pub fn refused(failure: &LoadFailure, page: &mut Page) -> Code {
    let style = match page.coloured {
        true => diagnostics::Style::Coloured,
        false => diagnostics::Style::Plain,
    };
    let errors = || failure.diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    // What Ansible has words for comes first: scripts look for them.
    let message = errors()
        .find_map(wording::of)
        .or_else(|| errors().next().map(|first| first.message.clone()));
    page.error(message.as_deref().unwrap_or("the playbook can't be used"));
    let told = errors().find(|error| wording::of(error).is_some()).or_else(|| errors().next());
    if let Some(place) = told.and_then(|error| wording::place_of(error, &failure.sources)) {
        page.tell(&format!("\n{place}\n"));
    }
    page.tell(&diagnostics::render_all(&failure.diagnostics, &failure.sources, style));
    code::PARSER
}

async fn carry_out(
    given: &Apply,
    configuration: &Configuration,
    loaded: Loaded,
    mut outlet: Outlet,
) -> Code {
    let options = match options(given, outlet.dial.take()) {
        Ok(options) => options,
        Err((message, code)) => {
            outlet.page.error(&message);
            return code;
        }
    };
    let settings = &configuration.settings;
    let shown = Shown {
        level: given.verbose,
        in_order: given.reach.connections() == 1,
        skipped: settings.display_skipped_hosts.unwrap_or(true),
        ok: settings.display_ok_hosts.unwrap_or(true),
        failed_on_stderr: settings.display_failed_stderr,
    };
    if given.verbose > 1 {
        for (playbook, path) in loaded.playbooks.iter().zip(&given.playbooks) {
            let count = playbook.plays.len();
            outlet.page.say(&format!("{count} plays in {}", path.display()));
        }
    }
    let printer: Box<dyn Sink> = Box::new(AnsiblePrinter::new(outlet.page, shown));
    let sink = match outlet.keeps_journal {
        true => Box::new(Journal::new(crate::runs::plays_folder(), printer)),
        false => printer,
    };
    let interrupts = match outlet.keeps_journal {
        true => apply::interrupts("finishing the running step; press Ctrl-C again to stop at once"),
        false => mpsc::unbounded_channel().1,
    };
    let summary = run(loaded, options, sink, interrupts).await;
    match summary.error {
        Some(_) => code::ERROR,
        None => code_of(summary.outcome),
    }
}

/// How a run ended, as Ansible says it.
pub fn code_of(outcome: Outcome) -> Code {
    match outcome {
        Outcome::Done => code::DONE,
        Outcome::Failed | Outcome::StoppedByLimit => code::FAILED,
        // As in Ansible, a host that can't be reached outweighs one that failed.
        Outcome::Unreachable | Outcome::FailedAndUnreachable => code::UNREACHABLE,
        Outcome::Interrupted => code::INTERRUPTED,
    }
}

fn options(given: &Apply, dial: Option<Arc<dyn Dial>>) -> Result<RunOptions, (String, Code)> {
    let file = given.become_password_file.as_deref();
    let options = run_options(&given.reach, given.ask_become_pass, file, dial)?;
    Ok(RunOptions {
        strict_order: given.strict_order || given.step,
        prompt: Some(Box::new(|prompt, question| prompt::line(question, prompt.private))),
        pause: Some(Box::new(|question, echo| prompt::line(question, !echo))),
        step: given.step.then(|| Box::new(ask_step) as Box<AskStep>),
        ..options
    })
}

/// How hosts are reached, and as whom.
pub fn run_options(
    reach: &Reach,
    asks_become_pass: bool,
    become_password_file: Option<&str>,
    dial: Option<Arc<dyn Dial>>,
) -> Result<RunOptions, (String, Code)> {
    let mut connection =
        apply::connection(reach, asks_become_pass).map_err(|message| (message, code::ERROR))?;
    if let Some(file) = become_password_file {
        let password = passwords::secret_of_file(file);
        let password = password.map_err(|failure| (failure.message().to_owned(), code::ERROR))?;
        connection.become_password = Some(password);
    }
    let dial = match dial {
        Some(dial) => dial,
        None => apply::network(reach).map_err(|message| (message, code::UNEXPECTED))?,
    };
    Ok(RunOptions {
        connection,
        dial,
        strict_order: false,
        lock_wait_ms: LOCK_WAIT_S.saturating_mul(1000),
        exclusive: true,
        prompt: None,
        pause: None,
        command: None,
        step: None,
    })
}

/// The question of `--step`, in Ansible's words.
fn ask_step(title: &TaskTitle) -> StepAnswer {
    let role = title.role.as_ref().map(|role| format!("{role} : ")).unwrap_or_default();
    let question = format!("Perform task: TASK: {role}{} (N)o/(y)es/(c)ontinue: ", title.name);
    let mut out = std::io::stdout();
    let _ = write!(out, "{}", crate::paint::harmless(&question)).and_then(|()| out.flush());
    apply::step_answer(prompt::any_line().as_deref())
}

/// What can't be done as it is asked for; nothing is ignored silently.
pub fn refusal(common: &CommonArguments) -> Result<(), String> {
    if let Some(method) = &common.become_method
        && !matches!(method.as_str(), "sudo" | "ansible.builtin.sudo")
    {
        return Err(format!("--become-method {method}: only sudo is there"));
    }
    let plain = common
        .connection
        .as_deref()
        .map(|name| name.strip_prefix("ansible.builtin.").unwrap_or(name));
    if let Some(name) = plain
        && !matches!(name, "ssh" | "smart" | "paramiko" | "paramiko_ssh" | "local")
    {
        return Err(format!("-c {name}: connections are ssh or local"));
    }
    if common.forks == Some(0) {
        return Err("The number of processes (--forks) must be >= 1".to_owned());
    }
    Ok(())
}

fn with_hint(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}; {hint}"),
        None => message.to_owned(),
    }
}

/// How hosts are reached, in our own terms.
pub fn reach_of(common: &CommonArguments) -> Reach {
    let ssh: Vec<&str> = [&common.ssh_common_args, &common.ssh_extra_args]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    Reach {
        inventory: common.inventory.clone(),
        inventory_snapshot_ok: false,
        limit: common.limit.clone(),
        extra_vars: common.extra_vars.clone(),
        user: common.user.clone(),
        private_key: common.private_key.clone(),
        ask_pass: common.ask_pass,
        connection_password_file: common.connection_password_file.clone(),
        connection: match common.connection.as_deref() {
            Some("local" | "ansible.builtin.local") => Transport::Local,
            _ => Transport::Ssh,
        },
        transport: SshTransport::Native,
        jump: Vec::new(),
        ssh_common_args: (!ssh.is_empty()).then(|| ssh.join(" ")),
        timeout: common.timeout,
        accept_new_host_keys: false,
        forks: common.forks,
        customs: Customs::default(),
        own: OwnPaths {
            modules: common.module_path.as_deref().map(folders).unwrap_or_default(),
            ..OwnPaths::default()
        },
        facts_modules: Vec::new(),
        configured: BTreeMap::new(),
        flush_cache: false,
        fact_cache: None,
    }
}

/// Folders that colons separate.
fn folders(text: &str) -> Vec<PathBuf> {
    text.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect()
}

/// The same request to `provision apply`.
fn as_apply(arguments: &PlaybookArguments) -> Apply {
    let common = &arguments.common;
    let mut passwords = common.passwords.clone();
    passwords.ask_vault_pass |= common.ask_vault_short;
    // As in Ansible, all tags are listed unless some are asked for.
    let lists_all =
        arguments.list_tags && arguments.tags.is_empty() && arguments.skip_tags.is_empty();
    Apply {
        playbooks: arguments.playbooks.clone(),
        reach: Reach { flush_cache: arguments.flush_cache, ..reach_of(common) },
        passwords,
        plan: None,
        check: common.check,
        diff: common.diff,
        exit_code: false,
        tags: match lists_all {
            true => vec!["all".to_owned(), "never".to_owned()],
            false => arguments.tags.clone(),
        },
        skip_tags: arguments.skip_tags.clone(),
        r#become: common.r#become,
        become_user: common.become_user.clone(),
        ask_become_pass: common.ask_become_pass,
        become_password_file: common.become_password_file.clone(),
        roles_path: Vec::new(),
        collections_path: Vec::new(),
        dialect: DialectName::Classic,
        force_handlers: arguments.force_handlers,
        start_at_task: arguments.start_at_task.clone(),
        step: arguments.step,
        strict_order: false,
        lock_wait: LOCK_WAIT_S,
        syntax_check: arguments.syntax_check,
        list_hosts: common.list_hosts,
        list_tasks: arguments.list_tasks,
        list_tags: arguments.list_tags,
        output: Output::Human,
        color: Colour::Auto,
        verbose: common.verbose,
        quiet: false,
    }
}

/// Seconds to wait while another run holds a host.
pub const LOCK_WAIT_S: u64 = 10;

#[cfg(test)]
mod tests;

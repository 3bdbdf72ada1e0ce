//! `sysvinit`: services by their init scripts, whatever else manages services here.

use std::path::Path;
use std::time::Duration;

use provision_protocol::Object;
use serde_json::{Value, json};

use super::super::process::{Finished, Run, find_program};
use super::super::wait;
use super::sysv::{Tool, control, has_process, has_script, is_enabled, status_means_running};
use super::{ServiceArguments, missing};
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Given, Outcome};

/// `sysvinit`: starts, stops and links an init script.
///
/// # Errors
/// When there is no such script, or it fails.
pub fn sysvinit(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let name = given.word("name");
    if !has_script(name) {
        return missing(name, context.check);
    }
    let mut difference = AttributeChange::default();
    let mut enabled = None;
    if let Some(wanted) = given.choice("enabled") {
        enabled = enable(given, wanted, &mut difference, context)?;
    }
    let mut changed = enabled.is_some();
    let mut account_of_enabled = account(enabled.as_ref());
    if let (Some(levels), Value::Object(account), true) =
        (given.texts("runlevels"), &mut account_of_enabled, changed)
    {
        account.insert("runlevels".into(), levels.into());
    }
    let mut status = Object::new();
    status.insert("enabled".into(), account_of_enabled);
    if let Some(state) = given.text("state") {
        let done = bring_about(given, state, &mut difference, context)?;
        changed |= done.is_some();
        status.insert(state.to_owned(), account(done.as_ref()));
    }
    let mut outcome = Outcome::new(changed).with("name", name).with("status", status);
    if context.diff && changed {
        outcome.diff.push(difference.diff());
    }
    Ok(outcome)
}

/// What a program did, as `status` holds it; nothing if none was run.
fn account(finished: Option<&Finished>) -> Value {
    json!({
        "changed": finished.is_some(), "rc": finished.map(|finished| finished.rc),
        "stdout": finished.map(Finished::stdout_text),
        "stderr": finished.map(Finished::stderr_text),
    })
}

fn enable(
    given: Given<'_>,
    wanted: bool,
    difference: &mut AttributeChange,
    context: &mut Context<'_>,
) -> Result<Option<Finished>, Failure> {
    let name = given.word("name");
    let levels = given.words("runlevels");
    let in_level = |level: &&str| has_link(name, &format!("/etc/rc{level}.d"));
    let is_now = match levels.as_slice() {
        [] => is_enabled(name, Path::new("/etc")) == wanted,
        levels => levels.iter().all(|level| in_level(level) == wanted),
    };
    if is_now {
        return Ok(None);
    }
    difference.note("enabled", !wanted, wanted);
    let mut done = Finished::default();
    if !context.check {
        context.about_to_change()?;
        for run in links(name, wanted, &levels)? {
            done = run.parsable().run(context)?;
            if !done.succeeded() {
                let verb = if wanted { "enable" } else { "disable" };
                return Err(done.failure(format!("Failed to {verb} service: {name}")));
            }
        }
    }
    Ok(Some(done))
}

fn has_link(name: &str, folder: &str) -> bool {
    let entries = Path::new(folder).read_dir().into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .any(|link| link.starts_with('S') && link.get(3..) == Some(name))
}

/// The programs that link a script into runlevels, or away.
fn links(name: &str, wanted: bool, levels: &[&str]) -> Result<Vec<Run>, Failure> {
    if find_program("update-rc.d").is_some() {
        let run = || Run::tool("update-rc.d").map(|run| run.argument(name));
        let verb = if wanted { "enable" } else { "disable" };
        // `defaults` makes links if there are none at all; it keeps existing ones.
        let mut runs = vec![run()?.argument("defaults")];
        match levels {
            [] => runs.push(run()?.argument(verb)),
            levels => {
                for level in levels {
                    runs.push(run()?.arguments([verb, level]));
                }
            }
        }
        return Ok(runs);
    }
    let run = Run::tool("chkconfig")?;
    let run = match levels {
        [] => run,
        levels => run.argument("--level").argument(levels.concat()),
    };
    let added = Run::tool("chkconfig")?.arguments(["--add", name]);
    Ok(vec![added, run.arguments([name, if wanted { "on" } else { "off" }])])
}

fn bring_about(
    given: Given<'_>,
    state: &str,
    difference: &mut AttributeChange,
    context: &mut Context<'_>,
) -> Result<Option<Finished>, Failure> {
    let name = given.word("name");
    let script = ServiceArguments {
        name: name.to_owned(),
        arguments: given.text("arguments").map(str::to_owned),
        ..ServiceArguments::default()
    };
    let runs = match given.text("pattern") {
        Some(pattern) => has_process(pattern),
        None => {
            let said = control(&script, &Tool::Script, "status", context)?;
            status_means_running(said.rc, &said.stdout_text(), name)
        }
    };
    let actions: &[&str] = match (state, runs) {
        ("started", false) => &["start"],
        ("stopped", true) => &["stop"],
        ("restarted", true) => &["stop", "start"],
        ("restarted", false) => &["start"],
        ("reloaded", true) => &["reload"],
        ("reloaded", false) => &["start"],
        _ => return Ok(None),
    };
    difference.note("state", if runs { "started" } else { "stopped" }, state);
    let mut done = Finished::default();
    if !context.check {
        context.about_to_change()?;
        for (number, action) in actions.iter().enumerate() {
            if number > 0 {
                let seconds = u64::try_from(given.integer("sleep").unwrap_or(1)).unwrap_or(0);
                wait::pause(Duration::from_secs(seconds), context)?;
            }
            // `service` may hide what the script says.
            let path = match name.starts_with('/') {
                true => name.to_owned(),
                false => format!("/etc/init.d/{name}"),
            };
            let more = given.word("arguments").split_whitespace();
            done = Run::new(path).argument(action).arguments(more).parsable().run(context)?;
            if !done.succeeded() {
                return Err(done.failure(format!("Failed to {action} service: {name}")));
            }
        }
    }
    Ok(Some(done))
}

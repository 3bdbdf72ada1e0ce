//! Services without systemd: init scripts and OpenRC.

use std::path::Path;
use std::time::Duration;

use super::super::process::{Finished, Run, find_program};
use super::super::{wait, wildcard};
use super::{ServiceArguments, missing};
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Outcome};

/// Whether there is an init script of this name.
pub(super) fn has_script(name: &str) -> bool {
    let script =
        if name.starts_with('/') { name.to_owned() } else { format!("/etc/init.d/{name}") };
    Path::new(&script).exists()
}

/// Whether a script is linked into any runlevel.
pub(super) fn is_enabled(name: &str, etc: &Path) -> bool {
    let folder = if etc.join("rc0.d").is_dir() { "rc?.d" } else { "init.d/rc?.d" };
    let Ok(links) = etc.join(folder).into_os_string().into_string() else { return false };
    wildcard::paths(Path::new(&links), etc)
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .any(|link| link.starts_with('S') && link.get(3..).is_some_and(|service| service == name))
}

/// How services are told what to do here.
pub(super) enum Tool {
    /// `rc-service` and `rc-update`.
    OpenRc,
    /// `service`, or the script itself.
    Script,
}

pub(super) fn service(
    given: &ServiceArguments,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let tool = if find_program("rc-service").is_some() { Tool::OpenRc } else { Tool::Script };
    let known = match tool {
        Tool::OpenRc | Tool::Script => has_script(&given.name),
    };
    if !known {
        return missing(&given.name, context.check);
    }
    let mut outcome = Outcome::new(false).with("name", given.name.as_str());
    let mut difference = AttributeChange::default();
    if let Some(enabled) = given.enabled {
        let now = enabled_now(given, &tool, context)?;
        if now != enabled {
            outcome.changed = true;
            difference.note("enabled", now, enabled);
            if !context.check {
                context.about_to_change()?;
                enable(given, &tool, enabled, context)?;
            }
        }
        outcome = outcome.with("enabled", enabled);
    }
    if let Some(state) = given.state.as_deref() {
        let runs = match &given.pattern {
            Some(pattern) => has_process(pattern),
            None => runs(given, &tool, context)?,
        };
        let actions: &[&str] = match (state, runs) {
            ("started", false) => &["start"],
            ("stopped", true) => &["stop"],
            ("reloaded", true) => &["reload"],
            ("reloaded", false) => &["start"],
            ("restarted", _) if matches!(tool, Tool::OpenRc) => &["restart"],
            ("restarted", _) => &["stop", "start"],
            _ => &[],
        };
        if !actions.is_empty() {
            outcome.changed = true;
            difference.note("state", if runs { "started" } else { "stopped" }, state);
            if !context.check {
                context.about_to_change()?;
                act(given, &tool, actions, context)?;
            }
        }
        let reached = if state == "stopped" { "stopped" } else { "started" };
        outcome = outcome.with("state", reached);
    }
    if context.diff && outcome.changed {
        outcome.diff.push(difference.diff());
    }
    Ok(outcome)
}

pub(super) fn control(
    given: &ServiceArguments,
    tool: &Tool,
    action: &str,
    context: &Context<'_>,
) -> Result<Finished, Failure> {
    let run = match tool {
        Tool::OpenRc => Run::tool("rc-service")?.arguments([&given.name, action]),
        Tool::Script => match find_program("service") {
            Some(program) => Run::new(program).arguments([given.name.as_str(), action]),
            None => Run::new(format!("/etc/init.d/{}", given.name)).argument(action),
        },
    };
    let extra = given.arguments.as_deref().unwrap_or_default();
    let run = run.arguments(extra.split_whitespace()).parsable();
    Ok(run.run(context)?)
}

fn act(
    given: &ServiceArguments,
    tool: &Tool,
    actions: &[&str],
    context: &Context<'_>,
) -> Result<(), Failure> {
    let mut last = Finished::default();
    for (index, action) in actions.iter().enumerate() {
        if index > 0
            && let Some(seconds) = given.sleep
        {
            wait::pause(Duration::from_secs(seconds), context)?;
        }
        // A stop may fail because nothing runs; only the end of it all counts.
        last = control(given, tool, action, context)?;
    }
    if last.succeeded() {
        return Ok(());
    }
    let said = last.stderr_text();
    let said = if said.trim().is_empty() { last.stdout_text() } else { said };
    Err(last.failure(said.trim()))
}

/// Whether it runs: by the code of `status` (LSB 20.2), otherwise by what it says.
fn runs(given: &ServiceArguments, tool: &Tool, context: &Context<'_>) -> Result<bool, Failure> {
    let finished = control(given, tool, "status", context)?;
    if matches!(tool, Tool::OpenRc) {
        return Ok(finished.stdout_text().contains("started") && finished.succeeded());
    }
    Ok(status_means_running(finished.rc, &finished.stdout_text(), &given.name))
}

pub(super) fn status_means_running(rc: i32, said: &str, name: &str) -> bool {
    if matches!(rc, 1..=4 | 69) {
        return false;
    }
    if said.matches('\n').count() <= 1 {
        let said = said.to_lowercase().replace(&name.to_lowercase(), "");
        let negated = said.contains("not ");
        if said.contains("stop") {
            return false;
        }
        if said.contains("run") {
            return !negated;
        }
        if said.contains("start") && !negated {
            return true;
        }
        let dead = ["could not access pid file", "is dead and", "dead but"];
        if dead.iter().any(|words| said.contains(words)) {
            return false;
        }
    }
    rc == 0
}

/// Whether any process has this text in its command line.
pub(super) fn has_process(pattern: &str) -> bool {
    let own = std::process::id().to_string();
    let Ok(entries) = Path::new("/proc").read_dir() else { return false };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.chars().all(|digit| digit.is_ascii_digit()) && *name != own)
        .filter_map(|name| std::fs::read(format!("/proc/{name}/cmdline")).ok())
        .any(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " ").contains(pattern))
}

fn enabled_now(
    given: &ServiceArguments,
    tool: &Tool,
    context: &Context<'_>,
) -> Result<bool, Failure> {
    match tool {
        Tool::OpenRc => {
            let level = given.runlevel.as_deref().unwrap_or("default");
            let finished = Run::tool("rc-update")?.arguments(["show", level]).run(context)?;
            let text = finished.stdout_text();
            Ok(text
                .lines()
                .any(|line| line.split('|').next().is_some_and(|name| name.trim() == given.name)))
        }
        Tool::Script => Ok(is_enabled(&given.name, Path::new("/etc"))),
    }
}

fn enable(
    given: &ServiceArguments,
    tool: &Tool,
    enabled: bool,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let name = given.name.as_str();
    if matches!(tool, Tool::OpenRc) {
        let action = if enabled { "add" } else { "delete" };
        let level = given.runlevel.as_deref().unwrap_or("default");
        Run::tool("rc-update")?.arguments([action, name, level]).succeed(context)?;
    } else if find_program("update-rc.d").is_some() {
        // `defaults` makes links if there are none at all; it keeps existing ones.
        Run::tool("update-rc.d")?.arguments([name, "defaults"]).succeed(context)?;
        let action = if enabled { "enable" } else { "disable" };
        Run::tool("update-rc.d")?.arguments([name, action]).succeed(context)?;
    } else {
        let action = if enabled { "on" } else { "off" };
        Run::tool("chkconfig")?.arguments(["--add", name]).succeed(context)?;
        Run::tool("chkconfig")?.arguments([name, action]).succeed(context)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_enable_scripts() {
        let etc = tempfile::tempdir().unwrap();
        for folder in ["rc0.d", "rc2.d"] {
            std::fs::create_dir(etc.path().join(folder)).unwrap();
        }
        std::fs::write(etc.path().join("rc0.d/K01cron"), "").unwrap();
        assert!(!is_enabled("cron", etc.path()));
        std::fs::write(etc.path().join("rc2.d/S01cron"), "").unwrap();
        assert!(is_enabled("cron", etc.path()));
        assert!(!is_enabled("ron", etc.path()));
    }

    #[test]
    fn statuses() {
        assert!(status_means_running(0, "cron is running.\n", "cron"));
        assert!(!status_means_running(0, "cron is not running\n", "cron"));
        assert!(!status_means_running(3, "", "cron"));
        assert!(!status_means_running(0, "stopped\n", "x"));
        assert!(status_means_running(0, "a\nb\nc\n", "x"));
        assert!(!status_means_running(5, "", "x"));
    }
}

//! `systemd`.

use std::path::Path;

use provision_protocol::Object;
use serde::Deserialize;

use super::super::facts::is_chroot;
use super::super::wildcard::Wildcard;
use super::systemctl::{Systemctl, property};
use super::{missing, sysv, unit_files};
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Outcome, arguments};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SystemdArguments {
    pub name: Option<String>,
    pub state: Option<String>,
    pub enabled: Option<bool>,
    pub masked: Option<bool>,
    pub force: bool,
    pub daemon_reload: bool,
    pub daemon_reexec: bool,
    pub scope: Option<String>,
    pub no_block: bool,
}

/// `systemd`: manages a unit.
///
/// # Errors
/// When there is no such unit, or it doesn't do what it is told.
pub fn systemd(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    manage(&arguments(given)?, context)
}

/// What is known of a unit before anything is changed.
struct Unit<'a> {
    name: &'a str,
    systemctl: Systemctl,
    /// The system's own systemd, not a user's.
    is_system: bool,
    properties: Object,
    /// Whether systemd or an init script knows it.
    found: bool,
    has_script: bool,
}

pub(super) fn manage(
    given: &SystemdArguments,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    check(given)?;
    let scope = given.scope.as_deref().unwrap_or("system");
    let mut options = Vec::new();
    if scope != "system" {
        options.push(format!("--{scope}"));
    }
    for (is_given, option) in [(given.no_block, "--no-block"), (given.force, "--force")] {
        if is_given {
            options.push(option.to_owned());
        }
    }
    let systemctl = Systemctl::new(options);
    let mut warnings = Vec::new();
    for (is_given, command) in
        [(given.daemon_reload, "daemon-reload"), (given.daemon_reexec, "daemon-reexec")]
    {
        if !is_given || context.check {
            continue;
        }
        if command == "daemon-reload" && is_at_rest(given, &systemctl, context)? {
            continue;
        }
        reload(&systemctl, command, &mut warnings, context)?;
    }
    let mut outcome = Outcome::new(false).with("name", given.name.clone());
    outcome = outcome.with("status", Object::new());
    if let Some(name) = given.name.as_deref() {
        let unit = look_up(name, systemctl, scope == "system", context)?;
        if unit.has_script && property(&unit.properties, "LoadState") == "not-found" {
            warnings.push(format!(
                "The service ({name}) is actually an init script but the system is managed by \
                 systemd"
            ));
        }
        outcome = outcome.with("status", unit.properties.clone());
        outcome = change(given, &unit, outcome, &mut warnings, context)?;
    }
    Ok(if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) })
}

/// Whether reading the unit files again can't change anything: they are as they were, and the unit is
/// as it is wanted. If it is to be started they are always read again, because that also lets systemd
/// forget how often it has started it of late.
fn is_at_rest(
    given: &SystemdArguments,
    systemctl: &Systemctl,
    context: &Context<'_>,
) -> Result<bool, Failure> {
    let Some(name) = given.name.as_deref() else { return Ok(false) };
    // A user's systemd reads other folders.
    let is_system = given.scope.as_deref().is_none_or(|scope| scope == "system");
    if !is_system || given.daemon_reexec || unit_files::is_reload_due(systemctl, context) {
        return Ok(false);
    }
    let unit = look_up(name, systemctl.clone(), true, context)?;
    let now = property(&unit.properties, "ActiveState");
    let stays = given.state.as_deref().is_none_or(|state| command_for(state, now).is_none());
    if !unit.found || !stays || !matches!(now, "active" | "inactive") {
        return Ok(false);
    }
    if let Some(masked) = given.masked
        && is_masked(&unit, context)? != masked
    {
        return Ok(false);
    }
    given.enabled.map_or(Ok(true), |enabled| Ok(is_enabled(&unit, context)? == enabled))
}

fn check(given: &SystemdArguments) -> Result<(), Failure> {
    let Some(name) = given.name.as_deref() else {
        let needs = [
            ("state", given.state.is_some()),
            ("enabled", given.enabled.is_some()),
            ("masked", given.masked.is_some()),
        ];
        return match needs.into_iter().find(|(_, is_given)| *is_given) {
            Some((parameter, _)) => {
                Err(Failure::new(format!("missing parameter(s) required by '{parameter}': name")))
            }
            None => Ok(()),
        };
    };
    if Wildcard::is_one(name) {
        return Err(Failure::new(format!(
            "This module does not currently support using glob patterns, found in service name: \
             {name}"
        )));
    }
    if name.starts_with('-') {
        return Err(Failure::new(format!("{name} is no name of a unit")));
    }
    Ok(())
}

fn reload(
    systemctl: &Systemctl,
    command: &str,
    warnings: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    context.about_to_change()?;
    let finished = systemctl.run(&[command], context)?;
    if finished.succeeded() {
        return Ok(());
    }
    let (rc, said) = (finished.rc, finished.stderr_text());
    if is_offline(context) {
        warnings.push(format!(
            "{command} failed, but target is a chroot or systemd is offline. Continuing. Error \
             was: {rc} / {said}"
        ));
        return Ok(());
    }
    Err(finished.failure(format!("failure {rc} during {command}: {said}")))
}

/// Whether there is no systemd to ask: the task's own environment may say so, too.
fn is_offline(context: &Context<'_>) -> bool {
    let said = context.environment.get("SYSTEMD_OFFLINE").cloned();
    is_chroot() || said.or_else(|| std::env::var("SYSTEMD_OFFLINE").ok()).as_deref() == Some("1")
}

fn look_up<'a>(
    name: &'a str,
    systemctl: Systemctl,
    is_system: bool,
    context: &Context<'_>,
) -> Result<Unit<'a>, Failure> {
    let has_script = sysv::has_script(name);
    let shown = systemctl.show(name, context)?;
    let mut unit = Unit {
        name,
        systemctl,
        is_system,
        found: has_script,
        has_script,
        properties: Object::new(),
    };
    if let Some(properties) = shown {
        let state = property(&properties, "LoadState");
        unit.found |= !state.is_empty() && state != "not-found";
        let error = property(&properties, "LoadError");
        if unit.found && state != "masked" && !error.is_empty() {
            return Err(Failure::new(format!("Error loading unit file '{name}': {error}")));
        }
        unit.properties = properties;
        return Ok(unit);
    }
    // `show` doesn't work in a chroot; these two read files.
    const KNOWN: &[&str] = &[
        "enabled",
        "enabled-runtime",
        "linked",
        "linked-runtime",
        "masked",
        "masked-runtime",
        "static",
        "indirect",
        "disabled",
        "generated",
        "transient",
    ];
    let state = unit.systemctl.run(&["is-enabled", "--", name], context)?;
    unit.found |= KNOWN.contains(&state.stdout_text().trim())
        || unit.systemctl.run(&["list-unit-files", "--", name], context)?.succeeded();
    Ok(unit)
}

fn change(
    given: &SystemdArguments,
    unit: &Unit<'_>,
    mut outcome: Outcome,
    warnings: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let mut difference = AttributeChange::default();
    if let Some(masked) = given.masked {
        outcome.changed |= mask(masked, unit, &mut difference, context)?;
    }
    if !unit.found && (given.enabled.is_some() || given.state.is_some()) {
        return missing(unit.name, context.check);
    }
    if let Some(enabled) = given.enabled {
        let now = is_enabled(unit, context)?;
        if now != enabled {
            outcome.changed = true;
            difference.note("enabled", now, enabled);
            let command = if enabled { "enable" } else { "disable" };
            if let Some((out, said)) = act(unit, command, context)? {
                return Err(Failure::new(format!(
                    "Unable to {command} service {}: {out}{said}",
                    unit.name
                )));
            }
        }
        outcome = outcome.with("enabled", enabled);
    }
    if let Some(state) = given.state.as_deref() {
        let reached = if state == "stopped" { "stopped" } else { "started" };
        outcome = outcome.with("state", reached);
        let now = property(&unit.properties, "ActiveState");
        if now.is_empty() && is_offline(context) {
            warnings.push(
                "Target is a chroot or systemd is offline. This can lead to false positives or \
                 prevent the init system tools from working."
                    .to_owned(),
            );
        } else if now.is_empty() {
            return Err(Failure::new("Service is in unknown state"));
        } else if let Some(command) = command_for(state, now) {
            outcome.changed = true;
            difference.note("state", now, state);
            if let Some((_, said)) = act(unit, command, context)? {
                return Err(Failure::new(format!(
                    "Unable to {command} service {}: {said}",
                    unit.name
                ))
                .with("status", unit.properties.clone()));
            }
        }
    }
    if context.diff && outcome.changed {
        outcome.diff.push(difference.diff());
    }
    Ok(outcome)
}

/// Masks or unmasks a unit, which need not exist; whether that changes anything.
fn mask(
    wanted: bool,
    unit: &Unit<'_>,
    difference: &mut AttributeChange,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    let now = is_masked(unit, context)?;
    if now == wanted {
        return Ok(false);
    }
    difference.note("masked", now, wanted);
    let command = if wanted { "mask" } else { "unmask" };
    match act(unit, command, context)? {
        None => Ok(true),
        Some(_) if !unit.found => missing(unit.name, false).map(|_| false),
        Some((_, said)) => Err(Failure::new(format!(
            "Failed to {command} the service ({}): {}",
            unit.name,
            said.trim()
        ))),
    }
}

/// What to tell systemd so that a unit in this state reaches the wanted one.
fn command_for(wanted: &str, now: &str) -> Option<&'static str> {
    let runs = matches!(now, "active" | "activating");
    match (wanted, runs) {
        ("started", true) => None,
        ("stopped", false) if now != "deactivating" => None,
        ("stopped", _) => Some("stop"),
        ("restarted", true) => Some("restart"),
        ("reloaded", true) => Some("reload"),
        _ => Some("start"),
    }
}

/// Runs a command unless this is a check; what it said if it failed.
fn act(
    unit: &Unit<'_>,
    command: &str,
    context: &mut Context<'_>,
) -> Result<Option<(String, String)>, Failure> {
    if context.check {
        return Ok(None);
    }
    context.about_to_change()?;
    let finished = unit.systemctl.run(&[command, "--", unit.name], context)?;
    if finished.succeeded() {
        return Ok(None);
    }
    Ok(Some((finished.stdout_text(), finished.stderr_text())))
}

fn is_masked(unit: &Unit<'_>, context: &Context<'_>) -> Result<bool, Failure> {
    match property(&unit.properties, "UnitFileState") {
        "masked" => Ok(true),
        "enabled" | "disabled" | "static" => Ok(false),
        _ => {
            let finished = unit.systemctl.run(&["is-enabled", "--", unit.name], context)?;
            Ok(finished.stdout_text().trim() == "masked")
        }
    }
}

fn is_enabled(unit: &Unit<'_>, context: &Context<'_>) -> Result<bool, Failure> {
    // An init script of the same name is enabled together with the unit, and shown by
    // `is-enabled` only.
    if !unit.has_script {
        match property(&unit.properties, "UnitFileState") {
            "enabled" => return Ok(true),
            "disabled" => return Ok(false),
            _ => {}
        }
    }
    let finished = unit.systemctl.run(&["is-enabled", "-l", "--", unit.name], context)?;
    let said = finished.stdout_text();
    let said = said.trim();
    if finished.succeeded() {
        // These are not enabled for good, although systemctl calls it a success.
        return Ok(!matches!(said, "enabled-runtime" | "indirect" | "alias"));
    }
    Ok(finished.rc == 1
        && unit.is_system
        && unit.has_script
        && !said.ends_with("disabled")
        && sysv::is_enabled(unit.name, Path::new("/etc")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn commands_by_state() {
        assert_eq!(command_for("started", "inactive"), Some("start"));
        assert_eq!(command_for("started", "activating"), None);
        assert_eq!(command_for("started", "failed"), Some("start"));
        assert_eq!(command_for("stopped", "failed"), None);
        assert_eq!(command_for("stopped", "deactivating"), Some("stop"));
        assert_eq!(command_for("restarted", "active"), Some("restart"));
        assert_eq!(command_for("restarted", "inactive"), Some("start"));
        assert_eq!(command_for("reloaded", "inactive"), Some("start"));
    }

    #[test]
    fn mistakes_are_told() {
        let mut bench = context();
        for given in [json!({"state": "started"}), json!({"name": "a*", "state": "started"})] {
            assert!(bench.call(systemd, given).is_err());
        }
    }
}

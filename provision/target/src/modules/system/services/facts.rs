//! `service_facts`.

use provision_protocol::Object;
use regex::Regex;
use serde_json::Value;

use super::super::facts::{is_booted_by_systemd, object};
use super::super::process::{Run, find_program};
use super::systemctl::{Systemctl, properties, property};
use crate::module::{Context, Failure, Outcome};

/// Words that say more about a unit than its other columns.
const BAD_STATES: [&str; 3] = ["not-found", "masked", "failed"];

/// `service_facts`: lists services.
///
/// # Errors
/// When a program can't be run.
pub fn service_facts(_given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let mut services = Object::new();
    let mut warnings = Vec::new();
    if find_program("service").is_some()
        && find_program("chkconfig").is_none()
        && find_program("rc-status").is_none()
    {
        scripts(&mut services, &mut warnings, context)?;
    } else if find_program("rc-status").is_some() {
        open_rc(&mut services, context)?;
    }
    if is_booted_by_systemd() {
        units(&mut services, &mut warnings, context)?;
    }
    let mut outcome = if services.is_empty() {
        let reason = "Failed to find any services. This can be due to privileges or some other \
            configuration issue.";
        Outcome { skipped: Some(reason.to_owned()), ..Outcome::default() }
    } else {
        Outcome::new(false).with("ansible_facts", object([("services", services.into())]))
    };
    if !warnings.is_empty() {
        outcome = outcome.with("warnings", warnings);
    }
    Ok(outcome)
}

fn scripts(
    services: &mut Object,
    warnings: &mut Vec<String>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let finished = Run::tool("service")?.argument("--status-all").parsable().run(context)?;
    if !finished.succeeded() && !std::path::Path::new("/etc/init.d").exists() {
        return Ok(());
    }
    if !finished.succeeded() {
        let said = finished.stderr_text();
        warnings.push(format!("Unable to query 'service' tool ({}): {said}", finished.rc));
    }
    for (name, runs) in status_all(&finished.stdout_text()) {
        let state = if runs { "running" } else { "stopped" };
        let facts = object([
            ("name", name.as_str().into()),
            ("state", state.into()),
            ("source", "sysv".into()),
        ]);
        services.insert(name, facts);
    }
    Ok(())
}

/// Lines like ` [ + ]  cron`.
fn status_all(text: &str) -> Vec<(String, bool)> {
    let Ok(line) = Regex::new(r"(?m)^\s*\[ ([+-]) \]\s+(.+)$") else { return Vec::new() };
    line.captures_iter(text)
        .filter_map(|found| {
            Some((found.get(2)?.as_str().to_owned(), found.get(1)?.as_str() == "+"))
        })
        .collect()
}

fn open_rc(services: &mut Object, context: &Context<'_>) -> Result<(), Failure> {
    let status = Run::tool("rc-status")?.arguments(["-a", "-s", "-m"]).run(context)?;
    let levels = Run::tool("rc-update")?.arguments(["show", "-v"]).run(context)?.stdout_text();
    let levels_of = |name: &str| {
        let line = levels.lines().filter_map(|line| line.split_once('|'));
        let (_, levels) = line.into_iter().find(|(service, _)| service.trim() == name)?;
        Some(levels.split_whitespace().map(Value::from).collect::<Vec<Value>>())
    };
    let text = status.stdout_text().replace(['[', ']'], "");
    for line in text.lines().filter(|line| line.starts_with(' ')) {
        let mut words = line.split_whitespace();
        let (Some(name), Some(state)) = (words.next(), words.next()) else { continue };
        let facts = object([
            ("name", name.into()),
            ("runlevels", levels_of(name).map_or(Value::Null, Value::from)),
            ("state", state.into()),
            ("source", "openrc".into()),
        ]);
        services.insert(name.to_owned(), facts);
    }
    Ok(())
}

fn units(
    services: &mut Object,
    warnings: &mut Vec<String>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let systemctl = Systemctl::default();
    let list = ["list-units", "--no-pager", "--type", "service", "--all", "--plain"];
    let listed = systemctl.run(&list, context)?;
    if listed.succeeded() {
        for (name, state, status) in parse_units(&listed.stdout_text()) {
            services.insert(name.clone(), unit(&name, state, &status));
        }
    } else {
        let said = listed.stderr_text();
        warnings.push(format!("Could not list units from systemd: {said}"));
    }
    let list = ["list-unit-files", "--no-pager", "--type", "service", "--all"];
    let files = systemctl.run(&list, context)?;
    if !files.succeeded() {
        let said = files.stderr_text();
        warnings.push(format!("Could not get unit files data from systemd: {said}"));
        return Ok(());
    }
    let text = files.stdout_text();
    let files: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| line.contains(".service"))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    let unloaded: Vec<&str> = files
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !services.contains_key(*name) && !name.contains("@."))
        .collect();
    let states = active_states(&systemctl, &unloaded, context)?;
    for (name, status) in files {
        match services.get_mut(name).and_then(Value::as_object_mut) {
            None => {
                let known = states.iter().find(|(unit, _)| unit == name);
                let state = known.map_or("unknown", |(_, state)| state);
                services.insert(name.to_owned(), unit(name, state, status));
            }
            Some(facts) => {
                let now = facts.get("status").and_then(Value::as_str).unwrap_or_default();
                if !BAD_STATES.contains(&now) {
                    facts.insert("status".to_owned(), status.into());
                }
            }
        }
    }
    Ok(())
}

fn unit(name: &str, state: &str, status: &str) -> Value {
    object([
        ("name", name.into()),
        ("state", state.into()),
        ("status", status.into()),
        ("source", "systemd".into()),
    ])
}

/// Name, state and status of each line of `list-units`.
fn parse_units(text: &str) -> Vec<(String, &'static str, String)> {
    text.lines()
        .filter(|line| line.contains(".service"))
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (name, active, sub) = (fields.first()?, fields.get(2)?, fields.get(3)?);
            let columns = fields.get(..fields.len() - 1)?;
            let bad = BAD_STATES.iter().find(|bad| columns.contains(bad));
            let state = if *sub == "running" { "running" } else { "stopped" };
            Some(((*name).to_owned(), state, (*bad.unwrap_or(active)).to_owned()))
        })
        .collect()
}

/// States of units that aren't loaded, all in one question.
fn active_states(
    systemctl: &Systemctl,
    units: &[&str],
    context: &Context<'_>,
) -> Result<Vec<(String, String)>, Failure> {
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = vec!["show", "--property=Id,ActiveState", "--"];
    arguments.extend(units);
    let text = systemctl.run(&arguments, context)?.stdout_text();
    // One paragraph a unit, in the order of the question; an alias shows another Id.
    let paragraphs = text.split("\n\n").map(properties);
    Ok(units
        .iter()
        .zip(paragraphs)
        .map(|(name, shown)| ((*name).to_owned(), property(&shown, "ActiveState").to_owned()))
        .filter(|(_, state)| !state.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_states() {
        let text = "  UNIT  LOAD  ACTIVE  SUB  DESCRIPTION\n\
            cron.service loaded active running Regular background program\n\
            x.service not-found inactive dead x.service\n\
            y.service loaded failed failed Y\n\
            apparmor.service loaded inactive dead Load failed\n\nLOAD = x\n";
        let units = parse_units(text);
        assert_eq!(units[0], ("cron.service".to_owned(), "running", "active".to_owned()));
        assert_eq!(units[1].2, "not-found");
        assert_eq!(units[2], ("y.service".to_owned(), "stopped", "failed".to_owned()));
        assert_eq!(units[3].2, "inactive");
    }

    #[test]
    fn scripts_have_states() {
        let text = " [ + ]  cron\n [ - ]  hwclock.sh\n [ ? ]  odd\n";
        assert_eq!(status_all(text), [("cron".to_owned(), true), ("hwclock.sh".to_owned(), false)]);
    }
}

//! `ufw`: the uncomplicated firewall, through its own program.

use std::fs;
use std::path::Path;

use provision_protocol::{Diff, Object};
use serde::Deserialize;

use super::super::process::{Finished, Run};
use crate::module::{Context, Failure, Outcome, arguments};

/// Where ufw keeps user rules; what changes there is a change.
const RULES: &[&str] = &[
    "/lib/ufw/user.rules",
    "/lib/ufw/user6.rules",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/var/lib/ufw/user.rules",
    "/var/lib/ufw/user6.rules",
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UfwArguments {
    state: Option<String>,
    default: Option<String>,
    logging: Option<String>,
    rule: Option<String>,
    direction: Option<String>,
    delete: bool,
    route: bool,
    insert: Option<i64>,
    insert_relative_to: Option<String>,
    interface: Option<String>,
    interface_in: Option<String>,
    interface_out: Option<String>,
    log: bool,
    from_ip: Option<String>,
    from_port: Option<String>,
    to_ip: Option<String>,
    to_port: Option<String>,
    proto: Option<String>,
    name: Option<String>,
    comment: Option<String>,
}

/// `ufw`: state, policies, logging and rules of the firewall.
///
/// # Errors
/// When ufw isn't there or refuses.
pub fn ufw(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: UfwArguments = arguments(given)?;
    let before = status(context)?;
    let rules_before = rules();
    let mut commands = Vec::new();
    let mut changed = false;
    if let Some(state) = &given.state {
        let words = state_words(state);
        changed |= !dry_state(state, &before);
        run(&words, context, &mut commands)?;
    }
    if let Some(level) = &given.logging {
        changed |= context.check && !before.contains(&format!("Logging: {level}"));
        run(&["logging", level], context, &mut commands)?;
    }
    if let Some(policy) = &given.default {
        let direction = given.direction.as_deref().unwrap_or("incoming");
        let direction = match direction {
            "in" => "incoming",
            "out" => "outgoing",
            other => other,
        };
        changed |= context.check && !before.contains(&format!("{policy} ({direction})"));
        run(&["default", policy, direction], context, &mut commands)?;
    }
    let mut predicted = None;
    if given.rule.is_some() {
        if given.insert_relative_to.as_deref().is_some_and(|place| place != "zero") {
            return Err(Failure::new(
                "`insert_relative_to` other than `zero` isn't supported: give `insert` the number \
                 among all rules",
            ));
        }
        predicted = apply_rule(&given, context, &mut commands)?;
    }
    let after = if context.check { before.clone() } else { status(context)? };
    changed |= predicted.unwrap_or_default()
        || (!context.check && (before != after || rules_before != rules()));
    let mut outcome = Outcome::new(changed);
    if context.diff && !context.check && before != after {
        let (before, after) = (before.clone(), after.clone());
        outcome.diff.push(Diff { before, after, ..Diff::default() });
    }
    outcome = outcome.with("msg", after.trim_end()).with("commands", commands);
    Ok(outcome)
}

fn status(context: &Context<'_>) -> Result<String, Failure> {
    Ok(Run::tool("ufw")?
        .arguments(["status", "verbose"])
        .parsable()
        .succeed(context)?
        .stdout_text())
}

/// The files that hold the rules, as they are.
fn rules() -> Vec<String> {
    RULES.iter().map(|path| fs::read_to_string(Path::new(path)).unwrap_or_default()).collect()
}

fn state_words(state: &str) -> [&str; 2] {
    let action = match state {
        "enabled" => "enable",
        "disabled" => "disable",
        "reset" => "reset",
        _ => "reload",
    };
    ["-f", action]
}

/// Whether a state is there already. Reloading and resetting always act.
fn dry_state(state: &str, status: &str) -> bool {
    let is_active = status.contains("Status: active");
    match state {
        "enabled" => is_active,
        "disabled" => !is_active,
        _ => false,
    }
}

fn run(
    words: &[&str],
    context: &mut Context<'_>,
    commands: &mut Vec<String>,
) -> Result<(), Failure> {
    commands.push(format!("ufw {}", words.join(" ")));
    if context.check {
        return Ok(());
    }
    context.about_to_change()?;
    Run::tool("ufw")?.arguments(words).parsable().succeed(context)?;
    Ok(())
}

/// In check mode: whether it would change something.
fn apply_rule(
    given: &UfwArguments,
    context: &mut Context<'_>,
    commands: &mut Vec<String>,
) -> Result<Option<bool>, Failure> {
    let words = rule_words(given);
    if !context.check {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(&words, context, commands)?;
        return Ok(None);
    }
    commands.push(format!("ufw --dry-run {}", words.join(" ")));
    let run = Run::tool("ufw")?.argument("--dry-run").arguments(&words).parsable();
    Ok(Some(would_change(&run.succeed(context)?)))
}

/// ufw says it when a rule is there already, or isn't.
fn would_change(finished: &Finished) -> bool {
    let said = finished.stdout_text();
    !(said.contains("Skipping") || said.contains("Could not delete non-existent rule"))
}

/// The words of a rule in the order that ufw(8) asks for.
fn rule_words(given: &UfwArguments) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |parts: &[&str]| words.extend(parts.iter().map(|part| (*part).to_owned()));
    if given.route {
        add(&["route"]);
    }
    if given.delete {
        add(&["delete"]);
    }
    if let Some(number) = given.insert.filter(|_| !given.delete) {
        add(&["insert", &number.to_string()]);
    }
    add(&[given.rule.as_deref().unwrap_or_default()]);
    if let Some(direction) = &given.direction {
        add(&[direction]);
    }
    for (label, interface) in
        [("on", &given.interface), ("in on", &given.interface_in), ("out on", &given.interface_out)]
    {
        if let Some(interface) = interface {
            label.split(' ').for_each(|word| add(&[word]));
            add(&[interface]);
        }
    }
    if given.log {
        add(&["log"]);
    }
    for (label, value) in [
        ("from", given.from_ip.as_deref().or(Some("any"))),
        ("port", given.from_port.as_deref()),
        ("to", given.to_ip.as_deref().or(Some("any"))),
        ("port", given.to_port.as_deref()),
        ("proto", given.proto.as_deref()),
        ("app", given.name.as_deref()),
        ("comment", given.comment.as_deref()),
    ] {
        if let Some(value) = value {
            add(&[label, value]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(given: serde_json::Value) -> String {
        rule_words(&serde_json::from_value(given).unwrap()).join(" ")
    }

    #[test]
    fn rules_are_in_the_order_of_the_manual() {
        assert_eq!(
            words(json!({"rule": "allow", "to_port": "22"})),
            "allow from any to any port 22"
        );
        assert_eq!(
            words(json!({
                "rule": "deny", "direction": "in", "interface": "eth0", "log": true, "insert": 1,
                "from_ip": "10.0.0.0/8", "to_port": "53", "proto": "udp", "comment": "a b"
            })),
            "insert 1 deny in on eth0 log from 10.0.0.0/8 to any port 53 proto udp comment a b"
        );
        assert_eq!(
            words(json!({"rule": "allow", "route": true, "delete": true, "insert": 1,
                         "interface_in": "eth0", "interface_out": "eth1"})),
            "route delete allow in on eth0 out on eth1 from any to any"
        );
        assert_eq!(
            words(json!({"rule": "limit", "name": "OpenSSH"})),
            "limit from any to any app OpenSSH"
        );
    }

    #[test]
    fn states_are_read_from_the_status() {
        assert!(dry_state("enabled", "Status: active\n"));
        assert!(!dry_state("enabled", "Status: inactive\n"));
        assert!(dry_state("disabled", "Status: inactive\n"));
        assert!(!dry_state("reloaded", "Status: active\n"));
        assert_eq!(state_words("enabled"), ["-f", "enable"]);
    }
}

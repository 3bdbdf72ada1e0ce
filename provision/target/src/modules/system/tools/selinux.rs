//! `selinux` and `seboolean`: state, policy and switches of SELinux.

use std::fs;
use std::path::Path;

use provision_protocol::Object;
use serde_json::Value;

use super::super::settings::replace;
use super::{ask, change};
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Given, Outcome};

/// `selinux`: state and policy, now and at the next start.
///
/// # Errors
/// When the host has no configuration of SELinux, or a program fails.
pub fn selinux(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let (state, file) = (given.word("state"), given.word("configfile"));
    let path = Path::new(file);
    let Ok(text) = fs::read_to_string(path) else {
        let details = "Please install SELinux-policy package, if this package is not installed \
                       previously.";
        return Err(Failure::new(format!("Unable to find file {file}")).with("details", details));
    };
    let (now_state, now_policy) = (setting(&text, "SELINUX"), setting(&text, "SELINUXTYPE"));
    let policy = match given.text("policy").filter(|policy| !policy.is_empty()) {
        Some(policy) => policy,
        None if state == "disabled" => now_policy.unwrap_or_default(),
        None => return Err(Failure::new("Policy is required if state is not 'disabled'")),
    };
    let mut messages: Vec<String> = Vec::new();
    let mut warnings = Vec::new();
    let mut after = text.clone();
    if now_policy != Some(policy) {
        if !Path::new("/etc/selinux").join(policy).join("policy").exists() {
            let message = format!("Policy {policy} does not exist in /etc/selinux/");
            return Err(Failure::new(message));
        }
        messages.push(format!(
            "SELinux policy configuration in '{file}' changed from '{}' to '{policy}'",
            now_policy.unwrap_or("None")
        ));
        after = with_setting(&after, "SELINUXTYPE", policy);
    }
    let needs_restart = set_running(state, &mut messages, &mut warnings, context)?;
    if now_state != Some(state) {
        messages.push(format!(
            "Config SELinux state changed from '{}' to '{state}'",
            now_state.unwrap_or("None")
        ));
        after = with_setting(&after, "SELINUX", state);
    }
    let mut outcome = Outcome::new(!messages.is_empty());
    if after != text {
        replace(path, &text, &after, &Wanted::default(), false, &mut outcome, context)?;
    }
    if given.flag("update_kernel_param") {
        set_kernel_line(state != "disabled", &mut messages, context)?;
        outcome.changed |= !messages.is_empty();
    }
    if !warnings.is_empty() {
        outcome = outcome.with("warnings", warnings);
    }
    Ok(outcome
        .with("msg", messages.join(", "))
        .with("configfile", file)
        .with("policy", policy)
        .with("state", state)
        .with("reboot_required", needs_restart))
}

/// What the running kernel does; whether only a restart brings what is wanted.
fn set_running(
    state: &str,
    messages: &mut Vec<String>,
    warnings: &mut Vec<Value>,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    let enforced = fs::read_to_string("/sys/fs/selinux/enforce").ok();
    let running = match enforced.as_deref().map(str::trim) {
        Some("1") => "enforcing",
        Some(_) => "permissive",
        None => "disabled",
    };
    if running == state {
        return Ok(false);
    }
    match (running, state) {
        ("disabled", _) => {
            warnings.push(format!("Reboot is required to set SELinux state to '{state}'").into());
            return Ok(true);
        }
        ("permissive", "disabled") => {
            warnings.push("SELinux state change will take effect next reboot".into());
            return Ok(true);
        }
        (_, "disabled") => {
            change("setenforce", &["0"], context)?;
            let message = format!(
                "SELinux state temporarily changed from '{running}' to 'permissive'. State change \
                 will take effect next reboot."
            );
            messages.push(message.clone());
            warnings.push(message.into());
            return Ok(true);
        }
        _ => {}
    }
    change("setenforce", &[if state == "enforcing" { "1" } else { "0" }], context)?;
    messages.push(format!("SELinux state changed from '{running}' to '{state}'"));
    Ok(false)
}

/// Whether the kernel is started with SELinux at all.
fn set_kernel_line(
    is_wanted: bool,
    messages: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let said = ask("grubby", &["--info=ALL"], context)?;
    if !said.succeeded() {
        return Err(said.failure("unable to run grubby"));
    }
    let text = said.stdout_text();
    let lines: Vec<bool> = text
        .lines()
        .filter_map(|line| line.strip_prefix("args=\"")?.strip_suffix('"'))
        .map(|line| !line.split(' ').any(|word| word == "selinux=0"))
        .collect();
    let all = |value: bool| lines.iter().all(|line| *line == value);
    let now = match (all(true), all(false)) {
        (true, false) => "enabled",
        (false, true) => "disabled",
        _ => "<inconsistent>",
    };
    let wanted = if is_wanted { "enabled" } else { "disabled" };
    if now == wanted {
        return Ok(());
    }
    let action = if is_wanted { "--remove-args" } else { "--args" };
    change("grubby", &["--update-kernel=ALL", action, "selinux=0"], context)?;
    messages.push(format!("Kernel SELinux state changed from '{now}' to '{wanted}'"));
    Ok(())
}

fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim()))
}

fn with_setting(text: &str, name: &str, value: &str) -> String {
    let is_it = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    let mut after = String::new();
    let mut is_placed = false;
    for line in text.lines() {
        if is_it(line) {
            is_placed = true;
            after.push_str(&format!("{name}={value}\n"));
        } else {
            after.push_str(&format!("{line}\n"));
        }
    }
    if !is_placed {
        after.push_str(&format!("{name}={value}\n"));
    }
    after
}

/// `seboolean`: a switch of the policy.
///
/// # Errors
/// When SELinux is off, the switch isn't known, or a program fails.
pub fn seboolean(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let (name, wanted) = (given.word("name"), given.flag("state"));
    if !Path::new("/sys/fs/selinux/enforce").exists() && !given.flag("ignore_selinux_state") {
        return Err(Failure::new("SELinux is disabled on this host."));
    }
    let said = ask("getsebool", &[name], context)?;
    if !said.succeeded() {
        let message = format!("SELinux boolean {name} does not exist.");
        return Err(said.failure(message));
    }
    let mut changed = said.stdout_text().trim_end().ends_with("on") != wanted;
    let is_persistent = given.flag("persistent");
    if is_persistent && !changed {
        // Both values stand in `semanage boolean -l`: `name (off , off) what it is`.
        let listed = ask("semanage", &["boolean", "-l"], context)?.stdout_text();
        let stored = listed.lines().find_map(|line| stored_value(line, name));
        changed = stored.is_some_and(|stored| stored != wanted);
    }
    if changed {
        let value = if wanted { "on" } else { "off" };
        let mut words = vec![name, value];
        if is_persistent {
            words.insert(0, "-P");
        }
        change("setsebool", &words, context)?;
    }
    Ok(Outcome::new(changed)
        .with("name", name)
        .with("persistent", is_persistent)
        .with("state", wanted))
}

/// What is stored for the next start.
fn stored_value(line: &str, name: &str) -> Option<bool> {
    let rest = line.strip_prefix(name)?.trim_start().strip_prefix('(')?;
    let stored = rest.split_once(')')?.0.split_once(',')?.1;
    Some(stored.trim() == "on")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn settings_are_replaced_or_added() {
        let text = "# SELINUX= can be\nSELINUX=enforcing\nSELINUXTYPE=targeted\n";
        assert_eq!(setting(text, "SELINUX"), Some("enforcing"));
        assert_eq!(
            with_setting(text, "SELINUX", "disabled"),
            "# SELINUX= can be\nSELINUX=disabled\nSELINUXTYPE=targeted\n"
        );
        assert_eq!(with_setting("", "SELINUX", "x"), "SELINUX=x\n");
    }

    #[test]
    fn stored_switches_are_read() {
        assert_eq!(stored_value("httpd_x  (off  ,   on)  Allow", "httpd_x"), Some(true));
        assert_eq!(stored_value("httpd_xy (off , on) Allow", "httpd_x"), None);
    }

    #[test]
    fn the_file_says_what_comes_next() {
        if Path::new("/sys/fs/selinux/enforce").exists() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "SELINUX=enforcing\nSELINUXTYPE=targeted\n").unwrap();
        let given = json!({"state": "disabled", "configfile": file.path()});
        let done = context().call_named("selinux", given.clone()).unwrap();
        assert!(done.changed && done.values["policy"] == "targeted");
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "SELINUX=disabled\nSELINUXTYPE=targeted\n");
        assert!(!context().call_named("selinux", given).unwrap().changed);
        let given = json!({"state": "enforcing", "configfile": file.path()});
        let failure = context().call_named("selinux", given).unwrap_err();
        assert!(failure.message.contains("Policy is required"), "{failure:?}");
        let failure = context().call_named("seboolean", json!({"name": "x", "state": true}));
        assert!(failure.unwrap_err().message.contains("disabled"));
    }
}

//! `sysctl`.

use std::fs;
use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde::Deserialize;

use super::super::words::Environment;
use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Outcome, arguments};

#[derive(Debug, Deserialize)]
struct SysctlArguments {
    name: String,
    value: Option<String>,
    state: String,
    ignoreerrors: bool,
    reload: bool,
    sysctl_file: String,
    sysctl_set: bool,
}

/// `sysctl`: manages kernel parameters.
///
/// # Errors
/// When a parameter can't be set.
pub fn sysctl(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: SysctlArguments = arguments(given)?;
    let present = given.state != "absent";
    if given.name.trim().is_empty() {
        return Err(Failure::new("name cannot be blank"));
    }
    let wanted = match (&given.value, present) {
        (Some(value), true) if !value.trim().is_empty() => Some(canonical(value)),
        (_, true) => return Err(Failure::new("value cannot be blank")),
        (_, false) => None,
    };
    let file = Environment::new(&context.environment).expand_path(&given.sysctl_file);
    let before = read(&file)?;
    let after = edited(&before, &given.name, wanted.as_deref());
    let now = kernel_value(&given.name);
    let differs = wanted
        .as_deref()
        .is_some_and(|wanted| now.as_deref().is_none_or(|now| !is_same(now, wanted)));
    let mut outcome = Outcome::new((given.reload || given.sysctl_set) && differs);
    if after != before {
        replace(&file, &before, &after, &Wanted::default(), false, &mut outcome, context)?;
    }
    if context.check || !outcome.changed {
        return Ok(outcome);
    }
    context.about_to_change()?;
    if let (Some(wanted), true, true) = (&wanted, given.sysctl_set, differs) {
        set(&given.name, wanted, given.ignoreerrors)?;
    }
    if given.reload {
        for (name, value, may_fail) in settings(&after) {
            set(name, value, given.ignoreerrors || may_fail)?;
        }
    }
    Ok(outcome)
}

/// Booleans are numbers in the kernel.
fn canonical(value: &str) -> String {
    match value.trim().to_lowercase().as_str() {
        "y" | "yes" | "on" | "true" | "t" => "1".to_owned(),
        "n" | "no" | "off" | "false" | "f" => "0".to_owned(),
        _ => value.trim().to_owned(),
    }
}

/// Values are lists of words.
fn is_same(left: &str, right: &str) -> bool {
    left.split_whitespace().eq(right.split_whitespace())
}

/// The file with this setting, or without it. Other lines stay as they are.
fn edited(text: &str, name: &str, value: Option<&str>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut is_placed = false;
    for line in text.lines() {
        match setting(line) {
            Some((known, present, _)) if known == name => match value {
                // An equal value keeps its form.
                Some(wanted) if !is_placed => {
                    is_placed = true;
                    lines.push(if is_same(present, wanted) {
                        line.to_owned()
                    } else {
                        format!("{name}={wanted}")
                    });
                }
                _ => {}
            },
            _ => lines.push(line.to_owned()),
        }
    }
    if let (Some(value), false) = (value, is_placed) {
        lines.push(format!("{name}={value}"));
    }
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Name, value, and whether it may fail, of a line.
fn setting(line: &str) -> Option<(&str, &str, bool)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let bare = name.strip_prefix('-').map(str::trim);
    Some((bare.unwrap_or(name), value.trim(), bare.is_some()))
}

fn settings(text: &str) -> impl Iterator<Item = (&str, &str, bool)> {
    text.lines().filter_map(setting)
}

/// The file of a parameter. Names with dots and slashes swap them if the first separator is a
/// slash, as in `net/ipv4/conf/eth0.100/rp_filter` (sysctl.d(5)).
fn path_of(name: &str) -> Option<PathBuf> {
    let first = name.find(['.', '/']).and_then(|at| name.get(at..=at));
    let path: String = match first {
        Some("/") => name.to_owned(),
        _ => name
            .chars()
            .map(|character| match character {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    let is_plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_plain.then(|| Path::new("/proc/sys").join(path))
}

fn kernel_value(name: &str) -> Option<String> {
    Some(fs::read_to_string(path_of(name)?).ok()?.trim().to_owned())
}

fn set(name: &str, value: &str, may_fail: bool) -> Result<(), Failure> {
    let Some(path) = path_of(name) else {
        return Err(Failure::new(format!("{name} is no name of a kernel parameter")));
    };
    match fs::write(&path, format!("{value}\n")) {
        Err(error) if !may_fail => {
            Err(Failure::new(format!("Failed to reload sysctl: setting key \"{name}\": {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn files_are_edited() {
        let text = "# a\nvm.swappiness = 10\n-net.x=1\nvm.swappiness=20\n";
        assert_eq!(edited(text, "vm.swappiness", Some("5")), "# a\nvm.swappiness=5\n-net.x=1\n");
        assert_eq!(edited("a = 1  2\n", "a", Some("1 2")), "a = 1  2\n");
        assert_eq!(edited(text, "net.x", None), "# a\nvm.swappiness = 10\nvm.swappiness=20\n");
        assert_eq!(edited("", "a", Some("b")), "a=b\n");
        assert_eq!(edited("x=1", "a", Some("b")), "x=1\na=b\n");
    }

    #[test]
    fn names_are_paths() {
        let path = |name: &str| path_of(name).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(path("vm.swappiness").unwrap(), "/proc/sys/vm/swappiness");
        assert_eq!(path("net/ipv4/conf/eth0.1/x").unwrap(), "/proc/sys/net/ipv4/conf/eth0.1/x");
        assert_eq!(path("net.ipv4.conf.eth0/1.x").unwrap(), "/proc/sys/net/ipv4/conf/eth0.1/x");
        assert_eq!(path("a/../../etc/passwd"), None);
        assert_eq!(path("..etc"), None);
    }

    #[test]
    fn a_check_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.conf");
        let given = json!({"name": "vm.no_such", "value": "yes", "sysctl_file": file});
        assert!(context().checking().call_named("sysctl", given.clone()).unwrap().changed);
        assert!(!file.exists());
        let mut given = given;
        given["reload"] = json!(false);
        assert!(context().call_named("sysctl", given.clone()).unwrap().changed);
        assert_eq!(fs::read_to_string(&file).unwrap(), "vm.no_such=1\n");
        assert!(!context().call_named("sysctl", given).unwrap().changed);
        assert!(context().call_named("sysctl", json!({"name": "a"})).is_err());
    }
}

//! `hostname`.

use std::path::Path;

use provision_protocol::{Diff, Object};
use serde::Deserialize;

use super::super::facts::{is_booted_by_systemd, object};
use super::super::process::Run;
use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Outcome, arguments};

const FILE: &str = "/etc/hostname";

/// Longest name that the kernel takes, in bytes.
const NAME_LIMIT_BYTES: usize = 64;

#[derive(Debug, Deserialize)]
struct HostnameArguments {
    name: String,
    r#use: Option<String>,
}

/// `hostname`: sets the name of the host, now and for the next start.
///
/// # Errors
/// When the name can't be set.
pub fn hostname(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: HostnameArguments = arguments(given)?;
    let name = given.name.trim();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES || !name.chars().all(is_plain) {
        return Err(Failure::new(format!(
            "{name} is no name of a host: up to {NAME_LIMIT_BYTES} letters, digits, dots, hyphens"
        )));
    }
    let current = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let file = read(Path::new(FILE))?;
    let permanent =
        file.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let permanent = permanent.unwrap_or_default();
    let is_lasting = permanent == name;
    let mut outcome = Outcome::new(!is_lasting || current != name).with("name", name);
    if outcome.changed {
        let before = if current == name { permanent } else { &current };
        if context.diff {
            outcome.diff.push(Diff {
                before: format!("hostname = {before}\n"),
                after: format!("hostname = {name}\n"),
                ..Diff::default()
            });
        }
        if !context.check {
            apply(&given, name, is_lasting, current == name, &file, context)?;
        }
    }
    let (short, domain) = name.split_once('.').unwrap_or((name, ""));
    let facts = object([
        ("ansible_hostname", short.into()),
        ("ansible_nodename", name.into()),
        ("ansible_fqdn", name.into()),
        ("ansible_domain", domain.into()),
    ]);
    Ok(outcome.with("ansible_facts", facts))
}

fn apply(
    given: &HostnameArguments,
    name: &str,
    is_lasting: bool,
    is_current: bool,
    file: &str,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    context.about_to_change()?;
    let by_systemd = match given.r#use.as_deref() {
        None => is_booted_by_systemd(),
        Some(strategy) => strategy == "systemd",
    };
    if by_systemd {
        // The lasting name first: otherwise NetworkManager complains.
        for (is_done, kind) in [(is_lasting, "--static"), (is_current, "--transient")] {
            if !is_done {
                Run::tool("hostnamectl")?
                    .arguments([kind, "set-hostname", name])
                    .succeed(context)?;
            }
        }
        return Ok(());
    }
    if !is_lasting {
        let mut written = Outcome::default();
        let text = format!("{name}\n");
        replace(Path::new(FILE), file, &text, &Wanted::default(), false, &mut written, context)?;
    }
    if !is_current {
        nix::unistd::sethostname(name)
            .map_err(|error| Failure::new(format!("failed to set the host's name: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn checks_predict() {
        let given = json!({"name": "another-name.example.org"});
        let mut bench = context().checking();
        bench.diff = true;
        let outcome = bench.call(hostname, given).unwrap();
        assert!(outcome.changed);
        assert_eq!(outcome.diff[0].after, "hostname = another-name.example.org\n");
        assert_eq!(outcome.values["ansible_facts"]["ansible_domain"], "example.org");
        assert!(context().call(hostname, json!({"name": "a b"})).is_err());
    }
}

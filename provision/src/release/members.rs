//! What `add` and `remove` need besides: which hosts are meant, and what to do with the inventory.

use std::path::{Path, PathBuf};

use provision_engine::release::{Prepared, Refusal};
use provision_lifecycle::{Member, Observed};

use super::view;
use crate::arguments::Care;
use crate::paint::{CHANGED, styled};

/// Lines of the inventory that are shown at most; more are a pattern that the reader sees.
const LINES_LIMIT: usize = 10;
/// Files that are looked through for a host's line.
const FILES_LIMIT: usize = 200;

/// Adding and removing have no batches: one at a time.
pub(super) fn care(yes: bool, plan_out: Option<PathBuf>, accept_outage: bool) -> Care {
    Care {
        hosts: None,
        plan_out,
        yes,
        canary: None,
        pause_after: None,
        max_unavailable: 1,
        accept_outage,
        drain: false,
    }
}

/// The hosts that the operator names, in the order of the inventory.
pub(super) fn chosen(
    prepared: &Prepared,
    component: &str,
    hosts: &[String],
) -> Result<Vec<String>, Refusal> {
    let Some(found) = prepared.components.first() else {
        let hint = "its group in component.yml has no hosts in this inventory";
        return Err(Refusal::new(format!("{component} has no members"), hint));
    };
    let definition = &found.definition;
    if definition.members.is_none() {
        let message = format!("{component} does not say how hosts join and leave");
        return Err(Refusal::new(message, "its component.yml needs `members:`"));
    }
    let members: Vec<String> = found.members.iter().map(|(name, _)| name.clone()).collect();
    let known = prepared.loaded.world.host_names();
    if let Some(host) = hosts.iter().find(|host| !members.contains(host)) {
        let group = match &definition.followers {
            Some(followers) => format!("{} or {}", definition.group.value, followers.value),
            None => definition.group.value.clone(),
        };
        if known.contains(host) {
            let message = format!("{host} is not in the group {group} of the inventory");
            return Err(Refusal::new(
                message,
                "write it there first; who leaves is taken out last",
            ));
        }
        let closest = diagnostics::closest(host, known.iter().map(String::as_str));
        let hint = match closest {
            Some(closest) => format!("did you mean {closest}?"),
            None => format!("write it into the inventory first, into the group {group}"),
        };
        return Err(Refusal::new(format!("the inventory has no host {host}"), hint));
    }
    Ok(members.into_iter().filter(|name| hosts.contains(name)).collect())
}

/// Which lines of the inventory name hosts that have left. They are never deleted here: who else
/// reads them is not known.
pub(super) fn advice(inventories: &[String], groups: &[&str], hosts: &[String]) -> String {
    let mut files = Vec::new();
    inventories.iter().for_each(|source| collect(Path::new(source), &mut files));
    let mut lines = Vec::new();
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in lines_of(&text, groups, hosts) {
            lines.push(format!("  {}:{number}: {}", path.display(), line.trim()));
        }
    }
    let noun = if groups.len() == 1 { "group" } else { "groups" };
    let mut text = format!(
        "take {} out of the {noun} {} now: apply does not know who has left",
        view::names(hosts),
        groups.join(" and ")
    );
    if lines.is_empty() {
        return text;
    }
    text.push(':');
    for line in lines.iter().take(LINES_LIMIT) {
        text.push('\n');
        text.push_str(line);
    }
    text
}

/// What is installed on a host that doesn't answer is still there, and starts when the host does.
pub(super) fn warn_of_the_unseen(component: &str, observed: &Observed, hosts: &[String]) {
    let is_unseen = |member: &&Member| !member.is_reachable() && hosts.contains(&member.name);
    for member in observed.members.iter().filter(is_unseen) {
        tell!(
            "{} {} has lost its vote and does not answer: {component} is still on it. When it \
             answers, run this again before it leaves the inventory",
            styled(CHANGED, "warning:"),
            member.name
        );
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if files.len() >= FILES_LIMIT {
        return;
    }
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    // Variables of a host are no member of a group.
    let holds_variables = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name == "group_vars" || name == "host_vars"
    };
    paths.iter().filter(|path| !holds_variables(path)).for_each(|path| collect(path, files));
}

/// Lines that name one of the hosts: in the groups themselves, or anywhere if not there.
fn lines_of<'a>(text: &'a str, groups: &[&str], hosts: &[String]) -> Vec<(usize, &'a str)> {
    let names = |line: &str| {
        let word = line.trim().trim_start_matches("- ");
        let word = word.split([' ', '\t', ':', '=', '#']).next().unwrap_or_default();
        hosts.iter().any(|host| host == word.trim_matches(['"', '\'']))
    };
    // In INI a group ends at the next bracket, in YAML at the next key that is not deeper.
    let (mut section, mut depth) = (String::new(), None);
    let mut found: Vec<(usize, &str, bool)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (trimmed, indent) = (line.trim(), line.len() - line.trim_start().len());
        if depth.is_some_and(|depth| indent <= depth) && !trimmed.is_empty() {
            depth = None;
        }
        if let Some(head) = trimmed.strip_prefix('[') {
            section = head.split([']', ':']).next().unwrap_or_default().to_owned();
        } else if trimmed.strip_suffix(':').is_some_and(|key| groups.contains(&key)) {
            depth = Some(indent);
        } else if names(line) {
            found.push((number + 1, line, groups.contains(&section.as_str()) || depth.is_some()));
        }
    }
    let is_there = found.iter().any(|(_, _, is_in_group)| *is_in_group);
    let shown = found.into_iter().filter(|(_, _, is_in_group)| *is_in_group || !is_there);
    shown.map(|(number, line, _)| (number, line)).collect()
}

#[cfg(test)]
mod tests {
    use super::lines_of;

    #[test]
    fn the_line_in_the_group_is_found() {
        let hosts = ["zk5".to_owned()];
        let ini = "zk5 ansible_host=192.0.2.5\n[zookeeper]\nzk1\nzk5\n[consul_servers]\nzk5\n";
        assert_eq!(lines_of(ini, &["zookeeper"], &hosts), [(4, "zk5")]);
        assert_eq!(lines_of(ini, &["docker"], &hosts).len(), 3);
        let yaml = "all:\n  children:\n    zookeeper:\n      hosts:\n        zk1:\n        zk5: {a: 1}\n    \
                    other:\n      hosts:\n        zk5:\n";
        assert_eq!(lines_of(yaml, &["zookeeper"], &hosts), [(6, "        zk5: {a: 1}")]);
        assert!(lines_of("[zookeeper]\nzk51\n", &["zookeeper"], &hosts).is_empty());
    }
}

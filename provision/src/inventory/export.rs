//! `--export`: a static file from any inventory, optionally with a group of hosts that go first.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use provision_engine::digest;
use provision_engine::load::Loaded;
use provision_playbook::inventory::Inventory;

use crate::exit::Exit;
use crate::paint;

/// The group of the hosts that go first.
const GREY: &str = "grey";

/// Nobody else may read the file: what Consul or the inventory says of hosts may be confidential.
const MODE: u32 = 0o600;

/// Writes the chosen hosts.
pub fn export(
    mut loaded: Loaded,
    chosen: &BTreeSet<Arc<str>>,
    path: &Path,
    grey: Option<&str>,
) -> Exit {
    if let Some(name) = encrypted(&loaded, chosen) {
        let message =
            format!("`{name}` came out of an encrypted inventory and would be written down");
        paint::error(&message, Some("keep secrets in group_vars/, which are not exported"));
        return Exit::Refused;
    }
    let mut said = format!("{} hosts", chosen.len());
    if let Some(share) = grey {
        let Some(count) = count_of(share, chosen.len()) else {
            let message = format!("--grey {share}: neither a number of hosts nor a share");
            paint::error(&message, Some("write --grey 3, or --grey 10%"));
            return Exit::Usage;
        };
        if count > chosen.len() {
            let message = format!("--grey {share}: there are only {} hosts", chosen.len());
            paint::error(&message, None);
            return Exit::InvalidInput;
        }
        if loaded.inventory.group(GREY).is_some() {
            let message = format!("the inventory has a group `{GREY}` already");
            paint::error(&message, Some("export it without --grey, or rename that group"));
            return Exit::InvalidInput;
        }
        let names = first(chosen, count);
        mark(&mut loaded.inventory, &names);
        said = format!("{said}, {count} of them in group {GREY}: {}", names.join(", "));
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    let text = match extension {
        Some("yml" | "yaml") => loaded.inventory.to_yaml(chosen),
        Some("ini") => match loaded.inventory.to_ini(chosen) {
            Ok(text) => text,
            Err(error) => {
                let hint = "export it as YAML, which can say that: --export hosts.yml";
                paint::error(&format!("failed to {error}"), Some(hint));
                return Exit::InvalidInput;
            }
        },
        _ => {
            let message = format!("--export {}: of which format?", path.display());
            paint::error(&message, Some("end the name with .ini or .yml"));
            return Exit::Usage;
        }
    };
    let text = format!("# Written by provision inventory --export: {said}.\n{text}");
    if let Err(error) = durable::write(path, text.as_bytes(), MODE) {
        paint::error(&format!("failed to write {}: {error}", path.display()), None);
        return Exit::Environment;
    }
    tell!("{}: {}", path.display(), paint::harmless(&said));
    Exit::Done
}

/// A variable of the inventory itself that stands in an encrypted file.
fn encrypted(loaded: &Loaded, chosen: &BTreeSet<Arc<str>>) -> Option<String> {
    let sources = loaded.loader.sources();
    let is_secret = |key: &&yaml::Node| {
        sources.get(key.span.source).is_some_and(diagnostics::Source::is_secret)
    };
    let hosts = loaded.inventory.hosts().filter(|host| chosen.contains(&host.name));
    let groups = loaded.inventory.groups().map(|group| &group.variables);
    let mut keys = hosts
        .map(|host| &host.variables)
        .chain(groups)
        .flat_map(|variables| variables.iter().map(|(key, _)| key));
    keys.find(is_secret).map(yaml::key_text)
}

/// `3` or `10%`, rounded up: a share of some hosts is never none.
fn count_of(share: &str, hosts: usize) -> Option<usize> {
    let Some(percent) = share.strip_suffix('%') else { return share.parse().ok() };
    let percent: usize = percent.parse().ok().filter(|percent| *percent <= 100)?;
    Some(hosts.saturating_mul(percent).div_ceil(100))
}

/// The same hosts each time, spread over all names: 10% of them are among the first 20%.
fn first(chosen: &BTreeSet<Arc<str>>, count: usize) -> Vec<&str> {
    let mut names: Vec<&str> = chosen.iter().map(|name| &**name).collect();
    names.sort_by_cached_key(|name| digest::of_bytes(name.as_bytes()));
    names.truncate(count);
    names.sort_unstable();
    names
}

fn mark(inventory: &mut Inventory, names: &[&str]) {
    inventory.add_group(GREY, None);
    for name in names {
        // The group is new and has no children, so it can't be above itself.
        let _ = inventory.add_to_group(name, GREY, &[]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::{count_of, first};

    #[test]
    fn shares_are_rounded_up() {
        let table = [
            ("0", 7, Some(0)),
            ("3", 7, Some(3)),
            ("10%", 1000, Some(100)),
            ("10%", 3, Some(1)),
            ("100%", 7, Some(7)),
            ("0%", 7, Some(0)),
            ("101%", 7, None),
            ("-1", 7, None),
            ("ten", 7, None),
        ];
        for (share, hosts, expected) in table {
            assert_eq!(count_of(share, hosts), expected, "{share} of {hosts}");
        }
    }

    #[test]
    fn a_smaller_share_is_a_part_of_a_larger_one() {
        let hosts: BTreeSet<Arc<str>> = (0..200).map(|n| format!("worker{n}").into()).collect();
        let (few, many) = (first(&hosts, 20), first(&hosts, 40));
        assert_eq!(few.len(), 20);
        assert!(few.iter().all(|name| many.contains(name)));
        // Not simply the first names.
        assert!(few.iter().any(|name| *name > "worker5"));
    }
}

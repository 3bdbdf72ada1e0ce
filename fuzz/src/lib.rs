//! What several fuzz targets check.

use std::collections::BTreeMap;
use std::path::PathBuf;

use diagnostics::{Diagnostic, Sources, Style, render_all};
use provision_playbook::files::MapFiles;
use provision_playbook::inventory::{Inventory, Patterns, Source, load};

/// Every place that diagnostics name is a range of whole characters of a known text, and they can
/// be shown; returns what is shown.
pub fn check_diagnostics(found: &[Diagnostic], sources: &Sources) -> String {
    for label in found.iter().flat_map(|found| found.primary.iter().chain(&found.secondary)) {
        let text = &sources.get(label.span.source).expect("a known source").text;
        let range = label.span.start as usize..label.span.end as usize;
        assert!(text.get(range).is_some(), "{label:?} is not a part of {text:?}");
    }
    render_all(found, sources, Style::Plain)
}

/// Loads an inventory of one file and checks what must hold for every one.
pub fn check_inventory(name: &str, text: &str, pattern: &str) {
    let path = PathBuf::from(name);
    let files = MapFiles::new(BTreeMap::from([(path.clone(), text.to_owned())]));
    let mut sources = Sources::default();
    let loaded = load(&[Source::Path(path)], &files, &mut sources);
    check_diagnostics(&loaded.diagnostics, &sources);
    let inventory = loaded.inventory;
    let all = inventory.hosts_of("all");
    for host in inventory.hosts() {
        assert!(all.contains(&host.name));
        assert!(!inventory.group_names(&host.name).is_empty());
        let _ = inventory.host_variables(&host.name);
    }
    for group in inventory.groups() {
        for parent in &group.parents {
            let parent = inventory.group(parent).expect("a parent that exists");
            assert!(parent.children.contains(&group.name));
            assert!(parent.depth < group.depth, "{} is as deep as {}", parent.name, group.name);
        }
    }
    check_selection(&inventory, &Patterns::parse(pattern, None), None);
}

/// What patterns select exists, once, and a limit does nothing but take away.
pub fn check_selection(inventory: &Inventory, patterns: &Patterns, limit: Option<&Patterns>) {
    let selected = inventory.select(patterns, limit).hosts;
    for (index, host) in selected.iter().enumerate() {
        assert!(inventory.host(host).is_some(), "{host} does not exist");
        assert!(!selected.iter().skip(index + 1).any(|other| other == host), "{host} twice");
    }
    if let Some(limit) = limit {
        let mut expected = inventory.select(patterns, None).hosts;
        let allowed = inventory.select(limit, None).hosts;
        expected.retain(|host| allowed.contains(host));
        assert_eq!(selected, expected);
    }
}

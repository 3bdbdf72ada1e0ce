//! INI inventories and host patterns never panic, and the graph keeps its invariants.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;

use diagnostics::Sources;
use libfuzzer_sys::fuzz_target;
use provision_playbook::files::MapFiles;
use provision_playbook::inventory::{Patterns, Source, load};

fuzz_target!(|text: &str| {
    // The first line is a pattern, the rest is the inventory.
    let (pattern, inventory) = text.split_once('\n').unwrap_or((text, ""));
    let path = PathBuf::from("hosts.ini");
    let files = MapFiles::new(BTreeMap::from([(path.clone(), inventory.to_owned())]));
    let mut sources = Sources::default();
    let loaded = load(&[Source::Path(path)], &files, &mut sources);
    for diagnostic in &loaded.diagnostics {
        for label in diagnostic.primary.iter().chain(&diagnostic.secondary) {
            let text = &sources.get(label.span.source).expect("a known source").text;
            assert!(text.get(label.span.start as usize..label.span.end as usize).is_some());
        }
    }
    let inventory = loaded.inventory;
    let all = inventory.hosts_of("all");
    for host in inventory.hosts() {
        assert!(all.contains(&host.name));
        assert!(!inventory.group_names(&host.name).is_empty());
        let _ = inventory.host_variables(&host.name);
    }
    for host in inventory.select(&Patterns::parse(pattern, None), None).hosts {
        assert!(inventory.host(&host).is_some());
    }
});

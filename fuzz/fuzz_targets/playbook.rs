//! Playbooks with what they import: every static check ends, names places inside the texts, and says
//! the same twice.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use provision_playbook::load_from_map;

/// A line that begins another file, with its path behind it, as in the tests of the loader.
const FILE_MARK: &str = "#>>> ";

fn files(text: &str) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut path = PathBuf::from("site.yml");
    let mut content = String::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix(FILE_MARK) {
            Some(next) => {
                files.insert(path, std::mem::take(&mut content));
                path = PathBuf::from(next.trim());
            }
            None => content.push_str(line),
        }
    }
    files.insert(path, content);
    files
}

fuzz_target!(|text: &str| {
    let (playbook, found, sources) = load_from_map(files(text));
    let shown = fuzz::check_diagnostics(&found, &sources);
    for diagnostic in found.iter().filter(|found| found.is_error()) {
        assert!(diagnostic.primary.is_some() || diagnostic.message.contains("site.yml"), "{shown}");
    }
    let (again, found, sources) = load_from_map(files(text));
    assert_eq!(shown, fuzz::check_diagnostics(&found, &sources));
    assert_eq!(playbook.plays.len(), again.plays.len());
});

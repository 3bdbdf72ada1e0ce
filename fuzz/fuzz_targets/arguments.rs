//! Argument strings (`src=a dest="b c"`) of all kinds of modules: never a panic, and places of errors
//! inside the text.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use provision_playbook::load_from_map;

fuzz_target!(|text: &str| {
    // YAML takes every JSON string; a literal block shows the same text with other offsets.
    let quoted = serde_json::Value::from(text);
    let block = text.replace(['\n', '\r'], "\n        ");
    let site = format!(
        "- hosts: all\n  tasks:\n    - copy: {quoted}\n    - command: {quoted}\n    \
         - action: {quoted}\n    - file: |\n        {block}\n"
    );
    let (_, found, sources) = load_from_map(BTreeMap::from([(PathBuf::from("site.yml"), site)]));
    fuzz::check_diagnostics(&found, &sources);
});

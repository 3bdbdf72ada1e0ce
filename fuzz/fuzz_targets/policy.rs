//! `policy.yml`: every check ends, names places inside the text, and what is read has a digest.
#![no_main]

use diagnostics::Sources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let source = sources.add("policy.yml", text);
    match policy::config::read(text, source) {
        Ok(policy) => assert_eq!(policy.digest().len(), 64),
        Err(found) => {
            assert!(!found.is_empty());
            fuzz::check_diagnostics(&found, &sources);
        }
    }
});

//! `component.yml`: what is wrong has places in the text; what is read is the same twice, and its
//! rules decide every pair of versions in the same way, with a reason for each refusal.
#![no_main]

use diagnostics::Sources;
use fuzz::check_diagnostics;
use libfuzzer_sys::fuzz_target;
use provision_lifecycle::{Duty, Kind, Transition, Verdict, Version, judge, read_definition};

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let definition = match read_definition("component.yml", text, &mut sources) {
        Ok(definition) => definition,
        Err(found) => {
            assert!(!found.is_empty(), "refused without a reason");
            check_diagnostics(&found, &sources);
            return;
        }
    };
    let again = read_definition("component.yml", text, &mut Sources::default()).expect("again");
    assert_eq!(format!("{definition:?}"), format!("{again:?}"));
    assert_eq!(definition.kind.value == Kind::Quorum, definition.quorum.is_some());
    for duty in [Duty::Voter, Duty::Worker] {
        let (tasks, names) = provision_probe::questions(&definition, duty);
        assert_eq!(tasks.len(), names.len());
    }
    let rules: Vec<Transition> =
        definition.transitions.iter().map(|rule| rule.value.clone()).collect();
    let versions = ["3.8.0", "3.9.3", "20.10.24", "26.1.5", "0", "18446744073709551615.1"];
    let versions = versions.map(|text| Version::parse(text).expect("a version"));
    for from in &versions {
        for to in &versions {
            match judge(&rules, from, to) {
                Verdict::Refused(reason) => assert!(!reason.is_empty() && from != to),
                Verdict::Allowed(_) => {}
            }
        }
    }
});

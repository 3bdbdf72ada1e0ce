//! Mapping files for Consul never panic; a refusal has a place in the text, and what is accepted asks
//! for the same twice.
#![no_main]

use diagnostics::{Diagnostic, Sources, Style, render_all};
use libfuzzer_sys::fuzz_target;
use provision_discovery::{Catalog, read_mapping, resolve};

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let source = sources.add("consul.yml", text);
    match read_mapping(text, source) {
        Ok((mapping, found)) => {
            assert!(!found.iter().any(Diagnostic::is_error));
            let (again, _) = read_mapping(text, source).unwrap();
            assert_eq!(mapping.wanted(), again.wanted());
            let found = resolve(&mapping, "consul://a", &Catalog::default(), &mut sources);
            assert!(found.hosts.is_empty());
        }
        Err(found) => {
            assert!(found.iter().any(Diagnostic::is_error));
            for label in found.iter().filter_map(|one| one.primary.as_ref()) {
                assert!(label.span.end as usize <= text.len());
            }
            let _ = render_all(&found, &sources, Style::Plain);
        }
    }
});

//! The artifacts lock: what is read can be used as parts of paths, an entry comes in without changing
//! anything else, and a list of digests gives only what stands in it.
#![no_main]

use diagnostics::SourceId;
use libfuzzer_sys::fuzz_target;
use provision_artifacts::lock::{self, Entry};
use provision_artifacts::published::{self, Algorithm};

fn entry() -> Entry {
    Entry {
        url: Some("https://example.org/a.tar.gz".to_owned()),
        size: Some(1),
        unpacked_size: None,
        sha256: "0".repeat(64),
        sha512: None,
        root: "a-1".to_owned(),
        signature: None,
        added: Some("2026-11-28T07:24:03Z".to_owned()),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0', '\n', '{'])
}

fuzz_target!(|text: &str| {
    let before = lock::read(text, SourceId(0));
    if let Ok(Some(lock)) = &before {
        for (component, version, entry) in lock.entries() {
            assert!(is_name(component) && is_name(version) && is_name(&entry.root));
            assert!(entry.sha256.len() == 64 && lock::check_entry(entry).is_ok());
        }
    }
    if let Ok(after) = lock::with_entry(text, "component", "1.0", &entry()) {
        assert_eq!(lock::with_entry(&after, "component", "1.0", &entry()), Ok(after.clone()));
        if let Ok(before) = before {
            let mut expected = before.unwrap_or_default();
            let versions = expected.components.entry("component".to_owned()).or_default();
            versions.insert("1.0".to_owned(), entry());
            let after = lock::read(&after, SourceId(0)).unwrap().unwrap();
            // The order of versions is that of the text.
            assert_eq!(after, expected);
        }
    }
    if let Ok(digest) = published::find(text, "a.tar.gz", Algorithm::Sha256) {
        let digits: String = text.split_whitespace().collect();
        assert!(digest.len() == 64 && digits.to_ascii_lowercase().contains(&digest));
    }
});

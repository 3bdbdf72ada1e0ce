//! Journals of runs over releases, one record a line: they may be torn anywhere, and what can't be
//! read is never skipped. Records survive being written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provision_lifecycle::{JournalError, Past, Record};

fuzz_target!(|text: &str| {
    let records: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
    for line in &records {
        if let Ok(record) = serde_json::from_slice::<Record>(line) {
            let again = serde_json::to_vec(&record).expect("it can be stored");
            let again: Record = serde_json::from_slice(&again).expect("what was stored");
            assert_eq!(format!("{record:?}"), format!("{again:?}"));
        }
    }
    let whole = Past::of(&records);
    for count in 0..records.len() {
        match Past::of(&records[..count]) {
            // Nothing is read over what can't be read.
            Err(error @ (JournalError::Unreadable { .. } | JournalError::UnknownFormat(_))) => {
                assert_eq!(whole.as_ref().err(), Some(&error));
            }
            Err(JournalError::Empty) => {}
            Ok(part) => {
                assert!(part.ended <= count && part.replaced_by.is_none());
                assert!(part.end.is_some() || part.is_open());
                if let Ok(whole) = &whole {
                    let same = part.run == whole.run && part.request == whole.request;
                    let begins = records[count..].iter().any(|line| line.starts_with(b"{"));
                    assert!(same || begins);
                }
            }
        }
    }
});

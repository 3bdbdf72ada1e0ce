//! The log of durable records: whatever a crash left at its end, exactly the records before it are
//! read, and what is read again is the same.
#![no_main]

use durable::whole_records;
use libfuzzer_sys::fuzz_target;

const FORMAT: &str = "journal 1";

fuzz_target!(|bytes: &[u8]| {
    // The first byte says where the file is torn; without the format line nothing else is reached.
    let Some((cut, bytes)) = bytes.split_first() else { return };
    if let Some((records, whole)) = whole_records(bytes, FORMAT) {
        assert!(whole <= bytes.len() as u64 && (whole > 0 || records.is_empty()));
    }
    let file = [FORMAT.as_bytes(), b"\n", bytes].concat();
    let (records, whole) = whole_records(&file, FORMAT).expect("the format line is there");
    let whole = usize::try_from(whole).expect("an offset in memory");
    let again = whole_records(&file[..whole], FORMAT).expect("the format line is there");
    assert_eq!(again, (records.clone(), whole as u64));
    // Payloads have no line feed, so lines that count are records and the format.
    assert_eq!(file[..whole].iter().filter(|byte| **byte == b'\n').count(), records.len() + 1);
    let torn = &file[..usize::from(*cut).min(file.len())];
    let (fewer, _) = whole_records(torn, FORMAT).expect("a part of the format line");
    assert!(records.starts_with(&fewer));
    assert!(whole > torn.len() || fewer == records);
});

//! All records in one file, to be kept elsewhere: a line for each, with a checksum.

use std::path::Path;

use durable::Log;
use scheduler_core::command::{Key, Record};

use crate::file::{decoded, encoded};
use crate::{StoreError, name_of};

/// The first line of a snapshot.
pub const FORMAT: &str = "corral scheduler snapshot 1";

/// Writes a snapshot, durably, in the place of an older one.
///
/// # Errors
/// When there is something else of that name, or the file can't be written.
pub fn write(path: &Path, records: &[(Key, Record)]) -> Result<(), StoreError> {
    let lines = records.iter().map(|(key, record)| {
        let name = name_of(key);
        let mut line = format!("{name} ").into_bytes();
        line.extend(encoded(&name, record)?);
        Ok(line)
    });
    let lines: Vec<Vec<u8>> = lines.collect::<Result<_, StoreError>>()?;
    Log::open(path, FORMAT)?.log.rewrite(&lines)?;
    Ok(())
}

/// Reads a snapshot. The number of records is in none of them, so a file that was cut at the end of
/// a line looks whole; one that was cut elsewhere is refused.
///
/// # Errors
/// When it can't be read, or isn't whole.
pub fn read(path: &Path) -> Result<Vec<(Key, Record)>, StoreError> {
    let lines = durable::read(path, FORMAT)?;
    let record = |line: &Vec<u8>| {
        let blank = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (name, rest) = line.split_at(blank);
        decoded(&String::from_utf8_lossy(name), rest)
    };
    lines.iter().map(record).collect()
}

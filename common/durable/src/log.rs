//! An append-only log of records, each with a checksum.
//!
//! The first line names the format and its version. A record is one line: eight hexadecimal
//! digits of CRC-32 (IEEE 802.3), a blank, the payload. Payloads contain no line feed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::replacement;

/// Largest log that is read, in bytes: owners compact long before.
const LOG_LIMIT_BYTES: u64 = 64 << 20;

/// Characters of a checksum and the blank behind it.
const PREFIX_CHARACTERS: usize = 9;

/// Why a log can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system failed.
    #[error("use the log {}", path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The file begins with something else.
    #[error("read {}: it is not a log of the format `{expected}` but begins with `{found}`; a newer program may have written it", path.display())]
    Format {
        /// The log.
        path: PathBuf,
        /// What this program writes.
        expected: String,
        /// The first line, shortened.
        found: String,
    },
    /// A payload that would break the format.
    #[error("append to a log: the record contains a line feed")]
    Payload,
}

/// A log open for appending.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    format: String,
    file: File,
    length: u64,
}

/// What was found when a log was opened.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: Log,
    /// Its whole records, oldest first.
    pub records: Vec<Vec<u8>>,
    /// Bytes of a torn tail that were cut off.
    pub cut_bytes: u64,
}

impl Log {
    /// Opens a log, or creates it (mode 0600). `format` is its first line: a name and a version.
    ///
    /// # Errors
    /// When the file can't be used or has another format.
    pub fn open(path: &Path, format: &str) -> Result<Opened, LogError> {
        let failed = |source| LogError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut file).take(LOG_LIMIT_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let Some((records, whole)) = whole_records(&bytes, format) else {
            return Err(other_format(path, format, &bytes));
        };
        let mut log = Log { path: path.to_owned(), format: format.to_owned(), file, length: whole };
        let cut_bytes = (bytes.len() as u64).saturating_sub(whole);
        if whole == 0 {
            log.rewrite(&[])?;
        } else if cut_bytes > 0 {
            log.file.set_len(whole).map_err(failed)?;
            log.file.sync_all().map_err(failed)?;
        }
        Ok(Opened { log, records, cut_bytes })
    }

    /// Appends a record. It survives the end of the process; only [`Log::sync`] makes it survive
    /// the end of the machine.
    ///
    /// # Errors
    /// When it can't be written (a full disk); the log is as it was then.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), LogError> {
        let line = line(payload)?;
        let written =
            self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.write_all(&line));
        if let Err(error) = written {
            // If this fails too, the torn tail is cut when the log is opened again.
            let _ = self.file.set_len(self.length);
            return Err(self.failed(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Makes all appended records durable.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|error| self.failed(error))
    }

    /// Bytes of the log.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Replaces all records, durably: compaction.
    ///
    /// # Errors
    /// When the new log can't be written; the old one stays then.
    pub fn rewrite(&mut self, records: &[Vec<u8>]) -> Result<(), LogError> {
        let mut bytes = format!("{}\n", self.format).into_bytes();
        for record in records {
            bytes.extend_from_slice(&line(record)?);
        }
        replacement::write(&self.path, &bytes, 0o600).map_err(|error| self.failed(error))?;
        self.file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|error| self.failed(error))?;
        self.length = bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::Io { path: self.path.clone(), source }
    }
}

/// The whole records of a log that somebody else may be appending to; it isn't changed.
///
/// # Errors
/// When the file can't be read or has another format.
pub fn read(path: &Path, format: &str) -> Result<Vec<Vec<u8>>, LogError> {
    let failed = |source| LogError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LOG_LIMIT_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    match whole_records(&bytes, format) {
        Some((records, _)) => Ok(records),
        None => Err(other_format(path, format, &bytes)),
    }
}

fn other_format(path: &Path, format: &str, bytes: &[u8]) -> LogError {
    let first: Vec<u8> =
        bytes.iter().take(40).take_while(|byte| **byte != b'\n').copied().collect();
    LogError::Format {
        path: path.to_owned(),
        expected: format.to_owned(),
        found: String::from_utf8_lossy(&first).into_owned(),
    }
}

fn line(payload: &[u8]) -> Result<Vec<u8>, LogError> {
    if payload.contains(&b'\n') {
        return Err(LogError::Payload);
    }
    let mut line = format!("{:08x} ", checksum(payload)).into_bytes();
    line.extend_from_slice(payload);
    line.push(b'\n');
    Ok(line)
}

/// Whole records in the bytes of a log, and how many bytes they take with the format line. A file
/// that ends inside the format line is empty; `None`: it has another format line.
#[must_use]
pub fn whole_records(bytes: &[u8], format: &str) -> Option<(Vec<Vec<u8>>, u64)> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let Some(first) = first.strip_suffix(b"\n") else {
        let torn = format.as_bytes().starts_with(first);
        return torn.then(|| (Vec::new(), 0));
    };
    if first != format.as_bytes() {
        return None;
    }
    let mut whole = first.len() + 1;
    let mut records = Vec::new();
    for line in lines {
        let Some(record) = record(line) else { break };
        records.push(record.to_vec());
        whole += line.len();
    }
    Some((records, whole as u64))
}

fn record(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (prefix, payload) = line.split_at_checked(PREFIX_CHARACTERS)?;
    let digits = std::str::from_utf8(prefix.strip_suffix(b" ")?).ok()?;
    (u32::from_str_radix(digits, 16).ok()? == checksum(payload)).then_some(payload)
}

/// CRC-32 of IEEE 802.3, bit by bit: records are short.
fn checksum(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            let mask = if register & 1 == 1 { 0xedb8_8320 } else { 0 };
            register = (register >> 1) ^ mask;
        }
    }
    !register
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMAT: &str = "test-log 1";

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "test-log 2\n").unwrap();
        assert!(matches!(Log::open(&path, FORMAT), Err(LogError::Format { .. })));
        std::fs::write(&path, "something else").unwrap();
        assert!(matches!(Log::open(&path, FORMAT), Err(LogError::Format { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_log_cut_anywhere_keeps_its_whole_records(
            records in proptest::collection::vec("[a-z]{0,20}", 0..8),
            cut in 0usize..400,
            noise in proptest::collection::vec(any::<u8>(), 0..10),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let mut log = Log::open(&path, FORMAT).unwrap().log;
            for record in &records {
                log.append(record.as_bytes()).unwrap();
            }
            let bytes = std::fs::read(&path).unwrap();
            let cut = cut.min(bytes.len());
            let mut torn = bytes[..cut].to_vec();
            let expected = bytes[..cut].iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
            if cut > FORMAT.len() && !noise.contains(&b'\n') {
                torn.extend_from_slice(&noise);
            }
            std::fs::write(&path, &torn).unwrap();
            let opened = Log::open(&path, FORMAT).unwrap();
            prop_assert_eq!(opened.records.len(), expected);
            let mut log = opened.log;
            log.append(b"after").unwrap();
            log.sync().unwrap();
            let again = Log::open(&path, FORMAT).unwrap();
            prop_assert_eq!(again.cut_bytes, 0);
            prop_assert_eq!(again.records.len(), expected + 1);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut with_format = FORMAT.as_bytes().to_vec();
            with_format.push(b'\n');
            with_format.extend_from_slice(&bytes);
            let _ = whole_records(&with_format, FORMAT);
            let _ = whole_records(&bytes, FORMAT);
        }
    }
}

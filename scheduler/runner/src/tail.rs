//! Reading the output of a task while it grows and its files change.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

use crate::folder::{Folder, Stream};
use crate::output::older;

/// The most that is read at once.
const PART_MOST_BYTES: u64 = 64 << 10;

/// The most that is looked through for the beginning of the last lines.
const LOOK_BACK_MOST_BYTES: u64 = 4 << 20;

/// A place in the output of a task.
#[derive(Debug)]
pub struct Tail {
    folder: Folder,
    stream: Stream,
    /// The open file, and its number in the file system.
    file: Option<(File, u64)>,
}

impl Tail {
    pub(crate) fn new(folder: Folder, stream: Stream) -> Self {
        Tail { folder, stream, file: None }
    }

    /// Goes to the beginning of the last lines of the newest file. If that has fewer, the older file
    /// isn't looked at.
    ///
    /// # Errors
    /// When the file can't be read. That there is none yet is no error.
    pub fn last_lines(&mut self, lines: usize) -> io::Result<()> {
        if !self.open()? {
            return Ok(());
        }
        let Some((file, _)) = &mut self.file else { return Ok(()) };
        let length = file.metadata()?.len();
        let start = length.saturating_sub(LOOK_BACK_MOST_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.by_ref().take(LOOK_BACK_MOST_BYTES).read_to_end(&mut bytes)?;
        let back = length_of_last_lines(&bytes, lines);
        file.seek(SeekFrom::Start(start + (bytes.len().saturating_sub(back)) as u64))?;
        Ok(())
    }

    /// What comes next; nothing if there is no more for now.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn next_part(&mut self) -> io::Result<Vec<u8>> {
        if self.file.is_none() && !self.open()? {
            return Ok(Vec::new());
        }
        loop {
            let Some((file, number)) = &mut self.file else { return Ok(Vec::new()) };
            let mut bytes = Vec::new();
            file.by_ref().take(PART_MOST_BYTES).read_to_end(&mut bytes)?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
            // The end of this file; it may be an older one by now.
            let path = self.folder.stream(self.stream);
            let newest = fs::metadata(path).map(|metadata| metadata.ino());
            if newest.is_ok_and(|newest| newest != *number) {
                // What was written to it before there was a newer one comes first.
                file.by_ref().take(PART_MOST_BYTES).read_to_end(&mut bytes)?;
                if !bytes.is_empty() {
                    return Ok(bytes);
                }
                self.file = None;
                if self.open()? {
                    continue;
                }
            }
            return Ok(Vec::new());
        }
    }

    /// Whether the task has ended. Ask before the last part is read.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        !matches!(self.folder.end(), Ok(None))
    }

    fn open(&mut self) -> io::Result<bool> {
        let path = self.folder.stream(self.stream);
        let found = match File::open(&path) {
            // Between two files there is only the older one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(older(&path)),
            other => other,
        };
        match found {
            Ok(file) => {
                let number = file.metadata()?.ino();
                self.file = Some((file, number));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// How many bytes at the end are the last lines.
fn length_of_last_lines(bytes: &[u8], lines: usize) -> usize {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if lines == 0 {
        return 0;
    }
    let mut ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.nth(lines - 1).map_or(bytes.len(), |(place, _)| bytes.len() - place - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\n", 5, "a\nb\n"),
            ("a\nb\n", 0, ""),
            ("", 3, ""),
            ("\n\n\n", 1, "\n"),
        ] {
            let length = length_of_last_lines(text.as_bytes(), lines);
            assert_eq!(&text[text.len() - length..], expected, "{text:?} {lines}");
        }
    }

    #[test]
    fn a_reader_follows_from_file_to_file() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path().to_owned());
        let path = folder.stream(Stream::Output);
        let mut tail = Tail::new(folder.clone(), Stream::Output);
        assert_eq!(tail.next_part().unwrap(), b"");
        fs::write(&path, "one\n").unwrap();
        assert_eq!(tail.next_part().unwrap(), b"one\n");
        assert_eq!(tail.next_part().unwrap(), b"");
        fs::rename(&path, older(&path)).unwrap();
        assert_eq!(tail.next_part().unwrap(), b"");
        fs::write(&path, "two\n").unwrap();
        assert_eq!(tail.next_part().unwrap(), b"two\n");
    }
}

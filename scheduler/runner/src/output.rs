//! The output of a task: pumped from its pipes into files that don't grow without end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The largest file of a stream. With one older file a stream takes twice that at most.
pub const FILE_MOST_BYTES: u64 = 10 << 20;

/// Files that are kept of a stream: `stdout` and `stdout.1`.
pub const FILES_OF_A_STREAM: u32 = 2;

/// The name of the older file of a stream.
pub fn older(path: &Path) -> PathBuf {
    path.with_extension("1")
}

/// Copies all that comes into the file of a stream. What can't be written, because the disk is full,
/// is dropped: a task must not stand still because of that.
pub fn pump(mut from: impl Read, path: &Path, file_most_bytes: u64) {
    let mut sink = Sink { path: path.to_owned(), file: None, length: 0, file_most_bytes };
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                let _ = sink.write(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

struct Sink {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    file_most_bytes: u64,
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length >= self.file_most_bytes {
            self.file = None;
            self.length = 0;
            fs::rename(&self.path, older(&self.path))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
                self.length = file.metadata()?.len();
                self.file.insert(file)
            }
        };
        file.write_all(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_two_files_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        let text = vec![b'x'; 200_000];
        pump(text.as_slice(), &path, 50_000);
        let (new, old) = (fs::metadata(&path).unwrap(), fs::metadata(older(&path)).unwrap());
        assert!(new.len() <= 70_000 && old.len() <= 70_000, "{} {}", new.len(), old.len());
        assert!(old.len() >= 50_000);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

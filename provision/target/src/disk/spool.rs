//! Files without a name: whatever happens to this process, nothing is left behind.

use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A private file that has lost its name already, in the first folder that takes one.
///
/// # Errors
/// When no folder does.
pub fn nameless_file(folders: &[PathBuf]) -> io::Result<File> {
    let mut problem = io::Error::other("no folder for temporary files");
    for folder in folders {
        match durable::Replacement::new(&folder.join("content"), 0o600) {
            // Dropped at the end of this line, the name vanishes; the open file stays.
            Ok(file) => return file.file().try_clone(),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// Folders for large temporary data: `/var/tmp` is on a disk, `/tmp` may be memory.
#[must_use]
pub fn folders() -> Vec<PathBuf> {
    vec![PathBuf::from("/var/tmp"), PathBuf::from("/tmp")]
}

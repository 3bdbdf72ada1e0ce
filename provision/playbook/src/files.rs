//! How this pure crate sees files: the caller reads them.

use std::path::{Path, PathBuf};

/// What kind of thing is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Read access to the user's files. Implemented on the real file system by the engine and on a
/// map in tests.
pub trait Files {
    /// What is at a path, links followed; `None` if nothing is.
    fn kind(&self, path: &Path) -> Option<FileKind>;

    /// The text of a file; the error is one line for people.
    ///
    /// # Errors
    /// When it can't be read or isn't UTF-8.
    fn read(&self, path: &Path) -> Result<String, String>;

    /// Paths of the entries of a folder, sorted by name; empty if it can't be read.
    fn list(&self, folder: &Path) -> Vec<PathBuf>;
}

//! The user's files, as the pure crates see them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision_playbook::files::{FileKind, Files, MapFiles};

/// Largest text file that is read, in bytes: a slip such as `vars_files: /dev/zero` ends with an
/// error.
const TEXT_LIMIT_BYTES: u64 = 64 << 20;

/// The real file system, read only.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn kind(&self, path: &Path) -> Option<FileKind> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(if metadata.is_dir() { FileKind::Folder } else { FileKind::File })
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        use std::io::Read;
        let failed = |error: std::io::Error| format!("failed to read {}: {error}", path.display());
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(TEXT_LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > TEXT_LIMIT_BYTES {
            return Err(format!("{} is larger than {TEXT_LIMIT_BYTES} bytes", path.display()));
        }
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            format!("{} is not UTF-8 text (byte {at})", path.display())
        })
    }

    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        paths
    }
}

/// The real file system with some files laid over it that exist in memory only.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    texts: MapFiles,
}

impl Overlay {
    /// These files over the real ones.
    #[must_use]
    pub fn new(texts: &BTreeMap<PathBuf, String>) -> Self {
        Overlay { texts: MapFiles::new(texts.clone()) }
    }

    fn has(&self, path: &Path) -> bool {
        self.texts.kind(path) == Some(FileKind::File)
    }
}

impl Files for Overlay {
    fn kind(&self, path: &Path) -> Option<FileKind> {
        if self.has(path) { Some(FileKind::File) } else { Disk.kind(path) }
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        if self.has(path) { self.texts.read(path) } else { Disk.read(path) }
    }

    /// Files in memory are found by name only: nobody's listing shows them.
    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        Disk.list(folder)
    }
}

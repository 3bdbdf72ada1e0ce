//! How this pure crate sees files: the caller reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diagnostics::Diagnostic;
use provision_discovery::{Answered, Question};
use provision_vault::{Opened, Vault, VaultError};

use crate::paths::normal;

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

    /// Opens an encrypted text with the passwords of the run.
    ///
    /// # Errors
    /// When none fits, or the text is damaged. There are no passwords unless somebody has some.
    fn open_vault(&self, text: &str) -> Result<Opened, VaultError> {
        Vault::default().open(text.as_bytes())
    }

    /// Whether a file is encrypted with Ansible Vault, judged by its beginning.
    fn is_encrypted(&self, path: &Path) -> bool {
        self.read(path).is_ok_and(|text| provision_vault::is_encrypted(text.as_bytes()))
    }

    /// What Consul says. There is none unless somebody can ask it.
    ///
    /// # Errors
    /// When it can't be asked or its answer can't be used.
    fn consul(&self, question: &Question) -> Result<Answered, Box<Diagnostic>> {
        let _ = question;
        let message = "Consul can't be asked here";
        Err(Box::new(Diagnostic::error("consul", message)))
    }

    /// What an inventory script prints for `--list`; `None`: the file is no program. Nothing is run
    /// unless somebody can.
    ///
    /// # Errors
    /// When it can't be run or fails; one line for people.
    fn listing(&self, program: &Path) -> Option<Result<String, String>> {
        let _ = program;
        None
    }

    /// A value that came out of an encrypted file: who shows things must hide it.
    fn keep_secret(&self, value: &str) {
        let _ = value;
    }
}

/// Files in memory: tests, fuzzing, and whoever has the texts already.
#[derive(Debug, Clone, Default)]
pub struct MapFiles {
    texts: BTreeMap<PathBuf, String>,
    vault: Vault,
    consul: Option<Answered>,
}

impl MapFiles {
    /// Files by path; folders exist where files are below them.
    #[must_use]
    pub fn new(texts: BTreeMap<PathBuf, String>) -> Self {
        let texts = texts.into_iter().map(|(path, text)| (normal(&path), text)).collect();
        MapFiles { texts, ..MapFiles::default() }
    }

    /// The same files, with passwords for those that are encrypted.
    #[must_use]
    pub fn with_vault(self, vault: Vault) -> Self {
        MapFiles { vault, ..self }
    }

    /// The same files, with a Consul that always says this.
    #[must_use]
    pub fn with_consul(self, answered: Answered) -> Self {
        MapFiles { consul: Some(answered), ..self }
    }
}

impl Files for MapFiles {
    fn kind(&self, path: &Path) -> Option<FileKind> {
        let path = normal(path);
        if self.texts.contains_key(&path) {
            return Some(FileKind::File);
        }
        let is_folder = self.texts.keys().any(|file| file != &path && file.starts_with(&path));
        is_folder.then_some(FileKind::Folder)
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        self.texts.get(&normal(path)).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let folder = normal(folder);
        let mut entries: Vec<PathBuf> = self
            .texts
            .keys()
            .filter_map(|path| path.strip_prefix(&folder).ok())
            .filter_map(|rest| rest.components().next())
            .map(|first| folder.join(first))
            .collect();
        entries.dedup();
        entries
    }

    fn open_vault(&self, text: &str) -> Result<Opened, VaultError> {
        self.vault.open(text.as_bytes())
    }

    fn consul(&self, _question: &Question) -> Result<Answered, Box<Diagnostic>> {
        let missing = || Box::new(Diagnostic::error("consul", "there is no Consul in memory"));
        self.consul.clone().ok_or_else(missing)
    }
}

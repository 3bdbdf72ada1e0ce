//! The user's files, as the pure crates see them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::Diagnostic;
use provision_discovery::{Answered, Question};
use provision_playbook::files::{FileKind, Files, MapFiles};
use provision_vault::{Opened, VaultError};

use crate::digest::KnownDigests;
use crate::discovery::Discovery;
use crate::keyring::Keyring;

/// Largest text file that is read, in bytes: a slip such as `vars_files: /dev/zero` ends with an
/// error.
const TEXT_LIMIT_BYTES: u64 = 64 << 20;

/// Bytes that tell whether a file is encrypted.
const HEADER_BYTES: usize = provision_vault::HEADER.len();

/// The real file system, read only, with the passwords for encrypted files.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    keyring: Arc<Keyring>,
    discovery: Arc<Discovery>,
    /// Files that exist in memory only; nobody's listing shows them.
    texts: MapFiles,
    digests: Arc<KnownDigests>,
}

impl Disk {
    /// Files that are opened with these passwords.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Disk { keyring, ..Disk::default() }
    }

    /// The same below files that exist in memory only: plays that the program makes for itself.
    #[must_use]
    pub fn below(self, texts: &BTreeMap<PathBuf, String>) -> Self {
        Disk { texts: MapFiles::new(texts.clone()), ..self }
    }

    /// The same, with somebody who knows what Consul says.
    #[must_use]
    pub fn asking(self, discovery: Arc<Discovery>) -> Self {
        Disk { discovery, ..self }
    }

    /// The passwords, and the secrets that are known.
    #[must_use]
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Digests of large files.
    #[must_use]
    pub fn digests(&self) -> &KnownDigests {
        &self.digests
    }

    /// The text of a file as it is meant: decrypted if it is encrypted. What a template file holds
    /// is no secret by itself.
    ///
    /// # Errors
    /// When it can't be read or decrypted, or isn't UTF-8.
    pub fn read_plain(&self, path: &Path) -> Result<String, String> {
        let text = self.read(path)?;
        if !provision_vault::is_encrypted(text.as_bytes()) {
            return Ok(text);
        }
        let opened =
            self.keyring.open(text.as_bytes()).map_err(|error| decryption_failed(path, &error))?;
        let plain = opened.expose_text();
        plain.map(str::to_owned).ok_or_else(|| format!("{} holds no UTF-8 text", path.display()))
    }

    /// The content of an encrypted file; `None` if it is not encrypted.
    ///
    /// # Errors
    /// When it can't be read or decrypted.
    pub fn decrypted(&self, path: &Path) -> Result<Option<Opened>, String> {
        if !self.is_encrypted(path) {
            return Ok(None);
        }
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if size > provision_vault::TEXT_LIMIT_BYTES as u64 {
            return Err(decryption_failed(path, &VaultError::TooLarge));
        }
        let text = std::fs::read(path)
            .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
        let opened = self.keyring.open_content(&text);
        opened.map(Some).map_err(|error| decryption_failed(path, &error))
    }
}

fn decryption_failed(path: &Path, error: &VaultError) -> String {
    match error {
        // Ansible's words, for those who look for them.
        VaultError::NoPassword => {
            format!("A vault password or secret must be specified to decrypt {}", path.display())
        }
        _ => format!("failed to decrypt {}: {error}", path.display()),
    }
}

/// Runs an inventory script as Ansible does: with `--list`, where the user is.
fn listing_of(program: &Path) -> Result<String, String> {
    let shown = program.display();
    // A bare name would be looked up in the PATH.
    let path =
        std::path::absolute(program).map_err(|error| format!("failed to run {shown}: {error}"))?;
    let output = std::process::Command::new(path)
        .arg("--list")
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("failed to run {shown}: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{shown} --list failed ({}): {}", output.status, errors.trim()));
    }
    if output.stdout.len() as u64 > TEXT_LIMIT_BYTES {
        return Err(format!("{shown} printed more than {TEXT_LIMIT_BYTES} bytes"));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{shown} printed no UTF-8 text"))
}

impl Files for Disk {
    fn kind(&self, path: &Path) -> Option<FileKind> {
        if self.texts.kind(path) == Some(FileKind::File) {
            return Some(FileKind::File);
        }
        let metadata = std::fs::metadata(path).ok()?;
        Some(if metadata.is_dir() { FileKind::Folder } else { FileKind::File })
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        use std::io::Read;
        if self.texts.kind(path) == Some(FileKind::File) {
            return self.texts.read(path);
        }
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

    fn open_vault(&self, text: &str) -> Result<Opened, VaultError> {
        self.keyring.open(text.as_bytes())
    }

    fn is_encrypted(&self, path: &Path) -> bool {
        use std::io::Read;
        let mut first = [0; HEADER_BYTES];
        let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
        read.is_ok() && provision_vault::is_encrypted(&first)
    }

    fn consul(&self, question: &Question) -> Result<Answered, Box<Diagnostic>> {
        self.discovery.answer(question)
    }

    fn listing(&self, program: &Path) -> Option<Result<String, String>> {
        use std::os::unix::fs::PermissionsExt;
        let is_program = std::fs::metadata(program)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        is_program.then(|| listing_of(program))
    }

    fn keep_secret(&self, value: &str) {
        self.keyring.known().keep(value);
    }
}

//! Key files: read once, decrypted once, and only when a server wants their signature.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::options::Prompter;

/// How often a passphrase is asked for before the key is given up.
const PASSPHRASE_ATTEMPTS: usize = 3;
/// A private key has some kilobytes.
const KEY_FILE_LIMIT_BYTES: u64 = 1024 * 1024;

/// One identity on disk.
pub(crate) struct KeyFile {
    pub(crate) path: PathBuf,
    /// Known without a passphrase for OpenSSH's format or if there is a `.pub` file.
    pub(crate) public: Option<PublicKey>,
    /// From `…-cert.pub` beside the key.
    pub(crate) certificate: Option<Certificate>,
    /// The file's text, or why there is none that could sign.
    private: Result<Zeroizing<String>, String>,
    unlocked: OnceCell<Result<Arc<PrivateKey>, String>>,
}

/// All key files that a client has met.
#[derive(Default)]
pub(crate) struct KeyStore {
    files: Mutex<HashMap<PathBuf, Arc<OnceCell<Arc<KeyFile>>>>>,
}

impl KeyStore {
    /// The key file at a path; problems are inside it.
    pub(crate) async fn load(&self, path: &Path) -> Arc<KeyFile> {
        let cell = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(path.to_owned()).or_default())
        };
        let load = || async {
            let job = path.to_owned();
            match tokio::task::spawn_blocking(move || KeyFile::read(&job)).await {
                Ok(file) => Arc::new(file),
                Err(error) => Arc::new(KeyFile::unusable(path, error.to_string())),
            }
        };
        Arc::clone(cell.get_or_init(load).await)
    }
}

impl KeyFile {
    fn unusable(path: &Path, problem: String) -> Self {
        Self {
            path: path.to_owned(),
            public: None,
            certificate: None,
            private: Err(problem),
            unlocked: OnceCell::new(),
        }
    }

    fn read(path: &Path) -> Self {
        let certificate = read_text(&with_suffix(path, "-cert.pub"))
            .ok()
            .and_then(|text| Certificate::from_openssh(text.trim()).ok());
        let beside = || {
            let text = read_text(&with_suffix(path, ".pub")).ok()?;
            PublicKey::from_openssh(text.trim()).ok()
        };
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) => {
                let problem = match error.kind() {
                    io::ErrorKind::NotFound => "no such file".to_owned(),
                    _ => error.to_string().to_lowercase(),
                };
                let public = beside();
                return Self { public, certificate, ..Self::unusable(path, problem) };
            }
        };
        // A public key as the identity means: the agent has the private one.
        if let Ok(public) = PublicKey::from_openssh(text.trim()) {
            let problem = "the private key is not in the agent".to_owned();
            return Self { public: Some(public), certificate, ..Self::unusable(path, problem) };
        }
        if let Some(problem) = readable_by_others(path) {
            return Self { public: beside(), certificate, ..Self::unusable(path, problem) };
        }
        let public = PrivateKey::from_openssh(text.as_bytes())
            .ok()
            .map(|key| key.public_key().clone())
            .or_else(|| decode_secret_key(&text, None).ok().map(|key| key.public_key().clone()))
            .or_else(beside);
        Self { public, certificate, private: Ok(text), ..Self::unusable(path, String::new()) }
    }

    /// Why this file cannot sign, as far as is known without a passphrase.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.private.as_ref().err().map(String::as_str)
    }

    /// The private key. Asks for the passphrase at most once per run, whoever calls.
    pub(crate) async fn unlock(
        &self,
        prompter: Option<&Arc<dyn Prompter>>,
        one_prompt: &tokio::sync::Mutex<()>,
    ) -> Result<Arc<PrivateKey>, String> {
        let unlock = || async {
            let text = self.private.clone()?;
            if let Some(key) = decode(text.clone(), None).await? {
                return Ok(Arc::new(key));
            }
            let Some(prompter) = prompter else {
                return Err("it has a passphrase and nobody can be asked for it".to_owned());
            };
            let _turn = one_prompt.lock().await;
            for _ in 0..PASSPHRASE_ATTEMPTS {
                let (asker, path) = (Arc::clone(prompter), self.path.clone());
                let answer = tokio::task::spawn_blocking(move || asker.passphrase(&path)).await;
                let Some(passphrase) = answer.map_err(|error| error.to_string())? else {
                    return Err("no passphrase was given".to_owned());
                };
                let passphrase = Zeroizing::new(passphrase.expose().to_owned());
                if let Some(key) = decode(text.clone(), Some(passphrase)).await? {
                    return Ok(Arc::new(key));
                }
            }
            Err("the passphrase was wrong".to_owned())
        };
        self.unlocked.get_or_init(unlock).await.clone()
    }
}

/// Decodes a private key outside the async runtime (bcrypt takes 100 ms and more). `None`: it is
/// encrypted and the passphrase is missing or wrong.
async fn decode(
    text: Zeroizing<String>,
    passphrase: Option<Zeroizing<String>>,
) -> Result<Option<PrivateKey>, String> {
    let job = move || {
        let passphrase = passphrase.as_ref().map(|text| text.as_str());
        match PrivateKey::from_openssh(text.as_bytes()) {
            Ok(key) if !key.is_encrypted() => return Ok(Some(key)),
            Ok(key) => return Ok(passphrase.and_then(|text| key.decrypt(text).ok())),
            Err(_) => {}
        }
        match decode_secret_key(&text, passphrase) {
            Ok(key) => Ok(Some(key)),
            Err(russh::keys::Error::KeyIsEncrypted) => Ok(None),
            Err(_) if passphrase.is_some() => Ok(None),
            // The old formats tell "encrypted" apart from "broken" by their headers only.
            Err(_) if text.contains("ENCRYPTED") => Ok(None),
            Err(error) => {
                Err(format!("not a private key that we can read: {error}").to_lowercase())
            }
        }
    };
    tokio::task::spawn_blocking(job).await.map_err(|error| error.to_string())?
}

fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    if std::fs::metadata(path)?.len() > KEY_FILE_LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    std::fs::read_to_string(path).map(Zeroizing::new)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// As OpenSSH (`sshkey_perm_ok`): a key of ours that others may read is not used.
fn readable_by_others(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let is_ours = metadata.uid() == rustix::process::getuid().as_raw();
    let mode = metadata.mode() & 0o777;
    (is_ours && mode & 0o077 != 0)
        .then(|| format!("others may read it (mode {mode:04o}): chmod 600 it"))
}

//! The vault passwords of a run, what they have opened, and which secrets came out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use provision_playbook::SECRET_FILE_BYTES;
use provision_vault::{Opened, Vault, VaultError};
use sha2::{Digest, Sha256};

use crate::redact::KnownSecrets;

/// Encrypted texts up to this size are opened once and remembered, in bytes: thousands of rounds of
/// hashing a value are paid once a run, not once a host. Larger ones are files that are sent.
const REMEMBERED_BYTES: usize = 1 << 20;

/// Passwords, and what they have opened so far.
#[derive(Default)]
pub struct Keyring {
    vault: Vault,
    opened: Mutex<HashMap<[u8; 32], Result<Opened, VaultError>>>,
    known: Arc<KnownSecrets>,
    /// Digests of what `!vault` values held.
    values: Mutex<HashSet<[u8; 32]>>,
}

/// Labels only.
impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("ids", &self.vault.ids()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A keyring with the passwords of a vault.
    #[must_use]
    pub fn new(vault: Vault) -> Self {
        Keyring { vault, ..Keyring::default() }
    }

    /// Whether there is no password at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vault.is_empty()
    }

    /// The secrets that are known so far.
    #[must_use]
    pub fn known(&self) -> Arc<KnownSecrets> {
        Arc::clone(&self.known)
    }

    /// Opens an encrypted text. Its values are not secrets yet: the caller knows which are.
    ///
    /// # Errors
    /// When no password fits or the text is damaged.
    pub fn open(&self, text: &[u8]) -> Result<Opened, VaultError> {
        if text.len() > REMEMBERED_BYTES {
            return self.vault.open(text);
        }
        let key: [u8; 32] = Sha256::digest(text).into();
        let lock = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        // Not under the lock: other threads open other texts meanwhile.
        let opened = self.vault.open(text);
        lock().insert(key, opened.clone());
        opened
    }

    /// The text of a `!vault` value, which is a known secret from now on.
    ///
    /// # Errors
    /// One line for people.
    pub fn open_value(&self, text: &str) -> Result<String, String> {
        let opened = self.open(text.as_bytes()).map_err(|error| {
            let hint = match error {
                VaultError::NoPassword => " (--vault-password-file, --vault-id, --ask-vault-pass)",
                _ => "",
            };
            format!("failed to decrypt a `!vault` value: {error}{hint}")
        })?;
        let plain = opened
            .expose_text()
            .ok_or("failed to decrypt a `!vault` value: it holds no UTF-8 text")?;
        self.known.keep(plain);
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert(Sha256::digest(plain).into());
        Ok(plain.to_owned())
    }

    /// Whether a text is what a `!vault` value held that was opened.
    #[must_use]
    pub fn is_from_value(&self, text: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(text).into();
        self.values.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest)
    }

    /// The content of an encrypted file that is sent or looked up: its text is a known secret from
    /// now on.
    ///
    /// # Errors
    /// When no password fits or the text is damaged.
    pub fn open_content(&self, text: &[u8]) -> Result<Opened, VaultError> {
        let opened = self.open(text)?;
        if opened.expose().len() <= SECRET_FILE_BYTES
            && let Some(plain) = opened.expose_text()
        {
            self.known.keep(plain);
        }
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use provision_vault::{Password, Vault, seal};

    use super::Keyring;

    #[test]
    fn what_is_opened_is_a_known_secret() {
        let text = seal(b"hunter2", &Password::new("p"), None, b"salt").expect("sealed");
        let keyring = Keyring::new(Vault::new(vec![("default".into(), Password::new("p"))]));
        assert_eq!(keyring.known().text("hunter2"), "hunter2");
        assert_eq!(keyring.open_value(&text).expect("opened"), "hunter2");
        assert_eq!(keyring.open_value(&text).expect("opened again"), "hunter2");
        assert_eq!(keyring.known().text("hunter2"), crate::redact::MARKER);
        assert!(keyring.is_from_value("hunter2") && !keyring.is_from_value("hunter"));
        assert!(!format!("{keyring:?}").contains("hunter2"));
        let refused = Keyring::default().open_value(&text).expect_err("no password");
        assert!(refused.contains("--vault-password-file"), "{refused}");
    }
}

//! `[pure]` Ansible Vault: encrypted texts of the formats 1.1 and 1.2 are opened and made.
//!
//! A vault text is a header line (`$ANSIBLE_VAULT;1.2;AES256;label`) above lines of hexadecimal
//! digits, which hold three more hexadecimal texts: salt, HMAC and ciphertext. PBKDF2 makes two keys
//! and a counter from password and salt; the ciphertext is AES-256 in counter mode, and the HMAC
//! over it tells a wrong password from a right one before anything is decrypted.
//!
//! Salts are arguments. Passwords and opened texts show nothing of themselves and are wiped from
//! memory when they are dropped.

mod cipher;
mod error;
mod secret;
mod text;

pub use cipher::{KEY_ROUNDS, SALT_BYTES};
pub use error::VaultError;
pub use secret::{Opened, Password};
pub use text::{HEADER, LINE_DIGITS, TEXT_LIMIT_BYTES, inline, is_encrypted};

/// The label of passwords that were given without one, as in Ansible.
pub const DEFAULT_ID: &str = "default";

/// Passwords that are tried on one text at most: each costs thousands of rounds of hashing.
pub const PASSWORDS_MOST: usize = 64;

/// The passwords of a run, in the order in which they are tried.
#[derive(Debug, Clone, Default)]
pub struct Vault {
    passwords: Vec<(String, Password)>,
}

impl Vault {
    /// A vault with labelled passwords; those beyond [`PASSWORDS_MOST`] are never tried.
    #[must_use]
    pub fn new(passwords: Vec<(String, Password)>) -> Self {
        Vault { passwords }
    }

    /// Whether there is no password at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    /// The labels, in order, each once.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for (id, _) in &self.passwords {
            if !ids.contains(&id.as_str()) {
                ids.push(id);
            }
        }
        ids
    }

    /// The first password with this label.
    #[must_use]
    pub fn password(&self, id: &str) -> Option<&Password> {
        self.passwords.iter().find(|(known, _)| known == id).map(|(_, password)| password)
    }

    /// The first password and its label.
    #[must_use]
    pub fn first(&self) -> Option<(&str, &Password)> {
        self.passwords.first().map(|(id, password)| (id.as_str(), password))
    }

    /// Opens a text. Passwords of the label in its header are tried first, then all others: a
    /// label is only a name, as in Ansible.
    ///
    /// # Errors
    /// When there is no password, none fits, or the text is no (whole) vault text.
    pub fn open(&self, text: &[u8]) -> Result<Opened, VaultError> {
        let envelope = text::parse(text)?;
        if self.passwords.is_empty() {
            return Err(VaultError::NoPassword);
        }
        let wanted = envelope.id.as_deref().unwrap_or(DEFAULT_ID);
        let (first, rest): (Vec<_>, Vec<_>) =
            self.passwords.iter().partition(|(id, _)| id == wanted);
        for (id, password) in first.into_iter().chain(rest).take(PASSWORDS_MOST) {
            if let Some(bytes) = cipher::open(&envelope, password)? {
                return Ok(Opened::new(bytes, id.clone()));
            }
        }
        Err(VaultError::WrongPassword {
            wanted: wanted.to_owned(),
            tried: self.ids().into_iter().map(str::to_owned).collect(),
        })
    }
}

/// The label in the header of a vault text, if it has one.
///
/// # Errors
/// When it is no vault text.
pub fn id_of(text: &[u8]) -> Result<Option<String>, VaultError> {
    Ok(text::parse(text)?.id)
}

/// Makes a vault text, which ends with a newline. Format 1.2 if there is a label other than
/// [`DEFAULT_ID`], else 1.1. The salt must be random and new for each text
/// ([`SALT_BYTES`] of them).
///
/// # Errors
/// When the label can't stand in a header, or the salt or the password is empty.
pub fn seal(
    plain: &[u8],
    password: &Password,
    id: Option<&str>,
    salt: &[u8],
) -> Result<String, VaultError> {
    let id = id.filter(|id| *id != DEFAULT_ID);
    if let Some(id) = id
        && (id.is_empty()
            || id.contains(';')
            || id.chars().any(char::is_control)
            || id.trim() != id)
    {
        return Err(VaultError::BadLabel(id.to_owned()));
    }
    if salt.is_empty() || password.expose().is_empty() {
        return Err(VaultError::Empty);
    }
    Ok(text::write(id, &cipher::seal(plain, password, salt)?))
}

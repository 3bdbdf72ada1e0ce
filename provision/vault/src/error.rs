//! Why a text can't be opened or made.

use thiserror::Error;

/// Why a text can't be opened or made. Messages complete "failed to decrypt …: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VaultError {
    /// No password was given.
    #[error("no vault password was given")]
    NoPassword,
    /// None of the passwords fits.
    #[error("no vault password fits (encrypted for vault id `{wanted}`; tried: {})", .tried.join(", "))]
    WrongPassword {
        /// The label in the header.
        wanted: String,
        /// Labels of the passwords that were tried.
        tried: Vec<String>,
    },
    /// The text does not begin with the header.
    #[error("it is not encrypted: it does not begin with `$ANSIBLE_VAULT;`")]
    NotEncrypted,
    /// The text is not whole.
    #[error("the encrypted text is damaged in line {line}: {reason}")]
    Damaged {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Another format.
    #[error("vault format `{0}` is not supported (1.1 and 1.2 are)")]
    UnknownFormat(String),
    /// Another cipher.
    #[error("vault cipher `{0}` is not supported (AES256 is)")]
    UnknownCipher(String),
    /// Longer than [`crate::TEXT_LIMIT_BYTES`].
    #[error("the encrypted text is larger than {} MiB", crate::TEXT_LIMIT_BYTES >> 20)]
    TooLarge,
    /// A label that a header can't hold.
    #[error(
        "`{0}` can't be a vault id: it is empty or has `;`, blanks at its ends or control characters"
    )]
    BadLabel(String),
    /// Nothing to make keys from.
    #[error("the vault password or the salt is empty")]
    Empty,
}

//! Keys, checksum and cipher.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::VaultError;
use crate::secret::Password;
use crate::text::Envelope;

/// Rounds of PBKDF2: part of the format.
pub const KEY_ROUNDS: u32 = 10_000;

/// Bytes of a new salt: what `ansible-vault` takes.
pub const SALT_BYTES: usize = 32;

const KEY_BYTES: usize = 32;
const BLOCK_BYTES: usize = 16;
/// Two keys and the first counter block.
const DERIVED_BYTES: usize = 2 * KEY_BYTES + BLOCK_BYTES;

/// The parts of a vault text.
pub(crate) struct Sealed {
    pub(crate) salt: Vec<u8>,
    pub(crate) mac: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// What password and salt give.
struct Keys {
    stream: Ctr128BE<Aes256>,
    mac: Hmac<Sha256>,
}

fn keys(password: &Password, salt: &[u8]) -> Result<Keys, VaultError> {
    let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password.expose(), salt, KEY_ROUNDS, derived.as_mut_slice());
    let (cipher_key, rest) = derived.split_at(KEY_BYTES);
    let (mac_key, counter) = rest.split_at(KEY_BYTES);
    // The lengths are right by construction; the typed error keeps this free of panics.
    let stream = Ctr128BE::new_from_slices(cipher_key, counter).map_err(|_| VaultError::Empty)?;
    let mac = Hmac::<Sha256>::new_from_slice(mac_key).map_err(|_| VaultError::Empty)?;
    Ok(Keys { stream, mac })
}

/// The content, if the password fits.
pub(crate) fn open(
    envelope: &Envelope,
    password: &Password,
) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let Sealed { salt, mac, bytes } = &envelope.sealed;
    let Keys { mut stream, mac: mut check } = keys(password, salt)?;
    check.update(bytes);
    // Compares in constant time; nothing is decrypted before.
    if check.verify_slice(mac).is_err() {
        return Ok(None);
    }
    let mut plain = Zeroizing::new(bytes.clone());
    stream.apply_keystream(&mut plain);
    let padding = plain.last().map_or(0, |byte| usize::from(*byte));
    let length = plain.len().checked_sub(padding);
    let padded = plain.len() % BLOCK_BYTES == 0 && (1..=BLOCK_BYTES).contains(&padding);
    let Some(length) = length.filter(|_| padded) else {
        return Err(VaultError::Damaged { line: 2, reason: "the content has no valid padding" });
    };
    if plain.iter().skip(length).any(|byte| usize::from(*byte) != padding) {
        return Err(VaultError::Damaged { line: 2, reason: "the content has no valid padding" });
    }
    plain.truncate(length);
    Ok(Some(plain))
}

/// Encrypts a content.
pub(crate) fn seal(plain: &[u8], password: &Password, salt: &[u8]) -> Result<Sealed, VaultError> {
    let Keys { mut stream, mac: mut check } = keys(password, salt)?;
    let padding = BLOCK_BYTES - plain.len() % BLOCK_BYTES;
    let mut bytes = Vec::with_capacity(plain.len() + padding);
    bytes.extend_from_slice(plain);
    bytes.resize(plain.len() + padding, u8::try_from(padding).unwrap_or_default());
    stream.apply_keystream(&mut bytes);
    check.update(&bytes);
    let mac = check.finalize().into_bytes().to_vec();
    Ok(Sealed { salt: salt.to_vec(), mac, bytes })
}

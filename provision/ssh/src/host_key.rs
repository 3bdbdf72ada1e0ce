//! A host's public key as our own type: algorithm name and wire blob.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// A public host key. Two keys are the same key if their blobs are equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostKey {
    algorithm: String,
    blob: Vec<u8>,
}

impl HostKey {
    /// Reads the algorithm from the blob itself (RFC 4253, section 6.6); `None` if it isn't one.
    #[must_use]
    pub fn from_blob(blob: Vec<u8>) -> Option<Self> {
        let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?);
        let end = usize::try_from(length).ok()?.checked_add(4)?;
        let name = std::str::from_utf8(blob.get(4..end)?).ok()?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        Some(Self { algorithm: name.to_owned(), blob })
    }

    /// Name of the key type, such as `ssh-ed25519` or `ssh-rsa`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key as it is on the wire.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What people compare: `SHA256:` and the unpadded Base64 digest, as OpenSSH prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }

    /// `algorithm base64`, as it stands in `known_hosts`.
    #[must_use]
    pub fn to_openssh(&self) -> String {
        format!("{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HostKey({self})")
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.algorithm, self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::HostKey;

    #[test]
    fn malformed_blobs_are_no_keys() {
        for blob in [
            &b""[..],
            b"\0\0",
            b"\0\0\0\x09ssh",
            b"\xff\xff\xff\xffx",
            b"\0\0\0\0",
            b"\0\0\0\x02a\n",
        ] {
            assert_eq!(HostKey::from_blob(blob.to_vec()), None, "{blob:?}");
        }
        let key = HostKey::from_blob(b"\0\0\0\x07ssh-rsarest".to_vec()).unwrap();
        assert_eq!(key.algorithm(), "ssh-rsa");
    }
}

//! The helper program that is carried along and uploaded to hosts.

/// A helper for one platform.
#[derive(Debug, Clone, Copy)]
pub struct Helper {
    /// Digest of the program, in hexadecimal: its name on the host.
    pub sha256: &'static str,
    /// The program, compressed with gzip.
    pub compressed: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/helper.rs"));

/// Whether this build can work on hosts.
#[must_use]
pub fn is_embedded() -> bool {
    EMBEDDED.is_some()
}

/// The helper for x86_64 Linux, if this build carries one.
#[must_use]
pub fn embedded() -> Option<&'static Helper> {
    EMBEDDED.as_ref()
}

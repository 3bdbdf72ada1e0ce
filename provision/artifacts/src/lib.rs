//! `[io]` Artifacts: the archives that releases are made of. Their lock is read and rewritten, they are
//! downloaded into a cache by digest, checked, and laid out as a mirror.
//!
//! Nothing gets an entry that was not downloaded and looked into, and nothing is taken from the cache
//! whose bytes have another digest than the lock says. What `lock` and `published` do is pure.

pub mod lock;
pub mod published;

#[cfg(feature = "io")]
pub mod archive;
#[cfg(feature = "io")]
pub mod cache;
#[cfg(feature = "io")]
pub mod digests;
#[cfg(feature = "io")]
pub mod download;
#[cfg(feature = "io")]
pub mod mirror;
#[cfg(feature = "io")]
pub mod signature;

#[cfg(all(test, feature = "io"))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod server;

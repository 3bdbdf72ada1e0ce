//! What file modules have in common: paths, permission bits, owners, digests, whole replacement.

pub mod attributes;
pub mod backup;
pub mod describe;
pub mod digest;
pub mod metadata;
pub mod mode;
pub mod paths;
pub mod spool;
pub mod texts;
pub mod writing;

//! `[ui]` What a developer or CI types, as a library: the `xtask` binary only parses arguments.
//!
//! Must never be a dependency of the product: it may do anything to this machine (as root).

pub mod bench;
pub mod build;
pub mod conformance;
pub mod demo;
pub mod error;
pub mod kernels;
pub mod lab;
pub mod load;
pub mod profile;
pub mod roles;
pub mod scenarios;
pub mod soak;
pub mod step;
pub mod suites;
pub mod workspace;

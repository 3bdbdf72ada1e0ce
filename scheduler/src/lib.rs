//! `[ui]` What the scheduler's daemon and its clients share: app files, the shapes of the API, and
//! the exit codes. Nothing here opens files or sockets.

#![forbid(unsafe_code)]

pub mod app_file;
pub mod exposition;
pub mod openapi;
pub mod policy_diff;
pub mod schema;
pub mod shadow;
pub mod wire;

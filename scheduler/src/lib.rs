//! `[ui]` What the scheduler's daemon and its clients share: app files, the shapes of the API, and
//! the exit codes. Nothing here opens files or sockets.

#![forbid(unsafe_code)]

pub mod app_file;
pub mod openapi;
pub mod schema;
pub mod wire;

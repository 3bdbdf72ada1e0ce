//! The client against OpenSSH itself: real sshd, ssh-keygen, ssh-agent and `ssh -G`.
//!
//! Needs the Debian packages openssh-server and openssh-client; fails, naming them, if they are
//! not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)]

mod fake;
mod host_keys;
mod jump;
mod login;
mod streams;
mod support;
mod trouble;

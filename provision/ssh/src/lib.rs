//! `[io]` SSH on russh: host keys, identities, configuration, jump hosts and sessions.
//!
//! ```no_run
//! # async fn example() -> Result<(), provision_ssh::SshError> {
//! use provision_ssh::{Client, ClientOptions, ConnectOptions};
//! let client = Client::new(ClientOptions::default())?;
//! let session = client.connect(&"web1".parse()?, &ConnectOptions::default()).await?;
//! let output = session.exec("uname -m").await?.collect(1024).await?;
//! # Ok(()) }
//! ```
//!
//! Without the feature `client` nothing connects: only the formats of OpenSSH's files remain.
//!
//! No type of russh is visible outside. Text that comes from hosts is stripped of control
//! characters before it gets into an error.

#![cfg_attr(
    not(feature = "client"),
    allow(dead_code, unused_imports, reason = "much of it is for those who connect")
)]

#[cfg(feature = "client")]
mod auth;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod deadline;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod host_key;
#[cfg(feature = "client")]
mod keys;
mod known_hosts;
#[cfg(feature = "client")]
mod link;
mod local;
mod options;
mod pattern;
#[cfg(feature = "client")]
mod pipe;
#[cfg(feature = "client")]
mod process;
mod resolve;
mod secret;
#[cfg(feature = "client")]
mod session;
mod ssh_config;
#[cfg(feature = "client")]
mod tcp;
#[cfg(feature = "client")]
mod transport;
#[cfg(feature = "client")]
mod trust;
#[cfg(feature = "client")]
mod verify;

#[cfg(feature = "client")]
pub use client::Client;
pub use error::{Attempt, AuthenticationFailure, ErrorKind, SshError, UnknownHostKey};
pub use host_key::HostKey;
pub use known_hosts::{
    HostName, HostPatterns, KnownHosts, KnownHostsLine, KnownHostsText, KnownKey, Location,
    MalformedLine, Marker, NameStorage, Verdict, parse_known_hosts,
};
#[cfg(feature = "client")]
pub use link::Negotiated;
pub use options::{
    ClientOptions, ConnectOptions, Destination, HostKeyPolicy, Prompter, TerminalPrompter,
};
#[cfg(feature = "client")]
pub use process::{CollectedOutput, Exit, ExitStatus, Output, Process, Stdin};
pub use secret::Secret;
#[cfg(feature = "client")]
pub use session::{Session, SessionDescription};
pub use ssh_config::{ConfigLine, IgnoredSetting, SshConfigText, parse_ssh_config};

/// Connections are made and used in spawned tasks.
#[cfg(all(test, feature = "client"))]
mod tests {
    use super::{Client, ConnectOptions, Destination, Process, Session};

    fn is_send<T: Send>(_: T) {}
    fn is_static<T: Send + Unpin + 'static>() {}

    #[test]
    fn futures_and_streams_may_move_between_threads() {
        let _ = |client: Client, destination: Destination, options: ConnectOptions| {
            is_send(client.connect(&destination, &options));
            is_send(client.scan(&destination, &options));
        };
        let _ = |session: Session| {
            is_send(session.exec(""));
            is_send(session.close());
        };
        is_static::<Process>();
        is_static::<Session>();
    }
}

//! Host keys as OpenSSH keeps them: a pure parser, a pure decision, and the files around them.

#[cfg(feature = "client")]
mod certificate;
mod files;
mod lookup;
mod parse;
#[cfg(test)]
mod tests;

#[cfg(feature = "client")]
pub(crate) use certificate::check_host_certificate;
pub use files::{KnownHosts, NameStorage};
pub use lookup::{HostName, KnownKey, Location, Verdict};
pub use parse::{
    HostPatterns, KnownHostsLine, KnownHostsText, MalformedLine, Marker, parse_known_hosts,
};

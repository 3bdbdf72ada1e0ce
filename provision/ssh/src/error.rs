//! What can go wrong, as text that completes "failed to …", with a hint and a kind.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::host_key::HostKey;
use crate::known_hosts::{KnownKey, Location};

/// What an error means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection: name, route, port, protocol or time.
    Unreachable,
    /// The host's identity is unknown, changed or revoked.
    HostKey,
    /// The host refuses us.
    Authentication,
    /// Our own options, `ssh_config`, `known_hosts` or key files.
    Configuration,
    /// A connection that worked broke.
    Lost,
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// A destination that isn't one.
    #[error("understand the destination `{text}`: {problem}")]
    Destination {
        /// What was given.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// `ssh_config` says something that we can't honour.
    #[error("read the SSH configuration at {location}: {problem}")]
    Configuration {
        /// File and line.
        location: Location,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A file of ours cannot be read.
    #[error("read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A host key could not be written down.
    #[error("add the key of {host} to {}", path.display())]
    LearnHostKey {
        /// The host.
        host: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name has no address.
    #[error("resolve the name {host}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No TCP connection.
    #[error("connect to {address}")]
    Connect {
        /// Host, address and port.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not connected in time.
    #[error("connect to {address} within {limit:?}: {stage} took too long")]
    Timeout {
        /// Host and port.
        address: String,
        /// The limit.
        limit: Duration,
        /// What was under way.
        stage: &'static str,
    },
    /// The other side closed or broke the connection before we were logged in.
    #[error("set up the SSH connection to {address}: {detail}")]
    Handshake {
        /// Host and port.
        address: String,
        /// What happened.
        detail: String,
    },
    /// No common or no acceptable algorithms.
    #[error("agree on algorithms with {address}: {detail}")]
    Negotiation {
        /// Host and port.
        address: String,
        /// What is missing.
        detail: String,
    },
    /// Something went wrong on the way through a jump host.
    #[error("reach {destination} through {jump}")]
    Jump {
        /// The host behind.
        destination: String,
        /// The jump host.
        jump: String,
        /// Why.
        #[source]
        source: Box<SshError>,
    },
    /// The host's key is not known.
    #[error("verify {}: its {} key {} is unknown{}", .0.host, .0.key.algorithm(), .0.key.fingerprint(), .0.details())]
    HostKeyUnknown(Box<UnknownHostKey>),
    /// The host shows another key than the known one.
    #[error(
        "verify {host}: its {} key is {}, but {} says {}",
        shown.algorithm(), shown.fingerprint(), known.location, known.key.fingerprint()
    )]
    HostKeyChanged {
        /// The host's name.
        host: String,
        /// The key it shows.
        shown: HostKey,
        /// The key it should have.
        known: Box<KnownKey>,
    },
    /// The host's key is revoked.
    #[error(
        "verify {host}: its {} key {} is revoked at {location}",
        shown.algorithm(), shown.fingerprint()
    )]
    HostKeyRevoked {
        /// The host's name.
        host: String,
        /// The key it shows (of the host or of the authority that signed it).
        shown: HostKey,
        /// Where it is revoked.
        location: Location,
    },
    /// The host did not let us in.
    #[error("log in to {}: {}", .0.address, .0)]
    Authentication(Box<AuthenticationFailure>),
    /// The host did not open a channel or start the command.
    #[error("start a command on {address}: {detail}")]
    Refused {
        /// Host and port.
        address: String,
        /// What the host said.
        detail: String,
    },
    /// A connection that worked broke.
    #[error("keep the connection to {address}: {detail}")]
    ConnectionLost {
        /// Host and port.
        address: String,
        /// What happened.
        detail: String,
    },
}

/// A key that is in no `known_hosts` file.
#[derive(Debug, Clone)]
pub struct UnknownHostKey {
    /// The name under which it was looked for.
    pub host: String,
    /// What the user calls the host: for `provision trust`.
    pub destination: String,
    /// The key it shows.
    pub key: HostKey,
    /// Keys of other types that are known for the host.
    pub other_types: Vec<KnownKey>,
    /// Why the certificate that it showed was not accepted.
    pub certificate_problem: Option<String>,
}

impl UnknownHostKey {
    fn details(&self) -> String {
        let mut text = String::new();
        if let Some(known) = self.other_types.first() {
            text.push_str(&format!(
                " (but {} knows a {} key of it)",
                known.location,
                known.key.algorithm()
            ));
        }
        if let Some(problem) = &self.certificate_problem {
            text.push_str(&format!(" (its certificate was not accepted: {problem})"));
        }
        text
    }
}

/// One thing that was offered to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The method: `publickey`, `password`, `keyboard-interactive`.
    pub method: &'static str,
    /// The key file, the agent's key or nothing.
    pub identity: String,
    /// What became of it.
    pub outcome: String,
}

/// Why nobody let us in.
#[derive(Debug, Clone)]
pub struct AuthenticationFailure {
    /// Host and port.
    pub address: String,
    /// The remote user.
    pub user: String,
    /// Everything that was tried or skipped, in order.
    pub attempts: Vec<Attempt>,
    /// The methods with which the server would go on; empty if it never said.
    pub allowed: Vec<String>,
    /// What the server said when it closed the connection.
    pub server_message: Option<String>,
}

impl fmt::Display for AuthenticationFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the server refused user {}", self.user)?;
        if self.attempts.is_empty() {
            formatter.write_str("; there was nothing to try")?;
        } else {
            formatter.write_str("; tried ")?;
        }
        for (index, attempt) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{}", attempt.method)?;
            if !attempt.identity.is_empty() {
                write!(formatter, " {}", attempt.identity)?;
            }
            write!(formatter, " ({})", attempt.outcome)?;
        }
        if !self.allowed.is_empty() {
            write!(formatter, "; it allows {}", self.allowed.join(", "))?;
        }
        if let Some(message) = &self.server_message {
            write!(formatter, "; it said: {message}")?;
        }
        Ok(())
    }
}

impl SshError {
    /// What this means for the run.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Destination { .. }
            | Self::Configuration { .. }
            | Self::ReadFile { .. }
            | Self::LearnHostKey { .. } => ErrorKind::Configuration,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Handshake { .. }
            | Self::Negotiation { .. }
            | Self::Refused { .. } => ErrorKind::Unreachable,
            Self::Jump { source, .. } => source.kind(),
            Self::HostKeyUnknown(_) | Self::HostKeyChanged { .. } | Self::HostKeyRevoked { .. } => {
                ErrorKind::HostKey
            }
            Self::Authentication(_) => ErrorKind::Authentication,
            Self::ConnectionLost { .. } => ErrorKind::Lost,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Destination { .. } => "write `[user@]host[:port]`".to_owned(),
            Self::Configuration { hint, .. } => hint.clone(),
            Self::ReadFile { path, .. } => {
                format!("make {} readable for this user", path.display())
            }
            Self::LearnHostKey { path, .. } => {
                format!("make {} writable, or choose another known_hosts file", path.display())
            }
            Self::Resolve { .. } => {
                "check the spelling and the name server, or set ansible_host to an address"
                    .to_owned()
            }
            Self::Connect { .. } => {
                "check that the host is up, sshd listens there and no firewall is between"
                    .to_owned()
            }
            Self::Timeout { .. } => {
                "check that the host is up and not overloaded, or raise the connect timeout"
                    .to_owned()
            }
            Self::Handshake { .. } => {
                "see the log of sshd on the host; it may be limiting connections (MaxStartups)"
                    .to_owned()
            }
            Self::Negotiation { .. } => {
                "update sshd on the host or its list of algorithms".to_owned()
            }
            Self::Jump { source, .. } => source.hint(),
            Self::HostKeyUnknown(unknown) => format!(
                "compare the fingerprint with the host's own, then run `provision trust {}`",
                unknown.destination
            ),
            Self::HostKeyChanged { known, .. } => format!(
                "somebody may be listening in. If the host was reinstalled, remove {} and run \
                 `provision trust`",
                known.location
            ),
            Self::HostKeyRevoked { .. } => {
                "the key was stolen or retired: give the host a new key, then trust that one"
                    .to_owned()
            }
            Self::Authentication(failure) => failure.hint(),
            Self::Refused { .. } => {
                "check MaxSessions, the user's shell and ForceCommand on the host".to_owned()
            }
            Self::ConnectionLost { .. } => {
                "check the network and whether the host or its sshd was restarted".to_owned()
            }
        }
    }

    /// Whether a new attempt at once might succeed: only for connections that were refused, reset
    /// or closed, never for what a second try would only repeat.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Handshake { .. } | Self::ConnectionLost { .. } => true,
            Self::Jump { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

impl AuthenticationFailure {
    fn hint(&self) -> String {
        let allows = |method: &str| self.allowed.iter().any(|allowed| allowed == method);
        if self.server_message.as_deref().is_some_and(|text| text.contains("Too many")) {
            return "name the right key (identity file) and set IdentitiesOnly, so that fewer are \
                    tried"
                .to_owned();
        }
        let tried_key = self.attempts.iter().any(|attempt| attempt.method == "publickey");
        match (tried_key, allows("publickey"), allows("password")) {
            (false, true, _) => "name a key file or start an agent".to_owned(),
            (_, _, true) => "check user and key, or use --ask-pass".to_owned(),
            _ => format!("check that the user {} exists and its authorized_keys", self.user),
        }
    }
}

/// So that stream errors tell the same: the `SshError` is inside the `io::Error`.
impl From<SshError> for io::Error {
    fn from(error: SshError) -> Self {
        let kind = match error.kind() {
            ErrorKind::Lost => io::ErrorKind::ConnectionReset,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

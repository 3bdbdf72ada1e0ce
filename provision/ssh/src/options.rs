//! What a caller says about a connection: where to, how, and whom to ask.
//!
//! Everything that `ssh_config` may also say is optional here: explicit options win over
//! `ssh_config`, which wins over the defaults.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::SshError;
use crate::secret::Secret;

/// Where to connect to, as the inventory says it (`ansible_host`, `ansible_port`, `ansible_user`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Host name, address or an alias that `ssh_config` knows.
    pub host: String,
    /// Port; otherwise `ssh_config`'s, otherwise 22.
    pub port: Option<u16>,
    /// Remote user; otherwise `ssh_config`'s, otherwise the local user's name.
    pub user: Option<String>,
}

impl Destination {
    /// A destination with nothing but a host.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), port: None, user: None }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(formatter, "{user}@")?;
        }
        match self.port {
            Some(port) if self.host.contains(':') => write!(formatter, "[{}]:{port}", self.host),
            Some(port) => write!(formatter, "{}:{port}", self.host),
            None => formatter.write_str(&self.host),
        }
    }
}

/// Parses `[user@]host[:port]`, `[user@][address]:port` and `ssh://[user@]host[:port]`.
impl FromStr for Destination {
    type Err = SshError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem: &str| SshError::Destination {
            text: text.to_owned(),
            problem: problem.to_owned(),
        };
        let rest = text.strip_prefix("ssh://").unwrap_or(text);
        let (user, rest) = match rest.rsplit_once('@') {
            Some(("", _)) => return Err(invalid("the user before `@` is empty")),
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, tail) =
                bracketed.split_once(']').ok_or_else(|| invalid("`[` without `]`"))?;
            (host, tail.strip_prefix(':').or_else(|| (!tail.is_empty()).then_some(tail)))
        } else if rest.matches(':').count() == 1 {
            rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)))
        } else {
            // No colon, or a bare IPv6 address.
            (rest, None)
        };
        let port = match port {
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port != 0 => Some(port),
                _ => return Err(invalid("the port is not a number from 1 to 65535")),
            },
            None => None,
        };
        // A leading dash would be an option to other programs; a blank or a control character
        // has no place in a host name.
        if host.is_empty() || host.starts_with('-') || host.contains(is_forbidden_in_host) {
            return Err(invalid("the host name is empty or has forbidden characters"));
        }
        // What comes after `%` is the zone of a link-local address.
        let address = host.split('%').next().unwrap_or(host);
        if host.contains(':') && address.parse::<Ipv6Addr>().is_err() {
            return Err(invalid("what has colons and is no IPv6 address is no host"));
        }
        if user.as_deref().is_some_and(|user| user.contains(is_forbidden_in_user)) {
            return Err(invalid("the user has forbidden characters"));
        }
        Ok(Self { host: host.to_owned(), port, user })
    }
}

/// Characters that no user name contains: `ssh://a` would be another user when it is read again.
fn is_forbidden_in_user(character: char) -> bool {
    character.is_control() || character == '/'
}

/// Characters that no host name or address contains and that would confuse `known_hosts`.
pub(crate) fn is_forbidden_in_host(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || "[],/@|*?!\"'`$\\;&<>(){}".contains(character)
}

/// What to do with a host whose key is in none of the `known_hosts` files.
///
/// A changed or revoked key is refused under every policy but [`HostKeyPolicy::Off`], and a
/// revoked one even then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeyPolicy {
    /// Refuse it. The default.
    #[default]
    Strict,
    /// Learn the key of a host of which no key at all is known, and write it down.
    AcceptNew,
    /// Accept every key that is not revoked. For throw-away laboratories only.
    Off,
}

/// How to connect to one host. The default is safe and asks `ssh_config`.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// Key files, tried before those of `ssh_config`.
    pub identity_files: Vec<PathBuf>,
    /// Offer only configured key files, not everything that the agent holds.
    pub identities_only: Option<bool>,
    /// Ask the agent at all (default: yes).
    pub use_agent: Option<bool>,
    /// The user's `known_hosts` files; the first is where keys are learnt. Empty: `ssh_config`'s,
    /// otherwise `~/.ssh/known_hosts`; the system-wide files are always read as well.
    pub known_hosts_files: Vec<PathBuf>,
    /// Treatment of unknown host keys (default: [`HostKeyPolicy::Strict`]).
    pub host_key_policy: Option<HostKeyPolicy>,
    /// Password for `password` and `keyboard-interactive` (`--ask-pass`, `ansible_password`).
    pub password: Option<Secret>,
    /// Jump hosts in the order in which they are passed (`-J a,b`). `Some(vec![])`: none, even if
    /// `ssh_config` has a `ProxyJump`.
    pub jump: Option<Vec<Destination>>,
    /// Limit for name resolution, TCP, key exchange and authentication of one attempt, over all
    /// jump hosts (default: 10 s). Time in which a person types a passphrase does not count.
    pub connect_timeout: Option<Duration>,
    /// Further attempts after refused, reset or closed connections (default: 2).
    pub retries: Option<u32>,
    /// Silence after which a keep-alive is sent (default: 15 s; zero: never).
    pub keepalive_interval: Option<Duration>,
    /// Unanswered keep-alives after which the connection counts as lost (default: 3).
    pub keepalive_max: Option<usize>,
}

/// What all connections of a [`crate::Client`] share.
#[derive(Clone)]
pub struct ClientOptions {
    /// Files in `ssh_config` format, in order of precedence; missing ones are skipped. `None`:
    /// `~/.ssh/config` and `/etc/ssh/ssh_config`. `Some(vec![])`: no configuration at all.
    pub config_files: Option<Vec<PathBuf>>,
    /// Socket of the agent. `None`: what `SSH_AUTH_SOCK` says.
    pub agent_socket: Option<PathBuf>,
    /// Home directory for `~` and default files. `None`: that of the user database.
    pub home: Option<PathBuf>,
    /// Asked for passphrases; without one, encrypted keys are skipped.
    pub prompter: Option<Arc<dyn Prompter>>,
    /// Connections that may be in their handshake at the same time.
    pub connect_limit: usize,
    /// Longest random delay before a handshake while others are under way.
    pub connect_jitter: Duration,
}

/// Enough for a fleet, below what stalls a controller with two cores or a bastion's `MaxStartups`.
const CONNECT_LIMIT: usize = 64;
/// Spreads simultaneous handshakes a little; far below one round trip to another continent.
const CONNECT_JITTER: Duration = Duration::from_millis(10);

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            config_files: None,
            agent_socket: None,
            home: None,
            prompter: None,
            connect_limit: CONNECT_LIMIT,
            connect_jitter: CONNECT_JITTER,
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientOptions")
            .field("config_files", &self.config_files)
            .field("agent_socket", &self.agent_socket)
            .field("home", &self.home)
            .field("prompter", &self.prompter.is_some())
            .field("connect_limit", &self.connect_limit)
            .field("connect_jitter", &self.connect_jitter)
            .finish()
    }
}

/// Asks a person. Calls may block: they are made outside the async runtime, one at a time.
pub trait Prompter: Send + Sync {
    /// The passphrase of an encrypted key file; `None` skips the key. Asked again (up to three
    /// times in all) if it was wrong.
    fn passphrase(&self, key: &Path) -> Option<Secret>;

    /// The password of a user on a host, if the server wants one and none was given.
    fn password(&self, user: &str, host: &str) -> Option<Secret> {
        let _ = (user, host);
        None
    }
}

/// Asks for passphrases on the terminal without echo. Passwords are given in advance
/// (`--ask-pass`): asking for them host by host would be endless in a fleet.
#[derive(Debug, Clone, Copy, Default)]
pub struct TerminalPrompter;

impl Prompter for TerminalPrompter {
    fn passphrase(&self, key: &Path) -> Option<Secret> {
        rpassword::prompt_password(format!("passphrase for {}: ", key.display()))
            .ok()
            .filter(|text| !text.is_empty())
            .map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Destination;

    proptest! {
        #[test]
        fn what_is_shown_means_the_same(text in "(ssh://)?([-a@/]{0,4}@)?[\\[\\]:a1]{0,5}(:22)?") {
            if let Ok(destination) = text.parse::<Destination>() {
                let shown = destination.to_string();
                prop_assert_eq!(shown.parse::<Destination>().ok(), Some(destination), "{}", shown);
            }
        }
    }

    #[test]
    fn destinations_parse_and_print() {
        let full: Destination = "admin@web1:2222".parse().unwrap();
        assert_eq!(
            (full.user.as_deref(), full.host.as_str(), full.port),
            (Some("admin"), "web1", Some(2222))
        );
        let v6: Destination = "[fe80::1]:22".parse().unwrap();
        assert_eq!((v6.host.as_str(), v6.port), ("fe80::1", Some(22)));
        assert_eq!(v6.to_string(), "[fe80::1]:22");
        assert_eq!("fe80::1".parse::<Destination>().unwrap().port, None);
        assert_eq!("ssh://a@b".parse::<Destination>().unwrap(), "a@b".parse().unwrap());
        // Neither a name nor an address; shown again it would be a host and a port.
        assert!("[a:22]".parse::<Destination>().is_err());
        // Shown again, the user would be another one.
        assert!("ssh://ssh://a@b".parse::<Destination>().is_err());
        for bad in ["", "@h", "h:0", "h:x", "-oProxyCommand=x", "[::1", "a b", "a,b", "[::1]x"] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }
}

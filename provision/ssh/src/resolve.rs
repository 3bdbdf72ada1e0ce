//! Merges what the caller says, what `ssh_config` says and the defaults into one plan of a
//! connection. After this nothing asks where a value came from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::SshError;
use crate::known_hosts::{HostName, NameStorage};
use crate::local::LocalUser;
use crate::options::{ConnectOptions, Destination, HostKeyPolicy, is_forbidden_in_host};
use crate::pattern;
use crate::secret::Secret;
use crate::ssh_config::{AddressFamily, HostConfig, Tokens};

const DEFAULT_PORT: u16 = 22;
/// A host in the same building answers in milliseconds, one on the other side of the world within
/// two seconds; an overloaded one may need some more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough to get past a bastion that sheds load (`MaxStartups`).
const RETRIES: u32 = 2;
/// Below the idle limits of common firewalls and load balancers (60 s and more).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_MAX: usize = 3;

/// Files that OpenSSH tries when none is configured.
const DEFAULT_IDENTITIES: &[&str] = &["id_rsa", "id_ecdsa", "id_ed25519"];
const USER_KNOWN_HOSTS: &[&str] = &[".ssh/known_hosts", ".ssh/known_hosts2"];
const GLOBAL_KNOWN_HOSTS: &[&str] = &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// A restriction of algorithms in the syntax of `Ciphers` and its kin. We never add to our list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Algorithms(Option<String>);

impl Algorithms {
    pub(crate) fn new(list: Option<String>) -> Self {
        Self(list)
    }

    pub(crate) fn allows(&self, name: &str) -> bool {
        let Some(list) = &self.0 else { return true };
        if list.starts_with(['+', '^']) {
            return true;
        }
        match list.strip_prefix('-') {
            Some(removed) => !pattern::matches_list(removed.split(','), name),
            None => pattern::matches_list(list.split(','), name),
        }
    }
}

/// Restrictions by kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct AlgorithmLimits {
    pub(crate) key_exchanges: Algorithms,
    pub(crate) ciphers: Algorithms,
    pub(crate) macs: Algorithms,
    pub(crate) host_keys: Algorithms,
    pub(crate) public_keys: Algorithms,
}

/// A key file and whether somebody asked for it by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentitySource {
    pub(crate) path: PathBuf,
    pub(crate) is_configured: bool,
}

/// Authentication methods that `ssh_config` does not forbid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllowedMethods {
    pub(crate) public_key: bool,
    pub(crate) password: bool,
    pub(crate) keyboard_interactive: bool,
}

/// Everything that is needed to connect to one host.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What the user calls it.
    pub(crate) destination: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// The name in `known_hosts`.
    pub(crate) name: HostName,
    /// The name in certificates.
    pub(crate) principal: String,
    pub(crate) identities: Vec<IdentitySource>,
    pub(crate) certificates: Vec<PathBuf>,
    pub(crate) identities_only: bool,
    pub(crate) agent_socket: Option<PathBuf>,
    pub(crate) known_hosts: Vec<PathBuf>,
    pub(crate) learn_into: Option<PathBuf>,
    pub(crate) storage: NameStorage,
    pub(crate) policy: HostKeyPolicy,
    pub(crate) password: Option<Secret>,
    pub(crate) jump: Vec<Destination>,
    pub(crate) connect_timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_max: usize,
    pub(crate) address_family: AddressFamily,
    pub(crate) methods: AllowedMethods,
    pub(crate) algorithms: AlgorithmLimits,
}

impl Target {
    /// For messages: `web1 (10.0.0.5:22)`, or without the name if it is the same.
    pub(crate) fn address(&self) -> String {
        let host = Destination { host: self.host.clone(), port: Some(self.port), user: None };
        let called = self.destination.rsplit('@').next().unwrap_or(&self.destination);
        if called == self.host || called == host.to_string() {
            host.to_string()
        } else {
            format!("{called} ({host})")
        }
    }

    /// The silence after which TCP gives up on data that the host doesn't acknowledge.
    pub(crate) fn loss_timeout(&self) -> Option<Duration> {
        if self.keepalive_interval.is_zero() {
            return None;
        }
        let intervals = u32::try_from(self.keepalive_max).unwrap_or(u32::MAX).saturating_add(1);
        Some(self.keepalive_interval.saturating_mul(intervals))
    }
}

/// Merges the three sources for one host.
pub(crate) fn resolve(
    destination: &Destination,
    options: &ConnectOptions,
    config: &HostConfig,
    local: &LocalUser,
    agent_socket: Option<&Path>,
) -> Result<Target, SshError> {
    let port = destination.port.or(config.port()?).unwrap_or(DEFAULT_PORT);
    let user = destination.user.clone().or_else(|| config.user());
    let user = user.unwrap_or_else(|| local.name.clone());
    let host = config.host_name(&destination.host)?;
    if host.is_empty() || host.starts_with('-') || host.contains(is_forbidden_in_host) {
        return Err(SshError::Destination {
            text: host,
            problem: "the host name is empty or has forbidden characters".to_owned(),
        });
    }
    let tokens = Tokens { original: &destination.host, host: &host, port, user: &user, local };
    let alias = config.host_key_alias();
    let name = match &alias {
        Some(alias) => HostName::alias(alias),
        None => HostName::new(&host, port),
    };
    let (known_hosts, learn_into) = known_hosts_files(options, config, &tokens)?;
    let agent = match config.identity_agent(&tokens, agent_socket)? {
        _ if !options.use_agent.unwrap_or(true) => None,
        agent => agent,
    };
    Ok(Target {
        destination: destination.to_string(),
        principal: alias.unwrap_or_else(|| host.clone()),
        identities: identities(options, config, &tokens)?,
        certificates: config.certificate_files(&tokens)?,
        identities_only: options
            .identities_only
            .or(config.flag("identitiesonly")?)
            .unwrap_or(false),
        agent_socket: agent,
        known_hosts,
        learn_into,
        storage: storage(config)?,
        policy: options.host_key_policy.or(config.host_key_policy()?).unwrap_or_default(),
        password: options.password.clone(),
        jump: match &options.jump {
            Some(jump) => jump.clone(),
            None => config.proxy_jump(&tokens)?,
        },
        connect_timeout: options
            .connect_timeout
            .or(config.connect_timeout()?)
            .unwrap_or(CONNECT_TIMEOUT),
        retries: options.retries.or(config.retries()?).unwrap_or(RETRIES),
        keepalive_interval: options
            .keepalive_interval
            .or(config.keepalive_interval()?)
            .unwrap_or(KEEPALIVE_INTERVAL),
        keepalive_max: options.keepalive_max.or(config.keepalive_max()?).unwrap_or(KEEPALIVE_MAX),
        address_family: config.address_family()?,
        methods: allowed_methods(config)?,
        algorithms: config.algorithm_limits(),
        host,
        port,
        user,
        name,
    })
}

fn allowed_methods(config: &HostConfig) -> Result<AllowedMethods, SshError> {
    Ok(AllowedMethods {
        public_key: config.allows_method("publickey")?,
        password: config.allows_method("password")?,
        keyboard_interactive: config.allows_method("keyboard-interactive")?,
    })
}

fn storage(config: &HostConfig) -> Result<NameStorage, SshError> {
    let is_hashed = config.flag("hashknownhosts")?.unwrap_or(false);
    Ok(if is_hashed { NameStorage::Hashed } else { NameStorage::Plain })
}

fn identities(
    options: &ConnectOptions,
    config: &HostConfig,
    tokens: &Tokens<'_>,
) -> Result<Vec<IdentitySource>, SshError> {
    let mut sources: Vec<IdentitySource> = Vec::new();
    let configured = options.identity_files.iter().map(|path| tokens.local.expand_tilde(path));
    for path in configured.chain(config.identity_files(tokens)?) {
        if !sources.iter().any(|source| source.path == path) {
            sources.push(IdentitySource { path, is_configured: true });
        }
    }
    if sources.is_empty() && !config.has_identity_none() {
        let directory = tokens.local.home.join(".ssh");
        sources.extend(
            DEFAULT_IDENTITIES
                .iter()
                .map(|name| IdentitySource { path: directory.join(name), is_configured: false }),
        );
    }
    Ok(sources)
}

/// All files to read, and the one to learn into.
fn known_hosts_files(
    options: &ConnectOptions,
    config: &HostConfig,
    tokens: &Tokens<'_>,
) -> Result<(Vec<PathBuf>, Option<PathBuf>), SshError> {
    let mut files = if !options.known_hosts_files.is_empty() {
        options.known_hosts_files.iter().map(|path| tokens.local.expand_tilde(path)).collect()
    } else if let Some(files) = config.known_hosts("userknownhostsfile", tokens)? {
        files
    } else {
        USER_KNOWN_HOSTS.iter().map(|name| tokens.local.home.join(name)).collect()
    };
    let learn_into = files.first().cloned();
    match config.known_hosts("globalknownhostsfile", tokens)? {
        Some(global) => files.extend(global),
        None => files.extend(GLOBAL_KNOWN_HOSTS.iter().map(PathBuf::from)),
    }
    Ok((files, learn_into))
}

#[cfg(test)]
mod tests {
    use super::Algorithms;

    #[test]
    fn algorithm_lists_restrict_and_never_add() {
        let allows = |list: &str, name: &str| Algorithms::new(Some(list.to_owned())).allows(name);
        assert!(Algorithms::default().allows("aes128-gcm@openssh.com"));
        assert!(allows("aes128-ctr,aes*-gcm@openssh.com", "aes256-gcm@openssh.com"));
        assert!(!allows("aes128-ctr", "aes256-gcm@openssh.com"));
        assert!(!allows("-aes128-*", "aes128-gcm@openssh.com"));
        assert!(allows("-aes128-*", "aes256-gcm@openssh.com"));
        assert!(allows("+3des-cbc", "aes256-gcm@openssh.com"));
        assert!(allows("^3des-cbc", "aes256-gcm@openssh.com"));
    }
}

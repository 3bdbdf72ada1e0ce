//! `ssh_config`: a pure parser, a pure evaluation for one host, and the files around them.
//!
//! What we honour is honoured exactly; what changes nothing for us is listed as ignored; what
//! would change where or how we connect and we cannot do is an error that names file and line, but
//! only if it applies to the host.

mod tokens;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::SshError;
use crate::options::{Destination, HostKeyPolicy};
use crate::resolve::{AlgorithmLimits};

pub(crate) use tokens::Tokens;

/// What the files say about one host.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostConfig {
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) host_key_alias: Option<String>,
    pub(crate) identities_only: Option<bool>,
    pub(crate) hash_known_hosts: Option<bool>,
    pub(crate) host_key_policy: Option<HostKeyPolicy>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) keepalive_interval: Option<Duration>,
    pub(crate) keepalive_max: Option<usize>,
}

impl HostConfig {
    pub(crate) fn expand_host_name(&self, original: &str) -> Result<String, SshError> {
        Ok(original.to_owned())
    }
    pub(crate) fn identity_agent(&self, _: &Tokens<'_>, default: Option<&Path>) -> Result<Option<PathBuf>, SshError> {
        Ok(default.map(Path::to_owned))
    }
    pub(crate) fn certificate_files(&self, _: &Tokens<'_>) -> Result<Vec<PathBuf>, SshError> {
        Ok(Vec::new())
    }
    pub(crate) fn identity_files(&self, _: &Tokens<'_>) -> Result<Vec<PathBuf>, SshError> {
        Ok(Vec::new())
    }
    pub(crate) fn has_identity_none(&self) -> bool {
        false
    }
    pub(crate) fn user_known_hosts(&self, _: &Tokens<'_>) -> Result<Option<Vec<PathBuf>>, SshError> {
        Ok(None)
    }
    pub(crate) fn global_known_hosts(&self, _: &Tokens<'_>) -> Result<Option<Vec<PathBuf>>, SshError> {
        Ok(None)
    }
    pub(crate) fn proxy_jump(&self, _: &Tokens<'_>) -> Result<Vec<Destination>, SshError> {
        Ok(Vec::new())
    }
    pub(crate) fn retries(&self) -> Option<u32> {
        None
    }
    pub(crate) fn algorithm_limits(&self) -> AlgorithmLimits {
        AlgorithmLimits::default()
    }
}

//! The client: what all connections share, and how one is made.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::auth::{Identities, authenticate};
use crate::deadline::Deadline;
use crate::error::SshError;
use crate::host_key::HostKey;
use crate::keys::KeyStore;
use crate::local::LocalUser;
use crate::options::{ClientOptions, ConnectOptions, Destination};
use crate::resolve::{Target, resolve};
use crate::session::Session;
use crate::ssh_config::{
    HostConfig, IgnoredSetting, LoadedConfig, Subject, evaluate, load as load_config,
};
use crate::tcp;
use crate::transport::{Route, handshake};
use crate::trust::TrustStore;
use crate::verify::{Check, Verifier};

/// Jumps in a row, including those that `ssh_config` adds: more is a loop.
const JUMP_LIMIT: usize = 8;
/// First pause before another attempt; doubled for every further one.
const BACKOFF_START: Duration = Duration::from_millis(250);
/// Longest pause before another attempt.
const BACKOFF_LIMIT: Duration = Duration::from_secs(5);

/// Key types that `scan` asks for: OpenSSH's usual host keys.
const SCANNED_TYPES: &[&str] = &["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"];

/// Makes connections. Cheap to clone; all clones share configuration, `known_hosts`, decrypted
/// keys and the limit of simultaneous handshakes.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    options: ClientOptions,
    local: LocalUser,
    config: Vec<LoadedConfig>,
    agent_socket: Option<PathBuf>,
    trust: Arc<TrustStore>,
    identities: Identities,
    limiter: Semaphore,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("options", &self.shared.options).finish()
    }
}

impl Client {
    /// Reads the configuration files.
    ///
    /// # Errors
    /// A file cannot be read or parsed.
    pub fn new(options: ClientOptions) -> Result<Self, SshError> {
        let local = LocalUser::find(options.home.as_deref());
        let config = load_config(options.config_files.as_deref(), &local)?;
        let from_environment =
            || std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
        let agent_socket = options.agent_socket.clone().or_else(from_environment);
        let identities = Identities {
            keys: KeyStore::default(),
            prompter: options.prompter.clone(),
            one_prompt: tokio::sync::Mutex::new(()),
        };
        let limiter = Semaphore::new(options.connect_limit.max(1));
        let trust = Arc::default();
        let shared = Shared { options, local, config, agent_socket, trust, identities, limiter };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// See [`SshError::kind`] for what they mean.
    pub async fn connect(
        &self,
        destination: &Destination,
        options: &ConnectOptions,
    ) -> Result<Session, SshError> {
        let hops = self.hops(destination, options)?;
        let retries = hops.last().map_or(0, |target| target.retries);
        let mut attempt = 0;
        loop {
            let error = match self.connect_once(&hops).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            if attempt >= retries || !error.is_transient() {
                return Err(error);
            }
            let pause = BACKOFF_START.saturating_mul(1 << attempt.min(8)).min(BACKOFF_LIMIT);
            tokio::time::sleep(pause + random_below(pause)).await;
            attempt += 1;
        }
    }

    /// Asks a host for its keys without logging in: for `provision trust`. The result is empty
    /// only if the host has none of the usual types.
    ///
    /// # Errors
    /// The host is unreachable.
    pub async fn scan(
        &self,
        destination: &Destination,
        options: &ConnectOptions,
    ) -> Result<Vec<HostKey>, SshError> {
        let hops = self.hops(destination, options)?;
        let mut keys = Vec::new();
        for key_type in SCANNED_TYPES {
            let noted = Arc::new(Mutex::new(None));
            let scanned = self.attempt(&hops, Some((key_type, &noted))).await;
            let key = noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            match (key, scanned) {
                (Some(key), _) => keys.push(key),
                // The host has no key of this type.
                (None, Err(SshError::Negotiation { .. })) => {}
                (None, Err(error)) => return Err(error),
                (None, Ok(_)) => {}
            }
        }
        Ok(keys)
    }

    /// The hosts on the way, the last one being the destination.
    fn hops(
        &self,
        destination: &Destination,
        options: &ConnectOptions,
    ) -> Result<Vec<Target>, SshError> {
        let target = self.resolve(destination, options)?;
        // The destination's password is none of the jump hosts' business.
        let mut jump_options =
            ConnectOptions { password: None, jump: Some(Vec::new()), ..options.clone() };
        let mut hops = vec![target];
        let mut pending = hops.first().map(|target| target.jump.clone()).unwrap_or_default();
        while let Some(jump) = pending.pop() {
            if hops.len() > JUMP_LIMIT {
                return Err(SshError::Destination {
                    text: destination.to_string(),
                    problem: format!("more than {JUMP_LIMIT} jump hosts; is there a loop?"),
                });
            }
            // Only the first jump host may have a jump host of its own in `ssh_config`.
            jump_options.jump = if pending.is_empty() { None } else { Some(Vec::new()) };
            let target = self.resolve(&jump, &jump_options)?;
            if pending.is_empty() {
                pending.clone_from(&target.jump);
            }
            hops.push(target);
        }
        hops.reverse();
        Ok(hops)
    }

    /// Lines of `ssh_config` that apply to a host and that this program does nothing about: they
    /// concern forwarding, multiplexing, interactive use or methods that it doesn't have.
    ///
    /// # Errors
    /// A line that applies to the host cannot be honoured.
    pub fn ignored_settings(
        &self,
        destination: &Destination,
    ) -> Result<Vec<IgnoredSetting>, SshError> {
        Ok(self.host_config(destination)?.ignored)
    }

    fn host_config(&self, destination: &Destination) -> Result<HostConfig, SshError> {
        let subject = Subject {
            host: &destination.host,
            user: destination.user.as_deref(),
            local_user: &self.shared.local.name,
        };
        evaluate(&self.shared.config, subject)
    }

    fn resolve(
        &self,
        destination: &Destination,
        options: &ConnectOptions,
    ) -> Result<Target, SshError> {
        let shared = &self.shared;
        let config = self.host_config(destination)?;
        resolve(destination, options, &config, &shared.local, shared.agent_socket.as_deref())
    }

    async fn connect_once(&self, hops: &[Target]) -> Result<Session, SshError> {
        match self.attempt(hops, None).await? {
            Some(session) => Ok(session),
            None => Err(SshError::Handshake {
                address: String::new(),
                detail: "there is nothing to connect to".to_owned(),
            }),
        }
    }

    /// One attempt within the time limit. `scan`: stop at the key of the last host.
    async fn attempt(
        &self,
        hops: &[Target],
        scan: Option<(&str, &Arc<Mutex<Option<HostKey>>>)>,
    ) -> Result<Option<Session>, SshError> {
        let Some(last) = hops.last() else { return Ok(None) };
        let is_busy = self.shared.limiter.available_permits() < self.shared.options.connect_limit;
        let _permit = self.shared.limiter.acquire().await;
        if is_busy {
            tokio::time::sleep(random_below(self.shared.options.connect_jitter)).await;
        }
        let deadline = Deadline::new(last.connect_timeout);
        let mut session: Option<Session> = None;
        for (index, target) in hops.iter().enumerate() {
            let scan = if index + 1 == hops.len() { scan } else { None };
            let work = self.hop(session.take(), target, scan, &deadline);
            let result = deadline.limit(work).await.unwrap_or_else(|| {
                Err(SshError::Timeout {
                    address: target.address(),
                    limit: last.connect_timeout,
                    stage: deadline.stage(),
                })
            });
            match result {
                Ok(next) => session = Some(next),
                Err(error) if index + 1 < hops.len() => {
                    return Err(SshError::Jump {
                        destination: last.destination.clone(),
                        jump: target.destination.clone(),
                        source: Box::new(error),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(session)
    }

    async fn hop(
        &self,
        previous: Option<Session>,
        target: &Target,
        scan: Option<(&str, &Arc<Mutex<Option<HostKey>>>)>,
        deadline: &Deadline,
    ) -> Result<Session, SshError> {
        let verifier = match scan {
            Some((key_type, noted)) => Verifier::note(key_type, Arc::clone(noted)),
            None => self.verifier(target).await?,
        };
        match previous {
            None => {
                let stream = tcp::connect(target, deadline).await?;
                self.log_in(stream, target, verifier, deadline, None).await
            }
            Some(jump) => {
                deadline.set_stage("the connection from the jump host");
                let tunnel = jump.tunnel(&target.host, target.port).await;
                let tunnel = tunnel.map_err(|error| through(&jump, target, error))?;
                self.log_in(tunnel, target, verifier, deadline, Some(jump)).await
            }
        }
    }

    async fn log_in<S>(
        &self,
        stream: S,
        target: &Target,
        verifier: Verifier,
        deadline: &Deadline,
        jump: Option<Session>,
    ) -> Result<Session, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        deadline.set_stage("the key exchange");
        let route = if jump.is_some() { Route::Tunnel } else { Route::Direct };
        let mut connection = handshake(stream, target, verifier, route).await?;
        deadline.set_stage("the authentication");
        authenticate(&mut connection, target, &self.shared.identities, deadline).await?;
        Ok(Session::new(connection, target, jump))
    }

    async fn verifier(&self, target: &Target) -> Result<Verifier, SshError> {
        let known = self.shared.trust.load(&target.known_hosts).await?;
        let check = Check {
            store: Arc::clone(&self.shared.trust),
            files: target.known_hosts.clone(),
            learn_into: target.learn_into.clone(),
            storage: target.storage,
            policy: target.policy,
            principal: target.principal.clone(),
            destination: target.destination.clone(),
        };
        Ok(Verifier::new(check, known, target.name.clone()))
    }
}

fn through(jump: &Session, target: &Target, error: SshError) -> SshError {
    SshError::Jump {
        destination: target.address(),
        jump: jump.description().address.clone(),
        source: Box::new(error),
    }
}

/// A random time below a limit; zero if there is no randomness.
fn random_below(limit: Duration) -> Duration {
    let mut bytes = [0; 4];
    if getrandom::fill(&mut bytes).is_err() {
        return Duration::ZERO;
    }
    limit.mul_f64(f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0))
}

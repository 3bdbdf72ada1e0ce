//! Logging in: which identities are offered in which order, and what became of each.
//!
//! Order as OpenSSH: configured keys that the agent holds, the agent's other keys, configured key
//! files; then passwords. Unlike OpenSSH no `none` request is sent before keys, which saves a round
//! trip, and a password is tried by one method only, so that a wrong one counts once.

use std::sync::Arc;

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::{Algorithm, HashAlg, Signature};
use russh::keys::{Certificate, PrivateKey, PublicKey, signature};
use russh::{MethodKind, MethodSet, Signer};
use tokio::net::UnixStream;

use crate::deadline::Deadline;
use crate::error::{Attempt, AuthenticationFailure, SshError};
use crate::keys::{KeyFile, KeyStore};
use crate::options::Prompter;
use crate::resolve::Target;
use crate::secret::Secret;
use crate::transport::{Connection, host_key, printable};

/// Questions that a server may ask in one `keyboard-interactive` dialogue, and dialogues in a row.
const PROMPT_LIMIT: usize = 8;

type Agent = AgentClient<UnixStream>;

/// What all authentications of a client share.
pub(crate) struct Identities {
    pub(crate) keys: KeyStore,
    pub(crate) prompter: Option<Arc<dyn Prompter>>,
    pub(crate) one_prompt: tokio::sync::Mutex<()>,
}

/// One thing to offer.
enum Candidate {
    Agent { identity: AgentIdentity, label: String },
    File { file: Arc<KeyFile>, public: PublicKey, certificate: Option<Certificate> },
}

struct Login<'a> {
    connection: &'a mut Connection,
    target: &'a Target,
    shared: &'a Identities,
    deadline: &'a Deadline,
    agent: Option<Agent>,
    attempts: Vec<Attempt>,
    /// What the server would go on with; unknown before its first refusal.
    allowed: Option<MethodSet>,
    rsa_hash: Option<Option<HashAlg>>,
}

/// What an attempt led to.
enum Step {
    Done,
    Next,
}

/// Logs in or says everything that was tried.
pub(crate) async fn authenticate(
    connection: &mut Connection,
    target: &Target,
    shared: &Identities,
    deadline: &Deadline,
) -> Result<(), SshError> {
    let mut login = Login {
        connection,
        target,
        shared,
        deadline,
        agent: None,
        attempts: Vec::new(),
        allowed: None,
        rsa_hash: None,
    };
    let candidates = if target.methods.public_key { login.candidates().await } else { Vec::new() };
    for candidate in candidates {
        if !login.allows(MethodKind::PublicKey) {
            break;
        }
        if let Step::Done = login.offer(candidate).await? {
            return Ok(());
        }
    }
    login.passwords().await
}

impl Login<'_> {
    /// Whether our configuration and, as far as it has said, the server allow a method.
    fn allows(&self, method: MethodKind) -> bool {
        let ours = match method {
            MethodKind::PublicKey => self.target.methods.public_key,
            MethodKind::Password => self.target.methods.password,
            MethodKind::KeyboardInteractive => self.target.methods.keyboard_interactive,
            _ => false,
        };
        ours && self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&method))
    }

    fn note(&mut self, method: &'static str, identity: String, outcome: impl Into<String>) {
        self.attempts.push(Attempt { method, identity, outcome: outcome.into() });
    }

    /// Identities in the order in which they are offered. Those that can't be are noted.
    async fn candidates(&mut self) -> Vec<Candidate> {
        let mut files = Vec::new();
        for source in &self.target.identities {
            let file = self.shared.keys.load(&source.path).await;
            files.push((file, source.is_configured));
        }
        let agent_identities = self.agent_identities().await;
        let mut candidates = Vec::new();
        let mut used = vec![false; agent_identities.len()];
        for (file, _) in &files {
            for (identity, used) in agent_identities.iter().zip(&mut used) {
                let is_same = file
                    .public
                    .as_ref()
                    .is_some_and(|public| public.key_data() == identity.public_key().key_data());
                if is_same && !*used {
                    *used = true;
                    candidates.push(agent_candidate(identity));
                }
            }
        }
        if !self.target.identities_only {
            let others = agent_identities.iter().zip(&used).filter(|(_, used)| !**used);
            candidates.extend(others.map(|(identity, _)| agent_candidate(identity)));
        }
        for (file, is_configured) in files {
            let in_agent = |public: &PublicKey| {
                agent_identities.iter().any(|identity| {
                    matches!(identity, AgentIdentity::PublicKey { .. })
                        && identity.public_key().key_data() == public.key_data()
                })
            };
            self.add_file(file, is_configured, in_agent, &mut candidates).await;
        }
        candidates
    }

    async fn add_file(
        &mut self,
        file: Arc<KeyFile>,
        is_configured: bool,
        in_agent: impl Fn(&PublicKey) -> bool,
        candidates: &mut Vec<Candidate>,
    ) {
        let label = file.path.display().to_string();
        if file.public.as_ref().is_some_and(&in_agent) {
            return;
        }
        if let Some(problem) = file.problem() {
            if is_configured {
                let problem = problem.to_owned();
                self.note("publickey", label, problem);
            }
            return;
        }
        let public = match &file.public {
            Some(public) => public.clone(),
            // An old format whose public half is encrypted as well.
            None => match self.unlock(&file).await {
                Ok(key) => key.public_key().clone(),
                Err(problem) => return self.note("publickey", label, problem),
            },
        };
        let mut certificates = Vec::from_iter(file.certificate.clone());
        for path in &self.target.certificates {
            let text = tokio::fs::read_to_string(path).await.unwrap_or_default();
            certificates.extend(Certificate::from_openssh(text.trim()).ok());
        }
        certificates.retain(|certificate| certificate.public_key() == public.key_data());
        for certificate in certificates {
            let (file, public) = (Arc::clone(&file), public.clone());
            candidates.push(Candidate::File { file, public, certificate: Some(certificate) });
        }
        candidates.push(Candidate::File { file, public, certificate: None });
    }

    async fn unlock(&self, file: &KeyFile) -> Result<Arc<PrivateKey>, String> {
        let _pause = self.deadline.pause();
        file.unlock(self.shared.prompter.as_ref(), &self.shared.one_prompt).await
    }

    async fn agent_identities(&mut self) -> Vec<AgentIdentity> {
        let Some(socket) = &self.target.agent_socket else { return Vec::new() };
        let label = "the agent".to_owned();
        let mut agent = match AgentClient::connect_uds(socket).await {
            Ok(agent) => agent,
            Err(error) => {
                self.note("publickey", label, format!("no connection: {error}").to_lowercase());
                return Vec::new();
            }
        };
        if let Some(binding) = self.connection.handle.agent_session_binding()
            // Old agents don't know the extension; then there are no such constraints either.
            && agent.bind_session(binding, false).await.is_err()
        {
            match AgentClient::connect_uds(socket).await {
                Ok(again) => agent = again,
                Err(_) => return Vec::new(),
            }
        }
        match agent.request_identities().await {
            Ok(identities) => {
                self.agent = Some(agent);
                identities
            }
            Err(error) => {
                self.note("publickey", label, format!("no answer: {error}").to_lowercase());
                Vec::new()
            }
        }
    }

    /// The hash for RSA signatures; SHA-1 is never used.
    async fn hash_for(&mut self, algorithm: &Algorithm) -> Result<Option<HashAlg>, String> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(None);
        }
        let hash = match self.rsa_hash {
            Some(hash) => hash,
            None => match self.connection.handle.best_supported_rsa_hash().await {
                Ok(Some(hash)) => hash,
                // The server doesn't say: everything since OpenSSH 7.2 knows this one.
                Ok(None) => Some(HashAlg::Sha512),
                Err(_) => None,
            },
        };
        self.rsa_hash = Some(hash);
        match hash {
            Some(hash) => Ok(Some(hash)),
            None => Err("the server takes RSA only with SHA-1".to_owned()),
        }
    }

    async fn offer(&mut self, candidate: Candidate) -> Result<Step, SshError> {
        let (label, public, certificate) = match &candidate {
            Candidate::Agent { identity, label } => {
                let certificate = match identity {
                    AgentIdentity::Certificate { certificate, .. } => Some(certificate.clone()),
                    AgentIdentity::PublicKey { .. } => None,
                };
                (label.clone(), identity.public_key().into_owned(), certificate)
            }
            Candidate::File { file, public, certificate } => {
                let suffix = if certificate.is_some() { " (certificate)" } else { "" };
                let label = format!("{}{suffix}", file.path.display());
                (label, public.clone(), certificate.clone())
            }
        };
        let hash = match self.hash_for(&public.algorithm()).await {
            Ok(hash) => hash,
            Err(problem) => {
                self.note("publickey", label, problem);
                return Ok(Step::Next);
            }
        };
        let name = signature_name(&public, certificate.as_ref(), hash);
        if !self.target.algorithms.public_keys.allows(&name) {
            self.note("publickey", label, format!("the SSH configuration forbids {name}"));
            return Ok(Step::Next);
        }
        let result = match candidate {
            Candidate::Agent { .. } => self.offer_from_agent(public, certificate, hash).await,
            Candidate::File { file, .. } => {
                self.offer_from_file(&file, public, certificate, hash).await
            }
        };
        match result {
            Ok(result) => self.judge("publickey", label, result),
            Err(problem) if self.connection.handle.is_closed() => {
                self.note("publickey", label, problem);
                Err(self.closed())
            }
            Err(problem) => {
                self.note("publickey", label, problem);
                Ok(Step::Next)
            }
        }
    }

    async fn offer_from_agent(
        &mut self,
        public: PublicKey,
        certificate: Option<Certificate>,
        hash: Option<HashAlg>,
    ) -> Result<AuthResult, String> {
        let Some(agent) = &mut self.agent else { return Err("the agent is gone".to_owned()) };
        let (handle, user) = (&mut self.connection.handle, &self.target.user);
        // The agent may ask its user for a confirmation.
        let _pause = self.deadline.pause_limited();
        let result = match certificate {
            Some(certificate) => {
                handle.authenticate_certificate_with(user, certificate, hash, agent).await
            }
            None => handle.authenticate_publickey_with(user, public, hash, agent).await,
        };
        result.map_err(|error| format!("the agent did not sign: {error}").to_lowercase())
    }

    async fn offer_from_file(
        &mut self,
        file: &KeyFile,
        public: PublicKey,
        certificate: Option<Certificate>,
        hash: Option<HashAlg>,
    ) -> Result<AuthResult, String> {
        let mut signer = FileSigner { file, shared: self.shared, deadline: self.deadline };
        let (handle, user) = (&mut self.connection.handle, &self.target.user);
        let result = match certificate {
            Some(certificate) => {
                handle.authenticate_certificate_with(user, certificate, hash, &mut signer).await
            }
            None => handle.authenticate_publickey_with(user, public, hash, &mut signer).await,
        };
        result.map_err(|SignError(problem)| problem)
    }

    fn judge(
        &mut self,
        method: &'static str,
        identity: String,
        result: AuthResult,
    ) -> Result<Step, SshError> {
        match result {
            AuthResult::Success => Ok(Step::Done),
            AuthResult::Failure { remaining_methods, partial_success } => {
                let outcome = if partial_success { "accepted as a first step" } else { "refused" };
                self.note(method, identity, outcome);
                if remaining_methods.is_empty() || self.connection.handle.is_closed() {
                    return Err(self.closed());
                }
                self.allowed = Some(remaining_methods);
                Ok(Step::Next)
            }
        }
    }

    async fn passwords(mut self) -> Result<(), SshError> {
        let may_ask = self.target.password.is_some() || self.shared.prompter.is_some();
        if self.allowed.is_none() && may_ask {
            // The password goes to one method only, so the server says first which it has.
            let none = self.connection.handle.authenticate_none(&self.target.user).await;
            match none.map_err(|_| self.closed())? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
                    return Err(self.closed());
                }
                AuthResult::Failure { remaining_methods, .. } => {
                    self.allowed = Some(remaining_methods);
                }
            }
        }
        let method_left =
            self.allows(MethodKind::Password) || self.allows(MethodKind::KeyboardInteractive);
        let password = match (&self.target.password, method_left) {
            (Some(password), true) => Some(password.clone()),
            (None, true) => self.ask_password().await,
            (_, false) => None,
        };
        let Some(password) = password else { return Err(self.refused(None)) };
        let step = if self.allows(MethodKind::Password) {
            let (handle, user) = (&mut self.connection.handle, &self.target.user);
            let result = handle.authenticate_password(user, password.expose()).await;
            let result = result.map_err(|_| self.closed())?;
            self.judge("password", String::new(), result)?
        } else {
            self.keyboard_interactive(&password).await?
        };
        match step {
            Step::Done => Ok(()),
            Step::Next => Err(self.refused(None)),
        }
    }

    async fn ask_password(&self) -> Option<Secret> {
        let asker = Arc::clone(self.shared.prompter.as_ref()?);
        let (user, host) = (self.target.user.clone(), self.target.destination.clone());
        let _pause = self.deadline.pause();
        let _turn = self.shared.one_prompt.lock().await;
        tokio::task::spawn_blocking(move || asker.password(&user, &host)).await.ok().flatten()
    }

    /// Answers the one hidden question that a password dialogue has. Anything else (a one-time
    /// code, a new password) cannot be answered and must not be answered with the password.
    async fn keyboard_interactive(&mut self, password: &Secret) -> Result<Step, SshError> {
        const METHOD: &str = "keyboard-interactive";
        let (handle, user) = (&mut self.connection.handle, &self.target.user);
        let mut reply = handle.authenticate_keyboard_interactive_start(user, None).await;
        let mut answered = false;
        for _ in 0..PROMPT_LIMIT {
            let Ok(current) = reply else { return Err(self.closed()) };
            let responses = match current {
                KeyboardInteractiveAuthResponse::Success => return Ok(Step::Done),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    let result = AuthResult::Failure { remaining_methods, partial_success };
                    return self.judge(METHOD, String::new(), result);
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                    match prompts.as_slice() {
                        [] => Vec::new(),
                        [prompt] if !prompt.echo && !answered => {
                            answered = true;
                            vec![password.expose().to_owned()]
                        }
                        other => {
                            let asked = other.first().map_or("", |prompt| prompt.prompt.as_str());
                            let problem = format!("the server asks `{}`", printable(asked));
                            self.note(METHOD, String::new(), problem);
                            return Err(self.refused(None));
                        }
                    }
                }
            };
            let handle = &mut self.connection.handle;
            reply = handle.authenticate_keyboard_interactive_respond(responses).await;
        }
        self.note(METHOD, String::new(), "too many questions");
        Err(self.refused(None))
    }

    fn refused(&self, server_message: Option<String>) -> SshError {
        let methods = self.allowed.iter().flat_map(|allowed| allowed.iter());
        SshError::Authentication(Box::new(AuthenticationFailure {
            address: self.target.address(),
            user: self.target.user.clone(),
            attempts: self.attempts.clone(),
            allowed: methods.map(|method| <&str>::from(method).to_owned()).collect(),
            server_message,
        }))
    }

    /// The server closed the connection: because of what we tried, or for no reason of ours.
    fn closed(&self) -> SshError {
        let reason = self.connection.link.ended().unwrap_or_default();
        let was_judged = self.attempts.iter().any(|attempt| attempt.outcome == "refused");
        if was_judged || reason.contains("uthentication") {
            return self.refused(Some(reason).filter(|reason| !reason.is_empty()));
        }
        SshError::Handshake {
            address: self.target.address(),
            detail: if reason.is_empty() {
                "the host closed the connection".to_owned()
            } else {
                reason
            },
        }
    }
}

fn agent_candidate(identity: &AgentIdentity) -> Candidate {
    let fingerprint =
        host_key(&identity.public_key()).map(|key| key.fingerprint()).unwrap_or_default();
    let comment = printable(identity.comment());
    let label = if comment.is_empty() { fingerprint } else { comment };
    let suffix = match identity {
        AgentIdentity::Certificate { .. } => " (certificate)",
        AgentIdentity::PublicKey { .. } => "",
    };
    Candidate::Agent { identity: identity.clone(), label: format!("agent key {label}{suffix}") }
}

/// The algorithm's name as `PubkeyAcceptedAlgorithms` knows it.
fn signature_name(
    public: &PublicKey,
    certificate: Option<&Certificate>,
    hash: Option<HashAlg>,
) -> String {
    let algorithm = match public.algorithm() {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash },
        other => other,
    };
    match certificate {
        Some(_) => algorithm.to_certificate_type(),
        None => algorithm.as_str().to_owned(),
    }
}

/// Signs with a key file, decrypting it only now that the server has accepted the key.
struct FileSigner<'a> {
    file: &'a KeyFile,
    shared: &'a Identities,
    deadline: &'a Deadline,
}

#[derive(Debug)]
struct SignError(String);

impl From<russh::SendError> for SignError {
    fn from(_: russh::SendError) -> Self {
        Self("the host closed the connection".to_owned())
    }
}

impl Signer for FileSigner<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _identity: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let key = {
            let _pause = self.deadline.pause();
            let prompter = self.shared.prompter.as_ref();
            self.file.unlock(prompter, &self.shared.one_prompt).await.map_err(SignError)?
        };
        // An RSA signature takes milliseconds.
        let job = move || {
            let signature = sign(&key, hash, &to_sign).map_err(|error| error.to_string())?;
            let mut blob = Vec::new();
            signature.encode(&mut blob).map_err(|error| error.to_string())?;
            blob.encode(&mut to_sign).map_err(|error| error.to_string())?;
            Ok(to_sign)
        };
        match tokio::task::spawn_blocking(job).await {
            Ok(signed) => signed.map_err(SignError),
            Err(error) => Err(SignError(error.to_string())),
        }
    }
}

fn sign(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    data: &[u8],
) -> Result<Signature, signature::Error> {
    use russh::keys::ssh_key::private::KeypairData;
    match key.key_data() {
        KeypairData::Rsa(pair) => signature::Signer::try_sign(&(pair, hash), data),
        other => signature::Signer::try_sign(other, data),
    }
}

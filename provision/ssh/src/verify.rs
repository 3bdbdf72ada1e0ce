//! Applies the decision about a host's key during the handshake, and learns new keys.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use russh::keys::{Certificate, PublicKey, PublicKeyOrCertificate};

use crate::error::{SshError, UnknownHostKey};
use crate::host_key::HostKey;
use crate::known_hosts::{HostName, KnownHosts, NameStorage, Verdict, check_host_certificate};
use crate::options::HostKeyPolicy;
use crate::transport::host_key;
use crate::trust::TrustStore;

/// Checks the key of one host.
pub(crate) struct Verifier {
    mode: Mode,
    known: Arc<KnownHosts>,
    name: HostName,
}

enum Mode {
    /// A regular connection.
    Check(Box<Check>),
    /// `scan`: notes the key and goes no further.
    Note { only: String, noted: Arc<Mutex<Option<HostKey>>> },
}

/// What a regular check needs.
pub(crate) struct Check {
    pub(crate) store: Arc<TrustStore>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) learn_into: Option<PathBuf>,
    pub(crate) storage: NameStorage,
    pub(crate) policy: HostKeyPolicy,
    /// The name that a certificate must be for.
    pub(crate) principal: String,
    /// What the user calls the host.
    pub(crate) destination: String,
}

impl Verifier {
    pub(crate) fn new(check: Check, known: Arc<KnownHosts>, name: HostName) -> Self {
        Self { mode: Mode::Check(Box::new(check)), known, name }
    }

    /// A verifier that asks for one type of key, keeps what it sees and refuses to go on.
    pub(crate) fn note(only: &str, noted: Arc<Mutex<Option<HostKey>>>) -> Self {
        Self {
            mode: Mode::Note { only: only.to_owned(), noted },
            known: Arc::new(KnownHosts::default()),
            name: HostName::alias(""),
        }
    }

    pub(crate) fn known_types(&self) -> Vec<String> {
        self.known.keys(&self.name).iter().map(|known| known.key.algorithm().to_owned()).collect()
    }

    pub(crate) fn has_authorities(&self) -> bool {
        !self.known.authorities(&self.name).is_empty()
    }

    pub(crate) fn only_type(&self) -> Option<&str> {
        match &self.mode {
            Mode::Note { only, .. } => Some(only),
            Mode::Check(_) => None,
        }
    }

    /// Returns the key that was accepted.
    pub(crate) async fn verify(&self, shown: &PublicKeyOrCertificate) -> Result<HostKey, SshError> {
        let key = host_key(&shown.public_key()).ok_or_else(|| SshError::Negotiation {
            address: self.name.to_string(),
            detail: "its host key cannot be encoded".to_owned(),
        })?;
        match &self.mode {
            Mode::Note { noted, .. } => {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
                Err(SshError::Handshake {
                    address: self.name.to_string(),
                    detail: "only its key was wanted".to_owned(),
                })
            }
            Mode::Check(check) => {
                let certificate_problem = match shown.certificate() {
                    Some(certificate) => match self.check_certificate(check, certificate, &key)? {
                        Ok(()) => return Ok(key),
                        Err(problem) => Some(problem),
                    },
                    None => None,
                };
                self.check_key(check, key, certificate_problem).await
            }
        }
    }

    /// The outer error is final; the inner one says why the plain key decides instead, as in
    /// OpenSSH.
    fn check_certificate(
        &self,
        check: &Check,
        certificate: &Certificate,
        key: &HostKey,
    ) -> Result<Result<(), String>, SshError> {
        let authority = PublicKey::new(certificate.signature_key().clone(), "");
        let Some(authority) = host_key(&authority) else {
            return Ok(Err("its authority's key cannot be encoded".to_owned()));
        };
        for signer in [key, &authority] {
            if let Some(location) = self.known.revoked(&self.name, signer) {
                return Err(SshError::HostKeyRevoked {
                    host: self.name.to_string(),
                    shown: signer.clone(),
                    location,
                });
            }
        }
        let trusted = self.known.authorities(&self.name);
        if !trusted.iter().any(|trusted| trusted.key == authority) {
            return Ok(Err(format!(
                "its authority {} is not trusted for this host",
                authority.fingerprint()
            )));
        }
        Ok(check_host_certificate(certificate, &check.principal, SystemTime::now()))
    }

    async fn check_key(
        &self,
        check: &Check,
        key: HostKey,
        certificate_problem: Option<String>,
    ) -> Result<HostKey, SshError> {
        let may_learn = certificate_problem.is_none();
        let mut verdict = self.known.verdict(&self.name, &key);
        if may_learn
            && check.policy == HostKeyPolicy::AcceptNew
            && matches!(&verdict, Verdict::Unknown { other_types } if other_types.is_empty())
        {
            // Another connection may have learnt a key of this host in the meantime.
            verdict = check.learn(&self.name, &key).await?;
        }
        match verdict {
            Verdict::Known(_) => Ok(key),
            Verdict::Revoked(location) => {
                Err(SshError::HostKeyRevoked { host: self.name.to_string(), shown: key, location })
            }
            _ if check.policy == HostKeyPolicy::Off => Ok(key),
            Verdict::Changed { known } => Err(SshError::HostKeyChanged {
                host: self.name.to_string(),
                shown: key,
                known: Box::new(known),
            }),
            Verdict::Unknown { other_types } => {
                Err(SshError::HostKeyUnknown(Box::new(UnknownHostKey {
                    host: self.name.to_string(),
                    destination: check.destination.clone(),
                    key,
                    other_types,
                    certificate_problem,
                })))
            }
        }
    }
}

impl Check {
    async fn learn(&self, name: &HostName, key: &HostKey) -> Result<Verdict, SshError> {
        let Some(path) = &self.learn_into else {
            return Ok(Verdict::Unknown { other_types: Vec::new() });
        };
        self.store.learn(&self.files, path, name, key, self.storage).await
    }
}

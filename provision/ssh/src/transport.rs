//! The only place where russh's client is driven: algorithms, host key check, handshake.
//!
//! Round trips until we are logged in: TCP, version and algorithms, key exchange, service, key
//! query, signature: six; one more opens a channel, and the command and its first input follow
//! without waiting.

use std::borrow::Cow;
use std::sync::Arc;

use russh::client::{self, DisconnectReason};
use russh::keys::ssh_key::{Algorithm, EcdsaCurve, HashAlg};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Names, Preferred, SshId, cipher, compression, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::SshError;
use crate::host_key::HostKey;
use crate::link::{Link, Negotiated};
use crate::resolve::{Algorithms, Target};
use crate::verify::Verifier;

/// Data that the host may send ahead on one channel. 2 MiB fill 40 ms × 50 MB/s.
const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Messages that russh holds per channel before it stops reading; each up to 32 KiB.
const CHANNEL_MESSAGES: usize = 32;

/// Curve25519 first: the cheapest for both sides (sntrup761, OpenSSH's choice, costs 58 ms of
/// processor time per connection in our lab). The hybrid and the NIST curves follow.
const KEY_EXCHANGES: &[kex::Name] = &[
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::MLKEM768X25519_SHA256,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA256,
    kex::DH_GEX_SHA256,
];

/// These must be offered with every list.
const KEY_EXCHANGE_EXTENSIONS: &[kex::Name] =
    &[kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// AES-GCM has hardware support everywhere and is not subject to Terrapin; ChaCha20 is last, and
/// accepted only with strict key exchange. CBC isn't offered.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
    cipher::CHACHA20_POLY1305,
];

const MACS: &[mac::Name] =
    &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];

/// What russh's handler may fail with: its own errors, or our refusal, unchanged.
#[derive(Debug)]
pub(crate) enum LinkError {
    Russh(russh::Error),
    Refused(SshError),
}

impl From<russh::Error> for LinkError {
    fn from(error: russh::Error) -> Self {
        Self::Russh(error)
    }
}

/// An encrypted connection to a verified host, not yet logged in.
pub(crate) struct Connection {
    pub(crate) handle: client::Handle<Gate>,
    pub(crate) link: Arc<Link>,
}

/// What is under the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Direct,
    Tunnel,
}

/// russh's callbacks.
pub(crate) struct Gate {
    verifier: Verifier,
    route: Route,
    link: Arc<Link>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.link.end(|| "the connection was closed".to_owned());
    }
}

impl client::Handler for Gate {
    type Error = LinkError;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, LinkError> {
        let key = self.verifier.verify(shown).await.map_err(LinkError::Refused)?;
        self.link.set_host_key(key);
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        names: &Names,
        _session: &mut client::Session,
    ) -> Result<(), LinkError> {
        let strict = names.strict_kex();
        if names.cipher == cipher::CHACHA20_POLY1305 && !strict {
            return Err(LinkError::Refused(SshError::Negotiation {
                address: self.link.address().to_owned(),
                detail: "it offers only ChaCha20-Poly1305 without strict key exchange, which is \
                         open to the Terrapin attack (CVE-2023-48795)"
                    .to_owned(),
            }));
        }
        self.link.set_negotiated(Negotiated {
            key_exchange: names.kex.as_ref().to_owned(),
            cipher: names.cipher.as_ref().to_owned(),
            strict,
        });
        Ok(())
    }

    /// The first thing that OpenSSH's server sends after the login. Whatever it sends next waits
    /// until this is acknowledged (see [`crate::tcp`]). Behind a jump host only that host's kernel
    /// can acknowledge it, which it does at once if it has something to send: a command then
    /// starts in 12 ms instead of 57 ms.
    async fn openssh_ext_host_keys_announced(
        &mut self,
        _keys: Vec<PublicKey>,
        session: &mut client::Session,
    ) -> Result<(), LinkError> {
        match self.route {
            Route::Direct => Ok(()),
            Route::Tunnel => session.send_keepalive(false).map_err(LinkError::Russh),
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<LinkError>) -> Result<(), LinkError> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.link.end(|| format!("the host disconnected: {}", printable(&info.message)));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                self.link.end(|| describe(&error));
                Err(error)
            }
        }
    }
}

/// Text from a host is never shown raw: control characters could drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    /// Longer messages say nothing more.
    const LIMIT_CHARACTERS: usize = 300;
    text.trim()
        .chars()
        .take(LIMIT_CHARACTERS)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

fn describe(error: &LinkError) -> String {
    match error {
        LinkError::Refused(error) => error.to_string(),
        LinkError::Russh(error) => match error {
            russh::Error::HUP | russh::Error::Disconnect => {
                "the host closed the connection".to_owned()
            }
            russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                "the host closed the connection".to_owned()
            }
            russh::Error::IO(error) => error.to_string().to_lowercase(),
            russh::Error::KeepaliveTimeout => "the host does not answer keep-alives".to_owned(),
            other => printable(&other.to_string()).to_lowercase(),
        },
    }
}

/// Key exchange and host key check over a stream.
pub(crate) async fn handshake<S>(
    stream: S,
    target: &Target,
    verifier: Verifier,
    route: Route,
) -> Result<Connection, SshError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let link = Arc::new(Link::new(target.address()));
    let config = configuration(target, &verifier)?;
    let gate = Gate { verifier, route, link: Arc::clone(&link) };
    match client::connect_stream(Arc::new(config), stream, gate).await {
        Ok(handle) => Ok(Connection { handle, link }),
        Err(error) => Err(handshake_error(error, &link)),
    }
}

fn handshake_error(error: LinkError, link: &Link) -> SshError {
    let address = link.address().to_owned();
    match error {
        LinkError::Refused(error) => error,
        LinkError::Russh(russh::Error::NoCommonAlgo { kind, ours, theirs }) => {
            SshError::Negotiation {
                address,
                detail: format!(
                    "no common {} algorithm: it offers {}, we offer {}",
                    format!("{kind:?}").to_lowercase(),
                    printable(&theirs.join(", ")),
                    ours.join(", ")
                ),
            }
        }
        LinkError::Russh(russh::Error::Version) => {
            SshError::Negotiation { address, detail: "it does not speak SSH 2".to_owned() }
        }
        LinkError::Russh(russh::Error::WrongServerSig) => SshError::Negotiation {
            address,
            detail: "it could not prove that it owns its host key".to_owned(),
        },
        error => {
            let detail = match link.ended() {
                Some(reason) if matches!(error, LinkError::Russh(russh::Error::Disconnect)) => {
                    reason
                }
                _ => describe(&error),
            };
            SshError::Handshake { address, detail }
        }
    }
}

fn configuration(target: &Target, verifier: &Verifier) -> Result<client::Config, SshError> {
    Ok(client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-corral_",
            env!("CARGO_PKG_VERSION")
        ))),
        window_size: WINDOW_BYTES,
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred: preferred(target, verifier)?,
        keepalive_interval: (!target.keepalive_interval.is_zero())
            .then_some(target.keepalive_interval),
        keepalive_max: target.keepalive_max,
        nodelay: true,
        ..client::Config::default()
    })
}

fn preferred(target: &Target, verifier: &Verifier) -> Result<Preferred, SshError> {
    let limits = &target.algorithms;
    let restricted = |what: &str| SshError::Negotiation {
        address: target.address(),
        detail: format!("the SSH configuration leaves no {what} that we support"),
    };
    let mut key_exchanges = allowed(KEY_EXCHANGES, &limits.key_exchanges);
    let ciphers = allowed(CIPHERS, &limits.ciphers);
    let macs = allowed(MACS, &limits.macs);
    let (key, certificates) = host_key_algorithms(limits, verifier);
    for (is_empty, what) in [
        (key_exchanges.is_empty(), "key exchange"),
        (ciphers.is_empty(), "cipher"),
        (macs.is_empty(), "MAC"),
        (key.is_empty(), "host key algorithm"),
    ] {
        if is_empty {
            return Err(restricted(what));
        }
    }
    key_exchanges.extend_from_slice(KEY_EXCHANGE_EXTENSIONS);
    Ok(Preferred {
        kex: key_exchanges.into(),
        key: key.into(),
        host_key_certificates: certificates.into(),
        cipher: ciphers.into(),
        mac: macs.into(),
        compression: vec![compression::NONE].into(),
    })
}

fn allowed<T: AsRef<str> + Copy>(ours: &[T], limits: &Algorithms) -> Vec<T> {
    ours.iter().copied().filter(|name| limits.allows(name.as_ref())).collect()
}

/// Key types in the order of preference, the known ones first, as `order_hostkeyalgs` of OpenSSH:
/// the host then shows the key that we can check. Certificates only where an authority is known.
fn host_key_algorithms(
    limits: &crate::resolve::AlgorithmLimits,
    verifier: &Verifier,
) -> (Vec<Algorithm>, Vec<Algorithm>) {
    let all = match verifier.only_type() {
        Some(only) => all_host_key_algorithms()
            .into_iter()
            .filter(|algorithm| key_type(algorithm) == only)
            .collect(),
        None => all_host_key_algorithms(),
    };
    let known = verifier.known_types();
    let allowed = all.iter().filter(|algorithm| limits.host_keys.allows(algorithm.as_str()));
    let (mut first, last): (Vec<Algorithm>, Vec<Algorithm>) = allowed
        .cloned()
        .partition(|algorithm| known.iter().any(|known| *known == key_type(algorithm)));
    first.extend(last);
    let certificates = if verifier.has_authorities() {
        all.into_iter()
            .filter(|algorithm| limits.host_keys.allows(&algorithm.to_certificate_type()))
            .collect()
    } else {
        Vec::new()
    };
    (first, certificates)
}

fn all_host_key_algorithms() -> Vec<Algorithm> {
    vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}

/// The key type of a signature algorithm: `rsa-sha2-512` signs with an `ssh-rsa` key.
fn key_type(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None }.as_str().to_owned(),
        other => other.as_str().to_owned(),
    }
}

/// Our own form of a public key.
pub(crate) fn host_key(key: &PublicKey) -> Option<HostKey> {
    key.to_bytes().ok().and_then(HostKey::from_blob)
}

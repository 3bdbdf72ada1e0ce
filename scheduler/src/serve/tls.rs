//! `[io]` The API for other machines: TLS (RFC 8446, RFC 5246) and a token with each request.
//! Certificates and tokens are read again when their files change, so that neither a renewed
//! certificate nor a token that is taken away waits for a restart.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum::{Extension, Router};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;

use super::users::Users;
use super::{Failure, chain};
use crate::exit::Exit;
use crate::{paint, tokens};

/// Connections that agree on keys at the same time; more wait with their SYNs.
const HANDSHAKES_MOST: usize = 256;

/// Time to agree on keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks at files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// After a failure to accept (no more descriptors, say).
const PAUSE: Duration = Duration::from_millis(200);

/// Options of `scheduler serve`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where the API listens for other machines, with TLS and tokens.
    #[arg(long, value_name = "ADDRESS:PORT", requires_all = ["tls_cert", "tls_key", "tokens"])]
    pub listen_tls: Option<SocketAddr>,
    /// Its certificate, with those that vouch for it, in PEM.
    #[arg(long, value_name = "FILE", requires = "listen_tls")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "listen_tls")]
    pub tls_key: Option<PathBuf>,
    /// Who may use it: a file that `scheduler token new` writes.
    #[arg(long, value_name = "FILE", requires = "listen_tls")]
    pub tokens: Option<PathBuf>,
}

/// Everybody who has a token now.
pub type Known = Arc<RwLock<Arc<Users>>>;

/// Marks requests of other machines: who may do what.
#[derive(Clone)]
pub struct Elsewhere {
    pub users: Known,
    /// The daemon's own token.
    pub token: Arc<str>,
}

/// The way in for other machines.
pub struct Door {
    users: Known,
    pub address: SocketAddr,
    streams: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

/// Opens the way in, if it is wanted.
pub async fn open(options: &Options) -> Result<Option<Door>, Failure> {
    let Options {
        listen_tls: Some(address),
        tls_cert: Some(certificate),
        tls_key: Some(key),
        tokens,
    } = options
    else {
        return Ok(None);
    };
    // The arguments need it.
    let Some(tokens) = tokens else { return Ok(None) };
    let users = tokens::users(tokens)
        .map_err(|exit| Failure { exit, ..Failure::new("nobody could use the API") })?;
    let provider = Arc::new(ring::default_provider());
    let pair = pair(certificate, key, &provider)
        .map_err(|message| Failure { exit: Exit::InvalidInput, ..Failure::new(message) })?;
    let shown = Arc::new(Shown(RwLock::new(Arc::new(pair))));
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(chain(&error)))?;
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Shown>::clone(&shown);
    let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = super::listen(*address).await?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    let (sender, streams) = mpsc::channel(HANDSHAKES_MOST);
    let users: Known = Arc::new(RwLock::new(Arc::new(users)));
    let watched = Watched {
        certificate: certificate.clone(),
        key: key.clone(),
        tokens: tokens.clone(),
        provider,
        shown,
        users: Arc::clone(&users),
    };
    tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), sender));
    tokio::spawn(watched.watch());
    Ok(Some(Door { users, address, streams }))
}

/// Answers requests of other machines, if there is a way in for them. Schedulers that share a Consul
/// share a token, too: it is good for everything here, so that their clients can be sent to the leader.
pub async fn serve(door: Option<Door>, router: Router, token: Arc<str>) -> io::Result<()> {
    let Some(door) = door else { return std::future::pending().await };
    let elsewhere = Elsewhere { users: Arc::clone(&door.users), token };
    axum::serve(door, router.layer(Extension(elsewhere))).await
}

/// Takes connections; each agrees on keys by itself, so that a slow one holds up nobody.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let permits = Arc::new(Semaphore::new(HANDSHAKES_MOST));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            let agreed = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = agreed {
                // Nobody takes it any more when the daemon ends.
                let _ = sender.send((stream, from)).await;
            }
            drop(permit);
        });
    }
}

impl axum::serve::Listener for Door {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some(accepted) => accepted,
            // Whoever accepts has ended: so will the daemon.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// The certificate that is shown.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A certificate and its key; why not, otherwise.
fn pair(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let named = |path: &Path, what: &str| format!("{}: {what}", path.display());
    let certificates: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let certificates =
        certificates.map_err(|error| named(certificate, &format!("no certificate: {error}")))?;
    if certificates.is_empty() {
        return Err(named(certificate, "there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| named(key, &format!("no private key: {error}")))?;
    CertifiedKey::from_der(certificates, private, provider)
        .map_err(|error| named(key, &format!("it doesn't go with the certificate: {error}")))
}

/// Files that may change.
struct Watched {
    certificate: PathBuf,
    key: PathBuf,
    tokens: PathBuf,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    users: Known,
}

impl Watched {
    async fn watch(self) {
        let mut pair_then = (changed(&self.certificate), changed(&self.key));
        let mut tokens_then = changed(&self.tokens);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let pair_now = (changed(&self.certificate), changed(&self.key));
            if pair_now != pair_then {
                // One of them may not have been replaced yet: then the other look comes soon.
                match pair(&self.certificate, &self.key, &self.provider) {
                    Ok(pair) => {
                        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) =
                            Arc::new(pair);
                        tell!("{}: the new certificate is shown now", self.certificate.display());
                    }
                    Err(why) => paint::warning(&format!("{why}; the old one is still shown")),
                }
                pair_then = pair_now;
            }
            let tokens_now = changed(&self.tokens);
            if tokens_now != tokens_then {
                match tokens::users(&self.tokens) {
                    Ok(users) => {
                        *self.users.write().unwrap_or_else(PoisonError::into_inner) =
                            Arc::new(users);
                        tell!("{}: read again", self.tokens.display());
                    }
                    Err(_) => paint::warning("the tokens from before are still good"),
                }
                tokens_then = tokens_now;
            }
        }
    }
}

/// When a file was written, and as which one.
fn changed(path: &Path) -> Option<(SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.ino()))
}

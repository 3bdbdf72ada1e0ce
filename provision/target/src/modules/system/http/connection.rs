//! Connections: TCP or a socket of this host, perhaps through a proxy, perhaps encrypted.
//!
//! Encryption is rustls as ureq wraps it; ureq's own client isn't used, since it hides headers,
//! methods and sockets that modules need.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::tls::{Certificate, ClientCert, PrivateKey, TlsConfig};
use ureq::unversioned::resolver::{ArrayVec, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
    TransportAdapter, time,
};

use super::client_key::{self, Wrapping};
use super::message;
use super::resolve;
use super::url::Url;

/// Bytes of each buffer between TLS and the socket.
const BUFFER_BYTES: usize = 64 << 10;

/// How to connect.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionSettings {
    /// Limit of connecting and of each read and write.
    pub timeout: Duration,
    /// Socket of this host to connect to instead.
    pub unix_socket: Option<PathBuf>,
    /// Don't check certificates.
    pub trust_anybody: bool,
    /// Trusted certificates instead of the host's.
    pub ca_path: Option<PathBuf>,
    /// Certificate of the client, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// An open connection.
pub(super) type Connection = BufReader<Box<dyn Duplex>>;

/// Both directions.
pub(super) trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// A socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn try_clone(&self) -> io::Result<Socket> {
        Ok(match self {
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone()?),
            Socket::Unix(stream) => Socket::Unix(stream.try_clone()?),
        })
    }

    /// Ends all that is under way on it, in whatever thread.
    pub fn shut_down(&self) {
        let _ = match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        };
        result.map_err(timed_out)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        };
        result.map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The system reports a timeout as "would block".
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return io::Error::new(io::ErrorKind::TimedOut, "The read operation timed out");
    }
    error
}

/// Connects to the host of an address, or to a proxy for it. The socket itself is handed to
/// `opened`, which may shut it down later.
pub(super) fn connect(
    url: &Url,
    proxy: Option<&Url>,
    settings: &ConnectionSettings,
    opened: &mut dyn FnMut(Socket),
) -> io::Result<Connection> {
    let mut socket = match &settings.unix_socket {
        Some(path) => Socket::Unix(UnixStream::connect(path)?),
        None => {
            let first = proxy.unwrap_or(url);
            Socket::Tcp(dial(&first.host, first.port(), settings.timeout)?)
        }
    };
    socket.set_timeouts(settings.timeout)?;
    opened(socket.try_clone()?);
    if !url.is_secure() {
        return Ok(BufReader::new(Box::new(socket)));
    }
    if let Some(proxy) = proxy.filter(|_| settings.unix_socket.is_none()) {
        tunnel(&mut socket, url, proxy)?;
    }
    Ok(BufReader::new(encrypt(socket, url, settings)?))
}

/// Connects to the first address of a name that answers.
///
/// # Errors
/// When none does.
pub fn dial(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let addresses = resolve::addresses(host, timeout)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&SocketAddr::new(address, port), timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks a proxy for a tunnel (RFC 9110, 9.3.6).
fn tunnel(socket: &mut Socket, url: &Url, proxy: &Url) -> io::Result<()> {
    let target = format!("{}:{}", url.authority().trim_end_matches(":443"), url.port());
    let target = if url.port.is_some() { url.authority() } else { target };
    let mut headers = vec![("Host".to_owned(), target.clone())];
    if let Some((user, password)) = &proxy.user {
        headers.push(("Proxy-Authorization".to_owned(), super::auth::basic(user, password)));
    }
    message::write_request(socket, "CONNECT", &target, &headers)?;
    // Nothing follows the head until we speak, so no byte is lost with this reader.
    let head = message::read_head(&mut BufReader::with_capacity(1, socket))?;
    if head.status != 200 {
        let message = format!("Tunnel connection failed: {} {}", head.status, head.reason);
        return Err(io::Error::other(message));
    }
    Ok(())
}

fn encrypt(
    socket: Socket,
    url: &Url,
    settings: &ConnectionSettings,
) -> io::Result<Box<dyn Duplex>> {
    let config: Config = ureq::Agent::config_builder().tls_config(tls(settings)?).build();
    let uri = format!("https://{}/", url.authority())
        .parse()
        .map_err(|_| io::Error::other(format!("{} is no name of a host", url.host)))?;
    let clock: Arc<dyn Fn() -> time::Instant + Send + Sync> = Arc::new(time::Instant::now);
    let details = ConnectionDetails {
        uri: &uri,
        addrs: ArrayVec::from_fn(|_| SocketAddr::from(([0, 0, 0, 0], 0))),
        config: &config,
        request_level: false,
        resolver: &NoResolver,
        now: time::Instant::now(),
        timeout: NextTimeout::default(),
        current_time: clock.clone(),
        run_connector: Arc::new(|_| Err(ureq::Error::ConnectionFailed)),
        register_shutdown: Arc::new(|_| Ok(())),
    };
    let transport =
        SocketTransport { socket, buffers: LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES) };
    let encrypted = RustlsConnector::default()
        .connect(&details, Some(transport))
        .map_err(|error| io_error(error, url))?
        .ok_or_else(|| io::Error::other("the connection could not be encrypted"))?;
    Ok(Box::new(TransportAdapter::new(encrypted, clock)))
}

/// What rustls found, in words that name the host.
fn io_error(error: ureq::Error, url: &Url) -> io::Error {
    match error {
        ureq::Error::Io(error) if error.get_ref().is_none() => error,
        other => io::Error::other(format!("TLS with {} failed: {other}", url.authority())),
    }
}

fn tls(settings: &ConnectionSettings) -> io::Result<TlsConfig> {
    let mut builder = TlsConfig::builder().disable_verification(settings.trust_anybody);
    if !settings.trust_anybody {
        builder = builder.root_certs(authorities::roots(settings.ca_path.as_deref())?);
    }
    if let Some((certificate, key)) = &settings.client {
        builder = builder.client_cert(Some(client(certificate, key)?));
    }
    Ok(builder.build())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn client(certificate: &Path, key: &Path) -> io::Result<ClientCert> {
    let chain = authorities::certificates(certificate)?;
    let key = PrivateKey::from_pem(&read(key)?)
        .map_err(|error| io::Error::other(format!("{}: {error}", key.display())))?;
    // ureq doesn't export the type of this value.
    let wrapping = match format!("{:?}", key.kind()).as_str() {
        "Pkcs1" => Wrapping::Pkcs1,
        "Pkcs8" => Wrapping::Pkcs8,
        "Sec1" => Wrapping::Sec1,
        _ => return Err(io::Error::other("the client's key is of an unsupported kind")),
    };
    let first = chain.first().map(Certificate::der).unwrap_or_default();
    match client_key::problem(first, wrapping, key.der()) {
        Some(problem) => Err(io::Error::other(problem)),
        None => Ok(ClientCert::new_with_certs(&chain, key)),
    }
}

/// Names are resolved before; ureq's own resolver would bring libc's into the static helper.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _uri: &ureq::http::Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Err(ureq::Error::HostNotFound)
    }
}

/// A socket as ureq's TLS wants it.
struct SocketTransport {
    socket: Socket,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for SocketTransport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.fmt(formatter)
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.socket.write_all(output)?)
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        let amount = self.socket.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        true
    }
}

//! Downloads that go on where they stopped.
//!
//! A server that is slow, cuts off or is busy is asked again; one that says no, or has another file,
//! is not. What was already there is continued only if the server shows that it is the same file.

use std::io;
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::http::header::{HeaderMap, HeaderName};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use crate::cache::Partial;
use crate::digests;

/// Redirects that are followed: mirrors need two or three.
const REDIRECT_LIMIT: u32 = 10;

/// How long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// How long a server may take to begin its answer, and then between two pieces.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// Waits before a server is asked again.
const PAUSES: &[Duration] =
    &[Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// Why something can't be had.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server says no.
    #[error("the server answers {status}{reason}")]
    Status {
        /// The code.
        status: u16,
        /// In words, with a blank before.
        reason: String,
    },
    /// It has a file of another size.
    #[error("the server has {found} bytes, and not the {expected} that the lock says")]
    Size {
        /// What it has.
        found: u64,
        /// What it should have.
        expected: u64,
    },
    /// It is too large.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The connection failed, and again, and again.
    #[error("{0}")]
    Connection(String),
    /// Asking again would not help.
    #[error("{0}")]
    Refused(String),
    /// The disk failed.
    #[error("it can't be stored: {0}")]
    Disk(io::Error),
}

impl DownloadError {
    fn is_worth_another_try(&self) -> bool {
        match self {
            DownloadError::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            DownloadError::Connection(_) => true,
            DownloadError::Size { .. }
            | DownloadError::TooLarge { .. }
            | DownloadError::Refused(_)
            | DownloadError::Disk(_) => false,
        }
    }
}

/// What is downloaded.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its address.
    pub url: &'a str,
    /// Its size in bytes, if that is known.
    pub size: Option<u64>,
    /// Whether its digest is known: what is there can be continued without proof then.
    pub digest_is_known: bool,
    /// No more than this, in bytes.
    pub limit: u64,
}

/// Tells how many bytes are there, and how many there will be.
pub type Progress<'a> = dyn FnMut(u64, Option<u64>) + 'a;

/// A client with what all downloads share.
#[derive(Debug, Clone)]
pub struct Downloader {
    agent: Agent,
    secure: Agent,
    pauses: Vec<Duration>,
}

impl Downloader {
    /// A client that follows the environment: proxies (`https_proxy`, `no_proxy`), `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// When the certificates of the system can't be read.
    pub fn new() -> io::Result<Self> {
        Self::with(SILENCE_LIMIT, PAUSES)
    }

    pub(crate) fn with(silence: Duration, pauses: &[Duration]) -> io::Result<Self> {
        let tls = TlsConfig::builder().root_certs(authorities::roots(None)?).build();
        let agent = |https_only: bool| -> Agent {
            Agent::config_builder()
                .http_status_as_error(false)
                .https_only(https_only)
                .max_redirects(REDIRECT_LIMIT)
                .user_agent(concat!("provision/", env!("CARGO_PKG_VERSION")))
                // The bytes as they are: their digest is what counts.
                .accept_encoding("identity")
                .timeout_connect(Some(CONNECT_LIMIT))
                .timeout_recv_response(Some(silence))
                .timeout_per_read(Some(silence))
                .tls_config(tls.clone())
                .build()
                .into()
        };
        Ok(Downloader { agent: agent(false), secure: agent(true), pauses: pauses.to_vec() })
    }

    /// Encrypted stays encrypted: a redirect must not lead from https to http.
    fn agent(&self, url: &str) -> &Agent {
        if url.starts_with("https://") { &self.secure } else { &self.agent }
    }

    /// Downloads a file, continuing what is there.
    ///
    /// # Errors
    /// When it can't be had. What has arrived stays for the next time.
    pub fn fetch(
        &self,
        wanted: &Wanted<'_>,
        partial: &mut Partial,
        progress: &mut Progress<'_>,
    ) -> Result<(), DownloadError> {
        self.patiently(|| self.attempt(wanted, partial, progress))
    }

    /// A small file, in memory.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn small(&self, url: &str, limit: u64) -> Result<Vec<u8>, DownloadError> {
        self.patiently(|| {
            let mut answer = self.ask(url, &[])?;
            check_status(answer.status())?;
            let mut bytes = Vec::new();
            read_all(answer.body_mut(), 0, limit, &mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            Ok(bytes)
        })
    }

    /// Digest and size of what a server has, without keeping it.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn digest(&self, url: &str, limit: u64) -> Result<(String, u64), DownloadError> {
        use sha2::{Digest, Sha256};
        self.patiently(|| {
            let mut answer = self.ask(url, &[])?;
            check_status(answer.status())?;
            let mut hasher = Sha256::new();
            let size = read_all(answer.body_mut(), 0, limit, &mut |piece| {
                hasher.update(piece);
                Ok(())
            })?;
            Ok((hex::encode(hasher.finalize()), size))
        })
    }

    fn patiently<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, DownloadError>,
    ) -> Result<T, DownloadError> {
        let mut pauses = self.pauses.iter();
        loop {
            match attempt() {
                Err(error) if error.is_worth_another_try() => match pauses.next() {
                    Some(pause) => std::thread::sleep(*pause),
                    None => return Err(error),
                },
                other => return other,
            }
        }
    }

    fn attempt(
        &self,
        wanted: &Wanted<'_>,
        partial: &mut Partial,
        progress: &mut Progress<'_>,
    ) -> Result<(), DownloadError> {
        let mut there = partial.length().map_err(DownloadError::Disk)?;
        if wanted.size == Some(there) && wanted.digest_is_known {
            return Ok(());
        }
        let proof = partial.note();
        let is_too_long = wanted.size.is_some_and(|size| there > size);
        if is_too_long || (proof.is_none() && !wanted.digest_is_known) {
            there = 0;
        }
        let mut headers = Vec::new();
        if there > 0 {
            headers.push(("range", format!("bytes={there}-")));
            headers.extend(proof.map(|proof| ("if-range", proof)));
        }
        let mut answer = self.ask(wanted.url, &headers)?;
        let status = answer.status();
        let continues = there > 0
            && status == StatusCode::PARTIAL_CONTENT
            && range_start(answer.headers()) == Some(there);
        if there > 0 && status != StatusCode::OK && !continues {
            // No such range, or another one: from the beginning, at the next attempt.
            let again = matches!(status.as_u16(), 206 | 412 | 416);
            if again {
                partial.restart(None).map_err(DownloadError::Disk)?;
                return self.attempt(wanted, partial, progress);
            }
        }
        if !continues {
            check_status(status)?;
            partial.restart(validator(answer.headers()).as_deref()).map_err(DownloadError::Disk)?;
            there = 0;
        }
        let coming = answer.body().content_length();
        let total = coming.map(|length| there.saturating_add(length));
        match (total, wanted.size) {
            (Some(found), Some(expected)) if found != expected => {
                return Err(DownloadError::Size { found, expected });
            }
            (Some(found), _) if found > wanted.limit => {
                return Err(DownloadError::TooLarge { limit: wanted.limit });
            }
            _ => {}
        }
        let mut count = there;
        let limit = wanted.size.map_or(wanted.limit, |size| size.min(wanted.limit));
        let size = read_all(answer.body_mut(), there, limit, &mut |piece| {
            partial.append(piece).map_err(DownloadError::Disk)?;
            count += piece.len() as u64;
            progress(count, total.or(wanted.size));
            Ok(())
        })?;
        match wanted.size {
            Some(expected) if size != expected => Err(DownloadError::Connection(format!(
                "the connection ended after {size} of {expected} bytes"
            ))),
            _ => Ok(()),
        }
    }

    fn ask(
        &self,
        url: &str,
        headers: &[(&str, String)],
    ) -> Result<ureq::http::Response<Body>, DownloadError> {
        let mut request = self.agent(url).get(url);
        for (name, value) in headers {
            request = request.header(*name, value.as_str());
        }
        request.call().map_err(failed)
    }
}

fn failed(error: ureq::Error) -> DownloadError {
    use ureq::Error;
    match error {
        Error::TooManyRedirects => {
            DownloadError::Refused(format!("it redirects more than {REDIRECT_LIMIT} times"))
        }
        Error::RequireHttpsOnly(to) => {
            DownloadError::Refused(format!("it redirects from https to http ({to})"))
        }
        Error::BadUri(uri) => DownloadError::Refused(format!("{uri} is no address")),
        Error::Rustls(error) => DownloadError::Refused(format!("TLS failed: {error}")),
        Error::Tls(reason) => DownloadError::Refused(format!("TLS failed: {reason}")),
        Error::HostNotFound => DownloadError::Connection("its server's name is not known".into()),
        Error::Timeout(_) => DownloadError::Connection("the server does not answer".to_owned()),
        Error::Io(error) => DownloadError::Connection(error.to_string()),
        other => DownloadError::Connection(other.to_string()),
    }
}

fn check_status(status: StatusCode) -> Result<(), DownloadError> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    Err(DownloadError::Status { status: status.as_u16(), reason })
}

/// Reads an answer; how many bytes there are with those that were there before.
fn read_all(
    body: &mut Body,
    there: u64,
    limit: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), DownloadError>,
) -> Result<u64, DownloadError> {
    let mut size = there;
    let mut stopped = None;
    let mut reader = body.as_reader();
    let read = digests::pour(&mut reader, &mut |piece| {
        size = size.saturating_add(piece.len() as u64);
        let taken = if size > limit { Err(DownloadError::TooLarge { limit }) } else { take(piece) };
        taken.map_err(|error| {
            stopped = Some(error);
            io::Error::other("stopped")
        })
    });
    match (stopped, read) {
        (Some(error), _) => Err(error),
        (None, Ok(_)) => Ok(size),
        (None, Err(error)) => {
            Err(DownloadError::Connection(format!("the connection broke off: {error}")))
        }
    }
}

/// What identifies the file for `If-Range`: a strong tag, or else a date (RFC 9110 13.1.5).
fn validator(headers: &HeaderMap) -> Option<String> {
    let header = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
    let tag = header(ureq::http::header::ETAG).filter(|tag| tag.starts_with('"'));
    tag.or_else(|| header(ureq::http::header::LAST_MODIFIED))
}

/// Where the part begins that the server sends.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(ureq::http::header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests;

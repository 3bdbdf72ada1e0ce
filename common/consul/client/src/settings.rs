//! Whom to ask, and as whom.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use consul::Consistency;
use zeroize::Zeroizing;

/// How to reach Consul.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whom to ask, in order.
    pub endpoints: Vec<Endpoint>,
    /// As whom.
    pub token: Option<Token>,
    /// Certificates of `https` endpoints.
    pub tls: TlsFiles,
    /// The datacenter, if not that of the agent that is asked.
    pub datacenter: Option<String>,
    /// How fresh answers have to be.
    pub consistency: Consistency,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Files of certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who may vouch for servers; without one the usual authorities of the web.
    pub authority: Option<PathBuf>,
    /// The certificate and the key to show to servers.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A token. Nothing shows it. One of a file is read again when its file changes, so that a token can be
/// replaced while somebody uses it; clones share what was read.
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Text(Zeroizing<String>),
    File(Arc<Mutex<Kept>>),
}

/// A file, and what was in it when it was as it is now.
struct Kept {
    path: PathBuf,
    stamp: Option<Stamp>,
    text: Zeroizing<String>,
}

/// What differs when a file was written anew: when, its length, and which file it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    changed: SystemTime,
    bytes: u64,
    #[cfg(unix)]
    number: u64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Stamp {
            changed: found.modified()?,
            bytes: found.len(),
            #[cfg(unix)]
            number: std::os::unix::fs::MetadataExt::ino(&found),
        })
    }
}

impl Kept {
    /// What is in the file, if it is another one than before and there is a token in it. One that is
    /// just being written, or can't be read, changes nothing.
    fn look(&mut self) {
        let Ok(stamp) = Stamp::of(&self.path) else { return };
        if self.stamp == Some(stamp) {
            return;
        }
        let Ok(text) = std::fs::read_to_string(&self.path).map(Zeroizing::new) else { return };
        if !text.trim().is_empty() {
            self.text = Zeroizing::new(text.trim().to_owned());
            self.stamp = Some(stamp);
        }
    }
}

impl Token {
    /// A token; blanks around it are those of its file.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Token(Source::Text(Zeroizing::new(text.trim().to_owned())))
    }

    /// What is in a file, also later.
    ///
    /// # Errors
    /// When it can't be read now.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let stamp = Some(Stamp::of(path)?);
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        let text = Zeroizing::new(text.trim().to_owned());
        let kept = Kept { path: path.to_owned(), stamp, text };
        Ok(Token(Source::File(Arc::new(Mutex::new(kept)))))
    }

    /// Its text as it is now, for the header of a request.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        match &self.0 {
            Source::Text(text) => text.clone(),
            Source::File(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.look();
                kept.text.clone()
            }
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// An address of Consul: `http://127.0.0.1:8500`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    is_encrypted: bool,
    authority: String,
}

/// No address of Consul.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of Consul: {reason}")]
pub struct EndpointError {
    text: String,
    reason: &'static str,
}

/// Consul's port where none is named, by encryption.
const PORTS: [(bool, u16); 2] = [(false, 8500), (true, 8501)];

impl Endpoint {
    /// Reads `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`, whose encryption the caller
    /// knows. Without a port it is Consul's own.
    ///
    /// # Errors
    /// When it is something else, such as the path of a socket.
    pub fn parse(text: &str, is_encrypted: bool) -> Result<Self, EndpointError> {
        let fail = |reason| EndpointError { text: text.to_owned(), reason };
        let (is_encrypted, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(fail("expected http:// or https://")),
            None => (is_encrypted, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_ipv6 = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) if !host.is_empty() && host.chars().all(is_ipv6) => {
                (format!("[{host}]"), port)
            }
            Some(_) => return Err(fail("expected an IPv6 address in the brackets")),
            None => {
                let (host, port) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
                if host.is_empty() || !host.chars().all(is_host) {
                    return Err(fail("expected a host, and a port behind a colon"));
                }
                (host.to_owned(), port)
            }
        };
        let port: u16 = match port.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| fail("expected a port behind the colon"))?,
            None if port.is_empty() => PORTS
                .iter()
                .find(|(known, _)| *known == is_encrypted)
                .map_or(8500, |(_, port)| *port),
            None => return Err(fail("expected a port behind the address")),
        };
        Ok(Endpoint { is_encrypted, authority: format!("{host}:{port}") })
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_encrypted { "https" } else { "http" }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let table = [
            ("http://a.example:85", false, Some("http://a.example:85")),
            ("https://10.0.0.1/", false, Some("https://10.0.0.1:8501")),
            ("10.0.0.1", false, Some("http://10.0.0.1:8500")),
            ("consul-1:9", true, Some("https://consul-1:9")),
            ("http://[::1]:8500", false, Some("http://[::1]:8500")),
            ("[fe80::1]", false, Some("http://[fe80::1]:8500")),
            ("unix:///run/consul.sock", false, None),
            ("http://", false, None),
            ("http://user@host:1", false, None),
            ("http://host:port", false, None),
            ("http://host:1/path", false, None),
            ("http://[::1", false, None),
            ("http://a b", false, None),
        ];
        for (text, is_encrypted, expected) in table {
            let read = Endpoint::parse(text, is_encrypted).map(|endpoint| endpoint.to_string());
            assert_eq!(read.ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new(" secret\n")), "Token");
        assert_eq!(*Token::new(" secret\n").expose(), "secret");
    }

    #[test]
    fn a_token_of_a_file_is_the_one_that_is_there_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(Token::of_file(&path).is_err());
        std::fs::write(&path, " first\n").unwrap();
        let token = Token::of_file(&path).unwrap();
        let other = token.clone();
        assert_eq!(*token.expose(), "first");
        let anew = folder.path().join("anew");
        std::fs::write(&anew, "other\n").unwrap();
        std::fs::rename(&anew, &path).unwrap();
        assert_eq!(*token.expose(), "other");
        assert_eq!(*other.expose(), "other");
        // Half way through a change, and without a file, it is the last one that there was.
        std::fs::write(&path, "").unwrap();
        assert_eq!(*token.expose(), "other");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*token.expose(), "other");
        std::fs::write(&path, "third").unwrap();
        assert_eq!(*token.expose(), "third");
    }
}

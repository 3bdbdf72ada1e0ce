//! Whom to ask, and as whom.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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

/// A token. Nothing shows it.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token; blanks around it are those of its file.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Token(Zeroizing::new(text.trim().to_owned()))
    }

    /// Its text, for the header of a request.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
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
        assert_eq!(Token::new(" secret\n").expose(), "secret");
    }
}

//! Where the leading master is, as redirects say it.

use std::fmt;

/// The port of masters.
pub const MASTER_PORT: u16 = 5050;

/// A place that a redirect names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Whether it is to be asked over TLS; none if as before.
    pub tls: Option<bool>,
    /// Name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path and the query, beginning with a slash; empty if the redirect names none.
    pub path: String,
}

/// Why a redirect leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Another scheme than http and https.
    #[error("follow {0:?}: not http or https")]
    Scheme(String),
    /// No host, or not one.
    #[error("follow {0:?}: no host in it")]
    Host(String),
    /// No number between 1 and 65535.
    #[error("follow {0:?}: no port in it")]
    Port(String),
}

impl Location {
    /// Reads `//host:port/path`, as masters send it, `http://host:port/path` and `host:port`.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn parse(text: &str) -> Result<Location, LocationError> {
        let (tls, rest) = match text.split_once("//") {
            Some(("", rest)) => (None, rest),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http:" => (Some(false), rest),
                "https:" => (Some(true), rest),
                _ if scheme.ends_with(':') && !scheme.contains('/') => {
                    return Err(LocationError::Scheme(text.to_owned()));
                }
                _ => (None, text),
            },
            None => (None, text),
        };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(authority_end).unwrap_or((rest, ""));
        let path = path.split('#').next().unwrap_or_default();
        // What stands before an @ is a name and a password, which masters don't have.
        let no_host = || LocationError::Host(text.to_owned());
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or_else(no_host)?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if rest.is_empty() => None,
                    None => return Err(no_host()),
                };
                (host, port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || host.contains(['@', ' ', '#']) || host.contains(char::is_control) {
            return Err(no_host());
        }
        let port = match (port, tls) {
            (Some(port), _) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(LocationError::Port(text.to_owned())),
            },
            (None, Some(false)) => 80,
            (None, Some(true)) => 443,
            (None, None) => MASTER_PORT,
        };
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Location { tls, host: host.to_owned(), port, path })
    }

    /// Host and port, with brackets where they are needed.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let scheme = match self.tls {
            None => "",
            Some(false) => "http:",
            Some(true) => "https:",
        };
        write!(f, "{scheme}//{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::{Location, LocationError};

    #[test]
    fn forms() {
        let parse = |text: &str| {
            let found = Location::parse(text).unwrap();
            (found.tls, found.host, found.port, found.path)
        };
        let place =
            |tls, host: &str, port, path: &str| (tls, host.to_owned(), port, path.to_owned());
        assert_eq!(
            parse("//127.0.0.1:5050/master/api/v1/scheduler"),
            place(None, "127.0.0.1", 5050, "/master/api/v1/scheduler")
        );
        assert_eq!(parse("http://m1:80/x?y=1#z"), place(Some(false), "m1", 80, "/x?y=1"));
        assert_eq!(parse("HTTPS://m1"), place(Some(true), "m1", 443, ""));
        assert_eq!(parse("m1:5060"), place(None, "m1", 5060, ""));
        assert_eq!(parse("m1"), place(None, "m1", 5050, ""));
        assert_eq!(parse("//[::1]:5050/"), place(None, "::1", 5050, "/"));
        assert_eq!(parse("m1:5050/a//b"), place(None, "m1", 5050, "/a//b"));
        assert_eq!(parse("//m1?a"), place(None, "m1", 5050, "/?a"));
        assert_eq!(Location::parse("//[::1]:1/a").unwrap().to_string(), "//[::1]:1/a");
    }

    #[test]
    fn what_leads_nowhere() {
        let refused = |text: &str| Location::parse(text).unwrap_err();
        assert_eq!(refused("ftp://a/b"), LocationError::Scheme("ftp://a/b".into()));
        for text in ["", "//", "/path", "//:5050", "//[::1", "//[::1]x", "//user@host", "//a b"] {
            assert_eq!(refused(text), LocationError::Host(text.into()), "{text}");
        }
        for text in ["a:", "a:0", "a:65536", "a:x", "::1"] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}

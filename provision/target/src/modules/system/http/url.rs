//! Addresses (RFC 3986), as far as HTTP needs them.

use std::fmt;

/// An absolute address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// `http`, `https` or `file`, in lower case.
    pub scheme: String,
    /// `user:password`, decoded.
    pub user: Option<(String, String)>,
    /// Name or address, without brackets.
    pub host: String,
    /// Port, if it isn't the scheme's own.
    pub port: Option<u16>,
    /// Path and query, beginning with a slash.
    pub target: String,
}

impl Url {
    /// Reads an address. Characters that don't belong there (blanks, other alphabets) are encoded.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| format!("unknown url type: {text}"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https" | "file") {
            return Err(format!("unknown url type: {scheme}"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((decoded(name), decoded(password))), host)
            }
            None => (None, authority),
        };
        let (host, port) = split_port(host)?;
        if host.is_empty() && scheme != "file" {
            return Err(format!("no host given in {text}"));
        }
        let plain =
            |character: char| character.is_ascii_graphic() && !"<>\"{}|\\^`".contains(character);
        if !host.chars().all(plain) {
            return Err(format!("{host} is no name of a host"));
        }
        let default = if scheme == "https" { 443 } else { 80 };
        Ok(Url {
            user,
            host: host.to_ascii_lowercase(),
            port: port.filter(|port| *port != default),
            target: encoded(&if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            }),
            scheme,
        })
    }

    /// Whether it is encrypted.
    pub fn is_secure(&self) -> bool {
        self.scheme == "https"
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// Host and port as they stand in an address.
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        self.port.map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Resolves a reference that was found at this address.
    pub fn join(&self, reference: &str) -> Result<Self, String> {
        let reference = reference.trim();
        if reference.contains("://") && !reference.starts_with(['/', '?', '.']) {
            return Url::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", self.scheme));
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let target = if reference.is_empty() {
            self.target.clone()
        } else if reference.starts_with('/') {
            reference.to_owned()
        } else if reference.starts_with('?') {
            format!("{}{reference}", self.path())
        } else {
            let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{reference}")
        };
        let (path, query) = target.find('?').map_or((&*target, ""), |at| target.split_at(at));
        let target = encoded(&format!("{}{query}", without_dots(path)));
        Ok(Url { target, user: None, ..self.clone() })
    }
}

impl fmt::Display for Url {
    /// Never shows the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme, self.authority(), self.target)
    }
}

fn split_port(host: &str) -> Result<(&str, Option<u16>), String> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or("Invalid IPv6 URL")?;
        (name, rest.strip_prefix(':'))
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => Some(port.parse().map_err(|_| format!("nonnumeric port: '{port}'"))?),
        None => None,
    };
    Ok((name, port))
}

/// Encodes what may not stand in an address; what is encoded already stays.
fn encoded(target: &str) -> String {
    let mut text = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Undoes percent-encoding; broken UTF-8 is replaced.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_parts() {
        let url = Url::parse("HTTP://me:p%40ss@Example.org:8080/a b?x=é#frag").unwrap();
        assert_eq!(url.user, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!((url.host.as_str(), url.port()), ("example.org", 8080));
        assert_eq!(url.target, "/a%20b?x=%C3%A9");
        assert_eq!(url.to_string(), "http://example.org:8080/a%20b?x=%C3%A9");
        let url = Url::parse("https://[::1]:443").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.port()), ("::1", None, 443));
        assert_eq!(url.authority(), "[::1]");
        assert_eq!(Url::parse("http://h?q").unwrap().target, "/?q");
        for wrong in ["x", "ftp://a/b", "http:///x", "http://a:b/", "http://[::1/", "http://a b/"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn references_are_resolved() {
        let base = Url::parse("http://u:p@h/a/b/c?q").unwrap();
        let cases = [
            ("d", "http://h/a/b/d"),
            ("./d/", "http://h/a/b/d/"),
            ("../d?x", "http://h/a/d?x"),
            ("../../../d", "http://h/d"),
            ("/d/../e", "http://h/e"),
            ("?x", "http://h/a/b/c?x"),
            ("//other/d", "http://other/d"),
            ("https://other/d", "https://other/d"),
            ("..", "http://h/a/"),
        ];
        for (reference, expected) in cases {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        assert_eq!(base.join("d").unwrap().user, None);
    }

    #[test]
    fn decoding() {
        assert_eq!(decoded("a%20b%zz%"), "a b%zz%");
    }
}

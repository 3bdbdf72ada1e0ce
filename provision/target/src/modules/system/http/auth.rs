//! Proving who asks: Basic and Digest (RFC 7617, RFC 7616), and `.netrc`.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha2::Sha256;

/// The value of an `Authorization` header.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What a server wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Digest { realm: String, nonce: String, opaque: Option<String>, sha256: bool, quality: bool },
}

impl Challenge {
    /// The strongest challenge of a `WWW-Authenticate` header that can be met.
    pub fn parse(header: &str) -> Option<Self> {
        let lower = header.to_ascii_lowercase();
        let digest = lower.find("digest ").and_then(|at| header.get(at + 7..)).and_then(digest);
        digest.or_else(|| lower.contains("basic").then_some(Challenge::Basic))
    }

    /// The answer.
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        method: &str,
        target: &str,
        client_nonce: &str,
    ) -> String {
        match self {
            Challenge::Basic => basic(user, password),
            Challenge::Digest { realm, nonce, opaque, sha256, quality } => {
                let hash = |text: String| {
                    if *sha256 {
                        hex::encode(Sha256::digest(text.as_bytes()))
                    } else {
                        hex::encode(Md5::digest(text.as_bytes()))
                    }
                };
                let secret = hash(format!("{user}:{realm}:{password}"));
                let request = hash(format!("{method}:{target}"));
                let response = if *quality {
                    hash(format!("{secret}:{nonce}:00000001:{client_nonce}:auth:{request}"))
                } else {
                    hash(format!("{secret}:{nonce}:{request}"))
                };
                let mut answer = format!(
                    "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", \
                     uri=\"{target}\", response=\"{response}\""
                );
                if *sha256 {
                    answer.push_str(", algorithm=SHA-256");
                }
                if let Some(opaque) = opaque {
                    answer.push_str(&format!(", opaque=\"{opaque}\""));
                }
                if *quality {
                    answer.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{client_nonce}\""));
                }
                answer
            }
        }
    }
}

fn digest(parameters: &str) -> Option<Challenge> {
    let mut challenge = (None, None, None, "md5".to_owned(), false);
    let mut rest = parameters.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = if let Some(quoted) = after.strip_prefix('"') {
            let (value, next) = quoted.split_once('"')?;
            (value, next.trim_start().trim_start_matches(','))
        } else {
            after.split_once(',').unwrap_or((after, ""))
        };
        let value = value.trim().to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "realm" => challenge.0 = Some(value),
            "nonce" => challenge.1 = Some(value),
            "opaque" => challenge.2 = Some(value),
            "algorithm" => challenge.3 = value.to_ascii_lowercase(),
            "qop" => challenge.4 = value.split(',').any(|one| one.trim() == "auth"),
            _ => {}
        }
        rest = next.trim_start();
    }
    let (realm, nonce, opaque, algorithm, quality) = challenge;
    if !matches!(algorithm.as_str(), "md5" | "sha-256") {
        return None;
    }
    Some(Challenge::Digest {
        realm: realm?,
        nonce: nonce?,
        opaque,
        sha256: algorithm == "sha-256",
        quality,
    })
}

/// User and password for a host from `~/.netrc` or `$NETRC`.
pub(super) fn netrc(host: &str) -> Option<(String, String)> {
    let home = std::env::var_os("HOME")?;
    let path = std::env::var_os("NETRC").map(Into::into);
    let path = path.unwrap_or_else(|| Path::new(&home).join(".netrc"));
    netrc_in(&fs::read_to_string(path).ok()?, host)
}

fn netrc_in(text: &str, host: &str) -> Option<(String, String)> {
    let mut words = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace);
    let mut applies = false;
    let (mut login, mut password) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if applies && login.is_some() {
                    break;
                }
                applies = word == "default" || words.next() == Some(host);
            }
            "login" if applies => login = words.next(),
            "password" if applies => password = words.next(),
            "account" => {
                words.next();
            }
            _ => {}
        }
    }
    Some((login?.to_owned(), password?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        // The example of RFC 7616, 3.9.1.
        let header = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
            algorithm=MD5, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
            opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let challenge = Challenge::parse(header).unwrap();
        let nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let answer = challenge.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", nonce);
        assert!(answer.contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""), "{answer}");
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
    }

    #[test]
    fn netrc_files() {
        let text = "# x\nmachine a login me password p\nmachine b\n  login you\n password q\n\
            default login any password r";
        assert_eq!(netrc_in(text, "b").unwrap().1, "q");
        assert_eq!(netrc_in(text, "c").unwrap().0, "any");
        assert_eq!(netrc_in("machine a login x", "a"), None);
    }
}

//! How Consul is reached: the mapping says what it knows, the environment the rest, with the names
//! that Consul's own program reads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use consul_client::{Endpoint, Settings, TlsFiles, Token};
use provision_discovery::Question;

/// Where an agent listens unless somebody says otherwise.
const LOCAL: &str = "http://127.0.0.1:8500";

/// The settings of a question; the error is one line for people.
pub(super) fn of(
    question: &Question,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, String> {
    let connection = &question.connection;
    let is_encrypted = environment("CONSUL_HTTP_SSL").is_some_and(|value| value == "true");
    let addresses = match connection.addresses.is_empty() {
        false => connection.addresses.clone(),
        true => vec![environment("CONSUL_HTTP_ADDR").unwrap_or_else(|| LOCAL.to_owned())],
    };
    let endpoints = addresses.iter().map(|address| Endpoint::parse(address, is_encrypted));
    let endpoints: Vec<Endpoint> =
        endpoints.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let path = |text: &String| question.base.join(text);
    let named = |name: &str| environment(name).map(PathBuf::from);
    let client = match &connection.tls.client {
        Some((certificate, key)) => Some((path(certificate), path(key))),
        None => named("CONSUL_CLIENT_CERT").zip(named("CONSUL_CLIENT_KEY")),
    };
    let authority = connection.tls.authority.as_ref().map(path);
    let token_file = connection.token_file.as_ref().map(path);
    Ok(Settings {
        endpoints,
        token: token(token_file.as_deref(), environment)?,
        tls: TlsFiles { authority: authority.or_else(|| named("CONSUL_CACERT")), client },
        datacenter: connection.datacenter.clone(),
        consistency: connection.consistency,
        timeout: Duration::from_millis(connection.timeout_ms),
    })
}

/// The environment wins: whoever sets it means this run.
fn token(
    file: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Token>, String> {
    if let Some(text) = environment("CONSUL_HTTP_TOKEN") {
        return Ok(Some(Token::new(&text)));
    }
    let named = environment("CONSUL_HTTP_TOKEN_FILE").map(PathBuf::from);
    let Some(path) = named.or_else(|| file.map(Path::to_owned)) else { return Ok(None) };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("failed to read the token {}: {error}", path.display()))?;
    match text.trim().is_empty() || text.trim().contains(char::is_whitespace) {
        true => Err(format!("{} holds no token of Consul", path.display())),
        false => Ok(Some(Token::new(&text))),
    }
}

/// What users know the source by.
pub(super) fn origin(settings: &Settings) -> String {
    let first = settings.endpoints.first().map(ToString::to_string).unwrap_or_default();
    let authority = first.split_once("://").map_or(first.as_str(), |(_, rest)| rest);
    match &settings.datacenter {
        Some(datacenter) => format!("consul://{authority}/{datacenter}"),
        None => format!("consul://{authority}"),
    }
}

#[cfg(test)]
mod tests {
    use provision_discovery::{Connection, Services, Wanted};

    use super::*;

    fn question(connection: Connection) -> Question {
        let wanted = Wanted {
            services: Services::Named(std::collections::BTreeSet::new()),
            kv_prefix: None,
        };
        Question { connection, wanted, base: PathBuf::from("site") }
    }

    #[test]
    fn the_environment_says_what_the_mapping_does_not() {
        let environment = |name: &str| match name {
            "CONSUL_HTTP_ADDR" => Some("10.0.0.1:8501".to_owned()),
            "CONSUL_HTTP_SSL" => Some("true".to_owned()),
            "CONSUL_HTTP_TOKEN" => Some("t".to_owned()),
            "CONSUL_CACERT" => Some("/etc/ca.pem".to_owned()),
            _ => None,
        };
        let settings = of(&question(Connection::default()), &environment).unwrap();
        assert_eq!(settings.endpoints[0].to_string(), "https://10.0.0.1:8501");
        assert_eq!(
            settings.token.as_ref().map(|token| token.expose().to_string()),
            Some("t".to_owned())
        );
        assert_eq!(settings.tls.authority, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(origin(&settings), "consul://10.0.0.1:8501");
        let connection = Connection {
            addresses: vec!["http://a".into(), "http://b".into()],
            datacenter: Some("dc2".into()),
            tls: provision_discovery::TlsFiles { authority: Some("ca.pem".into()), client: None },
            ..Connection::default()
        };
        let settings = of(&question(connection), &environment).unwrap();
        assert_eq!(settings.endpoints.len(), 2);
        assert_eq!(settings.tls.authority, Some(PathBuf::from("site/ca.pem")));
        assert_eq!(origin(&settings), "consul://a:8500/dc2");
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, is_good) in [("abc\n", true), ("", false), ("two words", false)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(token(Some(&path), &|_| None).is_ok(), is_good, "{text}");
        }
        assert!(token(Some(&folder.path().join("absent")), &|_| None).is_err());
    }
}

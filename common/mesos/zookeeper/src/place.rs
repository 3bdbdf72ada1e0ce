//! Where masters say that they lead, as users write it.

use std::fmt;
use std::str::FromStr;

/// The port of ZooKeeper.
const PORT: u16 = 2181;

/// A path in ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `host:port` of each server, with commas.
    pub servers: String,
    /// The path under which masters are.
    pub path: String,
}

/// Why a text is no place in ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It begins otherwise.
    #[error("`{0}` doesn't begin with zk://; expected zk://host:2181,host:2181/mesos")]
    Scheme(String),
    /// There is no server in it.
    #[error("`{0}` names no server; expected zk://host:2181,host:2181/mesos")]
    NoServer(String),
    /// There is no path in it.
    #[error("`{0}` has no path behind the servers, such as zk://host:2181/mesos")]
    NoPath(String),
    /// Names and passwords for ZooKeeper aren't supported.
    #[error("a name and a password for ZooKeeper aren't supported")]
    Login,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let rest = text.strip_prefix("zk://").ok_or_else(|| PlaceError::Scheme(text.to_owned()))?;
        let (servers, path) =
            rest.split_once('/').ok_or_else(|| PlaceError::NoPath(text.to_owned()))?;
        if servers.contains('@') {
            return Err(PlaceError::Login);
        }
        let servers: Vec<String> = servers.split(',').map(server).collect();
        if servers.iter().any(|server| server.starts_with(':')) {
            return Err(PlaceError::NoServer(text.to_owned()));
        }
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(PlaceError::NoPath(text.to_owned()));
        }
        Ok(Place { servers: servers.join(","), path: format!("/{path}") })
    }
}

fn server(server: &str) -> String {
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { server.to_owned() } else { format!("{server}:{PORT}") }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zk://{}{}", self.servers, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, told) in [
            ("zk://a,b:2182,c/mesos", "zk://a:2181,b:2182,c:2181/mesos"),
            ("zk://a/x/y/", "zk://a:2181/x/y"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), told, "{text}");
        }
        for text in ["", "zk://a", "zk:///mesos", "zk://a/", "zk://u:p@a/m", "http://a/x", "a:1"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}

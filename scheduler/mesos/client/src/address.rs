//! Where masters are, as users write it.

use std::fmt;
use std::str::FromStr;

use mesos::Location;

/// Where masters are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// ZooKeeper knows who leads.
    ZooKeeper(ZooKeeper),
    /// Some masters; those that don't lead say who does.
    Masters(Vec<Location>),
}

/// A path in ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeper {
    /// `host:port` of each server, with commas.
    pub servers: String,
    /// The path under which masters are.
    pub path: String,
}

/// Why a text doesn't say where masters are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no server in it.
    #[error(
        "`{0}` names no server; expected zk://host:2181,host:2181/mesos or host:5050,host:5050"
    )]
    NoServer(String),
    /// There is no path in it.
    #[error("`{0}` has no path behind the servers, such as zk://host:2181/mesos")]
    NoPath(String),
    /// Names and passwords for ZooKeeper aren't supported.
    #[error("a name and a password for ZooKeeper aren't supported")]
    Login,
    /// Something else than a place.
    #[error("`{text}`: {cause}")]
    Place {
        /// All of it.
        text: String,
        /// Cause.
        cause: mesos::location::LocationError,
    },
    /// TLS isn't supported.
    #[error("`{0}`: TLS between schedulers and masters isn't supported")]
    Tls(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("zk://") {
            let (servers, path) =
                rest.split_once('/').ok_or_else(|| AddressError::NoPath(text.to_owned()))?;
            if servers.contains('@') {
                return Err(AddressError::Login);
            }
            let servers: Vec<String> = servers.split(',').map(zookeeper_server).collect();
            if servers.iter().any(|server| server.starts_with(':')) {
                return Err(AddressError::NoServer(text.to_owned()));
            }
            let path = path.trim_end_matches('/');
            if path.is_empty() {
                return Err(AddressError::NoPath(text.to_owned()));
            }
            let path = format!("/{path}");
            return Ok(Address::ZooKeeper(ZooKeeper { servers: servers.join(","), path }));
        }
        let mut masters = Vec::new();
        for place in text.split(',').filter(|place| !place.is_empty()) {
            let location = Location::parse(place)
                .map_err(|cause| AddressError::Place { text: text.to_owned(), cause })?;
            if location.tls == Some(true) {
                return Err(AddressError::Tls(text.to_owned()));
            }
            masters.push(location);
        }
        if masters.is_empty() {
            return Err(AddressError::NoServer(text.to_owned()));
        }
        Ok(Address::Masters(masters))
    }
}

fn zookeeper_server(server: &str) -> String {
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { server.to_owned() } else { format!("{server}:2181") }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::ZooKeeper(ZooKeeper { servers, path }) => write!(f, "zk://{servers}{path}"),
            Address::Masters(masters) => {
                let names: Vec<String> = masters.iter().map(Location::authority).collect();
                f.write_str(&names.join(","))
            }
        }
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
            ("m1,m2:5051", "m1:5050,m2:5051"),
            ("http://m1:80", "m1:80"),
            ("//[::1]:5050", "[::1]:5050"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), told, "{text}");
        }
        for text in
            ["", ",", "zk://a", "zk:///mesos", "zk://a/", "zk://u:p@a/m", "https://m1", "a:x"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}

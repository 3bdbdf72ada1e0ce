//! Where masters are, as users write it.

use std::fmt;
use std::str::FromStr;

use mesos::Location;
use mesos_zookeeper::{Place, PlaceError};

/// Where masters are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// ZooKeeper knows who leads.
    ZooKeeper(Place),
    /// Some masters; those that don't lead say who does.
    Masters(Vec<Location>),
}

/// Why a text doesn't say where masters are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no server in it.
    #[error(
        "`{0}` names no server; expected zk://host:2181,host:2181/mesos or host:5050,host:5050"
    )]
    NoServer(String),
    /// It is no place in ZooKeeper.
    #[error(transparent)]
    ZooKeeper(#[from] PlaceError),
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
        if text.starts_with("zk://") {
            return Ok(Address::ZooKeeper(text.parse()?));
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::ZooKeeper(place) => write!(f, "{place}"),
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

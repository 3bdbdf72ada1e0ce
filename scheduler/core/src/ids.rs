//! Names and numbers of things. Names are checked when they are made, so that whoever has one needs
//! no check.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name of an app: a label of DNS, because Consul's names come from it.
pub const APP_NAME_MOST_BYTES: usize = 63;

/// The longest name of a machine: a name of DNS.
pub const MACHINE_NAME_MOST_BYTES: usize = 253;

/// The name of an app: small letters, digits and hyphens, a letter first, no hyphen last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(Arc<str>);

/// The name of a machine: visible characters without `/` and `\`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(Arc<str>);

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is no name of an app.
    #[error(
        "`{0}` is no name of an app: small letters, digits and hyphens, at most 63, a letter first"
    )]
    App(String),
    /// It is no name of a machine.
    #[error("`{0}` is no name of a machine: at most 253 visible characters without slashes")]
    Machine(String),
    /// It is no name of an instance.
    #[error("`{0}` is no name of an instance: the name of its app, a dot and its number")]
    Instance(String),
}

impl FromStr for AppName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_known =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = text.len() <= APP_NAME_MOST_BYTES
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.bytes().all(is_known);
        if is_name { Ok(AppName(text.into())) } else { Err(NameError::App(text.to_owned())) }
    }
}

impl FromStr for MachineName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_known = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\';
        let is_name =
            (1..=MACHINE_NAME_MOST_BYTES).contains(&text.len()) && text.bytes().all(is_known);
        if is_name {
            Ok(MachineName(text.into()))
        } else {
            Err(NameError::Machine(text.to_owned()))
        }
    }
}

/// What both kinds of names can do.
macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(AppName);
name!(MachineName);

/// A version of an app: counts from 1 and is never used again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// An instance: its app and its number in it, which is never used again. It is launched at most
/// once, so it names the process, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    /// Its app.
    pub app: AppName,
    /// Its number.
    pub number: u64,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.app, self.number))
    }
}

impl FromStr for InstanceId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parsed = || {
            let (app, number) = text.rsplit_once('.')?;
            let is_plain = !number.starts_with(['0', '+']) || number == "0";
            let number = number.parse().ok().filter(|_| is_plain)?;
            Some(InstanceId { app: app.parse().ok()?, number })
        };
        parsed().ok_or_else(|| NameError::Instance(text.to_owned()))
    }
}

impl TryFrom<String> for InstanceId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> String {
        id.to_string()
    }
}

/// Which term of leadership. What an earlier one still says is void.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Which write of this term.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WriteNumber(pub u64);

/// Which call: whoever called chooses it, and gets it back with the answer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// Which facts: whoever tells them chooses it, and gets it back when all of them are durable.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Receipt(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "image-view2", &"a".repeat(63)] {
            assert_eq!(good.parse::<AppName>().unwrap().as_str(), good);
        }
        for bad in ["", "1a", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
        for bad in ["", "a/b", "a\\b", "a b", "a\n", "ä", &"a".repeat(254)] {
            assert!(bad.parse::<MachineName>().is_err(), "{bad}");
        }
        assert_eq!("10.0.0.1".parse::<MachineName>().unwrap().to_string(), "10.0.0.1");
    }

    #[test]
    fn instances_are_read_as_they_are_written() {
        let id: InstanceId = "image.17".parse().unwrap();
        assert_eq!((id.app.as_str(), id.number), ("image", 17));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["image", "image.", "image.x", "image.01", "image.+1", ".1", "a.b.1", "image.-1"]
        {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
        }
    }
}

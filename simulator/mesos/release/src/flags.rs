//! Flags as Mesos' programs take them: `--name=value`, `--name`, `--no-name`, and `MESOS_name` in the
//! environment, which an argument beats. `file://` values stand for what is in the file.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The longest file that a flag may name, in bytes.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// The longest duration, in seconds: a hundred years.
const DURATION_LIMIT_SECONDS: f64 = 3.2e9;

/// Variables of Mesos' environment that are no flags.
const NO_FLAGS: &[&str] = &["native_java_library", "sandbox", "directory", "home"];

/// Why flags can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// A word that is no flag.
    #[error("`{0}` is no flag; flags are `--name=value`, `--name` and `--no-name`")]
    Word(String),
    /// A value that can't be read.
    #[error("--{name}={value}: {reason}")]
    Value {
        /// The flag.
        name: String,
        /// What it was given.
        value: String,
        /// What is wrong with that.
        reason: String,
    },
    /// A flag that must be there.
    #[error("--{0} is missing")]
    Missing(&'static str),
    /// Something that would protect the cluster, and that this program doesn't do.
    #[error("--{name}: {reason}; the simulated Mesos refuses to run as if it did")]
    Refused {
        /// The flag.
        name: String,
        /// What it isn't.
        reason: &'static str,
    },
}

/// The flags of a program.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    values: BTreeMap<String, String>,
    /// Variables that aren't flags.
    environment: BTreeMap<String, String>,
    /// Flags that were asked for: they have a meaning here.
    used: RefCell<BTreeSet<String>>,
}

impl Flags {
    /// Reads arguments and the environment.
    ///
    /// # Errors
    /// An argument is no flag.
    pub fn read(
        arguments: &[String],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, FlagError> {
        let mut flags = Flags::default();
        for (name, value) in environment {
            match name.strip_prefix("MESOS_").map(str::to_ascii_lowercase) {
                Some(flag) if !NO_FLAGS.contains(&flag.as_str()) => {
                    flags.values.insert(flag, value);
                }
                Some(_) => {}
                None => {
                    flags.environment.insert(name, value);
                }
            }
        }
        for word in arguments {
            let flag = word.strip_prefix("--").filter(|flag| !flag.is_empty());
            let flag = flag.ok_or_else(|| FlagError::Word(word.clone()))?;
            let (name, value) = match (flag.split_once('='), flag.strip_prefix("no-")) {
                (Some((name, value)), _) => (name, value),
                (None, Some(name)) => (name, "false"),
                (None, None) => (flag, "true"),
            };
            flags.values.insert(name.to_owned(), value.to_owned());
        }
        Ok(flags)
    }

    /// A value as it was given; an empty one is none.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.used.borrow_mut().insert(name.to_owned());
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value, from its file if it names one.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn text(&self, name: &str) -> Result<Option<String>, FlagError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        let Some(path) = value.strip_prefix("file://") else { return Ok(Some(value.to_owned())) };
        let wrong = |reason: String| self.wrong(name, reason);
        let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if length > FILE_LIMIT_BYTES {
            return Err(wrong(format!("it has {length} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Ok(Some(text.trim().to_owned()))
    }

    fn wrong(&self, name: &str, reason: impl Into<String>) -> FlagError {
        let value = self.values.get(name).cloned().unwrap_or_default();
        FlagError::Value { name: name.to_owned(), value, reason: reason.into() }
    }

    fn parse<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, FlagError> {
        let Some(value) = self.given(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(name, format!("expected {expected}")))
    }

    /// A number.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self, name: &str) -> Result<Option<u32>, FlagError> {
        self.parse(name, |value| value.parse().ok(), "a number")
    }

    /// A port.
    ///
    /// # Errors
    /// It is none.
    pub fn port(&self, name: &str) -> Result<Option<u16>, FlagError> {
        self.parse(name, |value| value.parse().ok(), "a port")
    }

    /// An address of IP.
    ///
    /// # Errors
    /// It is none.
    pub fn address(&self, name: &str) -> Result<Option<IpAddr>, FlagError> {
        self.parse(name, |value| value.parse().ok(), "an address of IP")
    }

    /// True or false.
    ///
    /// # Errors
    /// It is neither.
    pub fn is_set(&self, name: &str) -> Result<bool, FlagError> {
        let read = |value: &str| match value {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        Ok(self.parse(name, read, "true or false")?.unwrap_or(false))
    }

    /// A duration such as `15secs`.
    ///
    /// # Errors
    /// It is none.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, FlagError> {
        self.parse(name, duration, "a duration such as 500ms, 15secs or 10mins")
    }

    /// A folder.
    ///
    /// # Errors
    /// There is none.
    pub fn folder(&self, name: &'static str) -> Result<PathBuf, FlagError> {
        self.given(name).map(PathBuf::from).ok_or(FlagError::Missing(name))
    }

    /// Refuses flags that would protect somebody and don't here: those that are set at all, and
    /// those that are true.
    ///
    /// # Errors
    /// One of them is.
    pub fn refuse(&self, set: &[&str], when_true: &[&str]) -> Result<(), FlagError> {
        let reason = "there are no passwords, rules and certificates here";
        let refused = |name: &str| FlagError::Refused { name: name.to_owned(), reason };
        for name in set {
            if self.given(name).is_some() {
                return Err(refused(name));
            }
        }
        for name in when_true {
            if self.is_set(name)? {
                return Err(refused(name));
            }
        }
        let is_on = |name: &&str| {
            let value = self.environment.get(*name).map(String::as_str);
            matches!(value, Some("1" | "true"))
        };
        match ["LIBPROCESS_SSL_ENABLED", "SSL_ENABLED"].iter().find(|name| is_on(name)) {
            Some(name) => Err(refused(name)),
            None => Ok(()),
        }
    }

    /// Flags that nothing here has asked for.
    pub fn without_effect(&self) -> Vec<String> {
        let used = self.used.borrow();
        let is_idle = |(name, value): &(&String, &String)| {
            !used.contains(*name) && !value.is_empty() && *value != "false"
        };
        self.values.iter().filter(is_idle).map(|(name, _)| name.clone()).collect()
    }

    /// All of them, as the page of flags has them; empty ones are not there.
    pub fn page(&self) -> BTreeMap<String, String> {
        let all = self.values.iter().filter(|(_, value)| !value.is_empty());
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// A duration as Mesos writes it: a number and a unit.
fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: f64 = number.parse().ok()?;
    let unit_seconds = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return None,
    };
    let seconds = number * unit_seconds;
    let is_fit = (0.0..=DURATION_LIMIT_SECONDS).contains(&seconds);
    if is_fit { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Flags, FlagError> {
        let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        let environment: Vec<(String, String)> =
            environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Flags::read(&arguments, environment)
    }

    #[test]
    fn arguments_beat_the_environment() {
        let flags = read(
            &["--port=5060", "--no-quiet", "--strict"],
            &[("MESOS_port", "5050"), ("MESOS_WORK_DIR", "/w"), ("MESOS_zk", ""), ("HOME", "/")],
        )
        .unwrap();
        assert_eq!(flags.port("port"), Ok(Some(5060)));
        assert_eq!(flags.folder("work_dir"), Ok("/w".into()));
        assert_eq!((flags.is_set("quiet"), flags.is_set("strict")), (Ok(false), Ok(true)));
        assert_eq!(flags.given("zk"), None);
        assert_eq!(flags.folder("log_dir"), Err(FlagError::Missing("log_dir")));
        assert_eq!(flags.without_effect(), [""; 0]);
        assert_eq!(read(&["x"], &[]).unwrap_err(), FlagError::Word("x".to_owned()));
    }

    #[test]
    fn what_has_no_effect_is_known() {
        let flags = read(&["--cgroups_root=mesos", "--no-strict"], &[]).unwrap();
        assert_eq!(flags.without_effect(), ["cgroups_root"]);
    }

    #[test]
    fn durations_have_units() {
        let cases = [
            ("15secs", Some(15_000)),
            ("1.5mins", Some(90_000)),
            ("250ms", Some(250)),
            ("2hrs", Some(7_200_000)),
            ("15", None),
            ("15 parsecs", None),
            ("-1secs", None),
            ("1e30weeks", None),
            ("", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), milliseconds.map(Duration::from_millis), "{text}");
        }
        let flags = read(&["--offer_timeout=soon"], &[]).unwrap();
        let error = flags.duration("offer_timeout").unwrap_err().to_string();
        assert!(error.starts_with("--offer_timeout=soon: expected a duration"), "{error}");
    }

    #[test]
    fn what_would_protect_is_refused() {
        let refuse = |arguments: &[&str], environment: &[(&str, &str)]| {
            let flags = read(arguments, environment).unwrap();
            flags.refuse(&["credentials", "acls"], &["authenticate_agents"])
        };
        assert_eq!(refuse(&["--no-authenticate_agents", "--acls="], &[]), Ok(()));
        assert!(refuse(&["--authenticate_agents"], &[]).is_err());
        assert!(refuse(&["--credentials=file:///x"], &[]).is_err());
        assert!(refuse(&[], &[("LIBPROCESS_SSL_ENABLED", "1")]).is_err());
    }

    #[test]
    fn a_file_stands_for_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zk");
        std::fs::write(&path, "zk://h:2181/mesos\n").unwrap();
        let argument = format!("--zk=file://{}", path.display());
        let flags = read(&[&argument, "--master=file:///nowhere"], &[]).unwrap();
        assert_eq!(flags.text("zk").unwrap().unwrap(), "zk://h:2181/mesos");
        assert!(flags.text("master").is_err());
    }
}

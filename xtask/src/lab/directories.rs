//! `[io]` Where the lab keeps its files: a cache that all labs of the machine share and may be
//! deleted at any time without a lab, and one state directory per lab that `lab down` removes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::isolate;
use super::names::{Host, LabId, LabName, Subnet};
use crate::error::{Doing, Error};

/// Version of the files in a state directory; others are refused.
const STATE_VERSION: u32 = 1;

/// What the names of state directories begin with.
pub const FOLDER_PREFIX: &str = "corral-lab-";

/// What all labs of this machine share.
#[derive(Debug, Clone)]
pub struct Cache(PathBuf);

/// One lab's files.
#[derive(Debug, Clone)]
pub struct StateDirectory(PathBuf);

/// What a lab is: written once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this file.
    pub version: u32,
    /// The lab's name.
    pub name: LabName,
    /// Its network.
    pub subnet: Subnet,
    /// Its hosts.
    pub hosts: Vec<Host>,
    /// The read-only layers of the hosts' root file systems, topmost first.
    pub layers: Vec<PathBuf>,
}

impl Cache {
    /// `$CORRAL_LAB_CACHE` or a folder of the system's cache.
    #[must_use]
    pub fn of_environment() -> Self {
        Self(
            std::env::var_os("CORRAL_LAB_CACHE")
                .map_or_else(|| PathBuf::from("/var/cache/corral-lab"), PathBuf::from),
        )
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Debian's files.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.0.join("packages")
    }

    /// Release archives.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }

    /// Takes a lock that is held until the file is dropped (or its holder dies).
    ///
    /// # Errors
    /// The lock's file can't be made.
    pub fn lock(&self, name: &str) -> Result<File, Error> {
        let directory = self.0.join("locks");
        let action = || format!("lock {} in {}", name, directory.display());
        fs::create_dir_all(&directory).doing(action)?;
        let file = File::create(directory.join(name)).doing(action)?;
        file.lock().doing(action)?;
        Ok(file)
    }
}

impl StateDirectory {
    /// `$CORRAL_LAB_DIR` or a folder by the lab's name.
    #[must_use]
    pub fn of_environment(name: &LabName) -> Self {
        let folder = format!("{FOLDER_PREFIX}{}", name.as_str());
        Self(match (isolate::directory(), std::env::var_os("CORRAL_LAB_DIR")) {
            (Some(above), _) => above.join(folder),
            (None, Some(directory)) => directory.into(),
            (None, None) => Path::new("/var/tmp").join(folder),
        })
    }

    /// A given directory.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The private key that all hosts let in.
    #[must_use]
    pub fn private_key(&self) -> PathBuf {
        self.0.join("keys/id_ed25519")
    }

    /// The hosts' keys, as `ssh` reads them.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.0.join("keys/known_hosts")
    }

    /// What services of the hosts show, and what vouches for it.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.join("keys/certificate.pem")
    }

    /// The key of the certificate.
    #[must_use]
    pub fn certificate_key(&self) -> PathBuf {
        self.0.join("keys/certificate.key")
    }

    /// `ssh -F` this file.
    #[must_use]
    pub fn ssh_config(&self) -> PathBuf {
        self.0.join("keys/ssh_config")
    }

    /// The lab's own inventory.
    #[must_use]
    pub fn inventory(&self) -> PathBuf {
        self.0.join("inventory")
    }

    /// The same over the delayed way (see `latency`).
    #[must_use]
    pub fn delayed_inventory(&self) -> PathBuf {
        self.0.join("inventory-delayed")
    }

    /// A host's files.
    #[must_use]
    pub fn host(&self, host: &Host) -> PathBuf {
        self.0.join("hosts").join(&host.name)
    }

    /// A host's root file system, mounted.
    #[must_use]
    pub fn root(&self, host: &Host) -> PathBuf {
        self.host(host).join("root")
    }

    /// What a host says on its console.
    #[must_use]
    pub fn console(&self, host: &Host) -> PathBuf {
        self.host(host).join("console.log")
    }

    /// Reads what the lab is.
    ///
    /// # Errors
    /// There is no such lab, or another version of `xtask` made it.
    pub fn record(&self) -> Result<Record, Error> {
        let action = || format!("read what the lab in {} is", self.0.display());
        let record: Option<Record> = read_json(&self.record_file())?;
        match record {
            Some(record) if record.version == STATE_VERSION => Ok(record),
            Some(record) => Err(Error::refused(
                action(),
                format!("it has version {}, this xtask writes {STATE_VERSION}", record.version),
            )
            .with_hint("`cargo xtask lab down` and `up` again")),
            None => Err(Error::refused(action(), "there is no such lab")
                .with_hint("`cargo xtask lab up`; another lab's name goes into CORRAL_LAB_NAME")),
        }
    }

    /// Writes what the lab is.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_record(&self, record: &Record) -> Result<(), Error> {
        write_json(&self.record_file(), record)
    }

    fn record_file(&self) -> PathBuf {
        self.0.join("lab.json")
    }
}

impl Record {
    /// A new lab.
    #[must_use]
    pub fn new(name: LabName, subnet: Subnet, hosts: Vec<Host>, layers: Vec<PathBuf>) -> Self {
        Self { version: STATE_VERSION, name, subnet, hosts, layers }
    }

    /// The host of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn host(&self, name: &str) -> Result<&Host, Error> {
        self.hosts.iter().find(|host| host.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
            Error::refused(format!("find the host {name}"), "this lab has no such host")
                .with_hint(format!("its hosts are {}", names.join(" ")))
        })
    }

    /// The id in all names.
    #[must_use]
    pub fn id(&self) -> LabId {
        isolate::id(&self.name)
    }
}

/// Refuses paths that mean something else to mount options, `ssh_config` or inventories.
///
/// # Errors
/// The path isn't absolute or has special characters.
pub fn check_path(path: &Path) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    match path.is_absolute() && path.to_str().is_some_and(|path| path.chars().all(plain)) {
        true => Ok(()),
        false => Err(Error::refused(
            format!("use {}", path.display()),
            "the lab needs an absolute path of letters, digits and / - _ .",
        )),
    }
}

/// Reads a file of ours; `None` if it doesn't exist.
///
/// # Errors
/// It can't be read or isn't what we wrote.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let action = || format!("read {}", path.display());
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).doing(action),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(action),
    }
}

/// Writes a file of ours: complete or not at all.
///
/// # Errors
/// It can't be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).doing(|| format!("write {}", path.display()))?;
    write_file(path, format!("{text}\n").as_bytes())
}

/// Writes a file: complete or not at all.
///
/// # Errors
/// It can't be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let action = || format!("write {}", path.display());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    fs::write(&temporary, bytes).doing(action)?;
    fs::rename(&temporary, path).doing(action)
}

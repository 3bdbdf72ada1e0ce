//! The daemon's folder, and the file in it that tells clients where the daemon is.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Which folder.
#[derive(Debug, Clone, clap::Args)]
pub struct Home {
    /// The daemon's folder with its records; $XDG_STATE_HOME/corral/scheduler if absent
    /// [also: SCHEDULER_DATA].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

/// Which daemon: that of a folder on this machine, or one that is reached through its address.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    #[command(flatten)]
    pub home: Home,
    /// Schedulers elsewhere, https://HOST:PORT,https://HOST:PORT: the next one is asked when one doesn't
    /// answer. The token is in $SCHEDULER_TOKEN or in the file $SCHEDULER_TOKEN_FILE
    /// [also: SCHEDULER_SERVER].
    #[arg(long, global = true, value_name = "URL", value_delimiter = ',', conflicts_with = "data")]
    pub server: Vec<String>,
    /// Certificates that vouch for it, in PEM; those that browsers know if absent
    /// [also: SCHEDULER_CA].
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Where a daemon is. Only its user may read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonFile {
    /// Where its API listens.
    pub address: SocketAddr,
    /// What may change something.
    pub token: String,
    /// Its process.
    pub pid: u32,
}

const FILE: &str = "daemon.json";

impl Place {
    /// The folder of a daemon on this machine.
    pub fn folder(&self) -> Result<PathBuf, String> {
        self.home.folder()
    }

    /// The daemons elsewhere; none, if that of a folder is meant.
    pub fn servers(&self) -> Vec<String> {
        let mut chosen = self.server.clone();
        if chosen.is_empty() && self.home.data.is_none() {
            let variable = std::env::var("SCHEDULER_SERVER").unwrap_or_default();
            chosen.extend(variable.split(',').map(str::to_owned));
        }
        chosen.iter().map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect()
    }

    /// The file of certificates that vouch for it.
    pub fn ca(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os("SCHEDULER_CA").filter(|value| !value.is_empty());
        self.ca.clone().or_else(|| variable().map(PathBuf::from))
    }
}

impl Home {
    /// The folder, as a whole path: processes with other folders of work get it, too.
    pub fn folder(&self) -> Result<PathBuf, String> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let chosen = self.data.clone().or_else(|| variable("SCHEDULER_DATA").map(PathBuf::from));
        let state = || variable("XDG_STATE_HOME").map(PathBuf::from);
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let standard = || state().or_else(home).map(|base| base.join("corral/scheduler"));
        let folder = chosen.or_else(standard);
        let folder = folder.ok_or("there is neither `--data` nor a home folder")?;
        std::path::absolute(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    }
}

/// Makes the folder, for its user only: it has the token and what instances wrote. If it can't be
/// so, says why, and what to do.
pub fn make_private(folder: &Path) -> Result<(), (String, Option<String>)> {
    let failed = |error: io::Error| (format!("{}: {error}", folder.display()), None);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mode = fs::metadata(folder).map_err(failed)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message =
        format!("others may look into {}: its mode is {:o}", folder.display(), mode & 0o777);
    Err((message, Some(format!("chmod 700 {}", folder.display()))))
}

/// Tells clients where the daemon is.
pub fn write(folder: &Path, daemon: &DaemonFile) -> io::Result<()> {
    durable::write(&folder.join(FILE), &serde_json::to_vec(daemon)?, 0o600)
}

/// Where the daemon is; none if there never was one.
pub fn read(folder: &Path) -> io::Result<Option<DaemonFile>> {
    match fs::read(folder.join(FILE)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

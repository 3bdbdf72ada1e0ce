//! The command line of `provision artifacts`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::arguments::VaultPasswords;

/// Archives of releases: what they are, where they come from, whether they are genuine.
#[derive(Debug, Clone, Subcommand)]
#[command(after_help = "Examples:\n  \
    provision artifacts add zookeeper 3.9.3 https://…/apache-zookeeper-3.9.3-bin.tar.gz \\\n      \
    --signature https://…/….tar.gz.asc --key KEYS -i inventories/site\n  \
    provision artifacts fetch -i inventories/site         all that the lock names\n  \
    provision artifacts verify -i inventories/site        is the cache what the lock says?\n  \
    provision artifacts mirror /srv/www/artifacts -i inventories/site")]
pub enum ArtifactsCommand {
    /// Download an archive, check what upstream says of it, and write it into the lock
    Add(Box<Add>),
    /// Download what the lock names into the cache of this machine
    Fetch(Fetch),
    /// Read the cache (and a mirror) again: every wanted release is there and genuine
    Verify(Verify),
    /// Write a folder that any web server can serve to hosts
    Mirror(Mirror),
    /// Show what the lock names
    List(List),
    /// Delete from the cache what no lock names
    Prune(Prune),
}

/// Delete from the cache what no lock names.
#[derive(Debug, Clone, Args)]
pub struct Prune {
    #[command(flatten)]
    pub place: Place,
    /// Do not ask: all locks that use this cache are named with -i
    #[arg(short, long)]
    pub yes: bool,
}

/// Where lock and cache are.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Inventory: its lock is the variable `artifacts` in group_vars/all/; may be repeated
    #[arg(short, long = "inventory", value_name = "SOURCE")]
    pub inventory: Vec<String>,
    /// The file with the lock, if it is another one
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// The cache [default: ~/.cache/provision/artifacts]
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
}

/// Download an archive, check what upstream says of it, and write it into the lock.
#[derive(Debug, Clone, Args)]
pub struct Add {
    /// What it is a release of
    #[arg(value_name = "COMPONENT")]
    pub component: String,
    /// Which release
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// Its address, or a file
    #[arg(value_name = "URL|FILE")]
    pub source: String,
    #[command(flatten)]
    pub place: Place,
    /// Upstream's signature, of the archive or of the list of digests: OpenPGP or minisign
    #[arg(long, value_name = "URL|FILE", requires = "key")]
    pub signature: Option<String>,
    /// Keys that upstream signs with, from a source that you trust
    #[arg(long, value_name = "FILE", requires = "signature")]
    pub key: Option<PathBuf>,
    /// SHA-512 as upstream publishes it: the digits, or a list with it
    #[arg(long, value_name = "URL|FILE|HEX")]
    pub sha512: Option<String>,
    /// SHA-256, likewise
    #[arg(long, value_name = "URL|FILE|HEX")]
    pub sha256: Option<String>,
    /// Replace an entry that has another digest
    #[arg(long)]
    pub replace: bool,
    /// Take it unsigned although earlier releases were signed
    #[arg(long, conflicts_with = "signature")]
    pub unsigned: bool,
    /// Largest archive that is downloaded, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub max_size: u64,
}

/// Download what the lock names.
#[derive(Debug, Clone, Args)]
pub struct Fetch {
    /// Only this component
    #[arg(value_name = "COMPONENT")]
    pub component: Option<String>,
    /// Only this version of it
    #[arg(value_name = "VERSION")]
    pub version: Option<String>,
    #[command(flatten)]
    pub place: Place,
    /// From this mirror, not from upstream
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// Downloads at a time
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    pub parallel: usize,
}

/// Read the cache (and a mirror) again.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// Check this mirror, too; hosts get what they need from it, so the cache may lack it
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// Write a folder that any web server can serve.
#[derive(Debug, Clone, Args)]
pub struct Mirror {
    /// The folder
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub place: Place,
}

/// Show what the lock names.
#[derive(Debug, Clone, Args)]
pub struct List {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub passwords: VaultPasswords,
}

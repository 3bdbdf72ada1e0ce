//! Entries for fuzz targets: what is private and decides about text that others wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::SshError;
use crate::local::LocalUser;
use crate::options::{ConnectOptions, Destination};
use crate::resolve::resolve;
use crate::ssh_config::{Entry, LoadedConfig, Subject, evaluate, parse_ssh_config};

/// What a text in `ssh_config` format makes of a destination, as `Debug` shows the plan of the
/// connection. Reads nothing: `Include` is refused, and the local user is a made-up one.
///
/// # Errors
/// What applies to the destination and cannot be honoured.
pub fn explain_ssh_config(text: &str, destination: &Destination) -> Result<String, SshError> {
    let local = LocalUser {
        name: "me".to_owned(),
        home: PathBuf::from("/home/me"),
        id: 1000,
        host_name: "here.example.org".to_owned(),
    };
    let file = LoadedConfig {
        path: Arc::from(Path::new("config")),
        entries: parse_ssh_config(text).lines.into_iter().map(Entry::Line).collect(),
    };
    let subject = Subject {
        host: &destination.host,
        user: destination.user.as_deref(),
        local_user: &local.name,
    };
    let config = evaluate(&[file], subject)?;
    let target = resolve(destination, &ConnectOptions::default(), &config, &local, None)?;
    Ok(format!("{target:?} {:?}", config.ignored))
}

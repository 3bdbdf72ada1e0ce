//! Why a store can't do something.

use std::io;
use std::path::PathBuf;

use consul_client::ClientError;
use scheduler_core::ids::Epoch;

use crate::file::FORMAT;

/// Why a store can't do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("the store {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another program, or another version of this one.
    #[error(
        "the store {path} has the format `{found}`, this program knows `{FORMAT}`; use the program \
         that wrote it, or another folder"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// A write came from a term that is over.
    #[error(
        "the write is of term {written}, but term {current} has begun: another scheduler leads"
    )]
    Fenced {
        /// Of the write.
        written: u64,
        /// The newest one.
        current: u64,
    },
    /// The session that this scheduler leads by has ended, or was ended.
    #[error("this scheduler does not lead any more: its session does not hold the office")]
    Lost,
    /// Consul doesn't do it.
    #[error("failed to {source}")]
    Consul {
        /// Cause.
        source: Box<ClientError>,
    },
    /// A key in Consul isn't what it should be.
    #[error("the key `{key}` can't be used: {why}")]
    Key {
        /// Which.
        key: String,
        /// Why not.
        why: String,
    },
    /// A record can't be read.
    #[error("the record `{name}` can't be read")]
    Record {
        /// Its name.
        name: String,
        /// Cause.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A record can't be written: it has no JSON form.
    #[error("the record `{name}` can't be written")]
    Unwritable {
        /// Its name.
        name: String,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// The folder can't be made.
    #[error("failed to make {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The database failed.
    #[error("the store {path} failed")]
    Database {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: Box<redb::Error>,
    },
    /// A snapshot can't be read or written.
    #[error(transparent)]
    Snapshot(#[from] durable::LogError),
}

impl StoreError {
    pub(crate) const fn fenced(written: Epoch, current: Epoch) -> Self {
        StoreError::Fenced { written: written.0, current: current.0 }
    }

    pub(crate) fn consul(source: ClientError) -> Self {
        StoreError::Consul { source: Box::new(source) }
    }

    /// Itself with all its causes, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = match self {
            StoreError::Snapshot(error) => format!("failed to {error}"),
            other => other.to_string(),
        };
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

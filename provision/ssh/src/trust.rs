//! The `known_hosts` files that all connections of a client share: each is read once, and again
//! when a key was learnt.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::error::SshError;
use crate::host_key::HostKey;
use crate::known_hosts::{HostName, KnownHosts, Location, NameStorage, Verdict};

/// Keeps what was read, by list of files.
#[derive(Debug, Default)]
pub(crate) struct TrustStore {
    loaded: Mutex<HashMap<Vec<PathBuf>, Arc<KnownHosts>>>,
}

impl TrustStore {
    /// The content of these files.
    pub(crate) async fn load(&self, files: &[PathBuf]) -> Result<Arc<KnownHosts>, SshError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(known) = loaded.get(files) {
            return Ok(Arc::clone(known));
        }
        let known = Arc::new(read(files).await?);
        loaded.insert(files.to_vec(), Arc::clone(&known));
        Ok(known)
    }

    /// Appends a key unless the files, read again, know better by now. One at a time.
    pub(crate) async fn learn(
        &self,
        files: &[PathBuf],
        path: &Path,
        name: &HostName,
        key: &HostKey,
        storage: NameStorage,
    ) -> Result<Verdict, SshError> {
        let mut loaded = self.loaded.lock().await;
        let verdict = read(files).await?.verdict(name, key);
        if !matches!(&verdict, Verdict::Unknown { other_types } if other_types.is_empty()) {
            return Ok(verdict);
        }
        let job = (path.to_owned(), name.clone(), key.clone());
        let written = tokio::task::spawn_blocking(move || {
            let (path, name, key) = job;
            KnownHosts::append(&path, &name, &[key], storage)
        })
        .await;
        let learn_error = |source| SshError::LearnHostKey {
            host: name.to_string(),
            path: path.to_owned(),
            source,
        };
        written.map_err(std::io::Error::other).map_err(learn_error)?.map_err(learn_error)?;
        loaded.clear();
        Ok(Verdict::Known(Location { file: path.to_owned(), line: 0 }))
    }
}

async fn read(files: &[PathBuf]) -> Result<KnownHosts, SshError> {
    let paths = files.to_vec();
    let failed = |path, source| SshError::ReadFile { path, source };
    match tokio::task::spawn_blocking(move || KnownHosts::load(&paths)).await {
        Ok(loaded) => loaded.map_err(|(path, source)| failed(path, source)),
        Err(error) => Err(failed(PathBuf::from("known_hosts"), std::io::Error::other(error))),
    }
}

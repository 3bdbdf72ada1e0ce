//! `[io]` The lab's package mirror: Debian through this machine's own apt configuration, cached
//! on disk, and the release archives made of it. Serves only on the lab's own network.

pub mod cache;
pub mod http;
pub mod upstream;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Doing, Error};
use crate::lab::directories::Cache;
use crate::lab::names::Subnet;
use cache::PackageCache;

/// Port of the mirror on the bridge's address. Not privileged, not used by what the demo installs.
pub const PORT: u16 = 8077;

/// The address of a lab's mirror.
#[must_use]
pub fn url(subnet: Subnet) -> String {
    format!("http://{}:{PORT}", subnet.gateway())
}

/// What the mirror serves.
#[derive(Debug)]
pub struct Site {
    packages: PackageCache,
    artifacts: std::path::PathBuf,
}

impl Site {
    /// A site on this machine's cache and apt configuration.
    ///
    /// # Errors
    /// The machine's apt sources have no Debian.
    pub fn of_machine(cache: &Cache) -> Result<Self, Error> {
        Ok(Self { packages: PackageCache::of_machine(cache)?, artifacts: cache.artifacts() })
    }

    /// The file that answers a request for a path; `None` if there is no such thing.
    ///
    /// # Errors
    /// The upstream fails.
    pub fn file(&self, path: &str) -> Result<Option<std::path::PathBuf>, Error> {
        match path.strip_prefix("artifacts/") {
            Some(name) if is_clean(name) => {
                let file = self.artifacts.join(name);
                Ok(file.is_file().then_some(file))
            }
            Some(_) => Ok(None),
            None => self.packages.get(path),
        }
    }
}

/// Serves until the process ends.
///
/// # Errors
/// The address can't be bound.
pub fn serve(site: Site, address: Ipv4Addr, port: u16) -> Result<(), Error> {
    let address = SocketAddrV4::new(address, port);
    let listener = TcpListener::bind(address).doing(|| format!("serve the mirror on {address}"))?;
    http::serve(&listener, &Arc::new(site));
    Ok(())
}

/// Serves in the background on a free local port, for as long as this process lives.
///
/// # Errors
/// No port can be bound.
pub fn serve_locally(site: Site) -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .doing(|| "serve the mirror locally".to_owned())?;
    let port = listener.local_addr().doing(|| "learn the mirror's port".to_owned())?.port();
    std::thread::spawn(move || http::serve(&listener, &Arc::new(site)));
    Ok(port)
}

/// Whether a path may be joined to a directory of ours.
#[must_use]
pub fn is_clean(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path)
            .components()
            .all(|component| matches!(component, std::path::Component::Normal(_)))
}

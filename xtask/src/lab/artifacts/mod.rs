//! `[io]` Release archives of the components that the demo installs, repacked from Debian packages
//! of several suites. The same packages always give the same bytes.
//!
//! Nothing here is an upstream release: the archives exist so that installs, upgrades and
//! rollbacks run for real without any other registry than Debian's.

pub mod deb;
pub mod index;
pub mod own;
pub mod recipes;
pub mod repack;

use std::fs;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::directories::{Cache, read_json, write_file, write_json};
use super::mirror::cache::PackageCache;
use crate::error::{Doing, Error};

/// Raised when a recipe changes: archives of other recipes are built again.
const RECIPES_VERSION: u32 = 3;

/// An archive in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What it is a release of.
    pub component: String,
    /// The upstream version, as the Debian package says.
    pub version: String,
    /// Its name in the cache and on the mirror (`/artifacts/…`).
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it takes on a disk when it is unpacked, in bytes; caches of earlier versions don't know.
    #[serde(default)]
    pub unpacked_size: Option<u64>,
    /// Its SHA-256.
    pub sha256: String,
    /// The only directory at its top.
    pub root: String,
    /// The packages it was made from, with their versions.
    pub made_from: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Built {
    recipes_version: u32,
    artifacts: Vec<Artifact>,
}

/// The archives, those of our own programs as far as they were packed ([`own::pack`]); builds what the
/// cache lacks of the others.
///
/// # Errors
/// A package can't be had or isn't what its index says, or lacks a file.
pub fn ensure(cache: &Cache) -> Result<Vec<Artifact>, Error> {
    let _only_one_builds = cache.lock("artifacts")?;
    let mut artifacts = match cached(cache)? {
        Some(artifacts) => artifacts,
        None => build(cache)?,
    };
    artifacts.extend(own::known(cache)?);
    Ok(artifacts)
}

/// Builds all archives from what the mirror has now.
///
/// # Errors
/// As `ensure`.
pub fn rebuild(cache: &Cache) -> Result<Vec<Artifact>, Error> {
    let _only_one_builds = cache.lock("artifacts")?;
    build(cache)
}

fn cached(cache: &Cache) -> Result<Option<Vec<Artifact>>, Error> {
    let built: Option<Built> = read_json(&cache.artifacts().join("index.json"))?;
    Ok(built.filter(|built| built.recipes_version == RECIPES_VERSION).and_then(|built| {
        let whole = built.artifacts.iter().all(|artifact| {
            let file = cache.artifacts().join(&artifact.file);
            file.metadata().is_ok_and(|metadata| metadata.len() == artifact.size)
        });
        whole.then_some(built.artifacts)
    }))
}

fn build(cache: &Cache) -> Result<Vec<Artifact>, Error> {
    let start = Instant::now();
    eprintln!("lab: repacking release archives from Debian packages (once)");
    let directory = cache.artifacts();
    fs::create_dir_all(&directory).doing(|| format!("create {}", directory.display()))?;
    let packages = PackageCache::of_machine(cache)?;
    let mut suites = index::Suites::new(&packages);
    let mut artifacts = Vec::new();
    for recipe in recipes::ALL {
        let release = recipe
            .make(&mut suites)
            .doing(|| format!("repack {} of {}", recipe.component, recipe.suite))?;
        let root = format!("{}-{}", recipe.component, release.version);
        let file = format!("{root}.tar.gz");
        let bytes = release.archive.to_tar_gz(&root).doing(|| format!("pack {file}"))?;
        write_file(&directory.join(&file), &bytes)?;
        artifacts.push(Artifact {
            component: recipe.component.to_owned(),
            version: release.version,
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            unpacked_size: Some(release.archive.unpacked_size()),
            sha256: hex::encode(Sha256::digest(&bytes)),
            file,
            root,
            made_from: release.made_from,
        });
    }
    let built = Built { recipes_version: RECIPES_VERSION, artifacts };
    write_json(&directory.join("index.json"), &built)?;
    eprintln!("lab: repacked {} in {:.1} s", built.artifacts.len(), start.elapsed().as_secs_f64());
    Ok(built.artifacts)
}

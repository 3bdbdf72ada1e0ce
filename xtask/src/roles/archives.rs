//! `[io]` Downloads that roles ask for, made of the lab's own release archives in the shape and under
//! the names that upstream has. The mirror serves them below `/artifacts/public-roles/`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::error::{Doing, Error};
use crate::lab::artifacts::Artifact;
use crate::lab::directories::{Cache, write_file};

/// The folder in the mirror's artifacts.
const FOLDER: &str = "public-roles";

/// Makes what is missing.
///
/// # Errors
/// The lab has no such release, or a file can't be written.
pub fn make(cache: &Cache, artifacts: &[Artifact]) -> Result<(), Error> {
    let folder = cache.artifacts().join(FOLDER);
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    consul(cache, artifacts, &folder)
}

fn newest<'a>(artifacts: &'a [Artifact], component: &str) -> Result<&'a Artifact, Error> {
    artifacts.iter().rfind(|artifact| artifact.component == component).ok_or_else(|| {
        Error::refused(format!("find a release of {component}"), "the lab's archives have none")
    })
}

/// `consul/VERSION/consul_VERSION_linux_amd64.zip` and `consul_VERSION_SHA256SUMS`.
fn consul(cache: &Cache, artifacts: &[Artifact], folder: &Path) -> Result<(), Error> {
    let artifact = newest(artifacts, "consul")?;
    let version = &artifact.version;
    let name = format!("consul_{version}_linux_amd64.zip");
    let folder = folder.join("consul").join(version);
    let sums = folder.join(format!("consul_{version}_SHA256SUMS"));
    if sums.is_file() {
        return Ok(());
    }
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let program = file_of(cache, artifact, "bin/consul")?;
    let action = || format!("pack {name}");
    let damaged = |error: zip::result::ZipError| Error::refused(action(), error.to_string());
    let path = folder.join(&name);
    let mut writer = ZipWriter::new(File::create(&path).doing(action)?);
    writer
        .start_file("consul", SimpleFileOptions::default().unix_permissions(0o755))
        .map_err(damaged)?;
    writer.write_all(&program).doing(action)?;
    writer.finish().map_err(damaged)?;
    let bytes = fs::read(&path).doing(action)?;
    // The sums are last: without them the archive counts as not there.
    write_file(&sums, format!("{}  {name}\n", hex::encode(Sha256::digest(&bytes))).as_bytes())
}

/// A file of a release archive.
fn file_of(cache: &Cache, artifact: &Artifact, name: &str) -> Result<Vec<u8>, Error> {
    let path = cache.artifacts().join(&artifact.file);
    let action = || format!("read {name} of {}", path.display());
    let wanted = Path::new(&artifact.root).join(name);
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(&path).doing(action)?));
    for entry in archive.entries().doing(action)? {
        let mut entry = entry.doing(action)?;
        if entry.path().doing(action)? == wanted {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).doing(action)?;
            return Ok(bytes);
        }
    }
    Err(Error::refused(action(), "it isn't in there"))
}

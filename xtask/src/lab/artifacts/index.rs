//! `[io]` Debian's package indexes: signature → digest of the index → digest of each package.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::super::apt;
use super::super::mirror::cache::PackageCache;
use super::deb::FileTree;
use crate::error::{self, Doing, Error};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const INDEX: &str = "main/binary-amd64/Packages.gz";
/// An unpacked index has about 60 MB.
const INDEX_LIMIT_BYTES: u64 = 512 * 1024 * 1024;

/// The suites that recipes take packages from; each index is read once.
#[derive(Debug)]
pub struct Suites<'a> {
    packages: &'a PackageCache,
    indexes: BTreeMap<String, HashMap<String, String>>,
}

/// A package as its index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, as Debian counts.
    pub version: String,
    file: String,
    sha256: String,
}

impl<'a> Suites<'a> {
    /// Suites of this machine's mirror.
    #[must_use]
    pub fn new(packages: &'a PackageCache) -> Self {
        Self { packages, indexes: BTreeMap::new() }
    }

    /// The package of that name; `None` if the suite doesn't have it.
    ///
    /// # Errors
    /// The suite's index can't be had or isn't genuine.
    pub fn package(&mut self, suite: &str, name: &str) -> Result<Option<Package>, Error> {
        if !self.indexes.contains_key(suite) {
            let index = self.read_index(suite).doing(|| format!("read the index of {suite}"))?;
            self.indexes.insert(suite.to_owned(), index);
        }
        let stanza = self.indexes.get(suite).and_then(|index| index.get(name));
        stanza.map(|stanza| Package::parse(stanza)).transpose()
    }

    /// Unpacks the files of a package whose paths `wanted` accepts.
    ///
    /// # Errors
    /// The package can't be had or isn't what the index says.
    pub fn unpack(
        &self,
        package: &Package,
        into: &mut FileTree,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let path = self.required(&package.file)?;
        let bytes = read_verified(&path, &package.sha256)?;
        drop(bytes);
        into.unpack(&path, wanted)
    }

    fn read_index(&self, suite: &str) -> Result<HashMap<String, String>, Error> {
        let release = self.required(&format!("dists/{suite}/InRelease"))?;
        let release = verified_text(&release)?;
        let sha256 = digest_in_release(&release, INDEX).ok_or_else(|| {
            Error::refused(format!("find {INDEX}"), "the suite's release file doesn't list it")
        })?;
        let directory = INDEX.rsplit_once('/').map_or("", |(directory, _)| directory);
        let path = format!("dists/{suite}/{directory}/by-hash/SHA256/{sha256}");
        let bytes = read_verified(&self.required(&path)?, &sha256)?;
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice())
            .take(INDEX_LIMIT_BYTES)
            .read_to_string(&mut text)
            .doing(|| format!("unpack {INDEX}"))?;
        Ok(stanzas_by_name(&text))
    }

    fn required(&self, path: &str) -> Result<std::path::PathBuf, Error> {
        self.packages.get(&format!("debian/{path}"))?.ok_or_else(|| {
            Error::refused(format!("download {path}"), "this machine's mirror doesn't have it")
        })
    }
}

impl Package {
    fn parse(stanza: &str) -> Result<Self, Error> {
        let fields = apt::fields(stanza);
        let field = |name: &str| {
            fields.get(name).cloned().ok_or_else(|| {
                Error::refused("read a package's description", format!("it has no {name}"))
            })
        };
        Ok(Self {
            name: field("package")?,
            version: field("version")?,
            file: field("filename")?,
            sha256: field("sha256")?,
        })
    }

    /// Upstream's part of the version: without epoch, Debian's revision and repacking marks.
    #[must_use]
    pub fn upstream_version(&self) -> &str {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
        version.split(['+', '~']).next().unwrap_or(version)
    }
}

fn stanzas_by_name(text: &str) -> HashMap<String, String> {
    text.split("\n\n")
        .filter_map(|stanza| {
            let name = stanza.lines().next()?.strip_prefix("Package: ")?;
            Some((name.to_owned(), stanza.to_owned()))
        })
        .collect()
}

fn digest_in_release(release: &str, file: &str) -> Option<String> {
    let fields = apt::fields(release);
    fields.get("sha256")?.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let digest = words.next()?;
        (words.nth(1)? == file).then(|| digest.to_owned())
    })
}

/// The signed text of an inline-signed file: what gpgv hands out, not what the file pretends.
fn verified_text(file: &Path) -> Result<String, Error> {
    let mut command = Command::new("gpgv");
    command.args(["--quiet", "--keyring", KEYRING, "--output", "-"]).arg(file);
    let output = error::capture(&mut command)
        .doing(|| format!("verify the signature of {}", file.display()))
        .map_err(|error| error.with_hint("update the package debian-archive-keyring"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read_verified(file: &Path, sha256: &str) -> Result<Vec<u8>, Error> {
    let action = || format!("read {}", file.display());
    let bytes = fs::read(file).doing(action)?;
    if hex::encode(Sha256::digest(&bytes)) == sha256 {
        return Ok(bytes);
    }
    // The next attempt downloads it again.
    let _ = fs::remove_file(file);
    Err(Error::refused(action(), "its SHA-256 isn't the one in the index").with_hint("try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_versions_lose_debians_marks() {
        for (version, upstream) in [
            ("3.8.0-11+deb12u2", "3.8.0"),
            ("20.10.24+dfsg1-1+deb12u1+b6", "20.10.24"),
            ("1.6.20~ds1-1", "1.6.20"),
            ("1:2.0-rc-3", "2.0-rc"),
        ] {
            let package = Package {
                name: String::new(),
                version: version.to_owned(),
                file: String::new(),
                sha256: String::new(),
            };
            assert_eq!(package.upstream_version(), upstream);
        }
    }

    #[test]
    fn the_sha256_part_of_a_release_file_is_used() {
        let release = "Suite: x\nMD5Sum:\n aa 1 main/binary-amd64/Packages.gz\nSHA256:\n \
                       bb 1 main/binary-amd64/Packages\n cc  2 main/binary-amd64/Packages.gz\n";
        assert_eq!(digest_in_release(release, INDEX).as_deref(), Some("cc"));
        assert_eq!(digest_in_release(release, "other"), None);
    }
}

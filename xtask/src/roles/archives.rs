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
use crate::lab::artifacts::deb::FileTree;
use crate::lab::artifacts::index::Suites;
use crate::lab::artifacts::repack::Archive;
use crate::lab::directories::{Cache, write_file};
use crate::lab::mirror::cache::PackageCache;
use crate::lab::rootfs;

/// The folder in the mirror's artifacts.
const FOLDER: &str = "public-roles";

/// Makes what is missing.
///
/// # Errors
/// The lab has no such release, or a file can't be written.
pub fn make(cache: &Cache, artifacts: &[Artifact]) -> Result<(), Error> {
    let folder = cache.artifacts().join(FOLDER);
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    consul(cache, artifacts, &folder)?;
    zookeeper(cache, artifacts, &folder)?;
    node_exporter(cache, &folder)
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

/// The release has no scripts of its own; roles start a server with this one of upstream's name.
const ZK_SERVER: &str = r#"#!/bin/sh
# zkServer.sh start|stop: what services of ZooKeeper run. Of the lab, not of Apache.
here=$(cd "$(dirname "$0")/.." && pwd)
. /etc/default/zookeeper
pid=${ZOO_LOG_DIR:-/tmp}/zookeeper_server.pid
case $1 in
start)
    nohup java -Xmx128m -cp "$here/lib/*:$here/conf" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$here/conf/zoo.cfg" \
        >"${ZOO_LOG_DIR:-/tmp}/zookeeper.out" 2>&1 </dev/null &
    echo $! >"$pid"
    ;;
stop) kill "$(cat "$pid")" && rm "$pid" ;;
*) exit 2 ;;
esac
"#;

/// `zookeeper-VERSION/apache-zookeeper-VERSION-bin.tar.gz`: the lab's release and the script.
fn zookeeper(cache: &Cache, artifacts: &[Artifact], folder: &Path) -> Result<(), Error> {
    let artifact = newest(artifacts, "zookeeper")?;
    let root = format!("apache-zookeeper-{}-bin", artifact.version);
    let folder = folder.join(format!("zookeeper-{}", artifact.version));
    let path = folder.join(format!("{root}.tar.gz"));
    if path.is_file() {
        return Ok(());
    }
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let action = || format!("repack {}", artifact.file);
    let source = cache.artifacts().join(&artifact.file);
    let mut entries = tar::Archive::new(GzDecoder::new(File::open(source).doing(action)?));
    let mut archive = Archive::default();
    for entry in entries.entries().doing(action)? {
        let mut entry = entry.doing(action)?;
        let path = entry.path().doing(action)?.into_owned();
        let Ok(inside) = path.strip_prefix(&artifact.root) else { continue };
        if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).doing(action)?;
            archive.add(&inside.to_string_lossy(), bytes);
        }
    }
    archive.add_program("bin/zkServer.sh", ZK_SERVER.as_bytes().to_vec());
    write_file(&path, &archive.to_tar_gz(&root).doing(action)?)
}

const EXPORTER_PACKAGE: &str = "prometheus-node-exporter";

/// `node_exporter/node_exporter-VERSION.linux-amd64.tar.gz` and `sha256sums.txt`, from Debian's
/// package.
fn node_exporter(cache: &Cache, folder: &Path) -> Result<(), Error> {
    let folder = folder.join("node_exporter");
    let sums = folder.join("sha256sums.txt");
    if sums.is_file() {
        return Ok(());
    }
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let packages = PackageCache::of_machine(cache)?;
    let mut suites = Suites::new(&packages);
    let lacks = || Error::refused(format!("find {EXPORTER_PACKAGE}"), "the suite hasn't got it");
    let package = suites.package(rootfs::SUITE, EXPORTER_PACKAGE)?.ok_or_else(lacks)?;
    let program = format!("usr/bin/{EXPORTER_PACKAGE}");
    let mut tree = FileTree::default();
    suites.unpack(&package, &mut tree, |path| path == program)?;
    let (_, bytes) = tree.resolve(&program).ok_or_else(lacks)?;
    let mut archive = Archive::default();
    archive.add_program("node_exporter", bytes.to_vec());
    let root = format!("node_exporter-{}.linux-amd64", package.upstream_version());
    let name = format!("{root}.tar.gz");
    let bytes = archive.to_tar_gz(&root).doing(|| format!("pack {name}"))?;
    write_file(&folder.join(&name), &bytes)?;
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

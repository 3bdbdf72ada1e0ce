//! `[io]` Release archives of this repository's own programs: the simulated Mesos in real mode, laid
//! out as a release of Mesos is, and the scheduler. They are built statically, since the hosts' C
//! library may be older than this machine's.
//!
//! What was packed last stands in the target folder, so that labs of several working copies don't
//! disturb each other; the archives' names hold a part of their digests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Artifact;
use super::repack::Archive;
use crate::error::{Doing, Error};
use crate::lab::directories::{Cache, read_json, write_file, write_json};
use crate::{step, workspace};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const PROFILE: &str = "quick";
/// A first build on two busy processors.
const BUILD_LIMIT: Duration = Duration::from_mins(40);
/// Archives that nobody packed again for so long are removed.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

const MESOS: &str = "mesos";
const SCHEDULER: &str = "scheduler";

/// Versions of the same programs, so that there is something to upgrade to.
pub const MESOS_VERSIONS: [&str; 2] = ["1.12.0", "1.12.1"];
/// As above.
pub const SCHEDULER_VERSIONS: [&str; 2] = ["0.1.0", "0.1.1"];

const ABOUT_MESOS: &str = "\
This is not Apache Mesos. It is Corral's simulated Mesos in real mode: a master and agents that speak\n\
the v1 API and run tasks as processes or Docker containers. See docs/mesos-conformance.md.\n";

#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    artifacts: Vec<Artifact>,
}

fn index() -> PathBuf {
    workspace::target().join("own-artifacts.json")
}

/// What was packed last, as far as it is still there.
///
/// # Errors
/// The index is damaged.
pub fn known(cache: &Cache) -> Result<Vec<Artifact>, Error> {
    let packed: Option<Packed> = read_json(&index())?;
    let artifacts = packed.map(|packed| packed.artifacts).unwrap_or_default();
    let is_there = |artifact: &Artifact| cache.artifacts().join(&artifact.file).is_file();
    Ok(artifacts.into_iter().filter(is_there).collect())
}

/// Builds the programs and packs them.
///
/// # Errors
/// The build fails, or a file can't be written.
pub fn pack(cache: &Cache) -> Result<(), Error> {
    let folder = programs()?;
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).doing(|| format!("read {}", path.display()))
    };
    let mesos = read("corral-mesos")?;
    let (scheduler, worker) = (read("scheduler")?, read("scheduler-sample-worker")?);
    let directory = cache.artifacts();
    fs::create_dir_all(&directory).doing(|| format!("create {}", directory.display()))?;
    let _only_one_packs = cache.lock("own-artifacts")?;
    let mut artifacts = Vec::new();
    for version in MESOS_VERSIONS {
        artifacts.push(store(&directory, MESOS, version, &mesos_release(version, &mesos))?);
    }
    for version in SCHEDULER_VERSIONS {
        let mut archive = Archive::default();
        archive.add_program("bin/scheduler", scheduler.clone());
        archive.add_program("bin/scheduler-sample-worker", worker.clone());
        archive.add("version", format!("{version}\n").into_bytes());
        artifacts.push(store(&directory, SCHEDULER, version, &archive)?);
    }
    remove_old(&directory, &artifacts);
    write_json(&index(), &Packed { artifacts })
}

/// The folder with the programs: built, or that of `CORRAL_LAB_PROGRAMS`, where somebody has built them
/// in another way.
///
/// # Errors
/// The build fails.
pub fn programs() -> Result<PathBuf, Error> {
    if let Some(folder) = std::env::var_os("CORRAL_LAB_PROGRAMS") {
        return Ok(folder.into());
    }
    let target = workspace::target().join("helper");
    let mut command = workspace::cargo(&["build", "--profile", PROFILE, "--target", TRIPLE]);
    command
        .args(["--package", "simulator-mesos-release", "--package", "scheduler"])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let what = "build the scheduler and the simulated Mesos";
    step::demand(&command, &step::log("build-own"), BUILD_LIMIT, what)?;
    Ok(target.join(TRIPLE).join(PROFILE))
}

/// What `make install` of Mesos lays out, as far as there is something to lay out.
fn mesos_release(version: &str, program: &[u8]) -> Archive {
    let mut archive = Archive::default();
    archive.add_program("libexec/corral-mesos", program.to_vec());
    for name in ["master", "agent"] {
        let script = format!(
            "#!/bin/sh\nexec \"$(dirname \"$(readlink -f \"$0\")\")/../libexec/corral-mesos\" \
             {name} \"$@\"\n"
        );
        archive.add_program(&format!("sbin/mesos-{name}"), script.into_bytes());
    }
    archive.add("share/mesos/version", format!("{version}\n").into_bytes());
    archive.add("share/mesos/README", ABOUT_MESOS.as_bytes().to_vec());
    archive
}

fn store(
    directory: &Path,
    component: &str,
    version: &str,
    archive: &Archive,
) -> Result<Artifact, Error> {
    let root = format!("{component}-{version}");
    let bytes = archive.to_tar_gz(&root).doing(|| format!("pack {root}"))?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let short: String = sha256.chars().take(12).collect();
    let file = format!("{root}-{short}.tar.gz");
    write_file(&directory.join(&file), &bytes)?;
    Ok(Artifact {
        component: component.to_owned(),
        version: version.to_owned(),
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        unpacked_size: Some(archive.unpacked_size()),
        sha256,
        file,
        root,
        made_from: vec!["this repository".to_owned()],
    })
}

/// Archives of earlier builds, unless somebody has packed them lately.
fn remove_old(directory: &Path, artifacts: &[Artifact]) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let now = SystemTime::now();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_own = [MESOS, SCHEDULER].iter().any(|it| name.starts_with(&format!("{it}-")));
        let is_used = artifacts.iter().any(|artifact| artifact.file == name);
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
        if is_own && !is_used && age.is_some_and(|age| age > KEPT) {
            // Another task may have removed it.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_release_of_mesos_has_its_programs_and_its_version() {
        let bytes = mesos_release("1.12.1", b"program").to_tar_gz("mesos-1.12.1").unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut found = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((path, text));
        }
        let text = |path: &str| {
            let entry = found.iter().find(|(name, _)| name == path);
            entry.map(|(_, text)| text.clone()).unwrap()
        };
        assert_eq!(text("mesos-1.12.1/share/mesos/version"), "1.12.1\n");
        assert_eq!(text("mesos-1.12.1/libexec/corral-mesos"), "program");
        assert!(text("mesos-1.12.1/sbin/mesos-agent").contains("corral-mesos\" agent \"$@\""));
        assert!(text("mesos-1.12.1/sbin/mesos-master").starts_with("#!/bin/sh\n"));
    }
}

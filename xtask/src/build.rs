//! `[io]` `cargo xtask build`: the helper for hosts, packed, and `provision` with it inside.
//!
//! The suites of `cargo xtask test` take `provision` as the tests of the workspace are compiled: to
//! compile all once more, optimised, took them a fifth of their time.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use crate::error::{Doing, Error};
use crate::lab::directories::write_file;
use crate::{step, workspace};

/// Hosts run on this; its glibc is linked statically.
const HELPER_TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// The helper is sent to every host once: this is 2.7 seconds at 10 Mbit/s. Modules after the first
/// sixty took half a MiB, and those after the eightieth (LVM, firewalld, access control lists, nodes
/// of ZooKeeper, XML with paths into it) a third of one; the tables of Chinese, Japanese and Korean,
/// without which `find` and `replace` can't read files in GBK, a fifth on a host and half of that on
/// the wire: any of them brings all.
pub const PACKED_LIMIT_BYTES: u64 = 3_386_901;
/// And it is in memory there while a play runs.
pub const HELPER_LIMIT_BYTES: u64 = 7_497_319;
/// What [`for_tests`] has built.
static FOR_TESTS: Mutex<Option<Built>> = Mutex::new(None);
/// A first build of all tests on two slow processors.
const BUILD_LIMIT: Duration = Duration::from_mins(40);

/// Arguments of `build`.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct BuildArguments {
    /// Build the helper quickly instead of small; its size isn't checked
    #[arg(long)]
    pub dev: bool,
}

/// What was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The controller.
    pub provision: PathBuf,
    /// Bytes of the helper on a host.
    pub helper_bytes: u64,
    /// Bytes of the helper on the wire.
    pub packed_bytes: u64,
    /// Bytes of the controller.
    pub provision_bytes: u64,
}

/// Builds and says what came out.
///
/// # Errors
/// A build fails, or the helper is too large.
pub fn run(arguments: BuildArguments) -> Result<ExitCode, Error> {
    let start = Instant::now();
    let built = build(arguments)?;
    eprintln!("built in {:.1} s", start.elapsed().as_secs_f64());
    println!("{}", describe(&built));
    println!("{}", built.provision.display());
    Ok(ExitCode::SUCCESS)
}

/// The sizes in a line.
#[must_use]
pub fn describe(built: &Built) -> String {
    format!("{}, provision {}", describe_helper(built), mebibytes(built.provision_bytes))
}

/// Those of the helper.
#[must_use]
pub fn describe_helper(built: &Built) -> String {
    format!(
        "helper {} (limit {}), packed {} (limit {})",
        mebibytes(built.helper_bytes),
        mebibytes(HELPER_LIMIT_BYTES),
        mebibytes(built.packed_bytes),
        mebibytes(PACKED_LIMIT_BYTES)
    )
}

/// A size as people read it.
#[must_use]
pub fn mebibytes(bytes: u64) -> String {
    // Hundredths of a MiB, without floating point.
    let hundredths = bytes.saturating_mul(100) >> 20;
    format!("{}.{:02} MiB", hundredths / 100, hundredths % 100)
}

/// Builds what isn't fresh.
///
/// # Errors
/// A build fails, or the helper is too large.
pub fn build(arguments: BuildArguments) -> Result<Built, Error> {
    let helper = helper(arguments)?;
    let command = workspace::cargo(&["build", "--profile", "quick", "--package", "provision"]);
    step::demand(&command, &step::log("build-provision"), BUILD_LIMIT, "build provision")?;
    with_provision(helper, workspace::target().join("quick/provision"))
}

/// Likewise, but all programs and tests of the workspace, not optimised. It is done once for all
/// suites: whoever asks cargo again waits for those who compile something else.
///
/// # Errors
/// As above.
pub fn for_tests() -> Result<Built, Error> {
    let mut known = FOR_TESTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(built) = &*known {
        return Ok(built.clone());
    }
    let helper = helper(BuildArguments::default())?;
    let programs = workspace::programs("build-tests", BUILD_LIMIT)?;
    let built = with_provision(helper, programs.join("provision"))?;
    Ok(known.insert(built).clone())
}

/// The size of the helper on a host and on the wire.
fn helper(arguments: BuildArguments) -> Result<[u64; 2], Error> {
    let helper = build_helper(if arguments.dev { "quick" } else { "helper" })?;
    let (helper_bytes, packed_bytes) = pack(&helper)?;
    if !arguments.dev {
        check_size("the helper", helper_bytes, HELPER_LIMIT_BYTES)?;
        check_size("the packed helper", packed_bytes, PACKED_LIMIT_BYTES)?;
    }
    Ok([helper_bytes, packed_bytes])
}

fn with_provision(
    [helper_bytes, packed_bytes]: [u64; 2],
    provision: PathBuf,
) -> Result<Built, Error> {
    let provision_bytes = size(&provision)?;
    Ok(Built { provision, helper_bytes, packed_bytes, provision_bytes })
}

fn check_size(what: &str, bytes: u64, limit_bytes: u64) -> Result<(), Error> {
    if bytes <= limit_bytes {
        return Ok(());
    }
    let reason = format!("it has {}, the limit is {}", mebibytes(bytes), mebibytes(limit_bytes));
    Err(Error::refused(format!("keep {what} small"), reason)
        .with_hint("`cargo bloat`, or look at what provision-target depends on"))
}

/// Other flags than the rest of the workspace, so a target folder of its own.
fn build_helper(profile: &str) -> Result<PathBuf, Error> {
    let target = workspace::target().join("helper");
    let mut command = workspace::cargo(&["build", "--profile", profile]);
    command
        .args(["--target", HELPER_TRIPLE, "--package", "provision-target", "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    step::demand(&command, &step::log("build-helper"), BUILD_LIMIT, "build the helper")?;
    Ok(target.join(HELPER_TRIPLE).join(profile).join("provision-target"))
}

/// Packs the helper unless it is packed already; returns both sizes.
fn pack(helper: &Path) -> Result<(u64, u64), Error> {
    let bytes = fs::read(helper).doing(|| format!("read {}", helper.display()))?;
    let digest = format!("{}\n", hex::encode(Sha256::digest(&bytes)));
    let folder = workspace::helper_image();
    let image = folder.join("provision-target.gz");
    let digest_file = folder.join("provision-target.sha256");
    let is_fresh = fs::read_to_string(&digest_file).is_ok_and(|known| known == digest);
    if !is_fresh || !image.is_file() {
        fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
        // The digest is last: without it the image counts as not there.
        let _ = fs::remove_file(&digest_file);
        write_file(&image, &gzip(&bytes).doing(|| "pack the helper".to_owned())?)?;
        write_file(&digest_file, digest.as_bytes())?;
    }
    Ok((u64::try_from(bytes.len()).unwrap_or(u64::MAX), size(&image)?))
}

/// The same bytes for the same input on any day: without a time and a name.
fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn size(path: &Path) -> Result<u64, Error> {
    Ok(fs::metadata(path).doing(|| format!("read {}", path.display()))?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_deterministic() {
        assert_eq!(gzip(b"helper").unwrap(), gzip(b"helper").unwrap());
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(mebibytes(PACKED_LIMIT_BYTES), "3.23 MiB");
        assert!(check_size("it", HELPER_LIMIT_BYTES, HELPER_LIMIT_BYTES).is_ok());
        assert!(check_size("it", HELPER_LIMIT_BYTES + 1, HELPER_LIMIT_BYTES).is_err());
    }
}

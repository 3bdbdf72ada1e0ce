//! What upstream says of an archive: digests that it published, and its signature.

use std::io::Read;
use std::path::{Path, PathBuf};

use provision_artifacts::cache::Partial;
use provision_artifacts::digests::Digests;
use provision_artifacts::download::{DownloadError, Downloader};
use provision_artifacts::lock;
use provision_artifacts::published::{self, Algorithm, NotPublished};
use provision_artifacts::signature::{self, SignatureError, Verified};

use super::Failure;
use super::add::Source;
use super::arguments::Add;
use crate::exit::Exit;
use crate::paint;

/// Largest signature or list of digests, in bytes.
const SMALL_LIMIT_BYTES: u64 = 4 << 20;

/// What upstream says of it. It is asked before the archive is downloaded: what is missing here need
/// not be waited for.
#[derive(Default)]
pub struct Upstream {
    digests: Vec<Published>,
    signature: Option<Signature>,
}

/// A digest that it must have.
struct Published {
    algorithm: Algorithm,
    digest: String,
    /// Who says so, for people.
    place: String,
    /// The list that it stands in, which may be what is signed.
    list: Option<Vec<u8>>,
}

/// A signature and the keys that may have made it.
struct Signature {
    place: String,
    bytes: Vec<u8>,
    key_file: PathBuf,
    keys: Vec<u8>,
}

/// What was found to be true.
#[derive(Default)]
pub struct Said {
    /// How it was proved, for people.
    pub proofs: Vec<String>,
    /// The signature that holds.
    pub signature: Option<Verified>,
}

/// Asks it.
pub fn ask(source: &Source, arguments: &Add, downloader: &Downloader) -> Result<Upstream, Failure> {
    let mut upstream = Upstream::default();
    let both = [(Algorithm::Sha256, &arguments.sha256), (Algorithm::Sha512, &arguments.sha512)];
    for (algorithm, given) in both {
        let Some(given) = given else { continue };
        let published = match published::digest(given, algorithm) {
            Some(digest) => {
                Published { algorithm, digest, place: "the command line".to_owned(), list: None }
            }
            None => {
                let list = small(given, downloader)?;
                let text = String::from_utf8_lossy(&list);
                let digest = published::find(&text, file_name(source), algorithm)
                    .map_err(|error| not_published(given, &error))?;
                Published { algorithm, digest, place: given.clone(), list: Some(list) }
            }
        };
        upstream.digests.push(published);
    }
    if let (Some(place), Some(key_file)) = (&arguments.signature, &arguments.key) {
        let keys = signature::read_keys(key_file).map_err(|error| {
            let message = format!("failed to read {}: {error}", key_file.display());
            Failure::new(Exit::InvalidInput, message)
        })?;
        let bytes = small(place, downloader)?;
        if signature::kind_of(&bytes).is_none() {
            return Err(bad_signature(place, key_file, &SignatureError::Unknown));
        }
        let (place, key_file) = (place.clone(), key_file.clone());
        upstream.signature = Some(Signature { place, bytes, key_file, keys });
    }
    Ok(upstream)
}

/// A file, or what an address has.
fn small(given: &str, downloader: &Downloader) -> Result<Vec<u8>, Failure> {
    if given.contains("://") {
        lock::check_url(given).map_err(|message| Failure::new(Exit::Usage, message))?;
        return downloader.small(given, SMALL_LIMIT_BYTES).map_err(|error| refused(given, &error));
    }
    let failed = |error: std::io::Error| {
        Failure::new(Exit::InvalidInput, format!("failed to read {given}: {error}"))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(given).map_err(failed)?;
    file.take(SMALL_LIMIT_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn not_published(given: &str, error: &NotPublished) -> Failure {
    let failure = Failure::artifact(format!("{given} can't be used: {error}"));
    match error {
        NotPublished::OtherFiles { known, .. } => {
            let names: Vec<&str> = known.iter().take(5).map(String::as_str).collect();
            failure.hint(format!("it has digests of {}", names.join(", ")))
        }
        NotPublished::Ambiguous { .. } | NotPublished::Nothing { .. } => failure,
    }
}

/// The last part of the address, without a query.
fn file_name(source: &Source) -> &str {
    match source {
        Source::Url(url) => {
            let path = url.split(['?', '#']).next().unwrap_or(url);
            path.rsplit('/').next().unwrap_or(path)
        }
        Source::File(path) => path.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
    }
}

/// Compares the digests.
pub fn check_published(
    arguments: &Add,
    found: &Digests,
    upstream: &Upstream,
    said: &mut Said,
) -> Result<(), Failure> {
    for Published { algorithm, digest, place, .. } in &upstream.digests {
        let (name, found) = match algorithm {
            Algorithm::Sha256 => (algorithm.name(), &found.sha256),
            Algorithm::Sha512 => (algorithm.name(), &found.sha512),
        };
        if digest != found {
            let message = format!(
                "{} is not what upstream published: its {name} is\n  {found}\nand {place} says\n  \
                 {digest}",
                arguments.source
            );
            let hint = "nothing was kept; ask upstream before you go on";
            return Err(Failure::artifact(message).hint(hint));
        }
        said.proofs.push(format!("{name} as {place} says"));
    }
    Ok(())
}

/// Checks the signature: of the archive, or of the list that its digest stands in.
pub fn check_signature(
    partial: &Partial,
    upstream: &Upstream,
    said: &mut Said,
) -> Result<(), Failure> {
    let Some(Signature { place, bytes, key_file, keys }) = &upstream.signature else {
        return Ok(());
    };
    let mut outcome = signature::verify(bytes, keys, partial.path());
    let mut what = "the archive";
    if matches!(outcome, Err(SignatureError::Bad)) {
        // Some upstreams sign the list of digests; the digest in it was compared already.
        for list in upstream.digests.iter().filter_map(|published| published.list.as_ref()) {
            let of_list = verify_bytes(bytes, keys, list);
            if of_list.is_ok() {
                (outcome, what) = (of_list, "the list of digests");
                break;
            }
        }
    }
    let verified = outcome.map_err(|error| bad_signature(place, key_file, &error))?;
    let name = if verified.name.is_empty() { "?" } else { &verified.name };
    let signer = &verified.signer;
    said.proofs.push(format!("{} signature of {what} by {} ({name})", signer.kind, signer.key));
    if let Some(warning) = &verified.warning {
        paint::warning(None, warning);
    }
    said.signature = Some(verified);
    Ok(())
}

fn verify_bytes(signature: &[u8], keys: &[u8], bytes: &[u8]) -> Result<Verified, SignatureError> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("list");
    std::fs::write(&path, bytes)?;
    signature::verify(signature, keys, &path)
}

fn bad_signature(given: &str, key: &Path, error: &SignatureError) -> Failure {
    let mut message = format!("{given}: {error}");
    if let SignatureError::Io(cause) = error {
        message = format!("{given}: failed to check it: {cause}");
    }
    let failure = Failure::artifact(message);
    match error {
        SignatureError::NoGpgv => Failure { exit: Exit::Environment, ..failure }.hint(
            "install it (Debian: apt install gpgv), or give --sha512 from a source you trust",
        ),
        SignatureError::OtherKey { .. } => failure.hint(format!(
            "find out whose key it is; if it is upstream's, put it into {}",
            key.display()
        )),
        SignatureError::Bad => failure.hint("nothing was kept; ask upstream before you go on"),
        SignatureError::Unknown => failure
            .hint("a detached signature is wanted: .asc or .sig (OpenPGP), .minisig (minisign)"),
        _ => failure,
    }
}

/// Why something can't be had, and what to do.
pub fn refused(what: &str, error: &DownloadError) -> Failure {
    let failure = Failure::artifact(format!("{what}: {error}"));
    match error {
        DownloadError::TooLarge { .. } => failure.hint("--max-size MIB allows more"),
        DownloadError::Status { status: 404, .. } => {
            failure.hint("look at the address in a browser; upstreams move old releases")
        }
        DownloadError::Connection(_) => failure.hint("again, it goes on where it stopped"),
        DownloadError::Disk(_) => Failure { exit: Exit::Environment, ..failure },
        DownloadError::Status { .. } | DownloadError::Size { .. } | DownloadError::Refused(_) => {
            failure
        }
    }
}

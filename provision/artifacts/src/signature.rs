//! Signatures of upstream: OpenPGP by `gpgv`, minisign natively.
//!
//! Keys come from a file that the operator trusts. Whose key it was goes into the lock.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digests;
use crate::lock::{SignatureKind, Signer};

/// What apt uses, too; every Debian has it.
const GPGV: &str = "gpgv";

const ARMOR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const ARMOR_END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub signer: Signer,
    /// The name in the key, or the comment that was signed along.
    pub name: String,
    /// What the operator should know.
    pub warning: Option<String>,
}

/// Why a signature doesn't hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// It doesn't look like one.
    #[error("the signature is neither OpenPGP nor minisign")]
    Unknown,
    /// It can't be read.
    #[error("the {kind} signature or key can't be used: {reason}")]
    Unusable {
        /// Kind.
        kind: SignatureKind,
        /// Why.
        reason: String,
    },
    /// The key file lacks the key.
    #[error("the signature is of the key {key}, which the key file does not hold")]
    OtherKey {
        /// The key that made it.
        key: String,
    },
    /// It is of something else.
    #[error("the signature is not of this file: it was changed, or it is another one")]
    Bad,
    /// The key must not be trusted any more.
    #[error("the key {key} ({name}) {reason}")]
    Distrusted {
        /// The key.
        key: String,
        /// Its owner.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// `gpgv` is missing.
    #[error("gpgv, which checks OpenPGP signatures, is not installed")]
    NoGpgv,
    /// A file can't be read or written.
    #[error("check a signature")]
    Io(#[from] io::Error),
}

/// Which kind a signature is.
#[must_use]
pub fn kind_of(signature: &[u8]) -> Option<SignatureKind> {
    let text = String::from_utf8_lossy(signature.get(..64.min(signature.len())).unwrap_or(b""));
    if text.starts_with("untrusted comment:") {
        return Some(SignatureKind::Minisign);
    }
    // Binary: the tag of a signature packet, old or new format.
    let is_packet = matches!(signature.first(), Some(0x88 | 0x89 | 0xc2));
    (is_packet || text.trim_start().starts_with("-----BEGIN PGP SIGNATURE"))
        .then_some(SignatureKind::Openpgp)
}

/// Whether a signature of a file holds, by one of these keys.
///
/// # Errors
/// When it doesn't.
pub fn verify(signature: &[u8], keys: &[u8], file: &Path) -> Result<Verified, SignatureError> {
    match kind_of(signature) {
        Some(SignatureKind::Openpgp) => openpgp(signature, keys, file),
        Some(SignatureKind::Minisign) => minisign(signature, keys, file),
        None => Err(SignatureError::Unknown),
    }
}

fn minisign(signature: &[u8], keys: &[u8], file: &Path) -> Result<Verified, SignatureError> {
    let kind = SignatureKind::Minisign;
    let unusable = |reason: String| SignatureError::Unusable { kind, reason };
    let text = String::from_utf8_lossy(signature);
    let signature = minisign_verify::Signature::decode(&text)
        .map_err(|error| unusable(format!("the signature: {error}")))?;
    let keys = String::from_utf8_lossy(keys);
    let encoded = keys.lines().map(str::trim).find(|line| line.starts_with("RW"));
    let encoded = encoded.ok_or_else(|| unusable("the key file holds no minisign key".into()))?;
    let key = minisign_verify::PublicKey::from_base64(encoded)
        .map_err(|error| unusable(format!("the key: {error}")))?;
    let failed = |error| match error {
        minisign_verify::Error::UnexpectedKeyId => {
            SignatureError::OtherKey { key: key_id(&text).unwrap_or_default() }
        }
        minisign_verify::Error::UnsupportedLegacyMode => unusable(
            "it is in the format of before 2020, which needs the file in memory; sign again".into(),
        ),
        minisign_verify::Error::InvalidSignature => SignatureError::Bad,
        other => unusable(other.to_string()),
    };
    let mut verifier = key.verify_stream(&signature).map_err(failed)?;
    digests::pour(&mut File::open(file)?, &mut |bytes| {
        verifier.update(bytes);
        Ok(())
    })?;
    verifier.finalize().map_err(failed)?;
    let signer = Signer { kind, key: encoded.to_owned() };
    Ok(Verified { signer, name: signature.trusted_comment().to_owned(), warning: None })
}

/// The name of a minisign key as minisign shows it.
fn key_id(signature: &str) -> Option<String> {
    let bytes = STANDARD.decode(signature.lines().nth(1)?.trim()).ok()?;
    let id: Vec<u8> = bytes.get(2..10)?.iter().rev().copied().collect();
    Some(hex::encode_upper(id))
}

fn openpgp(signature: &[u8], keys: &[u8], file: &Path) -> Result<Verified, SignatureError> {
    let keyring = keyring(keys)?;
    let folder = tempfile::tempdir()?;
    let (ring, detached) = (folder.path().join("keys.gpg"), folder.path().join("signature"));
    fs::write(&ring, keyring)?;
    fs::write(&detached, signature)?;
    let mut command = Command::new(GPGV);
    command
        .arg("--homedir")
        .arg(folder.path())
        .args(["--status-fd", "1", "--weak-digest", "SHA1", "--keyring"])
        .arg(&ring)
        .arg("--")
        .arg(&detached)
        // An absolute path: `-` would be standard input.
        .arg(std::path::absolute(file)?)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SignatureError::NoGpgv);
        }
        other => other?,
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let verified = judge(&String::from_utf8_lossy(&output.stdout), &said)?;
    if output.status.success() { Ok(verified) } else { Err(SignatureError::Bad) }
}

/// What `gpgv` reports (GnuPG's doc/DETAILS), without the prefix of each line.
fn judge(status: &str, said: &str) -> Result<Verified, SignatureError> {
    let lines: Vec<&str> =
        status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")).collect();
    let find = |keyword: &str| {
        let mut found = lines.iter().filter_map(|line| line.strip_prefix(keyword));
        found.find_map(|rest| rest.strip_prefix(' ')).map(str::trim)
    };
    let key_and_name = |text: &str| {
        let (key, name) = text.split_once(' ').unwrap_or((text, ""));
        (key.to_owned(), name.to_owned())
    };
    let distrusted = |text: &str, reason| {
        let (key, name) = key_and_name(text);
        SignatureError::Distrusted { key, name, reason }
    };
    if let Some(text) = find("REVKEYSIG") {
        return Err(distrusted(text, "was revoked by its owner"));
    }
    if let Some(text) = find("EXPSIG") {
        return Err(distrusted(text, "made a signature that has expired"));
    }
    if find("BADSIG").is_some() {
        return Err(SignatureError::Bad);
    }
    if find("NO_PUBKEY").is_some() {
        // The last word of ERRSIG is the fingerprint, if the signature says it.
        let key = find("ERRSIG").and_then(|text| text.split(' ').next_back());
        let key = key.filter(|key| key.len() >= 16).or(find("NO_PUBKEY")).unwrap_or_default();
        return Err(SignatureError::OtherKey { key: key.to_owned() });
    }
    let (expired, who) = match (find("GOODSIG"), find("EXPKEYSIG")) {
        (Some(who), None) => (false, who),
        (None, Some(who)) => (true, who),
        _ => return Err(unusable(said)),
    };
    let valid: Vec<&str> =
        find("VALIDSIG").map(|text| text.split(' ').collect()).unwrap_or_default();
    // Fields: 0 key, 2 time of the signature, 9 primary key.
    let (Some(made), Some(key)) = (valid.get(2), valid.get(9)) else { return Err(unusable(said)) };
    let mut warning = None;
    if expired {
        let end = find("KEYEXPIRED").and_then(|text| text.split(' ').next());
        let number = |text: &str| text.parse::<u64>().ok();
        let in_time = number(made).zip(end.and_then(number)).is_some_and(|(made, end)| made <= end);
        if !in_time {
            return Err(distrusted(who, "had expired when the signature was made"));
        }
        warning = Some("the key has expired since the signature was made".to_owned());
    }
    let signer = Signer { kind: SignatureKind::Openpgp, key: (*key).to_owned() };
    Ok(Verified { signer, name: key_and_name(who).1, warning })
}

fn unusable(said: &str) -> SignatureError {
    let line = said.lines().map(|line| line.trim_start_matches("gpgv:").trim()).find(|line| {
        !line.is_empty() && !line.starts_with("Signature made") && !line.starts_with("using ")
    });
    let reason = if said.contains("SHA1") {
        "it is made with SHA-1, which can be forged"
    } else {
        line.unwrap_or("gpgv said nothing about it")
    };
    SignatureError::Unusable { kind: SignatureKind::Openpgp, reason: reason.to_owned() }
}

/// Keys as `gpgv` takes them: binary, all blocks of the file one after the other.
fn keyring(keys: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let refuse = |reason: &str| SignatureError::Unusable {
        kind: SignatureKind::Openpgp,
        reason: reason.to_owned(),
    };
    // Tag of a public key packet, old or new format.
    if matches!(keys.first(), Some(0x98..=0x9b | 0xc6)) {
        return Ok(keys.to_vec());
    }
    let text = String::from_utf8_lossy(keys);
    if text.contains("-----BEGIN PGP PRIVATE KEY BLOCK-----") {
        return Err(refuse("the key file holds a private key; give the public one"));
    }
    let mut ring = Vec::new();
    for block in text.split(ARMOR).skip(1) {
        let block = block.split(ARMOR_END).next().unwrap_or_default();
        // Behind the headers and an empty line; the check sum begins with `=`.
        let lines = block.lines().map(str::trim).skip(1).skip_while(|line| !line.is_empty());
        let body: String = lines.take_while(|line| !line.starts_with('=')).collect();
        let bytes = STANDARD.decode(body);
        ring.extend(bytes.map_err(|_| refuse("a block of the key file is damaged"))?);
    }
    if ring.is_empty() { Err(refuse("the key file holds no OpenPGP key")) } else { Ok(ring) }
}

/// Reads a file of keys.
///
/// # Errors
/// When it can't be read, or is too large to be one.
pub fn read_keys(path: &Path) -> io::Result<Vec<u8>> {
    /// Apache's largest file of keys has 2 MB.
    const LIMIT_BYTES: u64 = 64 << 20;
    let mut keys = Vec::new();
    File::open(path)?.take(LIMIT_BYTES + 1).read_to_end(&mut keys)?;
    if keys.len() as u64 > LIMIT_BYTES {
        return Err(io::Error::other("it is too large for a file of keys"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures").join(name)
    }

    fn read(name: &str) -> Vec<u8> {
        fs::read(path(name)).unwrap()
    }

    fn check(signature: &str, keys: &str) -> Result<Verified, String> {
        verify(&read(signature), &read(keys), &path("data")).map_err(|error| error.to_string())
    }

    fn fingerprint(name: &str) -> String {
        let list = String::from_utf8(read("fingerprints")).unwrap();
        let line = list.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().to_owned()
    }

    #[test]
    fn good_signatures_name_the_primary_key() {
        for (signature, keys, owner, name) in [
            ("rsa.asc", "KEYS", "rsa", "RSA <rsa@example.org>"),
            ("rsa.sig", "rsa.gpg", "rsa", "RSA <rsa@example.org>"),
            ("ed.asc", "KEYS", "ed", "Ed25519 <ed@example.org>"),
            ("sub.asc", "KEYS", "sub", "Subkey <sub@example.org>"),
            ("old.asc", "KEYS", "old", "Expired <old@example.org>"),
        ] {
            let verified = check(signature, keys).unwrap();
            assert_eq!(verified.signer.key, fingerprint(owner), "{signature}");
            assert_eq!(verified.name, name);
            assert_eq!(verified.warning.is_some(), owner == "old");
        }
    }

    #[test]
    fn what_does_not_hold_says_why() {
        let error = |signature, keys| check(signature, keys).unwrap_err();
        assert_eq!(
            error("ed.asc", "rsa.gpg"),
            format!(
                "the signature is of the key {}, which the key file does not hold",
                fingerprint("ed")
            )
        );
        assert!(error("revoked.asc", "KEYS").ends_with("was revoked by its owner"));
        assert!(error("sha1.asc", "KEYS").contains("made with SHA-1, which can be forged"));
        assert!(error("message.asc", "KEYS").contains("neither OpenPGP nor minisign"));
        assert!(error("rsa.asc", "data").contains("holds no OpenPGP key"));
        assert!(error("data", "KEYS").contains("neither"));
        assert!(error("data.minisig", "KEYS").contains("the key file holds no minisign key"));
    }

    #[test]
    fn another_file_or_a_flipped_bit_is_noticed() {
        for (signature, keys) in
            [("rsa.asc", "KEYS"), ("sub.asc", "KEYS"), ("data.minisig", "minisign.pub")]
        {
            let other = tempfile::NamedTempFile::new().unwrap();
            for at in 0..11 {
                let mut data = read("data");
                data[at] ^= 1;
                fs::write(other.path(), data).unwrap();
                let outcome = verify(&read(signature), &read(keys), other.path());
                assert!(matches!(outcome, Err(SignatureError::Bad)), "{outcome:?}");
            }
        }
        let mut binary = read("rsa.sig");
        // Its last 256 bytes are the number of RSA; some before are not signed (the key's name).
        for at in (binary.len() - 250..binary.len()).step_by(50) {
            binary[at] ^= 1;
            verify(&binary, &read("KEYS"), &path("data")).unwrap_err();
            binary[at] ^= 1;
        }
    }

    #[test]
    fn minisign() {
        let verified = check("data.minisig", "minisign.pub").unwrap();
        assert_eq!(verified.name, "file:data version:1");
        assert!(verified.signer.key.starts_with("RW"));
        assert_eq!(kind_of(&read("data.minisig")), Some(SignatureKind::Minisign));
        assert!(check("data.minisig", "other.pub").unwrap_err().contains("which the key file"));
        assert!(check("legacy.minisig", "minisign.pub").unwrap_err().contains("before 2020"));
        let text = String::from_utf8(read("data.minisig")).unwrap();
        let text = text.replace("version:1", "version:2");
        verify(text.as_bytes(), &read("minisign.pub"), &path("data")).unwrap_err();
    }

    #[test]
    fn a_private_key_is_refused() {
        let keys = b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxxxx\n";
        let error = verify(&read("rsa.asc"), keys, &path("data")).unwrap_err();
        assert!(error.to_string().contains("private key"), "{error}");
    }

    #[test]
    fn a_signature_after_the_key_expired_is_refused() {
        let status = "[GNUPG:] KEYEXPIRED 100\n[GNUPG:] EXPKEYSIG AB A <a@b>\n\
                      [GNUPG:] VALIDSIG AB 2020-02-01 200 0 4 0 22 8 00 CD\n";
        let error = judge(status, "").unwrap_err().to_string();
        assert_eq!(error, "the key AB (A <a@b>) had expired when the signature was made");
        judge(&status.replace(" 200 ", " 99 "), "").unwrap();
        // Nothing said is nothing proved.
        judge("", "").unwrap_err();
        judge("[GNUPG:] VALIDSIG AB 2020-02-01 200 0 4 0 22 8 00 CD\n", "").unwrap_err();
    }
}

//! A look at a client's certificate and key before TLS gets them.
//!
//! The TLS layer of ureq ends the program when it can't use a pair; a call must only fail. This
//! refuses all pairs that are known to be unusable: old certificates, unsupported algorithms, keys
//! that don't belong to their certificates.

/// Bits of RSA keys that can be used.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

/// How a private key is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    Pkcs1,
    Pkcs8,
    Sec1,
}

/// The public half of a key.
#[derive(Debug, PartialEq, Eq)]
enum Public<'a> {
    /// The modulus.
    Rsa(&'a [u8]),
    /// Curve and point; some private keys don't tell their curve.
    Elliptic(Option<&'a [u8]>, &'a [u8]),
    /// A private key doesn't tell its public half.
    Ed25519,
}

/// Why a pair can't be used.
pub(super) fn problem(certificate: &[u8], wrapping: Wrapping, key: &[u8]) -> Option<&'static str> {
    let Some((version, of_certificate)) = certificate_key(certificate) else {
        return Some("the client's certificate is malformed or of an unsupported kind");
    };
    if version != [2] {
        return Some("the client's certificate is not of version 3");
    }
    let of_key = match wrapping {
        Wrapping::Pkcs1 => rsa(key),
        Wrapping::Sec1 => elliptic(key, None),
        Wrapping::Pkcs8 => wrapped(key),
    };
    let Some(of_key) = of_key else {
        return Some("the client's key is malformed or of an unsupported kind");
    };
    if let Public::Rsa(modulus) = of_key
        && !RSA_BITS.contains(&(modulus.len() * 8))
    {
        return Some("RSA keys of clients must have 2048 to 4096 bits");
    }
    let fit = match (&of_certificate, &of_key) {
        (Public::Elliptic(curve, left), Public::Elliptic(other, right)) => {
            left == right && other.is_none_or(|other| *curve == Some(other))
        }
        (left, right) => left == right,
    };
    (!fit).then_some("the client's key does not belong to its certificate")
}

/// One element: tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The content of an element with this tag, and what follows.
fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, _, _)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// Version and public key of an X.509 certificate (RFC 5280, 4.1).
fn certificate_key(bytes: &[u8]) -> Option<(&[u8], Public<'_>)> {
    let (certificate, _) = expect(bytes, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    let version = match expect(rest, CONTEXT_0) {
        Some((version, after)) => {
            rest = after;
            expect(version, INTEGER)?.0
        }
        None => &[],
    };
    // Serial number, signature, issuer, validity, subject.
    for _ in 0..5 {
        rest = element(rest)?.2;
    }
    let (information, _) = expect(rest, SEQUENCE)?;
    let (algorithm, rest) = expect(information, SEQUENCE)?;
    let (bits, _) = expect(rest, BIT_STRING)?;
    let (_, bits) = bits.split_first()?;
    let (object, parameters) = expect(algorithm, OBJECT)?;
    let key = match object {
        RSA => Public::Rsa(modulus(expect(expect(bits, SEQUENCE)?.0, INTEGER)?.0)),
        ELLIPTIC => {
            let (curve, _) = expect(parameters, OBJECT)?;
            matches!(curve, P256 | P384).then_some(Public::Elliptic(Some(curve), bits))?
        }
        ED25519 => Public::Ed25519,
        _ => return None,
    };
    Some((version, key))
}

/// A number without leading zeros.
fn modulus(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// RFC 8017, A.1.2.
fn rsa(bytes: &[u8]) -> Option<Public<'_>> {
    let (key, _) = expect(bytes, SEQUENCE)?;
    let (_version, rest) = expect(key, INTEGER)?;
    Some(Public::Rsa(modulus(expect(rest, INTEGER)?.0)))
}

/// RFC 5915; without a public key inside it can't be used.
fn elliptic<'a>(bytes: &'a [u8], curve: Option<&'a [u8]>) -> Option<Public<'a>> {
    let (key, _) = expect(bytes, SEQUENCE)?;
    let (_version, rest) = expect(key, INTEGER)?;
    let (_secret, rest) = expect(rest, OCTET_STRING)?;
    let (curve, rest) = match expect(rest, CONTEXT_0) {
        Some((parameters, rest)) => (Some(expect(parameters, OBJECT)?.0), rest),
        None => (curve, rest),
    };
    let (public, _) = expect(rest, CONTEXT_1)?;
    let (_, point) = expect(public, BIT_STRING)?.0.split_first()?;
    Some(Public::Elliptic(curve, point))
}

/// RFC 5958.
fn wrapped(bytes: &[u8]) -> Option<Public<'_>> {
    let (key, _) = expect(bytes, SEQUENCE)?;
    let (_version, rest) = expect(key, INTEGER)?;
    let (algorithm, rest) = expect(rest, SEQUENCE)?;
    let (inner, _) = expect(rest, OCTET_STRING)?;
    let (object, parameters) = expect(algorithm, OBJECT)?;
    match object {
        RSA => rsa(inner),
        ELLIPTIC => {
            let (curve, _) = expect(parameters, OBJECT)?;
            matches!(curve, P256 | P384).then(|| elliptic(inner, Some(curve)))?
        }
        ED25519 => Some(Public::Ed25519),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn openssl(folder: &Path, arguments: &str) -> bool {
        Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .is_ok_and(|output| output.status.success())
    }

    fn der(folder: &Path, kind: &str, name: &str) -> Vec<u8> {
        assert!(openssl(folder, &format!("{kind} -in {name} -outform DER -out der")));
        std::fs::read(folder.join("der")).unwrap()
    }

    #[test]
    fn pairs_made_by_openssl() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        if !openssl(folder, "version") {
            return;
        }
        for (name, algorithm) in [
            ("rsa", "rsa:2048"),
            ("other", "rsa:2048"),
            ("small", "rsa:1024"),
            ("ec", "ec -pkeyopt ec_paramgen_curve:P-256"),
            ("ed", "ed25519"),
        ] {
            let request = format!(
                "req -x509 -newkey {algorithm} -nodes -keyout {name}.key -out {name}.pem \
                 -subj /CN=x"
            );
            assert!(openssl(folder, &request), "{request}");
        }
        let certificate = |name: &str| der(folder, "x509", &format!("{name}.pem"));
        let key = |name: &str| der(folder, "pkcs8 -topk8 -nocrypt", &format!("{name}.key"));
        for name in ["rsa", "ec", "ed"] {
            assert_eq!(problem(&certificate(name), Wrapping::Pkcs8, &key(name)), None, "{name}");
        }
        assert!(problem(&certificate("rsa"), Wrapping::Pkcs8, &key("other")).is_some());
        assert!(problem(&certificate("rsa"), Wrapping::Pkcs8, &key("ec")).is_some());
        assert!(problem(&certificate("small"), Wrapping::Pkcs8, &key("small")).is_some());
        assert!(problem(&certificate("ec"), Wrapping::Sec1, &key("ec")).is_some());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for wrapping in [Wrapping::Pkcs1, Wrapping::Pkcs8, Wrapping::Sec1] {
                let _ = problem(&bytes, wrapping, &bytes);
            }
        }
    }
}

//! `[io]` The certificate authorities that a machine trusts, for clients of HTTP.

use std::io;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// Where systems keep the certificates that they trust.
const TRUSTED: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Whom to trust: the file that is chosen, that of `SSL_CERT_FILE`, that of the system, or those that
/// Mozilla trusts.
///
/// # Errors
/// When the file can't be read or holds no certificates; its path is in the message.
pub fn roots(chosen: Option<&Path>) -> io::Result<RootCerts> {
    let configured = || std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let system = || TRUSTED.iter().map(PathBuf::from).find(|path| path.exists());
    let Some(path) = chosen.map(Path::to_owned).or_else(configured).or_else(system) else {
        return Ok(RootCerts::WebPki);
    };
    let certificates = certificates(&path)?;
    if certificates.is_empty() {
        return Err(io::Error::other(format!("{} holds no certificates", path.display())));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// The certificates in a PEM file.
///
/// # Errors
/// When it can't be read; its path is in the message.
pub fn certificates(path: &Path) -> io::Result<Vec<Certificate<'static>>> {
    let bytes = std::fs::read(path).map_err(|error| {
        io::Error::new(error.kind(), format!("failed to read {}: {error}", path.display()))
    })?;
    let certificates = parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(certificates.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let missing = roots(Some(&path)).expect_err("it is not there");
        assert!(missing.to_string().contains("ca.pem"), "{missing}");
        std::fs::write(&path, "nothing\n").expect("it can be written");
        let empty = roots(Some(&path)).expect_err("it holds none");
        assert!(empty.to_string().ends_with("ca.pem holds no certificates"), "{empty}");
    }
}

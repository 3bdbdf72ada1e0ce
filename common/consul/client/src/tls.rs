//! Certificates of encrypted endpoints.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::TlsFiles;

/// The configuration of ureq; the error is one line for people.
pub(crate) fn config(files: &TlsFiles) -> Result<TlsConfig, String> {
    let mut builder = TlsConfig::builder();
    if let Some(path) = &files.authority {
        builder = builder.root_certs(RootCerts::new_with_certs(&certificates(path)?));
    }
    if let Some((certificate, key)) = &files.client {
        builder = builder.client_cert(Some(client(certificate, key)?));
    }
    Ok(builder.build())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let items = read(path)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&items)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(format!("{} holds no certificate", path.display())),
        false => Ok(certificates),
    }
}

fn client(certificate: &Path, key: &Path) -> Result<ClientCert, String> {
    let chain = certificates(certificate)?;
    let text = read(key)?;
    let read =
        PrivateKey::from_pem(&text).map_err(|error| format!("{}: {error}", key.display()))?;
    let held = PrivateKeyDer::try_from(read.der().to_vec())
        .map_err(|error| format!("{}: {error}", key.display()))?;
    let ders = chain.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    // ureq panics when the two don't belong together.
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(ders, held, &provider)
        .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))?;
    Ok(ClientCert::new_with_certs(&chain, read))
}

//! Host certificates: what makes one acceptable for a host (`sshkey_cert_check_host`).
//!
//! That the authority is trusted is the caller's business; the signature of the authority has
//! been checked here, that of the key exchange by the transport.

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::CertType;

use crate::pattern;

/// Checks everything but the trust in the authority.
///
/// # Errors
/// Why the certificate is not acceptable.
pub(crate) fn check_host_certificate(
    certificate: &Certificate,
    host: &str,
    now: SystemTime,
) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("it is not a host certificate".to_owned());
    }
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    if now < certificate.valid_after() {
        return Err("it is not valid yet".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("it has expired".to_owned());
    }
    let principals = certificate.valid_principals();
    if principals.is_empty() {
        return Err("it names no host".to_owned());
    }
    let host = host.to_ascii_lowercase();
    if !principals.iter().any(|principal| pattern::matches(&principal.to_ascii_lowercase(), &host))
    {
        return Err(format!("it is for {}, not for {host}", principals.join(", ")));
    }
    if certificate.critical_options().iter().next().is_some() {
        return Err("it has critical options, which host certificates don't have".to_owned());
    }
    certificate.verify_signature().map_err(|_| "its signature is wrong".to_owned())
}

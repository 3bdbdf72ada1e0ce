//! Digests and identifiers made of them.

use md5::Md5;
use minijinja::Value;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::base64::encoded_bytes;
use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::text_of;

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("checksum", |_, call| digest(call, "sha1")),
    pure("hash", |_, call| {
        let algorithm = call.text(0, "hashtype").unwrap_or_else(|| "sha1".into());
        digest(call, &algorithm)
    }),
    pure("md5", |_, call| digest(call, "md5")),
    pure("sha1", |_, call| digest(call, "sha1")),
    pure("to_uuid", to_uuid),
];

/// The digest of bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8], algorithm: &str) -> Option<String> {
    Some(match algorithm.to_lowercase().replace('-', "").as_str() {
        "md5" => hex::encode(Md5::digest(bytes)),
        "sha1" => hex::encode(Sha1::digest(bytes)),
        "sha224" => hex::encode(Sha224::digest(bytes)),
        "sha256" => hex::encode(Sha256::digest(bytes)),
        "sha384" => hex::encode(Sha384::digest(bytes)),
        "sha512" => hex::encode(Sha512::digest(bytes)),
        _ => return None,
    })
}

fn digest(call: &Call, algorithm: &str) -> Outcome<Value> {
    let bytes = encoded_bytes(&call.input, None)?;
    hexadecimal(&bytes, algorithm).map(Value::from).ok_or_else(|| {
        TemplateError::failed(format!("unsupported hash type {algorithm}"))
            .hint("md5, sha1, sha224, sha256, sha384 or sha512")
    })
}

/// The namespace that Ansible uses unless told otherwise.
const ANSIBLE_NAMESPACE: &str = "361E6D51-FAEC-444A-9079-341386DA8E2E";

/// A version 5 UUID: RFC 9562, section 5.5.
fn to_uuid(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let namespace = call.text(0, "namespace").unwrap_or_else(|| ANSIBLE_NAMESPACE.into());
    let plain: String = namespace.chars().filter(char::is_ascii_hexdigit).collect();
    let mut bytes =
        hex::decode(&plain).ok().filter(|bytes| bytes.len() == 16).ok_or_else(|| {
            TemplateError::failed(format!("Invalid value '{namespace}' for 'namespace'"))
        })?;
    bytes.extend(text_of(&call.input).into_bytes());
    let mut digest: Vec<u8> = Sha1::digest(&bytes).iter().take(16).copied().collect();
    if let Some(version) = digest.get_mut(6) {
        *version = (*version & 0x0f) | 0x50;
    }
    if let Some(variant) = digest.get_mut(8) {
        *variant = (*variant & 0x3f) | 0x80;
    }
    let text = hex::encode(digest);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("").to_owned();
    let parts = [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)];
    Ok(Value::from(parts.join("-")))
}

//! `vault` and `unvault`: texts encrypted and decrypted with a password that the template gives.

use minijinja::Value;
use provision_vault::{Password, SALT_BYTES, Vault, is_encrypted, seal};

use super::{FilterEntry, impure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{View, view};

pub(super) const FILTERS: &[FilterEntry] = &[impure("unvault", unvault), impure("vault", vault)];

/// The label of texts that the filters make, as in Ansible.
const FILTER_ID: &str = "filter_default";

fn vault(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let password = password(call)?;
    let salt = call.text(1, "salt").filter(|salt| !salt.is_empty()).map(String::into_bytes);
    let id = call.text(2, "vault_id").unwrap_or_else(|| FILTER_ID.to_owned());
    if call.flag(3, "wrap_object", false) {
        return Err(TemplateError::failed("vault: wrap_object is not supported"));
    }
    let View::Text(plain) = view(&call.input) else {
        return Err(TemplateError::failed("Can only vault strings"));
    };
    let salt = match salt {
        Some(salt) => salt,
        None => {
            let mut salt = Vec::with_capacity(SALT_BYTES);
            while salt.len() < SALT_BYTES {
                let word = run.outside.random();
                salt.extend(
                    word.map_err(|error| Run::outside_error(error, "vault"))?.to_le_bytes(),
                );
            }
            salt
        }
    };
    seal(plain.as_bytes(), &password, Some(&id), &salt)
        .map(Value::from)
        .map_err(|error| TemplateError::failed(format!("Unable to encrypt: {error}")))
}

fn unvault(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let password = password(call)?;
    let id = call.text(1, "vault_id").unwrap_or_else(|| FILTER_ID.to_owned());
    let View::Text(text) = view(&call.input) else {
        return Err(TemplateError::failed("Vault should be in the form of a string"));
    };
    if !is_encrypted(text.as_bytes()) {
        return Ok(call.input.clone());
    }
    let failed = |reason: String| TemplateError::failed(format!("Unable to decrypt: {reason}"));
    let opened = Vault::new(vec![(id, password)])
        .open(text.as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    let plain = opened.expose_text().ok_or_else(|| failed("it is not UTF-8 text".to_owned()))?;
    run.outside.keep_secret(plain);
    Ok(Value::from(plain))
}

fn password(call: &mut Call) -> Outcome<Password> {
    let secret = call.needed(0, "secret")?;
    match view(&secret) {
        View::Text(text) => Ok(Password::new(text)),
        _ => Err(TemplateError::failed("Secret passed is required to be a string")),
    }
}

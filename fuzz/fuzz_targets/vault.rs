//! Vault texts never panic; what is no whole text is never opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provision_vault::{Password, Vault, id_of, is_encrypted};

fuzz_target!(|text: &[u8]| {
    // Keys are derived for texts that parse only, so most inputs are quick.
    let id = id_of(text);
    let opened = Vault::new(vec![("default".to_owned(), Password::new("password"))]).open(text);
    if opened.is_ok() {
        assert!(id.is_ok() && is_encrypted(text));
    }
});

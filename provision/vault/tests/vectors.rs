//! Texts that ansible-core 2.18.19 made, and texts made here, are opened; damaged ones are not.
//!
//! `data/vectors.json` was written by `VaultLib.encrypt` of ansible-core 2.18.19 with given salts.

#![allow(clippy::unwrap_used, reason = "tests: a failure is a report")]

use proptest::prelude::*;
use provision_vault::{DEFAULT_ID, Password, Vault, VaultError, id_of, inline, is_encrypted, seal};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let text = include_str!("data/vectors.json");
    serde_json::from_str(text).unwrap()
}

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    hex::decode(vector[name].as_str().unwrap()).unwrap()
}

fn vault(id: &str, password: &[u8]) -> Vault {
    Vault::new(vec![(id.to_owned(), Password::new(password))])
}

#[test]
fn texts_of_ansible_are_opened_and_made_again() {
    let vectors = vectors();
    assert!(vectors.len() >= 8);
    for vector in vectors {
        let (plain, password) = (bytes(&vector, "plain"), bytes(&vector, "password"));
        let text = vector["text"].as_str().unwrap();
        let id = vector["id"].as_str();
        assert!(is_encrypted(text.as_bytes()));
        assert_eq!(id_of(text.as_bytes()).unwrap().as_deref(), id.filter(|id| *id != DEFAULT_ID));
        let opened = vault("other", &password).open(text.as_bytes()).unwrap();
        assert_eq!(opened.expose(), plain, "{vector}");
        let made = seal(&plain, &Password::new(password), id, &bytes(&vector, "salt")).unwrap();
        assert_eq!(made, text);
    }
}

#[test]
fn the_password_of_the_label_comes_first_and_all_are_tried() {
    let text = seal(b"x", &Password::new("right"), Some("prod"), b"salt").unwrap();
    let two = |first: &str, second: &str| {
        Vault::new(vec![
            ("dev".into(), Password::new(first)),
            ("prod".into(), Password::new(second)),
        ])
    };
    assert_eq!(two("wrong", "right").open(text.as_bytes()).unwrap().id(), "prod");
    assert_eq!(two("right", "wrong").open(text.as_bytes()).unwrap().id(), "dev");
    assert_eq!(two("right", "right").open(text.as_bytes()).unwrap().id(), "prod");
    let error = two("a", "b").open(text.as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no vault password fits (encrypted for vault id `prod`; tried: dev, prod)"
    );
    let error = Vault::default().open(text.as_bytes()).unwrap_err();
    assert_eq!(error, VaultError::NoPassword);
}

#[test]
fn damaged_texts_say_where() {
    let text = seal(b"content", &Password::new("p"), None, b"salt").unwrap();
    let opened = |text: &str| vault("default", b"p").open(text.as_bytes()).unwrap_err();
    assert_eq!(
        opened(&text.replacen('3', "z", 1)),
        VaultError::Damaged { line: 2, reason: "a character that is no hexadecimal digit" }
    );
    let mut odd = text.trim_end().to_owned();
    odd.pop();
    assert!(matches!(opened(&odd), VaultError::Damaged { line: 4, .. }), "{:?}", opened(&odd));
    assert!(matches!(
        opened("$ANSIBLE_VAULT;1.1;AES256\n3332\n"),
        VaultError::Damaged { line: 2, reason: "it ends before the checksum" }
    ));
    assert!(matches!(opened("$ANSIBLE_VAULT;1.1;AES256"), VaultError::Damaged { line: 1, .. }));
    assert_eq!(opened("$ANSIBLE_VAULT;1.0;AES\n"), VaultError::UnknownFormat("1.0".into()));
    assert_eq!(opened("$ANSIBLE_VAULT;1.1;ROT13\n"), VaultError::UnknownCipher("ROT13".into()));
    assert_eq!(opened("a: b\n"), VaultError::NotEncrypted);
    // A changed content is never decrypted: its checksum is wrong for every password.
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let last = lines.last_mut().unwrap();
    let changed = if last.ends_with('1') { '2' } else { '1' };
    last.pop();
    last.push(changed);
    assert!(matches!(opened(&lines.join("\n")), VaultError::WrongPassword { .. }));
}

#[test]
fn a_label_must_fit_into_a_header() {
    let made = |id| seal(b"x", &Password::new("p"), Some(id), b"salt");
    assert!(made("dev").unwrap().starts_with("$ANSIBLE_VAULT;1.2;AES256;dev\n"));
    assert!(made(DEFAULT_ID).unwrap().starts_with("$ANSIBLE_VAULT;1.1;AES256\n"));
    for id in ["", "a;b", "a\nb", " a"] {
        assert_eq!(made(id).unwrap_err(), VaultError::BadLabel(id.to_owned()));
    }
    assert_eq!(seal(b"x", &Password::new(""), None, b"salt").unwrap_err(), VaultError::Empty);
    assert_eq!(seal(b"x", &Password::new("p"), None, b"").unwrap_err(), VaultError::Empty);
}

#[test]
fn a_value_for_yaml_is_indented() {
    assert_eq!(
        inline(Some("token"), "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        "token: !vault |\n          $ANSIBLE_VAULT;1.1;AES256\n          6162"
    );
    assert_eq!(inline(None, "a\n"), "!vault |\n          a");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_sealed_is_opened(
        plain in proptest::collection::vec(any::<u8>(), 0..200),
        password in proptest::collection::vec(any::<u8>(), 1..40),
        other in proptest::collection::vec(any::<u8>(), 1..40),
        salt in proptest::collection::vec(any::<u8>(), 1..40),
        id in "[a-z0-9_.-]{1,12}",
        windows: bool,
    ) {
        let text = seal(&plain, &Password::new(password.clone()), Some(&id), &salt).unwrap();
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        let opened = vault(&id, &password).open(text.as_bytes()).unwrap();
        prop_assert_eq!(opened.expose(), plain);
        // HMAC pads keys with zeros, so passwords that differ in those only are the same.
        let trim = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        if password[..trim(&password)] != other[..trim(&other)] {
            let refused = matches!(
                vault("x", &other).open(text.as_bytes()), Err(VaultError::WrongPassword { .. })
            );
            prop_assert!(refused);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut text = b"$ANSIBLE_VAULT;1.1;AES256\n".to_vec();
        text.extend(&bytes);
        let _ = vault("default", b"p").open(&text);
        let _ = vault("default", b"p").open(&bytes);
    }
}

//! Passwords that the `password` lookup makes and keeps.

use std::path::Path;

use provision_template::OutsideError;

/// Characters of made passwords: letters, digits and the punctuation Ansible uses.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-_";

/// The password in a file, or a new one that is stored there first (mode 0600).
///
/// # Errors
/// When it can neither be read nor stored.
pub fn stored_or_new(path: &Path, length: usize) -> Result<String, OutsideError> {
    let keep = path != Path::new("/dev/null");
    if keep && path.exists() {
        let text = std::fs::read_to_string(path).map_err(|error| {
            OutsideError::Failed(format!("failed to read {}: {error}", path.display()))
        })?;
        let first = text.lines().next().unwrap_or_default();
        let password = first.split_once(" salt=").map_or(first, |(password, _)| password);
        return Ok(password.to_owned());
    }
    let password = new_password(length)?;
    if keep {
        let failed = |error: std::io::Error| {
            OutsideError::Failed(format!("failed to store {}: {error}", path.display()))
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        durable::write(path, format!("{password}\n").as_bytes(), 0o600)
            .map_err(|error| OutsideError::Failed(error.to_string()))?;
    }
    Ok(password)
}

fn new_password(length: usize) -> Result<String, OutsideError> {
    let mut password = String::with_capacity(length);
    while password.len() < length {
        let word = getrandom::u64().map_err(|error| OutsideError::Failed(error.to_string()))?;
        let letters = ALPHABET.len() as u64;
        // Rejection keeps the choice uniform.
        let limit = u64::MAX - u64::MAX % letters;
        let choice = usize::try_from(word % letters).unwrap_or(usize::MAX);
        if word < limit
            && let Some(character) = ALPHABET.get(choice)
        {
            password.push(char::from(*character));
        }
    }
    Ok(password)
}

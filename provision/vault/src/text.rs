//! The outer form: header, lines of hexadecimal digits, and the three texts within.

use crate::cipher::Sealed;
use crate::error::VaultError;

/// What every vault text begins with.
pub const HEADER: &str = "$ANSIBLE_VAULT;";

/// Hexadecimal digits a line, as `ansible-vault` writes them.
pub const LINE_DIGITS: usize = 80;

/// Largest vault text that is opened, in bytes: four times the content, so that archives of 128 MiB
/// fit, and a slip does not fill the memory.
pub const TEXT_LIMIT_BYTES: usize = 512 << 20;

/// The columns by which `ansible-vault encrypt_string` indents a value in YAML.
const INLINE_INDENT: usize = 10;

/// Whether a text is a vault text, judged by its beginning.
#[must_use]
pub fn is_encrypted(text: &[u8]) -> bool {
    text.starts_with(HEADER.as_bytes())
}

/// What stands in a vault text.
pub(crate) struct Envelope {
    /// The label of format 1.2.
    pub(crate) id: Option<String>,
    /// The decoded parts.
    pub(crate) sealed: Sealed,
}

/// Takes a vault text apart.
pub(crate) fn parse(text: &[u8]) -> Result<Envelope, VaultError> {
    if !is_encrypted(text) {
        return Err(VaultError::NotEncrypted);
    }
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(VaultError::TooLarge);
    }
    let mut lines = text.split(|byte| *byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let id = header_id(header)?;
    let mut digits = Vec::with_capacity(text.len());
    let mut last_line = 1;
    for (number, line) in (2..).zip(lines) {
        let line = line.trim_ascii();
        if line.iter().any(|byte| !byte.is_ascii_hexdigit()) {
            return Err(damaged(number, "a character that is no hexadecimal digit"));
        }
        if !line.is_empty() {
            last_line = number;
        }
        digits.extend_from_slice(line);
    }
    let inner = hex::decode(&digits)
        .map_err(|_| damaged(last_line, "an odd number of hexadecimal digits"))?;
    let mut parts = inner.splitn(3, |byte| *byte == b'\n');
    let mut part = |what: &'static str| {
        let part = parts.next().filter(|part| !part.is_empty());
        part.ok_or_else(|| damaged(last_line, what))
            .and_then(|part| hex::decode(part).map_err(|_| damaged(last_line, what)))
    };
    let sealed = Sealed {
        salt: part("it ends before the salt")?,
        mac: part("it ends before the checksum")?,
        bytes: part("it ends before the content")?,
    };
    Ok(Envelope { id, sealed })
}

fn damaged(line: usize, reason: &'static str) -> VaultError {
    VaultError::Damaged { line, reason }
}

/// The label of a header that can be used.
fn header_id(header: &[u8]) -> Result<Option<String>, VaultError> {
    let header =
        std::str::from_utf8(header).map_err(|_| damaged(1, "the header is not UTF-8 text"))?;
    let mut fields = header.trim().split(';').map(str::trim).skip(1);
    let version = fields.next().unwrap_or_default();
    let Some(cipher) = fields.next() else {
        return Err(damaged(1, "the header names no cipher"));
    };
    if !matches!(version, "1.1" | "1.2") {
        return Err(VaultError::UnknownFormat(version.to_owned()));
    }
    if cipher != "AES256" {
        return Err(VaultError::UnknownCipher(cipher.to_owned()));
    }
    Ok(fields.next().filter(|id| !id.is_empty()).map(str::to_owned))
}

/// Writes a vault text.
pub(crate) fn write(id: Option<&str>, sealed: &Sealed) -> String {
    let inner = [&sealed.salt, &sealed.mac, &sealed.bytes].map(hex::encode).join("\n");
    let digits = hex::encode(inner);
    let mut text = match id {
        Some(id) => format!("{HEADER}1.2;AES256;{id}\n"),
        None => format!("{HEADER}1.1;AES256\n"),
    };
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(LINE_DIGITS.min(rest.len()));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text
}

/// A vault text as a value in YAML, in the form of `ansible-vault encrypt_string`; without a
/// newline at its end.
#[must_use]
pub fn inline(name: Option<&str>, vault_text: &str) -> String {
    let mut yaml = match name {
        Some(name) => format!("{name}: !vault |"),
        None => "!vault |".to_owned(),
    };
    for line in vault_text.lines() {
        yaml.push('\n');
        yaml.push_str(&" ".repeat(INLINE_INDENT));
        yaml.push_str(line);
    }
    yaml
}

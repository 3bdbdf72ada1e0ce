//! Encrypted files: read like any other, but nothing of their text is ever shown.

use std::sync::Arc;

use diagnostics::{Diagnostic, SourceId, Sources, Span};
use provision_vault::VaultError;
use yaml::{Mapping, Node, NodeValue};

use crate::files::Files;

/// Contents of encrypted files up to this size are secrets, in bytes: keys and configuration.
/// Larger ones are archives, which no output quotes.
pub const SECRET_FILE_BYTES: usize = 64 << 10;

/// How a user gives passwords.
const GIVE_A_PASSWORD: &str =
    "give its password with --vault-password-file FILE, --vault-id LABEL@FILE or --ask-vault-pass";

/// The text of a file as it is meant.
pub(crate) struct PlainText {
    pub(crate) text: Arc<str>,
    pub(crate) source: SourceId,
    /// Whether it was encrypted.
    pub(crate) is_secret: bool,
}

/// Adds the text of a file to the sources, decrypted if it is encrypted.
pub(crate) fn plain_text(
    files: &dyn Files,
    sources: &mut Sources,
    name: String,
    text: String,
) -> Result<PlainText, Box<Diagnostic>> {
    if !provision_vault::is_encrypted(text.as_bytes()) {
        let text: Arc<str> = text.into();
        let source = sources.add(name, Arc::clone(&text));
        return Ok(PlainText { text, source, is_secret: false });
    }
    let opened = files.open_vault(&text);
    let error = match &opened {
        Ok(opened) => match opened.expose_text() {
            Some(plain) => {
                let text: Arc<str> = plain.into();
                let source = sources.add_secret(name, Arc::clone(&text));
                return Ok(PlainText { text, source, is_secret: true });
            }
            None => None,
        },
        Err(error) => Some(error),
    };
    let source = sources.add(name.clone(), text.as_str());
    let whole = Span::new(source, 0, text.len());
    Err(Box::new(match error {
        Some(error) => refused(&format!("`{name}`"), &text, whole, error),
        None => Diagnostic::error("vault", format!("`{name}` holds no UTF-8 text"))
            .at(line_of(&text, whole, 1), "decrypted, it is no text"),
    }))
}

/// Why an encrypted text that stands at `span` can't be used.
pub(crate) fn refused(what: &str, text: &str, span: Span, error: &VaultError) -> Diagnostic {
    let first = line_of(text, span, 1);
    match error {
        VaultError::NoPassword => {
            let message = format!("{what} is encrypted, and no vault password was given");
            Diagnostic::error("vault", message)
                .at(first, "encrypted with Ansible Vault")
                .hint(GIVE_A_PASSWORD)
        }
        VaultError::WrongPassword { wanted, tried } => {
            let message = format!("no vault password that was given decrypts {what}");
            let hint = match tried.contains(wanted) {
                true => "check the password: it may be that of another file or an older one".into(),
                false => format!("give the password of this vault id: --vault-id {wanted}@FILE"),
            };
            Diagnostic::error("vault", message)
                .at(first, format!("encrypted for vault id `{wanted}`"))
                .note(format!("vault ids of the passwords tried: {}", tried.join(", ")))
                .hint(hint)
        }
        VaultError::Damaged { line, reason } => {
            Diagnostic::error("vault", format!("the encrypted text of {what} is damaged"))
                .at(line_of(text, span, *line), (*reason).to_owned())
                .hint("restore it from the version control system, or encrypt it again")
        }
        other => Diagnostic::error("vault", format!("{what} can't be decrypted: {other}"))
            .at(first, "encrypted with Ansible Vault"),
    }
}

/// The span of a line of a text that stands at `span`.
fn line_of(text: &str, span: Span, line: usize) -> Span {
    let mut offset = 0;
    for (number, content) in (1..).zip(text.split('\n')) {
        if number >= line {
            return span.slice(offset, content.trim_end().len());
        }
        offset += content.len() + 1;
    }
    span.slice(0, 1)
}

/// Tells of all values in a file of variables that was encrypted.
pub(crate) fn keep_secrets(files: &dyn Files, variables: &Mapping) {
    for (_, value) in variables.iter() {
        keep_secret(files, value);
    }
}

/// Tells of all values in a node that was encrypted. Templates are none: they say where a value
/// comes from.
pub(crate) fn keep_secret(files: &dyn Files, node: &Node) {
    match &node.value {
        NodeValue::String(text) if !node.is_vault() => {
            if node.is_unsafe() || !crate::templating::is_template(text) {
                files.keep_secret(text);
            }
        }
        NodeValue::Integer(number) => files.keep_secret(&number.to_string()),
        NodeValue::BigInteger(digits) => files.keep_secret(digits),
        NodeValue::Float(number) => files.keep_secret(&number.to_string()),
        NodeValue::Sequence(items) => items.iter().for_each(|item| keep_secret(files, item)),
        NodeValue::Mapping(mapping) => keep_secrets(files, mapping),
        NodeValue::String(_) | NodeValue::Null | NodeValue::Bool(_) => {}
    }
}

//! Passwords and opened texts: no `Display`, nothing shown by `Debug`, wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A vault password. Only [`Password::expose`] reveals it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes ownership of the bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Password(Zeroizing::new(bytes.into()))
    }

    /// The bytes. Every call site is a place where they could leak.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("‹secret›")
    }
}

/// An opened text. Only [`Opened::expose`] reveals it.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    bytes: Zeroizing<Vec<u8>>,
    id: String,
}

impl Opened {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>, id: String) -> Self {
        Opened { bytes, id }
    }

    /// The label of the password that fitted.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bytes. Every call site is a place where they could leak.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, if it is UTF-8. Every call site is a place where it could leak.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("‹secret›")
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{Opened, Password};

    #[test]
    fn debug_shows_nothing() {
        let opened = Opened::new(Zeroizing::new(b"hunter2".to_vec()), "default".into());
        let shown = format!("{:?} {opened:?} {opened:#?}", Password::new("hunter2"));
        assert_eq!(shown, "‹secret› ‹secret› ‹secret›");
    }
}

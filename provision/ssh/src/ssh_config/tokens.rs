//! `%` tokens and `~` in values of `ssh_config`. Pure.

use std::path::{Path, PathBuf};

use crate::local::LocalUser;

/// What the tokens stand for.
pub(crate) struct Tokens<'a> {
    /// `%n`: the host as given.
    pub(crate) original: &'a str,
    /// `%h`: the host name after `HostName`.
    pub(crate) host: &'a str,
    /// `%p`.
    pub(crate) port: u16,
    /// `%r`: the remote user.
    pub(crate) user: &'a str,
    /// `%u`, `%d`, `%i`, `%l`, `%L`.
    pub(crate) local: &'a LocalUser,
}

impl Tokens<'_> {
    /// Replaces all tokens.
    ///
    /// # Errors
    /// Names the token that isn't one.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        expand(text, |token| {
            Some(match token {
                'n' => self.original.to_owned(),
                'h' => self.host.to_owned(),
                'p' => self.port.to_string(),
                'r' => self.user.to_owned(),
                'u' => self.local.name.clone(),
                'd' => self.local.home.to_string_lossy().into_owned(),
                'i' => self.local.id.to_string(),
                'l' => self.local.host_name.clone(),
                'L' => self.local.host_name.split('.').next().unwrap_or_default().to_owned(),
                _ => return None,
            })
        })
    }

    /// Replaces tokens and a leading `~`.
    ///
    /// # Errors
    /// As [`Tokens::expand`].
    pub(crate) fn expand_path(&self, text: &str) -> Result<PathBuf, String> {
        if text.starts_with('~') && !(text == "~" || text.starts_with("~/")) {
            return Err("`~user` is not supported; write the path in full".to_owned());
        }
        // The tilde first, as OpenSSH: a token's value cannot bring in another one.
        let path = self.local.expand_tilde(Path::new(text));
        self.expand(&path.to_string_lossy()).map(PathBuf::from)
    }
}

/// Replaces `%x` by what `value` says and `%%` by `%`.
pub(crate) fn expand(text: &str, value: impl Fn(char) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        match characters.next() {
            Some('%') => expanded.push('%'),
            Some(token) => match value(token) {
                Some(value) => expanded.push_str(&value),
                None => return Err(format!("`%{token}` is not supported here")),
            },
            None => return Err("`%` at the end".to_owned()),
        }
    }
    Ok(expanded)
}

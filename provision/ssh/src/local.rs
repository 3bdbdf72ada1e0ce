//! Who we are on this machine: for default users, `~` and `%` tokens.

use std::path::{Path, PathBuf};

/// The local user, as the user database says; the environment only helps where it has no entry
/// (LDAP without files).
#[derive(Debug, Clone)]
pub(crate) struct LocalUser {
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    pub(crate) id: u32,
    pub(crate) host_name: String,
}

impl LocalUser {
    /// Reads the user database. `home` wins over everything.
    pub(crate) fn find(home: Option<&Path>) -> Self {
        let id = rustix::process::getuid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = passwd.lines().find_map(|line| entry_of(line, id));
        let from_environment = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let (name, database_home) = match entry {
            Some((name, home)) => (Some(name), Some(home)),
            None => (None, None),
        };
        let name = name
            .or_else(|| from_environment("USER"))
            .or_else(|| from_environment("LOGNAME"))
            .unwrap_or_else(|| id.to_string());
        let home = home
            .map(Path::to_owned)
            .or(database_home)
            .or_else(|| from_environment("HOME").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("/"));
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { name, home, id, host_name }
    }

    /// Replaces a leading `~/`. Other users' homes (`~user`) are left alone.
    pub(crate) fn expand_tilde(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("~") {
            Ok(rest) => self.home.join(rest),
            Err(_) => path.to_owned(),
        }
    }
}

fn entry_of(line: &str, id: u32) -> Option<(String, PathBuf)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    if fields.nth(1)?.parse() != Ok(id) {
        return None;
    }
    let home = fields.nth(2)?;
    Some((name.to_owned(), PathBuf::from(home)))
}

#[cfg(test)]
mod tests {
    use super::entry_of;

    #[test]
    fn passwd_entries_are_found_by_number() {
        let line = "web:x:33:44:Web,,,:/var/www:/bin/sh";
        assert_eq!(entry_of(line, 33), Some(("web".to_owned(), "/var/www".into())));
        assert_eq!(entry_of(line, 44), None);
        assert_eq!(entry_of("broken", 0), None);
    }
}

//! The databases of users and groups as they lie on the disk, for the modules that change them.

use std::path::Path;

use crate::module::Failure;
use crate::names::{self, Group, User};

/// Largest database that is read, in bytes.
const DATABASE_LIMIT_BYTES: u64 = 64 << 20;

/// Days since 1970, or other numbers of days; `None` stands for an empty field.
type Days = Option<i64>;

/// A line of `/etc/shadow`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shadow {
    /// Encrypted password.
    pub password: String,
    /// Days until it may be changed.
    pub minimum: Days,
    /// Days until it must be changed.
    pub maximum: Days,
    /// Days of warning before that.
    pub warning: Days,
    /// Days until the account is disabled after that.
    pub inactive: Days,
    /// Day on which the account expires.
    pub expires: Days,
}

impl Shadow {
    /// The line of a user; `None` if there is none or this process may not read it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let text = read("/etc/shadow")?;
        text.lines().find_map(|line| Shadow::parse(line, name))
    }

    fn parse(line: &str, name: &str) -> Option<Self> {
        let rest = line.strip_prefix(name)?.strip_prefix(':')?;
        let mut fields = rest.split(':');
        let password = fields.next()?.to_owned();
        let _changed = fields.next();
        let mut days = || fields.next().and_then(|field| field.parse().ok());
        Some(Shadow {
            password,
            minimum: days(),
            maximum: days(),
            warning: days(),
            inactive: days(),
            expires: days(),
        })
    }
}

fn read(path: &str) -> Option<String> {
    let path = Path::new(path);
    if path.metadata().ok()?.len() > DATABASE_LIMIT_BYTES {
        return None;
    }
    Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned())
}

/// Whether a database has a line for this name; other sources of names are not asked.
#[must_use]
pub fn is_local(database: &str, name: &str) -> bool {
    let text = read(database).unwrap_or_default();
    text.lines().any(|line| line.split(':').next() == Some(name))
}

/// The user of this name. `local`: only if the account is in `/etc/passwd`.
///
/// # Errors
/// When the database can't be read.
pub fn user(name: &str, local: bool) -> Result<Option<User>, Failure> {
    if local && !is_local("/etc/passwd", name) {
        return Ok(None);
    }
    names::user_by_name(name).map_err(|error| unreadable("user", &error))
}

/// The group of this name.
///
/// # Errors
/// When the database can't be read.
pub fn group_by_name(name: &str) -> Result<Option<Group>, Failure> {
    names::group_by_name(name).map_err(|error| unreadable("group", &error))
}

/// The group of this id or name; an id is preferred.
///
/// # Errors
/// When there is none, or the database can't be read.
pub fn group(name: &str) -> Result<Group, Failure> {
    if let Ok(gid) = name.parse()
        && let Some(group) = names::group_by_id(gid).map_err(|error| unreadable("group", &error))?
    {
        return Ok(group);
    }
    group_by_name(name)?.ok_or_else(|| Failure::new(format!("Group {name} does not exist")))
}

fn unreadable(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!("failed to read the {what} database: {error}"))
}

/// Names of the groups that list this user as a member.
#[must_use]
pub fn memberships(user: &str) -> Vec<String> {
    memberships_in(&read("/etc/group").unwrap_or_default(), user)
}

fn memberships_in(text: &str, user: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let members = fields.nth(2)?;
            members.split(',').any(|member| member.trim() == user).then(|| name.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_lines() {
        let line = "ann:$6$x:19000:0:99999:7::20000:";
        let shadow = Shadow::parse(line, "ann").unwrap();
        assert_eq!(shadow.password, "$6$x");
        assert_eq!((shadow.minimum, shadow.maximum), (Some(0), Some(99_999)));
        assert_eq!((shadow.inactive, shadow.expires), (None, Some(20_000)));
        assert_eq!(Shadow::parse(line, "an"), None);
        assert_eq!(Shadow::parse("ann:!", "ann").unwrap().password, "!");
    }

    #[test]
    fn members_of_groups() {
        let text = "root:x:0:\nsudo:x:27:ann,bob\nx:x:9:bob\nbroken\n";
        assert_eq!(memberships_in(text, "bob"), ["sudo", "x"]);
        assert_eq!(memberships_in(text, "an"), Vec::<String>::new());
    }

    #[test]
    fn groups_by_id_or_name() {
        assert_eq!(group("0").unwrap().name, "root");
        assert_eq!(group("root").unwrap().gid, 0);
        assert!(group("no-such-group").is_err());
        assert!(is_local("/etc/passwd", "root") && !is_local("/etc/passwd", "roo"));
    }
}

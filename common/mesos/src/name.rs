//! What may be the name of a task, an executor or a role.

/// Longest name of a task or an executor in bytes: it becomes a folder's name on agents.
pub const NAME_LIMIT_BYTES: usize = 255;

/// Why a name is refused, in Mesos' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no letters.
    #[error("ID must not be empty")]
    Empty,
    /// It is too long.
    #[error("ID must not be greater than {NAME_LIMIT_BYTES} characters")]
    Long,
    /// It names a folder that is always there.
    #[error("'{0}' is disallowed")]
    Folder(String),
    /// It has control characters or slashes.
    #[error("'{0}' contains invalid characters")]
    Characters(String),
}

/// Checks the name of a task, an executor, a framework or an agent.
///
/// # Errors
/// If Mesos would refuse it.
pub fn check_id(id: &str) -> Result<(), NameError> {
    if id.is_empty() {
        Err(NameError::Empty)
    } else if id.len() > NAME_LIMIT_BYTES {
        Err(NameError::Long)
    } else if id == "." || id == ".." {
        Err(NameError::Folder(id.to_owned()))
    } else if id.bytes().any(|byte| byte.is_ascii_control() || matches!(byte, b'/' | b'\\')) {
        Err(NameError::Characters(id.to_owned()))
    } else {
        Ok(())
    }
}

/// Why a role is refused, in Mesos' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// It has no letters.
    #[error("Empty role name is invalid")]
    Empty,
    /// It begins with a slash.
    #[error("Role '{0}' cannot start with a slash")]
    SlashFirst(String),
    /// It ends with a slash.
    #[error("Role '{0}' cannot end with a slash")]
    SlashLast(String),
    /// Two slashes follow each other.
    #[error("Role '{0}' cannot contain two adjacent slashes")]
    Slashes(String),
    /// A part of it is `.` or `..`.
    #[error("Role component '{0}' is invalid")]
    Folder(String),
    /// The role of all is only itself.
    #[error("Role component '*' is invalid in '{0}'")]
    Star(String),
    /// A part of it begins with a dash.
    #[error("Role component '{0}' is invalid because it begins with a dash")]
    Dash(String),
    /// A part of it has blanks.
    #[error("Role component '{0}' is invalid because it contains backspace or whitespace")]
    Blank(String),
}

/// Checks the name of a role: parts with slashes between them.
///
/// # Errors
/// If Mesos would refuse it.
pub fn check_role(role: &str) -> Result<(), RoleError> {
    if role == "*" {
        return Ok(());
    }
    if role.is_empty() {
        return Err(RoleError::Empty);
    }
    if role.starts_with('/') {
        return Err(RoleError::SlashFirst(role.to_owned()));
    }
    if role.ends_with('/') {
        return Err(RoleError::SlashLast(role.to_owned()));
    }
    if role.contains("//") {
        return Err(RoleError::Slashes(role.to_owned()));
    }
    for part in role.split('/') {
        let owned = || part.to_owned();
        match part {
            "." | ".." => return Err(RoleError::Folder(owned())),
            "*" => return Err(RoleError::Star(role.to_owned())),
            _ if part.starts_with('-') => return Err(RoleError::Dash(owned())),
            _ if part.bytes().any(|byte| matches!(byte, b' ' | 0x08..=0x0d)) => {
                return Err(RoleError::Blank(owned()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_id, check_role};

    #[test]
    fn ids() {
        for id in ["a", "app.v1.0-3", "…", ".a", &"x".repeat(255)] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        let refused = |id: &str| check_id(id).unwrap_err().to_string();
        assert_eq!(refused(""), "ID must not be empty");
        assert_eq!(refused(".."), "'..' is disallowed");
        assert_eq!(refused("bad/id"), "'bad/id' contains invalid characters");
        assert_eq!(refused("a\\b"), "'a\\b' contains invalid characters");
        assert_eq!(refused("a\u{7f}"), "'a\u{7f}' contains invalid characters");
        assert_eq!(refused(&"x".repeat(256)), "ID must not be greater than 255 characters");
    }

    #[test]
    fn roles() {
        for role in ["*", "prod", "a/b/c", "a-b"] {
            assert_eq!(check_role(role), Ok(()), "{role}");
        }
        let refused = |role: &str| check_role(role).unwrap_err().to_string();
        assert_eq!(
            refused("a b"),
            "Role component 'a b' is invalid because it contains backspace or whitespace"
        );
        for role in ["", "/a", "a/", "a//b", ".", "a/..", "a/*", "-a", "a\tb"] {
            assert!(check_role(role).is_err(), "{role}");
        }
    }
}

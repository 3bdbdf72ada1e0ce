//! Paths without a file system: purely by their text.

use std::path::{Component, Path, PathBuf};

/// The path without `.` and, where it is sure, without `..`.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match parts.last() {
                Some(Component::Normal(_)) => {
                    parts.pop();
                }
                Some(Component::RootDir) => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    parts.into_iter().collect()
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// What follows a prefix folder; `None` if the path is not below it.
pub(crate) fn is_below(path: &Path, folder: &Path) -> bool {
    normal(path).starts_with(normal(folder))
}

#[cfg(test)]
mod tests {
    use super::normal;
    use std::path::Path;

    #[test]
    fn removes_what_means_nothing() {
        let table =
            [("a/./b/../c", "a/c"), ("../a", "../a"), ("/../a", "/a"), ("./a", "a"), ("a/..", "")];
        for (path, expected) in table {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}

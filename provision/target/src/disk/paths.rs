//! Paths as Python's `os.path` sees them.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::module::Context;
use crate::modules::system::words::Environment;

/// Links that are followed before a path counts as circular; the kernel's own limit.
const LINK_LIMIT: usize = 40;

/// Expands `~` and variables, as parameters of the type `path` are.
#[must_use]
pub fn expand(context: &Context<'_>, text: &str) -> PathBuf {
    Environment::new(&context.environment).expand_path(text)
}

/// Whether something is there, a dangling link not counting (`os.path.exists`).
#[must_use]
pub fn exists(path: &Path) -> bool {
    fs::metadata(path).is_ok()
}

/// Whether anything is there (`os.path.lexists`).
#[must_use]
pub fn is_present(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether it is a link itself.
#[must_use]
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink())
}

/// Whether it is a directory, or a link to one.
#[must_use]
pub fn is_directory(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_dir())
}

/// The folder something lies in; `.` for a bare name.
#[must_use]
pub fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The last component of a text; empty after a final `/`.
#[must_use]
pub fn base_name(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or_default()
}

/// For return values.
#[must_use]
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The path without links; what doesn't exist is kept (`os.path.realpath`).
#[must_use]
pub fn real_path(path: &Path) -> PathBuf {
    let absolute = std::env::current_dir().unwrap_or_default().join(path);
    let mut real = PathBuf::from("/");
    let mut rest: Vec<OsString> = reversed_components(&absolute);
    let mut links = 0;
    while let Some(component) = rest.pop() {
        if component == ".." {
            real.pop();
            continue;
        }
        let candidate = real.join(&component);
        match fs::read_link(&candidate) {
            Ok(target) if links < LINK_LIMIT => {
                links += 1;
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                rest.extend(reversed_components(&target));
            }
            _ => real = candidate,
        }
    }
    real
}

fn reversed_components(path: &Path) -> Vec<OsString> {
    let mut components: Vec<OsString> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect();
    components.reverse();
    components
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_resolved_also_when_they_dangle() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        symlink("b/../c/d", root.join("e")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(real_path(&root.join("b")), root.join("a"));
        assert_eq!(real_path(&root.join("e/x")), root.join("c/d/x"));
        assert_eq!(real_path(&root.join("b/../b")), root.join("a"));
        assert!(real_path(&root.join("loop")).ends_with("loop"));
    }
}

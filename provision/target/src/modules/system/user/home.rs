//! Home folders.

use std::fs;
use std::path::Path;

use crate::disk::metadata;
use crate::module::Failure;

/// What a new home folder is copied from.
const SKELETON: &str = "/etc/skel";

/// Where the mode of new home folders is configured.
const LOGIN_DEFINITIONS: &str = "/etc/login.defs";

/// Deepest folder of a skeleton or a home that is visited; deeper trees are a mistake.
const DEPTH_LIMIT: usize = 128;

/// Creates a home folder like `useradd` does, with its parents. Nothing happens if it exists.
pub(super) fn create(path: &Path, skeleton: Option<&str>) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|error| Failure::system("create", path, &error))?;
    let skeleton = Path::new(skeleton.unwrap_or(SKELETON));
    if skeleton.is_dir() {
        copy(skeleton, path, 0)?;
    }
    if let Ok(text) = fs::read_to_string(LOGIN_DEFINITIONS) {
        let changed = metadata::change_mode(path, home_mode(&text));
        changed.map_err(|error| Failure::system("change the mode of", path, &error))?;
    }
    Ok(())
}

/// The mode of new homes: HOME_MODE, otherwise what UMASK leaves, otherwise 0755.
fn home_mode(definitions: &str) -> u32 {
    let read = |name: &str| {
        definitions
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '\t']))
            .find_map(|rest| u32::from_str_radix(rest.trim(), 8).ok())
    };
    match (read("HOME_MODE"), read("UMASK")) {
        (Some(mode), _) => mode & 0o7777,
        (None, Some(umask)) => 0o777 & !umask,
        (None, None) => 0o755,
    }
}

fn copy(from: &Path, to: &Path, depth: usize) -> Result<(), Failure> {
    let unreadable = |error| Failure::system("copy", from, &error);
    if depth > DEPTH_LIMIT {
        return Err(Failure::new(format!("{} is too deep", from.display())));
    }
    for entry in from.read_dir().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let failed = |error| Failure::system("copy", &source, &error);
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            fs::create_dir(&target).map_err(failed)?;
            copy(&source, &target, depth + 1)?;
            let permissions = entry.metadata().map_err(failed)?.permissions();
            fs::set_permissions(&target, permissions).map_err(failed)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).map_err(failed)?;
            std::os::unix::fs::symlink(link, &target).map_err(failed)?;
        } else {
            fs::copy(&source, &target).map_err(failed)?;
        }
    }
    Ok(())
}

/// Gives a home and all that is in it to its user; links themselves, never what they point to.
pub(super) fn give(path: &Path, uid: u32, gid: u32) -> Result<(), Failure> {
    give_at(path, uid, gid, 0)
}

fn give_at(path: &Path, uid: u32, gid: u32, depth: usize) -> Result<(), Failure> {
    let failed = |error| Failure::system("change the owner of", path, &error);
    metadata::change_owner(path, Some(uid), Some(gid)).map_err(failed)?;
    if depth > DEPTH_LIMIT || !path.symlink_metadata().map_err(failed)?.is_dir() {
        return Ok(());
    }
    for entry in path.read_dir().map_err(failed)? {
        give_at(&entry.map_err(failed)?.path(), uid, gid, depth + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn modes_come_from_login_defs() {
        assert_eq!(home_mode("UMASK\t\t022\n"), 0o755);
        assert_eq!(home_mode("UMASK 077\nHOME_MODE\t0750\n"), 0o750);
        assert_eq!(home_mode("# HOME_MODE 0700\nUMASKED 1\n"), 0o755);
    }

    #[test]
    fn skeletons_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let skeleton = folder.path().join("skel");
        fs::create_dir_all(skeleton.join("d")).unwrap();
        fs::write(skeleton.join("d/.profile"), "x").unwrap();
        fs::set_permissions(skeleton.join("d/.profile"), fs::Permissions::from_mode(0o640))
            .unwrap();
        std::os::unix::fs::symlink("d", skeleton.join("l")).unwrap();
        let home = folder.path().join("a/b");
        create(&home, skeleton.to_str()).unwrap();
        assert_eq!(fs::read_to_string(home.join("l/.profile")).unwrap(), "x");
        let mode = home.join("d/.profile").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        give(&home, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()).unwrap();
        create(&home, skeleton.to_str()).unwrap();
    }
}

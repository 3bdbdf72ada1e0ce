//! `[io]` Brings roles onto this machine, into the cache: from a folder of mirrors, from the public
//! repository, or from Python's package index. What is there already isn't fetched again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::catalog::{Entry, Git, Origin, Wheel};
use crate::conformance::source::virtual_environment;
use crate::error::{Doing, Error, capture};
use crate::lab::directories;
use crate::{step, workspace};

/// A role's history is small; a forge that needs longer than this is not there.
const FETCH_LIMIT: Duration = Duration::from_mins(3);
/// The `ansible` wheel has 57 MB.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);
/// Where `owner/name` is cloned from.
const FORGE: &str = "https://github.com/";
/// A folder of bare mirrors, `OWNER+NAME/repo`, for machines that can't reach the forge.
pub const MIRRORS_VARIABLE: &str = "CORRAL_ROLES_FROM";

/// What became of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Its files are in this folder.
    There(PathBuf),
    /// They aren't, for this reason.
    Not(String),
}

/// Where the files of an entry are, or will be.
#[must_use]
pub fn folder(origin: &Origin) -> PathBuf {
    let name = match origin {
        Origin::Git(git) => format!("{}-{}", git.repository.replace('/', "+"), git.commit),
        Origin::Python(wheel) => {
            format!("{}-{}", wheel.package, wheel.folder.replace('/', "+"))
        }
    };
    workspace::cache().join("public-roles").join(name)
}

/// Fetches an entry unless it is there.
///
/// # Errors
/// The cache can't be written; not: that there is no way to the role.
pub fn fetch(entry: &Entry, mirrors: Option<&Path>) -> Result<Fetched, Error> {
    let target = folder(&entry.from);
    if target.is_dir() {
        return Ok(Fetched::There(target));
    }
    if let Some(above) = target.parent() {
        directories::check_path(above)?;
        fs::create_dir_all(above).doing(|| format!("create {}", above.display()))?;
    }
    let part = target.with_extension(format!("{}.part", std::process::id()));
    let outcome = match &entry.from {
        Origin::Git(git) => from_git(git, mirrors, &part),
        Origin::Python(wheel) => from_wheel(wheel, &part),
    };
    if let Err(error) = outcome {
        let _ = fs::remove_dir_all(&part);
        return Ok(Fetched::Not(reason(&error)));
    }
    fs::rename(&part, &target).doing(|| format!("make {}", target.display()))?;
    Ok(Fetched::There(target))
}

/// The innermost cause in a line.
fn reason(error: &Error) -> String {
    let text = format!("failed to {}: {}", error.action, error.cause);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn from_git(git: &Git, mirrors: Option<&Path>, target: &Path) -> Result<(), Error> {
    let mirror = mirrors.map(|folder| folder.join(git.repository.replace('/', "+")).join("repo"));
    match mirror.filter(|mirror| mirror.is_dir()) {
        Some(mirror) => export(&mirror, &git.commit, target),
        None => {
            let clone = target.with_extension("clone");
            let outcome = clone_commit(git, &clone)
                .and_then(|()| export(&clone.join(".git"), &git.commit, target));
            let _ = fs::remove_dir_all(&clone);
            outcome
        }
    }
}

/// One commit without the history before it.
fn clone_commit(git: &Git, clone: &Path) -> Result<(), Error> {
    let url = format!("{FORGE}{}", git.repository);
    let log = step::log("git");
    let clone_text = clone.to_string_lossy().into_owned();
    for words in [
        vec!["init", "--quiet", &clone_text],
        vec!["-C", &clone_text, "fetch", "--quiet", "--depth", "1", &url, &git.commit],
    ] {
        let mut command = Command::new("git");
        // A repository that doesn't exist makes git ask for a password.
        command.args(&words).env("GIT_TERMINAL_PROMPT", "0");
        let ended = step::run(&command, &log, FETCH_LIMIT)?;
        if !ended.succeeded() {
            let reason = format!("git {}: {}", ended.words(), step::tail(&log, 1).trim());
            return Err(Error::refused(format!("fetch {url}"), reason));
        }
    }
    Ok(())
}

/// The files of a commit, without anything of git.
fn export(repository: &Path, commit: &str, target: &Path) -> Result<(), Error> {
    let archive = target.with_extension("tar");
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(repository).args(["archive", "--format=tar", "--output"]);
    command.arg(&archive).arg(commit);
    let action = || format!("read commit {commit} of {}", repository.display());
    capture(&mut command).doing(action)?;
    let file = File::open(&archive).doing(action)?;
    let unpacked = tar::Archive::new(file).unpack(target).doing(action);
    fs::remove_file(&archive).doing(action)?;
    unpacked
}

fn from_wheel(wheel: &Wheel, target: &Path) -> Result<(), Error> {
    let archive = download(&wheel.package)?;
    unpack_wheel(&archive, &wheel.folder, target)
}

/// A wheel in the cache.
///
/// # Errors
/// pip can't download it.
pub fn download(package: &str) -> Result<PathBuf, Error> {
    let folder = workspace::cache().join("public-roles/wheels").join(package);
    if let Some(wheel) = only_wheel(&folder) {
        return Ok(wheel);
    }
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    eprintln!("roles: downloading {package}");
    let mut command = Command::new(virtual_environment("tools", &[])?.join("bin/pip"));
    command.args(["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]);
    command.arg(&folder).arg(package);
    step::demand(&command, &step::log("pip"), DOWNLOAD_LIMIT, &format!("download {package}"))?;
    only_wheel(&folder)
        .ok_or_else(|| Error::refused(format!("find {package}"), "pip left no wheel"))
}

fn only_wheel(folder: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Unpacks one folder of a wheel.
///
/// # Errors
/// The archive is damaged, or has no such folder.
pub fn unpack_wheel(archive: &Path, folder: &str, target: &Path) -> Result<(), Error> {
    let action = || format!("unpack {folder} of {}", archive.display());
    let damaged = |error: zip::result::ZipError| Error::refused(action(), error.to_string());
    let file = File::open(archive).doing(action)?;
    let mut wheel = zip::ZipArchive::new(file).map_err(damaged)?;
    let mut count = 0_usize;
    for index in 0..wheel.len() {
        let mut entry = wheel.by_index(index).map_err(damaged)?;
        let Some(path) = entry.enclosed_name() else { continue };
        let Ok(inside) = path.strip_prefix(folder) else { continue };
        if !entry.is_file() {
            continue;
        }
        let path = target.join(inside);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).doing(action)?;
        }
        let mut file = File::create(&path).doing(action)?;
        io::copy(&mut entry, &mut file).doing(action)?;
        count += 1;
    }
    if count == 0 {
        return Err(Error::refused(action(), "there is no such folder"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_folder_of_a_wheel_is_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("a.whl");
        let mut writer = zip::ZipWriter::new(File::create(&archive).unwrap());
        for (name, text) in [("a/roles/x/tasks/main.yml", "- x"), ("a/other", "y")] {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        let target = directory.path().join("x");
        unpack_wheel(&archive, "a/roles/x", &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("tasks/main.yml")).unwrap(), "- x");
        assert!(unpack_wheel(&archive, "b", &target).is_err());
    }

    #[test]
    fn a_commit_comes_from_a_mirror_without_its_history() {
        let directory = tempfile::tempdir().unwrap();
        let work = directory.path().join("work");
        fs::create_dir_all(work.join("tasks")).unwrap();
        fs::write(work.join("tasks/main.yml"), "- x").unwrap();
        let git = |words: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(&work).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
            let output = capture(command.args(words)).unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "x"]);
        let commit = git(&["rev-parse", "HEAD"]);
        let mirror = directory.path().join("mirrors/some+role");
        fs::create_dir_all(&mirror).unwrap();
        fs::rename(work.join(".git"), mirror.join("repo")).unwrap();
        let origin = Git { repository: "some/role".to_owned(), commit, collection: None };
        let mirrors = directory.path().join("mirrors");
        let target = directory.path().join("target");
        from_git(&origin, Some(&mirrors), &target).unwrap();
        assert_eq!(fs::read_to_string(target.join("tasks/main.yml")).unwrap(), "- x");
        assert!(!target.join(".git").exists());
        let other = Git { commit: "0".repeat(40), ..origin };
        assert!(from_git(&other, Some(&mirrors), &directory.path().join("other")).is_err());
    }
}

//! `[io]` Ansible's integration targets: the source distribution of ansible-core, in the cache.
//!
//! They are under the GPL: they never become part of this repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::error::{Doing, Error};
use crate::lab::{directories, packages};
use crate::{step, workspace};

/// The release whose targets and whose engine are the reference.
pub const VERSION: &str = "2.18.19";
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);
/// What a role that brings code for Ansible's own process has.
const PLUGIN_FOLDERS: &[&str] = &[
    "library",
    "action_plugins",
    "filter_plugins",
    "lookup_plugins",
    "test_plugins",
    "callback_plugins",
    "connection_plugins",
    "module_utils",
    "plugins",
    "collections",
    "ansible_collections",
];
/// Aliases of targets that are no tests, or that need what a lab without a network hasn't.
const UNUSABLE_ALIASES: &[&str] =
    &["hidden", "windows", "cloud", "httptester", "galaxy", "network"];

/// Unpacked targets.
#[derive(Debug, Clone)]
pub struct Source {
    /// The folder `test/integration`.
    pub integration: PathBuf,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name: a role.
    pub name: String,
    /// Whether its play gathers facts.
    pub gather_facts: bool,
    /// Bytes of its tasks: a guess of how long it takes.
    pub size_bytes: u64,
}

impl Source {
    /// The folder of all targets: the roles path.
    #[must_use]
    pub fn targets(&self) -> PathBuf {
        self.integration.join("targets")
    }

    /// All targets that are roles without code for Ansible's own process, small ones first.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn usable(&self) -> Result<Vec<Target>, Error> {
        let folder = self.targets();
        let action = || format!("list {}", folder.display());
        let mut targets = Vec::new();
        for entry in fs::read_dir(&folder).doing(action)? {
            let path = entry.doing(action)?.path();
            targets.extend(read_target(&path));
        }
        targets.sort_by(|one, other| {
            (one.size_bytes, &one.name).cmp(&(other.size_bytes, &other.name))
        });
        Ok(targets)
    }
}

fn read_target(path: &Path) -> Option<Target> {
    let name = path.file_name()?.to_str()?.to_owned();
    let is_role = path.join("tasks/main.yml").is_file() && !path.join("runme.sh").exists();
    let is_helper = name.starts_with("setup_") || name.starts_with("prepare_");
    if !is_role || is_helper || PLUGIN_FOLDERS.iter().any(|folder| path.join(folder).exists()) {
        return None;
    }
    let aliases = fs::read_to_string(path.join("aliases")).unwrap_or_default();
    let aliases: Vec<&str> = aliases
        .lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|alias| !alias.is_empty())
        .collect();
    let unusable = aliases.iter().any(|alias| {
        !alias.starts_with("skip/") && UNUSABLE_ALIASES.iter().any(|part| alias.contains(part))
    });
    if unusable || has_python(path) {
        return None;
    }
    let gather_facts = !aliases.contains(&"gather_facts/no");
    Some(Target { name, gather_facts, size_bytes: size(&path.join("tasks")) })
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

fn has_python(folder: &Path) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => has_python(&path),
            _ => path.extension().is_some_and(|extension| extension == "py"),
        }
    })
}

/// The unpacked targets; downloads them once.
///
/// # Errors
/// pip can't download, or the archive isn't one.
pub fn ensure() -> Result<Source, Error> {
    let folder = workspace::cache().join("conformance");
    let unpacked = folder.join(format!("ansible_core-{VERSION}"));
    let source = Source { integration: unpacked.join("test/integration") };
    if source.targets().is_dir() {
        return Ok(source);
    }
    directories::check_path(&folder)?;
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let archive = folder.join(format!("ansible_core-{VERSION}.tar.gz"));
    if !archive.is_file() {
        eprintln!("conformance: downloading the source distribution of ansible-core {VERSION}");
        let pip = virtual_environment("tools", &[])?.join("bin/pip");
        let mut command = Command::new(pip);
        command.args(["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest"]);
        command.arg(&folder).arg(format!("ansible-core=={VERSION}"));
        step::demand(&command, &step::log("pip"), DOWNLOAD_LIMIT, "download ansible-core")?;
    }
    unpack(&archive, &unpacked)?;
    Ok(source)
}

/// Unpacks beside the final place and renames: complete or not at all.
fn unpack(archive: &Path, target: &Path) -> Result<(), Error> {
    let action = || format!("unpack {}", archive.display());
    let part = target.with_extension(format!("{}.part", std::process::id()));
    let file = File::open(archive).doing(action)?;
    tar::Archive::new(GzDecoder::new(file)).unpack(&part).doing(action)?;
    let inner = part.join(target.file_name().unwrap_or_default());
    let renamed = fs::rename(&inner, target).doing(action);
    fs::remove_dir_all(&part).doing(action)?;
    renamed
}

/// A virtual environment in the cache with these Python packages; made once.
///
/// # Errors
/// Python or pip fails.
pub fn virtual_environment(name: &str, requirements: &[&str]) -> Result<PathBuf, Error> {
    let folder = workspace::cache().join(format!("python-{name}"));
    let complete = folder.join("complete");
    let wanted = requirements.join(" ");
    if fs::read_to_string(&complete).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    let log = step::log("pip");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    if !step::run(&create, &log, DOWNLOAD_LIMIT).is_ok_and(|ended| ended.succeeded()) {
        let proof = "/usr/share/doc/python3-venv";
        packages::install(&[("python3-venv", proof, "makes virtual environments")])?;
        step::demand(&create, &log, DOWNLOAD_LIMIT, "make a virtual environment")?;
    }
    if !requirements.is_empty() {
        eprintln!("xtask: installing {wanted} into {}", folder.display());
        let mut install = Command::new(folder.join("bin/pip"));
        install.args(["install", "--quiet"]).args(requirements);
        step::demand(&install, &log, DOWNLOAD_LIMIT, &format!("install {wanted}"))?;
    }
    directories::write_file(&complete, wanted.as_bytes())?;
    Ok(folder)
}

/// The `ansible-playbook` of the reference, in the cache; installed once.
///
/// # Errors
/// Python or pip fails.
pub fn ansible_playbook() -> Result<PathBuf, Error> {
    let requirement = format!("ansible-core=={VERSION}");
    let name = format!("ansible-{VERSION}");
    // passlib for `password_hash`: newer Pythons have no crypt of their own.
    Ok(virtual_environment(&name, &[&requirement, "passlib"])?.join("bin/ansible-playbook"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(files: &[(&str, &str)]) -> Option<Target> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some");
        for (name, text) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        read_target(&path)
    }

    #[test]
    fn roles_without_code_are_usable() {
        let found = target(&[("tasks/main.yml", "-"), ("aliases", "gather_facts/no # why\n")]);
        let expected = Target { name: "some".to_owned(), gather_facts: false, size_bytes: 1 };
        assert_eq!(found, Some(expected));
        let found = target(&[("tasks/main.yml", ""), ("aliases", "skip/windows\n")]);
        assert!(found.is_some_and(|target| target.gather_facts));
    }

    #[test]
    fn others_are_not() {
        assert_eq!(target(&[("tasks/main.yml", ""), ("runme.sh", "")]), None);
        assert_eq!(target(&[("tasks/main.yml", ""), ("files/a/test.py", "")]), None);
        assert_eq!(target(&[("tasks/main.yml", ""), ("library/x", "")]), None);
        assert_eq!(target(&[("tasks/main.yml", ""), ("aliases", "needs/httptester")]), None);
        assert_eq!(target(&[("meta/main.yml", "")]), None);
    }
}

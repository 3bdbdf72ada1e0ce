//! `[io]` Ansible's integration targets: the source distribution of ansible-core, in the cache.
//!
//! They are under the GPL: they never become part of this repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::list;
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

/// How a target is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A play of one role.
    Role,
    /// `runme.sh`.
    Script,
}

/// Where a target runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The play runs against a lab host over SSH.
    Host,
    /// Controller and host are one machine.
    Machine,
}

/// Roles that expect the controller's files on the host.
const ONE_MACHINE: &[&str] = &["copy", "test_files", "yaml_parsing"];

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// How it is begun.
    pub entry: Entry,
    /// Where it runs.
    pub place: Place,
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

    /// The targets of the fixed list, and all others that are roles without code for Ansible's own
    /// process, small ones first.
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
        for listed in list::LIST {
            add_listed(&mut targets, &folder, listed.name)?;
        }
        targets.sort_by(|one, other| {
            (one.size_bytes, &one.name).cmp(&(other.size_bytes, &other.name))
        });
        Ok(targets)
    }
}

/// What is on the list is taken, whatever it needs.
fn add_listed(targets: &mut Vec<Target>, folder: &Path, name: &str) -> Result<(), Error> {
    let path = folder.join(name);
    if !path.is_dir() {
        return Err(Error::refused(format!("read the target {name}"), "it isn't there"));
    }
    let known = targets.iter_mut().find(|target| target.name == name);
    match known {
        Some(target) if ONE_MACHINE.contains(&name) => target.place = Place::Machine,
        Some(_) => {}
        None => {
            let is_script = path.join("runme.sh").is_file();
            targets.push(Target {
                name: name.to_owned(),
                entry: if is_script { Entry::Script } else { Entry::Role },
                place: Place::Machine,
                gather_facts: !aliases(&path).iter().any(|alias| alias == "gather_facts/no"),
                size_bytes: size(&path),
            });
        }
    }
    Ok(())
}

/// The words of a target's file `aliases`.
fn aliases(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path.join("aliases")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|alias| !alias.is_empty())
        .map(str::to_owned)
        .collect()
}

fn read_target(path: &Path) -> Option<Target> {
    let name = path.file_name()?.to_str()?.to_owned();
    let is_role = path.join("tasks/main.yml").is_file() && !path.join("runme.sh").exists();
    let is_helper = name.starts_with("setup_") || name.starts_with("prepare_");
    if !is_role || is_helper || PLUGIN_FOLDERS.iter().any(|folder| path.join(folder).exists()) {
        return None;
    }
    let aliases = aliases(path);
    let unusable = aliases.iter().any(|alias| {
        !alias.starts_with("skip/") && UNUSABLE_ALIASES.iter().any(|part| alias.contains(part))
    });
    if unusable || has_python(path) {
        return None;
    }
    let gather_facts = !aliases.iter().any(|alias| alias == "gather_facts/no");
    let size_bytes = size(&path.join("tasks"));
    Some(Target { name, entry: Entry::Role, place: Place::Host, gather_facts, size_bytes })
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

/// Python packages of the reference engine, in the cache.
///
/// # Errors
/// Python or pip fails.
pub fn reference_environment() -> Result<PathBuf, Error> {
    let requirement = format!("ansible-core=={VERSION}");
    // passlib is for `password_hash`: newer Pythons have no crypt of their own.
    virtual_environment(&format!("ansible-{VERSION}"), &[&requirement, "passlib"])
}

/// The `ansible-playbook` of the reference, in the cache; installed once.
///
/// # Errors
/// Python or pip fails.
pub fn ansible_playbook() -> Result<PathBuf, Error> {
    Ok(reference_environment()?.join("bin/ansible-playbook"))
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
        let expected = Target {
            name: "some".to_owned(),
            entry: Entry::Role,
            place: Place::Host,
            gather_facts: false,
            size_bytes: 1,
        };
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

//! Where the lock of an inventory is, and what the inventory wants.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Sources, Style, render_all};
use provision_artifacts::lock::{self, Entry, Lock, Unwritable};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadRequest, load};
use provision_engine::release::variable_of;
use provision_playbook::Dialect;

use super::Failure;
use super::arguments::Place;
use crate::apply;
use crate::arguments::VaultPasswords;
use crate::exit::Exit;
use crate::passwords;

/// Largest file that a lock is looked for in, in bytes.
const FILE_LIMIT_BYTES: u64 = 16 << 20;

/// What a new lock begins with.
const HEADER: &str = "\
# Where each release comes from, and the digest that it must have. `provision artifacts add` writes
# entries after it has looked at the real thing; what else stands here stays as it is.

";

/// Versions that some host wants, by component.
pub type WantedReleases = BTreeMap<String, BTreeSet<String>>;

/// A lock and the file that it is in.
#[derive(Debug)]
pub struct Located {
    /// The file; it need not exist.
    pub path: PathBuf,
    /// What it says.
    pub lock: Lock,
}

/// Finds and reads the lock; one that doesn't exist is empty.
pub fn locate(place: &Place) -> Result<Located, Failure> {
    let path = match &place.lock {
        Some(path) => path.clone(),
        None => in_inventory(place)?,
    };
    let text = match read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let lock = parse(&path, &text)?;
    Ok(Located { path, lock })
}

/// The same for commands that only look: without entries there is nothing to look at.
pub fn locate_filled(place: &Place) -> Result<Located, Failure> {
    let located = locate(place)?;
    if located.lock.entries().next().is_none() {
        let message = format!("{} names no artifacts", located.path.display());
        let hint = "provision artifacts add COMPONENT VERSION URL";
        return Err(Failure::new(Exit::InvalidInput, message).hint(hint));
    }
    Ok(located)
}

fn parse(path: &Path, text: &str) -> Result<Lock, Failure> {
    let mut sources = Sources::default();
    let source = sources.add(path.display().to_string(), text);
    match lock::read(text, source) {
        Ok(lock) => Ok(lock.unwrap_or_default()),
        Err(diagnostics) => Err(told(&diagnostics, &sources)),
    }
}

fn told(diagnostics: &[Diagnostic], sources: &Sources) -> Failure {
    let style = if std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
    tell!("{}", render_all(diagnostics, sources, style));
    Failure::told(Exit::InvalidInput)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::InvalidInput, format!("failed to read {}: {error}", path.display()))
}

fn read(path: &Path) -> std::io::Result<String> {
    if path.metadata()?.len() > FILE_LIMIT_BYTES {
        return Err(std::io::Error::other("it is too large for a file of variables"));
    }
    std::fs::read_to_string(path)
}

/// The file of the inventory with the variable `artifacts`, or the one that it should be in.
fn in_inventory(place: &Place) -> Result<PathBuf, Failure> {
    if place.inventory.is_empty() {
        let hint = "-i inventories/lab, or --lock FILE";
        return Err(Failure::new(Exit::Usage, "no inventory and no lock is given").hint(hint));
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    for given in &place.inventory {
        let folder = folder_of(given)?;
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for file in folders.iter().flat_map(|folder| variable_files(folder)) {
        if defines(&file)? {
            found.push(file);
        }
    }
    match found.as_slice() {
        [] => new_file(place, &folders),
        [file] => Ok(file.clone()),
        files => {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            let message = format!("the variable `artifacts` stands in {}", names.join(" and "));
            Err(Failure::new(Exit::InvalidInput, message).hint(
                "only the last one counts: put all entries into one file, or say --lock FILE",
            ))
        }
    }
}

/// The folder in which the group_vars of an inventory are.
fn folder_of(given: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(given);
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    if !path.is_file() {
        let message = format!("inventory {given} does not exist");
        return Err(Failure::new(Exit::InvalidInput, message));
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    Ok(above.unwrap_or(Path::new(".")).to_owned())
}

/// Files of variables for all hosts, as Ansible finds them: a folder `all` hides `all.yml`.
fn variable_files(folder: &Path) -> Vec<PathBuf> {
    let all = folder.join("group_vars/all");
    if all.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&all)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file() && is_variables(path))
            .collect();
        files.sort();
        return files;
    }
    let alone = ["yml", "yaml", "json"].map(|ending| all.with_extension(ending));
    alone.into_iter().filter(|path| path.is_file()).take(1).collect()
}

fn is_variables(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned());
    !is_hidden && matches!(ending.as_deref(), None | Some("yml" | "yaml" | "json"))
}

/// Whether a file has the variable. Encrypted files can't have it: digests are no secrets.
fn defines(path: &Path) -> Result<bool, Failure> {
    let text = read(path).map_err(|error| unreadable(path, &error))?;
    if provision_vault::is_encrypted(text.as_bytes()) || !text.contains(lock::VARIABLE) {
        return Ok(false);
    }
    let mut sources = Sources::default();
    let source = sources.add(path.display().to_string(), text.as_str());
    match lock::read(&text, source) {
        Ok(lock) => Ok(lock.is_some()),
        Err(diagnostics) => Err(told(&diagnostics, &sources)),
    }
}

/// A lock that doesn't exist yet must not hide anything, and nothing must hide it.
fn new_file(place: &Place, folders: &[PathBuf]) -> Result<PathBuf, Failure> {
    let [folder] = folders else {
        let message = "none of these inventories has the variable `artifacts`";
        return Err(Failure::new(Exit::InvalidInput, message).hint("say where: --lock FILE"));
    };
    let all = folder.join("group_vars/all");
    if !all.is_dir()
        && let Some(alone) = variable_files(folder).first()
    {
        let message = format!("a folder group_vars/all/ would hide {}", alone.display());
        let hint =
            format!("move it to {}/main.yml, or say --lock {}", all.display(), alone.display());
        return Err(Failure::new(Exit::InvalidInput, message).hint(hint));
    }
    let files = place.inventory.iter().map(Path::new).filter(|path| path.is_file());
    for file in files {
        let text = read(file).unwrap_or_default();
        if text.lines().any(|line| line.trim_start().starts_with("artifacts:")) {
            let message = format!("{} sets `artifacts` among its hosts", file.display());
            let hint = format!("move it to {}/artifacts.yml", all.display());
            return Err(Failure::new(Exit::InvalidInput, message).hint(hint));
        }
    }
    Ok(all.join("artifacts.yml"))
}

/// Writes an entry into the lock. The file is read again right before: somebody may have written to
/// it during a long download. Gives the text before and after.
pub fn write(
    located: &Located,
    component: &str,
    version: &str,
    entry: &Entry,
) -> Result<(String, String), Failure> {
    let path = &located.path;
    let before = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let now = parse(path, &before)?;
    if now.entry(component, version) != located.lock.entry(component, version) {
        let message = format!("{component} {version} has changed in {} meanwhile", path.display());
        return Err(Failure::new(Exit::Refused, message).hint("look at it, then add again"));
    }
    let start = if before.is_empty() { HEADER } else { before.as_str() };
    let after = lock::with_entry(start, component, version, entry).map_err(|error| {
        if let Unwritable::Invalid(diagnostics) = &error {
            let mut sources = Sources::default();
            sources.add(path.display().to_string(), before.as_str());
            return told(diagnostics, &sources);
        }
        Failure::new(Exit::InvalidInput, format!("{} can't be changed: {error}", path.display()))
    })?;
    let failed = |error: std::io::Error| {
        let message = format!("failed to write {}: {error}", path.display());
        Failure::new(Exit::Environment, message)
    };
    // A link is followed: the file is replaced, not the link.
    let target = path.canonicalize().unwrap_or_else(|_| path.clone());
    let mode = target.metadata().map_or(0o644, |data| data.permissions().mode() & 0o7777);
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    durable::write(&target, after.as_bytes(), mode).map_err(failed)?;
    Ok((before, after))
}

/// The releases that the inventory wants, of all hosts.
pub fn wanted(place: &Place, vault_passwords: &VaultPasswords) -> Result<WantedReleases, Failure> {
    let mut wanted = WantedReleases::new();
    if place.inventory.is_empty() {
        return Ok(wanted);
    }
    let vault =
        passwords::vault(vault_passwords).map_err(|failure| Failure::told(failure.show()))?;
    let request = LoadRequest {
        keyring: Arc::new(Keyring::new(vault)),
        inventories: place.inventory.clone(),
        ..LoadRequest::new(Dialect::Classic)
    };
    let loaded = load(&request).map_err(|failure| Failure::told(apply::refuse(&failure)))?;
    for host in loaded.inventory.hosts() {
        let host = loaded.world.host_or_new(&host.name);
        // A host without the variable runs no release.
        let Ok(releases) = variable_of(&loaded.world, &host, "releases") else { continue };
        for (component, version) in releases.as_object().into_iter().flatten() {
            if let Some(version) = version.as_str() {
                wanted.entry(component.clone()).or_default().insert(version.to_owned());
            }
        }
    }
    Ok(wanted)
}

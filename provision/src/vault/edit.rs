//! Encrypted files in an editor: what they hold is in memory-backed files only where there are such.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use provision_vault::{Vault, id_of, seal};

use super::{chosen, open, read, replace, sealed};
use crate::arguments::{CreateVault, EditVault};
use crate::paint;
use crate::passwords::{self, Failure};

/// Opens a file in the editor and encrypts what comes of it with the same password and label.
pub fn edit(arguments: &EditVault) -> Result<(), Failure> {
    let vault = given(&arguments.passwords)?;
    let path = &arguments.file;
    let opened = open(path, &vault)?;
    let changed = edited(opened.expose(), path)?;
    if changed.expose() == opened.expose() {
        paint::note(&format!("{} is as it was", path.display()));
        return Ok(());
    }
    let text = read(path)?;
    let label = id_of(&text).map_err(|error| Failure::new(error.to_string(), None))?;
    let password = vault.password(opened.id()).filter(|password| {
        // Several passwords may have one label.
        let alone = Vault::new(vec![(opened.id().to_owned(), (*password).clone())]);
        alone.open(&text).is_ok()
    });
    let Some(password) = password else {
        let hint = "give that one password only, or use `provision vault rekey`";
        return Err(Failure::new(
            "the file was opened by one of several passwords of a label",
            Some(hint),
        ));
    };
    let text = match label {
        Some(label) => sealed(changed.expose(), password, &label)?,
        None => {
            let mut salt = [0; provision_vault::SALT_BYTES];
            getrandom::fill(&mut salt).map_err(|error| Failure::new(error.to_string(), None))?;
            seal(changed.expose(), password, None, &salt)
                .map_err(|error| Failure::new(format!("failed to encrypt: {error}"), None))?
        }
    };
    replace(path, text.as_bytes()).map_err(|error| {
        Failure::new(format!("failed to replace {}: {error}", path.display()), None)
    })?;
    paint::note(&format!("{} is changed and encrypted", path.display()));
    Ok(())
}

/// Makes a new encrypted file of what is written in the editor.
pub fn create(arguments: &CreateVault) -> Result<(), Failure> {
    let path = &arguments.file;
    if path.exists() {
        let message = format!("{} exists already", path.display());
        return Err(Failure::new(message, Some("to change it: provision vault edit")));
    }
    let vault = passwords::vault(&arguments.passwords)?;
    let (label, password) = chosen(&vault, arguments.encrypt_vault_id.as_deref())?;
    let written = edited(b"", path)?;
    let text = sealed(written.expose(), &password, &label)?;
    durable::write(path, text.as_bytes(), 0o600).map_err(|error| {
        Failure::new(format!("failed to write {}: {error}", path.display()), None)
    })?;
    paint::note(&format!("{} is encrypted", path.display()));
    Ok(())
}

fn given(arguments: &crate::arguments::VaultPasswords) -> Result<Vault, Failure> {
    let vault = passwords::vault(arguments)?;
    match vault.is_empty() {
        true => Ok(Vault::new(vec![passwords::labelled("prompt", &vault)?])),
        false => Ok(vault),
    }
}

/// What the operator makes of a text in the editor.
fn edited(text: &[u8], like: &Path) -> Result<provision_vault::Password, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("failed to edit: {error}"), None);
    // Editors know what a file is by the end of its name.
    let suffix = like.extension().map(|suffix| format!(".{}", suffix.to_string_lossy()));
    let mut file = tempfile::Builder::new()
        .prefix("vault-")
        .suffix(&suffix.unwrap_or_default())
        .tempfile_in(folder())
        .map_err(failed)?;
    file.write_all(text).and_then(|()| file.flush()).map_err(failed)?;
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // The variable is a command line, as for every program that reads it.
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file.path())
        .status()
        .map_err(failed)?;
    // Editors may write a new file of the same name.
    let written = std::fs::read(file.path());
    erase(file.as_file_mut());
    erase_path(file.path());
    if !status.success() {
        let message = format!("the editor `{editor}` failed ({status}); nothing is changed");
        return Err(Failure::new(message, None));
    }
    Ok(provision_vault::Password::new(written.map_err(failed)?))
}

/// A folder that is in memory, if there is one.
fn folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let shared = Some(PathBuf::from("/dev/shm"));
    let found = runtime.into_iter().chain(shared).find(|folder| folder.is_dir());
    found.unwrap_or_else(std::env::temp_dir)
}

/// Writes over what a file held; that it is removed afterwards is what counts.
fn erase(file: &mut std::fs::File) {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let _ = file.seek(SeekFrom::Start(0));
    let zeros = [0_u8; 4096];
    let mut left = length;
    while left > 0 {
        let count = left.min(zeros.len() as u64);
        let part = zeros.get(..usize::try_from(count).unwrap_or(0)).unwrap_or_default();
        if part.is_empty() || file.write_all(part).is_err() {
            return;
        }
        left -= count;
    }
    let _ = file.sync_all();
}

fn erase_path(path: &Path) {
    if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(path) {
        erase(&mut file);
    }
}

//! `provision vault`: files and values are encrypted and decrypted in place of `ansible-vault`.
//!
//! All files are read and opened before the first one is replaced; each is replaced atomically and
//! keeps its mode and owner. With a wrong password nothing is written.

mod edit;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use provision_vault::{
    DEFAULT_ID, Opened, Password, SALT_BYTES, Vault, VaultError, inline, is_encrypted, seal,
};

use crate::arguments::{Encrypt, EncryptString, Rekey, VaultCommand, VaultFiles};
use crate::exit::Exit;
use crate::paint;
use crate::passwords::{self, Failure};

/// Largest content that is encrypted, in bytes: its vault text must be one that can be opened.
const PLAIN_LIMIT_BYTES: usize = provision_vault::TEXT_LIMIT_BYTES / 5;

/// Carries out a subcommand.
pub fn vault(command: VaultCommand) -> Exit {
    let done = match command {
        VaultCommand::Encrypt(arguments) => encrypt(&arguments),
        VaultCommand::Decrypt(arguments) => decrypt(&arguments),
        VaultCommand::Create(arguments) => edit::create(&arguments),
        VaultCommand::Edit(arguments) => edit::edit(&arguments),
        VaultCommand::View(arguments) => view(&arguments),
        VaultCommand::Rekey(arguments) => rekey(&arguments),
        VaultCommand::EncryptString(arguments) => encrypt_string(&arguments),
    };
    match done {
        Ok(()) => Exit::Done,
        Err(failure) => failure.show(),
    }
}

fn encrypt(arguments: &Encrypt) -> Result<(), Failure> {
    let vault = passwords::vault(&arguments.files.passwords)?;
    let (label, password) = chosen(&vault, arguments.encrypt_vault_id.as_deref())?;
    let mut replacements = Vec::new();
    for path in &arguments.files.files {
        let bytes = read(path)?;
        if is_encrypted(&bytes) {
            let message = format!("{} is encrypted already", path.display());
            return Err(Failure::new(
                message,
                Some("to change its password: provision vault rekey"),
            ));
        }
        let text = sealed(&bytes, &password, &label)?;
        replacements.push((path, text.into_bytes()));
    }
    replace_all(&replacements, "encrypted")
}

fn decrypt(arguments: &VaultFiles) -> Result<(), Failure> {
    let opened = open_all(arguments)?;
    let replacements: Vec<(&PathBuf, Vec<u8>)> =
        opened.iter().map(|(path, opened)| (*path, opened.expose().to_vec())).collect();
    replace_all(&replacements, "decrypted")
}

fn view(arguments: &VaultFiles) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    for (_, opened) in open_all(arguments)? {
        if stdout.write_all(opened.expose()).and_then(|()| stdout.flush()).is_err() {
            // The reader has seen enough.
            break;
        }
    }
    Ok(())
}

fn rekey(arguments: &Rekey) -> Result<(), Failure> {
    let opened = open_all(&arguments.files)?;
    let source = match (&arguments.new_vault_id, &arguments.new_vault_password_file) {
        (Some(source), _) => Some(source.clone()),
        (None, Some(file)) => Some(format!("{DEFAULT_ID}@{file}")),
        (None, None) => None,
    };
    let (label, password) = match source {
        Some(source) => passwords::labelled(&source, &Vault::default())?,
        None => (DEFAULT_ID.to_owned(), passwords::new_password()?),
    };
    let mut replacements = Vec::new();
    for (path, opened) in &opened {
        let text = sealed(opened.expose(), &password, &label)?;
        replacements.push((*path, text.into_bytes()));
    }
    replace_all(&replacements, "encrypted with the new password")
}

fn encrypt_string(arguments: &EncryptString) -> Result<(), Failure> {
    let vault = passwords::vault(&arguments.passwords)?;
    let (label, password) = chosen(&vault, arguments.encrypt_vault_id.as_deref())?;
    let bytes = limited(std::io::stdin().lock(), "stdin")?;
    if bytes.is_empty() {
        let hint = "printf %s VALUE | provision vault encrypt-string --name NAME …";
        return Err(Failure::new("there is nothing on stdin to encrypt", Some(hint)));
    }
    let text = sealed(&bytes, &password, &label)?;
    say!("{}", inline(arguments.name.as_deref(), &text));
    if bytes.ends_with(b"\n") {
        paint::note("the value ends with a newline, which belongs to it; `printf %s` writes none");
    }
    Ok(())
}

/// The password to encrypt with: the one that is asked for by its label, or the only one.
fn chosen(vault: &Vault, label: Option<&str>) -> Result<(String, Password), Failure> {
    if let Some(label) = label {
        return match vault.password(label) {
            Some(password) => Ok((label.to_owned(), password.clone())),
            None => {
                let message = format!("no password is given for the vault id `{label}`");
                let hint = format!("give it with --vault-id {label}@FILE");
                Err(Failure::new(message, Some(&hint)))
            }
        };
    }
    let ids = vault.ids();
    if ids.len() > 1 {
        let message = format!("there are passwords for several vault ids: {}", ids.join(", "));
        return Err(Failure::new(message, Some("choose one with --encrypt-vault-id LABEL")));
    }
    match vault.first() {
        Some((label, password)) => Ok((label.to_owned(), password.clone())),
        None => Ok((DEFAULT_ID.to_owned(), passwords::new_password()?)),
    }
}

fn sealed(plain: &[u8], password: &Password, label: &str) -> Result<String, Failure> {
    if plain.len() > PLAIN_LIMIT_BYTES {
        let message = format!("only {} MiB can be encrypted at once", PLAIN_LIMIT_BYTES >> 20);
        return Err(Failure::new(message, None));
    }
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| Failure::new(error.to_string(), None))?;
    seal(plain, password, Some(label), &salt)
        .map_err(|error| Failure::new(format!("failed to encrypt: {error}"), None))
}

/// All files of a command line, opened.
fn open_all(arguments: &VaultFiles) -> Result<Vec<(&PathBuf, Opened)>, Failure> {
    let mut vault = passwords::vault(&arguments.passwords)?;
    if vault.is_empty() {
        vault = Vault::new(vec![passwords::labelled("prompt", &vault)?]);
    }
    arguments.files.iter().map(|path| Ok((path, open(path, &vault)?))).collect()
}

fn open(path: &Path, vault: &Vault) -> Result<Opened, Failure> {
    let text = read(path)?;
    vault.open(&text).map_err(|error| {
        let hint = match &error {
            VaultError::WrongPassword { wanted, tried } if !tried.contains(wanted) => {
                Some(format!("give the password of this vault id: --vault-id {wanted}@FILE"))
            }
            _ => None,
        };
        let place = match &error {
            VaultError::Damaged { line, .. } => format!("{}:{line}:1", path.display()),
            _ => format!("{}:1:1", path.display()),
        };
        Failure::new(format!("failed to decrypt {place}: {error}"), hint.as_deref())
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display().to_string();
    let failed =
        |error: std::io::Error| Failure::new(format!("failed to read {shown}: {error}"), None);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::new(format!("{shown} is not a file"), None));
    }
    limited(std::fs::File::open(path).map_err(failed)?, &shown)
}

fn limited(stream: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let limit = provision_vault::TEXT_LIMIT_BYTES;
    let mut bytes = Vec::new();
    stream
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(format!("failed to read {name}: {error}"), None))?;
    if bytes.len() > limit {
        let message = format!("{name} is larger than {} MiB", limit >> 20);
        return Err(Failure::new(message, None));
    }
    Ok(bytes)
}

/// Replaces the content of each file; links are followed.
fn replace_all(replacements: &[(&PathBuf, Vec<u8>)], what: &str) -> Result<(), Failure> {
    for (path, bytes) in replacements {
        replace(path, bytes).map_err(|error| {
            Failure::new(format!("failed to replace {}: {error}", path.display()), None)
        })?;
        paint::note(&format!("{} is {what}", path.display()));
    }
    Ok(())
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let target = path.canonicalize()?;
    let metadata = target.metadata()?;
    let mode = metadata.permissions().mode() & 0o7777;
    let mut replacement = durable::Replacement::new(&target, mode)?;
    let created = replacement.file().metadata()?;
    if (created.uid(), created.gid()) != (metadata.uid(), metadata.gid()) {
        chown(replacement.temporary(), Some(metadata.uid()), Some(metadata.gid()))?;
        // A new owner takes special bits away.
        replacement.file().set_permissions(PermissionsExt::from_mode(mode))?;
    }
    replacement.write_all(bytes)?;
    replacement.commit()
}

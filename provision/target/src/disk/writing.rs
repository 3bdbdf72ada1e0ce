//! Giving a file new content: whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use durable::Replacement;
use nix::errno::Errno;

use super::attributes::{Id, Wanted};
use super::metadata;
use super::mode::{self, PERMISSION_BITS};
use super::{backup, paths};
use crate::module::{Context, Failure};
use crate::modules::system::process::Run;
use crate::modules::system::words;

/// How a file gets its new content.
#[derive(Debug)]
pub struct NewContent<'a> {
    /// The file. Not a link: links are resolved before.
    pub target: &'a Path,
    /// Owner, group and mode; what isn't wanted stays as the old file has it.
    pub wanted: &'a Wanted,
    /// Whether owner, group and mode of the old file stay at all.
    pub keep_attributes: bool,
    /// Make a backup of the old file.
    pub backup: bool,
    /// Command that must accept the new file before it is used; `%s` stands for its path.
    pub validate: Option<&'a str>,
}

impl NewContent<'_> {
    /// Replaces the content with what `fill` writes. Returns the backup's path. After a failure
    /// the old file is as it was and no temporary file is left. Not for check mode.
    ///
    /// # Errors
    /// When the new file can't be written, isn't valid, or can't replace the old one.
    pub fn write(
        &self,
        context: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut dyn Write, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<Option<PathBuf>, Failure> {
        let target = self.target;
        let mut replacement = self.begin()?;
        fill(&mut replacement, context)?;
        self.dress(&replacement)
            .map_err(|error| Failure::system("set owner and mode of", target, &error))?;
        if let Some(validate) = self.validate {
            validated(validate, replacement.temporary(), context)?;
        }
        context.about_to_change()?;
        let backup = if self.backup { backup::backup(target)? } else { None };
        match replacement.commit() {
            Ok(()) => Ok(backup),
            Err(error) if self.wanted.unsafe_writes && allows_overwriting(&error) => {
                overwrite(replacement.file(), target)
                    .map_err(|error| Failure::system("overwrite", target, &error))?;
                Ok(backup)
            }
            Err(error) => Err(Failure::system("replace", target, &error)),
        }
    }

    /// The same with bytes that are known already.
    ///
    /// # Errors
    /// As [`NewContent::write`].
    pub fn write_bytes(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Result<Option<PathBuf>, Failure> {
        self.write(context, &mut |file, _| {
            file.write_all(bytes).map_err(|error| Failure::system("write", self.target, &error))
        })
    }

    fn begin(&self) -> Result<Replacement, Failure> {
        match Replacement::new(self.target, 0o600) {
            Ok(replacement) => Ok(replacement),
            Err(error) if self.wanted.unsafe_writes => {
                // The folder can't be written; prepare the content elsewhere and overwrite.
                let elsewhere = std::env::temp_dir().join("new");
                let replacement = Replacement::new(&elsewhere, 0o600);
                replacement.map_err(|_| Failure::system("write beside", self.target, &error))
            }
            Err(error) => Err(Failure::system("write beside", self.target, &error)),
        }
    }

    /// Gives the new file its owner and mode before anybody can see it.
    fn dress(&self, replacement: &Replacement) -> io::Result<()> {
        let file = replacement.file();
        let own = file.metadata()?;
        let old = if self.keep_attributes { File::open(self.target).ok() } else { None };
        let old_data = if self.keep_attributes { fs::metadata(self.target).ok() } else { None };
        let uid = self.wanted.owner.and_then(Id::number);
        let gid = self.wanted.group.and_then(Id::number);
        let (old_uid, old_gid) = match &old_data {
            Some(data) => (data.uid(), data.gid()),
            None => (own.uid(), own.gid()),
        };
        let (new_uid, new_gid) = (uid.unwrap_or(old_uid), gid.unwrap_or(old_gid));
        if (new_uid, new_gid) != (own.uid(), own.gid())
            && let Err(error) = metadata::change_owner_of(file, new_uid, new_gid)
            // Who may write a file may not be allowed to give it away; Ansible lets it pass too.
            && (uid.is_some() || gid.is_some() || error.kind() != io::ErrorKind::PermissionDenied)
        {
            return Err(error);
        }
        if let Some(old) = &old {
            metadata::copy_extended_attributes(old, file);
        }
        let umask = mode::umask();
        let base = match &old_data {
            Some(data) => data.mode() & PERMISSION_BITS,
            None => 0o666 & !umask,
        };
        let bits = match &self.wanted.mode {
            Some(mode) => mode.resolve(base, false, umask),
            None => base,
        };
        file.set_permissions(fs::Permissions::from_mode(bits))
    }
}

/// Errors of a rename that overwriting in place can work around (mounted files, odd file systems).
fn allows_overwriting(error: &io::Error) -> bool {
    let errors = [Errno::EPERM, Errno::EXDEV, Errno::EACCES, Errno::ETXTBSY, Errno::EBUSY];
    error.raw_os_error().is_some_and(|code| errors.iter().any(|error| *error as i32 == code))
}

fn overwrite(new: &File, target: &Path) -> io::Result<()> {
    let mut new = new.try_clone()?;
    new.seek(SeekFrom::Start(0))?;
    let mut old = OpenOptions::new().write(true).create(true).truncate(true).open(target)?;
    io::copy(&mut new, &mut old)?;
    old.sync_all()
}

/// Runs a validating command on a file.
///
/// # Errors
/// When it doesn't accept the file.
pub fn validated(validate: &str, file: &Path, context: &Context<'_>) -> Result<(), Failure> {
    if !validate.contains("%s") {
        return Err(Failure::new(format!("validate must contain %s: {validate}")));
    }
    let words = words::split(&validate.replace("%s", &words::quote(&paths::text(file))))
        .map_err(|error| Failure::new(format!("failed to read the validating command: {error}")))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::new("the validating command is empty"));
    };
    let ended = Run::new(program).arguments(arguments).run(context)?;
    if ended.succeeded() {
        return Ok(());
    }
    Err(Failure::new("failed to validate")
        .with("exit_status", ended.rc)
        .with("stdout", ended.stdout_text())
        .with("stderr", ended.stderr_text()))
}

/// Reads a whole file that a module edits.
///
/// # Errors
/// When it can't be read or is larger than any text that is edited by lines.
pub fn read_editable(path: &Path) -> Result<Vec<u8>, Failure> {
    /// Longest file that line editing modules take, in bytes.
    const EDIT_LIMIT_BYTES: u64 = 256 << 20;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| Failure::system("read", path, &error))?;
    file.take(EDIT_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::system("read", path, &error))?;
    if bytes.len() as u64 > EDIT_LIMIT_BYTES {
        return Err(Failure::new(format!("{} is too large to be edited", path.display())));
    }
    Ok(bytes)
}

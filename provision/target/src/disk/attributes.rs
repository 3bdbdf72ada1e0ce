//! Owner, group, permission bits and `chattr` attributes: what is wanted, and making it so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;
use serde::Deserialize;
use serde_json::Value;

use super::metadata;
use super::mode::{self, Mode, PERMISSION_BITS};
use super::paths;
use super::texts::AttributeChange;
use crate::module::{Context, Failure};
use crate::modules::system::process::Run;
use crate::names;

/// The arguments that every file module takes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct FileArguments {
    /// Permission bits.
    pub mode: Option<Value>,
    /// User.
    pub owner: Option<String>,
    /// Group.
    pub group: Option<String>,
    /// SELinux user.
    pub seuser: Option<String>,
    /// SELinux role.
    pub serole: Option<String>,
    /// SELinux type.
    pub setype: Option<String>,
    /// SELinux level.
    pub selevel: Option<String>,
    /// `chattr` attributes.
    pub attributes: Option<String>,
    /// Overwrite in place when rename is impossible.
    pub unsafe_writes: bool,
}

/// The same, looked up.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Permission bits.
    pub mode: Option<Mode>,
    /// User.
    pub owner: Option<Id>,
    /// Group.
    pub group: Option<Id>,
    /// `chattr` attributes.
    pub attributes: Option<String>,
    /// Overwrite in place when rename is impossible.
    pub unsafe_writes: bool,
}

/// A user or group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// Known.
    Known(u32),
    /// Check mode only: an earlier task would have made this user or group.
    NotYet,
}

impl Id {
    /// The number.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        match self {
            Id::Known(id) => Some(id),
            Id::NotYet => None,
        }
    }
}

impl FileArguments {
    /// Looks names up and reads the mode.
    ///
    /// # Errors
    /// When a name is unknown, the mode is malformed, or SELinux attributes can't be set.
    pub fn resolve(&self, check: bool) -> Result<Wanted, Failure> {
        let selinux = [&self.seuser, &self.serole, &self.setype, &self.selevel];
        if selinux.iter().any(|part| part.is_some())
            && Path::new("/sys/fs/selinux/enforce").exists()
        {
            // Without SELinux these parameters mean nothing, as with Ansible.
            return Err(Failure::new("SELinux attributes are not supported by this program"));
        }
        let owner = match &self.owner {
            Some(name) => Some(user(name, check)?),
            None => None,
        };
        let group = match &self.group {
            Some(name) => Some(group(name, check)?),
            None => None,
        };
        Ok(Wanted {
            mode: self.mode.as_ref().map(Mode::parse).transpose()?,
            owner,
            group,
            attributes: self.attributes.clone(),
            unsafe_writes: self.unsafe_writes,
        })
    }
}

fn user(name: &str, check: bool) -> Result<Id, Failure> {
    if let Ok(id) = name.parse() {
        return Ok(Id::Known(id));
    }
    match names::user_by_name(name) {
        Ok(Some(user)) => Ok(Id::Known(user.uid)),
        Ok(None) if check => Ok(Id::NotYet),
        Ok(None) => Err(Failure::new(format!("chown failed: failed to look up user {name}"))),
        Err(error) => Err(Failure::new(format!("chown failed: {error}"))),
    }
}

fn group(name: &str, check: bool) -> Result<Id, Failure> {
    if let Ok(id) = name.parse() {
        return Ok(Id::Known(id));
    }
    match names::group_by_name(name) {
        Ok(Some(group)) => Ok(Id::Known(group.gid)),
        Ok(None) if check => Ok(Id::NotYet),
        Ok(None) => Err(Failure::new(format!("chgrp failed: failed to look up group {name}"))),
        Err(error) => Err(Failure::new(format!("chgrp failed: {error}"))),
    }
}

impl Wanted {
    /// The same without a mode.
    #[must_use]
    pub fn without_mode(&self) -> Wanted {
        Wanted { mode: None, ..self.clone() }
    }

    /// Makes it so, or in check mode finds out whether something would change. A link itself is
    /// meant, not its target; a link has no permission bits of its own.
    ///
    /// # Errors
    /// When it can't be made so.
    pub fn apply(
        &self,
        path: &Path,
        context: &mut Context<'_>,
        change: &mut AttributeChange,
    ) -> Result<bool, Failure> {
        if context.check && !paths::is_present(path) {
            return Ok(self.wants_something());
        }
        let owner = self.apply_owner(path, context, change)?;
        let mode = self.apply_mode(path, context, change)?;
        let attributes = self.apply_attributes(path, context, change)?;
        Ok(owner | mode | attributes)
    }

    fn wants_something(&self) -> bool {
        self.mode.is_some()
            || self.owner.is_some()
            || self.group.is_some()
            || self.attributes.is_some()
    }

    fn apply_owner(
        &self,
        path: &Path,
        context: &mut Context<'_>,
        change: &mut AttributeChange,
    ) -> Result<bool, Failure> {
        let data =
            fs::symlink_metadata(path).map_err(|error| Failure::system("look at", path, &error))?;
        let owner = self.owner.filter(|id| *id != Id::Known(data.uid()));
        let group = self.group.filter(|id| *id != Id::Known(data.gid()));
        if let Some(id) = owner {
            change.note("owner", data.uid(), id.number());
        }
        if let Some(id) = group {
            change.note("group", data.gid(), id.number());
        }
        if owner.is_none() && group.is_none() {
            return Ok(false);
        }
        if !context.check {
            context.about_to_change()?;
            metadata::change_owner(path, owner.and_then(Id::number), group.and_then(Id::number))
                .map_err(|error| {
                    let what = if owner.is_some() { "chown" } else { "chgrp" };
                    Failure::new(format!("{what} failed: {error}")).with("path", paths::text(path))
                })?;
        }
        Ok(true)
    }

    fn apply_mode(
        &self,
        path: &Path,
        context: &mut Context<'_>,
        change: &mut AttributeChange,
    ) -> Result<bool, Failure> {
        let Some(mode) = &self.mode else { return Ok(false) };
        // Looked at after the owner was changed, which may have taken setuid away.
        let data =
            fs::symlink_metadata(path).map_err(|error| Failure::system("look at", path, &error))?;
        if data.is_symlink() {
            return Ok(false);
        }
        let bits = mode.resolve(data.mode(), data.is_dir(), mode::umask());
        let present = data.mode() & PERMISSION_BITS;
        if bits == present {
            return Ok(false);
        }
        change.note("mode", mode::show(present), mode::show(bits));
        if !context.check {
            context.about_to_change()?;
            metadata::change_mode(path, bits).map_err(|error| {
                Failure::new(format!("chmod failed: {error}")).with("path", paths::text(path))
            })?;
            let now = fs::symlink_metadata(path).map_or(bits, |data| data.mode());
            // A file system without permission bits ignores the change.
            return Ok(now & PERMISSION_BITS != present);
        }
        Ok(true)
    }

    fn apply_attributes(
        &self,
        path: &Path,
        context: &mut Context<'_>,
        change: &mut AttributeChange,
    ) -> Result<bool, Failure> {
        let Some(wanted) = &self.attributes else { return Ok(false) };
        let (operator, flags) = match wanted.split_at_checked(1) {
            Some((operator @ ("+" | "-" | "="), flags)) => (operator, flags),
            _ => ("=", wanted.as_str()),
        };
        if flags.is_empty() {
            return Ok(false);
        }
        let present = flags_of(path, context).unwrap_or_default();
        let has = |flag: char| present.contains(flag);
        let right = match operator {
            "+" => flags.chars().all(has),
            "-" => !flags.chars().any(has),
            // `e` (extents) can't be switched off and is there or not as the file system likes.
            _ => {
                let wanted: std::collections::BTreeSet<char> =
                    flags.chars().filter(|flag| *flag != 'e').collect();
                wanted == present.chars().filter(|flag| *flag != 'e').collect()
            }
        };
        if right {
            return Ok(false);
        }
        change.note("attributes", present, format!("{operator}{flags}"));
        if !context.check {
            context.about_to_change()?;
            let run = Run::tool("chattr")?
                .argument(format!("{operator}{flags}"))
                .argument("--")
                .argument(path);
            let ended = run.run(context)?;
            if !ended.succeeded() {
                let details = ended.stderr_text();
                return Err(Failure::new("chattr failed")
                    .with("path", paths::text(path))
                    .with("details", details.trim()));
            }
        }
        Ok(true)
    }
}

/// Flags by `lsattr`, on file systems without versions, too.
fn flags_of(path: &Path, context: &Context<'_>) -> Option<String> {
    let run = Run::tool("lsattr").ok()?.parsable().argument("-d").argument("--").argument(path);
    let ended = run.run(context).ok().filter(|ended| ended.succeeded())?;
    let text = ended.stdout_text();
    Some(text.split_whitespace().next()?.replace('-', ""))
}

/// Version and flags by `lsattr`, if that is there and the file system has them.
#[must_use]
pub fn file_flags(path: &Path, context: &Context<'_>) -> Option<(String, String)> {
    let run = Run::tool("lsattr").ok()?.parsable().argument("-vd").argument("--").argument(path);
    let ended = run.run(context).ok().filter(|ended| ended.succeeded())?;
    let text = ended.stdout_text();
    let mut words = text.split_whitespace();
    let version = words.next()?.to_owned();
    let flags = words.next()?.replace('-', "");
    Some((version, flags))
}

/// Whether somebody other than root can't do this at all.
#[must_use]
pub fn is_root() -> bool {
    geteuid().is_root()
}

//! Settings of the system: kernel parameters, cron, the host's name, keys of SSH.

mod authorized_key;
mod cron;
mod getent;
mod hostname;
mod known_hosts;
mod locale_gen;
mod mount;
mod pam_limits;
mod sysctl;
mod timezone;
mod ufw;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) use authorized_key::authorized_key;
pub(super) use cron::cron;
pub(super) use getent::getent;
pub(super) use hostname::hostname;
pub(super) use known_hosts::known_hosts;
pub(super) use locale_gen::locale_gen;
pub(super) use mount::mount;
pub(super) use pam_limits::pam_limits;
pub(super) use sysctl::sysctl;
pub(super) use timezone::timezone;
pub(super) use ufw::ufw;

use crate::disk::attributes::Wanted;
use crate::disk::texts::{self, Side};
use crate::disk::writing::NewContent;
use crate::module::{Context, Failure, Outcome};

/// Largest settings file that is read, in bytes.
const FILE_LIMIT_BYTES: u64 = 16 << 20;

/// The text of a settings file; empty if there is none.
fn read(path: &Path) -> Result<String, Failure> {
    match fs::metadata(path) {
        Ok(data) if data.len() > FILE_LIMIT_BYTES => {
            return Err(Failure::new(format!("{} is too large", path.display())));
        }
        _ => {}
    }
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::system("read", path, &error)),
    }
}

/// Gives a settings file another text, or in check mode only shows the difference. Returns the
/// path of the backup.
pub(super) fn replace(
    path: &Path,
    before: &str,
    after: &str,
    wanted: &Wanted,
    backup: bool,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<Option<PathBuf>, Failure> {
    outcome.changed = true;
    if context.diff {
        let sides = (Side::of(before.as_bytes()), Side::of(after.as_bytes()));
        outcome.diff.push(texts::change(path, sides.0, sides.1));
    }
    if context.check {
        return Ok(None);
    }
    NewContent { target: path, wanted, keep_attributes: true, backup, validate: None }
        .write_bytes(context, after.as_bytes())
}

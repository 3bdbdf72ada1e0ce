//! `filesystem`: makes, grows or wipes the file system of a device.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use provision_protocol::Object;

use super::{ask, change};
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// Type as users name it, as `blkid` names it, program, options that make it not ask.
const MAKERS: &[(&str, &str, &str, &[&str])] = &[
    ("bcachefs", "bcachefs", "mkfs.bcachefs", &["--force"]),
    ("btrfs", "btrfs", "mkfs.btrfs", &["-f"]),
    ("ext2", "ext2", "mkfs.ext2", &["-F"]),
    ("ext3", "ext3", "mkfs.ext3", &["-F"]),
    ("ext4", "ext4", "mkfs.ext4", &["-F"]),
    ("f2fs", "f2fs", "mkfs.f2fs", &["-f"]),
    ("lvm", "LVM2_member", "pvcreate", &["-f"]),
    ("ocfs2", "ocfs2", "mkfs.ocfs2", &["-Fx"]),
    ("reiserfs", "reiserfs", "mkfs.reiserfs", &["-q"]),
    ("swap", "swap", "mkswap", &["-f"]),
    ("vfat", "vfat", "mkfs.vfat", &[]),
    ("xfs", "xfs", "mkfs.xfs", &["-f"]),
];

/// `filesystem`: what is on a device.
///
/// # Errors
/// When something else is on the device, or a program fails.
pub fn filesystem(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let path = paths::expand(context, given.word("dev"));
    let device = paths::text(&path);
    let is_wanted = given.is("state", "present");
    if !path.exists() {
        let message = format!("Device {device} not found.");
        return match is_wanted {
            true => Err(Failure::new(message)),
            false => Ok(Outcome::new(false).with("msg", message)),
        };
    }
    let found = ask("blkid", &["-c", "/dev/null", "-o", "value", "-s", "TYPE", &device], context)?;
    let found = found.stdout_text().trim().to_owned();
    if !is_wanted {
        if !found.is_empty() {
            change("wipefs", &["--all", &device], context)?;
        }
        return Ok(Outcome::new(!found.is_empty()));
    }
    let wanted = given.word("fstype");
    let Some((_, shown, program, force)) = MAKERS.iter().find(|(name, ..)| *name == wanted) else {
        let message = format!("module does not support this filesystem ({wanted}) yet.");
        return Err(Failure::new(message));
    };
    let is_same = found == *shown;
    if is_same && given.flag("resizefs") {
        return grow(wanted, &path, &device, context);
    }
    if is_same && !given.flag("force") {
        return Ok(Outcome::new(false));
    }
    if !is_same && !found.is_empty() && !given.flag("force") {
        return Err(Failure::new(format!(
            "'{device}' is already used as {found}, use force=true to overwrite"
        )));
    }
    let mut words = force.to_vec();
    words.extend(given.word("opts").split_whitespace());
    words.push(&device);
    change(program, &words, context)?;
    Ok(Outcome::new(true))
}

/// Lets it take the whole device.
fn grow(
    kind: &str,
    path: &Path,
    device: &str,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    if !kind.starts_with("ext") {
        let message = format!("module does not support resizing {kind} filesystem yet.");
        return Err(Failure::new(message));
    }
    let data = fs::metadata(path).map_err(|error| Failure::system("look at", path, &error))?;
    let room = if data.file_type().is_block_device() {
        let said = ask("blockdev", &["--getsize64", device], context)?.stdout_text();
        said.trim().parse().unwrap_or(0)
    } else {
        data.len()
    };
    let said = ask("tune2fs", &["-l", device], context)?.stdout_text();
    let Some(size) = size_of(&said) else {
        return Err(Failure::new(format!("unable to process tune2fs output for {device}")));
    };
    if size >= room {
        let message = format!("{kind} filesystem is using the whole device {device}");
        return Ok(Outcome::new(false).with("msg", message));
    }
    change("resize2fs", &[device], context)?;
    Ok(Outcome::new(true).with("msg", format!("resizing filesystem {kind} on device {device}")))
}

/// Blocks times their size, as `tune2fs -l` shows them.
fn size_of(text: &str) -> Option<u64> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    field("Block count:")?.checked_mul(field("Block size:")?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::modules::system::process::find_program;
    use crate::modules::system::testing::context;

    /// With the real programs, on a file.
    #[test]
    fn a_file_system_is_made_grown_and_wiped() {
        if ["mkfs.ext4", "blkid", "resize2fs"].iter().any(|name| find_program(name).is_none()) {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let call = |more: Value| {
            let mut given = json!({"dev": file.path(), "fstype": "ext4"});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            context().call_named("filesystem", given)
        };
        assert!(call(json!({})).unwrap().changed && !call(json!({})).unwrap().changed);
        assert!(!call(json!({"resizefs": true})).unwrap().changed);
        file.as_file().set_len(16 << 20).unwrap();
        assert!(call(json!({"resizefs": true})).unwrap().changed);
        assert!(!call(json!({"resizefs": true})).unwrap().changed);
        let refused = call(json!({"fstype": "swap"})).unwrap_err().message;
        assert!(refused.contains("already used as ext4"), "{refused}");
        assert!(call(json!({"state": "absent"})).unwrap().changed);
        assert!(!call(json!({"state": "absent"})).unwrap().changed);
        assert!(call(json!({"fstype": "swap"})).unwrap().changed);
        let missing = json!({"dev": "/no/such", "fstype": "ext4"});
        assert!(
            context().call_named("filesystem", missing).unwrap_err().message.contains("not found")
        );
    }
}

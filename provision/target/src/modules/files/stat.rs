//! `stat`: everything about a file.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::unistd::{AccessFlags, access};
use provision_protocol::Object;
use serde::Deserialize;
use serde_json::{Value, json};

use super::file::seconds;
use crate::disk::attributes::file_flags;
use crate::disk::digest::file_digest;
use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::modules::system::process::Run;
use crate::names;

#[derive(Debug, Deserialize)]
struct StatArguments {
    path: String,
    #[serde(default)]
    follow: bool,
    get_checksum: Option<bool>,
    get_mime: Option<bool>,
    get_attributes: Option<bool>,
    checksum_algorithm: Option<String>,
}

/// Runs the module.
///
/// # Errors
/// When the path exists but can't be looked at.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: StatArguments = arguments(object)?;
    let path = paths::expand(context, &given.path);
    let found = if given.follow { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
    let data = match found {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Outcome::new(false).with("stat", json!({ "exists": false })));
        }
        Err(error) => return Err(Failure::system("look at", &path, &error)),
    };
    let mut stat = describe(&path, &data);
    if let Some(user) = names::user_by_id(data.uid()).ok().flatten() {
        stat.insert("pw_name".into(), user.name.into());
    }
    if let Some(group) = names::group_by_id(data.gid()).ok().flatten() {
        stat.insert("gr_name".into(), group.name.into());
    }
    if data.is_symlink() {
        stat.insert("lnk_source".into(), paths::text(&paths::real_path(&path)).into());
        let target = fs::read_link(&path).unwrap_or_default();
        stat.insert("lnk_target".into(), paths::text(&target).into());
    }
    if data.is_file() && may(&path, AccessFlags::R_OK) && given.get_checksum.unwrap_or(true) {
        let algorithm = given.checksum_algorithm.as_deref().unwrap_or("sha1");
        let digest = file_digest(&path, algorithm)
            .map_err(|error| Failure::system("read", &path, &error))?
            .ok_or_else(|| Failure::new(format!("unknown checksum algorithm {algorithm}")))?;
        stat.insert("checksum".into(), digest.into());
    }
    if given.get_mime.unwrap_or(true) {
        let (kind, charset) =
            mime(&path, context).unwrap_or_else(|| ("unknown".to_owned(), "unknown".to_owned()));
        stat.insert("mimetype".into(), kind.into());
        stat.insert("charset".into(), charset.into());
    }
    if given.get_attributes.unwrap_or(true) {
        let (version, flags) = match file_flags(&path, context) {
            Some((version, flags)) => (Value::from(version), flags),
            None => (Value::Null, String::new()),
        };
        stat.insert("version".into(), version);
        stat.insert("attributes".into(), attribute_names(&flags).into());
        stat.insert("attr_flags".into(), flags.into());
    }
    Ok(Outcome::new(false).with("stat", stat))
}

fn describe(path: &Path, data: &Metadata) -> Object {
    let kind = data.file_type();
    let bit = |bit: u32| data.mode() & bit != 0;
    let pairs: [(&str, Value); 36] = [
        ("exists", true.into()),
        ("path", paths::text(path).into()),
        ("mode", format!("{:04o}", data.mode() & 0o7777).into()),
        ("isdir", kind.is_dir().into()),
        ("ischr", kind.is_char_device().into()),
        ("isblk", kind.is_block_device().into()),
        ("isreg", kind.is_file().into()),
        ("isfifo", kind.is_fifo().into()),
        ("islnk", kind.is_symlink().into()),
        ("issock", kind.is_socket().into()),
        ("uid", data.uid().into()),
        ("gid", data.gid().into()),
        ("size", data.size().into()),
        ("inode", data.ino().into()),
        ("dev", data.dev().into()),
        ("nlink", data.nlink().into()),
        ("atime", seconds((data.atime(), data.atime_nsec()))),
        ("mtime", seconds((data.mtime(), data.mtime_nsec()))),
        ("ctime", seconds((data.ctime(), data.ctime_nsec()))),
        ("wusr", bit(0o200).into()),
        ("rusr", bit(0o400).into()),
        ("xusr", bit(0o100).into()),
        ("wgrp", bit(0o020).into()),
        ("rgrp", bit(0o040).into()),
        ("xgrp", bit(0o010).into()),
        ("woth", bit(0o002).into()),
        ("roth", bit(0o004).into()),
        ("xoth", bit(0o001).into()),
        ("isuid", bit(0o4000).into()),
        ("isgid", bit(0o2000).into()),
        ("blocks", data.blocks().into()),
        ("block_size", data.blksize().into()),
        ("device_type", data.rdev().into()),
        ("readable", may(path, AccessFlags::R_OK).into()),
        ("writeable", may(path, AccessFlags::W_OK).into()),
        ("executable", may(path, AccessFlags::X_OK).into()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Whether this user may; a link's target counts, as with Python's `os.access`.
fn may(path: &Path, what: AccessFlags) -> bool {
    access(path, what).is_ok()
}

/// By `file`, if the host has it.
fn mime(path: &Path, context: &Context<'_>) -> Option<(String, String)> {
    let run =
        Run::tool("file").ok()?.arguments(["--mime-type", "--mime-encoding", "--"]).argument(path);
    let ended = run.run(context).ok().filter(|ended| ended.succeeded())?;
    let text = ended.stdout_text();
    let (_, answer) = text.rsplit_once(':')?;
    let (kind, charset) = answer.split_once(';')?;
    let (_, charset) = charset.split_once('=')?;
    Some((kind.trim().to_owned(), charset.trim().to_owned()))
}

/// Names of `lsattr` letters, as Ansible gives them.
fn attribute_names(flags: &str) -> Vec<&'static str> {
    const NAMES: &[(char, &str)] = &[
        ('A', "noatime"),
        ('a', "append"),
        ('c', "compressed"),
        ('C', "nocow"),
        ('d', "nodump"),
        ('D', "dirsync"),
        ('e', "extents"),
        ('E', "encrypted"),
        ('h', "blocksize"),
        ('i', "immutable"),
        ('I', "indexed"),
        ('j', "journalled"),
        ('N', "inline"),
        ('s', "zero"),
        ('S', "synchronous"),
        ('t', "notail"),
        ('T', "blockroot"),
        ('u', "undelete"),
        ('X', "compressedraw"),
        ('Z', "compresseddirty"),
    ];
    flags
        .chars()
        .filter_map(|flag| NAMES.iter().find(|(letter, _)| *letter == flag).map(|(_, name)| *name))
        .collect()
}

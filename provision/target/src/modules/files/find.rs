//! `find`: lists files that meet conditions.

use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::{Value, json};

use super::file::seconds;
use crate::disk::digest::file_digest;
use crate::disk::mode::{Mode, PERMISSION_BITS};
use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::modules::system::wildcard::Wildcard;
use crate::names::NamesById;
use crate::python::{Options, Pattern};

/// Matches that fit into one result.
const MATCH_LIMIT: usize = 100_000;

/// Longest file that is searched for `contains`, in bytes.
const SEARCHED_LIMIT_BYTES: u64 = 256 << 20;

/// Folders inside folders; deeper ones are a circle of links.
const DEPTH_LIMIT: usize = 512;

#[derive(Debug, Deserialize)]
struct FindArguments {
    paths: Vec<String>,
    #[serde(default)]
    patterns: Vec<String>,
    #[serde(default)]
    excludes: Vec<String>,
    contains: Option<String>,
    #[serde(default)]
    read_whole_file: bool,
    file_type: Option<String>,
    age: Option<String>,
    age_stamp: Option<String>,
    size: Option<String>,
    #[serde(default)]
    recurse: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    get_checksum: bool,
    #[serde(default)]
    use_regex: bool,
    depth: Option<i64>,
    mode: Option<Value>,
    exact_mode: Option<bool>,
    encoding: Option<String>,
    limit: Option<i64>,
}

enum NamePattern {
    Wildcard(Wildcard),
    Regex(Pattern),
}

impl NamePattern {
    fn matches(&self, name: &str) -> Result<bool, Failure> {
        match self {
            NamePattern::Wildcard(wildcard) => Ok(wildcard.matches(name)),
            NamePattern::Regex(pattern) => pattern.is_match(name),
        }
    }
}

struct Finder {
    patterns: Vec<NamePattern>,
    excludes: Vec<NamePattern>,
    contains: Option<Pattern>,
    kind: String,
    age_s: Option<f64>,
    size: Option<i64>,
    mode: Option<u32>,
    given: FindArguments,
    now_s: f64,
    limit: usize,
    names: NamesById,
    found: Vec<Value>,
    examined: usize,
    skipped: Object,
    warnings: Vec<String>,
    /// The path that is being searched, as given.
    searched: String,
}

/// Runs the module.
///
/// # Errors
/// When a condition can't be understood.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let mut finder = Finder::new(arguments(object)?)?;
    for given in finder.given.paths.clone() {
        let path = paths::expand(context, &given);
        if !paths::is_directory(&path) {
            finder.skip_path(&given, format!("'{}' is not a directory", path.display()));
            continue;
        }
        finder.searched.clone_from(&given);
        if let Err(failure) = finder.walk(&path, 1, context) {
            if (context.stopped)() {
                return Err(failure);
            }
            finder.skip_path(&given, failure.message);
        }
    }
    let message = if !finder.warnings.is_empty() {
        "Not all paths examined, check warnings for details"
    } else if finder.is_full() {
        "Limit of matches reached"
    } else {
        "All paths examined"
    };
    let mut outcome = Outcome::new(false)
        .with("matched", finder.found.len())
        .with("files", finder.found)
        .with("msg", message)
        .with("examined", finder.examined)
        .with("skipped_paths", finder.skipped);
    if !finder.warnings.is_empty() {
        outcome = outcome.with("warnings", finder.warnings);
    }
    Ok(outcome)
}

impl Finder {
    fn new(given: FindArguments) -> Result<Finder, Failure> {
        let compile = |patterns: &[String]| -> Result<Vec<NamePattern>, Failure> {
            patterns
                .iter()
                .map(|pattern| {
                    Ok(if given.use_regex {
                        NamePattern::Regex(Pattern::anchored(pattern)?)
                    } else {
                        NamePattern::Wildcard(Wildcard::new(pattern))
                    })
                })
                .collect()
        };
        let contains = match &given.contains {
            Some(text) if given.read_whole_file => Some(Pattern::new(text, Options::default())?),
            Some(text) => Some(Pattern::anchored(text)?),
            None => None,
        };
        let mode = match &given.mode {
            Some(Value::String(text)) if text.is_empty() => None,
            Some(mode @ Value::String(_)) => Some(Mode::parse(mode)?.resolve(0, false, 0)),
            Some(_) => {
                return Err(Failure::new(
                    "argument 'mode' is not a string and conversion is not allowed",
                ));
            }
            None => None,
        };
        if let Some(limit) = given.limit.filter(|limit| *limit <= 0) {
            return Err(Failure::new(format!("limit cannot be {limit} (use None for unlimited)")));
        }
        let limit = given.limit.and_then(|limit| usize::try_from(limit).ok());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Finder {
            patterns: compile(&given.patterns)?,
            excludes: compile(&given.excludes)?,
            contains,
            kind: given.file_type.clone().unwrap_or_else(|| "file".to_owned()),
            age_s: age(given.age.as_deref())?,
            size: size(given.size.as_deref())?,
            mode,
            now_s: since.as_secs_f64(),
            limit: limit.unwrap_or(usize::MAX),
            names: NamesById::default(),
            found: Vec::new(),
            examined: 0,
            skipped: Object::new(),
            warnings: Vec::new(),
            searched: String::new(),
            given,
        })
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    fn skip_path(&mut self, path: &str, reason: String) {
        self.warnings.push(format!("Skipped '{path}' path due to this access issue: {reason}\n"));
        self.skipped.insert(path.to_owned(), reason.into());
    }

    fn walk(&mut self, folder: &Path, depth: usize, context: &Context<'_>) -> Result<(), Failure> {
        if (context.stopped)() {
            return Err(Failure::new("stopped while searching"));
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.skipped.insert(paths::text(folder), error.to_string().into());
                return Ok(());
            }
        };
        let mut entries: Vec<PathBuf> =
            entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        entries.sort();
        self.examined += entries.len();
        let too_deep = depth > DEPTH_LIMIT
            || self
                .given
                .depth
                .filter(|depth| *depth != 0)
                .is_some_and(|limit| usize::try_from(limit).is_ok_and(|limit| depth > limit));
        if too_deep {
            return Ok(());
        }
        let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
            entries.into_iter().partition(|path| paths::is_directory(path));
        for path in files.iter().chain(&folders) {
            self.look_at(path)?;
            if self.is_full() {
                return Ok(());
            }
        }
        if !self.given.recurse {
            return Ok(());
        }
        for path in folders {
            if self.given.follow || !paths::is_link(&path) {
                self.walk(&path, depth + 1, context)?;
            }
            if self.is_full() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn look_at(&mut self, path: &Path) -> Result<(), Failure> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name.starts_with('.') && !self.given.hidden {
            return Ok(());
        }
        let data = match fs::symlink_metadata(path) {
            Ok(data) => data,
            Err(error) => {
                self.warnings.push(format!(
                    "Skipped entry '{}' due to this access issue: {error}\n",
                    path.display()
                ));
                self.skipped.insert(paths::text(path), error.to_string().into());
                return Ok(());
            }
        };
        let kind = data.file_type();
        let right_kind = match self.kind.as_str() {
            "any" => true,
            "directory" => kind.is_dir(),
            "link" => kind.is_symlink(),
            _ => kind.is_file(),
        };
        let sized = kind.is_file();
        if !right_kind
            || !self.has_name(&name)?
            || !self.has_age(&data)
            || (sized && !self.has_size(&data))
            || !self.has_mode(&data)
            || (self.kind == "file" && !self.has_content(path)?)
        {
            return Ok(());
        }
        if self.found.len() >= MATCH_LIMIT {
            return Err(Failure::new(format!("more than {MATCH_LIMIT} matches")));
        }
        let mut entry = self.describe(path, &data);
        if self.given.get_checksum && kind.is_file() {
            let checksum = file_digest(path, "sha1").ok().flatten();
            entry.insert("checksum".into(), checksum.into());
        }
        self.found.push(entry.into());
        Ok(())
    }

    fn has_name(&self, name: &str) -> Result<bool, Failure> {
        let any = |patterns: &[NamePattern]| -> Result<bool, Failure> {
            for pattern in patterns {
                if pattern.matches(name)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok((self.patterns.is_empty() || any(&self.patterns)?) && !any(&self.excludes)?)
    }

    fn has_age(&self, data: &Metadata) -> bool {
        let Some(age) = self.age_s else { return true };
        let stamp = match self.given.age_stamp.as_deref() {
            Some("atime") => (data.atime(), data.atime_nsec()),
            Some("ctime") => (data.ctime(), data.ctime_nsec()),
            _ => (data.mtime(), data.mtime_nsec()),
        };
        let passed = self.now_s - seconds(stamp).as_f64().unwrap_or_default();
        if age >= 0.0 { passed >= age } else { passed <= -age }
    }

    fn has_size(&self, data: &Metadata) -> bool {
        let Some(size) = self.size else { return true };
        let (bound, bytes) = (size.unsigned_abs(), data.size());
        if size >= 0 { bytes >= bound } else { bytes <= bound }
    }

    fn has_mode(&self, data: &Metadata) -> bool {
        let Some(mode) = self.mode else { return true };
        let bits = data.mode() & PERMISSION_BITS;
        if self.given.exact_mode.unwrap_or(true) { bits == mode } else { bits & mode != 0 }
    }

    fn has_content(&mut self, path: &Path) -> Result<bool, Failure> {
        let Some(pattern) = &self.contains else { return Ok(true) };
        let mut bytes = Vec::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(SEARCHED_LIMIT_BYTES).read_to_end(&mut bytes));
        if read.is_err() {
            return Ok(false);
        }
        let encoding = self.given.encoding.as_deref();
        let text = match encodings::decode(&bytes, encoding.unwrap_or_default()) {
            Ok(text) => text,
            Err(unknown @ encodings::Error::Unknown(_)) => {
                return Err(Failure::new(unknown.to_string()));
            }
            Err(_) => {
                // Ansible ends the search of this path here, wherever its order of names has led it;
                // its words, but the other files are searched, too.
                let reason = format!(
                    "Failed to read the file {} due to an encoding error. current encoding: {}",
                    path.display(),
                    encoding.unwrap_or("utf-8")
                );
                let searched = self.searched.clone();
                self.skip_path(&searched, reason);
                return Ok(false);
            }
        };
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        if self.given.read_whole_file {
            return pattern.is_match(&text);
        }
        for line in text.split_inclusive('\n') {
            if pattern.is_match(line)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn describe(&mut self, path: &Path, data: &Metadata) -> Object {
        let kind = data.file_type();
        let bit = |bit: u32| data.mode() & bit != 0;
        let described = json!({
            "path": paths::text(path),
            "mode": format!("{:04o}", data.mode() & PERMISSION_BITS),
            "isdir": kind.is_dir(),
            "ischr": kind.is_char_device(),
            "isblk": kind.is_block_device(),
            "isreg": kind.is_file(),
            "isfifo": kind.is_fifo(),
            "islnk": kind.is_symlink(),
            "issock": kind.is_socket(),
            "uid": data.uid(),
            "gid": data.gid(),
            "size": data.size(),
            "inode": data.ino(),
            "dev": data.dev(),
            "nlink": data.nlink(),
            "atime": seconds((data.atime(), data.atime_nsec())),
            "mtime": seconds((data.mtime(), data.mtime_nsec())),
            "ctime": seconds((data.ctime(), data.ctime_nsec())),
            "gr_name": self.names.group(data.gid()).unwrap_or_default(),
            "pw_name": self.names.user(data.uid()).unwrap_or_default(),
            "wusr": bit(0o200),
            "rusr": bit(0o400),
            "xusr": bit(0o100),
            "wgrp": bit(0o020),
            "rgrp": bit(0o040),
            "xgrp": bit(0o010),
            "woth": bit(0o002),
            "roth": bit(0o004),
            "xoth": bit(0o001),
            "isuid": bit(0o4000),
            "isgid": bit(0o2000),
        });
        match described {
            Value::Object(object) => object,
            _ => Object::new(),
        }
    }
}

/// A number with a unit, in the unit's smallest parts.
fn measure(text: &str, units: &[(char, i64)]) -> Option<i64> {
    let text = text.to_lowercase();
    let (digits, factor) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_alphabetic() => {
            let factor = units.iter().find(|(letter, _)| *letter == unit)?.1;
            (text.get(..at)?, factor)
        }
        _ => (text.as_str(), 1),
    };
    let plain = digits.strip_prefix('-').unwrap_or(digits);
    if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

fn age(text: Option<&str>) -> Result<Option<f64>, Failure> {
    const UNITS: &[(char, i64)] =
        &[('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
    let Some(text) = text else { return Ok(None) };
    let seconds = measure(text, UNITS)
        .ok_or_else(|| Failure::new("failed to process age").with("age", text))?;
    #[expect(clippy::cast_precision_loss, reason = "ages of files are far below 2^52 seconds")]
    Ok(Some(seconds as f64))
}

fn size(text: Option<&str>) -> Result<Option<i64>, Failure> {
    const UNITS: &[(char, i64)] =
        &[('b', 1), ('k', 1 << 10), ('m', 1 << 20), ('g', 1 << 30), ('t', 1 << 40)];
    let Some(text) = text else { return Ok(None) };
    let bytes = measure(text, UNITS)
        .ok_or_else(|| Failure::new("failed to process size").with("size", text))?;
    Ok(Some(bytes))
}

//! `assemble`: makes a file of fragments, in the order of their names.

use std::fs;
use std::io::Read;
use std::path::Path;

use provision_protocol::{Object, TreeEntry};
use serde::Deserialize;

use crate::disk::attributes::FileArguments;
use crate::disk::texts::{self, AttributeChange, Side};
use crate::disk::writing::NewContent;
use crate::disk::{describe, digest, paths};
use crate::module::{Context, Failure, Outcome, arguments};
use crate::python::{Options, Pattern};

/// Longest assembled file, in bytes.
const FILE_LIMIT_BYTES: u64 = 256 << 20;

#[derive(Debug, Deserialize)]
struct AssembleArguments {
    src: Option<String>,
    dest: String,
    delimiter: Option<String>,
    #[serde(default)]
    backup: bool,
    regexp: Option<String>,
    #[serde(default)]
    ignore_hidden: bool,
    validate: Option<String>,
    _tree: Option<Vec<TreeEntry>>,
}

/// Runs the module.
///
/// # Errors
/// When fragments can't be read or the file can't be written.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: AssembleArguments = arguments(object)?;
    let wanted = arguments::<FileArguments>(object)?.resolve(context.check)?;
    let dest = paths::expand(context, &given.dest);
    let fragments = given.fragments(context)?;
    let content = join(&fragments, given.delimiter.as_deref())?;
    let new = digest::summary_of(&content);
    let present = digest::summary(&dest).ok();
    let mut outcome = Outcome::new(false)
        .with("dest", paths::text(&dest))
        .with("checksum", new.sha1.clone())
        .with("md5sum", new.md5.clone());
    if let Some(src) = &given.src {
        outcome = outcome.with("src", src.as_str());
    }
    if present.as_ref() != Some(&new) {
        outcome.changed = true;
        if context.diff {
            outcome.diff.push(texts::change(&dest, Side::of_file(&dest), Side::of(&content)));
        }
        if !context.check {
            let target = paths::real_path(&dest);
            let writing = NewContent {
                target: &target,
                wanted: &wanted,
                keep_attributes: true,
                backup: given.backup && present.is_some(),
                validate: given.validate.as_deref(),
            };
            if let Some(backup) = writing.write_bytes(context, &content)? {
                outcome = outcome.with("backup_file", paths::text(&backup));
            }
        }
    }
    if !context.check || paths::exists(&dest) {
        let mut change = AttributeChange::default();
        let changed = wanted.apply(&paths::real_path(&dest), context, &mut change)?;
        if changed && context.diff && !outcome.changed {
            outcome.diff.push(change.diff());
        }
        outcome.changed |= changed;
    }
    describe::add_path_information(&mut outcome.values, &dest);
    Ok(outcome.with("msg", "OK"))
}

impl AssembleArguments {
    /// Contents of the fragments, ordered by name.
    fn fragments(&self, context: &mut Context<'_>) -> Result<Vec<Vec<u8>>, Failure> {
        let pattern = match &self.regexp {
            Some(regexp) => Some(Pattern::new(regexp, Options::default())?),
            None => None,
        };
        let mut left = FILE_LIMIT_BYTES;
        let mut fragments = Vec::new();
        let mut take = |reader: &mut dyn Read, name: &str| {
            let mut bytes = Vec::new();
            let mut limited = reader.take(left + 1);
            limited
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::new(format!("failed to read {name}: {error}")))?;
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                Failure::new(format!("the fragments have more than {FILE_LIMIT_BYTES} bytes"))
            })?;
            fragments.push(bytes);
            Ok::<(), Failure>(())
        };
        let is_wanted = |name: &str| -> Result<bool, Failure> {
            let matches = match &pattern {
                Some(pattern) => pattern.is_match(name)?,
                None => true,
            };
            Ok(matches && !(self.ignore_hidden && name.starts_with('.')))
        };
        if let Some(tree) = &self._tree {
            let mut entries: Vec<&TreeEntry> = tree
                .iter()
                .filter(|entry| entry.kind == "file" && !entry.path.contains('/'))
                .collect();
            entries.sort_by(|left, right| left.path.cmp(&right.path));
            for entry in entries {
                let Some(content) = &entry.content else { continue };
                if is_wanted(&entry.path)? {
                    take(&mut *context.contents.open(&content.sha256)?, &entry.path)?;
                }
            }
            return Ok(fragments);
        }
        let Some(src) = &self.src else { return Err(Failure::new("src is required")) };
        let folder = paths::expand(context, src);
        for name in names(&folder)? {
            let path = folder.join(&name);
            if is_wanted(&name)? && fs::metadata(&path).is_ok_and(|data| data.is_file()) {
                let mut file = fs::File::open(&path)
                    .map_err(|error| Failure::system("read", &path, &error))?;
                take(&mut file, &name)?;
            }
        }
        Ok(fragments)
    }
}

fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    if !paths::exists(folder) {
        return Err(Failure::new(format!("Source ({}) does not exist", folder.display())));
    }
    if !paths::is_directory(folder) {
        return Err(Failure::new(format!("Source ({}) is not a directory", folder.display())));
    }
    let mut names: Vec<String> = fs::read_dir(folder)
        .map_err(|error| Failure::system("list", folder, &error))?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn join(fragments: &[Vec<u8>], delimiter: Option<&str>) -> Result<Vec<u8>, Failure> {
    let delimiter = delimiter.filter(|text| !text.is_empty()).map(unescape).transpose()?;
    let mut joined: Vec<u8> = Vec::new();
    for (number, fragment) in fragments.iter().enumerate() {
        if number > 0 {
            let previous = fragments.get(number - 1).and_then(|previous| previous.last());
            if previous != Some(&b'\n') {
                joined.push(b'\n');
            }
            if let Some(delimiter) = &delimiter {
                joined.extend_from_slice(delimiter);
                if delimiter.last() != Some(&b'\n') {
                    joined.push(b'\n');
                }
            }
        }
        joined.extend_from_slice(fragment);
    }
    Ok(joined)
}

/// Escapes of Python's string literals.
fn unescape(text: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match characters.next() {
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('r') => bytes.push(b'\r'),
            Some('\\') => bytes.push(b'\\'),
            Some(quote @ ('\'' | '"')) => bytes.extend(u8::try_from(quote)),
            Some('x') => {
                let digits: String = characters.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16)
                    .map_err(|_| Failure::new("invalid \\x escape in delimiter"))?;
                bytes.push(byte);
            }
            Some(other) => {
                bytes.push(b'\\');
                bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => bytes.push(b'\\'),
        }
    }
    Ok(bytes)
}

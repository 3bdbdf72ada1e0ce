//! `copy` and `template`: files whose content comes from the controller or from the host.
//!
//! Prepared arguments, besides those of the playbook: `_content` (a content, for one file) or
//! `_tree` (entries, for a directory), `_original_basename` (name under a `dest` that is a
//! directory), `_source` (the controller's path, for messages) and `_source_mode` (permission
//! bits, for `mode: preserve`).

mod file;
mod remote;
mod tree;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use provision_protocol::{ContentReference, Diff, Object, TreeEntry};
use serde::Deserialize;
use serde_json::Value;

use crate::disk::attributes::{FileArguments, Wanted};
use crate::disk::{describe, mode, paths};
use crate::module::{Context, Failure, Outcome, arguments};

#[derive(Debug, Deserialize)]
struct CopyArguments {
    dest: String,
    src: Option<String>,
    _content: Option<ContentReference>,
    _tree: Option<Vec<TreeEntry>>,
    _original_basename: Option<String>,
    _source: Option<String>,
    _source_mode: Option<u32>,
    #[serde(default)]
    backup: bool,
    force: Option<bool>,
    validate: Option<String>,
    directory_mode: Option<Value>,
    #[serde(default)]
    remote_src: bool,
    local_follow: Option<bool>,
    #[serde(default)]
    follow: bool,
    checksum: Option<String>,
}

/// Where bytes come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The controller.
    Content(ContentReference),
    /// A file on the host.
    File(PathBuf),
}

impl Source {
    pub(super) fn open<'a>(
        &self,
        context: &'a mut Context<'_>,
    ) -> Result<Box<dyn Read + 'a>, Failure> {
        match self {
            Source::Content(content) => context.contents.open(&content.sha256),
            Source::File(path) => match std::fs::File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(Failure::system("read", path, &error)),
            },
        }
    }
}

/// What holds for all files of a call.
struct Settings {
    wanted: Wanted,
    directories: Wanted,
    /// Each file of a directory brings its own permission bits (`mode: preserve`).
    preserves_modes: bool,
    backup: bool,
    force: bool,
    validate: Option<String>,
    follow: bool,
    checksum: Option<String>,
    /// Name of the source, for diffs.
    source_name: Option<String>,
}

/// Runs the module.
///
/// # Errors
/// When the destination can't be made as wanted.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let mut given: CopyArguments = arguments(object)?;
    let mut file_arguments: FileArguments = arguments(object)?;
    let source = source_of(&given, context)?;
    let preserves_modes = file_arguments.mode.as_ref().is_some_and(|mode| mode == "preserve");
    if preserves_modes {
        file_arguments.mode = preserved_mode(&given, source.as_ref())?;
    }
    let directories = FileArguments {
        mode: given.directory_mode.clone(),
        attributes: None,
        ..file_arguments.clone()
    };
    let settings = Settings {
        wanted: file_arguments.resolve(context.check)?,
        directories: directories.resolve(context.check)?,
        preserves_modes,
        backup: given.backup,
        force: given.force.unwrap_or(true),
        validate: given.validate.take(),
        follow: given.follow,
        checksum: given.checksum.take(),
        source_name: given._source.clone().or_else(|| given._original_basename.clone()),
    };
    let dest = paths::expand(context, &given.dest);
    let ends_with_slash = given.dest.ends_with('/');
    let outcome = match (source, &given._tree) {
        (_, Some(entries)) => tree::copy(entries, &dest, &settings, context)?,
        (Some(Source::File(path)), None) if paths::is_directory(&path) => {
            // On hosts Ansible keeps links unless it is told to follow them.
            let follow = given.local_follow.unwrap_or(false);
            let contents_only = given.src.as_ref().is_some_and(|src| src.ends_with('/'));
            let source = remote::Tree { root: path, contents_only, follow };
            remote::copy(&source, &dest, &settings, context)?
        }
        (Some(source), None) => {
            let name = given._original_basename.clone().or_else(|| match &source {
                Source::File(path) => path.file_name().map(|name| name.to_string_lossy().into()),
                Source::Content(_) => None,
            });
            let place = file::Place { dest, ends_with_slash, name };
            let placed = file::copy(&source, place, &settings, context)?;
            let src = given.src.or(given._source.filter(|_| placed.changed));
            placed.outcome(src.as_deref())
        }
        (None, None) => return Err(Failure::new("src (or content) is required")),
    };
    Ok(outcome)
}

fn source_of(given: &CopyArguments, context: &Context<'_>) -> Result<Option<Source>, Failure> {
    if let Some(content) = &given._content {
        return Ok(Some(Source::Content(content.clone())));
    }
    if given._tree.is_some() {
        return Ok(None);
    }
    let Some(src) = &given.src else { return Ok(None) };
    if !given.remote_src {
        return Err(Failure::new("the controller sent no content for src"));
    }
    let path = paths::expand(context, src);
    match std::fs::metadata(&path) {
        Ok(data) if data.is_file() || data.is_dir() => Ok(Some(Source::File(path))),
        Ok(_) => Err(Failure::new(format!("Cannot copy invalid source '{src}': not a file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::new(format!("Source {src} not found")))
        }
        Err(error) => Err(Failure::system("look at", &path, &error)),
    }
}

/// The mode that `preserve` stands for; `None` for directories, whose entries have their own.
fn preserved_mode(
    given: &CopyArguments,
    source: Option<&Source>,
) -> Result<Option<Value>, Failure> {
    match source {
        Some(Source::File(path)) => {
            let data = std::fs::metadata(path)
                .map_err(|error| Failure::system("look at", path, &error))?;
            let bits = std::os::unix::fs::MetadataExt::mode(&data) & mode::PERMISSION_BITS;
            Ok(Some(bits.into()))
        }
        Some(Source::Content(_)) => match given._source_mode {
            Some(bits) => Ok(Some((bits & mode::PERMISSION_BITS).into())),
            None => Err(Failure::new("mode `preserve` needs a source file")),
        },
        None => Ok(None),
    }
}

/// What became of one file.
struct Placed {
    dest: PathBuf,
    changed: bool,
    summary: Option<crate::disk::digest::Summary>,
    backup: Option<PathBuf>,
    message: Option<String>,
    diff: Vec<Diff>,
}

impl Placed {
    fn new(dest: PathBuf, changed: bool) -> Self {
        Placed { dest, changed, summary: None, backup: None, message: None, diff: Vec::new() }
    }

    fn outcome(self, src: Option<&str>) -> Outcome {
        let mut outcome = Outcome::new(self.changed).with("dest", paths::text(&self.dest));
        if let Some(src) = src {
            outcome = outcome.with("src", src);
        }
        if let Some(summary) = self.summary {
            outcome = outcome.with("checksum", summary.sha1).with("md5sum", summary.md5);
        }
        if let Some(backup) = self.backup {
            outcome = outcome.with("backup_file", paths::text(&backup));
        }
        if let Some(message) = self.message {
            outcome = outcome.with("msg", message);
        }
        describe::add_path_information(&mut outcome.values, &self.dest);
        outcome.diff = self.diff;
        outcome
    }
}

/// Makes missing folders above and including `folder`. In check mode only says whether some are
/// missing.
fn make_folders(
    folder: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    if paths::exists(folder) {
        return Ok(false);
    }
    if context.check {
        return Ok(true);
    }
    context.about_to_change()?;
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !paths::exists(path)).collect();
    for path in missing.into_iter().rev() {
        if path.as_os_str().is_empty() {
            continue;
        }
        match std::fs::create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::system("create", path, &error)),
        }
        settings.directories.apply(path, context, &mut Default::default())?;
    }
    Ok(true)
}

//! What modules that edit text files have in common: reading, writing, backup, diff, attributes.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde::Deserialize;

use crate::disk::attributes::{FileArguments, Wanted};
use crate::disk::paths;
use crate::disk::texts::{self, AttributeChange, Side};
use crate::disk::writing::NewContent;
use crate::module::{Context, Failure, Outcome, arguments};

/// Longest file that is edited, in bytes: it is held in memory several times.
const FILE_LIMIT_BYTES: u64 = 128 << 20;

#[derive(Debug, Deserialize)]
struct EditArguments {
    path: String,
    #[serde(default)]
    backup: bool,
    create: Option<bool>,
    validate: Option<String>,
}

/// A file about to be edited.
#[derive(Debug)]
pub struct Edit {
    /// As given.
    pub path: PathBuf,
    /// Its content; `None` if it doesn't exist.
    pub original: Option<Vec<u8>>,
    /// What is really written.
    real: PathBuf,
    wanted: Wanted,
    backup: bool,
    validate: Option<String>,
}

/// What became of a file.
#[derive(Debug)]
pub struct Edited {
    /// Without message.
    pub outcome: Outcome,
    /// What was done, in the words of Ansible's modules.
    pub message: String,
    /// The backup.
    pub backup: Option<PathBuf>,
}

impl Edit {
    /// Reads a file that may be missing only if the arguments let it be created.
    ///
    /// # Errors
    /// When it is a directory, is missing, or can't be read.
    pub fn open(
        object: &Object,
        creates: bool,
        context: &mut Context<'_>,
    ) -> Result<Edit, Failure> {
        let given: EditArguments = arguments(object)?;
        let file_arguments: FileArguments = arguments(object)?;
        let path = paths::expand(context, &given.path);
        if paths::is_directory(&path) {
            return Err(
                Failure::new(format!("Path {} is a directory !", path.display())).with("rc", 256)
            );
        }
        let original = read(&path)?;
        if original.is_none() && !given.create.unwrap_or(creates) {
            return Err(
                Failure::new(format!("Path {} does not exist !", path.display())).with("rc", 257)
            );
        }
        Ok(Edit {
            real: paths::real_path(&path),
            original,
            wanted: file_arguments.resolve(context.check)?,
            backup: given.backup,
            validate: given.validate,
            path,
        })
    }

    /// The file takes the place of a link instead of going where the link points to.
    pub fn replace_link(&mut self) {
        self.real.clone_from(&self.path);
    }

    /// Writes the new content if it differs, and sets the attributes.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn finish(
        self,
        content: &[u8],
        changed: bool,
        message: &str,
        context: &mut Context<'_>,
    ) -> Result<Edited, Failure> {
        let mut outcome = Outcome::new(changed);
        let mut backup = None;
        if changed && context.diff {
            let before = Side::of(self.original.as_deref().unwrap_or_default());
            let mut diff = texts::change(&self.path, before, Side::of(content));
            let header = format!("{} (content)", self.path.display());
            diff.before_header = Some(header.clone());
            diff.after_header = Some(header);
            outcome.diff.push(diff);
        }
        if changed && !context.check {
            make_parent(&self.real, context)?;
            let writing = NewContent {
                target: &self.real,
                wanted: &self.wanted,
                keep_attributes: true,
                backup: self.backup,
                validate: self.validate.as_deref(),
            };
            backup = writing.write_bytes(context, content)?;
        }
        let mut message = message.to_owned();
        if self.original.is_some() {
            let mut change = AttributeChange::default();
            // What was written has its attributes already; this is about what differed before.
            let differs = if changed && !context.check {
                self.wanted.apply(&self.real, context, &mut AttributeChange::default())?;
                false
            } else {
                self.wanted.apply(&self.real, context, &mut change)?
            };
            if differs {
                if outcome.changed {
                    message.push_str(" and ");
                }
                message.push_str("ownership, perms or SE linux context changed");
                outcome.changed = true;
                if context.diff {
                    let mut diff = change.diff();
                    let header = format!("{} (file attributes)", self.path.display());
                    diff.before_header = Some(header.clone());
                    diff.after_header = Some(header);
                    outcome.diff.push(diff);
                }
            }
        } else if changed && !context.check {
            self.wanted.apply(&self.real, context, &mut AttributeChange::default())?;
        }
        Ok(Edited { outcome, message, backup })
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::system("read", path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::system("read", path, &error))?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        return Err(Failure::new(format!("{} is too large to be edited", path.display())));
    }
    Ok(Some(bytes))
}

fn make_parent(path: &Path, context: &mut Context<'_>) -> Result<(), Failure> {
    let parent = paths::parent(path);
    if paths::exists(&parent) {
        return Ok(());
    }
    context.about_to_change()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o777)
        .create(&parent)
        .map_err(|error| Failure::new(format!("Error creating {} ({error})", parent.display())))
}

//! What each state of `file` means.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Job, State};
use crate::disk::paths;
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Outcome};
use crate::modules::files::links;

/// Names listed in the diff of a removed directory.
const LISTED_NAMES: usize = 1000;

/// Folders inside folders; deeper ones are a circle of links.
const DEPTH_LIMIT: usize = 1024;

impl Job {
    pub(super) fn absent(&mut self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let present = State::of(&self.path);
        let outcome = Outcome::new(present != State::Absent)
            .with("path", paths::text(&self.path))
            .with("state", "absent");
        if present == State::Absent {
            return Ok(outcome);
        }
        self.note_states(present, "absent");
        if present == State::Directory {
            self.note_content();
        }
        if context.check {
            return Ok(outcome);
        }
        context.about_to_change()?;
        // The standard library removes a tree without following links that appear meanwhile.
        let removed = match present {
            State::Directory => fs::remove_dir_all(&self.path),
            _ => fs::remove_file(&self.path),
        };
        match removed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(outcome),
            Err(error) => {
                let what = if present == State::Directory { "rmtree" } else { "unlinking" };
                Err(self.failure(format!("{what} failed: {error}")))
            }
            Ok(()) => Ok(outcome),
        }
    }

    fn note_content(&mut self) {
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.filter_map(Result::ok) {
                if directories.len() + files.len() >= LISTED_NAMES {
                    break;
                }
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(paths::text(&path));
                    folders.push(path);
                } else {
                    files.push(paths::text(&path));
                }
            }
        }
        directories.sort();
        files.sort();
        let content = serde_json::json!({ "directories": directories, "files": files });
        self.change.before.insert("path_content".into(), content);
    }

    pub(super) fn file(&mut self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let mut present = State::of(&self.path);
        if present == State::Link && self.follow {
            self.path = paths::real_path(&self.path);
            present = State::of(&self.path);
        }
        if !matches!(present, State::File | State::Hard) {
            let message =
                format!("file ({}) is {}, cannot continue", self.path.display(), present.name());
            return Err(self.failure(message).with("state", present.name()));
        }
        self.note_states(present, present.name());
        let path = self.path.clone();
        let changed = self.attributes(&path, context)?;
        Ok(Outcome::new(changed).with("path", paths::text(&self.path)))
    }

    pub(super) fn directory(&mut self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let mut present = State::of(&self.path);
        if present == State::Link && self.follow {
            self.path = paths::real_path(&self.path);
            present = State::of(&self.path);
        }
        let mut outcome = Outcome::new(true).with("path", paths::text(&self.path));
        self.note_states(present, "directory");
        match present {
            State::Absent => {
                if !context.check {
                    self.make_directories(context)?;
                }
                return Ok(outcome);
            }
            State::Directory => {}
            other => {
                let message =
                    format!("{} already exists as a {}", self.path.display(), other.name());
                return Err(self.failure(message));
            }
        }
        let path = self.path.clone();
        outcome.changed = self.attributes(&path, context)?;
        if self.recurse {
            outcome.changed |= self.recurse(&path, context, 0)?;
        }
        Ok(outcome)
    }

    /// Makes all missing folders; each gets the attributes.
    fn make_directories(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        context.about_to_change()?;
        let missing: Vec<PathBuf> = self
            .path
            .ancestors()
            .take_while(|path| !paths::exists(path) && !path.as_os_str().is_empty())
            .map(Path::to_owned)
            .collect();
        for path in missing.iter().rev() {
            match fs::create_dir(path) {
                Ok(()) => {}
                Err(_) if paths::is_directory(path) => {}
                Err(error) => {
                    return Err(self.failure(format!(
                        "There was an issue creating {} as requested: {error}",
                        path.display()
                    )));
                }
            }
            self.attributes(path, context)?;
        }
        Ok(())
    }

    /// Attributes of everything below a folder.
    fn recurse(
        &mut self,
        folder: &Path,
        context: &mut Context<'_>,
        depth: usize,
    ) -> Result<bool, Failure> {
        if depth > DEPTH_LIMIT {
            return Err(Failure::new(format!(
                "Could not recursively set attributes on {}: it is nested too deeply",
                self.path.display()
            )));
        }
        if (context.stopped)() {
            return Err(self.failure("stopped while setting attributes"));
        }
        let mut entries: Vec<_> = fs::read_dir(folder)
            .map_err(|error| Failure::system("list", folder, &error))?
            .filter_map(Result::ok)
            .collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut changed = false;
        for entry in entries {
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            changed |= self.quietly(&path, context)?;
            if is_link && self.follow {
                let target = paths::real_path(&path);
                if paths::exists(&target) {
                    if paths::is_directory(&target) && !folder.starts_with(&target) {
                        changed |= self.recurse(&target, context, depth + 1)?;
                    }
                    changed |= self.quietly(&target, context)?;
                }
            } else if !is_link && paths::is_directory(&path) {
                changed |= self.recurse(&path, context, depth + 1)?;
            }
        }
        Ok(changed)
    }

    pub(super) fn touch(&mut self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let present = State::of(&self.path);
        self.note_states(present, "touch");
        let outcome = |changed| Outcome::new(changed).with("dest", paths::text(&self.path));
        let created = !paths::exists(&self.path);
        let mut outcome = outcome(created);
        if created && context.check {
            return Ok(outcome);
        }
        if created {
            context.about_to_change()?;
            let made =
                fs::OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
            made.map_err(|error| self.failure(format!("Error, could not touch target: {error}")))?;
        }
        let path = if self.follow { paths::real_path(&self.path) } else { self.path.clone() };
        match self.attributes(&path, context) {
            Ok(changed) => {
                outcome.changed |= changed;
                Ok(outcome)
            }
            Err(failure) => {
                if created {
                    // It was made for this call alone.
                    let _ = fs::remove_file(&self.path);
                }
                Err(failure)
            }
        }
    }

    pub(super) fn link(&mut self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let present = State::of(&self.path);
        if self.src.is_none() && self.follow && present == State::Link {
            let target = fs::read_link(&self.path)
                .map_err(|error| Failure::system("read", &self.path, &error))?;
            self.src = Some(paths::text(&target));
        }
        self.note_states(present, "link");
        let mut changed = false;
        if let Some(src) = self.src.clone() {
            let base = if present == State::Directory {
                self.path.clone()
            } else {
                paths::parent(&self.path)
            };
            let target = base.join(&src);
            if !self.force && !paths::exists(&target) {
                return Err(self
                    .failure(format!(
                        "src file does not exist, use \"force=yes\" if you really want to \
                         create the link: {}",
                        target.display()
                    ))
                    .with("src", src));
            }
            let mut change = AttributeChange::default();
            changed =
                links::ensure_link(&self.path, Path::new(&src), self.force, context, &mut change)?;
            self.change.before.append(&mut change.before);
            self.change.after.append(&mut change.after);
        } else if present != State::Link {
            return Err(self.failure("src is required for creating new symlinks"));
        }
        let mut outcome = Outcome::new(changed).with("dest", paths::text(&self.path));
        outcome.values.insert("src".into(), self.src.clone().into());
        if context.check && !paths::exists(&self.path) {
            return Ok(outcome);
        }
        let path = if self.follow { paths::real_path(&self.path) } else { self.path.clone() };
        if self.follow && !paths::exists(&path) {
            if self.wants_attributes() {
                self.warnings.push(
                    "Cannot set fs attributes on a non-existent symlink target. follow should \
                     be set to False to avoid this."
                        .to_owned(),
                );
            }
        } else {
            outcome.changed |= self.attributes(&path, context)?;
        }
        Ok(outcome)
    }

    pub(super) fn hard_link(&mut self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let present = State::of(&self.path);
        let refuse = |job: &Job, message: &str| {
            Err(Failure::new(message)
                .with("dest", paths::text(&job.path))
                .with("src", job.src.clone()))
        };
        if self.src.is_none() && present != State::Hard {
            return Err(self.failure("src is required for creating new hardlinks"));
        }
        let source = self.src.as_ref().map(PathBuf::from);
        if source.as_ref().is_some_and(|source| !paths::exists(source)) {
            return refuse(self, "src does not exist");
        }
        self.note_states(present, "hard");
        let same = source.as_ref().is_none_or(|source| is_same_file(&self.path, source));
        let changed = match present {
            State::Absent => true,
            State::Directory => return refuse(self, "Cannot link: a directory is in the way"),
            State::Hard | State::File | State::Link if same && present != State::Link => false,
            State::Hard if !self.force => {
                return refuse(self, "Cannot link, different hard link exists at destination");
            }
            State::File if !self.force => {
                return refuse(self, "Cannot link, file exists at destination");
            }
            State::Hard | State::File | State::Link => true,
        };
        let mut outcome = Outcome::new(changed).with("dest", paths::text(&self.path));
        outcome.values.insert("src".into(), self.src.clone().into());
        if let Some(source) = source.filter(|_| changed && !context.check) {
            context.about_to_change()?;
            let source = if self.follow { paths::real_path(&source) } else { source };
            self.make_hard_link(&source)?;
        }
        if context.check && !paths::exists(&self.path) {
            return Ok(outcome);
        }
        let path = self.path.clone();
        outcome.changed |= self.attributes(&path, context)?;
        Ok(outcome)
    }

    fn make_hard_link(&self, source: &Path) -> Result<(), Failure> {
        let temporary = links::temporary_beside(&self.path);
        let made =
            fs::hard_link(source, &temporary).and_then(|()| fs::rename(&temporary, &self.path));
        if made.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        made.map_err(|error| self.failure(format!("Error while linking: {error}")))
    }

    fn wants_attributes(&self) -> bool {
        self.wanted.mode.is_some() || self.wanted.owner.is_some() || self.wanted.group.is_some()
    }

    /// Owner, mode and times of one thing, noted in the diff.
    fn attributes(&mut self, path: &Path, context: &mut Context<'_>) -> Result<bool, Failure> {
        let changed = self.wanted.apply(path, context, &mut self.change)?;
        Ok(changed | self.times.apply(path, context, &mut self.change)?)
    }

    /// The same without the diff, which describes the top only.
    fn quietly(&self, path: &Path, context: &mut Context<'_>) -> Result<bool, Failure> {
        let mut change = AttributeChange::default();
        let changed = self.wanted.apply(path, context, &mut change)?;
        Ok(changed | self.times.apply(path, context, &mut change)?)
    }
}

fn is_same_file(left: &Path, right: &Path) -> bool {
    match (fs::symlink_metadata(left), fs::metadata(right)) {
        (Ok(left), Ok(right)) => (left.dev(), left.ino()) == (right.dev(), right.ino()),
        _ => false,
    }
}

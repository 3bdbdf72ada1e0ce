//! `unarchive`: unpacks tar and zip archives, natively and confined to the destination.
//!
//! The archive is gone through twice. The first pass checks all names and finds what differs from
//! the disk; nothing has been touched when it refuses. The second one unpacks what differs.

mod archive;
mod difference;
mod root;
mod select;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use provision_protocol::{ContentReference, Diff, Object};
use serde::Deserialize;

use self::archive::{Archive, Entry, Kind};
use self::difference::Owners;
use self::root::{Attributes, Root};
use self::select::{Name, Selection, show};
use super::copy::Source;
use crate::disk::attributes::{FileArguments, Id, Wanted};
use crate::disk::{describe, mode, paths};
use crate::module::{Context, Failure, Outcome, arguments};

/// Names that a diff lists.
const LISTED_NAMES: usize = 1000;

#[derive(Debug, Deserialize)]
struct UnarchiveArguments {
    src: Option<String>,
    dest: String,
    #[serde(default)]
    remote_src: bool,
    copy: Option<bool>,
    creates: Option<String>,
    #[serde(default)]
    list_files: bool,
    #[serde(default)]
    keep_newer: bool,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    extra_opts: Vec<String>,
    _content: Option<ContentReference>,
    _source: Option<String>,
}

/// What the first pass found.
#[derive(Debug, Default)]
struct Found {
    /// Numbers of the entries that differ.
    differing: BTreeSet<usize>,
    /// Their names, for the diff.
    differing_names: Vec<String>,
    /// All names, as `tar --list` shows them.
    names: Vec<String>,
    /// Their paths below the destination.
    selected: Vec<Name>,
    /// Bytes that have to be written.
    bytes: u64,
}

struct Job<'a> {
    archive: &'a Archive,
    root: &'a Root,
    selection: &'a Selection,
    owners: Owners,
    wanted: Wanted,
    keep_newer: bool,
    umask: u32,
}

/// Runs the module.
///
/// # Errors
/// When the archive can't be read, would leave the destination, or can't be unpacked.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: UnarchiveArguments = arguments(object)?;
    let wanted = arguments::<FileArguments>(object)?.resolve(context.check)?;
    if let Some(creates) = &given.creates
        && paths::is_present(&paths::expand(context, creates))
    {
        let mut outcome = Outcome::new(false);
        outcome.skipped = Some(format!("skipped, since {creates} exists"));
        return Ok(outcome);
    }
    let source = given.source(context)?;
    let dest = paths::expand(context, &given.dest);
    if !paths::is_directory(&dest) {
        return Err(Failure::new(format!("Destination '{}' is not a directory", given.dest)));
    }
    let archive = Archive::open(source, context)?;
    let selection =
        Selection::new(&given.include, &given.exclude, &given.extra_opts, archive.format)?;
    let root = Root::open(&dest).map_err(|error| Failure::system("open", &dest, &error))?;
    let job = Job {
        archive: &archive,
        root: &root,
        selection: &selection,
        owners: Owners::new(&selection, geteuid().is_root()),
        wanted,
        keep_newer: given.keep_newer,
        umask: mode::umask(),
    };
    let found = job.compare(context)?;
    if found.names.is_empty() {
        return Err(Failure::new("the archive contains no files that are selected"));
    }
    let mut changed = !found.differing.is_empty();
    if changed && !context.check {
        job.check_space(&found)?;
        context.about_to_change()?;
        job.unpack(&found, context)?;
    }
    changed |= job.attributes(&found, &dest, context)?;
    let mut outcome = Outcome::new(changed)
        .with("handler", archive.format.handler())
        .with("dest", paths::text(&dest));
    if let Some(src) = given._source.as_ref().or(given.src.as_ref()) {
        outcome = outcome.with("src", src.as_str());
    }
    if context.diff && !found.differing_names.is_empty() {
        outcome.diff.push(listing(&dest, &found.differing_names));
    }
    if given.list_files {
        outcome = outcome.with("files", found.names);
    }
    describe::add_path_information(&mut outcome.values, &dest);
    Ok(outcome)
}

impl UnarchiveArguments {
    fn source(&self, context: &Context<'_>) -> Result<Source, Failure> {
        if let Some(content) = &self._content {
            return Ok(Source::Content(content.clone()));
        }
        let Some(src) = &self.src else { return Err(Failure::new("src is required")) };
        if !self.remote_src && self.copy != Some(false) {
            return Err(Failure::new("the controller sent no content for src"));
        }
        if src.contains("://") {
            return Err(Failure::new(
                "unarchive does not download; get the archive with get_url first",
            ));
        }
        let path = paths::expand(context, src);
        if !paths::exists(&path) {
            return Err(Failure::new(format!("Source '{src}' does not exist")));
        }
        Ok(Source::File(path))
    }
}

impl Job<'_> {
    fn compare(&self, context: &mut Context<'_>) -> Result<Found, Failure> {
        let mut found = Found::default();
        let mut number = 0;
        let mut replaced: BTreeSet<Name> = BTreeSet::new();
        self.archive.each(context, &mut |entry, reader| {
            number += 1;
            let Some(name) = self.selected(entry)? else { return Ok(()) };
            // A file that is unpacked anew is another one than its hard links on the disk.
            let loses_original = match &entry.kind {
                Kind::Hard(original) => {
                    self.selection.name(original)?.is_some_and(|name| replaced.contains(&name))
                }
                _ => false,
            };
            let slash = if entry.kind == Kind::Directory { "/" } else { "" };
            let shown = format!("{}{slash}", show(&name));
            if loses_original || self.differs(entry, &name, reader)? {
                if entry.kind == Kind::File {
                    replaced.insert(name.clone());
                }
                found.differing.insert(number);
                if found.differing_names.len() < LISTED_NAMES {
                    found.differing_names.push(shown.clone());
                }
                found.bytes = found.bytes.saturating_add(entry.size);
            }
            found.names.push(shown);
            found.selected.push(name);
            Ok(())
        })?;
        Ok(found)
    }

    /// The checked name of an entry that is to be unpacked.
    fn selected(&self, entry: &Entry) -> Result<Option<Name>, Failure> {
        let Some(name) = self.selection.name(&entry.name)? else { return Ok(None) };
        match &entry.kind {
            Kind::Other(what) => Err(Failure::new(format!(
                "the archive's entry {} is {what}, which is not unpacked",
                show(&name)
            ))),
            Kind::Link(target) => {
                self.selection.check_target(&name, target)?;
                Ok(Some(name))
            }
            Kind::Hard(original) => match self.selection.name(original)? {
                Some(_) => Ok(Some(name)),
                None => Err(Failure::new(format!(
                    "the archive's hard link {} points to something that is not unpacked",
                    show(&name)
                ))),
            },
            Kind::File | Kind::Directory => Ok(Some(name)),
        }
    }

    fn check_space(&self, found: &Found) -> Result<(), Failure> {
        match self.root.free_bytes() {
            Some(free) if free < found.bytes => Err(Failure::new(format!(
                "no space for {} bytes: {free} are free at the destination",
                found.bytes
            ))),
            _ => Ok(()),
        }
    }

    fn unpack(&self, found: &Found, context: &mut Context<'_>) -> Result<(), Failure> {
        let mut number = 0;
        let mut folders: Vec<(Name, Attributes)> = Vec::new();
        self.archive.each(context, &mut |entry, reader| {
            number += 1;
            if !found.differing.contains(&number) {
                return Ok(());
            }
            let Some(name) = self.selected(entry)? else { return Ok(()) };
            let attributes = self.attributes_of(entry);
            let done = self.root.make_parents(&name).and_then(|()| match &entry.kind {
                Kind::File => {
                    let count = self.root.write(&name, reader, &attributes)?;
                    if count == entry.size {
                        Ok(())
                    } else {
                        Err(std::io::ErrorKind::UnexpectedEof.into())
                    }
                }
                Kind::Directory => {
                    folders.push((name.clone(), attributes));
                    // Its own bits come last: they may forbid writing into it.
                    self.root.make_folder(&name, 0o700)
                }
                Kind::Link(target) => self.root.link(&name, target, &attributes),
                Kind::Hard(original) => match self.selection.name(original) {
                    Ok(Some(original)) => self.root.hard_link(&name, &original),
                    _ => Err(std::io::ErrorKind::InvalidInput.into()),
                },
                Kind::Other(_) => Err(std::io::ErrorKind::Unsupported.into()),
            });
            done.map_err(|error| Failure::new(format!("failed to unpack {}: {error}", show(&name))))
        })?;
        for (name, attributes) in folders.iter().rev() {
            self.root.finish_folder(name, attributes).map_err(|error| {
                Failure::new(format!("failed to unpack {}: {error}", show(name)))
            })?;
        }
        self.root
            .sync()
            .map_err(|error| Failure::new(format!("failed to sync the destination: {error}")))
    }

    /// What an unpacked entry gets.
    fn attributes_of(&self, entry: &Entry) -> Attributes {
        let archived = if self.owners.keeps_modes { entry.mode } else { entry.mode & !self.umask };
        let mode = match &self.wanted.mode {
            Some(mode) => mode.resolve(archived, entry.kind == Kind::Directory, self.umask),
            None => archived,
        };
        let (uid, gid) = self.owners.of(entry);
        Attributes {
            uid: self.wanted.owner.and_then(Id::number).or(uid),
            gid: self.wanted.group.and_then(Id::number).or(gid),
            mode,
            time: if self.selection.touch { None } else { entry.time },
        }
    }

    /// Owner, group and mode that the playbook wants for everything that was unpacked.
    fn attributes(
        &self,
        found: &Found,
        dest: &Path,
        context: &mut Context<'_>,
    ) -> Result<bool, Failure> {
        let nothing = self.wanted.mode.is_none()
            && self.wanted.owner.is_none()
            && self.wanted.group.is_none()
            && self.wanted.attributes.is_none();
        if nothing {
            return Ok(false);
        }
        let mut all: Vec<PathBuf> = Vec::new();
        let mut seen = BTreeSet::new();
        for name in &found.selected {
            if let Some(top) = name.first().filter(|top| seen.insert((*top).clone())) {
                all.push(dest.join(top));
            }
            all.push(name.iter().fold(dest.to_owned(), |path, part| path.join(part)));
        }
        let mut changed = false;
        for path in all {
            if paths::is_present(&path) {
                changed |= self.wanted.apply(&path, context, &mut Default::default())?;
            }
        }
        Ok(changed)
    }
}

fn listing(dest: &Path, names: &[String]) -> Diff {
    let mut after = String::new();
    for name in names {
        after.push_str(name);
        after.push('\n');
    }
    if names.len() == LISTED_NAMES {
        after.push_str("[and more]\n");
    }
    let header = Some(format!("{} (entries that differ)", dest.display()));
    Diff {
        before_header: header.clone(),
        after_header: header,
        before: String::new(),
        after,
        attributes: None,
    }
}

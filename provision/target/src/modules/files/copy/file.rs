//! One file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Placed, Settings, Source, make_folders};
use crate::disk::digest::{self, Digests, Summary};
use crate::disk::mode::{self, Mode, PERMISSION_BITS};
use crate::disk::texts::{self, Side};
use crate::disk::writing::NewContent;
use crate::disk::{metadata, paths};
use crate::module::{Context, Failure};

/// Where a file is to go.
pub(super) struct Place {
    /// The file, or a directory for it.
    pub(super) dest: PathBuf,
    /// It was written as a directory.
    pub(super) ends_with_slash: bool,
    /// Its name in a directory.
    pub(super) name: Option<String>,
}

/// Copies one file.
pub(super) fn copy(
    source: &Source,
    place: Place,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<Placed, Failure> {
    let mut dest = place.dest;
    let mut made_folders = false;
    if place.ends_with_slash {
        let Some(name) = &place.name else {
            return Err(Failure::new("can not use content with a dir as dest"));
        };
        dest = dest.join(name);
        let folder = paths::parent(&dest);
        made_folders = make_folders(&folder, settings, context)?;
        if made_folders && context.check {
            let mut placed = Placed::new(dest, true);
            placed.message = Some(format!("dest directory {} would be created", folder.display()));
            return Ok(placed);
        }
    }
    if paths::is_directory(&dest) {
        let Some(name) = &place.name else {
            return Err(Failure::new("can not use content with a dir as dest"));
        };
        dest = dest.join(name);
    }
    if paths::exists(&dest) {
        if paths::is_directory(&dest) {
            return Err(Failure::new(format!("{} is a directory", dest.display())));
        }
        if settings.follow && paths::is_link(&dest) {
            dest = paths::real_path(&dest);
        }
        if !settings.force {
            let mut placed = Placed::new(dest, false);
            placed.message = Some("file already exists".to_owned());
            return Ok(placed);
        }
    } else if !context.check && !paths::exists(&paths::parent(&dest)) {
        // In check mode an earlier task may be the one that makes it, as Ansible takes it to be.
        return Err(Failure::new(format!(
            "Destination directory {} does not exist",
            paths::parent(&dest).display()
        ))
        .with("dest", paths::text(&dest)));
    }
    let mut placed = put(source, dest, settings, context)?;
    placed.changed |= made_folders;
    Ok(placed)
}

/// Gives an exact place the content and the attributes.
fn put(
    source: &Source,
    dest: PathBuf,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<Placed, Failure> {
    let present = present_summary(source, &dest)?;
    if let Some(summary) = present {
        expect_checksum(settings, &summary)?;
        let mut change = texts::AttributeChange::default();
        let mut placed = Placed::new(dest, false);
        placed.changed = settings.wanted.apply(&placed.dest, context, &mut change)?;
        if placed.changed && context.diff {
            placed.diff.push(change.diff());
        }
        placed.summary = Some(summary);
        return Ok(placed);
    }
    let mut placed = Placed::new(dest, true);
    if context.diff {
        let is_file = fs::metadata(&placed.dest).is_ok_and(|data| data.is_file());
        let before = if is_file { Side::of_file(&placed.dest) } else { Side::Text(String::new()) };
        let after = {
            let mut reader = source.open(context)?;
            Side::read(&mut reader).map_err(|error| Failure::new(error.to_string()))?
        };
        let mut diff = texts::change(&placed.dest, before, after);
        if !is_file {
            diff.before_header = None;
        }
        if let Some(name) = &settings.source_name {
            diff.after_header = Some(name.clone());
        }
        placed.diff.push(diff);
    }
    if context.check {
        if let Source::File(path) = source {
            placed.summary = digest::summary(path).ok();
        }
        return Ok(placed);
    }
    let (backup, summary) = replace(source, &placed.dest, settings, context)?;
    placed.backup = backup;
    placed.summary = Some(summary);
    // What a rename can't do: `chattr`, and owner and mode when the file was overwritten in place.
    settings.wanted.apply(&placed.dest, context, &mut Default::default())?;
    Ok(placed)
}

fn replace(
    source: &Source,
    dest: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<(Option<PathBuf>, Summary), Failure> {
    let is_link = paths::is_link(dest);
    let mut wanted = settings.wanted.clone();
    let source_data = match source {
        Source::File(path) => fs::metadata(path).ok(),
        Source::Content(_) => None,
    };
    if let Some(data) = &source_data
        && (is_link || paths::exists(dest))
    {
        // A file on the host brings its own bits when it replaces another one.
        let bits = data.mode() & PERMISSION_BITS;
        let bits = wanted.mode.map_or(bits, |mode| mode.resolve(bits, false, mode::umask()));
        wanted.mode = Some(Mode::Exactly(bits));
    }
    let writing = NewContent {
        target: dest,
        wanted: &wanted,
        keep_attributes: !is_link && source_data.is_none(),
        backup: settings.backup,
        validate: settings.validate.as_deref(),
    };
    let mut summary = None;
    let backup = writing.write(context, &mut |file, context| {
        let written = transfer(source, dest, file, context)?;
        expect_checksum(settings, &written)?;
        summary = Some(written);
        Ok(())
    })?;
    if let Some(data) = &source_data {
        let times = (metadata::access_time(data), metadata::modification_time(data));
        metadata::change_times(dest, Some(times.0), Some(times.1))
            .map_err(|error| Failure::system("set the times of", dest, &error))?;
    }
    match summary {
        Some(summary) => Ok((backup, summary)),
        None => Err(Failure::new("nothing was written")),
    }
}

fn transfer(
    source: &Source,
    dest: &Path,
    file: &mut dyn Write,
    context: &mut Context<'_>,
) -> Result<Summary, Failure> {
    let stopped = context.stopped;
    let mut reader = source.open(context)?;
    let mut digests = Digests::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        if stopped() {
            return Err(Failure::new(format!("stopped while writing {}", dest.display())));
        }
        let count = reader
            .read(&mut buffer)
            .map_err(|error| Failure::new(format!("failed to read the source: {error}")))?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok(digests.finish());
        }
        digests.update(piece);
        file.write_all(piece).map_err(|error| Failure::system("write", dest, &error))?;
    }
}

fn expect_checksum(settings: &Settings, summary: &Summary) -> Result<(), Failure> {
    match &settings.checksum {
        Some(expected) if *expected != summary.sha1 => {
            Err(Failure::new("Copied file does not match the expected checksum. Transfer failed.")
                .with("checksum", summary.sha1.clone())
                .with("expected_checksum", expected.clone()))
        }
        _ => Ok(()),
    }
}

/// The digests of what lies there, if it has the source's content and isn't a link.
fn present_summary(source: &Source, dest: &Path) -> Result<Option<Summary>, Failure> {
    let Ok(data) = fs::symlink_metadata(dest) else { return Ok(None) };
    if !data.is_file() {
        return Ok(None);
    }
    let same_size = match source {
        Source::Content(content) => content.size == data.len(),
        Source::File(path) => fs::metadata(path).is_ok_and(|source| source.len() == data.len()),
    };
    if !same_size {
        return Ok(None);
    }
    // Unreadable: assume a change, as Ansible does.
    let Ok(summary) = digest::summary(dest) else { return Ok(None) };
    let expected = match source {
        Source::Content(content) => content.sha256.clone(),
        Source::File(path) => {
            digest::summary(path).map_err(|error| Failure::system("read", path, &error))?.sha256
        }
    };
    Ok((summary.sha256 == expected).then_some(summary))
}

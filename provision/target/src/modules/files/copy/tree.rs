//! A directory from the controller.

use std::path::{Component, Path};

use provision_protocol::TreeEntry;

use super::{Placed, Settings, Source, file, make_folders};
use crate::disk::mode::Mode;
use crate::disk::texts::AttributeChange;
use crate::disk::{describe, paths};
use crate::module::{Context, Failure, Outcome};
use crate::modules::files::links;

/// Copies all entries below `dest`. A mode of `preserve` has been taken out of the settings: then
/// each file gets its own.
pub(super) fn copy(
    entries: &[TreeEntry],
    dest: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let mut changed = false;
    let mut diff = Vec::new();
    let mut only: Option<Placed> = None;
    let files = entries.iter().filter(|entry| entry.kind == "file").count();
    for entry in entries {
        if !is_inside(&entry.path) {
            return Err(Failure::new(format!("the path {} leaves its directory", entry.path)));
        }
        let target = dest.join(&entry.path);
        match entry.kind.as_str() {
            "file" => {
                let placed = copy_file(entry, &target, settings, context)?;
                changed |= placed.changed;
                if files == 1 {
                    diff.extend(placed.diff.iter().cloned());
                    only = Some(placed);
                } else {
                    diff.extend(placed.diff);
                }
            }
            "directory" => changed |= copy_folder(&target, settings, context, &mut diff)?,
            "link" => changed |= copy_link(entry, &target, settings, context, &mut diff)?,
            kind => return Err(Failure::new(format!("an entry of the unknown kind {kind}"))),
        }
    }
    let mut outcome = match only {
        Some(placed) => placed.outcome(settings.source_name.as_deref()),
        None => {
            let mut outcome = Outcome::new(changed).with("dest", paths::text(dest));
            if let Some(name) = &settings.source_name {
                outcome = outcome.with("src", name.as_str());
            }
            describe::add_path_information(&mut outcome.values, dest);
            outcome
        }
    };
    outcome.changed = changed;
    outcome.diff = diff;
    Ok(outcome)
}

fn copy_file(
    entry: &TreeEntry,
    target: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<Placed, Failure> {
    let Some(content) = &entry.content else {
        return Err(Failure::new(format!("the file {} has no content", entry.path)));
    };
    let folder = paths::parent(target);
    let made = make_folders(&folder, settings, context)?;
    if made && context.check {
        return Ok(Placed::new(target.to_owned(), true));
    }
    let mut wanted = settings.wanted.clone();
    if settings.preserves_modes {
        wanted.mode = Some(Mode::Exactly(entry.mode & 0o7777));
    }
    let settings = Settings {
        wanted,
        directories: settings.directories.clone(),
        validate: settings.validate.clone(),
        checksum: None,
        source_name: Some(entry.path.clone()),
        ..*settings
    };
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
    let place = file::Place { dest: target.to_owned(), ends_with_slash: false, name };
    let mut placed = file::copy(&Source::Content(content.clone()), place, &settings, context)?;
    placed.changed |= made;
    Ok(placed)
}

fn copy_folder(
    target: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
    diff: &mut Vec<provision_protocol::Diff>,
) -> Result<bool, Failure> {
    let made = make_folders(target, settings, context)?;
    let mut change = AttributeChange::default();
    let changed = if made {
        change.note("path", paths::text(target), paths::text(target));
        change.note("state", "absent", "directory");
        true
    } else if paths::is_directory(target) {
        let real = paths::real_path(target);
        settings.directories.apply(&real, context, &mut change)?
    } else {
        return Err(Failure::new(format!("{} already exists as a file", target.display())));
    };
    if changed && context.diff {
        diff.push(change.diff());
    }
    Ok(changed)
}

fn copy_link(
    entry: &TreeEntry,
    target: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
    diff: &mut Vec<provision_protocol::Diff>,
) -> Result<bool, Failure> {
    let Some(destination) = &entry.target else {
        return Err(Failure::new(format!("the link {} has no target", entry.path)));
    };
    let made = make_folders(&paths::parent(target), settings, context)?;
    if made && context.check {
        return Ok(true);
    }
    let mut change = AttributeChange::default();
    let wanted = settings.wanted.without_mode();
    let changed = links::ensure_link(target, Path::new(destination), true, context, &mut change)?;
    let owned = paths::is_present(target) && wanted.apply(target, context, &mut change)?;
    if (changed || owned) && context.diff {
        diff.push(change.diff());
    }
    Ok(changed || owned || made)
}

fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path)
            .components()
            .all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
}

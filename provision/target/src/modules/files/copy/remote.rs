//! A directory that is on the host already (`remote_src`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Settings, Source, file, make_folders};
use crate::disk::attributes::Wanted;
use crate::disk::mode::{Mode, PERMISSION_BITS};
use crate::disk::texts::AttributeChange;
use crate::disk::{describe, paths};
use crate::module::{Context, Failure, Outcome};
use crate::modules::files::links;

/// Folders inside folders: more than anybody means to copy.
const DEPTH_LIMIT: usize = 256;

/// What to copy.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    /// The source ends with `/`: only what is inside.
    pub(super) contents_only: bool,
    /// Copy what links point to, not the links.
    pub(super) follow: bool,
}

/// Copies a directory on the host.
pub(super) fn copy(
    tree: &Tree,
    dest: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let target = match tree.root.file_name() {
        Some(name) if !tree.contents_only => dest.join(name),
        _ => dest.to_owned(),
    };
    if paths::real_path(&target).starts_with(paths::real_path(&tree.root)) {
        return Err(Failure::new(format!("{} can't be copied into itself", tree.root.display())));
    }
    // The result is about what is copied if the destination was there already.
    let named = if paths::is_directory(dest) { target.clone() } else { dest.to_owned() };
    let mut changed = make_folders(&paths::parent(&target), settings, context)?;
    changed |= copy_folder(tree, &tree.root, &target, settings, context, &mut Vec::new())?;
    let top = Wanted { mode: settings.wanted.mode.clone(), ..Wanted::default() };
    if paths::exists(&target) {
        changed |= top.apply(&paths::real_path(dest), context, &mut Default::default())?;
    }
    let mut outcome = Outcome::new(changed)
        .with("dest", paths::text(&named))
        .with("src", paths::text(&tree.root));
    describe::add_path_information(&mut outcome.values, &named);
    Ok(outcome)
}

/// Copies what is in a folder. `within`: device and inode of the folders around it; a link back to one
/// of them stays a link.
fn copy_folder(
    tree: &Tree,
    from: &Path,
    to: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
    within: &mut Vec<(u64, u64)>,
) -> Result<bool, Failure> {
    if within.len() > DEPTH_LIMIT {
        return Err(Failure::new(format!("{} is nested too deeply", from.display())));
    }
    if (context.stopped)() {
        return Err(Failure::new("stopped while copying a directory"));
    }
    let own = fs::metadata(from).map_err(|error| Failure::system("look at", from, &error))?;
    let bits = own.mode() & PERMISSION_BITS;
    within.push((own.dev(), own.ino()));
    let mut changed = false;
    if !paths::exists(to) {
        if context.check {
            within.pop();
            return Ok(true);
        }
        context.about_to_change()?;
        fs::create_dir(to).map_err(|error| Failure::system("create", to, &error))?;
        let wanted = Wanted { mode: Some(Mode::Exactly(bits)), ..Wanted::default() };
        wanted.apply(to, context, &mut AttributeChange::default())?;
        changed = true;
    }
    let mut names: Vec<_> = fs::read_dir(from)
        .map_err(|error| Failure::system("list", from, &error))?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        changed |= if paths::is_link(&from) && (!tree.follow || leads_back(&from, within)) {
            copy_link(&from, &to, settings, context)?
        } else if paths::is_directory(&from) {
            copy_folder(tree, &from, &to, settings, context, within)?
        } else {
            copy_file(&from, &to, settings, context)?
        };
    }
    within.pop();
    let owner = settings.wanted.without_mode();
    changed |= owner.apply(&paths::real_path(to), context, &mut AttributeChange::default())?;
    Ok(changed)
}

fn leads_back(link: &Path, within: &[(u64, u64)]) -> bool {
    fs::metadata(link).is_ok_and(|meant| within.contains(&(meant.dev(), meant.ino())))
}

fn copy_link(
    from: &Path,
    to: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    let target = fs::read_link(from).map_err(|error| Failure::system("read", from, &error))?;
    let mut change = AttributeChange::default();
    let changed = links::ensure_link(to, &target, true, context, &mut change)?;
    let owner = settings.wanted.without_mode();
    Ok(changed | (paths::is_present(to) && owner.apply(to, context, &mut change)?))
}

fn copy_file(
    from: &Path,
    to: &Path,
    settings: &Settings,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    let data = fs::metadata(from).map_err(|error| Failure::system("look at", from, &error))?;
    if !data.is_file() {
        return Err(Failure::new(format!("{} is not a file", from.display())));
    }
    let exists = paths::exists(to);
    let mut wanted = settings.wanted.without_mode();
    if !exists {
        wanted.mode = Some(Mode::Exactly(data.mode() & PERMISSION_BITS));
    }
    let settings = Settings {
        wanted,
        directories: settings.directories.clone(),
        validate: None,
        checksum: None,
        source_name: None,
        ..*settings
    };
    let place = file::Place { dest: to.to_owned(), ends_with_slash: false, name: None };
    Ok(file::copy(&Source::File(from.to_owned()), place, &settings, context)?.changed)
}

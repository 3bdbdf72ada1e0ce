//! `provision artifacts list`, `verify` and `mirror`: what there is, and whether it is genuine.

use provision_artifacts::cache::{Cache, Look};
use provision_artifacts::lock::Entry;
use provision_artifacts::mirror::{self, MirrorError, Placed};

use super::arguments::{List, Mirror, Verify};
use super::fetch::{LIMIT_BYTES, downloader, word};
use super::place::{self, WantedReleases};
use super::{Failure, size};
use crate::exit::Exit;
use crate::paint::{self, BAD, FAINT, GOOD, STRONG, styled};

fn is_wanted(wanted: &WantedReleases, component: &str, version: &str) -> bool {
    wanted.get(component).is_some_and(|versions| versions.contains(version))
}

/// Lines with columns of equal width.
fn table(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let plain = |text: &str| anstream::adapter::strip_str(text).to_string().chars().count();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| plain(cell));
        cells.chain(head.get(column).map(|cell| plain(cell))).max().unwrap_or(0)
    };
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (column, cell) in cells.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < cells.len() {
                text.push_str(&" ".repeat(width(column) + 2 - plain(cell).min(width(column))));
            }
        }
        text
    };
    let mut lines = vec![styled(FAINT, &line(head.to_vec()))];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines
}

/// Shows the entries. The cache is not read, only looked at.
pub fn list(arguments: &List) -> Result<(), Failure> {
    let located = place::locate_filled(&arguments.place)?;
    let cache = super::cache(&arguments.place)?;
    let wanted = place::wanted(&arguments.place, &arguments.passwords)?;
    let row = |(component, version, entry): (&str, &str, &Entry)| {
        let signer = entry.signature.as_ref().map_or_else(
            || styled(FAINT, "unsigned"),
            |signer| format!("{} {}", signer.kind, signer.key.get(..16).unwrap_or(&signer.key)),
        );
        let mark = match is_wanted(&wanted, component, version) {
            true => styled(STRONG, "wanted"),
            false => String::new(),
        };
        vec![
            component.to_owned(),
            version.to_owned(),
            mark,
            entry.size.map_or_else(|| "-".to_owned(), size),
            if cache.path(&entry.sha256).exists() { "cached".into() } else { "-".into() },
            signer,
            entry.url.clone().unwrap_or_else(|| "from a file".to_owned()),
        ]
    };
    let rows: Vec<Vec<String>> = located.lock.entries().map(row).collect();
    let head = ["COMPONENT", "VERSION", "", "SIZE", "CACHE", "SIGNED BY", "FROM"];
    table(&head, &rows).iter().for_each(|line| say!("{line}"));
    Ok(())
}

/// Reads all archives again.
pub fn verify(arguments: &Verify) -> Result<(), Failure> {
    let located = place::locate_filled(&arguments.place)?;
    let cache = super::cache(&arguments.place)?;
    let wanted = place::wanted(&arguments.place, &arguments.passwords)?;
    let mirrored = arguments.mirror.as_deref().map(|mirror| Ok((mirror, downloader()?)));
    let mirrored = mirrored.transpose()?;
    let mut problems = Vec::new();
    let mut rows = Vec::new();
    for (component, version, entry) in located.lock.entries() {
        let is_wanted = is_wanted(&wanted, component, version);
        let name = format!("{component} {version}");
        let look = look(&cache, entry)?;
        let mut row = vec![component.to_owned(), version.to_owned()];
        row.push(if is_wanted { styled(STRONG, "wanted") } else { String::new() });
        row.push(word(&look));
        match &look {
            Look::Damaged { .. } => problems.push(format!("{name} is damaged in the cache")),
            Look::Missing if is_wanted && mirrored.is_none() => {
                problems.push(format!("{name} is wanted and not in the cache"));
            }
            Look::Whole(found) if entry.size.is_some_and(|size| size != *found) => {
                problems.push(format!("{name} has {found} bytes, and the lock says otherwise"));
            }
            Look::Whole(_) | Look::Missing => {}
        }
        if let Some((mirror, downloader)) = &mirrored {
            let url = mirror::address(mirror, &entry.sha256);
            let limit = entry.size.unwrap_or(LIMIT_BYTES);
            row.push(match downloader.digest(&url, limit) {
                Ok((found, _)) if found == entry.sha256 => styled(GOOD, "on the mirror"),
                Ok((found, _)) => {
                    problems.push(format!("{name} is another archive on the mirror"));
                    styled(BAD, &format!("on the mirror with digest {found}"))
                }
                Err(error) => {
                    problems.push(format!("{name} can't be had from {url}: {error}"));
                    styled(BAD, "not on the mirror")
                }
            });
        }
        rows.push(row);
    }
    for (component, versions) in &wanted {
        for version in versions {
            if located.lock.entry(component, version).is_none() {
                problems.push(format!("{component} {version} is wanted and has no entry"));
            }
        }
    }
    let head = ["COMPONENT", "VERSION", "", "CACHE", "MIRROR"];
    let head = head.get(..if mirrored.is_some() { 5 } else { 4 }).unwrap_or(&head);
    table(head, &rows).iter().for_each(|line| say!("{line}"));
    if problems.is_empty() {
        return Ok(());
    }
    problems.iter().for_each(|problem| paint::error(problem, None));
    let hint = "`provision artifacts fetch` brings what is missing and replaces what is damaged";
    tell!("{} {hint}", styled(STRONG, "hint:"));
    Err(Failure::told(Exit::Artifact))
}

fn look(cache: &Cache, entry: &Entry) -> Result<Look, Failure> {
    cache.look(&entry.sha256).map_err(|error| {
        let path = cache.path(&entry.sha256);
        Failure::new(Exit::Environment, format!("failed to read {}: {error}", path.display()))
    })
}

/// Writes a mirror.
pub fn mirror(arguments: &Mirror) -> Result<(), Failure> {
    let located = place::locate_filled(&arguments.place)?;
    let cache = super::cache(&arguments.place)?;
    let mut tell_one = |component: &str, version: &str, placed: Placed| {
        let word = match placed {
            Placed::Known => styled(FAINT, "is there"),
            Placed::Linked => styled(GOOD, "linked"),
            Placed::Copied => styled(GOOD, "copied"),
        };
        say!("{component} {version}: {word}");
    };
    let written = mirror::write(&located.lock, &cache, &arguments.folder, &mut tell_one);
    written.map_err(|error| match error {
        MirrorError::Missing { .. } | MirrorError::Damaged { .. } => {
            Failure::artifact(error.to_string()).hint("provision artifacts fetch")
        }
        MirrorError::Io { .. } => Failure::new(Exit::Environment, error.to_string()),
    })?;
    let folder = arguments.folder.display();
    paint::note(&format!(
        "{folder} can be served as it is; hosts use it with `artifact_mirror: URL`\n\
         prove it: cd {folder} && sha256sum --check SHA256SUMS, or \
         provision artifacts verify --mirror URL"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::paint::{GOOD, styled};

    #[test]
    fn columns_are_aligned_with_colours_in_them() {
        let rows = [vec!["a".to_owned(), styled(GOOD, "whole")], vec!["abc".into(), "-".into()]];
        let lines = table(&["X", "Y"], &rows).join("\n");
        let plain = anstream::adapter::strip_str(&lines).to_string();
        assert_eq!(plain, "X    Y\na    whole\nabc  -");
    }
}

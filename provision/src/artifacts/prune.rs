//! `provision artifacts prune`: the cache keeps what the given locks name.

use std::collections::BTreeSet;

use super::arguments::{Place, Prune};
use super::{Failure, place, size};
use crate::exit::Exit;
use crate::prompt;

/// Deletes what no lock names, after it was shown.
pub fn prune(arguments: &Prune) -> Result<(), Failure> {
    let cache = super::cache(&arguments.place)?;
    let keep = named(&arguments.place)?;
    let failed = |error: std::io::Error| {
        let message = format!("failed to read {}: {error}", cache.folder().display());
        Failure::new(Exit::Environment, message)
    };
    let surplus = cache.surplus(&keep).map_err(failed)?;
    if surplus.is_empty() {
        say!("nothing to delete: {} has only what is named", cache.folder().display());
        return Ok(());
    }
    for stored in &surplus {
        say!("{:>9}  {}", size(stored.size), stored.path.display());
    }
    let all = size(surplus.iter().map(|stored| stored.size).sum());
    let files = match surplus.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let question = format!("delete {files}, {all}, that no given lock names?");
    if !arguments.yes && !prompt::confirm(&question) {
        return Err(Failure::new(Exit::Refused, "not confirmed; nothing was deleted").hint(
            "name all inventories that use this cache with -i, and answer y, or give --yes",
        ));
    }
    for stored in &surplus {
        cache.forget(stored).map_err(|error| {
            let message = format!("failed to delete {}: {error}", stored.path.display());
            Failure::new(Exit::Environment, message)
        })?;
    }
    say!("deleted {files}, {all}");
    Ok(())
}

/// Digests that the locks name. Each inventory has one of its own: a lock that can't be read, or is
/// empty, must not cost archives.
fn named(of: &Place) -> Result<BTreeSet<String>, Failure> {
    let mut places: Vec<Place> = of
        .inventory
        .iter()
        .map(|one| Place { inventory: vec![one.clone()], lock: None, ..of.clone() })
        .collect();
    if of.lock.is_some() || places.is_empty() {
        places.push(Place { inventory: Vec::new(), ..of.clone() });
    }
    let mut digests = BTreeSet::new();
    for one in &places {
        let located = place::locate_filled(one)?;
        digests.extend(located.lock.entries().map(|(_, _, entry)| entry.sha256.clone()));
    }
    Ok(digests)
}

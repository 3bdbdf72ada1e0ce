//! Inventories that are named but missing, and limits that match nothing, as Ansible takes them.

use provision_engine::load::Loaded;
use provision_playbook::inventory::{ALL, Patterns};

use super::code::{self, Code};
use super::config::Settings;
use super::page::Page;
use crate::apply;

/// Leaves out sources that don't exist; Ansible warns and goes on with what is left, unless it is
/// configured otherwise.
///
/// # Errors
/// The exit code, where it is.
pub fn existing(
    sources: &mut Vec<String>,
    settings: &Settings,
    page: &mut Page,
) -> Result<(), Code> {
    let named = sources.len();
    while let Some(missing) = apply::missing_inventory(sources).map(str::to_owned) {
        if settings.fails_on_any_unparsed {
            page.error(&format!("Completely failed to parse inventory source {missing}"));
            return Err(code::ERROR);
        }
        page.warn(&format!("Unable to parse {missing} as an inventory source: it does not exist"));
        sources.retain(|source| *source != missing);
    }
    if named > 0 && sources.is_empty() {
        if settings.fails_on_unparsed {
            page.error("No inventory was parsed, please check your configuration and options.");
            return Err(code::ERROR);
        }
        page.warn("No inventory was parsed, only implicit localhost is available");
    }
    Ok(())
}

/// Refuses a `--limit` that leaves no host of the inventory.
///
/// # Errors
/// The exit code.
pub fn limit_matches(loaded: &Loaded, page: &mut Page) -> Result<(), Code> {
    let Some(limit) = &loaded.world.settings.limit else { return Ok(()) };
    if loaded.inventory.hosts().next().is_none() {
        return Ok(());
    }
    let limit = Patterns::limit(limit, loaded.world.files.as_ref()).map_err(|error| {
        page.error(&format!("failed to {error}"));
        code::ERROR
    })?;
    let selected = loaded.inventory.select(&Patterns::parse(ALL, None), Some(&limit));
    if selected.hosts.is_empty() {
        page.error("Specified hosts and/or --limit does not match any hosts");
        return Err(code::ERROR);
    }
    Ok(())
}

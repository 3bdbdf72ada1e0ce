//! `provision inventory`: hosts, groups and variables, and where each comes from.

mod export;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use diagnostics::{Diagnostic, Style, render_all};
use provision_engine::discovery::{Discovery, Purpose};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadRequest, Loaded, load};
use provision_engine::world::Settings;
use provision_playbook::Dialect;
use provision_playbook::inventory::{ALL, Patterns};

use crate::apply;
use crate::arguments::ShowInventory;
use crate::exit::Exit;
use crate::paint;
use crate::passwords;

/// Shows an inventory, or writes it.
pub fn inventory(arguments: &ShowInventory) -> Exit {
    paint::choose(arguments.color);
    if arguments.inventory.is_empty() {
        return apply::no_inventory();
    }
    if let Some(source) = apply::missing_inventory(&arguments.inventory) {
        paint::error(&format!("inventory {source} does not exist"), Some(apply::LIST_HINT));
        return Exit::InvalidInput;
    }
    let keyring = match passwords::vault(&arguments.passwords) {
        Ok(vault) => Arc::new(Keyring::new(vault)),
        Err(failure) => return failure.show(),
    };
    let request = LoadRequest {
        keyring: Arc::clone(&keyring),
        discovery: Arc::new(Discovery::new(Purpose::Look, &apply::snapshot_folder())),
        inventories: arguments.inventory.clone(),
        extra_variables: arguments.extra_vars.clone(),
        settings: Settings { limit: arguments.limit.clone(), ..Settings::default() },
        ..LoadRequest::new(Dialect::Classic)
    };
    let loaded = match load(&request) {
        Ok(loaded) => loaded,
        Err(failure) => return apply::refuse(&failure),
    };
    show_warnings(&loaded, &loaded.warnings);
    let chosen = match chosen(&loaded) {
        Ok(chosen) => chosen,
        Err(exit) => return exit,
    };
    let known = keyring.known();
    let shown = view::Shown { loaded: &loaded, chosen: &chosen, secrets: &known };
    if arguments.list {
        shown.list();
        Exit::Done
    } else if arguments.graph {
        shown.graph();
        Exit::Done
    } else if let Some(host) = &arguments.vars {
        shown.variables(host)
    } else if let Some(path) = &arguments.export {
        export::export(loaded, &chosen, path, arguments.grey.as_deref())
    } else {
        // The parser of arguments wants one of the four.
        Exit::Usage
    }
}

fn show_warnings(loaded: &Loaded, warnings: &[Diagnostic]) {
    use std::io::IsTerminal;
    let style = if std::io::stderr().is_terminal() { Style::Coloured } else { Style::Plain };
    if !warnings.is_empty() {
        tell!("{}\n", render_all(warnings, loaded.loader.sources(), style));
    }
}

/// The hosts of `--limit`; all without one.
fn chosen(loaded: &Loaded) -> Result<BTreeSet<Arc<str>>, Exit> {
    let Some(limit) = &loaded.world.settings.limit else {
        return Ok(loaded.inventory.hosts().map(|host| Arc::clone(&host.name)).collect());
    };
    let limit = Patterns::limit(limit, loaded.world.files.as_ref()).map_err(|error| {
        paint::error(&format!("failed to {error}"), None);
        Exit::InvalidInput
    })?;
    let all = Patterns::parse(ALL, None);
    let selection = loaded.inventory.select(&all, Some(&limit));
    show_warnings(loaded, &selection.diagnostics);
    if selection.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Exit::InvalidInput);
    }
    if selection.hosts.is_empty() {
        paint::error("no host of the inventory matches --limit", None);
        return Err(Exit::InvalidInput);
    }
    Ok(selection.hosts.into_iter().collect())
}

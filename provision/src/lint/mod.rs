//! `provision lint`: everything that can be known to be wrong before a host is touched, and where the
//! dialects differ. `apply` makes the same checks before it runs; nothing here knows more than it.

pub mod arguments;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Sources};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadRequest, load};
use provision_engine::world::Settings;
use provision_playbook::Dialect;
use provision_playbook::own::OwnPaths;

use crate::ansible::config::{Configuration, Environment};
use crate::apply;
use crate::exit::Exit;
use crate::paint;
use crate::passwords;
use arguments::{Format, Lint};

/// What was found.
struct Findings {
    diagnostics: Vec<Diagnostic>,
    sources: Sources,
    hosts: usize,
    tasks: usize,
}

/// Checks playbooks, roles and inventories.
pub fn lint(mut arguments: Lint) -> Exit {
    paint::choose(arguments.color);
    let configuration = Configuration::read(&Environment::of_process());
    if let Err(exit) = apply::configured(&configuration) {
        return exit;
    }
    configuration.complete_passwords(&mut arguments.passwords);
    if arguments.inventory.is_empty() {
        arguments.inventory.clone_from(&configuration.settings.inventory);
    }
    if arguments.paths.is_empty() && Path::new(apply::DEFAULT_PLAYBOOK).exists() {
        arguments.paths.push(PathBuf::from(apply::DEFAULT_PLAYBOOK));
    }
    if arguments.paths.is_empty() && arguments.inventory.is_empty() {
        let hint = "name playbooks or folders of roles, or an inventory with -i";
        paint::error("there is nothing to check", Some(hint));
        return Exit::Usage;
    }
    if let Some(source) = apply::missing_inventory(&arguments.inventory) {
        paint::error(&format!("inventory {source} does not exist"), Some(apply::LIST_HINT));
        return Exit::InvalidInput;
    }
    if let Some(path) = arguments.paths.iter().find(|path| !path.exists()) {
        paint::error(&format!("{} does not exist", path.display()), None);
        return Exit::InvalidInput;
    }
    let keyring = match passwords::vault(&arguments.passwords) {
        Ok(vault) => Arc::new(Keyring::new(vault)),
        Err(failure) => return failure.show(),
    };
    let findings = find(&arguments, &configuration, keyring);
    match arguments.format {
        Format::Text => report::text(&findings),
        Format::Json => report::json(&findings),
    }
    match findings.diagnostics.iter().any(Diagnostic::is_error) {
        true => Exit::InvalidInput,
        false => Exit::Done,
    }
}

fn find(arguments: &Lint, configuration: &Configuration, keyring: Arc<Keyring>) -> Findings {
    let mut texts = BTreeMap::new();
    let mut roles_path: Vec<PathBuf> = arguments.roles_path.clone();
    let mut playbooks = Vec::new();
    for path in &arguments.paths {
        if !path.is_dir() {
            playbooks.push(path.clone());
            continue;
        }
        // A play in memory that has the role; its name is the folder's.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned());
        let parent = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let play = parent.join(format!(".provision-lint-{}.yml", texts.len()));
        let name = serde_json::Value::from(name.unwrap_or_default());
        texts.insert(play.clone(), format!("- hosts: all\n  roles: [{name}]\n"));
        roles_path.push(parent);
        playbooks.push(play);
    }
    roles_path.extend(configuration.roles_path());
    let folder = playbooks.first().and_then(|path| path.parent()).unwrap_or(Path::new("."));
    let request = LoadRequest {
        settings: Settings {
            playbook_folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            inventory_sources: arguments.inventory.iter().map(PathBuf::from).collect(),
            own: OwnPaths {
                collections: configuration.collections_path(),
                ..configuration.settings.own.clone()
            },
            ..Settings::default()
        },
        playbooks,
        inventories: arguments.inventory.clone(),
        extra_variables: arguments.extra_vars.clone(),
        roles_path,
        collections_path: configuration.collections_path(),
        keyring,
        // Variables of a role on its own come from whoever uses it.
        unknown_variables_are_right: arguments.inventory.is_empty() || !texts.is_empty(),
        lists_differences: !arguments.no_dialects,
        texts,
        ..LoadRequest::new(Dialect::Classic)
    };
    let (diagnostics, sources, hosts, tasks) = match load(&request) {
        Ok(loaded) => {
            let hosts = loaded.world.host_names().len();
            let tasks = loaded.tasks;
            (loaded.warnings, loaded.loader.sources().clone(), hosts, tasks)
        }
        Err(failure) => (failure.diagnostics, failure.sources, failure.hosts, failure.tasks),
    };
    let mut diagnostics: Vec<Diagnostic> = diagnostics
        .into_iter()
        .filter(|one| one.is_error() || !arguments.skip.iter().any(|code| code == one.code))
        .collect();
    diagnostics.sort_by_key(|one| {
        let place = one.primary.as_ref().map(|label| sources.place(label.span));
        place.map(|place| (place.file, place.line, place.column))
    });
    Findings { diagnostics, sources, hosts, tasks }
}

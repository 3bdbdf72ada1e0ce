//! Programs that act as Ansible's do: arguments, output format and exit codes, so that scripts
//! keep working. What happens on hosts is what `provision` does.

mod adhoc;
pub mod arguments;
mod code;
pub mod config;
mod diff;
mod inventory;
mod json;
mod listing;
mod page;
mod playbook;
mod printer;
mod show;
mod sources;
mod wording;

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use arguments::{AdhocArguments, AdhocProgram, PlaybookArguments, PlaybookProgram};
pub use code::Code;
use config::{Configuration, Environment};
use page::Page;
use playbook::Outlet;

/// The version of ansible-core whose behaviour this is.
const ACTS_LIKE: &str = "2.18.19";

/// One of Ansible's programs, with its arguments.
pub enum Called {
    /// `ansible-playbook`.
    Playbook(Box<PlaybookArguments>),
    /// `ansible`.
    Adhoc(Box<AdhocArguments>),
    /// `ansible-inventory`.
    Inventory(Box<inventory::InventoryArguments>),
    /// `ansible-config`.
    Config(Box<show::ConfigArguments>),
}

/// Which of Ansible's programs is called; `None`: none of them.
///
/// # Errors
/// The exit code, when all is said already.
pub fn called(arguments: &[OsString]) -> Result<Option<Called>, Code> {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    let parsed = match name.and_then(|name| name.to_str()) {
        Some("ansible-playbook") => PlaybookProgram::try_parse_from(arguments)
            .map(|program| Called::Playbook(Box::new(program.arguments))),
        Some("ansible") => AdhocProgram::try_parse_from(arguments)
            .map(|program| Called::Adhoc(Box::new(program.arguments))),
        Some("ansible-inventory") => inventory::InventoryArguments::try_parse_from(arguments)
            .map(|arguments| Called::Inventory(Box::new(arguments))),
        Some("ansible-config") => show::ConfigArguments::try_parse_from(arguments)
            .map(|arguments| Called::Config(Box::new(arguments))),
        _ => return Ok(None),
    };
    parsed.map(Some).map_err(|error| {
        let asked = !error.use_stderr();
        let _ = error.print();
        if asked { code::DONE } else { code::FAILED }
    })
}

/// Shows an inventory.
pub fn ansible_inventory(arguments: &inventory::InventoryArguments) -> Code {
    let configuration = Configuration::read(&Environment::of_process());
    let page = Page::standard(wanted_colours(&configuration));
    inventory::inventory(arguments, &configuration, page)
}

/// Shows what is configured.
pub fn ansible_config(arguments: &show::ConfigArguments) -> Code {
    let configuration = Configuration::read(&Environment::of_process());
    if arguments.version {
        return version("ansible-config", &configuration);
    }
    show::config(arguments, Page::standard(wanted_colours(&configuration)))
}

/// Runs one module.
pub async fn ansible(arguments: &AdhocArguments) -> Code {
    let configuration = Configuration::read(&Environment::of_process());
    if arguments.version {
        return version("ansible", &configuration);
    }
    let page = Page::standard(wanted_colours(&configuration));
    adhoc::adhoc(arguments, &configuration, Outlet { page, keeps_journal: true, dial: None }).await
}

fn version(program: &str, configuration: &Configuration) -> Code {
    let file = configuration.file.as_ref();
    let file = file.map_or("None".to_owned(), |file| file.display().to_string());
    say!("{program} [core {ACTS_LIKE}]\n  config file = {file}");
    say!("  acted by provision {}", env!("CARGO_PKG_VERSION"));
    code::DONE
}

/// Runs playbooks.
pub async fn ansible_playbook(arguments: &PlaybookArguments) -> Code {
    let configuration = Configuration::read(&Environment::of_process());
    if arguments.version {
        return version("ansible-playbook", &configuration);
    }
    let page = Page::standard(wanted_colours(&configuration));
    let outlet = Outlet { page, keeps_journal: true, dial: None };
    playbook::playbook(arguments, &configuration, outlet).await
}

/// What is said of colours. As in Ansible, who forbids them is heard before who forces them.
fn wanted_colours(configuration: &Configuration) -> Option<bool> {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    if configuration.settings.no_colour || forbidden {
        return Some(false);
    }
    configuration.settings.force_colour.then_some(true)
}

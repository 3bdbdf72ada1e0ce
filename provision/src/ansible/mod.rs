//! Programs that act as Ansible's do: arguments, output format and exit codes, so that scripts
//! keep working. What happens on hosts is what `provision` does.

pub mod arguments;
mod code;
pub mod config;
mod diff;
mod json;
mod listing;
mod page;
mod playbook;
mod printer;

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use arguments::{PlaybookArguments, PlaybookProgram};
pub use code::Code;
use config::{Configuration, Environment};
use page::Page;
use playbook::Outlet;

/// The version of ansible-core whose behaviour this is.
const ACTS_LIKE: &str = "2.18.19";

/// Whether the program was called by the name of one of Ansible's.
pub fn is_called(arguments: &[OsString]) -> bool {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| name == "ansible-playbook")
}

/// The command line of the program under Ansible's name.
///
/// # Errors
/// The exit code, when all is said already.
pub fn parse(arguments: &[OsString]) -> Result<PlaybookArguments, Code> {
    match PlaybookProgram::try_parse_from(arguments) {
        Ok(program) => Ok(program.arguments),
        Err(error) => {
            let asked = !error.use_stderr();
            let _ = error.print();
            Err(if asked { code::DONE } else { code::FAILED })
        }
    }
}

/// Runs playbooks.
pub async fn ansible_playbook(arguments: &PlaybookArguments) -> Code {
    let configuration = Configuration::read(&Environment::of_process());
    if arguments.version {
        let file = configuration.file.map_or("None".to_owned(), |file| file.display().to_string());
        say!("ansible-playbook [core {ACTS_LIKE}]\n  config file = {file}");
        say!("  acted by provision {}", env!("CARGO_PKG_VERSION"));
        return code::DONE;
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

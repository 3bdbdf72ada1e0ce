//! The modules that run on the host, by name.

pub mod files;
pub mod system;

use crate::module::ModuleFunction;

/// The module of this canonical name.
#[must_use]
pub fn find(name: &str) -> Option<ModuleFunction> {
    if name == provision_protocol::modules::OWN.name {
        return Some(system::own);
    }
    if name == provision_protocol::modules::GATHER.name {
        return Some(system::gather);
    }
    files::table()
        .iter()
        .chain(system::table())
        .find(|(known, _)| *known == name)
        .map(|(_, function)| *function)
}

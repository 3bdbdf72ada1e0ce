//! Modules that manage the system: processes, users, packages, services, network.

pub(crate) mod clock;
mod accounts;
mod command;
mod facts;
mod group;
pub(crate) mod output;
mod private;
pub(crate) mod process;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod wildcard;
pub(crate) mod words;
mod user;

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[
        ("command", command::command),
        ("group", group::group),
        ("ping", command::ping),
        ("raw", command::raw),
        ("script", command::script),
        ("setup", facts::setup),
        ("shell", command::shell),
        ("user", user::user),
    ]
}

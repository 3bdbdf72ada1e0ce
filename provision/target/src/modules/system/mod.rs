//! Modules that manage the system: processes, users, packages, services, network.

mod accounts;
pub(crate) mod clock;
mod command;
mod facts;
mod group;
mod http;
pub(crate) mod output;
mod packages;
mod private;
pub(crate) mod process;
mod services;
#[cfg(test)]
pub(crate) mod testing;
mod user;
mod wait;
mod wait_for;
pub(crate) mod wildcard;
pub(crate) mod words;

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[
        ("apt", packages::apt),
        ("command", command::command),
        ("get_url", http::get_url),
        ("group", group::group),
        ("package", packages::package),
        ("package_facts", packages::package_facts),
        ("ping", command::ping),
        ("raw", command::raw),
        ("script", command::script),
        ("service", services::service),
        ("service_facts", services::service_facts),
        ("setup", facts::setup),
        ("shell", command::shell),
        ("systemd", services::systemd),
        ("uri", http::uri),
        ("user", user::user),
        ("wait_for", wait_for::wait_for),
    ]
}

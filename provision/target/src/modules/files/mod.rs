//! Modules that manage files.

mod async_status;
mod copy;
mod file;
mod links;
mod stat;

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[
        ("async_status", async_status::run),
        ("copy", copy::run),
        ("file", file::run),
        ("stat", stat::run),
        ("template", copy::run),
    ]
}

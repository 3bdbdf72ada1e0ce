//! Modules that manage files.

mod copy;
mod file;
mod links;
mod stat;

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[("copy", copy::run), ("file", file::run), ("stat", stat::run), ("template", copy::run)]
}

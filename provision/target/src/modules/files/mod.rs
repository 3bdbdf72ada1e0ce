//! Modules that manage files.

mod copy;
mod links;

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[("copy", copy::run), ("template", copy::run)]
}

//! Modules that manage files.

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[]
}

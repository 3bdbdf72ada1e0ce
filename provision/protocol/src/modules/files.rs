//! Modules: files.

use super::ModuleSpec;

pub(super) const MODULES: &[ModuleSpec] = &[];

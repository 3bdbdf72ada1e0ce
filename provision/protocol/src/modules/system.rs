//! Modules: system.

use super::ModuleSpec;

pub(super) const MODULES: &[ModuleSpec] = &[];

//! `[pure]` Inventories and playbooks: text to typed plays with spans.

mod arguments;
mod canonical;
pub mod files;
mod keywords;
mod loader;
pub mod model;
mod names;
mod paths;
mod templating;
mod unsupported;

pub use loader::{IncludedRole, LoadOptions, Loader, RoleFiles};
pub use templating::Dialect;

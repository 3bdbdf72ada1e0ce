//! `[pure]` Inventories and playbooks: text to typed plays with spans.

mod arguments;
pub mod begin;
mod canonical;
mod check;
pub mod customs;
mod dialects;
pub mod expressions;
pub mod files;
pub mod inventory;
mod keywords;
pub mod list;
mod loader;
pub mod model;
mod names;
pub mod own;
mod paths;
pub mod reach;
pub mod requirements;
mod select;
mod templating;
mod unsupported;
mod vault;

pub use check::KnownNames;
pub use customs::{Customs, DuplicateKeys};
pub use loader::{IncludeManner, IncludedRole, LoadOptions, Loader, RoleFiles, load_from_map};
pub use select::selected;
pub use templating::{Dialect, Reach, TextKind};
pub use vault::SECRET_FILE_BYTES;

//! Static checks of what has been loaded: everything that can be known to be wrong before any
//! host is reached.

pub(crate) mod files;
mod notify;
mod parameters;
pub(crate) mod survey;
mod templates;
mod undefined;

pub(crate) use survey::{Survey, softened};
pub use undefined::KnownNames;

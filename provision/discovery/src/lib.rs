//! `[pure]` What Consul says of nodes and services, turned into hosts, groups and variables.
//!
//! A mapping file ([`Mapping`]) says how. Whatever a node can write itself (its name, its meta, its
//! services) is data: it becomes a variable only under a name that the mapping chose, a group only
//! where a `require` lets it in, and never a template. Nothing here asks Consul:
//! [`Mapping::wanted`] says what is needed, [`resolve`] works on the answers.

mod catalog;
mod conditions;
mod facts;
mod kv;
mod mapping;
mod names;
mod registered;
mod resolve;
mod terms;

pub use catalog::{Answered, Catalog, Question, Services, Wanted};
pub use conditions::Conditions;
pub use facts::is_listing;
pub use mapping::{Connection, Keyed, Kv, Mapping, TlsFiles, default_mapping, read_mapping};
pub use names::{OF_ENGINE, OF_TEMPLATES};
pub use registered::{Registered, Registry};
pub use resolve::{Discovered, FoundGroup, FoundHost, Variables, resolve};
pub use terms::{Field, Key, Term};

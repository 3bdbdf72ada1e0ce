//! `[pure]` The v1 API of Apache Mesos as data: what schedulers, masters and operators say to each
//! other, in protobuf and in Mesos' own JSON.
//!
//! Messages are declared once, as tables that look like Mesos' own declarations (`message!` in
//! `macros.rs`); both encodings come from them. Nothing here opens a socket or decides anything.
//! Messages and fields bear the names that Mesos gives them; enumerations are stored as numbers, as
//! on the wire, and read through getters of the same name.

#![forbid(unsafe_code)]

#[macro_use]
mod macros;

pub mod encoding;
pub mod json;
pub mod leader;
pub mod location;
pub mod name;
pub mod operator;
pub mod quantity;
pub mod recordio;
pub mod scheduler;
pub mod schema;
mod types;

pub use encoding::{Data, DecodeError, Encoding};
pub use location::Location;
pub use quantity::Milli;
pub use types::*;

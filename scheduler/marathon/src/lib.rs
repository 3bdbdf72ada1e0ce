//! `[pure]` Marathon's apps, tasks, deployments and events, as its clients read and write them, from
//! and to those of the core.
//!
//! Field names and shapes are those of Marathon 1.6. What an app of Marathon may ask for and the core
//! doesn't have is an error with its path, never left out: [`read()`] says which. What means nothing to
//! the core but something to clients (labels, names of ports) is kept in a variable ([`EXTRAS`]).

#![forbid(unsafe_code)]

mod constraints;
pub mod events;
mod extras;
mod health;
mod ports;
pub mod read;
pub mod show;
mod unsupported;

pub use extras::EXTRAS;
pub use read::{Base, Given, Wrong, name, read};

/// What stands for values of variables when they are shown to who may not see them.
pub const WITHHELD: &str = "(withheld)";

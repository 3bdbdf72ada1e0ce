//! `[io]` The helper that runs on the host.
//!
//! It knows modules, files and processes; nothing of plays, variables or templates.

pub mod disk;
pub mod identity;
pub mod module;
pub mod modules;
pub mod names;
pub mod python;
pub mod serve;

//! `[pure]` Inventories and playbooks: text to typed plays with spans.

pub mod files;
pub mod model;

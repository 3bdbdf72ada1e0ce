//! `[pure]` The one YAML reader: events to a tree with spans, under one of two schemas.

mod node;

pub use node::{Mapping, Node, NodeValue};

//! `[pure]` The one YAML reader: events to a tree with spans, under one of two schemas.
//!
//! Text goes through libyaml's scanner, because what PyYAML accepts is what users have; the
//! tree, the meaning of scalars and the errors are ours. Nothing here reads files.

use diagnostics::{Diagnostic, SourceId};

mod events;
mod json;
pub mod limits;
mod mapping;
mod node;
mod number;
mod schema;
mod spanned;
mod syntax;
mod tags;
mod tree;
mod typed;

pub use json::{key_text, to_json};
pub use node::{Mapping, Node, NodeValue};
pub use schema::{Schema, resolve};
pub use spanned::Spanned;
pub use typed::from_node;

/// What a text holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The documents, up to the first syntax error. With an error among the diagnostics they
    /// are good for further checks only.
    pub documents: Vec<Node>,
    /// Everything that is wrong, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Read {
    /// Whether the text can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads all documents of a text.
#[must_use]
pub fn read(text: &str, source: SourceId, schema: Schema) -> Read {
    if let Some(diagnostic) = events::check_text(text, source) {
        return Read { documents: Vec::new(), diagnostics: vec![diagnostic] };
    }
    let events = events::Events::new(text, source);
    let (documents, diagnostics) = tree::Builder::new(events, schema).documents();
    Read { documents, diagnostics }
}

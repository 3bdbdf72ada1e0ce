//! `[pure]` libyaml's scanner and parser, as ported to safe Rust by libyaml-safer 0.3.0 (MIT, Simon Ask
//! Ulsnes, after unsafe-libyaml by David Tolnay and libyaml by Kirill Simonov; see LICENSE-MIT).
//!
//! A copy, because upstream panics on texts that users write: `[!tag, x]`, and a text that ends
//! behind a backslash in double quotes. Changes are marked `CORRAL`; besides, it reads only
//! whole texts of valid UTF-8, and the emitter and the composer are left out. It is third-party
//! code and keeps its style, so that it can be compared with upstream.
#![forbid(unsafe_code)]
#![allow(clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, dead_code, unused_macros)]

extern crate alloc;

#[macro_use]
mod macros;

mod error;
mod event;
mod parser;
mod scanner;
mod token;

pub use crate::error::*;
pub use crate::event::*;
pub use crate::parser::*;
pub(crate) use crate::token::*;

/// The version directive data.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct VersionDirective {
    /// The major version number.
    pub major: i32,
    /// The minor version number.
    pub minor: i32,
}

/// The tag directive data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TagDirective {
    /// The tag handle.
    pub handle: String,
    /// The tag prefix.
    pub prefix: String,
}

/// Scalar styles.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ScalarStyle {
    /// Let the emitter choose the style.
    #[default]
    Any = 0,
    /// The plain scalar style.
    Plain = 1,
    /// The single-quoted scalar style.
    SingleQuoted = 2,
    /// The double-quoted scalar style.
    DoubleQuoted = 3,
    /// The literal scalar style.
    Literal = 4,
    /// The folded scalar style.
    Folded = 5,
}

/// Sequence styles.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum SequenceStyle {
    /// Let the emitter choose the style.
    Any = 0,
    /// The block sequence style.
    Block = 1,
    /// The flow sequence style.
    Flow = 2,
}

/// Mapping styles.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum MappingStyle {
    /// Let the emitter choose the style.
    Any = 0,
    /// The block mapping style.
    Block = 1,
    /// The flow mapping style.
    Flow = 2,
}

//! `[pure]` What controller and helper say to each other, and the table of modules.
//!
//! One channel carries [`frame`]s both ways. A frame is a control [`message`] in JSON or a piece
//! of file content. The helper runs calls strictly in the order they came and stops at the first
//! failure, so that sending ahead can never do more than one task at a time would have done.
//!
//! The [`modules`] table is the single source of what modules exist and which parameters they
//! take: the static check, the engine, the helper and `provision doc` all read it.

pub mod bootstrap;
pub mod frame;
pub mod message;
pub mod modules;

pub use frame::{Frame, FrameError, FrameReader, write_frame};
pub use message::{
    Async, Become, Call, CallResult, ContentReference, Diff, FromHost, HostHello, REMEMBER, ToHost,
    TreeEntry,
};

/// Version of the protocol. Both ends refuse another one; since the controller carries the
/// helper it uploads, they differ only when something is broken.
pub const PROTOCOL_VERSION: u32 = 1;

/// JSON object, in the order it was made.
pub type Object = serde_json::Map<String, serde_json::Value>;

//! The helper at work: it speaks frames with the controller, runs calls strictly in their order,
//! and remembers on the host what must not be lost.
//!
//! [`session`] talks to the controller, [`child`] to a helper of another user (through
//! [`descend`]); both feed an [`inbox`] and run calls with [`execute`]. Nothing here knows what a
//! module does.

pub mod channel;
pub mod child;
pub mod descend;
pub mod descendants;
pub mod detach;
pub mod execute;
pub mod inbox;
pub mod journal;
pub mod link;
pub mod lock;
pub mod order;
pub mod result;
pub mod session;
pub mod state;
pub mod store;

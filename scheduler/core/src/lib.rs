//! `[pure]` The control plane: apps, instances, machines, deployments, scaling and repair as a
//! reducer. [`apply`] takes an event and the time, changes the [`State`], and says what is to be
//! done.
//!
//! It decides *that* and *when*; the rules (how many, which) are those of the crate `policy`. It has
//! no clock, no random numbers, no threads and no I/O; the same events at the same times lead to the
//! same commands. What has to hold:
//!
//! - A launch leaves only after its instance is durable, once in the life of an instance, and a
//!   number is never used again: so no crash starts anything twice, and none loses anything.
//! - There are never more instances than wanted plus surge, apart from those that come back from
//!   machines that had been silent for so long that they were replaced.
//! - No decision lowers the serving capacity of an app below what its load needs.
//! - Everything is derived from the records at each look: what is wanted and what is there. There
//!   are no plans that could get stuck, no locks, and a newer deployment takes the place of an older.
//! - What is asked for and not confirmed is asked for again; facts may come late, twice, in any
//!   order, or never.

#![forbid(unsafe_code)]

pub mod app;
mod calls;
pub mod command;
pub mod decision;
pub mod event;
pub mod explain;
mod facts;
pub mod ids;
pub mod instance;
pub mod machine;
mod place;
mod plan;
pub mod planning;
pub mod ports;
pub mod rebalance;
pub mod state;
mod timers;
mod turn;
pub mod volume;

pub use command::Command;
pub use event::Event;
pub use state::State;
pub use timers::observation;
pub use turn::{apply, apply_all};

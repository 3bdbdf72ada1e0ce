//! All of these tests in one program: each of them as its own would compile the core once more, optimised.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test that finds something else than it expects has failed"
)]

mod planning;
mod rebalance;
mod replay;
mod room;
mod schedules;
mod transitions;
mod unheard;
mod volumes;
mod world;

//! All of these tests in one program: each of them as its own would compile the core once more, optimised.

mod planning;
mod rebalance;
mod replay;
mod room;
mod schedules;
mod transitions;
mod unheard;
mod volumes;
mod world;

//! What schedulers and the master say to each other (package `mesos.v1.scheduler`).

mod call;
mod constraint;
mod event;
mod make;

pub use call::*;
pub use constraint::*;
pub use event::*;

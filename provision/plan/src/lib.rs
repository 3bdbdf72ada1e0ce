//! `[pure]` What may be sent to which host now: dependencies, scopes and fences.

mod dispatcher;
mod host;
mod position;
mod step;
mod verdict;

pub use dispatcher::Dispatcher;
pub use position::{HostIndex, Position};
pub use step::{Flow, Order, Scope, Step, Turn};
pub use verdict::{Misuse, Reason, Verdict};

//! What schedulers, masters and agents speak about: the part of `mesos.proto` (package `mesos.v1`)
//! that is used here. Numbers and orders of fields are Mesos' own.

mod agent;
mod container;
mod framework;
mod id;
mod offer;
mod resource;
mod task;

pub use agent::*;
pub use container::*;
pub use framework::*;
pub use id::*;
pub use offer::*;
pub use resource::*;
pub use task::*;

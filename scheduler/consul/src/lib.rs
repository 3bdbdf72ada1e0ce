//! `[pure]` Instances as services of Consul: what each agent should have, and which calls make it so.
//!
//! - [`service`]: an instance as a service. Its name is that of its app, its id that of the instance.
//! - [`plan`]: what an agent should have and what it has → calls. It looks at the difference only, so
//!   it doesn't matter how it came about: a new instance, another weight, an agent that has lost all.
//! - [`Registry`]: what should be where, which agent is to be looked at next, what the core waits for,
//!   and what isn't registered and why.
//! - [`Strays`]: what is registered at agents that nobody looks at any more.
//!
//! What has to hold: services that don't say that they are this scheduler's are never touched; an agent
//! that doesn't answer holds up nobody but itself; and what the core waits for comes to an end.

#![forbid(unsafe_code)]

mod plan;
mod registry;
pub mod service;
mod strays;

pub use plan::{Call, LEAK_AFTER, Should, plan};
pub use strays::{Stray, Strays};

pub use registry::{
    AUDIT_EVERY, Agents, Counters, Fault, GIVE_UP_AFTER, Missing, Registry, Step, Told, host,
};

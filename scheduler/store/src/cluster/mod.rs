//! Records in Consul's keys, for several schedulers of which one leads.

mod layout;
mod lease;
mod office;
mod pack;
mod records;

pub use layout::{Keys, PrefixError};
pub use lease::{Lease, Lengths, now_ms};
pub use office::{Candidate, FrameworkKey, LeaderSeen, Office, OfficeError, Step, Terms};
pub use records::{ConsulStore, Limits, Source};

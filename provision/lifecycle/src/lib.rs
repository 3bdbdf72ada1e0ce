//! `[pure]` Releases of components: what a cluster shows + what is wanted → what may be done now.
//!
//! [`next_step`] is asked anew before every step. It never takes a member away when those that
//! would remain are no quorum, takes those that aren't ready first and the leader last, and says
//! why it waits or stops. It knows nothing of how a step is carried out: that is the role of the
//! component, run by the engine. It is told the time and keeps none.
//!
//! # What holds
//!
//! - *Quorum.* A voter is taken only if the other voters that serve, and have served for the
//!   settling time, are a quorum; or if it is dead anyway. A member that this run has restarted
//!   counts only after it has served for the settling time since that step ended, so a probe that
//!   is late by less than that can't make us count it twice.
//! - *Members.* A host gets or loses its vote only while those that serve are a quorum of the
//!   members before and after that, one at a time, and the next only when all that serve know it.
//! - *Leader.* The leader is taken when every other member of the goal is finished.
//! - *End.* Each member is taken a bounded number of times and each wait has a deadline, so a run
//!   ends: done, or with a reason.
//! - *Failure.* A step that failed is reverted, if the component may go back, and the run stops.
//!
//! `tests/simulation.rs` runs random fault schedules against it, `tests/agreement.rs` compares it
//! with a checker that is written another way, on all states of small clusters.

mod agent;
mod decide;
mod definition;
mod estimate;
mod forecast;
mod journal;
mod membership;
mod order;
mod plan;
mod progress;
mod reason;
mod roster;
mod state;
mod transition;
mod version;

pub use agent::{Change, Description, classify};
pub use decide::{Decision, Step, next_step};
pub use definition::{
    DEFINITION_VERSION, Definition, Exchange, Format, Health, Http, Kind, NAME_PLACEHOLDER, Probe,
    Quorum, QuorumRule, Release, Text, read_definition,
};
pub use estimate::{Durations, Estimate};
pub use forecast::forecast;
pub use journal::{Given, Happening, JournalError, Note, Past, Record, Request, Shown, Written};
pub use order::{CircleError, Mismatch, Neighbour, Order, mismatch, ordered};
pub use plan::{MadeFrom, PLAN_FORMAT, PlanError, ReleasePlan, digest_of};
pub use progress::{Failed, Outcome, Progress, Touch};
pub use reason::{Because, Reason, Revert, Stop};
pub use roster::{Joins, Leaves, MemberRules, Members};
pub use state::{
    Clients, Duty, Files, Goal, Hold, Member, Objection, Observed, Options, Process, Purpose,
    Reach, Role, Rules,
};
pub use transition::{Containers, Pattern, Transition, Verdict, judge};
pub use version::{BadVersion, Version};

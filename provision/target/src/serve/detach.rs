//! Calls that run detached and outlive the connection (`async`).

use provision_protocol::{Async, Call, CallResult};

use super::execute::Upstream;
use super::inbox::Inbox;
use super::result::failure_result;
use crate::module::Failure;

/// Starts a job and answers at once.
pub fn start(call: &Call, _job: &Async, _inbox: &Inbox, _upstream: &dyn Upstream) -> CallResult {
    failure_result(call, Failure::new("detached calls are not there yet"))
}

//! `[io]` The gate of speed: instructions of the simulator's engines for small fixed loads.

use super::{Context, Found};
use crate::error::Error;
use crate::kernels;

/// Each load counts as a test.
pub(super) fn run(_context: &Context) -> Result<Found, Error> {
    let verdict = kernels::check()?;
    let details = if verdict.failed == 0 {
        String::new()
    } else {
        format!("{}{}\n", verdict.table, verdict.note)
    };
    Ok(Found { passed: verdict.passed, failed: verdict.failed, note: verdict.note, details })
}

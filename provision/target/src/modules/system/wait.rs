//! Waiting that a cancellation ends.

use std::thread;
use std::time::{Duration, Instant};

use crate::module::{Context, Failure};

/// How often a request to stop is looked at, in milliseconds.
const STOP_CHECK_MS: u64 = 50;

/// Waits.
///
/// # Errors
/// When the call is asked to stop meanwhile.
pub fn pause(duration: Duration, context: &Context<'_>) -> Result<(), Failure> {
    let deadline = Instant::now() + duration;
    loop {
        if (context.stopped)() {
            return Err(Failure::new("stopped while waiting"));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(STOP_CHECK_MS)));
    }
}

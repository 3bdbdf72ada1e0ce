//! A time limit that stands still while a person is asked.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an agent may take for a signature (it may ask its user) without the clock running.
const AGENT_PAUSE_LIMIT: Duration = Duration::from_secs(60);

/// Limit of one connection attempt, and what it is doing: for the message.
#[derive(Debug)]
pub(crate) struct Deadline {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    until: Instant,
    pauses: usize,
    paused_since: Instant,
    /// However long the pause, the clock runs again from then on.
    pause_limit: Option<Duration>,
    stage: &'static str,
}

/// While it lives the deadline stands still.
pub(crate) struct Pause<'a>(&'a Deadline);

impl Deadline {
    pub(crate) fn new(limit: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            until: now + limit,
            pauses: 0,
            paused_since: now,
            pause_limit: None,
            stage: "",
        };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_stage(&self, stage: &'static str) {
        self.lock().stage = stage;
    }

    pub(crate) fn stage(&self) -> &'static str {
        self.lock().stage
    }

    /// Time left, for parts of the work that divide it.
    pub(crate) fn left(&self) -> Duration {
        self.lock().until.saturating_duration_since(Instant::now())
    }

    /// Stops the clock until the guard is dropped: a person is typing.
    pub(crate) fn pause(&self) -> Pause<'_> {
        self.pause_with(None)
    }

    /// Stops the clock, but not for ever: an agent may be asking a person.
    pub(crate) fn pause_limited(&self) -> Pause<'_> {
        self.pause_with(Some(AGENT_PAUSE_LIMIT))
    }

    fn pause_with(&self, limit: Option<Duration>) -> Pause<'_> {
        let mut state = self.lock();
        if state.pauses == 0 {
            state.paused_since = Instant::now();
            state.pause_limit = limit;
        }
        state.pauses += 1;
        Pause(self)
    }

    /// Runs the work; `None` when the time is over.
    pub(crate) async fn limit<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            let until = self.wake_at();
            tokio::select! {
                result = &mut work => return Some(result),
                () = tokio::time::sleep_until(until) => {
                    if self.is_over() {
                        return None;
                    }
                }
            }
        }
    }

    /// When to look again: at the deadline, or soon while the clock stands.
    fn wake_at(&self) -> Instant {
        /// How late a deadline may be noticed after a pause.
        const LOOK_AGAIN: Duration = Duration::from_millis(200);
        let state = self.lock();
        if state.pauses > 0 { Instant::now() + LOOK_AGAIN } else { state.until }
    }

    fn is_over(&self) -> bool {
        let state = self.lock();
        let now = Instant::now();
        if state.pauses == 0 {
            return now >= state.until;
        }
        state.pause_limit.is_some_and(|limit| now >= state.paused_since + limit)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.pauses = state.pauses.saturating_sub(1);
        if state.pauses == 0 {
            let paused = state.paused_since.elapsed();
            state.until += paused;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn time_spent_in_pauses_does_not_count() {
        let deadline = Deadline::new(Duration::from_secs(1));
        let work = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let pause = deadline.pause();
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(pause);
            tokio::time::sleep(Duration::from_millis(400)).await;
        };
        assert!(deadline.limit(work).await.is_some());
        assert!(deadline.limit(tokio::time::sleep(Duration::from_secs(5))).await.is_none());
    }
}

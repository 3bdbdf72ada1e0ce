//! Warnings that come up while something is evaluated: told by the run as soon as it reports, each once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Those of a run.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// An evaluation may be repeated, and there are many hosts.
    known: HashSet<String>,
    waiting: Vec<String>,
}

impl Warnings {
    /// Remembers one, to be told.
    pub fn note(&self, message: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.insert(message.to_owned()) {
            state.waiting.push(message.to_owned());
        }
    }

    /// Those that are still to be told.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }
}

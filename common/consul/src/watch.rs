//! Blocking queries: which index to ask for next, and how long to wait.
//!
//! The rules are those of Consul's manual ("Blocking Queries"): an index below 1 would make the
//! server answer at once and the client spin; one that went backwards (a restored snapshot) begins
//! anew; the server adds up to a sixteenth of the wait, so that clients don't come all at once.

/// Longest wait that Consul grants, in milliseconds.
const MAX_WAIT_MS: u64 = 600_000;

/// What a client waits beyond the longest time that the server takes, in milliseconds.
const MARGIN_MS: u64 = 5_000;

/// Where a watcher stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watch {
    index: Option<u64>,
}

impl Watch {
    /// The index to ask for: none at first, so that the state is answered at once.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        self.index
    }

    /// Takes the index of an answer; whether what it holds may be new.
    pub fn take(&mut self, answered: Option<u64>) -> bool {
        let before = self.index;
        self.index = match (before, answered) {
            (Some(before), Some(answered)) if answered < before => None,
            (_, Some(answered)) => Some(answered.max(1)),
            (_, None) => None,
        };
        before.is_none() || self.index != before
    }

    /// How long to let the server wait: between three quarters and the whole of `wait_ms`, by a
    /// random number.
    #[must_use]
    pub fn wait_ms(wait_ms: u64, random: u64) -> u64 {
        let wait_ms = wait_ms.min(MAX_WAIT_MS);
        let spread = wait_ms / 4;
        wait_ms - random.checked_rem(spread + 1).unwrap_or(0)
    }
}

/// How long a client must wait for the answer to a blocking query.
#[must_use]
pub fn request_timeout_ms(wait_ms: u64) -> u64 {
    wait_ms.saturating_add(wait_ms / 16).saturating_add(MARGIN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_never_spins_and_begins_anew_when_it_goes_back() {
        let mut watch = Watch::default();
        let steps = [
            (Some(0), Some(1), true),
            (Some(1), Some(1), false),
            (Some(9), Some(9), true),
            (Some(9), Some(9), false),
            (Some(5), None, true),
            (Some(5), Some(5), true),
            (None, None, true),
        ];
        for (answered, index, is_new) in steps {
            assert_eq!((watch.take(answered), watch.index()), (is_new, index), "{answered:?}");
        }
    }

    #[test]
    fn waits_are_spread_and_bounded() {
        for random in [0, 1, 14_999, 15_000, u64::MAX] {
            let wait_ms = Watch::wait_ms(60_000, random);
            assert!((45_000..=60_000).contains(&wait_ms), "{wait_ms}");
        }
        assert_eq!(Watch::wait_ms(u64::MAX, 0), 600_000);
        assert_eq!(request_timeout_ms(60_000), 68_750);
    }
}

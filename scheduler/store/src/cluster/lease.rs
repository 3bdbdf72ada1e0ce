//! When a leader must have stopped. Consul's own clock begins later than ours: it counts from when a
//! renewal arrives, we count from before it was sent. So a session can't end earlier than its length
//! after the last renewal that was answered was sent, and a leader that stops a margin before that
//! has stopped before anybody else can lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Lengths of a lease, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// How long a session lives without being renewed.
    pub session_ms: u64,
    /// How long before its end nothing is done any more: clocks of two machines may differ by a
    /// thousandth, and what was begun needs time to end.
    pub margin_ms: u64,
}

impl Lengths {
    /// When to have stopped, if the last renewal that was answered was sent then.
    #[must_use]
    pub const fn stop_at_ms(self, sent_ms: u64) -> u64 {
        sent_ms.saturating_add(self.session_ms.saturating_sub(self.margin_ms))
    }

    /// When to renew next: two attempts may fail before it is too late.
    #[must_use]
    pub const fn renew_at_ms(self, sent_ms: u64) -> u64 {
        sent_ms.saturating_add(self.session_ms / 3)
    }

    /// How long an attempt may take: what is left, but no longer than until the next one.
    #[must_use]
    pub fn attempt_ms(self, sent_ms: u64, now_ms: u64) -> u64 {
        self.stop_at_ms(sent_ms).saturating_sub(now_ms).min(self.session_ms / 3)
    }
}

/// Whether this process may act. Copies are the same lease.
#[derive(Debug, Clone)]
pub struct Lease {
    lengths: Lengths,
    /// When the last renewal that was answered was sent; 0 when all is over.
    sent_ms: Arc<AtomicU64>,
}

impl Lease {
    /// One whose session was made by a request that was sent then.
    #[must_use]
    pub fn new(lengths: Lengths, sent_ms: u64) -> Self {
        Lease { lengths, sent_ms: Arc::new(AtomicU64::new(sent_ms)) }
    }

    /// A renewal that was sent then has been answered. What is over stays over.
    pub fn renewed(&self, sent_ms: u64) {
        let newer = |before: u64| (before != 0 && before < sent_ms).then_some(sent_ms);
        // An older one changes nothing.
        let _ = self.sent_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, newer);
    }

    /// It is over, for ever.
    pub fn end(&self) {
        self.sent_ms.store(0, Ordering::SeqCst);
    }

    /// Whether one may act at this time.
    #[must_use]
    pub fn holds_at(&self, now_ms: u64) -> bool {
        let sent_ms = self.sent_ms.load(Ordering::SeqCst);
        sent_ms != 0 && now_ms < self.lengths.stop_at_ms(sent_ms)
    }

    /// Whether one may act now.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds_at(now_ms())
    }

    /// When the last renewal that was answered was sent.
    #[must_use]
    pub fn sent_ms(&self) -> u64 {
        self.sent_ms.load(Ordering::SeqCst)
    }

    /// Its lengths.
    #[must_use]
    pub const fn lengths(&self) -> Lengths {
        self.lengths
    }
}

/// Milliseconds since this machine was started, the time that it slept included: a machine that was
/// suspended must not take its lease for valid. Never 0.
#[must_use]
pub fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    let since = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds));
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_times_of_a_lease_of_ten_seconds() {
        let lengths = Lengths { session_ms: 10_000, margin_ms: 1_000 };
        assert_eq!(lengths.stop_at_ms(500), 9_500);
        assert_eq!(lengths.renew_at_ms(500), 3_833);
        assert_eq!(lengths.attempt_ms(500, 600), 3_333);
        assert_eq!(lengths.attempt_ms(500, 9_000), 500);
        assert_eq!(lengths.attempt_ms(500, 20_000), 0);
        let lease = Lease::new(lengths, 500);
        assert!(lease.holds_at(9_499) && !lease.holds_at(9_500));
        lease.renewed(4_000);
        lease.renewed(3_000);
        assert!(lease.holds_at(12_999) && !lease.holds_at(13_000));
        lease.end();
        lease.renewed(20_000);
        assert!(!lease.holds_at(20_001), "what is over stays over");
    }

    proptest! {
        /// Consul ends a session its length after a renewal came, which is after it was sent. However
        /// renewals are lost and late, and answers too, nobody acts at a time at which Consul may
        /// have ended the session.
        #[test]
        fn nobody_acts_when_the_session_may_have_ended(
            steps in prop::collection::vec(
                (1u64..6_000, 0u64..2_000, prop::option::of(0u64..2_000)),
                1..20,
            ),
        ) {
            let lengths = Lengths { session_ms: 10_000, margin_ms: 1_000 };
            let lease = Lease::new(lengths, 1);
            // When Consul may end it at the earliest: it was made at 1.
            let mut may_end = 1 + lengths.session_ms;
            let mut now = 1;
            for (pause, on_the_way, answer) in steps {
                now += pause;
                if now >= may_end {
                    break;
                }
                let (sent, arrives) = (now, now + on_the_way);
                if arrives < may_end {
                    may_end = may_end.max(arrives + lengths.session_ms);
                    if let Some(back) = answer {
                        now = arrives + back;
                        if now < may_end {
                            lease.renewed(sent);
                        }
                    }
                }
                for then in (now..may_end + 5_000).step_by(500) {
                    prop_assert!(!lease.holds_at(then) || then < may_end);
                }
            }
        }
    }
}

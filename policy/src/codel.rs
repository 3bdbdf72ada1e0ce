//! Controlled delay: when a queue holds requests for longer than `target` all through an `interval`,
//! some are dropped as they are taken out, at first one for each interval, then closer and closer to
//! each other, until the delay is below the target again.
//!
//! This is the control law of RFC 8289 (Nichols, Jacobson et al., 2018), section 4 and the
//! pseudocode of section 5: the n-th drop follows the one before it by interval/√n. It was made for
//! senders that slow down when something is lost, as TCP does; [`crate::overload`] has another rule,
//! for clients that don't. The pseudocode takes out of a queue until it has something to deliver;
//! here it is told of one request after the other, so what it would keep in its place in the code is
//! kept in the state (`After`). A request behind which nobody waits is never dropped (its "less
//! than one full packet").

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Refusal, Time};

/// What a queue remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Codel {
    /// When the delay will have been too long for an interval; none while it is short enough.
    above: Option<Time>,
    /// Whether it drops.
    drops: bool,
    /// When the next one is dropped, while it does.
    next: Time,
    /// Drops since it began to drop.
    count: u32,
    /// What it began to count with.
    first_count: u32,
    after: After,
}

/// What has become of the request before, at the same taking out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum After {
    /// It was delivered.
    #[default]
    Delivery,
    /// It was the first one that was dropped: the next one is delivered.
    First,
    /// It was dropped, and it wasn't the first one.
    Drop,
}

/// It goes on as fast as it was if it began to drop less than so many intervals ago.
const RECENT: u64 = 16;

impl Codel {
    /// Nothing waits.
    pub const fn rest(&mut self) {
        (self.above, self.after, self.drops) = (None, After::Delivery, false);
    }

    /// Whether a request that has waited for so long, and behind which others wait or not, is
    /// delivered when it is taken out now.
    ///
    /// # Errors
    /// [`Refusal::Shed`].
    pub fn take(
        &mut self,
        target: Nanoseconds,
        interval: Nanoseconds,
        (waited, others): (Nanoseconds, bool),
        now: Time,
    ) -> Result<(), Refusal> {
        let may_drop = self.is_long(target, interval, (waited, others), now);
        match std::mem::take(&mut self.after) {
            // Whatever it is: it is delivered.
            After::First => return Ok(()),
            After::Drop if may_drop => self.next = law(self.next, interval, self.count),
            After::Drop | After::Delivery => {}
        }
        if self.drops {
            self.drops = may_drop;
            if !may_drop || now < self.next {
                return Ok(());
            }
            self.count = self.count.saturating_add(1);
            self.after = After::Drop;
            return Err(Refusal::Shed);
        }
        if !may_drop {
            return Ok(());
        }
        self.begin(interval, now);
        Err(Refusal::Shed)
    }

    /// Whether the delay has been too long for an interval.
    fn is_long(
        &mut self,
        target: Nanoseconds,
        interval: Nanoseconds,
        (waited, others): (Nanoseconds, bool),
        now: Time,
    ) -> bool {
        if waited < target || !others {
            self.above = None;
            return false;
        }
        let above = *self.above.get_or_insert(now + interval);
        now >= above
    }

    /// The first one is dropped.
    fn begin(&mut self, interval: Nanoseconds, now: Time) {
        let since = self.count.saturating_sub(self.first_count);
        let recent = Nanoseconds(interval.0.saturating_mul(RECENT));
        self.count = if since > 1 && now.since(self.next) < recent { since } else { 1 };
        self.first_count = self.count;
        self.next = law(now, interval, self.count);
        self.drops = true;
        self.after = After::First;
    }
}

/// When the next one is dropped. The root is that of IEEE 754, the same on every machine.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "15 digits of an interval are enough; the cast saturates"
)]
fn law(last: Time, interval: Nanoseconds, count: u32) -> Time {
    let gap = interval.0 as f64 / libm::sqrt(f64::from(count.max(1)));
    last + Nanoseconds(gap as u64)
}

#[cfg(test)]
#[path = "codel_tests.rs"]
mod tests;

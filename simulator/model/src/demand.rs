//! What comes to an app between two ticks, for scaling rules that go by it.

use policy::Nanoseconds;
use policy::scaling::Came;

/// Requests since the last tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Demand {
    /// Those that limits let through, refused ones included.
    pub(crate) arrivals: u64,
    /// Those that found no instance or no place in a queue.
    pub(crate) refusals: u64,
}

impl Demand {
    /// One has come.
    #[inline(always)]
    pub(crate) fn count(&mut self, is_refused: bool) {
        self.arrivals += 1;
        self.refusals += u64::from(is_refused);
    }

    /// All of a period; counting begins anew.
    pub(crate) fn take(&mut self, period: Nanoseconds) -> Came {
        let Demand { arrivals, refusals } = std::mem::take(self);
        Came { arrivals, refusals, period }
    }
}

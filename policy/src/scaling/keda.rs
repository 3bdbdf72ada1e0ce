//! As KEDA with a scaler that counts a queue (keda.sh, "Scaling Deployments", and the scalers of
//! queues). KEDA itself starts the first instance and takes the last one; between one and the most
//! it gives a Kubernetes autoscaler the length of the queue as an average value:
//! ⌈length / target⌉, with the windows and periods of [`super::hpa`]. Instances that start don't count
//! in any special way, so a queue behind them is counted again at each look.

use serde::Serialize;

use super::memory::{Memory, instances};
use super::{Added, Advice, Hpa, Kept, Observation, Removed};
use crate::queue::Counts;
use crate::{Nanoseconds, Time};

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Keda {
    /// Which requests are the queue.
    pub counts: Counts,
    /// More than this makes the app active.
    pub activation: u32,
    /// Without activity for so long the last instance is taken, if there may be none.
    pub cool_down: Nanoseconds,
    /// The length of the queue for each instance, and how the number changes.
    pub hpa: Hpa,
}

impl Keda {
    /// Five that wait for each instance, as KEDA's examples have it; the rest as documented.
    pub const DEFAULT: Keda = Keda {
        counts: Counts::Waiting,
        activation: 0,
        cool_down: Nanoseconds::from_seconds(300),
        hpa: Hpa { target_thousandths: 5000, ..Hpa::DEFAULT },
    };

    pub(super) fn advise(
        &self,
        min: u32,
        seen: Observation,
        memory: &mut Memory,
        now: Time,
    ) -> Advice {
        let all = u128::from(seen.tasks) * 1000;
        let queue = match self.counts {
            Counts::InSystem => all,
            Counts::Waiting => {
                let busy = seen.flow.map_or(0, |flow| flow.busy_thousandths);
                all.saturating_sub(u128::from(busy))
            }
        };
        let is_active = queue > u128::from(self.activation) * 1000;
        if is_active || memory.active.is_none() {
            memory.active = Some(now);
        }
        if seen.instances == 0 {
            return match is_active {
                true => Advice::Have(1, Added::Activated, Removed::Inactive),
                false => Advice::Keep(Kept::Inactive),
            };
        }
        let idle_since = memory.active.unwrap_or(now);
        if min == 0 && !is_active && now.since(idle_since) >= self.cool_down {
            return Advice::Have(0, Added::Activated, Removed::Inactive);
        }
        if self.hpa.tolerates(queue, seen.instances) {
            let _ = self.hpa.pace(seen.instances, seen.instances, memory, now);
            return Advice::Keep(Kept::WithinTolerance);
        }
        let desired = instances(queue, u128::from(self.hpa.target_thousandths)).max(1);
        self.hpa.pace(seen.instances, desired, memory, now)
    }
}

//! Which calls are dropped behind a failure.

use std::collections::BTreeMap;

use provision_protocol::Call;

/// The failures seen so far. A failure of task *t* in generation *g* drops every later call of
/// generation *g* that belongs to a later task; the rest of task *t*'s loop still runs, and so
/// does everything the controller sends in a later generation.
#[derive(Debug, Default)]
pub struct Failures {
    first_failed_task: BTreeMap<u32, u64>,
}

impl Failures {
    /// Notes that a call failed.
    pub fn note(&mut self, call: &Call) {
        if call.ignore_failure {
            return;
        }
        let task = self.first_failed_task.entry(call.generation).or_insert(call.task);
        *task = call.task.min(*task);
        // Generations only rise, so the older ones can't come again.
        self.first_failed_task = self.first_failed_task.split_off(&call.generation);
    }

    /// Whether this call must not run.
    #[must_use]
    pub fn drops(&self, call: &Call) -> bool {
        self.first_failed_task.get(&call.generation).is_some_and(|failed| call.task > *failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::link::tests::call;
    use proptest::prelude::*;

    /// Oracle: looks through everything that failed before.
    fn drops(failed: &[Call], call: &Call) -> bool {
        failed.iter().any(|failed| {
            !failed.ignore_failure
                && failed.generation == call.generation
                && failed.task < call.task
        })
    }

    proptest! {
        #[test]
        fn the_rule_is_kept(
            steps in proptest::collection::vec((0u64..3, 0u32..2, any::<bool>(), any::<bool>()), 0..30)
        ) {
            let (mut failures, mut failed) = (Failures::default(), Vec::new());
            let (mut task, mut generation) = (0, 0);
            for (id, (ahead, raise, fails, ignored)) in steps.into_iter().enumerate() {
                task += ahead;
                generation += raise;
                let call = Call { task, generation, ignore_failure: ignored, ..call(id as u64, "ping") };
                prop_assert_eq!(failures.drops(&call), drops(&failed, &call));
                if fails && !drops(&failed, &call) {
                    failures.note(&call);
                    failed.push(call);
                }
            }
        }
    }
}

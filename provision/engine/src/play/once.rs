//! `run_once`: what one host did counts for all.

use std::sync::Arc;

use provision_plan::HostIndex;
use provision_playbook::model::{Strategy, Task};

use super::PlayRun;
use super::flight::{Ended, registered};
use crate::variables::Learned;

impl Ended {
    /// Another host has this result, too.
    pub(super) fn teach(&self, learned: &Learned) {
        if let Some(name) = &self.register {
            learned.register(name, registered(&self.result), self.origin());
        }
        for (name, value) in &self.sets {
            learned.set(name, value.clone());
        }
        if let Some(layer) = &self.include {
            learned.include(layer);
        }
        for (_, facts) in &self.facts {
            match self.is_written {
                // `set_fact` calls them facts, but they win over variables of the play.
                true => facts.iter().for_each(|(name, value)| {
                    learned.set(name, provision_template::from_json(value));
                }),
                false => learned.learn(facts),
            }
        }
    }
}

impl PlayRun<'_> {
    /// The result of a `run_once` task counts for all hosts.
    pub(super) fn share(
        &mut self,
        index: HostIndex,
        others: &[HostIndex],
        task: &Arc<Task>,
        ended: &Ended,
    ) {
        self.teach_others(index, others, ended);
        for other in others {
            // A handler that ran for all is not notified any more on any.
            if let Some(ahead) = self.host(*other).and_then(|host| host.ahead.clone()) {
                self.handler_runs(*other, &ahead.position, false);
            }
            let Some(host) = self.hosts.get_mut(other.0) else { continue };
            host.ahead = None;
            host.cursor.advance();
            ended.teach(&host.variables.learned);
            if ended.notify {
                let view = self.view(*other, task);
                self.notify(*other, task, view, false);
            }
            self.passed(*other);
            self.wake(*other);
        }
    }

    /// What a `run_once` task brings is there for all hosts of the play, also for those that don't
    /// stand at it: only one of them may have included it.
    fn teach_others(&self, index: HostIndex, sharers: &[HostIndex], ended: &Ended) {
        if self.state.play.strategy != Strategy::Linear {
            return;
        }
        for host in self.hosts.iter().filter(|host| host.active && host.index != index) {
            if !sharers.contains(&host.index) {
                ended.teach(&host.variables.learned);
            }
        }
    }
}

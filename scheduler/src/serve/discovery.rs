//! Where instances are found, as it changes, numbered: for those who follow apps that have too many
//! instances for Consul's watches. What is kept is bounded; whoever was away for longer than that gets
//! everything anew.
//!
//! Numbers go on from start to start: each term begins beyond all numbers of the ones before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use scheduler_core::State;
use scheduler_core::app::App;
use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::{AppName, Epoch, InstanceId, MachineName};
use scheduler_core::instance::Life;
use scheduler_core::ports::Ports;
use tokio::sync::watch;

/// Changes that are kept, of all apps together: 72 bytes each, and the upgrade of an app of 8,000
/// instances whose weights rise in one step.
const CHANGES_KEPT: usize = 32_768;

/// Numbers of one term: more than any term has changes.
const NUMBERS_OF_A_TERM: u64 = 10_000_000_000;

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number: greater than that of the change before.
    pub number: u64,
    /// Of which instance.
    pub instance: InstanceId,
    /// What.
    pub what: What,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is found now.
    Added {
        /// Where.
        machine: MachineName,
        /// Its ports there.
        ports: Ports,
        /// With which weight.
        weight_thousandths: u32,
    },
    /// It has another weight.
    Weight(u32),
    /// It isn't found any more.
    Removed,
}

/// What those who follow get next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These, and where they are then.
    Changes(Vec<Change>, u64),
    /// What is between isn't kept any more, or never was here.
    Anew,
}

/// The changes.
#[derive(Debug)]
pub struct Discovery {
    inner: Mutex<Inner>,
    last: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    /// The weight that was told of each instance that is found.
    found: BTreeMap<AppName, BTreeMap<u64, u32>>,
    changes: VecDeque<Change>,
    /// The number of the last change that isn't kept any more, or of none.
    before: u64,
    /// The number of the last change that is durable: later ones aren't told.
    published: u64,
}

impl Inner {
    fn last(&self) -> u64 {
        self.changes.back().map_or(self.before, |change| change.number)
    }

    fn add(&mut self, instance: InstanceId, what: What) {
        let number = self.last() + 1;
        self.changes.push_back(Change { number, instance, what });
    }

    /// Drops what is too much; what isn't told yet stays.
    fn tidy(&mut self) {
        while self.changes.len() > CHANGES_KEPT
            && let Some(oldest) = self.changes.pop_front()
        {
            self.before = oldest.number;
        }
        // A write of very many changes needs more room than what is kept of them.
        if self.changes.capacity() > 2 * CHANGES_KEPT {
            self.changes.shrink_to(CHANGES_KEPT);
        }
    }
}

impl Discovery {
    /// What is found in a state is known; nothing has changed.
    pub fn new(state: &State) -> Self {
        let weights = |app: &App| {
            let weights = app.instances.iter().filter_map(|(number, one)| match one.life {
                Life::Serving { weight_thousandths } => Some((*number, weight_thousandths)),
                _ => None,
            });
            weights.collect::<BTreeMap<u64, u32>>()
        };
        let found = state.apps().iter().map(|(name, app)| (name.clone(), weights(app)));
        let found = found.filter(|(_, weights)| !weights.is_empty()).collect();
        let inner = Inner { found, changes: VecDeque::new(), before: 0, published: 0 };
        Discovery { inner: Mutex::new(inner), last: watch::Sender::new(0) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A term begins: whatever was numbered before is older.
    pub fn begin(&self, epoch: Epoch) {
        let mut inner = self.inner();
        inner.changes.clear();
        inner.before = epoch.0.saturating_mul(NUMBERS_OF_A_TERM);
        inner.published = inner.before;
        self.last.send_replace(inner.before);
    }

    /// Changes with each new change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Wakes those who follow, though nothing has changed.
    pub fn wake(&self) {
        self.last.send_modify(|_| {});
    }

    /// The number of the last change.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// A write is on its way to the store. If it doesn't get there, what changed is in a later one.
    pub fn prepare(&self, write: &Write) {
        let mut inner = self.inner();
        for (key, record) in &write.changes {
            let Key::Instance(id) = key else { continue };
            let Some(Record::Instance(instance)) = record else {
                inner.gone(id);
                continue;
            };
            let (Life::Serving { weight_thousandths }, Some(machine)) =
                (instance.life, &instance.machine)
            else {
                inner.gone(id);
                continue;
            };
            let id = inner.shared(id);
            let of_app = inner.found.entry(id.app.clone()).or_default();
            let what = match of_app.insert(id.number, weight_thousandths) {
                Some(known) if known == weight_thousandths => continue,
                Some(_) => What::Weight(weight_thousandths),
                None => {
                    let (machine, ports) = (machine.clone(), instance.ports.clone());
                    What::Added { machine, ports, weight_thousandths }
                }
            };
            inner.add(id, what);
        }
    }

    /// What was on its way is durable: it is told.
    pub fn publish(&self) {
        let mut inner = self.inner();
        let before = inner.published;
        inner.published = inner.last();
        inner.tidy();
        let last = inner.published;
        drop(inner);
        if last != before {
            self.last.send_replace(last);
        }
    }

    /// What changed of an app after a number. At most so many changes of all apps are looked at, so
    /// there may be more when there are none.
    pub fn after(&self, app: &AppName, number: u64, most: usize) -> Next {
        let inner = self.inner();
        let last = inner.published;
        if number < inner.before || number > last {
            return Next::Anew;
        }
        // Numbers are without gaps.
        let begin = usize::try_from(number - inner.before).unwrap_or(usize::MAX);
        let end = usize::try_from(last.saturating_sub(inner.before)).unwrap_or(usize::MAX);
        let seen = inner.changes.iter().take(end).skip(begin).take(most);
        let until = seen.clone().next_back().map_or(last, |change| change.number);
        let changes = seen.filter(|change| change.instance.app == *app).cloned().collect();
        Next::Changes(changes, until)
    }
}

impl Inner {
    /// The same instance, with the name of its app that all others have: names that were read with a
    /// fact are each on their own.
    fn shared(&self, id: &InstanceId) -> InstanceId {
        let known = self.found.get_key_value(&id.app).map(|(name, _)| name.clone());
        InstanceId { app: known.unwrap_or_else(|| id.app.clone()), number: id.number }
    }

    fn gone(&mut self, id: &InstanceId) {
        let Some(of_app) = self.found.get_mut(&id.app) else { return };
        if of_app.remove(&id.number).is_none() {
            return;
        }
        let is_last = of_app.is_empty();
        let shared = self.shared(id);
        if is_last {
            self.found.remove(&id.app);
        }
        self.add(shared, What::Removed);
    }
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;

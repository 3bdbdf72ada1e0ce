//! Records in memory. Clones are the same store, so that tests can have two leaders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::Epoch;

use crate::{Contents, StoreError};

/// Records in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    epoch: Epoch,
    records: BTreeMap<Key, Record>,
}

impl MemoryStore {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn claim(&self) -> Epoch {
        let mut inner = self.inner();
        inner.epoch = Epoch(inner.epoch.0.saturating_add(1));
        inner.epoch
    }

    pub(crate) fn load(&self) -> Result<Contents, StoreError> {
        let inner = self.inner();
        let records = inner.records.iter().map(|(key, record)| (key.clone(), record.clone()));
        Ok(Contents { epoch: inner.epoch, records: records.collect(), notes: BTreeMap::new() })
    }

    pub(crate) fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let current = inner.epoch;
        if let Some(late) = writes.iter().find(|write| write.epoch != current) {
            return Err(StoreError::fenced(late.epoch, current));
        }
        for (key, record) in writes.iter().flat_map(|write| &write.changes) {
            match record {
                Some(record) => inner.records.insert(key.clone(), record.clone()),
                None => inner.records.remove(key),
            };
        }
        Ok(())
    }

    pub(crate) fn replace(&self, records: &[(Key, Record)]) -> Result<(), StoreError> {
        self.inner().records = records.iter().cloned().collect();
        Ok(())
    }
}

//! `[io]` The records of the scheduler's core, durable, with the number of the term that may write.
//!
//! A store never decides. What it reports as durable survives the end of the machine; what it
//! refuses has changed nothing. A write of a term that is over is refused, so that an earlier leader
//! that doesn't know yet can do no harm.

#![forbid(unsafe_code)]

pub mod cluster;
mod error;
mod file;
mod memory;
mod names;
mod note;
pub mod snapshot;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::Epoch;

pub use cluster::{ConsulStore, Source};
pub use error::StoreError;
pub use file::FileStore;
pub use memory::MemoryStore;
pub use names::{key_of, name_of};
pub use note::Note;
pub use writer::{WRITES_TOGETHER_MOST, Writer};

/// Where records are.
#[derive(Debug)]
pub enum Store {
    /// In a file of this machine.
    File(FileStore),
    /// In Consul: for several schedulers, of which one leads.
    Consul(Box<ConsulStore>),
    /// Nowhere: for tests, and to try things out.
    Memory(MemoryStore),
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The newest term; 0 if there was none.
    pub epoch: Epoch,
    /// The records in the order of their names.
    pub records: Vec<(Key, Record)>,
    /// What earlier leaders have left for the next one, by name; nothing but Consul keeps any.
    pub notes: BTreeMap<String, Vec<u8>>,
}

impl Store {
    /// Begins a new term: from now on only its writes are taken.
    ///
    /// # Errors
    /// When the store can't be used; the term before goes on then.
    pub fn claim(&mut self) -> Result<Epoch, StoreError> {
        match self {
            Store::File(store) => store.claim(),
            Store::Consul(store) => store.claim(),
            Store::Memory(store) => Ok(store.claim()),
        }
    }

    /// All that it holds.
    ///
    /// # Errors
    /// When the store can't be read, or holds what no version of this program has written.
    pub fn load(&mut self) -> Result<Contents, StoreError> {
        match self {
            Store::File(store) => store.load(),
            Store::Consul(store) => store.load(),
            Store::Memory(store) => store.load(),
        }
    }

    /// Makes the changes of all these writes durable, in their order: all of them or none.
    ///
    /// # Errors
    /// When the store can't be written, or one of the writes is of a term that is over.
    pub fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        self.commit_with(writes, &[])
    }

    /// The same, with notes for the next leader: they are durable together. Where there can't be
    /// another leader, notes go nowhere.
    ///
    /// # Errors
    /// When the store can't be written, or one of the writes is of a term that is over.
    pub fn commit_with(&mut self, writes: &[Write], notes: &[Note]) -> Result<(), StoreError> {
        match self {
            Store::File(store) => store.commit(writes),
            Store::Consul(store) => store.commit(writes, notes),
            Store::Memory(store) => store.commit(writes),
        }
    }

    /// Puts these records in the place of all others. It is for restoring a snapshot: the term goes
    /// on counting.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn replace(&mut self, records: &[(Key, Record)]) -> Result<(), StoreError> {
        match self {
            Store::File(store) => store.replace(records),
            Store::Consul(store) => store.replace(records),
            Store::Memory(store) => store.replace(records),
        }
    }

    /// Consul's store has no copy of the records: from now on it reads them here when it writes all of
    /// them anew.
    pub fn read_from(&mut self, source: Arc<dyn Source>) {
        match self {
            Store::File(_) | Store::Memory(_) => {}
            Store::Consul(store) => store.read_from(source),
        }
    }

    /// What is done between two batches, when nobody waits for it.
    pub fn tidy(&mut self) {
        match self {
            Store::File(_) | Store::Memory(_) => {}
            Store::Consul(store) => store.tidy(),
        }
    }
}

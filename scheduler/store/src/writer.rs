//! A thread that makes writes durable while the loop of events goes on. What came while the disk was
//! busy is committed together.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use scheduler_core::command::Write;
use scheduler_core::ids::WriteNumber;

use crate::{Store, StoreError};

/// The most writes that become durable together: the core sends one at a time, so more than a few
/// are a burst of terms or of tests.
pub const WRITES_TOGETHER_MOST: usize = 64;

/// A store with its thread. The acknowledgements come by the function that was given with it.
#[derive(Debug)]
pub struct Writer {
    writes: Option<Sender<Write>>,
    thread: Option<JoinHandle<Store>>,
}

impl Writer {
    /// Starts the thread. `done` is called for each write when it is durable or has failed.
    ///
    /// # Errors
    /// When there are no more threads.
    pub fn start(
        mut store: Store,
        mut done: impl FnMut(WriteNumber, Result<(), &StoreError>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (writes, coming) = mpsc::channel();
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            while let Some(batch) = next_batch(&coming) {
                let outcome = store.commit(&batch);
                for write in batch {
                    done(write.number, outcome.as_ref().copied());
                }
                store.tidy();
            }
            store
        })?;
        Ok(Writer { writes: Some(writes), thread: Some(thread) })
    }

    /// Has a write made durable; its acknowledgement comes later.
    pub fn submit(&self, write: Write) {
        if let Some(writes) = &self.writes {
            // The thread ends only with this.
            let _ = writes.send(write);
        }
    }

    /// Waits until all is durable that was submitted, and gives the store back.
    #[must_use]
    pub fn finish(mut self) -> Option<Store> {
        self.writes = None;
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

fn next_batch(coming: &Receiver<Write>) -> Option<Vec<Write>> {
    let mut batch = vec![coming.recv().ok()?];
    while batch.len() < WRITES_TOGETHER_MOST
        && let Ok(write) = coming.try_recv()
    {
        batch.push(write);
    }
    Some(batch)
}

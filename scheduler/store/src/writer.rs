//! A thread that makes writes durable while the loop of events goes on. What came while the disk was
//! busy is committed together.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use scheduler_core::command::Write;
use scheduler_core::ids::WriteNumber;

use crate::{Note, Store, StoreError};

/// The most writes that become durable together: the core sends one at a time, so more than a few
/// are a burst of terms or of tests.
pub const WRITES_TOGETHER_MOST: usize = 64;

/// Is told what became of notes.
type Told = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

/// What becomes durable together.
enum Job {
    /// A write with what the next leader should know of it.
    Write(Write, Vec<Note>),
    /// Notes alone.
    Notes(Vec<Note>, Told),
}

/// A store with its thread. The acknowledgements come by the function that was given with it.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<Sender<Job>>,
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
        let (jobs, coming) = mpsc::channel();
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            while let Some(batch) = next_batch(&coming) {
                let (mut writes, mut notes, mut told) = (Vec::new(), Vec::new(), Vec::new());
                for job in batch {
                    match job {
                        Job::Write(write, mut more) => {
                            writes.push(write);
                            notes.append(&mut more);
                        }
                        Job::Notes(mut more, tell) => {
                            notes.append(&mut more);
                            told.push(tell);
                        }
                    }
                }
                let outcome = store.commit_with(&writes, &notes);
                for write in writes {
                    done(write.number, outcome.as_ref().copied());
                }
                for tell in told {
                    tell(outcome.as_ref().copied());
                }
                store.tidy();
            }
            store
        })?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has a write made durable; its acknowledgement comes later.
    pub fn submit(&self, write: Write) {
        self.submit_with(write, Vec::new());
    }

    /// The same, with notes for the next leader.
    pub fn submit_with(&self, write: Write, notes: Vec<Note>) {
        self.send(Job::Write(write, notes));
    }

    /// Has notes made durable; `told` is called when they are, or can't be.
    pub fn note(
        &self,
        notes: Vec<Note>,
        told: impl FnOnce(Result<(), &StoreError>) + Send + 'static,
    ) {
        self.send(Job::Notes(notes, Box::new(told)));
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only with this.
            let _ = jobs.send(job);
        }
    }

    /// Waits until all is durable that was submitted, and gives the store back.
    #[must_use]
    pub fn finish(mut self) -> Option<Store> {
        self.jobs = None;
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

fn next_batch(coming: &Receiver<Job>) -> Option<Vec<Job>> {
    let mut batch = vec![coming.recv().ok()?];
    while batch.len() < WRITES_TOGETHER_MOST
        && let Ok(job) = coming.try_recv()
    {
        batch.push(job);
    }
    Some(batch)
}

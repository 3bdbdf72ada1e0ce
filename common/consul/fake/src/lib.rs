//! `[io]` A small Consul for tests: keys, sessions and transactions over HTTP on the loopback, with
//! the limits, refusals and words of Consul 1.8.7. It has one server, which is an agent with services
//! whose checks nobody looks at, no ACLs and no catalog, and forgets all when it is dropped.

#![forbid(unsafe_code)]

mod http;
mod keys;
mod routes;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use keys::Keys;

/// How often sessions are looked at: whether they have been silent for too long.
const REAP_EVERY: Duration = Duration::from_millis(10);

/// When a gate is asked about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing is done yet.
    Before,
    /// All is done, and nobody has been told.
    After,
}

/// Told of each transaction by the names of the keys that it sets; if it says no, the connection is
/// closed without an answer.
type Gate = Box<dyn FnMut(&[&str], Moment) -> bool + Send>;

/// A Consul.
#[derive(Debug)]
pub struct FakeConsul {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Keys>,
    changed: Condvar,
    gate: Mutex<Option<Gate>>,
    transactions: AtomicU64,
    is_away: AtomicBool,
    is_over: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        // Nothing panics half way through a change.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeConsul {
    /// A Consul at a free port. Its time runs so many times as fast: what takes a session ten
    /// seconds to end takes it a tenth of that with 10.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub fn start(times_as_fast: u32) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.keys().times_as_fast = times_as_fast.max(1);
        let own = Arc::clone(&shared);
        thread::Builder::new().spawn(move || {
            for stream in listener.incoming().flatten() {
                if own.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&own);
                thread::spawn(move || {
                    http::serve(stream, |request| routes::answer(&shared, request))
                });
            }
        })?;
        let own = Arc::clone(&shared);
        thread::Builder::new().spawn(move || {
            while !own.is_over.load(Ordering::SeqCst) {
                if own.keys().reap() {
                    own.changed.notify_all();
                }
                thread::sleep(REAP_EVERY);
            }
        })?;
        Ok(FakeConsul { address, shared })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks this about each transaction from now on.
    pub fn set_gate(&self, gate: impl FnMut(&[&str], Moment) -> bool + Send + 'static) {
        let mut place = self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(gate));
    }

    /// Asks nobody any more.
    pub fn open_gate(&self) {
        *self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// From now on requests are answered, or they are not: as a Consul without a leader.
    pub fn set_away(&self, is_away: bool) {
        self.shared.is_away.store(is_away, Ordering::SeqCst);
        self.shared.changed.notify_all();
    }

    /// Ends the session that holds a key, as if it had been silent for too long, and the delay after
    /// it; whether there was one.
    pub fn end_holder(&self, key: &str) -> bool {
        let ended = self.shared.keys().end_holder(key);
        self.shared.changed.notify_all();
        ended
    }

    /// The session that holds a key.
    #[must_use]
    pub fn holder(&self, key: &str) -> Option<String> {
        self.shared.keys().holder(key)
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.keys().value(key)
    }

    /// The names of all keys.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.shared.keys().names("")
    }

    /// Transactions that were done.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::SeqCst)
    }
}

impl Drop for FakeConsul {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
        // The listener sees it with the next connection.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

//! How many facts wait for the loop. Whoever tells them faster than they are taken in has to wait, so
//! that a burst stays in the sockets instead of the memory.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Facts that may wait: two turns.
const WAITING_MOST: usize = 20_000;

/// Facts that wait.
#[derive(Debug, Default)]
pub struct Backlog {
    inner: Mutex<Inner>,
    fewer: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: usize,
    /// Nobody takes anything any more.
    is_closed: bool,
}

impl Backlog {
    /// One more waits; not before there is room.
    pub fn enter(&self) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |inner: &mut Inner| inner.waiting >= WAITING_MOST && !inner.is_closed;
        let inner = self.fewer.wait_while(inner, is_full);
        inner.unwrap_or_else(PoisonError::into_inner).waiting += 1;
    }

    /// So many have been taken.
    pub fn leave(&self, count: usize) {
        if count == 0 {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting = inner.waiting.saturating_sub(count);
        self.fewer.notify_all();
    }

    fn close(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.fewer.notify_all();
    }
}

/// Whoever takes facts: when it ends, however that comes, nobody waits for it.
#[derive(Debug)]
pub struct Taker(pub Arc<Backlog>);

impl Drop for Taker {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_tells_too_much_waits_until_it_is_taken_or_nobody_takes_it() {
        let backlog = Arc::new(Backlog::default());
        let taker = Taker(Arc::clone(&backlog));
        (0..WAITING_MOST).for_each(|_| backlog.enter());
        let other = Arc::clone(&backlog);
        let told = thread::spawn(move || (0..3).for_each(|_| other.enter()));
        backlog.leave(2);
        while backlog.inner.lock().unwrap().waiting < WAITING_MOST {
            thread::yield_now();
        }
        assert!(!told.is_finished(), "there was room for two");
        drop(taker);
        told.join().unwrap();
        assert_eq!(backlog.inner.lock().unwrap().waiting, WAITING_MOST + 1);
    }
}

//! A place where a master listens: it leads, or it says who does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesos::MasterInfo;
use simulator_mesos::wire::{self, Leader, Request, Response};
use simulator_mesos::{Configuration, Master, Nanoseconds, Restart, StreamKey};

use crate::shared::{Shared, Source};

/// How long agents take to find a new leader, at most: what real ones wait, by chance, before they
/// register (`--registration_backoff_factor`).
const AGENTS_WITHIN: Nanoseconds = simulator_mesos::SECOND;

/// A place where a master listens.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) shared: Arc<Shared>,
    /// Absent if the master always leads.
    candidate: Option<Mutex<Candidate>>,
}

/// A master that stands for the lead.
#[derive(Debug)]
struct Candidate {
    /// What it is by itself: pages that each master has are told by this one, which has no agents.
    own: Master,
    leader: Leader,
}

impl Seat {
    /// The only master.
    pub(crate) fn alone(shared: Arc<Shared>) -> Self {
        Seat { shared, candidate: None }
    }

    /// One of several.
    pub(crate) fn candidate(shared: Arc<Shared>, configuration: Configuration) -> Self {
        let mut own = Master::new(configuration);
        own.advance(shared.now());
        let candidate = Candidate { own, leader: Leader::Other(None) };
        Seat { shared, candidate: Some(Mutex::new(candidate)) }
    }

    /// Each lock is held for one answer, which may fail without harm for the next.
    fn lock(candidate: &Mutex<Candidate>) -> MutexGuard<'_, Candidate> {
        candidate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answer(&self, request: &Request) -> (Response, Option<Source>) {
        if let Some(candidate) = &self.candidate {
            let mut candidate = Self::lock(candidate);
            let Candidate { own, leader } = &mut *candidate;
            if *leader != Leader::Us {
                own.advance(self.shared.now());
                // Streams begin only at the leader.
                return (wire::answer(own, leader, request, StreamKey(u64::MAX)), None);
            }
        }
        self.shared.answer(request)
    }

    /// Who leads.
    pub(crate) fn leader(&self) -> Leader {
        self.candidate.as_ref().map_or(Leader::Us, |it| Self::lock(it).leader.clone())
    }

    /// So many masters stand for the lead.
    pub(crate) fn members(&self, count: usize) {
        if let Some(candidate) = &self.candidate {
            Self::lock(candidate).own.set_members(count);
            self.shared.with(|master| master.set_members(count));
        }
    }

    /// How ZooKeeper is told of it; none if it always leads.
    pub(crate) fn info(&self) -> Option<MasterInfo> {
        self.candidate.as_ref().map(|candidate| Self::lock(candidate).own.info())
    }

    /// It leads from now on; whether it didn't before.
    pub(crate) fn elected(&self) -> bool {
        let Some(candidate) = &self.candidate else { return false };
        let mut candidate = Self::lock(candidate);
        if std::mem::replace(&mut candidate.leader, Leader::Us) == Leader::Us {
            return false;
        }
        let identity = candidate.own.identity();
        self.shared.with(|master| master.take_over(identity, Restart::Registry, AGENTS_WITHIN));
        true
    }

    /// Another one leads, at this host and port, or nobody.
    pub(crate) fn stand_by(&self, leader: Option<String>) {
        if let Some(candidate) = &self.candidate {
            Self::lock(candidate).leader = Leader::Other(leader);
        }
    }
}

//! What becomes of a request, and who is told.

use policy::placement::Unplaced;
use policy::scaling::{Action, Observation};
use policy::sharing;
use policy::{Nanoseconds, Refusal, Time};
use scheduler_core::State;
use scheduler_core::decision::Decision;

use crate::faults::Incident;
use crate::links::{Flow, Transfers};
use crate::look::Look;
use crate::scheduler::Deployed;
use crate::sharing::{Slot, Stopped};
use crate::{Arrival, Run};

/// A request that was worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The target that took it, counted within its app.
    pub target: u32,
    /// When the work began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// What its transfers have taken, if they shared links; else as drawn.
    pub transfers: Option<Transfers>,
}

impl Served {
    /// One whose transfers took what was drawn.
    #[inline(always)]
    #[must_use]
    pub const fn new(target: u32, start: Time, end: Time) -> Self {
        Served { target, start, end, transfers: None }
    }
}

/// What became of a request.
pub type Outcome = Result<Served, Refusal>;

/// Instances of an app at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instances {
    /// They work or wait for work.
    pub ready: u32,
    /// They were asked for and don't work yet.
    pub starting: u32,
    /// They end what they have and take nothing new.
    pub leaving: u32,
}

/// Requests of a run that all are served, with columns as long as the run's.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The requests.
    pub run: Run<'a>,
    /// The target of each.
    pub targets: &'a [u32],
    /// When their work begins, in nanoseconds.
    pub starts: &'a [u64],
    /// When it ends.
    pub ends: &'a [u64],
}

/// Who is told of a run. Engines tell outcomes in different orders, each request once; changes of
/// instances and decisions come in the order of time.
pub trait Record {
    /// Whether it ever wants to [`Record::look`], the same all the time: engines keep more then, and are
    /// slower.
    #[inline(always)]
    fn looks(&self) -> bool {
        false
    }

    /// Takes in the outcome of a request.
    fn record(&mut self, arrival: &Arrival, outcome: Outcome);

    /// Takes in the outcomes of requests that all are served: the same as one by one.
    #[inline(always)]
    fn record_block(&mut self, block: &Block<'_>) {
        let times = block.starts.iter().zip(block.ends);
        for ((arrival, target), (start, end)) in block.run.arrivals().zip(block.targets).zip(times)
        {
            let served = Served::new(*target, Time(*start), Time(*end));
            self.record(&arrival, Ok(served));
        }
    }

    /// The client of a source with retries is done: it has its answer, or tries no more. `first` is
    /// its first attempt. Each attempt has been recorded as a request of its own, or will be.
    fn settle(&mut self, _first: &Arrival, _attempts: u32, _answered: Option<Time>) {}

    /// A pipeline is over after so many steps: when its last answer had been sent, or why it ended
    /// before. `first` is its first step. Each step has been recorded as a request of its own.
    fn finish(&mut self, _first: &Arrival, _steps: u32, _outcome: Result<Time, Refusal>) {}

    /// The instances of an app have changed.
    fn change(&mut self, _at: Time, _app: usize, _instances: Instances) {}

    /// The scaling rule has decided for an app. Called for every tick, also if nothing changes.
    fn decide(&mut self, _at: Time, _app: usize, _seen: Observation, _action: Action) {}

    /// No machine could take an instance that the scaling rule has asked for.
    fn unplaced(&mut self, _at: Time, _app: usize, _reasons: Unplaced) {}

    /// Something failed, or is as before: told in the order of time, before the changes that follow.
    fn incident(&mut self, _at: Time, _incident: Incident) {}

    /// The rule of sharing has decided for a pair of apps. Called for every look, also if nothing
    /// changes.
    fn share(
        &mut self,
        _at: Time,
        _pair: usize,
        _seen: sharing::Observation,
        _action: sharing::Action,
    ) {
    }

    /// Something has become of a slot that is lent.
    fn slot(&mut self, _at: Time, _slot: Slot) {}

    /// Work on a request was stopped. If it goes back to a queue, its outcome is still to come.
    fn stop(&mut self, _at: Time, _arrival: &Arrival, _stopped: Stopped) {}

    /// The scheduler has decided something, of an app or of all.
    fn scheduled(&mut self, _at: Time, _app: Option<usize>, _decision: &Decision) {}

    /// A deployment has begun, or has ended.
    fn deployed(&mut self, _deployed: &Deployed) {}

    /// The scheduler has had a turn; its clock is so far ahead.
    fn turned(&mut self, _at: Time, _ahead: Nanoseconds, _state: &State) {}

    /// A link that transfers share had so many of them for a time. Told in any order.
    fn flow(&mut self, _flow: Flow) {}

    /// The longest that all queues of an app together have been, just after an arrival. Told at
    /// the end, and only of runs whose queues are kept as such ([`crate::Model::is_dynamic`]).
    fn peak_queue(&mut self, _app: usize, _requests: u64) {}

    /// Whether the run goes on: asked before some arrivals, of which the first has this time and
    /// number. What is in the system then has been told already.
    #[inline(always)]
    fn goes_on(&mut self, _at: Time, _number: u64) -> bool {
        true
    }

    /// Whether what is known of the request with this number before it is decided about is wanted.
    fn wants(&self, _number: u64) -> bool {
        false
    }

    /// What was known of a request that it wants.
    fn look(&mut self, _arrival: &Arrival, _look: Look) {}
}

/// What is told of a run apart from outcomes, told to each of these.
macro_rules! pass_on {
    ($self:ident => $($to:expr),+) => {
        fn settle(&mut $self, first: &Arrival, attempts: u32, answered: Option<Time>) {
            $($to.settle(first, attempts, answered);)+
        }

        fn finish(&mut $self, first: &Arrival, steps: u32, outcome: Result<Time, Refusal>) {
            $($to.finish(first, steps, outcome);)+
        }

        fn change(&mut $self, at: Time, app: usize, instances: Instances) {
            $($to.change(at, app, instances);)+
        }

        fn decide(&mut $self, at: Time, app: usize, seen: Observation, action: Action) {
            $($to.decide(at, app, seen, action);)+
        }

        fn unplaced(&mut $self, at: Time, app: usize, reasons: Unplaced) {
            $($to.unplaced(at, app, reasons);)+
        }

        fn incident(&mut $self, at: Time, incident: Incident) {
            $($to.incident(at, incident);)+
        }

        fn share(
            &mut $self,
            at: Time,
            pair: usize,
            seen: sharing::Observation,
            action: sharing::Action,
        ) {
            $($to.share(at, pair, seen, action);)+
        }

        fn slot(&mut $self, at: Time, slot: Slot) {
            $($to.slot(at, slot);)+
        }

        fn stop(&mut $self, at: Time, arrival: &Arrival, stopped: Stopped) {
            $($to.stop(at, arrival, stopped);)+
        }

        fn scheduled(&mut $self, at: Time, app: Option<usize>, decision: &Decision) {
            $($to.scheduled(at, app, decision);)+
        }

        fn deployed(&mut $self, deployed: &Deployed) {
            $($to.deployed(deployed);)+
        }

        fn turned(&mut $self, at: Time, ahead: Nanoseconds, state: &State) {
            $($to.turned(at, ahead, state);)+
        }

        fn flow(&mut $self, flow: Flow) {
            $($to.flow(flow);)+
        }

        fn peak_queue(&mut $self, app: usize, requests: u64) {
            $($to.peak_queue(app, requests);)+
        }
    };
}

/// Both are told; the run goes on as long as both say so.
impl<A: Record, B: Record> Record for (A, B) {
    #[inline(always)]
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.0.record(arrival, outcome);
        self.1.record(arrival, outcome);
    }

    #[inline(always)]
    fn record_block(&mut self, block: &Block<'_>) {
        self.0.record_block(block);
        self.1.record_block(block);
    }

    #[inline(always)]
    fn goes_on(&mut self, at: Time, number: u64) -> bool {
        self.0.goes_on(at, number) & self.1.goes_on(at, number)
    }

    pass_on!(self => self.0, self.1);
}

/// For whom a call for each request is cheap enough, and an engine of its own isn't: an engine is
/// compiled for each type that it tells.
impl Record for &mut dyn Record {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        (**self).record(arrival, outcome);
    }

    fn record_block(&mut self, block: &Block<'_>) {
        (**self).record_block(block);
    }

    fn goes_on(&mut self, at: Time, number: u64) -> bool {
        (**self).goes_on(at, number)
    }

    fn looks(&self) -> bool {
        (**self).looks()
    }

    fn wants(&self, number: u64) -> bool {
        (**self).wants(number)
    }

    fn look(&mut self, arrival: &Arrival, look: Look) {
        (**self).look(arrival, look);
    }

    pass_on!(self => (**self));
}

/// Outcomes in the order of arrival.
impl Record for Vec<Option<Outcome>> {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let place = usize::try_from(arrival.number).unwrap_or(usize::MAX);
        if self.len() <= place {
            self.resize(place + 1, None);
        }
        if let Some(entry) = self.get_mut(place) {
            *entry = Some(outcome);
        }
    }
}

//! One host's own steps: what is in flight, what is announced, and the two positions that other
//! hosts ask for: its *frontier* and its *obligation*.
//! This file must never know of other hosts.

use crate::{Flow, Position, Step};
use std::collections::VecDeque;

/// What the host does after everything that was sent or passed.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// This step.
    Announced(Step),
    /// Something after `reached`, with no World step before `world`; nobody has said what.
    Unknown {
        /// The last position sent, passed or failed.
        reached: Position,
        /// The first position at which there may be a World step.
        world: Option<Position>,
    },
    /// Nothing.
    End,
}

/// A step that is sent or passed, but not settled.
#[derive(Clone, Debug)]
struct Pending {
    position: Position,
    /// `None`: passed without running, holds only if nothing before it fails.
    in_flight: Option<InFlight>,
}

#[derive(Clone, Debug)]
struct InFlight {
    flow: Flow,
    world_if_failed: Option<Position>,
    /// Number in the order of sending, for `Host::obligations`.
    number: u64,
}

/// The state of one active host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The first one, if any, is always in flight: a pass at the front is settled at once.
    pending: VecDeque<Pending>,
    /// For the minimum over what is in flight: the steps whose obligation is less than that of
    /// every later one, with their numbers; so both columns increase.
    obligations: VecDeque<(u64, Position)>,
    /// The number of steps ever sent.
    sent: u64,
    next: Next,
}

/// `min` in which `None` is later than everything.
pub(crate) fn earliest<'a>(
    left: Option<&'a Position>,
    right: Option<&'a Position>,
) -> Option<&'a Position> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, None) | (None, one) => one,
    }
}

impl Host {
    /// A host of which nothing is known yet.
    pub(crate) fn new() -> Self {
        let root = Position::root();
        Self {
            pending: VecDeque::new(),
            obligations: VecDeque::new(),
            sent: 0,
            next: Next::Unknown { reached: root.clone(), world: Some(root) },
        }
    }

    pub(crate) fn next(&self) -> &Next {
        &self.next
    }

    pub(crate) fn set_next(&mut self, next: Next) {
        self.next = next;
    }

    /// The announced step.
    pub(crate) fn announced(&self) -> Option<&Step> {
        match &self.next {
            Next::Announced(step) => Some(step),
            Next::Unknown { .. } | Next::End => None,
        }
    }

    /// The first unfinished position, or the last finished one while nobody has said what
    /// follows; `None` at the end. Everything before it is over on this host.
    pub(crate) fn frontier(&self) -> Option<&Position> {
        match (self.pending.front(), &self.next) {
            (Some(first), _) => Some(&first.position),
            (None, Next::Announced(step)) => Some(&step.position),
            (None, Next::Unknown { reached, .. }) => Some(reached),
            (None, Next::End) => None,
        }
    }

    /// The first position at which this host may still run or evaluate something of scope World.
    pub(crate) fn obligation(&self) -> Option<&Position> {
        let next = match &self.next {
            Next::Announced(step) => world_from(step),
            Next::Unknown { world, .. } => world.as_ref(),
            Next::End => None,
        };
        earliest(self.obligations.front().map(|(_, position)| position), next)
    }

    /// The positions in flight, in order.
    pub(crate) fn in_flight(&self) -> impl DoubleEndedIterator<Item = &Position> {
        self.pending
            .iter()
            .filter(|pending| pending.in_flight.is_some())
            .map(|pending| &pending.position)
    }

    /// The last step in flight.
    pub(crate) fn last_in_flight(&self) -> Option<(&Position, Flow)> {
        self.pending.iter().rev().find_map(|pending| {
            pending.in_flight.as_ref().map(|in_flight| (&pending.position, in_flight.flow))
        })
    }

    /// The announced step is in flight from now on.
    pub(crate) fn send(&mut self) {
        let Some(step) = self.take_announced() else { return };
        let own_world = step.runs_in_world().then_some(&step.position);
        if let Some(obligation) = earliest(own_world, step.world_if_failed.as_ref()) {
            while self.obligations.back().is_some_and(|(_, later)| later >= obligation) {
                self.obligations.pop_back();
            }
            self.obligations.push_back((self.sent, obligation.clone()));
        }
        self.pending.push_back(Pending {
            position: step.position,
            in_flight: Some(InFlight {
                flow: step.flow,
                world_if_failed: step.world_if_failed,
                number: self.sent,
            }),
        });
        self.sent += 1;
    }

    /// The announced step is over without running; says what is settled by that.
    pub(crate) fn pass(&mut self) -> Option<Vec<Position>> {
        let step = self.take_announced()?;
        if self.pending.is_empty() {
            return Some(vec![step.position]);
        }
        self.pending.push_back(Pending { position: step.position, in_flight: None });
        Some(Vec::new())
    }

    /// The first step in flight is over, if it is this one; says what is settled by that.
    pub(crate) fn finish(&mut self, position: &Position) -> Option<Vec<Position>> {
        let mut settled = vec![self.pop_front(position)?.position];
        while self.pending.front().is_some_and(|pending| pending.in_flight.is_none()) {
            settled.extend(self.pending.pop_front().map(|pending| pending.position));
        }
        Some(settled)
    }

    /// The first step in flight has failed, if it is this one, and everything behind it is gone;
    /// says what that was.
    pub(crate) fn fail(&mut self, position: &Position) -> Option<Vec<Position>> {
        let failed = self.pop_front(position)?;
        let world = failed.in_flight.and_then(|in_flight| in_flight.world_if_failed);
        self.obligations.clear();
        self.next = Next::Unknown { reached: failed.position, world };
        Some(self.pending.drain(..).map(|pending| pending.position).collect())
    }

    fn pop_front(&mut self, position: &Position) -> Option<Pending> {
        if self.pending.front().is_none_or(|first| first.position != *position) {
            return None;
        }
        let first = self.pending.pop_front()?;
        if let Some(in_flight) = &first.in_flight
            && self.obligations.front().is_some_and(|(number, _)| *number == in_flight.number)
        {
            self.obligations.pop_front();
        }
        Some(first)
    }

    fn take_announced(&mut self) -> Option<Step> {
        let step = self.announced()?.clone();
        let reached = step.position.clone();
        self.next = Next::Unknown { reached, world: step.world_after.clone() };
        Some(step)
    }
}

/// The first World position from this step on.
pub(crate) fn world_from(step: &Step) -> Option<&Position> {
    if step.is_fence() {
        return Some(&step.position);
    }
    earliest(step.world_after.as_ref(), step.world_if_failed.as_ref())
}

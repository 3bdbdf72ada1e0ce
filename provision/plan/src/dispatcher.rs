//! The rules: which host's announced step may be evaluated and sent now.
//! This file must never look into a task; `lib.rs` says why the rules are right.

use crate::host::{Host, Next, world_from};
use crate::{Flow, HostIndex, Misuse, Order, Position, Reason, Step, Turn, Verdict};
use std::collections::BTreeSet;
use std::ops::Bound;

/// Hosts by position: who is first, and who stands between two positions.
type Queue = BTreeSet<(Position, HostIndex)>;

/// Decides for the hosts of one batch what may be evaluated and sent to which host now.
///
/// Every question is O(log hosts), every notification O(log hosts) except that `failed` and
/// `deactivate` also touch what was in flight; `released` is O(log hosts + answer).
#[derive(Clone, Debug)]
pub struct Dispatcher {
    order: Order,
    /// `None`: inactive.
    hosts: Vec<Option<Host>>,
    /// The frontier of each active host that is not at its end.
    frontiers: Queue,
    /// The first World position that each active host may still meet.
    obligations: Queue,
    /// The announced position of each active host that has one.
    announced: Queue,
    /// `run_once` steps in flight.
    once_in_flight: Queue,
    /// The least frontier and the least obligation when `released` was last asked.
    released_frontier: Option<Position>,
    released_obligation: Option<Position>,
}

impl Dispatcher {
    /// A batch of this many active hosts of which nothing is known yet; World steps wait until
    /// each host has announced its first step.
    #[must_use]
    pub fn new(hosts: usize, order: Order) -> Self {
        let start = || (0..hosts).map(|host| (Position::root(), HostIndex(host))).collect();
        Self {
            order,
            hosts: vec![Some(Host::new()); hosts],
            frontiers: start(),
            obligations: start(),
            announced: Queue::new(),
            once_in_flight: Queue::new(),
            released_frontier: Some(Position::root()),
            released_obligation: Some(Position::root()),
        }
    }

    /// Says what the host would do next, after everything that was sent or passed. May be said
    /// again of the same step with better knowledge. To be said as soon as it is known, also
    /// while steps are in flight: until then others wait.
    ///
    /// # Errors
    /// If the host isn't active or had ended, if its positions don't increase, or if a World step
    /// turns up that an earlier step of the host had ruled out.
    pub fn next_is(&mut self, host: HostIndex, step: Step) -> Result<(), Misuse> {
        let position = step.position.clone();
        let before = self.active(host)?;
        let world_before = match before.next() {
            Next::End => return Err(Misuse::Ended { host, position }),
            Next::Unknown { reached, world } => {
                let at_start = reached.numbers().is_empty();
                if position < *reached || (position == *reached && !at_start) {
                    return Err(Misuse::Backwards { host, position, reached: reached.clone() });
                }
                world.as_ref()
            }
            Next::Announced(old) => {
                if position < old.position {
                    let reached = old.position.clone();
                    return Err(Misuse::Backwards { host, position, reached });
                }
                world_from(old)
            }
        };
        if let Some(world) = world_from(&step)
            && world_before.is_none_or(|before| world < before)
        {
            return Err(Misuse::Unforeseen { host, position, world: world.clone() });
        }
        self.change(host, |state| state.set_next(Next::Announced(step)))
    }

    /// Says that the host has nothing left to do after everything that was sent or passed. If
    /// something in flight fails, the host may go on elsewhere. Not for a host that is to leave
    /// behind what is in flight (failed, in its last always): it is deactivated when that is over.
    ///
    /// # Errors
    /// If the host isn't active.
    pub fn at_end(&mut self, host: HostIndex) -> Result<(), Misuse> {
        self.change(host, |state| state.set_next(Next::End))
    }

    /// May the keywords and templates of the host's announced step be evaluated now?
    ///
    /// - An evaluation of scope Host: if no *other* active host may still run or evaluate an
    ///   earlier step of scope World (it could change what is read here: delegated facts, groups).
    /// - An evaluation of scope World: if every other active host has finished everything earlier.
    /// - `run_once`: as World, only on the first active host that stands there, and if nothing of
    ///   it is in flight: what it finds, others share, and it cannot be taken back.
    /// - In each case, if no step of the host that is [`Flow::Alone`] is in flight: it may change
    ///   any variable of any host. That costs nothing, for nothing can be sent behind it.
    /// - [`Order::Strict`][]: as World, and nothing of the host is in flight.
    /// - [`Order::Free`][]: no fences.
    ///
    /// That a value of the host itself is still in flight is for the evaluation to find out.
    #[must_use]
    pub fn may_evaluate(&self, host: HostIndex) -> Verdict {
        self.verdict(host, |this, state, step| {
            this.fence(host, step, step.reads_world())?;
            let fenced_by_own = match this.order {
                Order::Fenced => step.turn == Turn::Once,
                Order::Free => false,
                Order::Strict => true,
            };
            match state.last_in_flight() {
                Some((at, flow)) if fenced_by_own || flow == Flow::Alone => {
                    Err(Reason::Own { at: at.clone() })
                }
                _ => Ok(()),
            }
        })
    }

    /// May the host's announced step, which was evaluated and is to run, be sent now?
    ///
    /// - Scope Host: if no *other* active host may still run or evaluate an earlier step of scope
    ///   World (exit fence).
    /// - Scope World: if every other active host has finished everything earlier (entry fence;
    ///   implies the exit fence).
    /// - `run_once`: as its scope, and only on the first active host that stands there.
    /// - In each case, as [`Flow`] of this step and of the last one in flight allow.
    /// - [`Order::Strict`][]: as World, and nothing of the host is in flight.
    /// - [`Order::Free`][]: as [`Flow`] allows.
    #[must_use]
    pub fn may_send(&self, host: HostIndex) -> Verdict {
        self.verdict(host, |this, state, step| {
            this.fence(host, step, step.runs_in_world())?;
            let alone = step.flow == Flow::Alone || this.order == Order::Strict;
            match state.last_in_flight() {
                Some((at, flow)) if alone || flow != Flow::Streamed => {
                    Err(Reason::Own { at: at.clone() })
                }
                _ => Ok(()),
            }
        })
    }

    /// The announced step is in flight from now on.
    ///
    /// # Errors
    /// If the host isn't active, has nothing announced, or [`Dispatcher::may_send`] says no.
    pub fn sent(&mut self, host: HostIndex) -> Result<(), Misuse> {
        let step = self.active(host)?.announced().ok_or(Misuse::NothingAnnounced(host))?;
        let (position, turn) = (step.position.clone(), step.turn);
        if let Verdict::Wait(reason) = self.may_send(host) {
            return Err(Misuse::TooEarly { host, position, reason });
        }
        self.change(host, Host::send)?;
        if turn == Turn::Once {
            self.once_in_flight.insert((position, host));
        }
        Ok(())
    }

    /// The announced step is over without running: skipped, expanded (an include, a flush point),
    /// run on another host (`run_once`), or carried out by the evaluation itself. If steps of the
    /// host are in flight, that holds only if none of them fails.
    ///
    /// Returns what is over for good by this, in order: the step itself, or nothing yet.
    ///
    /// # Errors
    /// If the host isn't active or has nothing announced.
    pub fn passed(&mut self, host: HostIndex) -> Result<Vec<Position>, Misuse> {
        self.active(host)?;
        self.change(host, Host::pass)?.ok_or(Misuse::NothingAnnounced(host))
    }

    /// The first step in flight has finished and the host goes on as announced (it succeeded, or
    /// its failure is ignored).
    ///
    /// Returns what is over for good by this, in order: the step itself and the passed ones right
    /// behind it.
    ///
    /// # Errors
    /// If the host isn't active or this isn't its first step in flight.
    pub fn finished(
        &mut self,
        host: HostIndex,
        position: &Position,
    ) -> Result<Vec<Position>, Misuse> {
        self.settle(host, position, Host::finish)
    }

    /// The first step in flight has failed and everything of the host behind it is gone: sent,
    /// passed or announced. Say next where the host goes on ([`Dispatcher::next_is`]: rescue or
    /// always; [`Dispatcher::at_end`]) or that it leaves ([`Dispatcher::deactivate`]).
    ///
    /// Returns the dropped positions, sent or passed, in order.
    ///
    /// # Errors
    /// If the host isn't active or this isn't its first step in flight.
    pub fn failed(
        &mut self,
        host: HostIndex,
        position: &Position,
    ) -> Result<Vec<Position>, Misuse> {
        self.settle(host, position, Host::fail)
    }

    /// The host has left the play: failed for good, unreachable, or ended by `meta: end_host`.
    /// Nobody waits for it any more. Again is no harm.
    pub fn deactivate(&mut self, host: HostIndex) {
        let Some(state) = self.hosts.get_mut(host.0).and_then(Option::take) else { return };
        let key = |position: Option<&Position>| position.map(|position| (position.clone(), host));
        for (queue, position) in [
            (&mut self.frontiers, state.frontier()),
            (&mut self.obligations, state.obligation()),
            (&mut self.announced, state.announced().map(|step| &step.position)),
        ] {
            if let Some(key) = key(position) {
                queue.remove(&key);
            }
        }
        for position in state.in_flight() {
            self.once_in_flight.remove(&(position.clone(), host));
        }
    }

    /// Whether the host is still in the play.
    #[must_use]
    pub fn is_active(&self, host: HostIndex) -> bool {
        self.hosts.get(host.0).is_some_and(Option::is_some)
    }

    /// The host's announced step.
    #[must_use]
    pub fn announced(&self, host: HostIndex) -> Option<&Step> {
        self.active(host).ok()?.announced()
    }

    /// The positions of the host that are in flight, in order.
    pub fn in_flight(&self, host: HostIndex) -> impl Iterator<Item = &Position> {
        self.hosts.get(host.0).and_then(Option::as_ref).into_iter().flat_map(Host::in_flight)
    }

    /// The active hosts whose announced step stands at this position, in order: those that share
    /// the result of a `run_once`.
    pub fn announced_at(&self, position: &Position) -> impl Iterator<Item = HostIndex> {
        at(&self.announced, position)
    }

    /// The hosts whose announced step a fence may have held back when this was last asked and may
    /// no longer do so, in order. Whoever tries a host after each of its own events, and those
    /// named here after each event, misses nothing. Each call also names up to two hosts for
    /// which nothing may have changed.
    pub fn released(&mut self) -> Vec<HostIndex> {
        if self.order == Order::Free {
            return Vec::new();
        }
        let mut released = Vec::new();
        for (queue, before) in [
            (&self.frontiers, &mut self.released_frontier),
            (&self.obligations, &mut self.released_obligation),
        ] {
            let now = queue.first().map(|(position, _)| position.clone());
            if later(now.as_ref(), before.as_ref()) {
                released.extend(between(&self.announced, before.as_ref(), now.as_ref()));
            }
            // The last one is what the others wait for; itself, it waits for the second, or for
            // its turn at `run_once`.
            released.extend(queue.first().map(|(_, host)| *host));
            *before = now;
        }
        released.sort_unstable();
        released.dedup();
        released
    }

    fn active(&self, host: HostIndex) -> Result<&Host, Misuse> {
        self.hosts.get(host.0).and_then(Option::as_ref).ok_or(Misuse::Inactive(host))
    }

    fn verdict(
        &self,
        host: HostIndex,
        rule: impl Fn(&Self, &Host, &Step) -> Result<(), Reason>,
    ) -> Verdict {
        let Ok(state) = self.active(host) else { return Verdict::Wait(Reason::Inactive) };
        let Some(step) = state.announced() else { return Verdict::Wait(Reason::NothingAnnounced) };
        rule(self, state, step).map_or_else(Verdict::Wait, |()| Verdict::Go)
    }

    /// The fences before a step: both sides of others' World steps, and of its own.
    fn fence(&self, host: HostIndex, step: &Step, world: bool) -> Result<(), Reason> {
        if self.order == Order::Free {
            return Ok(());
        }
        if world || self.order == Order::Strict {
            self.entry_fence(host, &step.position)?;
        } else {
            self.exit_fence(host, &step.position)?;
        }
        if step.turn == Turn::Once { self.first_turn(host, &step.position) } else { Ok(()) }
    }

    fn entry_fence(&self, host: HostIndex, position: &Position) -> Result<(), Reason> {
        match first_other(&self.frontiers, host) {
            Some((at, other)) if at < position => {
                Err(Reason::Unfinished { host: other, at: at.clone() })
            }
            _ => Ok(()),
        }
    }

    fn exit_fence(&self, host: HostIndex, position: &Position) -> Result<(), Reason> {
        match first_other(&self.obligations, host) {
            Some((at, other)) if at < position => {
                Err(Reason::WorldAhead { host: other, at: at.clone() })
            }
            _ => Ok(()),
        }
    }

    fn first_turn(&self, host: HostIndex, position: &Position) -> Result<(), Reason> {
        let running = at(&self.once_in_flight, position).next();
        match running.or_else(|| at(&self.announced, position).next()) {
            Some(other) if other != host => Err(Reason::Once { host: other }),
            _ => Ok(()),
        }
    }

    fn settle(
        &mut self,
        host: HostIndex,
        position: &Position,
        how: impl Fn(&mut Host, &Position) -> Option<Vec<Position>>,
    ) -> Result<Vec<Position>, Misuse> {
        let done = self.change(host, |state| how(state, position))?;
        let done =
            done.ok_or_else(|| Misuse::NotFirstInFlight { host, position: position.clone() })?;
        for over in done.iter().chain([position]) {
            self.once_in_flight.remove(&(over.clone(), host));
        }
        Ok(done)
    }

    /// Changes a host and keeps the queues true to it.
    fn change<T>(
        &mut self,
        host: HostIndex,
        change: impl FnOnce(&mut Host) -> T,
    ) -> Result<T, Misuse> {
        let state =
            self.hosts.get_mut(host.0).and_then(Option::as_mut).ok_or(Misuse::Inactive(host))?;
        let keys = |state: &Host| {
            [state.frontier(), state.obligation(), state.announced().map(|step| &step.position)]
                .map(Option::<&Position>::cloned)
        };
        let before = keys(state);
        let answer = change(state);
        let after = keys(state);
        let queues = [&mut self.frontiers, &mut self.obligations, &mut self.announced];
        for ((queue, before), after) in queues.into_iter().zip(before).zip(after) {
            if before == after {
                continue;
            }
            if let Some(position) = before {
                queue.remove(&(position, host));
            }
            if let Some(position) = after {
                queue.insert((position, host));
            }
        }
        Ok(answer)
    }
}

/// The first entry of another host. Each host has at most one entry.
fn first_other(queue: &Queue, host: HostIndex) -> Option<(&Position, HostIndex)> {
    queue.iter().map(|(at, other)| (at, *other)).find(|(_, other)| *other != host)
}

/// The hosts at a position, in order.
fn at<'a>(queue: &'a Queue, position: &Position) -> impl Iterator<Item = HostIndex> + 'a {
    let first = (position.clone(), HostIndex(usize::MIN));
    let last = (position.clone(), HostIndex(usize::MAX));
    queue.range(first..=last).map(|(_, host)| *host)
}

/// The hosts after one position, up to and with another; `None` is the end.
fn between<'a>(
    queue: &'a Queue,
    after: Option<&Position>,
    until: Option<&Position>,
) -> impl Iterator<Item = HostIndex> + 'a {
    let bound = |position: Option<&Position>| match position {
        Some(position) => Bound::Excluded((position.clone(), HostIndex(usize::MAX))),
        None => Bound::Unbounded,
    };
    queue.range((bound(after), bound(until))).map(|(_, host)| *host)
}

/// Whether one position is after another; `None` is the end.
fn later(one: Option<&Position>, other: Option<&Position>) -> bool {
    match (one, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(one), Some(other)) => one > other,
    }
}

//! Who is served next, and who may wait at all, in the oracle: lists are looked through each time.

use policy::admission::Deadlines;
use policy::overload::{self, Taken};
use policy::prediction::{self, Ahead, Asked};
use policy::queue::Order;
use policy::{Class, Nanoseconds, Queue, Refusal};

use super::{Oracle, candidate};
use crate::Arrival;
use crate::model::Cmd;

/// A request was dropped instead of being served.
pub(super) struct Dropped;

impl Oracle<'_> {
    /// How long a request usually takes.
    pub(super) fn expected(&self, arrival: &Arrival) -> Nanoseconds {
        let cmd = self.kind(arrival).and_then(|(cmd, _)| self.model.cmds.get(cmd));
        cmd.map_or(Nanoseconds::ZERO, Cmd::expected)
    }

    /// Whether a request of a class may queue at a target by how long it would wait.
    pub(super) fn predict(
        &self,
        app: usize,
        target: usize,
        class: Class,
        arrival: &Arrival,
    ) -> Result<(), Refusal> {
        let asked = Asked::new(&self.model.admission, &self.model.queue);
        let cmd = self.kind(arrival).and_then(|(cmd, _)| self.model.cmds.get(cmd));
        let (Some(asked), Some(crew), Some(cmd)) = (asked, self.apps.get(app), cmd) else {
            return Ok(());
        };
        let work = |requests: &mut dyn Iterator<Item = &Arrival>| {
            Nanoseconds(requests.map(|arrival| self.expected(arrival).0).sum())
        };
        let mut waiting = [Nanoseconds::ZERO; 2];
        for (sum, class) in waiting.iter_mut().zip(Class::ALL) {
            let is_it = |arrival: &&Arrival| self.kind(arrival).is_some_and(|(_, it)| it == class);
            let there = crew.coming_to(target).chain(crew.waiting_at(target));
            *sum = work(&mut there.filter(is_it));
        }
        let (room, running) = (crew.room(target), crew.running(target));
        let ahead = Ahead {
            waiting,
            running: work(&mut crew.running_at(target)),
            places: u32::try_from(room + running).unwrap_or(u32::MAX),
            idle: room > crew.coming_to(target).count(),
        };
        prediction::enqueue(&asked, class, candidate(cmd, self.now), &ahead, self.now)
    }

    /// The place in its queue of the request that is served next.
    fn next_place(&mut self, app: usize, target: usize) -> Option<usize> {
        let rules = &self.model.queue;
        let crew = self.apps.get(app)?;
        let waiting = || crew.waiting_at(target).enumerate();
        match rules.order {
            Order::Fifo => waiting().next().map(|(place, _)| place),
            Order::Priority => {
                let rank = |arrival: &Arrival| {
                    self.kind(arrival).is_some_and(|(_, class)| class == Class::Free)
                };
                waiting().min_by_key(|(_, arrival)| rank(arrival)).map(|(place, _)| place)
            }
            Order::AdaptiveLifo => {
                let standing = crew.queues.get(&target)?.standing;
                let overload = rules.overload.as_ref();
                match overload.is_some_and(|rules| standing.is_overloaded(rules, self.now)) {
                    true => waiting().last().map(|(place, _)| place),
                    false => waiting().next().map(|(place, _)| place),
                }
            }
            Order::DeficitRoundRobin => {
                let first = |user: u32| waiting().find(|(_, arrival)| arrival.user == user);
                let mut turns = crew.queues.get(&target)?.turns.clone();
                let cost = |user: u32| {
                    first(user).map_or(Nanoseconds::ZERO, |(_, arrival)| self.expected(arrival))
                };
                let user = turns.next(rules.quantum.unwrap_or(Queue::QUANTUM), cost)?;
                let place = first(user).map(|(place, _)| place);
                self.apps.get_mut(app)?.queues.get_mut(&target)?.turns = turns;
                place
            }
        }
    }

    /// Takes the request out of a queue that is served next, if any waits.
    pub(super) fn take_next(
        &mut self,
        app: usize,
        target: usize,
    ) -> Option<Result<(Arrival, Nanoseconds), Dropped>> {
        let place = self.next_place(app, target)?;
        let queue = self.apps.get_mut(app)?.queues.get_mut(&target)?;
        let (arrival, came, was_overloaded) = queue.take(place)?;
        let waited = self.now.since(came);
        let taken = Taken { was_overloaded, waited, others: !queue.waiting.is_empty() };
        let mut verdict = Ok(());
        if let Some(rules) = &self.model.queue.overload {
            verdict = overload::take(rules, &mut queue.codel, taken, self.now);
        }
        if self.model.admission.deadlines == Deadlines::Predict
            && let Some((cmd, _)) = self.kind(&arrival)
            && let Some(cmd) = self.model.cmds.get(cmd)
        {
            verdict =
                verdict.and_then(|()| prediction::in_time(candidate(cmd, arrival.at), self.now));
        }
        Some(match verdict {
            Ok(()) => Ok((arrival, waited)),
            Err(cause) => {
                self.drop(&arrival, cause);
                Err(Dropped)
            }
        })
    }
}

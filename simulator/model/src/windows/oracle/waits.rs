//! Rules about how long requests wait, by lists.

use policy::admission::{Candidate, Deadlines};
use policy::codel::Codel;
use policy::overload::{self, Standing, Taken};
use policy::prediction::{self, Ahead, Asked};
use policy::{Nanoseconds, Refusal, Time};

use super::super::{Request, Witness};
use super::{Event, Oracle};

/// What the queue of a target remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    standing: Standing,
    codel: Codel,
}

impl<W: Witness> Oracle<'_, W> {
    /// By when a request must be answered, and how long it usually takes.
    pub(super) fn candidate(&self, request: &Request) -> Option<Candidate> {
        let (cmd, _) = self.kind(request)?;
        let definition = self.model.cmds.get(cmd)?;
        let deadline =
            definition.deadline.map_or(Time(u64::MAX), |deadline| request.time() + deadline);
        Some(Candidate { deadline, usual: definition.service.median() })
    }

    /// How long the work on a request is expected to take.
    pub(super) fn expected(&self, place: usize) -> Nanoseconds {
        let cmd = self.requests.get(place).and_then(|request| self.kind(request));
        let cmd = cmd.and_then(|(cmd, _)| self.model.cmds.get(cmd));
        cmd.map_or(Nanoseconds::ZERO, crate::Cmd::expected)
    }

    /// Whether the wait that is predicted for a request at its target is short enough.
    pub(super) fn predict(&self, place: usize) -> Result<(), Refusal> {
        let Some(asked) = Asked::new(&self.model.admission, &self.model.queue) else {
            return Ok(());
        };
        let request = self.requests.get(place).ok_or(Refusal::NoInstance)?;
        let (app, class) = self.place(request).ok_or(Refusal::NoInstance)?;
        let targets = self.apps.get(app).ok_or(Refusal::NoInstance)?;
        let target = targets.get(request.target as usize).ok_or(Refusal::NoInstance)?;
        let candidate = self.candidate(request).ok_or(Refusal::NoInstance)?;
        let sum = |places: &mut dyn Iterator<Item = usize>| {
            let all = places.map(|place| self.expected(place));
            all.fold(Nanoseconds::ZERO, |sum, work| Nanoseconds(sum.0.saturating_add(work.0)))
        };
        let before = |class: policy::Class| {
            let is_of = move |place: &usize| {
                let known = self.requests.get(*place).and_then(|request| self.kind(request));
                known.is_some_and(|(_, known)| known == class)
            };
            sum(&mut target.coming().chain(target.waiting()).filter(is_of))
        };
        let running = u32::try_from(target.running().count()).unwrap_or(u32::MAX);
        let ahead = Ahead {
            waiting: policy::Class::ALL.map(before),
            running: sum(&mut target.running()),
            places: target.idle().saturating_add(running),
            idle: target.idle() as usize > target.coming().count(),
        };
        prediction::enqueue(&asked, class, candidate, &ahead, self.now)
    }

    /// A request is about to come into the queue of a target.
    pub(super) fn note(&mut self, app: usize, chosen: usize, place: usize) {
        let Some(rules) = self.model.queue.overload else { return };
        let target = self.apps.get(app).and_then(|targets| targets.get(chosen));
        let is_empty = target.is_some_and(|target| target.waiting().next().is_none());
        let memory = self.memories.entry((app, chosen)).or_default();
        if is_empty {
            memory.standing = Standing::begun(self.now);
            memory.codel.rest();
        }
        if memory.standing.is_overloaded(&rules, self.now) {
            self.came_late.insert(place);
        }
    }

    /// Whether a request whose turn it is is worked on; how many others wait behind it is given.
    pub(super) fn take(
        &mut self,
        (app, chosen): (usize, usize),
        place: usize,
        others: usize,
    ) -> Result<(), Refusal> {
        let request = *self.requests.get(place).ok_or(Refusal::NoInstance)?;
        let was_overloaded = self.came_late.remove(&place);
        if let Some(rules) = self.model.queue.overload {
            let came = self.queued.get(&place).copied().unwrap_or(self.now);
            let (waited, others) = (self.now.since(came), others > 0);
            let memory = self.memories.entry((app, chosen)).or_default();
            let taken = Taken { was_overloaded, waited, others };
            overload::take(&rules, &mut memory.codel, taken, self.now)?;
        }
        if self.model.admission.deadlines != Deadlines::Predict {
            return Ok(());
        }
        let candidate = self.candidate(&request).ok_or(Refusal::NoInstance)?;
        prediction::in_time(candidate, self.now)
    }

    /// A request comes to nothing that had been let in: its gateway hears of it.
    pub(super) fn turn_away(&mut self, place: usize, cause: Refusal) {
        self.refuse(place, cause);
        self.refused.insert(place, cause);
        self.after(self.network.delay, Event::Hear { request: place });
    }
}

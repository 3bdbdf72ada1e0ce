//! Links of machines that transfers share, in the live engine. All transfers of a link progress
//! alike, so one number says how far all of them are (virtual time, as for instances that work on
//! several requests: `seats.rs`); an agenda tells which links have something due.
//!
//! Sources pass their links before targets do anything, and answers after: what ends on a link to a
//! machine never depends on what its targets do, so both can be passed in turn for a stretch of time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use policy::{Nanoseconds, Time};

use super::target::Job;
use crate::links::{self, Channel, Flow, Leg, Links, Share, Trip};
use crate::model::Model;

/// Who is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ticket {
    /// The source of a request: the place of its target, and its number there.
    Source(u32, u64),
    /// An answer, by the number of its beginning.
    Answer(u64),
}

/// An answer that is being sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub job: Job,
    pub app: u32,
    /// The number of its target.
    pub target: u32,
    /// When its work ended.
    pub end: Time,
}

/// A source that has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    /// Of its target.
    pub place: u32,
    /// At its target.
    pub number: u64,
    pub at: Time,
    /// Since the end of the dispatch.
    pub took: Nanoseconds,
}

/// What is on its way.
#[derive(Debug)]
struct Rider {
    machine: u32,
    state: State,
    leg: Leg,
    /// What follows.
    next: Option<Leg>,
    after: Nanoseconds,
    /// The end of the dispatch.
    since: Time,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Its first byte comes then.
    Coming(Time),
    /// It is done at this progress of the link.
    Carried(u128),
}

/// One link of one machine.
#[derive(Debug)]
struct Wire {
    machine: u32,
    channel: Channel,
    share: Share,
    /// What a transfer has had that was there all the time.
    progress: u128,
    updated: Time,
    coming: BTreeSet<(Time, Ticket)>,
    /// By the progress at which they are done.
    carried: BTreeSet<(u128, Ticket)>,
    planned: Option<Time>,
}

/// All shared links of all machines.
#[derive(Debug)]
pub(super) struct Wires {
    links: Links,
    wires: BTreeMap<(u32, Channel), Wire>,
    riders: BTreeMap<Ticket, Rider>,
    /// When something happens next on each link: of those to machines, and of those from them.
    agendas: [BTreeSet<(Time, u32, Channel)>; 2],
    /// Answers that were ever sent.
    sent: u64,
    /// Sources that have come, and answers that have been sent, since somebody asked.
    arrived: VecDeque<Arrived>,
    answered: VecDeque<(Answer, Time)>,
    flows: Vec<Flow>,
}

/// Which agenda.
const fn direction(channel: Channel) -> usize {
    match channel {
        Channel::In | Channel::Store => 0,
        Channel::Out => 1,
    }
}

impl Wire {
    fn transfers(&self) -> u32 {
        u32::try_from(self.carried.len()).unwrap_or(u32::MAX)
    }

    /// Lets time pass.
    fn elapse(&mut self, now: Time, flows: &mut Vec<Flow>) {
        let (from, transfers) = (self.updated, self.transfers());
        self.updated = now;
        if transfers == 0 {
            // Nothing is left that remembers how far it was.
            self.progress = 0;
        } else if from < now {
            let passed = u128::from(now.since(from).0);
            self.progress += passed * u128::from(self.share.speed(transfers));
            let (machine, channel) = (self.machine, self.channel);
            flows.push(Flow { machine, channel, from, until: now, transfers });
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<Time> {
        let begins = self.coming.first().map(|(at, _)| *at);
        let ends = self.carried.first().map(|(done, _)| {
            let left = done.saturating_sub(self.progress);
            self.updated + links::time(left, self.share.speed(self.transfers()))
        });
        begins.into_iter().chain(ends).min()
    }
}

impl Wires {
    /// Those of a model; none if no transfers share any.
    pub(super) fn new(model: &Model) -> Option<Box<Self>> {
        model.shares_links().then(|| {
            Box::new(Wires {
                links: model.dynamics.links,
                wires: BTreeMap::new(),
                riders: BTreeMap::new(),
                agendas: [BTreeSet::new(), BTreeSet::new()],
                sent: 0,
                arrived: VecDeque::new(),
                answered: VecDeque::new(),
                flows: Vec::new(),
            })
        })
    }

    /// When anything happens next on a link to a machine.
    pub(super) fn next_arrival(&self) -> Option<Time> {
        let [sources, _] = &self.agendas;
        sources.first().map(|(at, ..)| *at)
    }

    /// When anything happens next on any link.
    pub(super) fn next_event(&self) -> Option<Time> {
        self.agendas.iter().filter_map(|agenda| agenda.first()).map(|(at, ..)| *at).min()
    }

    /// A source begins its way to a target, which is `now`; its dispatch ends at `since`.
    pub(super) fn bring(
        &mut self,
        (place, number): (u32, u64),
        machine: u32,
        trip: Trip,
        now: Time,
        since: Time,
    ) {
        let mut legs = trip.legs.into_iter().flatten();
        let Some(leg) = legs.next() else { return };
        let (next, after) = (legs.next(), trip.after);
        let state = State::Coming(now);
        let rider = Rider { machine, state, leg, next, after, since, answer: None };
        self.set_out(Ticket::Source(place, number), rider, now);
    }

    /// An answer begins its way.
    pub(super) fn send(&mut self, answer: Answer, machine: u32, leg: Leg) {
        let (since, state, after) = (answer.end, State::Coming(answer.end), Nanoseconds::ZERO);
        let answer = Some(answer);
        let rider = Rider { machine, state, leg, next: None, after, since, answer };
        self.sent += 1;
        self.set_out(Ticket::Answer(self.sent), rider, since);
    }

    /// The latency of a leg begins.
    fn set_out(&mut self, ticket: Ticket, mut rider: Rider, now: Time) {
        let channel = rider.leg.channel;
        let Some(share) = self.links.share(channel) else { return };
        let begins = now + rider.leg.before;
        rider.state = State::Coming(begins);
        let machine = rider.machine;
        let wire = self.wires.entry((machine, channel)).or_insert_with(|| Wire {
            machine,
            channel,
            share,
            progress: 0,
            updated: now,
            coming: BTreeSet::new(),
            carried: BTreeSet::new(),
            planned: None,
        });
        wire.coming.insert((begins, ticket));
        self.riders.insert(ticket, rider);
        self.plan(machine, channel);
    }

    /// Notes when something happens next on a link.
    fn plan(&mut self, machine: u32, channel: Channel) {
        let Some(wire) = self.wires.get_mut(&(machine, channel)) else { return };
        let next = wire.next();
        if next == wire.planned {
            return;
        }
        let Some(agenda) = self.agendas.get_mut(direction(channel)) else { return };
        if let Some(planned) = wire.planned {
            agenda.remove(&(planned, machine, channel));
        }
        agenda.extend(next.map(|next| (next, machine, channel)));
        wire.planned = next;
    }

    /// Everything happens that is due by now on links to machines.
    pub(super) fn pass_sources(&mut self, now: Time) -> impl Iterator<Item = Arrived> {
        self.pass(direction(Channel::In), now);
        self.arrived.drain(..)
    }

    /// Everything happens that is due by now on links from machines.
    pub(super) fn pass_answers(&mut self, now: Time) -> Option<(Answer, Time)> {
        self.pass(direction(Channel::Out), now);
        self.answered.pop_front()
    }

    fn pass(&mut self, direction: usize, now: Time) {
        while let Some((at, machine, channel)) = self
            .agendas
            .get(direction)
            .and_then(|agenda| agenda.first().copied())
            .filter(|(at, ..)| *at <= now)
        {
            self.step(machine, channel, at);
        }
    }

    /// What ends on a link at an instant is over before what begins.
    fn step(&mut self, machine: u32, channel: Channel, now: Time) {
        let Some(wire) = self.wires.get_mut(&(machine, channel)) else { return };
        wire.elapse(now, &mut self.flows);
        let mut done = Vec::new();
        while let Some((_, ticket)) =
            wire.carried.first().copied().filter(|(left, _)| *left <= wire.progress)
        {
            wire.carried.pop_first();
            done.push(ticket);
        }
        while let Some((_, ticket)) =
            wire.coming.first().copied().filter(|(begins, _)| *begins <= now)
        {
            wire.coming.pop_first();
            if let Some(rider) = self.riders.get_mut(&ticket) {
                let end = wire.progress + wire.share.work(rider.leg.bytes);
                rider.state = State::Carried(end);
                wire.carried.insert((end, ticket));
            }
        }
        self.plan(machine, channel);
        for ticket in done {
            self.carried(ticket, now);
        }
    }

    /// A transfer is over.
    fn carried(&mut self, ticket: Ticket, now: Time) {
        let Some(mut rider) = self.riders.remove(&ticket) else { return };
        if let Some(leg) = rider.next.take() {
            rider.leg = leg;
            return self.set_out(ticket, rider, now);
        }
        let at = now + rider.after;
        match (ticket, rider.answer) {
            (Ticket::Source(place, number), _) => {
                let took = at.since(rider.since);
                self.arrived.push_back(Arrived { place, number, at, took });
            }
            (Ticket::Answer(_), Some(answer)) => self.answered.push_back((answer, at)),
            (Ticket::Answer(_), None) => {}
        }
    }

    /// The source of a request isn't wanted any more.
    pub(super) fn drop_source(&mut self, place: u32, number: u64, now: Time) {
        self.forget(Ticket::Source(place, number), now);
    }

    fn forget(&mut self, ticket: Ticket, now: Time) -> Option<Rider> {
        let rider = self.riders.remove(&ticket)?;
        let (machine, channel) = (rider.machine, rider.leg.channel);
        let wire = self.wires.get_mut(&(machine, channel))?;
        match rider.state {
            State::Coming(begins) => {
                wire.coming.remove(&(begins, ticket));
            }
            State::Carried(end) => {
                wire.elapse(now, &mut self.flows);
                wire.carried.remove(&(end, ticket));
            }
        }
        self.plan(machine, channel);
        Some(rider)
    }

    /// A machine has failed: the answers of an app that it was sending.
    pub(super) fn drop_answers(&mut self, app: u32, machine: u32, now: Time) -> Vec<Answer> {
        let is_it = |rider: &Rider| {
            rider.machine == machine && rider.answer.is_some_and(|answer| answer.app == app)
        };
        let riders = self.riders.iter().filter(|(_, rider)| is_it(rider));
        let tickets: Vec<Ticket> = riders.map(|(ticket, _)| *ticket).collect();
        let dropped = tickets.into_iter().filter_map(|ticket| self.forget(ticket, now)?.answer);
        dropped.collect()
    }

    /// What links have carried since somebody asked.
    pub(super) fn flows(&mut self) -> impl Iterator<Item = Flow> {
        self.flows.drain(..)
    }
}

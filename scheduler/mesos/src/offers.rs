//! Offers: held for a while, used by launches on their machine, declined when they are old.
//!
//! A launch is answered within a millisecond from an offer that is held; a declined offer comes back
//! only with the next cycle of the master (a second). So offers are held for minutes, and given back
//! then, so that other frameworks get their share and the master's picture stays true. While nothing
//! is launched they are declined for long, and when nothing is wanted either, offers are suppressed.
//! A larger offer comes in spite of a refusal; REVIVE ends all refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesos::scheduler::{Accept, AnswerInverseOffers, Call, Decline, Roles};
use mesos::{Filters, FrameworkId, InverseOffer, Offer, OfferId, Operation, OperationType};
use policy::{Nanoseconds, Time};
use scheduler_core::command::Launch;
use scheduler_core::event::InstanceFact;
use scheduler_core::ids::{InstanceId, MachineName};
use scheduler_core::volume::{Reserved, VolumeId};

use crate::disks::{Disks, Taken};
use crate::output::Note;
use crate::place::{Absent, HeldOffer, Place, Waiting, attributes, machine_name};
use crate::reserved::reservation;
use crate::resources::{Amounts, Pool, unreserve};
use crate::settings::Settings;
use crate::task;
use crate::translator::{Task, Translator, is_named};

/// An offer is held for so long, and a part of the jitter longer.
pub const HOLD_MOST: Nanoseconds = Nanoseconds::from_seconds(300);

/// Offers that came together don't go together: that much later at most.
pub const HOLD_JITTER: Nanoseconds = Nanoseconds::from_seconds(60);

/// Without a launch for so long, offers are declined for long.
pub const IDLE_AFTER: Nanoseconds = Nanoseconds::from_seconds(600);

/// For how long offers are declined while something is launched now and then: Mesos' default.
pub const REFUSE_SHORT_SECONDS: f64 = 5.0;

/// For how long offers are declined while nothing is launched.
pub const REFUSE_LONG_SECONDS: f64 = 3600.0;

/// What an acceptance or a task leaves is offered again within so long; the master's cycle is a
/// second by default, and a busy one has missed some.
pub const RETURN_PATIENCE: Nanoseconds = Nanoseconds::from_seconds(30);

/// A launch without an offer of its machine for so long is given back to the core.
pub const OFFER_PATIENCE: Nanoseconds = Nanoseconds::from_seconds(30);

/// A launch without an offer for so long asks for offers: cycles of the master have passed then.
pub const REVIVE_AFTER: Nanoseconds = Nanoseconds::from_seconds(2);

/// Offers are asked for at most so often, since that ends the refusals of all agents (Marathon's
/// `min_revive_offers_interval`).
pub const REVIVE_LEAST: Nanoseconds = Nanoseconds::from_seconds(5);

/// Offers of so many machines are accepted before the acceptances are handed on: what they take
/// together is well below a millisecond.
const MACHINES_AT_A_TIME: usize = 16;

impl Translator {
    pub(crate) fn offered(&mut self, offer: Offer, now: Time) {
        let Some(name) = machine_name(&offer) else {
            self.note(Note::Strange("an offer of a host without a usable name"));
            let offer_ids = vec![offer.id];
            let filters = Some(Filters { refuse_seconds: Some(REFUSE_LONG_SECONDS) });
            return self.call(|id| Call::decline(id, Decline { offer_ids, filters }));
        };
        let place = self.places.entry(name.clone()).or_default();
        if place.agent.as_deref() != Some(&offer.agent_id) {
            // Another agent on the same host: what the one before offered is void.
            for id in std::mem::take(&mut place.offers).into_keys() {
                self.offers.remove(&id);
            }
            place.agent = Some(Arc::new(offer.agent_id.clone()));
            self.are_agents_new = true;
            place.absent = Absent::None;
            self.agents.insert(offer.agent_id.clone(), name.clone());
            self.doubt(&name);
        }
        let place = self.places.entry(name.clone()).or_default();
        if place.absent == Absent::Declined {
            place.absent = Absent::None;
        }
        let attributes = attributes(&offer);
        if *place.attributes != attributes {
            place.attributes = Arc::new(attributes);
        }
        place.unavailable(offer.unavailability.as_ref());
        // Agents that are being emptied make no offers.
        place.is_drained = false;
        place.is_news |= place.is_told_silent || place.told.is_none();
        place.is_told_silent = false;
        place.is_heard = true;
        self.look_for_volumes(&name, &offer, now);
        let place = self.places.entry(name.clone()).or_default();
        self.offers.insert(offer.id.clone(), name.clone());
        place.offers.insert(offer.id.clone(), HeldOffer::new(&offer, now));
        self.ready.insert(name.clone());
        self.changed.insert(name);
    }

    pub(crate) fn rescinded(&mut self, id: &OfferId) {
        let Some(name) = self.offers.remove(id) else { return };
        if let Some(place) = self.places.get_mut(&name) {
            place.offers.remove(id);
            place.absent = Absent::None;
        }
        self.changed.insert(name);
    }

    /// Machines are to be taken away. The answer only informs who wants that.
    pub(crate) fn inverse_offered(&mut self, offers: Vec<InverseOffer>) {
        let mut ids = Vec::new();
        for offer in offers {
            let name = offer.agent_id.as_ref().and_then(|agent| self.agents.get(agent));
            if let Some(name) = name.cloned()
                && let Some(place) = self.places.get_mut(&name)
            {
                place.unavailable(Some(&offer.unavailability));
                place.is_heard = true;
                self.changed.insert(name);
            }
            ids.push(offer.id);
        }
        if !ids.is_empty() {
            let filters = Some(Filters { refuse_seconds: Some(REFUSE_LONG_SECONDS) });
            let answer = AnswerInverseOffers { inverse_offer_ids: ids, filters };
            self.call(|id| Call::accept_inverse_offers(id, answer));
        }
    }

    /// Launches what has found an offer, on some of the machines.
    pub(crate) fn accept(&mut self, now: Time) {
        for _ in 0..MACHINES_AT_A_TIME {
            let Some(name) = self.ready.pop_first() else { return };
            let Some(place) = self.places.get_mut(&name) else { continue };
            let (settings, framework) = (&self.settings, self.framework.as_ref());
            let books = Books { settings, framework, volumes: &self.volumes, tasks: &self.tasks };
            let accepted = accept(place, &books, now);
            if place.is_lacking() {
                self.lacking.insert(name.clone());
            }
            let Some((accept, sent)) = accepted else { continue };
            place.absent = Absent::Returning(now + RETURN_PATIENCE);
            for id in &accept.offer_ids {
                self.offers.remove(id);
            }
            let (agent, launches) = (place.agent.clone(), !sent.is_empty());
            for waiting in sent {
                let launch = waiting.launch;
                let specification = &launch.specification;
                let failures = specification.check.as_ref().map_or(1, |check| check.failures);
                let need = specification.need;
                let task = Task::new(name.clone(), agent.clone(), need, launch.ports, failures);
                let volume = launch.volume.map(|own| Box::new(own.id));
                let (disk_mib, is_nameless) =
                    (specification.volumes_mib(), is_named(specification));
                let task = Task { disk_mib, volume, is_nameless, ..task };
                self.insert_task(launch.instance, task);
            }
            if launches {
                self.last_launch = now;
            }
            self.call(|id| Call::accept(id, accept));
        }
    }

    /// Asks for offers if a launch waits and none are on their way.
    pub(crate) fn revive(&mut self, now: Time) {
        let is_allowed = self.last_revive.is_none_or(|last| now.since(last) >= REVIVE_LEAST);
        if !is_allowed || !(self.is_suppressed && self.is_wanted || self.needs_offers(now)) {
            return;
        }
        self.last_revive = Some(now);
        self.is_suppressed = false;
        self.call(|id| Call::revive(id, Roles::default()));
    }

    fn needs_offers(&self, now: Time) -> bool {
        let places = self.lacking.iter().filter_map(|name| self.places.get(name));
        places.filter(|place| place.is_lacking()).any(|place| {
            let is_declined = place.offers.is_empty() && place.absent == Absent::Declined;
            let is_late = |one: &Waiting| now.since(one.since) >= REVIVE_AFTER;
            is_declined || self.is_suppressed || place.waiting.iter().any(is_late)
        })
    }

    /// What time brings for offers and for launches that wait.
    pub(crate) fn tick_offers(&mut self, now: Time) {
        let is_idle = now.since(self.last_launch) >= IDLE_AFTER && self.waiting() == 0;
        let is_suppressing = is_idle && !self.is_wanted && !self.is_suppressed;
        let mut old = Vec::new();
        let mut late: Vec<(MachineName, Vec<InstanceId>)> = Vec::new();
        for (name, place) in &mut self.places {
            // An end waits for a new offer, not for those that show nothing of the volume.
            let waits = !place.waiting.is_empty();
            let is_old = |id: &OfferId, held: &HeldOffer| {
                is_suppressing || now.since(held.since) >= HOLD_MOST + jitter(id)
            };
            let found: Vec<OfferId> = place
                .offers
                .iter()
                .filter(|(id, held)| !waits && is_old(id, held))
                .map(|(id, _)| id.clone())
                .collect();
            if !found.is_empty() {
                place.offers.retain(|id, _| !found.contains(id));
                place.absent = Absent::Declined;
                old.extend(found);
            }
            if let Absent::Returning(until) = place.absent
                && now >= until
            {
                place.absent = if self.is_suppressed { Absent::Declined } else { Absent::None };
                self.changed.insert(name.clone());
            }
            let ids = overdue(place, now);
            if !ids.is_empty() {
                // The core must not choose it again before it is offered.
                place.absent = Absent::None;
                self.changed.insert(name.clone());
                late.push((name.clone(), ids));
            }
            if place.unavailable_from.is_some() {
                self.changed.insert(name.clone());
            }
        }
        let places = &self.places;
        self.lacking.retain(|name| places.get(name).is_some_and(Place::is_lacking));
        for (name, ids) in late {
            for id in ids {
                self.note(Note::NoOffer(id.clone()));
                let why = format!("no offer of {name} had room for it in time");
                self.tell(&id, &name, now, InstanceFact::NeverStarted(why));
            }
        }
        self.decline(old, is_idle);
        if is_suppressing {
            self.is_suppressed = true;
            self.call(|id| Call::suppress(id, Roles::default()));
        }
    }

    fn decline(&mut self, offer_ids: Vec<OfferId>, is_idle: bool) {
        for id in &offer_ids {
            self.offers.remove(id);
        }
        if !offer_ids.is_empty() {
            let seconds = if is_idle { REFUSE_LONG_SECONDS } else { REFUSE_SHORT_SECONDS };
            let filters = Some(Filters { refuse_seconds: Some(seconds) });
            self.call(|id| Call::decline(id, Decline { offer_ids, filters }));
        }
    }
}

/// What an acceptance is made by.
struct Books<'a> {
    settings: &'a Settings,
    framework: Option<&'a FrameworkId>,
    volumes: &'a BTreeMap<VolumeId, Reserved>,
    tasks: &'a BTreeMap<InstanceId, Box<Task>>,
}

/// Uses all offers of a machine for those that wait there and fit, if there are any.
fn accept(place: &mut Place, books: &Books<'_>, now: Time) -> Option<(Accept, Vec<Waiting>)> {
    let agent = place.agent.clone()?;
    if !(place.is_lacking() || place.may_have_surplus) || place.offers.is_empty() {
        return None;
    }
    let offers = place.offers();
    let mut pool = Pool::of(&offers, books.framework);
    let mut disks = Disks::of(&offers, books.framework);
    let mut operations = place.end_volumes(&mut disks, now);
    let surplus = place.give_back_surplus(&mut pool, books.volumes, books.tasks);
    operations.extend(unreserve(surplus));
    let (mut task_infos, mut sent, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reserve, mut create) = (Vec::new(), Vec::new());
    for waiting in std::mem::take(&mut place.waiting) {
        let launch = &waiting.launch;
        let own = launch.volume.as_ref().map(|own| &own.id);
        let is_early = |own| place.returning.contains_key(own) && !disks.has(own);
        let taken = match own.is_some_and(is_early) {
            true => None,
            false => take(launch, &mut pool, &mut disks, books),
        };
        match taken {
            Some(taken) => {
                reserve.extend(taken.reserve);
                create.extend(taken.create);
                task_infos.push(task::task(launch, &agent, taken.resources, books.settings));
                sent.push(waiting);
            }
            None => left.push(waiting),
        }
    }
    place.waiting = left;
    operations.extend(Taken::operations(reserve, create));
    if !sent.is_empty() {
        operations.push(Operation {
            r#type: Some(OperationType::Launch.into()),
            launch: Some(mesos::Launch { task_infos }),
            ..Operation::default()
        });
    }
    if operations.is_empty() {
        return None;
    }
    let accept = Accept {
        offer_ids: std::mem::take(&mut place.offers).into_keys().collect(),
        operations,
        // What is left is wanted back at once.
        filters: Some(Filters { refuse_seconds: Some(0.0) }),
    };
    Some((accept, sent))
}

/// Takes what a launch needs, all of it or nothing.
fn take(launch: &Launch, pool: &mut Pool, disks: &mut Disks, books: &Books<'_>) -> Option<Taken> {
    let specification = launch.specification.as_ref();
    let wanted = Amounts::of(specification.need, &launch.ports);
    let Some(own) = &launch.volume else {
        let resources = pool.take(&wanted)?;
        return Some(Taken { resources, ..Taken::default() });
    };
    let framework = (&books.settings.framework, books.framework?);
    let mut rest = disks.clone();
    let mut taken = rest.take(own, specification, framework)?;
    let reservation = (!own.reserved.is_nothing()).then(|| reservation(&own.id, framework));
    let owned = pool.take_for(&own.id, &wanted, reservation)?;
    *disks = rest;
    taken.reserve.extend(owned.reserve);
    taken.resources.splice(0..0, owned.resources);
    Some(taken)
}

/// Takes out the launches that have waited too long.
fn overdue(place: &mut Place, now: Time) -> Vec<InstanceId> {
    let is_overdue = |one: &Waiting| now.since(one.since) >= OFFER_PATIENCE;
    let ids = place.waiting.iter().filter(|one| is_overdue(one));
    let ids = ids.map(|one| one.launch.instance.clone()).collect();
    place.waiting.retain(|one| !is_overdue(one));
    ids
}

/// A part of the jitter that depends on nothing but the offer.
fn jitter(id: &OfferId) -> Nanoseconds {
    let sum = id.value.bytes().fold(0u64, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000);
    Nanoseconds(HOLD_JITTER.0 / 1_000 * sum)
}

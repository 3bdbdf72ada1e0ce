//! Volumes of instances: which there are, what they have, and their ends.

use std::collections::BTreeMap;

use mesos::scheduler::{AcknowledgeOperationStatus, Call};
use mesos::{Offer, Operation, OperationState, OperationStatus, Resource};
use policy::Time;
use scheduler_core::event::VolumeFact;
use scheduler_core::ids::{InstanceId, MachineName};
use scheduler_core::volume::{Reserved, VolumeId};

use crate::disks::{Disks, ended_volume};
use crate::offers::OFFER_PATIENCE;
use crate::place::{Absent, Ending, Place};
use crate::resources::{Amounts, Pool};
use crate::translator::{Task, Translator};

impl Place {
    /// Whether something waits for an offer: a launch, the end of a volume, or what it has too much.
    pub(crate) fn is_lacking(&self) -> bool {
        !self.waiting.is_empty()
            || self.releasing.is_some()
            || self.ending.values().any(|ending| ending.sent.is_none())
    }

    /// Gives back what volumes have on offer and in tasks beyond what they are to have. A task that may
    /// not be there any more counts as nothing: what looks like too much may be all that there is.
    pub(crate) fn give_back_surplus(
        &mut self,
        pool: &mut Pool,
        volumes: &BTreeMap<VolumeId, Reserved>,
        tasks: &BTreeMap<InstanceId, Box<Task>>,
    ) -> Vec<Resource> {
        self.may_have_surplus = false;
        let mut given = Vec::new();
        for (volume, mut has) in pool.owned() {
            for task in self.tasks.iter().filter_map(|id| tasks.get(id)) {
                if task.is_certain && task.volume.as_deref() == Some(&volume) {
                    has.add(&Amounts::of(task.need, &task.ports));
                }
            }
            let wanted = volumes.get(&volume).map(Amounts::reserved).unwrap_or_default();
            given.extend(pool.give_back(&volume, &has.beyond(&wanted)));
        }
        if !given.is_empty() {
            self.releasing = None;
        }
        given
    }

    /// The operations that end volumes of which something is on offer.
    pub(crate) fn end_volumes(&mut self, disks: &mut Disks, now: Time) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (volume, ending) in &mut self.ending {
            if let Some(ended) = disks.end(volume) {
                (ending.sent, ending.seen) = (Some(now), now);
                operations.extend(ended.operations(volume));
            }
        }
        operations
    }
}

impl Translator {
    /// The core wants the end of a volume; it asks again until it hears of it.
    pub(crate) fn end_volume(&mut self, volume: VolumeId, machine: MachineName, now: Time) {
        self.volumes.insert(volume.clone(), Reserved::default());
        let place = self.places.entry(machine.clone()).or_default();
        place.may_have_surplus = true;
        let new = Ending { since: now, sent: None, seen: now };
        let ending = place.ending.entry(volume).or_insert(new);
        // What was sent is lost by now, or has come to nothing.
        if ending.sent.is_some_and(|sent| now.since(sent) >= OFFER_PATIENCE) {
            ending.sent = None;
        }
        self.lacking.insert(machine.clone());
        self.ready.insert(machine);
    }

    /// The core says what a volume is to have of its machine beside disk.
    pub(crate) fn reserve(
        &mut self,
        volume: VolumeId,
        machine: MachineName,
        reserved: Reserved,
        now: Time,
    ) {
        self.volumes.insert(volume, reserved);
        let place = self.places.entry(machine.clone()).or_default();
        place.may_have_surplus = true;
        place.releasing = Some(now);
        self.lacking.insert(machine.clone());
        self.ready.insert(machine);
    }

    /// What an offer shows of volumes: those that nobody knows are told, and disk that is only
    /// reserved for one of these is given back. So are cores, memory and ports; they alone say nothing of a
    /// volume, whose disk may come with another offer.
    pub(crate) fn look_for_volumes(&mut self, name: &MachineName, offer: &Offer, now: Time) {
        if offer.resources.iter().all(|resource| resource.reservations.is_empty()) {
            return;
        }
        if let Some(place) = self.places.get_mut(name) {
            place.may_have_surplus = true;
        }
        let found = Disks::of([offer], self.framework.as_ref()).volumes();
        for (volume, parts) in found {
            if let Some(ending) =
                self.places.get_mut(name).and_then(|place| place.ending.get_mut(&volume))
            {
                (ending.seen, ending.sent) = (now, None);
                continue;
            }
            if self.volumes.contains_key(&volume) {
                continue;
            }
            self.volumes.insert(volume.clone(), Reserved::default());
            if parts.is_empty() {
                self.end_volume(volume, name.clone(), now);
            } else {
                self.tell_volume(volume, name.clone(), VolumeFact::Found { parts });
            }
        }
    }

    /// An operation of ours is done, or not.
    pub(crate) fn operation_updated(&mut self, status: OperationStatus) {
        let ended = status.operation_id.as_ref().and_then(ended_volume);
        let is_done = status.state() == OperationState::Finished;
        if let Some(volume) = ended {
            let place = self.places.iter_mut().find(|(_, one)| one.ending.contains_key(&volume));
            if let Some((name, place)) = place {
                if is_done {
                    place.ending.remove(&volume);
                    let name = name.clone();
                    self.tell_volume(volume, name, VolumeFact::Gone);
                } else if let Some(ending) = place.ending.get_mut(&volume) {
                    ending.sent = None;
                }
            }
        }
        if let (Some(uuid), Some(operation_id)) = (status.uuid, status.operation_id) {
            let call = AcknowledgeOperationStatus {
                agent_id: status.agent_id,
                resource_provider_id: status.resource_provider_id,
                uuid: uuid.value,
                operation_id,
            };
            self.call(|id| Call::acknowledge_operation_status(id, call));
        }
    }

    /// Volumes that were to end, and of which offers show nothing any more, are gone: what is free of
    /// an agent is on offer within seconds, in new offers or, if nothing of it is withheld, in those
    /// that are held.
    pub(crate) fn tick_volumes(&mut self, now: Time) {
        let mut gone = Vec::new();
        for (name, place) in &mut self.places {
            place.returning.retain(|_, until| now < *until);
            place.releasing.take_if(|since| now.since(*since) >= OFFER_PATIENCE);
            let newest = place.offers.values().map(|held| held.since).max();
            let is_all_on_offer = place.absent == Absent::None;
            place.ending.retain(|volume, ending| {
                let is_quiet = now.since(ending.seen.max(ending.since)) >= OFFER_PATIENCE;
                let is_shown = |newest| newest > ending.seen || is_all_on_offer;
                let is_gone = is_quiet && newest.is_some_and(is_shown);
                if is_gone {
                    gone.push((volume.clone(), name.clone()));
                }
                !is_gone
            });
        }
        for (volume, name) in gone {
            self.tell_volume(volume, name, VolumeFact::Gone);
        }
    }

    fn tell_volume(&mut self, volume: VolumeId, machine: MachineName, fact: VolumeFact) {
        if fact == VolumeFact::Gone {
            self.volumes.remove(&volume);
        }
        self.tell_core(scheduler_core::Event::Volume { volume, machine, fact });
    }
}

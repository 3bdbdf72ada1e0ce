//! The state of the translator, and the order in which it looks at things.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesos::scheduler::{Acknowledge, Call, Event, EventType, OfferConstraints, ReconcileTask};
use mesos::{AgentId, FrameworkId, OfferId, TaskId};
use policy::{Nanoseconds, Time};
use scheduler_core::State;
use scheduler_core::app::{DiscoveryCheck, Need, Specification};
use scheduler_core::event::{InstanceFact, MachineFact};
use scheduler_core::ids::{Epoch, InstanceId, MachineName, Receipt};
use scheduler_core::machine::Description;
use scheduler_core::ports::Ports;
use scheduler_core::volume::{Reserved, VolumeId};

use crate::output::{Fatal, Input, Note, Output};
use crate::place::{AGENT_ATTRIBUTE, Absent, Place};
use crate::reconciliation::{self, Reconciliation};
use crate::resources::Amounts;
use crate::settings::Settings;

/// What the core knows from its records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Held {
    /// Machines: what they have, whether they are silent, whether they are to be left.
    pub machines: Vec<(MachineName, Description, bool, bool)>,
    /// Instances that may have a task.
    pub instances: Vec<(InstanceId, HeldInstance)>,
    /// Volumes, and what they have of their machine beside disk.
    pub volumes: Vec<(VolumeId, Reserved)>,
}

/// An instance that may have a task.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldInstance {
    /// Where.
    pub machine: MachineName,
    /// What it takes.
    pub need: Need,
    /// Its ports.
    pub ports: Ports,
    /// So many failed checks in a row make it unhealthy.
    pub failures: u32,
    /// What its volumes take, in MiB.
    pub disk_mib: u64,
    /// Its volume, if it has one.
    pub volume: Option<VolumeId>,
    /// Whether the name of its container is to be told.
    pub is_nameless: bool,
}

/// What the core knows from its records.
#[must_use]
pub fn held(state: &State) -> Held {
    let machines = state.machines().iter().map(|(name, machine)| {
        let is_silent = machine.silent_since.is_some();
        (name.clone(), machine.description.clone(), is_silent, machine.is_leaving)
    });
    let mut instances = Vec::new();
    for (app_name, app) in state.apps() {
        for (number, instance) in &app.instances {
            let specification = app.versions.get(&instance.version);
            let (Some(machine), Some(specification), true) =
                (&instance.machine, specification, instance.life.holds_resources())
            else {
                continue;
            };
            let id = InstanceId { app: app_name.clone(), number: *number };
            let held = HeldInstance {
                machine: machine.clone(),
                need: specification.need,
                ports: instance.ports.clone(),
                failures: specification.check.as_ref().map_or(1, |check| check.failures),
                disk_mib: specification.volumes_mib(),
                volume: state.volumes().of(&id).map(|(volume, _)| volume),
                is_nameless: is_named(specification) && instance.container.is_none(),
            };
            instances.push((id, held));
        }
    }
    let volumes =
        state.volumes().iter().map(|(id, volume)| (id, volume.reserved.clone())).collect();
    Held { machines: machines.collect(), instances, volumes }
}

/// Whether somebody asks for the name of its container.
pub(crate) const fn is_named(specification: &Specification) -> bool {
    matches!(specification.discovery.check, DiscoveryCheck::Docker(_))
}

/// A task that was sent, or is said to be there.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) machine: MachineName,
    /// Its agent, if that is certain; shared by all that have the same.
    pub(crate) agent: Option<Arc<AgentId>>,
    pub(crate) need: Need,
    pub(crate) ports: Ports,
    /// What its volumes take, in MiB.
    pub(crate) disk_mib: u64,
    /// Its volume, if it has one.
    pub(crate) volume: Option<Box<VolumeId>>,
    /// It was heard of since the subscription, and of its agent nothing else: it has what it was given.
    pub(crate) is_certain: bool,
    /// Whether the name of its container is to be told.
    pub(crate) is_nameless: bool,
    /// So many failed checks in a row make it unhealthy.
    pub(crate) failures_most: u32,
    /// Failed checks in a row.
    pub(crate) failures: u32,
    pub(crate) kill: Option<Box<Killing>>,
    /// Since when the master says that it doesn't know it.
    pub(crate) unknown_since: Option<Time>,
}

/// An end that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Killing {
    pub(crate) grace: Nanoseconds,
    pub(crate) sent: Option<Time>,
    pub(crate) pause: Nanoseconds,
}

/// Between Mesos and the core.
#[derive(Debug, Clone)]
pub struct Translator {
    pub(crate) settings: Settings,
    pub(crate) framework: Option<FrameworkId>,
    is_stored: bool,
    pub(crate) is_connected: bool,
    /// Since when it is subscribed, until machines that weren't heard of have been looked for.
    pub(crate) listens_since: Option<Time>,
    pub(crate) epoch: Epoch,
    pub(crate) places: BTreeMap<MachineName, Place>,
    pub(crate) agents: BTreeMap<AgentId, MachineName>,
    pub(crate) offers: BTreeMap<OfferId, MachineName>,
    pub(crate) tasks: BTreeMap<InstanceId, Box<Task>>,
    /// Volumes that the core knows, and what they are to have of their machine beside disk; others are
    /// nobody's, and have nothing.
    pub(crate) volumes: BTreeMap<VolumeId, Reserved>,
    receipts: BTreeMap<Receipt, Acknowledge>,
    last_receipt: Receipt,
    pub(crate) reconciliation: Reconciliation,
    pub(crate) is_wanted: bool,
    pub(crate) is_suppressed: bool,
    /// Which agents are worth an offer; all, if absent.
    constraints: Option<OfferConstraints>,
    /// The master may not know them yet.
    are_constraints_due: bool,
    pub(crate) last_launch: Time,
    pub(crate) last_revive: Option<Time>,
    /// Machines that the core may have to be told of.
    pub(crate) changed: BTreeSet<MachineName>,
    /// Machines where launches may have found offers.
    pub(crate) ready: BTreeSet<MachineName>,
    /// Machines where launches may wait.
    pub(crate) lacking: BTreeSet<MachineName>,
    out: Vec<Output>,
    /// The master has answered of some tasks that it doesn't know them.
    pub(crate) has_unknown: bool,
    /// Since it was looked at last, agents became known, or tasks unknown.
    pub(crate) are_agents_new: bool,
}

impl Translator {
    /// Nothing is known but the id, if it was stored.
    #[must_use]
    pub fn new(settings: Settings, framework: Option<FrameworkId>) -> Self {
        Translator {
            settings,
            is_stored: framework.is_some(),
            framework,
            is_connected: false,
            listens_since: None,
            epoch: Epoch(0),
            places: BTreeMap::new(),
            agents: BTreeMap::new(),
            offers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            receipts: BTreeMap::new(),
            last_receipt: Receipt(0),
            reconciliation: Reconciliation::default(),
            is_wanted: true,
            is_suppressed: false,
            constraints: None,
            are_constraints_due: false,
            last_launch: Time::ZERO,
            last_revive: None,
            changed: BTreeSet::new(),
            ready: BTreeSet::new(),
            lacking: BTreeSet::new(),
            out: Vec::new(),
            has_unknown: false,
            are_agents_new: false,
        }
    }

    /// The call that opens the stream.
    #[must_use]
    pub fn subscribe(&self) -> Call {
        self.settings.framework.subscribe(self.framework.clone(), self.constraints.clone())
    }

    /// Tasks that are known.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Launches that wait for an offer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.values().map(|place| place.waiting.len()).sum()
    }

    /// Offers that are held.
    #[must_use]
    pub fn offers(&self) -> usize {
        self.offers.len()
    }

    /// Takes what happened, and says what is to be done. Inputs that come together are better given
    /// together: launches on the same machine share its offer then.
    pub fn handle(&mut self, inputs: impl IntoIterator<Item = Input>, now: Time) -> Vec<Output> {
        let mut outputs = self.begin(inputs, now);
        while self.has_more() {
            outputs.append(&mut self.go_on(now));
        }
        outputs
    }

    /// The first part of [`Translator::handle`]: with many launches, the first acceptances needn't
    /// wait for the last ones.
    pub fn begin(&mut self, inputs: impl IntoIterator<Item = Input>, now: Time) -> Vec<Output> {
        for input in inputs {
            match input {
                Input::Held(held) => self.hold(held),
                Input::Event(event) => self.event(*event, now),
                Input::Disconnected => self.disconnected(),
                Input::Command(command) => self.command(command, now),
                Input::Stored(id) => {
                    self.is_stored |= self.framework.as_ref() == Some(&id);
                    self.ready.extend(self.places.keys().cloned());
                }
                Input::Wanted(is_wanted) => self.is_wanted = is_wanted,
                Input::Constrain(constraints) => {
                    self.are_constraints_due |= self.constraints != constraints;
                    self.constraints = constraints;
                }
                Input::Tick => self.tick(now),
            }
        }
        self.go_on(now)
    }

    /// Whether there is more to be done of what was begun.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.may_call() && !self.ready.is_empty()
    }

    /// The next part of what was begun.
    pub fn go_on(&mut self, now: Time) -> Vec<Output> {
        if self.may_call() {
            self.constrain();
            self.accept(now);
        }
        if self.may_call() && self.ready.is_empty() {
            self.revive(now);
            self.reconcile(now);
        }
        self.tell_machines(now);
        std::mem::take(&mut self.out)
    }

    fn hold(&mut self, held: Held) {
        for (name, description, is_silent, is_leaving) in held.machines {
            let agent = description.attributes.get(AGENT_ATTRIBUTE).map(AgentId::new).map(Arc::new);
            if let Some(agent) = &agent {
                self.agents.insert((**agent).clone(), name.clone());
            }
            let place = self.places.entry(name).or_default();
            place.agent = agent;
            place.attributes = Arc::clone(&description.attributes);
            place.told = Some(description);
            place.is_told_silent = is_silent;
            place.is_told_leaving = is_leaving;
            place.is_drained = is_leaving;
            place.absent = Absent::Declined;
        }
        for (id, held) in held.instances {
            let HeldInstance { machine, need, ports, failures, disk_mib, volume, is_nameless } =
                held;
            let task = Task::new(machine, None, need, ports, failures);
            let volume = volume.map(Box::new);
            self.insert_task(id, Task { disk_mib, volume, is_nameless, ..task });
        }
        self.volumes.extend(held.volumes);
    }

    fn event(&mut self, event: Event, now: Time) {
        match event.r#type() {
            EventType::Subscribed => match event.subscribed {
                Some(subscribed) => self.subscribed(subscribed.framework_id, now),
                None => self.note(Note::Strange("SUBSCRIBED without the framework's id")),
            },
            EventType::Error => {
                self.refused(event.error.map(|error| error.message).unwrap_or_default());
            }
            // A stream that hasn't begun, or has ended, says nothing.
            _ if !self.is_connected => {}
            EventType::Offers => {
                for offer in event.offers.map(|offers| offers.offers).unwrap_or_default() {
                    self.offered(offer, now);
                }
            }
            EventType::Rescind => {
                if let Some(rescind) = event.rescind {
                    self.rescinded(&rescind.offer_id);
                }
            }
            EventType::InverseOffers => {
                let offers = event.inverse_offers.map(|offers| offers.inverse_offers);
                self.inverse_offered(offers.unwrap_or_default());
            }
            EventType::Update => {
                if let Some(update) = event.update {
                    self.updated(update.status, now);
                }
            }
            EventType::Failure => {
                if let Some(failure) = event.failure {
                    self.failed(&failure);
                }
            }
            // A schedule that changes is seen by new offers; nothing else is asked of anyone here.
            EventType::UpdateOperationStatus => {
                if let Some(update) = event.update_operation_status {
                    self.operation_updated(update.status);
                }
            }
            EventType::RescindInverseOffer
            | EventType::Message
            | EventType::Heartbeat
            | EventType::Unknown => {}
        }
    }

    fn subscribed(&mut self, id: FrameworkId, now: Time) {
        match &self.framework {
            Some(known) if *known != id => {
                let (expected, found) = (known.value.clone(), id.value);
                return self.out.push(Output::Fatal(Fatal::OtherFramework { expected, found }));
            }
            Some(_) => {}
            None => self.framework = Some(id.clone()),
        }
        self.is_connected = true;
        self.is_suppressed = false;
        self.last_launch = now;
        self.note(Note::Subscribed { framework: id.value.clone(), tasks: self.tasks.len() });
        if !self.is_stored {
            self.out.push(Output::Store(id));
        }
        self.listens_since = Some(now);
        for place in self.places.values_mut() {
            place.is_heard = false;
            for waiting in &mut place.waiting {
                waiting.since = now;
            }
        }
        for task in self.tasks.values_mut() {
            task.is_certain = false;
            if let Some(kill) = &mut task.kill {
                kill.sent = None;
            }
        }
        self.reconciliation.begin(self.tasks.keys().cloned(), now);
    }

    fn refused(&mut self, message: String) {
        self.disconnected();
        let framework = self.framework.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        let fatal = match message.as_str() {
            "Framework has been removed" if self.tasks.is_empty() && self.waiting() == 0 => {
                self.framework = None;
                self.is_stored = false;
                return self.note(Note::NewFramework(framework));
            }
            "Framework has been removed" => {
                Fatal::Removed { framework, instances: self.tasks.len() + self.waiting() }
            }
            "Framework failed over" => Fatal::FailedOver(framework),
            _ => Fatal::Refused(message),
        };
        self.out.push(Output::Fatal(fatal));
    }

    fn disconnected(&mut self) {
        self.is_connected = false;
        self.listens_since = None;
        self.offers.clear();
        // What isn't acknowledged comes again over the next stream.
        self.receipts.clear();
        self.reconciliation.stop();
        for place in self.places.values_mut() {
            if !place.offers.is_empty() {
                place.offers.clear();
                place.absent = Absent::Declined;
            }
        }
    }

    /// Tells the master which agents are worth an offer, if it may not know. What it knew when it was
    /// subscribed to isn't remembered: it is told once more then, which does no harm.
    fn constrain(&mut self) {
        if !std::mem::take(&mut self.are_constraints_due) {
            return;
        }
        let (framework, is_suppressed) = (self.settings.framework.clone(), self.is_suppressed);
        let constraints = self.constraints.clone();
        self.call(|id| framework.update(id, is_suppressed, constraints));
    }

    /// The master can't say of a task that it isn't there, unless it is told the agent. A new
    /// scheduler knows agents from its first offers only.
    fn hasten(&mut self, now: Time) {
        if !self.has_unknown || !std::mem::take(&mut self.are_agents_new) {
            return;
        }
        let is_unknown = |id: &InstanceId| {
            let task = self.tasks.get(id);
            let task = task.filter(|task| task.agent.is_none() && task.unknown_since.is_some());
            let place = task.and_then(|task| self.places.get(&task.machine));
            place.is_some_and(|place| place.agent.is_some())
        };
        if self.reconciliation.remaining().any(is_unknown) {
            self.reconciliation.hasten(now);
        }
    }

    fn reconcile(&mut self, now: Time) {
        self.hasten(now);
        let due = self.reconciliation.due(now);
        let question = |id: &InstanceId| {
            let task = self.tasks.get(id)?;
            // The agent matters only for tasks that the master doesn't know: the one that is there
            // now may say that it has no such task.
            let place = self.places.get(&task.machine);
            let agent = task.agent.clone().or_else(|| place?.agent.clone());
            Some(ReconcileTask {
                task_id: TaskId::new(id.to_string()),
                agent_id: agent.map(Arc::unwrap_or_clone),
            })
        };
        let questions: Vec<ReconcileTask> = due.iter().filter_map(question).collect();
        for call in reconciliation::calls(&questions) {
            self.call(|id| Call::reconcile(id, call));
        }
        if self.reconciliation.is_implicit_due(now) {
            self.call(|id| Call::reconcile(id, mesos::scheduler::Reconcile::default()));
        }
    }

    /// Tells the core what has changed about machines.
    fn tell_machines(&mut self, now: Time) {
        for name in std::mem::take(&mut self.changed) {
            let framework = self.framework.as_ref();
            let Some(place) = self.places.get_mut(&name) else { continue };
            if place.told.is_none() && !place.is_news {
                continue;
            }
            let attributes = Arc::clone(&place.attributes);
            let description = place
                .total(framework)
                .describe(Description { attributes, ..Description::default() });
            let is_other = place.is_news || place.told.as_ref() != Some(&description);
            let mut facts = Vec::new();
            if !place.is_told_silent && is_other {
                place.is_news = false;
                place.told = Some(description.clone());
                facts.push(MachineFact::Up(description));
            }
            let is_leaving = place.is_leaving(now);
            if is_leaving != place.is_told_leaving {
                place.is_told_leaving = is_leaving;
                facts.push(if is_leaving { MachineFact::Leaving } else { MachineFact::Staying });
            }
            for fact in facts {
                self.tell_machine(&name, fact);
            }
        }
    }

    /// Whether calls can be sent: there is a stream, and the id is durable.
    pub(crate) fn may_call(&self) -> bool {
        self.is_connected && self.is_stored
    }

    pub(crate) fn call(&mut self, make: impl FnOnce(FrameworkId) -> Call) {
        if let (true, Some(id)) = (self.may_call(), &self.framework) {
            self.out.push(Output::Call(Box::new(make(id.clone()))));
        }
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.out.push(Output::Note(note));
    }

    pub(crate) fn tell(
        &mut self,
        id: &InstanceId,
        machine: &MachineName,
        now: Time,
        fact: InstanceFact,
    ) {
        // The time is ours: agents' clocks differ, and a stream has its events in order.
        let (instance, machine) = (id.clone(), machine.clone());
        let event = scheduler_core::Event::Instance { instance, machine, at: now, fact };
        self.out.push(Output::Event(event));
    }

    pub(crate) fn tell_core(&mut self, event: scheduler_core::Event) {
        self.out.push(Output::Event(event));
    }

    pub(crate) fn tell_machine(&mut self, name: &MachineName, fact: MachineFact) {
        let event = scheduler_core::Event::Machine { machine: name.clone(), fact };
        self.out.push(Output::Event(event));
    }

    /// The acknowledgement leaves when all facts so far are durable.
    pub(crate) fn acknowledge_later(&mut self, acknowledge: Acknowledge) {
        self.last_receipt = Receipt(self.last_receipt.0 + 1);
        self.receipts.insert(self.last_receipt, acknowledge);
        let receipt = self.last_receipt;
        self.out.push(Output::Event(scheduler_core::Event::Told { receipt }));
    }

    pub(crate) fn acknowledge(&mut self, receipt: Receipt) {
        if let Some(acknowledge) = self.receipts.remove(&receipt) {
            self.call(|id| Call::acknowledge(id, acknowledge));
        }
    }

    pub(crate) fn insert_task(&mut self, id: InstanceId, task: Task) {
        let place = self.places.entry(task.machine.clone()).or_default();
        if place.tasks.insert(id.clone()) {
            place.used.add(&Amounts::of(task.need, &task.ports).with_disk(task.disk_mib));
        }
        self.tasks.insert(id, Box::new(task));
    }

    /// A task is gone, and what it had is soon offered again.
    pub(crate) fn remove_task(&mut self, id: &InstanceId, until: Time) -> Option<Task> {
        self.reconciliation.answered(id);
        let task = *self.tasks.remove(id)?;
        if let Some(place) = self.places.get_mut(&task.machine)
            && place.tasks.remove(id)
        {
            place.used.take(&Amounts::of(task.need, &task.ports).with_disk(task.disk_mib));
            if place.absent != Absent::Declined {
                place.absent = Absent::Returning(until);
            }
            if let Some(volume) = &task.volume {
                place.returning.insert((**volume).clone(), until);
            }
        }
        Some(task)
    }
}

impl Task {
    pub(crate) const fn new(
        machine: MachineName,
        agent: Option<Arc<AgentId>>,
        need: Need,
        ports: Ports,
        failures_most: u32,
    ) -> Self {
        Task {
            machine,
            agent,
            need,
            ports,
            disk_mib: 0,
            volume: None,
            is_certain: false,
            is_nameless: false,
            failures_most,
            failures: 0,
            kill: None,
            unknown_since: None,
        }
    }
}

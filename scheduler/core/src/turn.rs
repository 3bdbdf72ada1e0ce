//! One turn: events change the state, apps that they touch are looked at, and what is decided waits
//! for the store.

use std::collections::BTreeSet;

use policy::Time;
use policy::repair;

use crate::app::remember;
use crate::command::{Command, Key};
use crate::decision::{Decided, Decision};
use crate::event::{Event, Refusal};
use crate::ids::{AppName, Epoch, InstanceId};
use crate::instance::{End, Gone, Instance, Life};
use crate::state::State;

/// Changes the state by an event, and says what is to be done.
#[must_use]
pub fn apply(state: &mut State, event: Event, now: Time) -> Vec<Command> {
    apply_all(state, [event], now)
}

/// Changes the state by several events at once: apps are looked at and written only once.
#[must_use]
pub fn apply_all(
    state: &mut State,
    events: impl IntoIterator<Item = Event>,
    now: Time,
) -> Vec<Command> {
    let mut out = Vec::new();
    let mut turn = Turn::new(state, now);
    for event in events {
        turn.event(event, &mut out);
    }
    turn.look();
    let mut commands = turn.commands;
    state.outbox.waiting.append(&mut commands);
    state.post(now, &mut out);
    out
}

/// A turn that is under way.
pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: Time,
    pub(crate) commands: Vec<Command>,
    pub(crate) touched: BTreeSet<AppName>,
}

impl<'a> Turn<'a> {
    fn new(state: &'a mut State, now: Time) -> Self {
        Turn { state, now, commands: Vec::new(), touched: BTreeSet::new() }
    }

    fn event(&mut self, event: Event, out: &mut Vec<Command>) {
        if let Event::Leader { epoch } = event {
            return self.lead(epoch);
        }
        if !self.state.is_leading {
            if let Event::Call { request, .. } = event {
                out.push(Command::Answer { request, answer: Err(Refusal::NotLeading) });
            }
            return;
        }
        match event {
            Event::Call { request, call } => {
                let answer = self.call(call);
                self.commands.push(Command::Answer { request, answer });
            }
            Event::Tick => self.tick(),
            Event::Room => self.touched.extend(self.state.waiting.iter().cloned()),
            Event::Leader { .. } => {}
            Event::Durable { write } => self.state.durable(write, self.now, out),
            Event::NotDurable { write } => self.state.not_durable(write),
            Event::Machine { machine, fact } => self.machine_fact(&machine, fact),
            Event::Instance { instance, machine, at, fact } => {
                self.instance_fact(&instance, &machine, at, fact);
            }
            Event::Volume { volume, machine, fact } => self.volume_fact(&volume, &machine, fact),
            // It waits, as all commands do, for the write that has what changed before it.
            Event::Told { receipt } => self.commands.push(Command::Acknowledge { receipt }),
            Event::Load { app, at, load } => self.load(&app, at, load),
        }
    }

    /// The state is what was stored; what was on its way when the one before ended is asked for.
    fn lead(&mut self, epoch: Epoch) {
        self.state.is_leading = true;
        self.state.cluster.epoch = epoch;
        self.state.outbox.dirty.insert(Key::Cluster);
        for (name, app) in &mut self.state.apps {
            self.touched.insert(name.clone());
            if let Some(deployment) = &mut app.deployment {
                deployment.progress.since = self.now;
            }
            for instance in app.instances.values_mut() {
                if instance.life == Life::Intended {
                    instance.enter(Life::Launching, self.now);
                }
                instance.came = self.now;
                instance.is_doubted = instance.machine.is_some();
            }
        }
        self.watch();
        self.tick();
    }

    fn look(&mut self) {
        while let Some(name) = self.touched.pop_first() {
            self.plan(&name);
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.state.cluster.epoch
    }

    pub(crate) fn dirty(&mut self, key: Key) {
        self.state.outbox.dirty.insert(key);
    }

    pub(crate) fn changed(&mut self, id: &InstanceId) {
        self.dirty(Key::Instance(id.clone()));
        self.touched.insert(id.app.clone());
    }

    pub(crate) fn app_changed(&mut self, name: &AppName) {
        self.dirty(Key::App(name.clone()));
        self.touched.insert(name.clone());
    }

    pub(crate) fn record(&mut self, app: Option<&AppName>, decided: Decided) {
        let policy = self.state.digest.clone();
        let decision = Decision { at: self.now, policy, app: app.cloned(), decided };
        self.commands.push(Command::Record(Box::new(decision)));
    }

    /// Looks whether so much is silent that repair stops.
    pub(crate) fn watch(&mut self) {
        let (before, seen) = (self.state.cluster.repair, self.state.silence());
        let mut memory = before;
        let verdict = repair::decide(&self.state.policy.repair, seen, &mut memory, self.now);
        if memory != before {
            self.state.cluster.repair = memory;
            self.dirty(Key::Cluster);
        }
        let was = self.state.is_frozen();
        self.state.freeze = verdict;
        if was != self.state.is_frozen() {
            self.record(None, Decided::Freeze { seen, before, verdict });
            self.touched.extend(self.state.apps.keys().cloned());
        }
    }

    /// Gives back what an instance holds of its machine.
    pub(crate) fn release(&mut self, id: &InstanceId) {
        let need = self.state.need(id);
        let Some(instance) = self.state.instance(id) else { return };
        let (holds, ports) = (instance.life.holds_resources(), instance.ports.clone());
        let Some(name) = instance.machine.clone() else { return };
        if instance.life.is_spread() {
            self.state.index_instance(id, false);
        }
        if let Some(machine) = self.state.machines.get_mut(&name)
            && holds
        {
            machine.give_back(need, &ports);
        }
        self.state.index_machine(&name);
    }

    /// A launch that hasn't left doesn't leave.
    fn withdraw(&mut self, id: &InstanceId) {
        if self.state.instance(id).is_none_or(|instance| instance.life != Life::Intended) {
            return;
        }
        let is_other =
            |command: &Command| !matches!(command, Command::Launch(one) if one.instance == *id);
        self.commands.retain(is_other);
        self.state.outbox.retain(is_other);
    }

    /// An instance is gone.
    pub(crate) fn remove(&mut self, id: &InstanceId, end: End) {
        self.free_volume(id, &end);
        self.release(id);
        self.withdraw(id);
        let Some(app) = self.state.apps.get_mut(&id.app) else { return };
        let Some(instance) = app.instances.remove(&id.number) else { return };
        if let Some(machine) = &instance.machine
            && let Some(machine) = self.state.machines.get_mut(machine)
        {
            machine.instances.remove(id);
        }
        let Instance { version, machine, life, .. } = instance;
        if !matches!(life, Life::Waiting | Life::Intended) {
            let gone = Gone { number: id.number, version, machine, at: self.now, end };
            remember(&mut app.gone, gone);
            self.app_changed(&id.app);
        }
        self.changed(id);
    }
}

//! What an app needs now: its instances are sorted by their future, the rollout rule says how many
//! are started and retired, and the next ones are chosen here. Nothing is remembered from one look to
//! the next but the records.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::mem;

use policy::Time;
use policy::rollout::{self, Group, Load, Observation, Progress, Step, Verdict};

use crate::app::{App, Cause, Deployment, Ended, Outcome, remember};
use crate::command::{Command, Key};
use crate::decision::{Decided, rollout_rules};
use crate::ids::{AppName, InstanceId, MachineName, Version};
use crate::instance::{End, Instance, Leaving, Life, Wait};
use crate::machine::Machine;
use crate::rebalance::Ending;
use crate::state::State;
use crate::turn::Turn;

/// How an instance stands at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Starting,
    Ailing,
    Serving,
}

/// The instances of an app by their future.
#[derive(Debug, Default)]
struct Sorted {
    stay: Vec<(u64, Standing)>,
    leave: Vec<(u64, Standing, End)>,
    seen: Option<Observation>,
}

impl State {
    fn standing(instance: &Instance, machine: Option<&Machine>) -> Standing {
        if instance.life.is_starting() {
            return Standing::Starting;
        }
        let is_there = machine.is_some_and(|machine| machine.silent_since.is_none());
        if is_there && !instance.is_unhealthy() { Standing::Serving } else { Standing::Ailing }
    }

    /// Why an instance must leave, if it must.
    fn leaving(
        &self,
        app: &App,
        instance: &Instance,
        machine: Option<&Machine>,
        has_volume: bool,
        now: Time,
    ) -> Option<End> {
        let by_user = instance.leaving.is_some_and(|why| why != Leaving::Moved);
        if app.is_deleted || by_user {
            return Some(End::ByUser);
        }
        if instance.version != app.target {
            return Some(End::Upgraded);
        }
        if machine.is_some_and(Machine::is_emptied) && !has_volume {
            return Some(End::Drained);
        }
        let limit = self.policy.repair.replace_unhealthy_after;
        let is_too_long = |since| now.since(since) >= limit;
        if instance.unhealthy_since.is_some_and(is_too_long) {
            return Some(End::Unhealthy);
        }
        instance.leaving.map(|_| End::Moved)
    }

    fn sort(&self, name: &AppName, app: &App, now: Time) -> Sorted {
        let mut sorted = Sorted::default();
        let (mut stay, mut leave) = (Group::default(), Group::default());
        let (mut unplaced, mut stopping, mut others) = (0u32, 0u32, 0u32);
        for (number, instance) in &app.instances {
            if instance.is_replaced || instance.life == Life::Sweeping {
                continue;
            }
            others += u32::from(instance.version != app.target);
            if instance.life.is_stopping() {
                stopping += 1;
                continue;
            }
            let machine = instance.machine.as_ref().and_then(|name| self.machines.get(name));
            let standing = State::standing(instance, machine);
            let has_volume = self.has_volume(name, *number);
            let end = self.leaving(app, instance, machine, has_volume, now);
            let group = if end.is_some() { &mut leave } else { &mut stay };
            match standing {
                Standing::Starting => group.starting += 1,
                Standing::Ailing => group.ailing += 1,
                Standing::Serving => {
                    group.serving += 1;
                    group.capacity_thousandths += u64::from(instance.weight_thousandths());
                }
            }
            match end {
                Some(end) => sorted.leave.push((*number, standing, end)),
                None => {
                    unplaced += u32::from(instance.wait == Some(Wait::NoMachine));
                    sorted.stay.push((*number, standing));
                }
            }
        }
        let wanted = if app.is_deleted { 0 } else { app.wanted };
        let is_frozen = self.is_frozen();
        let demand = self.demand(app, now);
        sorted.seen = Some(Observation {
            wanted,
            demand,
            stay,
            unplaced,
            leave,
            stopping,
            others,
            is_frozen,
            is_in_place: app.specification().is_some_and(|one| !one.volumes.is_empty()),
        });
        sorted
    }

    /// Instances that the load needs, if anything fresh is known of it.
    fn demand(&self, app: &App, now: Time) -> Option<u32> {
        let observed = app.fresh_load(now)?;
        let load: &Load = &observed.load;
        Some(rollout::demand(&self.policy.rollout, load))
    }
}

impl Turn<'_> {
    /// Looks at an app and does what it needs now.
    pub(crate) fn plan(&mut self, name: &AppName) {
        self.go_on_moving(name);
        let Some(app) = self.state.apps.get(name) else { return };
        let step_most = app.deployment.as_ref().and_then(|deployment| deployment.step);
        let rules = rollout_rules(&self.state.policy, step_most);
        let sorted = self.state.sort(name, app, self.now);
        let Some(seen) = sorted.seen else { return };
        let step = rollout::decide(&rules, &seen);
        let is_new_hold = app.hold != step.hold;
        if step != (Step { hold: step.hold, ..Step::default() }) || is_new_hold {
            self.record(Some(name), Decided::Rollout { step_most, seen, step });
        }
        if let Some(app) = self.state.apps.get_mut(name) {
            app.hold = step.hold;
        }
        self.carry_out(name, sorted, &step);
        self.place_waiting(name);
        self.give_back_reserved(name);
        self.judge(name, &seen, &step);
        self.end(name);
        // What was just decided is no reason to look again in this turn.
        self.touched.remove(name);
    }

    fn carry_out(&mut self, name: &AppName, sorted: Sorted, step: &Step) {
        let id = |number: u64| InstanceId { app: name.clone(), number };
        let mut quota = BTreeMap::from([
            (Standing::Starting, step.cancel),
            (Standing::Ailing, step.retire_ailing),
            (Standing::Serving, step.retire),
        ]);
        for (number, standing, end) in sorted.leave {
            let left = quota.entry(standing).or_insert(0);
            if *left > 0 {
                *left -= 1;
                self.retire(&id(number), end);
            }
        }
        for number in self.surplus(name, sorted.stay, step.surplus) {
            self.retire(&id(number), End::ScaledIn);
        }
        self.start(name, step.start);
    }

    /// Of those that may stay, the ones that go: first what doesn't serve, last what a user wants
    /// where it is; from the machine with the most instances of the app; the youngest.
    fn surplus(&self, name: &AppName, stay: Vec<(u64, Standing)>, count: u32) -> Vec<u64> {
        let (Some(app), 1..) = (self.state.apps.get(name), count) else { return Vec::new() };
        let mut ranked: Vec<_> = stay
            .into_iter()
            .filter_map(|(number, standing)| {
                let instance = app.instances.get(&number)?;
                let there = instance.machine.as_ref();
                let crowd = there.map_or(0, |name| self.state.count_on(app, name));
                let crowd = Reverse(crowd);
                let is_named = instance.named.is_some();
                Some((standing == Standing::Serving, is_named, standing, crowd, Reverse(number)))
            })
            .collect();
        ranked.sort_unstable();
        let numbers = ranked.into_iter().map(|(_, _, _, _, Reverse(number))| number);
        numbers.take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
    }

    fn start(&mut self, name: &AppName, count: u32) {
        let now = self.now;
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let mut named = if count > 0 { missing_named(app) } else { Vec::new() };
        let mut anywhere = Vec::new();
        for _ in 0..count {
            self.state.cluster.instances_made += 1;
            let number = self.state.cluster.instances_made;
            let instance = Instance::waiting(app.target, named.pop(), now);
            if instance.named.is_none() {
                anywhere.push(number);
            }
            app.instances.insert(number, Box::new(instance));
            self.state.outbox.dirty.insert(Key::Instance(InstanceId { app: name.clone(), number }));
        }
        if count > 0 {
            self.assign_moves(name, &anywhere);
            self.dirty(Key::Cluster);
        }
    }

    /// An instance has to end.
    pub(crate) fn retire(&mut self, id: &InstanceId, end: End) {
        let now = self.now;
        let Some(instance) = self.state.instance_mut(id) else { return };
        let life = instance.life;
        if end.is_failure() {
            self.failed(id);
        }
        if life.is_spread() && life != Life::Intended {
            self.state.index_instance(id, false);
        }
        let Some(instance) = self.state.instance_mut(id) else { return };
        match life {
            Life::Waiting | Life::Intended => return self.remove(id, end),
            Life::Launching | Life::Running => {
                instance.enter(Life::Killing, now);
                instance.end = Some(end);
                self.kill(id);
            }
            Life::Registering | Life::Serving { .. } => {
                instance.enter(Life::Deregistering, now);
                instance.end = Some(end);
                self.deregister(id);
            }
            Life::Deregistering | Life::CoolingDown | Life::Killing | Life::Sweeping => return,
        }
        self.changed(id);
    }

    fn judge(&mut self, name: &AppName, seen: &Observation, step: &Step) {
        let (now, rules) = (self.now, self.state.policy.rollout);
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let Some(deployment) = &mut app.deployment else { return };
        let before = deployment.progress;
        let verdict = rollout::judge(&rules, seen, step, &mut deployment.progress, now);
        let progress = deployment.progress;
        if (Progress { since: before.since, ..progress }) != before {
            self.state.outbox.dirty.insert(Key::App(name.clone()));
        }
        let is_known = deployment.stalled.is_some();
        match verdict {
            Verdict::GoesOn => return,
            Verdict::Failed(_) if is_known => return,
            Verdict::Done => self.done(name),
            Verdict::Failed(why) => {
                let (failed, cause) = (deployment.to, deployment.cause);
                let is_first = !matches!(cause, Cause::Reverted { .. });
                let good = app.stable.iter().rev().copied().find(|version| *version != failed);
                match good.filter(|_| rules.auto_revert && is_first) {
                    Some(good) => {
                        let cause = Cause::Reverted { failed, why };
                        self.begin(name, good, cause, None, Outcome::Failed(why));
                    }
                    None => deployment.stalled = Some(why),
                }
            }
        }
        self.record(Some(name), Decided::Verdict { seen: *seen, step: *step, before, verdict });
        self.dirty(Key::App(name.clone()));
    }

    fn done(&mut self, name: &AppName) {
        let now = self.now;
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let Some(Deployment { number, from, to, .. }) = app.deployment.take() else { return };
        let ended = Ended { number, from, to, at: now, outcome: Outcome::Done };
        remember(&mut app.history, ended);
        app.stable.retain(|version| *version != to);
        app.stable.push(to);
        app.forget_versions();
    }

    /// A deployment begins; `outcome` is that of the one before, if there is one.
    pub(crate) fn begin(
        &mut self,
        name: &AppName,
        to: Version,
        cause: Cause,
        step: Option<u32>,
        outcome: Outcome,
    ) -> u32 {
        let now = self.now;
        self.end_rebalance(name, Ending::Superseded);
        let Some(app) = self.state.apps.get_mut(name) else { return 0 };
        if let Some(Deployment { number, from, to, .. }) = app.deployment.take() {
            remember(&mut app.history, Ended { number, from, to, at: now, outcome });
        }
        app.deployments_made += 1;
        let number = app.deployments_made;
        let from = mem::replace(&mut app.target, to);
        let from = app.versions.contains_key(&from).then_some(from).filter(|from| *from != to);
        let progress = Progress::begin(now);
        app.deployment =
            Some(Deployment { number, from, to, cause, begun: now, step, progress, stalled: None });
        self.app_changed(name);
        number
    }

    /// A deleted app without instances is gone.
    fn end(&mut self, name: &AppName) {
        let is_over = |app: &App| app.is_deleted && app.instances.is_empty();
        if self.state.apps.get(name).is_some_and(is_over) {
            self.state.apps.remove(name);
            self.state.waiting.remove(name);
            self.dirty(Key::App(name.clone()));
        }
    }

    pub(crate) fn kill(&mut self, id: &InstanceId) {
        let (now, epoch) = (self.now, self.epoch());
        let Some(app) = self.state.apps.get_mut(&id.app) else { return };
        let Some(instance) = app.instances.get_mut(&id.number) else { return };
        let Some(machine) = instance.machine.clone() else { return };
        instance.sent = Some(now);
        let specification = app.versions.get(&instance.version);
        let grace = specification.map_or_else(Default::default, |one| one.kill_grace);
        self.commands.push(Command::Kill { instance: id.clone(), machine, grace, epoch });
    }

    pub(crate) fn deregister(&mut self, id: &InstanceId) {
        let (now, epoch) = (self.now, self.epoch());
        let Some(instance) = self.state.instance_mut(id) else { return };
        let Some(machine) = instance.machine.clone() else { return };
        instance.sent = Some(now);
        self.commands.push(Command::Deregister { instance: id.clone(), machine, epoch });
    }

    /// Lets an instance be found with the weight that it should have now.
    pub(crate) fn register(&mut self, id: &InstanceId) {
        let (now, epoch) = (self.now, self.epoch());
        let Some(app) = self.state.apps.get(&id.app) else { return };
        let Some(instance) = app.instances.get(&id.number) else { return };
        let weight = self.state.weight(app, instance, now);
        let Some(instance) = self.state.instance_mut(id) else { return };
        let Some(machine) = instance.machine.clone() else { return };
        instance.sent = Some(now);
        instance.weight_asked = weight;
        self.commands.push(Command::Register {
            instance: id.clone(),
            machine,
            ports: instance.ports.clone(),
            weight_thousandths: weight,
            epoch,
        });
    }
}

/// Machines that users named and that have too few instances of the app.
fn missing_named(app: &App) -> Vec<MachineName> {
    let mut missing = app.named.clone();
    for instance in app.instances.values() {
        if instance.life.is_stopping() || instance.is_replaced || instance.life == Life::Sweeping {
            continue;
        }
        if let Some(count) = instance.named.as_ref().and_then(|name| missing.get_mut(name)) {
            *count = count.saturating_sub(1);
        }
    }
    let repeated = |(name, count): (MachineName, u32)| (0..count).map(move |_| name.clone());
    missing.into_iter().flat_map(repeated).collect()
}

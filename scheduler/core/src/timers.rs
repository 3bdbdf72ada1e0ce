//! What time brings: warm-up, cool-down, waits that end, things that are asked for again, silent
//! machines, and the scaling rule.

use policy::repair::{self, Silent};
use policy::rollout::{self, Rollout};
use policy::scaling::{self, Scaling};
use policy::{Nanoseconds, Time};

use crate::app::{App, Observed, Scaled, ScaledBy};
use crate::command::{Command, Key};
use crate::decision::{Decided, scaling_rules};
use crate::ids::{AppName, InstanceId, MachineName};
use crate::instance::{End, Instance, Life};
use crate::state::State;
use crate::turn::Turn;

/// What isn't confirmed is asked for again after this long: longer than an answer takes on a busy
/// cluster, short beside what people notice.
pub const AGAIN_AFTER: Nanoseconds = Nanoseconds::from_seconds(15);

/// An instance of which nothing was heard for so long is asked for: a lost fact is found by this.
/// Ten minutes is what Marathon and Singularity take for their reconciliation.
pub const ASK_AFTER: Nanoseconds = Nanoseconds::from_seconds(600);

/// The load that was seen this long ago says nothing of the load now.
pub const LOAD_STALE_AFTER: Nanoseconds = Nanoseconds::from_seconds(30);

/// A write without an answer for so long is written again.
pub const WRITE_AGAIN_AFTER: Nanoseconds = Nanoseconds::from_seconds(30);

/// What is due for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Register,
    Deregister,
    Kill,
    /// The cool-down is over.
    Cooled,
    NeverHealthy,
}

impl State {
    /// The weight that an instance should have now, in thousandths.
    pub(crate) fn weight(&self, app: &App, instance: &Instance, now: Time) -> u32 {
        let own = app.versions.get(&instance.version).and_then(|one| one.warm_up);
        let warm_up = own.unwrap_or(self.policy.rollout.warm_up);
        let serving = instance.serving_since.map_or(Nanoseconds::ZERO, |since| now.since(since));
        rollout::weight_thousandths(&Rollout { warm_up, ..self.policy.rollout }, serving)
    }

    /// Whether something can be done on the machine of an instance.
    fn is_there(&self, instance: &Instance) -> bool {
        let machine = instance.machine.as_ref().and_then(|name| self.machines.get(name));
        machine.is_some_and(|machine| machine.silent_since.is_none())
    }

    /// What is due for an instance. Most have nothing due, so their machine is looked up last.
    fn due(&self, app: &App, instance: &Instance, now: Time) -> Option<Due> {
        let is_over = |limit: Nanoseconds| now.since(instance.since) >= limit;
        let is_late = instance.sent.is_none_or(|sent| now.since(sent) >= AGAIN_AFTER);
        let specification = || app.versions.get(&instance.version);
        let due = match instance.life {
            Life::CoolingDown => {
                // Time to finish requests passes on silent machines, too.
                let own = specification().and_then(|one| one.cool_down);
                let limit = own.unwrap_or(self.policy.rollout.cool_down);
                return is_over(limit).then_some(Due::Cooled);
            }
            Life::Registering => is_late.then_some(Due::Register),
            Life::Serving { weight_thousandths } => {
                let weight = self.weight(app, instance, now);
                let is_asked = instance.weight_asked == weight && !is_late;
                (weight != weight_thousandths && !is_asked).then_some(Due::Register)
            }
            Life::Deregistering | Life::Sweeping => is_late.then_some(Due::Deregister),
            Life::Killing => is_late.then_some(Due::Kill),
            Life::Running => {
                let grace = specification().and_then(|one| one.health_grace)?;
                is_over(grace).then_some(Due::NeverHealthy)
            }
            Life::Waiting | Life::Intended | Life::Launching => None,
        };
        due.filter(|_| self.is_there(instance))
    }

    /// Whether an instance has to be asked for now.
    fn is_doubtful(&self, instance: &Instance, now: Time) -> bool {
        if matches!(instance.life, Life::Waiting | Life::Intended | Life::Sweeping) {
            return false;
        }
        let patience = match instance.life {
            Life::Launching => self.policy.repair.launch_timeout,
            _ => ASK_AFTER,
        };
        let is_quiet = now.since(instance.came) >= patience;
        let is_asked = instance.asked.is_some_and(|asked| now.since(asked) < AGAIN_AFTER);
        (instance.is_doubted || is_quiet) && !is_asked && self.is_there(instance)
    }
}

impl Turn<'_> {
    pub(crate) fn tick(&mut self) {
        self.write_again();
        self.watch();
        self.silent_machines();
        self.volumes_due();
        let names: Vec<AppName> = self.state.apps.keys().cloned().collect();
        let mut asked = Vec::new();
        for name in names {
            self.scale(&name);
            self.instances_due(&name, &mut asked);
            self.forget_failures(&name);
            self.touched.insert(name);
        }
        if !asked.is_empty() {
            self.commands.push(Command::Ask(asked));
        }
    }

    fn write_again(&mut self) {
        self.state.outbox.is_paused = false;
        let flight = self.state.outbox.in_flight.as_ref();
        let late = flight.filter(|write| self.now.since(write.since) >= WRITE_AGAIN_AFTER);
        if let Some(number) = late.map(|write| write.number) {
            self.state.not_durable(number);
            self.state.outbox.is_paused = false;
        }
    }

    fn silent_machines(&mut self) {
        if self.state.is_frozen() {
            return;
        }
        let rules = self.state.policy.repair;
        let silent: Vec<(MachineName, Time)> = self
            .state
            .machines
            .iter()
            .filter_map(|(name, machine)| Some((name.clone(), machine.silent_since?)))
            .collect();
        for (name, since) in silent {
            match repair::silent(&rules, since, self.now) {
                Silent::Wait(_) => {}
                Silent::Replace => self.replace_all(&name),
                // What runs there may still run, with its volumes: nobody else gets them.
                Silent::Forget if self.state.has_volume_users(&name) => self.replace_all(&name),
                Silent::Forget => self.machine_gone(&name, &End::MachineForgotten),
            }
        }
    }

    fn replace_all(&mut self, name: &MachineName) {
        let Some(machine) = self.state.machines.get(name) else { return };
        let instances: Vec<InstanceId> = machine.instances.iter().cloned().collect();
        for id in instances {
            // It has to come back, or be known to have ended.
            if self.state.has_volume(&id.app, id.number) {
                continue;
            }
            if let Some(instance) = self.state.instance_mut(&id)
                && !instance.is_replaced
            {
                instance.is_replaced = true;
                self.changed(&id);
            }
        }
    }

    fn instances_due(&mut self, name: &AppName, asked: &mut Vec<(InstanceId, MachineName)>) {
        let Some(app) = self.state.apps.get(name) else { return };
        let mut due = Vec::new();
        let mut doubtful = Vec::new();
        for (number, instance) in &app.instances {
            let id = || InstanceId { app: name.clone(), number: *number };
            if let (true, Some(machine)) =
                (self.state.is_doubtful(instance, self.now), &instance.machine)
            {
                doubtful.push((id(), machine.clone()));
            }
            if let Some(what) = self.state.due(app, instance, self.now) {
                due.push((id(), what));
            }
        }
        for (id, _) in &doubtful {
            if let Some(instance) = self.state.instance_mut(id) {
                instance.asked = Some(self.now);
            }
        }
        asked.append(&mut doubtful);
        for (id, what) in due {
            match what {
                Due::Register => self.register(&id),
                Due::Deregister => self.deregister(&id),
                Due::Kill => self.kill(&id),
                Due::NeverHealthy => self.retire(&id, End::NeverHealthy),
                Due::Cooled => {
                    if let Some(instance) = self.state.instance_mut(&id) {
                        instance.enter(Life::Killing, self.now);
                    }
                    self.changed(&id);
                    self.kill(&id);
                }
            }
        }
    }

    fn forget_failures(&mut self, name: &AppName) {
        let (now, rules) = (self.now, self.state.policy.repair);
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let mut is_changed = false;
        app.failures.retain(|_, failures| {
            let before = failures.machines.len();
            failures.machines.retain(|_, back_off| !back_off.is_over(&rules, now));
            is_changed |= failures.machines.len() != before;
            let is_over = failures.machines.is_empty() && failures.all.is_over(&rules, now);
            is_changed |= is_over;
            !is_over
        });
        if is_changed {
            self.dirty(Key::App(name.clone()));
        }
    }

    fn scale(&mut self, name: &AppName) {
        let now = self.now;
        let is_frozen = self.state.is_frozen();
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let rules = scaling_rules(&self.state.policy, app.bounds);
        let fresh = app.fresh_load(now);
        let is_due = app.looked.is_none_or(|looked| now.since(looked) >= rules.interval);
        let is_fixed = app.bounds.min >= app.bounds.max || app.is_deleted;
        let (Some(observed), true, false, false) = (fresh, is_due, is_fixed, is_frozen) else {
            return;
        };
        app.looked = Some(now);
        let came = app.came.take(observed.at);
        let seen = observation(&rules, app, app.wanted, observed, came);
        let before = Box::new(app.scaling.clone());
        let action = scaling::decide(&rules, seen, &mut app.scaling, now);
        let from = app.wanted;
        let to = match action {
            scaling::Action::Add(count, _) => from.saturating_add(count),
            scaling::Action::Remove(count, _) => from.saturating_sub(count),
            scaling::Action::Keep(_) => from,
        };
        // What rules see anew at each look isn't worth a write.
        let is_remembered = !before.is_like(&app.scaling);
        if from != to {
            app.wanted = to;
            app.scaled = Some(Scaled { at: now, from, to, why: ScaledBy::Policy(action) });
            let bounds = app.bounds;
            self.record(Some(name), Decided::Scaling { bounds, seen, before, action });
        }
        if is_remembered || from != to {
            self.app_changed(name);
        }
    }
}

/// What the rule of an app sees, if it would have so many instances.
#[must_use]
pub fn observation(
    rules: &Scaling,
    app: &App,
    instances: u32,
    observed: Observed,
    came: Option<scaling::Came>,
) -> scaling::Observation {
    let flow = rules.rule.asks_for_flow().then(|| {
        let is_ready = |one: &Instance| matches!(one.life, Life::Serving { .. });
        let ready = app.instances.values().filter(|one| is_ready(one)).count();
        let ready = u32::try_from(ready).unwrap_or(u32::MAX);
        let metrics = app.specification().and_then(|known| known.metrics.as_ref());
        // Who scrapes counters that aren't named sees none: that isn't the same as no arrivals.
        let counts = metrics.is_none_or(|metrics| metrics.arrivals.is_some());
        scaling::Flow {
            starting: instances.saturating_sub(ready),
            busy_thousandths: observed.load.busy_thousandths,
            came: came.filter(|_| counts),
        }
    });
    scaling::Observation { tasks: observed.tasks(), instances, flow }
}

//! What the core wants.

use mesos::TaskId;
use mesos::scheduler::{Call, Kill};
use policy::{Nanoseconds, Time};
use scheduler_core::Command;
use scheduler_core::app::Need;
use scheduler_core::command::Launch;
use scheduler_core::event::InstanceFact;
use scheduler_core::ids::{Epoch, InstanceId, MachineName};
use scheduler_core::ports::Ports;

use crate::place::Waiting;
use crate::task::kill_policy;
use crate::translator::{Killing, Task, Translator};

/// An end that isn't confirmed is asked for again after so long; the pause doubles (Aurora's).
pub const KILL_AGAIN_AFTER: Nanoseconds = Nanoseconds::from_seconds(15);

/// The longest pause between two wishes for the same end.
pub const KILL_AGAIN_MOST: Nanoseconds = Nanoseconds::from_seconds(300);

impl Translator {
    pub(crate) fn command(&mut self, command: Command, now: Time) {
        match command {
            Command::Launch(launch) => {
                if self.is_current(launch.epoch) {
                    let own = launch.volume.as_ref();
                    self.volumes.extend(own.map(|own| (own.id.clone(), own.reserved.clone())));
                    self.launch(launch, now);
                }
            }
            Command::Kill { instance, machine, grace, epoch } => {
                if self.is_current(epoch) {
                    self.kill(instance, machine, grace, now);
                }
            }
            Command::Ask(instances) => {
                for (id, machine) in instances {
                    if !self.is_waiting(&id, &machine) {
                        self.know(&id, machine);
                        if self.is_connected {
                            self.reconciliation.add(id, now);
                        }
                    }
                }
            }
            Command::Acknowledge { receipt } => self.acknowledge(receipt),
            Command::Destroy { volume, machine, epoch, .. } => {
                if self.is_current(epoch) {
                    self.end_volume(volume, machine, now);
                }
            }
            Command::Reserve { volume, machine, reserved, epoch } => {
                if self.is_current(epoch) {
                    self.reserve(volume, machine, reserved, now);
                }
            }
            // Others carry these out.
            Command::Persist(_)
            | Command::Register { .. }
            | Command::Deregister { .. }
            | Command::Answer { .. }
            | Command::Record(_) => {}
        }
    }

    /// Whether a command is of the newest term.
    fn is_current(&mut self, epoch: Epoch) -> bool {
        self.epoch = self.epoch.max(epoch);
        self.epoch == epoch
    }

    fn launch(&mut self, launch: Launch, now: Time) {
        let id = &launch.instance;
        if self.tasks.contains_key(id) || self.is_waiting(id, &launch.machine) {
            return;
        }
        let name = launch.machine.clone();
        let place = self.places.entry(name.clone()).or_default();
        place.waiting.push(Waiting { launch, since: now });
        self.ready.insert(name);
    }

    fn kill(&mut self, id: InstanceId, machine: MachineName, grace: Nanoseconds, now: Time) {
        if self.places.get_mut(&machine).is_some_and(|place| place.withdraw(&id)) {
            let why = "its launch was withdrawn before an offer came".to_owned();
            return self.tell(&id, &machine, now, InstanceFact::NeverStarted(why));
        }
        let is_new = self.know(&id, machine);
        if let Some(task) = self.tasks.get_mut(&id) {
            let kill = Killing { grace, sent: None, pause: KILL_AGAIN_AFTER };
            task.kill.get_or_insert_with(|| Box::new(kill)).sent = None;
        }
        if is_new && self.is_connected {
            // If there is no such task, its agent says so.
            self.reconciliation.add(id.clone(), now);
        }
        self.send_kill(&id, now);
    }

    /// Sends the wish for an end that was noted, if it can be sent.
    pub(crate) fn send_kill(&mut self, id: &InstanceId, now: Time) {
        if !self.may_call() {
            return;
        }
        let Some(task) = self.tasks.get_mut(id) else { return };
        let Some(kill) = &mut task.kill else { return };
        if kill.sent.replace(now).is_some() {
            kill.pause = Nanoseconds(kill.pause.0.saturating_mul(2)).min(KILL_AGAIN_MOST);
        }
        let call = Kill {
            task_id: TaskId::new(id.to_string()),
            // With another agent than the task's, Mesos drops it without a word.
            agent_id: task.agent.as_deref().cloned(),
            kill_policy: Some(kill_policy(kill.grace)),
        };
        self.call(|framework| Call::kill(framework, call));
    }

    /// Wishes for ends that weren't sent, or not confirmed for too long.
    pub(crate) fn tick_kills(&mut self, now: Time) {
        let is_due = |kill: &Killing| kill.sent.is_none_or(|sent| now.since(sent) >= kill.pause);
        let due: Vec<InstanceId> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.kill.as_deref().is_some_and(is_due))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.send_kill(&id, now);
        }
    }

    fn is_waiting(&self, id: &InstanceId, machine: &MachineName) -> bool {
        let place = self.places.get(machine);
        place.is_some_and(|place| place.waiting.iter().any(|one| one.launch.instance == *id))
    }

    /// Keeps an instance that is asked for in mind, and says whether it wasn't known.
    fn know(&mut self, id: &InstanceId, machine: MachineName) -> bool {
        let is_new = !self.tasks.contains_key(id);
        if is_new {
            let task = Task::new(machine, None, Need::default(), Ports::default(), 1);
            self.insert_task(id.clone(), task);
        }
        is_new
    }
}

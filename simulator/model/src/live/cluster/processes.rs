//! What happens on machines and between them: processes start, are found, warm up, cool down, end.

use super::{
    Call, Cluster, Command, Event, Exit, Happening, InstanceFact, InstanceId, Launch, Live, Load,
    MachineFact, Nanoseconds, Process, RequestId, Time, boot,
};
use crate::faults::{Cause, Lost};
use crate::life::Control;
use crate::live::group::Phase;

/// Full weight, in thousandths.
const FULL_THOUSANDTHS: u32 = policy::rollout::FULL_THOUSANDTHS;

impl<'model> Live<'model> {
    pub(super) fn happen(
        &mut self,
        cluster: &mut Cluster<'model>,
        happening: Happening,
        now: Time,
        events: &mut Vec<Event>,
    ) {
        match happening {
            Happening::Fact(event) => events.push(event),
            Happening::Tick => self.observe(cluster, now, events),
            Happening::Arrive(command) => self.carry_out(cluster, command, now),
            Happening::Started(id) => self.started(cluster, &id, now),
            Happening::Ends(id) => self.process_crashes(cluster, &id, now),
            Happening::Known(id, weight) => self.known(cluster, &id, weight, now),
            Happening::Slain(id) => self.slain(cluster, &id, now),
            Happening::Silent { machine, since } => {
                let name = cluster.machines.get(machine as usize);
                if let (true, Some(machine)) =
                    (cluster.failed_at.get(&machine) == Some(&since), name)
                {
                    let machine = machine.clone();
                    events.push(Event::Machine { machine, fact: MachineFact::Silent });
                }
            }
            Happening::Upgrade(place) => {
                let Some(upgrade) = cluster.rules.upgrades.get(place) else { return };
                let Some(app) = cluster.names.get(upgrade.app).cloned() else { return };
                let (label, run) = (upgrade.label.clone(), boot::run(&upgrade.label));
                let call = Call::Upgrade { app, label, run, step: upgrade.step };
                events.push(Event::Call { request: RequestId(place as u64 + 1), call });
            }
        }
    }

    /// Loads are observed, and the scheduler looks.
    fn observe(&mut self, cluster: &mut Cluster<'model>, now: Time, events: &mut Vec<Event>) {
        for place in 0..self.groups.len() {
            let (Some(group), Some(name)) = (self.groups.get(place), cluster.names.get(place))
            else {
                continue;
            };
            let counts = cluster.counts.get_mut(place).map(std::mem::take).unwrap_or_default();
            let load = Load {
                busy_thousandths: group.tasks.saturating_sub(group.waiting).saturating_mul(1000),
                waiting: group.waiting,
                arrivals: counts.arrivals,
                rejects: counts.rejects,
            };
            let event = Event::Load { app: name.clone(), at: now + cluster.ahead, load };
            cluster.schedule(now + cluster.rules.facts, Happening::Fact(event));
        }
        events.push(Event::Tick);
        let next = now + cluster.rules.tick;
        if next < cluster.ticks_until.min(self.ticks_until) {
            cluster.schedule(next, Happening::Tick);
        }
    }

    fn is_down(&self, machine: u32) -> bool {
        self.down.get(machine as usize).is_none_or(|faults| *faults > 0)
    }

    /// A command has arrived at its machine. One that is down does nothing and says nothing.
    fn carry_out(&mut self, cluster: &mut Cluster<'model>, command: Command, now: Time) {
        match command {
            Command::Launch(launch) => self.launch(cluster, &launch, now),
            Command::Kill { instance, machine, grace, .. } => {
                if let Some(machine) = self.reachable(cluster, &machine) {
                    self.kill(cluster, &instance, machine, grace, now);
                }
            }
            Command::Register { instance, machine, weight_thousandths, .. } => {
                let Some(machine) = self.reachable(cluster, &machine) else { return };
                if !cluster.processes.contains_key(&instance) {
                    return;
                }
                let fact = InstanceFact::Registered { weight_thousandths };
                cluster.fact(now, &instance, machine, fact);
                let known = Happening::Known(instance, Some(weight_thousandths));
                cluster.schedule(now + cluster.rules.found, known);
            }
            Command::Deregister { instance, machine, .. } => {
                let Some(machine) = self.reachable(cluster, &machine) else { return };
                cluster.fact(now, &instance, machine, InstanceFact::Deregistered);
                let known = Happening::Known(instance, None);
                cluster.schedule(now + cluster.rules.found, known);
            }
            Command::Ask(asked) => {
                for (instance, machine) in asked {
                    let Some(machine) = self.reachable(cluster, &machine) else { continue };
                    let fact = match cluster.processes.get(&instance) {
                        None => InstanceFact::Unknown,
                        Some(process) if !process.is_running => InstanceFact::Launched,
                        Some(process) if process.is_healthy => InstanceFact::Healthy,
                        Some(_) => InstanceFact::Running,
                    };
                    cluster.fact(now, &instance, machine, fact);
                }
            }
            Command::Persist(_)
            | Command::Answer { .. }
            | Command::Acknowledge { .. }
            | Command::Destroy { .. }
            | Command::Reserve { .. }
            | Command::Record(_) => {}
        }
    }

    fn reachable(
        &self,
        cluster: &Cluster<'model>,
        machine: &scheduler_core::ids::MachineName,
    ) -> Option<u32> {
        cluster.places.get(machine).copied().filter(|machine| !self.is_down(*machine))
    }

    fn launch(&mut self, cluster: &mut Cluster<'model>, launch: &Launch, now: Time) {
        let Launch { instance: id, machine, specification, .. } = launch;
        let Some(machine) = self.reachable(cluster, machine) else { return };
        let Some(app) = cluster.app_of(id) else { return };
        let label = specification.label.clone();
        let scale = cluster.version(app, &label).map(|(_, version)| version.service_thousandths);
        let (number, is_first) = self.create(app, machine as usize);
        let Some(group) = self.groups.get_mut(app) else { return };
        if let Some(one) = group.instances.get_mut(number as usize) {
            one.scale = scale.unwrap_or(1000);
            self.is_special |= one.scale != 1000;
        }
        let at = group.definition.life.ready_at(group.words, number, is_first, now);
        cluster.ids.insert((app, number), id.clone());
        let process = Process { app, number, machine, is_running: false, is_healthy: false, label };
        cluster.processes.insert(id.clone(), process);
        cluster.fact(now, id, machine, InstanceFact::Launched);
        cluster.schedule(at, Happening::Started(id.clone()));
        self.tell(app, now);
    }

    fn started(&mut self, cluster: &mut Cluster<'model>, id: &InstanceId, now: Time) {
        let Some(process) = cluster.processes.get_mut(id) else { return };
        process.is_running = true;
        let (app, number, machine) = (process.app, process.number, process.machine);
        let label = process.label.clone();
        if let Some(group) = self.groups.get_mut(app)
            && let Some(one) = group.instances.get_mut(number as usize)
        {
            one.ready = Some(now);
        }
        let version = cluster.version(app, &label);
        let is_healthy = version.is_none_or(|(_, version)| version.is_healthy);
        if let Some(process) = cluster.processes.get_mut(id) {
            process.is_healthy = is_healthy;
        }
        cluster.fact(now, id, machine, InstanceFact::Running);
        if is_healthy {
            cluster.fact(now, id, machine, InstanceFact::Healthy);
        }
        if let Some((place, version)) = version
            && let (Some(law), Some(words)) = (&version.crashes, cluster.crash_words.get(place))
        {
            let at = now + law.sample(words.at(u64::from(number))).max(Nanoseconds(1));
            if at < cluster.ticks_until {
                cluster.schedule(at, Happening::Ends(id.clone()));
            }
        }
        self.plan_crash(app, number, now);
    }

    /// Gateways know that an instance is found with a weight, or isn't any more.
    fn known(
        &mut self,
        cluster: &mut Cluster<'model>,
        id: &InstanceId,
        weight: Option<u32>,
        now: Time,
    ) {
        let Some(process) = cluster.processes.get(id) else { return };
        let (app, number) = (process.app, process.number);
        let Some(group) = self.groups.get_mut(app) else { return };
        let Some(one) = group.instances.get_mut(number as usize) else { return };
        match (one.phase, weight) {
            (Phase::Starting, Some(weight)) => {
                one.phase = Phase::Ready;
                one.set_weight(weight);
                let place = (one.machine, number);
                group.starting.remove(&place);
                group.warming.push(number);
                group.counted.starting -= 1;
                group.counted.ready += 1;
                self.enlist(app, number, now);
            }
            (Phase::Ready, Some(weight)) => {
                one.set_weight(weight);
                if weight < FULL_THOUSANDTHS && !group.warming.contains(&number) {
                    group.warming.push(number);
                }
            }
            (Phase::Ready, None) => self.see_out(app, number, now),
            (Phase::Starting, None) | (Phase::Leaving | Phase::Gone, _) => return,
        }
        self.tell(app, now);
        self.refresh(now);
    }

    /// A ready instance takes nothing new: it leaves when what waits now has begun.
    fn see_out(&mut self, app: usize, number: u32, now: Time) {
        let Some(group) = self.groups.get_mut(app) else { return };
        let target = group.target_of(number, self.model.queue.scope);
        let Some(place) = self.made.get(&(app, target)).copied() else { return };
        let Some((target, mut floor, _)) = self.at(place, now) else { return };
        if !target.dismiss_this(number, now, &mut floor) {
            return;
        }
        if let Some(group) = self.groups.get_mut(app) {
            group.counted.ready -= 1;
            group.counted.leaving += 1;
        }
        self.see_off(app);
    }

    /// A process is asked to end: it finishes what it works on, if its grace is long enough.
    fn kill(
        &mut self,
        cluster: &mut Cluster<'model>,
        id: &InstanceId,
        machine: u32,
        grace: Nanoseconds,
        now: Time,
    ) {
        let Some(process) = cluster.processes.get(id) else {
            return cluster.fact(now, id, machine, InstanceFact::Unknown);
        };
        let (app, number) = (process.app, process.number);
        let Some(group) = self.groups.get_mut(app) else { return };
        let Some(one) = group.instances.get_mut(number as usize) else { return };
        one.is_killed = true;
        match one.phase {
            Phase::Starting => {
                self.drop_starting(app, number);
                self.process_over(cluster, id, Exit::Code(0), now);
                self.tell(app, now);
            }
            Phase::Ready => {
                self.see_out(app, number, now);
                self.hasten(app, number, now);
                cluster.schedule(now + grace, Happening::Slain(id.clone()));
                self.tell(app, now);
                self.refresh(now);
            }
            Phase::Leaving => self.plan(now, Control::Gone { app, instance: number }),
            Phase::Gone => {}
        }
    }

    /// Instances have just left their target: a scheduler says when they end.
    pub(in crate::live) fn see_off_under_scheduler(&mut self, app: usize) {
        for (at, number, _) in std::mem::take(&mut self.left) {
            let Some(group) = self.groups.get_mut(app) else { return };
            let Some(one) = group.instances.get_mut(number as usize) else { continue };
            one.phase = Phase::Leaving;
            if !one.is_killed {
                continue;
            }
            self.plan(at, Control::Gone { app, instance: number });
        }
    }

    /// An instance that is to leave does so as soon as it has nothing to do.
    fn hasten(&mut self, app: usize, number: u32, now: Time) {
        let Some(group) = self.groups.get(app) else { return };
        let target = group.target_of(number, self.model.queue.scope);
        let Some(place) = self.made.get(&(app, target)).copied() else { return };
        if let Some((target, mut floor, _)) = self.at(place, now) {
            target.hasten(number, now, &mut floor);
        }
        self.see_off(app);
    }

    /// An instance that starts is no more.
    fn drop_starting(&mut self, app: usize, number: u32) {
        let Some(group) = self.groups.get_mut(app) else { return };
        let machine = group.instances.get(number as usize).map_or(0, |one| one.machine);
        if group.starting.remove(&(machine, number)) {
            group.counted.starting -= 1;
        }
        self.release(app, number);
    }

    /// The scheduler will hear that a process has ended.
    fn process_over(
        &mut self,
        cluster: &mut Cluster<'model>,
        id: &InstanceId,
        exit: Exit,
        now: Time,
    ) {
        if let Some(process) = cluster.processes.remove(id) {
            cluster.fact(now, id, process.machine, InstanceFact::Ended(exit));
        }
    }

    /// The grace of a process is over: it ends, whatever it does.
    fn slain(&mut self, cluster: &mut Cluster<'model>, id: &InstanceId, now: Time) {
        let Some(process) = cluster.processes.get(id) else { return };
        let (app, number) = (process.app, process.number);
        let Some((machine, requests, _)) = self.fall(app, number, now) else { return };
        let cause = Cause::Killed;
        self.lost(Lost { app, machine, cause, instances: 1, ready: 0, requests }, now);
        self.process_over(cluster, id, Exit::Signal(9), now);
        self.tell(app, now);
        self.refresh(now);
    }

    fn process_crashes(&mut self, cluster: &mut Cluster<'model>, id: &InstanceId, now: Time) {
        let Some(process) = cluster.processes.get(id) else { return };
        let (app, number, machine) = (process.app, process.number, process.machine);
        let phase = self.groups.get(app).and_then(|group| group.instances.get(number as usize));
        let mut lost = Lost {
            app,
            machine,
            cause: Cause::Crash { wait: Nanoseconds::ZERO },
            instances: 1,
            ready: 0,
            requests: 0,
        };
        match phase.map(|one| one.phase) {
            Some(Phase::Starting) => self.drop_starting(app, number),
            Some(Phase::Ready) => {
                if let Some((_, requests, was_to_leave)) = self.fall(app, number, now) {
                    (lost.ready, lost.requests) = (u32::from(!was_to_leave), requests);
                }
            }
            Some(Phase::Leaving) => {
                self.release(app, number);
                if let Some(group) = self.groups.get_mut(app) {
                    group.counted.leaving -= 1;
                    let target = group.target_of(number, self.model.queue.scope);
                    lost.requests = self.desert(app, target, now);
                }
            }
            Some(Phase::Gone) | None => return,
        }
        self.lost(lost, now);
        self.process_over(cluster, id, Exit::Code(1), now);
        self.tell(app, now);
        self.refresh(now);
    }

    /// An instance of the run ends by itself, if there is a scheduler; whether there is one.
    pub(in crate::live) fn crashes_under_scheduler(
        &mut self,
        app: usize,
        number: u32,
        now: Time,
    ) -> bool {
        let Some(mut cluster) = self.cluster.take() else { return false };
        if let Some(id) = cluster.ids.get(&(app, number)).cloned() {
            self.process_crashes(&mut cluster, &id, now);
        }
        self.put_back(cluster);
        true
    }

    /// An instance that was asked to end has ended.
    pub(in crate::live) fn gone_under_scheduler(&mut self, app: usize, number: u32, now: Time) {
        let Some(mut cluster) = self.cluster.take() else { return };
        if let Some(id) = cluster.ids.get(&(app, number)).cloned() {
            self.process_over(&mut cluster, &id, Exit::Code(0), now);
        }
        self.put_back(cluster);
    }

    /// All processes of a machine have been lost with it.
    pub(in crate::live) fn machine_lost(&mut self, machine: u32, now: Time) {
        let Some(mut cluster) = self.cluster.take() else { return };
        let there = cluster.processes.iter().filter(|(_, process)| process.machine == machine);
        let lost: Vec<InstanceId> = there.map(|(id, _)| id.clone()).collect();
        lost.iter().for_each(|id| drop(cluster.processes.remove(id)));
        cluster.lost.insert(machine, lost);
        cluster.failed_at.insert(machine, now);
        let silent = Happening::Silent { machine, since: now };
        cluster.schedule(now + cluster.rules.silent, silent);
        self.put_back(cluster);
    }

    /// A machine is back: it says so, and that nothing of what it had runs any more. Whether there
    /// is a scheduler.
    pub(in crate::live) fn machine_found(&mut self, machine: u32, now: Time) -> bool {
        let Some(mut cluster) = self.cluster.take() else { return false };
        cluster.failed_at.remove(&machine);
        if let Some(name) = cluster.machines.get(machine as usize).cloned() {
            let fact = MachineFact::Up(cluster.description.clone());
            let event = Event::Machine { machine: name, fact };
            cluster.schedule(now + cluster.rules.facts, Happening::Fact(event));
        }
        for id in cluster.lost.remove(&machine).unwrap_or_default() {
            cluster.fact(now, &id, machine, InstanceFact::Unknown);
        }
        self.put_back(cluster);
        true
    }
}

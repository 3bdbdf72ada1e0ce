//! The oracle: Ansible's linear order by recursion over the tree. One task at a time over all
//! hosts that are in this part of the tree, in the hosts' order; nothing ahead. It knows no
//! positions' order, no cursor and no dispatcher.

use super::play::{Block, HOSTS, Include, Node, Outcome, Play, State, Task};
use provision_plan::Position;

pub struct Linear {
    pub state: State,
    pub results: [Vec<(Position, Outcome)>; HOSTS],
    /// Tasks for which at least one host had to be asked: what each costs is one round trip.
    pub round_trips: usize,
}

/// Hosts in order.
type Hosts = Vec<usize>;

pub fn run(play: &Play) -> Linear {
    let results = std::array::from_fn(|_| Vec::new());
    let mut linear = Linear { state: State::new(play), results, round_trips: 0 };
    let all = (0..HOSTS).collect();
    linear.nodes(play, &play.tasks, &Position::root(), all, false);
    linear
}

impl Linear {
    /// Returns who got through and who failed; who is neither is unreachable.
    fn nodes(
        &mut self,
        play: &Play,
        nodes: &[Node],
        at: &Position,
        mut hosts: Hosts,
        caught: bool,
    ) -> (Hosts, Hosts) {
        let mut failed = Hosts::new();
        for (number, node) in (0..).zip(nodes) {
            let at = at.child(number);
            let (through, lost_here) = match node {
                Node::Task(task) => self.task(task, &at, hosts, caught),
                Node::Block(block) => self.block(play, block, &at, hosts, caught),
                Node::Include(include) => self.include(play, include, &at, hosts, caught),
                Node::Flush => self.flush(play, &at, hosts),
            };
            hosts = through;
            failed.extend(lost_here);
        }
        failed.sort_unstable();
        (hosts, failed)
    }

    fn block(
        &mut self,
        play: &Play,
        block: &Block,
        at: &Position,
        hosts: Hosts,
        caught: bool,
    ) -> (Hosts, Hosts) {
        let (rescue, always) = (!block.rescue.is_empty(), !block.always.is_empty());
        let in_body = caught || rescue || always;
        let (mut through, mut failed) = self.nodes(play, &block.body, &at.child(0), hosts, in_body);
        if rescue {
            let (rescued, lost) =
                self.nodes(play, &block.rescue, &at.child(1), failed, caught || always);
            through.extend(rescued);
            failed = lost;
        }
        let mut everyone: Hosts = through.iter().chain(&failed).copied().collect();
        everyone.sort_unstable();
        let (done, lost) = self.nodes(play, &block.always, &at.child(2), everyone, caught);
        failed.retain(|host| done.contains(host));
        let through: Hosts = done.into_iter().filter(|host| !failed.contains(host)).collect();
        failed.extend(lost);
        failed.sort_unstable();
        if !caught {
            failed.iter().for_each(|host| self.state.active[*host] = false);
        }
        (through, failed)
    }

    fn include(
        &mut self,
        play: &Play,
        include: &Include,
        at: &Position,
        hosts: Hosts,
        caught: bool,
    ) -> (Hosts, Hosts) {
        let mut chosen = vec![Hosts::new(); include.files.len()];
        for host in hosts {
            let value = self.state.value(host, &include.choose);
            let file = value.rem_euclid(include.files.len() as i64) as usize;
            self.results[host].push((at.clone(), Outcome::Expanded(file)));
            chosen[file].push(host);
        }
        let (mut through, mut failed) = (Hosts::new(), Hosts::new());
        for ((number, file), hosts) in (0..).zip(&include.files).zip(chosen) {
            let (done, lost) = self.nodes(play, file, &at.child(number), hosts, caught);
            through.extend(done);
            failed.extend(lost);
        }
        through.sort_unstable();
        (through, failed)
    }

    fn flush(&mut self, play: &Play, at: &Position, mut hosts: Hosts) -> (Hosts, Hosts) {
        let mut failed = Hosts::new();
        for (number, handler) in play.handlers.iter().enumerate() {
            let Node::Task(task) = handler else { panic!("a handler is a task") };
            let (notified, mut others): (Hosts, Hosts) =
                hosts.into_iter().partition(|host| self.state.notified[*host][number]);
            let at = at.child(number as u32);
            others.iter().for_each(|host| {
                self.results[*host].push((at.clone(), Outcome::Skipped));
            });
            notified.iter().for_each(|host| self.state.notified[*host][number] = false);
            let (done, lost) = self.task(task, &at, notified, false);
            others.extend(done);
            others.sort_unstable();
            hosts = others;
            failed.extend(lost);
        }
        (hosts, failed)
    }

    fn task(&mut self, task: &Task, at: &Position, hosts: Hosts, caught: bool) -> (Hosts, Hosts) {
        let (mut through, mut failed) = (Hosts::new(), Hosts::new());
        let mut asked = 0;
        let mut shared: Option<Outcome> = None;
        for host in hosts {
            let outcome = shared.clone().unwrap_or_else(|| {
                let arguments = self.state.arguments(host, task);
                asked += usize::from(!arguments.is_empty() && !task.on_controller());
                self.run(host, task, &arguments)
            });
            self.results[host].push((at.clone(), outcome.clone()));
            if outcome.lost() {
                self.state.active[host] = false;
                continue;
            }
            match shared {
                None => self.state.learn(host, task, &outcome),
                Some(_) => self.state.learn(host, &unnotifying(task), &outcome),
            }
            if outcome.failed(task) && !task.ignore_errors {
                self.state.active[host] = caught;
                failed.push(host);
            } else {
                through.push(host);
            }
            if task.run_once {
                shared = Some(outcome);
            }
        }
        // All at the same time; but after an unreachable one, `run_once` asks the next.
        self.round_trips += if task.run_once { asked } else { asked.min(1) };
        (through, failed)
    }

    fn run(&mut self, host: usize, task: &Task, arguments: &[i64]) -> Outcome {
        if arguments.is_empty() {
            return Outcome::Skipped;
        }
        let mut items = Vec::new();
        for argument in arguments {
            let item = self.state.call(host, task, *argument);
            items.push(item);
            if item.lost {
                break;
            }
        }
        Outcome::Ran(items)
    }
}

/// A shared result notifies only for the host that ran it.
pub fn unnotifying(task: &Task) -> Task {
    Task { notify: None, ..task.clone() }
}

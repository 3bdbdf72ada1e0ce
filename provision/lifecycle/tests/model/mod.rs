//! A model of a cluster that has a quorum: members crash and come back, lose links, load slowly,
//! elect a leader, and answer probes late. One tick is [`TICK_MS`].

pub mod random;

use std::collections::VecDeque;

use provision_lifecycle::{Duty, Files, Member, Observed, Process, Reach, Role, Version};
use random::Random;

pub const TICK_MS: u64 = 250;
/// A probe says what was true at most so long ago; the settling time is longer.
pub const LATE_TICKS: u64 = 8;
pub const SETTLE_TICKS: u64 = 12;
const ELECTION_TICKS: u64 = 4;

/// Why a member stopped serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Us,
    Fault,
}

#[derive(Debug, Clone)]
pub struct Node {
    pub alive: bool,
    pub alive_since: u64,
    /// When the process will be there, if it was started.
    pub starts_at: Option<u64>,
    /// When it has loaded its data.
    pub ready_at: u64,
    pub process: Process,
    pub version: usize,
    pub current: usize,
    pub releases: [bool; 2],
    pub has_data: bool,
    /// The way from the controller.
    pub linked: bool,
    /// The way to the other members.
    pub peered: bool,
    /// When and why it last stopped to serve.
    pub lost: (u64, Cause),
    /// A release that does not come up here.
    pub broken: [bool; 2],
    /// Ticks that a start takes.
    pub start_ticks: u64,
    /// It runs with the files on disk.
    pub fresh: bool,
}

#[derive(Debug, Clone)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub now: u64,
    pub leader: Option<usize>,
    election_ends: Option<u64>,
    pub changes_by_fault: u32,
    pub changes_by_us: u32,
    versions: [Version; 2],
    /// What probes could have seen, newest last.
    past: VecDeque<Vec<Node>>,
    lost_by: Cause,
}

impl Cluster {
    pub fn new(nodes: Vec<Node>, versions: [Version; 2]) -> Self {
        let mut cluster = Cluster {
            nodes,
            now: 0,
            leader: None,
            election_ends: None,
            changes_by_fault: 0,
            changes_by_us: 0,
            versions,
            past: VecDeque::new(),
            lost_by: Cause::Fault,
        };
        cluster.elect_first();
        cluster.remember();
        cluster
    }

    pub fn node() -> Node {
        Node {
            alive: true,
            alive_since: 0,
            starts_at: None,
            ready_at: 0,
            process: Process::Looking,
            version: 0,
            current: 0,
            releases: [true, false],
            has_data: true,
            linked: true,
            peered: true,
            lost: (0, Cause::Fault),
            broken: [false, false],
            start_ticks: 3,
            fresh: true,
        }
    }

    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    fn connected(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.alive && node.peered && node.ready_at <= self.now
    }

    fn elect_first(&mut self) {
        let connected: Vec<usize> = (0..self.nodes.len()).filter(|i| self.connected(*i)).collect();
        if connected.len() >= self.quorum() {
            self.leader = connected.last().copied();
            self.assign();
        }
    }

    fn assign(&mut self) {
        let has_quorum = self.leader.is_some();
        for index in 0..self.nodes.len() {
            let connected = self.connected(index);
            let now = self.now;
            let (leader, lost_by) = (self.leader, self.lost_by);
            let node = &mut self.nodes[index];
            let before = node.process;
            node.process = match (node.alive, connected && has_quorum) {
                (false, _) => Process::Dead,
                (true, false) => Process::Looking,
                (true, true) if leader == Some(index) => Process::Serving(Role::Leader),
                (true, true) => Process::Serving(Role::Follower),
            };
            if matches!(before, Process::Serving(_)) && node.process == Process::Looking {
                node.lost = (now, if node.peered { lost_by } else { Cause::Fault });
            }
            if matches!(node.process, Process::Serving(_)) {
                node.has_data = true;
            }
        }
    }

    fn remember(&mut self) {
        self.past.push_back(self.nodes.clone());
        if self.past.len() as u64 > LATE_TICKS + 1 {
            self.past.pop_front();
        }
    }

    /// One tick of the world.
    pub fn tick(&mut self, random: &mut Random) {
        self.now += 1;
        for index in 0..self.nodes.len() {
            let now = self.now;
            let node = &mut self.nodes[index];
            if node.starts_at.is_some_and(|at| at <= now) {
                node.starts_at = None;
                node.version = node.current;
                node.fresh = true;
                if !node.broken[node.version] {
                    node.alive = true;
                    node.alive_since = now;
                    node.ready_at = now + random.below(4);
                }
            }
        }
        let connected: Vec<usize> = (0..self.nodes.len()).filter(|i| self.connected(*i)).collect();
        let has_quorum = connected.len() >= self.quorum();
        let leads = self.leader.is_some_and(|leader| connected.contains(&leader));
        if self.leader.is_some() && !(leads && has_quorum) {
            let leader = self.leader.take();
            self.lost_by = leader.map_or(Cause::Fault, |leader| match self.nodes[leader].alive {
                // It stands, but too few are left: whoever took the last one.
                true => self.last_cause(),
                false => self.nodes[leader].lost.1,
            });
        }
        match (self.leader, has_quorum, self.election_ends) {
            (None, true, None) => self.election_ends = Some(self.now + ELECTION_TICKS),
            (None, true, Some(ends)) if ends <= self.now => {
                self.leader = Some(connected[random.index(connected.len())]);
                self.election_ends = None;
                match self.lost_by {
                    Cause::Us => self.changes_by_us += 1,
                    Cause::Fault => self.changes_by_fault += 1,
                }
            }
            (None, true, Some(_)) => {}
            (_, false, _) | (Some(_), ..) => self.election_ends = None,
        }
        self.assign();
        self.remember();
    }

    /// Whose doing it is that too few are left: ours only if no fault came at the same time.
    fn last_cause(&self) -> Cause {
        let away = (0..self.nodes.len()).filter(|index| !self.connected(*index));
        let lost: Vec<(u64, Cause)> = away.map(|index| self.nodes[index].lost).collect();
        let ours = lost.iter().filter(|(_, cause)| *cause == Cause::Us).map(|(at, _)| *at).max();
        let fault =
            lost.iter().filter(|(_, cause)| *cause == Cause::Fault).map(|(at, _)| *at).max();
        match (ours, fault) {
            (Some(ours), Some(fault)) if fault + LATE_TICKS < ours => Cause::Us,
            (Some(_), None) => Cause::Us,
            _ => Cause::Fault,
        }
    }

    /// The process ends.
    pub fn kill(&mut self, index: usize, cause: Cause) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.alive {
            node.lost = (now, cause);
        }
        node.alive = false;
        node.starts_at = None;
        node.process = Process::Dead;
    }

    /// The process is started.
    pub fn start(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if !node.alive && node.starts_at.is_none() {
            node.starts_at = Some(now + node.start_ticks);
        }
    }

    /// The leader steps down.
    pub fn depose(&mut self) {
        if let Some(leader) = self.leader.take() {
            self.nodes[leader].lost = (self.now, Cause::Fault);
            self.lost_by = Cause::Fault;
            self.assign();
        }
    }

    /// What the controller sees, each member by so many ticks too late.
    pub fn observe(&self, late: &mut impl FnMut() -> u64) -> Observed {
        let members = self.nodes.iter().enumerate().map(|(index, node)| {
            let name = name(index);
            if !node.linked {
                return Member::unreachable(&name, Duty::Voter, "no route");
            }
            let back = usize::try_from(late().min(LATE_TICKS)).unwrap();
            let then = self.past.get(self.past.len().saturating_sub(1 + back));
            let seen = then.map_or(node, |then| &then[index]);
            let version = |index: usize| Some(self.versions[index].clone());
            let releases = (0..2).filter(|i| node.releases[*i]);
            Member {
                name,
                duty: Duty::Voter,
                reach: Reach::Reachable,
                releases: releases.map(|i| self.versions[i].clone()).collect(),
                current: version(seen.current),
                running: if seen.alive { version(seen.version) } else { None },
                process: seen.process,
                files: if seen.fresh { Files::Current } else { Files::Changed },
                has_data: Some(seen.has_data),
                ..Member::blank("", Duty::Voter)
            }
        });
        Observed { members: members.collect() }
    }

    /// Whether taking this member away now breaks a quorum that somebody who hears of everything
    /// [`LATE_TICKS`] late knows to be there.
    pub fn would_break(&self, index: usize) -> bool {
        let is_known = |at: u64| at + LATE_TICKS < self.now;
        let node = &self.nodes[index];
        if !node.alive || !is_known(node.alive_since) {
            return false;
        }
        let counts = |other: &Node| {
            let (at, cause) = other.lost;
            matches!(other.process, Process::Serving(_)) || (cause == Cause::Fault && !is_known(at))
        };
        let others = self.nodes.iter().enumerate().filter(|(i, _)| *i != index);
        others.filter(|(_, other)| counts(other)).count() < self.quorum()
    }

    pub fn alive(&self) -> usize {
        self.nodes.iter().filter(|node| node.alive).count()
    }
}

pub fn name(index: usize) -> String {
    format!("m{index}")
}

pub fn index_of(name: &str) -> usize {
    name[1..].parse().unwrap()
}

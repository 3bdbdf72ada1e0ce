//! A model of a cluster that has a quorum: members crash and come back, lose links, load slowly,
//! elect a leader, and answer probes late. One tick is [`TICK_MS`].

pub mod random;

use std::collections::{BTreeSet, VecDeque};

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
    /// It has a vote.
    pub member: bool,
    /// There is something that can be started.
    pub installed: bool,
    /// Who has a vote as far as it knows: bit `i` stands for member `i`.
    pub known: u32,
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
            member: true,
            installed: true,
            known: 0,
        }
    }

    pub fn quorum(&self) -> usize {
        self.nodes.iter().filter(|node| node.member).count() / 2 + 1
    }

    /// Who has a vote: bit `i` stands for member `i`.
    pub fn votes(&self) -> u32 {
        self.nodes.iter().enumerate().map(|(i, node)| u32::from(node.member) << i).sum()
    }

    fn voting(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].member && self.connected(*i)).collect()
    }

    /// Whether a change of the votes is committed: a quorum of the old ones and of the new ones
    /// hears the leader.
    #[allow(dead_code, reason = "the votes change in one of the tests only")]
    pub fn can_commit(&self, votes: u32) -> bool {
        let is_quorum = |votes: u32| {
            let hear = (0..self.nodes.len()).filter(|i| votes >> i & 1 == 1 && self.connected(*i));
            hear.count() * 2 > votes.count_ones() as usize
        };
        self.leader.is_some() && is_quorum(self.votes()) && is_quorum(votes)
    }

    /// The votes change. A leader that loses its own steps down.
    #[allow(dead_code, reason = "the votes change in one of the tests only")]
    pub fn commit(&mut self, votes: u32) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.member = votes >> index & 1 == 1;
        }
        if let Some(leader) = self.leader.filter(|leader| !self.nodes[*leader].member) {
            self.nodes[leader].lost = (self.now, Cause::Us);
            self.leader = None;
            self.lost_by = Cause::Us;
        }
        self.assign();
    }

    fn connected(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.alive && node.peered && node.ready_at <= self.now
    }

    fn elect_first(&mut self) {
        let connected = self.voting();
        if connected.len() >= self.quorum() {
            self.leader = connected.last().copied();
            self.assign();
        }
    }

    fn assign(&mut self) {
        let has_quorum = self.leader.is_some();
        let votes = self.votes();
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
                node.known = votes;
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
                if node.installed && !node.broken[node.version] {
                    node.alive = true;
                    node.alive_since = now;
                    node.ready_at = now + random.below(4);
                }
            }
        }
        let connected = self.voting();
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
        let voters = (0..self.nodes.len()).filter(|index| self.nodes[*index].member);
        let away = voters.filter(|index| !self.connected(*index));
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
            let serves = matches!(seen.process, Process::Serving(_));
            let names = (0..32).filter(|i| seen.known >> i & 1 == 1).map(self::name);
            Member {
                name,
                duty: Duty::Voter,
                reach: Reach::Reachable,
                releases: releases.map(|i| self.versions[i].clone()).collect(),
                current: if node.installed { version(seen.current) } else { None },
                running: if seen.alive { version(seen.version) } else { None },
                process: seen.process,
                files: if seen.fresh { Files::Current } else { Files::Changed },
                has_data: Some(seen.has_data),
                roster: serves.then(|| names.collect::<BTreeSet<String>>()),
                ..Member::blank("", Duty::Voter)
            }
        });
        Observed { members: members.collect(), ..Observed::default() }.with_known_members()
    }

    /// Whether taking this member away now breaks a quorum that somebody who hears of everything
    /// [`LATE_TICKS`] late knows to be there.
    pub fn would_break(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        if !node.member || !node.alive || !self.is_known(node.alive_since) {
            return false;
        }
        !self.serve(self.votes(), Some(index))
    }

    /// Whether those of these votes that serve are a quorum of them, for somebody who hears of
    /// everything [`LATE_TICKS`] late; one of them may be taken out.
    pub fn serve(&self, votes: u32, without: Option<usize>) -> bool {
        let counts = |other: &Node| {
            let (at, cause) = other.lost;
            matches!(other.process, Process::Serving(_))
                || (cause == Cause::Fault && !self.is_known(at))
        };
        let others = self.nodes.iter().enumerate().filter(|(i, _)| votes >> i & 1 == 1);
        let serving = others.filter(|(i, other)| Some(*i) != without && counts(other)).count();
        serving * 2 > votes.count_ones() as usize
    }

    fn is_known(&self, at: u64) -> bool {
        at + LATE_TICKS < self.now
    }

    pub fn alive(&self) -> usize {
        self.nodes.iter().filter(|node| node.member && node.alive).count()
    }
}

pub fn name(index: usize) -> String {
    format!("m{index}")
}

pub fn index_of(name: &str) -> usize {
    name[1..].parse().unwrap()
}

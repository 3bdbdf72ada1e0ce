//! What any simulator must be told of nodes with servers and queues; the events are the peer's.

use std::collections::VecDeque;

use crate::jobs::{Job, Jobs, Rule};

/// All nodes.
#[derive(Debug)]
pub struct Stations {
    nodes: Vec<Node>,
    rule: Rule,
    pub waits: u128,
}

#[derive(Debug, Clone)]
struct Node {
    idle: u32,
    waiting: VecDeque<Job>,
    load: u32,
}

impl Stations {
    pub fn new(jobs: &Jobs) -> Self {
        let node = Node { idle: jobs.servers, waiting: VecDeque::new(), load: 0 };
        Stations { nodes: vec![node; jobs.nodes as usize], rule: jobs.rule, waits: 0 }
    }

    fn choose(&self, job: &Job) -> u32 {
        match self.rule {
            Rule::First => job.first,
            Rule::LessLoaded => {
                let load = |node: u32| self.nodes[node as usize].load;
                if load(job.second) < load(job.first) { job.second } else { job.first }
            }
            Rule::Shortest => {
                let count = self.nodes.len() as u32;
                let circle = (job.first..count).chain(0..job.first);
                let shortest = circle.min_by_key(|node| self.nodes[*node as usize].load);
                shortest.expect("there are nodes")
            }
        }
    }

    /// A request arrives: its node, and how long it is worked on if work begins at once.
    pub fn arrive(&mut self, job: Job) -> Option<(u32, u64)> {
        let chosen = self.choose(&job);
        let node = &mut self.nodes[chosen as usize];
        node.load += 1;
        if node.idle == 0 {
            node.waiting.push_back(job);
            return None;
        }
        node.idle -= 1;
        Some((chosen, job.service))
    }

    /// A request ends at a node: how long the next one is worked on, if one waits.
    pub fn end(&mut self, chosen: u32, now: u64) -> Option<u64> {
        let node = &mut self.nodes[chosen as usize];
        node.load -= 1;
        let Some(job) = node.waiting.pop_front() else {
            node.idle += 1;
            return None;
        };
        self.waits += u128::from(now - job.at);
        Some(job.service)
    }
}

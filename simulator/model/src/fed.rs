//! Requests that come from outside, such as a trace: what they don't say is drawn from the same
//! words as for requests of a source.

use std::fmt::Debug;

use policy::random::{below, halves};
use policy::{Nanoseconds, Time};
use simulator_kernel::Law;

use crate::model::Model;
use crate::workload::{BLOCK, Run, StreamWords, Users, key};

/// A request from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// When it arrives; if it is earlier than the one before, at the same instant.
    pub at: Time,
    /// Where it counts, as a place in [`Model::sources`]; requests of others are left out.
    pub source: u16,
    /// Whose it is, counted over all groups; drawn if it isn't said.
    pub user: Option<u32>,
    /// How long the work on it takes; drawn if it isn't said.
    pub service: Option<Nanoseconds>,
    /// The gateway that it reaches; drawn if it isn't said.
    pub gateway: Option<u16>,
}

/// Gives requests one after another in the order of time.
pub trait Feed: Debug {
    /// The next one.
    fn next_request(&mut self) -> Option<Fed>;
}

/// Requests of a feed as runs.
#[derive(Debug)]
pub(crate) struct FedRuns<'model> {
    feed: Box<dyn Feed + 'model>,
    kinds: Vec<Kind<'model>>,
    gateways: u32,
    users: u32,
    next: Option<Fed>,
    number: u64,
    last: u64,
    at: Vec<u64>,
    service: Vec<u64>,
    user: Vec<u32>,
    gateway: Vec<u16>,
}

/// What is drawn for requests of one source.
#[derive(Debug)]
struct Kind<'model> {
    service: &'model Law,
    users: Users,
    words: StreamWords,
    count: u64,
}

impl<'model> FedRuns<'model> {
    pub(crate) fn new(model: &'model Model, feed: Box<dyn Feed + 'model>) -> Self {
        let kinds = model.sources.iter().enumerate().map_while(|(number, source)| {
            let group = model.tenants.get(source.tenants)?;
            let before = model.tenants.iter().take(source.tenants).map(|group| group.users).sum();
            Some(Kind {
                service: &model.cmds.get(source.cmd)?.service,
                users: Users::new(group, before),
                words: StreamWords::new(model.seed, u16::try_from(number).ok()?),
                count: 0,
            })
        });
        FedRuns {
            feed,
            kinds: kinds.collect(),
            gateways: u32::from(model.gateways.max(1)),
            users: u32::try_from(model.users()).unwrap_or(u32::MAX),
            next: None,
            number: 0,
            last: 0,
            at: Vec::with_capacity(BLOCK),
            service: Vec::with_capacity(BLOCK),
            user: Vec::with_capacity(BLOCK),
            gateway: Vec::with_capacity(BLOCK),
        }
    }

    /// The next requests of one source without another's in between.
    pub(crate) fn next_run(&mut self) -> Option<Run<'_>> {
        for column in [&mut self.at, &mut self.service] {
            column.clear();
        }
        self.user.clear();
        self.gateway.clear();
        let known = self.kinds.len();
        let is_known = |fed: &Fed| usize::from(fed.source) < known;
        let mut fed = self.next.take().or_else(|| self.feed.next_request())?;
        while !is_known(&fed) {
            fed = self.feed.next_request()?;
        }
        let source = fed.source;
        let kind = self.kinds.get_mut(usize::from(source))?;
        let first = kind.count;
        loop {
            self.last = self.last.max(fed.at.0);
            self.at.push(self.last);
            let drawn = || kind.service.sample(kind.words.service.at(kind.count));
            self.service.push(fed.service.unwrap_or_else(drawn).0.max(1));
            let user = fed.user.filter(|user| *user < self.users).unwrap_or_else(|| {
                let (low, high) = halves(kind.words.tenant.at(kind.count));
                kind.users.choose(low, high)
            });
            self.user.push(user);
            let known = fed.gateway.filter(|gateway| u32::from(*gateway) < self.gateways);
            self.gateway.push(known.unwrap_or_else(|| {
                let half = halves(kind.words.gateway.at(kind.count)).0;
                u16::try_from(below(half, self.gateways)).unwrap_or(0)
            }));
            kind.count += 1;
            match self.feed.next_request() {
                Some(next) if next.source == source && self.at.len() < BLOCK => fed = next,
                next => {
                    self.next = next;
                    break;
                }
            }
        }
        let number = self.number;
        self.number += self.at.len() as u64;
        Some(Run {
            source,
            number,
            key: key(source, first),
            at: &self.at,
            service: &self.service,
            users: &self.user,
            gateways: &self.gateway,
        })
    }
}

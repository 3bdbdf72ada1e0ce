//! The accounts of admission behind a network: each gateway has its own.

use policy::admission::{Account, Learned, Limits};
use policy::{Accounts, Nanoseconds, Time};

use super::Key;
use super::calendar::Name;
use super::plan::Plan;
use crate::model::Model;

/// The accounts of some gateways.
#[derive(Debug)]
pub(super) struct Books {
    desks: Desks,
    accepted: Vec<u32>,
    users: Table,
    cmds: Table,
}

/// What must be known of the requests of one source at one gateway: where their accounts are and what
/// the gateway knows of their targets, and what their command is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Desk {
    gateway: u32,
    /// The account of the first user.
    users: u32,
    cmd: u32,
    pub(super) app: u32,
    /// The first of the targets, counted over all apps.
    pub(super) first: u32,
    /// The first of the targets' loads, and how many targets there are.
    pub(super) loads: u32,
    pub(super) targets: u32,
    /// The turn of a round robin.
    pub(super) turn: u32,
    pub(super) deadline: Nanoseconds,
    pub(super) usual: Nanoseconds,
}

/// The desks of some gateways: a line for each gateway and source, as [`Lines`] number them.
#[derive(Debug)]
struct Desks {
    lines: Lines,
    first: u32,
    desks: Vec<Desk>,
}

/// Numbers for pairs of gateway and source: the gateway is in the upper bits, so that nobody has to
/// divide to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    source_bits: u32,
}

impl Lines {
    /// For so many sources.
    pub(super) fn new(sources: usize) -> Self {
        let last = u16::try_from(sources.saturating_sub(1)).unwrap_or(u16::MAX);
        Lines { source_bits: u16::BITS - last.leading_zeros() }
    }

    /// The line of a source at a gateway.
    #[inline(always)]
    pub(super) const fn line(self, gateway: u16, source: u16) -> u32 {
        ((gateway as u32) << self.source_bits) | source as u32
    }

    /// How many bits the source takes.
    pub(super) const fn source_bits(self) -> u32 {
        self.source_bits
    }
}

impl Books {
    /// Those of a range of gateways of a model.
    pub(super) fn new(model: &Model, plan: &Plan, gateways: std::ops::Range<u16>) -> Self {
        let count = usize::from(gateways.end - gateways.start);
        let (users, cmds) = (model.users().max(1), model.cmds.len().max(1));
        Books {
            desks: Desks::new(model, plan, gateways),
            accepted: vec![0; count],
            users: Table::new(count * users, model.admission.user),
            cmds: Table::new(count * cmds, model.admission.cmd),
        }
    }

    /// The books, laid open.
    #[inline(always)]
    pub(super) fn open(&mut self) -> Open<'_> {
        Open {
            lines: self.desks.lines,
            first: self.desks.first,
            desks: &self.desks.desks,
            accepted: &mut self.accepted,
            users: self.users.columns(),
            cmds: self.cmds.columns(),
        }
    }
}

impl Desks {
    fn new(model: &Model, plan: &Plan, gateways: std::ops::Range<u16>) -> Self {
        let lines = Lines::new(plan.sources.len());
        let narrow = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let (users, cmds) = (model.users().max(1), model.cmds.len().max(1));
        let first = lines.line(gateways.start, 0);
        let mut desks = Vec::new();
        for (gateway, number) in gateways.enumerate() {
            for (info, source) in plan.sources.iter().zip(0..) {
                let app = plan.apps.get(info.app as usize);
                let before = app.map_or(0, |app| app.first);
                let desk = Desk {
                    gateway: narrow(gateway),
                    users: narrow(gateway * users),
                    cmd: narrow(gateway * cmds + info.cmd as usize),
                    app: info.app,
                    first: narrow(before),
                    loads: narrow(gateway * plan.targets() + before),
                    targets: app.map_or(0, |app| app.count),
                    turn: narrow(gateway * plan.apps.len() + info.app as usize),
                    deadline: info.deadline,
                    usual: info.usual,
                };
                // Some lines have no source.
                desks.resize((lines.line(number, source) - first) as usize, desk);
                desks.push(desk);
            }
        }
        Desks { lines, first, desks }
    }
}

/// Books that lie open: who works through many requests has their columns at hand.
///
/// It must not be lent to anything that stays a call, or all of it is looked up anew for each request:
/// there, [`Open::again`].
#[derive(Debug)]
pub(super) struct Open<'a> {
    lines: Lines,
    first: u32,
    desks: &'a [Desk],
    accepted: &'a mut [u32],
    users: Columns<'a>,
    cmds: Columns<'a>,
}

impl<'a> Open<'a> {
    /// The same books, lent.
    #[inline(always)]
    pub(super) fn again(&mut self) -> Open<'_> {
        Open {
            lines: self.lines,
            first: self.first,
            desks: self.desks,
            accepted: self.accepted,
            users: self.users.again(),
            cmds: self.cmds.again(),
        }
    }

    /// The desk at which a request arrives.
    #[inline(always)]
    pub(super) fn desk(&self, key: u64) -> Option<&'a Desk> {
        let (gateway, source) = Key::parts(key);
        self.at(self.lines.line(gateway, source))
    }

    #[inline(always)]
    fn at(&self, line: u32) -> Option<&'a Desk> {
        self.desks.get((line - self.first) as usize)
    }

    /// Permits are given back.
    #[inline(always)]
    pub(super) fn release(&mut self, name: Name) {
        let Some(desk) = self.at(name.line) else { return };
        let mut taken_out = self.take_out_counts(desk, name.user);
        policy::release(taken_out.accounts(None));
        self.put_back_counts(desk, name.user, &taken_out);
    }

    /// The accounts of a request, without what rates have seen.
    #[inline(always)]
    pub(super) fn take_out_counts(&self, desk: &Desk, user: u32) -> TakenOut {
        let place = Place::of(desk, user);
        TakenOut {
            accepted: self.accepted(place),
            user: Account { in_flight: self.users.in_flight(place.user), expected: Time::ZERO },
            cmd: Account { in_flight: self.cmds.in_flight(place.cmd), expected: Time::ZERO },
        }
    }

    /// Likewise, they go back.
    #[inline(always)]
    pub(super) fn put_back_counts(&mut self, desk: &Desk, user: u32, taken_out: &TakenOut) {
        self.keep(Place::of(desk, user), taken_out);
    }

    /// The accounts of a request.
    #[inline(always)]
    pub(super) fn take_out(&self, desk: &Desk, user: u32) -> TakenOut {
        let place = Place::of(desk, user);
        TakenOut {
            accepted: self.accepted(place),
            user: self.users.account(place.user),
            cmd: self.cmds.account(place.cmd),
        }
    }

    /// They go back.
    #[inline(always)]
    pub(super) fn put_back(&mut self, desk: &Desk, user: u32, taken_out: &TakenOut) {
        let place = Place::of(desk, user);
        self.keep(place, taken_out);
        self.users.expect(place.user, taken_out.user.expected);
        self.cmds.expect(place.cmd, taken_out.cmd.expected);
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "desks are made for the gateways that are there")]
    fn accepted(&self, place: Place) -> u32 {
        self.accepted[place.gateway]
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "desks are made for the gateways that are there")]
    fn keep(&mut self, place: Place, taken_out: &TakenOut) {
        self.accepted[place.gateway] = taken_out.accepted;
        self.users.in_flight[place.user] = taken_out.user.in_flight;
        self.cmds.in_flight[place.cmd] = taken_out.cmd.in_flight;
    }
}

/// Where the accounts of a request are.
#[derive(Debug, Clone, Copy)]
struct Place {
    gateway: usize,
    user: usize,
    cmd: usize,
}

impl Place {
    #[inline(always)]
    const fn of(desk: &Desk, user: u32) -> Self {
        Place {
            gateway: desk.gateway as usize,
            user: desk.users as usize + user as usize,
            cmd: desk.cmd as usize,
        }
    }
}

/// The accounts of a request, taken out.
#[derive(Debug)]
pub(super) struct TakenOut {
    accepted: u32,
    user: Account,
    cmd: Account,
}

impl TakenOut {
    /// As `policy` wants them.
    #[inline(always)]
    pub(super) const fn accounts<'a>(
        &'a mut self,
        learned: Option<&'a mut Learned<'a>>,
    ) -> Accounts<'a> {
        let TakenOut { accepted, user, cmd } = self;
        Accounts { accepted, user, cmd, learned }
    }
}

/// Accounts in columns: what no rule asks for isn't kept, so that more of them are near.
#[derive(Debug)]
struct Table {
    in_flight: Vec<u32>,
    /// Empty if there is no rate.
    expected: Vec<Time>,
}

impl Table {
    fn new(count: usize, limits: Option<Limits>) -> Self {
        let has_rate = limits.is_some_and(|limits| limits.rate.is_some());
        Table {
            in_flight: vec![0; count],
            expected: vec![Time::ZERO; if has_rate { count } else { 0 }],
        }
    }

    #[inline(always)]
    fn columns(&mut self) -> Columns<'_> {
        Columns { in_flight: &mut self.in_flight, expected: &mut self.expected }
    }
}

/// The columns of a table.
#[derive(Debug)]
struct Columns<'a> {
    in_flight: &'a mut [u32],
    expected: &'a mut [Time],
}

#[expect(
    clippy::indexing_slicing,
    reason = "tables are cut for all gateways, users and commands of the model"
)]
impl Columns<'_> {
    #[inline(always)]
    fn again(&mut self) -> Columns<'_> {
        Columns { in_flight: self.in_flight, expected: self.expected }
    }

    #[inline(always)]
    fn in_flight(&self, place: usize) -> u32 {
        self.in_flight[place]
    }

    #[inline(always)]
    fn account(&self, place: usize) -> Account {
        let expected = self.expected.get(place).copied().unwrap_or(Time::ZERO);
        Account { in_flight: self.in_flight[place], expected }
    }

    #[inline(always)]
    fn expect(&mut self, place: usize, time: Time) {
        if let Some(expected) = self.expected.get_mut(place) {
            *expected = time;
        }
    }
}

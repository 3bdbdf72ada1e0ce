//! From names of a trace to places of a scenario: commands by name, tenants by their name's hash,
//! classes as the trace says or as the tenant's group has them.

use policy::{Class, Purpose, Words};
use simulator::scenario::{Scenario, ServiceTimes};
use simulator_model::{Arrivals, Model, Source};
use simulator_traces::{Class as TraceClass, Name, Request, Trace};

use super::given::Factor;
use super::scan::{CommandScan, Scan};
use crate::paint;
use crate::table::grouped;

/// The commands that are named in an error or a line of the head.
const SHOWN_COMMANDS: usize = 5;

/// Places for everything that a request of a trace says.
#[derive(Debug)]
pub struct Mapping {
    /// Of each command of the trace, its place in the scenario; none: no request has it.
    cmds: Vec<Option<usize>>,
    /// Of each tenant of the trace, by class (none, free, paid).
    tenants: Vec<[Option<User>; 3]>,
    /// The user of each number below the sum of a class's users, by class.
    pools: [Pool; 3],
    /// The source of each pair of group and command.
    sources: Vec<Vec<u16>>,
    /// Entries of the scenario's workload that requests may name.
    named: Vec<(usize, usize)>,
    timed: u64,
    /// What means what, for people.
    pub told: String,
}

/// A user, counted over all groups, and the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    group: usize,
    number: u32,
}

/// The groups of a class: place, users before it, users.
#[derive(Debug, Default, Clone)]
struct Pool {
    groups: Vec<(usize, u32, u32)>,
    users: u64,
}

/// Where a request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub source: u16,
    pub user: Option<u32>,
}

impl Mapping {
    /// The mapping of a trace. The scenario's sources become those of the trace.
    pub fn new(
        scenario: &mut Scenario,
        scan: &Scan,
        trace: &Trace,
        rate: Factor,
    ) -> Result<Self, String> {
        let cmds = commands(scenario, scan, trace)?;
        let model = &mut scenario.model;
        let pools = [None, Some(Class::Free), Some(Class::Paid)].map(|class| pool(model, class));
        for (place, name) in [(0, ""), (1, "free "), (2, "paid ")] {
            if scan.classes & (1 << place) != 0
                && pools.get(place).is_none_or(|pool| pool.users == 0)
            {
                return Err(format!("it has {name}requests, the scenario no {name}tenants"));
            }
        }
        let users = |name: &str| {
            [0, 1, 2]
                .map(|class: usize| own_user(model, name).or_else(|| pools.get(class)?.of(name)))
        };
        let tenants = trace.tenants.iter().map(users).collect();
        let named = named(model, scan)?;
        let mut all =
            if named.is_empty() { Vec::new() } else { std::mem::take(&mut model.sources) };
        let mut sources = vec![vec![u16::MAX; model.cmds.len()]; model.tenants.len()];
        for (group, row) in sources.iter_mut().enumerate() {
            for (cmd, place) in row.iter_mut().enumerate() {
                if scan.unnamed > 0 && cmds.contains(&Some(cmd)) {
                    *place = u16::try_from(all.len()).map_err(|_| "there are too many groups")?;
                    all.push(source(group, cmd, 0));
                }
            }
        }
        for source in &mut all {
            source.arrivals = Arrivals::Recorded { requests: 0 };
        }
        if let Some(first) = all.first_mut() {
            first.arrivals = Arrivals::Recorded { requests: times(scan.requests, rate) };
        }
        model.sources = all;
        let timed = match scenario.replay.service {
            ServiceTimes::Law => 0,
            ServiceTimes::Trace => scan.commands.iter().map(|command| command.timed).sum(),
        };
        let told = told(scenario, scan, trace, &cmds);
        Ok(Mapping { cmds, tenants, pools, sources, named, timed, told })
    }

    /// Requests whose own service times are used.
    pub fn timed(&self) -> u64 {
        self.timed
    }

    /// The cmd of a command of the trace.
    fn cmd(&self, command: Name) -> Option<usize> {
        *self.cmds.get(usize::try_from(command.0).ok()?)?
    }

    /// Where a request counts. `copy` is 0 for the request itself; others are other users'. The words
    /// are for those who aren't named.
    pub fn place(&self, request: &Request, row: u64, copy: u64, words: &Words) -> Option<Place> {
        let cmd = self.cmd(request.command)?;
        let class = class_place(request);
        let pool = self.pools.get(class)?;
        let user = |user: User| Some(user.number);
        let known = match request.tenant {
            Some(tenant) => *self.tenants.get(usize::try_from(tenant.0).ok()?)?.get(class)?,
            None => None,
        };
        let other = || pool.user(mixed(words.at(row), copy));
        if let Some(source) = request.source {
            // Copies are drawn from the users of the same group.
            return Some(Place { source, user: known.filter(|_| copy == 0).and_then(user) });
        }
        let (group, number) = match known {
            Some(known) if copy == 0 => (known.group, Some(known.number)),
            Some(_) => other().map(|other| (other.group, Some(other.number)))?,
            None => (other()?.group, None),
        };
        let source = *self.sources.get(group)?.get(cmd)?;
        Some(Place { source, user: number })
    }

    /// Whether a request that names an entry of the workload is of its command.
    pub fn is_of_its_source(&self, request: &Request) -> bool {
        request.source.is_none_or(|place| {
            let named = self.named.get(usize::from(place));
            named.is_some_and(|(_, cmd)| self.cmd(request.command) == Some(*cmd))
        })
    }
}

/// The place of a request's class in lists: none, free, paid.
fn class_place(request: &Request) -> usize {
    match request.class {
        None => 0,
        Some(TraceClass::Free) => 1,
        Some(TraceClass::Paid) => 2,
    }
}

/// The same as a bit.
pub fn class_bit(request: &Request) -> u8 {
    1 << class_place(request)
}

/// Requests without a tenant have words of their own.
pub const UNNAMED: u64 = 1 << 33;

fn mixed(tenant: u64, copy: u64) -> u64 {
    Words::new(tenant, Purpose::Tenant, UNNAMED).at(copy)
}

fn source(tenants: usize, cmd: usize, requests: u64) -> Source {
    Source { tenants, cmd, arrivals: Arrivals::Recorded { requests }, retries: None }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate"
)]
fn times(count: u64, factor: Factor) -> u64 {
    (count as f64 * factor.0) as u64
}

/// What each command of the trace means.
fn commands(scenario: &Scenario, scan: &Scan, trace: &Trace) -> Result<Vec<Option<usize>>, String> {
    let mut unknown = Vec::new();
    let cmds = trace.commands.iter().zip(&scan.commands).map(|(name, command)| {
        if command.requests == 0 {
            return None;
        }
        let cmd = scenario.replay.cmd(name, &scenario.model.cmds);
        if cmd.is_none() {
            unknown.push(format!("{name} ({} requests)", grouped(command.requests)));
        }
        cmd
    });
    let cmds = cmds.collect();
    if unknown.is_empty() {
        return Ok(cmds);
    }
    let count = unknown.len();
    let more = if count > SHOWN_COMMANDS { ", …" } else { "" };
    unknown.truncate(SHOWN_COMMANDS);
    Err(format!(
        "the scenario doesn't say what {count} of its commands mean: {}{more}\n\
         hint: --cmd NAME=CMD, or --cmd '*=CMD' for all; or write into the scenario: \
         replay: {{cmds: {{NAME: CMD}}, others: CMD}}",
        unknown.join(", ")
    ))
}

/// The entries of the workload, if requests name them.
fn named(model: &Model, scan: &Scan) -> Result<Vec<(usize, usize)>, String> {
    let Some(highest) = scan.highest_source else { return Ok(Vec::new()) };
    if usize::from(highest) >= model.sources.len() {
        return Err(format!(
            "it was made from entry {highest} of a workload (from 0), this scenario has {}",
            model.sources.len()
        ));
    }
    Ok(model.sources.iter().map(|source| (source.tenants, source.cmd)).collect())
}

fn pool(model: &Model, class: Option<Class>) -> Pool {
    let mut pool = Pool::default();
    let mut before = 0;
    for (place, group) in model.tenants.iter().enumerate() {
        if class.is_none_or(|class| group.class == class) {
            pool.groups.push((place, before, group.users));
            pool.users += u64::from(group.users);
        }
        before += group.users;
    }
    pool
}

impl Pool {
    /// The user that a word chooses, each equally often.
    fn user(&self, word: u64) -> Option<User> {
        let mut left = u64::try_from((u128::from(word) * u128::from(self.users)) >> 64).ok()?;
        for (group, before, users) in &self.groups {
            if left < u64::from(*users) {
                let number = before + u32::try_from(left).ok()?;
                return Some(User { group: *group, number });
            }
            left -= u64::from(*users);
        }
        None
    }

    /// The user that a name's hash chooses.
    fn of(&self, name: &str) -> Option<User> {
        // FNV-1a (Fowler, Noll, Vo), then mixed: the upper bits choose.
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x100_0000_01b3;
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        self.user(mixed(name.bytes().fold(BASIS, step), 0))
    }
}

/// The user that a trace of our own names: `customers/17`.
fn own_user(model: &Model, name: &str) -> Option<User> {
    let (group, number) = name.rsplit_once('/')?;
    let place = model.tenants.iter().position(|known| known.name == group)?;
    let number: u32 = number.parse().ok()?;
    let before: u32 = model.tenants.iter().take(place).map(|group| group.users).sum();
    let is_there = number < model.tenants.get(place)?.users;
    is_there.then_some(User { group: place, number: before + number })
}

fn told(scenario: &Scenario, scan: &Scan, trace: &Trace, cmds: &[Option<usize>]) -> String {
    let mut rows: Vec<(u64, String)> = trace
        .commands
        .iter()
        .zip(&scan.commands)
        .zip(cmds)
        .filter_map(|((name, command), cmd)| {
            let cmd = scenario.model.cmds.get((*cmd)?)?;
            // Some traces have hashes for names.
            Some((command.requests, format!("{name:.20} → {}", cmd.name)))
        })
        .collect();
    rows.sort_by_key(|(requests, _)| std::cmp::Reverse(*requests));
    let more = match rows.len().checked_sub(SHOWN_COMMANDS) {
        Some(more @ 1..) => format!(", {more} others"),
        _ => String::new(),
    };
    rows.truncate(SHOWN_COMMANDS);
    let rows: Vec<String> = rows.into_iter().map(|(_, text)| text).collect();
    rows.join(", ") + &more
}

/// Warns of apps that the trace asks for more than they can do.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn warn_of_overload(scenario: &Scenario, scan: &Scan, mapping: &Mapping, rate: Factor) {
    let model = &scenario.model;
    let mut loads = vec![0.0; model.apps.len()];
    for (command, cmd) in scan.commands.iter().zip(&mapping.cmds) {
        let Some(cmd) = cmd.and_then(|cmd| model.cmds.get(cmd)) else { continue };
        let CommandScan { requests, timed, service_ns } = *command;
        let (timed, service_ns) = match scenario.replay.service {
            ServiceTimes::Trace => (timed, service_ns),
            ServiceTimes::Law => (0, 0),
        };
        let drawn = (requests - timed) as f64 * cmd.service.mean();
        if let Some(load) = loads.get_mut(cmd.app) {
            *load += (service_ns as f64 + drawn) * rate.0;
        }
    }
    for (app, load) in model.apps.iter().zip(loads) {
        let utilisation = load / model.duration.0 as f64 / app.all_instances() as f64;
        if utilisation >= 1.0 {
            paint::warning(&format!(
                "`{}` can't keep up: the trace asks for {:.0} % of what its {} instances can do",
                app.name,
                utilisation * 100.0,
                grouped(app.all_instances())
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_choose_users_evenly_and_within_their_groups() {
        let pool = Pool { groups: vec![(0, 0, 3), (2, 8, 2)], users: 5 };
        let at = |share: u64| pool.user(u64::MAX / 5 * share + 9).unwrap();
        let seen: Vec<(usize, u32)> =
            (0..5).map(at).map(|user| (user.group, user.number)).collect();
        assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (2, 8), (2, 9)]);
        assert_eq!(pool.user(u64::MAX).unwrap().number, 9);
        assert_eq!(Pool::default().user(1), None);
        let mut counts = [0; 10];
        for name in 0..10_000 {
            counts[pool.of(&format!("tenant{name}")).unwrap().number as usize] += 1;
        }
        assert!(counts.iter().all(|count| *count == 0 || (1_840..2_160).contains(count)));
    }
}

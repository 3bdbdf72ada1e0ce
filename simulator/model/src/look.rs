//! What an engine knew of a request just before it decided about it: for people who ask why.

use policy::adaptive::Limiter;
use policy::admission::Account;
use policy::dagor::{Gate, Priority};
use policy::prequal::Pool;
use policy::{Accounts, Balance, Draw, Nanoseconds, Targets, Time, Waiting};

/// What there was when a request arrived.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Look {
    /// Accept permits in use, where they are counted for this request.
    pub accepted: u32,
    /// The account of its user.
    pub user: Account,
    /// The account of its command.
    pub cmd: Account,
    /// The limit that adapts, where it is counted for this request.
    pub limiter: Option<Limiter>,
    /// The gate of its app, and its priority, if there are priorities.
    pub gate: Option<(Gate, Priority)>,
    /// How many targets the balancer had to choose from.
    pub targets: u32,
    /// Targets whose load it looked at, in its order, with their loads.
    pub seen: Vec<(u32, u32)>,
    /// What it would take, if there is any.
    pub chosen: Option<Chosen>,
}

/// The target that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chosen {
    /// The target, counted within its app.
    pub target: u32,
    /// Requests that wait there, by class, in the order of [`policy::Class::ALL`].
    pub waiting: [u32; 2],
    /// Requests that were let in there and are still on their way, by class.
    pub coming: [u32; 2],
    /// Requests that are worked on there.
    pub running: u32,
    /// Instances there that take requests.
    pub instances: u32,
    /// What the rules of its queue count.
    pub standing: Waiting,
    /// How long the request would probably wait, if a rule asks.
    pub predicted: Option<Nanoseconds>,
}

/// Targets that remember who was looked at.
struct Spy<'a, T> {
    targets: &'a mut T,
    seen: Vec<(u32, u32)>,
}

/// Looking at all of a thousand targets is told as the first of them.
const MOST_SEEN: usize = 16;

impl<T: Targets> Targets for Spy<'_, T> {
    fn count(&self) -> u32 {
        self.targets.count()
    }

    fn load(&mut self, target: u32) -> u32 {
        let load = self.targets.load(target);
        let is_known = self.seen.iter().any(|(known, _)| *known == target);
        if !is_known && self.seen.len() < MOST_SEEN {
            self.seen.push((target, load));
        }
        load
    }

    fn weight(&self, target: u32) -> u32 {
        self.targets.weight(target)
    }

    fn name(&self, target: u32) -> u32 {
        self.targets.name(target)
    }

    fn response(&mut self, target: u32) -> Nanoseconds {
        self.targets.response(target)
    }

    // Who looks changes nothing.
    fn take_pool(&mut self) -> Option<(Pool, Time)> {
        let (pool, now) = self.targets.take_pool()?;
        self.targets.put_pool(pool.clone());
        Some((pool, now))
    }

    fn least_loaded(&mut self, from: u32) -> Option<u32> {
        self.targets.least_loaded(from)
    }

    fn shortest(&mut self, from: u32) -> Option<u32> {
        self.targets.shortest(from)
    }
}

impl Look {
    /// What accounts say.
    pub(crate) fn of(accounts: &Accounts<'_>) -> Self {
        let (accepted, user, cmd) = (*accounts.accepted, *accounts.user, *accounts.cmd);
        let learned = accounts.learned.as_ref();
        let limiter = learned.and_then(|learned| learned.limiter.as_ref());
        let limiter = limiter.map(|(limiter, _)| **limiter);
        let gate = learned.and_then(|learned| learned.gate.as_ref());
        let gate = gate.map(|(gate, priority)| (Gate::clone(gate), *priority));
        Look { accepted, user, cmd, limiter, gate, ..Look::default() }
    }

    /// What the balancer would take, remembering whom it looks at.
    pub(crate) fn pick<T: Targets>(
        &mut self,
        rule: Balance,
        targets: &mut T,
        mut turn: u64,
        draw: Draw,
    ) -> Option<u32> {
        let mut spy = Spy { targets, seen: Vec::new() };
        let chosen = policy::pick(rule, &mut spy, &mut turn, draw);
        self.targets = spy.count();
        self.seen = spy.seen;
        chosen
    }
}

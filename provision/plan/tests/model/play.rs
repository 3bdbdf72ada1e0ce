//! The model language: plays on three hosts with a few integers of state, and the meaning of one
//! expression and one call. It says nothing about order.

pub const HOSTS: usize = 3;
pub const SLOTS: usize = 3;
pub const NAMES: usize = 4;
pub const CELLS: usize = 2;

/// A summand of an expression that the controller evaluates.
#[derive(Clone, Debug)]
pub enum Term {
    Const(i64),
    /// A registered name or fact of the host itself.
    Own(usize),
    /// `hostvars`: one of another host.
    Peer(usize, usize),
    /// The number of hosts still in the play.
    Active,
}

#[derive(Clone, Debug, Default)]
pub struct Expr(pub Vec<Term>);

/// True if the value modulo `modulo` is less than `less`.
#[derive(Clone, Debug)]
pub struct Cond {
    pub of: Expr,
    pub modulo: i64,
    pub less: i64,
}

/// A condition that the host itself judges, on one of its slots.
#[derive(Clone, Debug)]
pub struct Fate {
    pub slot: usize,
    pub modulo: i64,
    pub less: i64,
}

#[derive(Clone, Debug)]
pub enum Action {
    /// slot = slot * times + argument.
    Local { slot: usize, times: i64 },
    /// to = from + argument.
    Copy { from: usize, to: usize },
    /// cell += slot * 7 + argument (commutes with itself).
    WorldAdd { cell: usize, slot: usize },
    /// slot = cell + argument.
    WorldRead { cell: usize, slot: usize },
    /// slot = the peer's `from` + argument; `from` isn't `slot`.
    PeerRead { peer: usize, from: usize, slot: usize },
    /// The peer's slot += argument.
    PeerAdd { peer: usize, slot: usize },
    /// Mixes everything with everything; only with `run_once`.
    Mix,
    /// `set_fact`: on the controller, without a call.
    Fact { name: usize },
    /// Delegated facts: sets another host's name to a constant, on the controller.
    PeerFact { peer: usize, name: usize, value: i64 },
    /// `fail`: on the controller.
    Check(Cond),
}

#[derive(Clone, Debug)]
pub struct Task {
    pub action: Action,
    /// The argument of the call.
    pub argument: Expr,
    pub when: Option<Cond>,
    /// The number of loop items, modulo 4.
    pub items: Option<Expr>,
    pub register: Option<usize>,
    pub notify: Option<usize>,
    pub fails: Option<Fate>,
    pub lost: Option<Fate>,
    pub ignore_errors: bool,
    /// `failed_when` on the sum of the values, modulo 5 less than this.
    pub judged: Option<i64>,
    pub run_once: bool,
    /// Delegated: not down the host's own channel. Only for what acts on the world.
    pub elsewhere: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Block {
    pub body: Vec<Node>,
    pub rescue: Vec<Node>,
    pub always: Vec<Node>,
}

#[derive(Clone, Debug)]
pub struct Include {
    pub choose: Expr,
    pub files: Vec<Vec<Node>>,
}

#[derive(Clone, Debug)]
pub enum Node {
    Task(Task),
    Block(Block),
    Include(Include),
    Flush,
}

#[derive(Clone, Debug)]
pub struct Play {
    pub tasks: Vec<Node>,
    /// Each a task.
    pub handlers: Vec<Node>,
    /// Whether the controller knows what includes may contain before it expands them.
    pub known_includes: bool,
    pub local: [[i64; SLOTS]; HOSTS],
}

impl Expr {
    pub fn reads_world(&self) -> bool {
        self.0.iter().any(|term| matches!(term, Term::Peer(..) | Term::Active))
    }
}

impl Task {
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let check = if let Action::Check(cond) = &self.action { Some(&cond.of) } else { None };
        [Some(&self.argument), self.when.as_ref().map(|cond| &cond.of), self.items.as_ref(), check]
            .into_iter()
            .flatten()
    }

    pub fn reads_world(&self) -> bool {
        self.expressions().any(Expr::reads_world)
    }

    /// Whether others can tell when it runs or is evaluated.
    pub fn is_world(&self) -> bool {
        self.run_once || self.acts_on_world() || self.reads_world()
    }

    pub fn acts_on_world(&self) -> bool {
        match self.action {
            Action::Local { .. } | Action::Copy { .. } | Action::Fact { .. } | Action::Check(_) => {
                false
            }
            Action::WorldAdd { .. }
            | Action::WorldRead { .. }
            | Action::PeerRead { .. }
            | Action::PeerAdd { .. }
            | Action::Mix
            | Action::PeerFact { .. } => true,
        }
    }

    /// Whether the controller carries it out itself.
    pub fn on_controller(&self) -> bool {
        matches!(self.action, Action::Fact { .. } | Action::PeerFact { .. } | Action::Check(_))
    }
}

/// What one task did on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Skipped,
    Expanded(usize),
    Ran(Vec<Item>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub value: i64,
    pub failed: bool,
    pub lost: bool,
}

impl Outcome {
    pub fn lost(&self) -> bool {
        matches!(self, Self::Ran(items) if items.iter().any(|item| item.lost))
    }

    pub fn failed(&self, task: &Task) -> bool {
        let Self::Ran(items) = self else { return false };
        match task.judged {
            Some(less) => sum(items).rem_euclid(5) < less,
            None => items.iter().any(|item| item.failed),
        }
    }

    /// What `register` keeps.
    pub fn value(&self, task: &Task) -> i64 {
        match self {
            Self::Skipped | Self::Expanded(_) => -1,
            Self::Ran(items) => sum(items) + if self.failed(task) { 1000 } else { 0 },
        }
    }

    pub fn notifies(&self, task: &Task) -> Option<usize> {
        match self {
            Self::Ran(items) if !self.failed(task) && sum(items) % 2 != 0 => task.notify,
            _ => None,
        }
    }
}

fn sum(items: &[Item]) -> i64 {
    items.iter().map(|item| item.value).sum()
}

/// Everything there is: the machines, and what the controller knows of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub local: [[i64; SLOTS]; HOSTS],
    pub world: [i64; CELLS],
    pub names: [[i64; NAMES]; HOSTS],
    pub notified: [[bool; 8]; HOSTS],
    pub active: [bool; HOSTS],
}

impl State {
    pub fn new(play: &Play) -> Self {
        Self {
            local: play.local,
            world: [1, 2],
            names: [[0; NAMES]; HOSTS],
            notified: [[false; 8]; HOSTS],
            active: [true; HOSTS],
        }
    }

    pub fn value(&self, host: usize, expr: &Expr) -> i64 {
        expr.0
            .iter()
            .map(|term| match *term {
                Term::Const(value) => value,
                Term::Own(name) => self.names[host][name],
                Term::Peer(peer, name) => self.names[peer][name],
                Term::Active => self.active.iter().filter(|active| **active).count() as i64,
            })
            .sum()
    }

    pub fn holds(&self, host: usize, cond: &Cond) -> bool {
        self.value(host, &cond.of).rem_euclid(cond.modulo) < cond.less
    }

    /// The arguments of the calls, one for each loop item; none if it is skipped.
    pub fn arguments(&self, host: usize, task: &Task) -> Vec<i64> {
        if task.when.as_ref().is_some_and(|when| !self.holds(host, when)) {
            return Vec::new();
        }
        let items = task.items.as_ref().map_or(1, |items| self.value(host, items).rem_euclid(4));
        if let Action::Check(cond) = &task.action {
            return vec![i64::from(self.holds(host, cond)); items as usize];
        }
        let argument = self.value(host, &task.argument);
        (0..items).map(|item| argument + item).collect()
    }

    fn meets(&self, host: usize, fate: Option<&Fate>) -> bool {
        fate.is_some_and(|fate| self.local[host][fate.slot].rem_euclid(fate.modulo) < fate.less)
    }

    /// Runs one call on its host.
    pub fn call(&mut self, host: usize, task: &Task, argument: i64) -> Item {
        const BOUND: i64 = 10_007;
        if self.meets(host, task.lost.as_ref()) {
            return Item { value: 0, failed: false, lost: true };
        }
        let mut check = false;
        let value = match task.action {
            Action::Local { slot, times } => {
                let new = (self.local[host][slot] * times + argument) % BOUND;
                self.local[host][slot] = new;
                new
            }
            Action::Copy { from, to } => {
                self.local[host][to] = (self.local[host][from] + argument) % BOUND;
                self.local[host][to]
            }
            Action::WorldAdd { cell, slot } => {
                self.world[cell] += self.local[host][slot] * 7 + argument;
                self.local[host][slot]
            }
            Action::WorldRead { cell, slot } => {
                self.local[host][slot] = (self.world[cell] + argument) % BOUND;
                self.local[host][slot]
            }
            Action::PeerRead { peer, from, slot } => {
                self.local[host][slot] = (self.local[peer][from] + argument) % BOUND;
                self.local[host][slot]
            }
            Action::PeerAdd { peer, slot } => {
                self.local[peer][slot] += argument;
                argument
            }
            Action::Mix => {
                let all: i64 = self.local.iter().flatten().sum();
                self.world[0] = (self.world[0] * 3 + self.world[1] + all + argument) % BOUND;
                for local in &mut self.local {
                    local[0] = (local[0] * 2 + self.world[0]) % BOUND;
                }
                self.world[0]
            }
            Action::Fact { name } => {
                self.names[host][name] = argument % BOUND;
                argument
            }
            Action::PeerFact { peer, name, value } => {
                self.names[peer][name] = value;
                argument
            }
            Action::Check(_) => {
                check = argument == 1;
                0
            }
        };
        let failed = check || self.meets(host, task.fails.as_ref());
        Item { value, failed, lost: false }
    }

    /// What the controller keeps of an outcome that isn't shared.
    pub fn learn(&mut self, host: usize, task: &Task, outcome: &Outcome) {
        if let Some(name) = task.register {
            self.names[host][name] = outcome.value(task);
        }
        if let Some(handler) = outcome.notifies(task) {
            self.notified[host][handler] = true;
        }
    }
}

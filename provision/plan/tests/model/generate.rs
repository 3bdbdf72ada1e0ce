//! Random plays, and smaller plays of a failing one.
//!
//! What hosts do *at the same position* runs at the same time in Ansible too, so its order is not
//! defined. Plays in which it would matter are not generated: a task doesn't read from a peer
//! what the same task writes there.

use super::play::{
    Action, Block, CELLS, Cond, Expr, Fate, HOSTS, Include, NAMES, Node, Play, SLOTS, Task, Term,
};
use super::random::Random;

struct Taste {
    /// Percentages.
    world: usize,
    peers: usize,
    failures: usize,
    lost: usize,
}

struct Generator<'a> {
    random: &'a mut Random,
    taste: Taste,
    handlers: usize,
    budget: usize,
}

pub fn play(random: &mut Random) -> Play {
    let pick = |random: &mut Random, from: &[usize]| from[random.below(from.len())];
    let taste = Taste {
        world: pick(random, &[0, 5, 15, 40]),
        peers: pick(random, &[0, 3, 10]),
        failures: pick(random, &[0, 10, 30]),
        lost: pick(random, &[0, 0, 3]),
    };
    let handlers = random.below(4);
    let budget = 4 + random.below(14);
    let mut generator = Generator { random, taste, handlers, budget };
    let mut tasks = generator.nodes(0, false);
    while generator.budget > 0 {
        tasks.extend(generator.nodes(0, false));
    }
    tasks.push(Node::Flush);
    let handlers = (0..handlers).map(|number| generator.handler(number)).collect();
    let known_includes = random.percent(50);
    let local = std::array::from_fn(|_| std::array::from_fn(|_| random.below(20) as i64));
    Play { tasks, handlers, known_includes, local }
}

impl Generator<'_> {
    fn nodes(&mut self, depth: usize, in_always: bool) -> Vec<Node> {
        let count = 1 + self.random.below(3);
        (0..count).map(|_| self.node(depth, in_always)).collect()
    }

    fn node(&mut self, depth: usize, in_always: bool) -> Node {
        self.budget = self.budget.saturating_sub(1);
        match self.random.below(if depth < 3 { 20 } else { 14 }) {
            14..=16 => {
                let mut section = |percent: usize, always: bool| {
                    let wanted = self.random.percent(percent);
                    if wanted { self.nodes(depth + 1, in_always || always) } else { Vec::new() }
                };
                let body = section(95, false);
                let rescue = section(65, false);
                let always = section(45, true);
                Node::Block(Block { body, rescue, always })
            }
            17 | 18 => {
                let choose = self.expr(in_always);
                let files = (0..2).map(|_| self.nodes(depth + 1, in_always)).collect();
                Node::Include(Include { choose, files })
            }
            19 if depth == 0 => Node::Flush,
            _ => Node::Task(self.task(in_always)),
        }
    }

    fn expr(&mut self, in_always: bool) -> Expr {
        let terms = 1 + self.random.below(2);
        let term = |random: &mut Random, peers: usize| {
            if random.percent(peers) {
                // Who is still in the play while failing hosts go through an always is not
                // settled by positions alone.
                if !in_always && random.percent(25) {
                    return Term::Active;
                }
                return Term::Peer(random.below(HOSTS), random.below(NAMES));
            }
            match random.below(2) {
                0 => Term::Const(random.below(9) as i64),
                _ => Term::Own(random.below(NAMES)),
            }
        };
        Expr((0..terms).map(|_| term(self.random, self.taste.peers)).collect())
    }

    fn cond(&mut self, in_always: bool) -> Cond {
        let modulo = 2 + self.random.below(3) as i64;
        Cond { of: self.expr(in_always), modulo, less: 1 + self.random.below(2) as i64 }
    }

    fn fate(&mut self, percent: usize) -> Option<Fate> {
        let slot = self.random.below(SLOTS);
        let fate = Fate { slot, modulo: 2 + self.random.below(4) as i64, less: 1 };
        self.random.percent(percent).then_some(fate)
    }

    fn action(&mut self, in_always: bool) -> Action {
        let slot = self.random.below(SLOTS);
        let other = (slot + 1 + self.random.below(SLOTS - 1)) % SLOTS;
        let (peer, cell) = (self.random.below(HOSTS), self.random.below(CELLS));
        let name = self.random.below(NAMES);
        if self.random.percent(self.taste.world) {
            return match self.random.below(6) {
                0 | 1 => Action::WorldAdd { cell, slot },
                2 => Action::WorldRead { cell, slot },
                3 => Action::PeerRead { peer, from: other, slot },
                4 => Action::PeerAdd { peer, slot },
                _ => Action::PeerFact { peer, name, value: self.random.below(5) as i64 },
            };
        }
        match self.random.below(10) {
            0 | 1 => Action::Copy { from: other, to: slot },
            2 => Action::Fact { name },
            3 if self.random.percent(self.taste.failures) => Action::Check(self.cond(in_always)),
            _ => Action::Local { slot, times: 1 + self.random.below(3) as i64 },
        }
    }

    fn task(&mut self, in_always: bool) -> Task {
        let mut task = Task {
            action: self.action(in_always),
            argument: self.expr(in_always),
            when: self.random.percent(35).then(|| self.cond(in_always)),
            items: self.random.percent(12).then(|| self.expr(in_always)),
            register: self.random.percent(40).then(|| self.random.below(NAMES)),
            notify: (self.handlers > 0 && self.random.percent(25))
                .then(|| self.random.below(self.handlers)),
            fails: self.fate(self.taste.failures),
            lost: self.fate(self.taste.lost),
            ignore_errors: self.random.percent(20),
            judged: self.random.percent(8).then_some(1),
            run_once: self.taste.world > 0 && self.random.percent(10),
            elsewhere: self.random.percent(40),
        };
        if task.run_once && self.random.percent(30) {
            task.action = Action::Mix;
        }
        if task.run_once && self.random.percent(50) {
            task.when = Some(self.cond(in_always));
        }
        tame(&mut task);
        task
    }

    fn handler(&mut self, number: usize) -> Node {
        let mut task = self.task(false);
        task.run_once = false;
        if matches!(task.action, Action::Mix) {
            task.action = Action::Copy { from: 0, to: 1 };
        }
        task.notify = task.notify.filter(|notified| *notified != number);
        tame(&mut task);
        Node::Task(task)
    }
}

/// Makes a task independent of what other hosts do at the same position.
fn tame(task: &mut Task) {
    if task.on_controller() {
        task.run_once = false;
        (task.fails, task.lost, task.judged, task.notify) = (None, None, None, None);
        task.register = None;
    }
    task.elsewhere &= task.run_once || task.acts_on_world();
    let reads_active =
        task.expressions().any(|expr| expr.0.iter().any(|term| matches!(term, Term::Active)));
    let may_fail =
        task.fails.is_some() || task.judged.is_some() || matches!(task.action, Action::Check(_));
    let leaves = task.lost.is_some() || (may_fail && !task.ignore_errors);
    let action = task.action.clone();
    let mut clean = |avoid: &dyn Fn(&Term) -> bool| {
        let check =
            if let Action::Check(cond) = &mut task.action { Some(&mut cond.of) } else { None };
        let exprs = [
            Some(&mut task.argument),
            task.when.as_mut().map(|cond| &mut cond.of),
            task.items.as_mut(),
            check,
        ];
        for expr in exprs.into_iter().flatten() {
            expr.0.retain(|term| !avoid(term));
        }
    };
    if reads_active && leaves {
        clean(&|term| matches!(term, Term::Active));
    }
    if let Some(register) = task.register {
        clean(&|term| matches!(term, Term::Peer(_, name) if *name == register));
    }
    match action {
        Action::Fact { name: fact } => {
            clean(&|term| matches!(term, Term::Peer(_, name) if *name == fact));
        }
        Action::PeerFact { name: fact, .. } => {
            clean(&|term| matches!(term, Term::Peer(_, name) | Term::Own(name) if *name == fact));
        }
        Action::PeerAdd { slot, .. } => {
            let off = |fate: &Fate| fate.slot != slot;
            task.fails = task.fails.take().filter(off);
            task.lost = task.lost.take().filter(off);
        }
        _ => {}
    }
}

/// Plays that are this one less something.
pub fn smaller(play: &Play) -> Vec<Play> {
    let mut plays: Vec<Play> =
        fewer(&play.tasks).into_iter().map(|tasks| Play { tasks, ..play.clone() }).collect();
    for number in 0..play.handlers.len() {
        let Node::Task(task) = &play.handlers[number] else { continue };
        for task in simpler(task).into_iter().filter(|task| !task.run_once) {
            let mut handlers = play.handlers.clone();
            handlers[number] = Node::Task(task);
            plays.push(Play { handlers, ..play.clone() });
        }
    }
    plays
}

fn fewer(nodes: &[Node]) -> Vec<Vec<Node>> {
    let mut lists = Vec::new();
    for number in 0..nodes.len() {
        let with = |replacement: Vec<Node>| {
            let mut list = nodes.to_vec();
            list.splice(number..=number, replacement);
            list
        };
        lists.push(with(Vec::new()));
        match &nodes[number] {
            Node::Task(task) => {
                lists.extend(simpler(task).into_iter().map(|task| with(vec![Node::Task(task)])));
            }
            Node::Flush => {}
            Node::Block(block) => {
                lists.push(with(block.body.clone()));
                let Block { body, rescue, always } = block.clone();
                lists.extend(
                    fewer(&body)
                        .into_iter()
                        .map(|body| with(vec![Node::Block(Block { body, ..block.clone() })])),
                );
                lists.extend(
                    fewer(&rescue)
                        .into_iter()
                        .map(|rescue| with(vec![Node::Block(Block { rescue, ..block.clone() })])),
                );
                lists.extend(
                    fewer(&always)
                        .into_iter()
                        .map(|always| with(vec![Node::Block(Block { always, ..block.clone() })])),
                );
            }
            Node::Include(include) => {
                for file in 0..include.files.len() {
                    lists.push(with(include.files[file].clone()));
                    lists.extend(fewer(&include.files[file]).into_iter().map(|nodes| {
                        let mut include = include.clone();
                        include.files[file] = nodes;
                        with(vec![Node::Include(include)])
                    }));
                }
            }
        }
    }
    lists
}

fn simpler(task: &Task) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut without = |present: bool, change: &dyn Fn(&mut Task)| {
        if present {
            let mut task = task.clone();
            change(&mut task);
            tame(&mut task);
            tasks.push(task);
        }
    };
    without(task.when.is_some(), &|task| task.when = None);
    without(task.items.is_some(), &|task| task.items = None);
    without(task.register.is_some(), &|task| task.register = None);
    without(task.notify.is_some(), &|task| task.notify = None);
    without(task.fails.is_some(), &|task| task.fails = None);
    without(task.lost.is_some(), &|task| task.lost = None);
    without(task.judged.is_some(), &|task| task.judged = None);
    without(task.ignore_errors, &|task| task.ignore_errors = false);
    without(task.elsewhere, &|task| task.elsewhere = false);
    without(task.run_once && !matches!(task.action, Action::Mix), &|task| task.run_once = false);
    without(task.argument.0.len() > 1, &|task| {
        task.argument.0.pop();
    });
    tasks
}

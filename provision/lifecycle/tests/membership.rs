//! Random fault schedules against the simulated cluster while hosts join and leave it: whoever hears
//! of everything a little late, and then changes the members, never does so without a quorum of the
//! members before and after.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model;

use std::collections::BTreeMap;

use model::random::Random;
use model::{Cause, Cluster, LATE_TICKS, SETTLE_TICKS, TICK_MS, index_of, name};
use provision_lifecycle::{
    Decision, Goal, Joins, Kind, Leaves, MemberRules, Options, Outcome, Process, Progress, Purpose,
    Rules, Step, Stop, Version, next_step,
};

const SCHEDULES: u64 = 10_000;
const TICKS_LIMIT: u64 = 20_000;
const STEP_TICKS: u64 = 120;
const DEADLINE_TICKS: u64 = 240;

#[derive(Debug, Clone, Copy)]
struct Faults {
    crash: u64,
    isolate: u64,
    unlink: u64,
    depose: u64,
    late: bool,
    step_fails: u64,
    controller_dies: u64,
}

/// A step under way: who has not ended, until when they may take.
#[derive(Debug)]
struct Running {
    step: Step,
    until: u64,
    outcomes: BTreeMap<String, Outcome>,
    /// It fails whatever happens.
    is_doomed: bool,
}

struct Simulation {
    cluster: Cluster,
    random: Random,
    faults: Faults,
    is_quiet: bool,
    rules: Rules,
    goal: Goal,
    options: Options,
    progress: Progress,
    running: Option<Running>,
    log: Vec<String>,
    deaths: u32,
    /// A voter for whom the cluster itself has yet to ask, and when it does.
    promotes: Vec<(usize, u64)>,
}

enum End {
    Done,
    Stopped(Stop),
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_quiet = random.chance(200);
        let mut level = |most: u64| if is_quiet { 0 } else { random.below(most + 1) };
        let faults = Faults {
            crash: level(4),
            isolate: level(5),
            unlink: level(5),
            depose: level(5),
            late: level(1) == 1,
            step_fails: level(60),
            controller_dies: level(6),
        };
        let joins = random.chance(500);
        let voters = 1 + random.index(6);
        let changing = match joins {
            true => 1 + random.index(3),
            false => 1 + random.index(voters.min(3)),
        };
        let count = if joins { voters + changing } else { voters };
        let nodes: Vec<_> = (0..count)
            .map(|index| {
                let mut node = Cluster::node();
                node.start_ticks = 1 + random.below(10);
                if index >= voters {
                    (node.member, node.installed, node.alive) = (false, false, false);
                    (node.releases, node.has_data) = ([false, false], false);
                    node.process = Process::Dead;
                    node.broken[0] = !is_quiet && random.chance(30);
                }
                node
            })
            .collect();
        let members: Vec<String> = match joins {
            true => (voters..count).map(name).collect(),
            false => {
                let first = random.index(voters - changing + 1);
                (first..first + changing).map(name).collect()
            }
        };
        let purpose = if joins { Purpose::Join } else { Purpose::Leave };
        let version = Version::parse("1.0.0").unwrap();
        let by_request = random.chance(600);
        Simulation {
            cluster: Cluster::new(nodes, [version.clone(), Version::parse("1.1.0").unwrap()]),
            faults,
            is_quiet,
            rules: Rules {
                kind: Kind::Quorum,
                settle_ms: SETTLE_TICKS * TICK_MS,
                deadline_ms: DEADLINE_TICKS * TICK_MS,
                transitions: Vec::new(),
                members: MemberRules {
                    joins: if by_request { Joins::ByRequest } else { Joins::ByItself },
                    leaves: if by_request { Leaves::ThroughAnother } else { Leaves::ByItself },
                    workers_leave: false,
                },
            },
            goal: Goal { purpose, version, members },
            options: Options { accept_outage: random.chance(600), ..Options::default() },
            progress: Progress::begin(0),
            running: None,
            log: Vec::new(),
            deaths: 0,
            promotes: Vec::new(),
            random,
        }
    }

    fn now_ms(&self) -> u64 {
        self.cluster.now * TICK_MS
    }

    fn note(&mut self, text: String) {
        let line = format!("{:>5} {text}", self.cluster.now);
        self.log.push(line);
    }

    fn run(&mut self) -> Result<End, String> {
        let mut silent_until = 0;
        while self.cluster.now < TICKS_LIMIT {
            self.disturb();
            let mut random = self.random.clone();
            self.cluster.tick(&mut random);
            self.random = random;
            self.promote();
            if self.is_quiet && self.cluster.alive() < self.cluster.quorum() {
                return Err("fewer members than a quorum are up".to_owned());
            }
            if self.deaths < 3 && self.random.chance(self.faults.controller_dies) {
                self.die();
                silent_until = self.cluster.now + self.random.below(60);
            }
            if self.cluster.now < silent_until {
                continue;
            }
            if self.running.is_some() {
                self.go_on_with_step();
                continue;
            }
            if let Some(end) = self.decide()? {
                return Ok(end);
            }
        }
        Err("it never ended".to_owned())
    }

    fn die(&mut self) {
        self.deaths += 1;
        self.running = None;
        let is_lost = self.random.chance(500);
        if is_lost {
            self.progress = Progress::begin(self.now_ms());
        } else {
            let now_ms = self.now_ms();
            self.progress.goes_on_again(now_ms);
        }
        self.note(format!("controller dies, its journal is lost: {is_lost}"));
    }

    fn disturb(&mut self) {
        for index in 0..self.cluster.nodes.len() {
            if self.random.chance(self.faults.crash) && self.cluster.nodes[index].alive {
                self.cluster.kill(index, Cause::Fault);
                self.note(format!("m{index} crashes"));
                if self.random.chance(850) {
                    self.cluster.start(index);
                }
            }
            let (isolate, unlink) = (self.faults.isolate, self.faults.unlink);
            let turn = |random: &mut Random, is_up: bool, rate: u64| match is_up {
                true => !random.chance(rate),
                false => random.chance(60),
            };
            let peered = turn(&mut self.random, self.cluster.nodes[index].peered, isolate);
            let linked = turn(&mut self.random, self.cluster.nodes[index].linked, unlink);
            let now = self.cluster.now;
            let node = &mut self.cluster.nodes[index];
            if node.peered && !peered {
                node.lost = (now, Cause::Fault);
            }
            (node.peered, node.linked) = (peered, linked);
        }
        if self.random.chance(self.faults.depose) {
            self.note("the leader steps down".to_owned());
            self.cluster.depose();
        }
    }

    /// A cluster that gives votes by itself does so when the host has served for a while.
    fn promote(&mut self) {
        let now = self.cluster.now;
        let due: Vec<usize> =
            self.promotes.iter().filter(|(_, at)| *at <= now).map(|(index, _)| *index).collect();
        for index in due {
            let votes = self.cluster.votes() | 1 << index;
            let serves = matches!(self.cluster.nodes[index].process, Process::Serving(_));
            if serves && self.cluster.can_commit(votes) {
                self.cluster.commit(votes);
                self.promotes.retain(|(other, _)| *other != index);
                self.note(format!("m{index} gets its vote"));
            }
        }
    }

    fn decide(&mut self) -> Result<Option<End>, String> {
        let (late, mut random) = (self.faults.late, self.random.clone());
        let mut lateness = || if late { random.below(LATE_TICKS + 1) } else { 0 };
        let observed = self.cluster.observe(&mut lateness);
        self.random = random;
        let now_ms = self.now_ms();
        self.progress.observe(&observed, now_ms);
        let (rules, goal) = (&self.rules, &self.goal);
        match next_step(rules, goal, &self.options, &observed, &self.progress, now_ms) {
            Decision::Done => Ok(Some(End::Done)),
            Decision::Stop(stop) => Ok(Some(End::Stopped(stop))),
            Decision::Pause { .. } => Err("nobody asked for a pause".to_owned()),
            Decision::Wait { deadline_ms, .. } => match deadline_ms > now_ms {
                true => Ok(None),
                false => Err("it waits beyond its deadline".to_owned()),
            },
            Decision::Run(step) => {
                self.note(format!("{step:?}"));
                self.progress.began(&step, &observed, now_ms);
                let is_doomed = self.random.chance(self.faults.step_fails);
                let outcomes = BTreeMap::new();
                let until = self.cluster.now + STEP_TICKS;
                self.begin(&step, is_doomed)?;
                self.running = Some(Running { step, until, outcomes, is_doomed });
                Ok(None)
            }
        }
    }

    /// The first moment of a step: what changes then is judged then.
    fn begin(&mut self, step: &Step, is_doomed: bool) -> Result<(), String> {
        let nothing_happens = is_doomed && self.random.chance(500);
        let indices: Vec<usize> = step.members().iter().map(|n| index_of(n)).collect();
        if !matches!(step, Step::Stage { .. }) && indices.len() != 1 {
            return Err(format!("{} members change at once", indices.len()));
        }
        for index in indices {
            match step {
                Step::Stage { .. } => self.cluster.nodes[index].releases[0] = !nothing_happens,
                Step::Install { .. } if !nothing_happens => self.install(index)?,
                Step::Join { .. } => {
                    let votes = self.cluster.votes() | 1 << index;
                    self.change(index, votes, &name(index), nothing_happens)?;
                }
                Step::Leave { via, .. } => {
                    let votes = self.cluster.votes() & !(1 << index);
                    self.change(index, votes, via, nothing_happens)?;
                }
                Step::Retire { .. } => self.retire(index, nothing_happens)?,
                Step::Install { .. } => {}
                other => return Err(format!("{other:?} is no step of this run")),
            }
        }
        Ok(())
    }

    fn install(&mut self, index: usize) -> Result<(), String> {
        if self.cluster.would_break(index) {
            return Err(format!("starting m{index} loses the quorum"));
        }
        let votes = self.cluster.votes();
        if self.rules.members.joins == Joins::ByItself && votes >> index & 1 == 0 {
            // It counts as soon as it has its vote: before that it must be possible to lose it.
            if !self.cluster.serve(votes, None) {
                return Err(format!("m{index} is started where there is no quorum"));
            }
            let at = self.cluster.now + SETTLE_TICKS;
            self.promotes.push((index, at));
        }
        self.cluster.nodes[index].installed = true;
        self.cluster.kill(index, Cause::Us);
        self.cluster.start(index);
        Ok(())
    }

    /// The votes change, if the cluster can; whoever asked for it must have known that it can.
    fn change(
        &mut self,
        index: usize,
        votes: u32,
        via: &str,
        nothing_happens: bool,
    ) -> Result<(), String> {
        let before = self.cluster.votes();
        if before == votes {
            // It has its vote, or has none to lose.
            return Ok(());
        }
        if (before ^ votes).count_ones() > 1 {
            return Err("several votes change at once".to_owned());
        }
        if !self.cluster.serve(before, None) || !self.cluster.serve(votes, None) {
            return Err(format!("the vote of m{index} is changed without a quorum of both sides"));
        }
        let via = &self.cluster.nodes[index_of(via)];
        let is_heard = matches!(via.process, Process::Serving(_)) && via.peered;
        if !nothing_happens && is_heard && self.cluster.can_commit(votes) {
            self.cluster.commit(votes);
        }
        Ok(())
    }

    fn retire(&mut self, index: usize, nothing_happens: bool) -> Result<(), String> {
        if self.cluster.nodes[index].member {
            return Err(format!("m{index} is removed and has its vote"));
        }
        if !nothing_happens {
            self.cluster.kill(index, Cause::Us);
            let node = &mut self.cluster.nodes[index];
            (node.installed, node.releases, node.has_data) = (false, [false, false], false);
        }
        Ok(())
    }

    fn go_on_with_step(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let now = self.cluster.now;
        for member in running.step.members().to_vec() {
            if running.outcomes.contains_key(&member) {
                continue;
            }
            let index = index_of(&member);
            let node = &self.cluster.nodes[index];
            let fails = |error: &str| Some(Outcome::Failed { error: error.to_owned() });
            let asked = match &running.step {
                Step::Leave { via, .. } => index_of(via),
                _ => index,
            };
            let serves = matches!(node.process, Process::Serving(_));
            let outcome = match &running.step {
                _ if !self.cluster.nodes[asked].linked => {
                    Some(Outcome::Lost { error: "no route".to_owned() })
                }
                _ if running.is_doomed => fails("it fails"),
                _ if now >= running.until => fails("it takes too long"),
                Step::Stage { .. } | Step::Retire { .. } => Some(Outcome::Done),
                Step::Join { .. } if node.member => Some(Outcome::Done),
                Step::Leave { .. } if !node.member => Some(Outcome::Done),
                Step::Join { .. } | Step::Leave { .. } => fails("it was not committed"),
                _ => serves.then_some(Outcome::Done),
            };
            if let Some(outcome) = outcome {
                running.outcomes.insert(member, outcome);
            }
        }
        if running.outcomes.len() == running.step.members().len() {
            self.note(format!("ended {:?}", running.outcomes));
            let now_ms = self.now_ms();
            self.progress.ended(&running.step, &running.outcomes, now_ms);
        } else {
            self.running = Some(running);
        }
    }
}

/// Runs a schedule; what is wrong, with what happened.
fn schedule(seed: u64) -> Result<End, String> {
    let mut simulation = Simulation::new(seed);
    let about = format!(
        "{:?}\n{:?} {:?} {:?}",
        simulation.faults, simulation.goal, simulation.options, simulation.rules.members
    );
    let end = simulation.run();
    let verdict = end.and_then(|end| judge(&simulation, &end).map(|()| end));
    verdict.map_err(|error| {
        let log = simulation.log.join("\n");
        format!("seed {seed}: {error}\n{about}\n{log}")
    })
}

fn judge(simulation: &Simulation, end: &End) -> Result<(), String> {
    let cluster = &simulation.cluster;
    let joins = simulation.goal.purpose == Purpose::Join;
    if let End::Done = end {
        for member in &simulation.goal.members {
            let node = &cluster.nodes[index_of(member)];
            // A host that doesn't answer can lose its vote, but not what is installed there.
            let stays = node.installed && !joins && !node.linked;
            if (node.member, node.installed && !stays) != (joins, joins) {
                return Err(format!("it says done, and {member} is not"));
            }
        }
    }
    // The leader leaves last, and nobody else's going changes it.
    let allowed = if joins { 0 } else { 1 };
    if cluster.changes_by_us > allowed + cluster.changes_by_fault {
        return Err(format!("{} changes of the leader by us", cluster.changes_by_us));
    }
    match end {
        End::Stopped(stop) if simulation.is_quiet => match stop {
            Stop::TooFewLeft { left } if *left == 0 || !simulation.options.accept_outage => Ok(()),
            stop => Err(format!("nothing went wrong, and it stops: {stop}")),
        },
        End::Done | End::Stopped(_) => Ok(()),
    }
}

#[test]
fn the_quorum_survives_every_change_of_members() {
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in 0..SCHEDULES {
        match schedule(seed) {
            Ok(End::Done) => *ends.entry("done".to_owned()).or_default() += 1,
            Ok(End::Stopped(stop)) => {
                let text = format!("{stop:?}");
                let kind = text.split([' ', '{']).next().unwrap().to_owned();
                *ends.entry(kind).or_default() += 1;
            }
            Err(failure) => failures.push(failure),
        }
    }
    println!("{ends:?}");
    assert!(failures.is_empty(), "{} schedules fail; the first:\n{}", failures.len(), failures[0]);
    // A model that always stops, or never has a failed step, would prove nothing.
    assert!(ends["done"] > SCHEDULES / 4, "{ends:?}");
    assert!(ends["StepFailed"] > SCHEDULES / 50, "{ends:?}");
    assert!(ends["WaitedTooLong"] > SCHEDULES / 500, "{ends:?}");
}

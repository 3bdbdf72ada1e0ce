//! Random fault schedules against the simulated cluster: never a quorum lost by our action, at most
//! one change of the leader by us, and an end that is clear. A seed that fails is added to
//! `tests/seeds.txt`, which runs first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model;

use std::collections::BTreeMap;

use model::random::Random;
use model::{Cause, Cluster, LATE_TICKS, SETTLE_TICKS, TICK_MS, index_of, name};
use provision_lifecycle::{
    Decision, Goal, Kind, Options, Outcome, Process, Progress, Purpose, Rules, Step, Stop, Version,
    next_step,
};

const SCHEDULES: u64 = 10_000;
/// Long enough for every deadline of every step.
const TICKS_LIMIT: u64 = 20_000;
const STEP_TICKS: u64 = 120;
const DEADLINE_TICKS: u64 = 240;

/// What may go wrong in a schedule.
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

/// How a step goes on.
#[derive(Debug)]
struct Running {
    step: Step,
    until: u64,
    restarted: bool,
    outcomes: BTreeMap<String, Outcome>,
    doomed: Option<bool>,
}

struct Simulation {
    cluster: Cluster,
    random: Random,
    faults: Faults,
    any_fault: bool,
    rules: Rules,
    goal: Goal,
    options: Options,
    progress: Progress,
    running: Option<Running>,
    log: Vec<String>,
    deaths: u32,
    reverts: u32,
    lowest_alive: usize,
}

/// How a schedule ended.
enum End {
    Done,
    Stopped(Stop),
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let quiet = random.chance(150);
        let mut level = |most: u64| if quiet { 0 } else { random.below(most + 1) };
        let faults = Faults {
            crash: level(4),
            isolate: level(5),
            unlink: level(5),
            depose: level(5),
            late: level(1) == 1,
            step_fails: level(80),
            controller_dies: level(6),
        };
        let count = 1 + random.index(7);
        let versions = [Version::parse("1.0.0").unwrap(), Version::parse("1.1.0").unwrap()];
        let formation = random.chance(60);
        let mixed = !quiet && random.chance(200);
        let nodes = (0..count).map(|_| {
            let mut node = Cluster::node();
            node.start_ticks = 1 + random.below(10);
            node.broken = [false, !quiet && random.chance(30)];
            if mixed && random.chance(400) {
                (node.version, node.current, node.releases) = (1, 1, [true, true]);
            }
            if formation {
                node.alive = false;
                node.has_data = false;
                node.process = Process::Dead;
            }
            node
        });
        let nodes: Vec<_> = nodes.collect();
        let purpose = if random.chance(100) { Purpose::Restart } else { Purpose::Upgrade };
        let part = random.chance(200);
        let members =
            (0..count).filter(|_| !part || random.chance(600)).map(name).collect::<Vec<_>>();
        let back = random.chance(800);
        let rule = |from: &str, to: &str, allow| provision_lifecycle::Transition {
            from: parse(from),
            to: parse(to),
            allow,
            reason: Some("data".into()),
            containers: provision_lifecycle::Containers::Keep,
        };
        Simulation {
            cluster: Cluster::new(nodes, versions.clone()),
            faults,
            any_fault: !quiet,
            rules: Rules {
                kind: Kind::Quorum,
                settle_ms: SETTLE_TICKS * TICK_MS,
                deadline_ms: DEADLINE_TICKS * TICK_MS,
                transitions: vec![
                    rule("older-minor", "newer-minor", true),
                    rule("any", "any", back),
                ],
                members: provision_lifecycle::MemberRules::default(),
            },
            goal: Goal { purpose, version: versions[1].clone(), members },
            options: Options { canary: random.chance(200).then_some(1), ..Options::default() },
            progress: Progress::begin(0),
            running: None,
            log: Vec::new(),
            deaths: 0,
            reverts: 0,
            lowest_alive: count,
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
            self.lowest_alive = self.lowest_alive.min(self.cluster.alive());
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

    /// The controller is gone and comes back, with its journal or without it.
    fn die(&mut self) {
        self.deaths += 1;
        self.running = None;
        if self.random.chance(500) {
            self.progress = Progress::begin(self.now_ms());
            self.note("controller dies, its journal is lost".to_owned());
        } else {
            self.progress.goes_on_again(self.now_ms());
            self.note("controller dies".to_owned());
        }
    }

    fn disturb(&mut self) {
        for index in 0..self.cluster.nodes.len() {
            if self.random.chance(self.faults.crash) && self.cluster.nodes[index].alive {
                self.cluster.kill(index, Cause::Fault);
                self.note(format!("m{index} crashes"));
                // Most are started again by systemd.
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
            Decision::Pause { .. } => {
                self.progress.go_on(now_ms);
                Ok(None)
            }
            Decision::Wait { deadline_ms, .. } => match deadline_ms > now_ms {
                true => Ok(None),
                false => Err("it waits beyond its deadline".to_owned()),
            },
            Decision::Run(step) => {
                self.note(format!("{step:?}"));
                self.reverts += u32::from(matches!(step, Step::Revert { .. }));
                self.progress.began(&step, &observed, now_ms);
                let doomed = self.random.chance(self.faults.step_fails);
                self.running = Some(Running {
                    step,
                    until: self.cluster.now + STEP_TICKS,
                    restarted: false,
                    outcomes: BTreeMap::new(),
                    doomed: doomed.then(|| self.random.chance(500)),
                });
                self.begin()?;
                Ok(None)
            }
        }
    }

    /// The first moment of a step: what is taken away is taken away now.
    fn begin(&mut self) -> Result<(), String> {
        let Some(running) = &self.running else { return Ok(()) };
        let members: Vec<usize> = running.step.members().iter().map(|n| index_of(n)).collect();
        let early = running.doomed == Some(true);
        let to = match &running.step {
            Step::Stage { .. } => None,
            Step::Start { .. } | Step::Take { .. } => match self.goal.purpose {
                Purpose::Restart => None,
                _ => Some(1),
            },
            Step::Revert { to, .. } => Some(usize::from(*to == self.goal.version)),
            other => return Err(format!("{other:?} is no step of an upgrade")),
        };
        let is_stage = matches!(running.step, Step::Stage { .. });
        let is_start = matches!(running.step, Step::Start { .. });
        if !is_stage && !is_start && members.len() != 1 {
            return Err(format!("{} voters are taken at once", members.len()));
        }
        for index in members {
            if is_stage {
                self.cluster.nodes[index].releases[1] = !early;
                continue;
            }
            if let Some(to) = to {
                if !self.cluster.nodes[index].releases[to] {
                    return Err(format!("m{index} is switched to a release that it lacks"));
                }
                self.cluster.nodes[index].current = to;
                self.cluster.nodes[index].fresh = self.cluster.nodes[index].version == to;
            }
            if early {
                continue;
            }
            if !is_start && self.cluster.would_break(index) {
                return Err(format!("taking m{index} loses the quorum"));
            }
            self.cluster.kill(index, Cause::Us);
            self.cluster.start(index);
        }
        if let Some(running) = &mut self.running {
            running.restarted = !early && !is_stage;
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
            let node = &self.cluster.nodes[index_of(&member)];
            let fails = |error: &str| Some(Outcome::Failed { error: error.to_owned() });
            let serves = matches!(node.process, Process::Serving(_));
            let outcome = match &running.step {
                _ if !node.linked => Some(Outcome::Lost { error: "no route".to_owned() }),
                _ if running.doomed == Some(true) => fails("it fails before it begins"),
                _ if now >= running.until => fails("it takes too long"),
                Step::Stage { .. } => Some(Outcome::Done),
                _ if running.doomed == Some(false) => None,
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

fn parse(text: &str) -> provision_lifecycle::Pattern {
    use provision_lifecycle::Pattern;
    match text {
        "older-minor" => Pattern::OlderMinor,
        "newer-minor" => Pattern::NewerMinor,
        _ => Pattern::Any,
    }
}

/// Runs a schedule; what is wrong, with what happened.
fn schedule(seed: u64) -> Result<End, String> {
    let mut simulation = Simulation::new(seed);
    let faults_text = format!("{:?} {:?}", simulation.faults, simulation.goal);
    let end = simulation.run();
    let verdict = end.and_then(|end| judge(&simulation, &end).map(|()| end));
    verdict.map_err(|error| {
        let log = simulation.log.join("\n");
        format!("seed {seed}: {error}\n{faults_text}\n{log}")
    })
}

fn judge(simulation: &Simulation, end: &End) -> Result<(), String> {
    let cluster = &simulation.cluster;
    let is_quiet = !simulation.any_fault;
    if let End::Done = end {
        for member in &simulation.goal.members {
            let node = &cluster.nodes[index_of(member)];
            let is_there = (node.version, node.current) == (1, 1);
            if simulation.goal.purpose != Purpose::Restart && !is_there {
                return Err(format!("it says done, and {member} has not the release"));
            }
        }
    }
    // Who has lost the journal of a restart can't know whom it has restarted already.
    let forgotten = if simulation.goal.purpose == Purpose::Restart { simulation.deaths } else { 0 };
    let excused = cluster.changes_by_fault + simulation.reverts + forgotten;
    if cluster.changes_by_us > 1 + excused {
        return Err(format!("{} changes of the leader by us", cluster.changes_by_us));
    }
    if is_quiet {
        let too_few = cluster.nodes.len() <= 2;
        match end {
            End::Done if cluster.changes_by_us > 1 => {
                return Err("more than one change of the leader".to_owned());
            }
            End::Done => {}
            End::Stopped(Stop::TooFewMembers { .. }) if too_few => {}
            // A part of a cluster that has never been is no quorum.
            End::Stopped(Stop::WaitedTooLong { .. }) if cluster.leader.is_none() => {}
            End::Stopped(stop) => return Err(format!("nothing went wrong, and it stops: {stop}")),
        }
        let formed_before = cluster.nodes.iter().all(|node| node.has_data);
        let began_alive = simulation.lowest_alive > 0;
        if !too_few && formed_before && began_alive && simulation.lowest_alive < cluster.quorum() {
            return Err("fewer members than a quorum were up".to_owned());
        }
        let lowest = cluster.nodes.len().saturating_sub(1);
        if !too_few && began_alive && simulation.lowest_alive < lowest {
            return Err("more than one member was away".to_owned());
        }
    }
    Ok(())
}

#[test]
fn the_quorum_survives_every_schedule() {
    let stored = include_str!("seeds.txt").lines().filter_map(|line| {
        let seed = line.split('#').next().unwrap_or_default().trim();
        (!seed.is_empty()).then(|| seed.parse::<u64>().unwrap())
    });
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in stored.chain(0..SCHEDULES) {
        match schedule(seed) {
            Ok(End::Done) => *ends.entry("done").or_default() += 1,
            Ok(End::Stopped(stop)) => *ends.entry(kind(&stop)).or_default() += 1,
            Err(failure) => failures.push(failure),
        }
    }
    println!("{ends:?}");
    assert!(failures.is_empty(), "{} schedules fail; the first:\n{}", failures.len(), failures[0]);
    // A model that always stops, or never has a failed step, would prove nothing.
    assert!(ends["done"] > SCHEDULES / 4, "{ends:?}");
    assert!(ends["step failed, reverted"] > SCHEDULES / 50, "{ends:?}");
}

fn kind(stop: &Stop) -> &'static str {
    use provision_lifecycle::Revert;
    match stop {
        Stop::UnknownMember { .. } => "unknown member",
        Stop::VersionRefused { .. } => "version refused",
        Stop::ContainersRun { .. } => "containers run",
        Stop::Objection { .. } => "objection",
        Stop::TooFewMembers { .. } => "too few members",
        Stop::WaitedTooLong { .. } => "waited too long",
        Stop::StepFailed { revert: Revert::Done { .. }, .. } => "step failed, reverted",
        Stop::StepFailed { .. } => "step failed, not reverted",
        Stop::NotStaged { .. } => "not staged",
        Stop::NotTaking { .. } => "not taking",
        Stop::NotFormed => "not formed",
        Stop::NoCluster
        | Stop::NotJoined { .. }
        | Stop::TooFewLeft { .. }
        | Stop::ContainersLeft { .. } => "not about an upgrade",
    }
}

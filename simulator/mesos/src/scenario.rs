//! `faults.yml`: which agents there are, how their tasks behave, and what goes wrong when.
//!
//! Everything is decided when it is read: a [`Plan`] names agents and times, from the seed alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use diagnostics::{Diagnostic, SourceId, Span as Place};
use mesos::quantity::Intervals;
use mesos::{Attribute, Milli, Resource, Text, ValueType};
use policy::config::units::{Length, Part};
use serde::Deserialize;
use yaml::{Schema, Spanned};

use crate::random::Random;
use crate::{AgentSpec, Body, End, Master, Nanoseconds, Profile, Restart, Rule, Span};

/// Most agents of a cluster: real ones have had 40,000.
pub const AGENTS_LIMIT: u32 = 100_000;

/// The version of the format.
const VERSION: u32 = 1;

/// Something that happens to the agent of a number, or to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Its program ends suddenly.
    Crash(usize),
    /// Its program starts again.
    Start(usize),
    /// Nothing gets through to it.
    CutOff(usize),
    /// It gets through again.
    Heal(usize),
    /// It leaves in order.
    Unregister(usize),
    /// Another master takes over; agents find it within this time.
    Restart(Restart, Nanoseconds),
}

/// A cluster and what happens to it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The agents, by number.
    pub agents: Vec<AgentSpec>,
    /// What happens when, in the order of time.
    pub acts: Vec<(Nanoseconds, Act)>,
}

/// What one sort of machine has.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// CPUs.
    pub cpus: f64,
    /// Memory in megabytes.
    pub memory_mb: f64,
    /// Disk in megabytes.
    pub disk_mb: f64,
}

impl Default for Machine {
    fn default() -> Self {
        Self { cpus: 16.0, memory_mb: 65_536.0, disk_mb: 512_000.0 }
    }
}

/// Does what an act says to the agents that a plan has brought up, by number.
pub fn perform(master: &mut Master, agents: &[crate::AgentKey], act: Act) {
    let with = |number: usize| agents.get(number).copied();
    match act {
        Act::Crash(number) => with(number).into_iter().for_each(|it| master.crash_agent(it)),
        Act::Start(number) => with(number).into_iter().for_each(|it| master.start_agent(it)),
        Act::CutOff(number) => with(number).into_iter().for_each(|it| master.cut_off_agent(it)),
        Act::Heal(number) => with(number).into_iter().for_each(|it| master.heal_agent(it)),
        Act::Unregister(number) => {
            with(number).into_iter().for_each(|it| master.unregister_agent(it))
        }
        Act::Restart(restart, within) => master.restart(restart, within),
    }
}

/// A cluster of equal machines where nothing goes wrong.
pub fn plain(count: u32, machine: &Machine) -> Plan {
    let body = Body::Simulated(Arc::new(Profile::default()));
    let attributes = BTreeMap::new();
    let agents = (0..count).map(|number| spec(number, machine, &attributes, &body)).collect();
    Plan { agents, acts: Vec::new() }
}

/// Most crashes of an agent in one fault: a day of one every ten seconds.
const FLAPS_LIMIT: u64 = 10_000;

/// Agents of this machine that run what they are told: equal shares of its ports are theirs.
pub fn real(count: u32, machine: &Machine) -> Plan {
    let share = 1000 / u64::from(count.clamp(1, 1000));
    let mut agents = Vec::new();
    for (number, first) in (0..count).zip((31_000..).step_by(usize::try_from(share).unwrap_or(1))) {
        let mut agent = spec(number, machine, &BTreeMap::new(), &Body::Outside);
        agent.ip = "127.0.0.1".to_owned();
        agent.resources.retain(|resource| resource.name != "ports");
        agent
            .resources
            .push(Resource::ranges("ports", &Intervals::new([(first, first + share - 1)])));
        agents.push(agent);
    }
    Plan { agents, acts: Vec::new() }
}

/// Agents stand in racks of this many.
const RACK: u32 = 40;

fn spec(
    number: u32,
    machine: &Machine,
    attributes: &BTreeMap<String, String>,
    body: &Body,
) -> AgentSpec {
    let text = |name: &str, value: String| Attribute {
        name: name.to_owned(),
        r#type: ValueType::Text.into(),
        text: Some(Text { value }),
        ..Attribute::default()
    };
    let mut all = Vec::new();
    if !attributes.contains_key("rack") {
        all.push(text("rack", format!("rack-{:04}", number / RACK)));
    }
    all.extend(attributes.iter().map(|(name, value)| text(name, value.clone())));
    // 10.0.0.1 and on: addresses that nobody will ask.
    let [_, b, c, d] = number.saturating_add(1).to_be_bytes();
    AgentSpec {
        hostname: format!("agent-{number:05}"),
        ip: format!("10.{b}.{c}.{d}"),
        port: 5051,
        resources: vec![
            Resource::scalar("cpus", Milli::from_f64(machine.cpus)),
            Resource::scalar("mem", Milli::from_f64(machine.memory_mb)),
            Resource::scalar("disk", Milli::from_f64(machine.disk_mb)),
            Resource::ranges("ports", &Intervals::new([(31_000, 32_000)])),
        ],
        attributes: all,
        domain: None,
        body: body.clone(),
    }
}

#[derive(Debug, Deserialize)]
struct File {
    version: Option<Spanned<u32>>,
    #[serde(default)]
    agents: Vec<Group>,
    tasks: Option<Behaviour>,
    #[serde(default)]
    rules: Vec<RuleFile>,
    #[serde(default)]
    faults: Vec<Spanned<FaultFile>>,
}

#[derive(Debug, Deserialize)]
struct Group {
    count: Spanned<u32>,
    cpus: Option<f64>,
    memory_mb: Option<f64>,
    disk_mb: Option<f64>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Range {
    from: Length,
    to: Spanned<Length>,
}

#[derive(Debug, Deserialize)]
struct Behaviour {
    starting: Option<Range>,
    running: Option<Range>,
    ending: Option<Range>,
    failures: Option<Part>,
    failing: Option<Range>,
}

#[derive(Debug, Deserialize)]
struct RuleFile {
    prefix: String,
    starting: Option<Range>,
    runs: Option<Range>,
    exit_code: Option<i32>,
    signal: Option<String>,
    #[serde(default)]
    ignores_term: bool,
    unhealthy_after: Option<Length>,
}

#[derive(Debug, Deserialize)]
struct FaultFile {
    at: Length,
    crash: Option<Part>,
    partition: Option<Part>,
    flap: Option<Part>,
    unregister: Option<Part>,
    restart_master: Option<Registry>,
    r#for: Option<Spanned<Length>>,
    every: Option<Spanned<Length>>,
    agents_within: Option<Length>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Registry {
    InMemory,
    Replicated,
}

/// Reads a scenario; `count` is how many agents there are if it doesn't say.
///
/// # Errors
/// Everything that is wrong with it, with its place.
pub fn read(
    text: &str,
    source: SourceId,
    count: u32,
    machine: &Machine,
    seed: u64,
) -> Result<Plan, Vec<Diagnostic>> {
    let read = yaml::read(text, source, Schema::Strict);
    if !read.is_usable() {
        return Err(read.diagnostics);
    }
    let [document] = read.documents.as_slice() else {
        let end = Place::new(source, text.len(), text.len());
        let found = format!("found {}", read.documents.len());
        return Err(vec![
            Diagnostic::error("faults", "a scenario of faults is one YAML document").at(end, found),
        ]);
    };
    let file: File = yaml::from_node(document)?;
    let mut found = Vec::new();
    if let Some(version) = file.version.as_ref().filter(|version| version.value != VERSION) {
        let message = format!("version {} of a scenario of faults is not known", version.value);
        found.push(
            Diagnostic::error("faults-version", message)
                .at(version.span, format!("this program knows version {VERSION}")),
        );
    }
    let body = Body::Simulated(Arc::new(profile(file.tasks, file.rules, &mut found)));
    let agents = agents(&file.agents, count, machine, &body, &mut found);
    let mut random = Random::new(seed ^ 0x6661_756c_7473);
    let mut acts = Vec::new();
    for fault in file.faults {
        fault_acts(&fault, agents.len(), &mut random, &mut acts, &mut found);
    }
    acts.sort_by_key(|(at, _)| *at);
    if found.is_empty() { Ok(Plan { agents, acts }) } else { Err(found) }
}

fn agents(
    groups: &[Group],
    count: u32,
    machine: &Machine,
    body: &Body,
    found: &mut Vec<Diagnostic>,
) -> Vec<AgentSpec> {
    if groups.is_empty() {
        return plain(count, machine)
            .agents
            .into_iter()
            .map(|it| AgentSpec { body: body.clone(), ..it })
            .collect();
    }
    let mut agents = Vec::new();
    let mut number = 0u32;
    for group in groups {
        if group.count.value > AGENTS_LIMIT.saturating_sub(number) {
            let message = "too many agents";
            let label = format!("at most {AGENTS_LIMIT} in all");
            found.push(Diagnostic::error("faults-agents", message).at(group.count.span, label));
            return agents;
        }
        let own = Machine {
            cpus: group.cpus.unwrap_or(machine.cpus),
            memory_mb: group.memory_mb.unwrap_or(machine.memory_mb),
            disk_mb: group.disk_mb.unwrap_or(machine.disk_mb),
        };
        for _ in 0..group.count.value {
            agents.push(spec(number, &own, &group.attributes, body));
            number += 1;
        }
    }
    agents
}

fn span(range: &Range, found: &mut Vec<Diagnostic>) -> Span {
    let (from, to) = (range.from.0.0, range.to.value.0.0);
    if to < from {
        let message = "a range that ends before it begins";
        found
            .push(Diagnostic::error("faults-range", message).at(range.to.span, "less than `from`"));
    }
    Span { from, to: to.max(from) }
}

fn profile(tasks: Option<Behaviour>, rules: Vec<RuleFile>, found: &mut Vec<Diagnostic>) -> Profile {
    let mut profile = Profile::default();
    if let Some(tasks) = tasks {
        let mut set = |range: Option<Range>, value: &mut Span| {
            if let Some(range) = range {
                *value = span(&range, found);
            }
        };
        set(tasks.starting, &mut profile.starting);
        set(tasks.running, &mut profile.running);
        set(tasks.ending, &mut profile.ending);
        set(tasks.failing, &mut profile.failing);
        if let Some(failures) = tasks.failures {
            profile.failures_parts_per_million = parts_per_million(failures);
        }
    }
    profile.rules = rules
        .into_iter()
        .map(|rule| Rule {
            prefix: rule.prefix,
            starting: rule.starting.map(|range| span(&range, found)),
            runs: rule.runs.map(|range| span(&range, found)),
            end: match (rule.signal, rule.exit_code) {
                (Some(signal), _) => End::Signal(signal),
                (None, code) => End::Exits(code.unwrap_or(0)),
            },
            ignores_term: rule.ignores_term,
            unhealthy_after: rule.unhealthy_after.map(|after| after.0.0),
            check_exit_code: 0,
        })
        .collect();
    profile
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part is at most 1")]
fn parts_per_million(part: Part) -> u32 {
    (part.0 * 1e6) as u32
}

fn fault_acts(
    fault: &Spanned<FaultFile>,
    count: usize,
    random: &mut Random,
    acts: &mut Vec<(Nanoseconds, Act)>,
    found: &mut Vec<Diagnostic>,
) {
    let it = &fault.value;
    let at = it.at.0.0;
    let until = it.r#for.as_ref().map(|length| at.saturating_add(length.value.0.0));
    let kinds = [it.crash, it.partition, it.flap, it.unregister];
    let named = kinds.iter().flatten().count() + usize::from(it.restart_master.is_some());
    if named != 1 {
        found.push(
            Diagnostic::error("faults-kind", "a fault is of one kind")
                .at(fault.span, format!("this one is of {named}"))
                .hint("crash, partition, flap, unregister or restart_master"),
        );
        return;
    }
    if let Some(registry) = it.restart_master {
        let restart = match registry {
            Registry::InMemory => Restart::Forgetful,
            Registry::Replicated => Restart::Registry,
        };
        acts.push((at, Act::Restart(restart, it.agents_within.map_or(0, |within| within.0.0))));
        return;
    }
    let part = kinds.into_iter().flatten().next().unwrap_or(Part(0.0));
    for number in (0..count).filter(|_| random.happens(parts_per_million(part))) {
        match (it.crash, it.partition, it.flap) {
            (Some(_), _, _) => {
                acts.push((at, Act::Crash(number)));
                acts.extend(until.map(|until| (until, Act::Start(number))));
            }
            (_, Some(_), _) => {
                acts.push((at, Act::CutOff(number)));
                acts.extend(until.map(|until| (until, Act::Heal(number))));
            }
            (_, _, Some(_)) => {
                let (Some(until), Some(every)) = (until, it.every.as_ref()) else {
                    found.push(
                        Diagnostic::error("faults-flap", "flapping needs `for` and `every`")
                            .at(fault.span, "one of them is missing"),
                    );
                    return;
                };
                let every = every.value.0.0.max(crate::MILLISECOND);
                let mut time = at;
                if until.saturating_sub(at) / every > FLAPS_LIMIT {
                    let message = "too many crashes";
                    let label = format!("at most {FLAPS_LIMIT} of an agent in one fault");
                    found.push(Diagnostic::error("faults-flap", message).at(fault.span, label));
                    return;
                }
                while time < until {
                    acts.push((time, Act::Crash(number)));
                    acts.push((time.saturating_add(every / 2), Act::Start(number)));
                    time = time.saturating_add(every);
                }
            }
            _ => {
                acts.push((at, Act::Unregister(number)));
                acts.extend(until.map(|until| (until, Act::Start(number))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use diagnostics::{Sources, Style, render_all};

    use super::{Act, Machine, read};
    use crate::{Restart, SECOND};

    fn parse(text: &str) -> Result<super::Plan, String> {
        let mut sources = Sources::default();
        let source = sources.add("faults.yml", text);
        read(text, source, 10, &Machine::default(), 7)
            .map_err(|found| render_all(&found, &sources, Style::Plain))
    }

    #[test]
    fn groups_rules_and_faults() {
        let plan = parse(
            "version: 1\n\
             agents:\n- {count: 3, cpus: 8, attributes: {zone: a}}\n- {count: 2}\n\
             tasks: {starting: {from: 1s, to: 2s}, failures: 1%}\n\
             rules:\n- {prefix: batch-, runs: {from: 5s, to: 9s}, exit_code: 3}\n\
             faults:\n\
             - {at: 30s, crash: 100%, for: 10s}\n\
             - {at: 1s, partition: 0%}\n\
             - {at: 60s, restart_master: replicated, agents_within: 20s}\n\
             - {at: 50s, flap: 100%, for: 4s, every: 2s}\n",
        )
        .unwrap();
        assert_eq!(plan.agents.len(), 5);
        assert_eq!(plan.agents[0].resources[0].amount().unwrap().0, 8000);
        assert_eq!(plan.agents[4].resources[0].amount().unwrap().0, 16_000);
        assert_eq!(plan.agents[4].hostname, "agent-00004");
        let count = |act: fn(usize) -> Act, at: u64| {
            let wanted = |it: &&(u64, Act)| (0..5).any(|n| **it == (at * SECOND, act(n)));
            plan.acts.iter().filter(wanted).count()
        };
        assert_eq!((count(Act::Crash, 30), count(Act::Start, 40)), (5, 5));
        assert_eq!(
            (count(Act::Crash, 50), count(Act::Start, 51), count(Act::Crash, 52)),
            (5, 5, 5)
        );
        let last = plan.acts.last().unwrap();
        assert_eq!(*last, (60 * SECOND, Act::Restart(Restart::Registry, 20 * SECOND)));
        assert!(plan.acts.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let text = parse("faults:\n- {at: 1s, crash: 5%, flap: 1%}\nversion: 2\n").unwrap_err();
        assert!(text.contains("faults.yml:3:10"), "{text}");
        assert!(text.contains("a fault is of one kind"), "{text}");
        let text = parse("agents:\n- {count: 200000}\n").unwrap_err();
        assert!(text.contains("at most 100000"), "{text}");
        let text = parse("tasks: {starting: {from: 2s, to: 1s}}\n").unwrap_err();
        assert!(text.contains("ends before it begins"), "{text}");
        let text = parse("faults:\n- {at: 1s, flap: 100%}\n").unwrap_err();
        assert!(text.contains("needs `for` and `every`"), "{text}");
        let text = parse("faults:\n- {at: 1s, flap: 100%, for: 1d, every: 1s}\n").unwrap_err();
        assert!(text.contains("at most 10000"), "{text}");
        assert!(parse("fault: []\n").unwrap_err().contains("faults"));
    }
}

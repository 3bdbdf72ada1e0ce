//! A scenario file: machines, apps, commands, tenants, workload and policy, in YAML. Everything
//! that is wrong with it is told at once, with its place; what is doubtful is a warning.

use std::fmt::Write;

use diagnostics::{Diagnostic, SourceId, Sources, Span};
use policy::config::Policy;
use serde_json::Value;
use sha2::{Digest, Sha256};
use simulator_model::Model;
use yaml::{Mapping, Node, NodeValue, Schema};

use crate::metric::Objective;

mod apps;
mod arrivals;
mod check;
mod crowds;
mod faults;
mod file;
mod laws;
mod overrides;
mod pipelines;
mod profile;
mod queues;
mod replay;
mod retries;
mod scheduler;
mod sharing;
mod stages;

pub use overrides::Override;
pub use replay::{Replay, ServiceTimes};

/// A scenario that can be run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it shows.
    pub about: Option<String>,
    /// What is simulated.
    pub model: Model,
    /// The rules.
    pub policy: Policy,
    /// What commands of traces mean.
    pub replay: Replay,
    /// What comparisons watch.
    pub objectives: Vec<Objective>,
    /// What the file means, apart from its policy, objectives, seed and remarks, and before overrides:
    /// two scenarios with the same digest send the same requests to the same machines.
    pub digest: String,
    /// The same as earlier programs had it, to which the order of keys within sections mattered.
    pub digest_as_written: String,
    /// The policy as it was written, with overrides; none if the file has none.
    pub policy_text: Option<Value>,
}

/// What reading found.
pub struct Found {
    /// The scenario, if it can be used.
    pub scenario: Option<Scenario>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Gives the text of a file that a scenario names.
type Load<'a> = dyn FnMut(&str, &mut Sources) -> Result<SourceId, String> + 'a;

/// The files that a scenario names, such as profiles of rates.
pub struct Files<'a> {
    sources: &'a mut Sources,
    load: &'a mut Load<'a>,
    /// Those that were read.
    loaded: &'a mut Vec<SourceId>,
}

impl Files<'_> {
    /// The same files for a shorter time.
    fn again(&mut self) -> Files<'_> {
        Files { sources: self.sources, load: self.load, loaded: self.loaded }
    }

    /// The digest of a scenario together with its files.
    fn digest(&self, digest: &str) -> String {
        let texts = self.loaded.iter().filter_map(|source| self.sources.get(*source));
        let texts: Vec<&str> = texts.map(|source| &*source.text).collect();
        if texts.is_empty() { digest.to_owned() } else { hexadecimal(digest, &texts.concat()) }
    }
}

/// Reads a scenario. `load` gives the text of a file that it names.
pub fn read(
    source: SourceId,
    overrides: &[Override],
    sources: &mut Sources,
    load: impl FnMut(&str, &mut Sources) -> Result<SourceId, String>,
) -> Found {
    read_with(source, None, overrides, sources, load)
}

/// Reads a scenario, with another policy than its own if one is given.
pub fn read_with(
    source: SourceId,
    policy: Option<SourceId>,
    overrides: &[Override],
    sources: &mut Sources,
    mut load: impl FnMut(&str, &mut Sources) -> Result<SourceId, String>,
) -> Found {
    match parts(source, policy, overrides, sources, &mut load) {
        Ok(parts) => {
            let mut loaded = Vec::new();
            assemble(&parts, Files { sources, load: &mut load, loaded: &mut loaded })
        }
        Err(diagnostics) => Found { scenario: None, diagnostics },
    }
}

/// A scenario as trees.
struct Parts {
    /// Without its policy.
    root: Node,
    policy: Option<Node>,
    digest: String,
    digest_as_written: String,
}

fn parts(
    source: SourceId,
    policy: Option<SourceId>,
    overrides: &[Override],
    sources: &mut Sources,
    load: &mut Load<'_>,
) -> Result<Parts, Vec<Diagnostic>> {
    let mut root = document(source, sources)?;
    let kind = root.kind();
    let NodeValue::Mapping(mapping) = &mut root.value else {
        let message = format!("a scenario is a mapping, this is {kind}");
        return Err(vec![
            Diagnostic::error("scenario", message)
                .at(root.span, "expected `key: value` lines")
                .hint("see scenarios/ for examples"),
        ]);
    };
    let (digest, digest_as_written) =
        (digest(mapping, Order::Sorted), digest(mapping, Order::Written));
    if let Some(policy) = policy {
        let key = Node::string(Span::new(policy, 0, 0), "policy");
        mapping.entries.retain(|(key, _)| key.as_str() != Some("policy"));
        mapping.entries.push((key, document(policy, sources)?));
    }
    let mut wrong = Vec::new();
    for given in overrides {
        // What it names must be there before a part of it is changed.
        if given.text.starts_with("policy.") {
            load_policy(&mut root, sources, load)?;
        }
        if let Err(diagnostic) = given.apply(&mut root, sources) {
            wrong.push(*diagnostic);
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    load_policy(&mut root, sources, load)?;
    let NodeValue::Mapping(mapping) = &mut root.value else { return Err(Vec::new()) };
    let place = mapping.entries.iter().position(|(key, _)| key.as_str() == Some("policy"));
    let policy = place.map(|place| mapping.entries.remove(place).1);
    Ok(Parts { root, policy, digest, digest_as_written })
}

/// Puts the contents of a policy file in the place of its name.
fn load_policy(
    root: &mut Node,
    sources: &mut Sources,
    load: &mut Load<'_>,
) -> Result<(), Vec<Diagnostic>> {
    let NodeValue::Mapping(mapping) = &mut root.value else { return Ok(()) };
    let policy = mapping.entries.iter_mut().find(|(key, _)| key.as_str() == Some("policy"));
    let Some((_, node)) = policy else { return Ok(()) };
    let Some(name) = node.as_str().map(str::to_owned) else { return Ok(()) };
    let loaded = load(&name, sources).map_err(|reason| {
        vec![
            Diagnostic::error("policy-file", format!("failed to read policy `{name}`: {reason}"))
                .at(node.span, "named here, relative to the scenario")
                .hint("write `policy: {preset: original}` to begin with a preset"),
        ]
    })?;
    *node = document(loaded, sources)?;
    Ok(())
}

/// Keys that change neither requests nor machines.
const OTHER_KEYS: [&str; 5] = ["about", "objectives", "policy", "replay", "seed"];

/// Sections whose entries have numbers by their order, which random words and users are keyed by.
const NUMBERED: [&str; 3] = ["apps", "cmds", "tenants"];

/// In which order keys are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Sorted,
    /// Within sections as they stand in the file.
    Written,
}

fn digest(mapping: &Mapping, order: Order) -> String {
    let counts = |key: &Node| key.as_str().is_none_or(|key| !OTHER_KEYS.contains(&key));
    let mut kept: Vec<String> = mapping
        .iter()
        .filter(|(key, _)| counts(key))
        .map(|(key, value)| {
            let (key, mut value) = (yaml::key_text(key), yaml::to_json(value));
            match &mut value {
                _ if order == Order::Written => {}
                Value::Object(entries) if NUMBERED.contains(&key.as_str()) => {
                    entries.values_mut().for_each(Value::sort_all_objects);
                }
                other => other.sort_all_objects(),
            }
            format!("{key}: {value}")
        })
        .collect();
    // The order of sections means nothing; that of lists may (of two sources, for example).
    kept.sort_unstable();
    hexadecimal("", &kept.join("\n"))
}

fn hexadecimal(before: &str, text: &str) -> String {
    Sha256::digest(format!("{before}{text}")).iter().fold(String::new(), |mut digest, byte| {
        let _ = write!(digest, "{byte:02x}");
        digest
    })
}

fn document(source: SourceId, sources: &Sources) -> Result<Node, Vec<Diagnostic>> {
    let Some(text) = sources.get(source) else { return Err(Vec::new()) };
    let mut read = yaml::read(&text.text, source, Schema::Strict);
    if !read.is_usable() {
        return Err(read.diagnostics);
    }
    match (read.documents.pop(), read.documents.is_empty()) {
        (Some(document), true) => Ok(document),
        (last, _) => {
            let count = read.documents.len() + usize::from(last.is_some());
            let (message, label) = match count {
                0 => ("there is nothing in it".to_owned(), "expected `key: value` lines"),
                _ => (format!("there are {count} YAML documents"), "expected one"),
            };
            let place = last.map_or(Span::new(source, 0, 0), |last| last.span);
            Err(vec![Diagnostic::error("scenario", message).at(place, label)])
        }
    }
}

fn assemble(parts: &Parts, mut files: Files<'_>) -> Found {
    let mut diagnostics = Vec::new();
    let policy = parts.policy.as_ref();
    let rules = match policy.map_or_else(|| Ok(Policy::recommended()), policy::config::read_node) {
        Ok(policy) => Some(policy),
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    };
    let file: Option<file::File> =
        yaml::from_node(&parts.root).map_err(|found| diagnostics.extend(found)).ok();
    let scenario = file.and_then(|file| {
        let rules = rules.unwrap_or_else(Policy::recommended);
        let (mut model, replay) = check::model(&file, &rules, &mut files, &mut diagnostics)?;
        model.network = check::network(&file, &model, &mut diagnostics);
        Some(Scenario {
            objectives: check::objectives(&file, &model, &mut diagnostics),
            about: file.about,
            model,
            policy: rules,
            digest: files.digest(&parts.digest),
            digest_as_written: files.digest(&parts.digest_as_written),
            replay,
            policy_text: policy.map(yaml::to_json),
        })
    });
    let scenario = scenario.filter(|_| !diagnostics.iter().any(Diagnostic::is_error));
    Found { scenario, diagnostics }
}

#[cfg(test)]
#[path = "../scenario_tests.rs"]
mod tests;

//! A scenario file: machines, apps, commands, tenants, workload and policy, in YAML. Everything
//! that is wrong with it is told at once, with its place; what is doubtful is a warning.

use diagnostics::{Diagnostic, SourceId, Sources};
use policy::config::Policy;
use simulator_model::Model;
use yaml::{Node, NodeValue, Schema};

mod arrivals;
mod check;
mod file;
mod overrides;
mod profile;
mod replay;

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
}

/// Reads a scenario. `load` gives the text of a file that it names.
pub fn read(
    source: SourceId,
    overrides: &[Override],
    sources: &mut Sources,
    mut load: impl FnMut(&str, &mut Sources) -> Result<SourceId, String>,
) -> Found {
    match parts(source, overrides, sources, &mut load) {
        Ok((root, policy)) => assemble(&root, policy.as_ref(), Files { sources, load: &mut load }),
        Err(diagnostics) => Found { scenario: None, diagnostics },
    }
}

/// The tree of the scenario, and that of its policy.
fn parts(
    source: SourceId,
    overrides: &[Override],
    sources: &mut Sources,
    load: &mut Load<'_>,
) -> Result<(Node, Option<Node>), Vec<Diagnostic>> {
    let mut root = document(source, sources)?;
    let NodeValue::Mapping(mapping) = &mut root.value else {
        let message = format!("a scenario is a mapping, this is {}", root.kind());
        return Err(vec![
            Diagnostic::error("scenario", message)
                .at(root.span, "expected `key: value` lines")
                .hint("see scenarios/ for examples"),
        ]);
    };
    let policy = mapping.entries.iter_mut().find(|(key, _)| key.as_str() == Some("policy"));
    if let Some((_, node)) = policy
        && let Some(name) = node.as_str().map(str::to_owned)
    {
        let loaded = load(&name, sources).map_err(|reason| {
            vec![
                Diagnostic::error(
                    "policy-file",
                    format!("failed to read policy `{name}`: {reason}"),
                )
                .at(node.span, "named here, relative to the scenario")
                .hint("write `policy: {preset: original}` to begin with a preset"),
            ]
        })?;
        *node = document(loaded, sources)?;
    }
    let wrong: Vec<Diagnostic> = overrides
        .iter()
        .filter_map(|given| given.apply(&mut root, sources).err())
        .map(|wrong| *wrong)
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let NodeValue::Mapping(mapping) = &mut root.value else { return Err(Vec::new()) };
    let place = mapping.entries.iter().position(|(key, _)| key.as_str() == Some("policy"));
    let policy = place.map(|place| mapping.entries.remove(place).1);
    Ok((root, policy))
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
            let message = format!("{} holds {count} YAML documents, expected one", text.name);
            Err(vec![Diagnostic::error("scenario", message)])
        }
    }
}

fn assemble(root: &Node, policy: Option<&Node>, files: Files<'_>) -> Found {
    let mut diagnostics = Vec::new();
    let policy = match policy.map_or_else(|| Ok(Policy::recommended()), policy::config::read_node) {
        Ok(policy) => Some(policy),
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    };
    let file: Option<file::File> =
        yaml::from_node(root).map_err(|found| diagnostics.extend(found)).ok();
    let scenario = file.and_then(|file| {
        let rules = policy.unwrap_or_else(Policy::recommended);
        let checked = check::model(&file, &rules, files, &mut diagnostics);
        checked.map(|(model, replay)| Scenario { about: file.about, model, policy: rules, replay })
    });
    let scenario = scenario.filter(|_| !diagnostics.iter().any(Diagnostic::is_error));
    Found { scenario, diagnostics }
}

#[cfg(test)]
#[path = "../scenario_tests.rs"]
mod tests;

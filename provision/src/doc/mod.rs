//! `provision doc`: what a module takes, from the same table that checks its arguments; what it
//! returns, and what differs from Ansible.

pub mod arguments;
mod notes;
mod own;

use provision_protocol::modules::{self, CheckMode, FreeForm, Kind, ModuleSpec, Parameter, Runs};
use serde::Serialize;

use crate::exit::Exit;
use crate::paint::{self, FAINT, STRONG, styled};
use arguments::{Doc, Format};
use notes::Notes;

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// Shows modules.
pub fn doc(arguments: &Doc) -> Exit {
    paint::choose(arguments.color);
    if arguments.modules.iter().any(|name| name.contains('/')) {
        return own_modules(arguments);
    }
    let mut specs: Vec<&ModuleSpec> = Vec::new();
    if arguments.list {
        specs.extend(modules::all().filter(|spec| !spec.name.starts_with('_')));
        specs.sort_by_key(|spec| spec.name);
    }
    for name in &arguments.modules {
        match modules::find(name).filter(|spec| !spec.name.starts_with('_')) {
            Some(spec) => specs.push(spec),
            None => return unknown(name),
        }
    }
    match (arguments.format, arguments.list) {
        (Format::Json, _) => json(&specs),
        (Format::Text, true) => {
            let width = specs.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
            for spec in specs {
                say!("{:<width$}  {}", spec.name, spec.documentation);
            }
        }
        (Format::Text, false) => {
            let texts: Vec<String> = specs.into_iter().map(text).collect();
            say!("{}", texts.join("\n\n"));
        }
    }
    Exit::Done
}

/// Modules of the user's own, by their paths.
fn own_modules(arguments: &Doc) -> Exit {
    let mut shown = Vec::new();
    for path in &arguments.modules {
        let text = match arguments.format {
            Format::Text => own::text(path),
            Format::Json => own::documentation(path)
                .map(|value| serde_json::to_string_pretty(&value).unwrap_or_default()),
        };
        match text {
            Ok(text) => shown.push(text),
            Err(reason) => {
                let hint = "a module of one's own is named by its path: ./library/greet.py";
                paint::error(&reason, Some(hint));
                return Exit::InvalidInput;
            }
        }
    }
    say!("{}", shown.join("\n\n"));
    Exit::Done
}

fn unknown(name: &str) -> Exit {
    let names = modules::all().flat_map(|spec| spec.aliases.iter().chain([&spec.name])).copied();
    let closest = diagnostics::closest(name, names.filter(|name| !name.starts_with('_')));
    let hint = match closest {
        Some(closest) => format!("did you mean `{closest}`?"),
        None => "`provision doc --list` names all modules".to_owned(),
    };
    paint::error(&format!("provision has no module `{name}`"), Some(&hint));
    Exit::InvalidInput
}

/// What users call a type.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Path => "path",
        Kind::Boolean => "boolean",
        Kind::Integer => "integer",
        Kind::Float => "number",
        Kind::TextList => "list of text",
        Kind::List => "list",
        Kind::Mapping => "mapping",
        Kind::Raw => "any",
    }
}

/// The default that the documentation of a parameter names, and the text without it.
fn default_of(parameter: &Parameter) -> (&'static str, Option<&'static str>) {
    let text = parameter.documentation;
    if parameter.default.is_some() {
        return (text, parameter.default);
    }
    let split = text.rsplit_once(" (default ");
    match split.and_then(|(text, rest)| Some((text, rest.strip_suffix(')')?))) {
        Some((text, default)) => (text, Some(default)),
        None => (text, text.strip_prefix("default ")),
    }
}

fn parameter_text(parameter: &Parameter) -> String {
    let (text, default) = default_of(parameter);
    let mut facts = vec![kind(parameter.kind).to_owned()];
    if parameter.required {
        facts.push("required".to_owned());
    }
    facts.extend(default.map(|default| format!("default {default}")));
    if !parameter.choices.is_empty() {
        facts.push(format!("one of {}", parameter.choices.join(", ")));
    }
    if !parameter.aliases.is_empty() {
        facts.push(format!("also {}", parameter.aliases.join(", ")));
    }
    if parameter.secret {
        facts.push("never shown".to_owned());
    }
    let name = styled(STRONG, parameter.name);
    format!("  {name}  {}\n      {text}", styled(FAINT, &format!("({})", facts.join("; "))))
}

fn text(spec: &ModuleSpec) -> String {
    let mut lines = vec![format!("{}  {}", styled(STRONG, spec.name), spec.documentation)];
    if !spec.aliases.is_empty() {
        lines.push(format!("also called {}", spec.aliases.join(", ")));
    }
    lines.push(where_it_runs(spec).to_owned());
    lines.extend(free_form(spec));
    lines.push(String::new());
    lines.push(styled(STRONG, "PARAMETERS"));
    lines.extend(spec.parameters().map(parameter_text));
    if spec.open {
        lines.push("  any other name is a value of its own".to_owned());
    }
    if spec.parameters().next().is_none() && !spec.open {
        lines.push("  none".to_owned());
    }
    for group in spec.mutually_exclusive {
        lines.push(format!("  at most one of {}", group.join(", ")));
    }
    for group in spec.required_one_of {
        lines.push(format!("  at least one of {}", group.join(", ")));
    }
    for rule in spec.required_if {
        let joined = rule.names.join(if rule.any { " or " } else { ", " });
        lines.push(format!("  {joined} where {} is {}", rule.name, rule.value));
    }
    if let Some(notes) = notes::find(spec.name) {
        lines.extend(notes_text(notes));
    }
    lines.join("\n")
}

fn where_it_runs(spec: &ModuleSpec) -> &'static str {
    match (spec.runs, spec.check) {
        (Runs::OnController, _) => "runs on the controller",
        (Runs::OnConnection, _) => "runs on the controller, over its connection to the host",
        (_, CheckMode::Full) => "check mode: says what would change",
        (_, CheckMode::Skips) => "check mode: can't know, and is skipped",
    }
}

fn free_form(spec: &ModuleSpec) -> Option<String> {
    match spec.free_form {
        FreeForm::No => None,
        FreeForm::Into(name) => {
            Some(format!("text without a name is `{name}`; known name=value words are taken out"))
        }
        FreeForm::Verbatim(name) => Some(format!("all text without a name is `{name}`")),
        FreeForm::AnyKey => Some("name=value words are values of their own".to_owned()),
    }
}

fn notes_text(notes: &Notes) -> Vec<String> {
    let mut lines = Vec::new();
    if !notes.returns.is_empty() {
        lines.push(format!("\n{}", styled(STRONG, "RETURNS")));
        lines.push(format!("  changed, failed, msg, {}", notes.returns.join(", ")));
    }
    if !notes.differs.is_empty() {
        lines.push(format!("\n{}", styled(STRONG, "DIFFERS FROM ANSIBLE")));
        lines.extend(notes.differs.iter().map(|line| format!("  {line}")));
    }
    if !notes.example.is_empty() {
        lines.push(format!("\n{}", styled(STRONG, "EXAMPLE")));
        lines.push(format!("  - {}", notes.example.replace('\n', "\n    ")));
    }
    lines
}

#[derive(Serialize)]
struct Listing {
    format: u32,
    modules: Vec<Module>,
}

#[derive(Serialize)]
struct Module {
    name: &'static str,
    aliases: &'static [&'static str],
    documentation: &'static str,
    runs_on_controller: bool,
    predicts_changes: bool,
    takes_any_name: bool,
    parameters: Vec<Described>,
    mutually_exclusive: &'static [&'static [&'static str]],
    required_one_of: &'static [&'static [&'static str]],
    returns: &'static [&'static str],
    differs_from_ansible: &'static [&'static str],
    example: &'static str,
}

#[derive(Serialize)]
struct Described {
    name: &'static str,
    aliases: &'static [&'static str],
    kind: &'static str,
    required: bool,
    default: Option<&'static str>,
    choices: &'static [&'static str],
    secret: bool,
    documentation: &'static str,
}

fn json(specs: &[&ModuleSpec]) {
    let modules = specs
        .iter()
        .map(|spec| {
            let notes = notes::find(spec.name);
            Module {
                name: spec.name,
                aliases: spec.aliases,
                documentation: spec.documentation,
                runs_on_controller: spec.runs == Runs::OnController,
                predicts_changes: spec.check == CheckMode::Full,
                takes_any_name: spec.open,
                parameters: spec.parameters().map(described).collect(),
                mutually_exclusive: spec.mutually_exclusive,
                required_one_of: spec.required_one_of,
                returns: notes.map_or(&[], |notes| notes.returns),
                differs_from_ansible: notes.map_or(&[], |notes| notes.differs),
                example: notes.map_or("", |notes| notes.example),
            }
        })
        .collect();
    let listing = Listing { format: FORMAT, modules };
    say!("{}", serde_json::to_string_pretty(&listing).unwrap_or_default());
}

fn described(parameter: &'static Parameter) -> Described {
    let (documentation, default) = default_of(parameter);
    Described {
        name: parameter.name,
        aliases: parameter.aliases,
        kind: kind(parameter.kind),
        required: parameter.required,
        default,
        choices: parameter.choices,
        secret: parameter.secret,
        documentation,
    }
}

#[cfg(test)]
mod tests;

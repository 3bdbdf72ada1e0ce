//! `xml`: looks into XML files and changes them.

mod change;
mod find;
mod form;
mod path;
mod tree;

use std::collections::BTreeMap;

use provision_protocol::{Diff, Object};
use serde_json::{Map, Value, json};

use super::edit::Edit;
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};
use change::Changes;
use find::{Found, Scope};
use path::Expression;
use tree::{Document, Id, Kind, ROOT, Reading};

/// Runs the module.
///
/// # Errors
/// When there is no file, it isn't XML, or the path leads nowhere.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(object);
    let namespaces = namespaces(given);
    let reading = Reading {
        drops_blanks: given.flag("pretty_print"),
        drops_data: given.flag("strip_cdata_tags"),
    };
    let edit = match given.text("path") {
        Some(path) => {
            let expanded = paths::expand(context, path);
            if !expanded.is_file() {
                let message = format!("The target XML source '{path}' does not exist.");
                return Err(Failure::new(message));
            }
            Some(Edit::open(object, false, context)?)
        }
        None => None,
    };
    let text = match &edit {
        Some(edit) => decode(edit.original.as_deref().unwrap_or_default())?,
        None => given.word("xmlstring").to_owned(),
    };
    let document = Document::parse(&text, reading)?;
    let xpath = given.text("xpath");
    let expression = xpath.map(path::parse).transpose()?;
    let actions = json!({
        "namespaces": namespaces, "state": given.word("state"), "xpath": xpath,
    });
    if let Some(expression) = &expression
        && let Some(seen) = look(given, &document, expression, &namespaces)?
    {
        let seen = seen.with("actions", actions);
        return Ok(match edit {
            Some(_) => seen,
            None => seen.with("xmlstring", document.write(given.flag("pretty_print"))),
        });
    }
    let mut changes = Changes { document: document.clone(), namespaces: &namespaces };
    match &expression {
        Some(expression) => changes.perform(given, expression, xpath.unwrap_or_default())?,
        None if given.flag("pretty_print") => {}
        None => return Err(Failure::new("Don't know what to do")),
    }
    let is_pretty = given.flag("pretty_print");
    let after = changes.document.write(is_pretty);
    let changed = match (&expression, is_pretty) {
        // Only the layout is asked for.
        (None, _) => after != text,
        (Some(_), _) => document.write(is_pretty) != after,
    };
    let Some(edit) = edit else {
        let mut outcome = Outcome::new(changed).with("actions", actions);
        if context.diff && changed {
            outcome.diff.push(Diff { before: text, after: after.clone(), ..Diff::default() });
        }
        return Ok(outcome.with("xmlstring", after));
    };
    let bytes = if changed { after.into_bytes() } else { text.into_bytes() };
    let edited = edit.finish(&bytes, changed, "", context)?;
    let mut outcome = edited.outcome.with("actions", actions);
    if let Some(backup) = edited.backup {
        outcome = outcome.with("backup_file", paths::text(&backup));
    }
    Ok(outcome)
}

/// The text of a file, by the encoding that its first line names.
fn decode(bytes: &[u8]) -> Result<String, Failure> {
    let head = bytes.get(..bytes.len().min(200)).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let line = head.split("?>").next().unwrap_or_default();
    let named = line.split_once("encoding=").and_then(|(_, rest)| {
        let quote = rest.chars().next()?;
        rest.get(1..)?.split(quote).next()
    });
    let name = named.filter(|_| line.contains("<?xml")).unwrap_or("utf-8");
    let text = encodings::decode(bytes, name)
        .map_err(|error| Failure::new(format!("Error while parsing document: {error}")))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn namespaces(given: Given<'_>) -> BTreeMap<String, String> {
    let all = given.0.get("namespaces").and_then(Value::as_object);
    let pair =
        |(prefix, meaning): (&String, &Value)| Some((prefix.clone(), meaning.as_str()?.to_owned()));
    all.into_iter().flatten().filter_map(pair).collect()
}

/// What is asked for without a change.
fn look(
    given: Given<'_>,
    document: &Document,
    expression: &Expression,
    namespaces: &BTreeMap<String, String>,
) -> Result<Option<Outcome>, Failure> {
    let scope = Scope { document, namespaces };
    let xpath = given.word("xpath");
    if given.flag("print_match") {
        let places: Vec<String> =
            scope.find(expression)?.iter().map(|found| place(document, found)).collect();
        let message = format!("selector '{xpath}' match: {places:?}");
        return Ok(Some(Outcome::new(false).with("msg", message).with("matches", places)));
    }
    if given.flag("count") {
        let count = scope.find(expression)?.len();
        let message = format!("found {count} nodes");
        return Ok(Some(Outcome::new(false).with("count", count).with("msg", message)));
    }
    let Some(content) = given.text("content") else { return Ok(None) };
    let found = scope.find(expression)?;
    let ids: Vec<Id> = found
        .iter()
        .filter_map(|found| match found {
            Found::Node(id) if document.is_element(*id) => Some(*id),
            _ => None,
        })
        .collect();
    if ids.is_empty() {
        return Err(unreferenced(xpath));
    }
    let one = |id: Id| {
        let (namespace, local) = document.expanded(id);
        let name = match namespace {
            Some(namespace) => format!("{{{namespace}}}{local}"),
            None => local.to_owned(),
        };
        let value = match content {
            "attribute" => document
                .attributes(id)
                .iter()
                .filter(|(name, _)| name != "xmlns" && !name.starts_with("xmlns:"))
                .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
                .collect::<Map<String, Value>>()
                .into(),
            _ => match document.leading_text(id) {
                text if text.is_empty() => Value::Null,
                text => text.into(),
            },
        };
        json!({ name: value })
    };
    let all: Vec<Value> = ids.into_iter().map(one).collect();
    Ok(Some(
        Outcome::new(false).with("msg", all.len()).with("count", all.len()).with("matches", all),
    ))
}

fn unreferenced(xpath: &str) -> Failure {
    Failure::new(format!("Xpath {xpath} does not reference a node!"))
}

/// The one path that leads to what was found.
fn place(document: &Document, found: &Found) -> String {
    let (mut at, end) = match found {
        Found::Node(id) => (*id, String::new()),
        Found::Attribute(id, name) => (*id, format!("/@{name}")),
    };
    let mut steps = Vec::new();
    while at != ROOT {
        let kind = |id: Id| match document.kind(id) {
            Kind::Element(name, _) => name.clone(),
            Kind::Comment(_) => "comment()".to_owned(),
            _ => "text()".to_owned(),
        };
        let name = kind(at);
        let parent = document.parent(at);
        let same: Vec<Id> =
            document.children(parent).iter().copied().filter(|id| kind(*id) == name).collect();
        let number = same.iter().position(|id| *id == at).unwrap_or(0) + 1;
        steps.push(if same.len() > 1 { format!("/{name}[{number}]") } else { format!("/{name}") });
        at = parent;
    }
    steps.reverse();
    format!("{}{end}", steps.concat())
}

#[cfg(test)]
mod tests;

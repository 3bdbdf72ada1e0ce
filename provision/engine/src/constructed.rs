//! What `plugin: constructed` asks for: expressions over the variables of each host become
//! variables and groups.

use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use provision_playbook::inventory::{Constructed, Inventory, KeyedGroup, safe_group_name};
use provision_template::{Value, text_of, to_boolean, to_json};
use serde_json::Value as Json;
use yaml::{Mapping, Node, NodeValue};

use crate::outside::Outside;
use crate::variables::View;
use crate::world::World;

/// Does what the files ask for, in order; answers what is wrong. `world` makes a world of the
/// inventory as it is.
pub fn apply(
    constructed: &[Constructed],
    inventory: &mut Inventory,
    world: &dyn Fn(&Inventory) -> World,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for one in constructed {
        let world = Arc::new(world(inventory));
        for name in &one.hosts {
            if let Err(diagnostic) = host(one, name, inventory, &world) {
                found.push(*diagnostic);
            }
        }
    }
    found
}

type Outcome<T> = Result<T, Box<Diagnostic>>;

fn host(
    one: &Constructed,
    name: &str,
    inventory: &mut Inventory,
    world: &Arc<World>,
) -> Outcome<()> {
    let variables = world.host_or_new(name);
    let mut view = View::of_host(world, &variables);
    for (variable, expression) in &one.compose {
        match evaluate(world, &view, expression) {
            Ok(value) => {
                let mut mapping = Mapping::default();
                let key = Node::string(expression.span, variable.as_str());
                mapping.entries.push((key, node_of(&to_json(&value), expression.span)));
                inventory.add_host(name, &[], &mapping);
                view.local.set_data(variable.as_str(), value);
            }
            Err(reason) if one.is_strict => {
                return wrong(
                    expression.span,
                    format!("could not set {variable} for host {name}: {reason}"),
                );
            }
            Err(_) => {}
        }
    }
    for (group, condition) in &one.groups {
        let group = safe_group_name(group);
        match evaluate(world, &view, condition) {
            Ok(value) if holds(&value) => join(inventory, name, &group, None, condition.span)?,
            Ok(_) => {}
            Err(reason) if one.is_strict => {
                return wrong(
                    condition.span,
                    format!("could not add host {name} to group {group}: {reason}"),
                );
            }
            Err(_) => {}
        }
    }
    for keyed in &one.keyed {
        match evaluate(world, &view, &keyed.key) {
            Ok(value) => {
                let parent = parent(world, &view, keyed, one.is_strict)?;
                for group in names(one, keyed, &value, name)? {
                    join(inventory, name, &group, parent.as_deref(), keyed.key.span)?;
                }
            }
            Err(reason) if one.is_strict => {
                return wrong(
                    keyed.key.span,
                    format!("could not generate group for host {name} from its entry: {reason}"),
                );
            }
            Err(_) => {}
        }
    }
    Ok(())
}

fn wrong<T>(span: Span, message: String) -> Outcome<T> {
    Err(Box::new(
        Diagnostic::error("inventory-constructed", message)
            .at(span, "this expression")
            .hint("without `strict: true` what can't be evaluated is left out"),
    ))
}

fn evaluate(world: &Arc<World>, view: &View, node: &Node) -> Result<Value, String> {
    let outside = Outside::of(view);
    match &node.value {
        NodeValue::String(text) => world
            .engine
            .evaluate_expression(text, Some(node.span), view, &outside)
            .map_err(|error| error.message().to_string()),
        _ => Ok(provision_template::value_of_node(node)),
    }
}

/// Whether a condition holds, as `{% if %}` asks.
fn holds(value: &Value) -> bool {
    match value.as_str() {
        Some(_) => value.is_true(),
        None => to_boolean(value).unwrap_or_else(|| value.is_true()),
    }
}

fn parent(
    world: &Arc<World>,
    view: &View,
    keyed: &KeyedGroup,
    is_strict: bool,
) -> Outcome<Option<String>> {
    let Some(node) = &keyed.parent else { return Ok(None) };
    let text = node.as_str().unwrap_or_default();
    match world.engine.render_text(text, view, &Outside::of(view)) {
        Ok(value) => Ok(Some(safe_group_name(&text_of(&value)))),
        Err(error) if is_strict => {
            wrong(node.span, format!("could not evaluate parent_group: {}", error.message()))
        }
        Err(_) => Ok(None),
    }
}

/// The groups that a value names.
fn names(one: &Constructed, keyed: &KeyedGroup, value: &Value, host: &str) -> Outcome<Vec<String>> {
    let separator = keyed.separator.as_str();
    let default = keyed.default.as_deref();
    let bare: Vec<String> = match to_json(value) {
        Json::String(text) if text.is_empty() => default.map(str::to_owned).into_iter().collect(),
        Json::String(text) => vec![text],
        Json::Array(items) => items
            .iter()
            .map(|item| match (item, default) {
                (Json::String(text), Some(default)) if text.is_empty() => default.to_owned(),
                _ => text_of(&provision_template::from_json(item)),
            })
            .collect(),
        Json::Object(entries) => entries
            .iter()
            .map(|(key, value)| {
                let text = text_of(&provision_template::from_json(value));
                match (text.is_empty(), default) {
                    (true, Some(default)) => format!("{key}{separator}{default}"),
                    (true, None) if !keyed.trails_with_separator => key.clone(),
                    _ => format!("{key}{separator}{text}"),
                }
            })
            .collect(),
        // Nothing is no name; a number isn't one either.
        Json::Null | Json::Bool(false) => Vec::new(),
        other => {
            return wrong(
                keyed.key.span,
                format!(
                    "Invalid group name format, expected a string or a list of them or \
                     dictionary, got: {other} (host {host})"
                ),
            );
        }
    };
    if bare.is_empty() && one.is_strict && default.is_none_or(str::is_empty) {
        return wrong(
            keyed.key.span,
            format!(
                "No key or key resulted empty for {} in host {host}, invalid entry",
                keyed.key.as_str().unwrap_or_default()
            ),
        );
    }
    let leads = !keyed.prefix.is_empty() || one.leads_with_separator;
    let joint = if leads { separator } else { "" };
    let full = |name: &String| safe_group_name(&format!("{}{joint}{name}", keyed.prefix));
    Ok(bare.iter().map(full).collect())
}

fn join(
    inventory: &mut Inventory,
    host: &str,
    group: &str,
    parent: Option<&str>,
    span: Span,
) -> Outcome<()> {
    let parents: Vec<&str> = parent.into_iter().collect();
    match inventory.add_to_group(host, group, &parents) {
        Ok(_) => Ok(()),
        Err(_) => wrong(span, format!("the group {group} would be below itself")),
    }
}

/// A value as a file would give it; no template is looked for in it.
fn node_of(value: &Json, span: Span) -> Node {
    let mut node = Node::new(
        span,
        match value {
            Json::Null => NodeValue::Null,
            Json::Bool(value) => NodeValue::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => NodeValue::Integer(whole),
                (None, Some(real)) => NodeValue::Float(real),
                (None, None) => NodeValue::Null,
            },
            Json::String(text) => NodeValue::String(text.as_str().into()),
            Json::Array(items) => {
                NodeValue::Sequence(items.iter().map(|item| node_of(item, span)).collect())
            }
            Json::Object(entries) => NodeValue::Mapping(Mapping {
                entries: entries
                    .iter()
                    .map(|(key, value)| (Node::string(span, key.as_str()), node_of(value, span)))
                    .collect(),
            }),
        },
    );
    // Data is never a template; texts that can't be one need no mark.
    if node.as_str().is_some_and(provision_template::text_has_template) {
        node.tag = Some("!unsafe".into());
    }
    node
}

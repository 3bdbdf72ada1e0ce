//! An inventory as a static file: hosts, groups and their own variables, wherever they came from.
//!
//! What stands in `group_vars` and `host_vars` stays there. Text that is data stays data: YAML marks
//! it, and INI, which can't, refuses it. A written file read again is the same inventory.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;
use yaml::{Mapping, Node, NodeValue, key_text};

use super::{ALL, Inventory, UNGROUPED};

/// Why an inventory can't be written in this format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// INI has no tags.
    #[error("write `{variable}` of `{entity}` as INI: {reason}")]
    NotInIni {
        /// The variable.
        variable: String,
        /// Whose it is.
        entity: String,
        /// Why not.
        reason: &'static str,
    },
}

impl Inventory {
    /// The chosen hosts as YAML.
    #[must_use]
    pub fn to_yaml(&self, chosen: &BTreeSet<Arc<str>>) -> String {
        let mut text = String::new();
        for group in self.groups() {
            let hosts: Vec<&Arc<str>> = self.members(&group.name, chosen);
            let children = self.below(&group.name);
            let _ = writeln!(text, "{}:", quoted(&group.name));
            let is_all = &*group.name == ALL;
            if !hosts.is_empty() || is_all {
                text.push_str("  hosts:\n");
            }
            for host in hosts {
                let _ = writeln!(text, "    {}:", quoted(host));
                if is_all && let Some(host) = self.hosts.get(host) {
                    variables(&mut text, "      ", &host.variables);
                }
            }
            if !children.is_empty() {
                text.push_str("  children:\n");
            }
            for child in children {
                let _ = writeln!(text, "    {}:", quoted(child));
            }
            let priority = (group.priority != 1).then_some(group.priority);
            if !group.variables.is_empty() || priority.is_some() {
                text.push_str("  vars:\n");
                variables(&mut text, "    ", &group.variables);
            }
            if let Some(priority) = priority {
                let _ = writeln!(text, "    \"ansible_group_priority\": {priority}");
            }
        }
        text
    }

    /// The chosen hosts as INI.
    ///
    /// # Errors
    /// When a variable can't be written so that it reads the same.
    pub fn to_ini(&self, chosen: &BTreeSet<Arc<str>>) -> Result<String, ExportError> {
        let mut text = String::new();
        for host in chosen.iter().filter_map(|name| self.hosts.get(name)) {
            // A colon in a name would be taken for a port.
            text.push_str(&host.name);
            for (key, value) in host.variables.iter() {
                let (key, value) = ini_variable(&host.name, key, value)?;
                let _ = write!(text, " {key}={}", in_quotes(&value));
            }
            text.push('\n');
        }
        for group in self.groups().filter(|group| !matches!(&*group.name, ALL | UNGROUPED)) {
            let _ = writeln!(text, "\n[{}]", group.name);
            for host in self.members(&group.name, chosen) {
                let _ = writeln!(text, "{host}");
            }
        }
        for group in self.groups() {
            let children = self.below(&group.name);
            if &*group.name != ALL && !children.is_empty() {
                let _ = writeln!(text, "\n[{}:children]", group.name);
                children.iter().for_each(|child| text.extend([child, "\n"]));
            }
            let priority = (group.priority != 1).then_some(group.priority);
            if !group.variables.is_empty() || priority.is_some() {
                let _ = writeln!(text, "\n[{}:vars]", group.name);
            }
            for (key, value) in group.variables.iter() {
                let (key, value) = ini_variable(&group.name, key, value)?;
                let _ = writeln!(text, "{key}={value}");
            }
            if let Some(priority) = priority {
                let _ = writeln!(text, "ansible_group_priority={priority}");
            }
        }
        Ok(text)
    }

    /// Chosen hosts that a group names; `all` names every one.
    fn members(&self, group: &str, chosen: &BTreeSet<Arc<str>>) -> Vec<&Arc<str>> {
        let is_chosen = |host: &&Arc<str>| chosen.contains(*host);
        match group {
            ALL => self.hosts.keys().filter(is_chosen).collect(),
            UNGROUPED => Vec::new(),
            _ => self
                .groups
                .get(group)
                .into_iter()
                .flat_map(|g| &g.hosts)
                .filter(is_chosen)
                .collect(),
        }
    }

    /// Groups that are below a group because somebody said so.
    fn below(&self, group: &str) -> Vec<&str> {
        let children = self.group(group).into_iter().flat_map(|group| &group.children);
        let is_said = |child: &&Arc<str>| {
            let other = |parent: &Arc<str>| &**parent != ALL;
            let elsewhere = self.group(child).is_some_and(|child| child.parents.iter().any(other));
            &***child != UNGROUPED && (group != ALL || !elsewhere)
        };
        children.filter(is_said).map(|child| &**child).collect()
    }
}

fn variables(text: &mut String, indent: &str, mapping: &Mapping) {
    for (key, value) in mapping.iter() {
        let _ = writeln!(text, "{indent}{}: {}", quoted(&key_text(key)), flow(value));
    }
}

/// A value on one line of YAML.
fn flow(node: &Node) -> String {
    let tag = node.tag.as_ref().map(|tag| format!("{tag} ")).unwrap_or_default();
    let text = match &node.value {
        NodeValue::String(text) => quoted(text),
        NodeValue::BigInteger(digits) => digits.to_string(),
        NodeValue::Float(value) if value.is_nan() => ".nan".to_owned(),
        NodeValue::Float(value) if value.is_infinite() => match value.is_sign_negative() {
            true => "-.inf".to_owned(),
            false => ".inf".to_owned(),
        },
        NodeValue::Float(value) => float(*value),
        NodeValue::Sequence(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        NodeValue::Mapping(mapping) => {
            let entries =
                mapping.iter().map(|(key, value)| format!("{}: {}", flow(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Integer(_) => {
            yaml::to_json(node).to_string()
        }
    };
    match node.value {
        // The parts of data carry the tag, too.
        NodeValue::Sequence(_) | NodeValue::Mapping(_) if node.is_unsafe() => text,
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Integer(_) if node.is_unsafe() => text,
        NodeValue::Float(_) | NodeValue::BigInteger(_) if node.is_unsafe() => text,
        _ => format!("{tag}{text}"),
    }
}

/// A number is one in YAML 1.1 if it has a point, and its exponent a sign.
fn float(value: f64) -> String {
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// Text in the double quotes that JSON and YAML share, with nothing in it that either refuses.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(safe, "\\u{:04x}", u32::from(character));
            }
            _ => safe.push(character),
        }
    }
    safe
}

/// A variable as INI: a Python literal that is on one line.
fn ini_variable(entity: &str, key: &Node, value: &Node) -> Result<(String, String), ExportError> {
    let variable = key_text(key);
    let refuse = |reason| ExportError::NotInIni {
        variable: variable.clone(),
        entity: entity.to_owned(),
        reason,
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if variable.is_empty() || !variable.chars().all(is_word) {
        return Err(refuse("its name is no word"));
    }
    let literal = python(value).map_err(refuse)?;
    let word = value.as_str().filter(|text| is_word_of_ini(text));
    Ok((variable, word.map_or(literal, str::to_owned)))
}

/// The Python literal of a value.
fn python(node: &Node) -> Result<String, &'static str> {
    if node.is_vault() {
        return Err("it is encrypted");
    }
    if node.is_unsafe() && node.as_str().is_some_and(provision_template::text_has_template) {
        return Err("it is data that looks like a template");
    }
    Ok(match &node.value {
        NodeValue::Null => "None".to_owned(),
        NodeValue::Bool(true) => "True".to_owned(),
        NodeValue::Bool(false) => "False".to_owned(),
        NodeValue::Integer(value) => value.to_string(),
        NodeValue::BigInteger(digits) => digits.to_string(),
        NodeValue::Float(value) if !value.is_finite() => return Err("it is no finite number"),
        NodeValue::Float(value) => format!("{value:?}"),
        NodeValue::String(text) => python_text(text),
        NodeValue::Sequence(items) => {
            let items: Vec<String> = items.iter().map(python).collect::<Result<_, _>>()?;
            format!("[{}]", items.join(", "))
        }
        NodeValue::Mapping(mapping) => {
            let entry =
                |(key, value): (&Node, &Node)| Ok(format!("{}: {}", python(key)?, python(value)?));
            let entries: Vec<String> =
                mapping.iter().map(entry).collect::<Result<_, &'static str>>()?;
            format!("{{{}}}", entries.join(", "))
        }
    })
}

/// Whether a text is no literal and needs no quotes: Ansible keeps it as it is.
fn is_word_of_ini(text: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '~' | '@' | ':' | '-');
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '~');
    let is_name = matches!(text, "True" | "False" | "None");
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    is_address || begins_well && !is_name && text.chars().all(is_plain)
}

/// Text in quotes, with escapes for all that is not printable ASCII.
fn python_text(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            ' '..='~' => literal.push(character),
            _ => {
                let _ = write!(literal, "\\U{:08x}", u32::from(character));
            }
        }
    }
    literal.push('"');
    literal
}

/// A literal as one word of a host line.
fn in_quotes(literal: &str) -> String {
    let is_plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '~' | '@' | ':' | '-' | '+')
    };
    match literal.chars().all(is_plain) && !literal.is_empty() {
        true => literal.to_owned(),
        false => format!("'{}'", literal.replace('\'', "'\"'\"'")),
    }
}

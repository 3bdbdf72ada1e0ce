//! Arguments to canonical names and types, as Ansible's `AnsibleModule` does it.

use serde_json::{Number, Value};

use super::{Kind, ModuleSpec, Parameter, RequiredIf};
use crate::Object;

/// Why arguments don't fit a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// No such parameter.
    #[error("Unsupported parameters for ({module}) module: {name}")]
    Unknown {
        /// Module.
        module: &'static str,
        /// As given.
        name: String,
        /// A likely intention.
        suggestion: Option<&'static str>,
    },
    /// A parameter is missing.
    #[error("missing required arguments: {name}")]
    Missing {
        /// Module.
        module: &'static str,
        /// Canonical name.
        name: &'static str,
    },
    /// A value has another type.
    #[error("parameter `{name}` of `{module}` takes {expected}, not {given}")]
    Type {
        /// Module.
        module: &'static str,
        /// Canonical name.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What was given, shortened.
        given: String,
    },
    /// A value is not among the choices.
    #[error("value of {name} must be one of: {}, got: {given}", choices.join(", "))]
    Choice {
        /// Module.
        module: &'static str,
        /// Canonical name.
        name: &'static str,
        /// What it takes.
        choices: &'static [&'static str],
        /// What was given.
        given: String,
    },
    /// Two parameters that exclude each other.
    #[error("parameters are mutually exclusive: {}", names.join("|"))]
    Exclusive {
        /// Module.
        module: &'static str,
        /// The group.
        names: &'static [&'static str],
    },
    /// A value of another parameter asks for it.
    #[error("{} is {} but {} of the following are missing: {}", rule.name, rule.value,
            if rule.any { "any" } else { "all" }, missing.join(", "))]
    RequiredIf {
        /// Module.
        module: &'static str,
        /// What asks for it.
        rule: RequiredIf,
        /// What isn't given.
        missing: Vec<&'static str>,
    },
    /// None of a group.
    #[error("one of the following is required: {}", names.join(", "))]
    OneOf {
        /// Module.
        module: &'static str,
        /// The group.
        names: &'static [&'static str],
    },
}

impl ArgumentError {
    /// Whether the value of this parameter is what is wrong.
    fn is_about(&self, parameter: &str) -> bool {
        match self {
            ArgumentError::Type { name, .. } | ArgumentError::Choice { name, .. } => {
                *name == parameter
            }
            ArgumentError::Unknown { .. }
            | ArgumentError::Missing { .. }
            | ArgumentError::Exclusive { .. }
            | ArgumentError::RequiredIf { .. }
            | ArgumentError::OneOf { .. } => false,
        }
    }
}

/// Checks evaluated arguments and gives them canonical names and types. Null values are left
/// out, as Ansible's default is null. Names with a leading `_` are internal and pass through.
///
/// # Errors
/// All that is wrong, not only the first.
pub fn normalise(
    spec: &'static ModuleSpec,
    arguments: Object,
) -> Result<Object, Vec<ArgumentError>> {
    let mut errors = Vec::new();
    let mut normal = Object::new();
    for (name, value) in arguments {
        let Some(parameter) = spec.parameter(&name) else {
            if spec.open || name.starts_with('_') {
                normal.insert(name, value);
            } else {
                let suggestion = nearest(spec, &name);
                errors.push(ArgumentError::Unknown { module: spec.name, name, suggestion });
            }
            continue;
        };
        if value.is_null() {
            continue;
        }
        match convert(spec, parameter, value) {
            Ok(value) => {
                normal.insert(parameter.name.to_owned(), value);
            }
            Err(error) => errors.push(error),
        }
    }
    for parameter in spec.parameters() {
        if parameter.required && !normal.contains_key(parameter.name) && errors.is_empty() {
            errors.push(ArgumentError::Missing { module: spec.name, name: parameter.name });
        }
    }
    for names in spec.mutually_exclusive {
        if names.iter().filter(|name| normal.contains_key(**name)).count() > 1 {
            errors.push(ArgumentError::Exclusive { module: spec.name, names });
        }
    }
    for names in spec.required_one_of {
        // One that was given a wrong value was given, though.
        let is_given = |name: &&str| {
            normal.contains_key(*name) || errors.iter().any(|error| error.is_about(name))
        };
        if !names.iter().any(is_given) {
            errors.push(ArgumentError::OneOf { module: spec.name, names });
        }
    }
    if errors.is_empty() {
        fill_defaults(spec, &mut normal, &mut errors);
        errors.extend(spec.required_if.iter().filter_map(|rule| unmet(spec, rule, &normal)));
    }
    if errors.is_empty() { Ok(normal) } else { Err(errors) }
}

fn fill_defaults(spec: &'static ModuleSpec, normal: &mut Object, errors: &mut Vec<ArgumentError>) {
    for parameter in spec.parameters() {
        if normal.contains_key(parameter.name) {
            continue;
        }
        let Some(default) = parameter.default else { continue };
        match convert(spec, parameter, Value::from(default)) {
            Ok(value) => {
                normal.insert(parameter.name.to_owned(), value);
            }
            Err(error) => errors.push(error),
        }
    }
}

fn unmet(spec: &'static ModuleSpec, rule: &RequiredIf, normal: &Object) -> Option<ArgumentError> {
    let holds = match normal.get(rule.name)? {
        Value::Bool(flag) => boolean(&Value::from(rule.value)) == Some(Value::Bool(*flag)),
        value => text(value) == Some(Value::from(rule.value)),
    };
    let missing: Vec<&'static str> =
        rule.names.iter().copied().filter(|name| !normal.contains_key(*name)).collect();
    let is_met = missing.is_empty() || (rule.any && missing.len() < rule.names.len());
    (holds && !is_met).then_some(ArgumentError::RequiredIf {
        module: spec.name,
        rule: *rule,
        missing,
    })
}

fn nearest(spec: &'static ModuleSpec, name: &str) -> Option<&'static str> {
    spec.parameters()
        .map(|parameter| (strsim::jaro_winkler(name, parameter.name), parameter.name))
        .filter(|(similarity, _)| *similarity > 0.82)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

fn convert(
    spec: &'static ModuleSpec,
    parameter: &'static Parameter,
    value: Value,
) -> Result<Value, ArgumentError> {
    let wrong = |expected: &'static str, value: &Value| ArgumentError::Type {
        module: spec.name,
        name: parameter.name,
        expected,
        given: shorten(&value.to_string()),
    };
    let converted = match parameter.kind {
        Kind::Raw => value,
        Kind::Text | Kind::Path => text(&value).ok_or_else(|| wrong("text", &value))?,
        Kind::Boolean => boolean(&value).ok_or_else(|| wrong("a boolean", &value))?,
        Kind::Integer => integer(&value).ok_or_else(|| wrong("an integer", &value))?,
        Kind::Float => float(&value).ok_or_else(|| wrong("a number", &value))?,
        Kind::Mapping => mapping(value.clone()).ok_or_else(|| wrong("a mapping", &value))?,
        Kind::List => list(value),
        Kind::TextList => match list(value.clone()) {
            Value::Array(items) => {
                let items: Option<Vec<Value>> = items.iter().map(text).collect();
                Value::Array(items.ok_or_else(|| wrong("a list of text", &value))?)
            }
            other => other,
        },
    };
    check_choices(spec, parameter, converted)
}

fn check_choices(
    spec: &'static ModuleSpec,
    parameter: &'static Parameter,
    value: Value,
) -> Result<Value, ArgumentError> {
    if parameter.choices.is_empty() {
        return Ok(value);
    }
    let allowed = |item: &Value| match item {
        Value::String(text) => parameter.choices.contains(&text.as_str()),
        // `state: yes`-like slips are text choices that YAML turned into booleans.
        Value::Bool(true) => parameter.choices.contains(&"yes"),
        Value::Bool(false) => parameter.choices.contains(&"no"),
        _ => true,
    };
    let bad = match &value {
        Value::Array(items) => items.iter().find(|item| !allowed(item)),
        item => (!allowed(item)).then_some(item),
    };
    match bad {
        None => Ok(value),
        Some(item) => Err(ArgumentError::Choice {
            module: spec.name,
            name: parameter.name,
            choices: parameter.choices,
            given: shorten(item.as_str().unwrap_or(&item.to_string())),
        }),
    }
}

fn text(value: &Value) -> Option<Value> {
    match value {
        Value::String(_) => Some(value.clone()),
        Value::Bool(true) => Some("True".into()),
        Value::Bool(false) => Some("False".into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Null => None,
        // Ansible converts containers with Python's repr; JSON is the nearest stable form.
        Value::Array(_) | Value::Object(_) => Some(value.to_string().into()),
    }
}

/// What Ansible's `boolean()` accepts.
fn boolean(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) => Some(value.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true.into()),
            Some(0.0) => Some(false.into()),
            _ => None,
        },
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true.into()),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false.into()),
            _ => None,
        },
        _ => None,
    }
}

fn integer(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(value.clone()),
        Value::Number(number) => {
            let number = number.as_f64()?;
            let whole = format!("{number:.0}").parse::<i64>().ok()?;
            (number.fract() == 0.0).then(|| whole.into())
        }
        Value::String(text) => text.trim().parse::<i64>().ok().map(Value::from),
        Value::Bool(value) => Some(i64::from(*value).into()),
        _ => None,
    }
}

fn float(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => {
            Number::from_f64(text.trim().parse::<f64>().ok()?).map(Value::Number)
        }
        _ => None,
    }
}

fn list(value: Value) -> Value {
    match value {
        Value::Array(_) => value,
        Value::String(text) => {
            text.split(',').map(|item| Value::from(item.trim())).collect::<Vec<_>>().into()
        }
        other => Value::Array(vec![other]),
    }
}

/// A mapping, a JSON object in text, or `k=v` pairs separated by commas or blanks.
fn mapping(value: Value) -> Option<Value> {
    let text = match value {
        Value::Object(_) => return Some(value),
        Value::String(text) => text,
        _ => return None,
    };
    let trimmed = text.trim();
    if trimmed.starts_with('{') {
        return serde_json::from_str::<Object>(trimmed).ok().map(Value::Object);
    }
    let pairs: Option<Object> = trimmed
        .split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| word.split_once('=').map(|(key, value)| (key.to_owned(), value.into())))
        .collect();
    pairs.map(Value::Object)
}

fn shorten(text: &str) -> String {
    const SHOWN_CHARACTERS: usize = 60;
    if text.chars().count() <= SHOWN_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARACTERS).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ArgumentError, normalise};
    use crate::modules::find;

    fn errors(module: &str, arguments: serde_json::Value) -> Vec<ArgumentError> {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        normalise(find(module).unwrap(), arguments).unwrap_err()
    }

    #[test]
    fn a_wrong_value_counts_as_given() {
        let found = errors("service", json!({"name": "x", "state": "bouncing"}));
        assert!(matches!(found[..], [ArgumentError::Choice { name: "state", .. }]), "{found:?}");
        let found = errors("service", json!({"name": "x"}));
        assert!(matches!(found[..], [ArgumentError::OneOf { .. }]), "{found:?}");
    }
}

//! `validate_argument_spec`: values against a role's argument specification, as Ansible's
//! `ArgumentSpecValidator` checks them. Conditions between options (`required_if` and its like) are
//! not checked.

use provision_protocol::Object;
use serde_json::Value as Json;

/// Deepest nesting of options in options.
const DEPTH_LIMIT: usize = 16;
/// What Ansible takes for a boolean.
const BOOLEANS: &[&str] =
    &["y", "yes", "on", "1", "true", "t", "1.0", "n", "no", "off", "0", "false", "f", "0.0"];

/// What is wrong with the values, in Ansible's words; nothing if all is well.
#[must_use]
pub(super) fn errors(specification: &Object, values: &Object) -> Vec<String> {
    let mut errors = Vec::new();
    check(specification, values, &[], &mut errors);
    errors
}

fn check(specification: &Object, values: &Object, path: &[&str], errors: &mut Vec<String>) {
    let place = match path.is_empty() {
        true => String::new(),
        false => format!(" found in {}", path.join(" -> ")),
    };
    let mut unknown: Vec<&str> = values
        .keys()
        .map(String::as_str)
        .filter(|name| !specification.iter().any(|(known, option)| is_named(name, known, option)))
        .collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        let mut known: Vec<&str> = specification.keys().map(String::as_str).collect();
        known.sort_unstable();
        errors.push(format!(
            "{}{place}. Supported parameters include: {}.",
            unknown.join(", "),
            known.join(", ")
        ));
    }
    let mut missing: Vec<&str> = specification
        .iter()
        .filter(|(name, option)| {
            is_set(option, "required") && given(values, name, option).is_none()
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        missing.sort_unstable();
        errors.push(format!("missing required arguments: {}{place}", missing.join(", ")));
    }
    for (name, option) in specification {
        let Some(value) = given(values, name, option).or_else(|| option.get("default")) else {
            continue;
        };
        if value.is_null() && !is_set(option, "required") {
            continue;
        }
        check_value(name, option, value, path, errors);
    }
}

fn is_named(name: &str, known: &str, option: &Json) -> bool {
    let mut aliases = option.get("aliases").and_then(Json::as_array).into_iter().flatten();
    name == known || aliases.any(|alias| alias.as_str() == Some(name))
}

fn given<'a>(values: &'a Object, known: &str, option: &Json) -> Option<&'a Json> {
    values.iter().find(|(name, _)| is_named(name, known, option)).map(|(_, value)| value)
}

fn is_set(option: &Json, key: &str) -> bool {
    option.get(key).is_some_and(|value| match value {
        Json::Bool(value) => *value,
        Json::String(text) => matches!(text.as_str(), "yes" | "true" | "on" | "True"),
        _ => false,
    })
}

fn check_value(name: &str, option: &Json, value: &Json, path: &[&str], errors: &mut Vec<String>) {
    let wanted = option.get("type").and_then(Json::as_str).unwrap_or("str");
    let value = match converted(value, wanted) {
        Ok(value) => value,
        Err(why) => {
            errors.push(format!(
                "argument '{name}' is of type {} and we were unable to convert to {wanted}: {why}",
                type_of(value)
            ));
            return;
        }
    };
    if let (Some(wanted), Json::Array(items)) =
        (option.get("elements").and_then(Json::as_str), &value)
    {
        for item in items {
            if let Err(why) = converted(item, wanted) {
                errors.push(format!(
                    "Elements value for option '{name}' is of type {} and we were unable to \
                     convert to {wanted}: {why}",
                    type_of(item)
                ));
            }
        }
    }
    check_choices(name, option, &value, errors);
    let Some(inner) = option.get("options").and_then(Json::as_object) else { return };
    if path.len() >= DEPTH_LIMIT {
        errors.push(format!("the specification of '{name}' is nested too deeply"));
        return;
    }
    let mut path = path.to_vec();
    path.push(name);
    match &value {
        Json::Object(value) => check(inner, value, &path, errors),
        Json::Array(items) => {
            for item in items.iter().filter_map(Json::as_object) {
                check(inner, item, &path, errors);
            }
        }
        _ => {}
    }
}

fn check_choices(name: &str, option: &Json, value: &Json, errors: &mut Vec<String>) {
    let choices: Vec<String> = match option.get("choices") {
        Some(Json::Array(choices)) => choices.iter().map(text_of).collect(),
        Some(Json::Object(choices)) => choices.keys().cloned().collect(),
        _ => return,
    };
    if choices.is_empty() {
        return;
    }
    let listed = choices.join(", ");
    if let Json::Array(items) = value {
        let other: Vec<String> =
            items.iter().map(text_of).filter(|item| !choices.contains(item)).collect();
        if !other.is_empty() {
            errors.push(format!(
                "value of {name} must be one or more of: {listed}. Got no match for: {}",
                other.join(", ")
            ));
        }
    } else if !choices.contains(&text_of(value)) {
        errors.push(format!("value of {name} must be one of: {listed}, got: {}", text_of(value)));
    }
}

/// A value as this type, or why it can't be.
fn converted(value: &Json, wanted: &str) -> Result<Json, String> {
    let cannot =
        |article: &str| Err(format!("{} cannot be converted to {article}", type_of(value)));
    match (wanted, value) {
        ("bool", Json::Bool(_))
        | ("list", Json::Array(_))
        | ("dict", Json::Object(_))
        | ("float", Json::Number(_)) => Ok(value.clone()),
        ("bool", Json::String(_) | Json::Number(_)) => {
            let text = text_of(value).to_lowercase();
            match BOOLEANS.iter().position(|known| *known == text) {
                Some(index) => Ok(Json::Bool(index < BOOLEANS.len() / 2)),
                None => Err(format!("The value '{}' is not a valid boolean.", text_of(value))),
            }
        }
        ("bool", _) => cannot("a bool"),
        ("int", Json::Number(number)) if number.is_i64() || number.is_u64() => Ok(value.clone()),
        ("int", Json::String(text)) => match text.trim().parse::<i64>() {
            Ok(number) => Ok(number.into()),
            Err(_) => cannot("an int"),
        },
        ("int", Json::Number(number)) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 => Ok(value.clone()),
            _ => cannot("an int"),
        },
        ("int", _) => cannot("an int"),
        ("float", Json::String(text)) if text.trim().parse::<f64>().is_ok() => Ok(value.clone()),
        ("float", _) => cannot("a float"),
        ("list", Json::String(text)) => {
            Ok(Json::Array(text.split(',').map(|part| part.trim().into()).collect()))
        }
        ("list", Json::Number(_)) => Ok(Json::Array(vec![text_of(value).into()])),
        ("list", _) => cannot("a list"),
        ("dict", Json::String(text)) => dictionary(text),
        ("dict", _) => cannot("a dict"),
        ("str", Json::Array(_) | Json::Object(_) | Json::Null) | ("raw" | "any", _) => {
            Ok(value.clone())
        }
        ("str" | "path", Json::Bool(_) | Json::Number(_)) => Ok(text_of(value).into()),
        _ => Ok(value.clone()),
    }
}

/// A dictionary as JSON or as `k=v` pairs.
fn dictionary(text: &str) -> Result<Json, String> {
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str::<Json>(text) {
            Ok(value @ Json::Object(_)) => Ok(value),
            _ => Err("unable to evaluate string as dictionary".to_owned()),
        };
    }
    let pairs = text.split([',', ' ']).map(str::trim).filter(|pair| !pair.is_empty());
    let pairs: Option<Object> = pairs
        .map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.into())))
        .collect();
    match pairs {
        Some(pairs) if !pairs.is_empty() => Ok(Json::Object(pairs)),
        _ => Err("dictionary requested, could not parse JSON or key=value".to_owned()),
    }
}

fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "<class 'NoneType'>",
        Json::Bool(_) => "<class 'bool'>",
        Json::Number(number) if number.is_f64() => "<class 'float'>",
        Json::Number(_) => "<class 'int'>",
        Json::String(_) => "<class 'str'>",
        Json::Array(_) => "<class 'list'>",
        Json::Object(_) => "<class 'dict'>",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(specification: Json, values: Json) -> Vec<String> {
        errors(specification.as_object().unwrap(), values.as_object().unwrap())
    }

    #[test]
    fn good_values_pass() {
        let specification = json!({
            "port": {"type": "int", "required": true},
            "on": {"type": "bool", "default": "yes"},
            "names": {"type": "list", "elements": "str", "choices": ["a", "b"]},
            "users": {"type": "list", "elements": "dict", "options": {"name": {"required": true}}},
            "path": {"type": "path"}, "text": {}, "map": {"type": "dict"}, "any": {"type": "raw"},
            "level": {"choices": ["1", "2"]},
        });
        let values = json!({
            "port": "8080", "on": "off", "names": "a,b", "users": [{"name": "x"}], "path": "/x",
            "text": 5, "map": "a=1 b=2", "any": [1], "level": 2,
        });
        assert_eq!(found(specification.clone(), values), Vec::<String>::new());
        assert_eq!(found(specification, json!({"port": 1, "text": null})), Vec::<String>::new());
    }

    /// As ansible-core 2.18 says it.
    #[test]
    fn each_fault_has_its_words() {
        for (option, value, expected) in [
            (
                json!({"type": "int"}),
                json!("x"),
                "argument 'a' is of type <class 'str'> and we were unable to convert to int: \
                 <class 'str'> cannot be converted to an int",
            ),
            (
                json!({"type": "bool"}),
                json!("maybe"),
                "argument 'a' is of type <class 'str'> and we were unable to convert to bool: The \
                 value 'maybe' is not a valid boolean.",
            ),
            (
                json!({"type": "list"}),
                json!({"x": 1}),
                "argument 'a' is of type <class 'dict'> and we were unable to convert to list: \
                 <class 'dict'> cannot be converted to a list",
            ),
            (
                json!({"type": "dict"}),
                json!("plain"),
                "argument 'a' is of type <class 'str'> and we were unable to convert to dict: \
                 dictionary requested, could not parse JSON or key=value",
            ),
            (
                json!({"type": "list", "elements": "int"}),
                json!(["1", "x"]),
                "Elements value for option 'a' is of type <class 'str'> and we were unable to \
                 convert to int: <class 'str'> cannot be converted to an int",
            ),
            (json!({"choices": ["x", "y"]}), json!("z"), "value of a must be one of: x, y, got: z"),
            (
                json!({"type": "list", "choices": ["x"]}),
                json!(["x", "z"]),
                "value of a must be one or more of: x. Got no match for: z",
            ),
            (
                json!({"type": "dict", "options": {"b": {"required": true}, "c": {}}}),
                json!({"d": 1}),
                "d found in a. Supported parameters include: b, c.",
            ),
        ] {
            let errors = found(json!({ "a": option }), json!({ "a": value }));
            assert_eq!(errors.first().map(String::as_str), Some(expected), "{errors:?}");
        }
        let required = json!({"b": {"required": true}, "a": {"required": true, "aliases": ["o"]}});
        assert_eq!(found(required.clone(), json!({})), ["missing required arguments: a, b"]);
        assert_eq!(found(required, json!({"o": "x"})), ["missing required arguments: b"]);
    }
}

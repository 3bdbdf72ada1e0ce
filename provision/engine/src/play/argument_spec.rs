//! `validate_argument_spec`: whether arguments are what a role's specification says, in the words
//! of Ansible's `ArgumentSpecValidator`.

use provision_protocol::Object;
use serde_json::{Map, Value as Json};

use super::local::Done;
use crate::evaluate::{Evaluator, Stop};

/// Levels of suboptions: a specification that contains itself through anchors must end.
const MAX_LEVELS: usize = 16;

/// Checks what a role, or somebody, was given.
pub(super) fn validate(evaluator: &Evaluator<'_>, arguments: &Object) -> Result<Done, Stop> {
    let object = |name: &str| arguments.get(name).and_then(Json::as_object).cloned();
    let specification = object("argument_spec").unwrap_or_default();
    let mut given = Map::new();
    for name in specification.keys() {
        if let Some(value) = evaluator.variable(name)? {
            given.insert(name.clone(), provision_template::to_json(&value));
        }
    }
    // Parameters of a role are variables, too; others of them are no arguments.
    let provided = object("provided_arguments").unwrap_or_default();
    let context = arguments.get("validate_args_context");
    let is_role = context.and_then(|context| context.get("type")).and_then(Json::as_str);
    let is_meant = |name: &String| is_role != Some("role") || given.contains_key(name);
    let provided: Vec<_> = provided.into_iter().filter(|(name, _)| is_meant(name)).collect();
    given.extend(provided);
    let found = errors(&specification, &given);
    let mut result = Object::new();
    result.insert("changed".into(), false.into());
    if let Some(context) = context {
        let mut context = context.clone();
        if let Some(path) = context.get_mut("path")
            && let Some(written) = path.as_str()
        {
            let absolute = crate::outside::absolute(std::path::Path::new(written));
            *path = absolute.display().to_string().into();
        }
        result.insert("validate_args_context".into(), context);
    }
    if found.is_empty() {
        result.insert("msg".into(), "The arg spec validation passed".into());
        let mut done = Done::default();
        done.result = result;
        return Ok(done);
    }
    let text = format!("Validation of arguments failed:\n{}", found.join("\n"));
    result.insert("failed".into(), true.into());
    result.insert("msg".into(), text.into());
    result.insert("argument_errors".into(), found.into());
    result.insert("argument_spec_data".into(), Json::Object(specification));
    Err(Stop::Failed(Box::new(result)))
}

/// Everything that is wrong with the arguments.
pub(super) fn errors(specification: &Map<String, Json>, given: &Map<String, Json>) -> Vec<String> {
    let mut found = Vec::new();
    check(specification, given, &mut Vec::new(), &mut found);
    found
}

fn check(
    specification: &Map<String, Json>,
    given: &Map<String, Json>,
    context: &mut Vec<String>,
    found: &mut Vec<String>,
) {
    let given = canonical(specification, given);
    unsupported(specification, &given, context, found);
    let is_missing = |(name, option): &(&String, &Json)| {
        is_set(option, "required") && !given.contains_key(name.as_str())
    };
    let mut missing: Vec<&str> =
        specification.iter().filter(is_missing).map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        missing.sort_unstable();
        let names = missing.join(", ");
        found.push(format!("missing required arguments: {names}{}", place(context)));
    }
    let present = || {
        specification.iter().filter_map(|(name, option)| {
            let value = given.get(name)?;
            let is_nothing = value.is_null() && !is_set(option, "required");
            (!is_nothing).then_some((name, option, value))
        })
    };
    for (name, option, value) in present() {
        if let Err(reason) = check_type(option, value) {
            let kind = kind_of(option);
            let at =
                if context.is_empty() { String::new() } else { format!("{}.", place(context)) };
            found.push(format!(
                "argument '{name}' is of type {}{at} and we were unable to convert to {kind}: \
                 {reason}",
                class_of(value)
            ));
        } else {
            check_elements(name, option, value, context, found);
        }
    }
    for (name, option, value) in present() {
        check_choices(name, option, value, context, found);
    }
    for (name, option, value) in present() {
        check_suboptions(name, option, value, context, found);
    }
}

/// The arguments by their names, whatever aliases they were given by.
fn canonical(specification: &Map<String, Json>, given: &Map<String, Json>) -> Map<String, Json> {
    let name_of = |given: &String| {
        let has = |option: &Json| {
            let aliases = option.get("aliases").and_then(Json::as_array);
            aliases.is_some_and(|all| all.iter().any(|alias| alias.as_str() == Some(given)))
        };
        let found = specification.iter().find(|(name, option)| *name == given || has(option));
        found.map_or_else(|| given.clone(), |(name, _)| name.clone())
    };
    given.iter().map(|(name, value)| (name_of(name), value.clone())).collect()
}

fn unsupported(
    specification: &Map<String, Json>,
    given: &Map<String, Json>,
    context: &[String],
    found: &mut Vec<String>,
) {
    let path = |name: &String| {
        let all: Vec<&str> = context.iter().chain(Some(name)).map(String::as_str).collect();
        all.join(".")
    };
    let mut names: Vec<String> =
        given.keys().filter(|name| !specification.contains_key(*name)).map(path).collect();
    if names.is_empty() {
        return;
    }
    names.sort_unstable();
    let mut supported: Vec<&str> = specification.keys().map(String::as_str).collect();
    supported.sort_unstable();
    found.push(format!(
        "{}. Supported parameters include: {}.",
        names.join(", "),
        supported.join(", ")
    ));
}

fn check_elements(
    name: &str,
    option: &Json,
    value: &Json,
    context: &[String],
    found: &mut Vec<String>,
) {
    let (Some(elements), Json::Array(items)) =
        (option.get("elements").and_then(Json::as_str), value)
    else {
        return;
    };
    let wanted = serde_json::json!({ "type": elements });
    for item in items {
        if let Err(reason) = check_type(&wanted, item) {
            found.push(format!(
                "Elements value for option '{name}'{} is of type {} and we were unable to convert \
                 to {elements}: {reason}",
                place(context),
                class_of(item)
            ));
        }
    }
}

fn check_choices(
    name: &str,
    option: &Json,
    value: &Json,
    context: &[String],
    found: &mut Vec<String>,
) {
    let Some(choices) = option.get("choices").and_then(Json::as_array) else { return };
    let texts = |values: &[Json]| values.iter().map(text_of).collect::<Vec<_>>();
    let allowed = texts(choices);
    let (wrong, word) = match value {
        Json::Array(items) => (texts(items), "one or more of"),
        other => (vec![text_of(other)], "one of"),
    };
    let wrong: Vec<String> = wrong.into_iter().filter(|text| !allowed.contains(text)).collect();
    if !wrong.is_empty() {
        found.push(format!(
            "value of {name} must be {word}: {}, got: {}{}",
            allowed.join(", "),
            wrong.join(", "),
            place(context)
        ));
    }
}

fn check_suboptions(
    name: &str,
    option: &Json,
    value: &Json,
    context: &mut Vec<String>,
    found: &mut Vec<String>,
) {
    let Some(specification) = option.get("options").and_then(Json::as_object) else { return };
    if context.len() >= MAX_LEVELS {
        return;
    }
    let items = match value {
        Json::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    for item in items {
        match item {
            Json::Object(given) => {
                context.push(name.to_owned());
                check(specification, given, context, found);
                check_conditions(option, given, context, found);
                context.pop();
            }
            _ => found.push(format!("value of '{name}' must be of type dict or list of dicts")),
        }
    }
}

/// What options of a mapping ask of each other: `mutually_exclusive`, `required_together`,
/// `required_one_of`, `required_if`, `required_by`, in Ansible's order. Like Ansible's own check of
/// roles it looks at options that have options; an entry point has no place for them.
fn check_conditions(
    option: &Json,
    given: &Map<String, Json>,
    context: &[String],
    found: &mut Vec<String>,
) {
    let groups = |name: &str| {
        let all = option.get(name).and_then(Json::as_array).into_iter().flatten();
        all.map(names_of).collect::<Vec<Vec<String>>>()
    };
    let count = |names: &[String]| {
        names.iter().filter(|name| given.get(*name).is_some_and(|value| !value.is_null())).count()
    };
    let mut tell = |text: String| found.push(format!("{text}{}", place(context)));
    for names in groups("mutually_exclusive").iter().filter(|names| count(names) > 1) {
        tell(format!("parameters are mutually exclusive: {}", names.join("|")));
    }
    for names in groups("required_together") {
        if count(&names) > 0 && count(&names) < names.len() {
            tell(format!("parameters are required together: {}", names.join(", ")));
        }
    }
    for names in groups("required_one_of").iter().filter(|names| count(names) == 0) {
        tell(format!("one of the following is required: {}", names.join(", ")));
    }
    for rule in option.get("required_if").and_then(Json::as_array).into_iter().flatten() {
        let Some([name, value, names, more @ ..]) = rule.as_array().map(Vec::as_slice) else {
            continue;
        };
        let any = more.first().and_then(Json::as_bool).unwrap_or(false);
        let (name, names) = (text_of(name), names_of(names));
        if given.get(&name).map(text_of) != Some(text_of(value)) {
            continue;
        }
        let mut missing = names.clone();
        missing.retain(|name| count(std::slice::from_ref(name)) == 0);
        if !missing.is_empty() && (!any || missing.len() == names.len()) {
            let word = if any { "any" } else { "all" };
            let (value, missing) = (text_of(value), missing.join(", "));
            tell(format!("{name} is {value} but {word} of the following are missing: {missing}"));
        }
    }
    for (name, names) in option.get("required_by").and_then(Json::as_object).into_iter().flatten() {
        let mut missing = names_of(names);
        missing.retain(|name| count(std::slice::from_ref(name)) == 0);
        if count(std::slice::from_ref(name)) > 0 && !missing.is_empty() {
            let missing = missing.join(", ");
            tell(format!("missing parameter(s) required by '{name}': {missing}"));
        }
    }
}

/// A name, or a list of them.
fn names_of(value: &Json) -> Vec<String> {
    match value {
        Json::Array(items) => items.iter().map(text_of).collect(),
        one => vec![text_of(one)],
    }
}

fn place(context: &[String]) -> String {
    if context.is_empty() { String::new() } else { format!(" found in {}", context.join(" -> ")) }
}

fn is_set(option: &Json, name: &str) -> bool {
    option.get(name).and_then(Json::as_bool) == Some(true)
}

fn kind_of(option: &Json) -> &str {
    option.get("type").and_then(Json::as_str).unwrap_or("str")
}

/// Whether a value is of a type or can be made so; otherwise why not.
fn check_type(option: &Json, value: &Json) -> Result<(), String> {
    let class = class_of(value);
    match (kind_of(option), value) {
        ("str" | "path", Json::Null) => {
            Err("'None' is not a string and conversion is not allowed".to_owned())
        }
        ("int", Json::Bool(_)) => Ok(()),
        ("int", other) => match text_of(other).trim().parse::<f64>() {
            Ok(number) if number.fract() == 0.0 => Ok(()),
            _ => Err(format!("\"{}\" cannot be converted to an int", text_of(other))),
        },
        ("float", other) => match text_of(other).trim().parse::<f64>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{class} cannot be converted to a float")),
        },
        ("bool", Json::Bool(_)) => Ok(()),
        ("bool", Json::String(_) | Json::Number(_)) => {
            let value = provision_template::from_json(value);
            match provision_template::to_boolean(&value) {
                Some(_) => Ok(()),
                None => Err(format!(
                    "The value '{}' is not a valid boolean.",
                    provision_template::text_of(&value)
                )),
            }
        }
        ("bool", _) => Err(format!("{class} cannot be converted to a bool")),
        ("list", Json::Array(_) | Json::String(_) | Json::Number(_)) => Ok(()),
        ("list", _) => Err(format!("{class} cannot be converted to a list")),
        ("dict", Json::Object(_)) => Ok(()),
        ("dict", Json::String(text)) if is_mapping(text) => Ok(()),
        ("dict", Json::String(_)) => {
            Err("dictionary requested, could not parse JSON or key=value".to_owned())
        }
        ("dict", _) => Err(format!("{class} cannot be converted to a dict")),
        ("bytes", other) if !is_size(other) => {
            Err(format!("{class} cannot be converted to a Byte value"))
        }
        ("bits", other) if !is_size(other) => {
            Err(format!("{class} cannot be converted to a Bit value"))
        }
        _ => Ok(()),
    }
}

fn is_mapping(text: &str) -> bool {
    let text = text.trim();
    match text.starts_with('{') {
        true => serde_json::from_str::<Map<String, Json>>(text).is_ok(),
        false => !text.is_empty() && text.split([',', ' ']).all(|part| part.contains('=')),
    }
}

/// `10`, `1.5 MB`.
fn is_size(value: &Json) -> bool {
    let text = text_of(value);
    let number = text.trim().trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).trim();
    number.parse::<f64>().is_ok()
}

fn text_of(value: &Json) -> String {
    provision_template::text_of(&provision_template::from_json(value))
}

/// Python's name for the class of a value.
fn class_of(value: &Json) -> &'static str {
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

    fn found(specification: &Json, given: &Json) -> Vec<String> {
        errors(specification.as_object().unwrap(), given.as_object().unwrap())
    }

    #[test]
    fn right_arguments_are_right() {
        let specification = json!({
            "port": {"type": "int", "required": true, "aliases": ["listen"]},
            "ratio": {"type": "float"}, "on": {"type": "bool"}, "names": {"type": "list"},
            "more": {"type": "dict", "options": {"size": {"type": "bytes"}}},
            "mode": {"choices": ["a", "b"]}, "any": {"type": "raw", "required": true},
        });
        let given = json!({
            "listen": "80", "ratio": 1, "on": "yes", "names": "a,b", "more": {"size": "1 MB"},
            "mode": "a", "any": null,
        });
        assert_eq!(found(&specification, &given), Vec::<String>::new());
    }

    #[test]
    fn options_of_options_may_ask_for_each_other() {
        let specification = json!({"a": {"type": "dict",
            "options": {"x": {}, "y": {}, "z": {"type": "bool"}},
            "mutually_exclusive": [["x", "y"]], "required_if": [["x", "on", ["y", "z"]],
            ["x", "any", ["y", "z"], true]], "required_by": {"y": "z"},
            "required_together": [["y", "z"]], "required_one_of": [["x", "y"]]}});
        let found = |given: Json| found(&specification, &json!({"a": given}));
        assert_eq!(found(json!({"x": "off"})), Vec::<String>::new());
        assert_eq!(found(json!({"x": "any", "z": true})).len(), 1);
        assert_eq!(
            found(json!({"x": "any"})),
            ["x is any but any of the following are missing: y, z found in a"]
        );
        assert_eq!(
            found(json!({"x": "on"})),
            ["x is on but all of the following are missing: y, z found in a"]
        );
        assert_eq!(found(json!({})), ["one of the following is required: x, y found in a"]);
        assert_eq!(
            found(json!({"x": "", "y": ""})),
            [
                "parameters are mutually exclusive: x|y found in a",
                "parameters are required together: y, z found in a",
                "missing parameter(s) required by 'y': z found in a",
            ]
        );
    }

    #[test]
    fn each_error_is_told_in_ansibles_words() {
        let table = [
            (
                json!({"a": {"required": true}, "b": {"required": true}}),
                json!({}),
                "missing required arguments: a, b",
            ),
            (json!({"a": {}}), json!({"c": 1}), "c. Supported parameters include: a."),
            (
                json!({"a": {"required": true}}),
                json!({"a": null}),
                "argument 'a' is of type <class 'NoneType'> and we were unable to convert to str: \
              'None' is not a string and conversion is not allowed",
            ),
            (
                json!({"a": {"type": "int", "required": true}}),
                json!({"a": null}),
                "argument 'a' is of type <class 'NoneType'> and we were unable to convert to int: \
              \"None\" cannot be converted to an int",
            ),
            (
                json!({"a": {"type": "list"}}),
                json!({"a": {}}),
                "argument 'a' is of type <class 'dict'> and we were unable to convert to list: \
              <class 'dict'> cannot be converted to a list",
            ),
            (
                json!({"a": {"choices": ["x", "y"]}}),
                json!({"a": "z"}),
                "value of a must be one of: x, y, got: z",
            ),
            (
                json!({"a": {"type": "dict", "options": {"b": {"type": "dict", "options":
                {"c": {"required": true}}}}}}),
                json!({"a": {"b": {}}}),
                "missing required arguments: c found in a -> b",
            ),
            (
                json!({"a": {"type": "dict", "options": {"b": {"type": "bool"}}}}),
                json!({"a": {"b": "x"}}),
                "argument 'b' is of type <class 'str'> found in a. and we were unable to convert to \
              bool: The value 'x' is not a valid boolean.",
            ),
        ];
        for (specification, given, expected) in table {
            assert_eq!(found(&specification, &given), [expected]);
        }
    }
}

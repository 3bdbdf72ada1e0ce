//! Whether the value of a keyword has a type that the keyword takes.

use diagnostics::Diagnostic;
use yaml::{Mapping, Node, NodeValue};

use crate::keywords::{self, Keyword, Places, Support, Takes};
use crate::loader::Loader;
use crate::names::is_identifier;
use crate::templating::is_template;

impl Loader {
    /// Reports keywords that don't exist at this place and values of a wrong type. Keys for
    /// which `skip` holds are somebody else's.
    pub(super) fn check_keywords(
        &mut self,
        mapping: &Mapping,
        place: Places,
        skip: impl Fn(&str) -> bool,
    ) {
        for (key, value) in mapping.iter() {
            let Some(name) = key.as_str() else {
                self.report(
                    Diagnostic::error("unknown-keyword", "keywords are text")
                        .at(key.span, format!("this is {}", key.kind())),
                );
                continue;
            };
            if skip(name) {
                continue;
            }
            match keywords::find(name, place) {
                Some(keyword) => self.check_keyword(keyword, key, value),
                None => self.unknown_keyword(name, key, place, None),
            }
        }
    }

    fn check_keyword(&mut self, keyword: &Keyword, key: &Node, value: &Node) {
        let name = keyword.name;
        match keyword.support {
            Support::Yes => {}
            Support::NotYet(_) if is_switched_off(keyword, value) => {}
            Support::Renamed(today) => self.report(
                Diagnostic::warning("old-keyword", format!("`{name}` is called `{today}` today"))
                    .at(key.span, "old name")
                    .hint(format!("write `{today}`")),
            ),
            Support::NotYet(advice) => self.report(
                Diagnostic::error(
                    "unsupported-keyword",
                    format!("provision does not support `{name}` yet"),
                )
                .at(key.span, "a keyword of Ansible")
                .hint(advice),
            ),
            Support::Removed(advice) => self.report(
                Diagnostic::error(
                    "unsupported-keyword",
                    format!("`{name}` does not exist any more"),
                )
                .at(key.span, "removed from Ansible long ago")
                .hint(advice),
            ),
        }
        if let (Takes::Texts, NodeValue::Sequence(items)) = (keyword.takes, &value.value) {
            self.check_texts(name, items);
            return;
        }
        if let Some(expected) = mismatch(keyword.takes, value) {
            let hint = value
                .as_str()
                .filter(|text| is_identifier(text) && keyword.takes != Takes::Written)
                .map(|text| format!("for the value of a variable write `\"{{{{ {text} }}}}\"`"));
            self.report(
                Diagnostic::error(
                    "wrong-type",
                    format!("`{name}` takes {expected}, not {}", described(value)),
                )
                .at(value.span, format!("expected {expected}"))
                .hint_if(hint.or_else(|| layout_hint(keyword.takes, name, value))),
            );
        }
    }

    fn check_texts(&mut self, name: &str, items: &[Node]) {
        for item in items.iter().filter(|item| !is_scalar(item)) {
            let quote = item.as_mapping().is_some();
            self.report(
                Diagnostic::error(
                    "wrong-type",
                    format!("`{name}` takes a list of texts, and this is {}", item.kind()),
                )
                .at(item.span, "expected text")
                .hint_if(quote.then(|| "quote a text that contains `: `".to_owned())),
            );
        }
    }

    /// Reports a key that is no keyword, with the likeliest intention.
    pub(super) fn unknown_keyword(
        &mut self,
        name: &str,
        key: &Node,
        place: Places,
        module: Option<&'static provision_protocol::modules::ModuleSpec>,
    ) {
        let noun = place.noun();
        let diagnostic =
            Diagnostic::error("unknown-keyword", format!("`{name}` is not a keyword of {noun}"))
                .at(key.span, "unknown keyword");
        let elsewhere = keywords::elsewhere(name);
        let closest = diagnostics::closest(name, keywords::names(place));
        let parameter = module.and_then(|module| module.parameter(name).map(|_| module.name));
        let hint = if let Some(module) = parameter {
            Some(format!("it is a parameter of `{module}`: indent it below `{module}:`"))
        } else if let Some(places) = elsewhere {
            Some(format!("it is a keyword of {places}: check the indentation"))
        } else if provision_protocol::modules::find(name).is_some() {
            Some(match place {
                Places::PLAY => format!("`{name}` is a module: put it into a list under `tasks:`"),
                _ => format!("`{name}` is a module: a task of its own begins with `- `"),
            })
        } else {
            closest.map(|closest| format!("did you mean `{closest}`?"))
        };
        self.report(diagnostic.hint_if(hint));
    }

    /// Reports names in `vars:` that templates could never use.
    pub(super) fn check_variables(&mut self, vars: &Mapping) {
        for (key, _) in vars.iter() {
            if key.as_str().is_none_or(|name| !is_identifier(name)) {
                self.report(bad_variable_name(key, Diagnostic::error));
            }
        }
    }

    /// The same for files of variables, where Ansible lets them pass.
    pub(super) fn check_variable_names(&mut self, vars: &Mapping) {
        for (key, _) in vars.iter() {
            if key.as_str().is_none_or(|name| !is_identifier(name)) {
                self.report(bad_variable_name(key, Diagnostic::warning));
            }
        }
    }
}

fn bad_variable_name(
    key: &Node,
    severity: impl Fn(&'static str, String) -> Diagnostic,
) -> Diagnostic {
    let shown = key.as_str().map_or_else(|| key.kind().to_owned(), |name| format!("`{name}`"));
    let better = key.as_str().map(|name| {
        name.chars()
            .map(|character| if character.is_ascii_alphanumeric() { character } else { '_' })
            .collect::<String>()
    });
    let hint = better
        .filter(|better| is_identifier(better))
        .map_or_else(|| "use letters, digits and `_`".to_owned(), |name| format!("use `{name}`"));
    severity("variable-name", format!("{shown} can't be the name of a variable"))
        .at(key.span, "templates can't use this name")
        .hint(hint)
}

/// What the keyword takes, if the value isn't that.
pub(super) fn mismatch(takes: Takes, value: &Node) -> Option<&'static str> {
    use NodeValue::{BigInteger, Bool, Float, Integer, Mapping, Null, Sequence, String};
    let template = value.as_str().is_some_and(is_template);
    let fits = match (&value.value, takes) {
        (Null, _) | (_, Takes::Anything) => true,
        (String(_), Takes::Name) => !template,
        (_, Takes::Written) => matches!(value.value, Sequence(_)),
        (String(_), _) if template => takes != Takes::Mapping,
        (_, Takes::Text | Takes::Name) => !matches!(value.value, Mapping(_) | Sequence(_)),
        (String(text), Takes::Boolean) => is_boolean(text),
        (Bool(_) | Integer(0 | 1), Takes::Boolean) => true,
        (String(text), Takes::Integer) => text.trim().parse::<i64>().is_ok(),
        (Float(number), Takes::Integer) => number.fract() == 0.0,
        (Bool(_), Takes::Integer | Takes::Number | Takes::Percentage) => false,
        (Integer(_), Takes::Integer) => true,
        (String(text), Takes::Number) => text.trim().parse::<f64>().is_ok(),
        (String(text), Takes::Percentage) => {
            text.trim().trim_end_matches('%').parse::<f64>().is_ok()
        }
        (Integer(_) | BigInteger(_) | Float(_), Takes::Number | Takes::Percentage) => true,
        (Sequence(items), Takes::Texts) => items.iter().all(is_scalar),
        (_, Takes::Texts) => is_scalar(value),
        (Sequence(_), Takes::List) => true,
        (Mapping(_), Takes::Mapping | Takes::Mappings) => true,
        (Sequence(items), Takes::Mappings) => items
            .iter()
            .all(|item| item.as_mapping().is_some() || item.as_str().is_some_and(is_template)),
        (Mapping(_), Takes::Conditions) => false,
        (Sequence(items), Takes::Conditions) => items.iter().all(is_scalar),
        (_, Takes::Conditions) => true,
        _ => false,
    };
    if fits { None } else { Some(expectation(takes)) }
}

fn expectation(takes: Takes) -> &'static str {
    match takes {
        Takes::Text => "text",
        Takes::Name => "plain text without a template",
        Takes::Boolean => "true or false",
        Takes::Integer => "a whole number",
        Takes::Number => "a number",
        Takes::Percentage => "a number or a percentage",
        Takes::Texts => "text or a list of texts",
        Takes::List => "a list",
        Takes::Written => "a list",
        Takes::Mapping => "a mapping",
        Takes::Mappings => "a mapping or a list of mappings",
        Takes::Conditions => "a condition or a list of conditions",
        Takes::Anything => "anything",
    }
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.value, NodeValue::Mapping(_) | NodeValue::Sequence(_) | NodeValue::Null)
}

/// What Ansible's `boolean()` accepts.
pub(super) fn is_boolean(text: &str) -> bool {
    to_boolean(text).is_some()
}

/// The boolean that Ansible reads from a text.
pub(super) fn to_boolean(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
        "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
        _ => None,
    }
}

/// The value in few words.
pub(super) fn described(value: &Node) -> String {
    const SHOWN_CHARACTERS: usize = 40;
    match &value.value {
        NodeValue::String(text) if text.chars().count() <= SHOWN_CHARACTERS => {
            format!("the text `{text}`")
        }
        NodeValue::Mapping(mapping) if mapping.is_empty() => "an empty mapping".to_owned(),
        _ => value.kind().to_owned(),
    }
}

fn layout_hint(takes: Takes, name: &str, value: &Node) -> Option<String> {
    match (takes, &value.value) {
        (Takes::Written, NodeValue::Mapping(mapping)) if mapping.is_empty() => {
            Some(format!("for none write `{name}: []`"))
        }
        (Takes::Written, NodeValue::Mapping(_)) => {
            Some(format!("begin each entry below `{name}:` with `- `"))
        }
        (Takes::Mapping, NodeValue::Sequence(_)) => {
            Some("write `name: value` lines without the `- ` before them".to_owned())
        }
        (Takes::Conditions, NodeValue::Mapping(_)) => {
            Some("quote a condition that begins with `{` or contains `: `".to_owned())
        }
        _ => None,
    }
}

/// Whether a value says that the keyword's work isn't wanted.
fn is_switched_off(keyword: &Keyword, value: &Node) -> bool {
    keyword.name == "debugger" && (value.is_null() || value.as_str() == Some("never"))
}

//! `[pure]` Jinja2 as Ansible means it, on minijinja.
//!
//! minijinja gives the parser, the syntax tree and the [`Value`]; evaluation is ours, because
//! Ansible's rules cannot be expressed in minijinja's machine: undefined values that know their name
//! and can be chained through but not used, native values, variables that are templates themselves,
//! values that are not known yet. Nothing here reads files, the clock or the environment: see
//! [`Outside`]. Data ([`Slot::Data`]) is never compiled, whatever text it holds.
//!
//! # Differences from Jinja2 under Ansible that remain
//!
//! | construct | here |
//! |---|---|
//! | `import` without `with context` | sees the variables, too |
//! | `{{ d.items }}` without a call | the key `items`, not the method |
//! | integers | 128 bits; larger results are an error |
//! | sets (`{1, 2}` after literal evaluation, `a \| intersect(b)`) | lists in a stable order |
//! | `x is sameas y` | same type and value |
//! | `pprint` | one line |
//! | YAML anchors for repeated objects in `to_yaml` | values are written out |
//! | `password_hash` | SHA-256 and SHA-512 only |
//! | a condition that is a template around text from facts or results | an error; never evaluated |
//! | text in playbook `{{ }}` with an escaped quote (`'\''`) | parsed; Ansible fails |
//! | filters and tests of other collections | unknown |
//! | what a `!vault` value holds | plain text: `is string` holds, `to_yaml` writes the text |
//! | `x \| type_debug` of a text | found from the expression (`origin.rs`): a text that a loop of the template or an unknown function has handed on is a `str` |
//! | `x is vault_encrypted` | also for copies of such a value, and for vault texts |
//! | `vault(wrap_object=true)` | an error |
//! | `line_statement_prefix` in a `#jinja2:` line | minijinja's: a statement ends with its line |
//! | conditions with `{{ }}` inside (classic dialect) | values are put in, never run as code; an error if that is text from outside which Ansible would run; in quotes (`'{{ x }}' == 'a'`) such text is compared |

mod checks;
mod conditions;
mod convert;
mod engine;
mod error;
mod filters;
mod format;
mod limits;
mod lookups;
mod lower;
mod methods;
mod origin;
mod program;
mod reach;
mod run;
mod scope;
mod shape;
mod source;
mod time;
mod value;

pub use conditions::Verdict;
pub use engine::Engine;
pub use error::{Fault, TemplateError, Trail};
pub use minijinja::Value;
pub use origin::{Origin, TextClass};
pub use scope::{
    Dialect, EmptyScope, Found, LoadedTemplate, LookupRequest, Now, Nowhere, Outside, OutsideError,
    PathQuestion, PluginKind, PluginRequest, Reach, Scope, Slot, TemplateOptions, TextKind,
};
pub use shape::Shape;
pub use value::{
    from_json, is_omit, is_true, is_undefined, json_text, kept_text, omit, repr_of, text_of,
    to_boolean, to_json, value_of_node,
};

use yaml::{Node, NodeValue};

/// Whether a text may be a template.
#[must_use]
pub fn text_has_template(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(2).any(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
        || text.starts_with("#jinja2:")
}

/// Whether any text in a node may be a template, or must be decrypted: its value is not what is
/// written.
#[must_use]
pub fn has_template(node: &Node) -> bool {
    if node.is_unsafe() {
        return false;
    }
    match &node.value {
        // What it holds is known only when it is opened.
        NodeValue::String(_) if node.is_vault() => true,
        NodeValue::String(text) => text_has_template(text),
        NodeValue::Sequence(items) => items.iter().any(has_template),
        NodeValue::Mapping(mapping) => mapping.iter().any(|(_, value)| has_template(value)),
        _ => false,
    }
}

/// The value of a text that looks like a list, a mapping or a boolean, as the result of a template
/// gets it in the classic dialect.
#[must_use]
pub fn literal_of(text: &str) -> Value {
    run::literal(text.to_owned())
}

/// A date and time, as `now()` returns it.
///
/// # Errors
/// When it is out of range.
pub fn moment(at: Now) -> Result<Value, TemplateError> {
    time::Moment::from_clock(at, false).map(Value::from_object)
}

/// A value without the items and entries that are `omit`, all the way down.
#[must_use]
pub fn value_without_omitted(value: &Value) -> Value {
    if !contains_omit(value) {
        return value.clone();
    }
    if value::is_dict(value) {
        let kept = value::pairs_of(value).into_iter().filter(|(_, item)| !is_omit(item));
        return value::dict_value(
            kept.map(|(key, item)| (key, value_without_omitted(&item))).collect(),
        );
    }
    if value::is_list(value) {
        let items = value::iterate(value).unwrap_or_default();
        let kept = items.iter().filter(|item| !is_omit(item)).map(value_without_omitted);
        return value::list_value(kept.collect());
    }
    value.clone()
}

fn contains_omit(value: &Value) -> bool {
    let inside = |item: &Value| is_omit(item) || contains_omit(item);
    if value::is_dict(value) {
        value::pairs_of(value).iter().any(|(_, item)| inside(item))
    } else {
        value::is_list(value) && value::iterate(value).unwrap_or_default().iter().any(inside)
    }
}

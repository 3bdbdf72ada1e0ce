//! `map`, `select` and their relatives: filters that apply other filters and tests.

use minijinja::Value;

use super::{FilterEntry, pure};
use crate::checks;
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::scope::PluginKind;
use crate::value::{is_true, is_undefined, iterate, list_value, text_of, undefined_error};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("map", map),
    pure("reject", |run, call| select(run, call, false)),
    pure("rejectattr", |run, call| select_attribute(run, call, false)),
    pure("select", |run, call| select(run, call, true)),
    pure("selectattr", |run, call| select_attribute(run, call, true)),
];

fn map(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let items = iterate(&call.input)?;
    if call.args.is_empty()
        && let Some(attribute) = call.option("attribute")
    {
        let default = call.option("default");
        let mut out = Vec::with_capacity(items.len());
        for item in &items {
            let value = run.path(item, &attribute)?;
            out.push(match &default {
                Some(default) if is_undefined(&value) => default.clone(),
                _ => value,
            });
        }
        return Ok(list_value(out));
    }
    let name = text_of(&call.needed(0, "filter")?);
    let entry = super::find(&name);
    let args: Vec<Value> = call.args.iter().skip(1).cloned().collect();
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let (args, named) = (args.clone(), call.named.clone());
        out.push(match entry {
            Some(entry) => run.run_filter(entry, item, args, named)?,
            None => {
                let made = run.own_plugin(PluginKind::Filter, &name, item, args, named)?;
                made.ok_or_else(|| nothing("filter", &name))?
            }
        });
    }
    Ok(list_value(out))
}

/// In Ansible's words, which tell a name that can't be one from one that nobody knows.
fn nothing(what: &str, name: &str) -> TemplateError {
    let can_be = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    TemplateError::failed(match name.chars().all(can_be) {
        true => format!("No {what} named '{name}'."),
        false => format!(
            "TemplateSyntaxError: Could not load \"{name}\": \
             'invalid plugin name: ansible.builtin.{name}'"
        ),
    })
}

/// Whether a value passes the test that the arguments name; without one, whether it is true.
fn passes(run: &mut Run<'_>, value: Value, args: &[Value], call: &Call) -> Outcome<bool> {
    let Some((name, rest)) = args.split_first() else {
        if is_undefined(&value) {
            return Err(undefined_error(&value));
        }
        return Ok(is_true(&value));
    };
    let name = text_of(name);
    let (rest, named) = (rest.to_vec(), call.named.clone());
    let verdict = match checks::find(&name) {
        Some(entry) => run.run_check(entry, value, rest, named)?,
        None => {
            let made = run.own_plugin(PluginKind::Test, &name, value, rest, named)?;
            made.ok_or_else(|| nothing("test", &name))?
        }
    };
    if is_undefined(&verdict) {
        return Err(undefined_error(&verdict));
    }
    Ok(is_true(&verdict))
}

fn select(run: &mut Run<'_>, call: &mut Call, wanted: bool) -> Outcome<Value> {
    let mut kept = Vec::new();
    for item in iterate(&call.input)? {
        if passes(run, item.clone(), &call.args, call)? == wanted {
            kept.push(item);
        }
    }
    Ok(list_value(kept))
}

fn select_attribute(run: &mut Run<'_>, call: &mut Call, wanted: bool) -> Outcome<Value> {
    let Some((attribute, args)) = call.args.split_first() else {
        return Err(TemplateError::failed("Missing parameter for attribute name"));
    };
    let mut kept = Vec::new();
    for item in iterate(&call.input)? {
        let value = run.path(&item, attribute)?;
        if passes(run, value, args, call)? == wanted {
            kept.push(item);
        }
    }
    Ok(list_value(kept))
}

//! Filters that order, group and cut sequences.

use std::cmp::Ordering;

use minijinja::Value;

use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{
    Arithmetic, View, arithmetic, compare, equal, is_dict, is_list, is_true, is_undefined, iterate,
    list_value, pairs_of, text_of, tuple_value, undefined, undefined_error, view,
};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("batch", batch),
    pure("dictsort", dict_sort),
    pure("first", first),
    pure("flatten", flatten),
    pure("groupby", group_by),
    pure("join", join),
    pure("last", last),
    pure("list", |_, call| iterate(&call.input).map(list_value)),
    pure("max", |run, call| extreme(run, call, Ordering::Greater)),
    pure("min", |run, call| extreme(run, call, Ordering::Less)),
    pure("reverse", reverse),
    pure("slice", slices),
    pure("sort", sort),
    pure("sum", sum),
    pure("unique", unique),
];

/// The value an `attribute` argument points to; the item itself without one.
pub(crate) fn keyed(run: &mut Run<'_>, item: &Value, attribute: Option<&Value>) -> Outcome<Value> {
    match attribute {
        Some(attribute) => run.path(item, attribute),
        None => Ok(item.clone()),
    }
}

/// Text compared without case, as Jinja's `ignore_case`.
pub(crate) fn folded(value: Value, case_sensitive: bool) -> Value {
    match view(&value) {
        View::Text(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    }
}

/// Sorts by keys; keys without an order are an error.
pub(crate) fn sort_by_keys(
    mut items: Vec<(Vec<Value>, Value)>,
    reverse: bool,
) -> Outcome<Vec<Value>> {
    let mut problem = None;
    items.sort_by(|(left, _), (right, _)| {
        let ordering = match compare_keys(left, right) {
            Ok(ordering) => ordering,
            Err(error) => {
                problem.get_or_insert(error);
                Ordering::Equal
            }
        };
        if reverse { ordering.reverse() } else { ordering }
    });
    match problem {
        Some(error) => Err(error),
        None => Ok(items.into_iter().map(|(_, item)| item).collect()),
    }
}

fn compare_keys(left: &[Value], right: &[Value]) -> Outcome<Ordering> {
    for (left, right) in left.iter().zip(right) {
        if !equal(left, right) {
            return Ok(compare(left, right, "<")?.unwrap_or(Ordering::Equal));
        }
    }
    Ok(Ordering::Equal)
}

fn sort(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let reverse = call.flag(0, "reverse", false);
    let case_sensitive = call.flag(1, "case_sensitive", false);
    let attributes: Vec<Value> = match call.arg(2, "attribute").filter(|value| !value.is_none()) {
        Some(attribute) => match view(&attribute) {
            View::Text(text) => text.split(',').map(Value::from).collect(),
            _ => vec![attribute],
        },
        None => Vec::new(),
    };
    let mut keyed_items = Vec::new();
    for item in iterate(&call.input)? {
        let mut keys = Vec::new();
        for attribute in &attributes {
            keys.push(folded(run.path(&item, attribute)?, case_sensitive));
        }
        if attributes.is_empty() {
            keys.push(folded(item.clone(), case_sensitive));
        }
        for key in &keys {
            if is_undefined(key) {
                return Err(undefined_error(key));
            }
        }
        keyed_items.push((keys, item));
    }
    sort_by_keys(keyed_items, reverse).map(list_value)
}

fn dict_sort(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let case_sensitive = call.flag(0, "case_sensitive", false);
    let by = call.text(1, "by").unwrap_or_else(|| "key".into());
    let reverse = call.flag(2, "reverse", false);
    let keyed_items = pairs_of(&call.input)
        .into_iter()
        .map(|(key, value)| {
            let sort_key = if by == "value" { value.clone() } else { key.clone() };
            (vec![folded(sort_key, case_sensitive)], tuple_value(vec![key, value]))
        })
        .collect();
    sort_by_keys(keyed_items, reverse).map(list_value)
}

fn group_by(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let attribute = call.needed(0, "attribute")?;
    let default = call.arg(1, "default");
    let case_sensitive = call.flag(2, "case_sensitive", true);
    let mut keyed_items = Vec::new();
    for item in iterate(&call.input)? {
        let mut key = run.path(&item, &attribute)?;
        if is_undefined(&key) {
            key = default.clone().ok_or_else(|| undefined_error(&key))?;
        }
        keyed_items.push((vec![folded(key.clone(), case_sensitive)], tuple_value(vec![key, item])));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for pair in sort_by_keys(keyed_items, false)? {
        let [key, item] = iterate(&pair)?.try_into().unwrap_or_default();
        let compared = folded(key.clone(), case_sensitive);
        match groups.last_mut().filter(|(last, ..)| equal(last, &compared)) {
            Some((_, _, items)) => items.push(item),
            None => groups.push((compared, key, vec![item])),
        }
    }
    let groups =
        groups.into_iter().map(|(_, key, items)| tuple_value(vec![key, list_value(items)]));
    Ok(list_value(groups.collect()))
}

fn first(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let first = iterate(&call.input)?.into_iter().next();
    Ok(first.unwrap_or_else(|| undefined("No first item, sequence was empty.", None)))
}

fn last(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let last = iterate(&call.input)?.pop();
    Ok(last.unwrap_or_else(|| undefined("No last item, sequence was empty.", None)))
}

fn reverse(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if let View::Text(text) = view(&call.input) {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = iterate(&call.input)?;
    items.reverse();
    Ok(list_value(items))
}

fn join(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let separator = call.text(0, "d").unwrap_or_default();
    let attribute = call.arg(1, "attribute").filter(|value| !value.is_none());
    let mut out = String::new();
    for (index, item) in iterate(&call.input)?.iter().enumerate() {
        if index > 0 {
            out.push_str(&separator);
        }
        let value = keyed(run, item, attribute.as_ref())?;
        if is_undefined(&value) {
            return Err(undefined_error(&value));
        }
        out.push_str(&text_of(&value));
    }
    Ok(Value::from(out))
}

fn batch(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let size = usize::try_from(call.integer(0, "linecount")?.unwrap_or(1)).unwrap_or(1).max(1);
    let fill = call.arg(1, "fill_with").filter(|value| !value.is_none());
    let items = iterate(&call.input)?;
    let mut batches = Vec::new();
    for chunk in items.chunks(size) {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = &fill {
            chunk.resize(size.min(crate::limits::MAX_REPEATED_ITEMS), fill.clone());
        }
        batches.push(list_value(chunk));
    }
    Ok(list_value(batches))
}

fn slices(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let count = usize::try_from(call.integer(0, "slices")?.unwrap_or(1)).unwrap_or(1).max(1);
    let fill = call.arg(1, "fill_with").filter(|value| !value.is_none());
    let items = iterate(&call.input)?;
    let count = count.min(crate::limits::MAX_REPEATED_ITEMS);
    let (size, extra) = (items.len() / count, items.len() % count);
    let mut rest = items.into_iter();
    let mut out = Vec::new();
    for index in 0..count {
        let longer = index < extra;
        let mut slice: Vec<Value> = rest.by_ref().take(size + usize::from(longer)).collect();
        if let Some(fill) = fill.as_ref().filter(|_| !longer) {
            slice.push(fill.clone());
        }
        out.push(list_value(slice));
    }
    Ok(list_value(out))
}

fn sum(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let attribute = call.arg(0, "attribute").filter(|value| !value.is_none());
    let mut total = call.arg(1, "start").unwrap_or_else(|| Value::from(0));
    for item in iterate(&call.input)? {
        let value = keyed(run, &item, attribute.as_ref())?;
        total = arithmetic(Arithmetic::Add, &total, &value)?;
    }
    Ok(total)
}

fn extreme(run: &mut Run<'_>, call: &mut Call, wanted: Ordering) -> Outcome<Value> {
    let case_sensitive = call.flag(0, "case_sensitive", true);
    let attribute = call.arg(1, "attribute").filter(|value| !value.is_none());
    let mut best: Option<(Value, Value)> = None;
    for item in iterate(&call.input)? {
        let key = folded(keyed(run, &item, attribute.as_ref())?, case_sensitive);
        let better = match &best {
            Some((known, _)) => compare(&key, known, "<")? == Some(wanted),
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    match best {
        Some((_, item)) => Ok(item),
        None => Ok(undefined("No aggregated item, sequence was empty.", None)),
    }
}

fn unique(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let given = call.arg(0, "case_sensitive").filter(|value| !value.is_none());
    let case_sensitive = given.as_ref().is_some_and(is_true);
    let attribute = call.arg(1, "attribute").filter(|value| !value.is_none());
    let mut seen: Vec<Value> = Vec::new();
    let mut kept = Vec::new();
    // Jinja2 compares hashes; where it can't, Ansible compares values, but without options.
    let asks_jinja = given.is_some_and(|value| !is_true(&value));
    for item in iterate(&call.input)? {
        run.step()?;
        let key = keyed(run, &item, attribute.as_ref())?;
        if (asks_jinja || attribute.is_some()) && (is_list(&key) || is_dict(&key)) {
            let kind = if is_dict(&key) { "dict" } else { "list" };
            return Err(TemplateError::failed(format!(
                "Jinja2's unique filter failed and we cannot fall back to Ansible's version as it \
                 does not support the parameters supplied: unhashable type: '{kind}'"
            )));
        }
        let key = folded(key, case_sensitive);
        if !seen.iter().any(|known| equal(known, &key)) {
            seen.push(key);
            kept.push(item);
        }
    }
    Ok(list_value(kept))
}

fn flatten(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let levels = call.integer(0, "levels")?;
    let skip_nulls = call.flag(1, "skip_nulls", true);
    let mut out = Vec::new();
    flatten_into(&mut out, &call.input, levels, skip_nulls)?;
    Ok(list_value(out))
}

/// Ansible's `flatten`: texts `None` and `null` count as null, too.
pub(crate) fn flatten_into(
    out: &mut Vec<Value>,
    value: &Value,
    levels: Option<i64>,
    skip_nulls: bool,
) -> Outcome<()> {
    for item in iterate(value)? {
        let null = item.is_none() || matches!(item.as_str(), Some("None" | "null"));
        if skip_nulls && null {
            continue;
        }
        match levels {
            _ if !is_list(&item) => out.push(item),
            None => flatten_into(out, &item, None, skip_nulls)?,
            Some(level) if level >= 1 => flatten_into(out, &item, Some(level - 1), skip_nulls)?,
            Some(_) => out.push(item),
        }
    }
    Ok(())
}

/// The items of a list, refusing texts and dictionaries.
pub(crate) fn list_items(value: &Value, what: &str) -> Outcome<Vec<Value>> {
    if is_list(value) {
        return iterate(value);
    }
    let kind = if is_dict(value) { "dictionary" } else { crate::value::type_name(value) };
    Err(TemplateError::failed(format!("{what} expects a list, got {kind}")))
}

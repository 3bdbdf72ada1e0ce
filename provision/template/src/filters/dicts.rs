//! Dictionaries: merging, turning around, picking out.

use minijinja::Value;

use super::sequences::list_items;
use super::{FilterEntry, lenient, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{
    Pairs, View, dict_get, dict_get_value, dict_of, dict_value, equal, is_dict, is_list,
    is_undefined, iterate, list_value, pairs_of, repr_of, text_of, tuple_value, type_name,
    undefined_error, view,
};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("combine", combine),
    pure("dict2items", dict2items),
    lenient("extract", extract),
    pure("items2dict", items2dict),
    pure("rekey_on_member", rekey_on_member),
    pure("subelements", |_, call| {
        let path = call.needed(0, "subelements")?;
        let skip = call.flag(1, "skip_missing", false);
        subelements(&call.input, &path, skip).map(list_value)
    }),
];

/// What merging does to lists.
#[derive(Debug, Clone, Copy)]
enum ListMerge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendNew,
    PrependNew,
}

fn combine(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let recursive = call.option("recursive").is_some_and(|value| crate::value::is_true(&value));
    let list_merge = match call.option("list_merge").map(|value| text_of(&value)).as_deref() {
        None | Some("replace") => ListMerge::Replace,
        Some("keep") => ListMerge::Keep,
        Some("append") => ListMerge::Append,
        Some("prepend") => ListMerge::Prepend,
        Some("append_rp") => ListMerge::AppendNew,
        Some("prepend_rp") => ListMerge::PrependNew,
        Some(other) => {
            return Err(TemplateError::failed(format!(
                "'list_merge' argument can only be equal to 'replace', 'keep', 'append', \
                 'prepend', 'append_rp' or 'prepend_rp', not '{other}'"
            )));
        }
    };
    if !call.named.is_empty() {
        return Err(TemplateError::failed(
            "'recursive' and 'list_merge' are the only valid keyword arguments",
        ));
    }
    let mut terms = vec![call.input.clone()];
    terms.append(&mut call.args);
    let mut dictionaries = Vec::new();
    super::sequences::flatten_into(&mut dictionaries, &list_value(terms), Some(1), true)?;
    if let Some(undefined) = dictionaries.iter().find(|term| is_undefined(term)) {
        return Err(undefined_error(undefined));
    }
    check_are_dictionaries(&dictionaries)?;
    let mut dictionaries = dictionaries.into_iter();
    let Some(first) = dictionaries.next() else { return Ok(dict_value(Pairs::new())) };
    dictionaries.try_fold(first, |low, high| merge(&low, &high, recursive, list_merge))
}

/// Two or more terms must be dictionaries; one alone is what comes out. As in Ansible the pair that
/// is told is the last one of which one isn't: it merges from the end.
fn check_are_dictionaries(terms: &[Value]) -> Outcome<()> {
    let wrong = terms.windows(2).rev().find(|pair| !pair.iter().all(is_dict));
    let Some([low, high]) = wrong else { return Ok(()) };
    let odd = if is_dict(high) { low } else { high };
    let message = format!(
        "failed to combine variables, expected dicts but got a '{}' and a '{}'.",
        type_name(low),
        type_name(high),
    );
    Err(TemplateError::failed(message).hint(format!("no dictionary: {}", repr_of(odd))))
}

/// `low` with the entries of `high` over it.
fn merge(low: &Value, high: &Value, recursive: bool, lists: ListMerge) -> Outcome<Value> {
    let mut out: Pairs = pairs_of(low).into_iter().collect();
    for (key, new) in pairs_of(high) {
        let merged = match out.get(&key) {
            Some(old) if recursive && is_dict(old) && is_dict(&new) => {
                merge(old, &new, recursive, lists)?
            }
            Some(old) if is_list(old) && is_list(&new) => merge_lists(old, &new, lists)?,
            _ => new,
        };
        out.insert(key, merged);
    }
    Ok(dict_value(out))
}

fn merge_lists(old: &Value, new: &Value, lists: ListMerge) -> Outcome<Value> {
    let (low, high) = (iterate(old)?, iterate(new)?);
    let without = |items: &[Value], others: &[Value]| -> Vec<Value> {
        items
            .iter()
            .filter(|item| !others.iter().any(|other| equal(item, other)))
            .cloned()
            .collect()
    };
    Ok(list_value(match lists {
        ListMerge::Replace => return Ok(new.clone()),
        ListMerge::Keep => return Ok(old.clone()),
        ListMerge::Append => [low, high].concat(),
        ListMerge::Prepend => [high, low].concat(),
        ListMerge::AppendNew => [without(&low, &high), high].concat(),
        ListMerge::PrependNew => {
            let rest = without(&low, &high);
            [high, rest].concat()
        }
    }))
}

fn dict2items(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if !is_dict(&call.input) {
        return Err(TemplateError::failed(format!(
            "dict2items requires a dictionary, got {} instead.",
            type_name(&call.input)
        )));
    }
    let key_name = call.text(0, "key_name").unwrap_or_else(|| "key".into());
    let value_name = call.text(1, "value_name").unwrap_or_else(|| "value".into());
    let items = pairs_of(&call.input)
        .into_iter()
        .map(|(key, value)| dict_of([(&key_name, key), (&value_name, value)]));
    Ok(list_value(items.collect()))
}

fn items2dict(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if !is_list(&call.input) {
        return Err(TemplateError::failed(format!(
            "items2dict requires a list, got {} instead.",
            type_name(&call.input)
        )));
    }
    let key_name = call.text(0, "key_name").unwrap_or_else(|| "key".into());
    let value_name = call.text(1, "value_name").unwrap_or_else(|| "value".into());
    let mut out = Pairs::new();
    for item in iterate(&call.input)? {
        if !is_dict(&item) {
            return Err(TemplateError::failed(format!(
                "items2dict requires a list of dictionaries, got {} instead.",
                repr_of(&call.input)
            )));
        }
        let (Some(key), Some(value)) = (dict_get(&item, &key_name), dict_get(&item, &value_name))
        else {
            return Err(TemplateError::failed(format!(
                "items2dict requires each dictionary in the list to contain the keys \
                 '{key_name}' and '{value_name}', got {} instead.",
                repr_of(&item)
            )));
        };
        out.insert(key, value);
    }
    Ok(dict_value(out))
}

fn extract(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let container = call.needed(0, "container")?;
    // What is missing in the end may get a default.
    if is_undefined(&container) {
        return Ok(container);
    }
    let mut keys = vec![call.input.clone()];
    if let Some(more) = call.arg(1, "morekeys").filter(|more| !more.is_none()) {
        keys.extend(if is_list(&more) { iterate(&more)? } else { vec![more] });
    }
    let mut value = container;
    for key in keys {
        value = run.item(&value, &key)?;
    }
    Ok(value)
}

fn rekey_on_member(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let key = text_of(&call.needed(0, "key")?);
    let duplicates = call.text(1, "duplicates").unwrap_or_else(|| "error".into());
    if !matches!(duplicates.as_str(), "error" | "overwrite") {
        return Err(TemplateError::failed(format!(
            "duplicates parameter to rekey_on_member has unknown value: {duplicates}"
        )));
    }
    let items = if is_dict(&call.input) {
        pairs_of(&call.input).into_iter().map(|(_, value)| value).collect()
    } else {
        list_items(&call.input, "rekey_on_member")
            .map_err(|_| TemplateError::failed("Type is not a valid list, set, or dict"))?
    };
    let mut out = Pairs::new();
    for item in items {
        if !is_dict(&item) {
            return Err(TemplateError::failed("List item is not a valid dict"));
        }
        let new_key = dict_get(&item, &key)
            .ok_or_else(|| TemplateError::failed(format!("Key {key} was not found")))?;
        if out.contains_key(&new_key) && duplicates != "overwrite" {
            return Err(TemplateError::failed(format!(
                "Key {} is not unique, cannot correctly turn into dict",
                text_of(&new_key)
            )));
        }
        out.insert(new_key, item);
    }
    Ok(dict_value(out))
}

/// Pairs of each item and each element of the list that a path in it leads to.
fn subelements(value: &Value, path: &Value, skip_missing: bool) -> Outcome<Vec<Value>> {
    let items: Vec<Value> = if is_dict(value) {
        pairs_of(value).into_iter().map(|(_, value)| value).collect()
    } else if is_list(value) {
        iterate(value)?
    } else {
        return Err(TemplateError::failed("obj must be a list of dicts or a nested dict"));
    };
    let keys: Vec<Value> = match view(path) {
        View::Text(path) => path.split('.').map(Value::from).collect(),
        _ if is_list(path) => iterate(path)?,
        _ => return Err(TemplateError::failed("subelements must be a list or a string")),
    };
    let mut out = Vec::new();
    for item in items {
        let Some(elements) = elements_below(&item, &keys, skip_missing)? else { continue };
        out.extend(elements.into_iter().map(|element| tuple_value(vec![item.clone(), element])));
    }
    Ok(out)
}

/// The list that keys lead to in an item; none if one of them is missing and may be.
fn elements_below(item: &Value, keys: &[Value], skip_missing: bool) -> Outcome<Option<Vec<Value>>> {
    let mut found = item.clone();
    for key in keys {
        if !is_dict(&found) {
            return Err(TemplateError::failed(format!(
                "the key {} should point to a dictionary, got '{}'",
                text_of(key),
                text_of(&found)
            )));
        }
        found = match dict_get_value(&found, key) {
            Some(value) => value,
            None if skip_missing => return Ok(None),
            None => {
                return Err(TemplateError::failed(format!(
                    "could not find {} key in iterated item {}",
                    repr_of(key),
                    repr_of(&found)
                )));
            }
        };
    }
    if is_list(&found) {
        return iterate(&found).map(Some);
    }
    Err(TemplateError::failed(format!(
        "the key {} should point to a list, got {}",
        keys.last().map_or_else(String::new, repr_of),
        repr_of(&found)
    )))
}

//! Methods of `list`, `tuple` and `dict`. Those that change their object work on the changeable
//! containers that a template which names such a method gets.

use minijinja::Value;

use crate::convert::signed;
use crate::error::{Outcome, TemplateError};
use crate::run::Call;
use crate::value::{
    MutableDict, MutableList, Pairs, compare, dict_get_value, dict_value, equal, is_dict, iterate,
    list_value, pairs_of, repr_of, tuple_value, type_name,
};

pub(super) fn list_method(name: &str, call: &mut Call) -> Option<Outcome<Value>> {
    Some(match name {
        "index" => list_index(call),
        "count" => call.needed(0, "value").and_then(|wanted| {
            let items = iterate(&call.input)?;
            Ok(Value::from(signed(items.iter().filter(|item| equal(item, &wanted)).count())))
        }),
        "copy" => iterate(&call.input).map(list_value),
        "append" | "extend" | "insert" | "pop" | "remove" | "clear" | "sort" | "reverse"
        | "__setitem__" | "__delitem__" => match call.input.downcast_object::<MutableList>() {
            Some(list) => change_list(name, &list, call),
            None => Err(unchangeable(name, &call.input)),
        },
        _ => return None,
    })
}

fn unchangeable(name: &str, value: &Value) -> TemplateError {
    TemplateError::failed(format!("'{name}' cannot change this {}", type_name(value)))
}

fn list_index(call: &mut Call) -> Outcome<Value> {
    let wanted = call.needed(0, "value")?;
    let items = iterate(&call.input)?;
    match items.iter().position(|item| equal(item, &wanted)) {
        Some(at) => Ok(Value::from(signed(at))),
        None => Err(TemplateError::failed(format!("{} is not in list", repr_of(&wanted)))),
    }
}

/// An index, counted from the end if negative.
fn position(index: i64, length: usize) -> Option<usize> {
    usize::try_from(if index < 0 { index + signed(length) } else { index }).ok()
}

fn change_list(name: &str, list: &MutableList, call: &mut Call) -> Outcome<Value> {
    let out_of_range = || TemplateError::failed(format!("{name}: list index out of range"));
    match name {
        "append" => {
            let item = call.needed(0, "object")?;
            list.write().push(item);
        }
        "extend" => {
            let items = iterate(&call.needed(0, "iterable")?)?;
            list.write().extend(items);
        }
        "insert" => {
            let index = call.integer(0, "index")?.unwrap_or(0);
            let item = call.needed(1, "object")?;
            let mut items = list.write();
            let length = items.len();
            let at = position(index, length).unwrap_or(0).min(length);
            items.insert(at, item);
        }
        "pop" | "__delitem__" => {
            let index = call.integer(0, "index")?.unwrap_or(-1);
            let mut items = list.write();
            let at = position(index, items.len()).filter(|at| *at < items.len());
            return at.map(|at| items.remove(at)).ok_or_else(out_of_range);
        }
        "remove" => {
            let wanted = call.needed(0, "value")?;
            let mut items = list.write();
            let at = items.iter().position(|item| equal(item, &wanted));
            let at = at.ok_or_else(|| TemplateError::failed("list.remove(x): x not in list"))?;
            items.remove(at);
        }
        "clear" => list.write().clear(),
        "reverse" => list.write().reverse(),
        "__setitem__" => {
            let index = call.integer(0, "index")?.unwrap_or(0);
            let item = call.needed(1, "value")?;
            let mut items = list.write();
            let length = items.len();
            let slot = position(index, length).and_then(|at| items.get_mut(at));
            *slot.ok_or_else(out_of_range)? = item;
        }
        _ => {
            let reverse = call.flag(1, "reverse", false);
            let sorted = sorted(list.read().clone(), reverse)?;
            *list.write() = sorted;
        }
    }
    Ok(Value::from(()))
}

fn sorted(mut items: Vec<Value>, reverse: bool) -> Outcome<Vec<Value>> {
    let mut error = None;
    items.sort_by(|left, right| match compare(left, right, "<") {
        Ok(found) => found.unwrap_or(std::cmp::Ordering::Equal),
        Err(problem) => {
            error.get_or_insert(problem);
            std::cmp::Ordering::Equal
        }
    });
    if reverse {
        items.reverse();
    }
    error.map_or(Ok(items), Err)
}

pub(super) fn dict_method(name: &str, call: &mut Call) -> Option<Outcome<Value>> {
    let pairs = || pairs_of(&call.input);
    Some(match name {
        "items" | "iteritems" => Ok(list_value(
            pairs().into_iter().map(|(key, value)| tuple_value(vec![key, value])).collect(),
        )),
        "keys" | "iterkeys" => Ok(list_value(pairs().into_iter().map(|(key, _)| key).collect())),
        "values" | "itervalues" => {
            Ok(list_value(pairs().into_iter().map(|(_, value)| value).collect()))
        }
        "copy" => Ok(dict_value(pairs().into_iter().collect())),
        "has_key" => call
            .needed(0, "key")
            .map(|key| Value::from(dict_get_value(&call.input, &key).is_some())),
        "get" => get(call),
        "update" | "setdefault" | "pop" | "popitem" | "clear" | "__setitem__" | "__delitem__" => {
            match call.input.downcast_object::<MutableDict>() {
                Some(dict) => change_dict(name, &dict, call),
                None => Err(unchangeable(name, &call.input)),
            }
        }
        _ => return None,
    })
}

fn get(call: &mut Call) -> Outcome<Value> {
    let key = call.needed(0, "key")?;
    if crate::value::is_undefined(&key) {
        return Err(crate::value::undefined_error(&key));
    }
    let found = dict_get_value(&call.input, &key);
    Ok(found.unwrap_or_else(|| call.args.get(1).cloned().unwrap_or_else(|| Value::from(()))))
}

fn change_dict(name: &str, dict: &MutableDict, call: &mut Call) -> Outcome<Value> {
    match name {
        "update" => {
            let mut added = Pairs::new();
            if let Some(other) = call.args.first() {
                if is_dict(other) {
                    added.extend(pairs_of(other));
                } else {
                    for item in iterate(other)? {
                        if let [key, value] = iterate(&item)?.as_slice() {
                            added.insert(key.clone(), value.clone());
                        }
                    }
                }
            }
            added.extend(call.named.drain(..).map(|(key, value)| (Value::from(&*key), value)));
            dict.write().extend(added);
        }
        "setdefault" => {
            let key = call.needed(0, "key")?;
            let default = call.args.get(1).cloned().unwrap_or_else(|| Value::from(()));
            return Ok(dict.write().entry(key).or_insert(default).clone());
        }
        "pop" | "__delitem__" => {
            let key = call.needed(0, "key")?;
            let default = call.args.get(1).cloned();
            let found = dict.write().shift_remove(&key).or(default);
            return found.ok_or_else(|| TemplateError::failed(repr_of(&key)));
        }
        "popitem" => {
            let last = dict.write().pop();
            let (key, value) =
                last.ok_or_else(|| TemplateError::failed("popitem(): dictionary is empty"))?;
            return Ok(tuple_value(vec![key, value]));
        }
        "__setitem__" => {
            let key = call.needed(0, "key")?;
            let value = call.needed(1, "value")?;
            dict.write().insert(key, value);
        }
        _ => dict.write().clear(),
    }
    Ok(Value::from(()))
}

//! Lookups over lists and dictionaries.

use minijinja::Value;

use crate::convert::signed;
use crate::error::{Outcome, TemplateError};
use crate::filters;
use crate::run::Run;
use crate::value::{
    View, dict_get, dict_of, is_dict, is_list, is_true, iterate, list_value, pairs_of, text_of,
    tuple_value, view,
};

/// `with_items`: one level of lists is dissolved.
pub(super) fn items(terms: &[Value]) -> Outcome<Vec<Value>> {
    super::flat(terms)
}

/// `with_dict`
pub(super) fn dict(terms: &[Value]) -> Outcome<Vec<Value>> {
    let mut out = Vec::new();
    for term in super::flat(terms)? {
        if !is_dict(&term) {
            return Err(TemplateError::failed("with_dict expects a dict"));
        }
        for (key, value) in pairs_of(&term) {
            out.push(dict_of([("key", key), ("value", value)]));
        }
    }
    Ok(out)
}

/// The terms as lists.
fn lists(terms: &[Value]) -> Outcome<Vec<Vec<Value>>> {
    // `with_nested` passes one list of lists.
    let terms = match terms {
        [only] if is_list(only) && iterate(only)?.iter().any(is_list) => iterate(only)?,
        _ => terms.to_vec(),
    };
    let mut out = Vec::new();
    for term in &terms {
        out.push(if is_list(term) { iterate(term)? } else { vec![term.clone()] });
    }
    Ok(out)
}

/// `with_nested`, `with_cartesian`
pub(super) fn nested(terms: &[Value]) -> Outcome<Vec<Value>> {
    let lists = lists(terms)?;
    if lists.is_empty() {
        return Err(TemplateError::failed(
            "with_nested requires at least one element in the nested list",
        ));
    }
    let mut out = Vec::new();
    for product in filters::products(&lists)? {
        let mut flat = Vec::new();
        for item in product {
            if is_list(&item) {
                flat.extend(iterate(&item)?);
            } else {
                flat.push(item);
            }
        }
        out.push(list_value(flat));
    }
    Ok(out)
}

/// `with_together`
pub(super) fn together(terms: &[Value]) -> Outcome<Vec<Value>> {
    let lists = lists(terms)?;
    if lists.is_empty() {
        return Err(TemplateError::failed(
            "with_together requires at least one element in each list",
        ));
    }
    Ok(filters::zipped(&lists, Some(&Value::from(()))).into_iter().map(list_value).collect())
}

/// `with_flattened`
pub(super) fn flattened(terms: &[Value]) -> Outcome<Vec<Value>> {
    let mut out = Vec::new();
    filters::flatten_into(&mut out, &list_value(terms.to_vec()), None, true)?;
    Ok(out)
}

/// `with_indexed_items`
pub(super) fn indexed_items(terms: &[Value]) -> Outcome<Vec<Value>> {
    let numbered = super::flat(terms)?.into_iter().enumerate();
    Ok(numbered.map(|(index, item)| tuple_value(vec![Value::from(signed(index)), item])).collect())
}

/// `with_subelements`
pub(super) fn subelements(terms: &[Value]) -> Outcome<Vec<Value>> {
    let terms = match terms {
        [only] if is_list(only) => iterate(only)?,
        _ => terms.to_vec(),
    };
    let wrong = |reason: &str| {
        Err(TemplateError::failed(format!(
            "subelements lookup expects a list of two or three items, {reason}"
        )))
    };
    let (what, path, flags) = match terms.as_slice() {
        [what, path] => (what, path, None),
        [what, path, flags] => (what, path, Some(flags)),
        _ => return wrong(""),
    };
    let path = match path.as_str() {
        Some(path) if !matches!(view(what), View::Bool(_)) => path,
        _ => return wrong("first a dict or a list, second a string pointing to the subkey"),
    };
    if flags.is_some_and(|flags| !is_dict(flags)) {
        return wrong("the optional third item must be a dict with flags ('skip_missing',)");
    }
    let skip = flags.and_then(|flags| dict_get(flags, "skip_missing"));
    let skip = skip.is_some_and(|skip| is_true(&skip));
    let was_skipped = |item: &Value| dict_get(item, "skipped").is_some_and(|it| is_true(&it));
    let items: Vec<Value> = if is_dict(what) {
        // A registered result of a task that was skipped has no elements.
        if was_skipped(what) {
            return Ok(Vec::new());
        }
        pairs_of(what).into_iter().map(|(_, value)| value).collect()
    } else if is_list(what) {
        iterate(what)?
    } else {
        vec![what.clone()]
    };
    let keys: Vec<&str> = path.split('.').collect();
    let mut out = Vec::new();
    for item in items {
        if !is_dict(&item) {
            return Err(TemplateError::failed(format!(
                "subelements lookup expects a dictionary, got '{}'",
                text_of(&item)
            )));
        }
        if was_skipped(&item) {
            continue;
        }
        let Some(list) = sublist(&item, &keys, skip)? else { continue };
        let rest = without_path(&item, &keys);
        out.extend(list.into_iter().map(|element| tuple_value(vec![rest.clone(), element])));
    }
    Ok(out)
}

/// The list that the path leads to; nothing if a key is missing and that is all right.
fn sublist(item: &Value, keys: &[&str], skip: bool) -> Outcome<Option<Vec<Value>>> {
    let mut at = item.clone();
    for (number, key) in keys.iter().enumerate() {
        let Some(value) = dict_get(&at, key) else {
            if skip {
                return Ok(None);
            }
            return Err(TemplateError::failed(format!(
                "could not find '{key}' key in iterated item '{}'",
                text_of(&at)
            )));
        };
        let is_last = number + 1 == keys.len();
        if if is_last { is_list(&value) } else { is_dict(&value) } {
            at = value;
            continue;
        }
        if skip && !is_last {
            return Ok(None);
        }
        let kind = if is_last { "list" } else { "dictionary" };
        return Err(TemplateError::failed(format!(
            "the key {key} should point to a {kind}, got '{}'",
            text_of(&value)
        )));
    }
    iterate(&at).map(Some)
}

/// The item without the list that the path leads to: the lookup takes it out.
fn without_path(item: &Value, keys: &[&str]) -> Value {
    let Some((key, rest)) = keys.split_first() else { return item.clone() };
    let pairs = pairs_of(item).into_iter();
    let kept = pairs.filter_map(|(known, value)| {
        if known.as_str() != Some(*key) {
            return Some((known, value));
        }
        (!rest.is_empty()).then(|| (known, without_path(&value, rest)))
    });
    crate::value::dict_value(kept.collect())
}

/// `with_random_choice`
pub(super) fn random_choice(run: &Run<'_>, terms: &[Value]) -> Outcome<Vec<Value>> {
    let items = super::flat(terms)?;
    if items.is_empty() {
        return Ok(items);
    }
    let bits = run.outside.random().map_err(|error| Run::outside_error(error, "random_choice"))?;
    let mut random = filters::PythonRandom::from_integer(u128::from(bits));
    let index = random.below(u128::from(signed(items.len()).unsigned_abs()));
    Ok(usize::try_from(index)
        .ok()
        .and_then(|index| items.get(index).cloned())
        .into_iter()
        .collect())
}

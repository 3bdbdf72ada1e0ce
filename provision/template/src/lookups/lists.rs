//! Lookups over lists and dictionaries.

use minijinja::Value;

use crate::convert::signed;
use crate::error::{Outcome, TemplateError};
use crate::filters;
use crate::run::Run;
use crate::value::{
    dict_of, is_dict, is_list, is_true, iterate, list_value, pairs_of, repr_of, tuple_value,
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
    let [what, path, flags @ ..] = terms.as_slice() else {
        return Err(TemplateError::failed(
            "subelements lookup expects a list of two or three items",
        ));
    };
    let skip = flags.first().and_then(|flags| crate::value::dict_get(flags, "skip_missing"));
    let skip = skip.is_some_and(|skip| is_true(&skip));
    // Items that were skipped in an earlier loop have no elements.
    let kept: Vec<Value> = if is_dict(what) {
        pairs_of(what).into_iter().map(|(_, value)| value).collect()
    } else if is_list(what) {
        iterate(what)?
    } else {
        return Err(TemplateError::failed(format!(
            "first a dict or a list, second a string pointing to the subkey, got {}",
            repr_of(what)
        )));
    };
    let kept = kept.into_iter().filter(|item| {
        !crate::value::dict_get(item, "skipped").is_some_and(|skipped| is_true(&skipped))
    });
    let keys: Vec<Value> = if is_list(path) {
        iterate(path)?
    } else {
        crate::value::text_of(path).split('.').map(Value::from).collect()
    };
    let pairs = filters::subelements(&list_value(kept.collect()), path, skip)?;
    let mut out = Vec::with_capacity(pairs.len());
    for pair in pairs {
        if let [item, element] = iterate(&pair)?.as_slice() {
            out.push(tuple_value(vec![without_path(item, &keys), element.clone()]));
        }
    }
    Ok(out)
}

/// The item without the list that the path leads to: the lookup takes it out.
fn without_path(item: &Value, keys: &[Value]) -> Value {
    let Some((key, rest)) = keys.split_first() else { return item.clone() };
    let pairs = pairs_of(item).into_iter();
    let kept = pairs.filter_map(|(known, value)| {
        if !crate::value::equal(&known, key) {
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

//! Lists as sets, and products of lists.

use minijinja::Value;

use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::limits::MAX_COMBINATIONS;
use crate::run::{Call, Run};
use crate::value::{equal, iterate, list_value, tuple_value};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("combinations", |_, call| arrangements(call, false)),
    pure("difference", |_, call| set(call, without)),
    pure("intersect", |_, call| set(call, within)),
    pure("permutations", |_, call| arrangements(call, true)),
    pure("product", product),
    pure("symmetric_difference", |_, call| {
        set(call, |left, right| {
            let mut out = without(left, right);
            out.extend(without(right, left));
            out
        })
    }),
    pure("union", |_, call| set(call, |left, right| [left, right].concat())),
    pure("zip", |_, call| zip(call)),
    pure("zip_longest", |_, call| zip_longest(call)),
];

/// The items without repetitions, in order.
pub(crate) fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        if !out.iter().any(|known| equal(known, &item)) {
            out.push(item);
        }
    }
    out
}

fn without(left: &[Value], right: &[Value]) -> Vec<Value> {
    left.iter().filter(|item| !right.iter().any(|other| equal(item, other))).cloned().collect()
}

fn within(left: &[Value], right: &[Value]) -> Vec<Value> {
    left.iter().filter(|item| right.iter().any(|other| equal(item, other))).cloned().collect()
}

fn set(call: &mut Call, combine: fn(&[Value], &[Value]) -> Vec<Value>) -> Outcome<Value> {
    let left = iterate(&call.input)?;
    let right = iterate(&call.needed(0, "b")?)?;
    Ok(list_value(distinct(combine(&left, &right))))
}

fn too_many() -> TemplateError {
    TemplateError::failed(format!("the result has more than {MAX_COMBINATIONS} items"))
}

fn arrangements(call: &mut Call, ordered: bool) -> Outcome<Value> {
    let items = iterate(&call.input)?;
    let size = match call.integer(0, "r")? {
        Some(size) => usize::try_from(size).unwrap_or(0),
        None if ordered => items.len(),
        None => return Err(TemplateError::failed("combinations() needs the number of items")),
    };
    let mut out = Vec::new();
    let mut chosen = Vec::new();
    arrange(&items, size, ordered, 0, &mut chosen, &mut out)?;
    Ok(list_value(out))
}

fn arrange(
    items: &[Value],
    size: usize,
    ordered: bool,
    from: usize,
    chosen: &mut Vec<usize>,
    out: &mut Vec<Value>,
) -> Outcome<()> {
    if chosen.len() == size {
        if out.len() >= MAX_COMBINATIONS {
            return Err(too_many());
        }
        let picked = chosen.iter().filter_map(|index| items.get(*index).cloned());
        out.push(tuple_value(picked.collect()));
        return Ok(());
    }
    for index in from..items.len() {
        if ordered && chosen.contains(&index) {
            continue;
        }
        chosen.push(index);
        let next = if ordered { 0 } else { index + 1 };
        arrange(items, size, ordered, next, chosen, out)?;
        chosen.pop();
    }
    Ok(())
}

/// All tuples that take one item of each list.
pub(crate) fn products(lists: &[Vec<Value>]) -> Outcome<Vec<Vec<Value>>> {
    let mut out: Vec<Vec<Value>> = vec![Vec::new()];
    for list in lists {
        if out.len().saturating_mul(list.len()) > MAX_COMBINATIONS {
            return Err(too_many());
        }
        let mut next = Vec::with_capacity(out.len() * list.len());
        for prefix in &out {
            for item in list {
                let mut tuple = prefix.clone();
                tuple.push(item.clone());
                next.push(tuple);
            }
        }
        out = next;
    }
    Ok(out)
}

fn product(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let repeat = call.option("repeat").and_then(|value| value.as_usize()).unwrap_or(1).min(64);
    let mut lists = vec![iterate(&call.input)?];
    for arg in &call.args {
        lists.push(iterate(arg)?);
    }
    let count = lists.len() * repeat;
    let lists: Vec<Vec<Value>> = lists.into_iter().cycle().take(count).collect();
    Ok(list_value(products(&lists)?.into_iter().map(tuple_value).collect()))
}

fn zip_inputs(call: &Call) -> Outcome<Vec<Vec<Value>>> {
    let mut lists = vec![iterate(&call.input)?];
    for arg in &call.args {
        lists.push(iterate(arg)?);
    }
    Ok(lists)
}

/// Tuples of the items at the same places; `fill` stands in for missing ones.
pub(crate) fn zipped(lists: &[Vec<Value>], fill: Option<&Value>) -> Vec<Vec<Value>> {
    let lengths = lists.iter().map(Vec::len);
    let length = if fill.is_some() { lengths.max() } else { lengths.min() }.unwrap_or(0);
    (0..length)
        .map(|index| {
            lists.iter().map(|list| list.get(index).or(fill).cloned().unwrap_or_default()).collect()
        })
        .collect()
}

fn zip(call: &mut Call) -> Outcome<Value> {
    let lists = zip_inputs(call)?;
    Ok(list_value(zipped(&lists, None).into_iter().map(tuple_value).collect()))
}

fn zip_longest(call: &mut Call) -> Outcome<Value> {
    let fill = call.option("fillvalue").unwrap_or_else(|| Value::from(()));
    let lists = zip_inputs(call)?;
    Ok(list_value(zipped(&lists, Some(&fill)).into_iter().map(tuple_value).collect()))
}

//! Tests of values: Jinja's, and Ansible's of texts, numbers, sets and addresses.

use std::cmp::Ordering;

use minijinja::Value;

use super::{CheckEntry, check, lenient, typed};
use crate::error::{Outcome, TemplateError};
use crate::filters::regex::{Flags, compile, too_long};
use crate::filters::version::compare_versions;
use crate::run::{Call, Run};
use crate::value::{
    View, compare, contains, equal, is_dict, is_list, is_true, is_undefined, iterate, text_of,
    to_boolean, type_name, view,
};

pub(super) const CHECKS: &[CheckEntry] = &[
    check("!=", |_, call| equals(call).map(|same| !same)),
    check("<", |_, call| ordered(call, "<", &[Ordering::Less])),
    check("<=", |_, call| ordered(call, "<=", &[Ordering::Less, Ordering::Equal])),
    check("==", |_, call| equals(call)),
    check(">", |_, call| ordered(call, ">", &[Ordering::Greater])),
    check(">=", |_, call| ordered(call, ">=", &[Ordering::Greater, Ordering::Equal])),
    check("all", |_, call| Ok(iterate(&call.input)?.iter().all(is_true))),
    check("any", |_, call| Ok(iterate(&call.input)?.iter().any(is_true))),
    typed("boolean", |_, call| Ok(matches!(view(&call.input), View::Bool(_)))),
    typed("callable", |_, call| Ok(type_name(&call.input) == "Macro")),
    check("contains", |_, call| {
        let item = call.needed(0, "seq")?;
        contains(&call.input, &item)
    }),
    lenient("defined", |_, call| Ok(!is_undefined(&call.input))),
    check("divisibleby", divisible),
    check("eq", |_, call| equals(call)),
    check("equalto", |_, call| equals(call)),
    check("escaped", |_, _| Ok(false)),
    check("even", |_, call| Ok(remainder(call, 2)? == 0)),
    typed("false", |_, call| Ok(matches!(view(&call.input), View::Bool(false)))),
    check("falsy", |_, call| truthiness(call).map(|truth| truth.is_some_and(|truth| !truth))),
    typed("filter", |_, call| Ok(crate::filters::find(&call.input_text()).is_some())),
    typed("float", |_, call| Ok(matches!(view(&call.input), View::Float(_)))),
    check("ge", |_, call| ordered(call, ">=", &[Ordering::Greater, Ordering::Equal])),
    check("greaterthan", |_, call| ordered(call, ">", &[Ordering::Greater])),
    check("gt", |_, call| ordered(call, ">", &[Ordering::Greater])),
    check("in", |_, call| {
        let container = call.needed(0, "seq")?;
        contains(&container, &call.input)
    }),
    typed("integer", |_, call| Ok(matches!(view(&call.input), View::Int(_)))),
    check("ip", |_, call| Ok(address(call, None))),
    check("ip_address", |_, call| Ok(address(call, None))),
    check("ipv4", |_, call| Ok(address(call, Some(false)))),
    check("ipv4_address", |_, call| Ok(address(call, Some(false)))),
    check("ipv6", |_, call| Ok(address(call, Some(true)))),
    check("ipv6_address", |_, call| Ok(address(call, Some(true)))),
    check("isnan", |_, call| Ok(not_a_number(call))),
    check("issubset", |_, call| subset(call, false)),
    check("issuperset", |_, call| subset(call, true)),
    typed("iterable", |_, call| {
        Ok(matches!(view(&call.input), View::List | View::Tuple | View::Dict | View::Text(_)))
    }),
    check("le", |_, call| ordered(call, "<=", &[Ordering::Less, Ordering::Equal])),
    check("lessthan", |_, call| ordered(call, "<", &[Ordering::Less])),
    check("lower", |_, call| Ok(cased(&call.input_text(), char::is_lowercase, char::is_uppercase))),
    check("lt", |_, call| ordered(call, "<", &[Ordering::Less])),
    typed("mapping", |_, call| Ok(is_dict(&call.input))),
    check("match", |_, call| matches_regex(call, "match")),
    check("nan", |_, call| Ok(not_a_number(call))),
    check("ne", |_, call| equals(call).map(|same| !same)),
    typed("none", |_, call| Ok(call.input.is_none())),
    typed("number", |_, call| {
        Ok(matches!(view(&call.input), View::Int(_) | View::Float(_) | View::Bool(_)))
    }),
    check("odd", |_, call| Ok(remainder(call, 2)? == 1)),
    check("regex", |_, call| {
        let kind = call.text(3, "match_type").unwrap_or_else(|| "search".into());
        matches_regex(call, &kind)
    }),
    typed("sameas", same),
    check("search", |_, call| matches_regex(call, "search")),
    typed("sequence", |_, call| {
        Ok(matches!(view(&call.input), View::List | View::Tuple | View::Dict | View::Text(_)))
    }),
    typed("string", |_, call| Ok(matches!(view(&call.input), View::Text(_)))),
    check("subset", |_, call| subset(call, false)),
    check("superset", |_, call| subset(call, true)),
    typed("test", |_, call| Ok(super::find(&call.input_text()).is_some())),
    typed("true", |_, call| Ok(matches!(view(&call.input), View::Bool(true)))),
    check("truthy", |_, call| truthiness(call).map(|truth| truth == Some(true))),
    lenient("undefined", |_, call| Ok(is_undefined(&call.input))),
    check("upper", |_, call| Ok(cased(&call.input_text(), char::is_uppercase, char::is_lowercase))),
    check("uri", |_, call| uri(call, "uri")),
    check("url", |_, call| uri(call, "url")),
    check("urn", |_, call| uri(call, "urn")),
    typed("vault_encrypted", |run, call| {
        let text = call.input_text();
        Ok(provision_vault::is_encrypted(text.as_bytes()) || run.outside.is_from_vault(&text))
    }),
    check("version", |_, call| compare_versions(call)),
    check("version_compare", |_, call| compare_versions(call)),
];

fn equals(call: &mut Call) -> Outcome<bool> {
    Ok(equal(&call.input.clone(), &call.needed(0, "other")?))
}

fn ordered(call: &mut Call, operator: &str, wanted: &[Ordering]) -> Outcome<bool> {
    let other = call.needed(0, "other")?;
    Ok(compare(&call.input, &other, operator)?.is_some_and(|found| wanted.contains(&found)))
}

/// Identity as far as values have one: the same kind of scalar with the same value, or the same
/// container.
fn same(_: &mut Run<'_>, call: &mut Call) -> Outcome<bool> {
    let other = call.needed(0, "other")?;
    Ok(type_name(&call.input) == type_name(&other) && equal(&call.input, &other))
}

fn remainder(call: &Call, by: i128) -> Outcome<i128> {
    match view(&call.input) {
        View::Int(number) => Ok(number.rem_euclid(by)),
        View::Bool(flag) => Ok(i128::from(flag)),
        _ => Err(TemplateError::failed("not all arguments converted during string formatting")),
    }
}

fn divisible(_: &mut Run<'_>, call: &mut Call) -> Outcome<bool> {
    match call.integer(0, "num")? {
        Some(0) => Err(TemplateError::failed("integer division or modulo by zero")),
        Some(by) => Ok(remainder(call, i128::from(by))? == 0),
        None => Err(TemplateError::failed("divisibleby needs a number")),
    }
}

/// Python's `isupper` and `islower`.
fn cased(text: &str, wanted: fn(char) -> bool, unwanted: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(unwanted)
}

/// Truth; with `convert_bool` that of the boolean a text spells. No truth if it spells none.
fn truthiness(call: &mut Call) -> Outcome<Option<bool>> {
    if call.flag(0, "convert_bool", false) {
        return Ok(Some(to_boolean(&call.input).unwrap_or_else(|| is_true(&call.input))));
    }
    Ok(Some(is_true(&call.input)))
}

fn not_a_number(call: &Call) -> bool {
    matches!(view(&call.input), View::Float(number) if number.is_nan())
}

fn subset(call: &mut Call, reversed: bool) -> Outcome<bool> {
    let this = iterate(&call.input)?;
    let other = iterate(&call.needed(0, "b")?)?;
    let (small, large) = if reversed { (other, this) } else { (this, other) };
    Ok(small.iter().all(|item| large.iter().any(|known| equal(known, item))))
}

fn address(call: &Call, six: Option<bool>) -> bool {
    let Ok(address) = call.input_text().parse::<std::net::IpAddr>() else { return false };
    six.is_none_or(|six| six == address.is_ipv6())
}

fn matches_regex(call: &mut Call, kind: &str) -> Outcome<bool> {
    let pattern = text_of(&call.needed(0, "pattern")?);
    let flags = Flags {
        ignore_case: call.flag(1, "ignorecase", false),
        multi_line: call.flag(2, "multiline", false),
        dot_all: false,
    };
    let text = call.input_text();
    // Only `search` looks beyond the start.
    let pattern = match kind {
        "match" => format!(r"\A(?:{pattern})"),
        "fullmatch" => format!(r"\A(?:{pattern})\Z"),
        _ => pattern,
    };
    compile(&pattern, flags)?.is_match(&text).map_err(|error| too_long(&error))
}

/// Python's `urlparse` accepts nearly everything, and so do these tests: what counts is the scheme,
/// and for `url` that there is a host.
fn uri(call: &mut Call, kind: &str) -> Outcome<bool> {
    let schemes: Option<Vec<String>> = match call.arg(0, "schemes").filter(|value| !value.is_none())
    {
        _ if kind == "urn" => Some(vec!["urn".into()]),
        Some(value) if is_list(&value) => Some(iterate(&value)?.iter().map(text_of).collect()),
        Some(value) => Some(vec![text_of(&value)]),
        None => None,
    };
    let View::Text(text) = view(&call.input) else { return Ok(false) };
    let parts = crate::filters::url_parts(text);
    let allowed =
        schemes.is_none_or(|schemes| schemes.is_empty() || schemes.contains(&parts.scheme));
    let host = kind != "url" || !parts.netloc.is_empty() || parts.scheme == "file";
    Ok(allowed && host)
}

/// Whether a value is a dictionary, for tests of results.
pub(super) fn require_dict(value: &Value, test: &str) -> Outcome<()> {
    if is_dict(value) {
        return Ok(());
    }
    Err(TemplateError::failed(format!("The '{test}' test expects a dictionary")))
}

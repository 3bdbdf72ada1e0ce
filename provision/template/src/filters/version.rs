//! Comparison of versions: loose, strict, semantic and PEP 440.

use std::cmp::Ordering;

use minijinja::Value;

use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::Call;
use crate::value::{is_true, text_of};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("version", |_, call| compare_versions(call).map(Value::from)),
    pure("version_compare", |_, call| compare_versions(call).map(Value::from)),
];

/// `value is version(other, operator, strict=, version_type=)`
pub(crate) fn compare_versions(call: &mut Call) -> Outcome<bool> {
    let other = text_of(&call.needed(0, "version")?);
    let operator = call.text(1, "operator").unwrap_or_else(|| "eq".into());
    let strict = call.arg(2, "strict").filter(|value| !value.is_none());
    let kind = call.text(3, "version_type");
    if strict.is_some() && kind.is_some() {
        return Err(TemplateError::failed("Cannot specify both 'strict' and 'version_type'"));
    }
    let value = call.input_text();
    if value.is_empty() {
        return Err(TemplateError::failed("Input version value cannot be empty"));
    }
    if other.is_empty() {
        return Err(TemplateError::failed("Version parameter to compare against cannot be empty"));
    }
    let strict = strict.is_some_and(|value| is_true(&value));
    let ordering = match kind.as_deref() {
        None if strict => strict_order(&value, &other)?,
        None | Some("loose") => loose_order(&value, &other)?,
        Some("strict") => strict_order(&value, &other)?,
        Some("semver" | "semantic") => semantic_order(&value, &other)?,
        Some("pep440") => pep440_order(&value, &other)?,
        Some(other) => {
            return Err(TemplateError::failed(format!(
                "Invalid version type ({other}). Must be one of loose, strict, semver, semantic, pep440"
            )));
        }
    };
    holds(ordering, &operator)
}

/// Whether an ordering is what an operator asks for.
fn holds(ordering: Ordering, operator: &str) -> Outcome<bool> {
    Ok(match operator {
        "==" | "=" | "eq" => ordering.is_eq(),
        "<" | "lt" => ordering.is_lt(),
        "<=" | "le" => ordering.is_le(),
        ">" | "gt" => ordering.is_gt(),
        ">=" | "ge" => ordering.is_ge(),
        "!=" | "<>" | "ne" => ordering.is_ne(),
        other => {
            return Err(TemplateError::failed(format!(
                "Invalid operator type ({other}). Must be one of ==, =, eq, <, lt, <=, le, >, gt, \
                 >=, ge, !=, <>, ne"
            )));
        }
    })
}

#[derive(Debug, PartialEq)]
enum Part {
    Number(u64),
    Word(String),
}

/// distutils' `LooseVersion`: numbers and words in turn.
fn loose_parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let end = if first.is_ascii_digit() {
            rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
        } else if first.is_ascii_lowercase() {
            rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len())
        } else if first == '.' {
            1
        } else {
            rest.find(|c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '.')
                .unwrap_or(rest.len())
        };
        let (part, tail) = rest.split_at_checked(end.max(first.len_utf8())).unwrap_or((rest, ""));
        if part != "." {
            parts.push(match part.parse::<u64>() {
                Ok(number) => Part::Number(number),
                Err(_) => Part::Word(part.to_owned()),
            });
        }
        rest = tail;
    }
    parts
}

fn loose_order(left: &str, right: &str) -> Outcome<Ordering> {
    let (left_parts, right_parts) = (loose_parts(left), loose_parts(right));
    for pair in left_parts.iter().zip(&right_parts) {
        let ordering = match pair {
            (Part::Number(left), Part::Number(right)) => left.cmp(right),
            (Part::Word(left), Part::Word(right)) => left.cmp(right),
            (Part::Number(_), Part::Word(_)) | (Part::Word(_), Part::Number(_)) => {
                let (from, to) = match pair.0 {
                    Part::Number(_) => ("int", "str"),
                    Part::Word(_) => ("str", "int"),
                };
                return Err(TemplateError::failed(format!(
                    "Version comparison failed: '<' not supported between instances of '{from}' \
                     and '{to}'"
                )));
            }
        };
        if ordering != Ordering::Equal {
            return Ok(ordering);
        }
    }
    Ok(left_parts.len().cmp(&right_parts.len()))
}

/// Numbers and the pre-release mark of a strict version.
type StrictParts = ([u64; 3], Option<(char, u64)>);

/// distutils' `StrictVersion`: `1.2`, `1.2.3`, with `a1` or `b1` behind.
fn strict_parts(text: &str) -> Outcome<StrictParts> {
    let invalid = || {
        TemplateError::failed(format!("Version comparison failed: invalid version number '{text}'"))
    };
    let (numbers, pre) = match text.find(['a', 'b']) {
        Some(at) => {
            let (numbers, tail) = text.split_at_checked(at).ok_or_else(invalid)?;
            let kind = tail.chars().next().ok_or_else(invalid)?;
            let number =
                tail.get(1..).and_then(|digits| digits.parse().ok()).ok_or_else(invalid)?;
            (numbers, Some((kind, number)))
        }
        None => (text, None),
    };
    let parts: Vec<&str> = numbers.split('.').collect();
    if !(2..=3).contains(&parts.len()) {
        return Err(invalid());
    }
    let mut out = [0u64; 3];
    for (slot, part) in out.iter_mut().zip(parts) {
        *slot = part.parse().map_err(|_| invalid())?;
    }
    Ok((out, pre))
}

fn strict_order(left: &str, right: &str) -> Outcome<Ordering> {
    let (left, right) = (strict_parts(left)?, strict_parts(right)?);
    Ok(left.0.cmp(&right.0).then_with(|| match (left.1, right.1) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => left.cmp(&right),
    }))
}

/// Semantic Versioning 2.0.0, item 11.
fn semantic_order(left: &str, right: &str) -> Outcome<Ordering> {
    let (left, left_pre) = semantic_parts(left)?;
    let (right, right_pre) = semantic_parts(right)?;
    Ok(left.cmp(&right).then_with(|| match (left_pre.is_empty(), right_pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            for (left, right) in left_pre.iter().zip(&right_pre) {
                let ordering = match (left.parse::<u64>(), right.parse::<u64>()) {
                    (Ok(left), Ok(right)) => left.cmp(&right),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(_), Err(_)) => left.cmp(right),
                };
                if ordering != Ordering::Equal {
                    return ordering;
                }
            }
            left_pre.len().cmp(&right_pre.len())
        }
    }))
}

fn semantic_parts(text: &str) -> Outcome<([u64; 3], Vec<String>)> {
    let invalid = || {
        TemplateError::failed(format!(
            "Version comparison failed: invalid semantic version '{text}'"
        ))
    };
    let version = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, pre) = version.split_once('-').unwrap_or((version, ""));
    let parts: Vec<u64> = numbers
        .split('.')
        .map(|part| {
            let leading_zero = part.len() > 1 && part.starts_with('0');
            if leading_zero { None } else { part.parse::<u64>().ok() }
        })
        .collect::<Option<_>>()
        .ok_or_else(invalid)?;
    let numbers: [u64; 3] = parts.try_into().map_err(|_| invalid())?;
    let pre = pre.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    Ok((numbers, pre))
}

/// What PEP 440 sorts by: epoch, release, pre, post and dev parts.
type Pep440Key = (u64, Vec<u64>, (i8, u64), i64, u64, Vec<String>);

fn pep440_order(left: &str, right: &str) -> Outcome<Ordering> {
    Ok(pep440_key(left)?.cmp(&pep440_key(right)?))
}

fn pep440_key(text: &str) -> Outcome<Pep440Key> {
    let invalid =
        || TemplateError::failed(format!("Version comparison failed: Invalid version: '{text}'"));
    let pattern = r"(?i)^\s*v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)(?:[-_.]?(?P<pre_l>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>[0-9]+)?)?(?P<post>(?:-(?P<post_n1>[0-9]+))|(?:[-_.]?(?:post|rev|r)[-_.]?(?P<post_n2>[0-9]+)?))?(?P<dev>[-_.]?dev[-_.]?(?P<dev_n>[0-9]+)?)?(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$";
    let regex = super::regex::compile(pattern, super::regex::Flags::default())?;
    let captures = regex
        .captures(text)
        .map_err(|error| super::regex::too_long(&error))?
        .ok_or_else(invalid)?;
    let number =
        |name: &str| captures.name(name).and_then(|found| found.as_str().parse::<u64>().ok());
    let mut release: Vec<u64> = captures
        .name("release")
        .map(|found| found.as_str().split('.').filter_map(|part| part.parse().ok()).collect())
        .unwrap_or_default();
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let is_dev = captures.name("dev").is_some();
    let is_post = captures.name("post").is_some();
    let pre = match captures.name("pre_l").map(|found| found.as_str().to_lowercase()) {
        Some(kind) => {
            let rank = match kind.as_str() {
                "a" | "alpha" => 0,
                "b" | "beta" => 1,
                _ => 2,
            };
            (rank, number("pre_n").unwrap_or(0))
        }
        // A development release without anything else comes before every pre-release.
        None if is_dev && !is_post => (-1, 0),
        None => (3, 0),
    };
    let post = if is_post {
        let number = number("post_n1").or_else(|| number("post_n2")).unwrap_or(0);
        i64::try_from(number).unwrap_or(i64::MAX)
    } else {
        -1
    };
    let dev = if is_dev { number("dev_n").unwrap_or(0) } else { u64::MAX };
    let local = captures
        .name("local")
        .map(|found| {
            found.as_str().to_lowercase().split(['-', '_', '.']).map(str::to_owned).collect()
        })
        .unwrap_or_default();
    Ok((number("epoch").unwrap_or(0), release, pre, post, dev, local))
}

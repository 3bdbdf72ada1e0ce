//! Regular expressions in Python's syntax.

use std::sync::{Arc, PoisonError, RwLock};

use fancy_regex::{Captures, Regex, RegexBuilder};
use indexmap::IndexMap;
use minijinja::Value;

use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::limits::MAX_BACKTRACKING_STEPS;
use crate::run::{Call, Run};
use crate::value::{is_list, iterate, list_value, text_of, tuple_value};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("regex_escape", escape),
    pure("regex_findall", find_all),
    pure("regex_replace", replace),
    pure("regex_search", search),
];

/// Compiled expressions kept; beyond that the cache starts afresh.
const MAX_CACHED_EXPRESSIONS: usize = 2_000;

/// Python's flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Flags {
    pub(crate) ignore_case: bool,
    pub(crate) multi_line: bool,
    pub(crate) dot_all: bool,
}

/// Compiles an expression in Python's syntax.
pub(crate) fn compile(pattern: &str, flags: Flags) -> Outcome<Arc<Regex>> {
    type Cache = RwLock<IndexMap<(String, Flags), Arc<Regex>>>;
    static CACHE: std::sync::OnceLock<Cache> = std::sync::OnceLock::new();
    let cache = CACHE.get_or_init(Cache::default);
    let key = (pattern.to_owned(), flags);
    if let Some(known) = cache.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(known.clone());
    }
    let translated = translate(pattern, flags.multi_line || pattern.starts_with("(?m"));
    let regex = RegexBuilder::new(&translated)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .backtrack_limit(MAX_BACKTRACKING_STEPS)
        .build()
        .map_err(|error| {
            TemplateError::failed(format!("invalid regular expression '{pattern}': {error}"))
        })?;
    let regex = Arc::new(regex);
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= MAX_CACHED_EXPRESSIONS {
        cache.clear();
    }
    cache.insert(key, regex.clone());
    Ok(regex)
}

/// Python's spelling in Rust's: `(?P=name)`, `\Z`, `$` before a last newline, `{,n}`, stray braces.
fn translate(pattern: &str, multi_line: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or("");
        if let Some(named) = rest.strip_prefix("(?P=").filter(|_| !in_class)
            && let Some((name, tail)) = named.split_once(')')
        {
            out.push_str(&format!("\\k<{name}>"));
            rest = tail;
            continue;
        }
        match character {
            '\\' => {
                let next = after.chars().next();
                match next {
                    Some('Z') if !in_class => out.push_str("\\z"),
                    // Escapes of characters that mean nothing special.
                    Some(next) if "'\"/ :;,=<>@!%`_".contains(next) => out.push(next),
                    Some(next) => {
                        out.push('\\');
                        out.push(next);
                    }
                    None => out.push('\\'),
                }
                rest = after.get(next.map_or(0, char::len_utf8)..).unwrap_or("");
                continue;
            }
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                let mut tail = after;
                if let Some(negated) = tail.strip_prefix('^') {
                    out.push('^');
                    tail = negated;
                }
                if let Some(literal) = tail.strip_prefix(']') {
                    out.push_str("\\]");
                    tail = literal;
                }
                rest = tail;
                continue;
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(character);
            }
            // Python's `$` also matches before a newline at the end.
            '$' if !in_class && !multi_line => out.push_str("(?=\\n?\\z)"),
            '{' if !in_class && !is_repetition(after) => out.push_str("\\{"),
            '{' if !in_class && after.starts_with(',') => out.push_str("{0"),
            '}' if !in_class && !closes_repetition(&out) => out.push_str("\\}"),
            _ => out.push(character),
        }
        rest = after;
    }
    out
}

/// Whether `n}`, `n,}`, `,m}` or `n,m}` follows.
fn is_repetition(after: &str) -> bool {
    let Some((inner, _)) = after.split_once('}') else { return false };
    let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !inner.is_empty() && inner != "," && digits(low) && digits(high)
}

/// Whether the text ends in an open repetition.
fn closes_repetition(out: &str) -> bool {
    let Some(at) = out.rfind('{') else { return false };
    let escaped = out.get(..at).is_some_and(|before| before.ends_with('\\'));
    let inner = out.get(at + 1..).unwrap_or("x");
    let counts = inner.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
    let class = inner.starts_with(|c: char| c.is_alphabetic() || c == '_');
    !escaped && (counts || class)
}

/// The error of a match that took too long.
pub(crate) fn too_long(error: &fancy_regex::Error) -> TemplateError {
    TemplateError::failed(format!("the regular expression could not be matched: {error}"))
}

/// All matches as Python finds them: an empty one may follow right behind another that was not.
fn all_matches<'t>(regex: &Regex, text: &'t str) -> Outcome<Vec<Captures<'t, str>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at <= text.len() {
        let captures = regex.captures_from_pos(text, at).map_err(|error| too_long(&error))?;
        let Some(captures) = captures else { break };
        let Some(whole) = captures.get(0) else { break };
        at = whole.end();
        if whole.start() == whole.end() {
            at += text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        }
        found.push(captures);
    }
    Ok(found)
}

fn flags(call: &mut Call, ignore_case: usize, multi_line: usize) -> Flags {
    Flags {
        ignore_case: call.flag(ignore_case, "ignorecase", false),
        multi_line: call.flag(multi_line, "multiline", false),
        dot_all: false,
    }
}

fn escape(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let kind = call.text(0, "re_type").unwrap_or_else(|| "python".into());
    let text = call.input_text();
    // Python's `re.escape` and the special characters of basic expressions.
    let special = match kind.as_str() {
        "python" => "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}",
        "posix_basic" => "].[^$*\\",
        "posix_extended" => {
            return Err(TemplateError::failed("Regex type (posix_extended) not yet implemented")
                .hint("there are `python` and `posix_basic`"));
        }
        _ => {
            return Err(TemplateError::failed(format!("Invalid regex type ({kind})")));
        }
    };
    let mut out = String::new();
    for character in text.chars() {
        if special.contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    Ok(Value::from(out))
}

fn replace(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let pattern = text_of(&call.arg(0, "pattern").unwrap_or_else(|| Value::from("")));
    let replacement = text_of(&call.arg(1, "replacement").unwrap_or_else(|| Value::from("")));
    let flags = flags(call, 2, 3);
    let count = call.integer(4, "count")?.unwrap_or(0);
    let mandatory = call.integer(5, "mandatory_count")?.unwrap_or(0);
    let regex = compile(&pattern, flags)?;
    let text = call.input_text();
    let limit = usize::try_from(count).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut out = String::new();
    let mut last = 0;
    let mut done = 0usize;
    for captures in all_matches(&regex, &text)?.into_iter().take(limit) {
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(text.get(last..whole.start()).unwrap_or(""));
        expand(&mut out, &replacement, &captures)?;
        last = whole.end();
        done += 1;
    }
    out.push_str(text.get(last..).unwrap_or(""));
    if mandatory != 0 && usize::try_from(mandatory) != Ok(done) {
        return Err(TemplateError::failed(format!(
            "'{pattern}' should match {mandatory} times, but matches {done} times in '{text}'"
        )));
    }
    Ok(Value::from(out))
}

/// Python's replacement template: `\1`, `\g<name>`, `\n`.
fn expand(out: &mut String, template: &str, captures: &Captures<'_, str>) -> Outcome<()> {
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let Some(next) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        if let Some((group, tail)) = rest.strip_prefix("g<").and_then(|inner| inner.split_once('>'))
        {
            out.push_str(group_text(captures, group)?);
            rest = tail;
            continue;
        }
        if next.is_ascii_digit() && next != '0' {
            let two = rest.get(..2).filter(|two| {
                two.bytes().all(|byte| byte.is_ascii_digit())
                    && two.parse::<usize>().is_ok_and(|group| group < captures.len())
            });
            let digits = two.unwrap_or_else(|| rest.get(..1).unwrap_or(""));
            out.push_str(group_text(captures, digits)?);
            rest = rest.get(digits.len()..).unwrap_or("");
            continue;
        }
        match crate::value::unescape(rest, out) {
            Some(tail) => rest = tail,
            None => {
                out.push('\\');
                out.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    Ok(())
}

fn group_text<'t>(captures: &Captures<'t, str>, group: &str) -> Outcome<&'t str> {
    match group.parse::<usize>() {
        Ok(index) if index < captures.len() => {
            Ok(captures.get(index).map_or("", |found| found.as_str()))
        }
        Ok(index) => Err(TemplateError::failed(format!(
            "invalid group reference {index} in the replacement"
        ))),
        Err(_) => Ok(captures.name(group).map_or("", |found| found.as_str())),
    }
}

fn search(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let pattern = text_of(&call.needed(0, "regex")?);
    let mut flags = Flags {
        ignore_case: call.option("ignorecase").is_some_and(|value| crate::value::is_true(&value)),
        multi_line: call.option("multiline").is_some_and(|value| crate::value::is_true(&value)),
        dot_all: false,
    };
    let mut groups = Vec::new();
    for arg in call.args.iter().skip(1) {
        let parts = if is_list(arg) { iterate(arg)? } else { vec![arg.clone()] };
        for part in parts {
            let part = text_of(&part);
            let named = part.strip_prefix("\\g<").and_then(|rest| rest.strip_suffix('>'));
            let numbered = part
                .strip_prefix('\\')
                .filter(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
            match part.as_str() {
                _ if named.is_some() || numbered.is_some() => {
                    groups.extend(named.or(numbered).map(str::to_owned));
                }
                _ if part.starts_with('\\') => {
                    return Err(TemplateError::failed(
                        "'NoneType' object has no attribute 'group'",
                    )
                    .hint(format!("`{part}` is not a group; write '\\\\1' or '\\\\g<name>'")));
                }
                "ignorecase" => flags.ignore_case = true,
                "multiline" => flags.multi_line = true,
                _ => return Err(TemplateError::failed("Unknown argument")),
            }
        }
    }
    let regex = compile(&pattern, flags)?;
    let text = call.input_text();
    let Some(captures) = regex.captures(text.as_str()).map_err(|error| too_long(&error))? else {
        return Ok(Value::from(()));
    };
    if groups.is_empty() {
        return Ok(Value::from(captures.get(0).map_or("", |found| found.as_str())));
    }
    let mut found = Vec::new();
    for group in groups {
        let text = match group.parse::<usize>() {
            Ok(index) => captures.get(index),
            Err(_) => captures.name(&group),
        };
        found.push(text.map_or_else(|| Value::from(()), |found| Value::from(found.as_str())));
    }
    Ok(list_value(found))
}

fn find_all(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let pattern = text_of(&call.needed(0, "regex")?);
    let flags = Flags {
        multi_line: call.flag(1, "multiline", false),
        ignore_case: call.flag(2, "ignorecase", false),
        dot_all: false,
    };
    let regex = compile(&pattern, flags)?;
    let text = call.input_text();
    let mut found = Vec::new();
    for captures in all_matches(&regex, &text)? {
        let group =
            |index: usize| Value::from(captures.get(index).map_or("", |found| found.as_str()));
        found.push(match captures.len() {
            1 => group(0),
            2 => group(1),
            count => tuple_value((1..count).map(group).collect()),
        });
    }
    Ok(list_value(found))
}

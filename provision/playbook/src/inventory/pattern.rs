//! Patterns over hosts: what `hosts:` and `--limit` mean.

use std::path::Path;
use std::sync::Arc;

use diagnostics::{Diagnostic, Span, closest};
use fancy_regex::Regex as PythonRegex;
use indexmap::IndexSet;
use regex::Regex;

use super::{Inventory, address, is_localhost};
use crate::files::{FileKind, Files};

/// Patterns that are combined: plain ones first, then intersections (`&`), then exclusions
/// (`!`), whatever order they were written in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patterns {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: String,
    span: Option<Span>,
}

/// The hosts that patterns mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Their names, in the order in which Ansible would take them.
    pub hosts: Vec<Arc<str>>,
    /// Parts that mean nothing (warnings) or cannot be read (errors).
    pub diagnostics: Vec<Diagnostic>,
}

/// A `--limit` that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is no such file.
    #[error("find the limit file {0}")]
    Missing(String),
    /// It is a folder.
    #[error("read the limit file {0}: it must be a file, and is a folder")]
    Folder(String),
    /// Reading failed.
    #[error("read the limit file {path}: {reason}")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Patterns {
    /// Patterns of one text, separated by commas or, if there are none, by colons.
    #[must_use]
    pub fn parse(text: &str, span: Option<Span>) -> Self {
        Patterns::of_list([(text, span)])
    }

    /// Patterns of a list, as `hosts:` may be.
    #[must_use]
    pub fn of_list<'text>(texts: impl IntoIterator<Item = (&'text str, Option<Span>)>) -> Self {
        let parts = texts
            .into_iter()
            .flat_map(|(text, span)| split(text).into_iter().map(move |text| Part { text, span }));
        Patterns { parts: parts.collect() }
    }

    /// Patterns of `--limit`, where `@file` stands for the lines of a file.
    ///
    /// # Errors
    /// When such a file cannot be read.
    pub fn limit(text: &str, files: &dyn Files) -> Result<Self, LimitError> {
        let mut parts = Vec::new();
        for text in split(text) {
            let Some(path) = text.strip_prefix('@') else {
                parts.push(Part { text, span: None });
                continue;
            };
            let content = match files.kind(Path::new(path)) {
                None => return Err(LimitError::Missing(path.to_owned())),
                Some(FileKind::Folder) => return Err(LimitError::Folder(path.to_owned())),
                Some(FileKind::File) => files.read(Path::new(path)),
            };
            let content = content
                .map_err(|reason| LimitError::Unreadable { path: path.to_owned(), reason })?;
            let lines = content.lines().map(str::trim).filter(|line| !line.is_empty());
            parts.extend(lines.map(|line| Part { text: line.to_owned(), span: None }));
        }
        Ok(Patterns { parts })
    }
}

/// Single patterns of a text. Colons separate only if the text is no address with a port or a
/// range, and never inside brackets.
fn split(text: &str) -> Vec<String> {
    let parts: Vec<&str> = if text.contains(',') {
        text.split(',').collect()
    } else if address::parse(text).is_some() {
        vec![text]
    } else {
        by_colons(text)
    };
    parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Runs of characters other than blanks and colons, where `[…]` is one unit.
fn by_colons(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or("");
        let unit = match character {
            '[' => rest.find(']').map_or(0, |end| end + 1),
            ':' | ']' => 0,
            _ if character.is_whitespace() => 0,
            _ => character.len_utf8(),
        };
        if unit == 0 {
            parts.push(text.get(start..at).unwrap_or(""));
            start = at + character.len_utf8();
        }
        at += unit.max(character.len_utf8());
    }
    parts.push(text.get(start..).unwrap_or(""));
    parts
}

impl Inventory {
    /// The hosts that patterns mean, restricted to those of a limit.
    #[must_use]
    pub fn select(&self, patterns: &Patterns, limit: Option<&Patterns>) -> Selection {
        let mut diagnostics = Vec::new();
        let mut hosts = self.evaluate(patterns, &mut diagnostics);
        if let Some(limit) = limit {
            let allowed = self.evaluate(limit, &mut diagnostics);
            hosts.retain(|host| allowed.contains(host));
        }
        Selection { hosts: hosts.into_iter().collect(), diagnostics }
    }

    fn evaluate(
        &self,
        patterns: &Patterns,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> IndexSet<Arc<str>> {
        let kind = |part: &&Part| part.text.chars().next();
        let plain = patterns.parts.iter().filter(|part| !matches!(kind(part), Some('&' | '!')));
        let mut hosts: IndexSet<Arc<str>> = IndexSet::new();
        let mut any = false;
        for part in plain {
            any = true;
            match self.hosts.get_key_value(part.text.as_str()) {
                Some((name, _)) => {
                    hosts.insert(Arc::clone(name));
                }
                None => hosts.extend(self.matches(&part.text, part.span, diagnostics)),
            }
        }
        if !any {
            hosts.extend(self.hosts_of(super::ALL));
        }
        for (sign, keep) in [('&', true), ('!', false)] {
            for part in &patterns.parts {
                let Some(text) = part.text.strip_prefix(sign) else { continue };
                let matching: IndexSet<Arc<str>> =
                    self.matches(text, part.span, diagnostics).into_iter().collect();
                hosts.retain(|host| matching.contains(host) == keep);
            }
        }
        hosts
    }

    /// The hosts of one pattern without its sign.
    fn matches(
        &self,
        pattern: &str,
        span: Option<Span>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<Arc<str>> {
        let mut report = |diagnostic: Diagnostic| {
            diagnostics.push(match span {
                Some(span) => diagnostic.at(span, "in this pattern"),
                None => diagnostic,
            });
        };
        let (expression, subscript) = subscript(pattern);
        let Some(matcher) = Matcher::new(expression) else {
            let message = format!("the host pattern `{expression}` is no regular expression");
            report(Diagnostic::error("host-pattern", message));
            return Vec::new();
        };
        let groups: Vec<&Arc<str>> =
            self.groups.keys().filter(|name| matcher.is_match(name)).collect();
        let mut found: Vec<Arc<str>> = groups.iter().flat_map(|name| self.hosts_of(name)).collect();
        if groups.is_empty()
            || expression.starts_with('~')
            || expression.contains(['.', '?', '*', '['])
        {
            found.extend(self.hosts.keys().filter(|name| matcher.is_match(name)).cloned());
        }
        if found.is_empty() && is_localhost(expression) {
            let named = self.named_localhost().map(|host| Arc::clone(&host.name));
            found.push(named.unwrap_or_else(|| expression.into()));
        }
        if found.is_empty() {
            if groups.is_empty() && expression != super::ALL {
                report(self.unknown(expression));
            }
            return found;
        }
        match subscript.map_or(Some(found.clone()), |subscript| subscript.apply(found)) {
            Some(chosen) => chosen,
            None => {
                let message =
                    format!("the host pattern `{pattern}` asks for a host beyond the last one");
                report(Diagnostic::error("host-pattern", message));
                Vec::new()
            }
        }
    }

    /// Ansible goes on without hosts that don't exist, so this is a warning.
    fn unknown(&self, expression: &str) -> Diagnostic {
        let names = self.groups.keys().chain(self.hosts.keys()).map(|name| &**name);
        let hint = closest(expression, names).map(|near| format!("did you mean `{near}`?"));
        let message = format!("no host or group matches `{expression}`");
        Diagnostic::warning("host-pattern", message).hint_if(hint)
    }
}

/// A name, a glob or, behind `~`, a regular expression of Python.
enum Matcher {
    /// Most patterns; no regular expression has to be compiled for them.
    Name(String),
    Glob(Regex),
    Python(Box<PythonRegex>),
}

impl Matcher {
    fn new(pattern: &str) -> Option<Self> {
        match pattern.strip_prefix('~') {
            // Python's `re.match` begins at the first character.
            Some(expression) => PythonRegex::new(&format!(r"\A(?:{expression})"))
                .ok()
                .map(|regex| Matcher::Python(Box::new(regex))),
            None if !pattern.contains(['*', '?', '[']) => Some(Matcher::Name(pattern.to_owned())),
            None => Regex::new(&glob(pattern)).ok().map(Matcher::Glob),
        }
    }

    fn is_match(&self, name: &str) -> bool {
        match self {
            Matcher::Name(wanted) => wanted == name,
            Matcher::Glob(regex) => regex.is_match(name),
            // A search that gives up (catastrophic backtracking) matches nothing.
            Matcher::Python(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

/// The regular expression of Python's `fnmatch`.
fn glob(pattern: &str) -> String {
    let mut regex = String::from(r"(?s)\A");
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        rest = rest.get(character.len_utf8()..).unwrap_or("");
        match character {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => match class(rest) {
                Some((set, behind)) => {
                    regex.push_str(&set);
                    rest = behind;
                }
                None => regex.push_str(r"\["),
            },
            _ => regex.push_str(&regex::escape(character.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(r"\z");
    regex
}

/// A set of characters behind `[`, and the text behind it; a `]` in first place belongs to it.
fn class(text: &str) -> Option<(String, &str)> {
    let negated = text.starts_with('!');
    let body = if negated { text.get(1..)? } else { text };
    let first = body.chars().next()?.len_utf8();
    let end = first + body.get(first..)?.find(']')?;
    let (set, behind) = (body.get(..end)?, body.get(end + 1..)?);
    let mut class = String::from(if negated { "[^" } else { "[" });
    for character in set.chars() {
        if !character.is_alphanumeric() && character != '-' && character.is_ascii() {
            class.push('\\');
        }
        class.push(character);
    }
    class.push(']');
    Some((class, behind))
}

/// Which of the matching hosts are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscript {
    /// One; negative numbers count from the end.
    One(i64),
    /// From the first to the last of these; without a last one to the end.
    Range(usize, Option<usize>),
}

impl Subscript {
    fn apply(self, hosts: Vec<Arc<str>>) -> Option<Vec<Arc<str>>> {
        match self {
            Subscript::One(index) => {
                let index = match usize::try_from(index) {
                    Ok(index) => index,
                    Err(_) => {
                        let back = usize::try_from(index.unsigned_abs()).ok()?;
                        hosts.len().checked_sub(back)?
                    }
                };
                hosts.get(index).map(|host| vec![Arc::clone(host)])
            }
            // Ansible reads `[n:0]` as `[n]`.
            Subscript::Range(start, Some(0)) => hosts.get(start).map(|host| vec![Arc::clone(host)]),
            Subscript::Range(start, end) => {
                let count = end.map_or(usize::MAX, |end| (end + 1).saturating_sub(start));
                Some(hosts.into_iter().skip(start).take(count).collect())
            }
        }
    }
}

/// A pattern without its subscript `[i]` or `[i:j]`; regular expressions have none.
fn subscript(pattern: &str) -> (&str, Option<Subscript>) {
    let parsed = || {
        let (expression, inside) = pattern.strip_suffix(']')?.rsplit_once('[')?;
        if expression.is_empty() || pattern.starts_with('~') {
            return None;
        }
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits(inside.strip_prefix('-').unwrap_or(inside)) {
            return Some((expression, Subscript::One(inside.parse().ok()?)));
        }
        let (start, end) = inside.split_once([':', '-'])?;
        if !digits(start) || !(end.is_empty() || digits(end)) {
            return None;
        }
        let end = if end.is_empty() { None } else { Some(end.parse().ok()?) };
        Some((expression, Subscript::Range(start.parse().ok()?, end)))
    };
    match parsed() {
        Some((expression, subscript)) => (expression, Some(subscript)),
        None => (pattern, None),
    }
}

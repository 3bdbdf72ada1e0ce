//! Ansible's filters that belong to no theme.

use minijinja::Value;

use super::{FilterEntry, lenient, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{Undefined, View, dict_of, is_true, is_undefined, text_of, type_name, view};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("bool", boolean),
    pure("comment", comment),
    lenient("mandatory", mandatory),
    pure("quote", |_, call| Ok(Value::from(quoted(&quotable(&call.input))))),
    pure("ternary", ternary),
    lenient("type_debug", type_debug),
    pure("urldecode", |_, call| {
        Ok(Value::from(percent_decoded(&call.input_text().replace('+', " "))))
    }),
    pure("urlsplit", urlsplit),
];

fn boolean(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    Ok(match view(&call.input) {
        View::None if run.is_strict() => Value::from(false),
        View::None | View::Bool(_) => call.input.clone(),
        View::Text(text) => {
            Value::from(matches!(text.to_lowercase().as_str(), "yes" | "on" | "1" | "true"))
        }
        View::Int(number) => Value::from(number == 1),
        View::Float(number) => Value::from(number == 1.0),
        _ => Value::from(false),
    })
}

fn ternary(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let when_true = call.needed(0, "true_val")?;
    let when_false = call.needed(1, "false_val")?;
    let when_none = call.arg(2, "none_val").filter(|value| !value.is_none());
    if call.input.is_none()
        && let Some(when_none) = when_none
    {
        return Ok(when_none);
    }
    Ok(if is_true(&call.input) { when_true } else { when_false })
}

fn mandatory(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if !is_undefined(&call.input) {
        return Ok(call.input.clone());
    }
    if let Some(message) = call.text(0, "msg") {
        return Err(TemplateError::failed(message));
    }
    let name = call
        .input
        .downcast_object_ref::<Undefined>()
        .and_then(|undefined| undefined.name.clone())
        .map(|name| format!("'{name}' "))
        .unwrap_or_default();
    // Two blanks behind a name: Ansible's words exactly, content compares them.
    Err(TemplateError::failed(format!("Mandatory variable {name} not defined.")))
}

fn type_debug(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if run.is_strict() && is_undefined(&call.input) {
        return Ok(Value::from("UndefinedMarker"));
    }
    Ok(Value::from(type_name(&call.input)))
}

fn quotable(value: &Value) -> String {
    if value.is_none() { String::new() } else { text_of(value) }
}

/// One word for a POSIX shell (Python's `shlex.quote`).
pub(crate) fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if text.is_empty() {
        return "''".into();
    }
    if text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// Ways to write a comment.
struct CommentStyle {
    beginning: &'static str,
    decoration: &'static str,
    end: &'static str,
}

fn comment_style(name: &str) -> Option<CommentStyle> {
    let style = |beginning, decoration, end| Some(CommentStyle { beginning, decoration, end });
    match name {
        "plain" => style("", "# ", ""),
        "erlang" => style("", "% ", ""),
        "c" => style("", "// ", ""),
        "cblock" => style("/*", " * ", " */"),
        "xml" => style("<!--", " - ", "-->"),
        _ => None,
    }
}

fn comment(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let name = call.text(0, "style").unwrap_or_else(|| "plain".into());
    let style = comment_style(&name)
        .ok_or_else(|| TemplateError::failed(format!("unknown comment style '{name}'")))?;
    let mut option = |name: &str| call.option(name).map(|value| text_of(&value));
    let newline = option("newline").unwrap_or_else(|| "\n".into());
    let beginning = option("beginning").unwrap_or_else(|| style.beginning.into());
    let decoration = option("decoration").unwrap_or_else(|| style.decoration.into());
    let end = option("end").unwrap_or_else(|| style.end.into());
    let prepostfix = decoration.trim_end().to_owned();
    let prefix = option("prefix").unwrap_or_else(|| prepostfix.clone());
    let postfix = option("postfix").unwrap_or(prepostfix);
    let count = |value: Option<String>| -> usize {
        value.and_then(|text| text.parse().ok()).unwrap_or(1).min(1000)
    };
    let prefix_count = count(option("prefix_count"));
    let postfix_count = count(option("postfix_count"));
    let block = |text: &str, count: usize| match text {
        "" => String::new(),
        // A prefix that is the end of a line needs none of its own.
        _ if text == newline => newline.repeat(count),
        _ => format!("{text}{newline}").repeat(count),
    };
    let beginning =
        if beginning.is_empty() { String::new() } else { format!("{beginning}{newline}") };
    let body = call.input_text().replace(&newline, &format!("{newline}{decoration}"));
    // Lines that hold only the decoration lose its trailing blank.
    let body = format!("{decoration}{body}")
        .replace(&format!("{decoration}{newline}"), &format!("{}{newline}", decoration.trim_end()));
    let end_text = if end.is_empty() { String::new() } else { format!("{newline}{end}") };
    // Also an empty one is a line.
    let post = format!("{newline}{postfix}").repeat(postfix_count);
    Ok(Value::from(format!("{beginning}{}{body}{post}{end_text}", block(&prefix, prefix_count))))
}

/// Percent decoding.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parts of a URL, as Python's `urllib.parse.urlsplit` finds them.
pub(crate) struct UrlParts {
    pub(crate) scheme: String,
    pub(crate) netloc: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) fragment: String,
}

pub(crate) fn url_parts(url: &str) -> UrlParts {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, tail)) if is_scheme(scheme) => (scheme.to_lowercase(), tail),
        _ => (String::new(), rest),
    };
    let (netloc, path) = match rest.strip_prefix("//") {
        Some(tail) => {
            tail.split_at_checked(tail.find('/').unwrap_or(tail.len())).unwrap_or((tail, ""))
        }
        None => ("", rest),
    };
    UrlParts {
        scheme,
        netloc: netloc.into(),
        path: path.into(),
        query: query.into(),
        fragment: fragment.into(),
    }
}

fn urlsplit(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let wanted = call.text(0, "query").filter(|wanted| !wanted.is_empty());
    let parts = url_parts(&call.input_text());
    let (user, host) = match parts.netloc.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, parts.netloc.as_str()),
    };
    let (hostname, port) = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, tail)) => (inner, tail.strip_prefix(':')),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let text_or_none = |text: Option<&str>| {
        text.filter(|text| !text.is_empty()).map_or_else(|| Value::from(()), Value::from)
    };
    let username = user.map(|user| user.split_once(':').map_or(user, |(name, _)| name));
    let password = user.and_then(|user| user.split_once(':').map(|(_, password)| password));
    let port = port.and_then(|port| port.parse::<i64>().ok());
    let lower = hostname.to_lowercase();
    let all = dict_of([
        ("fragment", Value::from(parts.fragment.as_str())),
        ("hostname", text_or_none(Some(&lower))),
        ("netloc", Value::from(parts.netloc.as_str())),
        ("password", text_or_none(password)),
        ("path", Value::from(parts.path.as_str())),
        ("port", port.map_or_else(|| Value::from(()), Value::from)),
        ("query", Value::from(parts.query.as_str())),
        ("scheme", Value::from(parts.scheme.as_str())),
        ("username", text_or_none(username)),
    ]);
    match wanted {
        None => Ok(all),
        Some(name) => crate::value::dict_get(&all, &name).ok_or_else(|| {
            TemplateError::failed(format!("urlsplit: unknown URL component: {name}"))
        }),
    }
}

//! Methods of `str` and `bytes`.

use minijinja::Value;

use crate::convert::signed;
use crate::error::{Outcome, TemplateError};
use crate::run::Call;
use crate::value::{
    View, dict_get, is_list, iterate, list_value, text_of, tuple_value, type_name, view,
};

/// Widths beyond this are mistakes.
const MAX_WIDTH: i64 = 1_000_000;

pub(super) fn text_method(name: &str, call: &mut Call) -> Option<Outcome<Value>> {
    let text = call.input_text();
    if let Some(result) = plain(name, &text) {
        return Some(Ok(result));
    }
    Some(match name {
        "strip" | "lstrip" | "rstrip" => Ok(strip(name, &text, call)),
        "split" | "rsplit" => split(name == "rsplit", &text, call),
        "splitlines" => Ok(list_value(split_lines(&text, call.flag(0, "keepends", false)))),
        "replace" => replace(&text, call),
        "join" => join(&text, call),
        "startswith" | "endswith" => affix(name == "startswith", &text, call),
        "find" | "rfind" | "index" | "rindex" => find(name, &text, call),
        "count" => count(&text, call),
        "format" => crate::format::braces(&text, &call.args, &call.named).map(Value::from),
        "format_map" => {
            let named = call.args.first().map(crate::value::pairs_of).unwrap_or_default();
            let named: Vec<_> =
                named.into_iter().map(|(key, value)| (text_of(&key).into(), value)).collect();
            crate::format::braces(&text, &[], &named).map(Value::from)
        }
        "ljust" | "rjust" | "center" | "zfill" => justify(name, &text, call),
        "removeprefix" | "removesuffix" => call.needed(0, "prefix").map(|affix| {
            let affix = text_of(&affix);
            let rest = if name == "removeprefix" {
                text.strip_prefix(&affix)
            } else {
                text.strip_suffix(&affix)
            };
            Value::from(rest.unwrap_or(&text))
        }),
        "partition" | "rpartition" => call
            .needed(0, "sep")
            .and_then(|separator| partition(&text, &text_of(&separator), name == "rpartition")),
        "expandtabs" => call.integer(0, "tabsize").map(|size| {
            Value::from(expand_tabs(&text, usize::try_from(size.unwrap_or(8)).unwrap_or(0)))
        }),
        "encode" => Ok(Value::from_bytes(text.into_bytes())),
        "translate" => call.needed(0, "table").map(|table| Value::from(translate(&text, &table))),
        _ => return None,
    })
}

/// Methods without arguments.
fn plain(name: &str, text: &str) -> Option<Value> {
    let every = |test: fn(char) -> bool| Value::from(!text.is_empty() && text.chars().all(test));
    Some(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" | "casefold" => Value::from(text.to_lowercase()),
        "title" => Value::from(title(text)),
        "capitalize" => Value::from(capitalize(text)),
        "swapcase" => Value::from(swap_case(text)),
        "isdigit" | "isdecimal" | "isnumeric" => every(char::is_numeric),
        "isalpha" => every(char::is_alphabetic),
        "isalnum" => every(char::is_alphanumeric),
        "isspace" => every(char::is_whitespace),
        "isascii" => Value::from(text.is_ascii()),
        "isprintable" => Value::from(text.chars().all(|character| !character.is_control())),
        "isupper" => Value::from(
            text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        ),
        "islower" => Value::from(
            text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        ),
        "istitle" => Value::from(text.chars().any(char::is_alphabetic) && title(text) == text),
        "isidentifier" => {
            let starts = text.starts_with(|first: char| first.is_alphabetic() || first == '_');
            let rest =
                text.chars().all(|character| character.is_alphanumeric() || character == '_');
            Value::from(starts && rest)
        }
        _ => return None,
    })
}

/// Python's `str.title`: a letter behind anything but a letter is capital.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = character.is_alphabetic();
    }
    out
}

/// Python's `str.capitalize`.
pub(crate) fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return String::new() };
    first.to_uppercase().chain(characters.flat_map(char::to_lowercase)).collect()
}

fn swap_case(text: &str) -> String {
    let swap = |character: char| -> String {
        if character.is_uppercase() {
            character.to_lowercase().collect()
        } else {
            character.to_uppercase().collect()
        }
    };
    text.chars().map(swap).collect()
}

fn strip(name: &str, text: &str, call: &mut Call) -> Value {
    let set: Option<Vec<char>> = call.text(0, "chars").map(|set| set.chars().collect());
    let drop = |character: char| match &set {
        Some(set) => set.contains(&character),
        None => character.is_whitespace(),
    };
    Value::from(match name {
        "lstrip" => text.trim_start_matches(drop),
        "rstrip" => text.trim_end_matches(drop),
        _ => text.trim_matches(drop),
    })
}

fn split(from_right: bool, text: &str, call: &mut Call) -> Outcome<Value> {
    let separator = call.text(0, "sep");
    let limit = call.integer(1, "maxsplit")?.and_then(|limit| usize::try_from(limit).ok());
    if separator.as_deref() == Some("") {
        return Err(TemplateError::failed("empty separator"));
    }
    let parts = split_text(text, separator.as_deref(), limit, from_right);
    Ok(list_value(parts.into_iter().map(Value::from).collect()))
}

/// Python's `str.split` and `str.rsplit`.
pub(crate) fn split_text(
    text: &str,
    separator: Option<&str>,
    limit: Option<usize>,
    from_right: bool,
) -> Vec<String> {
    let mut parts: Vec<String> = match (separator, limit, from_right) {
        (Some(separator), None, _) => text.split(separator).map(str::to_owned).collect(),
        (Some(separator), Some(limit), false) => {
            text.splitn(limit + 1, separator).map(str::to_owned).collect()
        }
        (Some(separator), Some(limit), true) => {
            text.rsplitn(limit + 1, separator).map(str::to_owned).collect()
        }
        (None, None, _) => text.split_whitespace().map(str::to_owned).collect(),
        (None, Some(limit), false) => {
            let mut parts = Vec::new();
            let mut rest = text.trim_start();
            while !rest.is_empty() && parts.len() < limit {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                parts.push(word.to_owned());
                rest = after.trim_start();
            }
            if !rest.is_empty() {
                parts.push(rest.to_owned());
            }
            parts
        }
        (None, Some(limit), true) => {
            let mut parts = Vec::new();
            let mut rest = text.trim_end();
            while !rest.is_empty() && parts.len() < limit {
                let start = rest
                    .char_indices()
                    .rev()
                    .find(|(_, character)| character.is_whitespace())
                    .map_or(0, |(at, character)| at + character.len_utf8());
                let (before, word) = rest.split_at_checked(start).unwrap_or(("", rest));
                parts.push(word.to_owned());
                rest = before.trim_end();
            }
            if !rest.is_empty() {
                parts.push(rest.to_owned());
            }
            parts
        }
    };
    if from_right && limit.is_some() {
        parts.reverse();
    }
    parts
}

/// Python's `str.splitlines`.
pub(crate) fn split_lines(text: &str, keep_ends: bool) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut characters = text.chars().peekable();
    let is_end = |character: char| {
        matches!(
            character,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut open = false;
    while let Some(character) = characters.next() {
        open = true;
        if !is_end(character) {
            line.push(character);
            continue;
        }
        if keep_ends {
            line.push(character);
        }
        if character == '\r' && characters.peek() == Some(&'\n') {
            characters.next();
            if keep_ends {
                line.push('\n');
            }
        }
        lines.push(Value::from(std::mem::take(&mut line)));
        open = false;
    }
    if open {
        lines.push(Value::from(line));
    }
    lines
}

fn replace(text: &str, call: &mut Call) -> Outcome<Value> {
    let old = text_of(&call.needed(0, "old")?);
    let new = text_of(&call.needed(1, "new")?);
    let count = call.integer(2, "count")?.and_then(|count| usize::try_from(count).ok());
    Ok(Value::from(match count {
        Some(count) => text.replacen(&old, &new, count),
        None => text.replace(&old, &new),
    }))
}

fn join(separator: &str, call: &mut Call) -> Outcome<Value> {
    let items = iterate(&call.needed(0, "iterable")?)?;
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match view(item) {
            View::Text(text) => texts.push(text.to_owned()),
            View::Undefined => return Err(crate::value::undefined_error(item)),
            _ => {
                return Err(TemplateError::failed(format!(
                    "sequence item {index}: expected str instance, {} found",
                    type_name(item)
                )));
            }
        }
    }
    Ok(Value::from(texts.join(separator)))
}

fn affix(start: bool, text: &str, call: &mut Call) -> Outcome<Value> {
    let wanted = call.needed(0, "prefix")?;
    let candidates = if is_list(&wanted) { iterate(&wanted)? } else { vec![wanted] };
    let (text, _) = window(text, call, 1)?;
    for candidate in &candidates {
        let View::Text(candidate) = view(candidate) else {
            return Err(TemplateError::failed(format!(
                "{} first arg must be str or a tuple of str, not {}",
                if start { "startswith" } else { "endswith" },
                type_name(candidate)
            )));
        };
        if if start { text.starts_with(candidate) } else { text.ends_with(candidate) } {
            return Ok(Value::from(true));
        }
    }
    Ok(Value::from(false))
}

/// The part between the `start` and `end` arguments, and how many characters precede it.
fn window(text: &str, call: &mut Call, from: usize) -> Outcome<(String, i64)> {
    let start = call.integer(from, "start")?;
    let end = call.integer(from + 1, "end")?;
    if start.is_none() && end.is_none() {
        return Ok((text.to_owned(), 0));
    }
    let characters: Vec<char> = text.chars().collect();
    let length = signed(characters.len());
    let clamp = |bound: i64| (if bound < 0 { bound + length } else { bound }).clamp(0, length);
    let start = clamp(start.unwrap_or(0));
    let end = clamp(end.unwrap_or(length));
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    Ok((characters.get(range).unwrap_or_default().iter().collect(), start))
}

fn find(name: &str, text: &str, call: &mut Call) -> Outcome<Value> {
    let wanted = text_of(&call.needed(0, "sub")?);
    let (part, before) = window(text, call, 1)?;
    let at = if name.starts_with('r') { part.rfind(&wanted) } else { part.find(&wanted) };
    match at.and_then(|at| part.get(..at)) {
        Some(prefix) => Ok(Value::from(signed(prefix.chars().count()) + before)),
        None if name.ends_with("index") => Err(TemplateError::failed("substring not found")),
        None => Ok(Value::from(-1)),
    }
}

fn count(text: &str, call: &mut Call) -> Outcome<Value> {
    let wanted = text_of(&call.needed(0, "sub")?);
    let (part, _) = window(text, call, 1)?;
    Ok(Value::from(signed(if wanted.is_empty() {
        part.chars().count() + 1
    } else {
        part.matches(&wanted).count()
    })))
}

fn justify(name: &str, text: &str, call: &mut Call) -> Outcome<Value> {
    let width = call.integer(0, "width")?.unwrap_or(0).min(MAX_WIDTH);
    let fill = call.text(1, "fillchar").and_then(|fill| fill.chars().next()).unwrap_or(' ');
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    let run = |fill: char, count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    Ok(Value::from(match name {
        "ljust" => format!("{text}{}", run(fill, missing)),
        "rjust" => format!("{}{text}", run(fill, missing)),
        "center" => {
            // CPython gives the odd blank to the left side for odd widths.
            let odd = missing & usize::try_from(width).unwrap_or(0) & 1;
            let left = missing / 2 + odd;
            format!("{}{text}{}", run(fill, left), run(fill, missing - left))
        }
        _ => {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => (text.get(..1).unwrap_or(""), digits),
                None => ("", text),
            };
            format!("{sign}{}{digits}", run('0', missing))
        }
    }))
}

fn partition(text: &str, separator: &str, from_right: bool) -> Outcome<Value> {
    if separator.is_empty() {
        return Err(TemplateError::failed("empty separator"));
    }
    let parts = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let triple = match parts {
        Some((before, after)) => [before, separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(tuple_value(triple.into_iter().map(Value::from).collect()))
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for character in text.chars() {
        match character {
            '\t' if size > 0 => {
                let count = size - column % size;
                out.extend(std::iter::repeat_n(' ', count));
                column += count;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(character);
                column = 0;
            }
            _ => {
                out.push(character);
                column += 1;
            }
        }
    }
    out
}

fn translate(text: &str, table: &Value) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let key = Value::from(u32::from(character));
        let found = crate::value::dict_get_value(table, &key)
            .or_else(|| dict_get(table, &character.to_string()));
        match found {
            Some(value) if value.is_none() => {}
            Some(value) => out.push_str(&text_of(&value)),
            None => out.push(character),
        }
    }
    out
}

pub(super) fn bytes_method(name: &str, call: &mut Call) -> Option<Outcome<Value>> {
    let bytes = call.input.as_bytes()?;
    Some(match name {
        "decode" => {
            let errors = match call.args.get(1) {
                Some(errors) => text_of(errors),
                None => "strict".into(),
            };
            match (std::str::from_utf8(bytes), errors.as_str()) {
                (Ok(text), _) => Ok(Value::from(text)),
                (Err(error), "strict") => {
                    Err(TemplateError::failed(format!("'utf-8' codec can't decode: {error}")))
                }
                _ => Ok(Value::from(String::from_utf8_lossy(bytes).into_owned())),
            }
        }
        "hex" => Ok(Value::from(hex::encode(bytes))),
        _ => return None,
    })
}

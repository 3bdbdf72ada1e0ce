//! Jinja's text filters.

use minijinja::Value;

use super::{FilterEntry, lenient, pure};
use crate::convert::signed;
use crate::error::{Outcome, TemplateError};
use crate::methods::text::{capitalize, split_text};
use crate::run::{Call, Run};
use crate::value::{
    View, is_undefined, iterate, list_value, pairs_of, text_of, undefined_error, view,
};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("capitalize", |_, call| Ok(Value::from(capitalize(&call.input_text())))),
    pure("center", center),
    pure("e", escape),
    pure("escape", escape),
    pure("forceescape", escape),
    lenient("format", format),
    pure("indent", indent),
    pure("lower", |_, call| Ok(Value::from(call.input_text().to_lowercase()))),
    pure("replace", replace),
    pure("split", split),
    pure("striptags", strip_tags),
    pure("title", title),
    pure("trim", trim),
    pure("truncate", truncate),
    pure("upper", |_, call| Ok(Value::from(call.input_text().to_uppercase()))),
    pure("urlencode", url_encode),
    pure("urlize", urlize),
    pure("wordcount", word_count),
    pure("wordwrap", word_wrap),
    pure("xmlattr", xml_attributes),
];

/// Widths beyond this are mistakes.
const MAX_WIDTH: i64 = 1_000_000;

fn center(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let width = call.integer(0, "width")?.unwrap_or(80).min(MAX_WIDTH);
    call.args = vec![Value::from(width)];
    call.named.clear();
    let mut inner = Call {
        what: "center",
        input: Value::from(call.input_text()),
        args: call.args.clone(),
        named: Vec::new(),
    };
    crate::methods::call("center", &mut inner).unwrap_or_else(|| Ok(call.input.clone()))
}

/// HTML escaping as MarkupSafe does it.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

fn escape(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    Ok(Value::from(escaped(&call.input_text())))
}

fn format(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let values = call.args.iter().chain(call.named.iter().map(|(_, value)| value));
    let missing = std::iter::once(&call.input).chain(values).find(|value| is_undefined(value));
    if let Some(missing) = missing {
        // Python's repr of an undefined value is no error.
        let others = call.input_text().replace("%%", "").replace("%r", "");
        if is_undefined(&call.input) || others.contains('%') {
            return Err(undefined_error(missing));
        }
    }
    let argument = if call.named.is_empty() {
        crate::value::tuple_value(call.args.clone())
    } else {
        let named = call.named.drain(..).map(|(name, value)| (Value::from(&*name), value));
        crate::value::dict_value(named.collect())
    };
    crate::format::percent(&call.input_text(), &argument).map(Value::from)
}

fn indent(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = call.input_text();
    let by = match call.arg(0, "width") {
        None => "    ".to_owned(),
        Some(width) => match view(&width) {
            View::Text(text) => text.to_owned(),
            _ => {
                let width = width.as_i64().unwrap_or(4).clamp(0, MAX_WIDTH);
                " ".repeat(usize::try_from(width).unwrap_or(0))
            }
        },
    };
    let first = call.flag(1, "first", false);
    let blank = call.flag(2, "blank", false);
    let newline_at_end = format!("{text}\n");
    let mut lines = crate::methods::text::split_lines(&newline_at_end, false).into_iter();
    let mut out = String::new();
    if blank {
        let rest: Vec<String> = lines.map(|line| text_of(&line)).collect();
        out = rest.join(&format!("\n{by}"));
    } else {
        if let Some(line) = lines.next() {
            out.push_str(&text_of(&line));
        }
        for line in lines {
            out.push('\n');
            let line = text_of(&line);
            if !line.is_empty() {
                out.push_str(&by);
                out.push_str(&line);
            }
        }
    }
    Ok(Value::from(if first { format!("{by}{out}") } else { out }))
}

fn replace(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let old = text_of(&call.needed(0, "old")?);
    let new = text_of(&call.needed(1, "new")?);
    let count = call.integer(2, "count")?.and_then(|count| usize::try_from(count).ok());
    let text = call.input_text();
    Ok(Value::from(match count {
        Some(count) => text.replacen(&old, &new, count),
        None => text.replace(&old, &new),
    }))
}

fn split(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let View::Text(text) = view(&call.input) else {
        return Err(TemplateError::failed(format!(
            "split filter requires a string, got {}",
            crate::value::type_name(&call.input)
        )));
    };
    let text = text.to_owned();
    let separator = call.text(0, "sep");
    let limit = call.integer(1, "maxsplit")?.and_then(|limit| usize::try_from(limit).ok());
    if separator.as_deref() == Some("") {
        return Err(TemplateError::failed("empty separator"));
    }
    let parts = split_text(&text, separator.as_deref(), limit, false);
    Ok(list_value(parts.into_iter().map(Value::from).collect()))
}

fn strip_tags(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = call.input_text();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(open) = rest.find('<') {
        out.push_str(rest.get(..open).unwrap_or(""));
        let tail = rest.get(open..).unwrap_or("");
        let close = if tail.starts_with("<!--") {
            tail.find("-->").map(|at| at + 3)
        } else {
            tail.find('>').map(|at| at + 1)
        };
        match close {
            Some(close) => rest = tail.get(close..).unwrap_or(""),
            None => {
                out.push_str(tail);
                rest = "";
            }
        }
    }
    out.push_str(rest);
    let words: Vec<&str> = out.split_whitespace().collect();
    let plain = words.join(" ").replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", "\"");
    let plain = plain.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&");
    Ok(Value::from(plain))
}

/// Jinja's title case: words begin behind blanks, hyphens and brackets only.
fn title(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let mut out = String::new();
    let mut start = true;
    for character in call.input_text().chars() {
        let breaks = character.is_whitespace() || "-([{<".contains(character);
        if breaks {
            out.push(character);
        } else if start {
            out.extend(character.to_uppercase());
        } else {
            out.extend(character.to_lowercase());
        }
        start = breaks;
    }
    Ok(Value::from(out))
}

fn trim(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = call.input_text();
    Ok(Value::from(match call.text(0, "chars") {
        Some(set) => text.trim_matches(|character| set.contains(character)),
        None => text.trim(),
    }))
}

fn truncate(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = call.input_text();
    let length = call.integer(0, "length")?.unwrap_or(255);
    let kill_words = call.flag(1, "killwords", false);
    let end = call.text(2, "end").unwrap_or_else(|| "...".into());
    let leeway = call.integer(3, "leeway")?.unwrap_or(5);
    if signed(text.chars().count()) <= length.saturating_add(leeway) {
        return Ok(Value::from(text));
    }
    let keep = usize::try_from(length.saturating_sub(signed(end.chars().count()))).unwrap_or(0);
    let cut: String = text.chars().take(keep).collect();
    if kill_words {
        return Ok(Value::from(cut + &end));
    }
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(before, _)| before).to_owned();
    Ok(Value::from(cut + &end))
}

/// Percent-encodes everything but letters, digits, `_.-~` and `safe`.
pub(crate) fn percent_encoded(text: &str, safe: &str, plus: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric()
            || "_.-~".contains(character)
            || (byte < 128 && safe.contains(character))
        {
            out.push(character);
        } else if plus && byte == b' ' {
            out.push('+');
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn url_encode(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let pairs: Vec<(Value, Value)> = match view(&call.input) {
        View::Dict => pairs_of(&call.input),
        View::List | View::Tuple => {
            let mut pairs = Vec::new();
            for item in iterate(&call.input)? {
                if let [key, value] = iterate(&item)?.as_slice() {
                    pairs.push((key.clone(), value.clone()));
                }
            }
            pairs
        }
        _ => return Ok(Value::from(percent_encoded(&call.input_text(), "/", false))),
    };
    let encode = |value: &Value| percent_encoded(&text_of(value), "", true);
    let parts: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    Ok(Value::from(parts.join("&")))
}

fn urlize(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = escaped(&call.input_text());
    let words: Vec<String> = text
        .split(' ')
        .map(|word| {
            let link = word.starts_with("http://") || word.starts_with("https://");
            let bare = word.starts_with("www.");
            match (link, bare) {
                (true, _) => format!("<a href=\"{word}\" rel=\"noopener\">{word}</a>"),
                (_, true) => format!("<a href=\"https://{word}\" rel=\"noopener\">{word}</a>"),
                _ => word.to_owned(),
            }
        })
        .collect();
    Ok(Value::from(words.join(" ")))
}

fn word_count(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = call.input_text();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    Ok(Value::from(signed(words.count())))
}

fn word_wrap(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let text = call.input_text();
    let width = usize::try_from(call.integer(0, "width")?.unwrap_or(79)).unwrap_or(1).max(1);
    let break_long = call.flag(1, "break_long_words", true);
    let newline = call.text(2, "wrapstring").unwrap_or_else(|| "\n".into());
    let on_hyphens = call.flag(3, "break_on_hyphens", true);
    let lines: Vec<String> = crate::methods::text::split_lines(&text, false)
        .iter()
        .map(|line| wrap_line(&text_of(line), width, break_long, on_hyphens).join(&newline))
        .collect();
    Ok(Value::from(lines.join(&newline)))
}

/// Python's `textwrap.wrap` without expansion or replacement of blanks.
fn wrap_line(line: &str, width: usize, break_long: bool, on_hyphens: bool) -> Vec<String> {
    let mut chunks: Vec<String> = chunks(line, on_hyphens);
    chunks.reverse();
    let mut lines = Vec::new();
    while !chunks.is_empty() {
        let mut current: Vec<String> = Vec::new();
        let mut length = 0;
        if !lines.is_empty() && chunks.last().is_some_and(|chunk| chunk.trim().is_empty()) {
            chunks.pop();
        }
        while let Some(chunk) = chunks.last() {
            let size = chunk.chars().count();
            if length + size > width {
                break;
            }
            length += size;
            current.extend(chunks.pop());
        }
        if let Some(chunk) = chunks.last().cloned()
            && chunk.chars().count() > width
        {
            let room = width.saturating_sub(length).max(usize::from(current.is_empty()));
            if break_long {
                let head: String = chunk.chars().take(room).collect();
                let tail: String = chunk.chars().skip(room).collect();
                current.push(head);
                chunks.pop();
                chunks.push(tail);
            } else if current.is_empty() {
                current.extend(chunks.pop());
            }
        }
        if current.last().is_some_and(|chunk| chunk.trim().is_empty()) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.concat());
        }
    }
    lines
}

/// Words, blanks between them, and parts of words up to a hyphen.
fn chunks(line: &str, on_hyphens: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut current = String::new();
    let mut previous = '\0';
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let blank = character.is_whitespace();
        if !current.is_empty() && blank != previous.is_whitespace() {
            out.push(std::mem::take(&mut current));
        }
        current.push(character);
        let next_letter = characters.peek().is_some_and(|next| next.is_alphabetic());
        if on_hyphens && character == '-' && previous.is_alphabetic() && next_letter {
            out.push(std::mem::take(&mut current));
        }
        previous = character;
    }
    if !current.is_empty() {
        out.push(current);
    }
    out
}

fn xml_attributes(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let space = call.flag(0, "autospace", true);
    let parts: Vec<String> = pairs_of(&call.input)
        .iter()
        .filter(|(_, value)| !value.is_none() && !is_undefined(value))
        .map(|(key, value)| format!("{}=\"{}\"", escaped(&text_of(key)), escaped(&text_of(value))))
        .collect();
    let text = parts.join(" ");
    let lead = if space && !text.is_empty() { " " } else { "" };
    Ok(Value::from(format!("{lead}{text}")))
}

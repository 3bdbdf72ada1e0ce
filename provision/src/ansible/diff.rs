//! Differences as Ansible prints them.

use serde_json::Value;
use similar::TextDiff;

use super::json;
use super::page::{Colour, Page};
use crate::paint::harmless;

/// Lines around a change.
const CONTEXT_LINES: usize = 3;

/// The `diff` of a result; empty if nothing differs.
pub fn text(page: &Page, diff: &Value) -> String {
    let one = std::slice::from_ref(diff);
    let all = diff.as_array().map_or(one, Vec::as_slice);
    let texts = all.iter().map(|diff| text_of(page, diff)).collect::<String>();
    texts.strip_suffix('\n').map(str::to_owned).unwrap_or(texts)
}

fn text_of(page: &Page, diff: &Value) -> String {
    let mut text = String::new();
    for (name, what) in [("dst_binary", "destination"), ("src_binary", "source")] {
        if diff.get(name).is_some() {
            text.push_str(&format!("diff skipped: {what} file appears to be binary\n"));
        }
    }
    for (name, what) in [("dst_larger", "destination"), ("src_larger", "source")] {
        if let Some(size) = diff.get(name) {
            text.push_str(&format!("diff skipped: {what} file size is greater than {size}\n"));
        }
    }
    if let (Some(before), Some(after)) = (diff.get("before"), diff.get("after")) {
        text.push_str(&unified(
            page,
            (&side(before), &header(diff, "before")),
            (&side(after), &header(diff, "after")),
        ));
    }
    if let Some(prepared) = diff.get("prepared").and_then(Value::as_str) {
        text.push_str(&harmless(prepared));
    }
    text
}

/// Attributes are laid out as text.
fn side(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(attributes) => json::object(attributes, true) + "\n",
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn header(diff: &Value, side: &str) -> String {
    match diff.get(format!("{side}_header")).and_then(Value::as_str) {
        Some(header) => format!("{side}: {header}"),
        None => side.to_owned(),
    }
}

fn unified(page: &Page, before: (&str, &str), after: (&str, &str)) -> String {
    if before.0 == after.0 {
        return String::new();
    }
    let diff = TextDiff::from_lines(before.0, after.0);
    let lines =
        diff.unified_diff().context_radius(CONTEXT_LINES).header(before.1, after.1).to_string();
    let mut text = String::new();
    for line in lines.lines() {
        let colour = match line.as_bytes().first() {
            Some(b'+') => Colour::Ok,
            Some(b'-') => Colour::Failed,
            Some(b'@') => Colour::Skipped,
            _ => Colour::Plain,
        };
        text.push_str(&page.paint(colour, &harmless(line)));
        text.push('\n');
    }
    text.push('\n');
    text
}

//! JSON as Ansible prints it: keys sorted, blanks behind commas and colons.

use std::fmt::Write;

use provision_protocol::Object;
use serde_json::Value;

/// Blanks a level of what is laid out over several lines.
const INDENT: usize = 4;

/// An object on one line, or over several.
pub fn object(object: &Object, is_laid_out: bool) -> String {
    let mut text = String::new();
    write_object(&mut text, object, is_laid_out.then_some(0));
    text
}

fn write_value(text: &mut String, value: &Value, depth: Option<usize>) {
    match value {
        Value::String(string) => write_string(text, string),
        Value::Array(items) => write_array(text, items, depth),
        Value::Object(object) => write_object(text, object, depth),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            // Writing to a text can't fail.
            let _ = write!(text, "{value}");
        }
    }
}

fn write_object(text: &mut String, object: &Object, depth: Option<usize>) {
    let mut entries: Vec<(&String, &Value)> = object.iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    write_between(text, ['{', '}'], entries, depth, |text, (name, value), depth| {
        write_string(text, name);
        text.push_str(": ");
        write_value(text, value, depth);
    });
}

fn write_array(text: &mut String, items: &[Value], depth: Option<usize>) {
    write_between(text, ['[', ']'], items, depth, write_value);
}

fn write_between<T>(
    text: &mut String,
    [open, close]: [char; 2],
    members: impl IntoIterator<Item = T>,
    depth: Option<usize>,
    mut write: impl FnMut(&mut String, T, Option<usize>),
) {
    let inner = depth.map(|depth| depth + 1);
    text.push(open);
    let mut is_first = true;
    for member in members {
        if !is_first {
            text.push(',');
        }
        match inner {
            Some(depth) => new_line(text, depth),
            None if is_first => {}
            None => text.push(' '),
        }
        is_first = false;
        write(text, member, inner);
    }
    if let (Some(depth), false) = (depth, is_first) {
        new_line(text, depth);
    }
    text.push(close);
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', depth * INDENT));
}

/// Besides what JSON demands, what a terminal would obey is escaped: the text is a host's.
fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        let short = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            _ => "",
        };
        if !short.is_empty() {
            text.push_str(short);
        } else if character.is_control() || crate::paint::is_bidirectional(character) {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::object;

    /// Both were printed by Python's `json.dumps(…, sort_keys=True, ensure_ascii=False)`, with
    /// `indent=4` and without.
    #[test]
    fn layouts_are_pythons() {
        let value = json!({
            "b": [1, 2.5, [], {}],
            "a": {"ü": null, "x": "q\"\\\n\u{1b}"},
            "c": [{"y": true}],
        });
        let value = value.as_object().expect("an object");
        let line = "{\"a\": {\"x\": \"q\\\"\\\\\\n\\u001b\", \"ü\": null}, \
                    \"b\": [1, 2.5, [], {}], \"c\": [{\"y\": true}]}";
        assert_eq!(object(value, false), line);
        let lines = "{\n    \"a\": {\n        \"x\": \"q\\\"\\\\\\n\\u001b\",\n        \
                     \"ü\": null\n    },\n    \"b\": [\n        1,\n        2.5,\n        [],\n        \
                     {}\n    ],\n    \"c\": [\n        {\n            \"y\": true\n        }\n    ]\n}";
        assert_eq!(object(value, true), lines);
    }

    #[test]
    fn hosts_cannot_steer_the_terminal() {
        let value = json!({"a": "\u{202e}\u{9b}"});
        let value = value.as_object().expect("an object");
        assert_eq!(object(value, false), "{\"a\": \"\\u202e\\u009b\"}");
    }
}

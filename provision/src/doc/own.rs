//! `provision doc ./library/greet.py`: what a module of the user's own says of itself in its
//! `DOCUMENTATION`.

use serde_json::Value;

use crate::paint::{FAINT, STRONG, harmless, styled};

/// What the file says, as text for people.
///
/// # Errors
/// When it can't be read or says nothing.
pub fn text(path: &str) -> Result<String, String> {
    let said = documentation(path)?;
    let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![format!(
        "{}  {}",
        styled(STRONG, &harmless(word("module"))),
        harmless(word("short_description"))
    )];
    lines.push(harmless(path));
    lines.extend(texts(said.get("description")).into_iter().map(|text| format!("  {text}")));
    lines.push(String::new());
    lines.push(styled(STRONG, "PARAMETERS"));
    let options = said.get("options").and_then(Value::as_object);
    match options.filter(|options| !options.is_empty()) {
        Some(options) => options.iter().for_each(|(name, rule)| lines.push(option(name, rule))),
        None => lines.push("  none".to_owned()),
    }
    Ok(lines.join("\n"))
}

/// What the file says, as a value.
///
/// # Errors
/// When it can't be read or says nothing.
pub fn documentation(path: &str) -> Result<Value, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("failed to read {path}: {error}"))?;
    let Some(block) = block(&text) else {
        return Err(format!("{path} has no DOCUMENTATION"));
    };
    let mut sources = diagnostics::Sources::default();
    let source = sources.add(format!("DOCUMENTATION of {path}"), block);
    let read = yaml::read(block, source, yaml::Schema::Ansible);
    match read.documents.first().filter(|_| read.is_usable()) {
        Some(document) if document.as_mapping().is_some() => Ok(yaml::to_json(document)),
        _ => Err(format!("the DOCUMENTATION of {path} is no YAML that provision can read")),
    }
}

/// The text between the quotation marks behind `DOCUMENTATION =`.
fn block(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("DOCUMENTATION")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let rest = rest.strip_prefix(['r', 'u', 'R']).unwrap_or(rest);
    let marks = ["\"\"\"", "'''"];
    let mark = marks.into_iter().find(|mark| rest.starts_with(mark))?;
    rest.get(mark.len()..)?.split(mark).next()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![harmless(text)],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(harmless).collect(),
        _ => Vec::new(),
    }
}

fn option(name: &str, rule: &Value) -> String {
    let mut facts = Vec::new();
    let kind = rule.get("type").and_then(Value::as_str).unwrap_or("str");
    facts.push(harmless(kind));
    if rule.get("required").is_some_and(|required| *required == Value::Bool(true)) {
        facts.push("required".to_owned());
    }
    let shown = |value: &Value| match value {
        Value::String(text) => harmless(text),
        other => harmless(&other.to_string()),
    };
    if let Some(default) = rule.get("default").filter(|default| !default.is_null()) {
        facts.push(format!("default {}", shown(default)));
    }
    for (key, words) in [("choices", "one of"), ("aliases", "also")] {
        if let Some(items) = rule.get(key).and_then(Value::as_array) {
            let items: Vec<String> = items.iter().map(shown).collect();
            facts.push(format!("{words} {}", items.join(", ")));
        }
    }
    let head = format!(
        "  {}  {}",
        styled(STRONG, &harmless(name)),
        styled(FAINT, &format!("({})", facts.join("; ")))
    );
    let lines = texts(rule.get("description")).into_iter().map(|text| format!("\n      {text}"));
    format!("{head}{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_of_a_file_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "x = 1\n").unwrap();
        assert!(text(path).unwrap_err().ends_with("has no DOCUMENTATION"));
        let python = "DOCUMENTATION = r'''\nmodule: greet\nshort_description: greets\noptions:\n  \
                      name: {type: str, required: true, description: [whom]}\n  n: {type: int, \
                      default: 3, choices: [3, 4]}\n'''\n";
        std::fs::write(path, python).unwrap();
        let mut shown = text(path).unwrap();
        // Without colours.
        while let Some((before, rest)) = shown.split_once('\u{1b}') {
            shown = format!("{before}{}", rest.split_once('m').unwrap().1);
        }
        assert!(shown.contains("greet  greets"), "{shown}");
        assert!(shown.contains("name  (str; required)\n      whom"), "{shown}");
        assert!(shown.contains("n  (int; default 3; one of 3, 4)"), "{shown}");
    }
}

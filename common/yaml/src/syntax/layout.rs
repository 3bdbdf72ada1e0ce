//! Errors of indentation, dashes and colons.

use diagnostics::Diagnostic;

use super::quoted;
use super::scene::{Scene, content_start, glued_colon, indentation, value_start, without_comment};

/// `key: value: x`, or a mapping indented below a value.
pub(super) fn unexpected_colon(scene: &Scene<'_>) -> Diagnostic {
    let (start, line) = scene.line(scene.problem);
    let value = start + value_start(line);
    if value < scene.problem && value > start + content_start(line) {
        let text = without_comment(line.get(value - start..).unwrap_or(""));
        return Diagnostic::error("yaml-colon", "a second `: ` on one line")
            .at(scene.mark(), "this colon would begin another mapping")
            .hint(format!("quote the value if the colon belongs to it: {}", quoted(text)));
    }
    let Some((before, previous)) = scene.line_before(scene.problem) else {
        return Diagnostic::error("yaml-colon", "a `: ` is not allowed here")
            .at(scene.mark(), "no mapping can begin here")
            .hint("put the text in quotes if the colon belongs to it");
    };
    if let Some(missing) = missing_space(scene, before, previous) {
        return missing;
    }
    let key = start + indentation(line);
    let diagnostic =
        Diagnostic::error("yaml-indentation", "this key is not aligned with the others")
            .at(scene.span(key, scene.problem.saturating_sub(key)), columns(scene, key))
            .also(
                scene.rest_of_line(before + content_start(previous)),
                columns(scene, before + content_start(previous)),
            );
    if indentation(line) > indentation(previous) {
        diagnostic.hint("the line above already has a value: align the two, or remove that value")
    } else {
        diagnostic.hint("align it with the keys of the mapping it belongs to")
    }
}

/// A line that must be `key: value` and is not.
pub(super) fn missing_colon(scene: &Scene<'_>) -> Diagnostic {
    let at = scene.context.unwrap_or(scene.problem);
    let (start, line) = scene.line(at);
    if let Some(missing) = missing_space(scene, start, line) {
        return missing;
    }
    let content = line.get(at.saturating_sub(start)..).unwrap_or("");
    let span = scene.rest_of_line(at);
    if content.starts_with('-') && !content.starts_with("--") && content.len() > 1 {
        return Diagnostic::error("yaml-dash", "there is no space behind the dash")
            .at(span, "expected `- item` or `key: value`")
            .hint(format!("write `- {}`", without_comment(content.get(1..).unwrap_or(""))));
    }
    without_colon(scene, at)
}

/// A line that has content at `at` but no `key: `.
fn without_colon(scene: &Scene<'_>, at: usize) -> Diagnostic {
    Diagnostic::error("yaml-colon", "this line has no `: `")
        .at(scene.rest_of_line(at), "expected `key: value`")
        .hint("write `key: value`; text over several lines needs `|` or `>` behind its key and deeper indentation")
}

/// `key:value`, with the place of the missing space.
fn missing_space(scene: &Scene<'_>, start: usize, line: &str) -> Option<Diagnostic> {
    let behind = glued_colon(line)?;
    let content = content_start(line);
    let (key, value) = (line.get(content..behind)?, without_comment(line.get(behind..)?));
    Some(
        Diagnostic::error("yaml-colon", "there is no space behind the colon")
            .at(scene.span(start + behind - 1, 1), "expected `: `")
            .hint(format!("write `{key} {value}`")),
    )
}

/// Something else where a mapping goes on.
pub(super) fn expected_key(scene: &Scene<'_>) -> Diagnostic {
    let (start, line) = scene.line(scene.problem);
    if scene.problem > start + indentation(line) {
        return behind_value(scene);
    }
    let diagnostic = if line.trim_start().starts_with("- ") {
        Diagnostic::error("yaml-indentation", "a list item where a key belongs")
            .at(scene.rest_of_line(scene.problem), columns(scene, scene.problem))
            .hint("align the dash with the other items of its list")
    } else {
        Diagnostic::error("yaml-indentation", "this line is not aligned with any mapping around it")
            .at(scene.rest_of_line(scene.problem), columns(scene, scene.problem))
            .hint("align it with the keys of the mapping it belongs to")
    };
    began(scene, diagnostic, "the mapping")
}

/// Something else where a list goes on.
pub(super) fn expected_dash(scene: &Scene<'_>) -> Diagnostic {
    let (start, line) = scene.line(scene.problem);
    if scene.problem > start + indentation(line) {
        return behind_value(scene);
    }
    let diagnostic =
        Diagnostic::error("yaml-indentation", "this line does not belong to the list before it")
            .at(
                scene.rest_of_line(scene.problem),
                format!("expected `- `; {}", columns(scene, scene.problem)),
            )
            .hint("indent it to its item, or align it with the key that the list belongs to");
    began(scene, diagnostic, "the list")
}

/// Content behind the end of the document.
pub(super) fn expected_end(scene: &Scene<'_>) -> Diagnostic {
    let (start, line) = scene.line(scene.problem);
    if scene.problem > start + indentation(line) {
        return behind_value(scene);
    }
    Diagnostic::error("yaml-indentation", "this does not belong to the document before it")
        .at(scene.rest_of_line(scene.problem), columns(scene, scene.problem))
        .hint("a file is one list or one mapping: align this line with what it belongs to, or begin a new document with `---`")
}

/// Text behind a closing quote or bracket.
fn behind_value(scene: &Scene<'_>) -> Diagnostic {
    let (start, line) = scene.line(scene.problem);
    let value = line.get(value_start(line)..).unwrap_or("");
    let before = line.get(..scene.problem.saturating_sub(start)).unwrap_or("").trim_end();
    let what = match before.chars().next_back() {
        Some('"' | '\'') => "text behind the closing quote",
        Some(']' | '}') => "text behind the closing bracket",
        _ => "text where the line should end",
    };
    Diagnostic::error("yaml-syntax", what)
        .at(scene.rest_of_line(scene.problem), "expected the end of the line")
        .hint(format!(
            "put the whole value in one pair of quotes: {}",
            requoted(without_comment(value))
        ))
}

/// A value that was quoted in part, quoted as a whole.
fn requoted(value: &str) -> String {
    match value.chars().next() {
        Some('"') if !value.contains('\'') => format!("'{value}'"),
        _ => quoted(value),
    }
}

/// `key: - item`, or an item deeper than its list.
pub(super) fn unexpected_dash(scene: &Scene<'_>) -> Diagnostic {
    let (start, line) = scene.line(scene.problem);
    let diagnostic = Diagnostic::error("yaml-dash", "a list cannot begin here")
        .at(scene.rest_of_line(scene.problem), "this dash would begin a list");
    if scene.problem > start + indentation(line) {
        diagnostic.hint("begin the list on the next line, or write it as `[a, b]`")
    } else {
        diagnostic.hint("align the dash with the other items, or put the text above it in quotes")
    }
}

fn began(scene: &Scene<'_>, diagnostic: Diagnostic, what: &str) -> Diagnostic {
    match scene.context {
        Some(at) => diagnostic
            .also(scene.span(at, 1), format!("{what} begins in column {}", scene.column(at))),
        None => diagnostic,
    }
}

/// In which column something begins.
fn columns(scene: &Scene<'_>, at: usize) -> String {
    format!("begins in column {}", scene.column(at))
}

//! Syntax errors that teach: what libyaml reports, seen through what people mistype.

use diagnostics::{Diagnostic, SourceId, Span};
use libyaml::Error;

mod layout;
mod scene;

use scene::Scene;

/// The diagnostic for an error of the scanner or parser; its marks count bytes from behind
/// `skipped`, the byte order mark.
pub(crate) fn explain(text: &str, source: SourceId, error: &Error, skipped: usize) -> Diagnostic {
    let offset = |mark: libyaml::Mark| {
        usize::try_from(mark.index).unwrap_or(usize::MAX).saturating_add(skipped)
    };
    let problem = offset(error.problem_mark());
    let scene = Scene::new(text, source, problem, error.context_mark().map(offset));
    let context = error.context().unwrap_or("");
    tab(&scene, error.problem())
        .or_else(|| template(&scene))
        .or_else(|| by_problem(&scene, error.problem(), context))
        .unwrap_or_else(|| {
            Diagnostic::error("yaml-syntax", error.problem())
                .at(scene.word(), if context.is_empty() { "here" } else { context })
        })
}

/// `key: {{ template }}` without quotes: YAML sees a mapping. `line` is what should be quoted.
pub(crate) fn unquoted_template(span: Span, template: &str, line: &str) -> Diagnostic {
    let value = scene::without_comment(line);
    let value =
        if value.contains(['"', '\'']) || value.len() >= template.len() { value } else { template };
    Diagnostic::error("yaml-unquoted-template", "a value that begins with a template needs quotes")
        .at(span.slice(0, template.len()), "YAML reads `{` as the start of a mapping")
        .hint(format!("quote it: {}", quoted(value)))
}

/// The value in quotes that do not collide with those inside.
fn quoted(value: &str) -> String {
    if !value.contains('"') {
        format!("\"{value}\"")
    } else if !value.contains('\'') {
        format!("'{value}'")
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Tabs where indentation belongs.
fn tab(scene: &Scene<'_>, problem: &str) -> Option<Diagnostic> {
    let (start, line) = scene.line(scene.problem);
    let indentation = line.len() - line.trim_start().len();
    let in_indentation = line.get(..indentation).and_then(|blanks| blanks.find('\t'));
    let at = match in_indentation {
        Some(column) => start + column,
        None if scene.character() == Some('\t') || problem.contains("tab character") => {
            scene.problem
        }
        None => return None,
    };
    let column = scene.column(at);
    Some(
        Diagnostic::error("yaml-tab", "tabs are not allowed for indentation")
            .at(scene.span(at, 1), format!("a tab in column {column}"))
            .hint("indent with spaces; two per level are usual"),
    )
}

/// A template without quotes on the line of the error or where its context began.
fn template(scene: &Scene<'_>) -> Option<Diagnostic> {
    let begins = |at: usize| {
        let rest = scene.text.get(at..).unwrap_or("");
        rest.starts_with("{{") || rest.starts_with("{%")
    };
    let from_context = scene
        .context
        .and_then(|at| [Some(at), at.checked_sub(1)].into_iter().flatten().find(|at| begins(*at)));
    let at = from_context.or_else(|| {
        let (start, line) = scene.line(scene.problem);
        let value = scene::value_start(line);
        begins(start + value).then_some(start + value)
    })?;
    let (start, line) = scene.line(at);
    let value = line.get(at - start..).unwrap_or("").trim_end();
    let end = ["}}", "%}"].iter().filter_map(|close| value.find(close)).min();
    let template = value.get(..end.map_or(value.len(), |end| end + 2)).unwrap_or(value);
    Some(unquoted_template(scene.span(at, value.len()), template, value))
}

/// One explanation per message of libyaml (scanner.c and parser.c of 0.2.5).
fn by_problem(scene: &Scene<'_>, problem: &str, context: &str) -> Option<Diagnostic> {
    match problem {
        "found unexpected end of stream" | "found unexpected document indicator" => {
            Some(unclosed_quote(scene))
        }
        "mapping values are not allowed in this context" => Some(layout::unexpected_colon(scene)),
        "could not find expected ':'" => Some(layout::missing_colon(scene)),
        "did not find expected key" => Some(layout::expected_key(scene)),
        "did not find expected '-' indicator" => Some(layout::expected_dash(scene)),
        "did not find expected <document start>" => Some(layout::expected_end(scene)),
        "block sequence entries are not allowed in this context" => {
            Some(layout::unexpected_dash(scene))
        }
        "did not find expected ',' or ']'" => Some(unclosed_bracket(scene, '[', ']')),
        "did not find expected ',' or '}'" => Some(unclosed_bracket(scene, '{', '}')),
        "found character that cannot start any token" => Some(reserved(scene)),
        "found unknown escape character"
        | "did not find expected hexdecimal number"
        | "found invalid Unicode character escape code" => Some(bad_escape(scene)),
        "did not find expected alphabetic or numeric character" => Some(bad_anchor(scene, context)),
        "found unexpected ':'" => Some(
            Diagnostic::error("yaml-syntax", "a colon stands directly before a bracket or comma")
                .at(scene.mark(), "expected a space behind the colon")
                .hint("put a space behind the colon, or put the text in quotes"),
        ),
        "did not find expected comment or line break" if context.contains("block scalar") => Some(
            Diagnostic::error("yaml-syntax", "text on the same line as `|` or `>`")
                .at(scene.word(), "expected the end of the line")
                .hint("begin the text on the next line, indented; or put the value in quotes"),
        ),
        "did not find expected node content" => Some(
            Diagnostic::error("yaml-syntax", "a value is missing")
                .at(scene.mark(), "expected a value")
                .hint("write the value, or \"\" for empty text"),
        ),
        "found undefined tag handle" => Some(
            Diagnostic::error("yaml-syntax", "unknown tag")
                .at(scene.word(), "expected `!name` or `!!name`")
                .hint("put the value in quotes if it is text that begins with `!`"),
        ),
        _ => None,
    }
}

/// The quote that opened the text is the place to look at, not the end of the file.
fn unclosed_quote(scene: &Scene<'_>) -> Diagnostic {
    let at = scene.context.unwrap_or(scene.problem);
    let quote = scene.character_at(at).unwrap_or('"');
    let diagnostic = Diagnostic::error("yaml-unclosed-quote", "this quote is never closed")
        .at(scene.span(at, quote.len_utf8()), format!("expected another {quote} behind the text"));
    if quote == '\'' {
        diagnostic.hint("close it; an apostrophe inside single quotes is written twice: 'it''s'")
    } else {
        diagnostic.hint("close it; a double quote inside double quotes is written \\\"")
    }
}

fn unclosed_bracket(scene: &Scene<'_>, open: char, close: char) -> Diagnostic {
    let at = scene.context.unwrap_or(scene.problem);
    let what = if open == '[' { "list" } else { "mapping" };
    Diagnostic::error("yaml-unclosed-bracket", format!("the {what} in `{open}` is not closed here"))
        .at(scene.word(), format!("expected `,` or `{close}`"))
        .also(scene.span(at, 1), "begins here")
        .hint(format!(
            "separate the entries with `,` and end the {what} with `{close}`; put text with special characters in quotes"
        ))
}

/// `@`, a backquote, `%` and other indicators begin nothing.
fn reserved(scene: &Scene<'_>) -> Diagnostic {
    let character = scene.character().unwrap_or(' ');
    let (start, line) = scene.line(scene.problem);
    let value = line.get(scene.problem.saturating_sub(start)..).unwrap_or("");
    Diagnostic::error("yaml-syntax", format!("text cannot begin with `{character}`"))
        .at(scene.mark(), "reserved by YAML")
        .hint(format!("quote it: {}", quoted(scene::without_comment(value))))
}

fn bad_escape(scene: &Scene<'_>) -> Diagnostic {
    let at = scene.problem.saturating_sub(usize::from(scene.character() != Some('\\')));
    let length = scene.text.get(at..).unwrap_or("").chars().take(2).map(char::len_utf8).sum();
    let span = scene.span(at, length);
    let written = scene.text.get(span.start as usize..span.end as usize).unwrap_or("\\");
    Diagnostic::error("yaml-escape", format!("`{written}` means nothing in double quotes"))
        .at(span, "expected an escape such as \\n, \\t, \\\" or \\\\")
        .hint("write the backslash twice, or use single quotes, which know no escapes")
}

fn bad_anchor(scene: &Scene<'_>, context: &str) -> Diagnostic {
    let at = scene.context.unwrap_or(scene.problem);
    let (start, line) = scene.line(at);
    let value = scene::without_comment(line.get(at.saturating_sub(start)..).unwrap_or(""));
    let (sign, what) =
        if context.contains("alias") { ('*', "an alias") } else { ('&', "an anchor") };
    Diagnostic::error("yaml-syntax", format!("`{sign}` begins {what}, which needs a name"))
        .at(scene.span(at, value.len()), "expected letters, digits, `-` or `_` behind it")
        .hint(format!("quote it if it is text: {}", quoted(value)))
}

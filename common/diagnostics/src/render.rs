//! Text for people: one diagnostic as rustc would show it.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::{Diagnostic, Label, Severity, Source, SourceId, Sources};

/// Whether the text may carry terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    Plain,
    /// Terminal colours.
    Coloured,
}

/// Text of one diagnostic, ending without a newline.
#[must_use]
pub fn render(diagnostic: &Diagnostic, sources: &Sources, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code)
        .elements(snippets(diagnostic, sources));
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    renderer.render(&[group]).to_string()
}

/// Text of all diagnostics, separated by blank lines.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| render(diagnostic, sources, style))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// One snippet a file, the primary label's file first.
fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    sources: &'a Sources,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut files: Vec<(SourceId, Vec<(AnnotationKind, &Label)>)> = Vec::new();
    let primary = diagnostic.primary.iter().map(|label| (AnnotationKind::Primary, label));
    let secondary = diagnostic.secondary.iter().map(|label| (AnnotationKind::Context, label));
    for (kind, label) in primary.chain(secondary) {
        let source = label.span.source;
        match files.iter_mut().find(|(id, _)| *id == source) {
            Some((_, labels)) => labels.push((kind, label)),
            None => files.push((source, vec![(kind, label)])),
        }
    }
    files
        .into_iter()
        .filter_map(|(id, labels)| sources.get(id).map(|source| (source, labels)))
        .map(|(source, labels)| {
            if source.is_secret() {
                return hidden(source, labels);
            }
            let length = source.text.len();
            let snippet = Snippet::source(&*source.text).path(source.name.as_str());
            snippet.line_start(source.first_line as usize).annotations(labels.into_iter().map(
                |(kind, label)| {
                    let start = floor(&source.text, (label.span.start as usize).min(length));
                    let end = floor(&source.text, (label.span.end as usize).min(length));
                    kind.span(start..end.max(start)).label(label.text.as_str())
                },
            ))
        })
        .collect()
}

/// What is shown instead of each line of a text that came out of an encrypted file.
const HIDDEN_LINE: &str = "(encrypted)";

/// The places of labels in a secret text: its lines are there, what stands in them is not.
fn hidden<'a>(
    source: &'a Source,
    labels: Vec<(AnnotationKind, &'a Label)>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let lines = source.text.split('\n').count();
    let text = vec![HIDDEN_LINE; lines].join("\n");
    Snippet::source(text).path(source.name.as_str()).annotations(labels.into_iter().map(
        |(kind, label)| {
            let (line, _) = source.line_column(label.span.start);
            let before = usize::try_from(line).unwrap_or(1).saturating_sub(1).min(lines - 1);
            let start = before * (HIDDEN_LINE.len() + 1);
            kind.span(start..start + HIDDEN_LINE.len()).label(label.text.as_str())
        },
    ))
}

/// The nearest character boundary at or before `offset`.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Style, render};
    use crate::{Diagnostic, Sources, Span};

    #[test]
    fn shows_place_caret_note_and_hint() {
        let mut sources = Sources::default();
        let id = sources.add("site.yml", "- hosts: all\n  taks: []\n");
        let text = render(
            &Diagnostic::error("unknown-keyword", "`taks` is not a keyword of a play")
                .at(Span::new(id, 15, 19), "unknown keyword")
                .note("a play has tasks, roles, handlers")
                .hint("did you mean `tasks`?"),
            &sources,
            Style::Plain,
        );
        assert_eq!(
            text,
            "error[unknown-keyword]: `taks` is not a keyword of a play\n \
             --> site.yml:2:3\n  |\n2 |   taks: []\n  |   ^^^^ unknown keyword\n  |\n  \
             = note: a play has tasks, roles, handlers\n  = hint: did you mean `tasks`?"
        );
    }

    #[test]
    fn texts_of_encrypted_files_are_never_shown() {
        let mut sources = Sources::default();
        let id = sources.add_secret("vault.yml", "a: 1\npassword: hunter2\n");
        let found = Diagnostic::error("x", "y").at(Span::new(id, 15, 22), "z");
        assert_eq!(
            render(&found, &sources, Style::Plain),
            "error[x]: y\n --> vault.yml:2:1\n  |\n2 | (encrypted)\n  | ^^^^^^^^^^^ z"
        );
        assert!(!format!("{sources:?}").contains("hunter2"));
        let beyond = Diagnostic::error("x", "y").at(Span::new(id, 90, 99), "z");
        assert!(render(&beyond, &sources, Style::Plain).contains("(encrypted)"));
    }

    #[test]
    fn a_part_keeps_its_lines() {
        let mut sources = Sources::default();
        let id = sources.add_part("trace.csv", "1.5,resize,-3", 20_481);
        let text = render(
            &Diagnostic::error("x", "y").at(Span::new(id, 11, 13), "z"),
            &sources,
            Style::Plain,
        );
        assert!(text.contains("trace.csv:20481:12\n"), "{text}");
        assert!(text.contains("20481 | 1.5,resize,-3\n"), "{text}");
        assert_eq!(sources.place(Span::new(id, 11, 13)).line, 20_481);
    }

    #[test]
    fn survives_spans_outside_the_text() {
        let mut sources = Sources::default();
        let id = sources.add("ä.yml", "ä");
        let text = render(
            &Diagnostic::error("x", "y").at(Span::new(id, 1, 99), "z"),
            &sources,
            Style::Plain,
        );
        assert!(text.contains("ä.yml:1"), "{text}");
    }
}

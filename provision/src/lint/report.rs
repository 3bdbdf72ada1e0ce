//! Findings for people and for programs.

use std::io::IsTerminal;

use diagnostics::{Label, Severity, Sources, Style, render};
use serde::Serialize;

use super::Findings;
/// Version of the JSON form.
const FORMAT: u32 = 1;

/// Each finding with the line that it is about, then how many there are.
pub fn text(findings: &Findings) {
    let style = match std::io::stdout().is_terminal() {
        true => Style::Coloured,
        false => Style::Plain,
    };
    for diagnostic in &findings.diagnostics {
        say!("{}\n", render(diagnostic, &findings.sources, style));
    }
    let (errors, warnings) = counts(findings);
    let number = |count: usize, noun: &str| match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    };
    say!(
        "{} and {} in {} for {}",
        number(errors, "error"),
        number(warnings, "warning"),
        number(findings.tasks, "task"),
        number(findings.hosts, "host")
    );
}

fn counts(findings: &Findings) -> (usize, usize) {
    let errors = findings.diagnostics.iter().filter(|one| one.is_error()).count();
    (errors, findings.diagnostics.len() - errors)
}

#[derive(Serialize)]
struct Report {
    format: u32,
    errors: usize,
    warnings: usize,
    hosts: usize,
    tasks: usize,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    severity: &'static str,
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Placed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Placed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A place, and what is said of it.
#[derive(Serialize)]
struct Placed {
    file: String,
    line: u32,
    column: u32,
    text: String,
}

fn placed(label: &Label, sources: &Sources) -> Placed {
    let place = sources.place(label.span);
    Placed { file: place.file, line: place.line, column: place.column, text: label.text.clone() }
}

/// One object.
pub fn json(findings: &Findings) {
    let (errors, warnings) = counts(findings);
    let sources = &findings.sources;
    let report = Report {
        format: FORMAT,
        errors,
        warnings,
        hosts: findings.hosts,
        tasks: findings.tasks,
        findings: findings
            .diagnostics
            .iter()
            .map(|one| Finding {
                severity: match one.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                },
                code: one.code,
                message: one.message.clone(),
                place: one.primary.as_ref().map(|label| placed(label, sources)),
                others: one.secondary.iter().map(|label| placed(label, sources)).collect(),
                notes: one.notes.clone(),
                hint: one.hint.clone(),
            })
            .collect(),
    };
    say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
}

//! Keys of a section of `policy.yml` that belong to one of its rules.

use diagnostics::{Diagnostic, Span};

/// A key that stands with another rule than its own.
pub(super) fn foreign(
    code: &'static str,
    (key, span): (&str, Span),
    owner: &str,
    rule: Span,
) -> Diagnostic {
    Diagnostic::error(code, format!("this rule has no {key}"))
        .at(span, format!("belongs to `{owner}`"))
        .also(rule, "the rule")
        .hint(format!("remove it, or write `rule: {owner}`"))
}

//! `when`, `until`, `failed_when`, `changed_when` and `assert`.
//!
//! A condition is a bare expression. Old content writes `{{ }}` around or inside it. Ansible then
//! renders the text and evaluates the result as an expression, which would run data as code; here
//! the template parts become parts of one expression, so data stays data:
//!
//! | written | evaluated as |
//! |---|---|
//! | `{{ x }}` | `x`; if that is text of the user's files, that text as a condition |
//! | `{{ x }} == 1` | `(x) == 1` |
//! | `'{{ x }}' == 'a'` | text literals with templates are rendered |

use minijinja::Value;
use yaml::{Node, NodeValue};

use crate::engine::Engine;
use crate::error::{Outcome, TemplateError};
use crate::run::{Frame, Run, placed};
use crate::scope::{Found, Slot};
use crate::value::{View, is_undefined, parse_literal, undefined_error, view};

/// What a condition came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it holds.
    pub holds: bool,
    /// Python's name of what its value is, if that is no boolean (classic dialect); of several
    /// conditions, of the first such.
    pub odd: Option<&'static str>,
}

impl Verdict {
    fn boolean(holds: bool) -> Self {
        Verdict { holds, odd: None }
    }
}

/// Whether a condition holds.
pub(crate) fn evaluate(run: &mut Run<'_>, node: &Node) -> Outcome<Verdict> {
    match &node.value {
        NodeValue::Sequence(items) => {
            let mut all = Verdict::boolean(true);
            for item in items {
                let verdict = evaluate(run, item)?;
                all = Verdict { holds: verdict.holds, odd: all.odd.or(verdict.odd) };
                if !verdict.holds {
                    break;
                }
            }
            Ok(all)
        }
        NodeValue::Bool(value) => Ok(Verdict::boolean(*value)),
        NodeValue::Null if !run.is_strict() => Ok(Verdict::boolean(true)),
        NodeValue::Null => Err(empty(node)),
        NodeValue::String(text) => {
            if text.trim().is_empty() {
                let holds = Ok(Verdict::boolean(true));
                return if run.is_strict() { Err(empty(node)) } else { holds };
            }
            if node.is_data() {
                return Err(unsafe_condition());
            }
            evaluate_text(run, text).map_err(|error| placed(error, text, Some(node.span)))
        }
        _ if run.is_strict() => {
            Err(TemplateError::failed("Conditional expressions must be strings."))
        }
        _ => decide(run, &crate::value_of_node(node)),
    }
}

fn empty(node: &Node) -> TemplateError {
    let error = TemplateError::failed("Empty conditional expressions are not allowed.");
    placed(error, "", Some(node.span))
}

fn unsafe_condition() -> TemplateError {
    TemplateError::failed("Conditional is marked as unsafe, and cannot be evaluated.")
        .hint("compare the value with something instead of evaluating it")
}

fn evaluate_text(run: &mut Run<'_>, text: &str) -> Outcome<Verdict> {
    run.deeper("conditions", |run| {
        if crate::text_has_template(text) {
            return evaluate_template(run, text);
        }
        let value = bare(run, text)?;
        let mut verdict = decide(run, &value)?;
        if verdict.odd.is_some() && value.as_str().is_some() {
            let formula = run.engine.expression(text.trim())?;
            let class = run.text_class(&formula.expr, &Frame::root(formula.mutates));
            verdict.odd = Some(class.name());
        }
        Ok(verdict)
    })
}

fn bare(run: &mut Run<'_>, text: &str) -> Outcome<Value> {
    let formula = run.engine.expression(text.trim())?;
    run.formula(&formula)
}

/// The verdict of a value.
fn decide(run: &Run<'_>, value: &Value) -> Outcome<Verdict> {
    if is_undefined(value) {
        return Err(undefined_error(value));
    }
    match view(value) {
        View::Bool(verdict) => Ok(Verdict::boolean(verdict)),
        _ if run.is_strict() => Err(TemplateError::failed(format!(
            "Conditional result ({}) was derived from value of type '{}'. Conditionals must have a \
             boolean result.",
            if crate::value::is_true(value) { "True" } else { "False" },
            crate::value::type_name(value)
        ))
        .hint("compare explicitly, e.g. `x | length > 0` or `x is not none`")),
        _ => Ok(Verdict {
            holds: crate::value::is_true(value),
            odd: Some(crate::value::type_name(value)),
        }),
    }
}

fn evaluate_template(run: &mut Run<'_>, text: &str) -> Outcome<Verdict> {
    match whole(text) {
        Some(inner) => {
            let value = bare(run, inner)?;
            decide_rendered(run, Some(inner.trim()), value)
        }
        None if text.contains("{%") || text.contains("{#") => {
            let value = run.scalar(text, None)?;
            let value = run.force(value)?;
            decide_rendered(run, None, value)
        }
        None => {
            let expression = inlined(text);
            if run.is_strict() && expression != text.trim() && expression != text {
                return Err(TemplateError::syntax(
                    "Syntax error in expression. Template delimiters are not supported in expressions",
                    None,
                )
                .hint("a condition is an expression already: write names without `{{ }}`"));
            }
            if !run.is_strict() {
                refuse_code(run, text)?;
            }
            let value = bare(run, &expression)?;
            decide(run, &value)
        }
    }
}

/// Ansible renders the text and evaluates what comes out: text from outside would be code, as it
/// would not be here. So where it stands for itself, not in a literal, it is refused as there.
fn refuse_code(run: &mut Run<'_>, text: &str) -> Outcome<()> {
    for part in inlined_parts(text).1 {
        let formula = run.engine.expression(part.trim())?;
        let frame = Frame::root(formula.mutates);
        if run.is_outside_text(&formula.expr, &frame) {
            return Err(unsafe_condition());
        }
    }
    Ok(())
}

/// The verdict of what a template rendered to; `name` is what the whole template is, if it is one.
fn decide_rendered(run: &mut Run<'_>, name: Option<&str>, value: Value) -> Outcome<Verdict> {
    let Some(text) = value.as_str() else {
        return decide(run, &value);
    };
    if text.trim().is_empty() {
        let empty = Ok(Verdict::boolean(false));
        return if run.is_strict() { decide(run, &Value::from("")) } else { empty };
    }
    if let Some(literal) = parse_literal(text.trim()) {
        return decide(run, &literal);
    }
    // Only text that the user wrote is evaluated again.
    match name.map(|name| run.scope.lookup(name)) {
        Some(Found::Slot(Slot::Template(node))) if node.as_str().is_some() && !node.is_data() => {
            let text = text.to_owned();
            evaluate_text(run, &text)
        }
        _ => Err(unsafe_condition()),
    }
}

/// What stands between the braces, if the whole text is one `{{ }}`.
fn whole(text: &str) -> Option<&str> {
    let text = text.trim();
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    (!inner.contains("{{") && !inner.contains("}}")).then_some(inner)
}

/// The condition as one expression: `{{ x }}` outside of text literals becomes `(x)`. Inside of
/// them it stays for the evaluation of literals, unless it holds the quotes of its literal; then the
/// literal becomes a concatenation.
fn inlined(text: &str) -> String {
    inlined_parts(text).0
}

/// The same, and what stands between the braces outside of literals.
fn inlined_parts(text: &str) -> (String, Vec<&str>) {
    let mut parts = Vec::new();
    let mut part = text;
    let mut out = String::with_capacity(text.len());
    let mut quote: Option<char> = None;
    let mut open = false;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        match quote {
            // Same lengths, so that places stay right.
            None if rest.starts_with("{{") => {
                out.push_str(" (");
                (open, length) = (true, 2);
                part = rest.get(2..).unwrap_or_default();
            }
            None if open && rest.starts_with("}}") => {
                out.push_str(") ");
                (open, length) = (false, 2);
                parts.push(part.get(..part.len() - rest.len()).unwrap_or_default());
            }
            Some(mark) if rest.starts_with("{{") => {
                let end = rest.find("}}").map_or(rest.len(), |at| at + 2);
                let inner = rest.get(..end).unwrap_or(rest);
                let expression =
                    inner.strip_prefix("{{").and_then(|inner| inner.strip_suffix("}}"));
                match expression.filter(|expression| expression.contains(mark)) {
                    Some(expression) => out.push_str(&format!("{mark} ~ ({expression}) ~ {mark}")),
                    None => out.push_str(inner),
                }
                length = end;
            }
            _ => {
                match quote {
                    Some(mark) if mark == character => quote = None,
                    None if matches!(character, '\'' | '"') => quote = Some(character),
                    _ => {}
                }
                out.push(character);
            }
        }
        rest = rest.get(length..).unwrap_or("");
    }
    (out, parts)
}

/// Whether a condition can be parsed; otherwise the error, or the first unknown filter or test.
pub(crate) fn check(engine: &Engine, text: &str) -> Outcome<Option<TemplateError>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    if text.contains("{%") || text.contains("{#") {
        return Ok(crate::reach::first_unknown(engine, &engine.template(text)?.body));
    }
    let expression = match whole(text) {
        Some(inner) => inner.to_owned(),
        None => inlined(text),
    };
    let formula = engine.expression(expression.trim())?;
    Ok(crate::reach::first_unknown_in(engine, &formula.expr))
}

/// The expression that a condition is evaluated as, for static analysis.
pub(crate) fn expression_of(text: &str) -> Option<String> {
    // In the order in which evaluation looks: `{%` may stand in a literal of the expression.
    match whole(text) {
        Some(inner) => Some(inner.trim().to_owned()),
        None if text.contains("{%") || text.contains("{#") => None,
        None => Some(inlined(text).trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{inlined, inlined_parts, whole};

    #[test]
    fn templates_become_parts_of_one_expression() {
        for (written, expression) in [
            ("a == {'x': {'y': 1}}", "a == {'x': {'y': 1}}"),
            ("{{ a }} == 1", " ( a )  == 1"),
            ("'{{ a }}' == b", "'{{ a }}' == b"),
            (r#""{{ "h" | f("x") }}" == b"#, r#""" ~ ( "h" | f("x") ) ~ "" == b"#),
        ] {
            assert_eq!(inlined(written), expression);
        }
        assert_eq!(inlined_parts("{{ a }} == '{{ b }}' or {{ c }}").1, [" a ", " c "]);
        assert_eq!(whole("{{ a }}").map(str::trim), Some("a"));
        assert_eq!(whole("{{ a }} == {{ b }}"), None);
    }
}

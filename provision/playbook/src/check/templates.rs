//! Syntax of templates and conditions.

use diagnostics::Diagnostic;
use yaml::{Mapping, Node, NodeValue};

use crate::arguments::Offsets;
use crate::expressions::{Expression, level_expressions, own_expressions};
use crate::loader::Loader;
use crate::model::{Directives, Task};
use crate::templating::{TextKind, is_template};

impl Loader {
    /// Templates that a task itself evaluates.
    pub(crate) fn check_templates(&mut self, task: &Task) {
        for expression in own_expressions(task) {
            self.check_expression(&expression);
        }
        if let Some(name) = &task.name {
            self.check_text(name, TextKind::Template, Diagnostic::error);
        }
    }

    /// Templates among the keywords of a play, role or block.
    pub(crate) fn check_level(&mut self, directives: &Directives) {
        for expression in level_expressions(directives) {
            self.check_expression(&expression);
        }
    }

    fn check_expression(&mut self, expression: &Expression<'_>) {
        if expression.kind == TextKind::Condition {
            self.check_condition(expression);
        }
        self.check_node(expression.node, expression.kind, Diagnostic::error);
    }

    /// Templates in variables: they fail only if somebody uses them.
    pub(crate) fn check_values(&mut self, mapping: &Mapping) {
        for (_, value) in mapping.iter() {
            self.check_node(value, TextKind::Template, |code, message| {
                Diagnostic::warning(code, message).note("using this variable will fail")
            });
        }
    }

    fn check_condition(&mut self, expression: &Expression<'_>) {
        let Some(text) = expression.node.as_str().filter(|text| text.contains("{{")) else {
            return;
        };
        if expression.node.is_data() {
            return;
        }
        let bare = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let hint = match bare.filter(|bare| !bare.contains("{{")) {
            Some(bare) => format!("write `{}: {}`", expression.of, bare.trim()),
            None => "write the names of variables without `{{ }}`".to_owned(),
        };
        self.report(
            Diagnostic::warning(
                "braces-in-condition",
                format!("`{}` is an expression already", expression.of),
            )
            .at(expression.node.span, "`{{ }}` is not needed here")
            .hint(hint),
        );
    }

    fn check_node(
        &mut self,
        node: &Node,
        kind: TextKind,
        severity: impl Fn(&'static str, String) -> Diagnostic + Copy,
    ) {
        if node.is_data() {
            return;
        }
        match &node.value {
            NodeValue::String(_) => self.check_text(node, kind, severity),
            NodeValue::Sequence(items) => {
                for item in items {
                    self.check_node(item, kind, severity);
                }
            }
            NodeValue::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    self.check_node(key, kind, severity);
                    self.check_node(value, kind, severity);
                }
            }
            _ => {}
        }
    }

    fn check_text(
        &mut self,
        node: &Node,
        kind: TextKind,
        severity: impl Fn(&'static str, String) -> Diagnostic,
    ) {
        let Some(text) = node.as_str() else { return };
        if node.is_data() || (kind == TextKind::Template && !is_template(text)) {
            return;
        }
        let Some(fault) = self.fault_of(text, kind) else { return };
        let offsets = Offsets::of(node, self.sources());
        let span = match fault.range {
            Some((start, end)) => offsets.span(start, end),
            None => node.span,
        };
        let hint = fault.hint.or_else(|| quoting_hint(text, kind));
        self.report(
            severity("template-syntax", fault.message).at(span, "not understood").hint_if(hint),
        );
    }
}

/// What beginners trip over most.
fn quoting_hint(text: &str, kind: TextKind) -> Option<String> {
    if kind == TextKind::Template && text.matches("{{").count() != text.matches("}}").count() {
        return Some("every `{{` needs a `}}`; to write it as text: `{{ '{{' }}`".to_owned());
    }
    if kind == TextKind::Template && text.matches("{%").count() != text.matches("%}").count() {
        return Some("every `{%` needs a `%}`".to_owned());
    }
    for (open, close) in [("if", "endif"), ("for", "endfor")] {
        let is = |word: &str| text.split_whitespace().filter(|part| *part == word).count();
        if kind == TextKind::Template && text.contains("{%") && is(open) > is(close) {
            return Some(format!("every `{{% {open} %}}` needs a `{{% {close} %}}`"));
        }
    }
    if kind == TextKind::Condition && text.contains(" = ") {
        return Some("to compare, write `==`".to_owned());
    }
    if kind == TextKind::Condition && (text.contains("&&") || text.contains("||")) {
        return Some("write `and`, `or`, `not`".to_owned());
    }
    None
}

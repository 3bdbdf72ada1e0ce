//! Where the classic and the strict dialect (ansible-core 2.19) make something else of the same
//! playbook, as far as can be known before it runs. Each finding is a warning with a code that
//! begins with `dialect-`; a finding means that the dialects differ, not that one of them is wrong.

use std::collections::{BTreeMap, BTreeSet};

use diagnostics::{Diagnostic, Span};
use yaml::{Mapping, Node, NodeValue};

use crate::check::Survey;
use crate::expressions::{Expression, expressions};
use crate::loader::Loader;
use crate::templating::{Shape, TextKind, is_template};

/// The kind of a variable's value, if it has one everywhere that it is written; and where first.
type Known = BTreeMap<String, Option<(Shape, Span)>>;

impl Loader {
    /// The differences in the playbook that was loaded last, after [`Loader::undefined`].
    #[must_use]
    pub fn differences(&self) -> Vec<Diagnostic> {
        let known = known(self.surveys());
        let mut found =
            Found { loader: self, known, seen: BTreeSet::new(), differences: Vec::new() };
        for survey in self.surveys() {
            for surveyed in &survey.tasks {
                expressions(&surveyed.task).iter().for_each(|one| found.expression(one));
                if surveyed.task.module.name == "set_fact" {
                    found.values(&surveyed.task.arguments.parameters);
                }
            }
            for level in survey.contexts.iter().flat_map(|context| context.chain()) {
                level.directives.vars.iter().for_each(|vars| found.values(vars));
            }
            for role in &survey.roles {
                found.values(&role.role.defaults);
                found.values(&role.role.vars);
            }
        }
        found.differences
    }
}

/// What is written as a constant, and nowhere as something else.
fn known(surveys: &[Survey]) -> Known {
    let mut known = Known::new();
    let mut forget: BTreeSet<String> = BTreeSet::new();
    for survey in surveys {
        for role in &survey.roles {
            note(&role.role.defaults, &mut known);
            note(&role.role.vars, &mut known);
            note(&role.parameters, &mut known);
        }
        for level in survey.contexts.iter().flat_map(|context| context.chain()) {
            level.directives.vars.iter().for_each(|vars| note(vars, &mut known));
        }
        for surveyed in &survey.tasks {
            forget.extend(surveyed.task.register.iter().map(|(name, _)| name.clone()));
            if matches!(surveyed.task.module.name, "set_fact" | "include_vars") {
                let names = surveyed.task.arguments.parameters.iter();
                forget.extend(names.filter_map(|(key, _)| key.as_str().map(str::to_owned)));
            }
        }
    }
    known.retain(|name, _| !forget.contains(name));
    known
}

fn note(mapping: &Mapping, known: &mut Known) {
    for (key, value) in mapping.iter() {
        let Some(name) = key.as_str() else { continue };
        let shape = constant(value).map(|shape| (shape, value.span));
        known
            .entry(name.to_owned())
            .and_modify(|first| {
                let same = first.zip(shape).is_some_and(|(first, other)| first.0 == other.0);
                if !same {
                    *first = None;
                }
            })
            .or_insert(shape);
    }
}

fn constant(node: &Node) -> Option<Shape> {
    match &node.value {
        NodeValue::Bool(_) => Some(Shape::Boolean),
        NodeValue::Integer(_) | NodeValue::Float(_) => Some(Shape::Number),
        NodeValue::String(text) if !is_template(text) && !node.is_vault() => Some(Shape::Text),
        NodeValue::Sequence(_) => Some(Shape::List),
        NodeValue::Mapping(_) => Some(Shape::Mapping),
        _ => None,
    }
}

struct Found<'a> {
    loader: &'a Loader,
    known: Known,
    /// What was looked at already: tasks inherit the same text.
    seen: BTreeSet<(u32, u32, u32)>,
    differences: Vec<Diagnostic>,
}

impl Found<'_> {
    fn is_new(&mut self, node: &Node) -> bool {
        let span = node.span;
        self.seen.insert((span.source.0, span.start, span.end))
    }

    fn expression(&mut self, expression: &Expression<'_>) {
        if expression.kind == TextKind::Condition && expression.of != "var" {
            self.condition(expression.of, expression.node);
        }
    }

    fn condition(&mut self, keyword: &str, node: &Node) {
        if node.is_data() || !self.is_new(node) {
            return;
        }
        let text = match &node.value {
            NodeValue::String(text) => text,
            NodeValue::Bool(_) | NodeValue::Sequence(_) | NodeValue::Mapping(_) => return,
            NodeValue::Null => return self.add_empty(keyword, node),
            _ => {
                let message = format!("`{keyword}` is no expression");
                let difference = Diagnostic::warning("dialect-condition", message)
                    .at(node.span, "classic asks whether it is zero, strict refuses it")
                    .hint("write true or false");
                return self.differences.push(difference);
            }
        };
        if text.trim().is_empty() {
            return self.add_empty(keyword, node);
        }
        let is_whole = {
            let text = text.trim();
            text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
        };
        if is_template(text) && !is_whole {
            let message = format!("`{keyword}` has a template inside of its expression");
            let difference = Diagnostic::warning("dialect-embedded-template", message)
                .at(node.span, "classic puts the value in, strict refuses it")
                .hint("write the names of variables without `{{ }}`");
            return self.differences.push(difference);
        }
        let known = &self.known;
        let variable = |name: &str| known.get(name).copied().flatten();
        let shape = self
            .loader
            .templates()
            .shape_of_condition(text, &|name| variable(name).map(|(shape, _)| shape));
        let Some((shape, name)) = shape.filter(|(shape, _)| *shape != Shape::Boolean) else {
            return;
        };
        let what = match &name {
            Some(name) => format!("`{name}` is {}, not a boolean", shape.noun()),
            None => format!("this is {}, not a boolean", shape.noun()),
        };
        let mut difference = Diagnostic::warning("dialect-condition", what)
            .at(node.span, format!("classic asks {}, strict refuses it", question(shape)))
            .hint(advice(shape, name.as_deref().unwrap_or("x")));
        if let Some((_, span)) = name.as_deref().and_then(variable) {
            difference = difference.also(span, "written here");
        }
        self.differences.push(difference);
    }

    fn add_empty(&mut self, keyword: &str, node: &Node) {
        let message = format!("`{keyword}` is empty");
        let difference = Diagnostic::warning("dialect-condition", message)
            .at(node.span, "holds in classic, strict refuses it")
            .hint("remove the line, or write true");
        self.differences.push(difference);
    }

    /// Variables and facts: templates whose value is of another type in the other dialect.
    fn values(&mut self, mapping: &Mapping) {
        for (_, value) in mapping.iter() {
            self.value(value);
        }
    }

    fn value(&mut self, node: &Node) {
        if node.is_data() {
            return;
        }
        match &node.value {
            NodeValue::Sequence(items) => items.iter().for_each(|item| self.value(item)),
            NodeValue::Mapping(mapping) => self.values(mapping),
            NodeValue::String(text) if is_template(text) && self.is_new(node) => {
                self.template(node, text);
            }
            _ => {}
        }
    }

    fn template(&mut self, node: &Node, text: &str) {
        let trimmed = text.trim();
        let looks_like = |open: char, close: char| {
            trimmed.starts_with(open)
                && trimmed.ends_with(close)
                && !trimmed.starts_with("{{")
                && !trimmed.starts_with("{%")
        };
        if looks_like('[', ']') || looks_like('{', '}') {
            let what = if trimmed.starts_with('[') { "list" } else { "mapping" };
            let message = format!("text around a template that looks like a {what}");
            let difference = Diagnostic::warning("dialect-literal", message)
                .at(node.span, format!("classic makes a {what} of it, in strict it stays text"))
                .hint(format!("write it as a {what} in YAML, or as one expression in `{{{{ }}}}`"));
            return self.differences.push(difference);
        }
        if self.loader.templates().shape_of_template(text) == Some(Shape::Number) {
            let difference =
                Diagnostic::warning("dialect-number", "a template whose value is a number")
                    .at(node.span, "text in classic, a number in strict")
                    .hint("where it is used, convert it (`| int`, `| string`) to be sure of both");
            self.differences.push(difference);
        }
    }
}

/// What the classic dialect asks of a value that is no boolean.
fn question(shape: Shape) -> &'static str {
    match shape {
        Shape::Number => "whether it is zero",
        Shape::Boolean | Shape::Text | Shape::List | Shape::Mapping => "whether it is empty",
    }
}

fn advice(shape: Shape, name: &str) -> String {
    match shape {
        Shape::Number => format!("write `{name} != 0`"),
        Shape::Boolean | Shape::Text | Shape::List | Shape::Mapping => {
            format!("write `{name} | length > 0`, or `{name} | bool` for words like yes and no")
        }
    }
}

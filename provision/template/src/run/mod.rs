//! Evaluation of compiled templates. One [`Run`] is one render: it holds what must be shared by
//! everything evaluated within it (variables already evaluated, the cycle check, the budget).

mod calls;
mod eval;
mod exec;
mod frame;
mod loops;
mod objects;
mod output;
mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;

use diagnostics::Span;
use minijinja::Value;
use yaml::{Node, NodeValue};

pub(crate) use calls::Call;
pub(crate) use frame::Frame;
pub(crate) use loops::LoopVar;
pub(crate) use objects::{Class, Cycler, Global, GlobalKind, Joiner, Macro, Module, Namespace};
pub(crate) use output::{Conversion, Out, literal};
pub(crate) use variables::Lazy;

use crate::engine::Engine;
use crate::error::{At, Outcome, Spot, TemplateError};
use crate::limits::MAX_DEPTH;
use crate::program::{Formula, Name, Program, Stmt};
use crate::scope::{Dialect, Outside, OutsideError, Scope, TemplateOptions};
use crate::value::{
    Pairs, dict_value, is_missing, is_undefined, list_value, undefined_error, value_of_node,
};

/// One render.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) scope: &'a dyn Scope,
    pub(crate) outside: &'a dyn Outside,
    pub(crate) dialect: Dialect,
    /// Variables that have been evaluated.
    memo: BTreeMap<Name, Value>,
    /// Variables that are being evaluated, outermost first.
    active: Vec<Name>,
    steps: u64,
    depth: usize,
    /// Frames that macros were defined in: they must live until the end of the run.
    kept: Vec<Arc<Frame>>,
    templates: Vec<TemplateContext>,
    /// What filter blocks captured.
    captured: Vec<Value>,
    /// What becomes of text that looks like a value.
    conversion: Conversion,
    /// Options of the file that is being rendered: included files are read with them, too.
    options: Option<TemplateOptions>,
    /// Where texts of variables come from, of those that were asked for (see `origin.rs`).
    pub(crate) origins: BTreeMap<Box<str>, crate::Origin>,
}

/// The template that is being executed.
pub(crate) struct TemplateContext {
    pub(crate) name: Option<String>,
    pub(crate) root: Arc<Frame>,
    /// Bodies of each block, the most derived first.
    pub(crate) blocks: BTreeMap<Name, Vec<Arc<Vec<Stmt>>>>,
    pub(crate) parent: Option<(Arc<Program>, String)>,
    /// The block being executed and how many `super()` deep.
    pub(crate) block: Option<(Name, usize)>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(engine: &'a Engine, scope: &'a dyn Scope, outside: &'a dyn Outside) -> Self {
        Run {
            engine,
            scope,
            outside,
            dialect: engine.dialect(),
            memo: BTreeMap::new(),
            active: Vec::new(),
            steps: 0,
            depth: 0,
            kept: Vec::new(),
            templates: Vec::new(),
            captured: Vec::new(),
            conversion: engine.conversion(),
            options: None,
            origins: BTreeMap::new(),
        }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.dialect == Dialect::Strict
    }

    /// Whether results are values (`jinja2_native` of the classic dialect).
    pub(crate) fn is_native(&self) -> bool {
        self.conversion == Conversion::Native
    }

    /// Counts one step.
    pub(crate) fn step(&mut self) -> Outcome<()> {
        self.steps += 1;
        let limit = self.engine.steps();
        if self.steps > limit {
            return Err(TemplateError::failed(format!(
                "the template does not end: it took more than {limit} steps"
            )));
        }
        Ok(())
    }

    /// Runs something one level deeper.
    pub(crate) fn deeper<T>(
        &mut self,
        what: &str,
        action: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        if self.depth >= MAX_DEPTH {
            return Err(TemplateError::failed(format!(
                "maximum recursion depth exceeded: {what} is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        self.depth += 1;
        let result = action(self);
        self.depth -= 1;
        result
    }

    /// The error of an outside call.
    pub(crate) fn outside_error(error: OutsideError, what: &str) -> TemplateError {
        match error {
            OutsideError::Pending(token) => TemplateError::Pending(token),
            OutsideError::UnknownLookup => {
                TemplateError::failed(format!("lookup plugin ({what}) not found"))
            }
            OutsideError::Unavailable(reason) => {
                TemplateError::failed(format!("{what} is not available: {reason}"))
            }
            OutsideError::Failed(message) => TemplateError::failed(message),
        }
    }

    /// The value of a node, with everything in it evaluated; undefined anywhere is an error.
    pub(crate) fn node_value(&mut self, node: &Node) -> Outcome<Value> {
        let value = self.node(node)?;
        let value = self.force(value)?;
        self.settled(value).map_err(|error| located(error, node.span))
    }

    /// Checks that nothing in a result is undefined; drops omitted items as the strict dialect does.
    pub(crate) fn settled(&self, value: Value) -> Outcome<Value> {
        if let Some(missing) = find_undefined(&value) {
            return Err(undefined_error(&missing));
        }
        if is_undefined(&value) {
            return if self.is_strict() {
                Err(undefined_error(&value))
            } else {
                Ok(Value::from(""))
            };
        }
        Ok(if self.is_strict() { crate::value_without_omitted(&value) } else { value })
    }

    /// The value of a node; parts of it may be undefined.
    pub(crate) fn node(&mut self, node: &Node) -> Outcome<Value> {
        self.step()?;
        if node.is_unsafe() {
            return Ok(value_of_node(node));
        }
        match &node.value {
            NodeValue::String(text) if node.is_vault() => {
                // What comes out is data: Ansible never takes it for a template.
                let opened = self.outside.unvault(text);
                let opened = opened.map_err(|error| Run::outside_error(error, "!vault"));
                opened.map(Value::from).map_err(|error| located(error, node.span))
            }
            NodeValue::String(text) if crate::text_has_template(text) => {
                self.scalar(text, Some(node.span))
            }
            NodeValue::Sequence(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    out.push(self.node(item)?);
                }
                Ok(list_value(out))
            }
            NodeValue::Mapping(mapping) => {
                let mut out = Pairs::with_capacity(mapping.len());
                for (key, item) in mapping.iter() {
                    out.insert(value_of_node(key), self.node(item)?);
                }
                Ok(dict_value(out))
            }
            _ => Ok(value_of_node(node)),
        }
    }

    /// The value of a text with templates in it.
    pub(crate) fn scalar(&mut self, text: &str, span: Option<Span>) -> Outcome<Value> {
        let result = self.engine.template(text).and_then(|program| {
            if let Some(value) = self.single_variable(&program) {
                return Ok(value);
            }
            let value = self.isolated(|run| run.program_value(&program))?;
            Ok(with_newlines(value, text, "\n"))
        });
        match result {
            Ok(value) => Ok(value),
            Err(error) if self.is_strict() => self.captured_error(placed(error, text, span)),
            Err(error) => Err(placed(error, text, span)),
        }
    }

    /// In the strict dialect an error inside a value is reported when the value is used.
    pub(crate) fn captured_error(&self, error: TemplateError) -> Outcome<Value> {
        if matches!(error, TemplateError::Pending(_)) || !self.is_strict() {
            return Err(error);
        }
        Ok(Value::from_object(crate::value::Undefined {
            message: error.message().to_owned(),
            name: error.fault().and_then(|fault| fault.name.clone()),
            cause: Some(error),
            silent: false,
        }))
    }

    /// Runs something that must not see the surrounding template: a nested value.
    fn isolated<T>(&mut self, action: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let templates = std::mem::take(&mut self.templates);
        let options = self.options.take();
        let conversion = std::mem::replace(&mut self.conversion, self.engine.conversion());
        let result = action(self);
        self.templates = templates;
        self.options = options;
        self.conversion = conversion;
        result
    }

    fn program_value(&mut self, program: &Arc<Program>) -> Outcome<Value> {
        let mut out = Out::default();
        let frame = Frame::root(program.mutates);
        self.program(program, None, &frame, &mut out)?;
        Ok(self.finish(out))
    }

    /// The result of an output, converted as the dialect wants.
    pub(crate) fn finish(&self, out: Out) -> Value {
        out.finish(self.dialect, self.conversion)
    }

    /// Renders a template file.
    pub(crate) fn file(
        &mut self,
        name: &str,
        text: &str,
        span: Option<Span>,
        options: &TemplateOptions,
    ) -> Outcome<String> {
        self.conversion = Conversion::None;
        let run_dialect = self.dialect;
        self.options = Some(options.clone());
        let result = self.engine.file_template(text, options).and_then(|program| {
            let mut out = Out::default();
            let frame = Frame::root(program.mutates);
            self.program(&program, Some(name.to_owned()), &frame, &mut out)?;
            let value = out.finish(run_dialect, Conversion::None);
            if value.is_none() {
                return Ok(Value::from(""));
            }
            if options.keep_trailing_newline {
                return Ok(with_newlines(value, text, &program.newline));
            }
            Ok(value)
        });
        result
            .map(|value| crate::value::text_of(&value))
            .map_err(|error| placed_in_file(error, span))
    }

    /// The value of a bare expression.
    pub(crate) fn formula(&mut self, formula: &Formula) -> Outcome<Value> {
        let frame = Frame::root(formula.mutates);
        let value = self.eval(&formula.expr, &frame)?;
        self.force(value)
    }
}

/// Turns the range inside a text into a place in the user's file.
pub(crate) fn placed(mut error: TemplateError, text: &str, span: Option<Span>) -> TemplateError {
    let Some(fault) = error.fault_mut() else { return error };
    if fault.span.is_some() {
        return error;
    }
    let (Some(scalar), at) = (span, fault.at.take()) else { return error };
    fault.span = Some(scalar);
    if let Some(at) = at {
        place_fault(fault, text, scalar, at);
    }
    error
}

fn place_fault(fault: &mut crate::error::Fault, text: &str, scalar: Span, at: At) {
    let (start, end) = (at.start as usize, at.end as usize);
    let length = end.saturating_sub(start).max(1);
    let size = (scalar.end - scalar.start) as usize;
    let one_line = !text.contains('\n');
    if one_line && size == text.len() {
        fault.span = Some(scalar.slice(start, length));
    } else if one_line && size == text.len() + 2 {
        fault.span = Some(scalar.slice(start + 1, length));
    }
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_text = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    fault.spot = Some(Spot {
        scalar,
        line: before.matches('\n').count(),
        line_text: line_text.to_owned(),
        offset: start - line_start,
        length: length.min(line_text.len().saturating_sub(start - line_start)).max(1),
    });
}

fn placed_in_file(mut error: TemplateError, span: Option<Span>) -> TemplateError {
    if let (Some(fault), Some(span)) = (error.fault_mut(), span)
        && fault.span.is_none()
    {
        fault.span = Some(match fault.at.take() {
            Some(at) => span.slice(at.start as usize, (at.end - at.start).max(1) as usize),
            None => span,
        });
    }
    error
}

fn located(mut error: TemplateError, span: Span) -> TemplateError {
    if let Some(fault) = error.fault_mut() {
        fault.span.get_or_insert(span);
    }
    error
}

/// The first undefined value inside a value.
pub(crate) fn find_undefined(value: &Value) -> Option<Value> {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Undefined => Some(value.clone()),
        ValueKind::Plain if is_missing(value) => Some(value.clone()),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().ok()?.find_map(|item| find_undefined(&item))
        }
        ValueKind::Map => value
            .as_object()
            .and_then(|object| object.try_iter_pairs())?
            .find_map(|(_, item)| find_undefined(&item)),
        _ => None,
    }
}

/// Ansible keeps the newlines at the end of a template that Jinja drops: the result gets at least
/// as many as the source has.
fn with_newlines(value: Value, source: &str, newline: &str) -> Value {
    let wanted = trailing_newlines(source);
    if wanted == 0 {
        return value;
    }
    let Some(text) = value.as_str() else { return value };
    let missing = wanted.saturating_sub(trailing_newlines(text));
    if missing == 0 {
        return value;
    }
    Value::from([text, &newline.repeat(missing)].concat())
}

fn trailing_newlines(text: &str) -> usize {
    text.bytes().rev().take_while(|byte| *byte == b'\n').count()
}

//! The engine: compiled templates by text, and the entry points.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use diagnostics::Span;
use indexmap::IndexMap;
use minijinja::Value;
use yaml::{Node, NodeValue};

use crate::error::{Outcome, TemplateError};
use crate::limits::{MAX_CACHED_PROGRAMS, MAX_STEPS};
use crate::lower::{compile_expression, compile_template};
use crate::program::{Formula, Name, Program};
use crate::run::{Conversion, Run, placed};
use crate::scope::{Dialect, Outside, Reach, Scope, Slot, TemplateOptions, TextKind};
use crate::shape::Shape;
use crate::source::Backslashes;

/// Evaluates templates of one dialect. Shared between threads: it caches what it compiles.
pub struct Engine {
    dialect: Dialect,
    conversion: Conversion,
    templates: Cache<Program>,
    expressions: Cache<Formula>,
    /// By options, then text: a run uses few different options.
    files: RwLock<Vec<(TemplateOptions, Arc<Cache<Program>>)>>,
    value_options: TemplateOptions,
    steps: u64,
    /// Names of filters and tests of the user's own.
    admitted: RwLock<BTreeSet<String>>,
}

type Cached<T> = Result<Arc<T>, TemplateError>;

/// Compiled things by their text; errors are kept, too.
struct Cache<T>(RwLock<IndexMap<Box<str>, Cached<T>>>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache(RwLock::new(IndexMap::new()))
    }
}

impl<T> Cache<T> {
    fn get(&self, text: &str, compile: impl FnOnce() -> Outcome<T>) -> Cached<T> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(known) = known {
            return known;
        }
        let compiled = compile().map(Arc::new);
        let mut cache = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_CACHED_PROGRAMS {
            cache.clear();
        }
        cache.insert(text.into(), compiled.clone());
        compiled
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with an empty cache.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Engine {
            dialect,
            conversion: Conversion::Literals,
            templates: Cache::default(),
            expressions: Cache::default(),
            files: RwLock::default(),
            value_options: TemplateOptions {
                keep_trailing_newline: false,
                ..TemplateOptions::default()
            },
            steps: MAX_STEPS,
            admitted: RwLock::default(),
        }
    }

    /// Lowers how many steps one render may take: for texts that are not trusted to end.
    #[must_use]
    pub fn limited_to(mut self, steps: u64) -> Self {
        self.steps = steps.min(MAX_STEPS);
        self
    }

    /// Makes results of the classic dialect native values, as `jinja2_native` does in Ansible.
    #[must_use]
    pub fn with_native_types(mut self) -> Self {
        self.conversion = Conversion::Native;
        self
    }

    /// Has checks take a name for that of a filter or test of the user's own.
    pub fn admit(&self, name: &str) {
        self.admitted.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    pub(crate) fn is_admitted(&self, name: &str) -> bool {
        self.admitted.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(crate) fn conversion(&self) -> Conversion {
        self.conversion
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Whose rules it follows.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The compiled form of a value's text.
    pub(crate) fn template(&self, text: &str) -> Cached<Program> {
        self.templates.get(text, || {
            let (options, base) = with_header(text, &self.value_options)?;
            compile_template(text, base, &options, Backslashes::Literal)
        })
    }

    /// The compiled form of a bare expression.
    pub(crate) fn expression(&self, text: &str) -> Cached<Formula> {
        self.expressions.get(text, || compile_expression(text))
    }

    /// The compiled form of a template file.
    pub(crate) fn file_template(&self, text: &str, options: &TemplateOptions) -> Cached<Program> {
        let known = self
            .files
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(|(known, _)| known == options)
            .map(|(_, cache)| cache.clone());
        let cache = known.unwrap_or_else(|| {
            let cache = Arc::new(Cache::default());
            let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
            files.push((options.clone(), Arc::clone(&cache)));
            cache
        });
        cache.get(text, || {
            let normalised = text.replace("\r\n", "\n").replace('\r', "\n");
            let (options, base) = with_header(&normalised, options)?;
            compile_template(&normalised, base, &options, Backslashes::Escapes)
        })
    }

    /// The value of a node: texts in it are templates, lists and mappings are evaluated throughout,
    /// `!unsafe` is data. `omit` comes back as a value for which [`crate::is_omit`] holds.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn render_node(
        &self,
        node: &Node,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<Value, TemplateError> {
        if !crate::has_template(node) {
            return Ok(crate::value_of_node(node));
        }
        Run::new(self, scope, outside).node_value(node)
    }

    /// The value of a variable's slot.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn render_slot(
        &self,
        slot: &Slot,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<Value, TemplateError> {
        match slot {
            Slot::Data(value) => Ok(value.clone()),
            Slot::Template(node) => self.render_node(node, scope, outside),
        }
    }

    /// The value of a text of the user's files that has no node (command line, inventory script).
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn render_text(
        &self,
        text: &str,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<Value, TemplateError> {
        if !crate::text_has_template(text) {
            return Ok(Value::from(text));
        }
        let mut run = Run::new(self, scope, outside);
        let value = run.scalar(text, None)?;
        let value = run.force(value)?;
        run.settled(value)
    }

    /// The text of a template file. `name` is what `include` and `import` in it are relative to;
    /// `span` is the whole file, for errors.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn render_file(
        &self,
        name: &str,
        text: &str,
        span: Option<Span>,
        options: &TemplateOptions,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<String, TemplateError> {
        Run::new(self, scope, outside).file(name, text, span, options)
    }

    /// Whether a condition holds: text, a boolean, or a list of which all must hold; and whether it
    /// is a boolean at all.
    ///
    /// # Errors
    /// See [`TemplateError`]; in the strict dialect also if the result is not a boolean.
    pub fn evaluate_condition(
        &self,
        node: &Node,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<crate::Verdict, TemplateError> {
        crate::conditions::evaluate(&mut Run::new(self, scope, outside), node)
    }

    /// The value of a bare expression, such as the argument of `debug: var=`.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn evaluate_expression(
        &self,
        text: &str,
        span: Option<Span>,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<Value, TemplateError> {
        let mut run = Run::new(self, scope, outside);
        let result = self.expression(text).and_then(|formula| run.formula(&formula));
        let value = result.map_err(|error| placed(error, text, span))?;
        run.settled(value).map_err(|error| placed(error, text, span))
    }

    /// The value of a variable as `{{ name }}` would see it; `None` if there is none.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn variable(
        &self,
        name: &str,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<Option<Value>, TemplateError> {
        let mut run = Run::new(self, scope, outside);
        let name: Name = Arc::from(name);
        let Some(value) = run.variable(&name)? else { return Ok(None) };
        let value = run.force(value)?;
        run.settled(value).map(Some)
    }

    /// Where the texts of a node's value come from (classic dialect).
    #[must_use]
    pub fn origin_of_node(
        &self,
        node: &Node,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> crate::Origin {
        Run::new(self, scope, outside).origin_of_node(node)
    }

    /// What a lookup returns: the same functions serve `with_<name>` and `lookup()`.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn lookup(
        &self,
        name: &str,
        terms: Vec<Value>,
        options: Vec<(Arc<str>, Value)>,
        scope: &dyn Scope,
        outside: &dyn Outside,
    ) -> Result<Vec<Value>, TemplateError> {
        crate::lookups::run(&mut Run::new(self, scope, outside), name, terms, options)
    }

    /// Whether a text can be parsed and names only filters and tests that exist.
    ///
    /// # Errors
    /// Says what is wrong and where in the text.
    pub fn check_syntax(&self, text: &str, kind: TextKind) -> Result<(), TemplateError> {
        let unknown = match kind {
            TextKind::Template if !crate::text_has_template(text) => return Ok(()),
            TextKind::Template => crate::reach::first_unknown(self, &self.template(text)?.body),
            TextKind::File => {
                let program = self.file_template(text, &TemplateOptions::default())?;
                crate::reach::first_unknown(self, &program.body)
            }
            TextKind::Condition => crate::conditions::check(self, text)?,
        };
        unknown.map_or(Ok(()), Err)
    }

    /// Checks every text in a node.
    #[must_use]
    pub fn check_node(&self, node: &Node, kind: TextKind) -> Vec<TemplateError> {
        let mut errors = Vec::new();
        each_text(node, &mut |text, span| {
            if let Err(error) = self.check_syntax(text, kind) {
                errors.push(placed(error, text, Some(span)));
            }
        });
        errors
    }

    /// The kind of a condition's value, if it is known: of what, and the variable that it depends
    /// on. Of `and` and `or`, the first side that is no boolean counts.
    #[must_use]
    pub fn shape_of_condition(
        &self,
        text: &str,
        variable: &dyn Fn(&str) -> Option<Shape>,
    ) -> Option<(Shape, Option<String>)> {
        let expression = crate::conditions::expression_of(text)?;
        let formula = self.expression(&expression).ok()?;
        crate::shape::of_condition(&formula.expr, variable)
    }

    /// The kind of a template's value, if it is one expression whose kind is known.
    #[must_use]
    pub fn shape_of_template(&self, text: &str) -> Option<Shape> {
        crate::shape::of_program(&*self.template(text).ok()?)
    }

    /// What a text can reach without evaluating it; nothing if it cannot be parsed.
    #[must_use]
    pub fn names_in(&self, text: &str, kind: TextKind) -> Reach {
        let mut reach = Reach::default();
        crate::reach::add(self, text, kind, &mut reach);
        reach
    }

    /// What any text in a node can reach.
    #[must_use]
    pub fn names_in_node(&self, node: &Node, kind: TextKind) -> Reach {
        let mut reach = Reach::default();
        each_text(node, &mut |text, _| crate::reach::add(self, text, kind, &mut reach));
        reach
    }
}

/// Calls a function with every text of a node that may be a template.
fn each_text(node: &Node, action: &mut impl FnMut(&str, Span)) {
    if node.is_data() {
        return;
    }
    match &node.value {
        NodeValue::String(text) => action(text, node.span),
        NodeValue::Sequence(items) => items.iter().for_each(|item| each_text(item, action)),
        NodeValue::Mapping(mapping) => {
            mapping.iter().for_each(|(_, value)| each_text(value, action));
        }
        _ => {}
    }
}

/// The first line of a template may change how the rest is read.
const HEADER: &str = "#jinja2:";

/// Options with those of a `#jinja2:` line applied, and how long that line is.
fn with_header(text: &str, options: &TemplateOptions) -> Outcome<(TemplateOptions, usize)> {
    let mut options = options.clone();
    let Some(rest) = text.strip_prefix(HEADER) else { return Ok((options, 0)) };
    let end = rest.find('\n').unwrap_or(rest.len());
    for pair in rest.get(..end).unwrap_or("").split(',') {
        let (key, value) = pair.split_once(':').ok_or_else(|| {
            TemplateError::syntax(
                format!("failed to parse jinja2 override '{}'.", pair.trim()),
                None,
            )
        })?;
        let value = crate::value::parse_literal(value.trim()).unwrap_or_default();
        let text = || crate::value::text_of(&value);
        let flag = crate::value::is_true(&value);
        match key.trim() {
            "trim_blocks" => options.trim_blocks = flag,
            "lstrip_blocks" => options.lstrip_blocks = flag,
            "keep_trailing_newline" => options.keep_trailing_newline = flag,
            "newline_sequence" => options.newline_sequence = text(),
            "variable_start_string" => options.variable_start_string = text(),
            "variable_end_string" => options.variable_end_string = text(),
            "block_start_string" => options.block_start_string = text(),
            "block_end_string" => options.block_end_string = text(),
            "comment_start_string" => options.comment_start_string = text(),
            "comment_end_string" => options.comment_end_string = text(),
            "line_statement_prefix" => options.line_statement_prefix = text(),
            "line_comment_prefix" => options.line_comment_prefix = text(),
            other => {
                return Err(TemplateError::syntax(
                    format!("the #jinja2: line sets '{other}', which is not supported"),
                    None,
                ));
            }
        }
    }
    Ok((options, (HEADER.len() + end + 1).min(text.len())))
}

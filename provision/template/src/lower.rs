//! From minijinja's syntax tree to ours. The only file that knows minijinja's parser.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use minijinja::machinery::{Span, ast, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;

use crate::error::{At, Outcome, TemplateError};
use crate::program::{
    Args, CallBlock, CheckRef, Comparison, Expr, FilterRef, ForLoop, Formula, IfExpr, IfStmt,
    MacroCode, Name, Program, SliceExpr, Stmt, Target,
};
use crate::scope::TemplateOptions;
use crate::source::{Backslashes, Delimiters, Prepared, prepare_expression, prepare_template};
use crate::value::Arithmetic;
use crate::{checks, filters, text_has_template};

/// Methods that change their object.
const MUTATING_METHODS: &[&str] = &[
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "clear",
    "update",
    "setdefault",
    "popitem",
    "__setitem__",
    "__delitem__",
    "sort",
    "reverse",
];

/// Compiles a template.
pub(crate) fn compile_template(
    original: &str,
    base: usize,
    options: &TemplateOptions,
    backslashes: Backslashes,
) -> Outcome<Program> {
    let delimiters = Delimiters {
        variable: (&options.variable_start_string, &options.variable_end_string),
        block: (&options.block_start_string, &options.block_end_string),
        comment: (&options.comment_start_string, &options.comment_end_string),
    };
    // First of all: the search for an empty delimiter would not come forward.
    if delimiters.all().iter().any(|delimiter| delimiter.is_empty()) {
        return Err(TemplateError::syntax("a delimiter of the template is empty", None));
    }
    let config = syntax_config(options)?;
    let original = without_colons(original, &options.line_statement_prefix);
    let prepared = prepare_template(&original, base, delimiters, backslashes);
    let tree = parse(&prepared.text, "template", config)
        .map_err(|error| syntax_error(&error, &prepared))?;
    let mut lowering = Lowering::new(&prepared, &options.newline_sequence);
    let ast::Stmt::Template(template) = &tree else {
        return Err(TemplateError::syntax("the template is empty", None));
    };
    let body = lowering.body(&template.children)?;
    Ok(Program {
        single: single_name(&body),
        body,
        blocks: lowering.blocks,
        mutates: lowering.mutates,
        newline: Arc::from(options.newline_sequence.as_str()),
    })
}

/// Compiles a bare expression; text literals in it may hold templates (conditions).
pub(crate) fn compile_expression(original: &str) -> Outcome<Formula> {
    let prepared = prepare_expression(original);
    let tree = parse_expr(&prepared.text).map_err(|error| syntax_error(&error, &prepared))?;
    let mut lowering = Lowering::new(&prepared, "\n");
    lowering.embedded = true;
    let expr = lowering.expr(&tree)?;
    Ok(Formula { expr, mutates: lowering.mutates })
}

/// A line that is a statement may end with a colon, which minijinja doesn't know. Places stay.
fn without_colons<'t>(text: &'t str, prefix: &str) -> Cow<'t, str> {
    if prefix.is_empty() {
        return Cow::Borrowed(text);
    }
    let line = |line: &str| match line.trim_end().strip_suffix(':') {
        Some(statement) if line.trim_start().starts_with(prefix) => {
            let rest = line.get(statement.len() + 1..).unwrap_or_default();
            format!("{statement} {rest}")
        }
        _ => line.to_owned(),
    };
    Cow::Owned(text.split_inclusive('\n').map(line).collect())
}

fn syntax_config(options: &TemplateOptions) -> Outcome<SyntaxConfig> {
    SyntaxConfig::builder()
        .variable_delimiters(
            options.variable_start_string.clone(),
            options.variable_end_string.clone(),
        )
        .block_delimiters(options.block_start_string.clone(), options.block_end_string.clone())
        .comment_delimiters(
            options.comment_start_string.clone(),
            options.comment_end_string.clone(),
        )
        .line_statement_prefix(options.line_statement_prefix.clone())
        .line_comment_prefix(options.line_comment_prefix.clone())
        .trim_blocks(options.trim_blocks)
        .lstrip_blocks(options.lstrip_blocks)
        .build()
        .map_err(|error| TemplateError::failed(error.to_string()))
}

fn syntax_error(error: &minijinja::Error, prepared: &Prepared) -> TemplateError {
    let range = error.range().map(|range| {
        // minijinja counts one byte for a character that it does not expect.
        let length = prepared.text.len();
        let end = (range.end..=length).find(|at| prepared.text.is_char_boundary(*at));
        let end = end.unwrap_or(length);
        prepared.origin(crate::convert::offset(range.start), crate::convert::offset(end))
    });
    let detail = error.detail().unwrap_or("the syntax is wrong");
    TemplateError::syntax(format!("template error while templating string: {detail}"), range)
}

/// The name, if the body is nothing but `{{ name }}`.
fn single_name(body: &[Stmt]) -> Option<Name> {
    match body {
        [Stmt::Emit(Expr::Var(name, _), _)] => Some(name.clone()),
        _ => None,
    }
}

/// What a macro body or loop body mentions.
#[derive(Debug, Default, Clone, Copy)]
struct Mentions {
    varargs: bool,
    kwargs: bool,
    caller: bool,
    loop_object: bool,
}

struct Lowering<'p> {
    prepared: &'p Prepared,
    newline: &'p str,
    blocks: BTreeMap<Name, Arc<Vec<Stmt>>>,
    names: BTreeMap<String, Name>,
    mentions: Mentions,
    mutates: bool,
    embedded: bool,
}

impl<'p> Lowering<'p> {
    fn new(prepared: &'p Prepared, newline: &'p str) -> Self {
        Lowering {
            prepared,
            newline,
            blocks: BTreeMap::new(),
            names: BTreeMap::new(),
            mentions: Mentions::default(),
            mutates: false,
            embedded: false,
        }
    }

    fn name(&mut self, name: &str) -> Name {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let shared: Name = Arc::from(name);
        self.names.insert(name.to_owned(), shared.clone());
        shared
    }

    fn at(&self, span: Span) -> At {
        self.prepared.origin(span.start_offset, span.end_offset)
    }

    fn body(&mut self, statements: &[ast::Stmt<'_>]) -> Outcome<Vec<Stmt>> {
        statements.iter().map(|statement| self.statement(statement)).collect()
    }

    fn statement(&mut self, statement: &ast::Stmt<'_>) -> Outcome<Stmt> {
        Ok(match statement {
            ast::Stmt::Template(inner) => Stmt::Scope(self.body(&inner.children)?),
            ast::Stmt::EmitExpr(emit) => {
                let at = self.at(emit.expr.span());
                Stmt::Emit(self.expr(&emit.expr)?, at)
            }
            ast::Stmt::EmitRaw(raw) => Stmt::Text(Value::from(self.line_ends(raw.raw))),
            ast::Stmt::ForLoop(inner) => self.for_loop(inner, inner.span())?,
            ast::Stmt::IfCond(inner) => Stmt::If(Box::new(IfStmt {
                test: self.expr(&inner.expr)?,
                body: self.body(&inner.true_body)?,
                otherwise: self.body(&inner.false_body)?,
            })),
            ast::Stmt::WithBlock(inner) => {
                let mut assignments = Vec::new();
                for (target, expr) in &inner.assignments {
                    assignments.push((self.target(target)?, self.expr(expr)?));
                }
                Stmt::With(assignments, self.body(&inner.body)?)
            }
            ast::Stmt::Set(inner) => {
                Stmt::Set(self.target(&inner.target)?, self.expr(&inner.expr)?)
            }
            ast::Stmt::SetBlock(inner) => {
                let filter = inner.filter.as_ref().map(|filter| self.expr(filter)).transpose()?;
                Stmt::SetBlock(self.target(&inner.target)?, filter, self.body(&inner.body)?)
            }
            ast::Stmt::AutoEscape(inner) => Stmt::Scope(self.body(&inner.body)?),
            ast::Stmt::FilterBlock(inner) => {
                Stmt::Filter(self.expr(&inner.filter)?, self.body(&inner.body)?)
            }
            ast::Stmt::Continue(_) => Stmt::Continue,
            ast::Stmt::Break(_) => Stmt::Break,
            ast::Stmt::Do(inner) => Stmt::Do(self.call(&inner.call, inner.call.span())?),
            other => self.wide_statement(other)?,
        })
    }

    /// Statements that reach beyond their template or define something.
    fn wide_statement(&mut self, statement: &ast::Stmt<'_>) -> Outcome<Stmt> {
        Ok(match statement {
            ast::Stmt::Block(inner) => {
                let name = self.name(inner.name);
                let body = Arc::new(self.body(&inner.body)?);
                self.blocks.insert(name.clone(), body);
                Stmt::Block(name, self.at(inner.span()))
            }
            ast::Stmt::Import(inner) => {
                Stmt::Import(self.expr(&inner.expr)?, self.target(&inner.name)?)
            }
            ast::Stmt::FromImport(inner) => {
                let mut names = Vec::new();
                for (name, alias) in &inner.names {
                    let (name, alias) = (plain(name)?, alias.as_ref().map(plain).transpose()?);
                    let shared = self.name(name);
                    names.push((shared.clone(), alias.map_or(shared, |alias| self.name(alias))));
                }
                Stmt::FromImport(self.expr(&inner.expr)?, names)
            }
            ast::Stmt::Extends(inner) => Stmt::Extends(self.expr(&inner.name)?),
            ast::Stmt::Include(inner) => {
                Stmt::Include(self.expr(&inner.name)?, inner.ignore_missing)
            }
            ast::Stmt::Macro(inner) => Stmt::Macro(Arc::new(self.macro_code(inner)?)),
            ast::Stmt::CallBlock(inner) => {
                let caller = Arc::new(self.macro_code(&inner.macro_decl)?);
                Stmt::Call(Box::new(CallBlock {
                    callee: self.expr(&inner.call.expr)?,
                    args: self.args(&inner.call.args)?,
                    caller,
                    at: self.at(inner.call.span()),
                }))
            }
            _ => return Err(TemplateError::syntax("this statement is not supported", None)),
        })
    }

    fn line_ends(&self, raw: &str) -> String {
        if self.newline == "\n" { raw.to_owned() } else { raw.replace('\n', self.newline) }
    }

    fn for_loop(&mut self, inner: &ast::ForLoop<'_>, span: Span) -> Outcome<Stmt> {
        let outer = std::mem::take(&mut self.mentions.loop_object);
        let target = self.target(&inner.target)?;
        let filter = inner.filter_expr.as_ref().map(|filter| self.expr(filter)).transpose()?;
        let body = self.body(&inner.body)?;
        let uses_loop = std::mem::replace(&mut self.mentions.loop_object, outer);
        let iter = self.expr(&inner.iter)?;
        let otherwise = self.body(&inner.else_body)?;
        Ok(Stmt::For(Arc::new(ForLoop {
            target,
            iter,
            filter,
            recursive: inner.recursive,
            uses_loop: uses_loop || inner.recursive,
            body,
            otherwise,
            at: self.at(span),
        })))
    }

    fn macro_code(&mut self, code: &ast::Macro<'_>) -> Outcome<MacroCode> {
        let outer = std::mem::take(&mut self.mentions);
        let without_default = code.args.len().saturating_sub(code.defaults.len());
        let mut params = Vec::new();
        for (index, param) in code.args.iter().enumerate() {
            let default = index.checked_sub(without_default).and_then(|at| code.defaults.get(at));
            let default = default.map(|default| self.expr(default)).transpose()?;
            let name = plain(param)?;
            params.push((self.name(name), default));
        }
        let body = self.body(&code.body)?;
        let inner = std::mem::replace(&mut self.mentions, outer);
        Ok(MacroCode {
            name: self.name(code.name),
            params,
            body,
            uses_varargs: inner.varargs,
            uses_kwargs: inner.kwargs,
            uses_caller: inner.caller,
        })
    }

    fn target(&mut self, target: &ast::Expr<'_>) -> Outcome<Target> {
        Ok(match target {
            ast::Expr::Var(var) => Target::Name(self.name(var.id)),
            ast::Expr::GetAttr(attr) => Target::Attr(self.expr(&attr.expr)?, self.name(attr.name)),
            ast::Expr::List(list) => Target::Tuple(self.targets(&list.items)?),
            ast::Expr::Tuple(tuple) => Target::Tuple(self.targets(&tuple.items)?),
            other => {
                return Err(TemplateError::syntax(
                    format!("cannot assign to {}", other.description()),
                    Some(self.at(other.span())),
                ));
            }
        })
    }

    fn targets(&mut self, items: &[ast::Expr<'_>]) -> Outcome<Vec<Target>> {
        items.iter().map(|item| self.target(item)).collect()
    }

    fn boxed(&mut self, expr: &ast::Expr<'_>) -> Outcome<Box<Expr>> {
        self.expr(expr).map(Box::new)
    }

    fn exprs(&mut self, items: &[ast::Expr<'_>]) -> Outcome<Vec<Expr>> {
        items.iter().map(|item| self.expr(item)).collect()
    }

    fn expr(&mut self, expr: &ast::Expr<'_>) -> Outcome<Expr> {
        Ok(match expr {
            ast::Expr::Var(var) => {
                self.mention(var.id);
                Expr::Var(self.name(var.id), self.at(var.span()))
            }
            ast::Expr::Const(constant) => self.constant(&constant.value),
            ast::Expr::Slice(slice) => {
                let mut bounds = [None, None, None];
                for (bound, source) in
                    bounds.iter_mut().zip([&slice.start, &slice.stop, &slice.step])
                {
                    *bound = source.as_ref().map(|source| self.expr(source)).transpose()?;
                }
                let value = self.expr(&slice.expr)?;
                Expr::Slice(Box::new(SliceExpr { value, bounds, at: self.at(slice.span()) }))
            }
            ast::Expr::UnaryOp(unary) => match unary.op {
                ast::UnaryOpKind::Not => Expr::Not(self.boxed(&unary.expr)?),
                ast::UnaryOpKind::Neg => {
                    Expr::Negate(self.boxed(&unary.expr)?, self.at(unary.span()))
                }
            },
            ast::Expr::BinOp(binary) => self.binary(binary, binary.span())?,
            ast::Expr::Compare(compare) => {
                let mut steps = Vec::new();
                for step in &compare.ops {
                    steps.push((comparison(step.op), self.expr(&step.expr)?));
                }
                Expr::Compare(self.boxed(&compare.expr)?, steps, self.at(compare.span()))
            }
            ast::Expr::IfExpr(inner) => Expr::If(Box::new(IfExpr {
                test: self.expr(&inner.test_expr)?,
                then: self.expr(&inner.true_expr)?,
                otherwise: inner.false_expr.as_ref().map(|other| self.expr(other)).transpose()?,
            })),
            ast::Expr::Filter(filter) => self.filter(filter, filter.span())?,
            ast::Expr::Test(test) => {
                let check = match checks::find(test.name) {
                    Some(entry) => CheckRef::Known(entry),
                    None => CheckRef::Unknown(self.name(test.name)),
                };
                let args = self.args(&test.args)?;
                Expr::Test(self.boxed(&test.expr)?, check, args, self.at(test.span()))
            }
            ast::Expr::GetAttr(attr) => {
                let name = self.name(attr.name);
                Expr::Attr(self.boxed(&attr.expr)?, name, self.at(attr.span()))
            }
            ast::Expr::GetItem(item) => Expr::Item(
                self.boxed(&item.expr)?,
                self.boxed(&item.subscript_expr)?,
                self.at(item.span()),
            ),
            ast::Expr::Call(call) => self.call(call, call.span())?,
            ast::Expr::List(list) => Expr::List(self.exprs(&list.items)?),
            ast::Expr::Tuple(tuple) => Expr::Tuple(self.exprs(&tuple.items)?),
            ast::Expr::Map(map) => {
                let mut pairs = Vec::new();
                for (key, value) in map.keys.iter().zip(&map.values) {
                    pairs.push((self.expr(key)?, self.expr(value)?));
                }
                Expr::Map(pairs)
            }
        })
    }

    fn constant(&mut self, value: &Value) -> Expr {
        match value.as_str() {
            Some(text) if self.embedded && text_has_template(text) => {
                Expr::Embedded(self.name(text))
            }
            _ => Expr::Const(match value.as_i64() {
                Some(number) if value.is_integer() => Value::from(number),
                _ => value.clone(),
            }),
        }
    }

    fn mention(&mut self, name: &str) {
        match name {
            "varargs" => self.mentions.varargs = true,
            "kwargs" => self.mentions.kwargs = true,
            "caller" => self.mentions.caller = true,
            "loop" => self.mentions.loop_object = true,
            _ => {}
        }
    }

    fn binary(&mut self, binary: &ast::BinOp<'_>, span: Span) -> Outcome<Expr> {
        use ast::BinOpKind as Kind;
        let (left, right) = (self.boxed(&binary.left)?, self.boxed(&binary.right)?);
        let at = self.at(span);
        let comparison = match binary.op {
            Kind::Eq => Some(Comparison::Equal),
            Kind::Ne => Some(Comparison::NotEqual),
            Kind::Lt => Some(Comparison::Less),
            Kind::Lte => Some(Comparison::LessOrEqual),
            Kind::Gt => Some(Comparison::Greater),
            Kind::Gte => Some(Comparison::GreaterOrEqual),
            Kind::In => Some(Comparison::In),
            _ => None,
        };
        if let Some(comparison) = comparison {
            return Ok(Expr::Compare(left, vec![(comparison, *right)], at));
        }
        let operator = match binary.op {
            Kind::ScAnd => return Ok(Expr::And(left, right)),
            Kind::ScOr => return Ok(Expr::Or(left, right)),
            Kind::Concat => return Ok(Expr::Concat(left, right, at)),
            Kind::Add => Arithmetic::Add,
            Kind::Sub => Arithmetic::Subtract,
            Kind::Mul => Arithmetic::Multiply,
            Kind::Div => Arithmetic::Divide,
            Kind::FloorDiv => Arithmetic::FloorDivide,
            Kind::Rem => Arithmetic::Remainder,
            _ => Arithmetic::Power,
        };
        Ok(Expr::Arithmetic(operator, left, right, at))
    }

    fn filter(&mut self, filter: &ast::Filter<'_>, span: Span) -> Outcome<Expr> {
        let found = match (filters::find(filter.name), checks::find(filter.name)) {
            (Some(entry), _) => FilterRef::Known(entry),
            (None, Some(entry)) if entry.was_filter() => FilterRef::Check(entry),
            _ => FilterRef::Unknown(self.name(filter.name)),
        };
        let input = match &filter.expr {
            Some(input) => self.boxed(input)?,
            None => Box::new(Expr::Captured),
        };
        let args = self.args(&filter.args)?;
        Ok(Expr::Filter(input, found, args, self.at(span)))
    }

    fn call(&mut self, call: &ast::Call<'_>, span: Span) -> Outcome<Expr> {
        let at = self.at(span);
        if let ast::Expr::GetAttr(attr) = &call.expr {
            self.mutates |= MUTATING_METHODS.contains(&attr.name);
            let name = self.name(attr.name);
            let object = self.boxed(&attr.expr)?;
            return Ok(Expr::Method(object, name, self.args(&call.args)?, at));
        }
        let callee = self.boxed(&call.expr)?;
        let lookup =
            matches!(&*callee, Expr::Var(name, _) if matches!(&**name, "lookup" | "query" | "q"));
        let outer = self.embedded;
        self.embedded |= lookup;
        let args = self.args(&call.args);
        self.embedded = outer;
        Ok(Expr::Call(callee, args?, at))
    }

    fn args(&mut self, args: &[ast::CallArg<'_>]) -> Outcome<Args> {
        let mut out = Args::default();
        for arg in args {
            match arg {
                ast::CallArg::Pos(expr) => out.positional.push(self.expr(expr)?),
                ast::CallArg::Kwarg(name, expr) => {
                    let name = self.name(name);
                    out.named.push((name, self.expr(expr)?));
                }
                ast::CallArg::PosSplat(expr) => out.splat = Some(self.boxed(expr)?),
                ast::CallArg::KwargSplat(expr) => out.named_splat = Some(self.boxed(expr)?),
            }
        }
        Ok(out)
    }
}

fn comparison(operator: ast::CompareOpKind) -> Comparison {
    match operator {
        ast::CompareOpKind::Eq => Comparison::Equal,
        ast::CompareOpKind::Ne => Comparison::NotEqual,
        ast::CompareOpKind::Lt => Comparison::Less,
        ast::CompareOpKind::Lte => Comparison::LessOrEqual,
        ast::CompareOpKind::Gt => Comparison::Greater,
        ast::CompareOpKind::Gte => Comparison::GreaterOrEqual,
        ast::CompareOpKind::In => Comparison::In,
        ast::CompareOpKind::NotIn => Comparison::NotIn,
    }
}

fn plain<'a>(expr: &ast::Expr<'a>) -> Outcome<&'a str> {
    match expr {
        ast::Expr::Var(var) => Ok(var.id),
        _ => Err(TemplateError::syntax("expected a name", None)),
    }
}

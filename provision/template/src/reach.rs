//! What a template can read and call, found by walking its tree. Errs on the safe side: a name that
//! might be read is reported.

use crate::engine::Engine;
use crate::error::TemplateError;
use crate::program::{Args, CheckRef, Expr, FilterRef, MacroCode, Name, Stmt, Target};
use crate::scope::{Reach, TemplateOptions, TextKind};

/// Adds what a text can reach.
pub(crate) fn add(engine: &Engine, text: &str, kind: TextKind, reach: &mut Reach) {
    match kind {
        TextKind::Template => {
            if crate::text_has_template(text)
                && let Ok(program) = engine.template(text)
            {
                Walk::new(engine, reach)
                    .program(&program.body, program.blocks.values().map(|b| &***b));
            }
        }
        TextKind::File => {
            if let Ok(program) = engine.file_template(text, &TemplateOptions::default()) {
                Walk::new(engine, reach)
                    .program(&program.body, program.blocks.values().map(|b| &***b));
            }
        }
        TextKind::Condition => match crate::conditions::expression_of(text) {
            Some(expression) => {
                if let Ok(formula) = engine.expression(&expression) {
                    Walk::new(engine, reach).expr(&formula.expr);
                }
                // What such a variable spells is evaluated as a condition of its own.
                reach.dynamic |= crate::text_has_template(text);
            }
            None => add(engine, text, TextKind::Template, reach),
        },
    }
}

struct Walk<'w> {
    engine: &'w Engine,
    reach: &'w mut Reach,
    /// Names that are certainly local here.
    bound: Vec<Name>,
}

impl<'w> Walk<'w> {
    fn new(engine: &'w Engine, reach: &'w mut Reach) -> Self {
        Walk { engine, reach, bound: Vec::new() }
    }

    fn program<'b>(&mut self, body: &[Stmt], blocks: impl Iterator<Item = &'b [Stmt]>) {
        self.body(body);
        for block in blocks {
            self.scoped(|walk| walk.body(block));
        }
    }

    fn scoped(&mut self, action: impl FnOnce(&mut Self)) {
        let depth = self.bound.len();
        action(self);
        self.bound.truncate(depth);
    }

    fn body(&mut self, body: &[Stmt]) {
        for statement in body {
            self.statement(statement);
        }
    }

    fn bind(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.bound.push(name.clone()),
            Target::Tuple(targets) => targets.iter().for_each(|target| self.bind(target)),
            Target::Attr(object, _) => self.expr(object),
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Text(_) | Stmt::Block(..) | Stmt::Continue | Stmt::Break => {}
            Stmt::Emit(expr, _) | Stmt::Do(expr) => self.expr(expr),
            Stmt::For(code) => {
                self.expr(&code.iter);
                self.scoped(|walk| {
                    walk.bind(&code.target);
                    walk.bound.push(Name::from("loop"));
                    if let Some(filter) = &code.filter {
                        walk.expr(filter);
                    }
                    walk.body(&code.body);
                });
                self.scoped(|walk| walk.body(&code.otherwise));
            }
            Stmt::If(code) => {
                self.expr(&code.test);
                // What only one branch sets may be missing afterwards.
                self.scoped(|walk| walk.body(&code.body));
                self.scoped(|walk| walk.body(&code.otherwise));
            }
            Stmt::With(assignments, body) => {
                assignments.iter().for_each(|(_, expr)| self.expr(expr));
                self.scoped(|walk| {
                    assignments.iter().for_each(|(target, _)| walk.bind(target));
                    walk.body(body);
                });
            }
            Stmt::Set(target, expr) => {
                self.expr(expr);
                self.bind(target);
            }
            Stmt::SetBlock(target, filter, body) => {
                self.scoped(|walk| walk.body(body));
                if let Some(filter) = filter {
                    self.expr(filter);
                }
                self.bind(target);
            }
            Stmt::Filter(filter, body) => {
                self.expr(filter);
                self.scoped(|walk| walk.body(body));
            }
            Stmt::Scope(body) => self.scoped(|walk| walk.body(body)),
            Stmt::Import(expr, target) => {
                self.include(expr);
                self.bind(target);
            }
            Stmt::FromImport(expr, names) => {
                self.include(expr);
                self.bound.extend(names.iter().map(|(_, alias)| alias.clone()));
            }
            Stmt::Extends(expr) | Stmt::Include(expr, _) => self.include(expr),
            Stmt::Macro(code) => {
                self.macro_code(code);
                self.bound.push(code.name.clone());
            }
            Stmt::Call(block) => {
                self.expr(&block.callee);
                self.args(&block.args);
                self.macro_code(&block.caller);
            }
        }
    }

    fn macro_code(&mut self, code: &MacroCode) {
        self.scoped(|walk| {
            for (name, default) in &code.params {
                if let Some(default) = default {
                    walk.expr(default);
                }
                walk.bound.push(name.clone());
            }
            for name in ["varargs", "kwargs", "caller"] {
                walk.bound.push(Name::from(name));
            }
            walk.body(&code.body);
        });
    }

    fn include(&mut self, expr: &Expr) {
        match expr {
            Expr::Const(value) if value.as_str().is_some() => {
                self.reach.includes.extend(value.as_str().map(str::to_owned));
            }
            Expr::List(items) | Expr::Tuple(items) => {
                items.iter().for_each(|item| self.include(item));
            }
            other => {
                self.reach.dynamic_includes = true;
                self.expr(other);
            }
        }
    }

    fn args(&mut self, args: &Args) {
        args.positional.iter().for_each(|expr| self.expr(expr));
        args.named.iter().for_each(|(_, expr)| self.expr(expr));
        args.splat.iter().chain(&args.named_splat).for_each(|expr| self.expr(expr));
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Const(_) | Expr::Captured => {}
            Expr::Embedded(text) => add(self.engine, text, TextKind::Template, self.reach),
            Expr::Var(name, _) => self.variable(name),
            Expr::Attr(object, name, _) => {
                if self.is_vars(object) {
                    self.variable(name);
                } else {
                    self.expr(object);
                }
            }
            Expr::Item(object, key, _) => match &**key {
                Expr::Const(key) if self.is_vars(object) && key.as_str().is_some() => {
                    self.variable(&Name::from(key.as_str().unwrap_or_default()));
                }
                _ => {
                    self.expr(object);
                    self.expr(key);
                }
            },
            Expr::Slice(slice) => {
                self.expr(&slice.value);
                slice.bounds.iter().flatten().for_each(|bound| self.expr(bound));
            }
            Expr::Not(inner) | Expr::Negate(inner, _) => self.expr(inner),
            Expr::Arithmetic(_, left, right, _) | Expr::Concat(left, right, _) => {
                self.expr(left);
                self.expr(right);
            }
            Expr::And(left, right) | Expr::Or(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            Expr::Compare(first, steps, _) => {
                self.expr(first);
                steps.iter().for_each(|(_, expr)| self.expr(expr));
            }
            Expr::If(inner) => {
                self.expr(&inner.test);
                self.expr(&inner.then);
                inner.otherwise.iter().for_each(|otherwise| self.expr(otherwise));
            }
            Expr::Filter(input, filter, args, _) => self.filter(input, filter, args),
            Expr::Test(input, check, args, _) => {
                match check {
                    CheckRef::Known(entry) => self.reach.impure |= entry.impure,
                    CheckRef::Unknown(name) => {
                        self.reach.impure = true;
                        self.reach.unknown.insert(name.to_string());
                    }
                }
                self.expr(input);
                self.args(args);
            }
            Expr::Call(callee, args, _) => self.call(callee, args),
            Expr::Method(object, _, args, _) => {
                self.expr(object);
                self.args(args);
            }
            Expr::List(items) | Expr::Tuple(items) => items.iter().for_each(|item| self.expr(item)),
            Expr::Map(pairs) => pairs.iter().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
        }
    }

    fn is_vars(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Var(name, _) if &**name == "vars" && !self.bound.contains(name))
    }

    fn variable(&mut self, name: &Name) {
        if self.bound.contains(name) {
            return;
        }
        // `hostvars[x]` reaches other hosts, but only through its own name.
        self.reach.dynamic |= &**name == "vars";
        self.reach.names.insert(name.to_string());
    }

    fn filter(&mut self, input: &Expr, filter: &FilterRef, args: &Args) {
        match filter {
            FilterRef::Known(entry) => {
                self.reach.impure |= entry.impure;
                if matches!(entry.name, "map" | "select" | "reject" | "selectattr" | "rejectattr") {
                    self.named_plugin(args);
                }
            }
            FilterRef::Check(entry) => self.reach.impure |= entry.impure,
            FilterRef::Unknown(name) => {
                // One of the user's own may do anything.
                self.reach.impure = true;
                self.reach.unknown.insert(name.to_string());
            }
        }
        self.expr(input);
        self.args(args);
    }

    /// Filters and tests that are named by a text.
    fn named_plugin(&mut self, args: &Args) {
        self.reach.impure |= args.splat.is_some();
        for expr in &args.positional {
            if let Expr::Const(value) = expr
                && let Some(name) = value.as_str()
            {
                let filter = crate::filters::find(name).is_some_and(|entry| entry.impure);
                let check = crate::checks::find(name).is_some_and(|entry| entry.impure);
                self.reach.impure |= filter || check;
            }
        }
    }

    fn call(&mut self, callee: &Expr, args: &Args) {
        if let Expr::Var(name, _) = callee
            && !self.bound.contains(name)
        {
            match &**name {
                "lookup" | "query" | "q" => {
                    self.lookup(args);
                    self.args(args);
                    return;
                }
                "now" => self.reach.impure = true,
                "range" | "dict" | "namespace" | "cycler" | "joiner" | "undef" | "super" => {}
                _ => self.variable(name),
            }
            self.args(args);
            return;
        }
        self.expr(callee);
        self.args(args);
    }

    fn lookup(&mut self, args: &Args) {
        let constant = |expr: &Expr| match expr {
            Expr::Const(value) => value.as_str().map(str::to_owned),
            _ => None,
        };
        if args.splat.is_some() || args.named_splat.is_some() {
            // Whatever stands in the list: names of variables, of files, even of the lookup.
            self.reach.lookups.insert("*".into());
            self.reach.dynamic = true;
            self.reach.dynamic_includes = true;
            return;
        }
        let name = args.positional.first().and_then(constant);
        let name = name.as_deref().map(crate::filters::bare_name);
        let Some(name) = name else {
            self.reach.lookups.insert("*".into());
            self.reach.dynamic = true;
            return;
        };
        self.reach.lookups.insert(name.to_owned());
        let terms = args.positional.iter().skip(1);
        match name {
            "vars" => {
                for term in terms {
                    match constant(term) {
                        Some(name) => self.variable(&Name::from(name)),
                        None => self.reach.dynamic = true,
                    }
                }
            }
            "varnames" => self.reach.dynamic = true,
            "template" => {
                for term in terms {
                    match constant(term) {
                        Some(file) => _ = self.reach.includes.insert(file),
                        None => self.reach.dynamic_includes = true,
                    }
                }
            }
            _ => {}
        }
    }
}

/// The error of the first filter or test in a body that does not exist.
pub(crate) fn first_unknown(engine: &Engine, body: &[Stmt]) -> Option<TemplateError> {
    let mut reach = Reach::default();
    Walk::new(&Engine::new(crate::scope::Dialect::Classic), &mut reach).body(body);
    unknown_error(engine, &reach)
}

/// The same for an expression.
pub(crate) fn first_unknown_in(engine: &Engine, expr: &Expr) -> Option<TemplateError> {
    let mut reach = Reach::default();
    Walk::new(&Engine::new(crate::scope::Dialect::Classic), &mut reach).expr(expr);
    unknown_error(engine, &reach)
}

fn unknown_error(engine: &Engine, reach: &Reach) -> Option<TemplateError> {
    let name = reach.unknown.iter().find(|name| !engine.is_admitted(name))?;
    let names = crate::filters::names().chain(crate::checks::names());
    let error = TemplateError::syntax(format!("there is no filter or test named '{name}'"), None);
    Some(match diagnostics::closest(name, names) {
        Some(close) => error.hint(format!("did you mean `{close}`?")),
        None => error.hint(
            "a plugin of your own stands in `filter_plugins/` or `test_plugins/` of the playbook or \
             a role, or in an installed collection",
        ),
    })
}

//! Statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;

use super::{
    Conversion, Frame, LoopVar, Macro, Module, Namespace, Out, Run, TemplateContext, find_undefined,
};
use crate::error::{At, Outcome, TemplateError};
use crate::program::{Args, CallBlock, Expr, ForLoop, Name, Program, Stmt, Target};
use crate::scope::Dialect;
use crate::value::{MutableDict, is_undefined, iterate, list_value, text_of, undefined_error};

/// How a statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Normal,
    Continue,
    Break,
}

impl Run<'_> {
    /// Executes a template and those it extends.
    pub(crate) fn program(
        &mut self,
        program: &Arc<Program>,
        name: Option<String>,
        frame: &Arc<Frame>,
        out: &mut Out,
    ) -> Outcome<()> {
        let blocks = program
            .blocks
            .iter()
            .map(|(name, body)| (name.clone(), vec![body.clone()]))
            .collect::<BTreeMap<_, _>>();
        self.templates.push(TemplateContext {
            name,
            root: frame.clone(),
            blocks,
            parent: None,
            block: None,
        });
        let result = self.inherited(program, frame, out);
        self.templates.pop();
        result
    }

    fn inherited(
        &mut self,
        program: &Arc<Program>,
        frame: &Arc<Frame>,
        out: &mut Out,
    ) -> Outcome<()> {
        let mut current = program.clone();
        loop {
            let mut written = Out::default();
            self.body(&current.body, frame, &mut written)?;
            let Some((parent, name)) = self.templates.last_mut().and_then(|top| top.parent.take())
            else {
                return out.append(written);
            };
            if let Some(top) = self.templates.last_mut() {
                for (block, body) in &parent.blocks {
                    top.blocks.entry(block.clone()).or_default().push(body.clone());
                }
                top.name = Some(name);
            }
            self.step()?;
            current = parent;
        }
    }

    pub(crate) fn body(
        &mut self,
        body: &[Stmt],
        frame: &Arc<Frame>,
        out: &mut Out,
    ) -> Outcome<Flow> {
        for statement in body {
            let flow = self.statement(statement, frame, out)?;
            if flow != Flow::Normal {
                return Ok(flow);
            }
        }
        Ok(Flow::Normal)
    }

    fn statement(&mut self, statement: &Stmt, frame: &Arc<Frame>, out: &mut Out) -> Outcome<Flow> {
        self.step()?;
        match statement {
            Stmt::Text(text) => out.push(text.clone())?,
            Stmt::Emit(expr, at) => {
                let value = self.eval(expr, frame).map_err(|error| error.at(*at))?;
                self.emit(value, out).map_err(|error| error.at(*at))?;
            }
            Stmt::For(code) => return self.for_loop(code, frame, out),
            Stmt::If(code) => {
                let chosen =
                    if self.test(&code.test, frame)? { &code.body } else { &code.otherwise };
                return self.body(chosen, frame, out);
            }
            Stmt::With(assignments, body) => {
                let inner = Frame::child(frame);
                for (target, expr) in assignments {
                    let value = self.eval(expr, frame)?;
                    self.assign(target, value, &inner)?;
                }
                return self.body(body, &inner, out);
            }
            Stmt::Set(target, expr) => {
                let value = self.eval(expr, frame)?;
                self.assign(target, value, frame)?;
            }
            Stmt::SetBlock(target, filter, body) => {
                let value = self.capture(body, frame)?;
                let value = self.filtered(filter.as_ref(), value, frame)?;
                self.assign(target, value, frame)?;
            }
            Stmt::Filter(filter, body) => {
                let value = self.capture(body, frame)?;
                let value = self.filtered(Some(filter), value, frame)?;
                self.emit(value, out)?;
            }
            Stmt::Macro(code) => {
                self.kept.push(frame.clone());
                let value =
                    Value::from_object(Macro { code: code.clone(), frame: Arc::downgrade(frame) });
                frame.set(&code.name, value);
            }
            Stmt::Call(block) => self.call_block(block, frame, out)?,
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Do(expr) => _ = self.eval(expr, frame)?,
            Stmt::Scope(body) => return self.body(body, &Frame::child(frame), out),
            other => self.template_statement(other, frame, out)?,
        }
        Ok(Flow::Normal)
    }

    /// Statements about other templates.
    fn template_statement(
        &mut self,
        statement: &Stmt,
        frame: &Arc<Frame>,
        out: &mut Out,
    ) -> Outcome<()> {
        match statement {
            Stmt::Block(name, at) => {
                let extends = self.templates.last().is_some_and(|top| top.parent.is_some());
                if !extends {
                    self.block(name, 0, out).map_err(|error| error.at(*at))?;
                }
            }
            Stmt::Include(expr, ignore_missing) => {
                let names = self.template_names(expr, frame)?;
                match self.load(&names)? {
                    Some((program, name)) => {
                        let inner = Frame::child_for(frame, program.mutates);
                        self.deeper("include", |run| {
                            run.program(&program, Some(name.clone()), &inner, out)
                        })
                        .map_err(|error| error.through(&name, None))?;
                    }
                    None if *ignore_missing => {}
                    None => return Err(not_found(&names)),
                }
            }
            Stmt::Import(expr, target) => {
                let module = self.import(expr, frame)?;
                self.assign(target, module, frame)?;
            }
            Stmt::FromImport(expr, names) => {
                let module = self.import(expr, frame)?;
                let module = module.downcast_object::<Module>();
                for (name, alias) in names {
                    let value = module.as_ref().and_then(|module| module.frame.own(name));
                    let value = value.unwrap_or_else(|| {
                        crate::value::undefined(
                            format!("the template does not export the requested name '{name}'"),
                            Some(name),
                        )
                    });
                    frame.set(alias, value);
                }
            }
            Stmt::Extends(expr) => {
                let names = self.template_names(expr, frame)?;
                let parent = self.load(&names)?.ok_or_else(|| not_found(&names))?;
                if let Some(top) = self.templates.last_mut() {
                    top.parent = Some(parent);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Emits a value as `{{ }}` does.
    pub(crate) fn emit(&mut self, value: Value, out: &mut Out) -> Outcome<()> {
        let value = self.force(value)?;
        if let Some(missing) = find_undefined(&value) {
            return Err(undefined_error(&missing));
        }
        if self.is_strict() {
            out.drops_omitted = true;
            if crate::value::contains_tuple(&value) {
                return out.push(crate::value::without_tuples(&value));
            }
        }
        if value.is_none() {
            // Ansible finalizes null to nothing, in the strict dialect only among other output.
            return match self.dialect {
                Dialect::Classic if self.is_native() => out.push(value),
                Dialect::Classic => out.push(Value::from("")),
                Dialect::Strict => Ok(()),
            };
        }
        if let Some(module) = value.downcast_object_ref::<Module>() {
            return out.push(Value::from(module.text.as_str()));
        }
        out.push(value)
    }

    /// The result of a body as one value.
    pub(crate) fn capture(&mut self, body: &[Stmt], frame: &Arc<Frame>) -> Outcome<Value> {
        let mut out = Out::default();
        self.body(body, &Frame::child(frame), &mut out)?;
        Ok(self.finish(out))
    }

    fn filtered(
        &mut self,
        filter: Option<&Expr>,
        value: Value,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        let Some(filter) = filter else { return Ok(value) };
        self.captured.push(value);
        let result = self.eval(filter, frame);
        self.captured.pop();
        result
    }

    pub(crate) fn assign(
        &mut self,
        target: &Target,
        value: Value,
        frame: &Arc<Frame>,
    ) -> Outcome<()> {
        match target {
            Target::Name(name) => frame.set(name, value),
            Target::Tuple(targets) => {
                let value = self.force(value)?;
                if is_undefined(&value) {
                    return Err(undefined_error(&value));
                }
                let items = iterate(&value).map_err(|_| {
                    TemplateError::failed(format!(
                        "cannot unpack non-iterable {} object",
                        crate::value::type_name(&value)
                    ))
                })?;
                if items.len() < targets.len() {
                    return Err(TemplateError::failed(format!(
                        "not enough values to unpack (expected {}, got {})",
                        targets.len(),
                        items.len()
                    )));
                }
                if items.len() > targets.len() {
                    return Err(TemplateError::failed(format!(
                        "too many values to unpack (expected {})",
                        targets.len()
                    )));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, frame)?;
                }
            }
            Target::Attr(object, name) => {
                let object = self.eval(object, frame)?;
                match object.downcast_object_ref::<Namespace>() {
                    Some(namespace) => namespace.set(name, value),
                    None => {
                        return Err(TemplateError::failed(
                            "cannot assign attribute on non-namespace object",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn for_loop(
        &mut self,
        code: &Arc<ForLoop>,
        frame: &Arc<Frame>,
        out: &mut Out,
    ) -> Outcome<Flow> {
        let value = self.eval(&code.iter, frame)?;
        self.loop_over(code, &value, frame, 0, out)?;
        Ok(Flow::Normal)
    }

    /// Runs a loop over a value; recursive loops come here again for the inner ones.
    pub(crate) fn loop_over(
        &mut self,
        code: &Arc<ForLoop>,
        value: &Value,
        frame: &Arc<Frame>,
        depth: usize,
        out: &mut Out,
    ) -> Outcome<()> {
        let items = iterate(value).map_err(|error| error.at(code.at))?;
        let items = self.loop_items(code, items, frame)?;
        if items.is_empty() {
            self.body(&code.otherwise, &Frame::child(frame), out)?;
            return Ok(());
        }
        let inner = Frame::child(frame);
        let shared: Option<Arc<LoopVar>> = code
            .uses_loop
            .then(|| Arc::new(LoopVar::new(code.clone(), frame.clone(), items.clone(), depth)));
        let loop_name: Name = Arc::from("loop");
        for (index, item) in items.into_iter().enumerate() {
            self.step()?;
            // Macros defined inside a turn refer to its scope, so each turn starts afresh.
            let turn = if Arc::weak_count(&inner) > 0 || Arc::strong_count(&inner) > 1 {
                Frame::child(frame)
            } else {
                inner.clear();
                inner.clone()
            };
            if let Some(shared) = &shared {
                shared.advance(index);
                turn.set(&loop_name, Value::from_dyn_object(shared.clone()));
            }
            self.assign(&code.target, item, &turn)?;
            if self.body(&code.body, &turn, out)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn loop_items(
        &mut self,
        code: &Arc<ForLoop>,
        items: Vec<Value>,
        frame: &Arc<Frame>,
    ) -> Outcome<Vec<Value>> {
        let Some(filter) = &code.filter else { return Ok(items) };
        let mut kept = Vec::new();
        let inner = Frame::child(frame);
        for item in items {
            self.step()?;
            self.assign(&code.target, item.clone(), &inner)?;
            if self.test(filter, &inner)? {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    fn call_block(&mut self, block: &CallBlock, frame: &Arc<Frame>, out: &mut Out) -> Outcome<()> {
        self.kept.push(frame.clone());
        let caller =
            Value::from_object(Macro { code: block.caller.clone(), frame: Arc::downgrade(frame) });
        let value = self.call_with_caller(&block.callee, &block.args, caller, frame, block.at)?;
        self.emit(value, out)
    }

    fn call_with_caller(
        &mut self,
        callee: &Expr,
        args: &Args,
        caller: Value,
        frame: &Arc<Frame>,
        at: At,
    ) -> Outcome<Value> {
        let (positional, mut named) = self.arguments(args, frame)?;
        named.push((Arc::from("caller"), caller));
        let callee = self.eval(callee, frame)?;
        self.call_value(&callee, positional, named, frame).map_err(|error| error.at(at))
    }

    /// Executes a block, `level` definitions up the inheritance.
    pub(crate) fn block(&mut self, name: &Name, level: usize, out: &mut Out) -> Outcome<()> {
        let Some(top) = self.templates.last_mut() else { return Ok(()) };
        let body = top.blocks.get(name).and_then(|bodies| bodies.get(level)).cloned();
        let Some(body) = body else {
            return Err(TemplateError::undefined(
                format!("there is no parent block called '{name}'."),
                Some(name.to_string()),
            ));
        };
        let frame = Frame::child(&top.root);
        let outer = top.block.replace((name.clone(), level));
        let result = self.deeper("blocks", |run| run.body(&body, &frame, out));
        if let Some(top) = self.templates.last_mut() {
            top.block = outer;
        }
        result.map(|_| ())
    }

    fn template_names(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Outcome<Vec<String>> {
        let value = self.eval(expr, frame)?;
        if is_undefined(&value) {
            return Err(undefined_error(&value));
        }
        if value.as_str().is_some() {
            return Ok(vec![text_of(&value)]);
        }
        Ok(iterate(&value)?.iter().map(text_of).collect())
    }

    /// The first of these templates that exists.
    fn load(&mut self, names: &[String]) -> Outcome<Option<(Arc<Program>, String)>> {
        let parent = self.templates.iter().rev().find_map(|top| top.name.clone());
        for name in names {
            let loaded = self
                .outside
                .template(name, parent.as_deref())
                .map_err(|error| Run::outside_error(error, name))?;
            let Some(loaded) = loaded else { continue };
            let mut options = self.options.clone().unwrap_or_default();
            options.keep_trailing_newline = false;
            let program = self
                .engine
                .file_template(&loaded.text, &options)
                .map_err(|error| super::placed_in_file(error, loaded.span))
                .map_err(|error| error.through(name, loaded.span))?;
            return Ok(Some((program, loaded.name)));
        }
        Ok(None)
    }

    fn import(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Outcome<Value> {
        let names = self.template_names(expr, frame)?;
        let (program, name) = self.load(&names)?.ok_or_else(|| not_found(&names))?;
        let inner = Frame::child_for(frame, program.mutates);
        let mut out = Out::default();
        self.deeper("import", |run| run.program(&program, Some(name), &inner, &mut out))?;
        let text = text_of(&out.finish(Dialect::Classic, Conversion::None));
        self.kept.push(inner.clone());
        Ok(Value::from_object(Module { frame: inner, text }))
    }
}

fn not_found(names: &[String]) -> TemplateError {
    match names {
        [name] => TemplateError::failed(format!("could not find the template '{name}'")),
        names => TemplateError::failed(format!(
            "none of the templates given were found: {}",
            names.join(", ")
        )),
    }
}

/// A list or dictionary made by a literal.
pub(crate) fn literal_list(items: Vec<Value>, mutable: bool) -> Value {
    if mutable {
        Value::from_object(crate::value::MutableList::new(items))
    } else {
        list_value(items)
    }
}

/// A dictionary made by a literal.
pub(crate) fn literal_dict(pairs: crate::value::Pairs, mutable: bool) -> Value {
    if mutable {
        Value::from_object(MutableDict::new(pairs))
    } else {
        crate::value::dict_value(pairs)
    }
}

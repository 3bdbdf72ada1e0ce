//! Calls: filters, tests, macros, methods and global functions.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use minijinja::Value;

use super::eval::{Arguments, defined};
use super::{
    Class, Cycler, Frame, Global, GlobalKind, Joiner, LoopVar, Macro, Module, Namespace, Out, Run,
};
use crate::checks::CheckEntry;
use crate::error::{Outcome, TemplateError};
use crate::filters::FilterEntry;
use crate::limits::MAX_RANGE_ITEMS;
use crate::program::{Args, Expr, Name};
use crate::scope::{Dialect, Found};
use crate::time::{Moment, Span};
use crate::value::{
    Pairs, View, dict_value, is_true, is_undefined, iterate, list_value, pairs_of, text_of,
    tuple_value, type_name, undefined, undefined_error, view,
};

/// A call of a filter, test, method or function: what it is applied to and its arguments.
pub(crate) struct Call {
    /// What is being called, for messages.
    pub(crate) what: &'static str,
    pub(crate) input: Value,
    pub(crate) args: Vec<Value>,
    pub(crate) named: Vec<(Name, Value)>,
}

impl Call {
    /// The argument at a position or of a name.
    pub(crate) fn arg(&mut self, index: usize, name: &str) -> Option<Value> {
        if let Some(at) = self.named.iter().position(|(known, _)| &**known == name) {
            return Some(self.named.swap_remove(at).1);
        }
        self.args.get(index).cloned()
    }

    /// The same; missing is an error.
    pub(crate) fn needed(&mut self, index: usize, name: &str) -> Outcome<Value> {
        self.arg(index, name).ok_or_else(|| {
            TemplateError::failed(format!(
                "{}() missing 1 required positional argument: '{name}'",
                self.what
            ))
        })
    }

    /// A named argument only.
    pub(crate) fn option(&mut self, name: &str) -> Option<Value> {
        let at = self.named.iter().position(|(known, _)| &**known == name)?;
        Some(self.named.swap_remove(at).1)
    }

    /// Text at a position or of a name; null counts as missing.
    pub(crate) fn text(&mut self, index: usize, name: &str) -> Option<String> {
        self.arg(index, name).filter(|value| !value.is_none()).map(|value| text_of(&value))
    }

    /// A truth at a position or of a name.
    pub(crate) fn flag(&mut self, index: usize, name: &str, default: bool) -> bool {
        self.arg(index, name).map_or(default, |value| is_true(&value))
    }

    /// A whole number at a position or of a name; null counts as missing.
    pub(crate) fn integer(&mut self, index: usize, name: &str) -> Outcome<Option<i64>> {
        let Some(value) = self.arg(index, name).filter(|value| !value.is_none()) else {
            return Ok(None);
        };
        match view(&value) {
            View::Bool(flag) => Ok(Some(i64::from(flag))),
            View::Int(_) => Ok(value.as_i64()),
            View::Text(text) if text.trim().parse::<i64>().is_ok() => Ok(text.trim().parse().ok()),
            _ => Err(TemplateError::failed(format!(
                "{}: '{name}' must be an integer, not {}",
                self.what,
                type_name(&value)
            ))),
        }
    }

    /// Input as text.
    pub(crate) fn input_text(&self) -> String {
        text_of(&self.input)
    }
}

impl Run<'_> {
    /// Applies a filter.
    pub(crate) fn run_filter(
        &mut self,
        entry: &'static FilterEntry,
        input: Value,
        args: Vec<Value>,
        named: Vec<(Name, Value)>,
    ) -> Outcome<Value> {
        self.step()?;
        if !entry.accepts_undefined {
            let all = std::iter::once(&input).chain(&args).chain(named.iter().map(|(_, v)| v));
            for value in all {
                if is_undefined(value) {
                    return self.undefined_argument(value);
                }
            }
        }
        let mut call = Call { what: entry.name, input, args, named };
        let result = (entry.run)(self, &mut call);
        match result {
            Err(error) => self.captured_error(error),
            Ok(value) => Ok(value),
        }
    }

    /// In the strict dialect a call with an undefined argument is undefined; in the classic one the
    /// callee fails on it.
    fn undefined_argument(&self, value: &Value) -> Outcome<Value> {
        if self.is_strict() { Ok(value.clone()) } else { Err(undefined_error(value)) }
    }

    /// Applies a test.
    pub(crate) fn run_check(
        &mut self,
        entry: &'static CheckEntry,
        input: Value,
        args: Vec<Value>,
        named: Vec<(Name, Value)>,
    ) -> Outcome<Value> {
        self.step()?;
        let missing = std::iter::once(&input).chain(&args).find(|value| is_undefined(value));
        if let Some(missing) = missing {
            let accepted = entry.accepts_undefined
                || (entry.accepts_undefined_classic && self.dialect == Dialect::Classic);
            if !accepted {
                return self.undefined_argument(missing);
            }
        }
        let mut call = Call { what: entry.name, input, args, named };
        match (entry.run)(self, &mut call) {
            Ok(holds) => Ok(Value::from(holds)),
            Err(error) => self.captured_error(error),
        }
    }

    pub(super) fn call_expr(
        &mut self,
        callee: &Expr,
        args: &Args,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        let callee = self.eval(callee, frame)?;
        let (positional, named) = self.arguments(args, frame)?;
        self.call_value(&callee, positional, named, frame)
    }

    /// Calls a value.
    pub(crate) fn call_value(
        &mut self,
        callee: &Value,
        args: Vec<Value>,
        named: Vec<(Name, Value)>,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        if let Some(code) = callee.downcast_object::<Macro>() {
            return self.call_macro(&code, args, named);
        }
        if let Some(around) = callee.downcast_object::<LoopVar>() {
            return self.recurse(&around, &args);
        }
        if let Some(joiner) = callee.downcast_object_ref::<Joiner>() {
            let first = !joiner.used.swap(true, Ordering::Relaxed);
            return Ok(if first { Value::from("") } else { joiner.separator.clone() });
        }
        if let Some(global) = callee.downcast_object_ref::<Global>() {
            return self.call_global(global.0, args, named, frame);
        }
        if is_undefined(callee) {
            return Err(undefined_error(callee));
        }
        Err(TemplateError::failed(format!("'{}' object is not callable", type_name(callee))))
    }

    /// `loop(children)`
    fn recurse(&mut self, around: &Arc<LoopVar>, args: &[Value]) -> Outcome<Value> {
        let Some(items) = args.first() else {
            return Err(TemplateError::failed("loop() takes exactly one argument"));
        };
        if !around.code.recursive {
            return Err(TemplateError::failed(
                "The loop must have the 'recursive' marker to be called recursively.",
            ));
        }
        let mut out = Out::default();
        self.deeper("recursive loops", |run| {
            run.loop_over(&around.code, items, &around.frame, around.depth + 1, &mut out)
        })?;
        Ok(self.finish(out))
    }

    fn call_macro(
        &mut self,
        called: &Arc<Macro>,
        args: Vec<Value>,
        mut named: Vec<(Name, Value)>,
    ) -> Outcome<Value> {
        let code = &called.code;
        let parent = called.frame.upgrade().unwrap_or_else(|| Frame::root(false));
        let frame = Frame::child(&parent);
        let mut args = args.into_iter();
        for (name, default) in &code.params {
            let value = match args.next() {
                Some(value) => value,
                None => match named.iter().position(|(known, _)| known == name) {
                    Some(at) => named.remove(at).1,
                    None => match default {
                        Some(default) => self.eval(default, &frame)?,
                        None => {
                            undefined(format!("parameter '{name}' was not provided"), Some(name))
                        }
                    },
                },
            };
            frame.set(name, value);
        }
        let rest: Vec<Value> = args.collect();
        self.macro_extras(called, &frame, rest, named)?;
        let body = code.clone();
        self.deeper("macros", |run| {
            let mut out = Out::default();
            run.body(&body.body, &frame, &mut out)?;
            Ok(run.finish(out))
        })
    }

    /// `varargs`, `kwargs` and `caller`.
    fn macro_extras(
        &mut self,
        called: &Macro,
        frame: &Arc<Frame>,
        rest: Vec<Value>,
        mut named: Vec<(Name, Value)>,
    ) -> Outcome<()> {
        let code = &called.code;
        let caller = named.iter().position(|(name, _)| &**name == "caller");
        let caller = caller.map(|at| named.remove(at).1);
        if code.uses_caller && !code.params.iter().any(|(name, _)| &**name == "caller") {
            let value = caller.unwrap_or_else(|| undefined("No caller defined", Some("caller")));
            frame.set(&Arc::from("caller"), value);
        } else if caller.is_some() {
            return Err(TemplateError::failed(format!(
                "macro '{}' was invoked with two values for the special caller argument. This is \
                 most likely a bug.",
                code.name
            )));
        }
        if code.uses_kwargs {
            let pairs = named.drain(..).map(|(name, value)| (Value::from(&*name), value));
            let pairs = dict_value(pairs.collect::<Pairs>());
            frame.set(&Arc::from("kwargs"), pairs);
        } else if let Some((name, _)) = named.first() {
            return Err(TemplateError::failed(format!(
                "macro '{}' takes no keyword argument '{name}'",
                code.name
            )));
        }
        if code.uses_varargs {
            frame.set(&Arc::from("varargs"), tuple_value(rest));
        } else if !rest.is_empty() {
            return Err(TemplateError::failed(format!(
                "macro '{}' takes not more than {} argument(s)",
                code.name,
                code.params.len()
            )));
        }
        Ok(())
    }

    pub(super) fn method_expr(
        &mut self,
        object: &Expr,
        name: &Name,
        args: &Args,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        if let Expr::Var(root, _) = object
            && &**root == "self"
            && frame.get("self").is_none()
        {
            let mut out = Out::default();
            self.block(name, 0, &mut out)?;
            return Ok(self.finish(out));
        }
        let object = self.eval(object, frame)?;
        let arguments = self.arguments(args, frame)?;
        self.method(&object, name, arguments, frame)
    }

    /// Calls a method of a value.
    fn method(
        &mut self,
        object: &Value,
        name: &Name,
        (args, named): Arguments,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        if is_undefined(object) {
            return self.undefined_argument(object);
        }
        if let Some(around) = object.downcast_object_ref::<LoopVar>() {
            match &**name {
                "cycle" => {
                    return around
                        .cycle(&args)
                        .ok_or_else(|| TemplateError::failed("no items for cycling given"));
                }
                "changed" => return Ok(Value::from(around.changed(&args))),
                _ => {}
            }
        }
        if let Some(cycler) = object.downcast_object_ref::<Cycler>() {
            match &**name {
                "next" => return Ok(cycler.next().unwrap_or_default()),
                "reset" => {
                    cycler.position.store(0, Ordering::Relaxed);
                    return Ok(Value::from(()));
                }
                _ => {}
            }
        }
        if let Some(moment) = object.downcast_object_ref::<Moment>()
            && let Some(result) = moment.method(name, &args)
        {
            return result;
        }
        if let Some(span) = object.downcast_object_ref::<Span>()
            && let Some(result) = span.method(name)
        {
            return Ok(result);
        }
        for value in args.iter().chain(named.iter().map(|(_, value)| value)) {
            if is_undefined(value) && &**name != "get" && &**name != "append" {
                return self.undefined_argument(value);
            }
        }
        let mut call = Call { what: "method", input: object.clone(), args, named };
        if let Some(result) = crate::methods::call(name, &mut call) {
            return result;
        }
        let callee = self.attribute(object, name)?;
        if is_undefined(&callee) {
            return Err(undefined_error(&callee));
        }
        self.call_value(&callee, call.args, call.named, frame)
    }

    /// Attributes of things that are not dictionaries.
    pub(super) fn object_attribute(
        &mut self,
        object: &Value,
        name: &str,
    ) -> Outcome<Option<Value>> {
        if let Some(class) = object.downcast_object_ref::<Class>() {
            return Ok((name == "__name__").then(|| Value::from(class.0)));
        }
        if name == "__class__" {
            return Ok(Some(Value::from_object(Class(type_name(object)))));
        }
        if let Some(around) = object.downcast_object_ref::<LoopVar>() {
            return Ok(around.attribute(name));
        }
        if let Some(namespace) = object.downcast_object_ref::<Namespace>() {
            return Ok(namespace.get(name));
        }
        if let Some(module) = object.downcast_object_ref::<Module>() {
            return Ok(module.frame.own(name));
        }
        if let Some(moment) = object.downcast_object_ref::<Moment>() {
            return Ok(moment.attribute(name));
        }
        if let Some(span) = object.downcast_object_ref::<Span>() {
            return Ok(span.attribute(name));
        }
        if let Some(cycler) = object.downcast_object_ref::<Cycler>() {
            return Ok((name == "current").then(|| cycler.current()).flatten());
        }
        if let Some(code) = object.downcast_object_ref::<Macro>() {
            return Ok((name == "name").then(|| Value::from(code.name())));
        }
        if object.is_tuple() && object.len() == Some(2) {
            // Pairs of `groupby` are named tuples.
            let position = match name {
                "grouper" => 0,
                "list" => 1,
                _ => return Ok(None),
            };
            return Ok(iterate(object)?.into_iter().nth(position));
        }
        if let Some(Global(GlobalKind::Vars)) = object.downcast_object_ref::<Global>() {
            return self.variable(&Arc::from(name));
        }
        Ok(None)
    }

    fn call_global(
        &mut self,
        kind: GlobalKind,
        args: Vec<Value>,
        named: Vec<(Name, Value)>,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        let mut call = Call { what: "function", input: Value::UNDEFINED, args, named };
        match kind {
            GlobalKind::Lookup => self.lookup_call(call, false),
            GlobalKind::Query => self.lookup_call(call, true),
            GlobalKind::Range => range(&call),
            GlobalKind::Dict => {
                let mut pairs = Pairs::new();
                if let Some(first) = call.args.first() {
                    pairs.extend(dict_pairs(first)?);
                }
                pairs
                    .extend(call.named.drain(..).map(|(name, value)| (Value::from(&*name), value)));
                Ok(super::exec::literal_dict(pairs, frame.mutates()))
            }
            GlobalKind::Namespace => {
                let mut vars = Vec::new();
                if let Some(first) = call.args.first() {
                    for (name, value) in dict_pairs(first)? {
                        vars.push((Arc::from(text_of(&name)), value));
                    }
                }
                vars.append(&mut call.named);
                Ok(Value::from_object(Namespace(RwLock::new(vars))))
            }
            GlobalKind::Cycler => {
                Ok(Value::from_object(Cycler { items: call.args, position: AtomicUsize::new(0) }))
            }
            GlobalKind::Joiner => {
                let separator = call.arg(0, "sep").unwrap_or_else(|| Value::from(", "));
                Ok(Value::from_object(Joiner { separator, used: AtomicBool::new(false) }))
            }
            GlobalKind::Lipsum => Ok(Value::from("Lorem ipsum dolor sit amet.")),
            GlobalKind::Now => self.now(&mut call),
            GlobalKind::Undef => {
                let hint = call.text(0, "hint").filter(|hint| !hint.is_empty());
                let hint =
                    hint.unwrap_or_else(|| "Mandatory variable has not been overridden".into());
                Ok(undefined(hint, None))
            }
            GlobalKind::Super => self.super_block(),
            GlobalKind::Vars => Err(TemplateError::failed("'dict' object is not callable")),
        }
    }

    fn super_block(&mut self) -> Outcome<Value> {
        let block = self.templates.last().and_then(|top| top.block.clone());
        let Some((name, level)) = block else {
            return Err(TemplateError::failed("super() is only known inside blocks"));
        };
        let mut out = Out::default();
        self.block(&name, level + 1, &mut out)?;
        Ok(self.finish(out))
    }

    fn now(&mut self, call: &mut Call) -> Outcome<Value> {
        let utc = call.flag(0, "utc", false);
        let format = call.text(1, "fmt").filter(|format| !format.is_empty());
        let now = self.outside.now().map_err(|error| Run::outside_error(error, "now()"))?;
        let moment = Moment::from_clock(now, utc)?;
        match format {
            Some(format) => moment.format(&format).map(Value::from),
            None => Ok(Value::from_object(moment)),
        }
    }

    /// All variables of the scope by name: `vars`.
    pub(crate) fn all_names(&self) -> Vec<String> {
        let mut names = self.scope.names();
        names.retain(|name| !matches!(self.scope.lookup(name), Found::Undefined));
        names
    }
}

/// `range(stop)`, `range(start, stop, step)`
fn range(call: &Call) -> Outcome<Value> {
    let mut numbers = Vec::new();
    for value in &call.args {
        let value = defined(value.clone())?;
        match view(&value) {
            View::Int(number) => numbers.push(number),
            View::Bool(flag) => numbers.push(i128::from(flag)),
            _ => {
                return Err(TemplateError::failed(format!(
                    "'{}' object cannot be interpreted as an integer",
                    type_name(&value)
                )));
            }
        }
    }
    let (start, stop, step) = match numbers.as_slice() {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, step] => (*start, *stop, *step),
        _ => return Err(TemplateError::failed("range expected 1 to 3 arguments")),
    };
    if step == 0 {
        return Err(TemplateError::failed("range() arg 3 must not be zero"));
    }
    // In this order nothing overflows; the count is checked before it is used.
    let width = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
    let stride = step.saturating_abs();
    let count = width.saturating_add(stride - 1).max(0) / stride;
    if usize::try_from(count.max(0)).map_or(true, |count| count > MAX_RANGE_ITEMS) {
        return Err(TemplateError::failed(format!(
            "Range too big. The sandbox blocks ranges larger than {MAX_RANGE_ITEMS}."
        )));
    }
    let items = (0..count.max(0))
        .map(|index| crate::value::int_value(start.saturating_add(index.saturating_mul(step))));
    Ok(list_value(items.collect()))
}

/// What `dict(x)` makes its pairs of.
fn dict_pairs(value: &Value) -> Outcome<Vec<(Value, Value)>> {
    if is_undefined(value) {
        return Err(undefined_error(value));
    }
    if crate::value::is_dict(value) {
        return Ok(pairs_of(value));
    }
    let mut pairs = Vec::new();
    for item in iterate(value)? {
        match iterate(&item)?.as_slice() {
            [key, value] => pairs.push((key.clone(), value.clone())),
            other => {
                return Err(TemplateError::failed(format!(
                    "dictionary update sequence element has length {}; 2 is required",
                    other.len()
                )));
            }
        }
    }
    Ok(pairs)
}

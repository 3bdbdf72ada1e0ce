//! Expressions.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::Value;

use super::exec::{literal_dict, literal_list};
use super::{Frame, Lazy, Run};
use crate::error::{Outcome, TemplateError};
use crate::program::{Args, CheckRef, Comparison, Expr, FilterRef, Name, SliceExpr};
use crate::scope::{OutsideError, PluginKind, PluginRequest};
use crate::value::{
    Arithmetic, Pairs, View, arithmetic, compare, contains, dict_get_value, equal, is_dict,
    is_missing, is_true, is_undefined, iterate, negate, pairs_of, repr_of, silent_undefined, slice,
    text_of, tuple_value, type_name, undefined, undefined_error, view, write_text,
};

/// Evaluated arguments of a call.
pub(crate) type Arguments = (Vec<Value>, Vec<(Name, Value)>);

impl Run<'_> {
    /// The value of an expression, without lazy parts.
    pub(crate) fn eval(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Outcome<Value> {
        let value = self.eval_lazily(expr, frame)?;
        self.force(value)
    }

    /// The value of an expression, possibly a container that is not evaluated yet.
    fn eval_lazily(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Outcome<Value> {
        self.step()?;
        match expr {
            Expr::Const(value) => Ok(value.clone()),
            Expr::Var(name, at) => self.name(name, frame).map_err(|error| error.at(*at)),
            Expr::Attr(object, name, at) => {
                let object = self.eval_lazily(object, frame)?;
                self.attribute(&object, name).map_err(|error| error.at(*at))
            }
            Expr::Item(object, key, at) => {
                let object = self.eval_lazily(object, frame)?;
                let key = self.eval(key, frame)?;
                self.item(&object, &key).map_err(|error| error.at(*at))
            }
            Expr::Filter(input, filter, args, at) => {
                self.filter_expr(input, filter, args, frame).map_err(|error| error.at(*at))
            }
            Expr::Test(input, check, args, at) => {
                self.test_expr(input, check, args, frame).map_err(|error| error.at(*at))
            }
            Expr::Call(callee, args, at) => {
                self.call_expr(callee, args, frame).map_err(|error| error.at(*at))
            }
            Expr::Method(object, name, args, at) => {
                self.method_expr(object, name, args, frame).map_err(|error| error.at(*at))
            }
            Expr::Not(inner) => Ok(Value::from(!self.test(inner, frame)?)),
            Expr::And(left, right) => {
                let left = self.eval(left, frame)?;
                if truth(&left)? { self.eval(right, frame) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left, frame)?;
                if truth(&left)? { Ok(left) } else { self.eval(right, frame) }
            }
            Expr::If(inner) => {
                if self.test(&inner.test, frame)? {
                    return self.eval(&inner.then, frame);
                }
                match &inner.otherwise {
                    Some(otherwise) => self.eval(otherwise, frame),
                    None => Ok(silent_undefined()),
                }
            }
            other => self.eval_operator(other, frame),
        }
    }

    fn eval_operator(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Outcome<Value> {
        match expr {
            Expr::Arithmetic(operator, left, right, at) => {
                let left = self.eval(left, frame)?;
                let right = self.eval(right, frame)?;
                arithmetic(*operator, &left, &right)
                    .map(|value| self.as_made(*operator, value, frame))
                    .map_err(|error| error.at(*at))
            }
            Expr::Negate(inner, at) => {
                negate(&self.eval(inner, frame)?).map_err(|error| error.at(*at))
            }
            Expr::Concat(left, right, at) => {
                let mut text = String::new();
                for side in [left, right] {
                    let value = self.eval(side, frame)?;
                    let value = defined(value).map_err(|error| error.at(*at))?;
                    write_text(&mut text, &value);
                }
                Ok(Value::from(text))
            }
            Expr::Compare(first, steps, at) => {
                self.compare_expr(first, steps, frame).map_err(|error| error.at(*at))
            }
            Expr::Slice(inner) => self.slice_expr(inner, frame).map_err(|error| error.at(inner.at)),
            Expr::List(items) => Ok(literal_list(self.eval_all(items, frame)?, frame.mutates())),
            Expr::Tuple(items) => Ok(tuple_value(self.eval_all(items, frame)?)),
            Expr::Map(pairs) => {
                let mut out = Pairs::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let key = defined(self.eval(key, frame)?)?;
                    out.insert(key, self.eval(value, frame)?);
                }
                Ok(literal_dict(out, frame.mutates()))
            }
            Expr::Embedded(text) => self.embedded(text),
            Expr::Captured => Ok(self.captured.last().cloned().unwrap_or_default()),
            _ => Ok(Value::UNDEFINED),
        }
    }

    /// Sums of lists must stay changeable where lists are.
    fn as_made(&self, operator: Arithmetic, value: Value, frame: &Frame) -> Value {
        if operator == Arithmetic::Add && frame.mutates() {
            crate::value::thaw(&value)
        } else {
            value
        }
    }

    /// A text literal that Ansible renders (terms of lookups, text in conditions).
    fn embedded(&mut self, text: &Name) -> Outcome<Value> {
        self.deeper("embedded templates", |run| run.scalar(text, None))
    }

    fn eval_all(&mut self, items: &[Expr], frame: &Arc<Frame>) -> Outcome<Vec<Value>> {
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            out.push(self.eval(item, frame)?);
        }
        Ok(out)
    }

    /// The truth of an expression; undefined is an error.
    pub(crate) fn test(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Outcome<bool> {
        let value = self.eval(expr, frame)?;
        truth(&value)
    }

    fn compare_expr(
        &mut self,
        first: &Expr,
        steps: &[(Comparison, Expr)],
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        let mut left = self.eval(first, frame)?;
        for (comparison, right) in steps {
            let right = self.eval(right, frame)?;
            if !compared(*comparison, &left, &right)? {
                return Ok(Value::from(false));
            }
            left = right;
        }
        Ok(Value::from(true))
    }

    fn slice_expr(&mut self, expr: &SliceExpr, frame: &Arc<Frame>) -> Outcome<Value> {
        let value = self.eval(&expr.value, frame)?;
        let mut bounds = [None; 3];
        for (bound, expr) in bounds.iter_mut().zip(&expr.bounds) {
            let Some(expr) = expr else { continue };
            let value = self.eval(expr, frame)?;
            *bound = match view(&value) {
                View::None => None,
                View::Int(number) => Some(number),
                View::Bool(flag) => Some(i128::from(flag)),
                View::Undefined => return Err(undefined_error(&value)),
                _ => {
                    return Err(TemplateError::failed(
                        "slice indices must be integers or None or have an __index__ method",
                    ));
                }
            };
        }
        let [start, stop, step] = bounds;
        slice(&value, start, stop, step)
    }

    /// Evaluates arguments.
    pub(crate) fn arguments(&mut self, args: &Args, frame: &Arc<Frame>) -> Outcome<Arguments> {
        let mut positional = self.eval_all(&args.positional, frame)?;
        if let Some(splat) = &args.splat {
            let value = self.eval(splat, frame)?;
            positional.extend(iterate(&value)?);
        }
        let mut named: Vec<(Name, Value)> = Vec::with_capacity(args.named.len());
        for (name, expr) in &args.named {
            if named.iter().any(|(known, _)| known == name) {
                return Err(TemplateError::failed(format!("keyword argument repeated: {name}")));
            }
            named.push((name.clone(), self.eval(expr, frame)?));
        }
        if let Some(splat) = &args.named_splat {
            let value = self.eval(splat, frame)?;
            if !is_dict(&value) {
                return Err(TemplateError::failed("argument after ** must be a mapping"));
            }
            for (name, value) in pairs_of(&value) {
                named.push((Arc::from(text_of(&name)), value));
            }
        }
        Ok((positional, named))
    }

    fn filter_expr(
        &mut self,
        input: &Expr,
        filter: &FilterRef,
        args: &Args,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        let expr = input;
        let input = self.eval(input, frame)?;
        let (positional, named) = self.arguments(args, frame)?;
        match filter {
            FilterRef::Known(entry)
                if entry.name == "type_debug" && matches!(view(&input), View::Text(_)) =>
            {
                Ok(Value::from(self.text_class(expr, frame).name()))
            }
            FilterRef::Known(entry) => {
                let value = self.run_filter(entry, input, positional, named)?;
                Ok(if frame.mutates() { crate::value::thaw(&value) } else { value })
            }
            FilterRef::Check(entry) => self.run_check(entry, input, positional, named),
            FilterRef::Unknown(name) => {
                let made = self.own_plugin(PluginKind::Filter, name, input, positional, named)?;
                made.ok_or_else(|| unknown("filter", name))
            }
        }
    }

    fn test_expr(
        &mut self,
        input: &Expr,
        check: &CheckRef,
        args: &Args,
        frame: &Arc<Frame>,
    ) -> Outcome<Value> {
        let input = self.eval(input, frame)?;
        let (positional, named) = self.arguments(args, frame)?;
        match check {
            CheckRef::Known(entry) => self.run_check(entry, input, positional, named),
            CheckRef::Unknown(name) => {
                let made = self.own_plugin(PluginKind::Test, name, input, positional, named)?;
                made.ok_or_else(|| unknown("test", name))
            }
        }
    }

    /// What a filter or test of the user's own makes; `None`: there is none of this name.
    pub(crate) fn own_plugin(
        &mut self,
        kind: PluginKind,
        name: &str,
        input: Value,
        args: Vec<Value>,
        named: Vec<(Name, Value)>,
    ) -> Outcome<Option<Value>> {
        self.step()?;
        let mut arguments = Vec::with_capacity(args.len() + 1);
        for value in std::iter::once(input).chain(args) {
            arguments.push(self.force(defined(value)?)?);
        }
        let mut forced = Vec::with_capacity(named.len());
        for (option, value) in named {
            forced.push((option, self.force(defined(value)?)?));
        }
        let request = PluginRequest { kind, name, arguments: &arguments, named: &forced };
        match self.outside.plugin(&request) {
            Ok(value) => Ok(Some(value)),
            Err(OutsideError::UnknownLookup) => Ok(None),
            Err(error) => self.captured_error(Self::outside_error(error, name)).map(Some),
        }
    }

    /// `object.name`
    pub(crate) fn attribute(&mut self, object: &Value, name: &Name) -> Outcome<Value> {
        if let Some(lazy) = object.downcast_object::<Lazy>() {
            return Ok(match self.lazy_item(&lazy, &Value::from(&**name))? {
                Some(value) => value,
                None => {
                    let whole = self.force(object.clone())?;
                    self.missing(&whole, &Value::from(&**name))
                }
            });
        }
        if let Some(value) = crate::value::dict_get(object, name) {
            return Ok(value);
        }
        if is_undefined(object) {
            return Ok(object.clone());
        }
        if let Some(value) = self.object_attribute(object, name)? {
            return Ok(value);
        }
        Ok(self.missing(object, &Value::from(&**name)))
    }

    /// `object[key]`
    pub(crate) fn item(&mut self, object: &Value, key: &Value) -> Outcome<Value> {
        if is_undefined(key) {
            return Err(undefined_error(key));
        }
        if let Some(lazy) = object.downcast_object::<Lazy>() {
            return Ok(match self.lazy_item(&lazy, key)? {
                Some(value) => value,
                None => {
                    let whole = self.force(object.clone())?;
                    self.missing(&whole, key)
                }
            });
        }
        let found = match (view(object), view(key)) {
            (View::Undefined, _) => return Ok(object.clone()),
            (View::Dict, _) => dict_get_value(object, key),
            (
                View::List | View::Tuple | View::Text(_) | View::Bytes(_),
                View::Int(_) | View::Bool(_),
            ) => index(object, key),
            _ => None,
        };
        if let Some(value) = found {
            return Ok(value);
        }
        if let Some(name) = key.as_str()
            && let Some(value) = self.object_attribute(object, name)?
        {
            return Ok(value);
        }
        Ok(self.missing(object, key))
    }

    /// The undefined value of an attribute or element that does not exist.
    fn missing(&self, object: &Value, key: &Value) -> Value {
        let message = match (self.is_strict(), key.as_str()) {
            (true, Some(name)) => {
                format!("object of type '{}' has no attribute '{name}'", type_name(object))
            }
            (true, None) => {
                format!("object of type '{}' has no attribute {}", type_name(object), repr_of(key))
            }
            (false, _) if object.is_none() => match key.as_str() {
                Some(name) => format!("'None' has no attribute '{name}'"),
                None => format!("None has no element {}", repr_of(key)),
            },
            (false, Some(name)) => {
                format!("'{} object' has no attribute '{name}'", type_name(object))
            }
            (false, None) => {
                format!("{} object has no element {}", type_name(object), repr_of(key))
            }
        };
        undefined(message, key.as_str())
    }

    /// `a.b.0` as the `attribute=` argument of filters means it.
    pub(crate) fn path(&mut self, value: &Value, path: &Value) -> Outcome<Value> {
        let Some(text) = path.as_str() else { return self.item(value, path) };
        let mut current = value.clone();
        for part in text.split('.') {
            current = match part.parse::<i64>() {
                Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => {
                    self.item(&current, &Value::from(number))?
                }
                _ => self.item(&current, &Value::from(part))?,
            };
        }
        Ok(current)
    }
}

/// The element at an index, counted from the end if negative.
fn index(object: &Value, key: &Value) -> Option<Value> {
    let length = i64::try_from(crate::value::length(object).ok()?).ok()?;
    let wanted = match view(key) {
        View::Bool(flag) => i64::from(flag),
        _ => key.as_i64()?,
    };
    let position = usize::try_from(if wanted < 0 { wanted + length } else { wanted }).ok()?;
    match view(object) {
        View::Text(text) => text.chars().nth(position).map(Value::from),
        View::Bytes(bytes) => bytes.get(position).map(|byte| Value::from(*byte)),
        _ => match object.downcast_object_ref::<Vec<Value>>() {
            Some(items) => items.get(position).cloned(),
            None => iterate(object).ok()?.into_iter().nth(position),
        },
    }
}

fn compared(comparison: Comparison, left: &Value, right: &Value) -> Outcome<bool> {
    for side in [left, right] {
        if is_undefined(side) {
            return Err(undefined_error(side));
        }
    }
    let ordered = |operator, wanted: &[Ordering]| {
        compare(left, right, operator)
            .map(|found| found.is_some_and(|found| wanted.contains(&found)))
    };
    match comparison {
        Comparison::Equal => Ok(equal(left, right)),
        Comparison::NotEqual => Ok(!equal(left, right)),
        Comparison::Less => ordered("<", &[Ordering::Less]),
        Comparison::LessOrEqual => ordered("<=", &[Ordering::Less, Ordering::Equal]),
        Comparison::Greater => ordered(">", &[Ordering::Greater]),
        Comparison::GreaterOrEqual => ordered(">=", &[Ordering::Greater, Ordering::Equal]),
        Comparison::In => contains(right, left),
        Comparison::NotIn => contains(right, left).map(|found| !found),
    }
}

/// The truth of a value; undefined is an error.
pub(crate) fn truth(value: &Value) -> Outcome<bool> {
    if is_missing(value) { Err(undefined_error(value)) } else { Ok(is_true(value)) }
}

/// The value, unless it is undefined.
pub(crate) fn defined(value: Value) -> Outcome<Value> {
    if is_missing(&value) { Err(undefined_error(&value)) } else { Ok(value) }
}

fn unknown(what: &str, name: &str) -> TemplateError {
    let known: Vec<&str> = match what {
        "filter" => crate::filters::names().collect(),
        _ => crate::checks::names().collect(),
    };
    let error =
        TemplateError::failed(format!("Could not load \"{name}\": no {what} named '{name}'"));
    match diagnostics::closest(name, known) {
        Some(close) => error.hint(format!("did you mean `{close}`?")),
        None => error,
    }
}

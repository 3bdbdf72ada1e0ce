//! Which of Python's classes a text has under ansible-core 2.18, for `type_debug`.
//!
//! There each text carries a class: what a YAML file says is an `AnsibleUnicode`, what came from a
//! host an `AnsibleUnsafeText`, what `string` or `to_json` made a `NativeJinjaText`. Here there is
//! one kind of text, and whether something is a template is known from where it stands
//! ([`Slot`]), so nothing carries anything: the class is found only when somebody asks for it, from
//! the expression, by the rules in `tests/classes/recorded.tsv`. What the rules don't cover (a text
//! that went through a loop of the template, or through a filter that is not known here) counts as
//! a plain `str`.

use std::sync::Arc;

use minijinja::Value;
use yaml::{Node, NodeValue};

use crate::program::{Args, Expr, FilterRef, Name, Stmt};
use crate::run::{Conversion, Frame, Run};
use crate::scope::{Dialect, Found, Slot, TextKind};
use crate::value::{Arithmetic, View, equal, text_of, view};

/// A class of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextClass {
    /// Made by a template, or by Ansible itself.
    Plain,
    /// Stands so in a YAML file.
    Written,
    /// Made by a filter whose result never becomes a value again.
    Kept,
    /// From a host, a lookup or `!unsafe`.
    Unsafe,
    /// [`TextClass::Kept`], made in a template that sees something unsafe.
    KeptUnsafe,
    /// A `!vault` value.
    Vault,
    /// No text in Python but a class (`x.__class__`), where values are kept as JSON.
    Class,
}

impl TextClass {
    /// The class's name in Python.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TextClass::Plain => "str",
            TextClass::Written => "AnsibleUnicode",
            TextClass::Kept => "NativeJinjaText",
            TextClass::Unsafe => "AnsibleUnsafeText",
            TextClass::KeptUnsafe => "NativeJinjaUnsafeText",
            TextClass::Vault => "AnsibleVaultEncryptedUnicode",
            TextClass::Class => "type",
        }
    }

    fn is_unsafe(self) -> bool {
        matches!(self, TextClass::Unsafe | TextClass::KeptUnsafe)
    }

    /// As the result of a template that sees something unsafe.
    fn tainted(self) -> Self {
        match self {
            TextClass::Kept | TextClass::KeptUnsafe => TextClass::KeptUnsafe,
            _ => TextClass::Unsafe,
        }
    }

    /// What Python's methods of texts make of it.
    fn derived(self) -> Self {
        if self.is_unsafe() { TextClass::Unsafe } else { TextClass::Plain }
    }
}

/// Where the texts of a value come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// It is a text.
    Text(TextClass),
    /// All texts in it, whatever it is.
    Every(TextClass),
    /// The items of a list.
    List(Vec<Origin>),
    /// The values of a dictionary.
    Dict(Vec<(Value, Origin)>),
}

const PLAIN: Origin = Origin::Text(TextClass::Plain);

/// Filters whose results stay text (`STRING_TYPE_FILTERS`).
const KEEPING: &[&str] =
    &["string", "to_json", "to_nice_json", "to_yaml", "to_nice_yaml", "ppretty", "json"];
/// Filters that give items of their list as they are.
const CHOOSING: &[&str] = &["first", "last", "random", "min", "max"];
/// Filters that give a list of such items.
const LISTING: &[&str] = &[
    "list",
    "sort",
    "unique",
    "reverse",
    "select",
    "reject",
    "selectattr",
    "rejectattr",
    "shuffle",
    "flatten",
];
/// Filters that are methods of Python's texts: what is unsafe stays so.
const METHODS: &[&str] = &["upper", "lower", "trim", "replace", "capitalize", "title", "center"];

impl Origin {
    /// Of a key or an index.
    #[must_use]
    pub fn child(&self, key: &Value) -> Origin {
        match self {
            Origin::Text(class) => Origin::Text(class.derived()),
            Origin::Every(_) => self.clone(),
            Origin::List(items) => {
                let index = key.as_i64().and_then(|index| match usize::try_from(index) {
                    Ok(index) => Some(index),
                    Err(_) => items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
                });
                index.and_then(|index| items.get(index)).cloned().unwrap_or(PLAIN)
            }
            Origin::Dict(entries) => {
                let mut entries = entries.iter();
                let found = entries.find(|(known, _)| equal(known, key));
                found.map_or(PLAIN, |(_, origin)| origin.clone())
            }
        }
    }

    /// Whether anything in it is unsafe.
    #[must_use]
    pub fn is_unsafe(&self) -> bool {
        match self {
            Origin::Text(class) | Origin::Every(class) => class.is_unsafe(),
            Origin::List(items) => items.iter().any(Origin::is_unsafe),
            Origin::Dict(entries) => entries.iter().any(|(_, origin)| origin.is_unsafe()),
        }
    }

    /// The class of a text that has this origin.
    #[must_use]
    pub fn class(&self) -> TextClass {
        match self {
            Origin::Text(class) | Origin::Every(class) => *class,
            _ => TextClass::Plain,
        }
    }

    /// Of some item.
    fn any(&self) -> Origin {
        match self {
            Origin::Text(class) => Origin::Text(class.derived()),
            Origin::Every(_) => self.clone(),
            Origin::List(items) => items.first().cloned().unwrap_or(PLAIN),
            Origin::Dict(entries) => entries.first().map_or(PLAIN, |(_, origin)| origin.clone()),
        }
    }

    fn tainted(self) -> Origin {
        match self {
            Origin::Text(class) => Origin::Text(class.tainted()),
            Origin::Every(class) => Origin::Every(class.tainted()),
            Origin::List(items) => Origin::List(items.into_iter().map(Origin::tainted).collect()),
            Origin::Dict(entries) => {
                let entries = entries.into_iter();
                Origin::Dict(entries.map(|(key, origin)| (key, origin.tainted())).collect())
            }
        }
    }
}

impl Run<'_> {
    /// The class of what an expression gives, if that is a text.
    pub(crate) fn text_class(&mut self, expr: &Expr, frame: &Arc<Frame>) -> TextClass {
        match self.dialect {
            Dialect::Strict => TextClass::Plain,
            Dialect::Classic => self.origin(expr, frame).class(),
        }
    }

    /// Whether an expression gives a text that is from outside.
    pub(crate) fn is_outside_text(&mut self, expr: &Expr, frame: &Arc<Frame>) -> bool {
        if !self.origin(expr, frame).class().is_unsafe() {
            return false;
        }
        // What can't be asked for twice is text: lookups give little else.
        self.simple(expr, frame).is_none_or(|value| matches!(view(&value), View::Text(_)))
    }

    /// Where the texts of a node come from.
    pub(crate) fn origin_of_node(&mut self, node: &Node) -> Origin {
        if node.is_unsafe() {
            return Origin::Every(TextClass::Unsafe);
        }
        match &node.value {
            NodeValue::String(_) if node.is_vault() => Origin::Text(TextClass::Vault),
            NodeValue::String(text) if crate::text_has_template(text) => {
                self.deeper("variables", |run| Ok(run.origin_of_text(text))).unwrap_or(PLAIN)
            }
            NodeValue::String(_) => Origin::Text(TextClass::Written),
            NodeValue::Sequence(items) => {
                Origin::List(items.iter().map(|item| self.origin_of_node(item)).collect())
            }
            NodeValue::Mapping(mapping) => Origin::Dict(
                mapping
                    .iter()
                    .map(|(key, value)| (crate::value_of_node(key), self.origin_of_node(value)))
                    .collect(),
            ),
            _ => PLAIN,
        }
    }

    fn origin_of_text(&mut self, text: &str) -> Origin {
        let Ok(program) = self.engine.template(text) else { return PLAIN };
        let origin = self.origin_of_body(&program.body, &Frame::root(program.mutates));
        let is_text = matches!(origin, Origin::Text(_) | Origin::Every(_));
        let origin = match is_text || self.engine.conversion() == Conversion::Native {
            true => origin,
            // It became text and is read again.
            false if origin.is_unsafe() => Origin::Every(TextClass::Unsafe),
            false => Origin::Every(TextClass::Plain),
        };
        let names = self.engine.names_in(text, TextKind::Template).names;
        let is_tainted = names.iter().any(|name| self.origin_of_name(name).is_unsafe());
        if is_tainted { origin.tainted() } else { origin }
    }

    fn origin_of_body(&mut self, body: &[Stmt], frame: &Arc<Frame>) -> Origin {
        match body {
            [Stmt::Emit(expr, _)] => self.origin(expr, frame),
            [Stmt::If(inner)] => match self.simple(&inner.test, frame) {
                Some(test) if crate::is_true(&test) => self.origin_of_body(&inner.body, frame),
                Some(_) => self.origin_of_body(&inner.otherwise, frame),
                None => PLAIN,
            },
            _ => PLAIN,
        }
    }

    fn origin_of_name(&mut self, name: &str) -> Origin {
        if let Some(known) = self.origins.get(name) {
            return known.clone();
        }
        // Also what a name that is defined by itself is.
        self.origins.insert(name.into(), PLAIN);
        let origin = match self.scope.lookup(name) {
            Found::Slot(Slot::Template(node)) => self.origin_of_node(&node),
            Found::Slot(Slot::Data(_)) => self.scope.origin(name),
            Found::Undefined | Found::Pending(_) => PLAIN,
        };
        self.origins.insert(name.into(), origin.clone());
        origin
    }

    fn origin(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Origin {
        match expr {
            Expr::Var(name, _) if frame.get(name).is_some() => PLAIN,
            Expr::Var(name, _) => self.origin_of_name(name),
            Expr::Attr(_, name, _) if &**name == "__class__" => Origin::Text(TextClass::Class),
            Expr::Attr(object, name, _) => self.origin(object, frame).child(&Value::from(&**name)),
            Expr::Item(object, key, _) => {
                let origin = self.origin(object, frame);
                match self.simple(key, frame) {
                    Some(key) => origin.child(&key),
                    None => origin.any(),
                }
            }
            Expr::Slice(slice) => match self.origin(&slice.value, frame) {
                Origin::Text(class) => Origin::Text(class.derived()),
                other => other,
            },
            Expr::Arithmetic(Arithmetic::Add, left, right, _) => {
                let (left, right) = (self.origin(left, frame), self.origin(right, frame));
                match (left, right) {
                    (Origin::List(mut left), Origin::List(right)) => {
                        left.extend(right);
                        Origin::List(left)
                    }
                    (left, right) if left.is_unsafe() || right.is_unsafe() => {
                        Origin::Text(TextClass::Unsafe)
                    }
                    _ => PLAIN,
                }
            }
            Expr::If(inner) => match (self.simple(&inner.test, frame), &inner.otherwise) {
                (Some(test), _) if crate::is_true(&test) => self.origin(&inner.then, frame),
                (Some(_), Some(otherwise)) => self.origin(otherwise, frame),
                _ => PLAIN,
            },
            Expr::Or(left, right) | Expr::And(left, right) => {
                let is_or = matches!(expr, Expr::Or(..));
                match self.simple(left, frame) {
                    Some(value) if crate::is_true(&value) == is_or => self.origin(left, frame),
                    Some(_) => self.origin(right, frame),
                    None => PLAIN,
                }
            }
            Expr::Filter(input, FilterRef::Known(filter), args, _) => {
                self.origin_of_filter(filter.name, input, args, frame)
            }
            Expr::Call(callee, args, _) => origin_of_call(callee, args),
            Expr::Method(object, name, args, _) => self.origin_of_method(object, name, args, frame),
            Expr::List(items) | Expr::Tuple(items) => {
                Origin::List(items.iter().map(|item| self.origin(item, frame)).collect())
            }
            Expr::Map(pairs) => {
                let mut entries = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    if let Some(key) = self.simple(key, frame) {
                        entries.push((key, self.origin(value, frame)));
                    }
                }
                Origin::Dict(entries)
            }
            _ => PLAIN,
        }
    }

    fn origin_of_filter(
        &mut self,
        name: &str,
        input: &Expr,
        args: &Args,
        frame: &Arc<Frame>,
    ) -> Origin {
        let argument = |at: usize| args.positional.get(at);
        match name {
            _ if KEEPING.contains(&name) => Origin::Text(TextClass::Kept),
            "default" | "d" => {
                let missing = match self.simple(input, frame) {
                    Some(value) => crate::is_undefined(&value),
                    None => false,
                };
                match argument(0) {
                    Some(instead) if missing => self.origin(instead, frame),
                    _ => self.origin(input, frame),
                }
            }
            "ternary" => match self.simple(input, frame) {
                Some(test) => {
                    let chosen = argument(usize::from(!crate::is_true(&test)));
                    chosen.map_or(PLAIN, |chosen| self.origin(chosen, frame))
                }
                None => PLAIN,
            },
            "mandatory" => self.origin(input, frame),
            "last" => match self.origin(input, frame) {
                Origin::List(items) => items.last().cloned().unwrap_or(PLAIN),
                other => other.any(),
            },
            _ if CHOOSING.contains(&name) => self.origin(input, frame).any(),
            _ if LISTING.contains(&name) => match self.origin(input, frame) {
                // Which items are where is not known: the first stands for all.
                Origin::List(items) => {
                    let first = items.first().cloned().unwrap_or(PLAIN);
                    Origin::List(vec![first; items.len()])
                }
                other => other,
            },
            _ if METHODS.contains(&name) => Origin::Text(self.text_class(input, frame).derived()),
            _ => PLAIN,
        }
    }

    fn origin_of_method(
        &mut self,
        object: &Expr,
        name: &Name,
        args: &Args,
        frame: &Arc<Frame>,
    ) -> Origin {
        match (&**name, self.origin(object, frame)) {
            ("get", origin @ Origin::Dict(_)) => {
                let key = args.positional.first().and_then(|key| self.simple(key, frame));
                key.map_or(PLAIN, |key| origin.child(&key))
            }
            ("values", Origin::Dict(entries)) => {
                Origin::List(entries.into_iter().map(|(_, origin)| origin).collect())
            }
            (_, Origin::Text(class) | Origin::Every(class)) => Origin::Every(class.derived()),
            _ => PLAIN,
        }
    }

    /// The value of an expression that asks nobody and calls nothing; an undefined name is undefined.
    fn simple(&mut self, expr: &Expr, frame: &Arc<Frame>) -> Option<Value> {
        fn is_simple(expr: &Expr) -> bool {
            match expr {
                Expr::Const(_) | Expr::Var(..) => true,
                Expr::Attr(object, ..) | Expr::Not(object) | Expr::Negate(object, _) => {
                    is_simple(object)
                }
                Expr::Item(left, right, _)
                | Expr::And(left, right)
                | Expr::Or(left, right)
                | Expr::Arithmetic(_, left, right, _)
                | Expr::Concat(left, right, _) => is_simple(left) && is_simple(right),
                Expr::Compare(first, steps, _) => {
                    is_simple(first) && steps.iter().all(|(_, step)| is_simple(step))
                }
                _ => false,
            }
        }
        if is_simple(expr) { self.eval(expr, frame).ok() } else { None }
    }
}

/// What lookups give is unsafe; other functions make new texts.
fn origin_of_call(callee: &Expr, args: &Args) -> Origin {
    let is = |name: &str| matches!(callee, Expr::Var(known, _) if &**known == name);
    if !(is("lookup") || is("query") || is("q")) {
        return PLAIN;
    }
    let of_template = matches!(
        args.positional.first(),
        Some(Expr::Const(name)) if matches!(text_of(name).rsplit('.').next(), Some("template"))
    );
    let stays = args.named.iter().any(|(name, value)| {
        let off = matches!(value, Expr::Const(value) if !crate::is_true(value));
        &**name == "convert_data" && off
    });
    let kept = of_template && stays;
    Origin::Every(if kept { TextClass::KeptUnsafe } else { TextClass::Unsafe })
}

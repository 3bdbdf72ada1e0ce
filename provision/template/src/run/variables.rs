//! Names: locals, variables of the scope (lazily evaluated, once a run) and globals.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};
use yaml::{Node, NodeValue};

use super::{Frame, Global, GlobalKind, Run, find_undefined};
use crate::error::{Outcome, TemplateError};
use crate::program::{Name, Program};
use crate::scope::{Dialect, Found, Slot};
use crate::value::{
    Pairs, Undefined, View, dict_value, is_undefined, list_value, omit, thaw, undefined,
    value_of_node, view,
};

/// A list or mapping of the user's files that is evaluated item by item (strict dialect).
pub(crate) struct Lazy {
    root: Arc<Node>,
    path: Vec<usize>,
    done: Mutex<BTreeMap<usize, Value>>,
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lazy")
    }
}

impl Object for Lazy {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Lazy {
    fn node(&self) -> Option<&Node> {
        let mut node = &*self.root;
        for index in &self.path {
            node = match &node.value {
                NodeValue::Sequence(items) => items.get(*index)?,
                NodeValue::Mapping(mapping) => &mapping.entries.get(*index)?.1,
                _ => return None,
            };
        }
        Some(node)
    }

    /// The position of a key or an index, counted from the end if negative.
    fn position(&self, key: &Value) -> Option<usize> {
        match &self.node()?.value {
            NodeValue::Sequence(items) => {
                let length = i64::try_from(items.len()).ok()?;
                let View::Int(_) = view(key) else { return None };
                let index = key.as_i64()?;
                usize::try_from(if index < 0 { index + length } else { index })
                    .ok()
                    .filter(|index| *index < items.len())
            }
            NodeValue::Mapping(mapping) => {
                mapping.entries.iter().position(|(known, _)| match (known.as_str(), key.as_str()) {
                    (Some(known), Some(key)) => known == key,
                    (None, None) => crate::value::equal(&value_of_node(known), key),
                    _ => false,
                })
            }
            _ => None,
        }
    }
}

impl Run<'_> {
    /// The value of a name; undefined if there is none.
    pub(crate) fn name(&mut self, name: &Name, frame: &Frame) -> Outcome<Value> {
        if let Some(value) = frame.get(name) {
            return Ok(value);
        }
        let value = self.variable(name)?;
        Ok(match value {
            Some(value) if frame.mutates() => {
                let value = thaw(&self.force(value)?);
                self.memo.insert(name.clone(), value.clone());
                value
            }
            Some(value) => value,
            None => match self.global(name) {
                Some(value) => value,
                None => undefined(format!("'{name}' is undefined"), Some(name)),
            },
        })
    }

    /// The value of a variable of the scope.
    pub(crate) fn variable(&mut self, name: &Name) -> Outcome<Option<Value>> {
        if let Some(value) = self.memo.get(name) {
            return Ok(Some(value.clone()));
        }
        let value = match self.scope.lookup(name) {
            Found::Undefined => return Ok(None),
            Found::Pending(token) => return Err(TemplateError::Pending(token)),
            Found::Slot(Slot::Data(value)) => return Ok(Some(value)),
            Found::Slot(Slot::Template(node)) => self.evaluate_variable(name, &node)?,
        };
        self.memo.insert(name.clone(), value.clone());
        Ok(Some(value))
    }

    fn evaluate_variable(&mut self, name: &Name, node: &Arc<Node>) -> Outcome<Value> {
        if !crate::has_template(node) {
            return Ok(value_of_node(node));
        }
        let container = matches!(node.value, NodeValue::Sequence(_) | NodeValue::Mapping(_));
        if container && self.is_strict() {
            return Ok(lazy(node.clone(), Vec::new()));
        }
        if self.active.contains(name) {
            let mut chain: Vec<&str> =
                self.active.iter().skip_while(|known| *known != name).map(|name| &**name).collect();
            chain.push(name);
            return Err(TemplateError::failed(format!(
                "recursive loop detected in template: {}",
                chain.join(" → ")
            ))
            .hint("a variable cannot refer to itself, even through others"));
        }
        self.active.push(name.clone());
        let result = self.deeper("variables", |run| {
            let value = run.node(node)?;
            match find_undefined(&value) {
                Some(missing) if !run.is_strict() => Err(crate::value::undefined_error(&missing)),
                _ => Ok(value),
            }
        });
        self.active.pop();
        match result {
            Err(error @ TemplateError::Undefined(_)) if self.dialect == Dialect::Classic => {
                let error = error.through(name, Some(node.span));
                Ok(Value::from_object(Undefined {
                    message: error.message().to_owned(),
                    name: Some(name.to_string()),
                    cause: Some(error),
                    silent: false,
                }))
            }
            Err(error) => self.captured_error(error.through(name, Some(node.span))),
            Ok(value) => Ok(through_undefined(value, name, node)),
        }
    }

    /// The item of a lazy container.
    pub(crate) fn lazy_item(
        &mut self,
        lazy_value: &Arc<Lazy>,
        key: &Value,
    ) -> Outcome<Option<Value>> {
        let Some(position) = lazy_value.position(key) else { return Ok(None) };
        self.lazy_at(lazy_value, position).map(Some)
    }

    fn lazy_at(&mut self, container: &Arc<Lazy>, position: usize) -> Outcome<Value> {
        let known =
            container.done.lock().unwrap_or_else(PoisonError::into_inner).get(&position).cloned();
        if let Some(value) = known {
            return Ok(value);
        }
        let mut path = container.path.clone();
        path.push(position);
        let child = Lazy { root: container.root.clone(), path, done: Mutex::default() };
        let Some(node) = child.node() else { return Ok(Value::UNDEFINED) };
        let value = if !crate::has_template(node) {
            value_of_node(node)
        } else if matches!(node.value, NodeValue::Sequence(_) | NodeValue::Mapping(_)) {
            Value::from_object(child)
        } else {
            let span = node.span;
            self.deeper("variables", |run| run.node(node))
                .or_else(|error| self.captured_error(error.through("item", Some(span))))?
        };
        container
            .done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(position, value.clone());
        Ok(value)
    }

    /// A value without lazy parts at its top: lazy containers become real ones.
    pub(crate) fn force(&mut self, value: Value) -> Outcome<Value> {
        let Some(container) = value.downcast_object::<Lazy>() else { return Ok(value) };
        let Some(node) = container.node() else { return Ok(value) };
        match &node.value {
            NodeValue::Sequence(items) => {
                let mut out = Vec::with_capacity(items.len());
                for position in 0..items.len() {
                    let item = self.lazy_at(&container, position)?;
                    out.push(self.force(item)?);
                }
                Ok(list_value(out))
            }
            NodeValue::Mapping(mapping) => {
                let mut out = Pairs::with_capacity(mapping.len());
                for (position, (key, _)) in mapping.entries.iter().enumerate() {
                    let item = self.lazy_at(&container, position)?;
                    out.insert(value_of_node(key), self.force(item)?);
                }
                Ok(dict_value(out))
            }
            _ => Ok(value),
        }
    }

    /// `{{ name }}` alone keeps booleans, numbers and null in the classic dialect.
    pub(super) fn single_variable(&self, program: &Program) -> Option<Value> {
        let name = program.single.as_ref().filter(|_| self.dialect == Dialect::Classic)?;
        let value = match self.scope.lookup(name) {
            Found::Slot(Slot::Data(value)) => value,
            Found::Slot(Slot::Template(node)) => match node.value {
                NodeValue::String(_) | NodeValue::Sequence(_) | NodeValue::Mapping(_) => {
                    return None;
                }
                _ => value_of_node(&node),
            },
            _ => return None,
        };
        matches!(view(&value), View::Bool(_) | View::Int(_) | View::Float(_) | View::None)
            .then_some(value)
    }

    /// A name that every template knows.
    fn global(&self, name: &str) -> Option<Value> {
        let kind = match name {
            "lookup" => GlobalKind::Lookup,
            "query" | "q" => GlobalKind::Query,
            "range" => GlobalKind::Range,
            "dict" => GlobalKind::Dict,
            "namespace" => GlobalKind::Namespace,
            "cycler" => GlobalKind::Cycler,
            "joiner" => GlobalKind::Joiner,
            "lipsum" => GlobalKind::Lipsum,
            "now" => GlobalKind::Now,
            "undef" => GlobalKind::Undef,
            "super" => GlobalKind::Super,
            "vars" => GlobalKind::Vars,
            "omit" => return Some(omit()),
            _ => return None,
        };
        Some(Value::from_object(Global(kind)))
    }
}

fn lazy(root: Arc<Node>, path: Vec<usize>) -> Value {
    Value::from_object(Lazy { root, path, done: Mutex::default() })
}

/// Adds the variable to the trail of an undefined value that it evaluates to.
fn through_undefined(value: Value, name: &Name, node: &Node) -> Value {
    if !is_undefined(&value) {
        return value;
    }
    let error = crate::value::undefined_error(&value).through(name, Some(node.span));
    Value::from_object(Undefined {
        message: error.message().to_owned(),
        name: Some(name.to_string()),
        cause: Some(error),
        silent: false,
    })
}

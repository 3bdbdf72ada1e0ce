//! Things that templates can hold besides data: macros, modules, namespaces, global functions.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use super::Frame;
use crate::program::{MacroCode, Name};

/// A macro or the body of a `call` block, with the scope that it was defined in.
pub(crate) struct Macro {
    pub(crate) code: Arc<MacroCode>,
    /// Weak: the scope itself holds the macro. The run keeps the scope alive.
    pub(crate) frame: Weak<Frame>,
}

impl Macro {
    pub(crate) fn name(&self) -> &str {
        &self.code.name
    }
}

/// What `x.__class__` is: Python's class of a value, by name.
#[derive(Debug)]
pub(crate) struct Class(pub(crate) &'static str);

impl Object for Class {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<class '{}'>", self.0)
    }
}

/// An imported template.
pub(crate) struct Module {
    pub(crate) frame: Arc<Frame>,
    pub(crate) text: String,
}

/// `namespace()`: a scope that inner scopes can write to.
pub(crate) struct Namespace(pub(crate) RwLock<Vec<(Name, Value)>>);

impl Namespace {
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        let vars = self.0.read().unwrap_or_else(PoisonError::into_inner);
        vars.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
    }

    pub(crate) fn set(&self, name: &Name, value: Value) {
        let mut vars = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match vars.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => vars.push((name.clone(), value)),
        }
    }
}

/// `cycler(...)`
pub(crate) struct Cycler {
    pub(crate) items: Vec<Value>,
    pub(crate) position: AtomicUsize,
}

impl Cycler {
    pub(crate) fn current(&self) -> Option<Value> {
        self.items.get(self.position.load(Ordering::Relaxed)).cloned()
    }

    pub(crate) fn next(&self) -> Option<Value> {
        let current = self.current();
        let next = (self.position.load(Ordering::Relaxed) + 1) % self.items.len().max(1);
        self.position.store(next, Ordering::Relaxed);
        current
    }
}

/// `joiner(sep)`
pub(crate) struct Joiner {
    pub(crate) separator: Value,
    pub(crate) used: AtomicBool,
}

/// A global function or object.
pub(crate) struct Global(pub(crate) GlobalKind);

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GlobalKind {
    Lookup,
    Query,
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    Lipsum,
    Now,
    Undef,
    Super,
    Vars,
}

macro_rules! plain_object {
    ($($name:ident),*) => {$(
        // Contents stay out of debug output: they may be secrets.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl Object for $name {
            fn repr(self: &Arc<Self>) -> ObjectRepr {
                ObjectRepr::Plain
            }
        }
    )*};
}

plain_object!(Macro, Module, Namespace, Cycler, Joiner, Global);

//! Local names of a template: what `set`, `for`, `with`, macros and imports define.

use std::sync::{Arc, PoisonError, RwLock};

use minijinja::Value;

use crate::program::Name;

/// One scope of local names.
pub(crate) struct Frame {
    vars: RwLock<Vec<(Name, Value)>>,
    parent: Option<Arc<Frame>>,
    mutates: bool,
}

impl Frame {
    /// The outermost scope of a template.
    pub(crate) fn root(mutates: bool) -> Arc<Frame> {
        Arc::new(Frame { vars: RwLock::new(Vec::new()), parent: None, mutates })
    }

    /// A scope inside another.
    pub(crate) fn child(parent: &Arc<Frame>) -> Arc<Frame> {
        Arc::new(Frame {
            vars: RwLock::new(Vec::new()),
            parent: Some(parent.clone()),
            mutates: parent.mutates,
        })
    }

    /// A scope inside another for a program of its own.
    pub(crate) fn child_for(parent: &Arc<Frame>, mutates: bool) -> Arc<Frame> {
        Arc::new(Frame {
            vars: RwLock::new(Vec::new()),
            parent: Some(parent.clone()),
            mutates: mutates || parent.mutates,
        })
    }

    /// Whether lists and dictionaries made here must be changeable.
    pub(crate) fn mutates(&self) -> bool {
        self.mutates
    }

    /// Defines or redefines a name in this scope.
    pub(crate) fn set(&self, name: &Name, value: Value) {
        let mut vars = self.vars.write().unwrap_or_else(PoisonError::into_inner);
        match vars.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => vars.push((name.clone(), value)),
        }
    }

    /// Forgets what this scope defines.
    pub(crate) fn clear(&self) {
        self.vars.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The value of a name in this scope or one around it.
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        let mut frame = self;
        loop {
            if let Some(value) = frame.own(name) {
                return Some(value);
            }
            frame = frame.parent.as_deref()?;
        }
    }

    /// The value of a name in this very scope.
    pub(crate) fn own(&self, name: &str) -> Option<Value> {
        let vars = self.vars.read().unwrap_or_else(PoisonError::into_inner);
        vars.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frame")
    }
}

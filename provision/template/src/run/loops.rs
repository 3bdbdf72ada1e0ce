//! The `loop` object.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use super::Frame;
use crate::convert::signed;
use crate::program::ForLoop;
use crate::value::{equal, undefined};

/// `loop` inside a `for`.
pub(crate) struct LoopVar {
    pub(crate) code: Arc<ForLoop>,
    pub(crate) frame: Arc<Frame>,
    pub(crate) items: Vec<Value>,
    pub(crate) depth: usize,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    index: usize,
    changed: Option<Vec<Value>>,
}

impl LoopVar {
    pub(crate) fn new(
        code: Arc<ForLoop>,
        frame: Arc<Frame>,
        items: Vec<Value>,
        depth: usize,
    ) -> Self {
        LoopVar { code, frame, items, depth, state: RwLock::default() }
    }

    pub(crate) fn advance(&self, index: usize) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).index = index;
    }

    fn index(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).index
    }

    /// An attribute such as `index`.
    pub(crate) fn attribute(&self, name: &str) -> Option<Value> {
        let index = self.index();
        let length = self.items.len();
        Some(match name {
            "index" => Value::from(signed(index + 1)),
            "index0" => Value::from(signed(index)),
            "revindex" => Value::from(signed(length - index)),
            "revindex0" => Value::from(signed(length - index - 1)),
            "first" => Value::from(index == 0),
            "last" => Value::from(index + 1 == length),
            "length" => Value::from(signed(length)),
            "depth" => Value::from(signed(self.depth + 1)),
            "depth0" => Value::from(signed(self.depth)),
            "previtem" => index
                .checked_sub(1)
                .and_then(|index| self.items.get(index).cloned())
                .unwrap_or_else(|| undefined("there is no previous item", None)),
            "nextitem" => self
                .items
                .get(index + 1)
                .cloned()
                .unwrap_or_else(|| undefined("there is no next item", None)),
            _ => return None,
        })
    }

    /// `loop.cycle(...)`
    pub(crate) fn cycle(&self, values: &[Value]) -> Option<Value> {
        values.get(self.index().checked_rem(values.len())?).cloned()
    }

    /// `loop.changed(...)`
    pub(crate) fn changed(&self, values: &[Value]) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let same = state.changed.as_ref().is_some_and(|last| {
            last.len() == values.len() && last.iter().zip(values).all(|(a, b)| equal(a, b))
        });
        state.changed = Some(values.to_vec());
        !same
    }
}

impl fmt::Debug for LoopVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopVar")
    }
}

impl Object for LoopVar {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

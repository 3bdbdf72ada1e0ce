//! Lists and dictionaries that templates can change (`list.append`, `dict.update`). Only templates
//! that call such methods pay for them: the others work on minijinja's immutable ones.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::{Pairs, View, is_dict, iterate, pairs_of, view};

/// A list that can be changed.
pub(crate) struct MutableList(RwLock<Vec<Value>>);

impl MutableList {
    pub(crate) fn new(items: Vec<Value>) -> Self {
        MutableList(RwLock::new(items))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Vec<Value>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Vec<Value>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MutableList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutableList")
    }
}

impl Object for MutableList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.read().get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.read().clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.read().len())
    }
}

/// A dictionary that can be changed.
pub(crate) struct MutableDict(RwLock<Pairs>);

impl MutableDict {
    pub(crate) fn new(pairs: Pairs) -> Self {
        MutableDict(RwLock::new(pairs))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Pairs> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Pairs> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MutableDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutableDict")
    }
}

impl Object for MutableDict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.read().get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.read().keys().cloned().collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.read().len())
    }
}

/// Whether a dictionary holds its values. Others, `hostvars` for instance, compute them when they are
/// read, and may hold themselves.
fn is_plain(value: &Value) -> bool {
    let of_others = ["alloc::", "core::", "indexmap::", "minijinja::", "std::"];
    value
        .as_object()
        .is_none_or(|object| of_others.iter().any(|start| object.type_name().starts_with(start)))
}

/// A copy whose lists and dictionaries can be changed, all the way down.
pub(crate) fn thaw(value: &Value) -> Value {
    let mutable = value.downcast_object_ref::<MutableList>().is_some()
        || value.downcast_object_ref::<MutableDict>().is_some();
    if mutable {
        return value.clone();
    }
    match view(value) {
        View::List => {
            let items = iterate(value).unwrap_or_default();
            Value::from_object(MutableList::new(items.iter().map(thaw).collect()))
        }
        View::Dict if is_dict(value) && is_plain(value) => {
            let pairs = pairs_of(value).into_iter().map(|(key, value)| (key, thaw(&value)));
            Value::from_object(MutableDict::new(pairs.collect()))
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like `hostvars`: reading it gives more of it, without an end.
    #[derive(Debug)]
    struct Endless;

    impl Object for Endless {
        fn repr(self: &Arc<Self>) -> ObjectRepr {
            ObjectRepr::Map
        }

        fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
            Some(Value::from_object(Endless))
        }

        fn enumerate(self: &Arc<Self>) -> Enumerator {
            Enumerator::Str(&["again"])
        }
    }

    #[test]
    fn what_is_computed_when_read_is_not_copied() {
        let endless = Value::from_object(Endless);
        let thawed = thaw(&endless);
        assert!(thawed.downcast_object_ref::<Endless>().is_some());
        let plain = crate::value::dict_value(Pairs::from_iter([(Value::from("a"), endless)]));
        let thawed = thaw(&plain);
        assert!(thawed.downcast_object_ref::<MutableDict>().is_some());
    }
}

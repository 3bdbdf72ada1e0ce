//! Names of commands and tenants: stored once, numbered in the order in which they come.

use std::hash::BuildHasherDefault;

use indexmap::IndexSet;
use rustc_hash::FxHasher;

/// The number of a name in its [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub u32);

/// Names by number and numbers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    set: IndexSet<Box<str>, BuildHasherDefault<FxHasher>>,
}

impl Names {
    /// The number of a name, a new one if it comes for the first time. `None`: there are more than
    /// four billion.
    pub fn number(&mut self, name: &str) -> Option<Name> {
        let index = match self.set.get_index_of(name) {
            Some(index) => index,
            None => self.set.insert_full(name.into()).0,
        };
        u32::try_from(index).ok().map(Name)
    }

    /// The name with this number.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&str> {
        self.set.get_index(usize::try_from(name.0).ok()?).map(|name| &**name)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// All, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.set.iter().map(|name| &**name)
    }
}

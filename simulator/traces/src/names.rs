//! Names of commands and tenants: stored once, numbered in the order in which they come.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use indexmap::{Equivalent, IndexSet};
use rustc_hash::FxHasher;

/// The number of a name in its [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub u32);

/// Names by number and numbers by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    set: IndexSet<Text, BuildHasherDefault<FxHasher>>,
}

/// A stored name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(Box<str>);

/// A name that is looked for: whether it is UTF-8 matters only when it is new.
struct Bytes<'a>(&'a [u8]);

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_bytes());
    }
}

impl Hash for Bytes<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl Equivalent<Text> for Bytes<'_> {
    fn equivalent(&self, stored: &Text) -> bool {
        self.0 == stored.0.as_bytes()
    }
}

/// Why a name gets no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// It isn't UTF-8.
    NotText,
    /// There are four billion names.
    TooMany,
}

impl Names {
    /// The number of a name, a new one if it comes for the first time. `None`: there are more than
    /// four billion.
    pub fn number(&mut self, name: &str) -> Option<Name> {
        self.number_of(name.as_bytes()).ok()
    }

    /// The same for bytes.
    pub(crate) fn number_of(&mut self, name: &[u8]) -> Result<Name, NoNumber> {
        let index = match self.set.get_index_of(&Bytes(name)) {
            Some(index) => index,
            None => {
                let name = std::str::from_utf8(name).map_err(|_| NoNumber::NotText)?;
                self.set.insert_full(Text(name.into())).0
            }
        };
        u32::try_from(index).map(Name).map_err(|_| NoNumber::TooMany)
    }

    /// The name with this number.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&str> {
        self.set.get_index(usize::try_from(name.0).ok()?).map(|name| &*name.0)
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
        self.set.iter().map(|name| &*name.0)
    }
}

//! Where in the play something happens: positions, ordered as Ansible walks the tree.
//! This file must never look at what stands at a position.

use std::fmt;
use std::sync::Arc;

/// A host of the batch, by its index in the batch's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostIndex(pub usize);

impl fmt::Display for HostIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "host {}", self.0)
    }
}

/// An expanded position in the task tree.
///
/// Positions are ordered lexicographically and a prefix comes before what it contains, so the
/// order of positions is the order in which Ansible's `linear` strategy walks the play: the tasks
/// of a block < its rescue < its always < what follows the block; an include < its children; a
/// flush point < its handlers < what follows. Equal positions on two hosts are the same task: two
/// files that one include expands to need numbers of their own (`include.child(file).child(task)`).
///
/// A clone costs a reference count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(Arc<[u32]>);

impl Position {
    /// The whole play; before every other position.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from([]))
    }

    /// The position of the child with this number.
    ///
    /// `child(0)` is also the least position after `self`.
    #[must_use]
    pub fn child(&self, number: u32) -> Self {
        Self(self.0.iter().copied().chain([number]).collect())
    }

    /// The numbers from the root down.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }
}

impl From<Vec<u32>> for Position {
    fn from(numbers: Vec<u32>) -> Self {
        Self(numbers.into())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return formatter.write_str("the start");
        };
        write!(formatter, "{first}")?;
        rest.iter().try_for_each(|number| write!(formatter, ".{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_comes_before_its_children_and_they_before_what_follows() {
        let block = Position::from(vec![2]);
        let following = Position::from(vec![3]);
        let body = block.child(0).child(7);
        let rescue = block.child(1).child(0);
        assert!(Position::root() < block && block < body && body < rescue && rescue < following);
        assert_eq!(block.child(0).to_string(), "2.0");
        assert_eq!(Position::root().to_string(), "the start");
    }
}

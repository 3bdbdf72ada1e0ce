//! The next place where a host may meet something that other hosts can observe.
//!
//! The dispatcher keeps a host from running ahead of a task that another host has yet to run.
//! For that it needs, for each step, the first such position ahead: after this step whatever its
//! outcome, and from where the host goes on if this step fails.

use std::collections::HashMap;
use std::sync::Arc;

use provision_plan::Position;
use provision_playbook::model::{Item, Task, TaskId};

use crate::cursor::{AfterFailure, Cursor, Entry, Items, Next};

/// Which tasks other hosts can observe; filled once a play.
#[derive(Debug, Default)]
pub struct Horizon {
    world: HashMap<TaskId, bool>,
    /// For each list: for each index the relative position of the first observable entry at or
    /// after it.
    lists: HashMap<(usize, u8), Arc<Vec<Option<Ahead>>>>,
    /// Lists whose addresses are keys above; they must not be freed and their address reused.
    keep: Vec<Items>,
}

/// An observable entry of a list: its index and the way down inside it.
#[derive(Debug, Clone)]
struct Ahead {
    index: usize,
    below: Vec<u32>,
}

impl Horizon {
    /// Records whether a task is observable (its run or its evaluation).
    pub fn classify(&mut self, task: TaskId, world: bool) {
        self.world.insert(task, world);
    }

    fn is_world(&self, task: &Task) -> bool {
        // A dynamic include may bring anything. Unknown tasks come with includes.
        task.include.is_some() || self.world.get(&task.id).copied().unwrap_or(true)
    }

    /// First observable position after the cursor's current entry, whatever its outcome.
    pub fn after(&mut self, cursor: &Cursor) -> Option<Position> {
        self.search(cursor, false)
    }

    /// First observable position from where the host goes on if the current entry fails.
    pub fn if_failed(&mut self, cursor: &Cursor) -> Option<Position> {
        let mut cursor = cursor.clone();
        match cursor.fail() {
            AfterFailure::Out => return None,
            AfterFailure::Rescue | AfterFailure::Always => {}
        }
        match cursor.find_next() {
            Next::End | Next::Failed => None,
            Next::Task { .. } | Next::Flush { .. } | Next::RoleEnd(_) => self.search(&cursor, true),
        }
    }

    fn search(&mut self, cursor: &Cursor, include_current: bool) -> Option<Position> {
        let frames = cursor.frames();
        for (depth, frame) in frames.iter().enumerate().rev() {
            let innermost = depth + 1 == frames.len();
            let from = frame.next + usize::from(!(innermost && include_current));
            if let Some(found) = self.first(&frame.items, &frame.prefix, from) {
                return Some(found);
            }
            let parent = depth.checked_sub(1).and_then(|depth| frames.get(depth));
            let Some(parent) = parent else { continue };
            let base = parent.items.position(&parent.prefix, parent.next);
            let later: &[(u32, Items)] = match &frame.items {
                Items::Block(block) => &[
                    (crate::cursor::PART_RESCUE, Items::Rescue(block.clone())),
                    (crate::cursor::PART_ALWAYS, Items::Always(block.clone())),
                ],
                Items::Rescue(block) => {
                    &[(crate::cursor::PART_ALWAYS, Items::Always(block.clone()))]
                }
                _ => &[],
            };
            for (part, items) in later {
                if let Some(found) = self.first(items, &base.child(*part), 0) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// First observable entry of a list at or after `from`.
    fn first(&mut self, items: &Items, prefix: &Position, from: usize) -> Option<Position> {
        let list = self.list(items);
        let ahead = list.get(from)?.as_ref()?;
        let mut position = items.position(prefix, ahead.index);
        for number in &ahead.below {
            position = position.child(*number);
        }
        Some(position)
    }

    fn list(&mut self, items: &Items) -> Arc<Vec<Option<Ahead>>> {
        if let Some(list) = self.lists.get(&items.address()) {
            return list.clone();
        }
        let mut list = vec![None; items.len()];
        let mut ahead: Option<Ahead> = None;
        for (index, slot) in list.iter_mut().enumerate().rev() {
            if let Some(below) = items.get(index).and_then(|entry| self.below(entry)) {
                ahead = Some(Ahead { index, below });
            }
            slot.clone_from(&ahead);
        }
        let list = Arc::new(list);
        self.lists.insert(items.address(), list.clone());
        self.keep.push(items.clone());
        list
    }

    /// The way down to the first observable task inside an entry; empty if it is the entry.
    fn below(&mut self, entry: Entry<'_>) -> Option<Vec<u32>> {
        match entry {
            Entry::Item(Item::Task(task)) => self.is_world(task).then(Vec::new),
            Entry::Handler(handler) => self.is_world(&handler.task).then(Vec::new),
            Entry::Item(Item::Flush) => Some(Vec::new()),
            Entry::Item(Item::RoleEnd(_)) => None,
            Entry::Expansion(expansion) => {
                self.below_list(&Items::Included(expansion.items.clone()))
            }
            Entry::Item(Item::Block(block)) => [
                (crate::cursor::PART_TASKS, Items::Block(block.clone())),
                (crate::cursor::PART_RESCUE, Items::Rescue(block.clone())),
                (crate::cursor::PART_ALWAYS, Items::Always(block.clone())),
            ]
            .into_iter()
            .find_map(|(part, items)| {
                self.below_list(&items).map(|below| [vec![part], below].concat())
            }),
        }
    }

    fn below_list(&mut self, items: &Items) -> Option<Vec<u32>> {
        let position = self.first(items, &Position::root(), 0)?;
        Some(position.numbers().to_vec())
    }
}

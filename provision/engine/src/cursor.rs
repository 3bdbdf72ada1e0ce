//! Where a host stands in the tree of a play: the next task, and what a failure leads to.
//!
//! A cursor is plain data that is cheap to copy: each step that is in flight keeps the cursor it
//! was taken from, so that a failure can rewind to it. It decides nothing about time.

use std::sync::Arc;

use provision_plan::Position;
use provision_playbook::model::{Block, Handler, Item, Play, RoleUse, Task};

use crate::variables::Layer;

/// Items that run one after another, wherever they come from.
#[derive(Debug, Clone)]
pub enum Items {
    /// The play's own items.
    Play(Arc<Play>),
    /// A block's tasks.
    Block(Arc<Block>),
    /// A block's rescue.
    Rescue(Arc<Block>),
    /// A block's always.
    Always(Arc<Block>),
    /// What a dynamic include expanded to: one entry an included file.
    Expansions(Arc<Vec<Expansion>>),
    /// The items of one included file.
    Included(Arc<Vec<Item>>),
    /// Handlers of a flush: definition index and handler.
    Handlers(Arc<Vec<(u32, Arc<Handler>)>>),
}

/// One included file (or role).
#[derive(Debug, Clone)]
pub struct Expansion {
    /// Index of the loop item and number of the file among those that any host includes here:
    /// two hosts that include the same file have the same position.
    pub number: [u32; 2],
    /// What it holds.
    pub items: Arc<Vec<Item>>,
    /// The include's variables and loop item.
    pub variables: Arc<Layer>,
}

/// One entry of [`Items`].
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// From a playbook.
    Item(&'a Item),
    /// A handler to run.
    Handler(&'a Arc<Handler>),
    /// An included file.
    Expansion(&'a Expansion),
}

impl Items {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Items::Play(play) => play.items.len(),
            Items::Block(block) => block.items.len(),
            Items::Rescue(block) => block.rescue.len(),
            Items::Always(block) => block.always.len(),
            Items::Expansions(expansions) => expansions.len(),
            Items::Included(items) => items.len(),
            Items::Handlers(handlers) => handlers.len(),
        }
    }

    /// The entry at an index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Entry<'_>> {
        match self {
            Items::Play(play) => play.items.get(index).map(Entry::Item),
            Items::Block(block) => block.items.get(index).map(Entry::Item),
            Items::Rescue(block) => block.rescue.get(index).map(Entry::Item),
            Items::Always(block) => block.always.get(index).map(Entry::Item),
            Items::Expansions(expansions) => expansions.get(index).map(Entry::Expansion),
            Items::Included(items) => items.get(index).map(Entry::Item),
            Items::Handlers(handlers) => {
                handlers.get(index).map(|(_, handler)| Entry::Handler(handler))
            }
        }
    }

    /// The position of an entry. Handlers keep their definition index, so that the same handler
    /// has the same position on all hosts.
    #[must_use]
    pub fn position(&self, prefix: &Position, index: usize) -> Position {
        let plain = || prefix.child(u32::try_from(index).unwrap_or(u32::MAX));
        match self {
            Items::Handlers(handlers) => {
                handlers.get(index).map_or_else(plain, |(number, _)| prefix.child(*number))
            }
            Items::Expansions(expansions) => {
                expansions.get(index).map_or_else(plain, |expansion| {
                    let [item, file] = expansion.number;
                    prefix.child(item).child(file)
                })
            }
            _ => plain(),
        }
    }

    /// Address that identifies the list while it lives; key of caches.
    #[must_use]
    pub fn address(&self) -> (usize, u8) {
        match self {
            Items::Play(play) => (Arc::as_ptr(play) as usize, 0),
            Items::Block(block) => (Arc::as_ptr(block) as usize, 1),
            Items::Rescue(block) => (Arc::as_ptr(block) as usize, 2),
            Items::Always(block) => (Arc::as_ptr(block) as usize, 3),
            Items::Included(items) => (Arc::as_ptr(items) as usize, 4),
            Items::Handlers(handlers) => (Arc::as_ptr(handlers) as usize, 5),
            Items::Expansions(expansions) => (Arc::as_ptr(expansions) as usize, 6),
        }
    }
}

/// Numbers of a block's parts within its position.
pub const PART_TASKS: u32 = 0;
/// See [`PART_TASKS`].
pub const PART_RESCUE: u32 = 1;
/// See [`PART_TASKS`].
pub const PART_ALWAYS: u32 = 2;

/// One level of the cursor.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What runs at this level.
    pub items: Items,
    /// Position of the list; entry `i` is at `prefix.child(number(i))`.
    pub prefix: Position,
    /// Next entry.
    pub next: usize,
    /// Variables that a dynamic include brought in (its `vars`, its loop item).
    pub variables: Option<Arc<Layer>>,
    /// In `always` (or later): a failure that goes on after it.
    pub failed: bool,
}

/// Where a host stands.
#[derive(Debug, Clone)]
pub struct Cursor {
    frames: Vec<Frame>,
}

/// What is next.
#[derive(Debug, Clone)]
pub enum Next {
    /// A task (or handler).
    Task {
        /// Where.
        position: Position,
        /// Which.
        task: Arc<Task>,
        /// Whether it is a handler.
        handler: bool,
    },
    /// A flush of handlers between sections.
    Flush {
        /// Where.
        position: Position,
    },
    /// A role's tasks are over; nothing runs.
    RoleEnd(Arc<RoleUse>),
    /// Nothing more.
    End,
    /// Nothing more, because of a failure that no rescue took.
    Failed,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// A rescue begins; the failure counts as rescued.
    Rescue,
    /// An always begins; the failure goes on after it.
    Always,
    /// The host is out.
    Out,
}

impl Cursor {
    /// At the beginning of a play.
    #[must_use]
    pub fn at_start(play: &Arc<Play>) -> Self {
        Cursor {
            frames: vec![Frame {
                items: Items::Play(play.clone()),
                prefix: Position::root(),
                next: 0,
                variables: None,
                failed: false,
            }],
        }
    }

    /// The levels, outermost first.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Whether the current entry is a flush of the play before which nothing but fact gathering
    /// stands.
    #[must_use]
    pub fn is_at_first_flush(&self) -> bool {
        let [frame] = self.frames.as_slice() else { return false };
        (0..frame.next).all(|index| match frame.items.get(index) {
            Some(Entry::Item(Item::Flush)) => true,
            Some(Entry::Item(Item::Task(task))) => index == 0 && task.module.name == "setup",
            _ => false,
        })
    }

    /// Whether handlers are being run.
    #[must_use]
    pub fn is_in_flush(&self) -> bool {
        self.frames.iter().any(|frame| matches!(frame.items, Items::Handlers(_)))
    }

    /// Goes down into blocks and up out of finished lists until something is to be done; does
    /// not move past it.
    pub fn find_next(&mut self) -> Next {
        loop {
            let Some(frame) = self.frames.last() else { return Next::End };
            let position = frame.items.position(&frame.prefix, frame.next);
            let deeper = match frame.items.get(frame.next) {
                None => {
                    if let Some(end) = self.leave() {
                        return end;
                    }
                    continue;
                }
                Some(Entry::Handler(handler)) => {
                    return Next::Task { position, task: handler.task.clone(), handler: true };
                }
                Some(Entry::Item(Item::Task(task))) => {
                    let handler = self.is_in_flush();
                    return Next::Task { position, task: task.clone(), handler };
                }
                Some(Entry::Item(Item::Flush)) => return Next::Flush { position },
                Some(Entry::Item(Item::RoleEnd(role))) => return Next::RoleEnd(role.clone()),
                Some(Entry::Item(Item::Block(block))) => Frame {
                    items: Items::Block(block.clone()),
                    prefix: position.child(PART_TASKS),
                    next: 0,
                    variables: None,
                    failed: false,
                },
                Some(Entry::Expansion(expansion)) => Frame {
                    items: Items::Included(expansion.items.clone()),
                    prefix: position,
                    next: 0,
                    variables: Some(expansion.variables.clone()),
                    failed: false,
                },
            };
            self.frames.push(deeper);
        }
    }

    /// Leaves a list that is finished. `Some` when that is the end of the play.
    fn leave(&mut self) -> Option<Next> {
        let frame = self.frames.pop()?;
        match &frame.items {
            Items::Block(block) | Items::Rescue(block) if !block.always.is_empty() => {
                let always = self.part(Items::Always(block.clone()), PART_ALWAYS, frame.failed);
                self.frames.push(always);
                None
            }
            _ if frame.failed => match self.fail() {
                AfterFailure::Out => Some(Next::Failed),
                AfterFailure::Rescue | AfterFailure::Always => None,
            },
            _ => match self.frames.last_mut() {
                Some(parent) => {
                    parent.next += 1;
                    None
                }
                None => Some(Next::End),
            },
        }
    }

    /// A frame for another part of the block that the (already popped) frame belonged to.
    fn part(&self, items: Items, part: u32, failed: bool) -> Frame {
        let prefix = match self.frames.last() {
            Some(parent) => parent.items.position(&parent.prefix, parent.next).child(part),
            None => Position::root().child(part),
        };
        Frame { items, prefix, next: 0, variables: None, failed }
    }

    /// The handler at the current entry, or the one that included it: its definition index, and
    /// whether the entry is the handler itself.
    #[must_use]
    pub fn handler(&self) -> Option<(u32, bool)> {
        let at = self.frames.iter().rposition(|it| matches!(it.items, Items::Handlers(_)))?;
        let frame = self.frames.get(at)?;
        let Items::Handlers(handlers) = &frame.items else { return None };
        let (number, _) = handlers.get(frame.next)?;
        Some((*number, at + 1 == self.frames.len()))
    }

    /// Moves past the current entry.
    pub fn advance(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.next += 1;
        }
    }

    /// Goes into what a dynamic include (the current entry) expanded to, or into the handlers of
    /// a flush; afterwards the current entry counts as done.
    pub fn enter(&mut self, items: Items, prefix: Position) {
        self.frames.push(Frame { items, prefix, next: 0, variables: None, failed: false });
    }

    /// Takes back that something failed: `meta: clear_host_errors` in an `always`.
    pub fn forgive(&mut self) {
        for frame in &mut self.frames {
            frame.failed = false;
        }
    }

    /// Another host failed for all of them (`any_errors_fatal`): finds who takes the failure here.
    /// A host that has come to the beginning of an `always` runs that.
    pub fn fail_with_others(&mut self) -> AfterFailure {
        if let Some(frame) = self.frames.last_mut()
            && matches!(frame.items, Items::Always(_))
            && frame.next == 0
        {
            frame.failed = true;
            return AfterFailure::Always;
        }
        self.fail()
    }

    /// The current task failed for good: finds who takes the failure.
    pub fn fail(&mut self) -> AfterFailure {
        while let Some(frame) = self.frames.pop() {
            match &frame.items {
                Items::Block(block) if !block.rescue.is_empty() => {
                    let rescue = self.part(Items::Rescue(block.clone()), PART_RESCUE, false);
                    self.frames.push(rescue);
                    return AfterFailure::Rescue;
                }
                Items::Block(block) | Items::Rescue(block) if !block.always.is_empty() => {
                    let always = self.part(Items::Always(block.clone()), PART_ALWAYS, true);
                    self.frames.push(always);
                    return AfterFailure::Always;
                }
                _ => {}
            }
        }
        AfterFailure::Out
    }

    /// Leaves everything: `meta: end_host` and the like.
    pub fn end(&mut self) {
        self.frames.clear();
    }

    /// Leaves the innermost include of a role (`meta: end_role`).
    pub fn end_role(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            if let Some(end) = (frame.next..frame.items.len()).find(|index| {
                matches!(frame.items.get(*index), Some(Entry::Item(Item::RoleEnd(_))))
            }) {
                frame.next = end;
                return;
            }
            if self.frames.len() == 1 {
                return;
            }
            self.frames.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use provision_playbook::files::MapFiles;
    use provision_playbook::{LoadOptions, Loader};

    use super::*;

    #[test]
    fn a_task_that_a_handler_included_is_no_handler() {
        let text = "- hosts: all\n  tasks:\n    - ping:\n  handlers:\n    - name: a\n      ping:\n    \
                    - name: b\n      ping:\n";
        let files = BTreeMap::from([(PathBuf::from("site.yml"), text.to_owned())]);
        let mut loader = Loader::new(Arc::new(MapFiles::new(files)), LoadOptions::default());
        let (playbook, found) = loader.playbook(Path::new("site.yml"));
        assert!(found.is_empty());
        let play = Arc::new(playbook.plays.into_iter().next().unwrap());
        let mut cursor = Cursor::at_start(&play);
        assert_eq!(cursor.handler(), None);
        let second = (1, play.handlers[1].clone());
        cursor.enter(Items::Handlers(Arc::new(vec![second])), Position::root().child(0));
        assert_eq!(cursor.handler(), Some((1, true)));
        cursor.enter(Items::Included(Arc::new(play.items.clone())), Position::root().child(1));
        assert_eq!(cursor.handler(), Some((1, false)));
    }
}

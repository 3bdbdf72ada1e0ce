//! Handlers: tasks that run when notified.

use std::sync::Arc;

use diagnostics::Diagnostic;
use yaml::Node;

use crate::loader::{Loader, Surroundings};
use crate::model::{Block, Handler, Item};

impl Loader {
    /// The handlers of a list.
    pub(super) fn handler_list(&mut self, list: &Node, around: &Surroundings) -> Vec<Arc<Handler>> {
        let around = Surroundings { handlers: true, ..around.clone() };
        let items = self.items(list, &around);
        self.handlers_of(items)
    }

    /// Handlers out of items. A block among handlers only hands on its keywords.
    pub(super) fn handlers_of(&mut self, items: Vec<Item>) -> Vec<Arc<Handler>> {
        let mut handlers = Vec::new();
        for item in items {
            match item {
                Item::Task(task) => handlers.push(self.handler(task)),
                Item::Block(block) => self.handlers_of_block(&block, &mut handlers),
                Item::Flush | Item::RoleEnd(_) => {}
            }
        }
        handlers
    }

    fn handlers_of_block(&mut self, block: &Block, handlers: &mut Vec<Arc<Handler>>) {
        if !block.rescue.is_empty() || !block.always.is_empty() {
            self.report(
                Diagnostic::error("rescue-in-handlers", "handlers can't be rescued")
                    .at(block.span, "a block among handlers only hands on its keywords")
                    .hint("notify a handler that includes a file with the block"),
            );
        }
        for item in &block.items {
            match item {
                Item::Task(task) => handlers.push(self.handler(Arc::clone(task))),
                Item::Block(inner) => self.report(
                    Diagnostic::error(
                        "block-as-handler",
                        "Using a block as a handler is not supported.",
                    )
                    .at(inner.span, "a block inside of a block of handlers")
                    .hint("move its tasks into a file and use `include_tasks` as the handler"),
                ),
                Item::Flush | Item::RoleEnd(_) => {}
            }
        }
    }

    fn handler(&self, task: Arc<crate::model::Task>) -> Arc<Handler> {
        let listen = self.listens.get(&task.id).cloned().unwrap_or_default();
        Arc::new(Handler { task, listen })
    }
}

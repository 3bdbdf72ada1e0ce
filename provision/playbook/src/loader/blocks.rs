//! Lists of tasks and blocks.

use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use yaml::{Mapping, Node, NodeValue};

use crate::keywords::Places;
use crate::loader::{DEPTH_MOST, Loader, Surroundings, present};
use crate::model::{Block, Context, Item, Level};

impl Loader {
    /// The items of a list of tasks and blocks.
    pub(super) fn items(&mut self, list: &Node, around: &Surroundings) -> Vec<Item> {
        let mut items = Vec::new();
        if around.depth > DEPTH_MOST {
            self.report(
                Diagnostic::error("too-deep", "blocks and imports are nested too deeply")
                    .at(list.span.slice(0, 0), format!("over {DEPTH_MOST} levels")),
            );
            return items;
        }
        for node in list.as_sequence().unwrap_or_default() {
            if !self.enter(node.span) {
                break;
            }
            items.extend(self.item(node, around));
        }
        items
    }

    /// What one entry of a list of tasks becomes: nothing, itself, or what it imports.
    fn item(&mut self, node: &Node, around: &Surroundings) -> Vec<Item> {
        match &node.value {
            NodeValue::Mapping(mapping) if is_block(mapping) => {
                self.block(node, mapping, around).map(Item::Block).into_iter().collect()
            }
            NodeValue::Mapping(mapping) => self.task_items(node, mapping, around),
            NodeValue::Null => {
                self.report(
                    Diagnostic::warning("empty-task", "there is nothing in this list entry")
                        .at(node.span, "an empty task")
                        .hint("remove the `-`, or fix the indentation of what follows"),
                );
                Vec::new()
            }
            _ => {
                let hint = match node.as_str() {
                    Some(text) if text.contains('=') => "a module's name is followed by `: `",
                    _ => "a task is a mapping: `- module: arguments`",
                };
                self.report(
                    Diagnostic::error(
                        "not-a-task",
                        format!("a task is a mapping, not {}", node.kind()),
                    )
                    .at(node.span, "expected a task")
                    .hint(hint),
                );
                Vec::new()
            }
        }
    }

    fn block(
        &mut self,
        node: &Node,
        mapping: &Mapping,
        around: &Surroundings,
    ) -> Option<Arc<Block>> {
        self.check_keywords(mapping, Places::BLOCK, |_| false);
        self.check_block(mapping);
        let inside = self.inside_block(mapping, around);
        let rescued = inside.rescued || present(mapping, "rescue").is_some();
        let tried = Surroundings { rescued, ..inside.clone() };
        let mut section = |name: &str, around: &Surroundings| match present(mapping, name) {
            Some(list) => self.items(list, around),
            None => Vec::new(),
        };
        let items = section("block", &tried);
        let (rescue, always) = (section("rescue", &inside), section("always", &inside));
        Some(Arc::new(Block {
            context: Arc::clone(&inside.context),
            name: present(mapping, "name").cloned(),
            span: head(node, mapping),
            items,
            rescue,
            always,
        }))
    }

    /// The surroundings of what stands in a block.
    pub(super) fn inside_block(
        &mut self,
        mapping: &Mapping,
        around: &Surroundings,
    ) -> Surroundings {
        let directives = self.directives(mapping, around);
        let context = Context::inside(&around.context, Level::Block, directives);
        Surroundings { context: Arc::new(context), depth: around.depth + 1, ..around.clone() }
    }

    fn check_block(&mut self, mapping: &Mapping) {
        if present(mapping, "block").is_some() {
            return;
        }
        let first = mapping.get_entry("rescue").or_else(|| mapping.get_entry("always"));
        if let Some((key, _)) = first {
            self.report(
                Diagnostic::error("block-without-tasks", "there is no `block` to rescue")
                    .at(key.span, "needs `block:` beside it"),
            );
        }
    }
}

/// Whether a mapping in a list of tasks is a block.
pub(super) fn is_block(mapping: &Mapping) -> bool {
    ["block", "rescue", "always"].iter().any(|key| mapping.get(key).is_some())
}

/// Where a mapping begins: its first key and the value beside it.
pub(super) fn head(node: &Node, mapping: &Mapping) -> Span {
    mapping.entries.first().map_or(node.span, |(key, _)| key.span)
}

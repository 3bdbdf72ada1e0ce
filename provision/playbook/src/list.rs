//! What `--list-tasks` and `--list-tags` show.

use std::collections::BTreeSet;

use crate::model::{Item, Play, Task};
use crate::select::selected;

/// A task as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTask {
    /// The role's name, a colon and the task's name, as Ansible writes it.
    pub title: String,
    /// Whether the task has a name of its own.
    pub is_named: bool,
    /// Its module as written.
    pub action: String,
    /// All tags, sorted, each once.
    pub tags: Vec<String>,
}

/// The tasks of a play that the given tags select, without handlers and dynamic includes'
/// contents.
#[must_use]
pub fn tasks_of(play: &Play, only: &[String], skip: &[String]) -> Vec<ListedTask> {
    let mut listed = Vec::new();
    collect(&play.items, &mut |task| {
        if selected(&task.context.tags(), only, skip) {
            let tags: BTreeSet<&str> = task.context.tags().into_iter().collect();
            let tags = tags.into_iter().map(str::to_owned).collect();
            let is_named = task.name.is_some();
            let action = task.module_written.clone();
            listed.push(ListedTask { title: title(task), is_named, action, tags });
        }
    });
    listed
}

/// All tags of a play's tasks, sorted, each once.
#[must_use]
pub fn tags_of(play: &Play, only: &[String], skip: &[String]) -> Vec<String> {
    let tasks = tasks_of(play, only, skip);
    let tags: BTreeSet<String> = tasks.into_iter().flat_map(|task| task.tags).collect();
    tags.into_iter().collect()
}

/// The title of a task: its name or module, with its role before it.
#[must_use]
pub fn title(task: &Task) -> String {
    let own = task.name.as_ref().and_then(|name| name.as_str());
    let own = own.unwrap_or(&task.module_written);
    match task.context.role() {
        Some(role) => format!("{} : {own}", role.role.name),
        None => own.to_owned(),
    }
}

fn collect<'a>(items: &'a [Item], visit: &mut impl FnMut(&'a Task)) {
    for item in items {
        match item {
            Item::Task(task) => visit(task),
            Item::Block(block) => {
                collect(&block.items, visit);
                collect(&block.rescue, visit);
                collect(&block.always, visit);
            }
            Item::Flush | Item::RoleEnd(_) => {}
        }
    }
}

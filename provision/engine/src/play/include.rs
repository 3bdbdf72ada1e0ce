//! Dynamic includes: what a file or role brings in, where it stands in the play.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use diagnostics::{Diagnostic, Style, render_all};
use provision_plan::{HostIndex, Position};
use provision_playbook::files::Files;
use provision_playbook::model::{Include, Item, Strategy, Task, TaskId};
use provision_playbook::{IncludeManner, RoleFiles};
use serde_json::Value as Json;
use yaml::Node;

use super::PlayRun;
use super::flight::Ended;
use super::results::{ItemResults, hide, name_item};
use crate::cursor::{Entry, Expansion, Items};
use crate::evaluate::{Evaluator, ItemStep, Stop, conditions};
use crate::event::Status;
use crate::variables::Layer;

/// What has been included so far in a play.
#[derive(Default)]
pub struct Includes {
    /// Items of a file or role included by a task. Loaded once: equal positions are equal tasks.
    loaded: HashMap<(TaskId, String), Arc<Vec<Item>>>,
    /// Numbers of the files at a position and loop item.
    numbers: BTreeMap<(Position, u32), Vec<String>>,
}

impl Includes {
    fn number(&mut self, position: &Position, item: u32, name: &str) -> u32 {
        let names = self.numbers.entry((position.clone(), item)).or_default();
        let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

/// What is wrong with a file of tasks only because a handler includes it.
const NO_HANDLERS: &[&str] = &["block-as-handler", "role-as-handler", "flush-as-handler"];

/// All tasks at or below an entry.
pub(super) fn collect_tasks(entry: Entry<'_>, tasks: &mut Vec<Arc<Task>>) {
    match entry {
        Entry::Item(Item::Task(task)) => tasks.push(task.clone()),
        Entry::Handler(handler) => tasks.push(handler.task.clone()),
        Entry::Item(Item::Block(block)) => {
            for item in block.items.iter().chain(&block.rescue).chain(&block.always) {
                collect_tasks(Entry::Item(item), tasks);
            }
        }
        Entry::Expansion(expansion) => {
            for item in expansion.items.iter() {
                collect_tasks(Entry::Item(item), tasks);
            }
        }
        Entry::Item(Item::Flush | Item::RoleEnd(_)) => {}
    }
}

impl PlayRun<'_> {
    /// Expands an include. `Ok(false)`: results are awaited.
    pub(super) fn include(
        &mut self,
        index: HostIndex,
        position: &Position,
        task: &Arc<Task>,
    ) -> Result<bool, Stop> {
        let evaluator = self.evaluator(index, task);
        let conditions = conditions(&task.context);
        let Some(repeat) = &task.repeat else {
            if let Some(condition) = first_false(&evaluator, &conditions)? {
                self.pass_include_skipped(index, task, condition, Vec::new());
                return Ok(true);
            }
            let (name, expansion) = self.expand(position, task, &evaluator, 0, Layer::default())?;
            let ended = Ended::local(Status::Ok, included(&name), None, task);
            self.enter(index, position, task, ended, vec![expansion]);
            return Ok(true);
        };
        let mut expansions = Vec::new();
        let mut items = Vec::new();
        let loop_items = match evaluator.loop_items(repeat) {
            Ok(loop_items) => loop_items,
            Err(stop @ Stop::Pending(_)) => return Err(stop),
            // What doesn't run needs no items.
            Err(stop) => match first_false(&evaluator, &conditions) {
                Ok(Some(condition)) => {
                    self.pass_include_skipped(index, task, condition, Vec::new());
                    return Ok(true);
                }
                Ok(None) | Err(Stop::Failed(_)) => return Err(stop),
                Err(pending) => return Err(pending),
            },
        };
        for (number, item) in loop_items.into_iter().enumerate() {
            let mut view = evaluator.view.clone();
            view.local.add(&item.layer);
            let inner = Evaluator::new(task, view);
            if let Some(condition) = first_false(&inner, &conditions)? {
                let mut result = super::step::skipped(&ItemStep::Skip { condition });
                name_item(&mut result, Some(&item));
                items.push((Status::Skipped, item.label, result, 0));
                if super::break_when::breaks_at(&inner, repeat)? {
                    break;
                }
                continue;
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let (name, expansion) =
                self.expand(position, task, &inner, number, item.layer.clone())?;
            expansions.push(expansion);
            let mut result = included(&name);
            name_item(&mut result, Some(&item));
            items.push((Status::Ok, item.label, result, 0));
            if super::break_when::breaks_at(&inner, repeat)? {
                break;
            }
        }
        if expansions.is_empty() {
            self.pass_include_skipped(index, task, "no items in the list".to_owned(), items);
            return Ok(true);
        }
        let results = items.iter().map(|(_, _, result, _)| Json::Object(result.clone()));
        let mut result = provision_protocol::Object::new();
        result.insert("changed".into(), false.into());
        result.insert("results".into(), results.collect());
        let mut ended = Ended { items, ..Ended::local(Status::Ok, result, None, task) };
        self.hide_if_asked(index, task, &mut ended);
        self.enter(index, position, task, ended, expansions);
        Ok(true)
    }

    /// `no_log` of an include hides the items of its loop.
    fn hide_if_asked(&self, index: HostIndex, task: &Task, ended: &mut Ended) {
        if self.evaluator(index, task).keywords_of_failed().no_log {
            hide(ended);
        }
    }

    fn pass_include_skipped(
        &mut self,
        index: HostIndex,
        task: &Arc<Task>,
        condition: String,
        items: ItemResults,
    ) {
        let mut result = provision_protocol::Object::new();
        result.insert("changed".into(), false.into());
        result.insert("skipped".into(), true.into());
        result.insert("skip_reason".into(), "Conditional result was False".into());
        result.insert("false_condition".into(), super::step::written(&condition));
        let ended = Ended::local(Status::Skipped, result, Some(condition), task);
        let mut ended = Ended { items, ..ended };
        self.hide_if_asked(index, task, &mut ended);
        if let Some(ahead) = self.host(index).and_then(|host| host.ahead.clone()) {
            self.handler_runs(index, &ahead.position, false);
        }
        self.pass(index, task, ended);
    }

    fn enter(
        &mut self,
        index: HostIndex,
        position: &Position,
        task: &Arc<Task>,
        ended: Ended,
        expansions: Vec<Expansion>,
    ) {
        self.handler_runs(index, position, false);
        // Included once, its tasks are those of one host.
        let once = self.shared.reaches.classify(&self.shared.world, task).once;
        let others: Vec<HostIndex> = match once && self.state.play.strategy == Strategy::Linear {
            true => self.dispatcher.announced_at(position).filter(|it| *it != index).collect(),
            false => Vec::new(),
        };
        // Ansible counts each included file or role as a task that went well.
        let more = u64::try_from(expansions.len().saturating_sub(1)).unwrap_or(0);
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        self.shared.report.recap_of(&host.variables.name).ok += more;
        host.ahead = None;
        let token = host.next_token;
        host.next_token += 1;
        host.passes.push_back(super::Pass {
            position: position.clone(),
            token,
            effect: Some(ended),
            completes: Vec::new(),
        });
        host.cursor.enter(Items::Expansions(Arc::new(expansions)), position.clone());
        self.passed(index);
        for other in others {
            self.handler_runs(other, position, false);
            self.pass_silently(other);
            self.wake(other);
        }
    }

    fn expand(
        &mut self,
        position: &Position,
        task: &Arc<Task>,
        evaluator: &Evaluator<'_>,
        item: u32,
        layer: Layer,
    ) -> Result<(String, Expansion), Stop> {
        let Some(include) = &task.include else { return Err(Stop::failed("not an include")) };
        let (shown, name, items) = match include {
            Include::Tasks { file, .. } => {
                let written = provision_template::text_of(&evaluator.value(file)?);
                let path = self.tasks_file(task, &written)?;
                let shown = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
                let name = path.display().to_string();
                (shown.display().to_string(), name, self.load_tasks(task, &path)?)
            }
            Include::Role {
                name,
                tasks_from,
                vars_from,
                defaults_from,
                handlers_from,
                public,
                allow_duplicates,
                validates,
                ..
            } => {
                let optional = |node: &Option<Node>| -> Result<Option<String>, Stop> {
                    let Some(node) = node else { return Ok(None) };
                    let value = evaluator.value(node)?;
                    let is_left_out = provision_template::is_omit(&value);
                    Ok((!is_left_out).then(|| provision_template::text_of(&value)))
                };
                let role = provision_template::text_of(&evaluator.value(name)?);
                let from = RoleFiles {
                    tasks: optional(tasks_from)?,
                    vars: optional(vars_from)?,
                    defaults: optional(defaults_from)?,
                    handlers: optional(handlers_from)?,
                };
                let customs = &self.shared.world.settings.customs;
                let public = evaluator.flag(public.as_ref(), customs.shares_included_roles)?;
                let manner = IncludeManner {
                    allow_duplicates: evaluator.flag(allow_duplicates.as_ref(), true)?,
                    validates: evaluator.flag(validates.as_ref(), true)?,
                };
                let items = self.load_role(task, &role, &from, (public, manner))?;
                let name = format!("{role} {from:?}");
                (role, name, items)
            }
        };
        let number = self.includes.number(position, item, &name);
        Ok((shown, Expansion { number: [item, number], items, variables: Arc::new(layer) }))
    }

    /// Where a file of tasks is: beside the including file, in the role, beside the playbook.
    fn tasks_file(&self, task: &Task, written: &str) -> Result<PathBuf, Stop> {
        let files = &self.shared.world.files;
        let mut tried = Vec::new();
        let mut folders = vec![task.folder.clone()];
        if let Some(role) = task.context.role() {
            folders.push(role.role.folder.join("tasks"));
            folders.push(role.role.folder.clone());
        }
        folders.push(self.shared.world.settings.playbook_folder.join("tasks"));
        folders.push(self.shared.world.settings.playbook_folder.clone());
        for folder in folders {
            let path = folder.join(written);
            if files.kind(&path).is_some() {
                return Ok(path);
            }
            tried.push(path);
        }
        Err(Stop::failed(crate::outside::not_found(written, &tried)))
    }

    fn load_tasks(&mut self, task: &Arc<Task>, path: &Path) -> Result<Arc<Vec<Item>>, Stop> {
        let key = (task.id, path.display().to_string());
        if let Some(items) = self.includes.loaded.get(&key) {
            return Ok(items.clone());
        }
        let loader = self.shared.loader.clone();
        let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
        let is_handler = self.handlers.iter().any(|handler| Arc::ptr_eq(&handler.task, task));
        if is_handler {
            let tried = loader.handlers(path, &task.included_context());
            let wrong = tried.err().unwrap_or_default();
            // What it imports counts when it is loaded for good.
            loader.take_imported();
            if let Some(first) = wrong.iter().find(|one| NO_HANDLERS.contains(&one.code)) {
                // As in Ansible it ends the run for all.
                self.shared.error.get_or_insert(first.message.clone());
                self.shared.interrupts = self.shared.interrupts.max(1);
                return Err(explain(&wrong, loader.sources()));
            }
        }
        let items = match loader.tasks(path, &task.included_context()) {
            Ok(items) => Arc::new(items),
            Err(diagnostics) => {
                // As in Ansible it ends the run for all: no rescue mends a file.
                let shown = render_all(&diagnostics, loader.sources(), Style::Plain);
                let message = format!("an included file can't be used\n{shown}");
                self.shared.error.get_or_insert(message);
                self.shared.interrupts = self.shared.interrupts.max(1);
                return Err(explain(&diagnostics, loader.sources()));
            }
        };
        let (handlers, roles) = loader.take_imported();
        drop(loader);
        self.handlers.extend(handlers);
        roles.into_iter().for_each(|role| self.state.publish_role(role));
        self.classify_all(&items);
        self.includes.loaded.insert(key, items.clone());
        Ok(items)
    }

    fn load_role(
        &mut self,
        task: &Arc<Task>,
        role: &str,
        from: &RoleFiles,
        (public, manner): (bool, IncludeManner),
    ) -> Result<Arc<Vec<Item>>, Stop> {
        let key = (task.id, format!("{role} {from:?}"));
        if let Some(items) = self.includes.loaded.get(&key) {
            return Ok(items.clone());
        }
        let loader = self.shared.loader.clone();
        let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
        let context = task.included_context();
        let included = loader.include_role(role, from, &context, task.span, manner);
        let included = match included {
            Ok(included) => included,
            Err(diagnostics) => return Err(explain(&diagnostics, loader.sources())),
        };
        // Roles that its tasks import bring their handlers, too.
        let (handlers, roles) = loader.take_imported();
        drop(loader);
        self.handlers.extend(included.handlers);
        self.handlers.extend(handlers);
        roles.into_iter().for_each(|role| self.state.publish_role(role));
        self.shared.reaches.define(&included.role_use.role.vars);
        self.shared.reaches.define(&included.role_use.role.defaults);
        if public {
            self.state.publish_role(included.role_use.clone());
        }
        let items = Arc::new(included.items);
        self.classify_all(&items);
        self.includes.loaded.insert(key, items.clone());
        Ok(items)
    }
}

/// What an include says of itself, as Ansible's does.
fn included(name: &str) -> provision_protocol::Object {
    let mut result = provision_protocol::Object::new();
    result.insert("changed".into(), false.into());
    result.insert("include".into(), name.into());
    result
}

fn first_false(evaluator: &Evaluator<'_>, conditions: &[&Node]) -> Result<Option<String>, Stop> {
    for condition in conditions {
        if !evaluator.condition(condition)? {
            return Ok(Some(condition.as_str().unwrap_or("false").to_owned()));
        }
    }
    Ok(None)
}

/// Static errors of an included file, as the message of the failed include.
fn explain(diagnostics: &[Diagnostic], sources: &diagnostics::Sources) -> Stop {
    Stop::failed(render_all(diagnostics, sources, Style::Plain))
}

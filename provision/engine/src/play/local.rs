//! Modules that the controller carries out by itself.
//!
//! Most of them only compute: their effects wait, like those of a skipped task, until nothing
//! sent before can fail any more. Those that act on the world wait for their turn first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision_plan::{HostIndex, Position};
use provision_playbook::model::Task;
use provision_protocol::Object;
use provision_protocol::modules::ModuleScope;
use provision_template::{Dialect, TemplateError, Value};
use serde_json::Value as Json;

use super::PlayRun;
use super::flight::Ended;
use super::results::{hide, name_item};
use crate::evaluate::{Evaluator, ItemStep, LoopItem, Plan, Stop};
use crate::event::Status;
use crate::variables::Layer;

/// What a controller module sets: names, variables of files, facts and their owners.
type Effects = (Vec<(String, Value)>, Option<Layer>, Vec<(Option<String>, Object)>);

/// What a controller module did for one item.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) result: Object,
    sets: Vec<(String, Value)>,
    pub(super) include: Option<Layer>,
    facts: Option<Object>,
    shown: Option<String>,
}

impl Done {
    pub(super) fn with(name: &str, value: impl Into<Json>) -> Self {
        let mut done = Done::default();
        done.result.insert(name.to_owned(), value.into());
        done
    }
}

impl Ended {
    /// The end of something that ran on the controller.
    pub(super) fn local(
        status: Status,
        result: Object,
        message: Option<String>,
        task: &Task,
    ) -> Self {
        Ended {
            status,
            result,
            items: Vec::new(),
            message,
            register: task.register.as_ref().map(|(name, _)| name.clone()),
            sets: Vec::new(),
            include: None,
            facts: Vec::new(),
            diff: Vec::new(),
            delegate: None,
            duration_us: 0,
            notify: false,
            is_written: super::flight::is_written(task),
        }
    }
}

impl PlayRun<'_> {
    /// Runs a controller module. `Ok(false)`: its turn has not come.
    pub(super) fn run_local(
        &mut self,
        index: HostIndex,
        position: &Position,
        task: &Arc<Task>,
        plan: &Plan,
    ) -> Result<bool, Stop> {
        let idle = self.host(index).is_some_and(|host| host.flights.is_empty());
        let pause = self.pause_of(index, task);
        let acts = task.module.scope == ModuleScope::World
            || matches!(task.module.name, "meta" | "include_vars")
            || self.shared.reaches.classify(&self.shared.world, task).once
            || task.until.is_some()
            || plan.keywords.delegate_facts
            // Where one failure ends the play for all, nobody may be ahead of it.
            || plan.keywords.any_errors_fatal
            || self.state.play.max_fail_percentage.is_some()
            || !pause.is_zero()
            || super::break_when::breaks(task);
        if acts && !(idle && self.dispatcher.may_send(index).is_go()) {
            return Ok(false);
        }
        if task.module.name == "meta" {
            // One that is a handler is not notified any more.
            self.handler_runs(index, position, false);
            return self.meta(index, position, task, plan);
        }
        let mut results: Vec<Option<(Object, u64)>> = Vec::new();
        let mut sets = Vec::new();
        let mut delegated = Vec::new();
        let mut include: Option<Layer> = None;
        let mut facts = Vec::new();
        let mut shown = None;
        let mut plan = plan.clone();
        let mut end = None;
        for (number, item) in plan.items.iter_mut().enumerate() {
            if number > 0 {
                std::thread::sleep(pause);
            }
            if matches!(item.step, ItemStep::Later) {
                item.step = match self.later_step(index, task, item.item.as_ref(), &sets) {
                    Ok(step) => step,
                    Err(Stop::Pending(token)) => return Err(Stop::Pending(token)),
                    Err(Stop::Failed(result)) => ItemStep::Failed(result),
                };
            }
            match &item.step {
                ItemStep::Local { arguments } => {
                    let done = self.run_item(index, task, arguments, item.item.as_ref());
                    match done {
                        Ok(done) => {
                            match self.owner_of_facts(index, task, &plan.keywords, item)? {
                                Some(owner) => delegated.push((owner, done.sets)),
                                None => sets.extend(done.sets),
                            }
                            if let Some(layer) = done.include {
                                let merged = include.get_or_insert_with(Layer::default);
                                for (name, slot) in layer.iter() {
                                    merged.set(name, slot.clone());
                                }
                            }
                            facts.extend(done.facts.map(|facts| (None, facts)));
                            shown = done.shown;
                            results.push(Some((done.result, 0)));
                        }
                        Err(Stop::Pending(token)) => return Err(Stop::Pending(token)),
                        Err(Stop::Failed(result)) => results.push(Some((*result, 0))),
                    }
                }
                ItemStep::Failed(result) | ItemStep::Finished(result) => {
                    results.push(Some(((**result).clone(), 0)));
                }
                ItemStep::Skip { .. } => {
                    results.push(Some((super::step::skipped(&item.step), 0)));
                }
                ItemStep::Invoke(_) | ItemStep::Later => {}
            }
            let Some(Some((result, _))) = results.last_mut() else { continue };
            if self.ends_locally(index, task, item.item.as_ref(), result, &sets) {
                end = Some(number + 1);
                break;
            }
        }
        plan.items.truncate(end.unwrap_or(usize::MAX));
        let plan = &plan;
        if plan.items.iter().all(|item| matches!(item.step, ItemStep::Skip { .. })) {
            // Items that were evaluated one after the other were all skipped.
            let ended = self.skip_result(task, plan);
            self.handler_runs(index, position, false);
            self.pass(index, task, ended);
            return Ok(true);
        }
        let failed = results
            .iter()
            .flatten()
            .any(|(result, _)| result.get("failed").and_then(Json::as_bool) == Some(true));
        let judged = task.failed_when.is_some() || task.changed_when.is_some();
        if acts || failed || judged {
            if !(idle && self.dispatcher.may_send(index).is_go()) {
                return Ok(false);
            }
            for (owner, sets) in delegated {
                for (name, value) in sets {
                    self.shared.world.host_or_new(&owner).learned.set(&name, value);
                }
            }
            self.send_finished(index, position, task, plan, results, (sets, include, facts));
            return Ok(true);
        }
        let mut ended = ended_of_items(task, plan, results, sets, include, facts, shown);
        ended.delegate = self.delegate_of(index, task);
        self.handler_runs(index, position, false);
        self.pass(index, task, ended);
        Ok(true)
    }

    /// Whose what `set_fact` sets is, if `delegate_facts` gives it to another host.
    fn owner_of_facts(
        &self,
        index: HostIndex,
        task: &Arc<Task>,
        keywords: &crate::evaluate::Keywords,
        item: &crate::evaluate::ItemPlan,
    ) -> Result<Option<String>, Stop> {
        if !keywords.delegate_facts {
            return Ok(None);
        }
        let mut view = self.view(index, task);
        if let Some(item) = &item.item {
            view.local.add(&item.layer);
        }
        Evaluator::new(task, view).delegate()
    }

    /// What an item is to do that reads what the items before it set.
    fn later_step(
        &self,
        index: HostIndex,
        task: &Arc<Task>,
        item: Option<&LoopItem>,
        sets: &[(String, Value)],
    ) -> Result<ItemStep, Stop> {
        let mut view = self.view(index, task);
        for (name, value) in sets {
            view.local.set_data(name.as_str(), value.clone());
        }
        if let Some(item) = item {
            view.local.add(&item.layer);
        }
        Evaluator::new(task, view).later_step()
    }

    /// `loop_control.pause`. Everything waits, as with the module `pause`.
    fn pause_of(&self, index: HostIndex, task: &Arc<Task>) -> std::time::Duration {
        let pause = task.repeat.as_ref().and_then(|repeat| repeat.pause.as_ref());
        let seconds = pause
            .and_then(|node| self.evaluator(index, task).value(node).ok())
            .and_then(|value| provision_template::text_of(&value).parse::<f64>().ok());
        std::time::Duration::from_secs_f64(seconds.unwrap_or(0.0).clamp(0.0, 3_600.0))
    }

    /// A result that is there already, taken like one from a host.
    fn send_finished(
        &mut self,
        index: HostIndex,
        position: &Position,
        task: &Arc<Task>,
        plan: &Plan,
        results: Vec<Option<(Object, u64)>>,
        (sets, include, facts): Effects,
    ) {
        let handler = self.host(index).and_then(|host| host.ahead.as_ref()).is_some_and(|ahead| {
            matches!(ahead.kind, super::AheadKind::Task { handler: true, .. })
        });
        // Its effects are there at once: everything before it is over.
        if let Some(host) = self.host(index) {
            for (name, value) in sets {
                host.variables.learned.set(&name, value);
            }
            if let Some(layer) = include {
                host.variables.learned.include(&layer);
            }
            for (_, facts) in facts {
                host.variables.learned.learn(&facts);
            }
        }
        let finished: Vec<crate::evaluate::ItemPlan> = plan
            .items
            .iter()
            .zip(&results)
            .map(|(item, result)| crate::evaluate::ItemPlan {
                item: item.item.clone(),
                step: match &item.step {
                    skipped @ ItemStep::Skip { .. } => skipped.clone(),
                    _ => ItemStep::Finished(Box::new(
                        result.as_ref().map(|(result, _)| result.clone()).unwrap_or_default(),
                    )),
                },
            })
            .collect();
        let plan = Plan { items: finished, ..plan.clone() };
        self.send(index, position, task, handler, plan);
    }

    fn run_item(
        &mut self,
        index: HostIndex,
        task: &Arc<Task>,
        arguments: &Object,
        item: Option<&LoopItem>,
    ) -> Result<Done, Stop> {
        let mut view = self.view(index, task);
        if let Some(item) = item {
            view.local.add(&item.layer);
        }
        let evaluator = Evaluator::new(task, view);
        match task.module.name {
            "debug" => debug(&evaluator, arguments),
            "assert" => assert(&evaluator, arguments),
            "fail" => Err(Stop::failed(
                text(arguments, "msg").unwrap_or_else(|| "Failed as requested from task".into()),
            )),
            "set_fact" => {
                for (name, value) in task.arguments.parameters.iter() {
                    if let Some(name) = name.as_str() {
                        evaluator.view.host.learned.note_origin(name, evaluator.origin(value));
                    }
                }
                Ok(set_fact(arguments, keeps_text(&evaluator)))
            }
            "set_stats" => {
                self.note_restarts_due(arguments);
                Ok(Done::with("ansible_stats", Json::Object(arguments.clone())))
            }
            "include_vars" => {
                self.include_vars(&evaluator, arguments).map_err(super::include_vars::with_message)
            }
            "validate_argument_spec" => super::argument_spec::validate(&evaluator, arguments),
            "add_host" => self.add_host(index, arguments),
            "group_by" => self.group_by(index, arguments),
            "pause" => Ok(self.pause(arguments)),
            "_unavailable" => Err(Stop::failed(format!(
                "the module `{}` can't be run with these arguments, or not at all; the warnings \
                 at the beginning say more",
                task.module_written
            ))),
            other => Err(Stop::failed(format!(
                "module `{other}` can't be used here; it is resolved when the playbook is loaded"
            ))),
        }
    }

    /// `set_stats` with `restarts_due: [component]` is how a role asks for a rolling restart.
    fn note_restarts_due(&mut self, arguments: &Object) {
        let due = arguments.get("data").and_then(|data| data.get("restarts_due"));
        let names = due.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        self.shared.restarts_due.extend(names.map(str::to_owned));
    }

    fn add_host(&mut self, _index: HostIndex, arguments: &Object) -> Result<Done, Stop> {
        let Some(written) = text(arguments, "name") else {
            return Err(Stop::failed("name, host or hostname needs to be provided"));
        };
        let (name, port) = provision_playbook::inventory::host_and_port(&written);
        let name = name.to_owned();
        let mut vars: Object = arguments
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "name" | "groups"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if let Some(port) = port {
            vars.insert("ansible_ssh_port".into(), port.into());
        }
        let mut layer = Layer::default();
        for (key, value) in &vars {
            layer.set_data(key.as_str(), provision_template::from_json(value));
        }
        let groups: Vec<String> = arguments
            .get("groups")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(|group| group.as_str().map(str::to_owned))
            .filter(|group| !group.is_empty())
            .collect();
        let changed = self.shared.world.add_host(&name, &groups, layer);
        let mut done = Done::with("changed", changed);
        done.result.insert(
            "add_host".into(),
            serde_json::json!({"host_name": name, "groups": groups, "host_vars": vars}),
        );
        Ok(done)
    }

    fn group_by(&mut self, index: HostIndex, arguments: &Object) -> Result<Done, Stop> {
        let key = text(arguments, "key").unwrap_or_default().replace(' ', "-");
        let Some(host) = self.host(index) else { return Ok(Done::default()) };
        let variables = host.variables.clone();
        let parents = match arguments.get("parents") {
            Some(Json::String(one)) => vec![one.clone()],
            Some(Json::Array(several)) => {
                several.iter().filter_map(Json::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let parents: Vec<String> = parents.iter().map(|parent| parent.replace(' ', "-")).collect();
        let changed = self.shared.world.group_by(&variables, &key, &parents);
        let changed = changed.map_err(|error| Stop::failed(format!("failed to {error}")))?;
        let mut done = Done::with("changed", changed);
        done.result.insert("add_group".into(), key.into());
        Ok(done)
    }
}

pub(super) fn text(arguments: &Object, name: &str) -> Option<String> {
    arguments.get(name).and_then(|value| match value {
        Json::String(text) => Some(text.clone()),
        Json::Null => None,
        other => Some(provision_template::text_of(&provision_template::from_json(other))),
    })
}

fn debug(evaluator: &Evaluator<'_>, arguments: &Object) -> Result<Done, Stop> {
    let verbosity = arguments.get("verbosity").and_then(Json::as_u64).unwrap_or(0);
    let mut done = Done::with("changed", false);
    if verbosity > u64::from(evaluator.view.world.settings.verbosity) {
        done.result.insert("skipped".into(), true.into());
        done.result.insert("skipped_reason".into(), "Verbosity threshold not met.".into());
        return Ok(done);
    }
    if let Some(name) = arguments.get("var") {
        let expression = text(arguments, "var").unwrap_or_default();
        let undefined = |why: &str| {
            let detailed = evaluator.view.world.settings.verbosity > 0;
            let detail = if detailed { format!(": {why}") } else { String::new() };
            Json::from(format!("VARIABLE IS NOT DEFINED!{detail}"))
        };
        let value = if name.is_string() {
            match evaluator.expression(&expression) {
                Ok(value) if provision_template::is_undefined(&value) => {
                    undefined(&format!("'{expression}' is undefined"))
                }
                Ok(value) => provision_template::to_json(&value),
                Err(error) if error.is_undefined() => undefined(error.message()),
                Err(TemplateError::Pending(token)) => return Err(Stop::Pending(token)),
                Err(error) => return Err(Stop::failed(error.message())),
            }
        } else {
            name.clone()
        };
        let shown = match &value {
            Json::String(text) => text.clone(),
            other => serde_json::to_string_pretty(other).unwrap_or_default(),
        };
        done.shown = Some(format!("{expression}: {shown}"));
        done.result.insert(expression, value);
        return Ok(done);
    }
    let message = arguments.get("msg").cloned().unwrap_or_else(|| "Hello world!".into());
    done.shown = Some(match &message {
        Json::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    });
    done.result.insert("msg".into(), message);
    Ok(done)
}

fn assert(evaluator: &Evaluator<'_>, arguments: &Object) -> Result<Done, Stop> {
    let Some(that) = evaluator.task.arguments.parameters.get("that") else {
        return Err(Stop::failed("conditional required in \"that\" string"));
    };
    let single = [that.clone()];
    let evaluated;
    let conditions: &[yaml::Node] = match that.as_sequence() {
        Some(conditions) => conditions,
        None if provision_template::has_template(that) => {
            evaluated = evaluator.value(that)?;
            return assert_values(&evaluated, arguments);
        }
        None => &single,
    };
    for condition in conditions {
        if !evaluator.assertion(condition)? {
            return Err(failed_assertion(condition.as_str().unwrap_or("False"), arguments));
        }
    }
    let message = arguments.get("success_msg").cloned();
    let mut done = Done::with("msg", message.unwrap_or_else(|| "All assertions passed".into()));
    done.result.insert("changed".into(), false.into());
    Ok(done)
}

/// Conditions that a template produced are values, not expressions.
fn assert_values(value: &Value, arguments: &Object) -> Result<Done, Stop> {
    let values: Vec<Value> = match value.kind() {
        minijinja::value::ValueKind::Seq => value.try_iter().into_iter().flatten().collect(),
        _ => vec![value.clone()],
    };
    for value in values {
        let holds = provision_template::to_boolean(&value)
            .unwrap_or_else(|| provision_template::is_true(&value));
        if !holds {
            return Err(failed_assertion(&provision_template::text_of(&value), arguments));
        }
    }
    Ok(Done::with("msg", "All assertions passed"))
}

fn failed_assertion(condition: &str, arguments: &Object) -> Stop {
    let message = arguments.get("fail_msg").cloned().unwrap_or_else(|| "Assertion failed".into());
    let mut result = Object::new();
    result.insert("failed".into(), true.into());
    result.insert("msg".into(), message);
    result.insert("assertion".into(), condition.into());
    result.insert("evaluated_to".into(), false.into());
    Stop::Failed(Box::new(result))
}

/// Whether texts of `set_fact` stay texts: with native types `yes` is no boolean.
fn keeps_text(evaluator: &Evaluator<'_>) -> bool {
    let world = &evaluator.view.world;
    world.settings.customs.has_native_types || world.engine.dialect() == Dialect::Strict
}

fn set_fact(arguments: &Object, keeps_text: bool) -> Done {
    let mut done = Done::with("changed", false);
    let mut facts = Object::new();
    for (name, value) in arguments {
        if name == "cacheable" {
            continue;
        }
        // `k=v` words are text; yes and no mean booleans there, as in Ansible.
        let text = value.as_str().filter(|_| !keeps_text).map(str::to_lowercase);
        let value = match text.as_deref() {
            Some("true" | "yes") => Json::Bool(true),
            Some("false" | "no") => Json::Bool(false),
            _ => value.clone(),
        };
        done.sets.push((name.clone(), provision_template::from_json(&value)));
        facts.insert(name.clone(), value);
    }
    // What is cacheable is a fact like those that a host tells of itself, too.
    let is_cacheable = arguments.get("cacheable").map(provision_template::from_json);
    if is_cacheable.and_then(|value| provision_template::to_boolean(&value)) == Some(true) {
        done.facts = Some(facts.clone());
    }
    done.result.insert("ansible_facts".into(), Json::Object(facts));
    done
}

fn ended_of_items(
    task: &Task,
    plan: &Plan,
    results: Vec<Option<(Object, u64)>>,
    sets: Vec<(String, Value)>,
    include: Option<Layer>,
    facts: Vec<(Option<String>, Object)>,
    shown: Option<String>,
) -> Ended {
    let mut items = Vec::new();
    let result = if plan.looped {
        let mut joined = Object::new();
        let mut list = Vec::new();
        for (item, result) in plan.items.iter().zip(results) {
            let mut result = result.map(|(result, _)| result).unwrap_or_default();
            name_item(&mut result, item.item.as_ref());
            result.entry("failed").or_insert(Json::Bool(false));
            let skipped = result.get("skipped").and_then(Json::as_bool) == Some(true);
            let status = if skipped { Status::Skipped } else { Status::Ok };
            let label = item.item.as_ref().map(|item| item.label.clone()).unwrap_or_default();
            items.push((status, label, result.clone(), 0));
            list.push(Json::Object(result));
        }
        let all_skipped = items.iter().all(|(status, ..)| *status == Status::Skipped);
        joined.insert("changed".into(), false.into());
        let message = if all_skipped { "All items skipped" } else { "All items completed" };
        if all_skipped {
            joined.insert("skipped".into(), true.into());
        }
        joined.insert("msg".into(), message.into());
        joined.insert("results".into(), list.into());
        joined
    } else {
        results.into_iter().flatten().next().map(|(result, _)| result).unwrap_or_default()
    };
    let skipped = result.get("skipped").and_then(Json::as_bool) == Some(true);
    let status = if skipped { Status::Skipped } else { Status::Ok };
    let mut ended = Ended::local(status, result, shown, task);
    ended.items = items;
    ended.sets = sets;
    ended.include = include;
    ended.facts = facts;
    if plan.keywords.no_log {
        hide(&mut ended);
    }
    ended
}

/// Stores what `fetch` brought: below `dest/HOST/`, or exactly at `dest` with `flat`.
pub(super) fn store_fetched(arguments: &Object, mut result: Object, host: &str) -> Object {
    use base64::Engine as _;
    let Some(Json::String(content)) = result.shift_remove("content") else { return result };
    let source = text(arguments, "src").unwrap_or_default();
    let target = text(arguments, "dest").unwrap_or_default();
    let flat = arguments.get("flat").and_then(Json::as_bool).unwrap_or(false);
    let base = Path::new(&source).file_name().map(|name| name.to_string_lossy().into_owned());
    let path = match flat {
        true if target.ends_with('/') => PathBuf::from(&target).join(base.unwrap_or_default()),
        true => PathBuf::from(&target),
        false => {
            // The path comes from our side, never from the host.
            let below = source.trim_start_matches('/').replace("..", "_");
            Path::new(&target).join(host).join(below)
        }
    };
    let fail = |result: &mut Object, message: String| {
        result.insert("failed".into(), true.into());
        result.insert("msg".into(), message.into());
    };
    let bytes = match base64::engine::general_purpose::STANDARD.decode(content.trim()) {
        Ok(bytes) => bytes,
        Err(error) => {
            fail(&mut result, format!("the host sent an unusable file: {error}"));
            return result;
        }
    };
    let same = std::fs::read(&path).is_ok_and(|known| known == bytes);
    if !same {
        let stored = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| durable::write(&path, &bytes, 0o644));
        if let Err(error) = stored {
            fail(&mut result, format!("failed to store {}: {error}", path.display()));
            return result;
        }
    }
    // What came is what the host has: the connection proves its contents.
    for (name, remote) in [("checksum", "remote_checksum"), ("md5sum", "remote_md5sum")] {
        let value = result.get(name).cloned().unwrap_or_default();
        result.insert(remote.into(), value);
    }
    result.insert("changed".into(), (!same).into());
    result.insert("dest".into(), path.display().to_string().into());
    result
}

//! From a task and a host to finished module calls: conditions, loops, arguments, keywords.
//!
//! An evaluation is a function of the values it reads. If one of them is not known yet it ends
//! with [`Stop::Pending`] and is repeated later; otherwise it is final, whatever is in flight.

mod arguments;
mod gathering;
mod keywords;
mod loops;
mod surroundings;

use std::collections::BTreeMap;
use std::sync::Arc;

use provision_playbook::model::{Context, Directives, Task};
use provision_playbook::own::OwnModule;
use provision_protocol::modules::{self, FreeForm, ModuleSpec, Runs, normalise};
use provision_protocol::{Become, Object};
use provision_template::{TemplateError, Value, is_omit};
use serde_json::Value as Json;
use yaml::{Node, NodeValue};

use crate::odd_conditions::{self, Written};
use crate::outside::Outside;
use crate::prepare::{self, Content};
use crate::variables::{Layer, View};

/// Why an evaluation has no result.
#[derive(Debug)]
pub enum Stop {
    /// A value is not known yet; the token says which call brings it.
    Pending(u64),
    /// It can't be evaluated: the task fails with this result.
    Failed(Box<Object>),
}

impl From<TemplateError> for Stop {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Pending(token) => Stop::Pending(token),
            // Where Ansible has Python's trace, there is the chain of variables here.
            TemplateError::Failed(_) => {
                let mut stop = Stop::failed(error.message());
                if let Stop::Failed(result) = &mut stop {
                    result.insert("exception".into(), error.to_string().into());
                }
                stop
            }
            other => Stop::failed(other.message()),
        }
    }
}

impl Stop {
    /// A failure with a message.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        let mut result = Object::new();
        result.insert("failed".into(), true.into());
        result.insert("msg".into(), message.into().into());
        Stop::Failed(Box::new(result))
    }

    /// What people should read of it.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Stop::Pending(_) => "it is not known yet",
            Stop::Failed(result) => result.get("msg").and_then(Json::as_str).unwrap_or("it fails"),
        }
    }
}

/// What a task is to do on a host.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether it is a loop; the result is a list then.
    pub looped: bool,
    /// One entry, or one a loop item.
    pub items: Vec<ItemPlan>,
    /// Keywords.
    pub keywords: Keywords,
}

/// One call, or one loop item's.
#[derive(Debug, Clone)]
pub struct ItemPlan {
    /// The loop item.
    pub item: Option<LoopItem>,
    /// What to do.
    pub step: ItemStep,
}

/// A loop item with its variables.
#[derive(Debug, Clone)]
pub struct LoopItem {
    /// Name of the loop variable.
    pub variable: String,
    /// The item.
    pub value: Value,
    /// Text to show for it.
    pub label: String,
    /// Whether the label reads the item's own result: the text is that of the item until then.
    pub late_label: bool,
    /// Loop variable, index variable and `ansible_loop`.
    pub layer: Layer,
}

/// What to do for an item.
#[derive(Debug, Clone)]
pub enum ItemStep {
    /// A condition does not hold.
    Skip {
        /// The condition.
        condition: String,
    },
    /// A module call.
    Invoke(Box<Invocation>),
    /// A module of the controller, with checked arguments.
    Local {
        /// Arguments.
        arguments: Object,
    },
    /// Nothing: it failed while being evaluated.
    Failed(Box<Object>),
    /// Nothing any more: the controller did it. The result is judged like one from a host.
    Finished(Box<Object>),
    /// What the items before it bring decides: it is evaluated when they are over.
    Later,
}

/// A finished module call.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Module.
    pub module: &'static ModuleSpec,
    /// Checked arguments.
    pub arguments: Object,
    /// Contents it may ask for.
    pub contents: Vec<Content>,
    /// Values to add to the result (`src` of a template…).
    pub result_extra: Object,
    /// Host that does it, if another one.
    pub delegate: Option<String>,
    /// Whether the delegate is this machine.
    pub local: bool,
    /// Identity.
    pub r#become: Option<Become>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// Check mode.
    pub check: bool,
    /// Diffs.
    pub diff: bool,
    /// Time limit.
    pub timeout_s: Option<f64>,
}

/// Evaluated keywords that say how to take the result.
#[derive(Debug, Clone, Default)]
pub struct Keywords {
    /// `ignore_errors`.
    pub ignore_errors: bool,
    /// `ignore_unreachable`.
    pub ignore_unreachable: bool,
    /// `no_log`.
    pub no_log: bool,
    /// `delegate_facts`.
    pub delegate_facts: bool,
    /// `any_errors_fatal`.
    pub any_errors_fatal: bool,
    /// `throttle`: how many hosts may run the task at a time; 0: all.
    pub throttle: u64,
    /// `retries`.
    pub retries: u64,
    /// `delay`, in seconds.
    pub delay_s: f64,
    /// `async`, in seconds; 0: not asynchronous.
    pub async_s: u64,
    /// `poll`, in seconds.
    pub poll_s: f64,
}

/// Evaluates tasks for one view.
pub struct Evaluator<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its variables.
    pub view: View,
    outside: Outside,
}

impl<'a> Evaluator<'a> {
    /// For a task with the variables of `view`.
    #[must_use]
    pub fn new(task: &'a Task, view: View) -> Self {
        let outside = Outside::of(&view);
        Evaluator { task, view, outside }
    }

    fn with_layer(&self, layer: &Layer) -> Evaluator<'a> {
        let mut view = self.view.clone();
        view.local.add(layer);
        Evaluator::new(self.task, view)
    }

    /// The value of a node.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn value(&self, node: &Node) -> Result<Value, Stop> {
        self.view.local.forget_reads();
        Ok(self.view.world.engine.render_node(node, &self.view, &self.outside)?)
    }

    /// Where the texts of a node's value come from.
    #[must_use]
    pub fn origin(&self, node: &Node) -> provision_template::Origin {
        self.view.world.engine.origin_of_node(node, &self.view, &self.outside)
    }

    /// Whether all conditions hold; the first that doesn't otherwise.
    ///
    /// # Errors
    /// When one can't be evaluated (yet).
    pub fn first_false(&self, conditions: &[Node]) -> Result<Option<String>, Stop> {
        for condition in conditions {
            if !self.condition(condition)? {
                return Ok(Some(self.text_of(condition)));
            }
        }
        Ok(None)
    }

    fn text_of(&self, condition: &Node) -> String {
        match &condition.value {
            NodeValue::String(text) => text.to_string(),
            NodeValue::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
            _ => provision_template::text_of(&provision_template::value_of_node(condition)),
        }
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn condition(&self, node: &Node) -> Result<bool, Stop> {
        self.judge(node, if node.as_str().is_some() { Written::Text } else { Written::Value })
    }

    /// Whether a condition in the arguments of `assert` holds.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn assertion(&self, node: &Node) -> Result<bool, Stop> {
        let value = || Written::Argument(self.text_of(node));
        self.judge(node, if node.as_str().is_some() { Written::Text } else { value() })
    }

    fn judge(&self, node: &Node, written: Written) -> Result<bool, Stop> {
        let world = &self.view.world;
        let failed = |reason: &str| {
            Stop::failed(format!(
                "The conditional check '{}' failed. The error was: {reason}",
                self.text_of(node),
            ))
        };
        let verdict = match world.engine.evaluate_condition(node, &self.view, &self.outside) {
            Ok(verdict) => verdict,
            Err(TemplateError::Pending(token)) => return Err(Stop::Pending(token)),
            Err(error) if error.is_undefined() => {
                return Err(failed(&world.explained(&error)));
            }
            Err(error) => return Err(failed(error.message())),
        };
        if let Some(of) = verdict.odd {
            if world.settings.customs.refuses_broken_conditions {
                return Err(failed(&odd_conditions::refusal(of)));
            }
            if !world.settings.customs.hides_deprecations {
                world.odd_conditions.note(node.span, written, of, verdict.holds);
            }
        }
        Ok(verdict.holds)
    }

    /// A boolean keyword.
    ///
    /// # Errors
    /// When it can't be evaluated (yet) or isn't a boolean.
    pub fn flag(&self, node: Option<&Node>, default: bool) -> Result<bool, Stop> {
        let Some(node) = node else { return Ok(default) };
        if let Some(value) = node.as_bool() {
            return Ok(value);
        }
        let value = self.value(node)?;
        if value.is_none() || is_omit(&value) {
            return Ok(default);
        }
        provision_template::to_boolean(&value).ok_or_else(|| {
            Stop::failed(format!("expected a boolean, got {}", provision_template::repr_of(&value)))
        })
    }

    fn keyword<'n>(
        &'n self,
        keyword: impl Fn(&'n Directives) -> Option<&'n Node>,
    ) -> Option<&'n Node> {
        let mut nodes = self.task.context.chain().filter_map(|it| keyword(&it.directives));
        nodes.find(|node| !self.is_omitted(node))
    }

    /// Whether a keyword says that it isn't there: the one around it counts.
    fn is_omitted(&self, node: &Node) -> bool {
        provision_template::has_template(node)
            && self.value(node).is_ok_and(|value| is_omit(&value))
    }

    fn number(&self, node: Option<&Node>, default: f64) -> Result<f64, Stop> {
        let Some(node) = node else { return Ok(default) };
        let value = self.value(node)?;
        if value.is_none() || is_omit(&value) {
            return Ok(default);
        }
        let text = provision_template::text_of(&value);
        text.trim().parse().map_err(|_| Stop::failed(format!("expected a number, got '{text}'")))
    }

    fn text(&self, node: Option<&Node>) -> Result<Option<String>, Stop> {
        let Some(node) = node else { return Ok(None) };
        let value = self.value(node)?;
        if value.is_none() || is_omit(&value) {
            return Ok(None);
        }
        Ok(Some(provision_template::text_of(&value)))
    }

    /// Everything the task is to do on this host.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn plan(&self) -> Result<Plan, Stop> {
        let conditions = conditions(&self.task.context);
        let Some(repeat) = &self.task.repeat else {
            if let Some(condition) = self.first_false_of(&conditions)? {
                return Ok(Plan {
                    looped: false,
                    items: vec![ItemPlan { item: None, step: ItemStep::Skip { condition } }],
                    keywords: self.keywords_or_default()?,
                });
            }
            let keywords = self.keywords()?;
            self.runs_once()?;
            let step = self.step()?;
            return Ok(Plan {
                looped: false,
                items: vec![ItemPlan { item: None, step }],
                keywords,
            });
        };
        let items = match self.loop_items(repeat) {
            Ok(items) => items,
            Err(Stop::Pending(token)) => return Err(Stop::Pending(token)),
            // What a task that would be skipped anyway loops over may well be undefined.
            Err(stop) => match self.first_false_of(&conditions) {
                Ok(Some(condition)) => {
                    return Ok(Plan {
                        looped: false,
                        items: vec![ItemPlan { item: None, step: ItemStep::Skip { condition } }],
                        keywords: self.keywords_or_default()?,
                    });
                }
                Ok(None) => return Err(stop),
                Err(other) => return Err(other),
            },
        };
        self.runs_once()?;
        let mut plans = Vec::with_capacity(items.len());
        let in_turn = crate::reach::reads_own_items(&self.view.world, self.task);
        for item in items {
            if in_turn && !plans.is_empty() {
                plans.push(ItemPlan { item: Some(item), step: ItemStep::Later });
                continue;
            }
            let inner = self.with_layer(&item.layer);
            let step = match inner.item_step(&conditions) {
                Ok(step) => step,
                Err(Stop::Pending(token)) => return Err(Stop::Pending(token)),
                Err(Stop::Failed(result)) => ItemStep::Failed(result),
            };
            plans.push(ItemPlan { item: Some(item), step });
        }
        let keywords = match plans.first().and_then(|plan| plan.item.as_ref()) {
            Some(item) => self.with_layer(&item.layer).keywords_or_default()?,
            None => self.keywords_or_default()?,
        };
        Ok(Plan { looped: true, items: plans, keywords })
    }

    /// What a [`ItemStep::Later`] item is to do, its loop variables and what the items before it
    /// brought being in the view.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn later_step(&self) -> Result<ItemStep, Stop> {
        self.item_step(&conditions(&self.task.context))
    }

    fn item_step(&self, conditions: &[&Node]) -> Result<ItemStep, Stop> {
        match self.first_false_of(conditions)? {
            Some(condition) => Ok(ItemStep::Skip { condition }),
            None => self.step(),
        }
    }

    fn first_false_of(&self, conditions: &[&Node]) -> Result<Option<String>, Stop> {
        for condition in conditions {
            if !self.condition(condition)? {
                return Ok(Some(self.text_of(condition)));
            }
        }
        Ok(None)
    }

    fn step(&self) -> Result<ItemStep, Stop> {
        let module = self.module()?;
        if let Some(gathering) = gathering::wanted(self)? {
            return Ok(ItemStep::Invoke(Box::new(self.invocation(gathering)?)));
        }
        self.check_async(module)?;
        let mut raw = self.arguments()?;
        // The inventory may say which package manager a host has.
        if module.name == "package"
            && matches!(raw.get("use").and_then(Json::as_str), None | Some("auto"))
            && let Some(manager) = self.variable("ansible_package_use")?
        {
            raw.insert("use".into(), provision_template::text_of(&manager).into());
        }
        // What the controller itself adds for the helper begins so, and nobody else may say it.
        let own = |name: &&String| name.starts_with('_') && module.parameter(name).is_none();
        if !module.open
            && module.free_form != FreeForm::AnyKey
            && let Some(name) = raw.keys().find(own)
        {
            let module = module.name;
            return Err(Stop::failed(format!(
                "Unsupported parameters for ({module}) module: {name}"
            )));
        }
        let arguments = normalise(module, raw)
            .map_err(|errors| Stop::failed(prepare::complaint(module, &errors)))?;
        match module.runs {
            Runs::OnController => Ok(ItemStep::Local { arguments }),
            Runs::OnConnection | Runs::OnHost | Runs::Prepared => {
                let prepared = prepare::prepare(self, module, arguments)?;
                Ok(ItemStep::Invoke(Box::new(self.invocation(prepared)?)))
            }
        }
    }

    /// The task with its module, if a template named it and it acts on the controller.
    ///
    /// # Errors
    /// When the name can't be evaluated yet.
    pub fn resolved(&self) -> Result<Option<Task>, Stop> {
        if self.task.module.name != modules::TEMPLATED.name {
            return Ok(None);
        }
        match self.named_module() {
            Ok(module) if module.runs == Runs::OnController => {
                Ok(Some(Task { module, ..self.task.clone() }))
            }
            Err(Stop::Pending(token)) => Err(Stop::Pending(token)),
            // Loop variables may be part of the name: each item finds its own.
            Ok(_) | Err(Stop::Failed(_)) => Ok(None),
        }
    }

    /// The task's module; one whose name is a template is found now.
    fn module(&self) -> Result<&'static ModuleSpec, Stop> {
        if self.task.module.name != modules::TEMPLATED.name {
            return Ok(self.task.module);
        }
        match self.named_module()? {
            module if module.runs == Runs::OnController => Err(Stop::failed(format!(
                "the action `{}` acts on the controller: loop variables can't choose it",
                module.name
            ))),
            module => Ok(module),
        }
    }

    fn named_module(&self) -> Result<&'static ModuleSpec, Stop> {
        let engine = &self.view.world.engine;
        let value = engine.render_text(&self.task.module_written, &self.view, &self.outside)?;
        let name = provision_template::text_of(&value);
        let built_in = modules::find(name.trim());
        // As where the name is written: a program takes the place of what runs on hosts only.
        let replaceable = built_in.is_none_or(|module| module.runs == Runs::OnHost);
        match (crate::own::find(self, name.trim()).filter(|_| replaceable), built_in) {
            (Some(_), _) => Ok(&modules::OWN),
            (None, Some(module)) => Ok(module),
            (None, None) => Err(Stop::failed(format!("there is no module `{name}`"))),
        }
    }

    /// The program of the user's own that the task calls, if it calls one.
    ///
    /// # Errors
    /// When a template names it that can't be evaluated (yet).
    pub fn own_module(&self) -> Result<Option<Arc<OwnModule>>, Stop> {
        if self.task.module.name != modules::TEMPLATED.name {
            return Ok(self.task.own.clone());
        }
        let engine = &self.view.world.engine;
        let value = engine.render_text(&self.task.module_written, &self.view, &self.outside)?;
        let name = provision_template::text_of(&value);
        Ok(crate::own::find(self, name.trim()).map(Arc::new))
    }

    /// Whether the task's values are secret.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn no_log(&self) -> Result<bool, Stop> {
        let customs = &self.view.world.settings.customs;
        self.flag(self.keyword(|d| d.no_log.as_ref()), customs.no_log)
    }

    fn invocation(&self, prepared: prepare::Prepared) -> Result<Invocation, Stop> {
        let settings = &self.view.world.settings;
        let delegate = self.delegate()?;
        let connection = match &delegate {
            Some(_) => None,
            None => self.text(self.keyword(|d| d.connection.as_ref()))?,
        };
        Ok(Invocation {
            module: prepared.module,
            arguments: prepared.arguments,
            contents: prepared.contents,
            result_extra: prepared.result_extra,
            local: connection.as_deref() == Some("local")
                || crate::synchronize::is_here(prepared.module.name, delegate.as_deref()),
            r#become: self.identity(delegate.as_deref())?,
            delegate,
            environment: self.environment_with_jobs(prepared.module)?,
            check: self.flag(self.keyword(|d| d.check_mode.as_ref()), settings.check)?,
            diff: self.flag(self.keyword(|d| d.diff.as_ref()), settings.diff)?,
            timeout_s: Some(self.number(
                self.keyword(|d| d.timeout.as_ref()),
                f64::from(settings.customs.task_timeout_s),
            )?)
            .filter(|seconds| *seconds > 0.0),
        })
    }

    /// A variable, evaluated.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn variable(&self, name: &str) -> Result<Option<Value>, Stop> {
        Ok(self.view.world.engine.variable(name, &self.view, &self.outside)?)
    }

    /// A bare expression, as in `debug: var=`.
    ///
    /// # Errors
    /// When it can't be evaluated (yet).
    pub fn expression(&self, text: &str) -> Result<Value, TemplateError> {
        self.view.world.engine.evaluate_expression(text, None, &self.view, &self.outside)
    }

    /// The surroundings that this task's templates see.
    #[must_use]
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// How often and after how many seconds a call of a loop item is repeated (`until`).
    #[must_use]
    pub fn attempts(&self, item: &LoopItem) -> Option<(u64, f64)> {
        let keywords = self.with_layer(&item.layer).keywords().ok()?;
        Some((keywords.retries, keywords.delay_s))
    }
}

/// All conditions that a task is under, outermost first.
#[must_use]
pub fn conditions(context: &Arc<Context>) -> Vec<&Node> {
    let levels: Vec<&Context> = context.chain().collect();
    levels.into_iter().rev().flat_map(|context| &context.directives.when).collect()
}

//! What a task gives its module: defaults, then the arguments that are written, evaluated.

use provision_protocol::Object;
use provision_protocol::modules;
use provision_template::{TemplateError, Value, is_omit, value_without_omitted};
use serde_json::Value as Json;
use yaml::Node;

use super::{Evaluator, Stop, gathering};

impl Evaluator<'_> {
    /// The arguments, evaluated: `module_defaults`, `args` and the named ones, later ones win.
    ///
    /// # Errors
    /// When one can't be evaluated (yet).
    pub fn arguments(&self) -> Result<Object, Stop> {
        let mut raw = self.module_defaults()?;
        self.put_given(&mut raw)?;
        Ok(raw)
    }

    /// The arguments that the task itself gives, evaluated.
    ///
    /// # Errors
    /// When one can't be evaluated (yet).
    pub(crate) fn given_arguments(&self) -> Result<Object, Stop> {
        let mut raw = Object::new();
        self.put_given(&mut raw)?;
        Ok(raw)
    }

    pub(super) fn put_given(&self, raw: &mut Object) -> Result<(), Stop> {
        if let Some(splat) = &self.task.arguments.splat {
            match provision_template::to_json(&self.value(splat)?) {
                Json::Object(more) => raw.extend(more),
                Json::Null => {}
                other => {
                    return Err(Stop::failed(format!(
                        "the arguments must be a mapping, got {other}"
                    )));
                }
            }
        }
        let lazy = self.is_lazy();
        for (key, node) in self.task.arguments.parameters.iter() {
            let Some(name) = key.as_str() else { continue };
            let name = match name.contains("{{") {
                true => provision_template::text_of(&self.value(key)?),
                false => name.to_owned(),
            };
            let is_text = name == "var" && provision_template::has_template(node);
            if lazy.contains(&name.as_str()) && !is_text {
                // Conditions and expressions are evaluated by the module itself.
                let value = provision_template::value_of_node(node);
                raw.insert(name, provision_template::to_json(&value));
                continue;
            }
            let value = self.argument(node)?;
            if is_omit(&value) {
                raw.remove(&name);
                continue;
            }
            raw.insert(name, provision_template::to_json(&value_without_omitted(&value)));
        }
        Ok(())
    }

    pub(super) fn argument(&self, node: &Node) -> Result<Value, Stop> {
        let engine = &self.view.world.engine;
        self.view.local.forget_reads();
        engine.render_node(node, &self.view, &self.outside).map_err(|error| match error {
            // In Ansible's words: content looks for them.
            TemplateError::Undefined(_) => Stop::failed(format!(
                "The task includes an option with an undefined variable. The error was: {}",
                self.view.world.explained(&error)
            )),
            other => Stop::from(other),
        })
    }

    /// Arguments that are expressions, not templates.
    pub(super) fn is_lazy(&self) -> &'static [&'static str] {
        match self.task.module.name {
            "assert" => &["that"],
            "debug" => &["var"],
            _ => &[],
        }
    }

    pub(super) fn module_defaults(&self) -> Result<Object, Stop> {
        if !gathering::is_gathering(self) {
            return self.defaults_where(|name| self.are_defaults_of(name));
        }
        // Those of what the task calls win over those of what gathers, wherever they stand.
        let is_caller = gathering::is_caller;
        let mut defaults =
            self.defaults_where(|name| !is_caller(name) && self.are_defaults_of(name))?;
        defaults.extend(self.defaults_where(is_caller)?);
        Ok(defaults)
    }

    /// `module_defaults` of the names that count, inner ones over outer ones.
    pub(super) fn defaults_where(&self, counts: impl Fn(&str) -> bool) -> Result<Object, Stop> {
        let mut merged = Object::new();
        let levels: Vec<&Node> = self
            .task
            .context
            .chain()
            .filter_map(|context| context.directives.module_defaults.as_ref())
            .collect();
        for node in levels.into_iter().rev() {
            for mapping in node.as_sequence().map_or_else(|| vec![node], |s| s.iter().collect()) {
                let Some(mapping) = mapping.as_mapping() else { continue };
                for (key, defaults) in mapping.iter() {
                    if !key.as_str().is_some_and(&counts) {
                        continue;
                    }
                    if let Json::Object(defaults) =
                        provision_template::to_json(&self.value(defaults)?)
                    {
                        merged.extend(defaults);
                    }
                }
            }
        }
        Ok(merged)
    }

    /// Whether `module_defaults` of this name are those of the task's module.
    pub(super) fn are_defaults_of(&self, name: &str) -> bool {
        let Some(own) = &self.task.own else {
            return modules::find(name).is_some_and(|it| it.name == self.task.module.name);
        };
        match (&own.collection, name.rsplit_once('.')) {
            (None, _) => name.strip_prefix("ansible.legacy.").unwrap_or(name) == own.name,
            (Some(of), Some((collection, short))) => of == collection && short == own.name,
            (Some(_), None) => self.task.module_written == name,
        }
    }
}

//! In what a call runs: environment, other users, other hosts.

use std::collections::BTreeMap;

use provision_protocol::Become;
use provision_protocol::modules::ModuleSpec;
use provision_template::{Value, is_omit};
use serde_json::Value as Json;
use yaml::Node;

use super::{Evaluator, Stop};
use crate::variables::{View, dictionary};

impl Evaluator<'_> {
    /// The environment; `ansible_async_dir` says where the states of detached jobs are.
    pub(super) fn environment_with_jobs(
        &self,
        module: &'static ModuleSpec,
    ) -> Result<BTreeMap<String, String>, Stop> {
        let mut environment = self.environment()?;
        let concerns_jobs = self.task.asynchronous.is_some() || module.name == "async_status";
        if concerns_jobs && let Some(folder) = self.variable("ansible_async_dir")? {
            let folder = provision_template::text_of(&folder);
            environment.entry("ANSIBLE_ASYNC_DIR".to_owned()).or_insert(folder);
        }
        Ok(environment)
    }

    pub(super) fn environment(&self) -> Result<BTreeMap<String, String>, Stop> {
        let levels: Vec<&Node> = self
            .task
            .context
            .chain()
            .filter_map(|context| context.directives.environment.as_ref())
            .collect();
        let mut merged = BTreeMap::new();
        for node in levels.into_iter().rev() {
            let entries: Vec<&Node> =
                node.as_sequence().map_or_else(|| vec![node], |s| s.iter().collect());
            for entry in entries {
                let value = match self.value(entry) {
                    // As in Ansible, what gathers facts can't need them.
                    Err(Stop::Failed(_)) if self.gathers_facts() => self.what_is_known(entry),
                    value => value?,
                };
                if value.is_none() || is_omit(&value) {
                    continue;
                }
                let Json::Object(variables) = provision_template::to_json(&value) else {
                    return Err(Stop::failed(format!(
                        "environment must be a mapping, got {}",
                        provision_template::text_of(&value)
                    )));
                };
                for (name, value) in variables {
                    let value = provision_template::from_json(&value);
                    merged.insert(name, provision_template::text_of(&value));
                }
            }
        }
        Ok(merged)
    }

    /// The entries of a mapping that can be evaluated.
    pub(super) fn what_is_known(&self, entry: &Node) -> Value {
        let entries = entry.as_mapping().into_iter().flat_map(|mapping| mapping.iter());
        let known = entries.filter_map(|(key, value)| {
            let value = self.value(value).ok()?;
            Some((provision_template::text_of(&provision_template::value_of_node(key)), value))
        });
        dictionary(known.collect::<Vec<_>>())
    }

    pub(crate) fn gathers_facts(&self) -> bool {
        matches!(self.task.module.name, "setup" | "gather_facts")
    }

    /// `delegate_to`.
    pub(crate) fn delegate(&self) -> Result<Option<String>, Stop> {
        self.text(self.keyword(|d| d.delegate_to.as_ref()))
    }

    /// Whom to become: keyword first, then the variables of the host, as Ansible does.
    pub(super) fn identity(&self, delegate: Option<&str>) -> Result<Option<Become>, Stop> {
        let delegated = delegate.map(|name| {
            let host = self.view.world.host_or_new(name);
            Evaluator::new(self.task, View::of_host(&self.view.world, &host))
        });
        let variables = delegated.as_ref().unwrap_or(self);
        let by_keyword = self.keyword(|d| d.r#become.as_ref());
        let wanted = match variables.variable("ansible_become")? {
            Some(value) => provision_template::to_boolean(&value).unwrap_or(false),
            None => self.flag(by_keyword, self.view.world.settings.r#become)?,
        };
        if !wanted {
            return Ok(None);
        }
        let pick =
            |variable: &str, keyword: Option<&Node>, default: &str| -> Result<String, Stop> {
                if let Some(value) = variables.variable(variable)? {
                    return Ok(provision_template::text_of(&value));
                }
                Ok(self.text(keyword)?.unwrap_or_else(|| default.to_owned()))
            };
        let user = self.view.world.settings.become_user.as_deref().unwrap_or("root");
        let user = pick("ansible_become_user", self.keyword(|d| d.become_user.as_ref()), user)?;
        let method =
            pick("ansible_become_method", self.keyword(|d| d.become_method.as_ref()), "sudo")?;
        let flags = pick("ansible_become_flags", self.keyword(|d| d.become_flags.as_ref()), "")?;
        let method = method.rsplit('.').next().unwrap_or(&method).to_owned();
        let flags = flags.split_whitespace().map(str::to_owned).collect();
        Ok(Some(Become { user, method, flags }))
    }
}

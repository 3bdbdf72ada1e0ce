//! Keywords that plays, roles, blocks and tasks have in common.

use std::sync::Arc;

use diagnostics::Diagnostic;
use yaml::{Mapping, Node, NodeValue};

use crate::loader::types::to_boolean;
use crate::loader::{Loader, Surroundings, present};
use crate::model::Directives;
use crate::templating::is_template;

impl Loader {
    /// Reads them; types have been checked.
    pub(super) fn directives(&mut self, mapping: &Mapping, around: &Surroundings) -> Directives {
        let get = |name: &str| present(mapping, name).cloned();
        let directives = Directives {
            when: conditions(mapping, "when").unwrap_or_default(),
            tags: self.tags(mapping, around),
            vars: self.vars(mapping),
            environment: get("environment"),
            r#become: get("become").or_else(|| get("sudo")),
            become_user: get("become_user").or_else(|| get("sudo_user")),
            become_method: get("become_method"),
            become_flags: get("become_flags"),
            delegate_to: get("delegate_to"),
            delegate_facts: get("delegate_facts"),
            run_once: get("run_once"),
            ignore_errors: get("ignore_errors"),
            ignore_unreachable: get("ignore_unreachable"),
            any_errors_fatal: get("any_errors_fatal"),
            check_mode: get("check_mode"),
            diff: get("diff"),
            no_log: get("no_log"),
            throttle: get("throttle"),
            notify: list(mapping, "notify"),
            timeout: get("timeout"),
            retries: get("retries"),
            delay: get("delay"),
            connection: get("connection"),
            remote_user: get("remote_user").or_else(|| get("user")),
            port: get("port"),
            collections: get("collections"),
            module_defaults: get("module_defaults"),
        };
        self.check_directives(mapping, &directives, around);
        self.check_level(&directives);
        directives
    }

    /// `vars`, with names checked.
    pub(super) fn vars(&mut self, mapping: &Mapping) -> Option<Arc<Mapping>> {
        let vars = present(mapping, "vars")?.as_mapping()?;
        self.check_variables(vars);
        self.check_values(vars);
        Some(Arc::new(vars.clone()))
    }

    /// `tags`, with templates over static variables resolved.
    pub(super) fn tags(&mut self, mapping: &Mapping, around: &Surroundings) -> Vec<String> {
        let Some(node) = present(mapping, "tags") else { return Vec::new() };
        let mut tags = Vec::new();
        match &node.value {
            NodeValue::Sequence(items) => {
                for item in items {
                    self.add_tags(item, around, &mut tags, Commas::Belong);
                }
            }
            _ => self.add_tags(node, around, &mut tags, Commas::Separate),
        }
        tags
    }

    fn add_tags(
        &mut self,
        node: &Node,
        around: &Surroundings,
        tags: &mut Vec<String>,
        commas: Commas,
    ) {
        let text = match &node.value {
            NodeValue::String(text) if is_template(text) => {
                match self.static_list(node, &around.context) {
                    Ok(texts) => {
                        tags.extend(texts);
                        return;
                    }
                    Err(reason) => {
                        self.report(
                            Diagnostic::warning(
                                "dynamic-tag",
                                "`--tags` and `--skip-tags` can't name this tag",
                            )
                            .at(node.span, format!("not known before the run: {reason}"))
                            .hint("use a fixed tag, or variables of the play or `-e`"),
                        );
                        tags.push(text.to_string());
                        return;
                    }
                }
            }
            NodeValue::String(text) => text.to_string(),
            NodeValue::Integer(number) => number.to_string(),
            _ => return,
        };
        match commas {
            Commas::Separate => {
                let parts = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                tags.extend(parts.map(str::to_owned));
            }
            Commas::Belong => tags.push(text),
        }
    }

    /// Combinations that can't mean what was meant, and values that can't work.
    fn check_directives(
        &mut self,
        mapping: &Mapping,
        directives: &Directives,
        around: &Surroundings,
    ) {
        let outer = around.context.innermost(|outer| outer.r#become.as_ref());
        let alone = directives.r#become.is_none() && outer.is_none();
        if let Some((key, _)) = mapping.get_entry("become_user").filter(|_| alone) {
            self.report(
                Diagnostic::warning(
                    "become-user-alone",
                    "`become_user` does nothing without `become`",
                )
                .at(key.span, "has no effect here")
                .hint("add `become: true`, here or in the play; or set it in the inventory"),
            );
        }
        if let Some(method) = directives.become_method.as_ref() {
            let known = ["sudo", "ansible.builtin.sudo", "su", "ansible.builtin.su"];
            self.check_choice(
                method,
                "become_method",
                &known,
                "provision has sudo, and su for whom is root already",
            );
        }
        if let Some(connection) = directives.connection.as_ref() {
            let known = [
                "ssh",
                "local",
                "smart",
                "paramiko",
                "paramiko_ssh",
                "ansible.builtin.ssh",
                "ansible.builtin.local",
                "ansible.builtin.paramiko_ssh",
            ];
            self.check_choice(connection, "connection", &known, "provision has ssh and local");
        }
        if let Some(collections) = present(mapping, "collections") {
            self.check_collections(collections);
        }
        if let Some(defaults) = directives.module_defaults.as_ref() {
            self.check_module_defaults(defaults, around);
        }
    }

    fn check_choice(&mut self, node: &Node, name: &str, known: &[&str], note: &str) {
        let constant = |text: &&str| !is_template(text) && !node.is_vault();
        let Some(given) = node.as_str().filter(constant) else { return };
        if known.contains(&given) {
            return;
        }
        let closest = diagnostics::closest(given, known.iter().copied());
        self.report(
            Diagnostic::error("unsupported-value", format!("`{name}: {given}` is not supported"))
                .at(node.span, "unknown to provision")
                .note(note)
                .hint_if(closest.map(|closest| format!("did you mean `{closest}`?"))),
        );
    }

    /// Modules that provision has resolve without collections; others of a collection are looked for.
    fn check_collections(&mut self, node: &Node) {
        const COVERED: &[&str] =
            &["ansible.builtin", "ansible.legacy", "ansible.posix", "community.general"];
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        for item in items {
            if item.as_str().is_none_or(|name| !COVERED.contains(&name)) {
                self.report(
                    Diagnostic::warning(
                        "collections",
                        "of collections provision takes modules and roles only",
                    )
                    .at(item.span, "has no effect")
                    .hint("modules that provision has resolve without it, and win"),
                );
            }
        }
    }

    fn check_module_defaults(&mut self, node: &Node, around: &Surroundings) {
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        for (key, _) in items.iter().filter_map(Node::as_mapping).flat_map(Mapping::iter) {
            let Some(name) = key.as_str() else { continue };
            if name.starts_with("group/") {
                self.report(
                    Diagnostic::error(
                        "unsupported-value",
                        "groups of modules in `module_defaults` are not supported",
                    )
                    .at(key.span, "a group")
                    .hint("name the modules one by one"),
                );
            } else if !self.is_known_module(name, around)
                // Nobody here uses the defaults of a module for other systems.
                && !crate::unsupported::is_of_ansible(name)
            {
                // Facts of network devices have old short names that only Ansible redirects.
                let is_redirected = name.ends_with("_facts");
                self.leniently(is_redirected, |loader| loader.unknown_module(name, key.span));
            }
        }
    }
}

/// What a comma means in a tag.
#[derive(Clone, Copy)]
enum Commas {
    Separate,
    Belong,
}

/// A keyword's conditions.
pub(super) fn conditions(mapping: &Mapping, name: &str) -> Option<Vec<Node>> {
    list(mapping, name)
}

/// A keyword's values, a single one as a list of one.
pub(super) fn list(mapping: &Mapping, name: &str) -> Option<Vec<Node>> {
    let node = present(mapping, name)?;
    Some(match &node.value {
        NodeValue::Sequence(items) => items.clone(),
        _ => vec![node.clone()],
    })
}

/// A boolean keyword that must be known when loading.
pub(crate) fn constant_boolean(node: Option<&Node>) -> Option<bool> {
    match &node?.value {
        NodeValue::Bool(value) => Some(*value),
        NodeValue::Integer(number) => Some(*number == 1),
        NodeValue::String(text) => to_boolean(text),
        _ => None,
    }
}

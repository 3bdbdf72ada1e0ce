//! Templates that must be known when loading: names of imported files and roles, tags.
//!
//! Only variables that are written in the playbook or given on the command line can be used:
//! inventory and facts are not there yet.

use std::path::Path;
use std::sync::Arc;

use diagnostics::Span;
use yaml::{Mapping, Node, NodeValue};

use crate::loader::Loader;
use crate::model::{Context, Level};
use crate::templating::is_template;

impl Loader {
    /// The text of a node, its template resolved. The error is a label for its place.
    pub(super) fn static_text(&self, node: &Node, context: &Context) -> Result<String, String> {
        match &node.value {
            NodeValue::String(text) if is_template(text) && !node.is_unsafe() => {
                let lookup = |name: &str| self.static_variable(name, context, node.span);
                let mut texts = self.templates().render(node, &lookup)?;
                match (texts.pop(), texts.is_empty()) {
                    (Some(text), true) => Ok(text),
                    _ => Err("a list, where text is expected".to_owned()),
                }
            }
            NodeValue::String(text) => Ok(text.to_string()),
            NodeValue::Integer(number) => Ok(number.to_string()),
            _ => Err(format!("expected text, not {}", node.kind())),
        }
    }

    /// The texts of a template that may mean a list.
    pub(super) fn static_list(
        &self,
        node: &Node,
        context: &Context,
    ) -> Result<Vec<String>, String> {
        let lookup = |name: &str| self.static_variable(name, context, node.span);
        self.templates().render(node, &lookup)
    }

    /// A variable that is known when loading, by Ansible's precedence.
    fn static_variable(&self, name: &str, context: &Context, span: Span) -> Option<Node> {
        let text = |path: &Path| Node::string(span, path.display().to_string());
        match name {
            "playbook_dir" => return Some(text(context.playbook_folder())),
            "role_path" => return context.role().map(|role| text(&role.role.folder)),
            "role_name" => {
                if let Some(role) = context.role() {
                    return Some(Node::string(span, role.role.name.as_str()));
                }
            }
            _ => {}
        }
        let in_mapping = |mapping: &Mapping| mapping.get(name).cloned();
        in_mapping(&self.options.extra_variables)
            .or_else(|| self.variable_of_levels(name, context, false))
            .or_else(|| {
                context.chain().find_map(|level| in_mapping(&level.role.as_ref()?.role.vars))
            })
            .or_else(|| self.files_of_variables().iter().rev().find_map(|file| in_mapping(file)))
            .or_else(|| self.variable_of_levels(name, context, true))
            .or_else(|| {
                context.chain().find_map(|level| in_mapping(&level.role.as_ref()?.role.defaults))
            })
    }

    /// Contents of `vars_files`: those of the play that is being loaded; of all plays when
    /// something is included later.
    fn files_of_variables(&self) -> &[Arc<Mapping>] {
        match self.play.variables.as_slice() {
            [] => &self.play_variables,
            own => own,
        }
    }

    fn variable_of_levels(&self, name: &str, context: &Context, of_play: bool) -> Option<Node> {
        context.chain().filter(|level| (level.level == Level::Play) == of_play).find_map(|level| {
            let parameters = level.role.as_ref().and_then(|role| role.parameters.get(name));
            let vars = level.directives.vars.as_ref().and_then(|vars| vars.get(name));
            vars.or(parameters).cloned()
        })
    }
}

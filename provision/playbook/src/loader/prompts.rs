//! `vars_prompt`.

use diagnostics::Diagnostic;
use yaml::{Mapping, Node};

use crate::loader::directives::constant_boolean;
use crate::loader::{Loader, present};
use crate::model::Prompt;
use crate::names::is_identifier;

impl Loader {
    /// The questions of a play.
    pub(super) fn prompts(&mut self, play: &Mapping) -> Vec<Prompt> {
        let list = present(play, "vars_prompt").and_then(Node::as_sequence).unwrap_or_default();
        list.iter().filter_map(|entry| self.prompt(entry)).collect()
    }

    fn prompt(&mut self, entry: &Node) -> Option<Prompt> {
        const KNOWN: &[&str] = &["name", "prompt", "default", "private", "confirm", "unsafe"];
        const NOT_YET: &[&str] = &["encrypt", "salt", "salt_size"];
        let Some(mapping) = entry.as_mapping() else {
            self.report(
                Diagnostic::error(
                    "wrong-type",
                    format!("a prompt is a mapping, not {}", entry.kind()),
                )
                .at(entry.span, "expected `name:` and `prompt:`"),
            );
            return None;
        };
        for (key, _) in mapping.iter() {
            let name = key.as_str().unwrap_or_default();
            if NOT_YET.contains(&name) {
                self.report(
                    Diagnostic::error(
                        "unsupported-keyword",
                        format!("`{name}` is not supported in prompts yet"),
                    )
                    .at(key.span, "a keyword of Ansible")
                    .hint("hash the answer in the task: `{{ answer | password_hash('sha512') }}`"),
                );
            } else if !KNOWN.contains(&name) {
                let closest = diagnostics::closest(name, KNOWN.iter().copied());
                self.report(
                    Diagnostic::error(
                        "unknown-keyword",
                        format!("`{name}` is not a keyword of a prompt"),
                    )
                    .at(key.span, "unknown keyword")
                    .hint_if(closest.map(|closest| format!("did you mean `{closest}`?"))),
                );
            }
        }
        let name = present(mapping, "name").and_then(Node::as_str).unwrap_or_default();
        if !is_identifier(name) {
            self.report(
                Diagnostic::error("variable-name", "a prompt needs the name of a variable")
                    .at(mapping.get("name").map_or(entry.span, |node| node.span), "expected a name")
                    .hint("write `name: my_variable`"),
            );
            return None;
        }
        Some(Prompt {
            name: name.to_owned(),
            prompt: present(mapping, "prompt").cloned(),
            default: present(mapping, "default").cloned(),
            private: constant_boolean(mapping.get("private")).unwrap_or(true),
            confirm: constant_boolean(mapping.get("confirm")).unwrap_or(false),
            span: entry.span,
        })
    }
}

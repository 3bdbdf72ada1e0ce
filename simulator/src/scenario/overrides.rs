//! `--set policy.queue.free=5`: a value of the scenario, or of its policy, from the command line.

use diagnostics::{Diagnostic, Sources, Span};
use yaml::{Mapping, Node, NodeValue, Schema};

/// One `--set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// As it was given: `policy.queue.free=5`.
    pub text: String,
    /// Where the value begins.
    value: usize,
    /// The option that it was given with, for messages.
    option: &'static str,
}

impl Override {
    /// From the argument; an error for people if it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let equals = text.find('=').ok_or("expected KEY.KEY=VALUE")?;
        let (path, _) = text.split_at(equals);
        if path.split('.').any(str::is_empty) {
            return Err("a key is empty".to_owned());
        }
        Ok(Override { text: text.to_owned(), value: equals + 1, option: "--set" })
    }

    /// The same, given with another option.
    #[must_use]
    pub fn of_option(self, option: &'static str) -> Self {
        Override { option, ..self }
    }

    /// Writes the value into a tree. Mappings that are missing on the way are made; what the keys
    /// mean is checked later, like those of the file.
    pub fn apply(&self, root: &mut Node, sources: &mut Sources) -> Result<(), Box<Diagnostic>> {
        let source = sources.add(self.option, self.text.as_str());
        let (path, value) = self.text.split_at(self.value);
        // As many blanks as the path is long: places in the value are places in the argument.
        let padded = format!("{}{value}", " ".repeat(path.len()));
        let mut read = yaml::read(&padded, source, Schema::Strict);
        let value = match (read.diagnostics.pop(), read.documents.pop()) {
            (None, Some(value)) => value,
            (Some(diagnostic), _) => return Err(Box::new(diagnostic)),
            (None, None) => {
                let end = Span::new(source, self.text.len(), self.text.len());
                let diagnostic = Diagnostic::error("set", "there is no value")
                    .at(end, "expected a value")
                    .hint("write KEY.KEY=VALUE");
                return Err(Box::new(diagnostic));
            }
        };
        let mut node = root;
        let mut begin = 0;
        for key in path.trim_end_matches('=').split('.') {
            let span = Span::new(source, begin, begin + key.len());
            node = step(node, key, span)?;
            begin += key.len() + 1;
        }
        *node = value;
        Ok(())
    }
}

/// The node behind a key, made if it isn't there.
fn step<'a>(node: &'a mut Node, key: &str, span: Span) -> Result<&'a mut Node, Box<Diagnostic>> {
    let kind = node.kind();
    let wrong = || {
        let message = format!("`{key}` leads nowhere: it is looked for in {kind}");
        let hint = "keys of mappings are names, those of lists numbers from 0";
        Box::new(Diagnostic::error("set", message).at(span, "not there").hint(hint))
    };
    match &mut node.value {
        NodeValue::Mapping(Mapping { entries }) => {
            let place = entries.iter().position(|(known, _)| known.as_str() == Some(key));
            let place = place.unwrap_or_else(|| {
                let empty = NodeValue::Mapping(Mapping::default());
                entries.push((Node::string(span, key), Node::new(span, empty)));
                entries.len() - 1
            });
            entries.get_mut(place).map(|(_, node)| node).ok_or_else(wrong)
        }
        NodeValue::Sequence(items) => {
            let item = key.parse().ok().and_then(|place: usize| items.get_mut(place));
            item.ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

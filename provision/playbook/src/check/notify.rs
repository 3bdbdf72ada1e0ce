//! Notifications that no handler answers.

use diagnostics::Diagnostic;
use yaml::Node;

use crate::check::survey::{Survey, constant};
use crate::loader::Loader;
use crate::model::Handler;
use crate::templating::holds_template;

impl Loader {
    /// Reports constant notifications that mean no handler of the play.
    pub(crate) fn check_notifications(&mut self, survey: &Survey) {
        // Something that comes later may bring the handler.
        if survey.open || self.options().customs.forgives_missing_handlers {
            return;
        }
        let dynamic = survey
            .handlers
            .iter()
            .any(|handler| handler.task.name.iter().chain(&handler.listen).any(holds_template));
        if dynamic {
            return;
        }
        for task in survey.tasks.iter().map(|surveyed| &surveyed.task) {
            for node in &task.notify {
                self.check_notification(node, survey);
            }
        }
    }

    fn check_notification(&mut self, node: &Node, survey: &Survey) {
        let Some(name) = constant(node).filter(|name| !self.may_be_lost(name)) else { return };
        let answers = |handler: &Handler| handler.is_named(name) || handler.listens_to(name);
        if survey.handlers.iter().any(|handler| answers(handler)) {
            return;
        }
        let names: Vec<&str> = survey
            .handlers
            .iter()
            .flat_map(|handler| handler.task.name.iter().chain(&handler.listen))
            .filter_map(Node::as_str)
            .collect();
        let diagnostic =
            Diagnostic::error("unknown-handler", format!("no handler is called `{name}`"))
                .at(node.span, "notifies nobody");
        let diagnostic = if names.is_empty() {
            diagnostic.note("the play has no handlers")
        } else {
            let mut shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            shown.dedup();
            shown.truncate(HANDLERS_SHOWN);
            diagnostic.note(format!("handlers and topics: {}", shown.join(", ")))
        };
        let hint = match diagnostics::closest(name, names.iter().copied()) {
            Some(closest) => format!("did you mean `{closest}`?"),
            None => format!("add a handler with `name: {name}` below `handlers:`"),
        };
        let mut diagnostic = diagnostic.hint(hint);
        if self.options().customs.misses_handlers_late {
            diagnostic.severity = diagnostics::Severity::Warning;
            diagnostic = diagnostic.note("the run ends where it is notified");
        }
        self.report(diagnostic);
    }
}

/// How many names a message lists: more is noise.
const HANDLERS_SHOWN: usize = 12;

//! What queues can't be together with, told where the file says it.

use diagnostics::Diagnostic;
use simulator_model::Model;
use simulator_model::central::{self, Unfit};

use super::file::File;
use super::stages;

/// Whether the queues of a model can be simulated; errors are added to `found`.
pub(super) fn check(file: &File, model: &Model, found: &mut Vec<Diagnostic>) {
    let Err(reason) = central::check(model) else { return };
    let (span, hint) = match reason {
        Unfit::Links => (stages::shared(file), "remove `machine`, or use `scope: node`"),
        Unfit::Crowds => {
            let given = file.apps.0.iter().find_map(|(_, app)| app.concurrency);
            (given.map(|given| given.span), "remove it, or use `scope: node`")
        }
    };
    let message = "policy.queue.scope can't be central here".to_owned();
    let diagnostic = Diagnostic::error("scenario", message).hint(hint);
    found.push(match span {
        Some(span) => diagnostic.at(span, reason.to_string()),
        None => diagnostic,
    });
}

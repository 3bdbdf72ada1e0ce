//! From `borrows` of apps to the sharing of a model.

use diagnostics::Diagnostic;
use policy::config::Policy;
use simulator_model::sharing::Unfit;
use simulator_model::{Model, Pair, Sharing};

use super::check::Check;
use super::file::File;

impl Check<'_> {
    /// Who borrows from whom, if anybody does.
    pub(super) fn sharing(&mut self, file: &File, policy: &Policy) -> Option<Sharing> {
        let mut pairs = Vec::new();
        for (borrower, (_, app)) in file.apps.0.iter().enumerate() {
            let Some(lender) = &app.borrows else { continue };
            if let Some(lender) = self.reference(lender, &file.apps, "app") {
                pairs.push(Pair { lender, borrower });
            }
        }
        (!pairs.is_empty()).then_some(Sharing { rules: policy.sharing, pairs })
    }
}

/// Whether the apps of a model can share as the file says; errors are added to `found`.
pub(super) fn check(file: &File, model: &Model, found: &mut Vec<Diagnostic>) {
    let Some(sharing) = &model.dynamics.sharing else { return };
    let Err((pair, reason)) = sharing.check(model) else { return };
    let borrower = sharing.pairs.get(pair).and_then(|pair| file.apps.0.get(pair.borrower));
    let borrows = borrower.and_then(|(_, app)| app.borrows.as_ref());
    let message = "these apps can't share".to_owned();
    let diagnostic = Diagnostic::error("scenario", message);
    let diagnostic = match borrows {
        Some(borrows) => diagnostic.at(borrows.span, reason.to_string()),
        None => diagnostic,
    };
    let hint = match reason {
        Unfit::Scales => Some("give it a fixed number of `instances`, or let it not borrow"),
        Unfit::Scheduler => Some("remove `scheduler`, `upgrades` and `control: scheduler`"),
        Unfit::CoolDown => Some("shorten the cool-down, or give more time"),
        Unfit::Machines => Some("leave `machines` out: an app is on all of them then"),
        Unfit::Twice | Unfit::Crowds | Unfit::Needs | Unfit::Interval | Unfit::Central => None,
    };
    found.push(match hint {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    });
}

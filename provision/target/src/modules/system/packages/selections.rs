//! `dpkg_selections`.

use provision_protocol::Object;
use serde::Deserialize;

use super::super::process::Run;
use super::dpkg::Database;
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Outcome, arguments};

#[derive(Debug, Deserialize)]
struct SelectionArguments {
    name: String,
    selection: String,
}

/// `dpkg_selections`: sets what dpkg is to do with a package.
///
/// # Errors
/// When dpkg doesn't know the package.
pub fn dpkg_selections(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: SelectionArguments = arguments(given)?;
    let database = Database::read()?;
    let current = database.find(&given.name).map(|package| package.selection.as_str());
    // dpkg remembers packages that are gone as `unknown`.
    let Some(current) = current.filter(|selection| !matches!(*selection, "" | "unknown")) else {
        let (name, selection) = (&given.name, &given.selection);
        let message =
            format!("Failed to find package '{name}' to perform selection '{selection}'.");
        return if context.check {
            Ok(Outcome { skipped: Some(message), ..Outcome::default() })
        } else {
            Err(Failure::new(message))
        };
    };
    let mut outcome = Outcome::new(current != given.selection)
        .with("before", current)
        .with("after", given.selection.as_str());
    if !outcome.changed {
        return Ok(outcome);
    }
    if context.diff {
        let mut change = AttributeChange::default();
        change.note("selection", current, given.selection.as_str());
        outcome.diff.push(change.diff());
    }
    if !context.check {
        context.about_to_change()?;
        let line = format!("{} {}\n", given.name, given.selection);
        let run = Run::tool("dpkg")?.parsable().argument("--set-selections");
        run.input(line.into_bytes()).succeed(context)?;
    }
    Ok(outcome)
}

//! `resume`: goes on with a run of this operator, whose journal is here, or with one of another
//! operator, which has left notes on the members.

use std::sync::Arc;

use provision_engine::discovery::Discovery;
use provision_engine::release::{Journals, Refusal, chosen};
use provision_lifecycle::{Given, Goal, Note, Options, Purpose, Version};

use super::change::{Begun, look};
use super::screen::refuse;
use super::{prepared, view, with_inventories};
use crate::apply;
use crate::arguments::{OfReleases, Output, Resume};
use crate::exit::Exit;

pub(super) async fn resume(arguments: &Resume) -> Exit {
    let past = match Journals::default().find(arguments.run.as_deref()) {
        Ok(past) => past,
        Err(message) => {
            if let (Some(name), false) = (&arguments.run, arguments.of.reach.inventory.is_empty()) {
                return of_another(name, &arguments.of).await;
            }
            let hint = "journals are kept on the machine and for the user that ran it; of another \
                        operator: provision resume COMPONENT -i INVENTORY";
            return refuse(&Refusal::new(message, hint), Exit::Refused);
        }
    };
    if !past.is_open() {
        let how = match (&past.replaced_by, &past.end) {
            (Some(later), _) => format!("run {later} came after it"),
            (None, end) => end.clone().unwrap_or_else(|| "ended".to_owned()),
        };
        let message = format!("run {} is over: {how}", past.run);
        let hint = "begin a new one with upgrade or rollback";
        return refuse(&Refusal::new(message, hint), Exit::Refused);
    }
    let of = &arguments.of;
    let of = OfReleases {
        reach: with_inventories(&of.reach, &past.request.inventories),
        playbooks: past.request.playbooks.clone(),
        ..of.clone()
    };
    if let Err(refusal) = same_variables(&past.run, past.request.variables.as_ref(), &of) {
        return refuse(&refusal, Exit::Refused);
    }
    // The cluster that is being restarted may be the one that knows the hosts.
    let discovery = match Journals::default().frozen(&past) {
        Ok(Some(snapshots)) => Arc::new(Discovery::frozen(snapshots)),
        Ok(None) => apply::discovery(true, &of.reach),
        Err(message) => {
            let hint = "begin a new run with upgrade or rollback";
            return refuse(&Refusal::new(message, hint), Exit::Refused);
        }
    };
    let component = std::slice::from_ref(&past.request.component);
    let prepared = match prepared(&of, component, discovery) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    if arguments.of.output == Output::Human {
        let at = past.step.as_ref().map(|step| view::names(step.members()));
        let at = at.map(|at| format!(", which was at {at}")).unwrap_or_default();
        say!("going on with run {}{at}", past.run);
    }
    let (goal, options) = (past.request.goal.clone(), past.request.options);
    let mut begun = match look(&of, prepared, goal, options).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    if let Err(refusal) = begun.change.take_over(&past) {
        return begun.give_up(refusal).await;
    }
    begun.run(Some(&past.run)).await
}

/// What the members tell of a run, without a journal of it.
async fn of_another(component: &str, of: &OfReleases) -> Exit {
    let component = component.to_owned();
    let discovery = apply::discovery(true, &of.reach);
    let prepared = match prepared(of, std::slice::from_ref(&component), discovery) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let members = match chosen(&prepared, &component, None) {
        Ok(members) => members,
        Err(refusal) => return refuse(&refusal, Exit::InvalidInput),
    };
    // What is meant is known only when the members were asked.
    let Ok(version) = Version::parse("0") else { return Exit::Usage };
    let goal = Goal { purpose: Purpose::Restart, version, members };
    let begun = match look(of, prepared, goal, Options::default()).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    match begun.change.note.clone() {
        Some(note) => go_on(begun, &note, of).await,
        None => {
            let message =
                format!("no member of {component} tells of a run that did not reach its end");
            let hint = "`provision status` shows all members";
            begun.give_up(Refusal::new(message, hint)).await
        }
    }
}

async fn go_on(mut begun: Begun, note: &Note, of: &OfReleases) -> Exit {
    if let Err(refusal) = same_variables(&note.run, note.variables.as_ref(), of) {
        return begun.give_up(refusal).await;
    }
    if of.output == Output::Human {
        say!("going on with {}", view::note(note, provision_engine::release::now_ms()));
    }
    begun.change.take_over_note(note);
    begun.run(None).await
}

/// With other variables the members that are left would get another configuration.
fn same_variables(run: &str, then: Option<&Given>, of: &OfReleases) -> Result<(), Refusal> {
    let now = Given::of(&of.reach.extra_vars);
    if then == now.as_ref() {
        return Ok(());
    }
    let words = |given: Option<&Given>| match given {
        None => "no -e".to_owned(),
        Some(given) => {
            let words: Vec<String> = given.names.iter().map(|name| format!("-e {name}")).collect();
            words.join(" ")
        }
    };
    Err(Refusal::new(
        format!(
            "run {run} was begun with {}, and now there is {}",
            words(then),
            words(now.as_ref())
        ),
        "give the same variables, so that all members come out alike",
    ))
}

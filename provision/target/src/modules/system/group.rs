//! `group`.

use provision_protocol::Object;
use serde::Deserialize;

use super::accounts;
use super::process::{Finished, Run};
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::names::Group;

#[derive(Debug, Deserialize)]
struct GroupArguments {
    name: String,
    state: Option<String>,
    gid: Option<u32>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    local: bool,
    #[serde(default)]
    non_unique: bool,
    gid_min: Option<u32>,
    gid_max: Option<u32>,
}

/// `group`: manages a group.
///
/// # Errors
/// When the arguments contradict each other or a command of the system fails.
pub fn group(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: GroupArguments = arguments(given)?;
    check(&given)?;
    let present = given.state.as_deref() != Some("absent");
    let before = find(&given)?;
    let mut change = AttributeChange::default();
    let run = match (&before, present) {
        (None, true) => {
            change.note("state", "absent", "present");
            Some(addition(&given)?)
        }
        (Some(_), false) => {
            change.note("state", "present", "absent");
            Some(removal(&given)?)
        }
        (Some(group), true) => modification(&given, group, &mut change)?,
        (None, false) => None,
    };
    let mut outcome = Outcome::new(run.is_some())
        .with("name", given.name.as_str())
        .with("state", if present { "present" } else { "absent" });
    if context.diff && outcome.changed {
        outcome.diff.push(change.diff());
    }
    if let Some(run) = run.filter(|_| !context.check) {
        context.about_to_change()?;
        show(&mut outcome, &succeeded(run.run(context)?, &given.name)?);
    }
    if let Some(group) = find(&given)?.filter(|_| present) {
        outcome = outcome.with("system", given.system).with("gid", group.gid);
    }
    Ok(outcome)
}

fn check(given: &GroupArguments) -> Result<(), Failure> {
    if given.force && given.local {
        return Err(Failure::new(
            "force is not a valid option for local, force=True and local=True are mutually \
             exclusive",
        ));
    }
    if given.non_unique && given.gid.is_none() {
        return Err(Failure::new("non_unique is True but all of the following are missing: gid"));
    }
    for (name, value) in [("gid_min", given.gid_min), ("gid_max", given.gid_max)] {
        if given.local && value.is_some() {
            return Err(Failure::new(format!("'{name}' can not be used with 'local'")));
        }
    }
    Ok(())
}

fn find(given: &GroupArguments) -> Result<Option<Group>, Failure> {
    if given.local && !accounts::is_local("/etc/group", &given.name) {
        return Ok(None);
    }
    accounts::group_by_name(&given.name)
}

fn addition(given: &GroupArguments) -> Result<Run, Failure> {
    let mut run = Run::tool(if given.local { "lgroupadd" } else { "groupadd" })?;
    if let Some(gid) = given.gid {
        run = run.arguments(["-g", &gid.to_string()]);
        if given.non_unique {
            run = run.argument("-o");
        }
    }
    if given.system {
        run = run.argument("-r");
    }
    for (name, value) in [("GID_MIN", given.gid_min), ("GID_MAX", given.gid_max)] {
        if let Some(value) = value {
            run = run.arguments(["-K", &format!("{name}={value}")]);
        }
    }
    Ok(run.argument(&given.name))
}

fn modification(
    given: &GroupArguments,
    group: &Group,
    change: &mut AttributeChange,
) -> Result<Option<Run>, Failure> {
    let Some(gid) = given.gid.filter(|gid| *gid != group.gid) else { return Ok(None) };
    change.note("gid", group.gid, gid);
    let run = Run::tool(if given.local { "lgroupmod" } else { "groupmod" })?;
    let run = run.arguments(["-g", &gid.to_string()]);
    let run = if given.non_unique { run.argument("-o") } else { run };
    Ok(Some(run.argument(&given.name)))
}

fn removal(given: &GroupArguments) -> Result<Run, Failure> {
    let run = Run::tool(if given.local { "lgroupdel" } else { "groupdel" })?;
    let run = if given.force { run.argument("-f") } else { run };
    Ok(run.argument(&given.name))
}

/// Fails with the program's own words unless it ended well.
pub(super) fn succeeded(finished: Finished, name: &str) -> Result<Finished, Failure> {
    if finished.succeeded() {
        return Ok(finished);
    }
    let said = finished.stderr_text();
    let said = if said.trim().is_empty() { finished.stdout_text() } else { said };
    Err(Failure::new(said.trim_end()).with("name", name).with("rc", finished.rc))
}

/// Adds what a program said, if it said anything.
pub(super) fn show(outcome: &mut Outcome, finished: &Finished) {
    for (name, text) in [("stdout", finished.stdout_text()), ("stderr", finished.stderr_text())] {
        if !text.is_empty() {
            let lines: Vec<&str> = super::words::lines(&text);
            outcome.values.insert(format!("{name}_lines"), lines.into());
            outcome.values.insert(name.to_owned(), text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn what_is_there_stays() {
        let outcome = context().call(group, json!({"name": "root", "gid": 0})).unwrap();
        assert!(!outcome.changed);
        assert_eq!(outcome.values["gid"], 0);
        let given = json!({"name": "no-such-group", "state": "absent"});
        assert!(!context().call(group, given).unwrap().changed);
    }

    #[test]
    fn checks_predict() {
        let call = |given| context().checking().call(group, given).unwrap();
        assert!(call(json!({"name": "no-such-group"})).changed);
        assert!(call(json!({"name": "root", "state": "absent"})).changed);
        assert!(call(json!({"name": "root", "gid": 4711})).changed);
    }

    #[test]
    fn contradictions_are_refused() {
        let mut bench = context();
        for given in [
            json!({"name": "x", "force": true, "local": true}),
            json!({"name": "x", "non_unique": true}),
            json!({"name": "x", "local": true, "gid_min": 5}),
        ] {
            assert!(bench.call(group, given).is_err());
        }
    }
}

//! `provision status`: what runs where, and what is not as it should be.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use provision_lifecycle::{Kind, Observed, Version};
use serde::Serialize;

use super::{begin, prepared, view};
use crate::apply;
use crate::arguments::{Output, Status};
use crate::exit::Exit;
use crate::paint;

/// Version of the lines of `--output ndjson`.
const STATUS_FORMAT: u32 = 1;

/// One component, as a line for programs.
#[derive(Debug, Serialize)]
struct Line<'a> {
    format: u32,
    component: &'a str,
    kind: Kind,
    wanted: Option<&'a Version>,
    observed: &'a Observed,
    drift: Vec<Drift>,
}

#[derive(Debug, Serialize)]
struct Drift {
    member: String,
    text: String,
}

/// Asks all members and shows what they say.
pub async fn status(arguments: &Status) -> Exit {
    let discovery = apply::discovery(false, &arguments.of.reach);
    let prepared = match prepared(&arguments.of, &arguments.components, discovery) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    if prepared.components.is_empty() {
        let hint = "the groups of component.yml have no hosts in it";
        paint::error("the inventory has no member of any component", Some(hint));
        return Exit::InvalidInput;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut releases = match begin(&arguments.of, prepared, false, &stop) {
        Ok(releases) => releases,
        Err(exit) => return exit,
    };
    let (mut unreachable, mut differs) = (false, false);
    for (number, component) in releases.components().to_vec().into_iter().enumerate() {
        let observed = releases.observe(number).await;
        let member = observed.members.first().map(|member| member.name.clone());
        let wanted = releases.wanted(number, &member.unwrap_or_default());
        let definition = &component.definition;
        let (name, kind) = (definition.name.value.as_str(), definition.kind.value);
        let drift: Vec<Drift> = match &wanted {
            Ok(wanted) => observed
                .members
                .iter()
                .filter_map(|member| {
                    let text = view::drift(member, wanted)?;
                    Some(Drift { member: member.name.clone(), text })
                })
                .collect(),
            Err(_) => Vec::new(),
        };
        unreachable |= observed.members.iter().any(|member| !member.is_reachable());
        let is_bad = |member: &provision_lifecycle::Member| member.role().is_none();
        differs |= wanted.is_err() || !drift.is_empty() || observed.members.iter().any(is_bad);
        match arguments.of.output {
            Output::Human => {
                if number > 0 {
                    say!("");
                }
                let wanted = wanted.as_ref().map_err(String::as_str);
                say!("{}", view::table(name, kind, &observed, wanted));
            }
            Output::Ndjson => {
                let wanted = wanted.as_ref().ok();
                let observed = &observed;
                let line =
                    Line { format: STATUS_FORMAT, component: name, kind, wanted, observed, drift };
                say!("{}", serde_json::to_string(&line).unwrap_or_default());
            }
        }
    }
    releases.finish().await;
    match (unreachable, arguments.exit_code && differs) {
        (true, _) => Exit::Unreachable,
        (false, true) => Exit::WouldChange,
        (false, false) => Exit::Done,
    }
}

//! `provision status`: what runs where, and what is not as it should be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use provision_discovery::{Registered, Registry};
use provision_engine::release::now_ms;
use provision_lifecycle::{Kind, Member, Note, Observed, Version};
use serde::Serialize;

use super::{begin, from_consul, prepared, view};
use crate::apply;
use crate::arguments::{Output, Status};
use crate::exit::Exit;
use crate::paint::{self, CHANGED, styled};

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
    /// A run that did not reach its end.
    unfinished: Option<&'a Note>,
    /// What members have registered in Consul, if that is a source of the inventory.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<BTreeMap<&'a str, &'a Registered>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Drift {
    pub(super) member: String,
    pub(super) text: String,
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
    let taken = prepared.loaded.discovery.taken();
    let registry = Registry::of(taken.iter().map(|snapshot| &snapshot.catalog));
    if arguments.from_consul {
        return from_consul::status(arguments, prepared, &registry).await;
    }
    let registry = registry.tells_of_releases().then_some(&registry);
    let stop = Arc::new(AtomicBool::new(false));
    let mut releases = match begin(&arguments.of, prepared, false, &stop) {
        Ok(releases) => releases,
        Err(exit) => return exit,
    };
    let (mut unreachable, mut differs) = (false, false);
    for (number, component) in releases.components().to_vec().into_iter().enumerate() {
        let observed = releases.observe(number).await;
        let reachable = observed.members.iter().filter(|member| member.is_reachable());
        let reachable: Vec<String> = reachable.map(|member| member.name.clone()).collect();
        let note = releases.read_note(number, &reachable).await;
        let member = observed.members.first().map(|member| member.name.clone());
        let wanted = releases.wanted(number, &member.unwrap_or_default());
        let definition = &component.definition;
        let (name, kind) = (definition.name.value.as_str(), definition.kind.value);
        let wanted_one = wanted.as_ref().ok();
        let drift = drift(&observed, wanted_one, name, registry);
        unreachable |= observed.members.iter().any(|member| !member.is_reachable());
        let is_bad = |member: &Member| member.role().is_none();
        differs |= wanted.is_err() || !drift.is_empty() || observed.members.iter().any(is_bad);
        match arguments.of.output {
            Output::Human => {
                if number > 0 {
                    say!("");
                }
                let wanted = wanted.as_ref().map_err(String::as_str);
                say!("{}", view::table(name, kind, &observed, wanted, registry));
                if let Some(note) = &note {
                    let text = format!("unfinished: {}", view::note(note, now_ms()));
                    say!("  {}", styled(CHANGED, &text));
                }
            }
            Output::Ndjson => {
                let wanted = wanted.as_ref().ok();
                let observed = &observed;
                let members = observed.members.iter();
                let registered = registry.map(|registry| {
                    let told = |member: &Member| registry.host(&member.name);
                    members.filter_map(|one| Some((one.name.as_str(), told(one)?))).collect()
                });
                let line = Line {
                    format: STATUS_FORMAT,
                    component: name,
                    kind,
                    wanted,
                    observed,
                    drift,
                    unfinished: note.as_ref(),
                    registered,
                };
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

/// What is not as the inventory wants it, or not as Consul tells it.
fn drift(
    observed: &Observed,
    wanted: Option<&Version>,
    component: &str,
    registry: Option<&Registry>,
) -> Vec<Drift> {
    let of = |member: &Member| {
        let differs = wanted.and_then(|wanted| view::drift(member, wanted));
        let told = registry.and_then(|known| view::misregistered(member, component, known));
        let texts = [differs, told].into_iter().flatten();
        texts.map(|text| Drift { member: member.name.clone(), text }).collect::<Vec<_>>()
    };
    observed.members.iter().flat_map(of).collect()
}

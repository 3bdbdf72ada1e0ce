//! `provision status --from-consul`: what hosts have registered, and what is wanted; nobody is asked
//! but Consul.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use provision_discovery::{Registered, Registry};
use provision_engine::release::Prepared;
use provision_lifecycle::Version;
use serde::Serialize;

use super::status::Drift;
use super::{begin, view};
use crate::arguments::{Output, Status};
use crate::exit::Exit;
use crate::paint::{self, BAD, CHANGED, FAINT, GOOD, harmless, styled};

/// Version of the lines of `--output ndjson`.
const FORMAT: u32 = 1;

/// One component, as a line for programs.
#[derive(Debug, Serialize)]
struct Line<'a> {
    format: u32,
    component: &'a str,
    wanted: Option<&'a Version>,
    /// Members by name; `null`: Consul has no such node.
    registered: BTreeMap<&'a str, Option<&'a Registered>>,
    drift: Vec<Drift>,
}

/// Shows what is registered.
pub(super) async fn status(arguments: &Status, prepared: Prepared, registry: &Registry) -> Exit {
    if prepared.loaded.discovery.taken().is_empty() {
        let hint = "-i consul://HOST:8500, or a mapping file, beside what names the groups";
        paint::error("no source of the inventory is Consul", Some(hint));
        return Exit::InvalidInput;
    }
    // No host is contacted: only variables are looked up.
    let stop = Arc::new(AtomicBool::new(false));
    let releases = match begin(&arguments.of, prepared, false, &stop) {
        Ok(releases) => releases,
        Err(exit) => return exit,
    };
    let mut differs = false;
    for (number, component) in releases.components().iter().enumerate() {
        let names: Vec<&str> = component.members.iter().map(|(name, _)| name.as_str()).collect();
        let wanted = releases.wanted(number, names.first().copied().unwrap_or_default());
        let component = component.definition.name.value.as_str();
        let drift = drift(&names, component, wanted.as_ref().ok(), registry);
        differs |= wanted.is_err() || !drift.is_empty();
        match arguments.of.output {
            Output::Human => {
                if number > 0 {
                    say!("");
                }
                let wanted = wanted.as_ref().map_err(String::as_str);
                say!("{}", table(component, &names, wanted, registry, &drift));
            }
            Output::Ndjson => {
                let registered = names.iter().map(|name| (*name, registry.host(name))).collect();
                let wanted = wanted.as_ref().ok();
                let line = Line { format: FORMAT, component, wanted, registered, drift };
                say!("{}", serde_json::to_string(&line).unwrap_or_default());
            }
        }
    }
    releases.finish().await;
    if arguments.exit_code && differs { Exit::WouldChange } else { Exit::Done }
}

/// What is not as it is wanted, of members and of others that tell of the component.
fn drift(
    names: &[&str],
    component: &str,
    wanted: Option<&Version>,
    registry: &Registry,
) -> Vec<Drift> {
    let of = |name: &str| {
        let told = match registry.host(name) {
            None => return Some("Consul has no such node".to_owned()),
            Some(host) if host.is_alive == Some(false) => {
                return Some("its node is down".to_owned());
            }
            Some(host) => host.releases.get(component),
        };
        match (told, wanted) {
            (None, _) => Some("not registered".to_owned()),
            (Some(told), Some(wanted)) if told != wanted.as_str() => {
                Some(format!("has {}", harmless(told)))
            }
            (Some(_), _) => None,
        }
    };
    let mut drift: Vec<Drift> = names
        .iter()
        .filter_map(|name| Some(Drift { member: (*name).to_owned(), text: of(name)? }))
        .collect();
    let others = registry.with_component(component).filter(|(name, _)| !names.contains(name));
    drift.extend(others.map(|(name, release)| Drift {
        member: name.to_owned(),
        text: format!("has {}, and is not in the group", harmless(release)),
    }));
    drift
}

fn table(
    component: &str,
    names: &[&str],
    wanted: Result<&Version, &str>,
    registry: &Registry,
    drift: &[Drift],
) -> String {
    let mut rows = vec![["HOST", "RACK", "REGISTERED"].map(str::to_owned).to_vec()];
    let shown = |text: Option<&String>| text.map_or("-".to_owned(), |text| harmless(text));
    for name in names {
        let host = registry.host(name);
        let rack = shown(host.and_then(|host| host.rack.as_ref()));
        let release = shown(host.and_then(|host| host.releases.get(component)));
        rows.push(vec![(*name).to_owned(), rack, release]);
    }
    let mut lines =
        vec![format!("{}; {}", view::wanted_head(component, wanted), "as Consul has it")];
    let text_of = |name: &str| drift.iter().find(|one| one.member == name);
    for (number, cells) in view::aligned(&rows).into_iter().enumerate() {
        let name = number.checked_sub(1).and_then(|number| names.get(number));
        lines.push(match name {
            None => styled(FAINT, &format!("  {cells}  NODE")),
            Some(name) => {
                let alive = match registry.host(name).map(|host| host.is_alive) {
                    None => styled(BAD, "-"),
                    Some(None) => "nobody checks".to_owned(),
                    Some(Some(true)) => styled(GOOD, "alive"),
                    Some(Some(false)) => styled(BAD, "down"),
                };
                let text = text_of(name).map(|one| format!("; {}", styled(CHANGED, &one.text)));
                format!("  {cells}  {alive}{}", text.unwrap_or_default())
            }
        });
    }
    let others = drift.iter().filter(|one| !names.contains(&one.member.as_str()));
    lines.extend(
        others.map(|one| format!("  {}: {}", harmless(&one.member), styled(CHANGED, &one.text))),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use provision_discovery::Catalog;

    use super::*;

    #[test]
    fn what_is_registered_is_compared_with_what_is_wanted() {
        let catalog: Catalog = serde_json::from_str(
            r#"{"nodes": [
                {"Node": "zk1", "Address": "1.1.1.1",
                    "Meta": {"release_zookeeper": "3.9.3", "rack": "a"}},
                {"Node": "zk2", "Address": "1.1.1.2", "Meta": {"release_zookeeper": "3.8.0"}},
                {"Node": "zk3", "Address": "1.1.1.3", "Meta": {}},
                {"Node": "zk5", "Address": "1.1.1.5", "Meta": {"release_zookeeper": "3.9.3"}},
                {"Node": "w7", "Address": "1.1.1.7", "Meta": {"release_zookeeper": "\u001b[1m"}}],
              "checks": [
                {"Node": "zk1", "CheckID": "serfHealth", "Status": "passing"},
                {"Node": "zk5", "CheckID": "serfHealth", "Status": "critical"}],
              "services": {}, "keys": []}"#,
        )
        .unwrap();
        let registry = Registry::of([&catalog]);
        let wanted = Version::parse("3.9.3").unwrap();
        let names = ["zk1", "zk2", "zk3", "zk4", "zk5"];
        let drift = drift(&names, "zookeeper", Some(&wanted), &registry);
        let text = table("zookeeper", &names, Ok(&wanted), &registry, &drift);
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "zookeeper  wanted 3.9.3; as Consul has it\n  \
             HOST  RACK  REGISTERED  NODE\n  \
             zk1   a     3.9.3       alive\n  \
             zk2   -     3.8.0       nobody checks; has 3.8.0\n  \
             zk3   -     -           nobody checks; not registered\n  \
             zk4   -     -           -; Consul has no such node\n  \
             zk5   -     3.9.3       down; its node is down\n  \
             w7: has \\u{1b}[1m, and is not in the group"
        );
    }
}

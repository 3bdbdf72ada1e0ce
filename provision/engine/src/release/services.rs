//! Components that the inventory names: the keys of its variable `services`. They share one role.

use std::collections::BTreeMap;
use std::path::Path;

use diagnostics::Diagnostic;
use serde_json::Value;

use super::prepare::PrepareFailure;
use super::{plays, wanted};
use crate::load::{LoadFailure, LoadRequest, load};

/// Names and groups of the services.
///
/// # Errors
/// The inventory is wrong, or what it says of services is.
pub(super) fn of_inventory(
    request: &LoadRequest,
    playbooks: &Path,
) -> Result<BTreeMap<String, String>, PrepareFailure> {
    // Without plays: who is there has to be known before plays can be made of it.
    let (playbook, texts) = plays::texts(playbooks, &[]);
    let request = LoadRequest { playbooks: vec![playbook], texts, ..request.clone() };
    let loaded = load(&request).map_err(PrepareFailure::Invalid)?;
    let world = &loaded.world;
    let (mut services, mut wrong) = (BTreeMap::new(), Vec::new());
    for host in world.host_names() {
        // A host without the variable has none.
        let value = wanted::variable(world, &world.host_or_new(&host), "services | default({})");
        match value.and_then(|value| read(&value)) {
            Ok(found) => found.into_iter().for_each(|(name, group)| {
                services.entry(name).or_insert(group);
            }),
            Err(error) => {
                let message = format!("`services` of {host}: {error}");
                if !wrong.contains(&message) {
                    wrong.push(message);
                }
            }
        }
    }
    if wrong.is_empty() {
        return Ok(services);
    }
    let diagnostics =
        wrong.into_iter().map(|message| Diagnostic::error("services", message)).collect();
    let sources = loaded.loader.sources().clone();
    Err(PrepareFailure::Invalid(Box::new(LoadFailure { diagnostics, sources, hosts: 0, tasks: 0 })))
}

/// `services: {NAME: {group: GROUP, …}}`
fn read(services: &Value) -> Result<Vec<(String, String)>, String> {
    let Value::Object(services) = services else {
        return Err("it is no mapping of names".to_owned());
    };
    let one = |(name, service): (&String, &Value)| {
        if !is_name(name) {
            return Err(format!(
                "`{name}` can't be a service: small letters, digits and hyphens, at most 31"
            ));
        }
        let group = match service.get("group") {
            None => name.clone(),
            Some(Value::String(group)) => group.clone(),
            Some(_) => return Err(format!("`group` of {name} is no text")),
        };
        Ok((name.clone(), group))
    };
    services.iter().map(one).collect()
}

/// It becomes part of paths, of a unit's name and of a user's, which Linux limits.
fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_lowercase();
    name.len() <= 31
        && name.starts_with(is_letter)
        && name.chars().all(|sign| is_letter(sign) || sign.is_ascii_digit() || sign == '-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn a_service_runs_on_its_group_or_on_the_one_of_its_name() {
        let found = read(&json!({"web": {"group": "front"}, "jobs": {}})).unwrap();
        let expected = [("web", "front"), ("jobs", "jobs")];
        assert_eq!(found, expected.map(|(name, group)| (name.to_owned(), group.to_owned())));
        assert_eq!(read(&json!({})).unwrap(), []);
    }

    #[test]
    fn what_can_be_no_service_is_refused() {
        for wrong in [
            json!(["web"]),
            json!({"../etc": {}}),
            json!({"Web": {}}),
            json!({"9web": {}}),
            json!({"": {}}),
            json!({"web": {"group": 3}}),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}

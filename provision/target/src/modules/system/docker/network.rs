//! `docker_network` and `docker_volume`.

use provision_protocol::Object;
use serde_json::Value;

use super::Docker;
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Given, Outcome};

/// What is compared: parameter, option, place.
type Field = (&'static str, &'static str, &'static str);

const NETWORK: &[Field] = &[
    ("driver", "--driver", "/Driver"),
    ("driver_options", "--opt", "/Options"),
    ("labels", "--label", "/Labels"),
    ("internal", "--internal", "/Internal"),
    ("attachable", "--attachable", "/Attachable"),
    ("ingress", "--ingress", "/Ingress"),
    ("scope", "--scope", "/Scope"),
    ("enable_ipv6", "--ipv6", "/EnableIPv6"),
    ("ipam_driver", "--ipam-driver", "/IPAM/Driver"),
    ("ipam_driver_options", "--ipam-opt", "/IPAM/Options"),
];

const VOLUME: &[Field] = &[
    ("driver", "--driver", "/Driver"),
    ("driver_options", "--opt", "/Options"),
    ("labels", "--label", "/Labels"),
];

/// What an `ipam_config` says, and what docker calls it.
const POOL: &[(&str, &str, &str)] = &[
    ("subnet", "--subnet", "Subnet"),
    ("iprange", "--ip-range", "IPRange"),
    ("gateway", "--gateway", "Gateway"),
];

/// `docker_network`: a network, and who is in it.
///
/// # Errors
/// When docker isn't there or refuses.
pub fn docker_network(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let docker = Docker::new(given);
    let name = given.word("name");
    let mut actions: Vec<String> = Vec::new();
    let mut change = AttributeChange::default();
    let mut now = docker.inspect("network", name, context)?;
    let absent = given.is("state", "absent");
    let mut connected: Vec<String> =
        given.words("connected").into_iter().map(str::to_owned).collect();
    if let Some(there) = &now {
        let mut found = differences(NETWORK, given, there);
        found.extend(other_pools(given, there));
        if absent || !found.is_empty() || given.flag("force") {
            if connected.is_empty() && !absent {
                connected = members(there);
            }
            for member in members(there) {
                let words = ["network", "disconnect", "--force", "--", name, &member];
                docker.change("disconnecting a container", &words, context)?;
                actions.push(format!("Disconnected container {member}"));
            }
            docker.change("removing network", &["network", "rm", "--", name], context)?;
            actions.push(format!("Removed network {name}"));
            found.into_iter().for_each(|(name, wanted, is)| change.note(name, is, wanted));
            change.note("exists", true, false);
            now = None;
        }
    }
    if !absent {
        if now.is_none() {
            docker.change("creating network", &create_words(given), context)?;
            actions.push(format!("Created network {name} with driver {}", given.word("driver")));
            change.note("exists", false, true);
        }
        let there = now.as_ref().map(members).unwrap_or_default();
        for member in connected.iter().filter(|member| !there.contains(member)) {
            let words = ["network", "connect", "--", name, member];
            docker.change("connecting a container", &words, context)?;
            actions.push(format!("Connected container {member}"));
        }
        if given.0.contains_key("connected") && !given.flag("appends") {
            for member in there.iter().filter(|member| !connected.contains(member)) {
                let words = ["network", "disconnect", "--force", "--", name, member];
                docker.change("disconnecting a container", &words, context)?;
                actions.push(format!("Disconnected container {member}"));
            }
        }
        if !context.check {
            now = docker.inspect("network", name, context)?;
        }
    }
    let mut outcome = Outcome::new(!actions.is_empty()).with("actions", actions);
    if context.diff && outcome.changed {
        outcome.diff.push(change.diff());
    }
    Ok(match now {
        Some(network) => outcome.with("network", network),
        None => outcome,
    })
}

/// The names of the containers in a network.
fn members(network: &Value) -> Vec<String> {
    let containers = network.get("Containers").and_then(Value::as_object).into_iter().flatten();
    let name = |(_, container): (_, &Value)| Some(container.get("Name")?.as_str()?.to_owned());
    containers.filter_map(name).collect()
}

fn pools(given: Given<'_>) -> impl Iterator<Item = &Value> {
    given.0.get("ipam_config").and_then(Value::as_array).into_iter().flatten()
}

fn create_words(given: Given<'_>) -> Vec<String> {
    let mut words = vec!["network".to_owned(), "create".to_owned()];
    words.extend(options(NETWORK, given));
    for pool in pools(given) {
        for (name, option, _) in POOL {
            let value = pool.get(name).and_then(Value::as_str);
            words.extend(value.map(|value| format!("{option}={value}")));
        }
        let others = pool.get("aux_addresses").and_then(Value::as_object).into_iter().flatten();
        let option = |(name, value): (&String, &Value)| {
            Some(format!("--aux-address={name}={}", value.as_str()?))
        };
        words.extend(others.filter_map(option));
    }
    words.extend(["--".to_owned(), given.word("name").to_owned()]);
    words
}

fn options(fields: &[Field], given: Given<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for (name, option, _) in fields {
        match given.0.get(*name) {
            Some(Value::Object(pairs)) => {
                let pair = |(name, value): (_, &Value)| format!("{option}={name}={}", plain(value));
                words.extend(pairs.iter().map(pair));
            }
            Some(Value::Bool(true)) => words.push((*option).to_owned()),
            Some(Value::String(text)) => words.push(format!("{option}={text}")),
            _ => {}
        }
    }
    words
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn differences(
    fields: &'static [Field],
    given: Given<'_>,
    there: &Value,
) -> Vec<(&'static str, Value, Value)> {
    let differs = |wanted: &Value, now: &Value| match wanted {
        Value::Object(pairs) => {
            pairs.iter().any(|(name, value)| now.get(name).map(plain) != Some(plain(value)))
        }
        Value::Bool(flag) => *flag != now.as_bool().unwrap_or(false),
        other => other != now,
    };
    let of = |(name, _, place): &(&'static str, _, &str)| {
        let wanted = given.0.get(*name)?;
        let now = there.pointer(place).unwrap_or(&Value::Null);
        differs(wanted, now).then(|| (*name, wanted.clone(), now.clone()))
    };
    fields.iter().filter_map(of).collect()
}

/// A pool that no pool of the network has all fields of.
fn other_pools(given: Given<'_>, there: &Value) -> Option<(&'static str, Value, Value)> {
    let now = there.pointer("/IPAM/Config").unwrap_or(&Value::Null);
    let has = |pool: &Value| {
        let all = now.as_array().into_iter().flatten();
        let same = |one: &Value| {
            POOL.iter().all(|(name, _, key)| {
                pool.get(name).is_none_or(|wanted| wanted.is_null() || Some(wanted) == one.get(key))
            })
        };
        all.into_iter().any(same)
    };
    let other = pools(given).find(|pool| !has(pool))?;
    Some(("ipam_config", other.clone(), now.clone()))
}

/// `docker_volume`: a volume.
///
/// # Errors
/// When docker isn't there or refuses.
pub fn docker_volume(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let docker = Docker::new(given);
    let name = given.word("volume_name");
    let mut now = docker.inspect("volume", name, context)?;
    let mut actions: Vec<String> = Vec::new();
    let absent = given.is("state", "absent");
    let recreate = match (given.word("recreate"), &now) {
        ("always", _) => true,
        ("options-changed", Some(there)) => !differences(VOLUME, given, there).is_empty(),
        _ => false,
    };
    if now.is_some() && (absent || recreate) {
        docker.change("removing volume", &["volume", "rm", "--", name], context)?;
        actions.push(format!("Removed volume {name}"));
        now = None;
    }
    if !absent && now.is_none() {
        let mut words = vec!["volume".to_owned(), "create".to_owned()];
        words.extend(options(VOLUME, given));
        words.extend(["--".to_owned(), name.to_owned()]);
        docker.change("creating volume", &words, context)?;
        actions.push(format!("Created volume {name} with driver {}", given.word("driver")));
        if !context.check {
            now = docker.inspect("volume", name, context)?;
        }
    }
    let outcome = Outcome::new(!actions.is_empty()).with("actions", actions);
    Ok(match now {
        Some(volume) => outcome.with("volume", volume),
        None => outcome,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn networks_are_made_and_compared() {
        let given = json!({"name": "n", "driver": "bridge", "internal": true, "attachable": false,
            "driver_options": {"a": 1}, "ipam_config": [{"subnet": "10.1.0.0/16", "gateway": null}]});
        let given = Given(given.as_object().unwrap());
        assert_eq!(
            create_words(given).join(" "),
            "network create --driver=bridge --opt=a=1 --internal --subnet=10.1.0.0/16 -- n"
        );
        let there = json!({"Driver": "bridge", "Internal": true, "Options": {"a": "1", "b": "2"},
            "IPAM": {"Config": [{"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1"}]}});
        assert!(differences(NETWORK, given, &there).is_empty());
        assert!(other_pools(given, &there).is_none());
        let other = json!({"Driver": "macvlan", "IPAM": {"Config": []}});
        let names: Vec<&str> =
            differences(NETWORK, given, &other).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["driver", "driver_options", "internal"]);
        assert!(other_pools(given, &other).is_some());
        let containers = json!({"Containers": {"abc": {"Name": "web"}}});
        assert_eq!(members(&containers), ["web"]);
    }
}

//! An agent of Mesos: `/state` and `/metrics/snapshot`; what it was started with is compared with
//! what the inventory wants.

use std::collections::BTreeMap;

use provision_lifecycle::{Change, Description, Objection, Role, Version, classify};
use serde_json::Value;

use crate::questions::{METRICS, RUNNING, STATE, WANTED};
use crate::{Answers, Said};

pub(crate) fn read(answers: &Answers) -> Said {
    let Some(state) = answers.body(STATE) else {
        let objections = described(answers, None).into_iter().collect();
        return Said { problem: answers.error(STATE), objections, ..Said::default() };
    };
    let running = state.get("version").and_then(Value::as_str);
    let mut objections: Vec<Objection> = described(answers, Some(&state)).into_iter().collect();
    objections.extend(ending(&state));
    let said = Said {
        running: running.and_then(|text| Version::parse(text).ok()),
        answers: true,
        containers: containers(&state),
        objections,
        ..Said::default()
    };
    let metrics = answers.body(METRICS);
    let registered = metrics.as_ref().and_then(|metrics| metrics.get("slave/registered")?.as_f64());
    match registered {
        Some(1.0) => Said { role: Some(Role::Alone), ..said },
        _ => {
            let problem = Some("it is not registered with a master".to_owned());
            Said { problem, ..said }
        }
    }
}

fn frameworks(state: &Value) -> impl Iterator<Item = &Value> {
    state.get("frameworks").and_then(Value::as_array).into_iter().flatten()
}

fn executors(framework: &Value) -> impl Iterator<Item = &Value> {
    framework.get("executors").and_then(Value::as_array).into_iter().flatten()
}

/// Containers of executors: an agent that is restarted finds them again.
fn containers(state: &Value) -> Vec<String> {
    let id = |executor: &Value| executor.get("container")?.as_str().map(str::to_owned);
    let checkpoints =
        |framework: &&Value| framework.get("checkpoint").and_then(Value::as_bool) == Some(true);
    let mut ids: Vec<String> =
        frameworks(state).filter(checkpoints).flat_map(executors).filter_map(id).collect();
    ids.sort();
    ids
}

/// Tasks that a restart would end: their frameworks don't checkpoint.
fn ending(state: &Value) -> Option<Objection> {
    let loses = |framework: &&Value| {
        framework.get("checkpoint").and_then(Value::as_bool) != Some(true)
            && executors(framework).next().is_some()
    };
    let name = |framework: &Value| framework.get("name")?.as_str().map(str::to_owned);
    let names: Vec<String> = frameworks(state).filter(loses).filter_map(name).collect();
    if names.is_empty() {
        return None;
    }
    Some(Objection {
        because: format!(
            "tasks of {} would end, since these frameworks don't checkpoint; move them away first with \
             --drain, or accept it with --accept-outage",
            names.join(", ")
        ),
        may_be_accepted: true,
        ends_when_drained: true,
    })
}

/// What the wanted description means to an agent that recovers.
fn described(answers: &Answers, state: Option<&Value>) -> Option<Objection> {
    let wanted = |name: &str| answers.wanted(WANTED, name).unwrap_or_default();
    let after = Description {
        attributes: answers.wanted(WANTED, "attributes")?,
        resources: answers.wanted(WANTED, "resources")?,
        hostname: wanted("hostname"),
        port: wanted("port"),
    };
    let before = match state {
        Some(state) => of_state(state),
        None => of_environment(answers.text(RUNNING, "stdout")?),
    };
    let found = state.map(found).unwrap_or_default();
    let object =
        |because| Some(Objection { because, may_be_accepted: false, ends_when_drained: false });
    match classify(&before, &after, &found) {
        Change::None => None,
        Change::Additive(_) if wanted("policy") == "additive" => None,
        Change::Additive(changes) => object(format!(
            "{}; the agent bears that only with mesos_agent_reconfiguration_policy: additive",
            changes.join(", ")
        )),
        Change::Breaking(changes) => object(format!(
            "{}; the agent would not start again. Put it back, or make it a new agent without its \
             tasks: drain it (DRAIN_AGENT), stop it, remove {}/meta/slaves/latest, start it",
            changes.join(", "),
            wanted("work_dir")
        )),
    }
}

fn of_state(state: &Value) -> Description {
    let flag = |name: &str| {
        let flags = state.get("flags");
        flags.and_then(|flags| flags.get(name)?.as_str()).unwrap_or_default().trim().to_owned()
    };
    let hostname = state.get("hostname").and_then(Value::as_str).unwrap_or_default();
    Description {
        attributes: flag("attributes"),
        resources: flag("resources"),
        hostname: hostname.to_owned(),
        port: flag("port"),
    }
}

/// Lines `MESOS_attributes="rack:r1"`, as the role writes them.
fn of_environment(text: &str) -> Description {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| {
            let (known, value) = line.split_once('=')?;
            (known.strip_prefix("MESOS_")? == name).then_some(value)
        });
        let value = line.unwrap_or_default().trim().trim_matches('"');
        value.replace("\\\"", "\"").replace("\\\\", "\\")
    };
    Description {
        attributes: value("attributes"),
        resources: value("resources"),
        hostname: value("hostname"),
        port: value("port"),
    }
}

/// What it has of each resource.
fn found(state: &Value) -> BTreeMap<String, String> {
    let resources = state.get("resources").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), value)
    };
    resources.into_iter().flatten().map(text).collect()
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::Role;
    use serde_json::{Value, json};

    use super::read;
    use crate::Answers;
    use crate::questions::{METRICS, RUNNING, STATE, WANTED};

    const BUSY: &str = include_str!("../tests/recorded/mesos-1.12.0-agent-state.json");
    const IDLE: &str = include_str!("../tests/recorded/mesos-1.12.0-agent-idle-state.json");
    const COUNTS: &str = include_str!("../tests/recorded/mesos-1.12.0-agent-metrics.json");
    const ATTRIBUTES: &str = "rack:r1;zone:a;num:42;rng:[1-10]";
    const RESOURCES: &str = "cpus:4;mem:4096;disk:10240;ports:[31000-31999]";

    fn good(text: &str) -> Value {
        json!({"status": 200, "json": serde_json::from_str::<Value>(text).unwrap()})
    }

    fn wanted(attributes: &str, resources: &str, policy: &str) -> Value {
        json!({"msg": {
            "attributes": attributes, "resources": resources, "policy": policy,
            "hostname": "", "port": 5051, "work_dir": "/var/lib/mesos-agent",
        }})
    }

    fn answers(state: &str, wanted: Value) -> Answers {
        let named = [(STATE, good(state)), (METRICS, good(COUNTS)), (WANTED, wanted)];
        Answers(named.map(|(name, value)| (name.to_owned(), value)).into())
    }

    #[test]
    fn an_agent_of_1_12_with_a_task() {
        let said = read(&answers(BUSY, wanted(ATTRIBUTES, RESOURCES, "equal")));
        assert_eq!(said.role, Some(Role::Alone));
        assert_eq!(said.running.unwrap().as_str(), "1.12.0");
        assert_eq!(said.containers, ["33a96db8-fca4-4cd5-8335-e084980b2ec6"]);
        assert_eq!(said.objections, []);
    }

    #[test]
    fn tasks_without_checkpoints_are_objected_to() {
        let text = BUSY.replace("\"checkpoint\":true", "\"checkpoint\":false");
        let said = read(&answers(&text, wanted(ATTRIBUTES, RESOURCES, "equal")));
        assert!(said.objections[0].because.starts_with("tasks of ref-basic would end"));
        assert!(said.objections[0].may_be_accepted);
        // They won't be found again, and nobody may wait for them.
        assert_eq!(said.containers, [""; 0]);
    }

    #[test]
    fn a_breaking_change_is_objected_to() {
        let resources = RESOURCES.replace("cpus:4", "cpus:2");
        let said = read(&answers(IDLE, wanted("zone:a", &resources, "additive")));
        let because = &said.objections[0].because;
        for part in [
            "attribute rack goes away",
            "resource cpus changes from 4 to 2",
            "/var/lib/mesos-agent/meta/slaves/latest",
        ] {
            assert!(because.contains(part), "{because}");
        }
        assert!(!said.objections[0].may_be_accepted);
    }

    #[test]
    fn an_additive_change_needs_its_policy() {
        let more = format!("{ATTRIBUTES};ssd:yes");
        let said = read(&answers(IDLE, wanted(&more, RESOURCES, "equal")));
        assert!(said.objections[0].because.contains("attribute ssd is new"), "{said:?}");
        assert_eq!(read(&answers(IDLE, wanted(&more, RESOURCES, "additive"))).objections, []);
    }

    #[test]
    fn of_a_dead_agent_the_environment_of_its_last_start_counts() {
        let started =
            "MESOS_attributes=\"rack:r1\"\nMESOS_resources=\"cpus:4\"\nMESOS_port=\"5051\"\n";
        let dead = |attributes: &str| {
            let refused = json!({"failed": true, "status": -1, "msg": "connection refused"});
            let named = [
                (STATE, refused),
                (RUNNING, json!({"rc": 0, "stdout": started})),
                (WANTED, wanted(attributes, "cpus:4", "equal")),
            ];
            read(&Answers(named.map(|(name, value)| (name.to_owned(), value)).into()))
        };
        let said = dead("rack:r2");
        assert!(!said.answers && said.role.is_none());
        assert!(said.objections[0].because.contains("rack changes from r1 to r2"), "{said:?}");
        assert_eq!(dead("rack:r1").objections, []);
    }

    #[test]
    fn one_that_is_not_registered_does_not_serve() {
        let mut all = answers(IDLE, wanted(ATTRIBUTES, RESOURCES, "equal"));
        let alone = COUNTS.replace("\"slave/registered\":1.0", "\"slave/registered\":0.0");
        all.0.insert(METRICS.into(), good(&alone));
        let said = read(&all);
        assert_eq!((said.answers, said.role), (true, None));
        assert!(read(&Answers::default()).problem.is_none());
    }
}

//! The document against the shapes that it speaks of, and against the file in the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use policy::Time;
use policy::config::Policy;
use scheduler_core::app::Bounds;
use scheduler_core::decision::{Decided, Decision};
use scheduler_core::event::{Call, MachineFact};
use scheduler_core::ids::{Epoch, RequestId};
use scheduler_core::machine::Description;
use scheduler_core::{Command, Event, State, apply_all};
use serde::Serialize;

use super::*;
use crate::wire;

#[test]
fn the_file_in_the_tree_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scheduler-openapi.json");
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == text(), "run: scheduler schema api > docs/scheduler-openapi.json");
}

#[test]
fn each_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    assert!(found.len() > 15);
}

/// The keys of a value are those of its schema.
fn fits(name: &str, value: &impl Serialize) {
    let value = serde_json::to_value(value).unwrap();
    let keys: BTreeSet<&String> = value.as_object().unwrap().keys().collect();
    let schemas = schemas();
    let known: BTreeSet<&String> =
        schemas[name]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(keys, known, "{name}");
}

fn volumes_fit() {
    use crate::wire::volumes::{PartRow, VolumeRow};

    let text = String::new;
    let part = PartRow { name: text(), size_mib: 1 };
    fits("PartRow", &part);
    let row = VolumeRow {
        volume: text(),
        app: text(),
        machine: text(),
        parts: vec![part],
        size_mib: 1,
        reserved_millicores: 1,
        reserved_memory_mib: 1,
        reserved_ports: vec![1],
        state: text(),
        instance: None,
        since: text(),
        has_machine: true,
    };
    fits("VolumeRow", &row);
}

fn spreads_fit() {
    use crate::wire::rebalance as spread;

    let text = String::new;
    let moved = spread::MoveRow {
        instance: text(),
        from: text(),
        to: text(),
        why: text(),
        state: text(),
        text: text(),
    };
    fits("MoveRow", &moved);
    let count = spread::CountRow { name: text(), before: 1, after: 1 };
    fits("CountRow", &count);
    let (moves, machines) = (vec![moved], vec![count]);
    let racks = machines.clone();
    let plan =
        spread::SpreadPlan { app: text(), refused: None, moves: moves.clone(), machines, racks };
    fits("SpreadPlan", &plan);
    let row = spread::SpreadRow {
        begun: text(),
        at_a_time: 1,
        ended: None,
        outcome: None,
        done: 1,
        moving: 1,
        skipped: 1,
        moves,
    };
    fits("SpreadRow", &row);
    fits("Spread", &spread::Spread { app: Some(text()), at_a_time: Some(1) });
    fits("StopSpread", &spread::StopSpread { app: Some(text()) });
}

fn policies_fit() {
    use crate::shadow::Difference;
    use crate::wire::policies as policy;

    let difference: Difference = serde_json::from_value(
        serde_json::json!({"at": "", "app": null, "kind": "scaling", "text": ""}),
    )
    .unwrap();
    fits("Difference", &difference);
    let text = String::new;
    let shadow = policy::ShadowState {
        digest: text(),
        since: text(),
        until: text(),
        compared: 1,
        different: 1,
        differences: vec![difference],
    };
    fits("ShadowState", &shadow);
    let row = policy::PolicyRow { number: 1, digest: text(), at: text(), cause: text() };
    fits("PolicyRow", &row);
    let (versions, shadow) = (vec![row], Some(shadow));
    let state = policy::PolicyState { number: 1, digest: text(), text: text(), versions, shadow };
    fits("PolicyState", &state);
    let answer = policy::PolicyAnswer { number: 1, digest: text(), is_changed: true };
    fits("PolicyAnswer", &answer);
    fits("PolicyRollback", &policy::PolicyRollback { number: Some(1) });
    fits("PolicyShadow", &policy::PolicyShadow { text: Some(text()), seconds: 1 });
}

#[test]
fn schemas_have_the_keys_of_the_shapes() {
    let mut state = State::new(Policy::recommended());
    let file = crate::app_file::read("app: web\nversion: 1\nshell: x\n", diagnostics::SourceId(0));
    let file = file.app.unwrap();
    let deploy = Call::Deploy {
        app: file.app.clone(),
        specification: file.specification.into(),
        bounds: Bounds { min: 1, max: 1 },
        step: None,
    };
    let machine = Description { millicores: 1000, memory_mib: 1000, ..Description::default() };
    let events = [
        Event::Leader { epoch: Epoch(1) },
        Event::Machine { machine: "m1".parse().unwrap(), fact: MachineFact::Up(machine) },
        Event::Call { request: RequestId(1), call: deploy },
    ];
    let commands = apply_all(&mut state, events, Time(5));
    assert!(commands.iter().any(|command| matches!(command, Command::Persist(_))));
    let app = &state.apps()[&file.app];
    let detail = wire::app_detail(&file.app, app);
    fits("AppDetail", &detail);
    fits("AppRow", &detail.summary);
    fits("DeploymentRow", &detail.deployment.unwrap());
    fits("VersionRow", &detail.versions[0]);
    fits("InstanceRow", &detail.instances[0]);
    fits("History", &wire::history(&file.app, app));
    let deployment = wire::look::deployments(&file.app, app).remove(0);
    fits("DeploymentProgress", &deployment.progress.unwrap());
    fits("DeploymentState", &deployment);
    let decided = Decided::Policy { before: String::new(), after: String::new() };
    let decision = Decision { at: Time(1), policy: String::new(), app: None, decided };
    let decision = wire::look::decision(&decision);
    fits("DecisionRow", &decision);
    let machine = &state.machines()[&"m1".parse().unwrap()];
    fits("MachineRow", &wire::machine_row("m1", machine));
    fits("Explanation", &wire::explain_app(&state, &file.app, Time(6)).unwrap());
    fits("Answer", &wire::Answer::from(scheduler_core::event::Accepted::Noted));
    let ended = wire::EndedRow {
        number: 1,
        from: None,
        to: 1,
        at: String::new(),
        is_done: true,
        outcome: String::new(),
    };
    fits("EndedRow", &ended);
    let gone = wire::GoneRow {
        instance: String::new(),
        version: 1,
        machine: None,
        at: String::new(),
        why: String::new(),
    };
    fits("GoneRow", &gone);
    let endpoint = wire::Endpoint {
        instance: String::new(),
        address: String::new(),
        ports: Vec::new(),
        weight_thousandths: 0,
    };
    fits("Endpoint", &endpoint);
    let (number, weight_thousandths, ports) = (1, 1, Vec::new());
    let (instance, address) = (String::new(), String::new());
    let found = wire::look::Found { number, instance, address, ports, weight_thousandths };
    fits("Found", &found);
    let instance = found.instance;
    fits("Reweighed", &wire::look::Reweighed { number, instance, weight_thousandths });
    fits("Gone", &wire::look::Gone { number, instance: String::new() });
    let instances = vec![endpoint];
    fits("FoundAnew", &wire::look::FoundAnew { number, part: 1, parts: 1, instances });
    let (instance, agent, why, since) = Default::default();
    let missing = wire::consul::MissingRow { instance, agent, why, since };
    fits("MissingRow", &missing);
    let agent = wire::consul::AgentRow { agent: String::new(), why: String::new() };
    fits("AgentRow", &agent);
    let (missing, agents) = (vec![missing], vec![agent]);
    fits("ConsulState", &wire::consul::ConsulState { is_used: true, wanted: 1, missing, agents });
    policies_fit();
    spreads_fit();
    volumes_fit();
    let whole = wire::Upgrade {
        version: String::new(),
        command: Some(Vec::new()),
        shell: Some(String::new()),
        image: Some(String::new()),
        step: Some(1),
    };
    fits("Upgrade", &whole);
    fits("Scale", &wire::Scale { instances: 1, keep_volumes: true });
    fits("Rollback", &wire::Rollback { version: Some(1) });
    fits("OnMachine", &wire::OnMachine { machine: String::new(), keep_volumes: true });
    fits("Problem", &wire::Problem::new(400, "x", "x", "x").hint("y"));
    let observation: BTreeMap<&str, u8> =
        ["app", "busy_thousandths", "waiting", "arrivals", "rejects"].map(|key| (key, 0)).into();
    fits("Observation", &observation);
}

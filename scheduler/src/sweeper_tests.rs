//! The sweep, beside an agent that has its own catalog.

use std::time::Duration;

use consul::Consistency;
use consul_client::{Settings, TlsFiles};
use scheduler_consul::service::OWNER_KEY;
use scheduler_consul::{Agents, LEAK_AFTER};
use serde_json::json;

use super::*;

#[expect(dead_code, reason = "tests of the program use the rest")]
#[path = "../tests/agent/mod.rs"]
mod agent;

use agent::Agent;

#[test]
fn what_only_the_catalog_knows_goes_when_it_was_found_twice() {
    let agent = Agent::start();
    for (id, owner) in [("web.1", "us"), ("web.2", "us"), ("web.3", "them")] {
        agent.put(json!({"ID": id, "Name": "web", "Port": 1, "Meta": {OWNER_KEY: owner},
            "Weights": {"Passing": 1, "Warning": 1}}));
    }
    agent.put(json!({"ID": "other", "Name": "other", "Port": 1,
        "Weights": {"Passing": 1, "Warning": 1}}));
    let endpoint = Endpoint::parse(&agent.url(), false).unwrap();
    let settings = Settings {
        endpoints: vec![endpoint],
        token: None,
        tls: TlsFiles::default(),
        datacenter: None,
        consistency: Consistency::Default,
        timeout: Duration::from_secs(5),
    };
    let client = Client::new(settings).unwrap();
    let port = agent.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let agents = Agents::OnMachines { scheme: "http".to_owned(), port };
    let strays = Mutex::new(Strays::new("us", agents));
    let is_known = |id: &InstanceId| id.number == 1;
    let ids = || agent.services().into_keys().collect::<Vec<_>>();
    let (first, second) = (Time(1), Time(1) + LEAK_AFTER);

    sweep(&client, &strays, &is_known, &|| true, first);
    assert_eq!(ids().len(), 4, "a look alone takes nothing away");
    sweep(&client, &strays, &is_known, &|| false, second);
    assert_eq!(ids().len(), 4, "who doesn't lead changes nothing");
    agent.is_away(true);
    sweep(&client, &strays, &is_known, &|| true, second);
    agent.is_away(false);
    sweep(&client, &strays, &is_known, &|| true, second);
    assert_eq!(ids(), ["other", "web.1", "web.3"]);
    assert_eq!(strays.lock().unwrap().swept, 1);
}

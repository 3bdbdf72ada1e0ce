//! Consul's HTTP API: `agent/self`, `status/leader`, `operator/autopilot/health`.

use std::collections::BTreeSet;

use provision_lifecycle::{Duty, Role, Version};
use serde_json::Value;

use crate::questions::{HEALTH, LEADER, RAFT, SELF};
use crate::{Answers, Said};

pub(crate) fn read(answers: &Answers, duty: Duty) -> Said {
    let Some(agent) = answers.body(SELF) else {
        return Said { problem: answers.error(SELF), ..Said::default() };
    };
    let config = |name: &str| agent.get("Config")?.get(name)?.as_str();
    let running = config("Version").and_then(|version| Version::parse(version).ok());
    let leads = answers.body(LEADER);
    let leads = leads.as_ref().and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let roster = answers.body(RAFT).as_ref().and_then(read_roster);
    let said = Said { running, answers: true, roster, ..Said::default() };
    if !leads {
        let problem = Some("it knows no leader".to_owned());
        return Said { problem, ..said };
    }
    if duty == Duty::Worker {
        return Said { role: Some(Role::Alone), ..said };
    }
    let health = answers.body(HEALTH);
    let servers = health.as_ref().and_then(|health| health.get("Servers")?.as_array());
    let own = config("NodeName").and_then(|name| {
        let is_own = |server: &&Value| server.get("Name").and_then(Value::as_str) == Some(name);
        servers?.iter().find(is_own)
    });
    let Some(own) = own else {
        let problem = answers.error(HEALTH).or(Some("autopilot does not know it".to_owned()));
        return Said { problem, ..said };
    };
    let is = |name: &str| own.get(name).and_then(Value::as_bool) == Some(true);
    let role = match (is("Leader"), is("Voter")) {
        (true, _) => Role::Leader,
        (false, true) => Role::Follower,
        (false, false) => Role::Observer,
    };
    let position = own.get("LastIndex").and_then(Value::as_u64);
    if is("Healthy") {
        return Said { role: Some(role), position, ..said };
    }
    let serf = own.get("SerfStatus").and_then(Value::as_str).unwrap_or("unknown");
    let problem = Some(format!("autopilot calls it unhealthy (serf: {serf})"));
    Said { position, problem, ..said }
}

/// Who has a vote, by names of nodes: those of the inventory.
fn read_roster(raft: &Value) -> Option<BTreeSet<String>> {
    let servers = raft.get("Servers")?.as_array()?;
    let has_vote = |server: &&Value| server.get("Voter").and_then(Value::as_bool) == Some(true);
    let names = servers.iter().filter(has_vote);
    Some(names.filter_map(|server| server.get("Node")?.as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::{Duty, Role};
    use serde_json::{Value, json};

    use super::read;
    use crate::Answers;
    use crate::questions::{HEALTH, LEADER, SELF};

    const OWN: &str = include_str!("../tests/recorded/consul-1.8.7-self.json");
    const LEADS: &str = include_str!("../tests/recorded/consul-1.8.7-leader.json");
    const WELL: &str = include_str!("../tests/recorded/consul-1.8.7-health.json");

    fn answers(own: &str, leads: &str, well: &str) -> Answers {
        let answer = |text: &str| {
            let body: Value = serde_json::from_str(text).unwrap();
            json!({"status": 200, "json": body})
        };
        let named = [(SELF, answer(own)), (LEADER, answer(leads)), (HEALTH, answer(well))];
        Answers(named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn a_follower_of_1_8() {
        let said = read(&answers(OWN, LEADS, WELL), Duty::Voter);
        assert_eq!(said.role, Some(Role::Follower));
        assert_eq!(said.running.unwrap().as_str(), "1.8.7");
        assert_eq!(said.position, Some(13));
    }

    #[test]
    fn the_leader_of_1_8() {
        let said = read(&answers(&OWN.replace("\"zk1\"", "\"zk2\""), LEADS, WELL), Duty::Voter);
        assert_eq!(said.role, Some(Role::Leader));
    }

    #[test]
    fn one_that_autopilot_calls_unhealthy_does_not_serve() {
        let sick = WELL.replace("\"Healthy\":true", "\"Healthy\":false");
        let said = read(&answers(OWN, LEADS, &sick), Duty::Voter);
        assert!(said.answers && said.role.is_none());
        assert!(said.problem.unwrap().contains("unhealthy"));
    }

    #[test]
    fn an_unhealthy_cluster_answers_429_without_saying_that_it_is_json() {
        let sick = WELL.replacen("\"Healthy\":true", "\"Healthy\":false", 1);
        let mut all = answers(OWN, LEADS, WELL);
        all.0.insert(HEALTH.to_owned(), json!({"status": 429, "content": sick}));
        assert_eq!(read(&all, Duty::Voter).role, Some(Role::Follower));
    }

    #[test]
    fn one_without_a_leader_does_not_serve() {
        let said = read(&answers(OWN, "\"\"", WELL), Duty::Voter);
        assert_eq!((said.answers, said.role), (true, None));
    }

    #[test]
    fn an_agent_needs_no_autopilot() {
        let mut all = answers(OWN, LEADS, WELL);
        all.0.remove(HEALTH);
        assert_eq!(read(&all, Duty::Worker).role, Some(Role::Alone));
    }

    #[test]
    fn nobody_there_is_down() {
        let refused = json!({"failed": true, "status": -1, "msg": "connection refused"});
        let all = Answers([(SELF.to_owned(), refused)].into());
        let said = read(&all, Duty::Voter);
        assert_eq!((said.answers, said.problem), (false, Some("connection refused".into())));
    }

    #[test]
    fn who_has_a_vote_is_what_raft_says() {
        let raft = json!({"Index": 0, "Servers": [
            {"ID": "a", "Node": "h2", "Address": "10.0.0.2:8300", "Leader": true, "Voter": true},
            {"ID": "b", "Node": "h3", "Address": "10.0.0.3:8300", "Leader": false, "Voter": true},
            {"ID": "c", "Node": "h4", "Address": "10.0.0.4:8300", "Leader": false, "Voter": false},
        ]});
        let roster = super::read_roster(&raft).unwrap();
        assert_eq!(roster.into_iter().collect::<Vec<_>>(), ["h2", "h3"]);
        for nonsense in [json!(null), json!({"Servers": 3}), json!([])] {
            assert_eq!(super::read_roster(&nonsense), None);
        }
        // One who may not ask for it does not say who belongs to it.
        assert_eq!(read(&answers(OWN, LEADS, WELL), Duty::Voter).roster, None);
    }
}

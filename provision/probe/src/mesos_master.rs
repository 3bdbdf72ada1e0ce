//! A master of Mesos: `/version`, `/metrics/snapshot`, `/flags`; of the leader also its agents and
//! quotas.

use provision_lifecycle::{Clients, Hold, Objection, Role, Version};
use serde_json::Value;

use crate::questions::{AGENTS, FLAGS, METRICS, QUOTA, VERSION, WANTED};
use crate::{Answers, Said};

/// The first release that can start with a registry that knows of drained agents and of quotas with
/// limits (upstream's docs/downgrades.md).
const CAPABILITIES_SINCE: (u64, u64) = (1, 9);

pub(crate) fn read(answers: &Answers) -> Said {
    let (version, metrics) = (answers.body(VERSION), answers.body(METRICS));
    let Some(metrics) = metrics else {
        let answers_at_all = version.is_some();
        let problem = answers.error(METRICS).or_else(|| answers.error(VERSION));
        return Said { answers: answers_at_all, problem, ..Said::default() };
    };
    let running = version.as_ref().and_then(|version| version.get("version")?.as_str());
    let said = Said {
        running: running.and_then(|text| Version::parse(text).ok()),
        answers: true,
        objections: objections(answers, &metrics),
        ..Said::default()
    };
    if number(&metrics, "registrar/log/recovered") != Some(1) {
        let problem = Some("its registrar has not recovered the replicated log".to_owned());
        return Said { problem, ..said };
    }
    if number(&metrics, "master/elected") != Some(1) {
        return Said { role: Some(Role::Follower), ..said };
    }
    let clients = number(&metrics, "master/slaves_active")
        .zip(number(&metrics, "master/frameworks_active"))
        .map(|(agents, frameworks)| Clients { agents, frameworks });
    // The log's members, without the leader itself.
    let in_sync = number(&metrics, "registrar/log/ensemble_size")
        .and_then(|size| u32::try_from(size.saturating_sub(1)).ok());
    Said { role: Some(Role::Leader), clients, in_sync, holds: holds(answers), ..said }
}

/// Metrics are numbers with a point.
fn number(metrics: &Value, name: &str) -> Option<u64> {
    let value = metrics.get(name)?.as_f64()?;
    // Counts of a cluster; what is no count is nobody's business.
    (value.fract() == 0.0).then(|| format!("{value}").parse().ok())?
}

/// What would harm the registry.
fn objections(answers: &Answers, metrics: &Value) -> Vec<Objection> {
    let mut found = Vec::new();
    let mut object = |because: String| {
        found.push(Objection { because, may_be_accepted: false, ends_when_drained: false })
    };
    let wanted = |name: &str| answers.wanted(WANTED, name)?.parse::<u64>().ok();
    let flags = answers.body(FLAGS);
    let quorum = flags.as_ref().and_then(|flags| flags.get("flags")?.get("quorum")?.as_str());
    let quorum = quorum.and_then(|text| text.parse::<u64>().ok());
    let accepts = answers.wanted(WANTED, "accept_quorum_change");
    let accepts = accepts.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    match (quorum, wanted("quorum")) {
        (Some(runs), Some(wanted)) if runs != wanted && !accepts => object(format!(
            "it runs with quorum {runs} and the inventory's masters need {wanted}; two quorums at a \
             time can lose the registry (docs/mesos.md says how to go from one to the other)"
        )),
        _ => {}
    }
    match (number(metrics, "registrar/log/ensemble_size"), wanted("masters")) {
        (Some(size), Some(masters)) if size > masters => object(format!(
            "its replicated log has {size} members and the inventory {masters} masters; stop the \
             one that is not there, or write it into the inventory"
        )),
        _ => {}
    }
    found
}

/// What an older master could not read.
fn holds(answers: &Answers) -> Vec<Hold> {
    let mut found = Vec::new();
    let mut hold = |because: String| found.push(Hold { since: CAPABILITIES_SINCE, because });
    let agents = answers.body(AGENTS);
    let agents = agents.as_ref().and_then(|agents| agents.get("slaves")?.as_array());
    let is_away = |agent: &&Value| agent.get("deactivated").and_then(Value::as_bool) == Some(true);
    let name = |agent: &Value| agent.get("hostname")?.as_str().map(str::to_owned);
    let away: Vec<String> = agents.into_iter().flatten().filter(is_away).filter_map(name).collect();
    if !away.is_empty() {
        hold(format!(
            "{} drained or deactivated, and an older master does not start with such a registry \
             (AGENT_DRAINING); reactivate first (REACTIVATE_AGENT)",
            match away.as_slice() {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        ));
    }
    let quota = answers.body(QUOTA);
    let configs = quota.as_ref().and_then(|quota| quota.get("configs")?.as_array());
    let role = |config: &Value| config.get("role")?.as_str().map(str::to_owned);
    let roles: Vec<String> = configs.into_iter().flatten().filter_map(role).collect();
    if !roles.is_empty() {
        hold(format!(
            "quota is set for {}, and an older master does not start with such a registry \
             (QUOTA_V2); reset it to the default through this release first",
            roles.join(", ")
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::{Clients, Role};
    use serde_json::{Value, json};

    use super::read;
    use crate::Answers;
    use crate::questions::{AGENTS, FLAGS, METRICS, QUOTA, VERSION, WANTED};

    const LEADER: &str = include_str!("../tests/recorded/mesos-1.12.0-leader-metrics.json");
    const STANDBY: &str = include_str!("../tests/recorded/mesos-1.12.0-standby-metrics.json");
    const RELEASE: &str = include_str!("../tests/recorded/mesos-1.12.0-version.json");
    const RUNS_WITH: &str = include_str!("../tests/recorded/mesos-1.12.0-flags.json");
    const DRAINED: &str = include_str!("../tests/recorded/mesos-1.12.0-slaves-drained.json");
    const SET: &str = include_str!("../tests/recorded/mesos-1.12.0-quota.json");

    fn good(text: &str) -> Value {
        json!({"status": 200, "json": serde_json::from_str::<Value>(text).unwrap()})
    }

    fn answers(metrics: &str) -> Answers {
        let wanted = json!({"msg": {"quorum": 2, "masters": "3"}});
        let named = [
            (VERSION, good(RELEASE)),
            (METRICS, good(metrics)),
            (FLAGS, good(RUNS_WITH)),
            (WANTED, wanted),
        ];
        Answers(named.map(|(name, value)| (name.to_owned(), value)).into())
    }

    #[test]
    fn a_leader_of_1_12() {
        let said = read(&answers(LEADER));
        assert_eq!(said.role, Some(Role::Leader));
        assert_eq!(said.running.unwrap().as_str(), "1.12.0");
        assert_eq!((said.in_sync, said.objections.len()), (Some(2), 0));
        assert_eq!(said.clients, Some(Clients { agents: 0, frameworks: 0 }));
    }

    #[test]
    fn a_standby_of_1_12() {
        let mut all = answers(STANDBY);
        // It names the leader instead of answering.
        all.0.insert(AGENTS.into(), json!({"status": 307, "failed": true, "msg": "redirect"}));
        let said = read(&all);
        assert_eq!((said.role, said.in_sync, said.clients), (Some(Role::Follower), None, None));
        assert!(said.holds.is_empty());
    }

    #[test]
    fn one_that_has_not_recovered_the_log_does_not_serve() {
        let text =
            LEADER.replace("\"registrar/log/recovered\":1.0", "\"registrar/log/recovered\":0.0");
        let said = read(&answers(&text));
        assert_eq!((said.answers, said.role), (true, None));
        assert!(said.problem.unwrap().contains("replicated log"));
    }

    #[test]
    fn another_quorum_than_the_inventory_needs_is_objected_to() {
        let mut all = answers(LEADER);
        all.0.insert(WANTED.into(), json!({"msg": {"quorum": "3", "masters": 5}}));
        let said = read(&all);
        assert!(said.objections[0].because.contains("runs with quorum 2"), "{said:?}");
        let accepted = json!({"msg": {"quorum": 3, "masters": 5, "accept_quorum_change": true}});
        all.0.insert(WANTED.into(), accepted);
        assert!(read(&all).objections.is_empty());
        all.0.insert(WANTED.into(), json!({"msg": {"quorum": 2, "masters": 2}}));
        assert!(read(&all).objections[0].because.contains("has 3 members"));
    }

    #[test]
    fn drained_agents_and_quotas_hold_the_release() {
        let mut all = answers(LEADER);
        all.0.insert(AGENTS.into(), good(DRAINED));
        all.0.insert(QUOTA.into(), good(SET));
        let said = read(&all);
        let because: Vec<&str> = said.holds.iter().map(|hold| hold.because.as_str()).collect();
        assert!(because[0].starts_with("host-b is drained or deactivated"), "{because:?}");
        assert!(because[1].starts_with("quota is set for prod"), "{because:?}");
        assert!(said.holds.iter().all(|hold| hold.since == (1, 9)));
    }

    #[test]
    fn nobody_there_is_down_and_nonsense_does_not_serve() {
        let refused = json!({"failed": true, "status": -1, "msg": "connection refused"});
        let all = Answers([(METRICS.to_owned(), refused)].into());
        let said = read(&all);
        assert_eq!((said.answers, said.problem), (false, Some("connection refused".into())));
        for nonsense in [json!(7), json!("x"), json!([1]), json!({"registrar/log/recovered": "1"})]
        {
            let answer = json!({"status": 200, "json": nonsense});
            let named = [METRICS, VERSION, FLAGS, AGENTS, QUOTA, WANTED];
            let all = Answers(named.map(|name| (name.to_owned(), answer.clone())).into());
            assert_eq!(read(&all).role, None);
        }
    }
}

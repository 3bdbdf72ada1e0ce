//! Corral's scheduler: its unit, and what it says when it is asked whether it is ready.

use provision_lifecycle::{Role, Version};

use crate::questions::{READY, RUNNING, UNIT};
use crate::{Answers, Said};

/// What the answer of one that doesn't lead begins with.
const FOLLOWS: &str = "follower: ";

/// What stands between the name of the leader that a follower names and its address, with how that begins.
const LEADS: &str = " leads at http";

pub(crate) fn read(answers: &Answers) -> Said {
    if answers.exit_code(UNIT) != Some(0) {
        let state = answers.text(UNIT, "stdout").map(str::trim).filter(|state| !state.is_empty());
        let problem = match state {
            Some(state) => Some(format!("its unit is {state}")),
            None => answers.error(UNIT),
        };
        return Said { problem, ..Said::default() };
    }
    let running = answers.text(RUNNING, "stdout").unwrap_or_default().trim();
    let said = Said { running: Version::parse(running).ok(), answers: true, ..Said::default() };
    let Some(status) = answers.status(READY).filter(|status| matches!(status, 200 | 503)) else {
        return Said { problem: answers.error(READY), ..said };
    };
    let text = answers.text(READY, "content").unwrap_or_default().trim();
    match text.strip_prefix(FOLLOWS) {
        None if status == 200 => Said { role: Some(Role::Leader), ..said },
        Some(leader) if leader.contains(LEADS) => Said { role: Some(Role::Follower), ..said },
        Some(problem) => Said { problem: Some(problem.to_owned()), ..said },
        None => Said { problem: Some(text.to_owned()), ..said },
    }
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::Role;
    use serde_json::{Value, json};

    use super::read;
    use crate::Answers;
    use crate::questions::{READY, RUNNING, UNIT};

    fn said(unit: Value, ready: Value) -> super::Said {
        let running = json!({"rc": 0, "stdout": "0.1.0\n"});
        let named = [(UNIT, unit), (RUNNING, running), (READY, ready)];
        read(&Answers(named.map(|(name, value)| (name.to_owned(), value)).into()))
    }

    #[test]
    fn whoever_is_ready_leads_and_whoever_names_a_leader_follows() {
        let active = || json!({"rc": 0, "stdout": "active"});
        let answer = |status: u16, text: &str| json!({"status": status, "content": text});
        let table = [
            (answer(200, "ready\n"), Some(Role::Leader), None),
            (
                answer(503, "follower: zk2 (71) leads at https://198.51.100.2:7471\n"),
                Some(Role::Follower),
                None,
            ),
            (
                answer(503, "follower: nobody leads at the moment\n"),
                None,
                Some("nobody leads at the moment"),
            ),
            (
                answer(503, "another scheduler leads, or none yet\n"),
                None,
                Some("another scheduler leads, or none yet"),
            ),
            (
                json!({"status": -1, "failed": true, "msg": "connection refused"}),
                None,
                Some("connection refused"),
            ),
            // Somebody else's server.
            (
                json!({"status": 404, "failed": true, "msg": "it was 404", "content": "ready"}),
                None,
                Some("it was 404"),
            ),
        ];
        for (ready, role, problem) in table {
            let said = said(active(), ready.clone());
            assert_eq!((said.role, said.problem.as_deref()), (role, problem), "{ready}");
            assert!(said.answers);
            assert_eq!(said.running.unwrap().as_str(), "0.1.0");
        }
    }

    #[test]
    fn one_whose_unit_is_not_active_is_down() {
        let said = said(json!({"rc": 3, "stdout": "failed\n"}), json!({"status": 200}));
        assert_eq!((said.role, said.answers, said.running), (None, false, None));
        assert_eq!(said.problem.as_deref(), Some("its unit is failed"));
        assert_eq!(read(&Answers::default()), super::Said::default());
    }
}

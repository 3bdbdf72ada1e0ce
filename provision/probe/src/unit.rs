//! Any unit of systemd with a command that tells its health.

use provision_lifecycle::{Role, Version};

use crate::questions::{COMMAND, RUNNING, UNIT};
use crate::{Answers, Said};

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
    match answers.exit_code(COMMAND) {
        Some(0) => Said { role: Some(Role::Alone), ..said },
        Some(code) => {
            let words = ["stderr", "stdout"].map(|stream| answers.text(COMMAND, stream));
            let words = words.into_iter().flatten().map(str::trim).find(|text| !text.is_empty());
            let problem = match words {
                Some(words) => format!("its health command ends with {code}: {words}"),
                None => format!("its health command ends with {code}"),
            };
            Said { problem: Some(problem), ..said }
        }
        None => Said { problem: answers.error(COMMAND), ..said },
    }
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::Role;
    use serde_json::{Value, json};

    use super::read;
    use crate::Answers;
    use crate::questions::{COMMAND, RUNNING, UNIT};

    fn said(unit: Value, running: Value, command: Value) -> super::Said {
        let named = [(UNIT, unit), (RUNNING, running), (COMMAND, command)];
        read(&Answers(named.map(|(name, value)| (name.to_owned(), value)).into()))
    }

    #[test]
    fn one_that_is_well_serves() {
        let said = said(
            json!({"rc": 0, "stdout": "active"}),
            json!({"rc": 0, "stdout": "1.2.0\n"}),
            json!({"rc": 0, "stdout": ""}),
        );
        assert_eq!((said.role, said.answers), (Some(Role::Alone), true));
        assert_eq!(said.running.unwrap().as_str(), "1.2.0");
    }

    #[test]
    fn one_whose_command_fails_runs_and_does_not_serve() {
        let said = said(
            json!({"rc": 0, "stdout": "active"}),
            json!({"rc": 0, "stdout": "1.2.0"}),
            json!({"rc": 7, "stdout": "", "stderr": "connection refused\n"}),
        );
        assert_eq!((said.role, said.answers), (None, true));
        let problem = said.problem.unwrap();
        assert_eq!(problem, "its health command ends with 7: connection refused");
    }

    #[test]
    fn one_whose_unit_is_not_active_is_down() {
        let said = said(
            json!({"rc": 3, "stdout": "failed\n"}),
            json!({"rc": 1, "stdout": ""}),
            json!({"rc": 0, "stdout": ""}),
        );
        assert_eq!((said.role, said.answers, said.running), (None, false, None));
        assert_eq!(said.problem.as_deref(), Some("its unit is failed"));
    }

    #[test]
    fn no_answers_and_nonsense_are_a_service_that_is_down() {
        assert_eq!(read(&Answers::default()), super::Said::default());
        let said = said(json!(7), json!({"stdout": "../../etc"}), json!([]));
        assert_eq!((said.role, said.running), (None, None));
    }
}

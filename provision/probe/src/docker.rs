//! Docker's command line client.

use provision_lifecycle::{Role, Version};

use crate::questions::{CONTAINERS, DOCKER};
use crate::{Answers, Said};

pub(crate) fn read(answers: &Answers) -> Said {
    if answers.exit_code(DOCKER) != Some(0) {
        let words = answers.text(DOCKER, "stderr").filter(|text| !text.trim().is_empty());
        let problem = words.map(str::to_owned).or_else(|| answers.error(DOCKER));
        return Said { problem, ..Said::default() };
    }
    let text = answers.text(DOCKER, "stdout").unwrap_or_default().trim();
    // `26.1.5+dfsg1`: what a distribution appends is no part of the release's name.
    let version = text.split(['+', '-']).next().unwrap_or_default();
    Said {
        running: Version::parse(version).ok(),
        role: Some(Role::Alone),
        answers: true,
        containers: containers(answers),
        ..Said::default()
    }
}

/// Ids, one a line.
fn containers(answers: &Answers) -> Vec<String> {
    let text = answers.text(CONTAINERS, "stdout").unwrap_or_default();
    let mut ids: Vec<String> = text.lines().map(str::trim).map(str::to_owned).collect();
    ids.retain(|id| !id.is_empty());
    ids.sort();
    ids
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::Role;
    use serde_json::json;

    use super::read;
    use crate::Answers;
    use crate::questions::{CONTAINERS, DOCKER};

    #[test]
    fn the_daemon_says_its_version() {
        for said in ["26.1.5+dfsg1", "26.1.5"] {
            let answer = json!({"rc": 0, "stdout": said});
            let read = read(&Answers([(DOCKER.to_owned(), answer)].into()));
            assert_eq!(read.running.unwrap().as_str(), "26.1.5");
            assert_eq!(read.role, Some(Role::Alone));
        }
    }

    #[test]
    fn containers_are_known_by_their_ids() {
        let answers = [
            (DOCKER.to_owned(), json!({"rc": 0, "stdout": "26.1.5"})),
            (CONTAINERS.to_owned(), json!({"rc": 0, "stdout": "ffe0\n01ab\n"})),
        ];
        assert_eq!(read(&Answers(answers.into())).containers, ["01ab", "ffe0"]);
    }

    #[test]
    fn a_client_without_a_daemon_is_down() {
        let answer = json!({"rc": 1, "stdout": "", "stderr": "Cannot connect to the daemon"});
        let read = read(&Answers([(DOCKER.to_owned(), answer)].into()));
        assert_eq!((read.answers, read.role), (false, None));
        assert_eq!(read.problem.as_deref(), Some("Cannot connect to the daemon"));
    }
}

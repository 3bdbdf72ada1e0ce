//! ZooKeeper's `mntr` and `srvr`.

use provision_lifecycle::{Role, Version};

use crate::questions::{MNTR, SRVR};
use crate::{Answers, Said};

/// What a member answers that runs and has no quorum.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

pub(crate) fn read(answers: &Answers) -> Said {
    let (Some(mntr), srvr) = (answers.answer(MNTR), answers.answer(SRVR)) else {
        return Said { problem: answers.error(MNTR), ..Said::default() };
    };
    let said = read_mntr(mntr);
    let position = srvr.and_then(read_position);
    Said { position, ..said }
}

fn read_mntr(text: &str) -> Said {
    if text.trim_start().starts_with(NOT_SERVING) {
        let problem = Some("it has no quorum, or is loading its data".to_owned());
        return Said { answers: true, problem, ..Said::default() };
    }
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('\t')?;
            (key == name).then(|| value.trim())
        })
    };
    let Some(state) = value("zk_server_state") else {
        // An empty answer, or somebody else's port.
        let problem = match text.is_empty() {
            true => "it closes the connection without an answer".to_owned(),
            false => format!("it answers `{text}` to mntr"),
        };
        return Said { answers: true, problem: Some(problem), ..Said::default() };
    };
    let role = match state {
        "leader" => Some(Role::Leader),
        "follower" => Some(Role::Follower),
        "observer" => Some(Role::Observer),
        "standalone" => Some(Role::Alone),
        _ => None,
    };
    // A read-only member is cut off from the quorum.
    let problem = role.is_none().then(|| format!("its state is {state}"));
    let running = value("zk_version").and_then(read_version);
    let in_sync = value("zk_synced_followers").and_then(|number| number.parse().ok());
    Said { running, role, answers: true, in_sync, problem, ..Said::default() }
}

/// `3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC`
fn read_version(text: &str) -> Option<Version> {
    let version = text.split([',', '-', ' ']).next()?;
    Version::parse(version).ok()
}

/// `Zxid: 0x100000003`
fn read_position(srvr: &str) -> Option<u64> {
    let digits = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::Role;

    use super::{read_mntr, read_position, read_version};

    #[test]
    fn a_follower_of_3_8() {
        let said = read_mntr(include_str!("../tests/recorded/zookeeper-3.8.0-follower.mntr"));
        assert_eq!(said.role, Some(Role::Follower));
        assert_eq!(said.running.unwrap().as_str(), "3.8.0");
        assert_eq!(said.in_sync, None);
    }

    #[test]
    fn a_leader_of_3_8() {
        let said = read_mntr(include_str!("../tests/recorded/zookeeper-3.8.0-leader.mntr"));
        assert_eq!(said.role, Some(Role::Leader));
        assert_eq!(said.in_sync, Some(2));
        let srvr = include_str!("../tests/recorded/zookeeper-3.8.0-leader.srvr");
        assert_eq!(read_position(srvr), Some(0x1_0000_0000));
    }

    #[test]
    fn members_of_3_9() {
        let said = read_mntr(include_str!("../tests/recorded/zookeeper-3.9.3-follower.mntr"));
        assert_eq!(said.role, Some(Role::Follower));
        assert_eq!(said.running.unwrap().as_str(), "3.9.3");
        let said = read_mntr(include_str!("../tests/recorded/zookeeper-3.9.3-leader.mntr"));
        assert_eq!((said.role, said.in_sync), (Some(Role::Leader), Some(2)));
        let srvr = include_str!("../tests/recorded/zookeeper-3.9.3-follower.srvr");
        assert!(read_position(srvr).is_some());
    }

    #[test]
    fn one_without_a_quorum_answers_but_does_not_serve() {
        let said = read_mntr(include_str!("../tests/recorded/zookeeper-3.8.0-alone.mntr"));
        assert!(said.answers);
        assert_eq!((said.role, said.running), (None, None));
    }

    #[test]
    fn nonsense_does_not_serve() {
        for text in ["", "HTTP/1.1 400 Bad Request", "zk_server_state\tread-only\n", "\u{0}\t\t\n"]
        {
            let said = read_mntr(text);
            assert!(said.answers && said.role.is_none() && said.problem.is_some(), "{text:?}");
        }
        assert_eq!(read_version(""), None);
        assert_eq!(read_version("../../etc"), None);
        assert_eq!(read_position("Zxid: 0xg"), None);
    }
}

//! ZooKeeper's `mntr` and `srvr`.

use std::collections::BTreeSet;

use provision_lifecycle::{Role, Version};

use crate::questions::{CONF, MNTR, NAMES, SRVR};
use crate::{Answers, Said};

/// What a member answers that runs and has no quorum.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

pub(crate) fn read(answers: &Answers, own: &str) -> Said {
    let (Some(mntr), srvr) = (answers.answer(MNTR), answers.answer(SRVR)) else {
        return Said { problem: answers.error(MNTR), ..Said::default() };
    };
    let said = read_mntr(mntr);
    let position = srvr.and_then(read_position);
    let (conf, names) = (answers.answer(CONF).unwrap_or_default(), answers.told(NAMES));
    if let Some(problem) = wrong_name(conf, names, own) {
        return Said { position, problem: Some(problem), ..said };
    }
    Said { position, roster: read_roster(conf, names), ..said }
}

/// A member that has another id than the inventory thinks must never be taken for that one.
fn wrong_name(conf: &str, names: &str, own: &str) -> Option<String> {
    let id = conf.lines().find_map(|line| line.strip_prefix("serverId="))?;
    let mut known = names.split_whitespace().filter_map(|pair| pair.rsplit_once('='));
    let wanted = known.find(|(host, _)| *host == own).map(|(_, id)| id)?;
    (id != wanted).then(|| format!("it is server.{id}, and the inventory calls it server.{wanted}"))
}

/// Who has a vote: `server.4=10.0.0.4:2888:3888:participant;0.0.0.0:2181`, up to a version. A
/// member that was not told to answer `conf` says so instead.
fn read_roster(conf: &str, names: &str) -> Option<BTreeSet<String>> {
    let name = |id: &str| {
        let mut known = names.split_whitespace().filter_map(|pair| pair.rsplit_once('='));
        let host = known.find(|(_, of)| *of == id).map(|(host, _)| host.to_owned());
        host.unwrap_or_else(|| format!("server.{id}"))
    };
    let voters: BTreeSet<String> = conf
        .lines()
        .filter_map(|line| line.strip_prefix("server.")?.split_once('='))
        .filter(|(_, address)| !address.contains(":observer"))
        .map(|(id, _)| name(id))
        .collect();
    (!voters.is_empty()).then_some(voters)
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

    use super::{read_mntr, read_position, read_roster, read_version, wrong_name};

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
    fn the_members_have_the_names_of_the_inventory() {
        let conf = include_str!("../tests/recorded/zookeeper-3.8.0-follower.conf");
        let read = |names| read_roster(conf, names).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(read("zk1=1 zk2=2 zk3=3 zk4=4"), ["zk1", "zk2", "zk3"]);
        assert_eq!(read("zk1=1 a=b=2"), ["a=b", "server.3", "zk1"]);
        let refusal = "conf is not executed because it is not in the whitelist.\n";
        assert_eq!(read_roster(refusal, "zk1=1"), None);
        assert_eq!(wrong_name(conf, "zk1=1 zk2=2", "zk1"), None);
        assert!(wrong_name(conf, "zk4=1 zk1=2", "zk1").unwrap().contains("server.2"));
        let observer = "server.1=a:1:2:participant;3\nserver.2=b:1:2:observer;3\nversion=1";
        assert_eq!(read_roster(observer, "").unwrap().len(), 1);
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

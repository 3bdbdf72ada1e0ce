//! `[io]` The scheduler and the simulated Mesos as processes, a real ZooKeeper, the scheduler's page in
//! Chromium, and clients that others have written: pymesos, mesos-framework, marathon, Prometheus.

use std::process::Command;
use std::time::Duration;

use super::rust::{self, judge};
use super::{Context, Found};
use crate::error::Error;
use crate::lab::packages::{self, Needed};
use crate::{step, workspace};

/// What the tests run.
const NEEDED: &[Needed] = &[
    ("default-jre-headless", "/usr/bin/java", "runs ZooKeeper"),
    ("libzookeeper-java", "/usr/share/java/zookeeper.jar", "is the ZooKeeper that masters use"),
    ("nodejs", "/usr/bin/node", "runs mesos-framework"),
    ("npm", "/usr/bin/npm", "installs it"),
    ("python3-pip", "/usr/bin/pip3", "installs pymesos and marathon"),
    ("python3-venv", "/usr/share/doc/python3-venv", "keeps them apart from this machine's"),
    ("chromium", "/usr/bin/chromium", "shows the scheduler's page"),
    ("prometheus", "/usr/bin/prometheus", "finds apps as it finds those of Marathon"),
];

/// Clients: the script, and how many of its lines `pass NAME` there are.
const SCRIPTS: &[(&str, &str, u64)] = &[
    ("mesos-clients", "simulator/mesos/tests/clients/run.sh", 2),
    ("marathon-clients", "scheduler/tests/clients/run.sh", 3),
];

/// What a script may take: it installs packages of PyPI and npm.
const SCRIPT_LIMIT: Duration = Duration::from_mins(4);

pub(super) fn run(context: &Context) -> Result<Found, Error> {
    packages::install(NEEDED)?;
    let mut found = rust::ignored(context, "mesos", &["mesos", "dashboard"], 2)?;
    for (name, script, clients) in SCRIPTS {
        let log = step::log(name);
        let mut command = Command::new("sh");
        command.arg(workspace::root().join(script));
        let ended = step::run(&command, &log, SCRIPT_LIMIT)?;
        let one = judge(&ended, &log, |text| counts_of_script(text, *clients));
        found.passed += one.passed;
        found.failed += one.failed;
        found.details.push_str(&one.details);
    }
    Ok(found)
}

/// Lines `pass NAME`; those that are missing have failed.
fn counts_of_script(text: &str, expected: u64) -> Option<(u64, u64)> {
    let passed = text.lines().filter(|line| line.starts_with("pass ")).count();
    let passed = u64::try_from(passed).ok()?;
    Some((passed, expected.saturating_sub(passed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_says_nothing_has_failed() {
        assert_eq!(counts_of_script("x\npass a 1\npass b\n", 2), Some((2, 0)));
        assert_eq!(counts_of_script("pass a 1\n", 2), Some((1, 1)));
        assert_eq!(counts_of_script("", 2), Some((0, 2)));
    }
}

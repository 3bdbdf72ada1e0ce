//! `[io]` The product's own roles on fresh hosts, once as usual and once in strict order.

use std::collections::BTreeMap;
use std::process::Command;

use super::stage::{Stage, ensure};
use crate::error::Error;
use crate::lab::{Lab, UpOptions};
use crate::workspace;

/// Files that the roles write, by digest. Java's list of certificates holds the time when it was
/// made.
const TREE: &str = "cd / && find etc/zookeeper etc/consul.d etc/docker etc/containerd etc/sysctl.d \
     etc/security etc/systemd/system etc/hosts opt -xdev -type f 2>/dev/null | sort | xargs sha256sum; \
     find etc/systemd/system opt -xdev -type l -printf '%p %l\\n' 2>/dev/null | sort";

/// What is compared: counts and files, by host.
type Outcome = BTreeMap<String, (Vec<u64>, String)>;

pub(super) fn run(stage: &Stage) -> Result<(), Error> {
    let ahead = on_fresh_hosts(stage, &[])?;
    let strict = on_fresh_hosts(stage, &["--strict-order"])?;
    for (host, (counts, tree)) in &ahead {
        let Some((strict_counts, strict_tree)) = strict.get(host) else { continue };
        ensure(counts == strict_counts, || {
            format!("on {host} the counts are {counts:?} and {strict_counts:?}")
        })?;
        let lines = |one: &str, other: &str| {
            let missing = one.lines().filter(|line| !other.lines().any(|known| known == *line));
            missing.collect::<Vec<_>>().join("\n")
        };
        ensure(tree == strict_tree, || {
            format!(
                "the files of {host} differ; ahead:\n{}\nstrict:\n{}",
                lines(tree, strict_tree),
                lines(strict_tree, tree)
            )
        })?;
    }
    Ok(())
}

fn on_fresh_hosts(stage: &Stage, flags: &[&str]) -> Result<Outcome, Error> {
    let lab = Lab::up(&UpOptions::demo("own-roles")?)?;
    let outcome = apply(&stage.with_lab(&lab), flags);
    let down = lab.down();
    outcome.and_then(|found| down.map(|()| found))
}

fn apply(stage: &Stage, flags: &[&str]) -> Result<Outcome, Error> {
    let command = || {
        let mut command = Command::new(&stage.provision);
        command.args(["apply", "-i", "inventories/lab", "-i"]);
        command.arg(stage.lab.directory().inventory());
        command.args(["--output", "ndjson"]).args(flags);
        stage.settle(&mut command);
        command.current_dir(workspace::root());
        command
    };
    let first = stage.run(command())?.expect_exit(&[0])?;
    let second = stage.run(command())?.expect_exit(&[0])?;
    second.expect_count(&stage.lab, "changed", 0)?;
    let mut found = BTreeMap::new();
    for host in stage.lab.hosts() {
        let counts = ["ok", "changed", "skipped", "failed", "rescued", "ignored"];
        let counts = counts.iter().map(|what| first.count(&host.name, what));
        let counts = counts.collect::<Result<Vec<u64>, Error>>()?;
        found.insert(host.name.clone(), (counts, stage.ask(host, TREE)?));
    }
    Ok(found)
}

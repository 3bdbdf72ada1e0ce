//! `[io]` The plays upgrade.yml, rollback.yml and remove.yml: they keep the quorum on their own,
//! and refuse what nobody can mean.

use super::releases::{Site, expect_unharmed, path_text};
use super::stage::{Run, Stage};
use super::zookeeper;
use crate::error::Error;
use crate::workspace;

const OLD: &str = "3.8.0";
const NEW: &str = "3.9.3";
/// A release that is nowhere.
const UNKNOWN: &str = "3.8.7";

fn play(site: &Site<'_>, name: &str, says: &str) -> Result<Run, Error> {
    let playbook = workspace::root().join("playbooks").join(name);
    let mut command = site.command(&["apply", &path_text(&playbook), "-e", says]);
    command.args(["--output", "ndjson"]);
    site.stage.run(command)
}

/// Names that nobody knows, releases that nobody has: nothing is touched, and it says why.
fn expect_refusals(site: &Site<'_>) -> Result<(), Error> {
    for (name, says, words) in [
        ("rollback.yml", "app_env=zookeeper version_env=3.8.0", vec!["hosts_env=zookeeper"]),
        (
            "rollback.yml",
            "hosts_env=zookeeper app_env=zookeper version_env=3.8.0",
            vec!["there is no component zookeper", "zookeeper, consul, docker"],
        ),
        (
            "rollback.yml",
            "hosts_env=zookeepers app_env=zookeeper version_env=3.8.0",
            vec!["no group of that name", "zookeeper runs on group zookeeper"],
        ),
        ("upgrade.yml", "hosts_env=zookeeper app_env=zookeeper", vec!["version_env names no"]),
        (
            "upgrade.yml",
            "hosts_env=zookeeper app_env=zookeeper version_env=3.4.13",
            vec!["no artifact of it is known"],
        ),
        (
            "rollback.yml",
            "hosts_env=zookeeper app_env=zookeeper version_env=3.9.3",
            vec!["3.9.3 is not installed on", "nothing was touched"],
        ),
        ("remove.yml", "hosts_env=zookeeper app_env=zookeeper", vec!["accept_outage=true"]),
    ] {
        let run = play(site, name, says)?.expect_exit(&[10, 13])?;
        run.expect_text(&words)?;
    }
    site.expect_runs(OLD)
}

/// There and back under a client that writes, then away.
pub(super) fn run(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, OLD)?;
    site.apply()?.expect_exit(&[0])?;
    expect_refusals(&site)?;
    let unknown = format!("hosts_env=zookeeper app_env=zookeeper version_env={UNKNOWN}");
    play(&site, "upgrade.yml", &unknown)?.expect_exit(&[10, 13])?;
    let members = site.members();

    let clients = zookeeper::begin(&members);
    let says = format!("hosts_env=zookeeper app_env=zookeeper version_env={NEW}");
    let up = play(&site, "upgrade.yml", &says)?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    up.expect_text(&[&format!("zookeeper: \\\"{NEW}\\\""), &format!("says {OLD}")])?;
    site.expect_runs(NEW)?;
    expect_unharmed("upgrade.yml", &written, &watched, &members, up.elapsed)?;

    // The inventory still wants the old release: an apply refuses, and names the way out.
    site.expect_wanted(OLD)?;
    let stale = site.apply()?.expect_exit(&[10])?;
    stale.expect_text(&["put 3.9.3 back there"])?;
    site.expect_runs(NEW)?;
    site.want(NEW)?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;

    let clients = zookeeper::begin(&members);
    let says = format!("hosts_env=zookeeper app_env=zookeeper version_env={OLD}");
    let back = play(&site, "rollback.yml", &says)?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    site.expect_runs(OLD)?;
    expect_unharmed("rollback.yml", &written, &watched, &members, back.elapsed)?;
    site.want(OLD)?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;

    expect_removal(&site)
}

/// One member may go, two may not; data stays unless it is to go.
fn expect_removal(site: &Site<'_>) -> Result<(), Error> {
    let exists = |path: &str| format!("test -e {path} && echo yes || echo no");
    let last = site.stage.lab.hosts().last().map(|host| host.name.clone()).unwrap_or_default();
    let one = format!("hosts_env={last} app_env=zookeeper");
    play(site, "remove.yml", &one)?.expect_exit(&[0])?;
    let host = site.stage.lab.host(&last)?;
    for (path, is_there) in [
        ("/opt/zookeeper", "no"),
        ("/etc/systemd/system/zookeeper.service", "no"),
        ("/var/lib/zookeeper/data/version-2", "yes"),
    ] {
        let found = site.stage.ask(host, &exists(path))?;
        super::stage::ensure(found == is_there, || format!("{path} is there: {found}"))?;
    }
    // The two that are left are just a quorum.
    let all = "hosts_env=zookeeper app_env=zookeeper";
    play(site, "remove.yml", all)?.expect_exit(&[10, 13])?.expect_text(&["nothing was touched"])?;
    let all = format!("{all} accept_outage=true purge_env=true");
    play(site, "remove.yml", &all)?.expect_exit(&[0])?;
    site.stage.expect_everywhere(&exists("/var/lib/zookeeper"), "no")
}

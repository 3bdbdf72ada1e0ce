//! `[io]` Scenarios of members: hosts join and leave a cluster that serves all the time.

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use super::releases::{NEW, Site, expect_unharmed};
use super::stage::{Run, Stage, ensure};
use super::zookeeper::{self, State};
use crate::error::{Doing, Error};
use crate::lab::names::{Host, Layout};
use crate::lab::{Lab, UpOptions};

/// As many as an ensemble has at most here; the shared lab has fewer.
const HOSTS: u8 = 5;
const FIRST: usize = 3;

/// What a member says of who has a vote.
const VOTERS: &str = "bash -c \"exec 3<>/dev/tcp/127.0.0.1/2181; printf conf >&3; \
                      sed -n 's/^server\\.\\([0-9]*\\)=.*/\\1/p' <&3\" | sort -u | paste -sd ' '";

/// Three members become five, and three again, one of which was not there at the beginning.
pub(super) fn members(stage: &Stage) -> Result<(), Error> {
    let lab = Lab::up(&UpOptions::new("members", Layout::Numbered(HOSTS))?)?;
    let outcome = grow_and_shrink(&stage.with_lab(&lab));
    let down = lab.down();
    outcome.and(down)
}

fn grow_and_shrink(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, NEW)?;
    let hosts = stage.lab.hosts();
    let all: Vec<IpAddr> = addresses(stage, hosts.iter());
    let (first, later) = hosts.split_at(FIRST);
    let ([one, ..], [fourth, fifth]) = (hosts, later) else {
        return Err(Error::refused("share the hosts out", "there are not five"));
    };
    write_hosts(&site, stage, first.iter())?;
    site.apply()?.expect_exit(&[0])?;

    // A plain play leaves hosts alone that the running ensemble does not know.
    write_hosts(&site, stage, hosts.iter())?;
    site.apply()?.expect_exit(&[10])?.expect_text(&["provision add zookeeper h4"])?;
    let wrong = site.change(&["add", "zookeeper", "h6", "--yes"])?.expect_exit(&[3])?;
    wrong.expect_text(&["the inventory has no host h6"])?;

    let clients = zookeeper::begin(&all);
    let words = ["add", "zookeeper", &fourth.name, &fifth.name, "--yes"];
    let run = site.change(&words)?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    expect_unharmed("3 members become 5", &written, &watched, &all, run.elapsed)?;
    ensure(watched.changes() == 0, || format!("the leader changed: {:?}", watched.leaders))?;
    expect_voters(stage, hosts.iter(), "1 2 3 4 5")?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;
    // Adding them again is nothing to do, and a restart keeps who belongs to it.
    site.change(&words)?.expect_exit(&[0])?.expect_text(&["nothing to do"])?;
    stage.ask(one, "systemctl restart zookeeper")?;
    wait_until_up(stage, one)?;
    expect_voters(stage, hosts.iter(), "1 2 3 4 5")?;

    shrink(stage, &site, &all)
}

/// The leader leaves, and a follower; the run is killed in the middle.
fn shrink(stage: &Stage, site: &Site<'_>, all: &[IpAddr]) -> Result<(), Error> {
    let hosts = stage.lab.hosts();
    let leads = |host: &&Host| zookeeper::state(address(stage, host)) == State::Leads;
    let leader = hosts.iter().find(leads);
    let leader = leader.ok_or_else(|| Error::refused("find the leader", "there is none"))?;
    let other = hosts.iter().rfind(|host| host.name != leader.name);
    let other = other.ok_or_else(|| Error::refused("find a follower", "there is none"))?;
    let stays = |host: &&Host| host.name != leader.name && host.name != other.name;

    let clients = zookeeper::begin(all);
    let mut command = site.changing(&["remove", "zookeeper", &leader.name, &other.name, "--yes"]);
    command.args(["--output", "ndjson"]);
    let mut going = stage.start(command)?;
    going.wait_for("the first vote to be taken", |record| {
        let is = |place: &str, word: &str| {
            record.pointer(place).and_then(serde_json::Value::as_str) == Some(word)
        };
        is("/happening/happening", "step_begins") && is("/happening/step/step", "leave")
    })?;
    going.kill()?;
    let run = resume(stage)?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    let staying: Vec<IpAddr> = addresses(stage, hosts.iter().filter(stays));
    expect_unharmed("5 members become 3", &written, &watched, &staying, run.elapsed)?;
    ensure(watched.fewest_up >= FIRST, || {
        format!("only {} members were up: {:?}", watched.fewest_up, watched.story)
    })?;
    run.expect_text(&["out of the group zookeeper"])?;
    let numbers: Vec<String> = hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| stays(host))
        .map(|(index, _)| (index + 1).to_string())
        .collect();
    expect_voters(stage, hosts.iter().filter(stays), &numbers.join(" "))?;
    for host in [leader, other] {
        let left = "ls -d /opt/zookeeper /etc/zookeeper /var/lib/zookeeper/data/version-2 2>/dev/null; true";
        let found = stage.ask(host, left)?;
        ensure(found.is_empty(), || format!("on {} there is still {found}", host.name))?;
    }
    write_hosts(site, stage, hosts.iter().filter(stays))?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)
}

fn resume(stage: &Stage) -> Result<Run, Error> {
    let mut command = Command::new(&stage.provision);
    command.args(["resume", "--lock-wait", "60"]);
    stage.settle(&mut command);
    stage.run(command)
}

fn address(stage: &Stage, host: &Host) -> IpAddr {
    IpAddr::V4(stage.lab.record().subnet.address(host))
}

fn addresses<'a>(stage: &Stage, hosts: impl Iterator<Item = &'a Host>) -> Vec<IpAddr> {
    hosts.map(|host| address(stage, host)).collect()
}

/// The inventory: all hosts, and these in the group.
fn write_hosts<'a>(
    site: &Site<'_>,
    stage: &Stage,
    members: impl Iterator<Item = &'a Host>,
) -> Result<(), Error> {
    let mut text = String::new();
    for (index, host) in stage.lab.hosts().iter().enumerate() {
        let address = address(stage, host);
        let line = format!("{} ansible_host={address} zookeeper_myid={}\n", host.name, index + 1);
        text.push_str(&line);
    }
    text.push_str("\n[zookeeper]\n");
    members.for_each(|host| text.push_str(&format!("{}\n", host.name)));
    let server = stage.lab.hosts().first().map(|host| host.name.as_str()).unwrap_or_default();
    text.push_str(&format!("\n[consul_servers]\n{server}\n\n[consul_agents]\n\n[docker]\n"));
    text.push_str("\n[all:vars]\nansible_user=deploy\nansible_become=true\n");
    let path = site.inventory.join("hosts");
    fs::write(&path, text).doing(|| format!("write {}", path.display()))
}

fn expect_voters<'a>(
    stage: &Stage,
    hosts: impl Iterator<Item = &'a Host>,
    expected: &str,
) -> Result<(), Error> {
    for host in hosts {
        let found = stage.ask(host, VOTERS)?;
        ensure(found == expected, || {
            format!("{} says that {found} have a vote, and not {expected}", host.name)
        })?;
    }
    Ok(())
}

fn wait_until_up(stage: &Stage, host: &Host) -> Result<(), Error> {
    for _ in 0..100 {
        if zookeeper::state(address(stage, host)) != State::Down {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(Error::refused(format!("see {} come back", host.name), "it did not"))
}

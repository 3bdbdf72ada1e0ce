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
/// The lab's own, and no secret.
const TOKEN: &str = "1ab00000-0000-4000-8000-00000000000a";

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

/// A fourth server joins, nobody is restarted for it, and the leader leaves.
pub(super) fn consul_members(stage: &Stage) -> Result<(), Error> {
    let lab = Lab::up(&UpOptions::new("members", Layout::Numbered(HOSTS))?)?;
    let outcome = fourth_server(&stage.with_lab(&lab));
    let down = lab.down();
    outcome.and(down)
}

fn fourth_server(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, NEW)?;
    let apply = || site.apply_tags("common,consul", &[]);
    let Some((agent, servers)) = stage.lab.hosts().split_last() else {
        return Err(Error::refused("share the hosts out", "there are none"));
    };
    let (first, later) = servers.split_at(FIRST);
    let ([one, ..], [fourth]) = (first, later) else {
        return Err(Error::refused("share the hosts out", "there are not five"));
    };
    write_servers(&site, stage, first, agent)?;
    apply()?.expect_exit(&[0])?;
    let times = || -> Result<Vec<String>, Error> {
        let started = "systemctl show -p ExecMainStartTimestampMonotonic --value consul";
        first.iter().map(|host| stage.ask(host, started)).collect()
    };
    let before = times()?;
    write_servers(&site, stage, servers, agent)?;
    site.change(&["add", "consul", &fourth.name, "--yes"])?.expect_exit(&[0])?;
    ensure(peers(stage, one)?.len() == 4, || "there are not four peers".to_owned())?;
    apply()?.expect_exit(&[0])?;
    apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;
    let after = times()?;
    ensure(before == after, || format!("servers started at {before:?}, then at {after:?}"))?;

    let all = peers(stage, one)?;
    let leader = servers.iter().find(|host| all.contains(&format!("{} leader", host.name)));
    let leader = leader.ok_or_else(|| Error::refused("find the leader", "there is none"))?;
    let words = ["remove", "consul", &leader.name, &agent.name, "--yes"];
    site.change(&words)?.expect_exit(&[0])?;
    let staying = servers.iter().find(|host| host.name != leader.name).unwrap_or(fourth);
    let left = peers(stage, staying)?;
    ensure(left.len() == 3 && !left.iter().any(|peer| peer.starts_with(&leader.name)), || {
        format!("{} has left, and the peers are {left:?}", leader.name)
    })?;
    for host in [leader, agent] {
        let state = format!("consul members -token {TOKEN} | grep -w ^{} | tr -s ' '", host.name);
        let found = stage.ask(staying, &state)?;
        ensure(found.contains(" left "), || format!("the others say `{found}`"))?;
    }
    Ok(())
}

/// `NAME ROLE` of each peer, as raft on this host says.
fn peers(stage: &Stage, host: &Host) -> Result<Vec<String>, Error> {
    let words = format!("consul operator raft list-peers -token {TOKEN} | tail -n +2");
    let text = stage.ask(host, &words)?;
    let word = |line: &str, number: usize| {
        line.split_whitespace().nth(number).unwrap_or_default().to_owned()
    };
    Ok(text.lines().map(|line| format!("{} {}", word(line, 0), word(line, 3))).collect())
}

fn write_servers(
    site: &Site<'_>,
    stage: &Stage,
    servers: &[Host],
    agent: &Host,
) -> Result<(), Error> {
    let names: Vec<&str> = servers.iter().map(|host| host.name.as_str()).collect();
    let groups = format!(
        "[zookeeper]\n{}\n\n[consul_servers]\n{}\n\n[consul_agents]\n{}\n\n[docker]\n",
        names.first().copied().unwrap_or_default(),
        names.join("\n"),
        agent.name
    );
    write_inventory(site, stage, &groups)
}

pub(super) fn resume(stage: &Stage) -> Result<Run, Error> {
    let mut command = Command::new(&stage.provision);
    command.args(["resume", "--lock-wait", "60"]);
    stage.settle(&mut command);
    stage.run(command)
}

fn address(stage: &Stage, host: &Host) -> IpAddr {
    IpAddr::V4(stage.lab.record().subnet.address(host))
}

pub(super) fn addresses<'a>(stage: &Stage, hosts: impl Iterator<Item = &'a Host>) -> Vec<IpAddr> {
    hosts.map(|host| address(stage, host)).collect()
}

/// The inventory: all hosts, and these in the group.
pub(super) fn write_hosts<'a>(
    site: &Site<'_>,
    stage: &Stage,
    members: impl Iterator<Item = &'a Host>,
) -> Result<(), Error> {
    let names: Vec<&str> = members.map(|host| host.name.as_str()).collect();
    let groups = format!(
        "[zookeeper]\n{}\n\n[consul_servers]\n{}\n\n[consul_agents]\n\n[docker]\n",
        names.join("\n"),
        names.first().copied().unwrap_or_default()
    );
    write_inventory(site, stage, &groups)
}

fn write_inventory(site: &Site<'_>, stage: &Stage, groups: &str) -> Result<(), Error> {
    let mut text = String::new();
    for (index, host) in stage.lab.hosts().iter().enumerate() {
        let address = address(stage, host);
        let line = format!("{} ansible_host={address} zookeeper_myid={}\n", host.name, index + 1);
        text.push_str(&line);
    }
    text.push_str(&format!("\n{groups}\n[all:vars]\nansible_user=deploy\nansible_become=true\n"));
    let path = site.inventory.join("hosts");
    fs::write(&path, text).doing(|| format!("write {}", path.display()))
}

pub(super) fn expect_voters<'a>(
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

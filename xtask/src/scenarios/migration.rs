//! `[io]` An ensemble of before there was reconfiguration gets it, member by member, under a client
//! that writes; then one more member joins.

use std::net::IpAddr;

use super::members::{addresses, expect_voters, write_hosts};
use super::releases::{NEW, Site, expect_unharmed};
use super::stage::{Run, Stage, ensure};
use super::zookeeper;
use crate::error::Error;
use crate::lab::names::Layout;
use crate::lab::{Lab, UpOptions};

const HOSTS: u8 = 4;
const MEMBERS: usize = 3;

/// What an earlier form of the role left: `server.N` in zoo.cfg, which ZooKeeper is started with, and
/// no folder for members. The data go: they know of reconfiguration.
const AS_BEFORE: &str = "set -e; cd /etc/zookeeper; unit=/etc/systemd/system/zookeeper.service
    sed -i -e 's/^reconfigEnabled=.*/reconfigEnabled=false/' -e '/^standaloneEnabled/d' \
        -e 's/srvr,mntr,conf,ruok/srvr,mntr,ruok/' zoo.cfg
    sed 's/:participant;2181$//' /var/lib/zookeeper/members/zoo.cfg.dynamic >>zoo.cfg
    sed -i -e '/prepare.sh/d' -e '/secrets.options/d' -e '/zoo.cfg.dynamic/d' \
        -e 's# /var/lib/zookeeper/members/zoo.cfg$# /etc/zookeeper/zoo.cfg#' $unit
    rm -rf prepare.sh secrets.options /var/lib/zookeeper/members \
        /var/lib/zookeeper/data/version-2 /var/lib/zookeeper/log/version-2
    systemctl daemon-reload; echo as before";

/// In a lab of its own.
pub(super) fn migration(stage: &Stage) -> Result<(), Error> {
    let lab = Lab::up(&UpOptions::new("migration", Layout::Numbered(HOSTS))?)?;
    let outcome = in_lab(&stage.with_lab(&lab));
    let down = lab.down();
    outcome.and(down)
}

fn in_lab(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, NEW)?;
    let (members, later) = stage.lab.hosts().split_at(MEMBERS);
    let Some(fourth) = later.first() else {
        return Err(Error::refused("share the hosts out", "there are not four"));
    };
    write_hosts(&site, stage, members.iter())?;
    site.apply()?.expect_exit(&[0])?;
    for host in members {
        stage.ask(host, "systemctl stop zookeeper")?;
    }
    for host in members {
        let said = stage.ask(host, AS_BEFORE)?;
        ensure(said == "as before", || format!("{} is not as before: {said}", host.name))?;
    }
    for host in members {
        stage.ask(host, "systemctl start zookeeper")?;
    }
    let all: Vec<IpAddr> = addresses(stage, members.iter());
    wait_for_a_leader(&all)?;

    // Two rounds: the first brings the new files, the second turns reconfiguration on.
    let round = |what: &str, begin: &dyn Fn() -> Result<Run, Error>| -> Result<(), Error> {
        let clients = zookeeper::begin(&all);
        let run = begin().and_then(|run| run.expect_exit(&[0]));
        let (written, watched) = clients.finish()?;
        expect_unharmed(what, &written, &watched, &all, run?.elapsed)
    };
    round("the first round", &|| site.apply())?;
    round("the second round", &|| site.change(&["reconfigure", "zookeeper", "--yes"]))?;
    let grep = "grep ^reconfigEnabled= /etc/zookeeper/zoo.cfg";
    for host in members {
        let found = stage.ask(host, grep)?;
        ensure(found == "reconfigEnabled=true", || format!("{} has {found}", host.name))?;
    }
    expect_voters(stage, members.iter(), "1 2 3")?;
    let last = site.apply()?.expect_exit(&[0])?;
    for host in members {
        let changed = last.count(&host.name, "changed")?;
        ensure(changed == 0, || format!("{changed} tasks changed {}", host.name))?;
    }

    write_hosts(&site, stage, stage.lab.hosts().iter())?;
    let words = ["add", "zookeeper", &fourth.name, "--yes"];
    round("a fourth member", &|| site.change(&words))?;
    expect_voters(stage, stage.lab.hosts().iter(), "1 2 3 4")
}

/// A cluster that begins takes some seconds; a busy machine is given more.
fn wait_for_a_leader(members: &[IpAddr]) -> Result<(), Error> {
    for _ in 0..300 {
        if members.iter().any(|member| zookeeper::state(*member) == zookeeper::State::Leads) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    Err(Error::refused("see a leader of the old form", "there was none within a minute"))
}

//! `[io]` A scenario of Mesos: masters, agents and schedulers of the lab's releases are installed, changed
//! and taken back by `provision` while an app runs on them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::releases::Site;
use super::stage::{Run, Stage, ensure};
use crate::error::{Doing, Error};
use crate::lab::artifacts::own;
use crate::lab::names::Host;
use crate::workspace;

pub(super) const ZOOKEEPER: &str = "3.9.3";
pub(super) const OLD: &str = own::MESOS_VERSIONS[0];
pub(super) const NEW: &str = own::MESOS_VERSIONS[1];
const OLD_SCHEDULER: &str = own::SCHEDULER_VERSIONS[0];
const NEW_SCHEDULER: &str = own::SCHEDULER_VERSIONS[1];
/// However busy the machine is.
const PATIENCE: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const INSTANCES: usize = 4;

pub(super) const FORGET: &str = "systemctl stop scheduler mesos-agent mesos-master consul 2>/dev/null; \
    systemctl stop mesos_executors.slice 2>/dev/null; \
    rm -rf /var/lib/mesos-agent /var/lib/mesos-master /opt/mesos-agent /opt/mesos-master \
    /etc/mesos-agent /etc/mesos-master /var/lib/scheduler /opt/scheduler /etc/scheduler \
    /var/lib/consul /opt/consul /etc/consul.d; true";

const APP: &str = "\
app: sleepers
version: 1
shell: exec sleep 86400
instances: 4
needs: {cores: 0.1, memory: 16MiB}
";

/// When each process of the app started, in ticks since the host's boot, and its number.
const PROCESSES: &str = "for pid in $(pgrep -x sleep); do \
    grep -q 86400 /proc/$pid/cmdline && echo \"$pid $(cut -d' ' -f22 /proc/$pid/stat)\"; \
    done | sort";

/// What a scheduler says when it is asked whether it is ready.
const READY: &str = "curl -s http://127.0.0.1:7470/readyz; true";

/// The schedulers of the lab, as somebody on its first host sees them.
pub(super) struct Schedulers<'a> {
    pub(super) stage: &'a Stage,
}

impl Schedulers<'_> {
    /// What a client command prints.
    pub(super) fn ask(&self, words: &str) -> Result<String, Error> {
        let first = self.stage.lab.hosts().first();
        let first = first.ok_or_else(|| Error::refused("ask a scheduler", "the lab is empty"))?;
        self.stage.ask(first, &format!("scheduler {words}"))
    }

    pub(super) fn wait_for(&self, what: &str, words: &str, part: &str) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let found = self.ask(words);
            if found.as_ref().is_ok_and(|text| text.contains(part)) {
                return Ok(());
            }
            ensure(begun.elapsed() < PATIENCE, || format!("{what} never came: {found:?}"))?;
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until one leads on another host than this one; on which.
    fn leader_besides(&self, other: Option<&str>) -> Result<Host, Error> {
        let begun = Instant::now();
        loop {
            for host in self.stage.lab.hosts() {
                if other != Some(host.name.as_str()) && self.stage.ask(host, READY)? == "ready" {
                    return Ok(host.clone());
                }
            }
            ensure(begun.elapsed() < PATIENCE, || "no other scheduler leads".to_owned())?;
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Groups and settings of `inventories/lab-mesos`, for the lab's hosts: each is all of it.
pub(super) fn describe(site: &Site<'_>) -> Result<(), Error> {
    let names: Vec<&str> = site.stage.lab.hosts().iter().map(|host| &*host.name).collect();
    let names = names.join("\n");
    let text =
        format!("[mesos_masters]\n{names}\n\n[mesos_agents]\n{names}\n\n[schedulers]\n{names}\n");
    let inventory = site.inventory.join("hosts");
    let hosts = fs::read_to_string(&inventory).doing(|| format!("read {}", inventory.display()))?;
    fs::write(&inventory, format!("{hosts}\n{text}"))
        .doing(|| format!("write {}", inventory.display()))?;
    let from = workspace::root().join("inventories/lab-mesos/group_vars/all/mesos.yml");
    let to = site.inventory.join("group_vars/all/mesos.yml");
    fs::copy(&from, &to).doing(|| format!("copy {}", from.display())).map(drop)
}

fn processes(stage: &Stage) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for host in stage.lab.hosts() {
        let found = stage.ask(host, PROCESSES)?;
        all.extend(found.lines().map(|line| format!("{} {line}", host.name)));
    }
    Ok(all)
}

pub(super) fn expect_runs(stage: &Stage, component: &str, version: &str) -> Result<(), Error> {
    let link = format!("basename $(readlink /opt/{component}/current)");
    stage.expect_everywhere(&link, version)?;
    let port = match component {
        "scheduler" => return stage.expect_everywhere("cat /run/scheduler/release", version),
        "mesos-master" => 5050,
        _ => 5051,
    };
    let version_page = format!("curl -s http://$(hostname -I | cut -d' ' -f1):{port}/version");
    stage.expect_everywhere(&version_page, &format!("{{\"version\":\"{version}\"}}"))
}

/// Masters, agents and schedulers go to another release and back; what runs on them isn't touched.
pub(super) fn roles(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, ZOOKEEPER)?;
    describe(&site)?;
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    let outcome = rolls(stage, &site);
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    outcome
}

fn rolls(stage: &Stage, site: &Site<'_>) -> Result<(), Error> {
    let tags = "common,zookeeper,consul,mesos,scheduler";
    site.apply_tags(tags, &[])?.expect_exit(&[0])?;
    site.apply_tags(tags, &[])?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;
    for (component, version) in
        [("mesos-master", OLD), ("mesos-agent", OLD), ("scheduler", OLD_SCHEDULER)]
    {
        expect_runs(stage, component, version)?;
    }

    let schedulers = Schedulers { stage };
    schedulers.wait_for("the machines", "machine list", "up")?;
    if let Some(first) = stage.lab.hosts().first() {
        stage
            .ask(first, &format!("cat >/tmp/app.yml <<'END'\n{APP}END\nchmod 644 /tmp/app.yml"))?;
    }
    schedulers.ask("app deploy /tmp/app.yml")?;
    let before = processes(stage)?;
    ensure(before.len() == INSTANCES, || format!("these run: {before:?}"))?;

    let early = site.change(&["upgrade", "mesos-agent", NEW, "--yes"])?.expect_exit(&[6])?;
    early.expect_text(&["must not be newer than mesos-master"])?;
    let steps: [(&str, &str, &str); 6] = [
        ("upgrade", "mesos-master", NEW),
        ("upgrade", "mesos-agent", NEW),
        ("upgrade", "scheduler", NEW_SCHEDULER),
        ("rollback", "scheduler", OLD_SCHEDULER),
        ("rollback", "mesos-agent", OLD),
        ("rollback", "mesos-master", OLD),
    ];
    for (verb, component, version) in steps {
        let run: Run = site.change(&[verb, component, version, "--yes"])?.expect_exit(&[0])?;
        expect_runs(stage, component, version)?;
        let now = processes(stage)?;
        ensure(now == before, || {
            format!("{before:?} ran and {now:?} run after {verb} {component}")
        })?;
        if component == "scheduler" {
            run.expect_text(&["(leader, so last)"])?;
        }
        println!("     {verb} {component} {version}: {:.1} s", run.elapsed.as_secs_f64());
    }
    schedulers.wait_for("the app", "app show sleepers", "steady")?;
    hands_over(stage, site, &schedulers)?;
    let now = processes(stage)?;
    ensure(now == before, || format!("{before:?} ran and {now:?} run after the end of a leader"))?;
    drained(stage, &schedulers)?;
    schedulers.ask("app delete sleepers").map(drop)
}

/// The process of the leader dies, and another one leads.
fn hands_over(stage: &Stage, site: &Site<'_>, schedulers: &Schedulers<'_>) -> Result<(), Error> {
    let leader = schedulers.leader_besides(None)?;
    let seen = site.change(&["status", "scheduler"])?.expect_exit(&[0])?;
    seen.expect_text(&[&format!("{} leads", leader.name)])?;
    let begun = Instant::now();
    stage.ask(&leader, "systemctl kill --signal=KILL scheduler.service")?;
    let next = schedulers.leader_besides(Some(&leader.name))?;
    println!(
        "     {} leads {:.1} s after the scheduler of {} was killed",
        next.name,
        begun.elapsed().as_secs_f64(),
        leader.name
    );
    schedulers.wait_for("the app", "app show sleepers", "steady")
}

/// A machine that is drained by the scheduler becomes empty, and is used again.
fn drained(stage: &Stage, scheduler: &Schedulers<'_>) -> Result<(), Error> {
    let Some(host) = stage.lab.hosts().first() else { return Ok(()) };
    let list = scheduler.ask("machine list")?;
    let address = stage.lab.record().subnet.address(host).to_string();
    let machine = list.lines().find_map(|line| {
        let name = line.split_whitespace().next()?;
        name.starts_with(&address).then(|| name.to_owned())
    });
    let machine = machine.ok_or_else(|| Error::refused("find a machine", list))?;
    scheduler.ask(&format!("drain {machine}"))?;
    let begun = Instant::now();
    while !stage.ask(host, PROCESSES)?.is_empty() {
        ensure(begun.elapsed() < PATIENCE, || format!("{} never became empty", host.name))?;
        thread::sleep(LOOK_EVERY);
    }
    scheduler.wait_for("the app", "app show sleepers", "steady")?;
    let now = processes(stage)?;
    ensure(now.len() == INSTANCES, || format!("these run: {now:?}"))?;
    scheduler.ask(&format!("undrain {machine}")).map(drop)
}

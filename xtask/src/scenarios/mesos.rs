//! `[io]` A scenario of Mesos: masters and agents of the lab's release are installed, changed and taken
//! back by `provision` while an app of the scheduler runs on them.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::releases::{Site, path_text};
use super::stage::{Run, Stage, ensure};
use crate::error::{Doing, Error};
use crate::lab::artifacts::own;
use crate::{step, workspace};

const ZOOKEEPER: &str = "3.9.3";
const OLD: &str = own::MESOS_VERSIONS[0];
const NEW: &str = own::MESOS_VERSIONS[1];
/// However busy the machine is.
const PATIENCE: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const INSTANCES: usize = 4;

const FORGET: &str = "systemctl stop mesos-agent mesos-master 2>/dev/null; \
    systemctl stop mesos_executors.slice 2>/dev/null; \
    rm -rf /var/lib/mesos-agent /var/lib/mesos-master /opt/mesos-agent /opt/mesos-master \
    /etc/mesos-agent /etc/mesos-master; true";

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

/// The scheduler, on this machine; it ends with the scenario.
struct Scheduler {
    child: Child,
    program: PathBuf,
    data: PathBuf,
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        step::kill_group(&self.child);
        let _ = self.child.wait();
    }
}

impl Scheduler {
    fn start(stage: &Stage) -> Result<Self, Error> {
        let program = own::programs()?.join("scheduler");
        let data = stage.folder.join("scheduler");
        let servers: Vec<String> = addresses(stage).iter().map(ToString::to_string).collect();
        let mut command = Command::new(&program);
        command.args(["serve", "--master", &format!("zk://{}/mesos", servers.join(","))]);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(&data).stdin(Stdio::null());
        stage.settle(&mut command);
        let log = step::create(&stage.folder.join("scheduler.log"))?;
        let errors = log.try_clone().doing(|| "make a log".to_owned())?;
        let child = step::start_with(&mut command, log.into(), errors.into())?;
        Ok(Self { child, program, data })
    }

    /// What a client command prints.
    fn ask(&self, words: &[&str]) -> Result<String, Error> {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--data").arg(&self.data).stdin(Stdio::null());
        let output = command.output().doing(|| "start scheduler".to_owned())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure(output.status.success(), || format!("`scheduler {words:?}`: {text}{said}"))?;
        Ok(text)
    }

    fn wait_for(&self, what: &str, words: &[&str], part: &str) -> Result<(), Error> {
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
}

fn addresses(stage: &Stage) -> Vec<IpAddr> {
    let lab = &stage.lab;
    lab.hosts().iter().map(|host| IpAddr::V4(lab.record().subnet.address(host))).collect()
}

/// Groups and settings of `inventories/lab-mesos`, for the lab's hosts: each is master and agent.
fn describe(site: &Site<'_>) -> Result<(), Error> {
    let names: Vec<&str> = site.stage.lab.hosts().iter().map(|host| &*host.name).collect();
    let names = names.join("\n");
    let text = format!("[mesos_masters]\n{names}\n\n[mesos_agents]\n{names}\n");
    let inventory = site.inventory.join("hosts");
    let hosts = fs::read_to_string(&inventory).doing(|| format!("read {}", inventory.display()))?;
    fs::write(&inventory, format!("{hosts}\n{text}"))
        .doing(|| format!("write {}", inventory.display()))?;
    let from = workspace::root().join("inventories/lab-mesos/group_vars/all/mesos.yml");
    let to = site.inventory.join("group_vars/all/mesos.yml");
    let settings = fs::read_to_string(&from).doing(|| format!("read {}", from.display()))?;
    // The scheduler runs on this machine.
    let settings = settings.split("# One scheduler").next().unwrap_or_default();
    fs::write(&to, settings).doing(|| format!("write {}", to.display()))
}

fn processes(stage: &Stage) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for host in stage.lab.hosts() {
        let found = stage.ask(host, PROCESSES)?;
        all.extend(found.lines().map(|line| format!("{} {line}", host.name)));
    }
    Ok(all)
}

fn expect_runs(stage: &Stage, component: &str, version: &str) -> Result<(), Error> {
    let link = format!("basename $(readlink /opt/{component}/current)");
    stage.expect_everywhere(&link, version)?;
    let port = if component == "mesos-master" { 5050 } else { 5051 };
    let version_page = format!("curl -s http://$(hostname -I | cut -d' ' -f1):{port}/version");
    stage.expect_everywhere(&version_page, &format!("{{\"version\":\"{version}\"}}"))
}

/// Masters and agents go to another release and back; what runs on them isn't touched.
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
    let tags = "common,zookeeper,mesos";
    site.apply_tags(tags, &[])?.expect_exit(&[0])?;
    site.apply_tags(tags, &[])?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;
    expect_runs(stage, "mesos-master", OLD)?;
    expect_runs(stage, "mesos-agent", OLD)?;

    let scheduler = Scheduler::start(stage)?;
    scheduler.wait_for("the machines", &["machine", "list"], "up")?;
    let app = stage.folder.join("app.yml");
    fs::write(&app, APP).doing(|| format!("write {}", app.display()))?;
    scheduler.ask(&["app", "deploy", &path_text(&app)])?;
    let before = processes(stage)?;
    ensure(before.len() == INSTANCES, || format!("these run: {before:?}"))?;

    let early = site.change(&["upgrade", "mesos-agent", NEW, "--yes"])?.expect_exit(&[6])?;
    early.expect_text(&["must not be newer than mesos-master"])?;
    let steps: [(&str, &str, &str); 4] = [
        ("upgrade", "mesos-master", NEW),
        ("upgrade", "mesos-agent", NEW),
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
        println!("     {verb} {component} {version}: {:.1} s", run.elapsed.as_secs_f64());
    }
    scheduler.wait_for("the app", &["app", "show", "sleepers"], "steady")?;
    drained(stage, &scheduler)?;
    scheduler.ask(&["app", "delete", "sleepers"]).map(drop)
}

/// A machine that is drained by the scheduler becomes empty, and is used again.
fn drained(stage: &Stage, scheduler: &Scheduler) -> Result<(), Error> {
    let Some(host) = stage.lab.hosts().first() else { return Ok(()) };
    let list = scheduler.ask(&["machine", "list"])?;
    let address = stage.lab.record().subnet.address(host).to_string();
    let machine = list.lines().find_map(|line| {
        let name = line.split_whitespace().next()?;
        name.starts_with(&address).then(|| name.to_owned())
    });
    let machine = machine.ok_or_else(|| Error::refused("find a machine", list))?;
    scheduler.ask(&["drain", &machine])?;
    let begun = Instant::now();
    while !stage.ask(host, PROCESSES)?.is_empty() {
        ensure(begun.elapsed() < PATIENCE, || format!("{} never became empty", host.name))?;
        thread::sleep(LOOK_EVERY);
    }
    scheduler.wait_for("the app", &["app", "show", "sleepers"], "steady")?;
    let now = processes(stage)?;
    ensure(now.len() == INSTANCES, || format!("these run: {now:?}"))?;
    scheduler.ask(&["undrain", &machine]).map(drop)
}

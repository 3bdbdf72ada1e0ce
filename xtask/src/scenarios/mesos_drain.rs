//! `[io]` A scenario of Mesos: agents are emptied before `provision` restarts them, hosts leave and join,
//! and an app that moves meanwhile answers all its requests.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::members::resume;
use super::mesos::{FORGET, NEW, OLD, Schedulers, ZOOKEEPER, describe, expect_runs};
use super::releases::{Site, path_text};
use super::stage::{Run, Stage, ensure};
use crate::demo::load::{self, Load};
use crate::error::Error;
use crate::lab::artifacts::own;
use crate::lab::names::Host;
use crate::workspace;

const REQUESTS_A_SECOND: u32 = 40;

/// The app that is asked all the time.
const APP: &str = "\
app: web
version: 1
shell: exec /usr/local/bin/scheduler-sample-worker $PORT 10 0.0.0.0
instances: 4
needs: {cores: 0.1, memory: 32MiB, ports: 1}
health: {http: /health, interval: 500ms}
warm_up: 2s
cool_down: 2s
";

/// Nothing is left of a drain.
const NOTE: &str = "ls /etc/mesos-agent/draining 2>/dev/null; true";

/// How long a drain has been under way when the controller dies.
const INTO_THE_DRAIN: Duration = Duration::from_secs(3);

/// Agents are drained for another release, killed controllers go on, hosts leave and join; no request
/// fails.
pub(super) fn run(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, ZOOKEEPER)?;
    describe(&site)?;
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    let outcome = Drill { stage, site: &site, schedulers: Schedulers { stage } }.run();
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    outcome
}

struct Drill<'a> {
    stage: &'a Stage,
    site: &'a Site<'a>,
    schedulers: Schedulers<'a>,
}

impl Drill<'_> {
    fn run(&self) -> Result<(), Error> {
        let hosts = self.stage.lab.hosts();
        let (Some(first), Some(last)) = (hosts.first(), hosts.last()) else {
            return Err(Error::refused("choose hosts", "the lab is empty"));
        };
        self.site.apply_tags("common,zookeeper,consul,mesos,scheduler", &[])?.expect_exit(&[0])?;
        self.install_worker()?;
        self.schedulers.wait_for("the machines", "machine list", "up")?;
        let write = format!("cat >/tmp/app.yml <<'END'\n{APP}END\nchmod 644 /tmp/app.yml");
        self.stage.ask(first, &write)?;
        self.schedulers.ask("app deploy /tmp/app.yml")?;

        let refused = self.site.change(&["upgrade", "zookeeper", "3.8.0", "--drain", "--yes"])?;
        refused.expect_exit(&[2])?.expect_text(&["can't move away what runs on a member"])?;

        self.under_load(first, &["upgrade", "mesos-master", NEW])?;
        expect_runs(self.stage, "mesos-master", NEW)?;
        self.moved(|| self.killed_and_resumed(first))?;
        expect_runs(self.stage, "mesos-agent", NEW)?;
        self.moved(|| self.under_load(first, &["rollback", "mesos-agent", OLD, "--drain"]))?;
        expect_runs(self.stage, "mesos-agent", OLD)?;
        self.under_load(first, &["rollback", "mesos-master", OLD])?;

        self.under_load(first, &["remove", "scheduler", &last.name])?;
        let gone = "ls -d /opt/scheduler /etc/scheduler /usr/local/bin/scheduler 2>/dev/null; true";
        let left = self.stage.ask(last, gone)?;
        ensure(left.is_empty(), || format!("on {} there is still {left}", last.name))?;
        self.under_load(first, &["add", "scheduler", &last.name])?;
        let ready = self.stage.ask(last, "curl -s http://127.0.0.1:7470/readyz")?;
        let is_in = ready == "ready" || ready.contains(" leads at ");
        ensure(is_in, || format!("the scheduler of {} says {ready}", last.name))?;

        // The agent that was drained last is empty.
        self.schedulers.ask("rebalance web")?;
        let busy = self.site.change(&["remove", "mesos-agent", &last.name, "--yes"])?;
        busy.expect_exit(&[6])?.expect_text(&["stop them with --drain"])?;
        self.under_load(first, &["remove", "mesos-agent", &last.name, "--drain"])?;
        self.under_load(first, &["add", "mesos-agent", &last.name])?;
        self.schedulers.ask("app delete web").map(drop)
    }

    fn install_worker(&self) -> Result<(), Error> {
        let program = own::programs()?.join("scheduler-sample-worker");
        let playbook = path_text(&workspace::root().join("xtask/demo/worker.yml"));
        let mut command = self.site.command(&["apply", &playbook]);
        command.args(["-e", &format!("worker_program={}", program.display())]);
        self.stage.run(command)?.expect_exit(&[0]).map(drop)
    }

    fn requests(&self, host: &Host) -> Load {
        let address = self.stage.lab.record().subnet.address(host);
        let consul = load::Consul { address: address.into(), token: load::TOKEN };
        Load::begin(consul, REQUESTS_A_SECOND)
    }

    /// Does something while the app is asked all the time; afterwards it is as it was.
    fn watched(
        &self,
        host: &Host,
        what: &str,
        act: impl FnOnce() -> Result<Run, Error>,
    ) -> Result<(), Error> {
        let load = self.requests(host);
        let run = act()?.expect_exit(&[0])?;
        let settled = self.schedulers.wait_for("the app", "app show web", "steady");
        let seen = load.finish();
        settled?;
        println!("     {what}: {:.1} s, {}", run.elapsed.as_secs_f64(), seen.words());
        ensure(seen.failed == 0, || format!("{}; first: {}", seen.words(), seen.first_failure))?;
        let due = run.elapsed.as_secs_f64() * f64::from(REQUESTS_A_SECOND);
        ensure(seen.answered as f64 > due / 2.0, || {
            format!("only {} of {due:.0} requests were answered", seen.answered)
        })?;
        self.stage.expect_everywhere(NOTE, "")?;
        let machines = self.schedulers.ask("machine list")?;
        ensure(!machines.contains("drain"), || format!("a machine is still drained:\n{machines}"))
    }

    fn under_load(&self, host: &Host, words: &[&str]) -> Result<(), Error> {
        let all = [words, &["--yes"]].concat();
        self.watched(host, &words.join(" "), || self.site.change(&all))
    }

    /// The controller dies while the first agent is being emptied, and another one goes on.
    fn killed_and_resumed(&self, host: &Host) -> Result<(), Error> {
        let words = ["upgrade", "mesos-agent", NEW, "--drain", "--yes", "--output", "ndjson"];
        self.watched(host, "upgrade mesos-agent --drain, killed and resumed", || {
            let mut going = self.stage.start(self.site.changing(&words))?;
            going.wait_for("the first agent to be taken", |record| {
                let is = |place: &str, word: &str| {
                    record.pointer(place).and_then(serde_json::Value::as_str) == Some(word)
                };
                is("/happening/happening", "step_begins") && is("/happening/step/step", "take")
            })?;
            thread::sleep(INTO_THE_DRAIN);
            going.kill()?;
            resume(self.stage)
        })
    }

    /// No instance of before is where it was: all were moved.
    fn moved(&self, act: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let before = self.instances()?;
        act()?;
        let after = self.instances()?;
        let stayed: Vec<&String> = before.intersection(&after).collect();
        ensure(stayed.is_empty(), || format!("{stayed:?} were not moved"))
    }

    fn instances(&self) -> Result<BTreeSet<String>, Error> {
        let list = self.schedulers.ask("instance list web")?;
        let names = list.lines().filter_map(|line| line.split_whitespace().next());
        let names: BTreeSet<String> =
            names.filter(|name| name.starts_with("web.")).map(str::to_owned).collect();
        ensure(names.len() >= 4, || format!("these run:\n{list}"))?;
        Ok(names)
    }
}

//! `[io]` A scenario of Docker: the sample worker becomes an image by `docker import`, and a scheduler
//! runs it in containers, upgrades and repairs it.

use super::docker::{self, DOCKER, FORGET, NEW, ZOOKEEPER};
use super::releases::{Site, path_text};
use super::stage::{Stage, ensure};
use crate::error::Error;
use crate::lab::artifacts::own;
use crate::lab::names::Host;
use crate::workspace;

/// There is nothing in the image but the program, which is static.
const IMPORT: &str = "\
    set -e; tar --directory /srv/worker --create scheduler-sample-worker | \
    $DOCKER import --change 'ENTRYPOINT [\"/scheduler-sample-worker\"]' - sample-worker:1 >/dev/null; \
    $DOCKER tag sample-worker:1 sample-worker:2";

/// Ten hundredths of a second for a request, so that a queue comes about.
const APP: &str = "\
app: worker
version: \"VERSION\"
image: sample-worker:VERSION
arguments: [\"8080\", \"100\", \"0.0.0.0\"]
inner_ports: [8080]
instances: 2
needs: {cores: 0.1, memory: 32MiB, ports: 1}
health: {http: /health, interval: 500ms}
metrics: {path: /metrics, port: 0, queue: worker_waiting, busy: worker_busy}
warm_up: 1s
cool_down: 1s
";

const START: &str = "systemd-run --quiet --collect --unit worker-scheduler \
    /srv/worker/scheduler serve --local --listen 127.0.0.1:7490 --data /srv/worker/data \
    --docker $DOCKER; \
    for i in $(seq 100); do [ -e /srv/worker/data/daemon.json ] && break; sleep 0.1; done";

const STOP: &str = "systemctl stop worker-scheduler 2>/dev/null; rm -rf /srv/worker; true";

/// Image and state of each container of the app.
const CONTAINERS: &str =
    "$DOCKER ps --filter name=corral-worker --format '{{.Image}}' | sort | xargs";

/// The ports at which instances are reached.
const PORTS: &str = "$DOCKER ps --filter name=corral-worker --format '{{.Ports}}' | \
    sed -n 's,^127.0.0.1:\\([0-9]*\\)->8080/tcp.*,\\1,p'";

/// Thirty requests at once to one instance: one is in work, ten wait, and the others are told so.
const CROWD: &str = "for i in $(seq 30); do \
    curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:PORT/ & done | sort | uniq -c | \
    awk '{print $2}' | xargs; wait";

/// Deploys, asks, upgrades, and kills a container.
pub(super) fn run(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, ZOOKEEPER)?;
    let Some(host) = stage.lab.hosts().first().cloned() else {
        return Err(Error::refused("choose a host", "the lab is empty"));
    };
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    docker::want(&site, NEW)?;
    docker::apply(&site)?.expect_exit(&[0])?;
    let playbook = path_text(&workspace::root().join("xtask/scenarios/docker-worker.yml"));
    let mut command = site.command(&["apply", &playbook]);
    command.args(["-e", &format!("programs={}", own::programs()?.display())]);
    stage.run(command)?.expect_exit(&[0])?;
    let outcome = Drill { stage, host: &host }.run();
    let logs = match &outcome {
        Ok(()) => String::new(),
        Err(_) => stage.ask(&host, "journalctl --unit worker-scheduler | tail -n 20")?,
    };
    for host in stage.lab.hosts() {
        stage.ask(host, STOP)?;
        stage.ask(host, FORGET)?;
    }
    outcome.inspect_err(|_| println!("{logs}"))
}

struct Drill<'a> {
    stage: &'a Stage,
    host: &'a Host,
}

impl Drill<'_> {
    fn run(&self) -> Result<(), Error> {
        self.ask(IMPORT)?;
        self.ask(START)?;
        self.deploy("1")?;
        self.expect(CONTAINERS, "sample-worker:1 sample-worker:1")?;
        let ports = self.ask(PORTS)?;
        let ports: Vec<&str> = ports.split_whitespace().collect();
        ensure(ports.len() == 2, || format!("two ports are expected, not {ports:?}"))?;
        for port in &ports {
            self.expect(&format!("curl -s http://127.0.0.1:{port}/health"), "healthy")?;
        }
        let Some(port) = ports.first() else { return Ok(()) };
        self.expect(&CROWD.replace("PORT", port), "200 503")?;
        let metric = |name: &str| {
            format!("curl -s http://127.0.0.1:{port}/metrics | awk '$1 == \"{name}\" {{print $2}}'")
        };
        self.expect(&metric("worker_arrivals_total"), "30")?;
        let number = |text: String| text.parse::<u32>().unwrap_or_default();
        let rejected = number(self.ask(&metric("worker_rejects_total"))?);
        let answered = number(self.ask(&metric("worker_answered_total"))?);
        println!("     of 30 requests at once {answered} were answered, {rejected} rejected");
        ensure(rejected + answered == 30 && answered >= 11, || {
            format!("{answered} answered and {rejected} rejected are not 30 with a queue of 10")
        })?;
        self.deploy("2")?;
        self.expect(CONTAINERS, "sample-worker:2 sample-worker:2")?;
        // Whoever dies is replaced.
        self.ask(
            "$DOCKER ps --quiet --filter name=corral-worker | head -n 1 | xargs $DOCKER kill",
        )?;
        let again = "for i in $(seq 150); do sleep 0.2; \
            SCHEDULER_DATA=/srv/worker/data /srv/worker/scheduler app show worker | grep -q steady && \
            [ $($DOCKER ps --quiet --filter name=corral-worker | wc -l) = 2 ] && \
            echo again && break; done";
        self.expect(again, "again")?;
        self.scheduler("app delete worker")?;
        let gone = "for i in $(seq 150); do sleep 0.2; \
            [ $($DOCKER ps --all --quiet --filter name=corral-worker | wc -l) = 0 ] && \
            echo none && break; done";
        self.expect(gone, "none")
    }

    fn deploy(&self, version: &str) -> Result<(), Error> {
        let app = APP.replace("VERSION", version);
        self.ask(&format!("cat >/srv/worker/app.yml <<'END'\n{app}END"))?;
        self.scheduler("app deploy /srv/worker/app.yml").map(drop)
    }

    fn scheduler(&self, words: &str) -> Result<String, Error> {
        let script =
            format!("SCHEDULER_DATA=/srv/worker/data /srv/worker/scheduler {words} 2>&1; echo $?");
        let text = self.ask(&script)?;
        ensure(text.lines().last() == Some("0"), || format!("`scheduler {words}` says\n{text}"))?;
        Ok(text)
    }

    fn ask(&self, script: &str) -> Result<String, Error> {
        self.stage.ask(self.host, &format!("DOCKER={DOCKER}; {script}"))
    }

    fn expect(&self, script: &str, expected: &str) -> Result<(), Error> {
        let found = self.ask(script)?;
        ensure(found == expected, || format!("`{script}` prints\n{found}\nand not {expected}"))
    }
}

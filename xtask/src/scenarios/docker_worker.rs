//! `[io]` A scenario of Docker: the sample worker becomes an image by `docker import`, and a scheduler
//! runs it in containers, upgrades and repairs it. Consul looks at it from inside the containers.

use std::path::PathBuf;

use super::docker::{self, DOCKER, FORGET, NEW, ZOOKEEPER};
use super::releases::{Site, path_text};
use super::stage::{Stage, ensure};
use crate::error::Error;
use crate::lab::artifacts::{self, own};
use crate::lab::directories::Cache;
use crate::lab::names::Host;
use crate::workspace;

/// There is nothing in the image but the program and one for Consul's check, which are static.
const IMPORT: &str = "\
    set -e; \
    command -v busybox >/dev/null || apt-get install --yes busybox-static >/dev/null 2>&1; \
    cp \"$(command -v busybox)\" /srv/worker/busybox; \
    tar --directory /srv/worker --create scheduler-sample-worker busybox | \
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
consul: {check: docker, command: [/busybox, wget, -q, -O, '-', 'http://127.0.0.1:8080/health']}
warm_up: 1s
cool_down: 1s
";

/// Of its own, with what Docker checks need: ACLs, and leave to run programs.
const CONSUL: &str = "\
    cat >/srv/worker/consul.hcl <<'END'
acl { enabled = true  default_policy = \"allow\" }
enable_script_checks = true
ports { http = 7500 dns = -1 grpc = -1 serf_lan = 7501 serf_wan = 7502 server = 7503 }
END
    systemd-run --quiet --collect --unit worker-consul \
        /srv/worker/consul-*/bin/consul agent -dev -bind 127.0.0.1 \
        -config-file /srv/worker/consul.hcl; \
    for i in $(seq 100); do \
        curl -s http://127.0.0.1:7500/v1/status/leader | grep -q 7503 && echo leads && break; \
        sleep 0.2; done";

/// So many instances say inside their containers that they are healthy, in checks that Consul runs
/// there; and so many services there are.
const LOOKED: &str = "for i in $(seq 100); do sleep 0.2; \
    said=$(curl -s http://127.0.0.1:7500/v1/agent/checks | tr -d ' \\n\\t' | \
        grep -o '\"Status\":\"passing\",\"Notes\":\"\",\"Output\":\"healthy[^}]*\"Type\":\"docker\"' | wc -l); \
    [ $said = COUNT ] && break; done; \
    echo $said of $(curl -s http://127.0.0.1:7500/v1/agent/services | grep -o '\"Service\": *\"worker\"' | wc -l)";

const START: &str = "systemd-run --quiet --collect --unit worker-scheduler \
    /srv/worker/scheduler serve --local --listen 127.0.0.1:7490 --data /srv/worker/data \
    --docker $DOCKER --consul http://127.0.0.1:7500; \
    for i in $(seq 100); do [ -e /srv/worker/data/daemon.json ] && break; sleep 0.1; done";

const STOP: &str =
    "systemctl stop worker-scheduler worker-consul 2>/dev/null; rm -rf /srv/worker; true";

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
    command.args(["-e", &format!("consul={}", consul()?.display())]);
    stage.run(command)?.expect_exit(&[0])?;
    let outcome = Drill { stage, host: &host }.run();
    let logs = match &outcome {
        Ok(()) => String::new(),
        Err(_) => {
            let units = "--unit worker-scheduler --unit worker-consul";
            stage.ask(&host, &format!("journalctl {units} | tail -n 40"))?
        }
    };
    for host in stage.lab.hosts() {
        stage.ask(host, STOP)?;
        stage.ask(host, FORGET)?;
    }
    outcome.inspect_err(|_| println!("{logs}"))
}

/// The archive of Consul.
fn consul() -> Result<PathBuf, Error> {
    let cache = Cache::of_environment();
    let all = artifacts::ensure(&cache)?;
    let found = all.iter().find(|one| one.component == "consul");
    let found = found.ok_or_else(|| Error::refused("find Consul", "the cache has none"))?;
    Ok(cache.artifacts().join(&found.file))
}

struct Drill<'a> {
    stage: &'a Stage,
    host: &'a Host,
}

impl Drill<'_> {
    fn run(&self) -> Result<(), Error> {
        self.ask(IMPORT)?;
        self.expect(CONSUL, "leads")?;
        self.ask(START)?;
        self.deploy("1")?;
        self.expect(CONTAINERS, "sample-worker:1 sample-worker:1")?;
        self.expect(&LOOKED.replace("COUNT", "2"), "2 of 2")?;
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
        self.expect(&LOOKED.replace("COUNT", "2"), "2 of 2")?;
        // Whoever dies is replaced.
        self.ask(
            "$DOCKER ps --quiet --filter name=corral-worker | head -n 1 | xargs $DOCKER kill",
        )?;
        let again = "for i in $(seq 150); do sleep 0.2; \
            SCHEDULER_DATA=/srv/worker/data /srv/worker/scheduler app show worker | grep -q steady && \
            [ $($DOCKER ps --quiet --filter name=corral-worker | wc -l) = 2 ] && \
            echo again && break; done";
        self.expect(again, "again")?;
        self.expect(&LOOKED.replace("COUNT", "2"), "2 of 2")?;
        self.scheduler("app delete worker")?;
        self.expect(&LOOKED.replace("COUNT", "0"), "0 of 0")?;
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

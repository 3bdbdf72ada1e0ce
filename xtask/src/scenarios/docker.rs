//! `[io]` A scenario of Docker: its daemons change their release and come back, and what runs in
//! containers doesn't notice.

use std::fs;

use super::releases::{Site, path_text};
use super::stage::{Run, Stage, ensure};
use crate::error::{Doing, Error};
use crate::lab::names::Host;
use crate::workspace;

const OLD: &str = "20.10.24";
pub(super) const NEW: &str = "26.1.5";
/// No other scenario has any use for these versions of ZooKeeper; the site wants one.
pub(super) const ZOOKEEPER: &str = "3.9.3";
pub(super) const DOCKER: &str = "/opt/docker/current/bin/docker";

pub(super) const FORGET: &str = "\
    if systemctl --quiet is-active docker; then \
        /opt/docker/current/bin/docker ps --all --quiet | \
            xargs --no-run-if-empty /opt/docker/current/bin/docker rm --force >/dev/null; \
    fi; \
    systemctl stop docker.socket docker containerd 2>/dev/null; \
    rm -rf /opt/docker /var/lib/docker/* /var/lib/containerd /etc/docker /etc/containerd \
        /usr/local/bin/docker; true";

/// There is no registry here: an image of one static program is made on each host.
const IMAGE: &str = "\
    set -e; mkdir -p /tmp/image/bin /tmp/image/www; \
    command -v busybox >/dev/null || apt-get install --yes busybox-static >/dev/null 2>&1; \
    cp \"$(command -v busybox)\" /tmp/image/bin/busybox; echo served >/tmp/image/www/index.html; \
    tar --directory /tmp/image --create . | \
        /opt/docker/current/bin/docker import - tiny:1 >/dev/null; \
    /opt/docker/current/bin/docker network create inner >/dev/null; \
    /opt/docker/current/bin/docker run --detach --name counts --network none tiny:1 \
        /bin/busybox sh -c 'n=0; while :; do n=$((n+1)); echo $n; /bin/busybox sleep 0.2; done' \
        >/dev/null; \
    /opt/docker/current/bin/docker run --detach --name serves --network inner \
        --publish 8088:80 tiny:1 /bin/busybox httpd -f -p 80 -h /www >/dev/null";

/// One more, by whichever daemon there is now.
const ANOTHER: &str = "/opt/docker/current/bin/docker run --detach --name another --network inner \
                       tiny:1 /bin/busybox sleep 100000 >/dev/null";

/// Process and start of each container: neither may change.
const PROCESSES: &str = "/opt/docker/current/bin/docker ps --all --quiet | \
    xargs /opt/docker/current/bin/docker inspect \
        --format '{{.Name}} {{.State.Running}} {{.State.Pid}} {{.State.StartedAt}}' | sort";

/// What the published port answers.
const PORT: &str = "exec 3<>/dev/tcp/127.0.0.1/8088; \
                    printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3";

/// From which releases shims run.
const SHIMS: &str = "for exe in /proc/[0-9]*/exe; do readlink $exe; done 2>/dev/null | \
                     sed -n 's,^/opt/docker/releases/\\(.*\\)/bin/containerd-shim.*,\\1,p' | \
                     sort | uniq -c | sed 's/^ *//'";

pub(super) fn want(site: &Site<'_>, version: &str) -> Result<(), Error> {
    let path = site.inventory.join("group_vars/all/releases.yml");
    let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    let change = |line: &str| match line.trim_start().starts_with("docker:") {
        true => format!("  docker: \"{version}\""),
        false => line.to_owned(),
    };
    let text: Vec<String> = text.lines().map(change).collect();
    fs::write(&path, text.join("\n") + "\n").doing(|| format!("write {}", path.display()))
}

pub(super) fn apply(site: &Site<'_>) -> Result<Run, Error> {
    let playbook = workspace::root().join("playbooks/main.yml");
    let mut command = site.command(&["apply", &path_text(&playbook)]);
    command.args(["--tags", "common,docker", "--output", "ndjson"]);
    site.stage.run(command)
}

fn change(site: &Site<'_>, words: &[&str]) -> Result<Run, Error> {
    let mut command = site.command(words);
    command.arg("--playbooks").arg(workspace::root().join("playbooks"));
    site.stage.run(command)
}

/// What each host says.
fn everywhere(stage: &Stage, script: &str) -> Result<Vec<String>, Error> {
    stage.lab.hosts().iter().map(|host| stage.ask(host, script)).collect()
}

/// Every container runs on as the process that it was, and can be talked to.
fn expect_kept(stage: &Stage, before: &[String], what: &str) -> Result<(), Error> {
    let now = everywhere(stage, PROCESSES)?;
    ensure(now == before, || format!("{what}: there were\n{before:#?}\nand now\n{now:#?}"))?;
    ensure(now.iter().any(|text| text.contains("/counts true")), || {
        format!("{what}: nothing runs: {now:#?}")
    })?;
    for host in stage.lab.hosts() {
        expect_usable(stage, host, what)?;
    }
    Ok(())
}

fn expect_usable(stage: &Stage, host: &Host, what: &str) -> Result<(), Error> {
    let gaps = "awk '$1 != NR { bad = 1 } END { print bad ? \"gap\" : \"whole\" }'";
    let asks = [
        (format!("{DOCKER} exec counts /bin/busybox echo inside"), "inside"),
        // Lines are numbered: none is lost, none is there twice.
        (format!("{DOCKER} logs counts | {gaps}"), "whole"),
        (
            format!(
                "a=$({DOCKER} logs counts | wc -l); sleep 1; \
                 b=$({DOCKER} logs counts | wc -l); [ $b -gt $a ] && echo goes on"
            ),
            "goes on",
        ),
        (PORT.to_owned(), "served"),
        (
            format!(
                "{DOCKER} run --rm --network inner tiny:1 \
                 /bin/busybox wget -q -O - http://serves/"
            ),
            "served",
        ),
    ];
    for (script, expected) in asks {
        let found = stage.ask(host, &format!("bash -c {}", quoted(&script)))?;
        ensure(found == expected, || {
            format!("{what}: on {} `{script}` prints\n{found}\nand not {expected}", host.name)
        })?;
    }
    Ok(())
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', r"'\''"))
}

/// 20.10 → 26.1 → 20.10 with containers that run on.
pub(super) fn kept(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, ZOOKEEPER)?;
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    want(&site, OLD)?;
    apply(&site)?.expect_exit(&[0])?;
    for host in stage.lab.hosts() {
        stage.ask(host, IMAGE)?;
    }
    let before = everywhere(stage, PROCESSES)?;
    expect_kept(stage, &before, "before")?;

    let up = change(&site, &["upgrade", "docker", NEW, "--yes"])?.expect_exit(&[0])?;
    println!("     upgrade: {:.1} s", up.elapsed.as_secs_f64());
    expect_server(stage, NEW)?;
    expect_kept(stage, &before, "after the upgrade")?;
    // The shims are those that started the containers, so their release has to stay.
    stage.expect_everywhere(SHIMS, &format!("2 {OLD}"))?;
    stage.expect_everywhere("ls /opt/docker/releases | xargs", &format!("{OLD} {NEW}"))?;

    for host in stage.lab.hosts() {
        stage.ask(host, ANOTHER)?;
    }
    let before = everywhere(stage, PROCESSES)?;
    let back = change(&site, &["rollback", "docker", "--yes"])?.expect_exit(&[0])?;
    println!("     way back: {:.1} s", back.elapsed.as_secs_f64());
    expect_server(stage, OLD)?;
    expect_kept(stage, &before, "after the way back")?;
    stage.expect_everywhere(SHIMS, &format!("2 {OLD}\n1 {NEW}"))?;

    // What one daemon started the other stops, starts and removes.
    let manage = format!(
        "{DOCKER} stop --time 0 counts another >/dev/null; {DOCKER} start another >/dev/null; \
         {DOCKER} exec another /bin/busybox echo again; {DOCKER} rm --force counts another \
         >/dev/null; {DOCKER} ps --format '{{{{.Names}}}}'"
    );
    stage.expect_everywhere(&manage, "again\nserves")?;
    stage.expect_everywhere(SHIMS, &format!("1 {OLD}"))?;
    apply(&site)?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    Ok(())
}

fn expect_server(stage: &Stage, version: &str) -> Result<(), Error> {
    let ask = format!("{DOCKER} version --format '{{{{.Server.Version}}}}' | sed 's/+.*//'");
    stage.expect_everywhere(&ask, version)
}

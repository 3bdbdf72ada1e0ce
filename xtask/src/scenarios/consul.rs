//! `[io]` A scenario of Consul: its servers get another setting one after the other, while a client
//! on a fourth host writes keys through its own agent without a pause.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::releases::{Site, path_text};
use super::stage::{Run, Stage, ensure};
use crate::error::Error;
use crate::lab::names::{Host, Layout};
use crate::lab::{Lab, UpOptions};
use crate::workspace;

const SERVERS: usize = 3;
/// Servers talk to each other on this port.
const PORT: u16 = 8300;
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The goal is one election, which takes seconds with the lab's slow timing.
const STALL_LIMIT: Duration = Duration::from_secs(30);
const ZOOKEEPER: &str = "3.9.3";
const SETTING: &str = "consul_log_level=DEBUG";
/// The lab's, which is public.
const TOKEN: &str = "1ab00000-0000-4000-8000-00000000000a";

/// Writes numbers, and notes each one that was acknowledged, with the time. The leader is noted
/// whenever another one is seen.
const CLIENT: &str = "\
    rm -f /tmp/stop /tmp/acknowledged /tmp/leaders; touch /tmp/acknowledged /tmp/leaders
    (
        n=0
        while [ ! -e /tmp/stop ]; do
            n=$((n + 1))
            said=$(curl --silent --max-time 5 --request PUT --header \"X-Consul-Token: TOKEN\" \
                --data $n http://127.0.0.1:8500/v1/kv/written/$n)
            [ \"$said\" = true ] && echo \"$n $(date +%s%3N)\" >>/tmp/acknowledged
            sleep 0.01
        done
        touch /tmp/stopped
    ) >/dev/null 2>&1 &
    (
        last=
        while [ ! -e /tmp/stop ]; do
            now=$(curl --silent --max-time 2 --header \"X-Consul-Token: TOKEN\" \
                http://127.0.0.1:8500/v1/status/leader | tr -d '\"')
            case $now in *:8300)
                [ \"$now\" = \"$last\" ] || echo \"$now\" >>/tmp/leaders
                last=$now
            esac
            sleep 0.05
        done
    ) >/dev/null 2>&1 &
    true";

/// Looks at the servers' ports until it is told to stop; the fewest that were up at a time.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Watch {
    fn begin(servers: Vec<IpAddr>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = stop.clone();
        let thread = thread::spawn(move || {
            let mut fewest = servers.len();
            while !until.load(Ordering::Relaxed) {
                let is_up = |server: &&IpAddr| {
                    let address = SocketAddr::new(**server, PORT);
                    TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_ok()
                };
                fewest = fewest.min(servers.iter().filter(is_up).count());
                thread::sleep(LOOK_EVERY);
            }
            fewest
        });
        Watch { stop, thread }
    }

    fn finish(self) -> Result<usize, Error> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Error::refused("watch Consul", "its thread ended"))
    }
}

/// What the client saw.
struct Written {
    acknowledged: Vec<(u64, u64)>,
    leaders: Vec<String>,
}

impl Written {
    fn longest_stall(&self) -> Duration {
        let times = self.acknowledged.windows(2);
        let stalls = times.filter_map(|pair| match pair {
            [(_, before), (_, after)] => after.checked_sub(*before),
            _ => None,
        });
        Duration::from_millis(stalls.max().unwrap_or(0))
    }
}

/// In a lab of its own: three servers and a host that has no other part in it.
pub(super) fn rolling(stage: &Stage) -> Result<(), Error> {
    let lab = Lab::up(&UpOptions::new("consul", Layout::Numbered(4))?)?;
    let outcome = in_lab(&stage.with_lab(&lab));
    let down = lab.down();
    outcome.and(down)
}

fn in_lab(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, ZOOKEEPER)?;
    apply(&site, &[])?.expect_exit(&[0])?;
    let (servers, client) = stage.lab.hosts().split_at(SERVERS);
    let client = client.first().ok_or_else(|| Error::refused("find the client", "no host"))?;
    let address = |host: &Host| IpAddr::V4(stage.lab.record().subnet.address(host));
    stage.ask(client, &CLIENT.replace("TOKEN", TOKEN))?;
    let watch = Watch::begin(servers.iter().map(address).collect());
    // The play restarts the client's agent, and leaves the servers to the planner.
    let run = apply(&site, &["-e", SETTING])?.expect_exit(&[0]);
    let fewest = watch.finish()?;
    let written = finish(stage, client)?;
    let run = run?;
    expect_unharmed(stage, servers, &written, fewest, run.elapsed)?;

    stage.expect_everywhere("grep log_level /etc/consul.d/consul.hcl", "log_level  = \"DEBUG\"")?;
    stage
        .expect_everywhere("sha256sum --check --status /run/consul/started && echo same", "same")?;
    let last = apply(&site, &["-e", SETTING])?.expect_exit(&[0])?;
    last.expect_count(&stage.lab, "changed", 0)
}

fn apply(site: &Site<'_>, words: &[&str]) -> Result<Run, Error> {
    let playbook = workspace::root().join("playbooks/main.yml");
    let mut command = site.command(&["apply", &path_text(&playbook)]);
    command.args(["--tags", "common,consul", "--output", "ndjson"]).args(words);
    site.stage.run(command)
}

fn finish(stage: &Stage, client: &Host) -> Result<Written, Error> {
    let stop = "touch /tmp/stop; for i in $(seq 100); do [ -e /tmp/stopped ] && break; sleep 0.1; done; \
                cat /tmp/acknowledged";
    let text = stage.ask(client, stop)?;
    let pair = |line: &str| {
        let (number, at) = line.split_once(' ')?;
        Some((number.parse().ok()?, at.parse().ok()?))
    };
    let acknowledged = text.lines().filter_map(pair).collect();
    let leaders = stage.ask(client, "cat /tmp/leaders")?.lines().map(str::to_owned).collect();
    Ok(Written { acknowledged, leaders })
}

fn expect_unharmed(
    stage: &Stage,
    servers: &[Host],
    written: &Written,
    fewest: usize,
    elapsed: Duration,
) -> Result<(), Error> {
    let stall = written.longest_stall();
    let changes = written.leaders.len().saturating_sub(1);
    println!(
        "     consul-rolling: {:.1} s, {} writes acknowledged, longest stall {:.2} s, {fewest} of \
         {SERVERS} servers up at least, {changes} changes of the leader",
        elapsed.as_secs_f64(),
        written.acknowledged.len(),
        stall.as_secs_f64(),
    );
    for server in servers {
        let keys = "curl --silent --max-time 10 --header 'X-Consul-Token: TOKEN' \
                    'http://127.0.0.1:8500/v1/kv/written/?keys&stale'";
        let text = stage.ask(server, &keys.replace("TOKEN", TOKEN))?;
        let keys: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        let number = |key: &Value| key.as_str()?.strip_prefix("written/")?.parse::<u64>().ok();
        let found: BTreeSet<u64> = keys.iter().filter_map(number).collect();
        let lost =
            written.acknowledged.iter().filter(|(number, _)| !found.contains(number)).count();
        ensure(lost == 0, || format!("{lost} acknowledged writes are lost on {}", server.name))?;
    }
    ensure(written.acknowledged.len() > 100, || {
        format!("only {} writes were done", written.acknowledged.len())
    })?;
    ensure(fewest > SERVERS / 2, || format!("only {fewest} servers were up at a time"))?;
    ensure(changes <= 1, || format!("the leader changed: {:?}", written.leaders))?;
    ensure(stall < STALL_LIMIT, || format!("writes stood still for {:.1} s", stall.as_secs_f64()))
}

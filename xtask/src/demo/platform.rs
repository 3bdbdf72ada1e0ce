//! `[io]` The second half of the demo: an app on the lab's Mesos, from its deployment to the loss of a
//! host, with requests all the time.

use std::thread;
use std::time::{Duration, Instant};

use super::Apply;
use super::load::{self, Load};
use crate::error::{Doing, Error};
use crate::lab::artifacts::own;
use crate::lab::names::Host;
use crate::workspace;

/// However busy the machine is.
const PATIENCE: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where schedulers run, and the machine that is lost.
const SCHEDULER_HOSTS: [&str; 3] = ["zk1", "zk2", "zk3"];
const LOST_HOST: &str = "worker2";

/// An instance does a hundred a second, if it has a processor for itself.
const MANY_REQUESTS: u32 = 600;

const APP: &str = r#"app: web
version: 1
shell: exec /usr/local/bin/scheduler-sample-worker $PORT 10 0.0.0.0
instances: {min: 4, max: 8}
needs: {cores: 0.1, memory: 32MiB, ports: 1}
health: {http: /health, interval: 500ms}
metrics: {queue: worker_waiting, arrivals: worker_arrivals_total, rejects: worker_rejects_total}
warm_up: 2s
cool_down: 2s
"#;

/// What the leader says of itself.
const READY: &str = "curl -s http://127.0.0.1:7470/readyz; true";

/// What the requests saw.
pub struct Outcome {
    /// Lines for the end of the demo.
    pub lines: Vec<String>,
}

/// Copies the app's program to the hosts that run tasks.
///
/// # Errors
/// The play fails.
pub fn install_worker(apply: &Apply) -> Result<(), Error> {
    let program = own::programs()?.join("scheduler-sample-worker");
    let playbook = workspace::root().join("xtask/demo/worker.yml");
    let playbook = playbook.display().to_string();
    let variable = format!("worker_program={}", program.display());
    apply.show("provision apply xtask/demo/worker.yml", &[&playbook, "-e", &variable])
}

/// Shows it.
///
/// # Errors
/// The app isn't as it should be in time, or a request fails.
pub fn run(apply: &Apply) -> Result<Outcome, Error> {
    let leader = leader_besides(apply, None)?;
    eprintln!("the scheduler of {} leads; what is asked elsewhere goes there", leader.name);
    let platform = Platform { apply, host: other_than(apply, &leader)? };
    platform.deploy()?;
    let mut lines = vec![platform.find_by_dns()?];
    let load = Load::begin(platform.consul(), 40);
    thread::sleep(Duration::from_secs(2));
    platform.say("app upgrade web --version 2")?;
    let seen = load.finish();
    lines.push(format!("upgrade to version 2 under load: {}", seen.words()));
    if seen.failed > 0 {
        let reason = format!("{}; first: {}", seen.words(), seen.first_failure);
        return Err(Error::refused("upgrade without a failed request", reason));
    }
    lines.push(platform.scale()?);
    lines.push(platform.lose_a_host()?);
    platform.wait_for("a steady app", |it| Ok(it.ask("app show web")?.contains(" steady ")))?;
    platform.say("app show web")?;
    lines.push(hand_over(apply)?);
    Ok(Outcome { lines })
}

/// Waits until a scheduler leads on another host than this one; on which.
fn leader_besides(apply: &Apply, other: Option<&Host>) -> Result<Host, Error> {
    let begun = Instant::now();
    let hosts = SCHEDULER_HOSTS.iter().filter(|name| other.is_none_or(|it| it.name != **name));
    let hosts = hosts.map(|name| apply.lab.host(name)).collect::<Result<Vec<_>, Error>>()?;
    while begun.elapsed() < PATIENCE {
        for host in &hosts {
            let output = apply.lab.run(host, READY)?;
            if output.stdout.trim_ascii() == b"ready" {
                return Ok((*host).clone());
            }
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(Error::refused("find the scheduler that leads", "none does").with_hint(apply.look()))
}

fn other_than(apply: &Apply, host: &Host) -> Result<Host, Error> {
    let name = SCHEDULER_HOSTS.iter().find(|name| **name != host.name).unwrap_or(&"zk1");
    apply.lab.host(name).cloned()
}

/// The host of the leader is lost, with whatever else leads there, and another scheduler leads.
fn hand_over(apply: &Apply) -> Result<String, Error> {
    let lost = leader_besides(apply, None)?;
    let platform = Platform { apply, host: other_than(apply, &lost)? };
    eprintln!("$ cargo xtask lab kill {}   (its scheduler leads)", lost.name);
    apply.lab.kill(&lost)?;
    let begun = Instant::now();
    let next = leader_besides(apply, Some(&lost))?;
    let elapsed = begun.elapsed();
    platform
        .wait_for("a steady app", |it| Ok(it.ask("app show web; true")?.contains(" steady ")))?;
    platform.say("app show web")?;
    eprintln!("$ cargo xtask lab start {}", lost.name);
    apply.lab.start(&lost)?;
    platform.wait_for("a scheduler that follows", |it| {
        let output = it.apply.lab.run(&lost, READY)?;
        Ok(String::from_utf8_lossy(&output.stdout).contains(" leads at http"))
    })?;
    Ok(format!(
        "{} lost its power, and its scheduler led: that of {} leads after {:.0} s",
        lost.name,
        next.name,
        elapsed.as_secs_f64()
    ))
}

struct Platform<'a> {
    apply: &'a Apply,
    host: Host,
}

impl Platform<'_> {
    fn ask(&self, words: &str) -> Result<String, Error> {
        let output = self.apply.lab.run(&self.host, &format!("scheduler {words} 2>&1"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// With the command, as somebody at a terminal would see it.
    fn say(&self, words: &str) -> Result<String, Error> {
        eprintln!("{}$ scheduler {}", self.host.name, words.trim_end_matches("; true"));
        let text = self.ask(words)?;
        text.lines().for_each(|line| eprintln!("  {line}"));
        Ok(text)
    }

    fn wait_for(
        &self,
        what: &str,
        is_it: impl Fn(&Self) -> Result<bool, Error>,
    ) -> Result<Duration, Error> {
        let begun = Instant::now();
        loop {
            match is_it(self) {
                Ok(true) => return Ok(begun.elapsed()),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Ok(false) if begun.elapsed() > PATIENCE => {
                    let state = self.ask("app show web; true")?;
                    return Err(
                        Error::refused(format!("see {what}"), state).with_hint(self.apply.look())
                    );
                }
                _ => thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn deploy(&self) -> Result<(), Error> {
        self.wait_for("two machines", |it| {
            let list = it.ask("machine list")?;
            Ok(list.lines().filter(|line| line.split_whitespace().nth(1) == Some("up")).count()
                == 2)
        })?;
        let write = format!("cat >/tmp/app.yml <<'END'\n{APP}END\nchmod 644 /tmp/app.yml");
        self.apply.lab.run(&self.host, &write)?;
        eprintln!("{}$ cat app.yml", self.host.name);
        APP.lines().for_each(|line| eprintln!("  {line}"));
        self.say("app deploy /tmp/app.yml")?;
        self.say("app show web").map(drop)
    }

    /// A server of Consul, as this machine reaches it.
    fn consul(&self) -> load::Consul {
        let address = self.apply.lab.record().subnet.address(&self.host);
        load::Consul { address: address.into(), token: load::TOKEN }
    }

    fn find_by_dns(&self) -> Result<String, Error> {
        let consul = self.consul();
        self.wait_for("four instances in Consul's DNS", |_| {
            Ok(load::dns(&consul, "web").is_ok_and(|found| found.len() == 4))
        })?;
        let found = load::dns(&consul, "web").doing(|| "ask Consul's DNS".to_owned())?;
        eprintln!("$ dig +tcp @{} -p 8600 web.service.consul SRV", consul.address);
        for (host, port) in &found {
            eprintln!("  {host} port {port}");
        }
        Ok(format!("found by DNS: web.service.consul has {} instances", found.len()))
    }

    /// More is asked for than four can do: what waits at the instances makes the app grow.
    fn scale(&self) -> Result<String, Error> {
        let consul = self.consul();
        eprintln!("$ (now {MANY_REQUESTS} requests a second, more than four instances can do)");
        let load = Load::begin(self.consul(), MANY_REQUESTS);
        let grown = self.wait_for("more than four instances", |_| {
            Ok(load::passing(&consul, "web").doing(|| "ask Consul".to_owned())?.len() > 4)
        });
        let seen = load.finish();
        let elapsed = grown?;
        self.say("events | grep scaled; true")?;
        Ok(format!(
            "{MANY_REQUESTS} requests a second: the app grew by its queues within {:.0} s; {}",
            elapsed.as_secs_f64(),
            seen.words()
        ))
    }

    fn lose_a_host(&self) -> Result<String, Error> {
        let lost = self.apply.lab.host(LOST_HOST)?.clone();
        eprintln!("$ cargo xtask lab kill {LOST_HOST}");
        self.apply.lab.kill(&lost)?;
        let address = self.apply.lab.record().subnet.address(&lost).to_string();
        let consul = self.consul();
        let elapsed = self.wait_for("four instances on the other machine", |_| {
            let found = load::passing(&consul, "web");
            let found = found.doing(|| "ask Consul".to_owned())?;
            Ok(found.iter().filter(|(host, _)| *host != address).count() >= 4)
        })?;
        self.say("machine list")?;
        eprintln!("$ cargo xtask lab start {LOST_HOST}");
        self.apply.lab.start(&lost)?;
        Ok(format!(
            "{LOST_HOST} lost its power: four instances served on the other machine after {:.0} s",
            elapsed.as_secs_f64()
        ))
    }
}

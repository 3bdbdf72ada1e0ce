//! `[io]` Hosts from a real Consul: found, worked on, remembered while it is down; and a node that
//! lies.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::{Run, Stage, ensure};
use crate::error::{Doing, Error};
use crate::workspace;

const PORT: u16 = 8500;
/// Tokens of `inventories/lab`: public, and for nothing else.
const MANAGEMENT_TOKEN: &str = "1ab00000-0000-4000-8000-00000000000a";
const AGENT_TOKEN: &str = "1ab00000-0000-4000-8000-00000000000b";
/// The role serves on loopback only; the scenario asks from outside. Read before the role's files.
const OPEN: &str = "mkdir -p /etc/consul.d && \
    printf 'addresses {\\n  http = \"0.0.0.0\"\\n}\\n' >/etc/consul.d/a-scenario.hcl && \
    chmod 644 /etc/consul.d/a-scenario.hcl";
const FORGET: &str = "systemctl stop consul 2>/dev/null; \
    rm -rf /var/lib/consul /opt/consul /run/consul /etc/consul.d; true";
/// A cluster that begins takes some seconds; a busy machine is given more.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent tells its servers what has changed about it within a minute or two.
const SYNC_LIMIT: Duration = Duration::from_secs(180);

/// What the liar says of itself.
const LIE: &str = r#"{"Node": "evil", "Address": "203.0.113.9",
    "NodeMeta": {"role": "server", "groups": "consul_servers", "ansible_user": "root",
        "ansible_become_password": "x", "rack": "{{ lookup('pipe', 'touch owned') }}"},
    "Check": {"CheckID": "serfHealth", "Name": "Serf", "Status": "passing"}}"#;

const MAPPING: &str = "\
consistency: default
timeout: 5s
variables: {ansible_host: address, rack: meta.rack}
groups:
  members: {require: {addresses: 10.77.0.0/16, meta: {role: [server, agent]}}}
";

struct Site<'a> {
    stage: &'a Stage,
    inventory: PathBuf,
    first: IpAddr,
}

impl<'a> Site<'a> {
    /// The lab's servers, with what the role needs beside them.
    fn new(stage: &'a Stage) -> Result<Self, Error> {
        let inventory = stage.folder.join("inventory");
        let variables = inventory.join("group_vars/all");
        fs::create_dir_all(&variables).doing(|| format!("create {}", variables.display()))?;
        let demo = workspace::root().join("inventories/lab/group_vars/all");
        let lab = stage.lab.directory().inventory();
        let generated = "group_vars/all/lab.generated.yml";
        let mut copies = vec![
            (lab.join("hosts"), inventory.join("hosts")),
            (lab.join(generated), inventory.join(generated)),
        ];
        for name in ["lab.yml", "releases.yml", "secrets.yml"] {
            copies.push((demo.join(name), variables.join(name)));
        }
        for (from, to) in copies {
            fs::copy(&from, &to).doing(|| format!("copy {}", from.display()))?;
        }
        for host in stage.lab.hosts() {
            stage.ask(host, FORGET)?;
            stage.ask(host, OPEN)?;
        }
        let host = stage.lab.hosts().first();
        let host = host.ok_or_else(|| Error::refused("find a server", "the lab has no host"))?;
        let first = IpAddr::V4(stage.lab.record().subnet.address(host));
        // What says how the hosts are reached is not what says which there are.
        let away = stage.folder.join("from-consul");
        fs::create_dir_all(away.join("group_vars")).doing(|| "create a folder".to_owned())?;
        let site = Site { stage, inventory, first };
        site.write_mapping(&away)?;
        Ok(site)
    }

    fn write_mapping(&self, folder: &std::path::Path) -> Result<(), Error> {
        let addresses: Vec<String> = self
            .stage
            .lab
            .hosts()
            .iter()
            .map(|host| format!("http://{}:{PORT}", self.stage.lab.record().subnet.address(host)))
            .collect();
        let mapping = format!("plugin: consul\naddresses: {addresses:?}\n{MAPPING}");
        let key = self.stage.lab.directory().private_key();
        let variables = format!(
            "ansible_user: deploy\nansible_become: true\nansible_ssh_private_key_file: {}\n\
             ansible_ssh_common_args: {}\n",
            key.display(),
            self.stage.known_hosts()
        );
        for (name, text) in [("consul.yml", mapping), ("group_vars/all.yml", variables)] {
            let path = folder.join(name);
            fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    fn apply(&self, words: &[&str]) -> Result<Run, Error> {
        let mut command = Command::new(&self.stage.provision);
        command.arg("apply").arg(workspace::root().join("playbooks/main.yml"));
        command.arg("-i").arg(&self.inventory);
        command.args(["--tags", "common,consul", "--output", "ndjson"]).args(words);
        self.stage.settle(&mut command);
        self.stage.run(command)
    }

    fn provision(&self, token: &str, words: &[&str]) -> Result<Run, Error> {
        let mut command = Command::new(&self.stage.provision);
        command.args(words);
        self.stage.settle(&mut command);
        command.env("CONSUL_HTTP_TOKEN", token);
        self.stage.run(command)
    }

    /// What `--list` prints, and what it says besides.
    fn list(&self, source: &str) -> Result<(Value, String), Error> {
        let run = self.provision(AGENT_TOKEN, &["inventory", "-i", source, "--list"])?;
        let run = run.expect_exit(&[0])?;
        let path = self.stage.folder.join("stdout");
        let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        let list = serde_json::from_str(&text)
            .map_err(|error| Error::refused("read the list", format!("{error}\n{text}")))?;
        Ok((list, run.said))
    }

    fn expect_hosts(&self, list: &Value, group: &str) -> Result<(), Error> {
        let names: Vec<&str> = self.stage.lab.hosts().iter().map(|host| &*host.name).collect();
        let found = list.get(group).and_then(|group| group.get("hosts")).and_then(Value::as_array);
        let found: Vec<&str> = found.into_iter().flatten().filter_map(Value::as_str).collect();
        ensure(found == names, || format!("group {group} has {found:?} and not {names:?}"))
    }

    /// Registers the liar at the catalog, as somebody with a token for nodes can.
    fn lie(&self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let answer = put(self.first, "/v1/catalog/register", LIE)?;
            if answer.contains(" 200 ") {
                return Ok(());
            }
            ensure(begun.elapsed() < PATIENCE, || format!("Consul registers nobody: {answer}"))?;
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// A request with the management token; the whole answer.
fn put(address: IpAddr, path: &str, body: &str) -> Result<String, Error> {
    let action = || format!("ask Consul at {address}");
    let address = SocketAddr::from((address, PORT));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).doing(action)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).doing(action)?;
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: consul\r\nConnection: close\r\n\
         X-Consul-Token: {MANAGEMENT_TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).doing(action)?;
    stream.write_all(body.as_bytes()).doing(action)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing(action)?;
    Ok(answer)
}

pub(super) fn inventory(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage)?;
    site.apply(&[])?.expect_exit(&[0])?;
    site.apply(&[])?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;
    let outcome = discovered(&site).and_then(|()| reconfigured(&site)).and_then(|()| away(&site));
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    outcome
}

/// What members have registered is what `status` shows without asking them; what somebody changes by
/// hand is drift, until the next `apply`. Long, since agents take their time to tell.
pub(super) fn registered(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage)?;
    site.apply(&[])?.expect_exit(&[0])?;
    let outcome = drift(&site);
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    outcome
}

/// Through a mapping, beside which it stands how hosts are reached.
const BY_MAPPING: &str = "from-consul/consul.yml";

fn discovered(site: &Site<'_>) -> Result<(), Error> {
    let stage = site.stage;
    let url = format!("consul://{}:{PORT}", site.first);
    let (list, _) = site.list(&url)?;
    site.expect_hosts(&list, "dc_dc1")?;
    site.expect_hosts(&list, "service_consul")?;

    // Consul 1.8 says nothing of what it leaves out.
    let nobody = site.provision("", &["inventory", "-i", &url, "--list"])?.expect_exit(&[3])?;
    nobody.expect_text(&["shows no node at all", "node_prefix"])?;
    let wrong = site
        .provision("00000000-0000-4000-8000-0000000000ff", &["inventory", "-i", &url, "--list"])?;
    wrong.expect_exit(&[3])?.expect_text(&["the token is not allowed to"])?;

    // The leader registers a node that joins; what it says about itself comes when its agent has
    // found the leader.
    let mapping = BY_MAPPING;
    let begun = Instant::now();
    while let Err(error) = site.expect_hosts(&site.list(mapping)?.0, "members") {
        if begun.elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let run = ["run", "members", "-i", mapping, "--", "hostname"];
    let said = site.provision(AGENT_TOKEN, &run)?.expect_exit(&[0])?;
    for host in stage.lab.hosts() {
        said.expect_text(&[&host.name, "exit 0"])?;
    }

    site.lie()?;
    let (list, _) = site.list(mapping)?;
    site.expect_hosts(&list, "members")?;
    let of_evil = |rest: &str| list.pointer(&format!("/_meta/hostvars/evil/{rest}"));
    ensure(of_evil("ansible_host/__ansible_unsafe") == Some(&"203.0.113.9".into()), || {
        format!("the liar is not there: {list}")
    })?;
    let is_kept = of_evil("ansible_user") == Some(&"deploy".into());
    ensure(is_kept && of_evil("ansible_become_password").is_none(), || {
        format!("the liar has got something: {list}")
    })?;
    let run = ["run", "members", "-i", mapping, "--", "true"];
    let said = site.provision(AGENT_TOKEN, &run)?.expect_exit(&[0])?;
    ensure(!said.text().contains("evil"), || format!("it was worked on: {}", said.said))?;

    Ok(())
}

fn drift(site: &Site<'_>) -> Result<(), Error> {
    let stage = site.stage;
    let (inventory, playbooks) = (site.inventory.display(), workspace::root().join("playbooks"));
    let (inventory, playbooks) = (inventory.to_string(), playbooks.display().to_string());
    let status = |words: &[&str]| {
        let all =
            ["status", "consul", "-i", &inventory, "-i", BY_MAPPING, "--playbooks", &playbooks];
        site.provision(AGENT_TOKEN, &[&all, words, &["--exit-code"]].concat())
    };
    let wait = |exit: i32| -> Result<(Run, Duration), Error> {
        let begun = Instant::now();
        loop {
            let run = status(&["--from-consul"])?;
            if run.exit == Some(exit) {
                return Ok((run, begun.elapsed()));
            }
            ensure(begun.elapsed() < SYNC_LIMIT, || format!("Consul has not heard: {}", run.said))?;
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    let (run, first) = wait(0)?;
    let host = stage.lab.hosts().first();
    let host = host.ok_or_else(|| Error::refused("find a server", "the lab has no host"))?;
    run.expect_text(&["REGISTERED", &host.name, "alive"])?;
    status(&[])?.expect_exit(&[0])?.expect_text(&["REGISTERED", "serves"])?;

    let by_hand = "sed -i 's/\"release_consul\" = .*/\"release_consul\" = \"0.9.9\"/' \
                   /etc/consul.d/releases.hcl && systemctl reload consul";
    stage.ask(host, by_hand)?;
    let (run, second) = wait(4)?;
    run.expect_text(&["has 0.9.9"])?;
    status(&[])?.expect_exit(&[4])?.expect_text(&["Consul says 0.9.9"])?;
    println!(
        "     consul-registered: registered after {:.0} s, a change by hand seen after {:.0} s",
        first.as_secs_f64(),
        second.as_secs_f64()
    );
    let run = site.apply(&[])?.expect_exit(&[0])?;
    ensure(run.count(&host.name, "changed")? > 0, || "nothing was put right".to_owned())?;
    wait(0).map(drop)
}

/// Another environment is another configuration: it comes to the servers one at a time, after the
/// plays of `apply`; and with hosts from the cluster that is being restarted.
fn reconfigured(site: &Site<'_>) -> Result<(), Error> {
    site.apply(&["-e", "consul_environment=first"])?.expect_exit(&[0])?;
    let change = ["-e", "consul_environment=lab"];
    let (inventory, playbooks) = (site.inventory.display(), workspace::root().join("playbooks"));
    let (inventory, playbooks) = (inventory.to_string(), playbooks.display().to_string());
    let mut words = vec!["reconfigure", "consul", "--yes", "--playbooks", &playbooks];
    words.extend(["-i", &inventory, "-i", BY_MAPPING]);
    words.extend(change);
    site.provision(AGENT_TOKEN, &words)?.expect_exit(&[0])?;
    let journals = site.stage.folder.join("home/.local/state/provision/releases");
    let entries = fs::read_dir(&journals).doing(|| format!("list {}", journals.display()))?;
    let is_kept =
        |entry: fs::DirEntry| entry.path().display().to_string().ends_with(".inventory.json");
    ensure(entries.flatten().any(is_kept), || "the run kept no inventory".to_owned())?;
    let url = format!("consul://{}:{PORT}", site.first);
    for host in site.stage.lab.hosts() {
        let place = format!("/_meta/hostvars/{}/consul_meta/env/__ansible_unsafe", host.name);
        let begun = Instant::now();
        while site.list(&url)?.0.pointer(&place) != Some(&"lab".into()) {
            ensure(begun.elapsed() < PATIENCE, || format!("{} has no environment", host.name))?;
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    Ok(())
}

/// Without Consul there is what it said last.
fn away(site: &Site<'_>) -> Result<(), Error> {
    let (stage, mapping) = (site.stage, BY_MAPPING);
    let (before, _) = site.list(mapping)?;
    for host in stage.lab.hosts() {
        stage.ask(host, "systemctl stop consul")?;
    }
    let (after, said) = site.list(mapping)?;
    ensure(after == before, || "the last answer is not what was answered".to_owned())?;
    ensure(said.contains("IS AWAY: the hosts are those that it had"), || {
        format!("nobody is warned: {said}")
    })?;
    let run = ["run", "members", "-i", mapping, "--", "true"];
    site.provision(AGENT_TOKEN, &run)?.expect_exit(&[0])?.expect_text(&["IS AWAY"])
}

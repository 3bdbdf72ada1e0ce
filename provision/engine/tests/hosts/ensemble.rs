//! A small component with a quorum on hosts in this process: a role as plain as can be, and ports
//! that answer like ZooKeeper's do. What runs is a file: `run/started`, written by the handler that
//! restarts the member, with what the member was started with in it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::lab::Lab;

pub const OLD: &str = "1.0.0";
pub const NEW: &str = "1.1.0";
/// Its members never serve.
pub const BROKEN: &str = "1.1.9";
/// Goes there, never back.
pub const ONE_WAY: &str = "1.2.0";

const COMPONENT: &str = r#"
version: 1
name: register
kind: quorum
group: register
followers: readers
unit: register.service
release:
  wanted: releases.register
  folder: "{{ root }}/opt/releases"
  current: "{{ root }}/opt/current"
probe:
  format: zookeeper-mntr
  exchange: {port: "{{ port }}"}
  started_with_current_files:
    [sh, -c, "cat {{ root }}/etc/conf {{ root }}/opt/current/.release | cmp -s - {{ root }}/run/started"]
quorum: {rule: majority, order: leader-last, first_formation: together, has_data: "{{ root }}/data"}
health: {timeout_seconds: "{{ health_seconds }}", settle_seconds: 0}
transitions:
  - {from: same-minor, to: same-minor, allow: true}
  - {from: "1.0", to: "1.1", allow: true}
  - {from: "1.1", to: "1.0", allow: true}
  - {from: "1.0", to: "1.2", allow: true}
  - {from: any, to: any, allow: false, reason: the data can't be read there}
"#;

/// As the role `release` does it: complete or not at all, and a half one is begun anew.
const STAGE: &str = "
- stat: {path: '{{ root }}/opt/releases/{{ releases.register }}/.release'}
  register: marker
- when: not marker.stat.exists
  block:
    - file: {path: '{{ staging }}', state: absent}
    - file: {path: '{{ staging }}', state: directory}
    - copy: {content: 'of {{ artifacts.register[releases.register].sha256 }}',
             dest: '{{ staging }}/program'}
    - copy: {content: '{{ releases.register }}', dest: '{{ staging }}/.release'}
    - command: mv -T {{ staging }} {{ root }}/opt/releases/{{ releases.register }}
  vars: {staging: '{{ root }}/opt/releases/.staging'}
";

const CONFIGURE: &str = "
- copy: {content: 'tick={{ tick }} ', dest: '{{ root }}/etc/conf'}
  notify: restart register
";

const SWITCH: &str = "
- file: {src: '{{ root }}/opt/releases/{{ releases.register }}', dest: '{{ root }}/opt/current',
         state: link}
  notify: restart register
";

const RESTART: &str = "
- command: sh -c 'cat {{ root }}/etc/conf {{ root }}/opt/current/.release | cmp -s - {{ root }}/run/started'
  register: started
  failed_when: false
  changed_when: started.rc != 0
  check_mode: false
  notify: restart register
- meta: flush_handlers
";

/// It writes down how many of the others are up while it is down.
const HANDLERS: &str = "
- name: restart register
  when: started.rc != 0
  shell: |
    rm -f {{ root }}/run/started
    ls {{ others }} 2>/dev/null | wc -l >>{{ root }}/../others
    cat {{ root }}/etc/conf {{ root }}/opt/current/.release >{{ root }}/run/starting
    grep -q ' 1.1.9' {{ root }}/run/starting || mv {{ root }}/run/starting {{ root }}/run/started
    touch {{ root }}/data
";

const HEALTH: &str = "
- stat: {path: '{{ root }}/run/started'}
  register: health
  until: health.stat.exists
  retries: '{{ health_seconds }}'
  delay: 1
";

const MAIN: &str = "
- import_tasks: stage.yml
- import_tasks: configure.yml
- import_tasks: switch.yml
- import_tasks: restart.yml
- import_tasks: health.yml
";

/// A member as its port sees it.
struct Node {
    root: PathBuf,
    /// What its port does.
    mood: Mutex<Mood>,
}

/// What a port does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It answers by what runs.
    Honest,
    /// It closes every connection without an answer: the process is there and serves nobody.
    Mute,
}

/// The members and who leads.
pub struct Ensemble {
    nodes: Vec<Node>,
    /// The leader, and the start of it that was elected.
    leader: Mutex<Option<(usize, u64)>>,
    /// How many questions were answered.
    asked: AtomicUsize,
    stop: AtomicBool,
}

/// Ports that answer until this is dropped.
pub struct Ports {
    pub ensemble: Arc<Ensemble>,
    pub ports: Vec<u16>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.ensemble.stop.store(true, Ordering::SeqCst);
        for port in &self.ports {
            // Wakes the thread, so that it sees that it is over.
            let _ = TcpStream::connect(("127.0.0.1", *port));
        }
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl Ensemble {
    pub fn begin(roots: Vec<PathBuf>) -> Ports {
        let nodes: Vec<Node> =
            roots.into_iter().map(|root| Node { root, mood: Mutex::new(Mood::Honest) }).collect();
        let ensemble = Arc::new(Ensemble {
            nodes,
            leader: Mutex::default(),
            asked: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let (mut ports, mut threads) = (Vec::new(), Vec::new());
        for number in 0..ensemble.nodes.len() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            ports.push(listener.local_addr().unwrap().port());
            let ensemble = ensemble.clone();
            threads.push(std::thread::spawn(move || ensemble.serve(number, &listener)));
        }
        Ports { ensemble, ports, threads }
    }

    fn serve(&self, number: usize, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let mut stream = stream.unwrap();
            let mut word = [0; 4];
            if !self.nodes[number].root.join("run/started").exists() {
                // What is closed with a question unread is reset, as by a host where nobody listens.
                let _ = stream.peek(&mut word);
                continue;
            }
            if stream.read_exact(&mut word).is_err() {
                continue;
            }
            let answer = self.answer(number, &word);
            let _ = stream.write_all(answer.as_bytes());
        }
    }

    /// The start of a member, if it runs.
    fn start(&self, number: usize) -> Option<u64> {
        let node = &self.nodes[number];
        let is_honest = *node.mood.lock().unwrap() == Mood::Honest;
        let data = fs::metadata(node.root.join("run/started")).ok().filter(|_| is_honest)?;
        Some(data.ino().wrapping_mul(1_000_003).wrapping_add(data.mtime_nsec().unsigned_abs()))
    }

    fn serving(&self) -> Vec<(usize, u64)> {
        let start = |number| Some((number, self.start(number)?));
        (0..self.nodes.len()).filter_map(start).collect()
    }

    /// Who leads: one that runs on, else the first that runs and is followed by enough.
    pub fn leader(&self) -> Option<usize> {
        let serving = self.serving();
        let mut leader = self.leader.lock().unwrap();
        if serving.len() * 2 <= self.nodes.len() {
            *leader = None;
        } else if leader.is_none_or(|known| !serving.contains(&known)) {
            // Not the one that led: it has just begun.
            let before = leader.map(|(number, _)| number);
            *leader = serving.iter().copied().find(|(number, _)| Some(*number) != before);
        }
        leader.map(|(number, _)| number)
    }

    /// Another one leads.
    pub fn elect(&self, number: usize) {
        *self.leader.lock().unwrap() = self.start(number).map(|start| (number, start));
    }

    pub fn set_mood(&self, number: usize, mood: Mood) {
        *self.nodes[number].mood.lock().unwrap() = mood;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn answer(&self, number: usize, word: &[u8]) -> String {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.start(number).is_none() {
            return String::new();
        }
        let Some(leader) = self.leader() else {
            return "This ZooKeeper instance is not currently serving requests".to_owned();
        };
        let started = fs::read_to_string(self.nodes[number].root.join("run/started"));
        let started = started.unwrap_or_default();
        let version = started.split(' ').next_back().unwrap_or_default();
        if word == b"srvr" {
            return "Zxid: 0x100000007\n".to_owned();
        }
        let state = if leader == number { "leader" } else { "follower" };
        let synced = match leader == number {
            true => format!("zk_synced_followers\t{}\n", self.serving().len() - 1),
            false => String::new(),
        };
        format!("zk_version\t{version}-0, built on a day\nzk_server_state\t{state}\n{synced}")
    }
}

/// Writes the project: role, inventory, and members that run the old release.
pub fn set_up(lab: &Lab, members: &[&str], ports: &[u16]) {
    lab.write("playbooks/roles/register/component.yml", COMPONENT);
    for (name, text) in [
        ("stage", STAGE),
        ("configure", CONFIGURE),
        ("switch", SWITCH),
        ("restart", RESTART),
        ("health", HEALTH),
        ("main", MAIN),
    ] {
        lab.write(&format!("playbooks/roles/register/tasks/{name}.yml"), text);
    }
    lab.write("playbooks/roles/register/handlers/main.yml", HANDLERS);
    let group: String = members.iter().map(|name| format!("{name}\n")).collect();
    let mut lines = format!("[register]\n{group}[all:vars]\nhealth_seconds=3\ntick=1\n");
    for (name, port) in members.iter().zip(ports) {
        let started = |other: &&&str| format!("{}/run/started", lab.host(other).root().display());
        let others: Vec<String> =
            members.iter().filter(|other| *other != name).map(|other| started(&other)).collect();
        let variables = format!("port: {port}\nothers: {}\n", others.join(" "));
        lab.write(&format!("inventory/host_vars/{name}.yml"), &variables);
        run_old(lab, name);
    }
    lines.push('\n');
    lab.inventory(&lines);
    lab.write("inventory/group_vars/all/releases.yml", &wanted(OLD));
    let digest = "0123456789abcdef".repeat(4);
    let artifact = |version: &str| format!("    \"{version}\": {{sha256: {digest}}}\n");
    let artifacts: String = [OLD, NEW, BROKEN, ONE_WAY].map(artifact).concat();
    let artifacts = format!("artifacts:\n  register:\n{artifacts}");
    lab.write("inventory/group_vars/all/artifacts.yml", &artifacts);
}

/// The file with the wanted version.
pub fn wanted(version: &str) -> String {
    format!("# By hand or by upgrade.\nreleases:\n  register: \"{version}\" # here\n  other: '3'\n")
}

/// A member that has the old release and runs it.
fn run_old(lab: &Lab, name: &str) {
    let root = lab.host(name).root();
    let release = root.join("opt/releases").join(OLD);
    for folder in [&release, &root.join("etc"), &root.join("run")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(release.join(".release"), OLD).unwrap();
    fs::write(release.join("program"), format!("of {OLD}")).unwrap();
    fs::write(root.join("etc/conf"), "tick=1 ").unwrap();
    fs::write(root.join("data"), "").unwrap();
    fs::write(root.join("run/started"), format!("tick=1 {OLD}")).unwrap();
    std::os::unix::fs::symlink(&release, root.join("opt/current")).unwrap();
}

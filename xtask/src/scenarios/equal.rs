//! `[io]` The same playbooks by ansible-core and by `provision`, each on a fresh host, and what differs
//! between the two hosts then: files, users, packages, services.
//!
//! One host after the other: so both have the same name and address, and what is made of these is
//! equal, too.

mod differences;
mod ignored;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::stage::{Run, Stage, ensure};
use crate::conformance::source;
use crate::error::{Doing, Error};
use crate::lab::names::{Host, Layout};
use crate::lab::rootfs::Variant;
use crate::lab::{Lab, UpOptions};
use crate::{step, workspace};
use tree::Tree;

/// ansible-core takes a second and more for a task when the machine is busy.
const ANSIBLE_LIMIT: Duration = Duration::from_mins(10);

/// Lists that say more clearly than files what is different: a name, a script, whether a line may be
/// missing from one of them for a moment.
const LISTS: &[(&str, &str)] = &[
    ("users", "getent passwd"),
    ("groups", "getent group"),
    ("packages", "dpkg-query --show --showformat '${Package} ${Version} ${db:Status-Abbrev}\\n'"),
    ("held and automatic packages", "apt-mark showhold; echo automatic; apt-mark showauto"),
    ("unit files", "systemctl list-unit-files --no-legend --plain | awk '{print $1, $2}'"),
    (
        "services",
        // Sessions of users come and go.
        "systemctl list-units --all --no-legend --plain --type=service,timer,socket \
         | awk '$1 !~ /^(user@|user-runtime-dir@)/ {print $1, $2, $3, $4}'",
    ),
    ("kernel settings", "sysctl --values net.core.somaxconn net.ipv4.tcp_keepalive_time"),
    ("packet filter", "iptables-save | sed '/^#/d; s/ *\\[[0-9]*:[0-9]*\\]//'"),
    ("time zone", "readlink /etc/localtime; date +%Z"),
];

/// What a host is after a run.
struct Outcome {
    tree: Tree,
    lists: BTreeMap<&'static str, String>,
    counts: BTreeMap<String, u64>,
    seconds: f64,
}

/// The playbooks, and the inventory's folder.
struct Site<'a> {
    stage: &'a Stage,
    lab: &'a Lab,
    inventory: PathBuf,
}

pub(super) fn run(stage: &Stage) -> Result<(), Error> {
    let theirs = on_a_fresh_host(stage, |site, host| {
        let outcome = site.ansible(host)?;
        // What our roles have made with ansible-core is what they would have made with us.
        let again = site.provision(&site.playbooks()[..1])?;
        again.expect_count(site.lab, "changed", 0)?;
        Ok(outcome)
    })?;
    let ours = on_a_fresh_host(stage, |site, host| {
        let run = site.provision(&site.playbooks())?;
        let counts =
            COUNTS.iter().map(|what| Ok(((*what).to_owned(), run.count(&host.name, what)?)));
        let counts = counts.collect::<Result<_, Error>>()?;
        site.look(host, counts, run.elapsed)
    })?;
    println!(
        "     equal-hosts      ansible-core {:.1} s, provision {:.1} s, {} files",
        theirs.seconds,
        ours.seconds,
        ours.tree.len()
    );
    compare(&theirs, &ours)
}

const COUNTS: &[&str] = &["ok", "changed", "skipped", "failed", "rescued", "ignored"];

fn compare(theirs: &Outcome, ours: &Outcome) -> Result<(), Error> {
    let mut found = Vec::new();
    if theirs.counts != ours.counts {
        found.push(format!("recap: {:?} and {:?}", theirs.counts, ours.counts));
    }
    for (name, list) in &theirs.lists {
        let other = ours.lists.get(name).map_or("", String::as_str);
        found.extend(differences::of_lists(name, list, other));
    }
    found.extend(differences::of_trees(&theirs.tree, &ours.tree));
    ensure(found.is_empty(), || {
        format!(
            "what ansible-core (-) and provision (+) have made differs in {} points:\n{}",
            found.len(),
            found.join("\n")
        )
    })
}

fn on_a_fresh_host(
    stage: &Stage,
    work: impl FnOnce(&Site<'_>, &Host) -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let mut options = UpOptions::new("equal", Layout::Numbered(1))?;
    options.variant = Variant::Python;
    let lab = Lab::up(&options)?;
    let stage = stage.with_lab(&lab);
    let outcome = Site::new(&stage, &lab).and_then(|site| work(&site, lab.host("h1")?));
    let down = lab.down();
    outcome.and_then(|found| down.map(|()| found))
}

impl<'a> Site<'a> {
    /// The host has all roles; what they need besides is what the demo's hosts have.
    fn new(stage: &'a Stage, lab: &'a Lab) -> Result<Self, Error> {
        let inventory = stage.folder.join("inventory");
        let variables = inventory.join("group_vars/all");
        fs::create_dir_all(&variables).doing(|| format!("create {}", variables.display()))?;
        let demo = workspace::root().join("inventories/lab/group_vars/all");
        let generated = "group_vars/all/lab.generated.yml";
        let own = lab.directory().inventory();
        let mut copies = vec![
            (own.join("hosts"), inventory.join("hosts")),
            (own.join(generated), inventory.join(generated)),
        ];
        for name in ["lab.yml", "releases.yml", "secrets.yml"] {
            copies.push((demo.join(name), variables.join(name)));
        }
        for (from, to) in copies {
            fs::copy(&from, &to).doing(|| format!("copy {}", from.display()))?;
        }
        Ok(Self { stage, lab, inventory })
    }

    fn playbooks(&self) -> [PathBuf; 2] {
        [workspace::root().join("playbooks/main.yml"), self.stage.folder.join("equal.yml")]
    }

    fn provision(&self, playbooks: &[PathBuf]) -> Result<Run, Error> {
        let mut command = Command::new(&self.stage.provision);
        command.arg("apply").args(playbooks).arg("-i").arg(&self.inventory);
        command.args(["--output", "ndjson"]);
        self.stage.settle(&mut command);
        self.stage.run(command)?.expect_exit(&[0])
    }

    fn ansible(&self, host: &Host) -> Result<Outcome, Error> {
        let home = self.stage.folder.join("home-of-ansible");
        fs::create_dir_all(&home).doing(|| format!("create {}", home.display()))?;
        let mut command = Command::new(source::ansible_playbook()?);
        command
            .args(self.playbooks())
            .arg("-i")
            .arg(&self.inventory)
            .current_dir(&self.stage.folder)
            .env("HOME", &home)
            .env("ANSIBLE_HOME", home.join("a"))
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_NOCOLOR", "true")
            .env("ANSIBLE_RETRY_FILES_ENABLED", "false")
            .env("ANSIBLE_PIPELINING", "true")
            .env("ANSIBLE_SSH_ARGS", "-o ControlMaster=auto -o ControlPersist=60s")
            // The paths of its sockets are limited to 108 characters.
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", "/run/equal")
            .stdin(Stdio::null());
        let log = step::log("equal-hosts-ansible");
        let start = Instant::now();
        let ended = step::demand(&command, &log, ANSIBLE_LIMIT, "run ansible-playbook")?;
        let text = fs::read_to_string(&log).doing(|| format!("read {}", log.display()))?;
        let elapsed = if ended.elapsed.is_zero() { start.elapsed() } else { ended.elapsed };
        self.look(host, recap(&text, &host.name)?, elapsed)
    }

    fn look(
        &self,
        host: &Host,
        counts: BTreeMap<String, u64>,
        elapsed: Duration,
    ) -> Result<Outcome, Error> {
        let mut lists = BTreeMap::new();
        for (name, script) in LISTS {
            lists.insert(*name, self.stage.ask(host, script)?);
        }
        let directory = self.lab.directory();
        let layers: Vec<&Path> = self.lab.record().layers.iter().map(PathBuf::as_path).collect();
        let upper = directory.host(host).join("upper");
        let tree = tree::read(&directory.root(host), &upper, &layers)?;
        Ok(Outcome { tree, lists, counts, seconds: elapsed.as_secs_f64() })
    }
}

/// The line of a host below `PLAY RECAP`.
fn recap(text: &str, host: &str) -> Result<BTreeMap<String, u64>, Error> {
    let lines = text.rsplit_once("PLAY RECAP").map_or("", |(_, recap)| recap).lines();
    let mut lines = lines.filter(|line| line.split_whitespace().next() == Some(host));
    let line = lines.next().ok_or_else(|| {
        Error::refused("read ansible-playbook's recap", format!("it has no line of {host}"))
    })?;
    let counts = line.split_whitespace().filter_map(|word| word.split_once('='));
    let counts = counts.filter(|(name, _)| COUNTS.contains(name));
    Ok(counts.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recap_is_read() {
        let text = "TASK [h1] **\nPLAY RECAP ****\nh1  : ok=136  changed=75   unreachable=0    \
                    failed=0    skipped=24   rescued=0    ignored=0   \n";
        let counts = recap(text, "h1").unwrap();
        assert_eq!(counts.len(), COUNTS.len());
        assert_eq!((counts["ok"], counts["changed"], counts["skipped"]), (136, 75, 24));
        assert!(recap(text, "h2").is_err());
    }
}

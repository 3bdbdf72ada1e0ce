//! `[io]` Applies a role twice to a fresh lab host over SSH, with either engine: a play that names
//! the role and sets variables, nothing else.

#![allow(clippy::indexing_slicing, reason = "a JSON value answers null for what it lacks")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::catalog::Entry;
use super::fetch;
use crate::error::{Doing, Error, capture};
use crate::lab::names::Layout;
use crate::lab::rootfs::Variant;
use crate::lab::{Lab, UpOptions, mirror};
use crate::step;

const HOST: &str = "h1";
/// A daemon that was just started may need a moment until it answers.
const PROOF_LIMIT_SECONDS: u64 = 20;
/// Longest failure that a table shows.
const FAILURE_LIMIT_CHARACTERS: usize = 300;

/// Hides what helpers keep on this machine.
const PRIVATE_STATE: &str = "mkdir -p /var/lib/provision && mount -t tmpfs tmpfs /var/lib/provision \
                             && exec \"$@\"";

/// What runs the play.
#[derive(Debug, Clone)]
pub enum Engine {
    /// ansible-core's `ansible-playbook`, and a folder with collections for it.
    Reference(PathBuf, PathBuf),
    /// Ours.
    Provision(PathBuf),
}

impl Engine {
    /// Packages are unpacked in this time, too; what takes longer hangs.
    fn limit(&self) -> Duration {
        match self {
            Self::Reference(..) => Duration::from_mins(20),
            Self::Provision(_) => Duration::from_mins(8),
        }
    }
}

/// One run of the play.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The exit code; none if it took too long or was ended by a signal.
    pub exit: Option<i32>,
    /// Tasks that ended well.
    pub ok: u64,
    /// Tasks that changed something.
    pub changed: u64,
    /// How long it took, for comparison only.
    pub seconds: u64,
}

/// What came of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// On the fresh host.
    pub first: Applied,
    /// Again, if the first was good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Applied>,
    /// Why it isn't good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Modules that the role names and the engine hasn't got.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lacks: BTreeSet<String>,
}

impl Outcome {
    /// The rule: both runs end well, the role's work is there, the second run changes nothing.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        let ended_well = |run: &Applied| run.exit == Some(0) && run.ok > 0;
        self.failure.is_none()
            && ended_well(&self.first)
            && self.second.as_ref().is_some_and(|run| ended_well(run) && run.changed == 0)
    }
}

/// Applies an entry to a host of its own.
///
/// # Errors
/// The lab fails; not: that the role does.
pub fn run(
    engine: &Engine,
    name: &str,
    entry: &Entry,
    worker: usize,
    logs: &Path,
) -> Result<Outcome, Error> {
    let mut options = UpOptions::new(&format!("roles-{worker}"), Layout::Numbered(1))?;
    options.variant = Variant::Python;
    let lab = Lab::up(&options)?;
    let scratch = PathBuf::from(format!("/var/tmp/roles-{}", lab.record().id().bridge()));
    let stage = Stage { engine, name, entry, lab: &lab, scratch: &scratch, logs };
    let outcome = stage.play();
    let down = lab.down();
    let removed = remove(&scratch);
    let outcome = outcome?;
    down.and(removed)?;
    Ok(outcome)
}

struct Stage<'a> {
    engine: &'a Engine,
    name: &'a str,
    entry: &'a Entry,
    lab: &'a Lab,
    scratch: &'a Path,
    logs: &'a Path,
}

impl Stage<'_> {
    fn play(&self) -> Result<Outcome, Error> {
        self.lay_out()?;
        // A server that was installed has package lists; roles count on them.
        let host = self.lab.host(HOST)?;
        self.lab.run(host, "apt-get update -q")?;
        if !self.entry.installed.is_empty() {
            let packages = self.entry.installed.join(" ");
            let quiet = "DEBIAN_FRONTEND=noninteractive apt-get install -q -y";
            self.lab.run(host, &format!("{quiet} {packages}"))?;
        }
        let (first, failure) = self.apply(1)?;
        let said = read(&self.log(1)) + &read(&self.log(1).with_extension("ndjson"));
        let mut outcome = Outcome { first, second: None, failure, lacks: lacks(&said) };
        if outcome.first.exit == Some(0) {
            let proof = self.prove();
            let (second, failure) = self.apply(2)?;
            outcome.second = Some(second);
            outcome.failure = proof.err().or(failure);
        }
        Ok(outcome)
    }

    /// Play, inventory, and a copy of the role: some roles write into their own folder.
    fn lay_out(&self) -> Result<(), Error> {
        remove(self.scratch)?;
        let source = fetch::folder(&self.entry.from);
        let place = match self.entry.from.collection() {
            Some(collection) => self
                .scratch
                .join("collections/ansible_collections")
                .join(collection.replace('.', "/")),
            None => {
                let name = self.entry.roles.first().map_or(self.name, String::as_str);
                self.scratch.join("roles").join(name)
            }
        };
        let above = place.parent().unwrap_or(self.scratch);
        fs::create_dir_all(above).doing(|| format!("create {}", above.display()))?;
        fs::create_dir_all(self.scratch.join("roles")).doing(|| "create a folder".to_owned())?;
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(&source).arg(&place);
        capture(&mut copy).doing(|| format!("copy {}", source.display()))?;
        let write = |name: &str, text: String| {
            let path = self.scratch.join(name);
            fs::write(&path, text).doing(|| format!("write {}", path.display()))
        };
        write("play.yml", playbook_text(self.entry, &mirror::url(self.lab.record().subnet)))?;
        write("extra.json", format!("{}\n", json!(self.entry.extra_variables)))?;
        write("inventory", self.inventory_text()?)
    }

    fn inventory_text(&self) -> Result<String, Error> {
        let host = self.lab.host(HOST)?;
        let directory = self.lab.directory();
        let mut text = format!(
            "{HOST} ansible_host={} ansible_user=deploy ansible_ssh_private_key_file={} \
             ansible_ssh_common_args='-o UserKnownHostsFile={} -o IdentitiesOnly=yes' \
             ansible_python_interpreter=/usr/bin/python3\n",
            self.lab.record().subnet.address(host),
            directory.private_key().display(),
            directory.known_hosts().display(),
        );
        for group in &self.entry.groups {
            text.push_str(&format!("\n[{group}]\n{HOST}\n"));
        }
        Ok(text)
    }

    fn log(&self, number: u32) -> PathBuf {
        self.logs.join(format!("{}-{number}.log", self.name))
    }

    fn apply(&self, number: u32) -> Result<(Applied, Option<String>), Error> {
        let log = self.log(number);
        let events = log.with_extension("ndjson");
        let errors = step::create(&log)?;
        let stdout = match self.engine {
            Engine::Reference(..) => errors.try_clone().doing(|| "write a log".to_owned())?,
            Engine::Provision(_) => step::create(&events)?,
        };
        let mut command = self.command();
        let mut child = step::start_with(&mut command, stdout.into(), errors.into())?;
        let ended = step::wait(&mut child, self.engine.limit())?;
        let said = read(&log);
        let (counts, failure) = match self.engine {
            Engine::Reference(..) => (recap_of_text(&said), first_failure_of_text(&said)),
            Engine::Provision(_) => {
                let events = read(&events);
                let failure = first_failure_of_events(&events).or_else(|| first_error(&said));
                (recap_of_events(&events), failure)
            }
        };
        let (ok, changed) = counts.unwrap_or_default();
        let seconds = ended.elapsed.as_secs();
        let failure = match ended.code() {
            Some(0) => None,
            _ => Some(failure.unwrap_or_else(|| ended.words())),
        };
        Ok((Applied { exit: ended.code(), ok, changed, seconds }, failure))
    }

    fn command(&self) -> Command {
        let scratch = self.scratch;
        let own = scratch.join("collections");
        let (mut command, collections) = match self.engine {
            Engine::Reference(program, others) => {
                let path = format!("{}:{}", own.display(), others.display());
                (Command::new(program), path)
            }
            Engine::Provision(program) => {
                // Some roles delegate to this machine, which other labs do, too: its lock and its
                // journal are this run's own.
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", PRIVATE_STATE, "sh"]).arg(program);
                command.args(["apply", "--output", "ndjson"]);
                (command, own.display().to_string())
            }
        };
        command.arg(scratch.join("play.yml")).arg("-i").arg(scratch.join("inventory"));
        if !self.entry.extra_variables.is_empty() {
            command.arg("-e").arg(format!("@{}", scratch.join("extra.json").display()));
        }
        command
            .stdin(Stdio::null())
            .current_dir(scratch)
            .env("HOME", scratch)
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_HOME", scratch.join("a"))
            .env("ANSIBLE_ROLES_PATH", scratch.join("roles"))
            .env("ANSIBLE_COLLECTIONS_PATH", collections)
            .env("ANSIBLE_NOCOLOR", "true")
            .env("ANSIBLE_PIPELINING", "true")
            .env("ANSIBLE_RETRY_FILES_ENABLED", "false");
        command
    }

    fn prove(&self) -> Result<(), String> {
        let script = format!(
            "for second in $(seq {PROOF_LIMIT_SECONDS}); do ({}) >/tmp/proof 2>&1 && exit 0; \
             sleep 1; done; cat /tmp/proof >&2; exit 1",
            self.entry.proof
        );
        let host = self.lab.host(HOST).map_err(|error| error.to_string())?;
        // The role may have forbidden root to log in.
        let mut ssh = self.lab.ssh(host);
        ssh.args(["-l", "deploy", "sudo", "sh", "-c"]).arg(quoted(&script));
        match capture(&mut ssh) {
            Ok(_) => Ok(()),
            Err(error) => Err(clip(&format!("its work isn't there: {error}"))),
        }
    }
}

/// One word for the shell on the other side.
fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', r"'\''"))
}

fn playbook_text(entry: &Entry, mirror: &str) -> String {
    let mut variables = entry.variables.clone();
    variables.insert("lab_mirror".to_owned(), mirror.into());
    let play = json!([{
        "hosts": "all",
        "become": true,
        "vars": variables,
        "roles": entry.roles,
    }]);
    format!("{play:#}\n")
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Modules that our own warnings and errors name as missing.
fn lacks(said: &str) -> BTreeSet<String> {
    let starts = ["does not have the module `", "there is no module `"];
    let named = starts.iter().flat_map(|start| said.split(start).skip(1));
    named.filter_map(|rest| rest.split('`').next()).map(str::to_owned).collect()
}

/// Tasks that were ok and that changed something.
type Counts = (u64, u64);

fn recap_of_text(text: &str) -> Option<Counts> {
    let recap = text.rsplit_once("PLAY RECAP")?.1;
    let line = recap.lines().find(|line| line.split_whitespace().next() == Some(HOST))?;
    let count = |name: &str| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    Some((count("ok")?, count("changed")?))
}

fn recap_of_events(text: &str) -> Option<Counts> {
    let event = events(text).rfind(|event| event["event"] == "run_finished")?;
    let recap = event["recap"].as_array()?.iter().find(|host| host["host"] == HOST)?;
    let count = |name: &str| recap[name].as_u64().unwrap_or_default();
    Some((count("ok"), count("changed")))
}

fn events(text: &str) -> impl DoubleEndedIterator<Item = Value> + '_ {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The last failed task: what ended the play.
fn first_failure_of_events(text: &str) -> Option<String> {
    let failed = events(text).rfind(|event| {
        event["event"] == "result"
            && matches!(event["status"].as_str(), Some("failed" | "unreachable"))
    })?;
    let task = events(text)
        .find(|event| event["event"] == "task_started" && event["task"] == failed["task"])
        .unwrap_or_default();
    let name = task["name"].as_str().unwrap_or("a task");
    Some(clip(&format!("{name}: {}", failed["message"].as_str().unwrap_or_default())))
}

fn first_failure_of_text(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = ["fatal:", "failed:", "ERROR!", "[ERROR]"];
    let fatal =
        lines.iter().rposition(|line| starts.iter().any(|start| line.starts_with(start)))?;
    lines.get(fatal).map(|line| clip(line))
}

fn first_error(text: &str) -> Option<String> {
    text.lines().find(|line| line.starts_with("error")).map(clip)
}

fn clip(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(FAILURE_LIMIT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(exit: i32, ok: u64, changed: u64) -> Applied {
        Applied { exit: Some(exit), ok, changed, seconds: 1 }
    }

    #[test]
    fn only_a_second_run_without_changes_passes() {
        let first = applied(0, 5, 3);
        let with = |second: Option<Applied>, failure: Option<&str>| Outcome {
            first: first.clone(),
            second,
            failure: failure.map(str::to_owned),
            lacks: BTreeSet::new(),
        };
        assert!(with(Some(applied(0, 5, 0)), None).is_passed());
        assert!(!with(Some(applied(0, 5, 1)), None).is_passed());
        assert!(!with(Some(applied(0, 0, 0)), None).is_passed(), "nothing ran");
        assert!(!with(Some(applied(10, 5, 0)), None).is_passed());
        assert!(!with(Some(applied(0, 5, 0)), Some("no answer")).is_passed());
        assert!(!with(None, None).is_passed());
        assert!(!Outcome::default().is_passed());
    }

    #[test]
    fn both_recaps_are_read() {
        let text = "x\nPLAY RECAP ****\nh1   : ok=6   changed=2    unreachable=0    failed=0\n";
        assert_eq!(recap_of_text(text), Some((6, 2)));
        let text =
            "{\"event\":\"run_finished\",\"recap\":[{\"host\":\"h1\",\"ok\":6,\"changed\":2}]}\n";
        assert_eq!(recap_of_events(text), Some((6, 2)));
        assert_eq!(recap_of_events("no json"), None);
    }

    #[test]
    fn the_play_sets_variables_and_nothing_else() {
        let text = "about: x\nfrom: {git: {repository: a/b, commit: c}}\nroles: [a.b]\n\
                    proof: 'true'\nvariables: {x: [1, '{{ lab_mirror }}/y']}\n";
        let entry: Entry = serde_yaml::from_str(text).unwrap();
        let play: Value = serde_json::from_str(&playbook_text(&entry, "http://m")).unwrap();
        assert_eq!(
            play,
            json!([{
                "hosts": "all", "become": true, "roles": ["a.b"],
                "vars": { "lab_mirror": "http://m", "x": [1, "{{ lab_mirror }}/y"] },
            }])
        );
    }

    #[test]
    fn missing_modules_are_collected() {
        let said = "warning: provision does not have the module `yum` yet\n{\"x\":\"there is no \
                    module `win_find`\"}\nprovision does not have the module `yum` yet";
        assert_eq!(lacks(said).into_iter().collect::<Vec<_>>(), ["win_find", "yum"]);
    }

    #[test]
    fn a_script_is_one_word() {
        assert_eq!(quoted("echo 'a b'"), r"'echo '\''a b'\'''");
    }
}

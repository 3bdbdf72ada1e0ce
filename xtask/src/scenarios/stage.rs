//! `[io]` What a scenario works with: the lab, a folder for its files, runs of `provision` and what
//! they said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Doing, Error};
use crate::lab::Lab;
use crate::lab::names::Host;
use crate::{step, workspace};

/// No run of a scenario takes longer, however busy the machine is.
const RUN_LIMIT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(20);

/// The surroundings of one scenario.
#[derive(Debug)]
pub struct Stage {
    /// The hosts.
    pub lab: Lab,
    /// The program.
    pub provision: PathBuf,
    /// A copy of `xtask/scenarios`, to be changed at will.
    pub folder: PathBuf,
    /// This scenario's folder on the hosts: `{{ place }}` in its playbooks.
    pub place: String,
}

/// A run of `provision` that ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none after a signal or the time limit.
    pub exit: Option<i32>,
    /// Its events.
    pub events: Vec<Value>,
    /// What it told people.
    pub said: String,
    /// How long it took.
    pub elapsed: Duration,
}

/// A run of `provision` that is going on.
#[derive(Debug)]
pub struct Going {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    start: Instant,
}

impl Stage {
    /// Makes the scenario's folder.
    pub fn new(lab: &Lab, provision: &Path, name: &str) -> Result<Self, Error> {
        let folder = lab.directory().path().join("scenarios").join(name);
        copy_folder(&workspace::root().join("xtask/scenarios"), &folder)?;
        Ok(Self {
            lab: lab.clone(),
            provision: provision.to_owned(),
            folder,
            place: format!("/srv/{name}"),
        })
    }

    /// The same for another lab.
    pub fn with_lab(&self, lab: &Lab) -> Self {
        Self {
            lab: lab.clone(),
            provision: self.provision.clone(),
            folder: self.folder.clone(),
            place: self.place.clone(),
        }
    }

    /// `provision apply` with the lab's inventory: the user `deploy`, sudo without a password.
    pub fn apply(&self, playbook: &str) -> Command {
        self.apply_with(playbook, &self.lab.directory().inventory())
    }

    /// `provision apply` with another inventory.
    pub fn apply_with(&self, playbook: &str, inventory: &Path) -> Command {
        let mut command = Command::new(&self.provision);
        command.arg("apply").arg(playbook).arg("-i").arg(inventory);
        command.args(["--output", "ndjson", "-e", &format!("place={}", self.place)]);
        self.settle(&mut command);
        command
    }

    /// The folder and the home of a run.
    pub fn settle(&self, command: &mut Command) {
        command.current_dir(&self.folder).env("HOME", self.folder.join("home"));
    }

    /// Writes an inventory of hosts with these variables for all.
    pub fn inventory(&self, hosts: &[&str], variables: &[(&str, &str)]) -> Result<PathBuf, Error> {
        let mut text = String::new();
        for name in hosts {
            let address = self.lab.record().subnet.address(self.lab.host(name)?);
            text.push_str(&format!("{name} ansible_host={address}\n"));
        }
        let key = self.lab.directory().private_key();
        text.push_str(&format!("\n[all:vars]\nansible_ssh_private_key_file={}\n", key.display()));
        for (name, value) in variables {
            text.push_str(&format!("{name}={value}\n"));
        }
        let path = self.folder.join(format!("inventory-{}.ini", hosts.join("-")));
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The value of `ansible_ssh_common_args` that names the lab's host keys.
    pub fn known_hosts(&self) -> String {
        let path = self.lab.directory().known_hosts();
        format!("-o UserKnownHostsFile={} -o IdentitiesOnly=yes", path.display())
    }

    /// Starts a run and doesn't wait.
    pub fn start(&self, mut command: Command) -> Result<Going, Error> {
        let (stdout, stderr) = (self.folder.join("stdout"), self.folder.join("stderr"));
        let (out, err) = (step::create(&stdout)?, step::create(&stderr)?);
        let start = Instant::now();
        let child = step::start_with(&mut command, out.into(), err.into())?;
        Ok(Going { child, stdout, stderr, start })
    }

    /// Runs to the end, without input.
    pub fn run(&self, mut command: Command) -> Result<Run, Error> {
        command.stdin(Stdio::null());
        self.start(command)?.finish()
    }

    /// Runs to the end with a text as input.
    pub fn run_with_input(&self, mut command: Command, input: &str) -> Result<Run, Error> {
        let path = self.folder.join("stdin");
        fs::write(&path, input).doing(|| format!("write {}", path.display()))?;
        let file = fs::File::open(&path).doing(|| format!("read {}", path.display()))?;
        command.stdin(file);
        self.start(command)?.finish()
    }

    /// What a script prints on a host.
    pub fn ask(&self, host: &Host, script: &str) -> Result<String, Error> {
        let output = self.lab.run(host, script)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Checks what a script prints on every host.
    pub fn expect_everywhere(&self, script: &str, expected: &str) -> Result<(), Error> {
        for host in self.lab.hosts() {
            let found = self.ask(host, script)?;
            ensure(found == expected, || {
                format!("`{script}` on {} prints\n{found}\nand not\n{expected}", host.name)
            })?;
        }
        Ok(())
    }
}

impl Going {
    /// Waits until an event is there for which this holds.
    pub fn wait_for(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<(), Error> {
        while !events(&self.stdout).iter().any(&is_it) {
            let ended = self.child.try_wait().doing(|| "look at provision".to_owned())?;
            if ended.is_some() || self.start.elapsed() > RUN_LIMIT {
                step::kill_group(&self.child);
                let reason = format!("it never came; provision said\n{}", read(&self.stderr));
                return Err(Error::refused(format!("see {what}"), reason));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// kill -9.
    pub fn kill(mut self) -> Result<(), Error> {
        step::kill_group(&self.child);
        self.child.wait().map(drop).doing(|| "wait for provision".to_owned())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Result<Run, Error> {
        let ended = step::wait(&mut self.child, RUN_LIMIT)?;
        let events = events(&self.stdout);
        let said = match events.is_empty() {
            true => format!("{}{}", read(&self.stdout), read(&self.stderr)),
            false => read(&self.stderr),
        };
        Ok(Run { exit: ended.code(), events, said, elapsed: self.start.elapsed() })
    }
}

impl Run {
    /// Checks the exit code.
    pub fn expect_exit(self, expected: &[i32]) -> Result<Self, Error> {
        let is_expected = self.exit.is_some_and(|exit| expected.contains(&exit));
        ensure(is_expected, || {
            let exit = self.exit.map_or_else(|| "no exit code".to_owned(), |exit| exit.to_string());
            format!("it ended with {exit} and not {expected:?}; {}", self.account())
        })?;
        Ok(self)
    }

    /// A number of the recap.
    pub fn count(&self, host: &str, what: &str) -> Result<u64, Error> {
        let end = self.events.iter().rfind(|event| event["event"] == "run_finished");
        let recap = end.and_then(|end| end["recap"].as_array()).into_iter().flatten();
        let count = recap.into_iter().find(|row| row["host"] == host);
        count.and_then(|row| row[what].as_u64()).ok_or_else(|| {
            let reason = format!("the recap has no `{what}` of {host}; {}", self.account());
            Error::refused("read the recap", reason)
        })
    }

    /// Checks a number of the recap for every host.
    pub fn expect_count(&self, lab: &Lab, what: &str, expected: u64) -> Result<(), Error> {
        for host in lab.hosts() {
            let found = self.count(&host.name, what)?;
            ensure(found == expected, || {
                format!("{what}={found} on {} and not {expected}; {}", host.name, self.account())
            })?;
        }
        Ok(())
    }

    /// Everything it said that could contain a message, as one text.
    pub fn text(&self) -> String {
        let events: Vec<String> = self.events.iter().map(Value::to_string).collect();
        format!("{}\n{}", events.join("\n"), self.said)
    }

    /// Checks that a message is there, in any case of letters.
    pub fn expect_text(&self, parts: &[&str]) -> Result<(), Error> {
        let text = self.text().to_lowercase();
        let missing: Vec<&str> =
            parts.iter().copied().filter(|part| !text.contains(&part.to_lowercase())).collect();
        ensure(missing.is_empty(), || format!("nothing says {missing:?}; {}", self.account()))
    }

    /// All changes of files that it showed, by host and task's name, without places and times.
    pub fn diffs(&self) -> Vec<(String, Value)> {
        let results = self.events.iter().filter(|event| event["event"] == "result");
        let mut diffs: Vec<(String, Value)> = results
            .filter(|result| result["diff"].as_array().is_some_and(|diff| !diff.is_empty()))
            .map(|result| {
                let host = result["host"].as_str().unwrap_or_default();
                (format!("{host} {}", result["task"]), result["diff"].clone())
            })
            .collect();
        diffs.sort_by(|one, other| one.0.cmp(&other.0));
        diffs
    }

    /// What went wrong, for the message of a failed scenario.
    fn account(&self) -> String {
        let bad = self.events.iter().filter(|event| {
            matches!(event["event"].as_str(), Some("host_unreachable" | "warning"))
                || (event["event"] == "result"
                    && matches!(event["status"].as_str(), Some("failed" | "unreachable")))
        });
        let mut lines: Vec<String> =
            bad.map(|event| event.to_string().chars().take(600).collect()).collect();
        lines.extend(self.said.lines().map(str::to_owned));
        let start = lines.len().saturating_sub(20);
        format!("it said\n{}", lines.get(start..).unwrap_or_default().join("\n"))
    }
}

/// A promise that isn't kept.
pub fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::refused("keep the promise", reason())) }
}

fn events(path: &Path) -> Vec<Value> {
    let text = read(path);
    // The last line may be half written.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    let action = || format!("copy {}", from.display());
    fs::create_dir_all(to.join("home")).doing(action)?;
    for entry in fs::read_dir(from).doing(action)? {
        let entry = entry.doing(action)?;
        let target = to.join(entry.file_name());
        if entry.file_type().doing(action)?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).doing(action)?;
        }
    }
    Ok(())
}

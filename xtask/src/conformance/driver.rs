//! `[io]` Runs one target as ansible-test does: a play of one role for the host `testhost`, here a
//! fresh lab host over SSH, with either engine.

#![allow(clippy::indexing_slicing, reason = "a JSON value answers null for what it lacks")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::reference::Counts;
use super::source::{Place, Source, Target};
use super::{machine, summary};
use crate::error::{Doing, Error};
use crate::lab::names::Layout;
use crate::lab::rootfs::Variant;
use crate::lab::{Lab, UpOptions};
use crate::step;

/// What runs the play.
#[derive(Debug, Clone)]
pub enum Engine {
    /// ansible-core's `ansible-playbook`.
    Reference(PathBuf),
    /// Ours.
    Provision(PathBuf),
}

impl Engine {
    /// Ansible needs a second or more for a task; what takes us longer than this hangs.
    pub(super) fn limit(&self) -> Duration {
        match self {
            Self::Reference(_) => Duration::from_mins(40),
            Self::Provision(_) => Duration::from_mins(4),
        }
    }
}

/// What came of a target.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The exit code; none if it took too long or was ended by a signal.
    pub exit: Option<i32>,
    /// What the recap says about `testhost`, if there was one.
    pub counts: Option<Counts>,
    /// How long it took.
    pub seconds: f64,
    /// The first failure, for people.
    pub failure: Option<String>,
}

/// Runs a target, where it belongs.
///
/// # Errors
/// The lab fails; not: that the target does.
pub fn run(
    engine: &Engine,
    source: &Source,
    target: &Target,
    worker: usize,
    logs: &Path,
) -> Result<Outcome, Error> {
    match target.place {
        Place::Host => run_on_host(engine, source, target, worker, logs),
        Place::Machine => machine::run(engine, source, target, worker, logs),
    }
}

/// Runs a role on a host of its own.
fn run_on_host(
    engine: &Engine,
    source: &Source,
    target: &Target,
    worker: usize,
    logs: &Path,
) -> Result<Outcome, Error> {
    let mut options = UpOptions::new(&format!("conformance-{worker}"), Layout::Numbered(1))?;
    options.variant = Variant::Python;
    let lab = Lab::up(&options)?;
    // Setup roles install packages and count on lists that are there, as in ansible-test's images.
    lab.run(lab.host("h1")?, "apt-get update -q")?;
    let scratch = scratch(&lab)?;
    let outcome = play(engine, source, target, &lab, &scratch, logs);
    let down = lab.down();
    let removed = remove(&scratch);
    let outcome = outcome?;
    down.and(removed)?;
    Ok(outcome)
}

/// The controller's home and the target's output folder. ansible-test runs controller and host on
/// one machine, so the output folder is one folder for both: the controller's is a link to the
/// host's, at the same path.
fn scratch(lab: &Lab) -> Result<PathBuf, Error> {
    // Short: the paths of sockets below it are limited to 108 characters.
    let folder = PathBuf::from(format!("/var/tmp/conformance-{}", lab.record().id().bridge()));
    let action = || format!("make {}", folder.display());
    remove(&folder)?;
    fs::create_dir_all(&folder).doing(action)?;
    let host = lab.host("h1")?;
    let output = folder.join("output");
    let relative = output.strip_prefix("/").unwrap_or(&output);
    let inside = lab.directory().root(host).join(relative);
    fs::create_dir_all(&inside).doing(action)?;
    symlink(&inside, &output).doing(action)?;
    Ok(folder)
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn play(
    engine: &Engine,
    source: &Source,
    target: &Target,
    lab: &Lab,
    scratch: &Path,
    logs: &Path,
) -> Result<Outcome, Error> {
    let id = lab.record().id().bridge();
    let playbook = source.integration.join(format!("{}-{id}.yml", target.name));
    let inventory = scratch.join("inventory");
    let write = |path: &Path, text: &str| {
        fs::write(path, text).doing(|| format!("write {}", path.display()))
    };
    write(&playbook, &playbook_text(target, &scratch.join("output")))?;
    write(&inventory, &inventory_text(lab)?)?;
    let log = logs.join(format!("{}.log", target.name));
    let events = logs.join(format!("{}.ndjson", target.name));
    let mut command = command(engine, source, &playbook, &inventory, scratch);
    let outcome = execute(engine, &mut command, &log, &events);
    fs::remove_file(&playbook).doing(|| format!("remove {}", playbook.display()))?;
    outcome
}

fn execute(
    engine: &Engine,
    command: &mut Command,
    log: &Path,
    events: &Path,
) -> Result<Outcome, Error> {
    command.stdin(Stdio::null());
    let errors = step::create(log)?;
    let stdout = match engine {
        Engine::Reference(_) => errors.try_clone().doing(|| "write a log".to_owned())?,
        Engine::Provision(_) => step::create(events)?,
    };
    let mut child = step::start_with(command, stdout.into(), errors.into())?;
    let ended = step::wait(&mut child, engine.limit())?;
    let (counts, failure) = match engine {
        Engine::Reference(_) => {
            let text = read(log);
            (recap_of_text(&text), first_failure_of_text(&text))
        }
        Engine::Provision(_) => {
            let events = read(events);
            let failure = first_failure_of_events(&events).or_else(|| first_error(&read(log)));
            (recap_of_events(&events), failure)
        }
    };
    let seconds = ended.elapsed.as_secs_f64();
    Ok(Outcome { exit: ended.code(), counts, seconds, failure })
}

pub(super) fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// As `command_integration_role` of ansible-test writes it.
pub(super) fn playbook_text(target: &Target, output: &Path) -> String {
    let play = json!([{
        "hosts": "testhost",
        "gather_facts": target.gather_facts,
        "vars": { "output_dir": output },
        "vars_files": [],
        "roles": [target.name],
    }]);
    format!("{play:#}\n")
}

fn inventory_text(lab: &Lab) -> Result<String, Error> {
    let host = lab.host("h1")?;
    let directory = lab.directory();
    Ok(format!(
        "[testgroup]\ntesthost ansible_host={} ansible_user=root \
         ansible_ssh_private_key_file={} \
         ansible_ssh_common_args='-o UserKnownHostsFile={} -o IdentitiesOnly=yes' \
         ansible_python_interpreter=/usr/bin/python3\n",
        lab.record().subnet.address(host),
        directory.private_key().display(),
        directory.known_hosts().display(),
    ))
}

fn command(
    engine: &Engine,
    source: &Source,
    playbook: &Path,
    inventory: &Path,
    scratch: &Path,
) -> Command {
    let output = scratch.join("output");
    let mut command = match engine {
        Engine::Reference(program) => {
            let mut command = Command::new(program);
            command.arg(playbook).arg("-i").arg(inventory);
            command
        }
        Engine::Provision(program) => {
            let mut command = Command::new(program);
            command.arg("apply").arg(playbook).arg("-i").arg(inventory).arg("--roles-path");
            command.arg(source.targets()).args(["--force-handlers", "--output", "ndjson"]);
            command
        }
    };
    // The environment that ansible-test makes (ansible_environment, integration_environment).
    command
        .current_dir(&source.integration)
        .env("HOME", scratch)
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_HOME", scratch.join("a"))
        .env("ANSIBLE_CONFIG", source.integration.join("integration.cfg"))
        .env("ANSIBLE_ROLES_PATH", source.targets())
        .env("ANSIBLE_PLAYBOOK_DIR", &source.integration)
        .env("ANSIBLE_FORCE_HANDLERS", "true")
        .env("ANSIBLE_HOST_PATTERN_MISMATCH", "error")
        .env("ANSIBLE_INVENTORY", "/dev/null")
        .env("ANSIBLE_DEPRECATION_WARNINGS", "false")
        .env("ANSIBLE_RETRY_FILES_ENABLED", "false")
        .env("ANSIBLE_LIBRARY", "/dev/null")
        .env("ANSIBLE_DEVEL_WARNING", "false")
        .env("ANSIBLE_NOCOLOR", "true")
        .env("ANSIBLE_PIPELINING", "true")
        .env("OUTPUT_DIR", output)
        .env("INVENTORY_PATH", inventory);
    command
}

/// The line of `testhost` below `PLAY RECAP`.
fn recap_of_text(text: &str) -> Option<Counts> {
    let recap = text.rsplit_once("PLAY RECAP")?.1;
    let line = recap.lines().find(|line| line.split_whitespace().next() == Some("testhost"))?;
    summary::counts_of(line)
}

fn recap_of_events(text: &str) -> Option<Counts> {
    let event = events(text).rfind(|event| event["event"] == "run_finished")?;
    let recap = event["recap"].as_array()?.iter().find(|host| host["host"] == "testhost")?;
    let count = |name: &str| recap[name].as_u64().unwrap_or_default();
    Some(Counts {
        ok: count("ok"),
        changed: count("changed"),
        skipped: count("skipped"),
        failed: count("failed"),
        rescued: count("rescued"),
        ignored: count("ignored"),
    })
}

fn events(text: &str) -> impl DoubleEndedIterator<Item = Value> + '_ {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The last failed task that wasn't ignored: what ended the play.
fn first_failure_of_events(text: &str) -> Option<String> {
    let failed = events(text).rfind(|event| {
        event["event"] == "result"
            && matches!(event["status"].as_str(), Some("failed" | "unreachable"))
    })?;
    let task = events(text)
        .find(|event| event["event"] == "task_started" && event["task"] == failed["task"])
        .unwrap_or_default();
    let message = failed["message"].as_str().unwrap_or_default();
    let place = task["place"].as_str().and_then(|place| place.split("/targets/").last());
    Some(clip(&format!(
        "{} ({}): {}",
        task["name"].as_str().unwrap_or("a task"),
        place.unwrap_or("unknown place"),
        message
    )))
}

fn first_failure_of_text(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let fatal = lines.iter().rposition(|line| {
        (line.starts_with("fatal:") || line.starts_with("failed:") || line.starts_with("ERROR!"))
            && !line.contains("...ignoring")
    })?;
    lines.get(fatal).map(|line| clip(line))
}

fn first_error(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !line.contains("error"));
    let first = lines.next().or_else(|| text.lines().find(|line| !line.trim().is_empty()))?;
    let place = lines.next().unwrap_or_default();
    let place = place.rsplit("/targets/").next().unwrap_or_default().trim();
    Some(clip(&format!("{} {place}", first.trim())))
}

/// Longest failure that a table shows.
const FAILURE_LIMIT_CHARACTERS: usize = 240;

pub(super) fn clip(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(FAILURE_LIMIT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_recaps_are_read() {
        let text = "x\nPLAY RECAP ****\nother : ok=1 changed=0\n\
                    testhost                   : ok=61   changed=2    unreachable=0    failed=0    \
                    skipped=3    rescued=1    ignored=4   \n";
        let counts = recap_of_text(text).unwrap();
        let expected = Counts { ok: 61, changed: 2, skipped: 3, failed: 0, rescued: 1, ignored: 4 };
        assert_eq!(counts, expected);
        let events = "{\"event\":\"task_started\"}\n{\"event\":\"run_finished\",\"recap\":[{\"host\":\
                      \"testhost\",\"ok\":61,\"changed\":2,\"skipped\":3,\"failed\":0,\"rescued\":1,\
                      \"ignored\":4}]}\n";
        assert_eq!(recap_of_events(events), Some(expected));
        assert_eq!(recap_of_events("no json"), None);
    }

    #[test]
    fn the_failure_names_task_and_place() {
        let events = "{\"event\":\"task_started\",\"task\":3,\"name\":\"check\",\"place\":\
                      \"/x/targets/loops/tasks/main.yml:3:1\"}\n{\"event\":\"result\",\"task\":3,\
                      \"status\":\"failed\",\"message\":\"no\\nway\"}\n";
        let failure = first_failure_of_events(events).unwrap();
        assert_eq!(failure, "check (loops/tasks/main.yml:3:1): no way");
    }
}

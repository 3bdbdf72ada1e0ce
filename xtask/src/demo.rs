//! `[ui]` `cargo xtask demo`: a site of five real hosts from one command, an app on it that is upgraded,
//! scaled and repaired under requests, and what its services say.

pub(crate) mod load;
mod platform;
mod services;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::build::{self, BuildArguments};
use crate::error::{Doing, Error};
use crate::lab::artifacts::own;
use crate::lab::directories::Cache;
use crate::lab::{self, Lab, UpOptions, inventory};
use crate::{step, workspace};

/// A first apply downloads and installs a Java runtime on three hosts.
const APPLY_LIMIT: Duration = Duration::from_mins(20);

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// Keep the hosts of an earlier demo instead of beginning with fresh ones
    #[arg(long)]
    keep: bool,
    /// The `provision` to show [default: build it]
    #[arg(long, value_name = "FILE")]
    provision: Option<PathBuf>,
}

/// What took how long.
struct Timeline(Vec<(&'static str, Duration)>);

impl Timeline {
    fn of<T>(
        &mut self,
        name: &'static str,
        action: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = action()?;
        self.0.push((name, start.elapsed()));
        Ok(outcome)
    }
}

/// Shows it.
///
/// # Errors
/// A step fails; what was made stays for a look at it.
pub fn run(arguments: DemoArguments) -> Result<ExitCode, Error> {
    let mut timeline = Timeline(Vec::new());
    let name = lab::name_of_environment();
    let provision = timeline.of("build", || match &arguments.provision {
        Some(program) => Ok(program.clone()),
        None => {
            eprintln!("a first build takes some minutes; what cargo says is in target/xtask-logs");
            Ok(build::build(BuildArguments::default())?.provision)
        }
    })?;
    timeline.of("pack our own programs for the hosts", || {
        eprintln!(
            "the scheduler, and the simulated Mesos as a release; a first build takes minutes"
        );
        own::pack(&Cache::of_environment())
    })?;
    let provision = provision.canonicalize().doing(|| format!("find {}", provision.display()))?;
    let lab = timeline.of("boot five hosts", || {
        if !arguments.keep
            && let Ok(old) = Lab::open(&name)
        {
            eprintln!("demo: removing the hosts of the last demo (--keep keeps them)");
            old.down()?;
        }
        Lab::up(&UpOptions::demo(&name)?)
    })?;
    let apply = Apply { provision, lab };
    timeline.of("provision apply", || apply.show("provision apply", &[]))?;
    let second = timeline.of("provision apply, again", || apply.count_changes("apply again"))?;
    if second.changes > 0 {
        let reason = format!("{} tasks changed something: {}", second.changes, second.names());
        return Err(Error::refused("find nothing to change in a second apply", reason)
            .with_hint(apply.look()));
    }
    eprintln!("0 changes: {} tasks on {} hosts are as they should be", second.tasks, second.hosts);
    if workspace::root().join("playbooks/smoke.yml").is_file() {
        timeline.of("a container on each worker", || {
            apply.show("provision apply playbooks/smoke.yml", &["playbooks/smoke.yml"])
        })?;
    }
    timeline.of("the program of an app on each worker", || platform::install_worker(&apply))?;
    let app = timeline.of("an app on Mesos", || platform::run(&apply))?;
    eprintln!();
    println!("{}", services::table(&apply.lab)?);
    app.lines.iter().for_each(|line| println!("{line}"));
    println!();
    for (name, elapsed) in &timeline.0 {
        println!("{:>8.1} s  {name}", elapsed.as_secs_f64());
    }
    println!("\n{}", apply.look());
    Ok(ExitCode::SUCCESS)
}

struct Apply {
    provision: PathBuf,
    lab: Lab,
}

/// What a run did, by its events.
struct Summary {
    changes: u64,
    tasks: u64,
    hosts: usize,
    changed: Vec<String>,
}

impl Summary {
    fn names(&self) -> String {
        self.changed.join(", ")
    }
}

impl Apply {
    fn command(&self, playbooks: &[&str]) -> Command {
        let mut command = Command::new(&self.provision);
        command.arg("apply").args(playbooks).args(["-i", "inventories/lab"]);
        command.args(["-i", "inventories/lab-mesos"]);
        // A lab in another network than the demo's (two labs at once): its own addresses win.
        if !inventory::is_demo(self.lab.record()) {
            command.arg("-i").arg(self.lab.directory().inventory());
        }
        command.current_dir(workspace::root());
        command
    }

    /// Runs with the terminal as it is.
    fn show(&self, what: &str, playbooks: &[&str]) -> Result<(), Error> {
        let mut command = self.command(playbooks);
        let status = command.status().doing(|| format!("start {}", self.provision.display()))?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::refused(
                format!("run `{what}`"),
                format!("it ended with {status}; what failed is above"),
            )
            .with_hint(self.look())),
        }
    }

    /// Runs and counts.
    fn count_changes(&self, what: &str) -> Result<Summary, Error> {
        let (events, said) = (step::log("demo-second"), step::log("demo-second-messages"));
        let mut command = self.command(&[]);
        command.args(["--output", "ndjson"]);
        let errors: File = step::create(&said)?;
        let mut child =
            step::start_with(&mut command, step::create(&events)?.into(), errors.into())?;
        let ended = step::wait(&mut child, APPLY_LIMIT)?;
        if !ended.succeeded() {
            let reason = format!(
                "it {}; the end of its output:\n{}\n{}",
                ended.words(),
                step::tail(&events, 5),
                step::tail(&said, 15)
            );
            return Err(Error::refused(what, reason).with_hint(self.look()));
        }
        let text =
            std::fs::read_to_string(&events).doing(|| format!("read {}", events.display()))?;
        summarise(&text).ok_or_else(|| {
            Error::refused(what, "it said nothing about its end").with_hint(self.look())
        })
    }

    fn look(&self) -> String {
        let name = self.lab.record().name.as_str();
        let variable = match name == lab::DEFAULT_NAME {
            true => String::new(),
            false => format!("CORRAL_LAB_NAME={name} "),
        };
        format!(
            "look around: {variable}cargo xtask lab ssh zk1 (or zk2 zk3 worker1 worker2)\n  \
             remove it:   {variable}cargo xtask lab down"
        )
    }
}

fn summarise(text: &str) -> Option<Summary> {
    let events: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let end = events.iter().rfind(|event| event["event"] == "run_finished")?;
    let recap = end["recap"].as_array()?;
    let sum = |what: &str| recap.iter().filter_map(|host| host[what].as_u64()).sum();
    let mut changed = Vec::new();
    for event in events.iter().filter(|event| event["status"] == "changed") {
        let task = events
            .iter()
            .find(|other| other["event"] == "task_started" && other["task"] == event["task"]);
        let name = task.and_then(|task| task["name"].as_str()).unwrap_or("a task");
        let host = event["host"].as_str().unwrap_or_default();
        changed.push(format!("`{name}` on {host}"));
    }
    Some(Summary { changes: sum("changed"), tasks: sum("ok"), hosts: recap.len(), changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_changed() {
        let text = "{\"event\":\"task_started\",\"task\":1,\"name\":\"copy it\"}\n\
             {\"event\":\"result\",\"task\":1,\"host\":\"zk1\",\"status\":\"changed\"}\n\
             {\"event\":\"run_finished\",\"recap\":[{\"host\":\"zk1\",\"ok\":3,\"changed\":1}]}\n";
        let summary = summarise(text).unwrap();
        assert_eq!((summary.changes, summary.tasks, summary.hosts), (1, 3, 1));
        assert_eq!(summary.names(), "`copy it` on zk1");
        assert!(summarise("").is_none());
    }
}

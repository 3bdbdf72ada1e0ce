//! `[io]` Runs a command in a control group of its own and reads what it used.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::lab::Lab;
use crate::lab::cgroup::Hierarchies;
use crate::lab::process;
use crate::step;

/// What takes longer isn't compared any more.
const LIMIT: Duration = Duration::from_mins(30);
const SAMPLE: Duration = Duration::from_millis(20);

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds from the start to the end.
    pub wall_s: f64,
    /// Processor seconds on the controller, of all processes together.
    pub controller_cpu_s: f64,
    /// Processor seconds in all hosts together.
    pub hosts_cpu_s: f64,
    /// Most memory that the controller's processes had at once.
    pub peak_mb: f64,
    /// The exit code.
    pub exit: Option<i32>,
}

/// Measures a command.
///
/// # Errors
/// The control groups can't be used, or the command can't be started.
pub fn measure(lab: &Lab, command: &Command, log: &Path) -> Result<Usage, Error> {
    let hierarchies = Hierarchies::find()?;
    let group = format!("corral-bench-{}", std::process::id());
    hierarchies.create(&group)?;
    let program = process::own_path().doing(|| "find xtask".to_owned())?;
    let mut inside = Command::new(program);
    inside.args(["bench-internal", &group]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        inside.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = command.get_current_dir() {
        inside.current_dir(folder);
    }
    inside.stdin(std::process::Stdio::null());
    let before = hosts_cpu(&hierarchies, lab);
    let start = Instant::now();
    let mut child = step::start(&mut inside, log)?;
    let mut peak_bytes = 0;
    while child.try_wait().doing(|| "look at a command".to_owned())?.is_none()
        && start.elapsed() < LIMIT
    {
        peak_bytes = peak_bytes.max(memory_bytes(&hierarchies, &group));
        thread::sleep(SAMPLE);
    }
    let wall_s = start.elapsed().as_secs_f64();
    let ended = step::wait(&mut child, Duration::ZERO)?;
    let usage = Usage {
        wall_s,
        controller_cpu_s: cpu_seconds(&hierarchies, &group),
        hosts_cpu_s: hosts_cpu(&hierarchies, lab) - before,
        peak_mb: f64::from(u32::try_from(peak_bytes / 1000).unwrap_or(u32::MAX)) / 1000.0,
        exit: ended.code(),
    };
    // ssh's control masters outlive ansible.
    hierarchies.kill_all(&group)?;
    hierarchies.remove(&group)?;
    Ok(usage)
}

/// The inside of `measure`: joins the group and becomes the command.
///
/// # Errors
/// The group or the command isn't there.
pub fn enter(group: &str, command: &[String]) -> Result<(), Error> {
    Hierarchies::find()?.join(group)?;
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Error::refused("measure a command", "there is none"))?;
    Err(Command::new(program).args(arguments).exec()).doing(|| format!("start {program}"))
}

fn hosts_cpu(hierarchies: &Hierarchies, lab: &Lab) -> f64 {
    let id = lab.record().id();
    lab.hosts().iter().map(|host| cpu_seconds(hierarchies, &id.cgroup_of_host(host))).sum()
}

fn cpu_seconds(hierarchies: &Hierarchies, group: &str) -> f64 {
    let usage = hierarchies.read(group, "cpuacct.usage").and_then(|text| text.trim().parse().ok());
    let of_v2 = || {
        let text = hierarchies.read(group, "cpu.stat")?;
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        usage.trim().parse::<u64>().ok()?.checked_mul(1000)
    };
    usage
        .or_else(of_v2)
        .map_or(0.0, |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs_f64())
}

fn memory_bytes(hierarchies: &Hierarchies, group: &str) -> u64 {
    let Some(text) = hierarchies.read(group, "memory.stat") else { return 0 };
    // `total_rss` in version 1; `anon` in version 2.
    let count = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    count("total_rss").or_else(|| count("anon")).unwrap_or_default()
}

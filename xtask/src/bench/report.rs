//! `[ui]` The measurements as tables, and `docs/benchmarks.md` with the machine they are from.

use std::fmt::Write as _;
use std::fs;

use serde::{Deserialize, Serialize};

use super::hosts::CrowdRow;
use super::measure::Usage;
use super::tools::{Deployment, Tool};
use crate::error::Error;
use crate::lab::directories::{read_json, write_file, write_json};
use crate::workspace;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was applied.
    #[serde(default)]
    pub deployment: Deployment,
    /// What was measured.
    pub tool: Tool,
    /// On how many hosts.
    pub hosts: u8,
    /// Whether there was nothing to change.
    pub is_again: bool,
    /// Added round trip.
    pub round_trip_ms: u32,
    /// Share of the machine that others used meanwhile: processes waiting a processor, before it.
    pub load: f64,
    /// What it used.
    pub usage: Usage,
}

/// A fresh connection and a command over it, by OpenSSH.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Added round trip.
    pub round_trip_ms: u32,
    /// Seconds of the fastest of five.
    pub seconds: f64,
}

/// All measurements of this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// By tool, hosts, run and round trip; a new measurement replaces an old one.
    pub rows: Vec<Row>,
    /// By round trip.
    pub floors: Vec<Floor>,
    /// Runs on many hosts at once.
    #[serde(default)]
    pub crowds: Vec<CrowdRow>,
}

impl Results {
    /// The committed ones.
    ///
    /// # Errors
    /// The file isn't ours.
    pub fn read() -> Result<Self, Error> {
        Ok(read_json(&workspace::root().join("docs/benchmarks.json"))?.unwrap_or_default())
    }

    /// Adds or replaces.
    pub fn add(&mut self, row: Row) {
        let key =
            |row: &Row| (row.deployment, row.hosts, row.round_trip_ms, row.is_again, row.tool);
        self.rows.retain(|known| key(known) != key(&row));
        self.rows.push(row);
        self.rows.sort_by_key(key);
    }

    /// Adds or replaces.
    pub fn add_floor(&mut self, floor: Floor) {
        self.floors.retain(|known| known.round_trip_ms != floor.round_trip_ms);
        self.floors.push(floor);
    }

    /// Adds or replaces.
    pub fn add_crowd(&mut self, row: CrowdRow) {
        let key = |row: &CrowdRow| (row.hosts, row.is_upload, row.is_again);
        self.crowds.retain(|known| key(known) != key(&row));
        self.crowds.push(row);
        self.crowds.sort_by_key(key);
    }

    /// Writes the measurements and the document.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self) -> Result<(), Error> {
        let docs = workspace::root().join("docs");
        write_json(&docs.join("benchmarks.json"), self)?;
        write_file(&docs.join("benchmarks.md"), self.document().as_bytes())
    }

    fn document(&self) -> String {
        let mut text = format!(
            "# Benchmarks\n\n\
             Written by `cargo xtask bench provision`; don't edit. Nothing here is asserted by a \
             test.\n\n\
             Repeat: `cargo xtask bench provision --hosts 1,10,30 --peers` (installs ansible-core, \
             mitogen and pyinfra into a virtual environment in the cache), with \
             `--latency 50` for a slow network.\n\n\
             *typical*: a deployment of 50 tasks and two handlers (`xtask/bench/site.yml`; for pyinfra \
             `deploy.py`); *long* (`--deployment long`): 200 tasks with loops, templates and \
             conditions (`xtask/bench/long.yml`). On lab hosts: real systemd, sshd and disks in containers on the same \
             machine, so controller and hosts share its processors. *first*: fresh hosts; *again*: \
             nothing to change. Processor time is of all processes of the controller (*controller*) \
             and of all hosts together (*hosts*), by control group; *memory* is the most that the \
             controller's processes had at once. *load* is how many processes wanted a processor \
             when the run began: above zero, wall times are too long for all tools, processor times \
             aren't.\n\n{}\n",
            machine()
        );
        for floor in &self.floors {
            let _ = writeln!(
                text,
                "Floor: a fresh OpenSSH connection with one command takes {:.3} s at {} ms of added \
                 round trip.",
                floor.seconds, floor.round_trip_ms
            );
        }
        let _ = write!(
            text,
            "\n{}\n## Ratios\n\nAgain, against provision on as many hosts.\n\n{}",
            self.table(),
            self.ratios()
        );
        if !self.crowds.is_empty() {
            text.push_str(&self.crowd());
        }
        text
    }

    fn crowd(&self) -> String {
        let mut text = String::from(
            "\n## Many hosts\n\n\
             Repeat: `cargo xtask bench hosts`. SSH servers on 127/8 in one process, each with a real \
             helper behind it, on the same machine as the controller; `xtask/bench/hosts.yml` gives \
             each host the addresses of all, and has tasks that all hosts must reach before the next. \
             Of the dead hosts one half refuses connections and the other half accepts them and never \
             says a word; slow ones wait before the handshake and before each piece of data in both \
             directions. *time limit*: of a connection; dead hosts that say nothing cost that long. \
             *upload*: hosts lack the helper. *memory* is the controller's peak (VmHWM), \
             and it begins with 1,024 open files allowed. All other hosts have converged in every run, \
             or there would be no row.\n\n\
             | hosts | dead | slow (each piece) | time limit | run | converged | unreachable | wall s | controller s \
             | hosts s | memory MB | load |\n\
             |---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in &self.crowds {
            let run = match (row.is_again, row.is_upload) {
                (true, _) => "again",
                (false, true) => "first, upload",
                (false, false) => "first",
            };
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} ({} ms) | {} s | {run} | {} | {} | {:.1} | {:.1} | {:.1} | {:.0} | {:.1} |",
                row.hosts,
                row.dead,
                row.slow,
                row.delay_ms,
                row.timeout_s,
                row.converged,
                row.unreachable,
                row.wall_s,
                row.controller_cpu_s,
                row.hosts_cpu_s,
                row.peak_mb,
                row.load
            );
        }
        text
    }

    /// All measurements.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| deployment | hosts | round trip | run | tool | wall s | controller s | per host ms | hosts s | \
             memory MB | load | exit |\n|---|---:|---:|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            let usage = row.usage;
            let run = if row.is_again { "again" } else { "first" };
            let exit = usage.exit.map_or_else(|| "-".to_owned(), |exit| exit.to_string());
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} ms | {run} | {} | {:.2} | {:.2} | {:.0} | {:.2} | {:.0} | {:.1} | {exit} |",
                row.deployment.name(),
                row.hosts,
                row.round_trip_ms,
                row.tool.name(),
                usage.wall_s,
                usage.controller_cpu_s,
                usage.controller_cpu_s * 1000.0 / f64::from(row.hosts),
                usage.hosts_cpu_s,
                usage.peak_mb,
                row.load
            );
        }
        text
    }

    /// How many times as long the others take.
    #[must_use]
    pub fn ratios(&self) -> String {
        let mut text = String::from(
            "| deployment | hosts | round trip | tool | wall | controller | hosts |\n\
             |---|---:|---:|---|---:|---:|---:|\n",
        );
        for row in self.rows.iter().filter(|row| row.is_again && row.tool != Tool::Provision) {
            let own = self.rows.iter().find(|own| {
                own.tool == Tool::Provision
                    && own.is_again
                    && own.deployment == row.deployment
                    && (own.hosts, own.round_trip_ms) == (row.hosts, row.round_trip_ms)
            });
            let Some(own) = own else { continue };
            let times = |theirs: f64, ours: f64| format!("{:.0}×", theirs / ours.max(0.001));
            let _ = writeln!(
                text,
                "| {} | {} | {} ms | {} | {} | {} | {} |",
                row.deployment.name(),
                row.hosts,
                row.round_trip_ms,
                row.tool.name(),
                times(row.usage.wall_s, own.usage.wall_s),
                times(row.usage.controller_cpu_s, own.usage.controller_cpu_s),
                times(row.usage.hosts_cpu_s, own.usage.hosts_cpu_s)
            );
        }
        text
    }
}

/// What this machine is.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processors = information.lines().filter(|line| line.starts_with("processor")).count();
    let model = field(&information, "model name").unwrap_or_else(|| "unknown".to_owned());
    let kibibytes: u64 = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "Machine: {processors} × {model}, {} GiB, Linux {} (a virtual machine, shared with other \
         work).\n",
        kibibytes >> 20,
        kernel.trim()
    )
}

//! `[ui]` `cargo xtask test`: everything CI runs, one line a suite, and a closing line of numbers.
//!
//! Each suite has a time limit and, as root, a process namespace of its own; suites with labs run in
//! namespaces that take everything with them. So nothing stays behind, and what an earlier run
//! left doesn't matter.
//!
//! Suites with labs mostly wait for hosts, the others compile and calculate. So both kinds go on side
//! by side, each in its own order, once what all need is built. What keeps one processor busy begins
//! with the build, whose last part does no more either.
//!
//! All has to end within 45 minutes. On a slow machine fuzzing, which comes last, is left out with a word
//! if it wouldn't.

mod fuzz;
mod kernels;
mod labs;
mod licences;
mod mesos;
mod policy;
mod rust;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::error::{self, Error};
use crate::lab::packages::{self, Needed};

/// Arguments of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestArguments {
    /// Also what takes long: all scenarios, all conformance targets, minutes of fuzzing
    #[arg(long)]
    long: bool,
    /// Show the suites
    #[arg(long)]
    list: bool,
    /// One suite after the other, also those with labs
    #[arg(long)]
    in_turn: bool,
    /// Suites [default: all]
    #[arg(value_name = "SUITE")]
    suites: Vec<String>,
}

/// What a suite found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// A figure or a reason.
    pub note: String,
    /// The end of a log, if something failed.
    pub details: String,
}

impl Found {
    /// A suite that is one test.
    #[must_use]
    pub fn one(note: impl Into<String>) -> Self {
        Self { passed: 1, note: note.into(), ..Self::default() }
    }
}

/// Suites of a lane run one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// Before all others: what is quick or what others need.
    First,
    /// From the beginning: what keeps one processor busy and needs nothing of the others.
    Single,
    /// What compiles and calculates.
    Programs,
    /// What waits for hosts of a lab.
    Hosts,
}

/// What all suites may take together.
const WHOLE: Duration = Duration::from_mins(45);

/// One suite.
struct Suite {
    lane: Lane,
    name: &'static str,
    about: &'static str,
    /// Short, and with --long.
    limits: [Duration; 2],
    /// What must be left of [`WHOLE`] where all suites are run, or it is left out.
    needs: Option<Duration>,
    run: fn(&Context) -> Result<Found, Error>,
}

/// What a suite may know.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Whether time doesn't matter.
    pub is_long: bool,
    /// When the suite is ended.
    pub limit: Duration,
}

const fn suite(
    lane: Lane,
    name: &'static str,
    about: &'static str,
    limits_minutes: [u64; 2],
    run: fn(&Context) -> Result<Found, Error>,
) -> Suite {
    let [short, long] = limits_minutes;
    let limits = [Duration::from_mins(short), Duration::from_mins(long)];
    Suite { lane, name, about, limits, needs: None, run }
}

impl Suite {
    /// What is said instead of running it, after so much time.
    fn too_late(&self, elapsed: Duration) -> Option<String> {
        let needs = self.needs.filter(|needs| elapsed + *needs > WHOLE)?;
        let [needs, elapsed, whole] = [needs, elapsed, WHOLE].map(|time| time.as_secs() / 60);
        Some(format!(
            "skip {:<14} {elapsed} of {whole} min are over and it needs some {needs}: \
             `cargo xtask test {}`",
            self.name, self.name
        ))
    }

    /// The same, left out if so many minutes aren't left.
    const fn needs(self, minutes: u64) -> Self {
        Suite { needs: Some(Duration::from_mins(minutes)), ..self }
    }
}

/// Each lane in this order. Limits allow for the other lane beside it.
const ALL: &[Suite] = &[
    suite(Lane::First, "format", "cargo fmt --check", [1, 1], rust::format),
    suite(
        Lane::First,
        "licences",
        "licences of all dependencies are allowed ones",
        [1, 1],
        licences::run,
    ),
    suite(
        Lane::First,
        "build",
        "the helper within its limits, all programs and tests",
        [25, 30],
        rust::build,
    ),
    suite(
        Lane::Single,
        "kernels",
        "instructions of the simulator's engines",
        [20, 20],
        kernels::run,
    ),
    suite(Lane::Programs, "lint", "clippy on all targets, no warning", [20, 20], rust::lint),
    suite(Lane::Programs, "unit", "all tests of the workspace", [30, 60], rust::unit),
    suite(
        Lane::Programs,
        "mesos",
        "scheduler and Mesos as processes, ZooKeeper, others' clients",
        [8, 15],
        mesos::run,
    ),
    suite(Lane::Programs, "policy", "scenarios/gate against their baselines", [5, 5], policy::run),
    suite(
        Lane::Programs,
        "documentation",
        "rustdoc without a warning",
        [6, 10],
        rust::documentation,
    ),
    // Two by two, 32 targets may take 10 and 91 minutes; what is left is for the first build, which
    // takes two minutes and a half on two idle cores, and up to ten beside other work.
    suite(Lane::Programs, "fuzz", "each parser for some seconds", [25, 100], fuzz::run).needs(8),
    suite(Lane::Hosts, "scenarios", "provision against lab hosts", [20, 60], labs::scenarios),
    suite(
        Lane::Hosts,
        "conformance",
        "targets of ansible-core that passed before",
        [14, 60],
        labs::conformance,
    ),
    suite(Lane::Hosts, "roles", "public roles, twice on fresh hosts", [8, 60], labs::roles),
    suite(Lane::Hosts, "lab", "the lab itself: life, faults, teardown", [15, 15], labs::hosts),
];

/// Programs that tests run on this machine.
const NEEDED: &[Needed] = &[
    ("openssh-server", "/usr/sbin/sshd", "is what tests of the SSH client connect to"),
    ("sudo", "/usr/bin/sudo", "is what tests of becoming other users run"),
    ("python3", "/usr/bin/python3", "runs oracles, and pip"),
    ("g++", "/usr/bin/c++", "compiles the fuzzing engine"),
    ("dnf", "/usr/bin/dnf", "is what tests of the module dnf run"),
    ("rpm", "/usr/bin/rpmbuild", "makes packages for them"),
    ("createrepo-c", "/usr/bin/createrepo_c", "makes a source of them"),
    ("subversion", "/usr/bin/svnadmin", "is what tests of the module subversion run"),
    ("parted", "/usr/sbin/parted", "is what tests of the module parted run"),
    ("acl", "/usr/bin/setfacl", "is what tests of the module acl run"),
    ("lvm2", "/usr/sbin/lvm", "is what tests of the modules lvg and lvol run"),
    ("firewalld", "/usr/bin/firewall-offline-cmd", "is what tests of the module firewalld run"),
    ("libzookeeper-java", "/usr/share/java/zookeeper.jar", "is what tests of the module znode ask"),
    ("default-jre-headless", "/usr/bin/java", "runs it"),
    ("rsync", "/usr/bin/rsync", "is what tests of the module synchronize run"),
    ("libc6-dev", "/usr/lib/x86_64-linux-gnu/libc.a", "is linked into the helper"),
];

/// Runs the suites.
///
/// # Errors
/// There is no such suite, or packages can't be installed; not: that tests fail.
pub fn run(arguments: TestArguments) -> Result<ExitCode, Error> {
    if arguments.list {
        for suite in ALL {
            println!("{:<14} {}", suite.name, suite.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    for name in &arguments.suites {
        if !ALL.iter().any(|suite| suite.name == name) {
            return Err(Error::refused(format!("run the suite {name}"), "there is none")
                .with_hint("`cargo xtask test --list`"));
        }
    }
    packages::install(NEEDED)?;
    packages::install_missing()?;
    let start = Instant::now();
    let lane = |lane| run_lane(lane, &arguments, start);
    let sums = if arguments.in_turn {
        [Lane::First, Lane::Single, Lane::Programs, Lane::Hosts].map(lane)
    } else {
        thread::scope(|scope| {
            let single = scope.spawn(|| lane(Lane::Single));
            let first = lane(Lane::First);
            let hosts = scope.spawn(|| lane(Lane::Hosts));
            let programs = lane(Lane::Programs);
            // A suite that panics must not pass for one that ran.
            let [single, hosts] = [single, hosts].map(|lane| lane.join().unwrap_or((0, 1)));
            [first, single, programs, hosts]
        })
    };
    let passed: u64 = sums.iter().map(|(passed, _)| passed).sum();
    let failed: u64 = sums.iter().map(|(_, failed)| failed).sum();
    println!("all suites: {:.0} s", start.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs those suites of a lane that are asked for; how many tests passed and failed.
fn run_lane(lane: Lane, arguments: &TestArguments, start: Instant) -> (u64, u64) {
    let is_asked_for = |suite: &&Suite| {
        suite.lane == lane
            && (arguments.suites.is_empty()
                || arguments.suites.iter().any(|name| name == suite.name))
    };
    let (mut passed, mut failed) = (0, 0);
    for suite in ALL.iter().filter(is_asked_for) {
        // Who chooses what is run, or how, has the time.
        let is_chosen = arguments.long || arguments.in_turn || !arguments.suites.is_empty();
        if !is_chosen && let Some(missing) = suite.too_late(start.elapsed()) {
            println!("{missing}");
            continue;
        }
        let found = run_one(suite, arguments.long);
        passed += found.passed;
        failed += found.failed;
    }
    (passed, failed)
}

fn run_one(suite: &Suite, is_long: bool) -> Found {
    let [short, long] = suite.limits;
    let context = Context { is_long, limit: if is_long { long } else { short } };
    let start = Instant::now();
    let found = (suite.run)(&context).unwrap_or_else(|error| Found {
        failed: 1,
        details: error::render(&error),
        ..Found::default()
    });
    let verdict = if found.failed == 0 { "pass" } else { "FAIL" };
    let seconds = start.elapsed().as_secs_f64();
    let counts = match found.failed {
        0 => format!("{} tests", found.passed),
        failed => format!("{failed} of {} tests failed", failed + found.passed),
    };
    let mut text =
        format!("{verdict} {:<14} {seconds:>7.1} s  {counts}  {}\n", suite.name, found.note);
    for line in found.details.lines() {
        text.push_str(&format!("     | {line}\n"));
    }
    // At once: other lanes print, too.
    print!("{text}");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_has_a_name_of_its_own_and_a_lane_that_runs() {
        let mut names: Vec<&str> = ALL.iter().map(|suite| suite.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let ran = [Lane::First, Lane::Single, Lane::Programs, Lane::Hosts]
            .map(|lane| ALL.iter().filter(|suite| suite.lane == lane).count());
        assert_eq!(ran.iter().sum::<usize>(), ALL.len());
        assert!(ran.iter().all(|count| *count > 0));
    }

    #[test]
    fn only_what_may_be_left_out_is_left_out_and_only_late() {
        let minutes = Duration::from_mins;
        for suite in ALL {
            assert_eq!(suite.too_late(minutes(37)), None, "{}", suite.name);
            assert_eq!(suite.too_late(minutes(38)).is_some(), suite.name == "fuzz");
        }
        let said = ALL.iter().find_map(|suite| suite.too_late(minutes(40)));
        let wanted = "skip fuzz           40 of 45 min are over and it needs some 8: \
                      `cargo xtask test fuzz`";
        assert_eq!(said.as_deref(), Some(wanted));
    }
}

//! `[io]` `cargo xtask soak`: random fault schedules for as long as there is time, at the lowest
//! priority. A seed that fails is added to the file of those that the tests run always, and what was run
//! to a document, if that is asked for.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error};
use crate::lab::directories::{read_json, write_file, write_json};
use crate::{step, workspace};

/// A first build with optimisation on two busy processors.
const BUILD_LIMIT: Duration = Duration::from_mins(25);
/// What so many schedules may take on a machine that is busy with other things.
const STEP_LIMIT: Duration = Duration::from_mins(30);
/// What others want goes first.
const NICE: &str = "19";

/// Arguments of `soak`.
#[derive(Debug, Clone, Args)]
pub struct SoakArguments {
    /// Whose schedules
    #[arg(value_enum)]
    what: What,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// How many schedules at most
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    count: u64,
    /// Ends after so many minutes of processor time
    #[arg(long, value_name = "MINUTES")]
    processor_minutes: Option<u64>,
    /// Ends after so many minutes
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// Schedules between two looks at the time
    #[arg(long, value_name = "COUNT", default_value_t = 500,
          value_parser = clap::value_parser!(u64).range(1..))]
    step: u64,
    /// Add the run to docs/soak.md
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// The core of the scheduler: machines, a store, users
    Core,
    /// Between the core and Mesos: a master, agents, broken streams
    Mesos,
}

impl What {
    /// Package, program and test in it, and the variables for the first seed and the number of schedules.
    const fn test(self) -> [&'static str; 5] {
        match self {
            What::Core => [
                "scheduler-core",
                "all",
                "schedules::random_schedules_hold_what_is_promised",
                "SCHEDULER_FIRST_SEED",
                "SCHEDULER_SCHEDULES",
            ],
            What::Mesos => [
                "scheduler-mesos",
                "schedules",
                "nothing_is_launched_twice_lost_or_acknowledged_too_early",
                "MESOS_FIRST_SEED",
                "MESOS_SCHEDULES",
            ],
        }
    }

    /// Seeds that failed once.
    fn seeds(self) -> PathBuf {
        let folder = match self {
            What::Core => "scheduler/core",
            What::Mesos => "scheduler/mesos",
        };
        workspace::root().join(folder).join("tests/regressions/seeds.txt")
    }
}

/// Runs schedules.
///
/// # Errors
/// The tests can't be built or run; not: that a schedule fails.
pub fn run(arguments: &SoakArguments) -> Result<ExitCode, Error> {
    let [package, program, test, first_name, count_name] = arguments.what.test();
    let log = step::log(&format!("soak-{package}"));
    let own = ["test", "--release", "--package", package, "--test", program];
    let build = workspace::cargo(&[&own[..], &["--no-run"]].concat());
    step::demand(&build, &log, BUILD_LIMIT, &format!("build the schedules of {package}"))?;
    let (begun, processor_begun) = (Instant::now(), processor_time()?);
    let (mut done, mut failed) = (0, Vec::new());
    while done < arguments.count {
        let processor = processor_time()?.saturating_sub(processor_begun);
        if is_over(arguments.minutes, begun.elapsed())
            || is_over(arguments.processor_minutes, processor)
        {
            break;
        }
        let (first, count) = (arguments.from + done, arguments.step.min(arguments.count - done));
        let mut command = std::process::Command::new("nice");
        let cargo = workspace::cargo(&[&own[..], &["--", "--exact", test]].concat());
        command.args(["-n", NICE]).arg(cargo.get_program()).args(cargo.get_args());
        command.current_dir(workspace::root());
        command.env(first_name, first.to_string()).env(count_name, count.to_string());
        let ended = step::run(&command, &log, STEP_LIMIT)?;
        done += count;
        let text = fs::read_to_string(&log).doing(|| format!("read {}", log.display()))?;
        if !text.contains("running 1 test") {
            let reason = format!("{package} has no test {test}; {}", step::tail(&log, 25));
            return Err(Error::refused(format!("run schedules from {first}"), reason));
        }
        if !ended.succeeded() {
            let seeds = failed_seeds(&text);
            if seeds.is_empty() {
                let reason = format!("it {}; {}", ended.words(), step::tail(&log, 25));
                return Err(Error::refused(format!("run schedules from {first}"), reason));
            }
            for seed in seeds {
                println!("seed {seed} fails");
                keep(arguments.what, &seed)?;
                failed.push(seed);
            }
        }
        let seconds = processor_time()?.saturating_sub(processor_begun).as_secs();
        println!(
            "{package}: {done} schedules from {}, {} fail, {seconds} s of processor time",
            arguments.from,
            failed.len()
        );
    }
    let processor_s = processor_time()?.saturating_sub(processor_begun).as_secs();
    let is_well = failed.is_empty();
    if arguments.write && done > 0 {
        let (what, first, seconds) = (arguments.what, arguments.from, begun.elapsed().as_secs());
        write_down(Run { what, first, schedules: done, failed, processor_s, seconds })?;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was run, as it is kept in docs/soak.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    what: What,
    /// The first seed.
    first: u64,
    /// How many seeds.
    schedules: u64,
    /// Seeds that failed.
    failed: Vec<String>,
    processor_s: u64,
    seconds: u64,
}

const HEAD: &str = "# Long runs of fault schedules\n\n\
Written by `cargo xtask soak WHAT --write`; don't edit. A schedule is a small cluster in which things are\n\
lost, repeated, late, cut off and killed by chance, all of it from one seed; what has to hold is checked after\n\
each turn ([scheduler-core.md](scheduler-core.md#what-has-to-hold), [mesos-client.md](mesos-client.md#how-it-is-tested)).\n\
A seed of `core` is one schedule, and each third one more with an app that has volumes. Seeds that failed are\n\
kept beside the tests, in `regressions/seeds.txt`. Runs are those of the code of their day.\n\n\
| what | seeds | how many | failed | processor time | time |\n|---|---|---:|---|---:|---:|\n";

/// Adds a run to the document; it takes the place of those from the same seed, and of those whose seeds
/// are all among its own.
fn write_down(run: Run) -> Result<(), Error> {
    let docs = workspace::root().join("docs");
    let file = docs.join("soak.json");
    let runs = with_run(read_json(&file)?.unwrap_or_default(), run);
    write_json(&file, &runs)?;
    write_file(&docs.join("soak.md"), document(&runs).as_bytes())
}

fn with_run(mut runs: Vec<Run>, run: Run) -> Vec<Run> {
    let end = |one: &Run| one.first.saturating_add(one.schedules);
    let is_replaced = |known: &Run| {
        let is_covered = known.first >= run.first && end(known) <= end(&run);
        known.what == run.what && (known.first == run.first || is_covered)
    };
    let place = runs.iter().position(is_replaced).unwrap_or(runs.len());
    runs.retain(|known| !is_replaced(known));
    runs.insert(place, run);
    runs
}

fn document(runs: &[Run]) -> String {
    let mut text = HEAD.to_owned();
    for Run { what, first, schedules, failed, processor_s, seconds } in runs {
        let what = format!("{what:?}").to_lowercase();
        let last = first.saturating_add(*schedules).saturating_sub(1);
        let failed = if failed.is_empty() { "none".to_owned() } else { failed.join(", ") };
        // Texts take everything.
        let _ = writeln!(
            text,
            "| {what} | {first} to {last} | {schedules} | {failed} | {processor_s} s | {seconds} s |"
        );
    }
    text
}

fn is_over(minutes: Option<u64>, elapsed: Duration) -> bool {
    minutes.is_some_and(|minutes| elapsed >= Duration::from_secs(minutes.saturating_mul(60)))
}

/// What all commands took that have ended.
fn processor_time() -> Result<Duration, Error> {
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).doing(|| "ask for the time of commands".to_owned())?;
    let time = |one: TimeVal| {
        let seconds = u64::try_from(one.tv_sec()).unwrap_or_default();
        let microseconds = u64::try_from(one.tv_usec()).unwrap_or_default();
        Duration::from_secs(seconds) + Duration::from_micros(microseconds)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// The seeds of lines `seed NUMBER fails` or `seed NUMBER (KIND) fails`, as the files have them.
fn failed_seeds(text: &str) -> Vec<String> {
    let mut seeds: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("seed ") else { continue };
        let Some((named, _)) = rest.split_once(" fails") else { continue };
        let (number, kind) = named.split_once(' ').unwrap_or((named, ""));
        let mark = match kind {
            "" | "(Plain)" => "",
            "(Rebalance)" => "+",
            "(Volumes)" => "v",
            _ => continue,
        };
        let seed = number.parse::<u64>().ok().map(|number| format!("{number}{mark}"));
        seeds.extend(seed.filter(|seed| !seeds.contains(seed)));
    }
    seeds
}

fn keep(what: What, seed: &str) -> Result<(), Error> {
    let file = what.seeds();
    let doing = || format!("write {}", file.display());
    let mut opened = OpenOptions::new().append(true).create(true).open(&file).doing(doing)?;
    writeln!(opened, "{seed}   found by `cargo xtask soak`; not mended yet").doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_seeds_are_found_once() {
        let text = "thread panicked at x:\nseed 17 doesn't settle:\nassertion: seed 17 fails; add it\n\
                    seed 905 fails; add it to\nseed 17 fails\nseed x fails";
        assert_eq!(failed_seeds(text), ["17", "905"]);
        assert_eq!(failed_seeds("test result: ok"), [""; 0]);
        let core = "seed 4 (Plain) fails; add it\nseed 5 (Rebalance) fails; add it\n\
                    seed 9 (Volumes) fails; add it\nseed 9 (Volumes) fails; add it";
        assert_eq!(failed_seeds(core), ["4", "5+", "9v"], "as schedules.rs of the core says it");
    }

    #[test]
    fn a_run_from_the_same_seed_takes_the_place_of_an_earlier_one() {
        let run = |first, schedules, failed: &[&str]| Run {
            what: What::Core,
            first,
            schedules,
            failed: failed.iter().map(|one| (*one).to_owned()).collect(),
            processor_s: 7,
            seconds: 8,
        };
        let before = vec![run(0, 500, &[]), run(500, 500, &[]), run(900, 200, &[])];
        let runs = with_run(before, run(0, 1_000, &["3+"]));
        assert_eq!(runs, [run(0, 1_000, &["3+"]), run(900, 200, &[])], "500 to 999 are covered");
        let text = document(&runs);
        assert!(text.contains("| core | 0 to 999 | 1000 | 3+ | 7 s | 8 s |"), "{text}");
        assert!(text.contains("| core | 900 to 1099 | 200 | none |"), "{text}");
    }

    #[test]
    fn files_of_seeds_are_there() {
        for what in [What::Core, What::Mesos] {
            assert!(what.seeds().is_file(), "{}", what.seeds().display());
        }
    }
}

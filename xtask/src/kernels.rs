//! `[io]` `cargo xtask kernels`: how many instructions the simulator's engines take for small fixed
//! loads, against the committed counts. Times on a machine with other work say little; counts of the
//! same program are the same every time.
//!
//! They are counted by valgrind's callgrind, which runs the program on a processor of its own making.
//! Another compiler makes other code of the same source, and another processor is given other vector
//! code, so then nothing is said.
//!
//! What the loads come to doesn't depend on any of that: it is the same there and with the widest vectors
//! of this processor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::error::{self, Doing, Error};
use crate::lab::directories::{read_json, write_json};
use crate::lab::packages::{self, Needed};
use crate::{step, workspace};

/// Arguments of `kernels`.
#[derive(Debug, Clone, Args)]
pub struct KernelArguments {
    /// Commit to what is counted now: writes xtask/bench/kernels.json
    #[arg(long)]
    write: bool,
    /// Tell instead how much two lanes of a run wait for each other, by their times in one thread
    #[arg(long, conflicts_with = "write")]
    waiting: bool,
}

const NEEDED: &[Needed] = &[("valgrind", "/usr/bin/valgrind", "counts instructions")];
/// The first build with optimisation, on two busy processors.
const BUILD_LIMIT: Duration = Duration::from_mins(15);
/// So many more instructions in a hundred are a failure. The same program has the same count, but a
/// change elsewhere in a crate moves what the compiler inlines.
const ALLOWED_PERCENT: f64 = 5.0;

/// Counts and what they depend on besides the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    /// The compiler, as `rustc --version` names it.
    compiler: String,
    /// The kind of vector code that ran.
    processor: String,
    /// Instructions of each load.
    instructions: BTreeMap<String, u64>,
    /// What each comes to: how many requests, and the sum of their waits.
    results: BTreeMap<String, String>,
}

/// What a comparison says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// Loads within the bound.
    pub passed: u64,
    /// Loads with too many instructions, or without a committed count.
    pub failed: u64,
    /// A line for each load.
    pub table: String,
    /// Why nothing can be said, or what else is to be known.
    pub note: String,
}

/// Counts, and compares or writes.
///
/// # Errors
/// The program can't be built or fails, or valgrind isn't there and can't be installed.
pub fn run(arguments: &KernelArguments) -> Result<ExitCode, Error> {
    if arguments.waiting {
        println!("{}", result_of(&build()?, "--waiting")?);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.write {
        let counts = count()?;
        write_json(&path(), &counts)?;
        println!("written to {}", path().display());
        return Ok(ExitCode::SUCCESS);
    }
    let verdict = check()?;
    print!("{}", verdict.table);
    println!("{}", verdict.note);
    Ok(if verdict.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Counts and compares.
///
/// # Errors
/// As [`run`].
pub(crate) fn check() -> Result<Verdict, Error> {
    let known: Counts = read_json(&path())?.unwrap_or_default();
    Ok(compare(&known, &count()?))
}

fn path() -> PathBuf {
    workspace::root().join("xtask/bench/kernels.json")
}

/// The loads with the engines that users run.
fn build() -> Result<PathBuf, Error> {
    let cargo = workspace::cargo(&["build", "--release", "--package", "kernels"]);
    step::demand(&cargo, &step::log("kernels-build"), BUILD_LIMIT, "build the loads")?;
    Ok(workspace::target().join("release/kernels"))
}

/// Builds them, and counts each.
fn count() -> Result<Counts, Error> {
    packages::install(NEEDED)?;
    let program = build()?;
    let (_, told) = counted(&program, None)?;
    let mut lines = told.lines();
    let processor = lines.next().unwrap_or_default().to_owned();
    let mut counts = Counts { compiler: compiler()?, processor, ..Counts::default() };
    for name in lines {
        let (instructions, result) = counted(&program, Some(name))?;
        let widest = result_of(&program, name)?;
        if result != widest {
            let reason = format!("it is {result} with {}, but {widest} here", counts.processor);
            return Err(Error::refused(format!("say what {name} comes to"), reason));
        }
        counts.instructions.insert(name.to_owned(), instructions);
        counts.results.insert(name.to_owned(), result);
    }
    Ok(counts)
}

/// Instructions of a run, and what the program says.
fn counted(program: &Path, load: Option<&str>) -> Result<(u64, String), Error> {
    let action = || format!("count instructions of {}", load.unwrap_or("the list of loads"));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(program).args(load);
    let output = error::capture(&mut command).doing(action)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let instructions = collected(&text(&output.stderr))
        .ok_or_else(|| Error::refused(action(), "valgrind has not said how many there were"))?;
    Ok((instructions, text(&output.stdout).trim().to_owned()))
}

/// What a load comes to on this processor.
fn result_of(program: &Path, load: &str) -> Result<String, Error> {
    let output =
        error::capture(Command::new(program).arg(load)).doing(|| format!("run the load {load}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `==123== Collected : 1234567`
fn collected(text: &str) -> Option<u64> {
    let after = |line: &str| line.split_once("Collected :")?.1.trim().parse().ok();
    text.lines().rev().find_map(after)
}

fn compiler() -> Result<String, Error> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(program);
    command.arg("--version").current_dir(workspace::root());
    let output =
        error::capture(&mut command).doing(|| "ask for the compiler's version".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn compare(known: &Counts, seen: &Counts) -> Verdict {
    let mut verdict = Verdict { passed: 0, failed: 0, table: String::new(), note: String::new() };
    let others: Vec<&str> = seen
        .results
        .iter()
        .filter(|(name, result)| known.results.get(*name) != Some(result))
        .map(|(name, _)| name.as_str())
        .collect();
    let is_same = (&known.compiler, &known.processor) == (&seen.compiler, &seen.processor);
    let mut slower = Vec::new();
    let mut least = 0.0f64;
    for (name, count) in &seen.instructions {
        let before = known.instructions.get(name).copied();
        let more = before.map(|before| percent_more(before, *count));
        let is_good = more.is_some_and(|more| more <= ALLOWED_PERCENT);
        least = least.min(more.unwrap_or_default());
        if is_good {
            verdict.passed += 1;
        } else {
            slower.push(name.as_str());
        }
        let change = more.map_or("no committed count".to_owned(), |more| format!("{more:+.2} %"));
        // Writing to a String can't fail.
        let _ = writeln!(verdict.table, "{name:<22} {count:>12}  {change}");
    }
    let gone = known.instructions.keys().filter(|name| !seen.instructions.contains_key(*name));
    slower.extend(gone.map(String::as_str));
    if !others.is_empty() {
        verdict.failed = u64::try_from(others.len()).unwrap_or(u64::MAX);
        verdict.note = format!(
            "they come to something else: {}. If engines have learned something: `cargo xtask kernels \
             --write`, and say what in the commit",
            others.join(", ")
        );
        return verdict;
    }
    if !is_same && !known.instructions.is_empty() {
        let Counts { compiler, processor, .. } = known;
        verdict.passed = 0;
        verdict.note = format!(
            "inconclusive: the committed counts are of {compiler} and {processor}, these of {} and {}; \
             `cargo xtask kernels --write` writes new ones",
            seen.compiler, seen.processor
        );
        return verdict;
    }
    verdict.failed = u64::try_from(slower.len()).unwrap_or(u64::MAX);
    verdict.note = match (slower.is_empty(), least < -ALLOWED_PERCENT) {
        (false, _) => format!(
            "not within {ALLOWED_PERCENT} % of the committed counts: {}. If that is wanted: `cargo \
             xtask kernels --write`, and say why in the commit",
            slower.join(", ")
        ),
        (true, true) => format!(
            "up to {:.0} % fewer instructions: `cargo xtask kernels --write` keeps it so",
            -least
        ),
        (true, false) => format!("within {ALLOWED_PERCENT} % of the committed counts"),
    };
    verdict
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn percent_more(before: u64, now: u64) -> f64 {
    (now as f64 - before as f64) * 100.0 / before.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(compiler: &str, loads: &[(&str, u64)]) -> Counts {
        Counts {
            compiler: compiler.to_owned(),
            processor: "x86-64-v3".to_owned(),
            instructions: loads.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            results: BTreeMap::new(),
        }
    }

    #[test]
    fn more_instructions_fail_and_are_named() {
        let known = counts("rustc 1", &[("a", 1_000), ("b", 1_000)]);
        let verdict = compare(&known, &counts("rustc 1", &[("a", 1_050), ("b", 1_051)]));
        assert_eq!((verdict.passed, verdict.failed), (1, 1));
        assert!(verdict.note.contains("counts: b. If"), "{}", verdict.note);
        assert!(verdict.note.contains("cargo xtask kernels --write"), "{}", verdict.note);
        assert!(verdict.table.contains("+5.10 %"), "{}", verdict.table);
    }

    #[test]
    fn other_results_fail() {
        let with = |result: &str| {
            let mut counts = counts("rustc 1", &[("a", 1_000)]);
            counts.results.insert("a".to_owned(), result.to_owned());
            counts
        };
        let verdict = compare(&with("5 17"), &with("5 18"));
        assert_eq!(verdict.failed, 1);
        assert!(verdict.note.contains("something else: a. If"), "{}", verdict.note);
        assert_eq!(compare(&with("5 17"), &with("5 17")).failed, 0);
    }

    #[test]
    fn fewer_instructions_pass() {
        let known = counts("rustc 1", &[("a", 1_000)]);
        let verdict = compare(&known, &counts("rustc 1", &[("a", 800)]));
        assert_eq!((verdict.passed, verdict.failed), (1, 0));
        assert!(verdict.note.contains("20 % fewer"), "{}", verdict.note);
        let verdict = compare(&known, &counts("rustc 1", &[("a", 999)]));
        assert!(verdict.note.starts_with("within"), "{}", verdict.note);
    }

    #[test]
    fn another_compiler_says_nothing() {
        let known = counts("rustc 1", &[("a", 1_000)]);
        let verdict = compare(&known, &counts("rustc 2", &[("a", 9_000)]));
        assert_eq!((verdict.passed, verdict.failed), (0, 0));
        assert!(verdict.note.starts_with("inconclusive"), "{}", verdict.note);
    }

    #[test]
    fn loads_that_come_and_go_fail() {
        let known = counts("rustc 1", &[("a", 1_000), ("gone", 1_000)]);
        let verdict = compare(&known, &counts("rustc 1", &[("a", 1_000), ("new", 1_000)]));
        assert_eq!((verdict.passed, verdict.failed), (1, 2));
        assert!(verdict.note.contains("new, gone"), "{}", verdict.note);
        let verdict = compare(&Counts::default(), &counts("rustc 1", &[("a", 1_000)]));
        assert_eq!((verdict.passed, verdict.failed), (0, 1));
    }

    #[test]
    fn valgrind_is_understood() {
        let text = "==7== Events    : Ir\n==7== Collected : 12345678\n==7== \n";
        assert_eq!(collected(text), Some(12_345_678));
        assert_eq!(collected("==7== Events : Ir"), None);
    }
}

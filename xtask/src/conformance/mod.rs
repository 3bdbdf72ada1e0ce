//! `[ui]` `cargo xtask conformance`: Ansible's own integration targets against provision.
//!
//! What is needed from the network is fetched first; then the task runs again in namespaces of its
//! own, where each target has a lab of one fresh host.

pub mod driver;
pub mod list;
pub mod machine;
pub mod reference;
pub mod report;
pub mod source;
pub mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;

use crate::build::{self, BuildArguments};
use crate::error::{Doing, Error};
use crate::lab::directories::Cache;
use crate::lab::rootfs::{self, Variant};
use crate::lab::{isolate, packages};
use crate::{lab, step, workspace};
use driver::{Engine, Outcome};
use reference::{Pace, Recorded, Reference, Standing};
use source::{Source, Target};

/// Arguments of `conformance`.
#[derive(Debug, Clone, Args)]
pub struct ConformanceArguments {
    /// Targets [default: all that the reference engine passes]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Only the targets that are expected to pass and are quick; fails if one doesn't
    #[arg(long, conflicts_with = "targets")]
    expected: bool,
    /// Show the targets and what is known about them, run nothing
    #[arg(long)]
    list: bool,
    /// Run ansible-core itself and record its numbers (targets without numbers, or those named)
    #[arg(long, conflicts_with_all = ["expected", "accept"])]
    record: bool,
    /// Write the targets that pass now into the list of those that must
    #[arg(long)]
    accept: bool,
    /// Hosts at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The `ansible-playbook` of --record [default: one that is installed into the cache]
    #[arg(long, value_name = "FILE")]
    ansible_playbook: Option<PathBuf>,
    /// The `provision` to test [default: build it]
    #[arg(long, value_name = "FILE")]
    provision: Option<PathBuf>,
}

/// Runs the task.
///
/// # Errors
/// Something that is needed isn't there, or the lab fails.
pub fn run(arguments: ConformanceArguments) -> Result<ExitCode, Error> {
    let source = source::ensure()?;
    let reference = Reference::read()?;
    let usable = source.usable()?;
    if arguments.list {
        list(&usable, &reference)?;
        return Ok(ExitCode::SUCCESS);
    }
    let engine = engine(&arguments)?;
    if !isolate::is_inside() {
        return again_inside(&arguments, &engine);
    }
    let chosen = choose(&arguments, usable, &reference)?;
    if arguments.record {
        return record(&arguments, &engine, &source, &chosen);
    }
    let outcomes = Mutex::new(Vec::new());
    let start = Instant::now();
    let logs = step::log("conformance").with_extension("");
    for_each(&arguments, &engine, &source, &chosen, &logs, |target, outcome| {
        if let Some(recorded) = reference.targets.get(&target.name) {
            println!("{}", report::line(&target.name, recorded, &outcome));
            let passed = recorded.is_passed_by(&outcome);
            lock(&outcomes).push((target.name.clone(), passed, outcome));
        }
        Ok(())
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_default();
    conclude(&arguments, &reference, &outcomes, start)
}

fn conclude(
    arguments: &ConformanceArguments,
    reference: &Reference,
    outcomes: &[(String, bool, Outcome)],
    start: Instant,
) -> Result<ExitCode, Error> {
    let mut standing = Standing::read()?;
    let passed = outcomes.iter().filter(|(_, passed, _)| *passed).count();
    let lost: Vec<&str> = outcomes
        .iter()
        .filter(|(name, passed, _)| !passed && standing.passes.contains_key(name))
        .map(|(name, _, _)| name.as_str())
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    println!("{passed} of {} targets pass ({seconds:.0} s)", outcomes.len());
    if arguments.accept {
        for (name, passed, outcome) in outcomes {
            standing.take(name, *passed, outcome);
        }
        standing.write()?;
        report::write_document(reference, &standing)?;
        return Ok(ExitCode::SUCCESS);
    }
    if lost.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("expected to pass, but didn't: {}", lost.join(" "));
    Ok(ExitCode::FAILURE)
}

/// What runs the plays; makes it if it isn't there.
fn engine(arguments: &ConformanceArguments) -> Result<Engine, Error> {
    if arguments.record {
        let program = match &arguments.ansible_playbook {
            Some(program) => program.clone(),
            None => source::ansible_playbook()?,
        };
        return Ok(Engine::Reference(program));
    }
    let program = match &arguments.provision {
        Some(program) => program.clone(),
        None => build::build(BuildArguments::default())?.provision,
    };
    let program = program.canonicalize().doing(|| format!("find {}", program.display()))?;
    Ok(Engine::Provision(program))
}

/// The same task in namespaces of its own, with everything there that it needs.
fn again_inside(arguments: &ConformanceArguments, engine: &Engine) -> Result<ExitCode, Error> {
    packages::install_missing()?;
    let cache = Cache::of_environment();
    rootfs::layers(&cache, Variant::Controller)?;
    lab::artifacts::ensure(&cache)?;
    // Inside there is no network.
    source::reference_environment()?;
    let mut task = vec!["conformance".to_owned(), format!("--jobs={}", arguments.jobs)];
    for (flag, is_set) in [
        ("--expected", arguments.expected),
        ("--record", arguments.record),
        ("--accept", arguments.accept),
    ] {
        if is_set {
            task.push(flag.to_owned());
        }
    }
    match engine {
        Engine::Reference(program) => {
            task.push(format!("--ansible-playbook={}", program.display()))
        }
        Engine::Provision(program) => task.push(format!("--provision={}", program.display())),
    }
    task.extend(arguments.targets.iter().cloned());
    isolate::run(&task)
}

fn choose(
    arguments: &ConformanceArguments,
    usable: Vec<Target>,
    reference: &Reference,
) -> Result<Vec<Target>, Error> {
    let standing = Standing::read()?;
    for name in &arguments.targets {
        if !usable.iter().any(|target| target.name == *name) {
            let action = format!("run the target {name}");
            return Err(Error::refused(
                action,
                "it is neither on the list nor a role without code",
            )
            .with_hint("`cargo xtask conformance --list`"));
        }
    }
    let is_chosen = |target: &Target| {
        let recorded = reference.targets.get(&target.name);
        let is_named = arguments.targets.contains(&target.name);
        match (arguments.record, arguments.expected) {
            (true, _) => is_named || (arguments.targets.is_empty() && recorded.is_none()),
            (false, true) => standing.passes.get(&target.name) == Some(&Pace::Quick),
            (false, false) => {
                let possible = recorded.is_some_and(|recorded| recorded.expected_ok().is_some());
                possible && (is_named || arguments.targets.is_empty())
            }
        }
    };
    Ok(usable.into_iter().filter(is_chosen).collect())
}

fn record(
    arguments: &ConformanceArguments,
    engine: &Engine,
    source: &Source,
    chosen: &[Target],
) -> Result<ExitCode, Error> {
    let writing = Mutex::new(());
    let logs = step::log("conformance-reference").with_extension("");
    for_each(arguments, engine, source, chosen, &logs, |target, outcome| {
        let _one_writes = lock(&writing);
        let recorded = Recorded::of(&outcome);
        println!("{}", report::recorded_line(&target.name, &recorded));
        let mut reference = Reference::read()?;
        reference.targets.insert(target.name.clone(), recorded);
        reference.write()?;
        report::write_document(&reference, &Standing::read()?)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the targets, several at a time, and hands on what came of each.
fn for_each(
    arguments: &ConformanceArguments,
    engine: &Engine,
    source: &Source,
    targets: &[Target],
    logs: &std::path::Path,
    done: impl Fn(&Target, Outcome) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..arguments.jobs.max(1) {
            let (next, failures, done) = (&next, &failures, &done);
            scope.spawn(move || {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = driver::run(engine, source, target, worker, logs);
                    if let Err(error) = outcome.and_then(|outcome| done(target, outcome)) {
                        lock(failures).push(error);
                        return;
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap_or_default().into_iter().next().map_or(Ok(()), Err)
}

/// A worker that panics is a defect of ours; the others' results are still good.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn list(usable: &[Target], reference: &Reference) -> Result<(), Error> {
    let passes = Standing::read()?.passes;
    println!("{:<28} {:>9} PROVISION", "TARGET", "OK TASKS");
    for target in usable {
        let (ok, verdict) = match reference.targets.get(&target.name) {
            None => ("?".to_owned(), "not recorded yet"),
            Some(recorded) => match recorded.expected_ok() {
                None => ("-".to_owned(), "the reference engine fails here"),
                Some(ok) if passes.contains_key(&target.name) => (ok.to_string(), "passes"),
                Some(ok) => (ok.to_string(), ""),
            },
        };
        println!("{:<28} {ok:>9} {verdict}", target.name);
    }
    let workspace = workspace::root().display();
    eprintln!("{} targets; numbers in {workspace}/docs/conformance-reference.json", usable.len());
    Ok(())
}

//! `[ui]` `cargo xtask roles`: well-known public roles, applied twice to fresh lab hosts.
//!
//! Roles are fetched first; then the task runs again in namespaces of its own, where each role has a
//! lab of one fresh host. What can't be fetched is said and doesn't count as passed.

pub mod apply;
pub mod archives;
pub mod catalog;
pub mod fetch;
pub mod record;
pub mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::Args;

use crate::build::{self, BuildArguments};
use crate::conformance::source;
use crate::error::{Doing, Error};
use crate::lab::directories::Cache;
use crate::lab::rootfs::{self, Variant};
use crate::lab::{self, isolate, packages};
use crate::{step, workspace};
use apply::{Engine, Outcome};
use catalog::{Catalog, Entry, Origin};
use fetch::Fetched;
use record::Record;

/// Has the modules of collections that roles use, for ansible-core of the version compared with.
const COLLECTIONS: &str = "ansible==11.13.0";
/// The collections of it that roles in the table need.
const NEEDED_COLLECTIONS: &[&str] = &[
    "ansible/posix",
    "ansible/utils",
    "community/crypto",
    "community/docker",
    "community/general",
    "community/mysql",
    "community/postgresql",
];

/// Arguments of `roles`.
#[derive(Debug, Clone, Args)]
pub struct RolesArguments {
    /// Roles of `xtask/roles.yml` [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// A folder of bare mirrors OWNER+NAME/repo, instead of the public repositories
    /// [default: $CORRAL_ROLES_FROM]
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Show the roles and what is known about them, run nothing
    #[arg(long)]
    list: bool,
    /// Only roles that come from package registries, and only those that passed before
    #[arg(long, conflicts_with = "names")]
    registry: bool,
    /// Run ansible-core itself on equal hosts and record what comes of it
    #[arg(long)]
    record: bool,
    /// Record what comes of the roles, and write docs/public-roles.md
    #[arg(long)]
    accept: bool,
    /// Hosts at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The `provision` to test [default: build it]
    #[arg(long, value_name = "FILE")]
    provision: Option<PathBuf>,
    /// The `ansible-playbook` of --record [default: one that is installed into the cache]
    #[arg(long, value_name = "FILE")]
    ansible_playbook: Option<PathBuf>,
    /// Roles that couldn't be fetched: set by the outer one of the two processes
    #[arg(long, hide = true, default_value_t = 0)]
    not_fetched: usize,
}

/// Runs the task.
///
/// # Errors
/// Something that is needed isn't there, or the lab fails.
pub fn run(arguments: RolesArguments) -> Result<ExitCode, Error> {
    let catalog = Catalog::read()?;
    let record = Record::read()?;
    if arguments.list {
        list(&catalog, &record);
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&arguments, &catalog, &record)?;
    if isolate::is_inside() {
        return inside(&arguments, &catalog, &chosen);
    }
    let (there, missing) = fetch_all(&arguments, &chosen)?;
    if there.is_empty() {
        if arguments.accept {
            report::write_document(&catalog, &record)?;
        }
        println!("0 passed, 0 failed, {} not fetched", missing);
        return Ok(if arguments.registry { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    again_inside(&arguments, &there, missing)
}

fn choose<'a>(
    arguments: &RolesArguments,
    catalog: &'a Catalog,
    record: &Record,
) -> Result<Vec<(&'a str, &'a Entry)>, Error> {
    for name in &arguments.names {
        if !catalog.roles.contains_key(name) {
            return Err(Error::refused(format!("run the role {name}"), "the table has none of it")
                .with_hint("`cargo xtask roles --list`"));
        }
    }
    let is_chosen = |name: &str, entry: &Entry| match arguments.registry {
        true => {
            let known = record.roles.get(name);
            matches!(entry.from, Origin::Python(_))
                && known.is_some_and(|known| known.passes() && known.version == entry.from.words())
        }
        false => arguments.names.is_empty() || arguments.names.iter().any(|named| named == name),
    };
    let entries = catalog.roles.iter().map(|(name, entry)| (name.as_str(), entry));
    Ok(entries.filter(|(name, entry)| is_chosen(name, entry)).collect())
}

/// The names of those that are there, and how many aren't.
fn fetch_all(
    arguments: &RolesArguments,
    chosen: &[(&str, &Entry)],
) -> Result<(Vec<String>, usize), Error> {
    let mut there = Vec::new();
    let mut missing = 0_usize;
    let of_environment = || std::env::var_os(fetch::MIRRORS_VARIABLE).map(PathBuf::from);
    let mirrors = arguments.from.clone().or_else(of_environment);
    for (name, entry) in chosen {
        match fetch::fetch(entry, mirrors.as_deref())? {
            Fetched::There(_) => there.push((*name).to_owned()),
            Fetched::Not(reason) => {
                println!("not fetched: {name} ({}): {reason}", entry.from.words());
                missing += 1;
            }
        }
    }
    Ok((there, missing))
}

/// The same task in namespaces of its own, with everything there that it needs.
fn again_inside(
    arguments: &RolesArguments,
    names: &[String],
    missing: usize,
) -> Result<ExitCode, Error> {
    packages::install_missing()?;
    let cache = Cache::of_environment();
    rootfs::layers(&cache, Variant::Python)?;
    let artifacts = lab::artifacts::ensure(&cache)?;
    archives::make(&cache, &artifacts)?;
    let mut task = vec![
        "roles".to_owned(),
        format!("--jobs={}", arguments.jobs),
        format!("--not-fetched={missing}"),
    ];
    for (flag, is_set) in [("--record", arguments.record), ("--accept", arguments.accept)] {
        if is_set {
            task.push(flag.to_owned());
        }
    }
    match engine(arguments)? {
        Engine::Reference(program, _) => {
            task.push(format!("--ansible-playbook={}", program.display()));
        }
        Engine::Provision(program) => task.push(format!("--provision={}", program.display())),
    }
    task.extend(names.iter().cloned());
    isolate::run(&task)
}

/// What runs the plays; makes it if it isn't there.
fn engine(arguments: &RolesArguments) -> Result<Engine, Error> {
    if arguments.record {
        let program = match &arguments.ansible_playbook {
            Some(program) => program.clone(),
            None => {
                let requirement = format!("ansible-core=={}", source::VERSION);
                let name = format!("ansible-{}", source::VERSION);
                source::virtual_environment(&name, &[&requirement, "passlib"])?
                    .join("bin/ansible-playbook")
            }
        };
        return Ok(Engine::Reference(program, collections()?));
    }
    let program = match &arguments.provision {
        Some(program) => program.clone(),
        None => build::build(BuildArguments::default())?.provision,
    };
    let program = program.canonicalize().doing(|| format!("find {}", program.display()))?;
    Ok(Engine::Provision(program))
}

/// A folder with the collections that the reference engine needs.
fn collections() -> Result<PathBuf, Error> {
    let folder = workspace::cache().join("public-roles/collections").join(COLLECTIONS);
    for collection in NEEDED_COLLECTIONS {
        let name = format!("ansible_collections/{collection}");
        let target = folder.join(&name);
        if !target.is_dir() {
            fetch::unpack_wheel(&fetch::download(COLLECTIONS)?, &name, &target)?;
        }
    }
    Ok(folder)
}

fn inside(
    arguments: &RolesArguments,
    catalog: &Catalog,
    chosen: &[(&str, &Entry)],
) -> Result<ExitCode, Error> {
    let engine = engine(arguments)?;
    let logs = step::log(if arguments.record { "roles-reference" } else { "roles" });
    let logs = logs.with_extension("");
    let before = Record::read()?;
    let passed = AtomicUsize::new(0);
    let lost = Mutex::new(Vec::new());
    let writing = Mutex::new(());
    for_each(arguments.jobs, &engine, chosen, &logs, |name, entry, outcome| {
        let _one_writes = lock(&writing);
        println!("{}", report::line(name, &outcome));
        if outcome.is_passed() {
            passed.fetch_add(1, Ordering::Relaxed);
        } else if before.roles.get(name).is_some_and(record::Known::passes) {
            lock(&lost).push(name.to_owned());
        }
        if !(arguments.record || arguments.accept) {
            return Ok(());
        }
        let mut record = Record::read()?;
        let known = record.known(name, &entry.from.words());
        match engine {
            Engine::Reference(..) => known.reference = Some(outcome),
            Engine::Provision(_) => known.provision = Some(outcome),
        }
        record.write()?;
        report::write_document(catalog, &record)
    })?;
    let passed = passed.into_inner();
    let failed = chosen.len().saturating_sub(passed);
    let lost = lost.into_inner().unwrap_or_default();
    if !(lost.is_empty() || arguments.record) {
        println!("passed before, but not now: {}", lost.join(" "));
    }
    println!("{passed} passed, {failed} failed, {} not fetched", arguments.not_fetched);
    let is_good = lost.is_empty() || arguments.record || arguments.accept;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Applies the roles, several at a time, and hands on what came of each.
fn for_each(
    jobs: usize,
    engine: &Engine,
    chosen: &[(&str, &Entry)],
    logs: &Path,
    done: impl Fn(&str, &Entry, Outcome) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..jobs.max(1) {
            let (next, failures, done) = (&next, &failures, &done);
            scope.spawn(move || {
                while let Some((name, entry)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = apply::run(engine, name, entry, worker, logs);
                    if let Err(error) = outcome.and_then(|outcome| done(name, entry, outcome)) {
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
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn list(catalog: &Catalog, record: &Record) {
    println!("{:<18} {:<12} {:<14} FROM", "ROLE", "PROVISION", "ANSIBLE-CORE");
    for (name, entry) in &catalog.roles {
        let known = record.roles.get(name).filter(|known| known.version == entry.from.words());
        let verdict = |outcome: Option<&Outcome>| match outcome {
            None => "not tried",
            Some(outcome) if outcome.is_passed() => "passes",
            Some(_) => "fails",
        };
        println!(
            "{name:<18} {:<12} {:<14} {}",
            verdict(known.and_then(|known| known.provision.as_ref())),
            verdict(known.and_then(|known| known.reference.as_ref())),
            entry.from.words()
        );
    }
}

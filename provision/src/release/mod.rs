//! `provision status`, `upgrade`, `rollback`, `add`, `remove`, `resume` and `apply --plan`.

mod change;
mod from_consul;
mod members;
mod resume;
pub mod screen;
mod several;
mod status;
pub mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use provision_engine::discovery::Discovery;
use provision_engine::event::Event;
use provision_engine::keyring::Keyring;
use provision_engine::load::LoadRequest;
use provision_engine::release::{PrepareFailure, Prepared, Releases, prepare};
use provision_engine::report::Sink;
use provision_engine::world::Settings;
use provision_playbook::Dialect;
use tokio::sync::mpsc;

use crate::apply;
use crate::arguments::{
    Add, Apply, Care, OfReleases, Output, Reach, Reconfigure, Remove, Resume, Rollback, Status,
    Upgrade,
};
use crate::exit::Exit;
use crate::paint;
use crate::passwords;
use crate::printer::{Printer, Verbosity};

/// Shows releases, roles and health.
pub async fn status(arguments: Status) -> Exit {
    paint::choose(arguments.of.color);
    status::status(&arguments).await
}

/// To another release.
pub async fn upgrade(arguments: Upgrade) -> Exit {
    paint::choose(arguments.of.color);
    change::upgrade(&arguments).await
}

/// Back to an earlier one.
pub async fn rollback(arguments: Rollback) -> Exit {
    paint::choose(arguments.of.color);
    change::rollback(&arguments).await
}

/// The configuration as it is written now.
pub async fn reconfigure(arguments: Reconfigure) -> Exit {
    paint::choose(arguments.of.color);
    change::reconfigure(&arguments).await
}

/// Hosts join.
pub async fn add(arguments: Add) -> Exit {
    paint::choose(arguments.of.color);
    change::add(&arguments).await
}

/// Members leave.
pub async fn remove(arguments: Remove) -> Exit {
    paint::choose(arguments.of.color);
    change::remove(&arguments).await
}

/// On with what was not ended.
pub async fn resume(arguments: Resume) -> Exit {
    paint::choose(arguments.of.color);
    resume::resume(&arguments).await
}

/// Runs a saved plan.
pub async fn run_plan(plan: &Path, arguments: &Apply) -> Exit {
    paint::choose(arguments.color);
    change::saved(plan, of_apply(arguments, PathBuf::from("playbooks"))).await
}

/// Restarts the members that roles of `apply` left to the planner, one component after another.
pub async fn restart_due(arguments: &Apply, folder: &Path, components: Vec<String>) -> Exit {
    for component in several::sorted(components, folder) {
        let of = of_apply(arguments, folder.to_owned());
        let care = Care {
            hosts: of.reach.limit.clone(),
            plan_out: None,
            yes: true,
            canary: None,
            pause_after: None,
            max_unavailable: 1,
            accept_outage: false,
            drain: false,
        };
        let exit = change::restart_due(&Reconfigure { component, care, of }).await;
        if exit != Exit::Done {
            return exit;
        }
    }
    Exit::Done
}

fn of_apply(arguments: &Apply, playbooks: PathBuf) -> OfReleases {
    OfReleases {
        reach: arguments.reach.clone(),
        playbooks,
        ask_become_pass: arguments.ask_become_pass,
        lock_wait: arguments.lock_wait,
        output: arguments.output,
        color: arguments.color,
        verbose: arguments.verbose,
        passwords: arguments.passwords.clone(),
    }
}

/// Absolute where it is a file: a run may be resumed from another folder.
fn absolute(source: &str) -> String {
    match std::path::absolute(source) {
        Ok(path) if path.exists() => path.display().to_string(),
        _ => source.to_owned(),
    }
}

/// Reads everything; tells what is wrong.
fn prepared(
    of: &OfReleases,
    components: &[String],
    discovery: Arc<Discovery>,
) -> Result<Prepared, Exit> {
    let reach = &of.reach;
    if reach.inventory.is_empty() {
        return Err(apply::no_inventory());
    }
    if let Some(source) = apply::missing_inventory(&reach.inventory) {
        paint::error(&format!("inventory {source} does not exist"), Some(apply::LIST_HINT));
        return Err(Exit::InvalidInput);
    }
    if reach.extra_vars.iter().any(|text| text.contains("releases")) {
        let hint = "the wanted version stands in the inventory, and upgrade rewrites it there";
        paint::error("-e can't set `releases` here", Some(hint));
        return Err(Exit::Usage);
    }
    if !of.playbooks.join("roles").is_dir() {
        let message = format!("{} has no roles/", of.playbooks.display());
        paint::error(&message, Some("name the folder: --playbooks FOLDER"));
        return Err(Exit::InvalidInput);
    }
    let keyring = match passwords::vault(&of.passwords) {
        Ok(vault) => Arc::new(Keyring::new(vault)),
        Err(failure) => return Err(failure.show()),
    };
    let request = LoadRequest {
        keyring,
        discovery,
        inventories: reach.inventory.clone(),
        extra_variables: reach.extra_vars.clone(),
        settings: Settings {
            forks: reach.connections(),
            playbook_folder: std::path::absolute(&of.playbooks).unwrap_or(of.playbooks.clone()),
            inventory_sources: reach.inventory.iter().map(PathBuf::from).collect(),
            ..Settings::default()
        },
        ..LoadRequest::new(Dialect::Classic)
    };
    prepare(&request, &of.playbooks, components).map_err(|failure| match failure {
        PrepareFailure::Invalid(failure) => apply::refuse(&failure),
        PrepareFailure::Unknown { name, known } => {
            let closest = diagnostics::closest(&name, known.iter().map(String::as_str));
            let hint = match closest {
                Some(closest) => format!("did you mean {closest}?"),
                None => format!("there are {}", known.join(", ")),
            };
            let message = format!("{} has no component {name}", of.playbooks.display());
            paint::error(&message, Some(&hint));
            Exit::InvalidInput
        }
    })
}

/// Begins a run over what was prepared. `stop` is set by the first Ctrl-C, the second ends it at
/// once.
fn begin(
    of: &OfReleases,
    prepared: Prepared,
    changes: bool,
    stop: &Arc<AtomicBool>,
) -> Result<Releases, Exit> {
    let options = apply::options(&of.reach, of.ask_become_pass, of.lock_wait, changes)?;
    let (interrupt, interrupts) = mpsc::unbounded_channel();
    let stop = stop.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if !changes || stop.swap(true, Ordering::Relaxed) {
                if interrupt.send(()).is_err() {
                    return;
                }
            } else {
                tell!("\nfinishing the running step; press Ctrl-C again to stop at once");
            }
        }
    });
    Ok(Releases::begin(prepared, options, sink(of), interrupts))
}

/// Tasks are shown on request only; warnings always.
fn sink(of: &OfReleases) -> Box<dyn Sink> {
    match (of.verbose, of.output) {
        (0, _) | (_, Output::Ndjson) => Box::new(Warnings),
        (level, Output::Human) => {
            Box::new(Printer::new(Verbosity { level: level - 1, quiet: false, diff: false }))
        }
    }
}

/// Shows warnings and nothing else.
struct Warnings;

impl Sink for Warnings {
    fn event(&mut self, event: &Event) {
        if let Event::Warning { host, message } = event {
            paint::warning(host.as_deref(), message);
        }
    }
}

/// The reach of a stored run: its inventories, and what this command line says about connections.
fn with_inventories(reach: &Reach, inventories: &[String]) -> Reach {
    let inventory = match reach.inventory.is_empty() {
        true => inventories.to_vec(),
        false => reach.inventory.clone(),
    };
    Reach { inventory, ..reach.clone() }
}

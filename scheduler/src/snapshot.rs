//! `scheduler snapshot`: all records in one file.

use std::path::Path;
use std::time::{Duration, Instant};

use scheduler_core::State;
use scheduler_core::command::{Key, Record};
use scheduler_store::cluster::{Candidate, ConsulStore, Keys, Office, Step, Terms};
use scheduler_store::{FileStore, Store, StoreError, key_of, snapshot};

use crate::arguments::SnapshotCommand;
use crate::client::http::{Client, Trouble};
use crate::exit::Exit;
use crate::folder::{Home, Place};
use crate::serve::ReachConsul;
use crate::{paint, serve};

/// How long an office that nobody has may be withheld: the delay after a leader that died is a second.
const OFFICE_WAIT: Duration = Duration::from_secs(5);

/// `scheduler snapshot`.
pub fn snapshot(command: &SnapshotCommand) -> Exit {
    let done = match command {
        SnapshotCommand::Save { file, place } => save(file, place),
        SnapshotCommand::Restore { file, yes, home, reach } => match reach.consul.is_empty() {
            true => restore(file, *yes, home),
            false => restore_in_consul(file, *yes, reach),
        },
    };
    done.unwrap_or_else(|trouble| trouble.tell())
}

fn failed(exit: Exit, message: impl Into<String>) -> Trouble {
    Trouble { exit, message: message.into(), hint: None }
}

fn unusable(error: &StoreError) -> Trouble {
    failed(Exit::Environment, error.chain())
}

fn save(file: &Path, place: &Place) -> Result<Exit, Trouble> {
    let text = Client::open(place)?.text("/v1/snapshot")?;
    let record = |line: &str| -> Option<(Key, Record)> {
        let (name, json) = line.split_once(' ')?;
        Some((key_of(name)?, serde_json::from_str(json).ok()?))
    };
    let records: Option<Vec<(Key, Record)>> = text.lines().map(record).collect();
    let wrong = || failed(Exit::Environment, "the scheduler says what this program doesn't know");
    let records = records.ok_or_else(wrong)?;
    snapshot::write(file, &records).map_err(|error| match error {
        StoreError::Snapshot(durable::LogError::Io { path, source }) => {
            failed(Exit::Environment, format!("failed to write {}: {source}", path.display()))
        }
        other => unusable(&other),
    })?;
    say!("{} records in {}", records.len(), file.display());
    Ok(Exit::Done)
}

/// The records of a snapshot, if a scheduler could go on with them.
fn usable(file: &Path) -> Result<Vec<(Key, Record)>, Trouble> {
    if !file.exists() {
        return Err(failed(Exit::Environment, format!("there is no {}", file.display())));
    }
    let invalid = |why: String| failed(Exit::InvalidInput, format!("{}: {why}", file.display()));
    let records = snapshot::read(file).map_err(|error| invalid(error.chain()))?;
    if !serve::has_cluster(&records) {
        return Err(invalid("it has no record of the cluster: it isn't whole".to_owned()));
    }
    let policy = policy::config::Policy::recommended();
    State::restore(policy, records.clone()).map_err(|error| invalid(error.to_string()))?;
    Ok(records)
}

fn restore(file: &Path, yes: bool, home: &Home) -> Result<Exit, Trouble> {
    let records = usable(file)?;
    let folder = home.folder().map_err(|message| failed(Exit::Environment, message))?;
    crate::folder::make_private(&folder)
        .map_err(|(message, hint)| Trouble { hint, ..failed(Exit::Environment, message) })?;
    let store = FileStore::open(&folder.join("store.redb")).map_err(|error| {
        let hint =
            matches!(error, StoreError::InUse { .. }).then(|| "end the daemon first".to_owned());
        Trouble { hint, ..unusable(&error) }
    })?;
    replace(&mut Store::File(store), records, yes, &folder.display().to_string())?;
    paint::warning(
        "what ran since the snapshot was made is unknown, and ends when the daemon starts",
    );
    Ok(Exit::Done)
}

/// In Consul whoever has the office may write, so it is taken for that, and given back.
fn restore_in_consul(file: &Path, yes: bool, reach: &ReachConsul) -> Result<Exit, Trouble> {
    let records = usable(file)?;
    let environment = |message: String| failed(Exit::Environment, message);
    let Some(client) = reach.client().map_err(environment)? else {
        return Err(environment("there is no address of Consul".to_owned()));
    };
    let keys = Keys::below(&reach.consul_prefix)
        .map_err(|error| failed(Exit::Usage, error.to_string()))?;
    let place = format!("Consul below {}", keys.prefix());
    let terms = Terms { keys, name: "snapshot restore".to_owned(), address: String::new() };
    let mut office = taken(Candidate::new(client, terms))?;
    // If it can't be kept, the store refuses what is written.
    office.keep(|_| {}).map_err(|error| environment(error.to_string()))?;
    let mut store = Store::Consul(Box::new(ConsulStore::new(&office)));
    let done = store
        .claim()
        .map_err(|error| unusable(&error))
        .and_then(|_| replace(&mut store, records, yes, &place));
    let resigned = office.resign();
    done?;
    if let Err(error) = resigned {
        paint::warning(&format!("the next scheduler has to wait: failed to {error}"));
    }
    paint::warning("what ran since the snapshot was made is unknown, and ends when one leads");
    Ok(Exit::Done)
}

/// The office, if nobody has it.
fn taken(mut candidate: Candidate) -> Result<Office, Trouble> {
    let begun = Instant::now();
    while begun.elapsed() < OFFICE_WAIT {
        match candidate.step(Duration::ZERO) {
            Ok(Step::Leads(office)) => return Ok(office),
            Ok(Step::Follows(Some(seen))) => {
                let message = format!("{} leads at {}", seen.name, seen.address);
                let hint = "end all schedulers first: what they know would be written over it";
                let hint = Some(hint.to_owned());
                return Err(Trouble { hint, ..failed(Exit::Refused, message) });
            }
            // A former leader's delay runs.
            Ok(Step::Follows(None)) => {}
            Err(error) => {
                let hint = error.hint();
                let message = format!("failed to {error}");
                return Err(Trouble { hint, ..failed(Exit::Environment, message) });
            }
        }
    }
    Err(failed(Exit::Environment, "Consul gives the office to nobody; try again"))
}

fn replace(
    store: &mut Store,
    mut records: Vec<(Key, Record)>,
    yes: bool,
    place: &str,
) -> Result<(), Trouble> {
    let before = store.load().map_err(|error| unusable(&error))?.records;
    if !before.is_empty() && !yes {
        let message = format!("{} records are in {place}", before.len());
        let hint = Some("say `--yes` if they can go".to_owned());
        return Err(Trouble { hint, ..failed(Exit::Refused, message) });
    }
    count_on(&mut records, &before);
    store.replace(&records).map_err(|error| unusable(&error))?;
    say!("{} records put back, {} were there before", records.len(), before.len());
    Ok(())
}

/// Numbers of instances that were used since are never used again.
fn count_on(records: &mut [(Key, Record)], before: &[(Key, Record)]) {
    let made = before.iter().filter_map(|(_, record)| match record {
        Record::Cluster(cluster) => Some(cluster.instances_made),
        _ => None,
    });
    let made = made.max().unwrap_or(0);
    for (_, record) in records {
        if let Record::Cluster(cluster) = record {
            cluster.instances_made = cluster.instances_made.max(made);
        }
    }
}

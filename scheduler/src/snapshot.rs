//! `scheduler snapshot`: all records in one file.

use std::path::Path;

use scheduler_core::State;
use scheduler_core::command::{Key, Record};
use scheduler_store::{FileStore, Store, StoreError, key_of, snapshot};

use crate::arguments::SnapshotCommand;
use crate::client::http::{Client, Trouble};
use crate::exit::Exit;
use crate::folder::{Home, Place};
use crate::{paint, serve};

/// `scheduler snapshot`.
pub fn snapshot(command: &SnapshotCommand) -> Exit {
    let done = match command {
        SnapshotCommand::Save { file, place } => save(file, place),
        SnapshotCommand::Restore { file, yes, home } => restore(file, *yes, home),
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
    snapshot::write(file, &records).map_err(|error| unusable(&error))?;
    say!("{} records in {}", records.len(), file.display());
    Ok(Exit::Done)
}

fn restore(file: &Path, yes: bool, home: &Home) -> Result<Exit, Trouble> {
    if !file.exists() {
        return Err(failed(Exit::Environment, format!("there is no {}", file.display())));
    }
    let invalid = |why: String| failed(Exit::InvalidInput, format!("{}: {why}", file.display()));
    let mut records = snapshot::read(file).map_err(|error| invalid(error.chain()))?;
    if !serve::has_cluster(&records) {
        return Err(invalid("it has no record of the cluster: it isn't whole".to_owned()));
    }
    let policy = policy::config::Policy::recommended();
    State::restore(policy, records.clone()).map_err(|error| invalid(error.to_string()))?;
    let folder = home.folder().map_err(|message| failed(Exit::Environment, message))?;
    crate::folder::make_private(&folder)
        .map_err(|(message, hint)| Trouble { hint, ..failed(Exit::Environment, message) })?;
    let store = FileStore::open(&folder.join("store.redb")).map_err(|error| {
        let hint =
            matches!(error, StoreError::InUse { .. }).then(|| "end the daemon first".to_owned());
        Trouble { hint, ..unusable(&error) }
    })?;
    let mut store = Store::File(store);
    let before = store.load().map_err(|error| unusable(&error))?.records;
    if !before.is_empty() && !yes {
        let message = format!("{} records are in {}", before.len(), folder.display());
        let hint = Some("say `--yes` if they can go".to_owned());
        return Err(Trouble { hint, ..failed(Exit::Refused, message) });
    }
    count_on(&mut records, &before);
    store.replace(&records).map_err(|error| unusable(&error))?;
    say!("{} records put back, {} were there before", records.len(), before.len());
    paint::warning(
        "what ran since the snapshot was made is unknown, and ends when the daemon starts",
    );
    Ok(Exit::Done)
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

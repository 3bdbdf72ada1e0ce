//! Records in one file of this machine: a redb database. Only one process can have it open. A commit
//! is one transaction with one sync of the file, however many records it changes. After an error of
//! the disk redb refuses everything until its file is opened again, so a failed commit does that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::Epoch;

use crate::{Contents, StoreError, key_of, name_of};

/// Pages that are kept in memory, in bytes: the records are in the state already, and are read once.
const CACHE_BYTES: usize = 4 << 20;

/// What the file says of itself.
pub(crate) const FORMAT: &str = "corral scheduler store 1";

const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");

/// Records in a file.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// Absent after an error, until it can be opened again.
    database: Option<Database>,
}

impl FileStore {
    /// Opens a file, or makes it with its folder.
    ///
    /// # Errors
    /// When another process has it, it is of another format, or can't be used.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let store = FileStore { path: path.to_owned(), database: Some(open(path)?) };
        store.check_format()?;
        Ok(store)
    }

    fn database(&self) -> Result<&Database, StoreError> {
        let away = || redb::Error::Io(std::io::ErrorKind::NotConnected.into());
        self.database.as_ref().ok_or_else(|| self.failed(away()))
    }

    /// Opens the file again after an error of the disk. The term in it says whether another process
    /// had it meanwhile.
    fn open_again(&mut self) -> Result<(), StoreError> {
        // The old one has to let it go first.
        self.database = None;
        self.database = Some(open(&self.path)?);
        self.check_format()
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        failed(&self.path, error)
    }

    /// A new file gets its format; an old one must have it.
    fn check_format(&self) -> Result<(), StoreError> {
        let read = self.database()?.begin_read().map_err(|error| self.failed(error))?;
        let is_empty = read.list_tables().map_err(|error| self.failed(error))?.next().is_none();
        if is_empty {
            return self.change(|transaction| {
                transaction.open_table(RECORDS)?;
                transaction.open_table(ABOUT)?.insert("format", FORMAT)?;
                Ok(())
            });
        }
        let found = match read.open_table(ABOUT) {
            Ok(table) => {
                let value = table.get("format").map_err(|error| self.failed(error))?;
                value.map(|value| value.value().to_owned()).unwrap_or_default()
            }
            Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => {
                "unknown".to_owned()
            }
            Err(error) => return Err(self.failed(error)),
        };
        if found == FORMAT {
            return Ok(());
        }
        Err(StoreError::Format { path: self.path.clone(), found })
    }

    /// One transaction.
    fn change<T>(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.database()?;
        let attempt = || {
            // Durable when it returns, which is the default; an error drops the transaction.
            let transaction = database.begin_write()?;
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        attempt().map_err(|error: redb::Error| self.failed(error))
    }

    pub(crate) fn claim(&mut self) -> Result<Epoch, StoreError> {
        self.change(|transaction| {
            let mut about = transaction.open_table(ABOUT)?;
            let next = epoch_in(&about)?.0.saturating_add(1);
            about.insert("epoch", next.to_string().as_str())?;
            Ok(Epoch(next))
        })
    }

    pub(crate) fn load(&self) -> Result<Contents, StoreError> {
        let read = self.database()?.begin_read().map_err(|error| self.failed(error))?;
        let about = read.open_table(ABOUT).map_err(|error| self.failed(error))?;
        let epoch = epoch_in(&about).map_err(|error| self.failed(error))?;
        let table = read.open_table(RECORDS).map_err(|error| self.failed(error))?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(|error| self.failed(error))? {
            let (name, value) = entry.map_err(|error| self.failed(error))?;
            records.push(decoded(name.value(), value.value())?);
        }
        Ok(Contents { epoch, records, notes: BTreeMap::new() })
    }

    pub(crate) fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if self.database.is_none() {
            self.open_again()?;
        }
        let outcome = self.try_commit(writes);
        if let Err(StoreError::Database { .. }) = outcome {
            // If it can't be opened now, it is tried before the next commit.
            let _ = self.open_again();
        }
        outcome
    }

    fn try_commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        // A record at a time: of 100,000 the texts are not in memory together.
        let changes = || writes.iter().flat_map(|write| &write.changes);
        let mut refused = None;
        let outcome = self.change(|transaction| {
            let current = epoch_in(&transaction.open_table(ABOUT)?)?;
            if let Some(late) = writes.iter().find(|write| write.epoch != current) {
                refused = Some(StoreError::fenced(late.epoch, current));
                return Err(none_of_it());
            }
            let mut table = transaction.open_table(RECORDS)?;
            for (key, record) in changes() {
                let name = name_of(key);
                let Some(record) = record else {
                    table.remove(name.as_str())?;
                    continue;
                };
                let value = encoded(&name, record).map_err(|error| {
                    refused = Some(error);
                    none_of_it()
                })?;
                table.insert(name.as_str(), value.as_slice())?;
            }
            Ok(())
        });
        refused.map_or(outcome, Err)
    }

    pub(crate) fn replace(&mut self, records: &[(Key, Record)]) -> Result<(), StoreError> {
        let encoded = records.iter().map(|(key, record)| {
            let name = name_of(key);
            encoded(&name, record).map(|value| (name, value))
        });
        let encoded: Vec<(String, Vec<u8>)> = encoded.collect::<Result<_, StoreError>>()?;
        self.change(|transaction| {
            transaction.delete_table(RECORDS)?;
            let mut table = transaction.open_table(RECORDS)?;
            for (name, value) in &encoded {
                table.insert(name.as_str(), value.as_slice())?;
            }
            Ok(())
        })
    }
}

/// Drops a transaction that is refused for another reason than the disk.
fn none_of_it() -> redb::Error {
    redb::Error::Io(std::io::ErrorKind::InvalidInput.into())
}

fn open(path: &Path) -> Result<Database, StoreError> {
    Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.to_owned() },
        DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
            StoreError::Format { path: path.to_owned(), found: what }
        }
        DatabaseError::UpgradeRequired(version) => StoreError::Format {
            path: path.to_owned(),
            found: format!("redb file format {version}"),
        },
        other => failed(path, other),
    })
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database { path: path.to_owned(), source: Box::new(error.into()) }
}

/// The newest term; 0 if there was none.
fn epoch_in(about: &impl ReadableTable<&'static str, &'static str>) -> Result<Epoch, redb::Error> {
    let Some(value) = about.get("epoch")? else { return Ok(Epoch(0)) };
    let number = value.value().parse().map_err(|_| {
        redb::Error::Corrupted(format!("the term `{}` is no number", value.value()))
    })?;
    Ok(Epoch(number))
}

pub(crate) fn encoded(name: &str, record: &Record) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record)
        .map_err(|source| StoreError::Unwritable { name: name.to_owned(), source })
}

pub(crate) fn decoded(name: &str, value: &[u8]) -> Result<(Key, Record), StoreError> {
    let wrong = |source| StoreError::Record { name: name.to_owned(), source };
    let key = key_of(name).ok_or_else(|| wrong(None))?;
    let record = serde_json::from_slice(value).map_err(|source| wrong(Some(source)))?;
    Ok((key, record))
}

#[cfg(test)]
mod tests {
    use scheduler_core::ids::WriteNumber;

    use super::*;

    fn empty(number: u64, epoch: Epoch) -> Write {
        Write { number: WriteNumber(number), epoch, changes: Vec::new() }
    }

    /// As after an error of the disk.
    #[test]
    fn a_file_that_was_lost_is_opened_again_and_another_leader_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let mut store = FileStore::open(&path).unwrap();
        let epoch = store.claim().unwrap();
        store.database = None;
        assert!(matches!(store.load(), Err(StoreError::Database { .. })));
        store.commit(&[empty(1, epoch)]).unwrap();
        assert_eq!(store.load().unwrap().epoch, epoch);

        store.database = None;
        let mut other = FileStore::open(&path).unwrap();
        assert!(matches!(store.commit(&[empty(2, epoch)]), Err(StoreError::InUse { .. })));
        other.claim().unwrap();
        drop(other);
        let late = store.commit(&[empty(3, epoch)]);
        assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    }
}

//! The records of a leader in Consul: a log of batches, on top of a base with all records, which is
//! written anew from time to time, a part after each batch.
//!
//! A batch is one transaction with one change of the head, so it is there or it isn't. If nobody
//! answers, it may be either; the head says which before the next one, by a mark that no two attempts
//! share.
//!
//! The records are nowhere in memory a second time: a base is made of the state of whoever writes them
//! ([`Source`]), a page at a time. That state may be ahead of the log by what is on its way here, so the
//! base becomes valid only when the write is durable that has the last of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consul::change::{self, Change, Operation, Outcome};
use consul::{Answer, KvPair, Subject};
use consul_client::Client;
use scheduler_core::command::{Key, Record, Write};
use scheduler_core::ids::{Epoch, WriteNumber};

use super::layout::{Base, DELETED_MOST, Entry, FORMAT, FORMAT_WITHOUT_NOTES, Fence, Head, Keys};
use super::office::Office;
use super::pack::{Changed, Label, Packed, Packer, read_entry, unpack};
use crate::file::{decoded, encoded};
use crate::note::PREFIX as NOTES;
use crate::{Contents, Note, StoreError, name_of};

/// Notes of answers to requests: a snapshot that is put back takes them away.
const ANSWERS: &str = "note/key/";

/// How long a transaction may take. The lease may be over before; then nothing more is sent.
const TIMEOUT: Duration = Duration::from_secs(5);

/// When a new base is begun, and how large its entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the log, packed, beyond which a new base is begun, if it is also larger than the
    /// base.
    pub log_most_bytes: u64,
    /// Entries of the log beyond which a new base is begun: each is a key that a new leader reads.
    pub log_most_entries: usize,
    /// Records of an entry of a base, at most so many.
    pub base_entry_records: usize,
    /// The same in bytes before they are packed.
    pub base_entry_bytes: usize,
}

impl Default for Limits {
    /// A new leader reads a few megabytes at most beyond the base; an entry is a few milliseconds of
    /// work.
    fn default() -> Self {
        Limits {
            log_most_bytes: 1 << 20,
            log_most_entries: 1_000,
            base_entry_records: 1_000,
            base_entry_bytes: 1 << 20,
        }
    }
}

/// Whoever has all records: what it has written, and what it will write.
pub trait Source: fmt::Debug + Send + Sync {
    /// The records after a name in the order of names, at most so many, and the number of the write
    /// that makes durable whatever of all records isn't yet.
    fn records_after(&self, after: Option<&Key>, most: usize) -> (Vec<(Key, Record)>, WriteNumber);
}

/// How often a refused transaction is tried again, when what refused it was an attempt of our own.
const ATTEMPTS: u32 = 3;

/// Records in Consul.
#[derive(Debug)]
pub struct ConsulStore {
    limits: Limits,
    client: Arc<Client>,
    keys: Keys,
    fence: Fence,
    head: Head,
    /// Its own term; 0 before it has claimed one.
    epoch: u64,
    /// What was found at the beginning of the term, until it is loaded or not so any more.
    found: Option<BTreeMap<Key, Record>>,
    /// Notes as they are stored: nobody else has them.
    notes: BTreeMap<String, Vec<u8>>,
    /// What bases are made of; without it none is made but by `replace`.
    source: Option<Arc<dyn Source>>,
    /// The newest write of this term that is durable.
    durable: WriteNumber,
    /// Entries of the log: numbers, and where their parts are.
    log: VecDeque<(u64, Option<String>)>,
    log_bytes: u64,
    base_bytes: u64,
    /// Names given in this term.
    names: u64,
    /// Attempts that nobody has answered.
    doubts: Vec<Attempt>,
    /// Keys that nothing needs any more.
    garbage: VecDeque<Operation>,
    new_base: Option<NewBase>,
}

/// A change of the head.
#[derive(Debug)]
struct Attempt {
    head: Head,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    Claimed,
    Appended { write: Option<WriteNumber>, notes: Vec<Note>, bytes: u64, parts_at: Option<String> },
    Based { bytes: u64 },
}

/// A base that is being written: records that change meanwhile are in the log, too, which comes on
/// top of it.
#[derive(Debug)]
struct NewBase {
    name: String,
    after: u64,
    entries: u32,
    bytes: u64,
    has_notes: bool,
    /// The last record that it has.
    last: Option<Key>,
    has_all: bool,
    /// The write that has the last of what is in it.
    needs: WriteNumber,
}

/// All that is stored.
#[derive(Default)]
struct Found {
    records: BTreeMap<Key, Record>,
    notes: BTreeMap<String, Vec<u8>>,
    log: VecDeque<(u64, Option<String>)>,
    log_bytes: u64,
    base_bytes: u64,
}

impl Found {
    /// The newest that is known of a record or note; nothing is kept of what is gone.
    fn keep(&mut self, (name, value): Changed) -> Result<(), StoreError> {
        let Some(value) = value else { return Ok(()) };
        if name.starts_with(NOTES) {
            self.notes.insert(name, value);
        } else {
            let (key, record) = decoded(&name, &value)?;
            self.records.insert(key, record);
        }
        Ok(())
    }
}

impl ConsulStore {
    /// The records of whoever holds this office.
    #[must_use]
    pub fn new(office: &Office) -> Self {
        ConsulStore::with_limits(office, Limits::default())
    }

    /// The same, with other limits.
    #[must_use]
    pub fn with_limits(office: &Office, limits: Limits) -> Self {
        ConsulStore {
            limits,
            client: Arc::clone(office.client()),
            keys: office.keys().clone(),
            fence: Fence { session: office.session().to_owned(), head_index: 0 },
            head: Head::first(),
            epoch: 0,
            found: None,
            notes: BTreeMap::new(),
            source: None,
            durable: WriteNumber(0),
            log: VecDeque::new(),
            log_bytes: 0,
            base_bytes: 0,
            names: 0,
            doubts: Vec::new(),
            garbage: VecDeque::new(),
            new_base: None,
        }
    }

    /// Bases are made of what this has, from now on.
    pub(crate) fn read_from(&mut self, source: Arc<dyn Source>) {
        self.source = Some(source);
    }

    pub(crate) fn claim(&mut self) -> Result<Epoch, StoreError> {
        let (head, index) = self.read_head()?;
        self.fence.head_index = index;
        self.epoch = head.epoch.saturating_add(1);
        self.names = 0;
        let (mark, format) = (self.name(), FORMAT.to_owned());
        let head = Head { epoch: self.epoch, mark, format, ..head };
        self.doubts.clear();
        self.new_base = None;
        self.durable = WriteNumber(0);
        self.change_head(Attempt { head, effect: Effect::Claimed }, Vec::new())?;
        // From here on nobody else changes anything.
        let found = self.read(&self.head)?;
        self.garbage = self.find_garbage(&found)?;
        self.found = Some(found.records);
        self.notes = found.notes;
        self.log = found.log;
        self.log_bytes = found.log_bytes;
        self.base_bytes = found.base_bytes;
        Ok(Epoch(self.epoch))
    }

    pub(crate) fn load(&mut self) -> Result<Contents, StoreError> {
        let (epoch, records, stored) = match self.found.take() {
            Some(records) => (self.epoch, records, self.notes.clone()),
            None => {
                let (head, _) = self.read_head()?;
                let found = self.read(&head)?;
                (head.epoch, found.records, found.notes)
            }
        };
        let bare =
            |(name, value): (String, Vec<u8>)| Some((name.strip_prefix(NOTES)?.to_owned(), value));
        let notes = stored.into_iter().filter_map(bare).collect();
        Ok(Contents { epoch: Epoch(epoch), records: records.into_iter().collect(), notes })
    }

    pub(crate) fn commit(&mut self, writes: &[Write], notes: &[Note]) -> Result<(), StoreError> {
        if let Some(late) = writes.iter().find(|write| write.epoch.0 != self.epoch) {
            return Err(StoreError::fenced(late.epoch, Epoch(self.epoch)));
        }
        let mut packer = Packer::new();
        for (key, record) in writes.iter().flat_map(|write| &write.changes) {
            add(&mut packer, key, record.as_ref())?;
        }
        for (name, value) in notes.iter().map(Note::stored) {
            packer.add(&name, value.as_deref());
        }
        self.settle()?;
        let packed = packer.finish(self.epoch);
        let number = self.head.entry.saturating_add(1);
        let (bytes, name) = (packed.label.bytes, self.name());
        let parts_at = (packed.parts.len() > 1).then(|| name.clone());
        let set = self.put_parts(self.keys.log_entry(number), packed, name)?;
        let head = Head { entry: number, mark: self.name(), ..self.head.clone() };
        let write = writes.iter().map(|write| write.number).max();
        let effect = Effect::Appended { write, notes: notes.to_vec(), bytes, parts_at };
        self.change_head(Attempt { head, effect }, vec![set])
    }

    /// Writes the next part of a base, if one is due. What fails here is tried again later.
    pub(crate) fn tidy(&mut self) {
        let Some(source) = self.source.clone() else { return };
        let is_large = self.log_bytes > self.limits.log_most_bytes.max(self.base_bytes);
        if self.new_base.is_none() && (is_large || self.log.len() > self.limits.log_most_entries) {
            self.begin_base();
        }
        let is_due = self.doubts.is_empty() && self.new_base.is_some();
        // One whose last transaction is in doubt may be valid.
        if is_due && self.write_base(source.as_ref()).is_err() && self.doubts.is_empty() {
            self.drop_base();
        }
    }

    pub(crate) fn replace(&mut self, records: &[(Key, Record)]) -> Result<(), StoreError> {
        self.settle()?;
        // What has happened has happened; what was answered may be undone now.
        self.notes.retain(|name, _| !name.starts_with(ANSWERS));
        self.found = None;
        self.drop_base();
        self.begin_base();
        let source = Mutex::new(records.iter().cloned().collect::<BTreeMap<_, _>>());
        while self.new_base.is_some() {
            self.write_base(&source)?;
        }
        Ok(())
    }

    fn begin_base(&mut self) {
        let (name, after) = (self.name(), self.head.entry);
        self.new_base = Some(NewBase {
            name,
            after,
            entries: 0,
            bytes: 0,
            has_notes: false,
            last: None,
            has_all: false,
            needs: WriteNumber(0),
        });
    }

    fn drop_base(&mut self) {
        if let Some(base) = self.new_base.take() {
            let prefix = self.keys.base(&base.name);
            self.garbage.push_back(Operation::DeleteTree { prefix });
        }
    }

    /// Writes the next entry of the base, or, if it has all records, makes it the one that is valid:
    /// as soon as nothing is in it that isn't durable.
    fn write_base(&mut self, source: &dyn Source) -> Result<(), StoreError> {
        let Some(base) = &self.new_base else { return Ok(()) };
        let mut packer = Packer::new();
        if !base.has_notes {
            self.notes.iter().for_each(|(name, value)| packer.add(name, Some(value)));
            self.put_base_entry(packer)?;
            if let Some(base) = &mut self.new_base {
                base.has_notes = true;
            }
            return Ok(());
        }
        if base.has_all {
            if self.durable < base.needs {
                return Ok(());
            }
            let (name, entries, after) = (base.name.clone(), base.entries, base.after);
            let effect = Effect::Based { bytes: base.bytes };
            let base = Some(Base { name, entries, after });
            let head = Head { base, mark: self.name(), ..self.head.clone() };
            return self.change_head(Attempt { head, effect }, Vec::new());
        }
        let Limits { base_entry_records: most, base_entry_bytes: most_bytes, .. } = self.limits;
        let (records, needs) = source.records_after(base.last.as_ref(), most);
        let (mut taken, mut bytes) = (0, 0);
        for (key, record) in &records {
            bytes += add(&mut packer, key, Some(record))?;
            taken += 1;
            if bytes >= most_bytes {
                break;
            }
        }
        if taken > 0 {
            self.put_base_entry(packer)?;
        }
        if let Some(base) = &mut self.new_base {
            base.has_all = taken == records.len() && taken < most;
            let last = records.into_iter().take(taken).next_back().map(|(key, _)| key);
            base.last = last.or(base.last.take());
            base.needs = base.needs.max(needs);
        }
        Ok(())
    }

    /// Puts an entry of the base where it belongs.
    fn put_base_entry(&mut self, packer: Packer) -> Result<(), StoreError> {
        let Some(base) = &self.new_base else { return Ok(()) };
        let key = self.keys.base_entry(&base.name, base.entries);
        let packed = packer.finish(self.epoch);
        let more = packed.label.bytes;
        let parts = self.name();
        let set = self.put_parts(key, packed, parts)?;
        self.beside_head(vec![set])?;
        if let Some(base) = &mut self.new_base {
            base.entries = base.entries.saturating_add(1);
            base.bytes = base.bytes.saturating_add(more);
        }
        Ok(())
    }

    /// A name that was never used before.
    fn name(&mut self) -> String {
        self.names = self.names.saturating_add(1);
        format!("{}-{}", self.epoch, self.names)
    }

    /// Puts the parts of an entry where they belong, if it has several; the operation that makes them
    /// known.
    fn put_parts(
        &mut self,
        key: String,
        packed: Packed,
        name: String,
    ) -> Result<Operation, StoreError> {
        let prefix = self.keys.parts(&name);
        let Entry { before, set } = Entry::new(&self.keys, key, packed, name);
        for part in before {
            if let Err(error) = self.beside_head(vec![part]) {
                self.garbage.push_back(Operation::DeleteTree { prefix });
                return Err(error);
            }
        }
        Ok(set)
    }

    /// Sets keys that nothing knows of yet, and deletes what nothing needs any more.
    fn beside_head(&mut self, mut sets: Vec<Operation>) -> Result<(), StoreError> {
        let deleted = self.take_garbage();
        sets.extend(deleted.iter().cloned());
        match self.transact(&self.fence.beside_head(&self.keys, sets)) {
            Ok(Outcome::Done(_)) => Ok(()),
            Ok(Outcome::Refused(_)) => {
                self.garbage.extend(deleted);
                Err(self.refused()?)
            }
            Err(error) => {
                self.garbage.extend(deleted);
                Err(error)
            }
        }
    }

    fn take_garbage(&mut self) -> Vec<Operation> {
        let count = self.garbage.len().min(DELETED_MOST);
        self.garbage.drain(..count).collect()
    }

    /// Changes the head and sets keys beside it: what an attempt wants.
    fn change_head(&mut self, attempt: Attempt, sets: Vec<Operation>) -> Result<(), StoreError> {
        let deleted = self.take_garbage();
        let sets = sets.into_iter().chain(deleted.iter().cloned());
        let operations = self.fence.with_head(&self.keys, &attempt.head, sets);
        let outcome = self.transact(&operations);
        let is_head = |pair: &&KvPair| pair.key == self.keys.head();
        match outcome {
            Ok(Outcome::Done(pairs)) => match pairs.iter().find(is_head) {
                Some(pair) => {
                    self.done(attempt, pair.modify_index);
                    Ok(())
                }
                None => {
                    self.doubts.push(attempt);
                    Err(self.strange(self.keys.head(), "Consul doesn't say when it was changed"))
                }
            },
            Ok(Outcome::Refused(_)) => {
                self.garbage.extend(deleted);
                Err(self.refused()?)
            }
            Err(error) => {
                self.garbage.extend(deleted);
                self.doubts.push(attempt);
                Err(error)
            }
        }
    }

    fn done(&mut self, attempt: Attempt, index: u64) {
        self.fence.head_index = index;
        self.doubts.clear();
        let before = std::mem::replace(&mut self.head, attempt.head);
        match attempt.effect {
            Effect::Claimed => {}
            Effect::Appended { write, notes, bytes, parts_at } => {
                self.found = None;
                self.durable = self.durable.max(write.unwrap_or_default());
                for (name, value) in notes.iter().map(Note::stored) {
                    match value {
                        Some(value) => self.notes.insert(name, value),
                        None => self.notes.remove(&name),
                    };
                }
                self.log_bytes = self.log_bytes.saturating_add(bytes);
                self.log.push_back((self.head.entry, parts_at));
            }
            Effect::Based { bytes } => {
                self.new_base = None;
                self.base_bytes = bytes;
                self.log_bytes = 0;
                if let Some(old) = before.base {
                    let prefix = self.keys.base(&old.name);
                    self.garbage.push_back(Operation::DeleteTree { prefix });
                }
                let first = self.head.first_entry();
                while let Some((number, parts_at)) = self.log.pop_front_if(|one| one.0 < first) {
                    self.garbage.push_back(Operation::Delete { key: self.keys.log_entry(number) });
                    let parts = parts_at.map(|name| self.keys.parts(&name));
                    self.garbage.extend(parts.map(|prefix| Operation::DeleteTree { prefix }));
                }
            }
        }
    }

    /// Finds out what became of attempts that nobody has answered.
    fn settle(&mut self) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            if self.doubts.is_empty() {
                return Ok(());
            }
            let (head, index) = self.read_head()?;
            if head.epoch != self.epoch {
                return Err(StoreError::fenced(Epoch(self.epoch), Epoch(head.epoch)));
            }
            if index == self.fence.head_index {
                // They may still be on their way: whichever comes first makes the others void.
                return Ok(());
            }
            let place = self.doubts.iter().position(|one| one.head.mark == head.mark);
            let Some(place) = place else { break };
            let attempt = self.doubts.swap_remove(place);
            self.done(attempt, index);
        }
        Err(self.strange(self.keys.head(), "it was changed by somebody else in this term"))
    }

    /// Why a transaction was refused.
    fn refused(&mut self) -> Result<StoreError, StoreError> {
        let leader = self.client.key(&self.keys.leader()).map_err(StoreError::consul)?.value;
        let holder = leader.and_then(|pair| pair.session);
        if holder.as_deref() != Some(self.fence.session.as_str()) {
            return Ok(StoreError::Lost);
        }
        let (head, index) = self.read_head()?;
        if head.epoch != self.epoch {
            return Ok(StoreError::fenced(Epoch(self.epoch), Epoch(head.epoch)));
        }
        if index != self.fence.head_index && !self.doubts.is_empty() {
            // An attempt of our own was late; the next one knows of it.
            self.settle()?;
            return Ok(self.strange(self.keys.head(), "an earlier write came late; tried again"));
        }
        Ok(self.strange(self.keys.head(), "a transaction was refused without a reason"))
    }

    fn strange(&self, key: String, why: &str) -> StoreError {
        StoreError::Key { key, why: why.to_owned() }
    }

    fn transact(&self, operations: &[Operation]) -> Result<Outcome, StoreError> {
        let change = Change::transaction(self.keys.prefix(), operations);
        let raw = self.client.change(&change, TIMEOUT).map_err(StoreError::consul)?;
        change::transaction(&change, &raw).map_err(|error| StoreError::consul(error.into()))
    }

    fn read_head(&self) -> Result<(Head, u64), StoreError> {
        let found = self.client.key(&self.keys.head()).map_err(StoreError::consul)?;
        let Some(pair) = found.value else { return Ok((Head::first(), 0)) };
        let head: Head = serde_json::from_slice(&pair.value).map_err(|_| StoreError::Format {
            path: self.keys.head().into(),
            found: "unknown".to_owned(),
        })?;
        if head.format != FORMAT && head.format != FORMAT_WITHOUT_NOTES {
            return Err(StoreError::Format { path: self.keys.head().into(), found: head.format });
        }
        Ok((head, pair.modify_index))
    }

    fn pairs(&self, prefix: String) -> Result<Vec<KvPair>, StoreError> {
        let found = self.client.keys(&prefix).map_err(StoreError::consul)?;
        Ok(found.value)
    }

    /// Reads all that a head makes valid. The log comes first: what it has of a record is newer, so that
    /// each record is decoded once.
    fn read(&self, head: &Head) -> Result<Found, StoreError> {
        let (mut found, mut newer) = (Found::default(), BTreeMap::new());
        let first = head.first_entry();
        let mut next = first;
        for pair in self.pairs(self.keys.log())? {
            let number = self.keys.log_number(&pair.key);
            let number =
                number.ok_or_else(|| self.strange(pair.key.clone(), "it has no number"))?;
            if !(first..=head.entry).contains(&number) {
                continue;
            }
            if number != next {
                break;
            }
            next = number.saturating_add(1);
            let (label, changes) = self.take(&pair)?;
            newer.extend(changes);
            found.log_bytes = found.log_bytes.saturating_add(label.bytes);
            found.log.push_back((number, label.parts_at));
        }
        if next <= head.entry {
            return Err(self.strange(self.keys.log_entry(next), "it is missing"));
        }
        if let Some(base) = &head.base {
            let pairs = self.pairs(self.keys.base(&base.name))?;
            if u32::try_from(pairs.len()).ok() != Some(base.entries) {
                return Err(self.strange(self.keys.base(&base.name), "entries are missing"));
            }
            for pair in pairs {
                let (label, changes) = self.take(&pair)?;
                let is_newest = |(name, _): &Changed| !newer.contains_key(name);
                changes.into_iter().filter(is_newest).try_for_each(|one| found.keep(one))?;
                found.base_bytes = found.base_bytes.saturating_add(label.bytes);
            }
        }
        newer.into_iter().try_for_each(|one| found.keep(one))?;
        Ok(found)
    }

    /// The changes of an entry.
    fn take(&self, pair: &KvPair) -> Result<(Label, Vec<Changed>), StoreError> {
        let wrong = |error: super::pack::PackError| StoreError::Key {
            key: pair.key.clone(),
            why: error.to_string(),
        };
        let (label, bytes) = read_entry(&pair.value).map_err(wrong)?;
        let changes = match &label.parts_at {
            None => unpack(&label, bytes),
            Some(name) => {
                let parts = self.pairs(self.keys.parts(name))?;
                let bytes: Vec<u8> = parts.into_iter().flat_map(|part| part.value).collect();
                unpack(&label, &bytes)
            }
        };
        let changes = changes.map_err(wrong)?;
        Ok((label, changes))
    }

    /// Keys that leaders have left which ended before they had deleted them.
    fn find_garbage(&self, found: &Found) -> Result<VecDeque<Operation>, StoreError> {
        let mut garbage = VecDeque::new();
        let first = self.head.first_entry();
        for key in self.names_below(self.keys.log())? {
            let number = self.keys.log_number(&key);
            if number.is_some_and(|number| number < first || number > self.head.entry) {
                garbage.push_back(Operation::Delete { key });
            }
        }
        let base = self.head.base.as_ref().map(|base| self.keys.base(&base.name));
        for key in self.names_below(self.keys.bases())? {
            if base.as_ref().is_none_or(|base| !key.starts_with(base)) {
                garbage.push_back(Operation::Delete { key });
            }
        }
        // Parts of entries of a base are named by those only, so they are asked for.
        let mut used: Vec<String> = found
            .log
            .iter()
            .filter_map(|(_, name)| Some(self.keys.parts(name.as_ref()?)))
            .collect();
        if let Some(base) = base {
            for pair in self.pairs(base)? {
                let label = read_entry(&pair.value).ok().map(|(label, _)| label);
                let name = label.and_then(|label| label.parts_at);
                used.extend(name.map(|name| self.keys.parts(&name)));
            }
        }
        for key in self.names_below(self.keys.all_parts())? {
            if !used.iter().any(|used| key.starts_with(used)) {
                garbage.push_back(Operation::Delete { key });
            }
        }
        Ok(garbage)
    }

    fn names_below(&self, prefix: String) -> Result<Vec<String>, StoreError> {
        let found: Answer<Vec<String>> =
            self.client.ask(Subject::KeyNames(prefix)).map_err(StoreError::consul)?;
        Ok(found.value)
    }
}

/// Records of which nothing is on its way.
impl Source for Mutex<BTreeMap<Key, Record>> {
    fn records_after(&self, after: Option<&Key>, most: usize) -> (Vec<(Key, Record)>, WriteNumber) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.lock().unwrap_or_else(PoisonError::into_inner);
        let records = all.range::<Key, _>((from, Bound::Unbounded)).take(most);
        let records = records.map(|(key, record)| (key.clone(), record.clone()));
        (records.collect(), WriteNumber(0))
    }
}

/// Adds a change; how many bytes it is.
fn add(packer: &mut Packer, key: &Key, record: Option<&Record>) -> Result<usize, StoreError> {
    let name = name_of(key);
    let value = record.map(|record| encoded(&name, record)).transpose()?;
    packer.add(&name, value.as_deref());
    Ok(name.len() + value.map_or(0, |value| value.len()))
}

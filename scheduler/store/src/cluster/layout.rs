//! Which keys there are below the prefix, and the transactions that change them. Each of them checks
//! that the session of its leader still holds the key `leader`, and that the key `head` is as that
//! leader has left it: one of the two fails as soon as another leader has begun its term. Nothing
//! here talks to Consul.
//!
//! | key | holds |
//! |---|---|
//! | `leader` | who leads and where; held by its session |
//! | `head` | term, number of the newest entry, which base |
//! | `log/NUMBER` | an entry: what a batch changed |
//! | `base/NAME/NUMBER` | entries with all records; all of the log after `head.base.after` comes on top |
//! | `part/NAME/NUMBER` | parts of entries that are too large for one transaction |
//! | `framework` | the id that Mesos gave |

use consul::change::Operation;
use serde::{Deserialize, Serialize};

use super::pack::{Packed, entry};

/// What the head says of its format.
pub const FORMAT: &str = "corral scheduler consul 2";

/// What programs before notes have written. It is read, and the first batch makes it the newer one.
pub const FORMAT_WITHOUT_NOTES: &str = "corral scheduler consul 1";

/// The most keys that are deleted beside a change: of the operations of a transaction, the checks
/// and what is set have the others.
pub const DELETED_MOST: usize = 60;

/// The longest prefix in bytes: 60 names that are deleted must fit beside a part, and it marks
/// registrations.
pub const PREFIX_MOST_BYTES: usize = 63;

/// The head: what is valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which format all of it has.
    pub format: String,
    /// The newest term.
    pub epoch: u64,
    /// The number of the newest entry of the log; 0 if there is none.
    pub entry: u64,
    /// Which attempt has made it so: no two have the same.
    pub mark: String,
    /// Where the base is; none before the first.
    #[serde(default)]
    pub base: Option<Base>,
}

/// All records at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its name.
    pub name: String,
    /// How many entries it has.
    pub entries: u32,
    /// The log after this entry comes on top of it.
    pub after: u64,
}

impl Head {
    /// Before the first term.
    #[must_use]
    pub fn first() -> Self {
        Head { format: FORMAT.to_owned(), epoch: 0, entry: 0, mark: String::new(), base: None }
    }

    /// As the value of its key.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The number of the entry that the log begins with.
    #[must_use]
    pub fn first_entry(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.after).saturating_add(1)
    }
}

/// The names of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
}

/// Why a prefix is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` can't be the prefix of keys: 1 to {PREFIX_MOST_BYTES} letters, digits, `-`, `_`, `.` and \
     `/` within"
)]
pub struct PrefixError(String);

impl Keys {
    /// Keys below a prefix, which has no slash at its ends.
    ///
    /// # Errors
    /// When it is no prefix.
    pub fn below(prefix: &str) -> Result<Self, PrefixError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let has_ends = prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains("//");
        let fits = !prefix.is_empty() && prefix.len() <= PREFIX_MOST_BYTES;
        if !fits || has_ends || !prefix.bytes().all(is_plain) {
            return Err(PrefixError(prefix.to_owned()));
        }
        Ok(Keys { prefix: format!("{prefix}/") })
    }

    /// What all begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Who leads.
    #[must_use]
    pub fn leader(&self) -> String {
        format!("{}leader", self.prefix)
    }

    /// What is valid.
    #[must_use]
    pub fn head(&self) -> String {
        format!("{}head", self.prefix)
    }

    /// The id that Mesos gave.
    #[must_use]
    pub fn framework(&self) -> String {
        format!("{}framework", self.prefix)
    }

    /// All entries of the log.
    #[must_use]
    pub fn log(&self) -> String {
        format!("{}log/", self.prefix)
    }

    /// An entry of the log. Names sort as numbers do.
    #[must_use]
    pub fn log_entry(&self, number: u64) -> String {
        format!("{}log/{number:020}", self.prefix)
    }

    /// The number of an entry from its name.
    #[must_use]
    pub fn log_number(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.log())?.parse().ok()
    }

    /// All bases.
    #[must_use]
    pub fn bases(&self) -> String {
        format!("{}base/", self.prefix)
    }

    /// All entries of a base.
    #[must_use]
    pub fn base(&self, name: &str) -> String {
        format!("{}base/{name}/", self.prefix)
    }

    /// An entry of a base.
    #[must_use]
    pub fn base_entry(&self, name: &str, number: u32) -> String {
        format!("{}base/{name}/{number:010}", self.prefix)
    }

    /// All parts of all entries.
    #[must_use]
    pub fn all_parts(&self) -> String {
        format!("{}part/", self.prefix)
    }

    /// All parts of an entry.
    #[must_use]
    pub fn parts(&self, name: &str) -> String {
        format!("{}part/{name}/", self.prefix)
    }

    /// A part of an entry.
    #[must_use]
    pub fn part(&self, name: &str, number: usize) -> String {
        format!("{}part/{name}/{number:010}", self.prefix)
    }
}

/// What makes a leader's transactions its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Its session, which holds the key `leader`.
    pub session: String,
    /// When it changed the head last; 0: there is none yet.
    pub head_index: u64,
}

impl Fence {
    fn session(&self, keys: &Keys) -> Operation {
        Operation::CheckSession { key: keys.leader(), session: self.session.clone() }
    }

    /// A transaction that changes the head, and sets keys beside it.
    #[must_use]
    pub fn with_head(
        &self,
        keys: &Keys,
        head: &Head,
        sets: impl IntoIterator<Item = Operation>,
    ) -> Vec<Operation> {
        let (key, index) = (keys.head(), self.head_index);
        let head = Operation::CompareAndSet { key, value: head.value(), index };
        [self.session(keys), head].into_iter().chain(sets).collect()
    }

    /// A transaction that leaves the head as it is, and needs it to be so.
    #[must_use]
    pub fn beside_head(
        &self,
        keys: &Keys,
        sets: impl IntoIterator<Item = Operation>,
    ) -> Vec<Operation> {
        let check = Operation::CheckIndex { key: keys.head(), index: self.head_index };
        [self.session(keys), check].into_iter().chain(sets).collect()
    }
}

/// How an entry is set: one key, and before it, parts that don't fit into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Parts, each for a transaction of its own. Without the key nothing knows of them.
    pub before: Vec<Operation>,
    /// The key.
    pub set: Operation,
}

impl Entry {
    /// The key of an entry; `name` is for its parts, if there are several, and must never have been
    /// used: what an attempt that failed has left must not be taken for a part of the next one.
    #[must_use]
    pub fn new(keys: &Keys, key: String, packed: Packed, name: String) -> Self {
        let Packed { mut label, parts } = packed;
        if parts.len() <= 1 {
            label.parts = 0;
            let bytes = parts.into_iter().next().unwrap_or_default();
            let set = Operation::Set { key, value: entry(&label, &bytes) };
            return Entry { before: Vec::new(), set };
        }
        let part = |(number, value)| Operation::Set { key: keys.part(&name, number), value };
        let before = parts.into_iter().enumerate().map(part).collect();
        label.parts_at = Some(name.clone());
        Entry { before, set: Operation::Set { key, value: entry(&label, &[]) } }
    }
}

#[cfg(test)]
mod tests {
    use consul::change::{BODY_MOST_BYTES, Change, OPERATIONS_MOST};

    use super::*;
    use crate::cluster::pack::{Label, PART_MOST_BYTES};

    #[test]
    fn prefixes_and_names() {
        let keys = Keys::below("corral/scheduler").unwrap();
        assert_eq!(keys.log_entry(17), "corral/scheduler/log/00000000000000000017");
        assert_eq!(keys.log_number(&keys.log_entry(17)), Some(17));
        assert_eq!(keys.log_number("corral/scheduler/head"), None);
        let long = "a".repeat(PREFIX_MOST_BYTES + 1);
        for wrong in ["", "/a", "a/", "a//b", "a b", "ä", &long] {
            assert!(Keys::below(wrong).is_err(), "{wrong}");
        }
    }

    /// The largest transaction that is ever built stays within what Consul takes.
    #[test]
    fn the_largest_transaction_fits() {
        let keys = Keys::below(&"p".repeat(PREFIX_MOST_BYTES)).unwrap();
        let session = "d7b57937-1814-2382-3070-871ab3733776".to_owned();
        let fence = Fence { session, head_index: u64::MAX };
        let base = Base { name: "9".repeat(41), entries: u32::MAX, after: u64::MAX };
        let (mark, base) = ("9".repeat(41), Some(base));
        let head = Head { epoch: u64::MAX, entry: u64::MAX, mark, base, ..Head::first() };
        let label = Label {
            epoch: u64::MAX,
            records: u64::MAX,
            bytes: u64::MAX,
            checksum: u32::MAX,
            parts_at: None,
            parts: 0,
        };
        let packed = Packed { label, parts: vec![vec![0; PART_MOST_BYTES]] };
        let entry = Entry::new(&keys, keys.log_entry(u64::MAX), packed, String::new());
        let deleted =
            (0..DELETED_MOST).map(|_| Operation::Delete { key: keys.log_entry(u64::MAX) });
        let sets = [entry.set].into_iter().chain(deleted);
        let operations = fence.with_head(&keys, &head, sets);
        assert!(operations.len() <= OPERATIONS_MOST, "{}", operations.len());
        let body = Change::transaction(keys.prefix(), &operations).body;
        assert!(body.len() <= BODY_MOST_BYTES, "{}", body.len());
    }

    #[test]
    fn every_transaction_checks_the_session_and_the_head() {
        let keys = Keys::below("p").unwrap();
        let fence = Fence { session: "s".to_owned(), head_index: 7 };
        let session = Operation::CheckSession { key: "p/leader".into(), session: "s".into() };
        let with = fence.with_head(&keys, &Head::first(), []);
        let value = Head::first().value();
        let head = Operation::CompareAndSet { key: "p/head".into(), value, index: 7 };
        assert_eq!(with, [session.clone(), head]);
        let beside = fence.beside_head(&keys, []);
        assert_eq!(beside, [session, Operation::CheckIndex { key: "p/head".into(), index: 7 }]);
    }
}

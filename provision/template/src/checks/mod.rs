//! Tests (`x is y`): Jinja's own and those of Ansible and its common collections.

mod results;
mod values;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::error::Outcome;
use crate::filters::bare_name;
use crate::run::{Call, Run};

/// A test.
pub(crate) type CheckFn = fn(&mut Run<'_>, &mut Call) -> Outcome<bool>;

/// A test by name.
#[derive(Debug)]
pub(crate) struct CheckEntry {
    pub(crate) name: &'static str,
    pub(crate) run: CheckFn,
    /// Whether it has something to say about undefined values.
    pub(crate) accepts_undefined: bool,
    /// The same in the classic dialect only, where tests of types just say no.
    pub(crate) accepts_undefined_classic: bool,
    /// Whether it asks for files.
    pub(crate) impure: bool,
}

impl CheckEntry {
    /// Whether old content uses it as a filter: `result | failed`.
    pub(crate) fn was_filter(&self) -> bool {
        matches!(
            self.name,
            "failed"
                | "failure"
                | "success"
                | "succeeded"
                | "successful"
                | "changed"
                | "change"
                | "skipped"
                | "skip"
                | "match"
                | "search"
                | "version_compare"
                | "isnan"
                | "subset"
                | "superset"
                | "issubset"
                | "issuperset"
                | "exists"
                | "is_dir"
                | "is_file"
                | "is_abs"
                | "is_link"
        )
    }
}

/// A test of defined values.
pub(crate) const fn check(name: &'static str, run: CheckFn) -> CheckEntry {
    CheckEntry {
        name,
        run,
        accepts_undefined: false,
        accepts_undefined_classic: false,
        impure: false,
    }
}

/// A test of a type: undefined values have none.
pub(crate) const fn typed(name: &'static str, run: CheckFn) -> CheckEntry {
    CheckEntry { accepts_undefined_classic: true, ..check(name, run) }
}

/// A test that looks at undefined values.
pub(crate) const fn lenient(name: &'static str, run: CheckFn) -> CheckEntry {
    CheckEntry { accepts_undefined: true, ..check(name, run) }
}

/// A test that asks for files.
pub(crate) const fn impure(name: &'static str, run: CheckFn) -> CheckEntry {
    CheckEntry { impure: true, ..check(name, run) }
}

fn table() -> &'static BTreeMap<&'static str, &'static CheckEntry> {
    static TABLE: OnceLock<BTreeMap<&'static str, &'static CheckEntry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        results::CHECKS.iter().chain(values::CHECKS).map(|entry| (entry.name, entry)).collect()
    })
}

/// The test of a name, with or without the prefix of a known collection.
pub(crate) fn find(name: &str) -> Option<&'static CheckEntry> {
    table().get(bare_name(name)).copied()
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    table().keys().copied()
}

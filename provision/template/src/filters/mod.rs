//! Filters: Jinja's own and those of Ansible and its common collections, by theme.

mod base64;
mod builtin;
mod crypt;
mod dicts;
mod hash;
mod json;
mod math;
mod misc;
mod network;
mod path;
mod random;
pub(crate) mod regex;
mod select;
mod sequences;
mod sets;
mod text;
mod time;
mod vault;
pub(crate) mod version;
mod yaml;
mod yaml_writer;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use minijinja::Value;

use crate::error::Outcome;
use crate::run::{Call, Run};

pub(crate) use misc::url_parts;
pub(crate) use random::PythonRandom;
pub(crate) use sequences::flatten_into;
pub(crate) use sets::{products, zipped};

/// A filter.
pub(crate) type FilterFn = fn(&mut Run<'_>, &mut Call) -> Outcome<Value>;

/// A filter by name.
#[derive(Debug)]
pub(crate) struct FilterEntry {
    pub(crate) name: &'static str,
    pub(crate) run: FilterFn,
    /// Whether it has something to say about undefined values.
    pub(crate) accepts_undefined: bool,
    /// Whether it asks for files, time or randomness.
    pub(crate) impure: bool,
}

/// A filter that depends on nothing but its arguments.
pub(crate) const fn pure(name: &'static str, run: FilterFn) -> FilterEntry {
    FilterEntry { name, run, accepts_undefined: false, impure: false }
}

/// A filter that looks at undefined values.
pub(crate) const fn lenient(name: &'static str, run: FilterFn) -> FilterEntry {
    FilterEntry { name, run, accepts_undefined: true, impure: false }
}

/// A filter that asks for files, time or randomness.
pub(crate) const fn impure(name: &'static str, run: FilterFn) -> FilterEntry {
    FilterEntry { name, run, accepts_undefined: false, impure: true }
}

/// Collections whose filters and tests are known here without their prefix.
const PREFIXES: &[&str] = &[
    "ansible.builtin.",
    "ansible.legacy.",
    "ansible.utils.",
    "ansible.netcommon.",
    "ansible.posix.",
    "ansible.windows.",
    "community.general.",
    "community.crypto.",
];

/// A name without the prefix of a known collection.
pub(crate) fn bare_name(name: &str) -> &str {
    PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

fn table() -> &'static BTreeMap<&'static str, &'static FilterEntry> {
    static TABLE: OnceLock<BTreeMap<&'static str, &'static FilterEntry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        [
            base64::FILTERS,
            builtin::FILTERS,
            crypt::FILTERS,
            dicts::FILTERS,
            hash::FILTERS,
            json::FILTERS,
            math::FILTERS,
            misc::FILTERS,
            network::FILTERS,
            path::FILTERS,
            random::FILTERS,
            regex::FILTERS,
            select::FILTERS,
            sequences::FILTERS,
            sets::FILTERS,
            text::FILTERS,
            time::FILTERS,
            vault::FILTERS,
            version::FILTERS,
            yaml::FILTERS,
        ]
        .into_iter()
        .flatten()
        .map(|entry| (entry.name, entry))
        .collect()
    })
}

/// The filter of a name, with or without the prefix of a known collection.
pub(crate) fn find(name: &str) -> Option<&'static FilterEntry> {
    table().get(bare_name(name)).copied()
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    table().keys().copied()
}

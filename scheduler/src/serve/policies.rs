//! The live policy: which one it is, which ones there were, and the one beside it. A line for each
//! change is kept in the daemon's folder, and the text of each beside the decision log.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use diagnostics::{Sources, Style, render_all};
use durable::{Log, LogError};
use policy::Time;
use policy::config::Policy;
use scheduler::shadow::{Difference, Shadow};
use scheduler::wire::moment;
use scheduler::wire::policies::{PolicyRow, PolicyState, ShadowState};
use scheduler_core::State;
use scheduler_core::decision::Decision;
use serde::{Deserialize, Serialize};

use crate::serve::decisions;

/// The first line of the file.
const FORMAT: &str = "corral scheduler policies 1";

/// The first line of the log of differences.
const SHADOW_FORMAT: &str = "corral scheduler shadow 1";

/// Policies that are told.
const TOLD_MOST: usize = 100;

/// Differences that are told; the others are in the log.
const DIFFERENCES_TOLD_MOST: usize = 20;

/// The largest log of differences: a candidate that differs in everything must not fill the disk.
const SHADOW_LOG_MOST_BYTES: u64 = 32 << 20;

/// Why there is a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The scheduler was started with it.
    Begun,
    /// A user applied it.
    Applied,
    /// A user went back to it.
    RolledBack,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Cause::Begun => "begun",
            Cause::Applied => "applied",
            Cause::RolledBack => "rolled-back",
        }
    }
}

/// A policy that was or is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    number: u64,
    digest: String,
    at: Time,
    cause: Cause,
}

#[derive(Debug)]
struct Inner {
    log: Log,
    entries: Vec<Entry>,
    shadow: Option<Shadow>,
    differences: VecDeque<Difference>,
    shadow_log: Option<Log>,
}

/// The policies.
#[derive(Debug)]
pub struct Policies {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

/// The policy to begin with.
#[derive(Debug)]
pub struct Begun {
    /// It.
    pub policy: Policy,
    /// Whether it is one that a user applied while an earlier daemon ran, and not that of the file.
    pub is_applied: bool,
}

impl Policies {
    /// Opens or makes the file. The policy that was given is the one to begin with, unless a user has
    /// applied another one since it was given first: then that one goes on.
    pub fn open(
        folder: &Path,
        given: Policy,
        text: &str,
        now: Time,
    ) -> Result<(Self, Begun), LogError> {
        let digest = given.digest();
        let failed = |source| LogError::Io { path: folder.join("policies"), source };
        decisions::keep_policy(folder, &digest, text).map_err(failed)?;
        let opened = Log::open(&folder.join("policies.log"), FORMAT)?;
        let read = |line: &Vec<u8>| serde_json::from_slice::<Entry>(line).ok();
        let entries: Vec<Entry> = opened.records.iter().filter_map(read).collect();
        let inner = Inner {
            log: opened.log,
            entries,
            shadow: None,
            differences: VecDeque::new(),
            shadow_log: None,
        };
        let policies = Policies { folder: folder.to_owned(), inner: Mutex::new(inner) };
        let (begun, last) = {
            let inner = policies.inner();
            let begun = inner.entries.iter().rev().find(|one| one.cause == Cause::Begun);
            (begun.map(|one| one.digest.clone()), inner.entries.last().cloned())
        };
        let live = last.filter(|last| begun.as_ref() == Some(&digest) && last.digest != digest);
        if let Some(policy) = live.and_then(|last| policies.kept(&last.digest)) {
            return Ok((policies, Begun { policy, is_applied: true }));
        }
        if policies.inner().entries.last().is_none_or(|last| last.digest != digest) {
            policies.add(&digest, Cause::Begun, now)?;
        }
        Ok((policies, Begun { policy: given, is_applied: false }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, digest: &str, cause: Cause, at: Time) -> Result<u64, LogError> {
        let mut inner = self.inner();
        let number = inner.entries.last().map_or(1, |last| last.number + 1);
        let entry = Entry { number, digest: digest.to_owned(), at, cause };
        inner.log.append(&serde_json::to_vec(&entry).unwrap_or_default())?;
        inner.entries.push(entry);
        Ok(number)
    }

    fn text(&self, digest: &str) -> String {
        fs::read_to_string(decisions::policy_file(&self.folder, digest)).unwrap_or_default()
    }

    fn kept(&self, digest: &str) -> Option<Policy> {
        read(&self.text(digest)).ok().filter(|policy| policy.digest() == digest)
    }

    /// Keeps a policy and that it is live from now on; its number. It is live when the loop has it.
    pub fn applied(&self, policy: &Policy, text: &str, now: Time) -> Result<u64, LogError> {
        let digest = policy.digest();
        let failed = |source| LogError::Io { path: self.folder.join("policies"), source };
        decisions::keep_policy(&self.folder, &digest, text).map_err(failed)?;
        self.add(&digest, Cause::Applied, now)
    }

    /// The policy with a number, or the last one that was another than the live one.
    pub fn earlier(&self, number: Option<u64>) -> Option<Policy> {
        let digest = {
            let inner = self.inner();
            let live = inner.entries.last()?.digest.clone();
            let found = inner.entries.iter().rev().find(|one| match number {
                Some(number) => one.number == number,
                None => one.digest != live,
            });
            found?.digest.clone()
        };
        self.kept(&digest)
    }

    /// Notes that a user went back to a policy; its number.
    pub fn rolled_back(&self, policy: &Policy, now: Time) -> Result<u64, LogError> {
        self.add(&policy.digest(), Cause::RolledBack, now)
    }

    /// The number and the digest of the live policy.
    pub fn live(&self) -> (u64, String) {
        let inner = self.inner();
        inner.entries.last().map_or((0, String::new()), |one| (one.number, one.digest.clone()))
    }

    /// All of it, to be told.
    pub fn state(&self) -> PolicyState {
        let (number, digest) = self.live();
        let text = self.text(&digest);
        let inner = self.inner();
        let surplus = inner.entries.len().saturating_sub(TOLD_MOST);
        let versions = inner.entries.iter().skip(surplus).map(|one| PolicyRow {
            number: one.number,
            digest: one.digest.clone(),
            at: moment(one.at),
            cause: one.cause.name().to_owned(),
        });
        let shadow = inner.shadow.as_ref().map(|shadow| {
            let ((since, until), (compared, different)) = (shadow.period(), shadow.counts());
            ShadowState {
                digest: shadow.digest().to_owned(),
                since: moment(since),
                until: moment(until),
                compared,
                different,
                differences: inner.differences.iter().cloned().collect(),
            }
        });
        PolicyState { number, digest, text, versions: versions.collect(), shadow }
    }

    /// Another policy beside the live one, or none.
    pub fn set_shadow(&self, shadow: Option<Shadow>) -> Result<(), LogError> {
        let mut inner = self.inner();
        if shadow.is_some() && inner.shadow_log.is_none() {
            inner.shadow_log = Some(Log::open(&self.folder.join("shadow.log"), SHADOW_FORMAT)?.log);
        }
        inner.differences.clear();
        inner.shadow = shadow;
        Ok(())
    }

    /// The live policy has decided something.
    pub fn decided(&self, decision: &Decision) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let Some(shadow) = &mut inner.shadow else { return };
        if decision.at < shadow.period().1 {
            let found = shadow.decided(decision);
            inner.note(found);
        }
    }

    /// Time has passed.
    pub fn look(&self, state: &State, now: Time) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let Some(shadow) = &mut inner.shadow else { return };
        if now < shadow.period().1 {
            let found = shadow.look(state, now);
            inner.note(found);
        }
    }
}

impl Inner {
    fn note(&mut self, found: impl IntoIterator<Item = Difference>) {
        for difference in found {
            if let Some(log) = &mut self.shadow_log
                && log.length() < SHADOW_LOG_MOST_BYTES
            {
                let line = serde_json::to_vec(&difference).unwrap_or_default();
                // A full disk stops neither the scheduler nor the comparison.
                let _ = log.append(&line);
            }
            self.differences.push_back(difference);
            if self.differences.len() > DIFFERENCES_TOLD_MOST {
                self.differences.pop_front();
            }
        }
    }
}

/// Reads the text of a policy.
///
/// # Errors
/// All that is wrong, for people.
pub fn read(text: &str) -> Result<Policy, String> {
    let mut sources = Sources::default();
    let source = sources.add("policy", text);
    policy::config::read(text, source).map_err(|found| render_all(&found, &sources, Style::Plain))
}

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
use scheduler::wire::policies::{PolicyAnswer, PolicyRow, PolicyState, ShadowState};
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

/// A policy that becomes live, with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    entry: Entry,
    text: String,
}

impl PolicyChange {
    /// The number that it has.
    pub const fn number(&self) -> u64 {
        self.entry.number
    }

    /// What whoever asked for it is told when it is live.
    pub fn answer(&self) -> PolicyAnswer {
        let Entry { number, digest, .. } = &self.entry;
        PolicyAnswer { number: *number, digest: digest.clone(), is_changed: true }
    }
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
    /// What was added to the list, if it is another one than the last.
    pub change: Option<PolicyChange>,
}

impl Policies {
    /// Opens or makes the file; what earlier leaders have left takes its place. The policy that was
    /// given is the one to begin with, unless a user has applied another one since it was given first:
    /// then that one goes on.
    pub fn open(
        folder: &Path,
        given: Policy,
        text: &str,
        now: Time,
        left: &[PolicyChange],
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
        policies.continue_from(left)?;
        let (begun, last) = {
            let inner = policies.inner();
            let begun = inner.entries.iter().rev().find(|one| one.cause == Cause::Begun);
            (begun.map(|one| one.digest.clone()), inner.entries.last().cloned())
        };
        let live = last.filter(|last| begun.as_ref() == Some(&digest) && last.digest != digest);
        if let Some(policy) = live.and_then(|last| policies.kept(&last.digest)) {
            return Ok((policies, Begun { policy, is_applied: true, change: None }));
        }
        let is_new = policies.inner().entries.last().is_none_or(|last| last.digest != digest);
        let change = is_new.then(|| policies.change(&given, Some(text), Cause::Begun, now));
        if let Some(change) = &change {
            policies.keep(change)?;
        }
        Ok((policies, Begun { policy: given, is_applied: false, change }))
    }

    /// What earlier leaders have left is what there was.
    fn continue_from(&self, left: &[PolicyChange]) -> Result<(), LogError> {
        if left.is_empty() {
            return Ok(());
        }
        for change in left {
            self.keep_text(change)?;
        }
        let mut inner = self.inner();
        inner.entries = left.iter().map(|change| change.entry.clone()).collect();
        let lines = inner.entries.iter().map(|entry| serde_json::to_vec(entry).unwrap_or_default());
        let lines: Vec<Vec<u8>> = lines.collect();
        inner.log.rewrite(&lines)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A policy that shall be live; nothing is changed yet.
    pub fn change(
        &self,
        policy: &Policy,
        text: Option<&str>,
        cause: Cause,
        at: Time,
    ) -> PolicyChange {
        let digest = policy.digest();
        let text = text.map_or_else(|| self.text(&digest), str::to_owned);
        let number = self.inner().entries.last().map_or(1, |last| last.number.saturating_add(1));
        PolicyChange { entry: Entry { number, digest, at, cause }, text }
    }

    /// Keeps that a policy is live from now on. It is live when the loop has it.
    pub fn keep(&self, change: &PolicyChange) -> Result<(), LogError> {
        self.keep_text(change)?;
        let mut inner = self.inner();
        inner.log.append(&serde_json::to_vec(&change.entry).unwrap_or_default())?;
        inner.entries.push(change.entry.clone());
        Ok(())
    }

    fn keep_text(&self, change: &PolicyChange) -> Result<(), LogError> {
        // A digest becomes a part of a path.
        if !change.entry.digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(());
        }
        let failed = |source| LogError::Io { path: self.folder.join("policies"), source };
        decisions::keep_policy(&self.folder, &change.entry.digest, &change.text).map_err(failed)
    }

    fn text(&self, digest: &str) -> String {
        fs::read_to_string(decisions::policy_file(&self.folder, digest)).unwrap_or_default()
    }

    fn kept(&self, digest: &str) -> Option<Policy> {
        read(&self.text(digest)).ok().filter(|policy| policy.digest() == digest)
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

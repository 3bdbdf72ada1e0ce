//! Inventories from Consul: asking it, remembering what it said, and going on without it.
//!
//! The last good answer is kept on this machine. While Consul is away it is used, with its age shown;
//! what changes hosts refuses one that is too old. A run that was planned keeps the answer that it was
//! planned with ([`Discovery::taken`], [`Discovery::frozen`]): the cluster that answers may be the one
//! that is being restarted.

mod fetch;
mod settings;
mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use consul_client::Client;
use diagnostics::Diagnostic;
use provision_discovery::{Answered, Question};

pub use snapshot::{Snapshot, SnapshotError};

/// Longest age of an answer that may still say which hosts are changed, in seconds: in an hour
/// machines come and go.
pub const SNAPSHOT_LIMIT_SECONDS: u64 = 3600;

/// The code of diagnostics about Consul that can't be asked.
pub const UNREACHABLE: &str = "consul-unreachable";

/// The code of diagnostics about answers that are too old.
pub const TOO_OLD: &str = "consul-snapshot";

/// What the hosts are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To look at.
    #[default]
    Look,
    /// To change them.
    Change {
        /// Whether an old answer will do, too.
        with_old_snapshot: bool,
    },
}

/// What is known of inventories from Consul.
#[derive(Debug, Default)]
pub struct Discovery {
    purpose: Purpose,
    folder: Option<PathBuf>,
    frozen: Option<Vec<Snapshot>>,
    taken: Mutex<Vec<Snapshot>>,
}

impl Discovery {
    /// For a purpose, with answers kept in a folder.
    #[must_use]
    pub fn new(purpose: Purpose, folder: &Path) -> Self {
        Discovery { purpose, folder: Some(folder.to_owned()), ..Discovery::default() }
    }

    /// With these answers and no others: nobody is asked.
    #[must_use]
    pub fn frozen(snapshots: Vec<Snapshot>) -> Self {
        Discovery { frozen: Some(snapshots), ..Discovery::default() }
    }

    /// The answers that were used so far.
    #[must_use]
    pub fn taken(&self) -> Vec<Snapshot> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers a question, from Consul or from what it said before.
    ///
    /// # Errors
    /// When neither can be had, or the answer is too old for its purpose.
    pub fn answer(&self, question: &Question) -> Result<Answered, Box<Diagnostic>> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let settings = settings::of(question, &environment)
            .map_err(|message| Box::new(Diagnostic::error("consul", message)))?;
        let origin = settings::origin(&settings);
        let source = snapshot::source_of(&settings, question);
        if let Some(frozen) = &self.frozen {
            return match frozen.iter().find(|known| known.source == source) {
                Some(snapshot) => Ok(self.take(snapshot.clone(), Vec::new())),
                None => {
                    let message = format!("this run was planned without {origin}");
                    let hint =
                        "resume it with the inventories and CONSUL_… variables of its beginning";
                    Err(Box::new(Diagnostic::error("consul", message).hint(hint)))
                }
            };
        }
        let asked =
            Client::new(settings).and_then(|client| fetch::catalog(&client, &question.wanted));
        match asked {
            Ok((head, catalog)) => {
                let snapshot = Snapshot::new(source, origin, now_s(), head, catalog);
                let warnings = self.store(&snapshot).into_iter().collect();
                Ok(self.take(snapshot, warnings))
            }
            Err(error) if error.is_outage() => {
                self.remembered(&source, &origin, &error.to_string())
            }
            Err(error) => {
                let message = format!("{origin}: failed to {error}");
                Err(Box::new(Diagnostic::error("consul", message).hint_if(error.hint())))
            }
        }
    }

    fn take(&self, snapshot: Snapshot, warnings: Vec<Diagnostic>) -> Answered {
        let answered = Answered {
            origin: snapshot.origin.clone(),
            catalog: snapshot.catalog.clone(),
            warnings,
        };
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot);
        answered
    }

    /// An answer without nodes is an error that must not replace a good one.
    fn store(&self, snapshot: &Snapshot) -> Option<Diagnostic> {
        let folder = self.folder.as_deref()?;
        if snapshot.catalog.nodes.is_empty() {
            return None;
        }
        let error = snapshot.write(folder).err()?;
        let message = format!("failed to keep the answer of {}: {error}", snapshot.origin);
        let note = "without it nothing is known while Consul is away";
        Some(Diagnostic::warning("consul", message).note(note))
    }

    fn remembered(
        &self,
        source: &str,
        origin: &str,
        reason: &str,
    ) -> Result<Answered, Box<Diagnostic>> {
        let error = || Diagnostic::error(UNREACHABLE, format!("{origin}: failed to {reason}"));
        let Some(folder) = self.folder.as_deref() else { return Err(Box::new(error())) };
        let snapshot = match Snapshot::read(folder, source) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => {
                let note = "no earlier answer of it is kept on this machine";
                return Err(Box::new(error().note(note)));
            }
            Err(problem) => {
                return Err(Box::new(error().note(format!("failed to {problem}"))));
            }
        };
        let age_s = now_s().saturating_sub(snapshot.taken_at_s);
        let age = age_words(age_s);
        let is_old = age_s > SNAPSHOT_LIMIT_SECONDS;
        if is_old && self.purpose == (Purpose::Change { with_old_snapshot: false }) {
            let limit = age_words(SNAPSHOT_LIMIT_SECONDS);
            let message = format!("{origin} is away, and what it said {age} ago is too old");
            return Err(Box::new(
                Diagnostic::error(TOO_OLD, message)
                    .note(format!("failed to {reason}"))
                    .note(format!("hosts are changed by answers of the last {limit} only"))
                    .hint("if the hosts are still the same: --inventory-snapshot-ok"),
            ));
        }
        let message = format!("{origin} IS AWAY: the hosts are those that it had {age} ago");
        let warning = Diagnostic::warning(UNREACHABLE, message)
            .note(format!("failed to {reason}"))
            .note("machines that came or went since are not known");
        Ok(self.take(snapshot, vec![warning]))
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// An age as people say it.
fn age_words(seconds: u64) -> String {
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    match units.iter().find(|(length, _)| seconds >= 2 * length) {
        Some((length, name)) => format!("{} {name}", seconds / length),
        None if seconds == 1 => "1 second".to_owned(),
        None => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::age_words;

    #[test]
    fn ages_are_told_in_words() {
        let table = [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (3_600, "60 minutes"),
            (7_200, "2 hours"),
            (200_000, "2 days"),
        ];
        for (seconds, expected) in table {
            assert_eq!(age_words(seconds), expected);
        }
    }
}

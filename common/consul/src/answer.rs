//! Answers: what the head says about their age, and what their body holds.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ConsulError;
use crate::request::{Consistency, Subject};

/// How much of an unexpected answer is quoted, in characters: a proxy may answer with a page.
const QUOTED_CHARACTERS: usize = 120;

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// What its headers say.
    pub head: Head,
    /// Its text.
    pub body: Vec<u8>,
}

/// What the headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// `X-Consul-Index`: what a blocking query waits for a successor of.
    pub index: Option<u64>,
    /// `X-Consul-KnownLeader`.
    pub known_leader: Option<bool>,
    /// `X-Consul-LastContact`: when the server last heard from the leader, in milliseconds.
    pub last_contact_ms: Option<u64>,
    /// `X-Consul-Results-Filtered-By-ACLs` (Consul 1.11 and later).
    pub is_filtered: bool,
}

impl Head {
    /// Takes a header, whatever its name; those that mean nothing here are left.
    pub fn take(&mut self, name: &str, value: &str) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("x-consul-index") {
            self.index = value.parse().ok();
        } else if name.eq_ignore_ascii_case("x-consul-knownleader") {
            self.known_leader = value.parse().ok();
        } else if name.eq_ignore_ascii_case("x-consul-lastcontact") {
            self.last_contact_ms = value.parse().ok();
        } else if name.eq_ignore_ascii_case("x-consul-results-filtered-by-acls") {
            self.is_filtered = value.eq_ignore_ascii_case("true");
        }
    }
}

/// A decoded answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What the headers say.
    pub head: Head,
    /// What it holds.
    pub value: T,
}

/// Reads an answer. A key or prefix that isn't there is an empty list.
///
/// # Errors
/// When it is refused, incomplete, too old or no answer at all.
pub fn decode<T: DeserializeOwned + Default>(
    subject: &Subject,
    consistency: Consistency,
    raw: &RawAnswer,
) -> Result<Answer<T>, ConsulError> {
    let what = subject.words();
    let is_key = matches!(subject, Subject::Key(_) | Subject::Keys(_) | Subject::KeyNames(_));
    match raw.status {
        200 => {}
        404 if is_key => return Ok(Answer { head: raw.head, value: T::default() }),
        403 => return Err(ConsulError::Denied { what, needs: subject.permission() }),
        429 => return Err(ConsulError::Busy { what }),
        status => {
            let text = String::from_utf8_lossy(&raw.body);
            if status >= 500 && text.contains("No cluster leader") {
                return Err(ConsulError::NoLeader { what });
            }
            // Consul 1.8 answers some requests of unknown tokens with 500.
            if text.contains("ACL not found") || text.contains("Permission denied") {
                return Err(ConsulError::Denied { what, needs: subject.permission() });
            }
            let text = text.trim().chars().take(QUOTED_CHARACTERS).collect();
            return Err(ConsulError::Refused { what, status, text });
        }
    }
    if raw.head.is_filtered {
        return Err(ConsulError::Filtered { what, needs: subject.permission() });
    }
    if let Consistency::Stale { max_age_ms } = consistency {
        let age_ms = raw.head.last_contact_ms.unwrap_or(0);
        if age_ms > max_age_ms {
            return Err(ConsulError::TooOld { what, age_ms, limit_ms: max_age_ms });
        }
    }
    let value: Option<T> = serde_json::from_slice(&raw.body)
        .map_err(|error| ConsulError::Malformed { what, reason: error.to_string() })?;
    Ok(Answer { head: raw.head, value: value.unwrap_or_default() })
}

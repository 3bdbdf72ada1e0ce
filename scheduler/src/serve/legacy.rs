//! What a leader leaves for the next one, beside the records: events with their numbers, decisions,
//! policies and answers to requests with keys. They are notes of the store, durable with the write that
//! they tell of, and of each kind only the last ones are left.

use std::collections::{BTreeMap, VecDeque};

use scheduler::wire::Answer;
use scheduler_core::command::Command;
use scheduler_core::decision::Decision;
use scheduler_core::ids::RequestId;
use scheduler_store::Note;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::journal::Entry;
use super::policies::PolicyChange;

/// Events that are left: who was away for longer is told of a gap. A packed event is some 30 bytes, so
/// all of them are a tenth of what Consul takes in one value.
const EVENTS_LEFT: u64 = 1_000;

/// Decisions that are left.
const DECISIONS_LEFT: u64 = 1_000;

/// Policies that are left, with their texts.
const POLICIES_LEFT: u64 = 20;

/// Answers that are left.
const ANSWERS_LEFT: u64 = 1_000;

/// Notes that are deleted with a new one: one more than is needed, so that what an earlier leader left
/// too much becomes less.
const DELETED_MOST: usize = 2;

/// The key of a request, and what was asked with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed {
    /// The key.
    pub key: String,
    /// The digest of method, path and body.
    pub request: String,
}

/// The answer to a request with a key, as it is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerLeft {
    /// What was asked.
    pub keyed: Keyed,
    /// What came of it: the body of the answer.
    pub answer: Value,
}

impl AnswerLeft {
    fn new(keyed: Keyed, answer: &impl Serialize) -> Self {
        // Answers are structures of plain fields: they can be written.
        AnswerLeft { keyed, answer: serde_json::to_value(answer).unwrap_or_default() }
    }
}

/// All that earlier leaders have left.
#[derive(Debug)]
pub struct Legacy {
    /// Events, with their numbers.
    pub events: Vec<Entry>,
    /// Lines of the decision log.
    pub decisions: Vec<Vec<u8>>,
    /// Policies.
    pub policies: Vec<PolicyChange>,
    /// Answers.
    pub answers: Vec<AnswerLeft>,
    /// What goes on from there.
    pub estate: Estate,
}

impl Legacy {
    /// Reads notes. What isn't understood was left by a newer program, and is passed over.
    pub fn read(notes: &BTreeMap<String, Vec<u8>>) -> Self {
        let (events, left_events) = Series::found("event", EVENTS_LEFT, notes);
        let (decisions, left_decisions) = Series::found("decision", DECISIONS_LEFT, notes);
        let (policies, left_policies) = Series::found("policy", POLICIES_LEFT, notes);
        let (answers, left_answers) = Series::found("key", ANSWERS_LEFT, notes);
        Legacy {
            events: read_all(&left_events),
            decisions: left_decisions.into_iter().map(<[u8]>::to_vec).collect(),
            policies: read_all(&left_policies),
            answers: read_all(&left_answers),
            estate: Estate {
                events,
                decisions,
                policies,
                answers,
                asked: BTreeMap::new(),
                decided: Vec::new(),
                notes: Vec::new(),
                under_way: Vec::new(),
            },
        }
    }
}

fn read_all<T: DeserializeOwned>(values: &[&[u8]]) -> Vec<T> {
    values.iter().filter_map(|value| serde_json::from_slice(value).ok()).collect()
}

/// Numbered notes of one kind.
#[derive(Debug)]
struct Series {
    kind: &'static str,
    most: u64,
    /// The numbers of those that are left, or will be: there may be gaps.
    left: VecDeque<u64>,
    /// The number of the next one.
    next: u64,
}

impl Series {
    fn found<'a>(
        kind: &'static str,
        most: u64,
        notes: &'a BTreeMap<String, Vec<u8>>,
    ) -> (Self, Vec<&'a [u8]>) {
        let prefix = format!("{kind}/");
        let of_kind = notes.iter().filter_map(|(name, value)| {
            Some((name.strip_prefix(&prefix)?.parse::<u64>().ok()?, value.as_slice()))
        });
        let found: BTreeMap<u64, &[u8]> = of_kind.collect();
        let next = found.keys().next_back().map_or(1, |last| last.saturating_add(1));
        let series = Series { kind, most, left: found.keys().copied().collect(), next };
        (series, found.into_values().collect())
    }

    fn name(&self, number: u64) -> String {
        format!("{}/{number:020}", self.kind)
    }

    /// One more, with the next number or one behind it.
    fn add(&mut self, number: u64, value: &impl Serialize, notes: &mut Vec<Note>) {
        self.next = number.saturating_add(1);
        self.left.push_back(number);
        notes.push(Note::set(&self.name(number), value));
        for _ in 0..DELETED_MOST {
            if self.left.len() as u64 > self.most
                && let Some(oldest) = self.left.pop_front()
            {
                notes.push(Note::delete(&self.name(oldest)));
            }
        }
    }
}

/// What a leader leaves.
#[derive(Debug)]
pub struct Estate {
    events: Series,
    decisions: Series,
    policies: Series,
    answers: Series,
    /// Requests with keys that aren't durable yet.
    asked: BTreeMap<RequestId, Keyed>,
    /// Decisions that are left already, and come again when they are durable.
    decided: Vec<Decision>,
    /// Notes that wait for the next write.
    notes: Vec<Note>,
    /// Notes that are on their way with a write.
    under_way: Vec<Note>,
}

impl Estate {
    /// A call has a key.
    pub fn asked(&mut self, request: RequestId, keyed: Keyed) {
        self.asked.insert(request, keyed);
    }

    /// A call has got its answer: if it was refused, or changed nothing, it is not left.
    pub fn answered(&mut self, request: RequestId) {
        self.asked.remove(&request);
    }

    /// A decision goes into the log. Most have been left with the write that they waited for.
    pub fn decided(&mut self, decision: &Decision) {
        match self.decided.iter().position(|known| known == decision) {
            Some(place) => drop(self.decided.swap_remove(place)),
            None => self.leave_decision(decision),
        }
    }

    fn leave_decision(&mut self, decision: &Decision) {
        let number = self.decisions.next;
        self.decisions.add(number, decision, &mut self.notes);
    }

    /// Notes that are to become durable alone: a policy that shall be live from then on, and what whoever
    /// asked for it with a key is told then.
    pub fn policy(&mut self, change: &PolicyChange, keyed: Option<Keyed>) -> Vec<Note> {
        let mut notes = Vec::new();
        self.policies.add(change.number(), change, &mut notes);
        if let Some(keyed) = keyed {
            let left = AnswerLeft::new(keyed, &change.answer());
            self.answers.add(self.answers.next, &left, &mut notes);
        }
        notes
    }

    /// A policy that is live, with the next write.
    pub fn begun(&mut self, change: &PolicyChange) {
        let mut notes = self.policy(change, None);
        self.notes.append(&mut notes);
    }

    /// Notes that go with a write: what has happened by it, and what waits for it.
    pub fn with_write<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a Entry>,
        held: &[Command],
    ) -> Vec<Note> {
        // The others would be deleted at once.
        let events: Vec<&Entry> = events.into_iter().collect();
        let most = usize::try_from(EVENTS_LEFT).unwrap_or(usize::MAX);
        for entry in events.iter().skip(events.len().saturating_sub(most)) {
            self.events.add(entry.number, entry, &mut self.notes);
        }
        for command in held {
            match command {
                Command::Record(decision) if !self.decided.contains(decision) => {
                    self.leave_decision(decision);
                    self.decided.push((**decision).clone());
                }
                Command::Answer { request, answer: Ok(accepted) } => {
                    let Some(keyed) = self.asked.remove(request) else { continue };
                    let left = AnswerLeft::new(keyed, &Answer::from(accepted.clone()));
                    let number = self.answers.next;
                    self.answers.add(number, &left, &mut self.notes);
                }
                _ => {}
            }
        }
        self.under_way = std::mem::take(&mut self.notes);
        self.under_way.clone()
    }

    /// The write is durable.
    pub fn durable(&mut self) {
        // A large one leaves no room for as much.
        self.under_way = Vec::new();
    }

    /// The write isn't durable: its notes go with the next one.
    pub fn not_durable(&mut self) {
        let later = std::mem::take(&mut self.notes);
        self.notes = std::mem::take(&mut self.under_way);
        self.notes.extend(later);
    }

    /// What would wait for a write that doesn't come any more.
    pub fn rest(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

#[cfg(test)]
#[path = "../legacy_tests.rs"]
mod tests;

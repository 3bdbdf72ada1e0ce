//! Helpers of other users, started when a call first needs them and kept for the session.
//!
//! The order of calls stays strict across users: the next call starts only after the previous one
//! has ended, whoever runs it.

mod child;
mod sudo;

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use provision_protocol::{Become, Call, CallResult};

use self::child::{Child, Heard};
use super::execute::{Limit, Upstream};
use super::link::{FromChild, ToChild};
use super::result::{Stop, result_object};
use super::session::Session;
use crate::module::Failure;
use crate::names;

/// How often a request to stop is looked at while a child works, in milliseconds.
const STOP_CHECK_MS: u64 = 50;

/// How long a child may take to end its call after it was asked to, in milliseconds; a little
/// longer than it takes the child itself to kill what doesn't want to end.
const STOP_GRACE_MS: u64 = 12_000;

/// Other users in one session: a play with more is broken.
const CHILDREN_LIMIT: usize = 64;

/// The helpers of other users.
#[derive(Debug, Default)]
pub struct Descendants {
    children: BTreeMap<Become, Child>,
    /// Who could not be become, and why: a wrong password is tried once a session, no more.
    refused: BTreeMap<Become, Failure>,
    requests: u64,
}

impl Descendants {
    /// Runs a call as another user; `None`: that user is the one we are.
    ///
    /// # Errors
    /// When the user can't be become, or its helper ends unexpectedly.
    pub fn run(
        &mut self,
        call: &Call,
        wanted: &Become,
        session: &Session<'_>,
    ) -> Result<Option<CallResult>, Failure> {
        let user = names::user_by_name(&wanted.user)
            .map_err(|error| Failure::new(format!("failed to look up {}: {error}", wanted.user)))?
            .ok_or_else(|| {
                Failure::new(format!("failed to become {}: no such user", wanted.user))
            })?;
        if user.uid == geteuid().as_raw() {
            return Ok(None);
        }
        if let Some(failure) = self.refused.get(wanted) {
            return Err(failure.clone());
        }
        if !self.children.contains_key(wanted) {
            if self.children.len() >= CHILDREN_LIMIT {
                return Err(Failure::new("too many different users in one session"));
            }
            let started = if geteuid().is_root() {
                child::start_dropped(&user)
            } else {
                sudo::start(wanted, &user, session, &mut self.requests)
            };
            match started {
                Ok(child) => {
                    self.children.insert(wanted.clone(), child);
                }
                Err(failure) => {
                    if !session.inbox.is_cancelled() {
                        self.refused.insert(wanted.clone(), failure.clone());
                    }
                    return Err(failure);
                }
            }
            session.spare(self.children.values().map(Child::process).collect());
        }
        let Some(child) = self.children.get_mut(wanted) else {
            return Err(Failure::new("the helper of another user has vanished"));
        };
        match follow(child, call, session) {
            Ok(result) => Ok(Some(result)),
            Err(failure) => {
                if let Some(child) = self.children.remove(wanted) {
                    child.kill();
                }
                Err(failure)
            }
        }
    }

    /// Tells all to end.
    pub fn dismiss(&mut self) {
        for (_, child) in std::mem::take(&mut self.children) {
            child.dismiss();
        }
    }
}

/// Hands a call to a child and serves it until the call ends.
fn follow(child: &mut Child, call: &Call, session: &Session<'_>) -> Result<CallResult, Failure> {
    let began = Instant::now();
    let limit = Limit::new(call, began);
    let forwarded = Call { r#become: None, ..call.clone() };
    child.say(&ToChild::Call(Box::new(forwarded)))?;
    let mut asked_to_stop: Option<Instant> = None;
    loop {
        match child.hear(Duration::from_millis(STOP_CHECK_MS)) {
            Ok(Heard::Message(FromChild::Result(result))) if result.id == call.id => {
                return Ok(*result);
            }
            Ok(Heard::Message(FromChild::NeedContent { sha256 })) => {
                send_content(child, call, &sha256, session)?;
            }
            Ok(Heard::Message(FromChild::Intent)) => {
                let failure = session.record_intent(call).err().map(|failure| failure.message);
                child.say(&ToChild::IntentRecorded { failure })?;
            }
            Ok(Heard::Message(_)) => {
                return Err(Failure::new("the helper of another user said something unexpected"));
            }
            Ok(Heard::End(reason)) | Err((RecvTimeoutError::Disconnected, reason)) => {
                return Err(Failure::new(format!(
                    "the helper of another user ended unexpectedly: {reason}"
                )));
            }
            Err((RecvTimeoutError::Timeout, _)) => {}
        }
        if session.inbox.is_cancelled() && asked_to_stop.is_none() {
            child.say(&ToChild::Cancel)?;
            asked_to_stop = Some(Instant::now());
        }
        if limit.is_over() {
            // The child knows the limit itself.
            asked_to_stop.get_or_insert_with(Instant::now);
        }
        if asked_to_stop.is_some_and(|since| since.elapsed() > Duration::from_millis(STOP_GRACE_MS))
        {
            child.kill_now();
            let failure = Failure::new("the helper of another user did not stop and was killed");
            let stop = Some(Stop::Cancelled);
            return Ok(CallResult {
                id: call.id,
                result: result_object(call, Err(failure), stop),
                duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            });
        }
    }
}

fn send_content(
    child: &mut Child,
    call: &Call,
    sha256: &str,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let sha256 = sha256.to_owned();
    if !call.contents.iter().any(|content| content.sha256 == sha256) {
        let reason = "the call does not name it".to_owned();
        return child.say(&ToChild::ContentRefused { sha256, reason });
    }
    let mut ask = || session.need_content(call.id, &sha256);
    let stopped = || session.inbox.is_cancelled();
    match session.inbox.content(&sha256, &stopped, &mut ask) {
        Ok(content) => child.send(&sha256, &content),
        Err(failure) => child.say(&ToChild::ContentRefused { sha256, reason: failure.message }),
    }
}

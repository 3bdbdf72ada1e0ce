//! Admission at the gateway: before any work is spent, accept permits, a limit that adapts, priorities
//! under overload, deadlines, and per user and per command a rate and a number of requests in flight.
//!
//! All rules are asked before anything is counted: a refused request leaves no trace in the
//! accounts (a gate counts what comes, because that is what it is about). What a later stage
//! refuses (a full queue) has used its part of the rates, because it did arrive, and gives back its
//! permits by [`release`]; a limit that adapts is also told what became of it, by
//! [`Limiter::on_answer`].

use serde::{Deserialize, Serialize};

use crate::adaptive::{Adaptive, Limiter};
use crate::dagor::{Dagor, Gate, Priority};
use crate::{Class, Nanoseconds, Refusal, Scope, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Admission {
    /// Requests that a gateway holds at the same time.
    pub accept: Option<Permits>,
    /// Limits of each user.
    pub user: Option<Limits>,
    /// Limits of each command.
    pub cmd: Option<Limits>,
    /// Whether requests are refused that can't be answered in time.
    pub deadlines: Deadlines,
    /// A limit of all requests in flight that adapts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// Who is let in while an app is overloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overload: Option<Dagor>,
}

/// A number of permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permits {
    /// How many.
    pub permits: u32,
    /// Counted over what.
    pub scope: Scope,
}

/// What is done about requests whose time is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadlines {
    /// Nothing: they are worked on like others.
    #[default]
    Ignore,
    /// Refused when the time left is shorter than the median of their command.
    Refuse,
    /// Likewise; refused also if it is shorter than that and the wait that is predicted at the target
    /// ([`crate::prediction`]), and dropped if it has become shorter than the median when a request
    /// is taken out of its queue. (Deadline propagation: Beyer et al., "Site Reliability
    /// Engineering", 2016, chapter 22.)
    Predict,
}

/// Limits of one user or one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How fast.
    pub rate: Option<Rate>,
    /// How many at the same time.
    pub concurrency: Option<u32>,
    /// Counted over what.
    pub scope: Scope,
}

/// A rate for the generic cell rate algorithm (GCRA; ITU-T I.371): `burst` requests at once, then
/// one each `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Time between requests at the full rate.
    pub interval: Nanoseconds,
    /// How far a request may be early: (burst − 1) intervals.
    pub tolerance: Nanoseconds,
}

impl Rate {
    /// One request each `interval`, and `burst` of them at once; a burst of 0 counts as 1.
    #[must_use]
    pub const fn new(interval: Nanoseconds, burst: u32) -> Self {
        let early = (burst as u64).saturating_sub(1);
        Rate { interval, tolerance: Nanoseconds(interval.0.saturating_mul(early)) }
    }
}

/// The account of one user or one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// Requests in flight.
    pub in_flight: u32,
    /// The theoretical arrival time of GCRA: when the next request would come at the full rate.
    pub expected: Time,
}

/// The accounts that one request touches. Who owns them (a sharded map, a vector) is the caller's.
#[derive(Debug)]
pub struct Accounts<'a> {
    /// Requests that hold an accept permit.
    pub accepted: &'a mut u32,
    /// The user's account.
    pub user: &'a mut Account,
    /// The command's account.
    pub cmd: &'a mut Account,
    /// What was learned from requests before, if any rule learns.
    pub learned: Option<&'a mut Learned<'a>>,
}

/// What was learned from requests before.
#[derive(Debug)]
pub struct Learned<'a> {
    /// The limit that adapts, if there is one, and the class of the request.
    pub limiter: Option<(&'a mut Limiter, Class)>,
    /// The gate of the app, up to now, and the priority of the request, if there are priorities.
    pub gate: Option<(&'a mut Gate, Priority)>,
}

impl Learned<'_> {
    /// A request that passes the gate counts there, even if it isn't let in.
    #[cold]
    fn ask(&mut self, rules: &Admission) -> Result<(), Refusal> {
        if let (Some((limiter, class)), Some(rules)) = (&self.limiter, &rules.adaptive)
            && limiter.is_full(rules, *class)
        {
            return Err(Refusal::AdaptiveLimit);
        }
        if let Some((gate, priority)) = &mut self.gate {
            gate.ask(*priority)?;
        }
        Ok(())
    }

    #[cold]
    fn enter(&mut self) {
        if let Some((limiter, class)) = &mut self.limiter {
            limiter.enter(*class);
        }
    }
}

/// What admission must know of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// When the client stops waiting; [`Time`]'s maximum if never.
    pub deadline: Time,
    /// How long its command usually takes (median).
    pub usual: Nanoseconds,
}

/// Whether a request may enter; if so, it is counted.
///
/// # Errors
/// The first rule that refuses it, in the order of [`Refusal`]; nothing is counted then, but that it
/// has come to the gate of its app ([`Gate::ask`]).
#[inline(always)]
pub fn admit(
    rules: &Admission,
    accounts: Accounts<'_>,
    candidate: Candidate,
    now: Time,
) -> Result<(), Refusal> {
    if rules.accept.is_some_and(|accept| *accounts.accepted >= accept.permits) {
        return Err(Refusal::AcceptPermits);
    }
    let mut learned = accounts.learned;
    if let Some(learned) = &mut learned {
        learned.ask(rules)?;
    }
    if rules.deadlines != Deadlines::Ignore && now + candidate.usual > candidate.deadline {
        return Err(Refusal::Deadline);
    }
    if let Some(limits) = &rules.user {
        within(limits, accounts.user, now, Refusal::UserRate, Refusal::UserConcurrency)?;
    }
    if let Some(limits) = &rules.cmd {
        within(limits, accounts.cmd, now, Refusal::CmdRate, Refusal::CmdConcurrency)?;
    }
    *accounts.accepted = accounts.accepted.saturating_add(1);
    count(rules.user.as_ref(), accounts.user, now);
    count(rules.cmd.as_ref(), accounts.cmd, now);
    if let Some(learned) = learned {
        learned.enter();
    }
    Ok(())
}

/// Gives back what an admitted request held; called once, when it is over. The limit that adapts
/// counts for itself: see [`Limiter::on_answer`].
#[inline(always)]
pub fn release(accounts: Accounts<'_>) {
    *accounts.accepted = accounts.accepted.saturating_sub(1);
    accounts.user.in_flight = accounts.user.in_flight.saturating_sub(1);
    accounts.cmd.in_flight = accounts.cmd.in_flight.saturating_sub(1);
}

#[inline(always)]
fn within(
    limits: &Limits,
    account: &Account,
    now: Time,
    rate: Refusal,
    concurrency: Refusal,
) -> Result<(), Refusal> {
    if limits.rate.is_some_and(|rate| account.expected > now + rate.tolerance) {
        return Err(rate);
    }
    if limits.concurrency.is_some_and(|most| account.in_flight >= most) {
        return Err(concurrency);
    }
    Ok(())
}

#[inline(always)]
fn count(limits: Option<&Limits>, account: &mut Account, now: Time) {
    account.in_flight = account.in_flight.saturating_add(1);
    if let Some(rate) = limits.and_then(|limits| limits.rate) {
        account.expected = account.expected.max(now) + rate.interval;
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;

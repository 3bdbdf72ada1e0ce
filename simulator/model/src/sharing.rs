//! Who lends idle instances to whom, and what is told of it.
//!
//! A slot is lent in four steps, each of which takes its time. An instance of the lender leaves, as
//! when it scales in. Then an instance of the borrower starts in its place. When the slot is called
//! back, that takes nothing new and leaves as soon as it has nothing to do; what it still works on
//! at the deadline is stopped. Then an instance of the lender starts again.

use std::fmt;

use policy::sharing::{Sharing as Rules, Unfinished};
use policy::{Nanoseconds, Time};

use crate::model::Model;

/// Apps that share machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// When what is lent and called back.
    pub rules: Rules,
    /// Who lends to whom. No app is in two of them.
    pub pairs: Vec<Pair>,
}

/// One app lends to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The one that lends, as a place in [`Model::apps`]: synchronous work.
    pub lender: usize,
    /// The one that borrows: asynchronous work.
    pub borrower: usize,
}

/// What becomes of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Which pair, as a place in [`Sharing::pairs`].
    pub pair: usize,
    /// Where it is.
    pub machine: u32,
    /// What has happened.
    pub turn: Turn,
}

/// What happens to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The lender has left it, and an instance of the borrower starts.
    Lent,
    /// It is called back.
    Called {
        /// It must be given by then.
        due: Time,
    },
    /// It is the lender's again.
    Back {
        /// Since when the borrower had it; none if it never did.
        lent: Option<Time>,
        /// When it was called back; none if it wasn't.
        called: Option<Time>,
        /// How it came back.
        how: Returned,
    },
}

/// How a slot came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Its borrower had nothing to do any more.
    Idle,
    /// Its borrower was stopped at the deadline.
    Stopped,
    /// Its borrower ended by itself.
    Crashed,
    /// Its machine has failed.
    Lost,
}

/// Work that was stopped because its slot had to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Which pair, as a place in [`Sharing::pairs`].
    pub pair: usize,
    /// Since when it was worked on: all of that is lost.
    pub start: Time,
    /// What becomes of it.
    pub fate: Unfinished,
}

/// Why apps can't share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// An app is in two pairs, or lends to itself.
    Twice,
    /// Something else starts and ends instances of these apps, too.
    Scales,
    /// Instances work on several requests at a time.
    Crowds,
    /// Instances of both need different things of their machine.
    Needs,
    /// The lender is on machines on which the borrower isn't.
    Machines,
    /// Instances of the borrower hold their machine for longer than the deadline of a return.
    CoolDown,
    /// A scheduler starts and ends instances.
    Scheduler,
    /// The rule would be asked all the time.
    Interval,
    /// Instances take requests from a queue of the gateways.
    Central,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::Twice => "an app can lend to one other app, or borrow from one, not more",
            Unfit::Scales => "apps that share can't have `scales` yet",
            Unfit::Crowds => "apps that share can't have a `concurrency` yet",
            Unfit::Needs => {
                "instances of both need as many cores: one takes the place of the other"
            }
            Unfit::Machines => "the borrower must be on all machines of the lender",
            Unfit::CoolDown => {
                "the `cool_down` of the borrower is longer than policy.sharing.give_back"
            }
            Unfit::Scheduler => {
                "apps share with `control: direct` only; a scheduler can't lend yet"
            }
            Unfit::Interval => "policy.sharing.interval must be more than 0",
            Unfit::Central => "apps that share can't have policy.queue.scope: central yet",
        })
    }
}

impl Sharing {
    /// Whether a model can be run so.
    ///
    /// # Errors
    /// Which pair can't share, and why; the first one if it is about all.
    pub fn check(&self, model: &Model) -> Result<(), (usize, Unfit)> {
        if model.dynamics.scheduler.is_some() {
            return Err((0, Unfit::Scheduler));
        }
        if self.rules.interval == Nanoseconds::ZERO {
            return Err((0, Unfit::Interval));
        }
        if model.queue.scope == policy::queue::QueueScope::Central {
            return Err((0, Unfit::Central));
        }
        let mut known = Vec::new();
        for (place, pair) in self.pairs.iter().enumerate() {
            if pair.lender == pair.borrower
                || known.contains(&pair.lender)
                || known.contains(&pair.borrower)
            {
                return Err((place, Unfit::Twice));
            }
            known.extend([pair.lender, pair.borrower]);
            self.check_pair(*pair, model).map_err(|reason| (place, reason))?;
        }
        Ok(())
    }

    fn check_pair(&self, pair: Pair, model: &Model) -> Result<(), Unfit> {
        let apps = (model.apps.get(pair.lender), model.apps.get(pair.borrower));
        let (Some(lender), Some(borrower)) = apps else { return Err(Unfit::Twice) };
        if lender.life.bounds.or(borrower.life.bounds).is_some() {
            return Err(Unfit::Scales);
        }
        if lender.crowd.is_some() || borrower.crowd.is_some() {
            return Err(Unfit::Crowds);
        }
        if lender.life.needs != borrower.life.needs {
            return Err(Unfit::Needs);
        }
        if lender.machines > borrower.machines {
            return Err(Unfit::Machines);
        }
        if borrower.life.cool_down > self.rules.give_back {
            return Err(Unfit::CoolDown);
        }
        Ok(())
    }
}

//! What a host would do next, as plain data, and how a batch is ordered.
//! This file must never decide: the rules stand in `dispatcher.rs`.

use crate::Position;

/// What a step can touch or observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing outside its own host.
    Host,
    /// Anything: other hosts, other hosts' variables, services between them.
    World,
}

/// How a step stands to the other steps of its *own* host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Its calls go down the host's own channel, whose helper stops behind a failure: it may
    /// follow steps that are in flight, and others may follow it.
    Streamed,
    /// It goes down the host's own channel, but only the controller can judge whether it failed
    /// (`failed_when`, `until`): nothing of this host is sent before it has finished.
    Judged,
    /// It runs elsewhere (delegated, or on the controller): it is not sent before all steps of
    /// this host have finished, and nothing of this host is sent before it has finished.
    Alone,
}

/// On how many hosts a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// On every host that meets it.
    Each,
    /// `run_once`: on the first active host that meets it. Fenced as if its evaluation were
    /// [`Scope::World`]; running it is fenced as its scope says, for the hosts that share its
    /// result stand at its position meanwhile. Under [`Order::Free`] it is an ordinary step.
    Once,
}

/// How the hosts of a batch are ordered among each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Strategy `linear`: World steps are fenced.
    Fenced,
    /// Strategies `free` and `host_pinned`: no fences, only the order of a host's own steps.
    Free,
    /// `--strict-order`: a fence at every step and nothing sent ahead.
    Strict,
}

/// What a host would do next.
///
/// The fields say what is known about the host's path from here; "may meet" is to be answered
/// with yes when it is not known. An include that is not expanded yet may contain a World step:
/// it counts as one (at its own position). A block's rescue and always lie on every path that
/// enters the block, for any step of it may fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands; after every earlier step of the host.
    pub position: Position,
    /// What running it can touch or observe.
    pub scope: Scope,
    /// What evaluating its keywords and templates reads: [`Scope::World`] if it reads `hostvars`,
    /// `groups`, `ansible_play_hosts` or anything else that other hosts' results can change.
    pub evaluation: Scope,
    /// How it stands to the host's own other steps.
    pub flow: Flow,
    /// Whether it runs on each host or once.
    pub turn: Turn,
    /// The first position *after* [`Step::position`] at which the host may meet a step whose
    /// scope or evaluation is World, whatever the outcome of this step. `None`: it meets none.
    pub world_after: Option<Position>,
    /// The first position at which the host may meet a World step *if this step fails*: looked up
    /// from where the host would go on (the rescue or always of the innermost block that has
    /// one), inclusive. `None` if there is none, if the host would leave the play, or if a failure
    /// is ignored. Never before [`Step::world_after`].
    pub world_if_failed: Option<Position>,
}

impl Step {
    /// A streamed step that touches and reads nothing outside its host; of what follows, nothing
    /// is known. Whoever knows more sets the fields.
    #[must_use]
    pub fn host(position: Position) -> Self {
        let least = position.child(0);
        Self {
            position,
            scope: Scope::Host,
            evaluation: Scope::Host,
            flow: Flow::Streamed,
            turn: Turn::Each,
            world_after: Some(least.clone()),
            world_if_failed: Some(least),
        }
    }

    /// A streamed step of scope World whose evaluation reads only its host's own data.
    #[must_use]
    pub fn world(position: Position) -> Self {
        Self { scope: Scope::World, ..Self::host(position) }
    }

    /// Whether running it is fenced.
    pub(crate) fn runs_in_world(&self) -> bool {
        self.scope == Scope::World
    }

    /// Whether evaluating it is fenced.
    pub(crate) fn reads_world(&self) -> bool {
        self.evaluation == Scope::World || self.turn == Turn::Once
    }

    /// Whether it stands as a fence before the host's own later steps until it is sent.
    pub(crate) fn is_fence(&self) -> bool {
        self.runs_in_world() || self.reads_world()
    }
}

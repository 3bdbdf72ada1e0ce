//! `[pure]` What may be evaluated and sent to which host now: fences between hosts (DESIGN.md 3.1).
//!
//! The controller evaluates a task for a host into a finished call and sends it before earlier
//! results are known; the helper on the host runs calls strictly in order and drops what stands
//! behind a failure. [`Dispatcher`] says when that can't be told from Ansible's `linear` order:
//! one task at a time, over all hosts that meet it, in the order of positions.
//!
//! # The rule
//!
//! Of each active host the dispatcher keeps two positions:
//!
//! - its **frontier**: its first unfinished position. Everything before it is over on this host
//!   and nothing before it will come.
//! - its **obligation**: the first position at which it may still run or evaluate something of
//!   scope World. That is the least of: the World steps in flight; for each step in flight, the
//!   first World position from where its *failure* would lead ([`Step::world_if_failed`]); the
//!   announced step if its scope or evaluation is World; what may follow ([`Step::world_after`]).
//!
//! Then, for a host whose announced step stands at `p`, looking at the *other* active hosts only:
//!
//! 1. *Entry*: a World step is sent, and an evaluation of scope World is made, when no frontier
//!    is before `p`.
//! 2. *Exit*: any other step is sent or evaluated when no obligation is before `p`. (An obligation
//!    is never before its host's frontier, so 1 implies 2.)
//! 3. `run_once`: the evaluation stands under 1; of the hosts at `p` the first evaluates and runs
//!    it, and the others wait until they are told that it has [`passed`](Dispatcher::passed).
//! 4. Among the host's own steps the channel keeps the order; [`Flow`] says where it can't.
//!
//! A World step that is skipped by an evaluation of scope Host thus never waits at the entry
//! fence, and others wait for it only until that evaluation, which waits for nobody's Host steps.
//! A failing host may be diverted to a World step in a rescue *before* positions that others have
//! in sight: that is what `world_if_failed` holds back, for just as long as a step that may fail
//! into that rescue is in flight or may follow, and not for the World steps between.
//!
//! # Why it is right
//!
//! *Invariant*: if a host may still run or evaluate a World step at `p`, no other active host has
//! sent or evaluated anything after `p`. Rules 1 and 2 demand it for each step that is added, and
//! obligations never decrease: the next step's is at least what the last one announced for its
//! case, success or failure. [`Dispatcher::next_is`] refuses a step for which this doesn't hold.
//!
//! Take the steps as they ran and sort them by (position, host). Two neighbours in the wrong order
//! are of different hosts: on one host positions increase, since a failing host drops what is
//! behind and goes on after the failed position. If both are of scope Host, in running and in
//! evaluation, they touch and read only their own hosts and can be swapped. If the later position
//! `q` is World, rule 1 let it begin only when each other active host had finished everything
//! before `q`: so nothing earlier came after it. If the earlier position `p` is World, the
//! invariant says that nothing after `p` was sent before it had ended. So the run can be sorted
//! into Ansible's order without changing a state or a result. The same holds for what evaluations
//! read, with "known to the controller" for "ran".
//!
//! *It is the weakest such rule*: a World step may observe every host, so whatever is unfinished
//! before it, and whatever is begun after it, can be told apart; the dispatcher holds back nothing
//! else, given what the steps say of their hosts' paths.
//!
//! *Progress*: take an active host with the least frontier (of several, the first). Either
//! something of it is in flight, and its result will come; or its announced step stands at the
//! least frontier, no obligation is before it, nothing of the host is in flight, and it is the
//! first at its position: it may be evaluated and sent.
//!
//! At one position hosts run at the same time, as with Ansible's forks: no order between them is
//! promised, except that `run_once` is alone.
//!
//! `tests/oracle.rs` compares random plays with an executor that runs one task at a time.
//!
//! # What the engine owes
//!
//! - Equal positions are the same task, and each host's positions increase.
//! - Each host's next step is announced as soon as it is known; what can't be known yet (an
//!   include) is announced as a step of its own and counts as World ahead.
//! - An evaluation that touches a name (reads it, or sets it without a call) which a step of the
//!   same host in flight will set waits for that step; so does a handler that such a step may
//!   notify. Values of other hosts need no such care: rules 1 and 2 have made them final.
//! - What is [`passed`](Dispatcher::passed) while steps are in flight (results of skipped tasks,
//!   facts set by the evaluation) is provisional: it can be taken back, and nobody is told of it
//!   before the dispatcher returns it as over. The dispatcher lets no other host read it before.
//! - Calls carry a generation. Having failed, a helper drops all calls of this generation; what
//!   the controller sends after it heard of the failure is of the next one.
//! - A task that fails while it is evaluated fails when nothing of its host is in flight any more:
//!   it is passed, and the next step announced is where the failure leads.
//! - A host that leaves is [deactivated](Dispatcher::deactivate) together with its last result,
//!   never declared at its end: others can see who is still in the play.
//! - When `run_once` has ended, all hosts at its position
//!   ([`announced_at`](Dispatcher::announced_at)) are passed with its result, at once.
//! - `any_errors_fatal` and `max_fail_percentage` make every step World.

mod dispatcher;
mod host;
mod position;
mod step;
mod verdict;

pub use dispatcher::Dispatcher;
pub use position::{HostIndex, Position};
pub use step::{Flow, Order, Scope, Step, Turn};
pub use verdict::{Misuse, Reason, Verdict};

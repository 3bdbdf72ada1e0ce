//! Spreading all apps again is planned a few apps a turn: each plan looks at thousands of machines, and
//! what else happens must not wait for hundreds of them. A plan is made of the state of its own turn, so
//! what has changed since the call is known to it; what earlier plans of the same call take and give back
//! is remembered. The call is answered when all apps were looked at. Nothing of this is stored: if another
//! scheduler leads before, the call has no answer, and what was planned so far goes on.

use std::collections::{BTreeMap, VecDeque};

use policy::Time;
use policy::spread::Room;

use crate::app::App;
use crate::command::Command;
use crate::event::{Accepted, Refusal};
use crate::ids::{AppName, MachineName, RequestId};
use crate::machine::room;
use crate::rebalance::{Ending, Ground, Plan, Rebalance};
use crate::state::State;
use crate::turn::Turn;

/// So many apps are planned in a turn: some 20 ms with 10,000 machines.
pub const APPS_A_TURN: usize = 16;

/// What plans take of machines and give back: given first.
pub(crate) type Noted = BTreeMap<MachineName, (Room, Room)>;

/// A call that isn't answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Planning {
    request: RequestId,
    /// Only this one, or all.
    only: Option<AppName>,
    at_a_time: u32,
    begun: Time,
    /// Apps that are still to be looked at.
    rest: VecDeque<AppName>,
    noted: Noted,
    moves: usize,
}

/// What a rebalance would do, looked at a few apps at a time: between two looks the state may change, and
/// nobody has to wait for all of them.
#[derive(Debug, Clone)]
pub struct Preview {
    rest: VecDeque<AppName>,
    noted: Noted,
}

impl Preview {
    /// Of an app, or of all.
    #[must_use]
    pub fn of(state: &State, only: Option<&AppName>) -> Self {
        let names = state.apps.keys().filter(|name| only.is_none_or(|one| one == *name));
        Preview { rest: names.cloned().collect(), noted: Noted::new() }
    }

    /// The next plans, with what makes some impossible; none when there are no more apps.
    pub fn next(
        &mut self,
        state: &State,
        now: Time,
    ) -> Option<Vec<(AppName, Result<Plan, Refusal>)>> {
        let count = self.rest.len().min(APPS_A_TURN);
        let names: Vec<AppName> = self.rest.drain(..count).collect();
        (count > 0).then(|| state.plans(&names, &mut self.noted, now))
    }
}

impl State {
    /// Whether there is more to be planned: the next turn goes on with it, even if nothing happens.
    #[must_use]
    pub fn is_planning(&self) -> bool {
        !self.planning.is_empty()
    }

    /// What a rebalance of an app, or of all, would do; with what makes it impossible.
    #[must_use]
    pub fn rebalance_plan(
        &self,
        only: Option<&AppName>,
        now: Time,
    ) -> BTreeMap<AppName, Result<Plan, Refusal>> {
        let names = self.apps.keys().filter(|name| only.is_none_or(|one| one == *name));
        let names: Vec<AppName> = names.cloned().collect();
        self.plans(&names, &mut Noted::new(), now).into_iter().collect()
    }

    /// Plans of some apps, in order; apps that are gone have none.
    fn plans(
        &self,
        names: &[AppName],
        noted: &mut Noted,
        now: Time,
    ) -> Vec<(AppName, Result<Plan, Refusal>)> {
        let mut ground = Ground::of(self, noted);
        let mut plans = Vec::new();
        for name in names {
            let Some(app) = self.apps.get(name) else { continue };
            let plan = match self.rebalance_refusal(name, app) {
                Some(refusal) => Err(refusal),
                None => Ok(self.plan_of(app, &mut ground, now)),
            };
            if let Ok(plan) = &plan {
                note(noted, app, plan);
            }
            plans.push((name.clone(), plan));
        }
        plans
    }
}

/// Remembers what a plan takes and gives back.
fn note(noted: &mut Noted, app: &App, plan: &Plan) {
    let need = app.specification().map_or_else(Room::default, |one| room(one.need));
    for one in &plan.moves {
        let from = noted.entry(one.from.clone()).or_default();
        from.0 = from.0.with(need);
        let to = noted.entry(one.to.clone()).or_default();
        to.1 = to.1.with(need);
    }
}

impl Turn<'_> {
    /// An app, or each, is to be spread again; the answer comes when that is planned.
    pub(crate) fn rebalance_call(
        &mut self,
        request: RequestId,
        only: Option<AppName>,
        at_a_time: u32,
    ) {
        let refused = match &only {
            _ if at_a_time == 0 => Some(Refusal::StepOfNone),
            Some(name) if !self.state.apps.contains_key(name) => {
                Some(Refusal::UnknownApp(name.clone()))
            }
            _ => None,
        };
        if let Some(refusal) = refused {
            return self.commands.push(Command::Answer { request, answer: Err(refusal) });
        }
        let rest = match &only {
            Some(name) => VecDeque::from([name.clone()]),
            None => self.state.apps.keys().cloned().collect(),
        };
        let (begun, noted) = (self.now, Noted::new());
        let planning = Planning { request, only, at_a_time, begun, rest, noted, moves: 0 };
        self.state.planning.push_back(planning);
    }

    /// The next apps of the first call that isn't answered yet.
    pub(crate) fn go_on_planning(&mut self) {
        let Some(mut planning) = self.state.planning.pop_front() else { return };
        let count = planning.rest.len().min(APPS_A_TURN);
        let names: Vec<AppName> = planning.rest.drain(..count).collect();
        let mut refused = None;
        for (name, plan) in self.state.plans(&names, &mut planning.noted, self.now) {
            match plan {
                Ok(plan) => self.spread_again(&name, plan, &mut planning),
                // Of all apps, those that can't aren't touched.
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        if !planning.rest.is_empty() {
            return self.state.planning.push_front(planning);
        }
        self.answer(&planning, refused);
    }

    fn answer(&mut self, planning: &Planning, refused: Option<Refusal>) {
        let answer = match (refused.filter(|_| planning.only.is_some()), planning.moves) {
            (Some(refusal), _) => Err(refusal),
            (None, 0) => Ok(Accepted::Unchanged),
            (None, moves) => Ok(Accepted::Moves(u32::try_from(moves).unwrap_or(u32::MAX))),
        };
        self.commands.push(Command::Answer { request: planning.request, answer });
    }

    fn spread_again(&mut self, name: &AppName, plan: Plan, planning: &mut Planning) {
        if plan.moves.is_empty() {
            return;
        }
        self.end_rebalance(name, Ending::Superseded);
        planning.moves += plan.moves.len();
        let (begun, at_a_time) = (planning.begun, planning.at_a_time);
        if let Some(app) = self.state.apps.get_mut(name) {
            app.rebalance = Some(Rebalance { begun, at_a_time, moves: plan.moves, ended: None });
        }
        self.app_changed(name);
    }

    /// What isn't planned yet isn't planned any more; whether there was anything. Calls are answered with
    /// what was planned so far.
    pub(crate) fn end_planning(&mut self, only: Option<&AppName>) -> bool {
        let mut was_any = false;
        for mut planning in std::mem::take(&mut self.state.planning) {
            let before = planning.rest.len();
            planning.rest.retain(|name| only.is_some_and(|one| one != name));
            was_any |= planning.rest.len() != before;
            if planning.rest.is_empty() {
                self.answer(&planning, None);
            } else {
                self.state.planning.push_back(planning);
            }
        }
        was_any
    }
}

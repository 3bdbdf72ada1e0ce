//! What the API says of apps that are spread again.

use scheduler_core::event::Refusal;
use scheduler_core::ids::{AppName, InstanceId};
use scheduler_core::rebalance::{Move, MoveState, Plan, Rebalance};
use serde::{Deserialize, Serialize};

use super::{count, moment};

/// Body of `rebalance`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Which app; all, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The most of an app that move at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_a_time: Option<u32>,
}

/// Body of `rebalance/cancel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopSpread {
    /// Of which app; of all, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// What spreading an app again would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadPlan {
    /// The app.
    pub app: String,
    /// Why it can't be done now.
    pub refused: Option<String>,
    /// What would move, in this order.
    pub moves: Vec<MoveRow>,
    /// Instances by machine.
    pub machines: Vec<CountRow>,
    /// Instances by rack.
    pub racks: Vec<CountRow>,
}

/// An instance that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRow {
    /// Its name.
    pub instance: String,
    /// The machine that it leaves.
    pub from: String,
    /// The machine on which another one takes its place.
    pub to: String,
    /// What it is good for: the counts before it.
    pub why: String,
    /// `planned`, `moving`, `done` or `skipped`.
    pub state: String,
    /// What more there is to say of that.
    pub text: String,
}

/// Instances of an app somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountRow {
    /// The machine, or the rack.
    pub name: String,
    /// Before all moves.
    pub before: u32,
    /// After all moves.
    pub after: u32,
}

/// An app that is being spread again, or was the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadRow {
    /// When it began.
    pub begun: String,
    /// The most that move at a time.
    pub at_a_time: u32,
    /// When it ended.
    pub ended: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Moves that were done.
    pub done: u32,
    /// Moves that are under way.
    pub moving: u32,
    /// Moves that were left out.
    pub skipped: u32,
    /// All of them.
    pub moves: Vec<MoveRow>,
}

/// What spreading an app again would do, or why it can't be.
#[must_use]
pub fn plan_row(name: &AppName, plan: Result<Plan, Refusal>) -> SpreadPlan {
    let mut row = SpreadPlan {
        app: name.to_string(),
        refused: None,
        moves: Vec::new(),
        machines: Vec::new(),
        racks: Vec::new(),
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(refusal) => {
            row.refused = Some(refusal.to_string());
            return row;
        }
    };
    let counted = |name: String, (before, after): (u32, u32)| CountRow { name, before, after };
    row.moves = plan.moves.iter().map(|one| move_row(name, one)).collect();
    let machines = plan.machines.into_iter();
    row.machines = machines.map(|(name, counts)| counted(name.to_string(), counts)).collect();
    row.racks = plan.racks.into_iter().map(|(name, counts)| counted(name, counts)).collect();
    row
}

fn move_row(app: &AppName, one: &Move) -> MoveRow {
    let state = match one.state {
        MoveState::Planned => "planned",
        MoveState::Moving { .. } => "moving",
        MoveState::Done => "done",
        MoveState::Skipped(_) => "skipped",
    };
    MoveRow {
        instance: InstanceId { app: app.clone(), number: one.instance }.to_string(),
        from: one.from.to_string(),
        to: one.to.to_string(),
        why: one.why.to_string(),
        state: state.to_owned(),
        text: one.state.to_string(),
    }
}

/// An app that is being spread again, or was the last time.
#[must_use]
pub fn spread_row(app: &AppName, one: &Rebalance) -> SpreadRow {
    let (done, moving, skipped) = one.counts();
    SpreadRow {
        begun: moment(one.begun),
        at_a_time: one.at_a_time,
        ended: one.ended.map(|(at, _)| moment(at)),
        outcome: one.ended.map(|(_, how)| how.to_string()),
        done: count(done),
        moving: count(moving),
        skipped: count(skipped),
        moves: one.moves.iter().map(|one| move_row(app, one)).collect(),
    }
}

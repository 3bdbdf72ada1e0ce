//! `scheduler rebalance`.

use std::thread;
use std::time::Duration;

use clap::Args;
use scheduler::wire::rebalance::{CountRow, Spread, SpreadPlan, SpreadRow, StopSpread};
use scheduler::wire::{Answer, AppDetail};

use super::http::{Client, Trouble};
use super::wait::Absence;
use super::{Done, part, show};
use crate::arguments::{Output, Reach};
use crate::exit::Exit;
use crate::paint::harmless;
use crate::table::Table;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(200);

/// `scheduler rebalance`.
#[derive(Debug, Args)]
pub struct Rebalance {
    /// The app; all, if absent.
    pub app: Option<String>,
    /// Only show what would move.
    #[arg(long, conflicts_with_all = ["cancel", "detach"])]
    pub dry_run: bool,
    /// End it: what hasn't been replaced stays.
    #[arg(long)]
    pub cancel: bool,
    /// The most of an app that move at a time; 2 if absent.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..),
          conflicts_with = "cancel")]
    pub at_a_time: Option<u32>,
    /// Don't wait.
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub reach: Reach,
}

pub fn rebalance(arguments: &Rebalance) -> Done {
    let client = Client::open(&arguments.reach.place)?;
    let app = arguments.app.clone();
    let output = arguments.reach.output;
    if arguments.cancel {
        let answer: Answer = client.post("/v1/rebalance/cancel", &StopSpread { app }, None)?;
        return Ok(show(output, &answer, |answer| match answer.result.as_str() {
            "unchanged" => "nothing moves".to_owned(),
            _ => "what hasn't been replaced stays".to_owned(),
        }));
    }
    let query = app.as_deref().map(|app| format!("?app={}", part(app))).unwrap_or_default();
    let plans: Vec<SpreadPlan> = client.get(&format!("/v1/rebalance{query}"))?;
    if arguments.dry_run {
        return Ok(show(output, &plans, |plans| plan_text(plans)));
    }
    if plans.iter().any(|plan| one_plan(plan).is_some()) {
        tell!("{}", harmless(&plan_text(&plans)));
    }
    let answer: Answer =
        client.post("/v1/rebalance", &Spread { app, at_a_time: arguments.at_a_time }, None)?;
    if answer.result == "unchanged" || arguments.detach {
        return Ok(show(output, &answer, |answer| match answer.moves {
            Some(moves) => format!("{moves} will move; `scheduler rebalance --cancel` ends it"),
            None => "nothing moves".to_owned(),
        }));
    }
    follow(&client, &plans, output)
}

/// What would move, app by app; of apps that can't be spread, why not.
fn plan_text(plans: &[SpreadPlan]) -> String {
    let told: Vec<String> = plans.iter().filter_map(one_plan).collect();
    match told.as_slice() {
        [] => "nothing would move".to_owned(),
        told => told.join("\n\n"),
    }
}

fn one_plan(plan: &SpreadPlan) -> Option<String> {
    if let Some(why) = &plan.refused {
        return Some(format!("{}: not now: {why}", plan.app));
    }
    if plan.moves.is_empty() {
        return None;
    }
    let mut moves = Table::new(&["INSTANCE", "FROM", "TO", "WHY"]);
    for one in &plan.moves {
        moves.row(vec![one.instance.clone(), one.from.clone(), one.to.clone(), one.why.clone()]);
    }
    let mut text = format!("{}: {} to move\n{}", plan.app, plan.moves.len(), moves.text());
    for (heading, rows) in [("MACHINE", &plan.machines), ("RACK", &plan.racks)] {
        if !rows.is_empty() {
            text.push_str(&format!("\n\n{}", counts(heading, rows)));
        }
    }
    Some(text)
}

fn counts(heading: &str, rows: &[CountRow]) -> String {
    let mut table = Table::new(&[heading, ">BEFORE", ">AFTER"]);
    for row in rows {
        table.row(vec![row.name.clone(), row.before.to_string(), row.after.to_string()]);
    }
    table.text()
}

/// Waits until each app that had moves to do has done them, or ended otherwise.
fn follow(client: &Client, plans: &[SpreadPlan], output: Output) -> Done {
    let mut exit = Exit::Done;
    for plan in plans.iter().filter(|plan| !plan.moves.is_empty()) {
        let Some(row) = until_ended(client, &plan.app)? else { continue };
        if row.outcome.as_deref() != Some("done") || row.skipped > 0 {
            exit = Exit::Failed;
        }
        show(output, &row, |row| ending(&plan.app, row));
    }
    Ok(exit)
}

fn until_ended(client: &Client, app: &str) -> Result<Option<SpreadRow>, Trouble> {
    let path = format!("/v1/apps/{}", part(app));
    let mut absence = Absence::default();
    let mut said = String::new();
    loop {
        if let Some(detail) = absence.watch(client.get::<AppDetail>(&path))? {
            let Some(row) = detail.rebalance else { return Ok(None) };
            if row.ended.is_some() {
                return Ok(Some(row));
            }
            let now = format!("{} of {} moved, {} moving", row.done, row.moves.len(), row.moving);
            if now != said {
                tell!("{app}: {now}");
                said = now;
            }
        }
        thread::sleep(LOOK);
    }
}

fn ending(app: &str, row: &SpreadRow) -> String {
    let outcome = row.outcome.as_deref().unwrap_or("goes on");
    let mut text = format!("{app}: {outcome}: {} of {} moved", row.done, row.moves.len());
    for one in row.moves.iter().filter(|one| one.state == "skipped") {
        text.push_str(&format!(
            "\n  {} from {} to {}: {}",
            one.instance, one.from, one.to, one.text
        ));
    }
    text
}
